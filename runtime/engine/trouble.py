"""What becomes of a step whose loss or gradient is not as it should be: a decision from numbers that all ranks know."""

import math
import statistics
from collections import deque
from collections.abc import Iterable
from typing import Literal

from compiler.schema.training import Trouble

Verdict = Literal["update", "skip", "rewind"]


class TrainingDivergedError(RuntimeError):
    """The loss or the gradient is not as it should be; the weights of the step before are untouched."""


class Watch:
    """Judges each step in turn. Equal histories give equal verdicts: on every rank, and after a resume."""

    def __init__(self, policy: Trouble | None, history: Iterable[tuple[float, bool]] = ()) -> None:
        """`history` is (loss, whether the step was lost) of every step before the first that is judged."""
        self._policy = policy
        spike = policy.spike if policy else None
        self._losses: deque[float] = deque(maxlen=spike.window if spike else 1)
        self._num_lost = 0
        for loss, lost in history:
            self._note(loss, lost)

    def judge(self, step: int, loss: float, grad_norm: float) -> Verdict:
        """Raises TrainingDivergedError where the run is to stop."""
        reason, then = self._trouble(loss, grad_norm)
        self._note(loss, bool(reason))
        if not reason:
            return "update"
        what = f"step {step}: {reason}; nothing was updated"
        if then == "stop":
            raise TrainingDivergedError(what)
        assert self._policy is not None
        if self._num_lost > self._policy.most:
            raise TrainingDivergedError(f"{what}; more than {self._policy.most} steps are lost")
        return then

    def _trouble(self, loss: float, grad_norm: float) -> tuple[str, Literal["stop", "skip", "rewind"]]:
        """(what is wrong, what to do about it); an empty reason where all is well."""
        if not (math.isfinite(loss) and math.isfinite(grad_norm)):
            then = self._policy.not_a_number if self._policy else "stop"
            return f"the loss is {loss} and the gradient's norm {grad_norm}", then
        spike = self._policy.spike if self._policy else None
        if spike is not None and len(self._losses) == spike.window:
            median = statistics.median(self._losses)
            if loss > spike.factor * median:
                return (
                    f"the loss is {loss}, {loss / median:.1f} times the median of the last {spike.window}",
                    spike.then,
                )
        return "", "stop"

    def _note(self, loss: float, lost: bool) -> None:
        if lost:
            self._num_lost += 1
        else:
            self._losses.append(loss)
