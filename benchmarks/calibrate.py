"""Fits the planner's constants on published training runs and prints how well they do on runs that were kept aside.

    python -P benchmarks/calibrate.py PUBLISHED.csv [--test-share 0.3] [--splits 24]

Rows of one group (a weak-scaling series) stand on one side of the split together, and weigh as one. The report's
own rows are never fitted; rows of other frameworks, of supervised fine-tuning and incomplete ones are left out. Needs
scipy."""

import argparse
import hashlib
import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import least_squares

from compiler.planning.estimate import read_table, run_of
from compiler.planning.hardware import GPUS, GpuType
from compiler.planning.throughput import FITTED, Constants, Run, step_time


class Row(NamedTuple):
    id: str
    group: str
    run: Run
    seconds: float
    """Published."""


def read(file: Path) -> Iterator[Row]:
    for row in read_table(file):
        complete = all(row[name] for name in ("mbs", "tp", "pp", "vpp", "cp", "dp", "gbs", "step_s"))
        known = row["gpu"] in GPUS and row["quality"] in "AB" and row["task"] == "pretrain"
        ours = row["sharding"].startswith("ddp") and "340b" not in row["model"]
        if complete and known and ours:
            yield Row(row["id"], row["group"], _run(row), float(row["step_s"]))


def _run(row: Mapping[str, str]) -> Run:
    """A100 rows are from before flash kernels: their core attention computes what is masked, too."""
    return replace(run_of(row), causal=row["source"] not in ("sc21", "korthikanti22"))


_FAMILY = {"B200": "GB200", "H200": "H100"}
"""GPUs of one core, and so of one share of their peaks."""
_MOST = 0.9
"""No matrix product reaches more of a peak than this."""
PULL = 0.04

SHARED = [field.name for field in fields(Constants)]
GUESSES = {
    "attention": 0.5,
    "gemm_io": 2.0,
    "context_parallel": 0.3,
    "pipeline": 0.4,
    "data_parallel": 0.2,
    "layer_s": 50e-6,
    "step_s": 0.05,
    "early": 1.05,
}


def starting_point(gpus: Sequence[str]) -> np.ndarray:
    """What one would guess: nothing of what an earlier fit has found."""
    return np.log([*(GUESSES[name] for name in SHARED), *(0.7 for _ in gpus)])


def unpack(point: np.ndarray, gpus: Sequence[str]) -> tuple[Constants, dict[str, GpuType]]:
    values = np.exp(point)
    constants = Constants(**dict(zip(SHARED, map(float, values), strict=False)))
    rest = values[len(SHARED) :]
    found = {name: replace(GPUS[name], gemm_efficiency=float(share)) for name, share in zip(gpus, rest, strict=True)}
    found |= {
        name: replace(GPUS[name], gemm_efficiency=found[of].gemm_efficiency)
        for name, of in _FAMILY.items()
        if of in found
    }
    return constants, found


def errors(rows: Sequence[Row], constants: Constants, gpus: Mapping[str, GpuType]) -> list[float]:
    """log(planned / published) of each row."""
    return [
        float(np.log(step_time(replace(row.run, gpu=gpus[row.run.gpu.name]), constants).seconds / row.seconds))
        for row in rows
    ]


def fit(rows: Sequence[Row]) -> tuple[Constants, dict[str, GpuType]]:
    gpus = sorted({_FAMILY.get(row.run.gpu.name, row.run.gpu.name) for row in rows})
    sizes = Counter(row.group for row in rows)
    weights = np.sqrt([1 / sizes[row.group] for row in rows])
    start = starting_point(gpus)

    def residuals(point: np.ndarray) -> np.ndarray:
        # A weak pull towards the start keeps constants that few rows speak of where they are plausible.
        return np.concatenate([weights * errors(rows, *unpack(point, gpus)), PULL * (point - start)])

    highest = np.log([*(10.0 for _ in SHARED), *(_MOST for _ in gpus)])
    found = least_squares(residuals, start, bounds=(-np.inf, highest), loss="soft_l1", f_scale=0.05)
    return unpack(found.x, gpus)


def side(group: str, seed: int) -> float:
    return int(hashlib.sha256(f"{seed}/{group}".encode()).hexdigest()[:8], 16) / 2**32


def _quantiles(found: Sequence[float]) -> tuple[float, float]:
    """Median and 90th percentile of the relative errors."""
    sizes = [abs(np.expm1(error)) for error in found]
    return statistics.median(sizes), float(np.quantile(sizes, 0.9))


def main(argv: Sequence[str] | None = None, show: Callable[[Any], None] = print) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("published", type=Path)
    parser.add_argument("--test-share", type=float, default=0.3)
    parser.add_argument("--splits", type=int, default=24, help="random splits, whose errors are averaged")
    parser.add_argument("--rows", action="store_true", help="show every row")
    options = parser.parse_args(argv)
    rows = list(read(options.published))
    seen, unseen = [], []
    for split in range(1, options.splits + 1):
        train = [row for row in rows if side(row.group, split) >= options.test_share]
        test = [row for row in rows if row not in train]
        constants, found = fit(train)
        seen.append(_quantiles(errors(train, constants, {**GPUS, **found})))
        unseen.append(_quantiles(errors(test, constants, {**GPUS, **found})))
    show(f"{len(rows)} rows; means over {options.splits} splits of whole series")
    for name, pairs in (("train", seen), ("test", unseen)):
        median, p90 = (statistics.fmean(values) for values in zip(*pairs, strict=True))
        show(f"{name:6} median error {median:5.1%}   p90 {p90:5.1%}")
    show("shipped constants median error {:5.1%}   p90 {:5.1%}".format(*_quantiles(errors(rows, FITTED, GPUS))))
    constants, gpus = fit(rows)
    show("\nfitted on all rows:")
    if options.rows:
        for row, error in sorted(
            zip(rows, errors(rows, constants, {**GPUS, **gpus}), strict=True), key=lambda pair: pair[1]
        ):
            show(f"{np.expm1(error):+7.1%} {row.id} {row.group}")
    show(constants)
    for gpu in gpus.values():
        show(f"{gpu.name}: gemm_efficiency={gpu.gemm_efficiency:.3f}")


if __name__ == "__main__":
    main()
