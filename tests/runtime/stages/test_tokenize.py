from pathlib import Path
from typing import Any

from runtime.tokenizer import ChatTokenizer, train_tokenizer


def _tokenize(run_stage: Any, rows: Any, folder: Path) -> Any:
    return run_stage("tokenize", {"data": "rows", "tokenizer": "tokenizer"}, {"rows": rows, "tokenizer": folder})


def test_each_dialogue_is_a_document_with_its_end(run_stage: Any, dialogue: Any, tmp_path: Path) -> None:
    from runtime.engine.data import read_document

    folder = tmp_path / "tokenizer-folder"
    folder.mkdir()
    train_tokenizer(["say dog", "dog"], 400, "compact", folder)
    chat = ChatTokenizer.load(folder)
    rows = [dialogue("dog"), dialogue("fox")]
    ran = _tokenize(run_stage, rows, folder)
    expected = [[*chat.encode_dialogue(row.messages).ids, chat.end_of_text_id] for row in rows]
    assert [read_document(ran.output / "tokens", number) for number in range(2)] == expected
    assert ran.facts["documents"] == 2
    assert ran.facts["tokens"] == sum(map(len, expected))
    assert _tokenize(run_stage, rows, folder).bytes == ran.bytes
