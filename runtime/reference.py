"""log p of answers under the reference policy: computed once for given rows and weights, then found by all who need it.

They are kept by content beside the store: a second epoch, a resumed attempt, another point of a sweep, another recipe
with the same pairs and the same reference find them; changed rows or weights have another name.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from compiler.stages.prefer import Prefer
from runtime import store
from runtime.context import Context
from runtime.engine.logprobs import all_sequence_logprobs
from runtime.engine.model import Model
from runtime.engine.parallel import Options
from runtime.pairs import Answer
from runtime.policy import SPEC, WEIGHTS, open_policy

_VERSION = 1
"""Raise it when the same rows and weights come to give other numbers."""


def reference_logprobs(
    stage: Prefer, ctx: Context, policy: Model, answers: Sequence[Answer], *, pad_id: int
) -> torch.Tensor:
    """log p_ref of each answer, float32 [2 P] in the order chosen, rejected. Called on every rank.

    Where the reference is the policy that training starts from, its weights are in memory already.
    """
    if not answers:
        return torch.zeros(0)
    file = ctx.cache / "reference" / f"{_content(stage, ctx, answers)}.npy"
    if ctx.rank != 0:
        kept = _told(None)
        return _from_bytes(kept) if kept else _compute(stage, ctx, policy, answers, pad_id)
    # Whoever comes second, of a sweep's points that start together, waits here and then reads.
    with store.exclusive(file):
        kept = _told(file.read_bytes() if file.exists() else b"")
        ctx.tell("reference_logprobs", found=bool(kept), file=file.name)
        if kept:
            return _from_bytes(kept)
        found = _compute(stage, ctx, policy, answers, pad_id)
        _keep(file, found)
    return found


def _compute(stage: Prefer, ctx: Context, policy: Model, answers: Sequence[Answer], pad_id: int) -> torch.Tensor:
    same = ctx.manifest.inputs[stage.reference].fingerprint == ctx.manifest.inputs[stage.init].fingerprint
    model = (
        policy
        if same
        else open_policy(
            ctx.input(stage.reference), ctx.placement.layout, stage.precision, options=Options.of(ctx.placement)
        )
    )
    rows, masks = [answer.token_ids for answer in answers], [answer.mask for answer in answers]
    return all_sequence_logprobs(model, rows, masks, group=2, pad_id=pad_id)


def _content(stage: Prefer, ctx: Context, answers: Sequence[Answer]) -> str:
    """A name for what is computed: the rows, the reference's files, and what decides the last bits."""
    files = store.read_record(ctx.input(stage.reference)).files
    rows = hashlib.sha256()
    for answer in answers:
        rows.update(np.array([len(answer.token_ids), *answer.token_ids, *answer.mask], dtype="<i8").tobytes())
    content = {
        "version": _VERSION,
        "reference": {name: digest for name, digest in files.items() if name == SPEC or name.startswith(WEIGHTS)},
        "rows": rows.hexdigest(),
        "precision": stage.precision.model_dump(mode="json"),
        "tp": ctx.placement.layout.tp,
        "device": torch.tensor(0, device=torch.cuda.current_device()).device.type,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


def _told(kept: bytes | None) -> bytes:
    """What rank 0 found, on every rank."""
    box: list[Any] = [kept]
    if dist.get_world_size() > 1:
        dist.broadcast_object_list(box, src=0)
    return box[0]  # type: ignore[no-any-return]


def _from_bytes(kept: bytes) -> torch.Tensor:
    return torch.from_numpy(np.load(BytesIO(kept)))


def _keep(file: Path, values: torch.Tensor) -> None:
    """Appears whole: what others read is finished."""
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    with partial.open("wb") as handle:
        np.save(handle, values.numpy())
        handle.flush()
        os.fsync(handle.fileno())
    partial.rename(file)
