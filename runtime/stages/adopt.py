"""adopt: other people's files, checked, and written anew in the runtime's own forms. No file is ever run."""

import glob
import hashlib
import re
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from compiler.schema.sources import Checkpoint, Rows, TokenizerFile
from compiler.stages.adopt import Adopt
from runtime.adopted_rows import Adopted
from runtime.context import Context, Facts
from runtime.formats import records
from runtime.rows import write_rows
from runtime.tokenizer import ChatTokenizer, adopt_tokenizer

_SHA256 = re.compile(r"(?:sha256:)?([0-9a-f]{64})")


def run(stage: Adopt, ctx: Context) -> Facts:
    """Facts: how many rows, tokens or parameters came of which files."""
    files = _files(ctx.manifest.files)
    _check_revision(stage, files)
    names = {"files": [path.name for path in files]}
    match stage.source:
        case Rows() as source:
            return {**_adopt_rows(stage, source, files, ctx), **names}
        case TokenizerFile() as source:
            return {**_adopt_tokenizer(source, files, ctx), **names}
        case Checkpoint() as source:
            return {**_adopt_policy(stage, source, files, ctx), **names}


def _files(patterns: Sequence[str]) -> list[Path]:
    """Each file once, in the order of the patterns; one that none matches is an error."""
    found: dict[Path, None] = {}
    for pattern in patterns:
        here = [Path(pattern)] if Path(pattern).is_file() else []
        matches = here or [path for path in map(Path, sorted(glob.glob(pattern, recursive=True))) if path.is_file()]  # noqa: PTH207 - takes absolute globs too
        if not matches:
            raise ValueError(f"there is no file {pattern}")
        found.update(dict.fromkeys(matches))
    return list(found)


def _check_revision(stage: Adopt, files: Sequence[Path]) -> None:
    """A revision that is a SHA-256 is one that can be checked."""
    wanted = _SHA256.fullmatch(stage.revision or "")
    if wanted is None:
        return
    if len(files) != 1:
        raise ValueError(f"the SHA-256 in `revision` is of one file, but `files` are {len(files)}")
    with files[0].open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != wanted[1]:
        raise ValueError(f"{files[0].name} is another file than `revision` says: its SHA-256 is {found}")


def _adopt_rows(stage: Adopt, source: Rows, files: Sequence[Path], ctx: Context) -> dict[str, Any]:
    adopted = Adopted(stage, source, records.read(files, source.format))
    rows = write_rows(ctx.output, adopted.rows())
    if rows == 0:
        raise ValueError("the files hold no rows")
    checks = {"rows_with_check": adopted.with_check} if source.verifier is not None else {}
    partners = adopted.partners
    unpaired = {"empty_answers": partners.empty, "answers_without_a_partner": partners.alone} if partners else {}
    return {"rows": rows, "duplicates": adopted.duplicates, **checks, **unpaired}


def _adopt_tokenizer(source: TokenizerFile, files: Sequence[Path], ctx: Context) -> dict[str, Any]:
    tokenizer = import_module(f"runtime.formats.{source.kind}").read(files)
    if tokenizer.get_vocab_size() != source.vocab_size:
        raise ValueError(f"the tokenizer has {tokenizer.get_vocab_size()} tokens, not {source.vocab_size}")
    return {"vocab_size": adopt_tokenizer(tokenizer, source.chat_template, ctx.output).vocab_size}


def _adopt_policy(stage: Adopt, source: Checkpoint, files: Sequence[Path], ctx: Context) -> dict[str, Any]:
    """The engine is imported here: rows and tokenizers must not wait for torch."""
    from compiler.schema.model import Layout, Precision
    from runtime.engine.model import build
    from runtime.engine.parallel import start
    from runtime.engine.whole import put_weights
    from runtime.policy import write_policy

    assert stage.model is not None
    assert stage.tokenizer is not None
    weights = import_module(f"runtime.formats.{source.kind}").open_weights(files)
    weights.check(stage.model)
    tokenizer = ctx.input(stage.tokenizer)
    if ChatTokenizer.load(tokenizer).vocab_size > stage.model.vocab_size:
        raise ValueError(f"the tokenizer has more tokens than the model's {stage.model.vocab_size}")
    with start(Layout(), rank=ctx.rank, world_size=ctx.world_size, rendezvous=ctx.rendezvous, seed=0) as world:
        model = build(stage.model, Layout(), Precision(dtype="fp32"), seed=0)
        put_weights(model, weights.find)
        write_policy(model, ctx.output, tokenizer=tokenizer, main=world.is_main)
        return {"parameters": sum(weight.numel() for weight in model.chunks[0].parameters())}
