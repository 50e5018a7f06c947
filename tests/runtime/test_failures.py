"""Trying again is for what machines did, not for what a recipe says."""

import errno

import pytest
import torch
from torch.distributed.checkpoint.api import CheckpointException, _wrap_exception

from runtime.failures import looks_like_the_clusters, told_to_end


def wrapped(cause: BaseException) -> BaseException:
    try:
        raise ValueError("could not load the weights") from cause
    except ValueError as error:
        return error


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ESTALE, "Stale file handle"),
        OSError(errno.ENOSPC, "No space left on device"),
        ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
        RuntimeError("CUDA error: uncorrectable ECC error encountered"),
        RuntimeError("[../gloo/transport/tcp/pair.cc:534] Connection closed by peer [10.0.0.1]:5312"),
        torch.distributed.DistNetworkError("The client socket has timed out"),
        wrapped(OSError(errno.EIO, "Input/output error")),
        CheckpointException("write", {0: _wrap_exception(OSError(errno.ENOSPC, "No space left on device"))}),
    ],
    ids=lambda error: str(error)[:30],
)
def test_disks_networks_and_devices_are_the_clusters(error: BaseException) -> None:
    assert looks_like_the_clusters(error)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("to mix 100 dialogues without repetition: one has 50"),
        FileNotFoundError(errno.ENOENT, "No such file or directory"),
        PermissionError(errno.EACCES, "Permission denied"),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("CUDA error: out of memory"),
        wrapped(KeyError("id")),
    ],
    ids=lambda error: str(error)[:30],
)
def test_what_would_end_the_same_again_is_the_users(error: BaseException) -> None:
    assert not looks_like_the_clusters(error)


def test_a_signal_to_end_is_seen_wherever_it_struck() -> None:
    while_saving = CheckpointException("write", {0: _wrap_exception(SystemExit(-1))})
    assert all(map(told_to_end, (SystemExit(-1), wrapped(SystemExit(-1)), while_saving)))
    assert not told_to_end(wrapped(OSError(errno.EIO, "Input/output error")))
    assert not told_to_end(CheckpointException("write", {0: _wrap_exception(ValueError("no"))}))
