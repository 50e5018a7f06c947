"""What every format of checkpoints offers: what its files say of the model, and its weights by the engine's names."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from compiler.schema.model import ModelSpec
from runtime.formats.plain import Parameter, fuse, parameters

_SHOWN = 4
FLOATS = (torch.float32, torch.float16, torch.bfloat16)


class Weights(Protocol):
    """An opened checkpoint."""

    def check(self, spec: ModelSpec) -> None:
        """Raises ValueError with everything in which the files differ from this shape; reads no weight."""
        ...

    def find(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """The weight of this name in the engine."""
        ...


@dataclass(frozen=True)
class PlainWeights:
    """Tensors by the plain names of `plain.py`."""

    said: Mapping[str, Any]
    """Field of ModelSpec -> what the files say; `seq_length` is the longest that they allow."""
    shapes: Mapping[str, tuple[int, ...]]
    read: Callable[[str], Tensor]
    """Reads one tensor."""
    _parameters: dict[str, Parameter] = field(default_factory=dict)

    def check(self, spec: ModelSpec) -> None:
        """Fields, names and shapes."""
        check_fields(spec, self.said)
        self._parameters.update({parameter.name: parameter for parameter in parameters(spec)})
        wanted = {name: shape for one in self._parameters.values() for name, shape in one.parts.items()}
        check_tensors(wanted, self.shapes)

    def find(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """Fused out of its parts."""
        parameter = self._parameters[name]
        fused = fuse(parameter, [finite(part, self.read(part)) for part in parameter.parts])
        assert tuple(fused.shape) == shape, f"{name}: {tuple(fused.shape)} is not {shape}"
        return fused


def check_fields(spec: ModelSpec, said: Mapping[str, Any]) -> None:
    """The model of the recipe is the model of the files."""
    wrong = []
    for name, value in said.items():
        wanted = getattr(spec, name)
        if name == "seq_length":
            if wanted > value:
                wrong.append(f"seq_length is {value} at most, not {wanted}")
        elif not _equal(value, wanted):
            wrong.append(f"{'kv_channels' if name == 'head_dim' else name} is {value}, not {wanted}")
    if wrong:
        raise ValueError(f"the files hold another model than `model` says: {'; '.join(wrong)}")


def check_tensors(wanted: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]]) -> None:
    """All tensors are there, none is left over, and their shapes are right."""
    missing = [name for name in wanted if name not in found]
    unknown = [name for name in found if name not in wanted]
    wrong = [
        f"{name} is {'x'.join(map(str, found[name]))}, not {'x'.join(map(str, shape))}"
        for name, shape in wanted.items()
        if name in found and found[name] != shape
    ]
    problems = [
        *([f"missing {_some(missing)}"] if missing else []),
        *([f"unexpected {_some(unknown)}"] if unknown else []),
        *([f"of another shape: {_some(wrong, '; ')}"] if wrong else []),
    ]
    if problems:
        raise ValueError(f"the tensors do not make up this model: {'; '.join(problems)}")


def finite(name: str, tensor: Tensor) -> Tensor:
    """The tensor in float32; refuses integers, and numbers that no training can mend."""
    if tensor.dtype not in FLOATS:
        raise ValueError(f"{name} is of {str(tensor.dtype).removeprefix('torch.')}, not of 32 or 16 bit floats")
    if not bool(torch.isfinite(tensor).all()):
        raise ValueError(f"{name} holds infinities or NaN")
    return tensor.float()


def _equal(value: Any, wanted: Any) -> bool:
    if isinstance(value, float) and isinstance(wanted, (int, float)):
        # GGUF keeps numbers in 32 bits.
        return math.isclose(value, wanted, rel_tol=1e-6)
    return bool(value == wanted)


def _some(names: list[str], separator: str = ", ") -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return separator.join(names[:_SHOWN]) + more
