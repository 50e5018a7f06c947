"""How a checkpoint gets to disk: at once, or by a thread while training goes on. A folder appears when it is whole.

Files of equal weights are equal byte for byte, because sealed artifacts are compared by hash. Two things stood against
that: torch's writer puts a random id and the folder's path into `.metadata`, and Megatron's own writer spawns
processes that split the tensors over files. The writer below does neither; it is also faster (see `_InProcess`).
"""

import os
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

import torch
import torch.distributed as dist
from megatron.core import dist_checkpointing
from megatron.core.dist_checkpointing.strategies.async_utils import AsyncRequest
from megatron.core.dist_checkpointing.strategies.base import AsyncSaveShardedStrategy
from megatron.core.dist_checkpointing.strategies.state_dict_saver import save_state_dict_async_plan
from megatron.core.dist_checkpointing.strategies.torch import (
    MCoreSavePlanner,
    _replace_state_dict_keys_with_sharded_keys,
    mcore_to_pyt_state_dict,
)
from torch.distributed.checkpoint.filesystem import FileSystemWriter
from torch.distributed.checkpoint.state_dict_saver import save


def write(state: dict[str, Any], folder: Path) -> None:
    """Writes what Megatron's descriptions of tensors in `state` say. Called on every rank."""
    with _appearing(folder) as unfinished:
        dist_checkpointing.save(state, str(unfinished), sharded_strategy=_InProcess())


class Writing:
    """A checkpoint on its way to disk. All methods are called on every rank, at the same steps.

    What is written are copies, in the CPU's memory, of what the tensors held at the beginning. Until `finish` nothing
    has the checkpoint's name: if the process dies, what was written is thrown away by the next one that writes there.
    """

    def __init__(self, state: dict[str, Any], folder: Path) -> None:
        self._place = _appearing(folder)
        unfinished = self._place.__enter__()
        self._request = dist_checkpointing.save(
            state, str(unfinished), sharded_strategy=_InProcess(), async_sharded_save=True
        )
        # Of this process: Megatron forks one, which would go on writing where a killed and resumed run writes anew.
        self._thread = Thread(target=self._request.async_fn, daemon=True)
        self._thread.start()

    def is_written(self) -> bool:
        """Whether every rank has written its part."""
        written = torch.tensor([int(not self._thread.is_alive())], device=torch.cuda.current_device())
        dist.all_reduce(written, op=dist.ReduceOp.MIN)
        return bool(written.item())

    def finish(self) -> None:
        """Waits for what is not written yet; then the folder is there. Raises what went wrong on any rank."""
        self._thread.join()
        for settle in self._request.finalize_fns:
            settle()
        self._place.__exit__(None)


class _InProcess(AsyncSaveShardedStrategy):  # type: ignore[misc]  # megatron carries no types here
    """`torch_dist`, written by this process itself.

    Megatron's strategy (filesystem_async.py:280) spawns a manager and forks writers, even for a synchronous save:
    seconds for a model of a million weights, a hang for ever where psutil is missing, and a main guard needed.
    """

    def __init__(self) -> None:
        super().__init__("torch_dist", 1)

    def save(self, sharded_state_dict: Any, checkpoint_dir: str | Path) -> None:
        save(_plain(sharded_state_dict), storage_writer=_Writer(checkpoint_dir), planner=_planner())

    def async_save(self, sharded_state_dict: Any, checkpoint_dir: str | Path) -> AsyncRequest:
        """The ranks agree on who writes what, as for any save; the request's function writes, and its last step
        tells the coordinator where each tensor is."""
        writer = _Writer(checkpoint_dir)
        (_, index, ranks), *_ = save_state_dict_async_plan(_plain(sharded_state_dict), writer, planner=_planner())
        told = partial(ranks.all_reduce, "write", writer.results, lambda results: writer.finish(index, results))
        return AsyncRequest(writer.write, (), [told])

    def can_handle_sharded_objects(self) -> bool:
        return True


def _plain(state: Any) -> Any:
    return mcore_to_pyt_state_dict(_replace_state_dict_keys_with_sharded_keys(state, True)[0], False)


def _planner() -> Any:
    return MCoreSavePlanner(dedup_replicated_tensors=False, flatten_state_dict=False)


class _Writer(FileSystemWriter):
    def __init__(self, folder: str | Path) -> None:
        super().__init__(folder, single_file_per_rank=True, sync_files=True, thread_count=1)
        self._results: Any = None
        self._problem: BaseException | None = None

    def storage_meta(self) -> None:
        """Nothing: it would hold a random id and the folder's path, and nobody reads it."""

    def prepare_write_data(self, plan: Any, planner: Any) -> None:
        """Megatron's name for the last thing before training goes on: here what is to be written is copied."""
        self._plan = plan
        self._copies = _Copies({item.index: _copy(planner.resolve_data(item)) for item in plan.items})

    def write(self) -> None:
        """The part that takes time and talks to no other rank; in a thread, which has nobody to raise to."""
        try:
            self._results = self.write_data(self._plan, self._copies).wait()  # type: ignore[arg-type]
        except BaseException as problem:
            self._problem = problem
        self._copies = _Copies({})

    def results(self) -> Any:
        """Where each tensor was put; raises what went wrong."""
        if self._problem is not None:
            raise self._problem
        return self._results


class _Copies:
    """Answers a writer in the planner's place."""

    def __init__(self, by_index: Mapping[Any, Any]) -> None:
        self._by_index = by_index

    def resolve_data(self, item: Any) -> Any:
        """A tensor, or the bytes of an object."""
        return self._by_index[item.index]


def _copy(data: Any) -> Any:
    return data.detach().to("cpu", copy=True) if isinstance(data, torch.Tensor) else data


class _appearing:  # noqa: N801  # reads as a verb in a with statement
    """`with _appearing(folder) as partial`: what is written to `partial` is at `folder` when the block ends, whole."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.partial = folder.with_name(f".{folder.name}.partial")

    def __enter__(self) -> Path:
        if dist.get_rank() == 0:
            shutil.rmtree(self.partial, ignore_errors=True)
            self.partial.mkdir(parents=True)
        dist.barrier()
        return self.partial

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            return
        dist.barrier()
        if dist.get_rank() == 0:
            for path in self.partial.glob("*.distcp"):
                # A rank that is a data-parallel copy has nothing to write, and leaves an empty file that nothing names.
                if path.stat().st_size == 0:
                    path.unlink()
            for path in (*self.partial.iterdir(), self.partial):
                _sync(path)
            shutil.rmtree(self.folder, ignore_errors=True)
            self.partial.rename(self.folder)
            _sync(self.folder.parent)
        dist.barrier()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
