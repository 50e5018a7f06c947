"""Files of rows as plain records, each with its file and line: jsonl and csv (also .gz and .zst), parquet, text.

Rows are read one by one; a line longer than any honest one is refused, which is also what stops a file that unpacks
into more than the memory holds.
"""

import csv
import gzip
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import zstandard

Format = Literal["jsonl", "csv", "parquet", "text"]
_LONGEST_LINE = 64 << 20
_BATCH = 1024


class Located(NamedTuple):
    """One record and where it stands."""

    file: str
    line: int
    """From 1; of parquet the row."""
    fields: Mapping[str, Any]

    @property
    def place(self) -> str:
        """As errors name it."""
        return f"{self.file}:{self.line}"


def read(files: Sequence[Path], form: Format) -> Iterator[Located]:
    """Every record of every file; ValueError, with its file and line, for what cannot be read."""
    for file in files:
        try:
            for line, fields in _READERS[form](file):
                yield Located(file.name, line, fields)
        except _DAMAGES as error:
            raise ValueError(f"{file.name} cannot be read as {form}: {error}") from None


def field(fields: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path; None where there is none."""
    value: Any = fields
    for part in path.split("."):
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def _jsonl(file: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in _lines(file):
        if not line.strip():
            continue
        try:
            fields = json.loads(line, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"line {number} is no JSON: {error}") from None
        if not isinstance(fields, dict):
            raise ValueError(f"line {number} is no JSON object")
        yield number, fields


def _csv(file: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    csv.field_size_limit(_LONGEST_LINE)
    reader = csv.DictReader((line for _, line in _lines(file)), strict=True)
    try:
        for fields in reader:
            if None in fields or None in fields.values():
                raise ValueError(f"line {reader.line_num} has not as many columns as the header")
            yield reader.line_num, fields
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num}: {error}") from None


def _text(file: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    with _opened(file) as stream:
        content = stream.read(_LONGEST_LINE + 1)
    if len(content) > _LONGEST_LINE:
        raise ValueError(f"it is longer than {_LONGEST_LINE >> 20} MiB, too long for one document")
    yield 1, {"text": content.decode("utf-8")}


def _parquet(file: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise ValueError("parquet files need the extra: pip install 'rung[parquet]'") from None
    number = 0
    try:
        with pyarrow.parquet.ParquetFile(file) as table:
            for batch in table.iter_batches(batch_size=_BATCH):
                for fields in batch.to_pylist():
                    number += 1
                    yield number, fields
    except pyarrow.ArrowException as error:
        raise ValueError(str(error).splitlines()[0]) from None


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    with _opened(file) as stream:
        number = 0
        while line := stream.readline(_LONGEST_LINE):
            number += 1
            if len(line) >= _LONGEST_LINE:
                raise ValueError(f"line {number} is longer than {_LONGEST_LINE >> 20} MiB")
            try:
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise ValueError(f"line {number} is no UTF-8: {error.reason}") from None


@contextmanager
def _opened(file: Path) -> Iterator[io.BufferedIOBase]:
    with file.open("rb") as raw:
        if file.suffix == ".gz":
            with gzip.open(raw) as stream:
                yield stream
        elif file.suffix == ".zst":
            with zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True) as stream:
                yield io.BufferedReader(stream)
        else:
            yield raw


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


_DAMAGES = (ValueError, OSError, EOFError, zstandard.ZstdError)
_READERS = {"jsonl": _jsonl, "csv": _csv, "parquet": _parquet, "text": _text}
