"""Whose fault a failure looks like: a stage is tried again where machines failed, and never where the recipe did."""

import errno
from collections.abc import Iterator

_DISKS = {errno.EIO, errno.ESTALE, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ENODEV}
_NETWORKS = {
    errno.ETIMEDOUT,
    errno.ECONNRESET,
    errno.ECONNREFUSED,
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
    errno.EPIPE,
}
_MACHINES = frozenset(_DISKS | _NETWORKS)
"""Disks and networks: a file that is missing or may not be read is the user's."""

_TYPES = frozenset({"DistBackendError", "DistNetworkError", "DistStoreError", "AcceleratorError"})
"""Exceptions of torch by name, so that nothing is imported to ask."""

_WORDS = (
    "CUDA error",
    "cuda runtime error",
    "uncorrectable ECC",
    "NCCL",
    "gloo",
    "Gloo",
    "Connection closed by peer",
    "Connection reset by peer",
    "Unable to find address for",
    "Bus error",
)
"""Of RuntimeErrors, which is what torch raises for most of them."""

_NOT = ("out of memory",)
"""The same again would end the same."""


def looks_like_the_clusters(error: BaseException) -> bool:
    """Whether trying again, perhaps elsewhere, may help. Causes count: a lost connection often comes wrapped."""
    return any(map(_one_does, _causes(error)))


def told_to_end(error: BaseException) -> bool:
    """Whether Slurm's signal is behind it: it strikes anywhere, also where torch wraps whatever is raised."""
    return any(isinstance(cause, SystemExit) for cause in _causes(error))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and all that led to it; of torch's CheckpointException what the ranks raised."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            yield one
            waiting.append(one.__cause__ or one.__context__)
            waiting += [raised for raised, *_ in getattr(one, "failures", {}).values()]


def _one_does(error: BaseException) -> bool:
    text = str(error)
    if any(word in text for word in _NOT):
        return False
    if isinstance(error, OSError):
        return error.errno in _MACHINES
    if type(error).__name__ in _TYPES:
        return True
    return isinstance(error, RuntimeError) and any(word in text for word in _WORDS)
