"""The tokenizer inside a GGUF file: byte-pair pieces and merges, as llama.cpp reads them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from runtime.formats.gguf import entry, open_file

_NORMAL, _CONTROL = 1, 3
_CUTS: dict[str, list[Any]] = {
    "gpt-2": [],
    "smollm": [pre_tokenizers.Digits(individual_digits=True)],
}
"""`tokenizer.ggml.pre` -> what cuts the text before the byte level does."""


def read(files: Sequence[Path]) -> Tokenizer:
    """Rebuilt from the metadata; ValueError for another kind than byte-pair, or one that is cut in another way."""
    reader = open_file(files)
    model, pre = entry(reader, "tokenizer.ggml.model"), entry(reader, "tokenizer.ggml.pre")
    if model != "gpt2" or pre not in _CUTS:
        raise ValueError(
            f"{files[0].name} has a tokenizer of kind {model!r}, cut as {pre!r}; readable are gpt2 cut as "
            f"{' or '.join(_CUTS)}: for others give the tokenizer.json"
        )
    tokens = entry(reader, "tokenizer.ggml.tokens", [])
    merges = [tuple(merge.split(" ")) for merge in entry(reader, "tokenizer.ggml.merges", [])]
    kinds = entry(reader, "tokenizer.ggml.token_type", [_NORMAL] * len(tokens))
    vocabulary = {token: number for number, token in enumerate(tokens)}
    if len(vocabulary) != len(tokens) or len(kinds) != len(tokens) or any(len(merge) != 2 for merge in merges):
        raise ValueError(f"{files[0].name} has a damaged vocabulary: equal tokens, or tokens without a kind")
    try:
        tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    except Exception as error:  # the package raises plain Exception: a merge of unknown pieces
        raise ValueError(f"{files[0].name} has a damaged vocabulary: {error}") from None
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [*_CUTS[pre], pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(
        [
            AddedToken(token, special=True, normalized=False)
            for token, kind in zip(tokens, kinds, strict=True)
            if kind == _CONTROL
        ]
    )
    return tokenizer
