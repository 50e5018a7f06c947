"""Whose fault a failure looks like: a stage is tried again where machines failed, and never where the recipe did."""

import errno

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
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        if _one_does(one):
            return True
        one = one.__cause__ or one.__context__
    return False


def _one_does(error: BaseException) -> bool:
    text = str(error)
    if any(word in text for word in _NOT):
        return False
    if isinstance(error, OSError):
        return error.errno in _MACHINES
    if type(error).__name__ in _TYPES:
        return True
    return isinstance(error, RuntimeError) and any(word in text for word in _WORDS)
