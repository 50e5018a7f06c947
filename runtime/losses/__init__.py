"""What preference and reward training minimise, one file per loss kind: formulas over log-probabilities and scores."""

from collections.abc import Callable
from importlib import import_module
from typing import Any, cast, get_args

from compiler.schema.base import Record
from compiler.schema.losses import Loss
from runtime.engine.objective import LossOutput
from runtime.losses.preference import PreferenceLogprobs

PreferenceLoss = Callable[[Any, PreferenceLogprobs], LossOutput]

_RECORDS: tuple[type[Record], ...] = get_args(get_args(Loss)[0])
_KINDS = tuple(get_args(record.model_fields["kind"].annotation)[0] for record in _RECORDS)


def find(kind: str) -> PreferenceLoss:
    """`loss(spec, pairs) -> LossOutput` of `runtime/losses/<kind>.py`, for the kinds that the language has."""
    if kind not in _KINDS:
        raise ValueError(f"there is no preference loss {kind!r}; there are {', '.join(_KINDS)}")
    return cast(PreferenceLoss, import_module(f"runtime.losses.{kind}").loss)
