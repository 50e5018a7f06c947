"""The store: artifacts by fingerprint. What looks finished is finished.

An artifact is written under a partial name, hashed, given its record, fsynced, then renamed. A lock on the
fingerprint's scratch keeps two workers of the same artifact apart; the second finds it sealed.
"""

import errno
import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from compiler.artifacts import ArtifactRecord

RECORD = "artifact.json"


def is_sealed(artifact: Path) -> bool:
    """Whether the artifact's folder is there and has its record."""
    return (artifact / RECORD).is_file()


def read_record(artifact: Path) -> ArtifactRecord:
    """The record that seals this artifact."""
    return ArtifactRecord.model_validate_json((artifact / RECORD).read_bytes())


@contextmanager
def exclusive(scratch: Path) -> Iterator[bool]:
    """Holds the scratch of one fingerprint; waits for another worker that holds it. Yields whether it had to wait."""
    scratch.parent.mkdir(parents=True, exist_ok=True)
    lock = scratch.with_name(scratch.name + ".lock")
    with lock.open("w") as handle:
        waited = False
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waited = True
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield waited


def append_line(file: IO[bytes], line: bytes) -> None:
    """Appends to an unbuffered file. Raises OSError where a full disk takes only part of the line, which Python does
    not mind; readers pass over that part."""
    if file.write(line) < len(line):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), file.name)


def cut_torn_line(file: Path) -> None:
    """Takes off a file of lines what a kill or a full disk left of its last one. Searched from the end, so that a long
    file is not read."""
    size = file.stat().st_size
    end = size
    with file.open("r+b") as lines:
        while end > 0:
            begin = max(0, end - 65_536)
            lines.seek(begin)
            found = lines.read(end - begin).rfind(b"\n")
            end = begin + found + 1 if found >= 0 else begin
            if found >= 0:
                break
        if end != size:
            lines.truncate(end)


def partial_folder(artifact: Path) -> Path:
    """An empty folder beside the artifact's final place; what an earlier attempt left there is dropped."""
    partial = artifact.with_name(artifact.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    return partial


def hash_files(folder: Path) -> dict[str, str]:
    """Relative path -> sha256 of the content, sorted by path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): _sha256(path) for path in files}


def seal(partial: Path, artifact: Path, record: ArtifactRecord) -> None:
    """Writes the record, makes everything durable, and gives the artifact its name in one step."""
    (partial / RECORD).write_text(record.model_dump_json(indent=1), encoding="utf-8")
    for path in sorted(partial.rglob("*")):
        _fsync(path)
    _fsync(partial)
    if is_sealed(artifact):
        shutil.rmtree(partial)
        return
    partial.rename(artifact)
    _fsync(artifact.parent)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
