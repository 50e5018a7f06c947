"""Whether two formulas are equal, asked of a computer algebra system in a process of its own.

What a model writes may take that system hours or all of the memory (a tower of powers is enough), and no signal
interrupts it there. So it works in a child with a limit on memory, and a child that is late is killed.
"""

import atexit
import multiprocessing
import resource
from multiprocessing.connection import Connection
from typing import NamedTuple

_PATIENCE_S = 10.0
_START_S = 60.0
_MEMORY = 4 * 10**9


class _Child(NamedTuple):
    process: multiprocessing.process.BaseProcess
    pipe: Connection


_child: _Child | None = None


def equal(truth: str, response: str) -> bool:
    """Whether the final answer of the response means the same as the truth, which is LaTeX without dollar signs.

    False too where either cannot be read, or where it cannot be told in time.
    """
    global _child
    if _child is None:
        _child = _start()
    try:
        _child.pipe.send((truth, response))
        if _child.pipe.poll(_PATIENCE_S):
            return bool(_child.pipe.recv())
    except (EOFError, OSError):
        pass
    _stop()
    return False


def _start() -> _Child:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs,), daemon=True)
    process.start()
    theirs.close()
    if not ours.poll(_START_S):
        process.kill()
        raise RuntimeError(f"the process that compares formulas did not start within {_START_S:g} s")
    ours.recv()
    return _Child(process, ours)


@atexit.register
def _stop() -> None:
    global _child
    if _child is not None:
        _child.process.kill()
        _child.process.join()
        _child.pipe.close()
        _child = None


def _work(pipe: Connection) -> None:
    import logging

    from math_verify import parse, verify

    logging.disable()
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    pipe.send("ready")
    while True:
        try:
            truth, response = pipe.recv()
        except EOFError:
            return
        try:
            same = verify(parse(f"\\boxed{{{truth}}}"), parse(response))
        except (Exception, RecursionError, MemoryError):
            same = False
        pipe.send(bool(same))
