"""Whose child a policy is: the model shape and the tokenizer that it inherits from the pretrain stage at its root."""

from collections.abc import Mapping
from typing import NamedTuple

from compiler.checks.view import View
from compiler.elaborate import ProgramStage
from compiler.schema.model import ModelSpec
from compiler.schema.sources import TokenizerFile
from compiler.stages.adopt import Adopt
from compiler.stages.prefer import Prefer
from compiler.stages.pretrain import Pretrain
from compiler.stages.reward_model import RewardModel
from compiler.stages.sft import Sft
from compiler.stages.tokenize import Tokenize
from compiler.stages.tokenizer import Tokenizer


class Lineage(NamedTuple):
    """What a policy (or reward model) inherits."""

    model: ModelSpec
    tokenizer: str
    """Label of the tokenizer stage."""
    root: str
    """Label of the pretrain stage that gave it its shape."""


def trace_lineage(view: View) -> Mapping[str, Lineage]:
    """The lineage of every policy and reward model; the stages come in topological order."""
    found: dict[str, Lineage] = {}
    for label, program_stage in view.stages.items():
        stage = program_stage.stage
        if isinstance(stage, Pretrain | Adopt) and stage.model is not None:
            found[label] = Lineage(stage.model, stage.tokenizer or "", label)
        elif isinstance(stage, Pretrain | Sft | Prefer | RewardModel) and stage.init in found:
            found[label] = found[stage.init]
    return found


def check_lineage(view: View, lineages: Mapping[str, Lineage]) -> None:
    """Tokenizers, vocabularies, sequence lengths and references fit the models they are used with."""
    for label, program_stage in view.stages.items():
        stage = program_stage.stage
        if isinstance(stage, Pretrain) and label in lineages:
            _check_pretrain(view, program_stage, stage, lineages[label])
        elif isinstance(stage, Adopt) and label in lineages:
            _check_vocabulary(view, program_stage, stage, lineages[label])
        elif isinstance(stage, Prefer) and label in lineages and stage.reference in lineages:
            _check_reference(view, program_stage, lineages[label], lineages[stage.reference])


def _check_pretrain(view: View, at: ProgramStage, stage: Pretrain, lineage: Lineage) -> None:
    _check_own_tokenizer(view, at, stage, lineage)
    _check_vocabulary(view, at, stage, lineage)
    if stage.seq_length > lineage.model.seq_length:
        message = f"is {stage.seq_length}, but the model's seq_length is {lineage.model.seq_length}"
        view.blame(at, "seq_length", message, "too-long", related=_model_place(view, lineage))
    for ref in at.refs:
        if ref.accepts != ("tokens",):
            continue
        tokens = view.stages[ref.label].stage
        if isinstance(tokens, Tokenize) and tokens.tokenizer != stage.tokenizer:
            message = f"{ref.written!r} was written by another tokenizer than this stage's"
            related = (
                (_tokenizer_place(view, ref.label), "its tokenizer"),
                (_tokenizer_place(view, at.label), "this stage's tokenizer"),
            )
            view.blame(
                at,
                ref.path,
                message,
                "wrong-tokenizer",
                hint="tokenize the data again with this tokenizer",
                related=related,
            )


def _check_own_tokenizer(view: View, at: ProgramStage, stage: Pretrain, lineage: Lineage) -> None:
    if stage.tokenizer != lineage.tokenizer:
        related = ((_tokenizer_place(view, lineage.root), "the tokenizer that the model began with"),)
        message = f"{_written(at, 'tokenizer')!r} is not the tokenizer of `init`"
        view.blame(
            at,
            "tokenizer",
            message,
            "wrong-tokenizer",
            hint="name the tokenizer that the model began with",
            related=related,
        )


def _check_vocabulary(view: View, at: ProgramStage, stage: Pretrain | Adopt, lineage: Lineage) -> None:
    tokenizer = view.stages[stage.tokenizer or ""]
    tokens, rows = _vocab_size(tokenizer), lineage.model.vocab_size
    if stage.model is not None and tokens > rows:
        message = f"{_written(at, 'tokenizer')!r} may have {tokens} tokens, but the model's vocab_size is {rows}"
        related = ((tokenizer.at, "the tokenizer"), *_model_place(view, lineage))
        view.blame(at, "tokenizer", message, "wrong-vocabulary", hint="raise the model's vocab_size", related=related)


def _vocab_size(tokenizer: ProgramStage) -> int:
    match tokenizer.stage:
        case Tokenizer(vocab_size=size) | Adopt(source=TokenizerFile(vocab_size=size)):
            return size
        case _:
            return 0


def _check_reference(view: View, at: ProgramStage, init: Lineage, reference: Lineage) -> None:
    related = (
        (view.stages[init.root].at, "where `init` began"),
        (view.stages[reference.root].at, "where `reference` began"),
    )
    hint = "the reference is usually the policy that training starts from"
    if reference.model != init.model:
        message = f"{_written(at, 'reference')!r} has another model shape than `init`"
        view.blame(at, "reference", message, "wrong-model", hint=hint, related=related)
    elif reference.tokenizer != init.tokenizer:
        message = f"{_written(at, 'reference')!r} has another tokenizer than `init`"
        view.blame(at, "reference", message, "wrong-tokenizer", hint=hint, related=related)


def _written(stage: ProgramStage, field: str) -> str:
    return next((ref.written for ref in stage.refs if ref.path == field), field)


def _tokenizer_place(view: View, label: str) -> tuple[str, int, int]:
    stage = view.stages[label]
    return next((ref.at for ref in stage.refs if ref.path == "tokenizer"), stage.at)


def _model_place(view: View, lineage: Lineage) -> tuple[tuple[tuple[str, int, int], str], ...]:
    from compiler.checks.view import field_place

    return ((field_place(view.stages[lineage.root], "model"), "the model"),)
