"""`docs/language.md` is what the records say, and says something of every field that a person can write."""

import re
from functools import cache
from pathlib import Path

from compiler.artifacts import Kind
from compiler.experiment import SECTIONS
from compiler.stages import STAGES
from compiler.terminal import reference

ROOT = Path(__file__).parents[2]


@cache
def book() -> str:
    return reference.book()


def chapter(kind: str) -> str:
    return book().split(f'<a id="stage-{kind}"></a>')[1].split("\n### ")[0]


def test_the_file_is_fresh() -> None:
    assert (ROOT / "docs" / "language.md").read_text(encoding="utf-8") == book(), "run `make docs`"


def test_every_link_leads_somewhere() -> None:
    text = book()
    headings = {heading.lower().replace(" ", "-") for heading in re.findall(r"^#+ ([\w ]+)$", text, re.MULTILINE)}
    anchors = re.findall(r'<a id="([^"]+)">', text)
    assert len(anchors) == len(set(anchors))
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= headings | set(anchors)


def test_every_row_of_a_table_says_what_is_written_and_what_it_means() -> None:
    rows = re.findall(r"^\| `.*$", book(), re.MULTILINE)
    assert len(rows) > 200
    assert [row for row in rows if re.search(r"\|\s*\|$", row)] == []


def test_stages_sections_and_artifacts_are_all_there() -> None:
    text = book()
    for kind, stage in STAGES.items():
        for field in set(stage.model_fields) - {"kind"}:
            assert f"| `{field}` |" in chapter(kind)
    for section in SECTIONS:
        assert f"\n### {section}\n" in text
    for artifact in Kind:
        assert f"\n| {artifact} | [" in text


def test_types_are_said_in_plain_words() -> None:
    assert "| `epochs` | count | **required** | Passes over the data. |" in chapter("sft")
    assert "| `rows` | count |  |" in chapter("adopt"), "a count stays one where it may be absent"
    assert "| `error_rate` | number, at least 0, at most 1 | **required** |" in chapter("annotate")
    assert "| `data` | stage that makes *dialogues* | **required** |" in chapter("sft")
    assert "name from `optimizers`, or [optimizer](#training-optimizer)" in chapter("sft")
