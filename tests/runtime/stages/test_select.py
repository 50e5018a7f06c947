from typing import Any

from compiler.artifacts import Message, PromptRow, RatingRow
from runtime.rows import read_rows


def _prompt(name: str, text: str, *flags: str) -> PromptRow:
    messages = (Message(role="user", content=text),)
    return PromptRow(id=name, family="f", messages=messages, origin="test", flags=flags)


def _select(run_stage: Any, rows: Any, *conditions: Any, kind: str = "prompts") -> Any:
    return run_stage("select", {"rows": kind, "data": "data", "conditions": conditions}, {"data": rows})


def _ids(ran: Any, row_type: Any = PromptRow) -> list[str]:
    return [row.id for row in read_rows(ran.output, row_type)]


def test_each_condition_drops_its_rows_and_the_first_that_fails_is_the_reason(run_stage: Any) -> None:
    english = "This is a perfectly ordinary question about the garden and the weather, is it not?"
    rows = [
        _prompt("ok", english),
        _prompt("short", "Hm"),
        _prompt("long", english * 10),
        _prompt("german", "Das ist eine ganz gewöhnliche Frage über den Garten und das Wetter, oder etwa nicht?"),
        _prompt("unsafe", english, "unsafe", "other"),
        _prompt("both", "Hm", "unsafe"),
    ]
    ran = _select(
        run_stage,
        rows,
        {"kind": "length", "at_least": 10, "at_most": 200},
        {"kind": "language", "languages": ("en",)},
        {"kind": "flags", "without": ("unsafe",)},
    )
    assert _ids(ran) == ["ok"]
    assert ran.facts["rejected"] == {
        "shorter than 10 characters": 2,
        "longer than 200 characters": 1,
        "in another language": 1,
        "flagged unsafe": 1,
    }
    assert [stop["rows"] for stop in ran.facts["waterfall"]] == [6, 3, 2, 1]


def test_ratings_need_every_attribute_that_is_asked_for(run_stage: Any) -> None:
    def rating(name: str, **attributes: float) -> RatingRow:
        messages = (Message(role="user", content="?"),)
        return RatingRow(id=name, prompt_id="p", family="f", messages=messages, response="!", attributes=attributes)

    rows = [rating("good", helpfulness=3, correctness=4), rating("bad", helpfulness=2, correctness=4), rating("none")]
    ran = _select(run_stage, rows, {"kind": "attributes", "at_least": {"helpfulness": 3.0}}, kind="ratings")
    assert _ids(ran, RatingRow) == ["good"]
    assert ran.facts["rejected"] == {"helpfulness below 3": 1, "without helpfulness": 1}
