from pathlib import Path
from typing import Any

import pytest

from runtime.tokenizer import ChatTokenizer


def _train(run_stage: Any, *sources: Any) -> Any:
    inputs = {f"source{number}": rows for number, rows in enumerate(sources)}
    return run_stage("tokenizer", {"data": tuple(inputs), "vocab_size": 400, "chat_template": "compact"}, inputs)


def test_the_words_of_all_sources_become_tokens(run_stage: Any, dialogue: Any) -> None:
    ran = _train(run_stage, [dialogue("dog")] * 5, [dialogue("cat")] * 5)
    chat = ChatTokenizer.load(ran.output)
    assert [len(chat.encode_answer(text)) for text in ("dog", "cat", "say")] == [2, 2, 2]
    assert ran.facts == {"dialogues": 10, "vocab_size": chat.vocab_size, "mean_tokens": 7.0, "max_tokens": 7}


def test_the_order_of_sources_does_not_shape_the_tokenizer(run_stage: Any, dialogue: Any) -> None:
    one, other = [dialogue("dog")] * 5, [dialogue("cat")] * 4
    assert _train(run_stage, one, other).bytes == _train(run_stage, other, one).bytes


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
def test_the_artifact_has_its_files(run_stage: Any, dialogue: Any, name: str) -> None:
    assert Path(_train(run_stage, [dialogue("dog")]).output / name).is_file()
