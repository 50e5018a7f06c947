"""`torch_dist`, the distributed checkpoint of Megatron-core, as any layout wrote it.

Its index, `.metadata`, is a pickle. It is read by an unpickler that knows the few classes such an index is made of and
nothing else, so that no file can run code; the tensors themselves are read with torch's own safe loader.
"""

import pickle
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.metadata import Metadata, TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load

from compiler.schema.model import ModelSpec
from runtime.formats.plain import parameters
from runtime.formats.weights import FLOATS, check_tensors, finite

_INDEX = ".metadata"
_METADATA, _FILES = "torch.distributed.checkpoint.metadata", "torch.distributed.checkpoint.filesystem"
_HARMLESS = frozenset(
    {
        *((_METADATA, f"{name}StorageMetadata") for name in ("Chunk", "Tensor", "Bytes")),
        *((_METADATA, name) for name in ("Metadata", "MetadataIndex", "TensorProperties", "StorageMeta")),
        (_METADATA, "_MEM_FORMAT_ENCODING"),
        *((_FILES, name) for name in ("_StorageInfo", "_StoragePrefix")),
        ("torch.serialization", "_get_layout"),
        ("torch", "Size"),
        *(("torch", str(dtype).removeprefix("torch.")) for dtype in FLOATS),
        ("pathlib", "Path"),
        ("pathlib", "PosixPath"),
        ("collections", "OrderedDict"),
    }
)
"""All that an index is made of: (module, name)."""

_FUSED = {
    "input_layernorm.": "self_attention.linear_qkv.layer_norm_",
    "pre_mlp_layernorm.": "mlp.linear_fc1.layer_norm_",
}
_LAYER = re.compile(r"decoder\.layers\.(\d+)\.(.+)")


@dataclass(frozen=True)
class MegatronWeights:
    """Tensors by Megatron's keys; those of the layers are stacked, or one by one."""

    folder: Path
    metadata: Metadata
    _places: dict[str, tuple[str, int | None]] = field(default_factory=dict)
    _stacks: dict[str, Tensor] = field(default_factory=dict)

    def check(self, spec: ModelSpec) -> None:
        """Keys and shapes: the format says nothing else of its model. What belongs to an optimizer is passed over."""
        found = {
            key: tuple(entry.size)
            for key, entry in self.metadata.state_dict_metadata.items()
            if isinstance(entry, TensorStorageMetadata) and not key.startswith("optimizer.")
        }
        wanted: dict[str, tuple[int, ...]] = {}
        for parameter in parameters(spec):
            rows = sum(shape[0] for shape in parameter.parts.values())
            shape = (rows, *next(iter(parameter.parts.values()))[1:])
            key, layer = _key(parameter.name, found)
            self._places[parameter.name] = (key, layer)
            wanted[key] = shape if layer is None else (spec.num_layers, *shape)
        check_tensors(wanted, found)

    def find(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """Read once, and for all layers where they are stacked."""
        key, layer = self._places[name]
        if key not in self._stacks:
            self._stacks.clear()
            entry = self.metadata.state_dict_metadata[key]
            assert isinstance(entry, TensorStorageMetadata)
            self._stacks[key] = torch.empty(entry.size, dtype=entry.properties.dtype)
            load({key: self._stacks[key]}, storage_reader=_Reader(self.folder, self.metadata), no_dist=True)
        whole = self._stacks[key]
        return finite(name, whole if layer is None else whole[layer])


def open_weights(files: Sequence[Path]) -> MegatronWeights:
    """What these files hold: the folder of the one `.metadata` among them."""
    found = [path for path in files if path.name == _INDEX]
    if len(found) != 1:
        raise ValueError(f"`files` must name the checkpoint's {_INDEX}, whose folder is then read")
    try:
        with found[0].open("rb") as stream:
            metadata = _Unpickler(stream).load()
    except ValueError:
        raise
    except Exception as error:  # a damaged pickle ends in whatever its bytes say
        raise ValueError(f"{found[0]} is damaged: {type(error).__name__}: {error}") from None
    if not isinstance(metadata, Metadata):
        raise ValueError(f"{found[0]} is no index of a torch_dist checkpoint")
    return MegatronWeights(found[0].parent, metadata)


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _HARMLESS:
            raise ValueError(f"{_INDEX} names {module}.{name}, which no index of weights has any need of: not read")
        return super().find_class(module, name)


class _Reader(FileSystemReader):
    """Takes the index that was read safely."""

    def __init__(self, folder: Path, metadata: Metadata) -> None:
        super().__init__(folder)
        self._metadata = metadata

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        return self._metadata


def _key(name: str, found: Mapping[str, Any]) -> tuple[str, int | None]:
    """The key of this weight, and which of the stacked layers it is."""
    match = _LAYER.fullmatch(name)
    if match is None:
        return name, None
    layer, rest = int(match[1]), match[2]
    for plain, fused in _FUSED.items():
        rest = rest.replace(plain, fused)
    single = f"decoder.layers.{layer}.{rest}"
    return (single, None) if single in found else (f"decoder.layers.{rest}", layer)
