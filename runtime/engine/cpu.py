"""What Megatron-core 0.16.1 needs before it runs on a machine without a GPU: called once, before its first import.

Megatron takes a CUDA device for granted: it asks for the current device, allocates with `device="cuda"`, and compares
`tensor.type()` with "torch.cuda.FloatTensor". Where CUDA is available `install` changes nothing at all.
Megatron's own files are never edited; every change below names the call sites (of 0.16.1) that need it.
"""

import contextlib
import ctypes
import functools
import gc
import importlib
import sys
from collections.abc import Callable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import torch

# Installed or not, these must not be found by Megatron on a CPU. With Transformer Engine or Apex importable its
# optimizer silently becomes FusedAdam, which dies (optimizer/__init__.py:13-35). Triton is only used by kernels.
_GPU_ONLY = ("transformer_engine", "transformer_engine_torch", "apex", "amp_C", "triton")

# Factories that Megatron calls with device="cuda" or pin_memory=True (param_and_grad_buffer.py:800,806;
# schedules.py:596,983,2138; p2p_communication.py:313,321; optimizer.py:481,485; clip_grads.py:103; utils.py:631).
_FACTORIES = ("zeros", "ones", "empty", "tensor", "full", "arange", "rand", "randn", "randint")
_LIKE_FACTORIES = ("zeros_like", "ones_like", "empty_like", "full_like", "rand_like", "randn_like")

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h

_installed = False


def install() -> None:
    """Makes Megatron importable and usable without CUDA; does nothing where CUDA is available, or the second time."""
    global _installed
    if _installed or torch.cuda.is_available():
        return
    if "megatron.core" in sys.modules:
        raise RuntimeError("megatron was imported before runtime.engine; import runtime.engine first")
    for name in _GPU_ONLY:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # None makes `import name` fail at once
    # Importing makes a million objects and drops none: collecting meanwhile takes 0.15 s, and finds nothing.
    gc.disable()
    try:
        _compile_nothing()
        _import_tensors_without_symbols()
        _route_devices_to_cpu()
        _route_random_state_to_cpu()
        _keep_freed_memory()
    finally:
        gc.enable()
    gc.freeze()
    _installed = True


@contextlib.contextmanager
def cuda_tensor_types() -> Iterator[None]:
    """Within it, `tensor.type()` of a CPU tensor answers as on a GPU.

    Megatron's optimizers recognise parameters by that string (optimizer.py:671,690; distrib_optimizer.py:361,420,582;
    clip_grads.py:167) and refuse all others. No-op where CUDA is available.
    """
    if torch.cuda.is_available():
        yield
        return
    original = torch.Tensor.type

    def type_as_cuda(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        answer = original(tensor, *args, **kwargs)
        if args or kwargs or not isinstance(answer, str):
            return answer
        return answer.replace("torch.", "torch.cuda.", 1) if not answer.startswith("torch.cuda.") else answer

    torch.Tensor.type = type_as_cuda  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        torch.Tensor.type = original  # type: ignore[method-assign]


def _compile_nothing() -> None:
    """`torch.compile` becomes the identity, and torch._dynamo is not imported.

    Megatron's jit_fuser is torch.compile (jit.py:20). Decorating with it imports torch._dynamo and torch._inductor
    (1.6 CPU-seconds of a 4.2 second import), and the first step then compiles for 3-4 s; on a CPU the compiled
    functions are no faster. Megatron reads the attribute when it decorates, so it must be replaced before its import.
    """

    def identity(model: Callable[..., Any] | None = None, **_: Any) -> Callable[..., Any]:
        return (lambda function: function) if model is None else model

    torch.compile = identity
    if "torch._dynamo" not in sys.modules:
        sys.modules["torch._dynamo"] = _NoDynamo("torch._dynamo")


class _NoDynamo(ModuleType):
    """The two functions of torch._dynamo that every torch optimizer calls (torch/_compile.py, torch/optim/optimizer.py:
    61-82), which otherwise import all of it at the first step. Asked for anything else, it makes way for the real one.
    """

    trace_rules = SimpleNamespace(clear_lru_cache=lambda: None)  # called when process groups are destroyed

    @staticmethod
    def disable(function: Callable[..., Any], *_: Any, **__: Any) -> Callable[..., Any]:
        return function

    @staticmethod
    def graph_break(*_: Any, **__: Any) -> None: ...

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__path__":  # asked for when a module below it is imported
            raise AttributeError(name)
        sys.modules.pop("torch._dynamo", None)
        return getattr(importlib.import_module("torch._dynamo"), name)


def _import_tensors_without_symbols() -> None:
    """Imports torch.distributed.tensor (Megatron and torch's checkpoints do) without sympy: 0.4 of 3.1 CPU-seconds.

    It takes three names from torch.fx.experimental.symbolic_shapes, which is half a megabyte of sympy for the sizes of
    compiled graphs. While it is imported a stand-in gives it functions that ask the real module when they are called.
    """
    name = "torch.fx.experimental.symbolic_shapes"
    if name in sys.modules or "torch.distributed.tensor" in sys.modules:
        return

    def late(function: str) -> Callable[..., Any]:
        return lambda *args, **kwargs: getattr(importlib.import_module(name), function)(*args, **kwargs)

    stand_in: Any = ModuleType(name)
    stand_in.guard_or_false = late("guard_or_false")
    stand_in.statically_known_true = late("statically_known_true")
    stand_in.GuardOnDataDependentSymNode = type("GuardOnDataDependentSymNode", (RuntimeError,), {})
    sys.modules[name] = stand_in
    try:
        importlib.import_module("torch.distributed.tensor")
    except ImportError:
        # Another torch wants more names of it. Without the shortcut it imports as it always did.
        for module in [module for module in sys.modules if module.startswith("torch.distributed.tensor")]:
            del sys.modules[module]
    finally:
        del sys.modules[name]


class _Inert:
    """Stands for a CUDA stream or event: every method does nothing, and it is its own context."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None

    def __enter__(self) -> "_Inert":
        return self

    def __exit__(self, *_: object) -> None: ...


def _answering(value: Any) -> Callable[..., Any]:
    """A new function at each call: torch._dynamo, should anybody import it, refuses one object under two names."""
    return lambda *_, **__: value


def _route_devices_to_cpu() -> None:
    cuda: Any = torch.cuda
    cuda.current_device = _answering(torch.device("cpu"))  # everywhere; first in rotary_pos_embedding.py:162
    for name in ("synchronize", "empty_cache", "set_device"):
        setattr(cuda, name, _answering(None))
    for name in ("memory_allocated", "max_memory_allocated", "memory_reserved", "max_memory_reserved"):
        setattr(cuda, name, _answering(0))
    cuda.memory_stats = lambda *_, **__: {}
    cuda.Stream = cuda.Event = _Inert
    for name in ("current_stream", "default_stream", "stream"):
        setattr(cuda, name, _answering(_Inert()))
    cuda.nvtx = SimpleNamespace(range_push=_answering(None), range_pop=_answering(None))  # utils.py nvtx_range_push

    # torch keeps a cached set of its factories for `with torch.device("meta")`; it has to be filled with the originals
    # before they are wrapped, else that context silently stops working.
    import torch.utils._device as device_context

    device_context._device_constructors()
    for name in (*_FACTORIES, *_LIKE_FACTORIES):
        setattr(torch, name, _on_cpu(getattr(torch, name)))
    tensor_class: Any = torch.Tensor
    tensor_class.cuda = lambda tensor, *_, **__: tensor
    tensor_class.pin_memory = lambda tensor, *_, **__: tensor
    module_class: Any = torch.nn.Module
    module_class.cuda = lambda module, *_, **__: module


def _on_cpu(factory: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    @functools.wraps(factory)
    def create(*args: Any, **kwargs: Any) -> torch.Tensor:
        if kwargs:
            device = kwargs.get("device")
            if device is not None and str(device).startswith("cuda"):
                kwargs["device"] = "cpu"
            if kwargs.get("pin_memory"):
                kwargs["pin_memory"] = False
        return factory(*args, **kwargs)

    return create


def _keep_freed_memory() -> None:
    """Tells glibc to keep what torch frees, since the next step asks for the same again.

    By default it gives large blocks back at once and every step faults them in anew: 155,000 page faults and a fifth of
    the time of a step of 256 x 64 tokens at hidden size 128, against 400 faults (torch has no CPU cache of its own).
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)


def _route_random_state_to_cpu() -> None:
    """The CUDA generator becomes the default CPU generator (tensor_parallel/random.py:235-238,422).

    The generator's own `manual_seed` is used, because `torch.manual_seed` calls `torch.cuda.manual_seed_all`.
    """
    generator = torch.default_generator

    def get_state(*_: Any, **__: Any) -> torch.Tensor:
        return generator.get_state()

    def set_state(state: torch.Tensor, *_: Any, **__: Any) -> None:
        generator.set_state(state)

    def seed(value: int) -> None:
        generator.manual_seed(value)

    for module in (torch.cuda, torch.cuda.random):
        cuda: Any = module
        cuda.get_rng_state = get_state
        cuda.set_rng_state = set_state
        cuda.manual_seed = seed

    from megatron.core.tensor_parallel import random as parallel_random

    parallel_random._get_cuda_rng_state = get_state
    parallel_random._set_cuda_rng_state = set_state
