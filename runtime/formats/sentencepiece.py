"""SentencePiece models, rebuilt as the tokenizers of Hugging Face that the rest of the runtime uses.

Byte-pair models hold no merges: any two pieces that make a third are one, ranked by the third's score.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers

_SPACE = "\N{LOWER ONE EIGHTH BLOCK}"
_UNIGRAM, _BPE = 1, 2


def read(files: Sequence[Path]) -> Tokenizer:
    """The tokenizer of the one file there is; ValueError for what is none."""
    try:
        from sentencepiece import sentencepiece_model_pb2 as format_of
    except ImportError:
        raise ValueError("SentencePiece models need the extra: pip install 'rung[sentencepiece]'") from None
    if len(files) != 1:
        raise ValueError(f"a SentencePiece model is one file, not {len(files)}: {[path.name for path in files]}")
    proto: Any = getattr(format_of, "ModelProto")()  # noqa: B009 - made when the module is imported
    try:
        proto.ParseFromString(files[0].read_bytes())
    except Exception as error:  # protobuf's own
        raise ValueError(f"{files[0].name} is no SentencePiece model: {error}") from None
    if proto.trainer_spec.model_type not in (_UNIGRAM, _BPE) or not proto.pieces:
        raise ValueError(f"{files[0].name} is neither a unigram nor a byte-pair model")
    return _rebuilt(proto)


def _rebuilt(proto: Any) -> Tokenizer:
    pieces = [(piece.piece, piece.score) for piece in proto.pieces]
    of = proto.SentencePiece
    has_bytes = any(piece.type == of.BYTE for piece in proto.pieces)
    unknown = next(number for number, piece in enumerate(proto.pieces) if piece.type == of.UNKNOWN)
    if proto.trainer_spec.model_type == _UNIGRAM:
        tokenizer = Tokenizer(models.Unigram(pieces, unk_id=unknown, byte_fallback=has_bytes))
    else:
        vocabulary = {piece: number for number, (piece, _) in enumerate(pieces)}
        normal = {piece.piece for piece in proto.pieces if piece.type == of.NORMAL}
        merges = [pair for _, _, pair in sorted(_merges(pieces, normal))]
        tokenizer = Tokenizer(
            models.BPE(vocabulary, merges, unk_token=pieces[unknown][0], fuse_unk=True, byte_fallback=has_bytes)
        )
    tokenizer.normalizer = _normalizer(proto.normalizer_spec)
    strip = [decoders.Strip(" ", 1, 0)] if proto.normalizer_spec.add_dummy_prefix else []
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), *strip]
    )
    special = {of.CONTROL, of.USER_DEFINED, of.UNKNOWN}
    tokenizer.add_special_tokens(
        [AddedToken(piece.piece, special=True, normalized=False) for piece in proto.pieces if piece.type in special]
    )
    return tokenizer


def _merges(pieces: Sequence[tuple[str, float]], known: set[str]) -> Iterator[tuple[float, int, tuple[str, str]]]:
    """(rank, place, pair): the lower the earlier."""
    for number, (piece, score) in enumerate(pieces):
        for cut in range(1, len(piece)):
            pair = (piece[:cut], piece[cut:])
            if piece in known and pair[0] in known and pair[1] in known:
                yield -score, number, pair


def _normalizer(spec: Any) -> Any:
    chain: list[Any] = []
    if spec.precompiled_charsmap:
        chain.append(normalizers.Precompiled(spec.precompiled_charsmap))
    if spec.remove_extra_whitespaces:
        chain += [normalizers.Strip(), normalizers.Replace(Regex(" {2,}"), " ")]
    if spec.add_dummy_prefix:
        chain.append(normalizers.Prepend(_SPACE))
    return normalizers.Sequence([*chain, normalizers.Replace(" ", _SPACE)])
