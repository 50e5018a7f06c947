"""A stage of several shards is a job array; its shares together are, byte for byte, what one job makes."""

import json
import shutil
from pathlib import Path

import pytest

from .cases import MICRO, hashes, rung, states, submit, until_ended
from .loopback import Loopback

pytestmark = pytest.mark.slow

_MORE = """
  more: {{kind: annotate, prompts: prompts, error_rate: 0.5, seed: 7}}
  more_tokens: {{kind: tokenize, data: more, tokenizer: tokenizer{three}}}
  more_responses:
    kind: generate
    policy: sft
    prompts: prompts
    samples: 2
    sampling: {{temperature: 1.0, top_p: 1.0, max_new_tokens: 12}}
    seed: 7{three_lines}
  more_truths: {{kind: judge, judge: truth, responses: more_responses{two}}}
  more_rewards: {{kind: judge, judge: by_reward, responses: more_responses{two}}}
"""


def test_shares_of_arrays_make_the_bytes_of_one_job(slurm: Loopback, quiet: Path, tmp_path: Path) -> None:
    """Of each kind of stage that can be divided: one job here against an array of several on Slurm."""
    spec, store, whole = tmp_path / "shards.yaml", tmp_path / "store", tmp_path / "whole"
    micro = MICRO.read_text(encoding="utf-8").rstrip()
    for folder in (store, whole):
        shutil.copytree(quiet / "store", folder / "store")
    spec.write_text(micro + _MORE.format(two="", three="", three_lines=""), encoding="utf-8")
    rung("run", spec, "--store", whole, "--json")
    shards = ", placement: {{shards: {}}}".format
    more = _MORE.format(two=shards(2), three=shards(3), three_lines="\n    placement: {shards: 3}")
    spec.write_text(micro + more, encoding="utf-8")
    submitted = submit(spec, store)
    told = until_ended(submitted["run"], store)
    assert set(states(told).values()) <= {"done", "reused"}, json.dumps(told, indent=1)
    expected = {"more_tokens": 3, "more_responses": 3, "more_truths": 2, "more_rewards": 2}
    for label, count in expected.items():
        array = submitted["submitted"][label]
        elements = slurm.run("sacct", "-n", "-X", "-P", "-j", array, "-o", "JobID").split()
        assert sorted(elements) == [f"{array}_{number}" for number in range(count)]
    made = hashes(store)
    assert set(made) >= set(expected)
    assert made == hashes(whole)
