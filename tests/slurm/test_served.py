"""A served model beside its client: a heterogeneous job starts the server, waits for it, and ends it."""

import json
import sys
import time
from pathlib import Path

import pytest

from .cases import LOOPBACK, message, rung, states, until_ended
from .loopback import Loopback

pytestmark = pytest.mark.slow

_RECIPE = """\
rung: 1
name: served
splits: {by_prompt: {salt: x, shares: {exam: 0.2, sft: 0.8}}}
generators: {words: {kind: tasks, families: {reverse: 1, repeat: 1}}}
pipeline:
  prompts: {kind: prompts, generator: words, count: 50, split: by_prompt, parts: [sft], seed: 1}
  echo: {kind: endpoint, model: some/echo, revision: "1", seq_length: 4096, active_parameters: 1M}
  answers:
    kind: generate
    policy: echo
    prompts: prompts
    samples: 2
    sampling: {temperature: 1.0, top_p: 1.0, max_new_tokens: 20}
    seed: 1
"""


def _submit(folder: Path, command: str) -> dict[str, str]:
    spec, site = folder / "served.yaml", folder / "site.yaml"
    spec.write_text(_RECIPE, encoding="utf-8")
    start = {"command": command, "gpus_per_node": 2, "cores": 2}
    server = {"start": start, "tokens_per_s": 100, "price_per_million_tokens": 0, "patience_s": 60}
    site.write_text(LOOPBACK.read_text() + f"servers: {json.dumps({'some/echo': server})}\n", encoding="utf-8")
    told: dict[str, str] = rung("submit", spec, "--cluster", site, "--store", folder / "store", "--json")
    return told


def _processes(word: str) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(process.read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return [line for line in found if word in line]


def test_a_job_starts_its_server_asks_it_and_ends_it(slurm: Loopback, tmp_path: Path) -> None:
    serve = Path(__file__).parent / "served.py"
    mark = f"mark-{tmp_path.name}"
    submitted = _submit(tmp_path, f'exec {sys.executable} -P {serve} "$PORT" {mark}')
    store, run, job = tmp_path / "store", submitted["run"], submitted["submitted"]["answers"]  # type: ignore[index]
    received = slurm.run("scontrol", "write", "batch_script", job, "-").rstrip("\n")
    assert received == (store / "runs" / run / "jobs" / "answers.sh").read_text(encoding="utf-8").rstrip("\n")
    told = until_ended(run, store)
    assert told["state"] == "done", json.dumps(told, indent=1)
    (rows,) = (store / "store" / "generate").glob("*/rows.jsonl")
    said = [json.loads(line) for line in rows.read_text(encoding="utf-8").splitlines()]
    assert len(said) == 100
    assert all(row["response"] == f"heard: {row['messages'][-1]['content']}" for row in said)
    parts = slurm.run("sacct", "-n", "-X", "-P", "-j", job, "-o", "JobID,AllocTRES").splitlines()
    assert [part.partition("|")[0] for part in parts] == [f"{job}+0", f"{job}+1"]
    assert "gres/gpu=2" in parts[1] and "gpu" not in parts[0]
    end = time.monotonic() + 30
    while left := _processes(mark):
        assert time.monotonic() < end, left
        time.sleep(0.2)


def test_a_server_that_does_not_come_up_is_told(slurm: Loopback, tmp_path: Path) -> None:
    submitted = _submit(tmp_path, "echo no such model; exit 3")
    told = until_ended(submitted["run"], tmp_path / "store")
    assert states(told)["answers"] == "failed"
    assert "the server of some/echo did not come up" in message(told, "answers")
