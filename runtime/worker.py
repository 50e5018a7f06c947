"""Manifest in, sealed artifact out: what every job does, on every rank."""

import importlib
import os
import platform
import resource
import shutil
import subprocess
import sys
import time
import traceback
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from compiler.artifacts import ArtifactRecord, InputRecord
from compiler.journal import append_event, handed_on, own_events, read_events
from compiler.manifest import Manifest
from runtime import store
from runtime.context import Context, Facts
from runtime.failures import looks_like_the_clusters, told_to_end
from runtime.legs import LegDoneError, TooEarlyError, hand_over, is_its_turn
from runtime.shares import ShareDoneError, share_suffix

_PATIENCE_S = 600
"""How long other ranks wait for rank 0, which may itself wait for another worker of the same artifact."""


class EndedBeforeError(RuntimeError):
    """An earlier job of this chain failed, and would fail again."""


def work(
    manifest_file: Path,
    *,
    rank: int,
    world_size: int,
    attempt: str,
    shard: int | None = None,
    requeues: bool = True,
    follows: bool = False,
) -> None:
    """Runs one stage and seals its artifact; returns at once if it is sealed already.

    `attempt` is a name that all ranks of this attempt share and no other attempt has. With `shard` one share of the
    stage's rows is computed; whoever finds the last share done puts all together and seals. `requeues`: whether Slurm
    may queue this job again. `follows`: whether it is a later job of a chain, which goes on where the one before was
    ended, and does nothing if that one sealed the artifact, or failed by the recipe's fault (EndedBeforeError). Where
    the stage's ranks change as it goes on, it returns when others are to go on, and raises TooEarlyError if they are
    to go first.
    """
    started = time.time()
    manifest = Manifest.model_validate_json(manifest_file.read_bytes())
    journal = Path(manifest.journal)
    if follows and _nothing_is_left(manifest):
        return
    here = {} if shard is None else {"shard": shard}
    scratch = Path(manifest.scratch)
    try:
        if rank == 0:
            host = platform.node()
            append_event(journal, "started", attempt=attempt, pid=os.getpid(), host=host, world_size=world_size, **here)
            with store.exclusive(scratch if shard is None else scratch / f"shard-{shard}"):
                _run(manifest, rank, world_size, attempt, started, shard)
        elif _rank_zero_goes_ahead(manifest, attempt):
            _run(manifest, rank, world_size, attempt, started, shard)
    except KeyboardInterrupt:
        append_event(journal, "cancelled", attempt=attempt, rank=rank)
        raise
    except TooEarlyError:
        raise
    except BaseException as error:
        if told_to_end(error):
            # submitit ends a job so that it has just queued again.
            append_event(journal, "requeued", attempt=attempt, rank=rank)
            raise
        again = looks_like_the_clusters(error)
        # Where the store takes nothing any more, Slurm's word of the job and its log are what is left.
        with suppress(OSError):
            append_event(
                journal,
                "failed",
                attempt=attempt,
                rank=rank,
                error=_one_line(error),
                again=again,
                traceback=traceback.format_exc(),
                **here,
            )
            if "SLURM_JOB_ID" in os.environ and again and requeues:
                _try_again(journal, manifest.placement.retries, attempt, shard)
        raise


def _nothing_is_left(manifest: Manifest) -> bool:
    if store.is_sealed(Path(manifest.output)):
        return True
    told: list[dict[str, Any]] = []
    for event in read_events(Path(manifest.journal)):
        # What went before this chain is history.
        told = [] if event["event"] == "submitting" and event.get("number", 1) == 1 else [*told, event]
    causes = [event["error"] for event in own_events(told) if event["event"] == "failed" and not event["again"]]
    if causes:
        raise EndedBeforeError(f"an earlier job of this chain failed: {causes[-1]}")
    return False


def _try_again(journal: Path, most: int, attempt: str, shard: int | None) -> None:
    """Queues this job again, unless that was done often enough, or by another rank of this attempt. Each shard has its
    own tries."""
    told = list(read_events(journal))
    tried = {event["attempt"] for event in told if event["event"] == "retried" and event.get("shard") == shard}
    # An attempt that was told to end is queued again by that already.
    if attempt in tried | handed_on(told) or len(tried) >= most:
        return
    append_event(journal, "retried", attempt=attempt, **({} if shard is None else {"shard": shard}))
    # The id alone: of an array's element it is its own.
    subprocess.run(["scontrol", "requeue", os.environ["SLURM_JOB_ID"]], check=False)


def _run(manifest: Manifest, rank: int, world_size: int, attempt: str, started: float, shard: int | None) -> None:
    artifact = Path(manifest.output)
    if store.is_sealed(artifact):
        if rank == 0:
            append_event(Path(manifest.journal), "sealed", attempt=attempt, found=True)
        return
    for ref, found in manifest.inputs.items():
        if not store.is_sealed(Path(found.path)):
            raise FileNotFoundError(f"input {ref} is not sealed: {found.path}")
    stage = importlib.import_module(f"runtime.stages.{manifest.stage.kind}")
    scratch = Path(manifest.scratch)
    scratch.mkdir(parents=True, exist_ok=True)
    output = artifact.with_name(artifact.name + ".partial")
    if rank == 0:
        if shard is None:
            if not _starts(manifest, world_size, attempt):
                return
            store.partial_folder(artifact)
        (scratch / f"go-{attempt}").touch()
    # On several nodes the ranks find each other as Slurm's script says, on one by a file.
    rendezvous = None if "MASTER_ADDR" in os.environ else scratch / f"rendezvous-{attempt}"
    context = Context(manifest, rank, world_size, output, rendezvous, shard)
    begun = time.time()
    if shard is None:
        try:
            facts: Facts = stage.run(manifest.stage, context)
        except LegDoneError:
            if rank == 0:
                hand_over(manifest, attempt)
            return
        if rank == 0:
            _seal(context, facts, attempt, started, begun)
        return
    shares = [scratch / f"done{share_suffix(context, number)}" for number in range(manifest.placement.shards)]
    if not shares[shard].exists():
        with suppress(ShareDoneError):
            stage.run(manifest.stage, context)
    if rank > 0:
        return
    shares[shard].touch()
    append_event(Path(manifest.journal), "share_done", attempt=attempt, shard=shard)
    with store.exclusive(scratch):
        if store.is_sealed(artifact) or not all(share.exists() for share in shares):
            return
        store.partial_folder(artifact)
        facts = stage.run(manifest.stage, replace(context, gathers=True))
        _seal(context, facts, attempt, started, begun)


def _starts(manifest: Manifest, world_size: int, attempt: str) -> bool:
    """Whether it is these ranks' turn; the others are let go where it is not."""
    its_turn = False
    try:
        its_turn = is_its_turn(manifest, world_size, attempt)
    finally:
        if not its_turn:
            (Path(manifest.scratch) / f"stop-{attempt}").touch()
    return its_turn


def _seal(context: Context, facts: Facts, attempt: str, started: float, begun: float) -> None:
    manifest = context.manifest
    measured = _measured(started, begun, context.world_size, Path(manifest.journal))
    store.seal(context.output, Path(manifest.output), _record(manifest, context.output, facts, measured))
    shutil.rmtree(manifest.scratch, ignore_errors=True)
    append_event(Path(manifest.journal), "sealed", attempt=attempt, **measured)


def _rank_zero_goes_ahead(manifest: Manifest, attempt: str) -> bool:
    """Waits until rank 0 holds the lock and has made the output folder; False if it found the artifact sealed, or that
    other ranks are to go on."""
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        if (Path(manifest.scratch) / f"go-{attempt}").exists():
            return True
        if (Path(manifest.scratch) / f"stop-{attempt}").exists() or store.is_sealed(Path(manifest.output)):
            return False
        time.sleep(0.02)
    raise TimeoutError(f"rank 0 of {manifest.label} did not start within {_PATIENCE_S} s")


def _record(manifest: Manifest, output: Path, facts: Facts, measured: dict[str, float]) -> ArtifactRecord:
    files = store.hash_files(output)
    if not files:
        raise RuntimeError(f"stage {manifest.label} ({manifest.stage.kind}) ended without making anything")
    return ArtifactRecord(
        kind=manifest.stage.kind,
        fingerprint=manifest.fingerprint,
        label=manifest.label,
        stage=manifest.identity,
        inputs={
            ref: InputRecord(stage=found.stage, kind=found.kind, fingerprint=found.fingerprint)
            for ref, found in manifest.inputs.items()
        },
        files=files,
        bytes=sum((output / path).stat().st_size for path in files),
        facts=dict(facts),
        planned=manifest.planned,
        measured=dict(measured),
        provenance={
            **manifest.provenance,
            "host": platform.node(),
            "python": platform.python_version(),
            "rung": version("rung"),
            "sealed": datetime.now(UTC).isoformat(timespec="seconds"),
        },
    )


def _measured(started: float, begun: float, world_size: int, journal: Path) -> dict[str, float]:
    """wall_s from the start of the worker; start_up_s until the stage's own code ran; cpu_s and peaks of rank 0."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    attempts = journal.read_text(encoding="utf-8").count('"event": "started"') if journal.exists() else 1
    return {
        "wall_s": round(time.time() - started, 3),
        "start_up_s": round(begun - started, 3),
        "cpu_s": round(usage.ru_utime + usage.ru_stime + children.ru_utime + children.ru_stime, 3),
        "peak_rss_bytes": usage.ru_maxrss * 1024,
        **_gpu_memory(),
        "attempts": attempts,
        "world_size": world_size,
    }


def _gpu_memory() -> dict[str, float]:
    """The most that was allocated on rank 0's GPU; nothing where the stage used none."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return {}
    return {"peak_gpu_bytes": torch.cuda.max_memory_allocated()}


def _one_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
