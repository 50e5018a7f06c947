"""A stage of several shards is a job array; its shares together are, byte for byte, what one job makes."""

import json
from pathlib import Path

import pytest

from .cases import MICRO, hashes, rung, states, submit, until_ended
from .loopback import Loopback

pytestmark = pytest.mark.slow


def test_shares_of_an_array_make_the_bytes_of_one_job(slurm: Loopback, tmp_path: Path) -> None:
    text = MICRO.read_text(encoding="utf-8").partition("  reward_ratings:")[0]
    assert "reward_responses:" in text
    text = text.replace("kind: prompts, generator: words, count: 60, split: by_prompt, parts: [reward]",
                        "kind: prompts, generator: words, count: 200, split: by_prompt, parts: [reward]")  # fmt: skip
    spec, store, whole = tmp_path / "shards.yaml", tmp_path / "store", tmp_path / "whole"
    spec.write_text(text, encoding="utf-8")
    rung("run", spec, "--store", whole, "--json")
    spec.write_text(text.rstrip() + "\n    placement: {shards: 3}\n", encoding="utf-8")
    submitted = submit(spec, store)
    array = submitted["submitted"]["reward_responses"]
    told = until_ended(submitted["run"], store)
    assert set(states(told).values()) == {"done"}, json.dumps(told, indent=1)
    elements = slurm.run("sacct", "-n", "-X", "-P", "-j", array, "-o", "JobID").split()
    assert sorted(elements) == [f"{array}_{number}" for number in range(3)]
    assert hashes(store) == hashes(whole)
