import re
from collections.abc import Sequence
from typing import Any

from compiler.artifacts import DocumentRow, TopicRow
from runtime.rows import read_rows

SAMPLING = {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 64}
HAND = [TopicRow(id=f"h{number}", topic=f"Hand {number}", origin="adopted") for number in range(3)]


def _topics(run_stage: Any, inputs: Any, *sources: Any, count: int = 100) -> Any:
    return run_stage("topics", {"sources": sources, "count": count, "seed": 1}, inputs)


def _named(ran: Any) -> list[tuple[str, str]]:
    return [(row.topic, row.origin) for row in read_rows(ran.output, TopicRow)]


GENERATED = {"kind": "generated", "model": "m", "sampling": SAMPLING, "macro_topics": 2, "subtopics": 2}


def test_broad_topics_and_those_inside_them_join_the_hand_made_ones(run_stage: Any, teach: Any) -> None:
    def answer(last: str, _: Sequence[Any]) -> str:
        inside = re.search("^Field: (.*)$", last, re.MULTILINE)
        if inside and inside[1] == "Sea":
            return "1. Tides\n2. hand 1"
        return "1. Salt flats\n2. Roads" if inside else "1. Sea\n2. Land"

    inputs = {"m": teach(answer), "hand": HAND}
    sources = ({**GENERATED, "subject": "general"}, {"kind": "hand_made", "topics": "hand"})
    ran = _topics(run_stage, inputs, *sources)
    assert _named(ran) == [
        ("Hand 0", "hand_made"),
        ("Hand 1", "hand_made"),
        ("Hand 2", "hand_made"),
        *((topic, "generated") for topic in ("Sea", "Land", "Tides", "Salt flats", "Roads")),
    ]
    assert ran.facts["rejected"] == {"duplicate": 1}
    rows = {row.topic: row for row in read_rows(ran.output, TopicRow)}
    assert {topic: row.under for topic, row in rows.items() if row.under} == {
        "Tides": "Sea",
        "Salt flats": "Land",
        "Roads": "Land",
    }
    assert rows["Hand 1"].made_from == ("h1",)
    few = _topics(run_stage, inputs, *sources, count=5)
    assert [origin for _, origin in _named(few)].count("hand_made") == 3
    assert (few.facts["rows"], few.facts["rejected"]["more than count"]) == (5, 3)
    assert [stop["rows"] for stop in few.facts["waterfall"]] == [9, 9, 8, 5]


def test_mathematics_is_asked_for_level_by_level(run_stage: Any, teach: Any) -> None:
    teacher = teach(lambda last, _: "1. Sums\n2. Circles" if "middle" in last else "1. Groups\n2. Rings")
    source = {**GENERATED, "subject": "math", "levels": ("middle school", "university"), "subtopics": 1}
    ran = _topics(run_stage, {"m": teacher}, source)
    assert {topic for topic, _ in _named(ran)} >= {"Sums", "Circles", "Groups", "Rings"}
    assert len(teacher.asked) == 2 + 4


def test_entities_are_kept_where_the_model_says_yes(run_stage: Any, teach: Any) -> None:
    entities = [TopicRow(id=name, topic=name, origin="adopted") for name in ("Integral", "Gauss", "Tea", "Ring")]
    said = {"Integral": "Yes.", "Gauss": "no", "Tea": "Perhaps", "Ring": "**Yes**, it is"}

    def answer(last: str, _: Sequence[Any]) -> str:
        return said[re.search("^Name: (.*)$", last, re.MULTILINE)[1]]  # type: ignore[index]

    source = {"kind": "classified", "model": "m", "subject": "math", "entities": "e", "sampling": SAMPLING}
    ran = _topics(run_stage, {"m": teach(answer), "e": entities}, source)
    assert [(row.topic, row.made_from) for row in read_rows(ran.output, TopicRow)] == [
        ("Integral", ("Integral",)),
        ("Ring", ("Ring",)),
    ]
    assert ran.facts["rejected"] == {"neither yes nor no": 1, "not of the subject": 1}


def test_names_are_mined_by_parsing_and_counted_by_document(run_stage: Any) -> None:
    codes = [
        "import os\nfrom collections import Counter as C\nprint(os.path.join('a'), C('b'))\nprint(sorted([]))",
        "import os.path as p\np.join('a')\nprint(p.join)\ndef sorted(x): return x\nsorted(1)",
        "import numpy as np\nnp.array([1])\nprint(1)",
        "def broken(:",
        "(" * 5000,
    ]
    documents = [DocumentRow(id=str(number), text=code, origin="t") for number, code in enumerate(codes)]
    mined = {"kind": "mined", "documents": "d", "language": "python"}
    ran = _topics(run_stage, {"d": documents}, {**mined, "at_least": 2})
    assert [topic for topic, _ in _named(ran)] == ["print", "os.path"]
    assert ran.facts["rejected"]["code that does not parse"] == 2
    wide = _topics(run_stage, {"d": documents}, {**mined, "at_least": 1})
    found = {topic for topic, _ in _named(wide)}
    assert found == {
        "print",
        "os",
        "os.path",
        "collections",
        "collections.Counter",
        "sorted",
        "os.path.join",
        "numpy",
        "numpy.array",
    }
