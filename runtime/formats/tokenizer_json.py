"""Hugging Face's `tokenizer.json`."""

from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer


def read(files: Sequence[Path]) -> Tokenizer:
    """The tokenizer of the one file there is; ValueError for what is none."""
    if len(files) != 1:
        raise ValueError(f"a tokenizer is one file, not {len(files)}: {[path.name for path in files]}")
    try:
        return Tokenizer.from_str(files[0].read_text(encoding="utf-8"))
    except Exception as error:  # the package raises plain Exception
        raise ValueError(f"{files[0].name} is no tokenizer.json: {error}") from None
