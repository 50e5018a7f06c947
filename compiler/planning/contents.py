"""What adopted files say: the identity of an adopt stage that names no revision.

    contents = read_contents(graph, store)      # label -> digest; raises SpecError where files cannot be read

A digest covers the files' contents alone, whatever they are called and wherever they lie. Reading them again and again
would take long, so the store remembers each file's hash by its path, size and time of change.
"""

import glob
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from compiler.checks.view import field_place
from compiler.elaborate import ProgramStage
from compiler.errors import Problem, SpecError
from compiler.graph import StageGraph
from compiler.reading.tree import span
from compiler.stages.adopt import Adopt

_MEMORY = "contents.json"
_CHUNK_BYTES = 1 << 20


def read_contents(graph: StageGraph, store: Path) -> Mapping[str, str]:
    """Label -> digest of what is adopted, for every adopt stage without a revision."""
    memory = _Memory.read(store)
    problems: list[Problem] = []
    found: dict[str, str] = {}
    for label in graph.order():
        at = graph.stage(label)
        if isinstance(at.stage, Adopt) and at.stage.revision is None:
            files = list(_files(at, at.stage, problems))
            found[label] = _digest(at, files, memory, problems)
    if problems:
        raise SpecError(problems)
    memory.write()
    return found


class _Named(NamedTuple):
    path: Path
    entry: int
    """Which of the stage's `files` it comes from."""


def _files(at: ProgramStage, stage: Adopt, problems: list[Problem]) -> Iterator[_Named]:
    """Every file that the stage's paths and globs mean; each once."""
    seen: set[Path] = set()
    for entry, written in enumerate(stage.files):
        folder = Path(field_place(at, f"files.{entry}")[0]).parent
        matches = sorted(glob.glob(str(folder / written), recursive=True))  # noqa: PTH207 - takes absolute globs too
        paths = [path for path in map(Path, matches) if path.is_file()]
        if not paths:
            message = f"there is no file {written!r} beside this recipe"
            hint = "give a `revision`, if the files are elsewhere: then a plan need not read them"
            problems.append(_problem(at, entry, message, hint))
        for path in paths:
            if path.resolve() not in seen:
                seen.add(path.resolve())
                yield _Named(path, entry)


def _digest(at: ProgramStage, files: list[_Named], memory: "_Memory", problems: list[Problem]) -> str:
    hashes = []
    for file in files:
        try:
            hashes.append(memory.hash_of(file.path))
        except OSError as error:
            problems.append(_problem(at, file.entry, f"{file.path} cannot be read: {error.strerror}", ""))
    return hashlib.sha256("\n".join(sorted(hashes)).encode()).hexdigest()


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
