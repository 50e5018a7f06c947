"""The ledger of answers: what a kill cut short is done again, what is whole is kept."""

import json
from pathlib import Path

import pytest

from compiler.schema.model import ModelSpec
from compiler.stages.generate import Sampling
from runtime.answers import Answer, Question, _read, _refuse_too_long


def test_a_row_cut_short_is_taken_off_and_whole_rows_stay(tmp_path: Path) -> None:
    ledger = tmp_path / "answers-0.jsonl"
    whole = [json.dumps([f"q{number}", [1, 2, number], -0.5, True]) + "\n" for number in range(3)]
    ledger.write_text("".join(whole) + '["q3", [1, 2')
    rows = dict(_read(ledger))
    assert rows == {f"q{number}": Answer((1, 2, number), -0.5, True) for number in range(3)}
    assert ledger.read_text() == "".join(whole)


def test_no_ledger_is_no_rows(tmp_path: Path) -> None:
    assert dict(_read(tmp_path / "none")) == {}


def test_a_prompt_that_leaves_no_room_for_an_answer_is_refused() -> None:
    spec = ModelSpec(
        num_layers=1, hidden_size=8, ffn_hidden_size=8, num_attention_heads=1, num_query_groups=1, vocab_size=8,
        seq_length=16, activation="gelu", normalization="layernorm", norm_epsilon=1e-5, rotary_percent=1.0,
        rotary_base=10_000, linear_bias=True, tie_embeddings=True, init_std=0.02,
    )  # fmt: skip
    sampling = Sampling(temperature=0.0, top_p=1.0, max_new_tokens=10)
    _refuse_too_long([Question("fits", (1,) * 6)], sampling, spec)
    with pytest.raises(ValueError, match="exceeds the model's seq_length of 16"):
        _refuse_too_long([Question("long", (1,) * 7)], sampling, spec)
