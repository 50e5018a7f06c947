"""Where a person likes to watch training: TensorBoard's files, or the clients of Weights & Biases and MLflow.

They are told what the curve is told. A package that is asked for and not there is an error before the first step.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from runtime.context import Context

Track = Callable[[int, Mapping[str, float]], None]
"""(step, metrics) -> None"""

_PACKAGES = {"tensorboard": "tensorboardX", "wandb": "wandb", "mlflow": "mlflow"}


def open_trackers(ctx: Context) -> list[Track]:
    """One function for each tracker that the placement names; on rank 0 only. Each step may be told more than once."""
    missing = sorted(name for name in ctx.placement.track if find_spec(_PACKAGES[name]) is None)
    if missing:
        packages = " ".join(_PACKAGES[name] for name in missing)
        raise ModuleNotFoundError(f"`track` names {', '.join(missing)}: pip install {packages}, or leave it out")
    if ctx.rank != 0:
        return []
    return [_OPEN[name](ctx) for name in ctx.placement.track]


def tensorboard_folder(ctx: Context) -> Path:
    """Beside the run's journals: `tensorboard --logdir RUN/tensorboard` shows all stages of the run."""
    return Path(ctx.manifest.journal).parent.parent / "tensorboard" / ctx.manifest.label


def _tensorboard(ctx: Context) -> Track:
    writer = import_module("tensorboardX").SummaryWriter(str(tensorboard_folder(ctx)), flush_secs=10)

    def track(step: int, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            writer.add_scalar(name, value, step)
        writer.flush()

    return track


def _wandb(ctx: Context) -> Track:
    """A resumed attempt goes on in the same run; the client itself says where it writes (WANDB_MODE, WANDB_PROJECT)."""
    manifest = ctx.manifest
    run: Any = import_module("wandb").init(
        id=manifest.fingerprint, name=manifest.label, config=manifest.identity, resume="allow", dir=str(ctx.scratch)
    )
    return lambda step, metrics: run.log(dict(metrics), step=step)


def _mlflow(ctx: Context) -> Track:
    """MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_NAME say where; a resumed attempt is a new run of the same name."""
    mlflow: Any = import_module("mlflow")
    mlflow.start_run(run_name=ctx.manifest.label, tags={"fingerprint": ctx.manifest.fingerprint})
    return lambda step, metrics: mlflow.log_metrics(dict(metrics), step=step)


_OPEN: Mapping[str, Callable[[Context], Track]] = {"tensorboard": _tensorboard, "wandb": _wandb, "mlflow": _mlflow}
