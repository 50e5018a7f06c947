"""Pass 1, Path -> Document: the text of a spec and of the files it uses, as one tree with a place for every value.

    document = load(Path("recipe.yaml"), ["params.rounds=1"])
    document.root        # Table: every key and value with its Span
    document.files       # the files that were read, the spec first

YAML 1.2 scalars, no duplicate keys, no tags, no merge keys, bounded aliases. Files named by `use` contribute to the
sections; equal names clash. `overrides` (`--set path=value`) replace values and are checked like the file.
"""

import codecs
import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from compiler.codes import Code
from compiler.errors import did_you_mean
from compiler.experiment import SECTIONS
from compiler.reading.overrides import apply_overrides
from compiler.reading.parse import parse
from compiler.reading.problems import Problems
from compiler.reading.tree import Entry, Listing, Node, Place, Scalar, Table, describe, without

_LARGEST_FILE_BYTES = 64_000_000
_MOST_FILES = 200


@dataclass(frozen=True)
class Document:
    """A spec as it was written, with the files it uses and the overrides in place; nothing has been checked yet."""

    file: str
    root: Table
    files: tuple[Path, ...]


def load(spec: Path, overrides: Sequence[str] = ()) -> Document:
    """Reads a spec; raises SpecError with every mistake that hides its values."""
    problems = Problems()
    reader = _Reader(problems)
    root = reader.read(spec, None, (), _reach(spec))
    if root is not None:
        root = apply_overrides(root, overrides, problems)
    problems.raise_any()
    assert root is not None
    return Document(_shown(spec), root, tuple(reader.read_files))


def load_tree(file: Path) -> Table:
    """One file's mapping as it stands, without `use` or overrides: cluster files and the like."""
    problems = Problems()
    root = _parse_file(file, None, problems)
    problems.raise_any()
    assert root is not None
    return root


class _Reader:
    """Reads a file and what it uses, each file once."""

    def __init__(self, problems: Problems) -> None:
        self.read_files: list[Path] = []
        self._problems = problems

    def read(self, file: Path, asked: Place | None, chain: tuple[Path, ...], reach: Path) -> Table | None:
        """The merged tree, or nothing where the file was read before or cannot be read.

        `reach` is the folder that relative paths of this file may not leave.
        """
        real = _resolved(file)
        if real in chain:
            names = " -> ".join(_shown(path) for path in (*chain[chain.index(real) :], real))
            self._problems.add(asked, "use", f"files use each other in a circle: {names}", "cycle")
            return None
        if real in self.read_files:
            return None
        if len(self.read_files) >= _MOST_FILES:
            self._problems.add(asked, "use", f"more than {_MOST_FILES} files are used", "too-large")
            return None
        self.read_files.append(real)
        root = _parse_file(file, asked, self._problems)
        if root is None:
            return None
        merged = without(root, "use")
        for path, place in _used_files(root, self._problems):
            used = file.parent / path
            absolute = Path(path).is_absolute()
            if not absolute and not _resolved(used).is_relative_to(reach):
                message = f"{_shown(used)} lies outside {_shown(reach)}"
                self._problems.add(place, "use", message, "outside-folder", hint=_OUTSIDE_HINT)
                continue
            part = self.read(used, place, (*chain, real), _reach(used) if absolute else reach)
            if part is not None:
                merged = _merge(_contribution(part, self._problems), merged, self._problems)
        return merged


_OUTSIDE_HINT = "write the absolute path if you mean it"


def _reach(file: Path) -> Path:
    """The folder above the file's own: from specs/experiments one reaches specs/models, and no further."""
    return _resolved(file.parent).parent


def _used_files(root: Table, problems: Problems) -> list[tuple[str, Place]]:
    entry = root.entries.get("use")
    if entry is None:
        return []
    if not isinstance(entry.value, Listing):
        message = f"is {describe(entry.value)}, but must be a list of files"
        problems.add(entry.value.at, "use", message, "wrong-type", hint="write `use: [other.yaml]`")
        return []
    found = []
    for index, item in enumerate(entry.value.items):
        if isinstance(item, Scalar) and isinstance(item.value, str) and item.value and "\0" not in item.value:
            found.append((item.value, item.at))
        else:
            problems.add(item.at, f"use.{index}", f"is {describe(item)}, but must be the name of a file", "wrong-type")
    return found


def _contribution(part: Table, problems: Problems) -> Table:
    """A used file less its version; what only the spec itself may say is refused."""
    for key, entry in part.entries.items():
        if key == "name":
            problems.add(entry.at, "name", "a used file has no name of its own", "misplaced-key", hint="remove it here")
        elif key == "rung" and not (isinstance(entry.value, Scalar) and entry.value.value == 1):
            problems.add(entry.value.at, "rung", f"is {describe(entry.value)}, but must be 1", "wrong-version")
        elif key not in _MERGED and key not in ("rung", "name"):
            problems.add(entry.at, key, "unknown key", "unknown-key", hint=did_you_mean(key, [*_MERGED, "rung", "use"]))
        elif key in _MERGED and not isinstance(entry.value, Table):
            problems.add(entry.value.at, key, f"is {describe(entry.value)}, but must be a mapping", "wrong-type")
    return without(part, "rung", "name")


_MERGED = (*SECTIONS, "params", "pipeline", "matrix")


def _merge(first: Table, second: Table, problems: Problems) -> Table:
    """Both files' sections; `second` is the file that uses `first`."""
    entries = dict(second.entries)
    for key, entry in first.entries.items():
        other = entries.get(key)
        entries[key] = entry if other is None else _merge_section(key, entry, other, problems)
    return second._replace(entries=entries)


def _merge_section(section: str, first: Entry, second: Entry, problems: Problems) -> Entry:
    if not isinstance(first.value, Table) or not isinstance(second.value, Table):
        return second
    entries = dict(first.value.entries)
    for name, entry in second.value.entries.items():
        if name in entries:
            other = ((entries[name].at, "also written here"),)
            problems.add(
                entry.at,
                f"{section}.{name}",
                f"the name {name!r} clashes",
                "name-clash",
                related=other,
                hint="rename one of them",
            )
        entries[name] = entry
    return Entry(second.at, second.value._replace(entries=entries))


def _parse_file(file: Path, asked: Place | None, problems: Problems) -> Table | None:
    text = _read_text(file, asked, problems)
    if text is None:
        return None
    shown = _shown(file)
    before = len(problems)
    root: Node | None = parse(text, shown, problems)
    if isinstance(root, Table):
        return root
    if len(problems) == before:
        what = "is empty" if root is None or root == Scalar(None, "", root.at) else f"is {describe(root)}"
        hint = "a spec begins with `rung: 1`" if asked is None else ""
        problems.add((shown, 1, 1), "", f"{what}, but must be a mapping", "wrong-type", hint=hint)
    return None


def _read_text(file: Path, asked: Place | None, problems: Problems) -> str | None:
    shown = _shown(file)

    def refuse(message: str, code: Code, hint: str = "", place: Place | None = None) -> None:
        problems.add(place or asked or (shown, 1, 1), "" if asked is None else "use", message, code, hint=hint)

    try:
        if not file.exists():
            refuse(f"{shown} does not exist", "missing-file", _near_files(file))
            return None
        if not file.is_file():
            refuse(
                f"{shown} is {'a directory' if file.is_dir() else 'no regular file'}", "missing-file", _near_files(file)
            )
            return None
        with open(file, "rb", opener=_without_waiting) as stream:
            content = stream.read(_LARGEST_FILE_BYTES + 1)
        if content is None:
            raise BlockingIOError(errno.EAGAIN, "nothing is there to read yet")
    except (OSError, ValueError) as error:
        refuse(f"{shown} cannot be read: {getattr(error, 'strerror', None) or error}", "missing-file")
        return None
    if len(content) > _LARGEST_FILE_BYTES:
        refuse(f"{shown} is larger than {_LARGEST_FILE_BYTES // 1_000_000} MB", "too-large")
        return None
    try:
        content = content.removeprefix(codecs.BOM_UTF8)
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8")
        line = before.count("\n") + 1
        column = len(before) - before.rfind("\n")
        refuse(f"{shown} is not UTF-8", "not-utf8", "save it as UTF-8", (shown, line, column))
        return None


def _without_waiting(path: str, flags: int) -> int:
    """Some files call themselves regular and wait for news all the same, such as the kernel's messages."""
    return os.open(path, flags | os.O_NONBLOCK)


def _near_files(file: Path) -> str:
    try:
        folder = file if file.is_dir() else file.parent
        names = [path.name for path in folder.iterdir() if path.suffix in (".yaml", ".yml")]
    except OSError:
        return ""
    return did_you_mean(file.name, names)


def _resolved(file: Path) -> Path:
    try:
        return file.resolve()
    except (OSError, RuntimeError, ValueError):
        return file


def _shown(file: Path) -> str:
    """The file as people know it: relative to the working directory if it lies beneath."""
    try:
        return str(Path(os.path.abspath(file)).relative_to(Path.cwd()))  # noqa: PTH100 - must not follow links
    except (ValueError, OSError):
        return str(file)
