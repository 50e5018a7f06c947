import random
from typing import Any

from compiler.artifacts import DialogueRow, DocumentRow, Message, PromptRow
from runtime.rows import read_rows

WORDS = [f"word{number}" for number in range(500)]


def _document(name: str, text: str) -> DocumentRow:
    return DocumentRow(id=name, text=text, origin="test")


def _prompt(name: str, text: str) -> PromptRow:
    return PromptRow(id=name, family="f", messages=(Message(role="user", content=text),), origin="test")


def _dedup(run_stage: Any, rows: Any, kind: str = "documents", evaluations: Any = None, **fields: Any) -> Any:
    inputs = {"data": rows, **({"exam": evaluations} if evaluations else {})}
    return run_stage("dedup", {"rows": kind, "data": "data", "exact": False, **fields}, inputs)


def _ids(ran: Any, row_type: Any = DocumentRow) -> list[str]:
    return [row.id for row in read_rows(ran.output, row_type)]


def _text(seed: int, count: int = 120) -> list[str]:
    return random.Random(seed).choices(WORDS, k=count)


def test_of_equal_rows_the_first_is_kept_case_and_spacing_aside(run_stage: Any) -> None:
    rows = [_document("a", "One  two."), _document("b", "one two."), _document("c", "one two"), _document("d", "three")]
    ran = _dedup(run_stage, rows, exact=True)
    assert _ids(ran) == ["a", "c", "d"]
    assert ran.facts["rejected"] == {"exact duplicate": 1}
    assert [stop["rows"] for stop in ran.facts["waterfall"]] == [4, 3]


def test_rows_more_alike_than_the_threshold_are_one_row(run_stage: Any) -> None:
    near = {"ngram": 3, "num_perm": 128, "threshold": 0.7}
    base = _text(1)
    slightly = [*base[:60], "other", *base[61:]]
    half = [*base[:60], *_text(2, 60)]
    rows = [
        _document(name, " ".join(words)) for name, words in (("a", base), ("b", slightly), ("c", half), ("d", _text(3)))
    ]
    ran = _dedup(run_stage, rows, near=near)
    assert _ids(ran) == ["a", "c", "d"]
    assert ran.facts["rejected"] == {"near duplicate": 1}
    assert ran.bytes == _dedup(run_stage, rows, near=near).bytes


def test_minhash_finds_what_comparing_every_pair_finds(run_stage: Any) -> None:
    from runtime.stages.dedup import shingles

    rng = random.Random(7)
    bases = [_text(seed) for seed in range(12)]
    rows = []
    for number in range(60):
        words = list(rng.choice(bases))
        for _ in range(rng.choice((1, 1, 40))):
            words[rng.randrange(len(words))] = rng.choice(WORDS)
        rows.append(_document(str(number), " ".join(words)))
    kept: list[set[str]] = []
    expected = []
    for row in rows:
        mine = shingles((row.text,), 2)
        if not any(len(mine & other) / len(mine | other) >= 0.6 for other in kept):
            kept.append(mine)
            expected.append(row.id)
    found = _ids(_dedup(run_stage, rows, near={"ngram": 2, "num_perm": 256, "threshold": 0.6}))
    assert len(set(found) ^ set(expected)) <= 1
    assert len(expected) < 50


def test_what_an_evaluation_asks_is_dropped_wherever_it_stands(run_stage: Any) -> None:
    question = "How many sprints of sixty meters does James run in a week of three training days in all"
    exam = [_prompt("x", question), _prompt("y", "Who are you?")]
    said = (Message(role="user", content="Hello"), Message(role="assistant", content=f"You ask: {question.upper()}!"))
    answer = Message(role="assistant", content="Well.")

    def dialogue(name: str, *messages: Message) -> DialogueRow:
        return DialogueRow(id=name, prompt_id="p", family="f", messages=messages, origin="model")

    rows = [
        dialogue("inside", *said),
        dialogue("short", *_prompt("", "who are you").messages, answer),
        dialogue("mentions", *_prompt("", "Tell me who are you like").messages, answer),
    ]
    ran = _dedup(run_stage, rows, "dialogues", exam, against={"prompts": ("exam",), "ngram": 13})
    assert _ids(ran, DialogueRow) == ["mentions"]
    assert ran.facts["rejected"] == {"asked by an evaluation": 2}


def test_line_separators_and_nulls_break_no_row(run_stage: Any) -> None:
    nasty = "a\u2028b\u2029c\x00d\x85e\r\nf"
    ran = _dedup(run_stage, [_document("a", nasty), _document("b", nasty + "!")], exact=True)
    assert [row.text for row in read_rows(ran.output, DocumentRow)] == [nasty, nasty + "!"]
