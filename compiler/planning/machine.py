"""This machine's own speed, as it was measured once and is kept among the user's settings, for plans of any store."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from compiler.schema.cluster import CpuSpeed
from compiler.schema.model import ModelSpec


def machines_folder(environment: Mapping[str, str]) -> Path:
    """Where a user's machines are kept: `$XDG_CONFIG_HOME`, or else `~/.config`, with a folder of rung's."""
    return Path(environment.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "rung" / "machines"


def machine_file(folder: Path, host: str) -> Path:
    """Where a host's speed is kept; several hosts may share a home."""
    return folder / f"{host}.json"


def read_machine(folder: Path, host: str) -> CpuSpeed | None:
    """The host's speed; None where it was never measured, or by another version."""
    try:
        return CpuSpeed.model_validate_json(machine_file(folder, host).read_bytes())
    except (OSError, ValidationError):
        return None


def write_machine(speed: CpuSpeed, folder: Path, host: str) -> Path:
    """Keeps the host's speed; raises OSError."""
    file = machine_file(folder, host)
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(speed.model_dump(), indent=1), encoding="utf-8")
    partial.replace(file)
    return file


def speed_of(measured: Mapping[str, Any], *, start_up_s: float) -> CpuSpeed:
    """What `python -P -m runtime.speed` printed, as speeds: a line through two sizes is a rate and a constant."""
    model = ModelSpec.model_validate(measured["model"])
    trained = [(model.training_flops(one["tokens"], one["seq_length"]), one["seconds"]) for one in measured["trained"]]
    answered = [
        (model.training_flops(one["tokens"], one["seq_length"]) / 3, one["seconds"]) for one in measured["answered"]
    ]
    training_rate, step_s = _line(trained)
    answering_rate, batch_s = _line(answered)
    return CpuSpeed(
        start_up_s=start_up_s,
        engine_start_up_s=start_up_s + measured["engine_s"],
        training_flops=training_rate,
        generation_flops=answering_rate,
        rows_per_s=measured["rows_per_s"],
        step_s=step_s,
        token_s=batch_s / measured["answered"][0]["steps"],
    )


def _line(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """(FLOP/s, seconds at no FLOPs) through two (FLOPs, seconds); where noise has turned the line, all is rate."""
    (small, short), (large, long) = points
    if long <= short:
        return large / long, 0.0
    rate = (large - small) / (long - short)
    constant = short - small / rate
    return (rate, constant) if constant > 0 else (large / long, 0.0)
