"""The training curve: one JSON line a step, kept across interruptions, equal bytes for equal training."""

import json
import time
from collections.abc import Mapping
from pathlib import Path

from runtime.context import Context
from runtime.engine.loop import LOST, StepRecord

FILE = "curve.jsonl"
_EVERY_S = 0.5


class Curve:
    """Records steps into scratch, tells the journal now and then, and becomes a file of the artifact."""

    def __init__(self, ctx: Context, num_steps: int) -> None:
        self._ctx = ctx
        self._num_steps = num_steps
        self._file = ctx.scratch / FILE
        self._told = 0.0
        self._tokens = 0
        self._seconds = 0.0

    def record(self, step: StepRecord) -> None:
        """Called after each optimizer step, on every rank; rank 0 writes."""
        if self._ctx.rank != 0:
            return
        line = {
            "step": step.step,
            "loss": step.loss,
            "learning_rate": step.learning_rate,
            "grad_norm": step.grad_norm,
            "tokens": step.tokens,
            "flops": step.flops,
            **step.metrics,
        }
        with self._file.open("ab", buffering=0) as file:
            file.write(json.dumps(line, sort_keys=True).encode() + b"\n")
        self._tokens += step.tokens
        self._seconds += step.seconds
        now = time.monotonic()
        if now - self._told >= _EVERY_S or step.step + 1 == self._num_steps:
            self._told = now
            rate = self._tokens / self._seconds if self._seconds else 0.0
            self._ctx.progress(
                done=step.step + 1,
                total=self._num_steps,
                unit="step",
                loss=round(step.loss, 4),
                tokens_per_s=round(rate),
            )

    def history(self, begin: int) -> list[tuple[float, bool]]:
        """(loss, whether the update was left out) of each step before this one, from the attempts before."""
        lines = (json.loads(line) for line in self._steps())
        return [(line["loss"], line.get(LOST) == 1) for line in lines if line["step"] < begin]

    def seal(self, output: Path) -> Mapping[str, float]:
        """Writes the curve into the artifact, each step once, and returns its facts."""
        lines = self._steps()
        (output / FILE).write_bytes(b"\n".join(lines) + b"\n")
        told = [json.loads(line) for line in lines]
        sums = {name: sum(step[name] for step in told) for name in ("tokens", "flops")}
        return {"steps": len(lines), "first_loss": told[0]["loss"], "last_loss": told[-1]["loss"], **sums}

    def _steps(self) -> list[bytes]:
        """The last line of each step, in order. A line that a kill cut short is of a step that is done again."""
        steps: dict[int, bytes] = {}
        if self._file.exists():
            for line in self._file.read_bytes().splitlines(keepends=True):
                if line.endswith(b"\n"):
                    steps[json.loads(line)["step"]] = line.rstrip(b"\n")
        return [steps[step] for step in sorted(steps)]


def rate_at_end(artifact: Path) -> float:
    """The learning rate of the last step of the training that made this artifact."""
    rate: float = json.loads((artifact / FILE).read_bytes().splitlines()[-1])["learning_rate"]
    return rate
