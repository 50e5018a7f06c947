"""Where a person likes to watch training: TensorBoard's files, or the clients of Weights & Biases and MLflow.

They are told what the curve is told. A package that is asked for and not there is an error before the first step; one
that fails later, since its server is away, say, is told no more: training goes on.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from runtime.context import Context

Track = Callable[[int, Mapping[str, float]], None]
"""(step, metrics) -> None"""

_PACKAGES = {"tensorboard": "tensorboardX", "wandb": "wandb", "mlflow": "mlflow"}


@contextmanager
def open_trackers(ctx: Context) -> Iterator[Track]:
    """A function that tells every tracker of the placement, on rank 0 only. Each step may be told more than once."""
    missing = sorted(name for name in ctx.placement.track if find_spec(_PACKAGES[name]) is None)
    if missing:
        packages = " ".join(_PACKAGES[name] for name in missing)
        raise ModuleNotFoundError(f"`track` names {', '.join(missing)}: pip install {packages}, or leave it out")
    trackers = [_OPEN[name](ctx) for name in ctx.placement.track] if ctx.rank == 0 else []

    def tell(step: int, metrics: Mapping[str, float]) -> None:
        for tracker in trackers:
            tracker.attempt(partial(tracker.track, step, metrics))

    try:
        yield tell
    finally:
        for tracker in trackers:
            tracker.attempt(tracker.close)


def tracker_folder(ctx: Context, name: str) -> Path:
    """Beside the run's journals: `tensorboard --logdir RUN/tensorboard` shows all stages of the run."""
    return Path(ctx.manifest.journal).parent.parent / name / ctx.manifest.label


@dataclass
class _Tracker:
    name: str
    track: Track
    close: Callable[[], None]
    """Writes what still waits to be written."""
    works: bool = True

    def attempt(self, step: Callable[[], None]) -> None:
        if not self.works:
            return
        try:
            step()
        except Exception:
            self.works = False
            message = "%s failed and is told no more of this training; the curve has it all"
            logging.getLogger(__name__).warning(message, self.name, exc_info=True)


def _tensorboard(ctx: Context) -> _Tracker:
    writer = import_module("tensorboardX").SummaryWriter(str(tracker_folder(ctx, "tensorboard")), flush_secs=10)

    def track(step: int, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            writer.add_scalar(name, value, step)
        writer.flush()

    return _Tracker("tensorboard", track, writer.close)


def _wandb(ctx: Context) -> _Tracker:
    """A resumed attempt goes on in the same run; the client itself says where it writes (WANDB_MODE, WANDB_PROJECT).

    Offline it writes into the run's folder, from where `wandb sync` takes it.
    """
    manifest, folder = ctx.manifest, tracker_folder(ctx, "wandb")
    folder.mkdir(parents=True, exist_ok=True)  # else the client takes another one, and says so
    run: Any = import_module("wandb").init(
        id=manifest.fingerprint, name=manifest.label, config=manifest.identity, resume="allow", dir=str(folder)
    )
    return _Tracker("wandb", lambda step, metrics: run.log(dict(metrics), step=step), run.finish)


def _mlflow(ctx: Context) -> _Tracker:
    """MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_NAME say where; a resumed attempt is a new run of the same name."""
    mlflow: Any = import_module("mlflow")
    mlflow.start_run(run_name=ctx.manifest.label, tags={"fingerprint": ctx.manifest.fingerprint})
    return _Tracker("mlflow", lambda step, metrics: mlflow.log_metrics(dict(metrics), step=step), mlflow.end_run)


_OPEN: Mapping[str, Callable[[Context], _Tracker]] = {"tensorboard": _tensorboard, "wandb": _wandb, "mlflow": _mlflow}
