import re
from collections.abc import Sequence
from typing import Any

import pytest

from compiler.artifacts import DialogueRow, Message, PromptRow
from runtime import sandbox
from runtime.rows import messages_id, read_rows

SAMPLING = {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 256}
GRADE = {
    "kind": "llm_grade",
    "model": "judge",
    "rubric": "code",
    "highest": 9,
    "show_reference": False,
    "sampling": SAMPLING,
}


@pytest.fixture(autouse=True)
def _walls() -> None:
    try:
        sandbox.run(["-c", ""], b"")
    except sandbox.SandboxUnavailableError as error:
        pytest.skip(str(error))


def _seed(text: str) -> PromptRow:
    messages = (Message(role="user", content=text),)
    return PromptRow(id=messages_id(messages), family="code", messages=messages, origin="adopted")


SEEDS = [_seed(f"Write seed {name}.") for name in "ABC"]


def _code(run_stage: Any, inputs: Any, **fields: Any) -> Any:
    given = {
        "seeds": "seeds",
        "instructor": "instructor",
        "coder": "coder",
        "fitness": GRADE,
        "operators": {"crossover": 1.0, "mutation": 1.0},
        "parents": 2,
        "colonies": 2,
        "count": 6,
        "max_generations": 3,
        "instructor_sampling": SAMPLING,
        "coder_sampling": SAMPLING,
        "seed": 1,
        **fields,
    }
    return run_stage("code", given, {"seeds": SEEDS, **inputs})


class Instructor:
    """Writes a new problem for each question, the same for the same question."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}
        self.bred_from: list[str] = []

    def __call__(self, last: str, _: Sequence[Any]) -> str:
        self.bred_from += re.findall(r"Write (?:seed \w|task \d+)\.", last)
        return self.known.setdefault(last, f"Write task {len(self.known)}.")


def _coder(last: str, _: Sequence[Any]) -> str:
    return "It adds.\n```python\ndef solve():\n    return 1\n```"


def test_fit_problems_are_kept_and_breed(run_stage: Any, teach: Any) -> None:
    instructor = Instructor()
    inputs = {"instructor": teach(instructor), "coder": teach(_coder), "judge": teach(lambda *_: "Good.\nGrade: 9")}
    ran = _code(run_stage, inputs, count=7)
    rows = list(read_rows(ran.output, DialogueRow))
    assert len({row.messages[0].content for row in rows}) == len(rows) == 7
    assert all(row.messages[1].content == _coder("", ()) for row in rows)
    assert {row.origin for row in rows} == {"model"}
    stops = [stop["rows"] for stop in ran.facts["waterfall"]]
    assert stops == sorted(stops, reverse=True) and stops[-1] == 7
    assert stops[0] == 7 + sum(ran.facts["rejected"].values())


@pytest.mark.parametrize(("operator", "most"), [("mutation", 1), ("crossover", 2)])
def test_a_problem_names_the_seeds_that_it_descends_from(run_stage: Any, teach: Any, operator: str, most: int) -> None:
    """The last words of every problem here say which seeds it was bred from."""

    def instructor(last: str, _: Sequence[Any]) -> str:
        instructor.written += 1  # type: ignore[attr-defined]
        seeds = sorted(set(re.findall(r"seed ([ABC])\b", last)))
        return f"Write task {instructor.written} of {' and '.join(f'seed {name}' for name in seeds)}."  # type: ignore[attr-defined]

    instructor.written = 0  # type: ignore[attr-defined]
    inputs = {"instructor": teach(instructor), "coder": teach(_coder), "judge": teach(lambda *_: "Grade: 9")}
    rows = list(read_rows(_code(run_stage, inputs, count=9, operators={operator: 1.0}).output, DialogueRow))
    names = {seed.id: seed.messages[0].content[-2] for seed in SEEDS}
    for row in rows:
        assert {names[one] for one in row.made_from} == set(re.findall(r"seed ([ABC])\b", row.messages[0].content))
    assert max(len(row.made_from) for row in rows) == most


def test_only_the_fit_breed_and_generations_are_bounded(run_stage: Any, teach: Any) -> None:
    instructor = Instructor()

    def judge(last: str, _: Sequence[Any]) -> str:
        number = int(re.search(r"Write task (\d+)\.", last)[1])  # type: ignore[index]
        return f"Grade: {9 if number % 2 else 5}"

    inputs = {"instructor": teach(instructor), "coder": teach(_coder), "judge": teach(judge)}
    ran = _code(run_stage, inputs, colonies=1, count=8, max_generations=2)
    assert ran.facts["generations"] == 2
    assert ran.facts["rejected"]["unfit"] > 0
    parents = {int(name) for text in instructor.bred_from for name in re.findall(r"task (\d+)", text)}
    assert parents and all(number % 2 for number in parents)


def test_what_cannot_be_used_is_counted_by_reason(run_stage: Any, teach: Any) -> None:
    said = iter(
        ["```python\nx = 1\n```", "no code", "```python\n1/0\n```", "```python\nwhile True:\n    pass\n```"] * 9
    )
    order: dict[str, str] = {}

    def coder(last: str, _: Sequence[Any]) -> str:
        return order.setdefault(last, next(said))

    grades = teach(lambda *_: "no idea")
    inputs = {"instructor": teach(Instructor()), "coder": teach(coder), "judge": grades}
    with pytest.raises(ValueError, match="none of 4 problems") as error:
        _code(run_stage, inputs, colonies=1, count=1, max_generations=1)
    for reason in ("'no program': 1", "'program that does not run': 2", "'fitness unknown': 1"):
        assert reason in str(error.value)


def test_a_problem_that_the_colony_knows_is_not_solved_again(run_stage: Any, teach: Any) -> None:
    coder = teach(_coder)
    inputs = {"instructor": teach(lambda *_: "write  SEED a."), "coder": coder, "judge": teach(lambda *_: "Grade: 9")}
    with pytest.raises(ValueError, match="'problem known to its colony': 4"):
        _code(run_stage, inputs, colonies=1, count=3, max_generations=1)
    assert coder.asked == []


def test_ground_truth_takes_what_runs(run_stage: Any, teach: Any) -> None:
    inputs = {"instructor": teach(Instructor()), "coder": teach(_coder)}
    ran = _code(run_stage, inputs, fitness={"kind": "ground_truth"}, colonies=1, count=3)
    assert ran.facts["rows"] == 3
