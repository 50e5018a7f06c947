"""What models are asked: every template that a recipe can name is there, says its variables, and needs each of them."""

import re
from collections.abc import Iterator
from typing import Any, get_args

import jinja2
import pytest
from jinja2 import meta
from pydantic import TypeAdapter

from compiler.artifacts import Message
from compiler.render import render, template_names, template_text
from compiler.schema.generators import Generator, Instruction, InstructionFollowing
from compiler.schema.judges import Judge
from compiler.schema.topics import TopicSource
from compiler.stages.code import Code
from compiler.stages.dialogues import Dialogues
from compiler.stages.generate import Generate

VALUES: dict[str, Any] = {
    "answer": "1. Bread\n2. Salt",
    "capital_frequency": 4,
    "capital_relation": "at least",
    "count": 5,
    "document_type": "newsletter",
    "end_phrase": "That is all.",
    "entity": "integral",
    "examples": ["What is the weather now?", "Open my mail."],
    "first": "It is 4.",
    "first_word": "however",
    "forbidden_words": ["river", "stone"],
    "frequency": 3,
    "highest": 10,
    "instruction": "Use no comma.",
    "keyword": "harbour",
    "keywords": ["ladder", "music"],
    "language": "Python",
    "let_frequency": 7,
    "let_relation": "less than",
    "letter": "q",
    "level": "middle school",
    "messages": [Message(role="user", content="Why?"), Message(role="assistant", content="Because.")],
    "nth_paragraph": 2,
    "num_bullets": 3,
    "num_highlights": 3,
    "num_paragraphs": 4,
    "num_placeholders": 3,
    "num_sections": 3,
    "num_sentences": 8,
    "num_words": 120,
    "postscript_marker": "P.S.",
    "problem": "Sort a list.",
    "problems": ["Sort a list.", "Count words."],
    "prompt": "Explain rain.",
    "prompt_to_repeat": "Explain tides.",
    "question": "What is 2 + 2?",
    "reference": "4",
    "relation": "at least",
    "request": "Explain tides.",
    "second": "It is 5.",
    "section_spliter": "Part",
    "text": "The moon pulls at the sea.",
    "topic": "tides",
    "variant": 7,
}


def nameable() -> Iterator[str]:
    """The names that records give for every value that their fields can take."""
    for union in (Generator, Judge, TopicSource):
        for record in set(get_args(get_args(union)[0])) - {InstructionFollowing}:
            for options in _options(record):
                yield from record.model_construct(**options).templates()
    for form in ("single_turn", "multi_turn", "second_turn"):
        yield from InstructionFollowing.model_construct(
            instructions=dict.fromkeys(get_args(Instruction), 1.0), form=form
        ).templates()
    operators = {"crossover": 1.0, "mutation": 1.0}
    yield from Code.model_construct(operators=operators, fitness=_any_judge()).templates()
    yield from Dialogues.model_construct(personas=_all_of(Dialogues, "personas")).templates()
    yield from Generate.model_construct(instruction="decline").templates()


def _options(record: Any) -> Iterator[dict[str, Any]]:
    """Field values that, together, name all of a record's templates: lists whole, single words one after another."""
    schema = TypeAdapter(record).json_schema()["properties"]
    lists = {name: tuple(_words(field)) for name, field in schema.items() if field.get("type") == "array"}
    single = [name for name, field in schema.items() if name in ("subject", "rubric")]
    if not single:
        yield lists
    for name in single:
        for word in schema[name]["enum"]:
            yield {**lists, name: word}


def _words(field: dict[str, Any]) -> list[str]:
    found: list[str] = field["items"].get("enum", [])
    return found


def _all_of(record: Any, field: str) -> tuple[str, ...]:
    return tuple(_words(TypeAdapter(record).json_schema()["properties"][field]))


def _any_judge() -> Any:
    return TypeAdapter(Judge).validate_json('{"kind": "ground_truth"}')


PROMPTS = sorted(set(nameable()))


def declared(template: str) -> set[str]:
    """The variables that the template's first line names."""
    first = template_text(template).splitlines()[0]
    match = re.fullmatch(r"\{# (.+) #\}", first)
    assert match, f"{template} begins with {first!r}"
    names = re.sub(r" \([^)]*\)", "", match[1])
    return set() if names == "no variables" else set(names.split(", "))


def test_the_folder_holds_what_records_can_name_and_nothing_else() -> None:
    assert len(PROMPTS) == 36 + 25 + 3
    assert tuple(PROMPTS) == template_names("prompts")


@pytest.mark.parametrize("template", PROMPTS)
def test_the_first_line_names_the_variables(template: str) -> None:
    assert meta.find_undeclared_variables(jinja2.Environment().parse(template_text(template))) == declared(template)


@pytest.mark.parametrize("template", PROMPTS)
def test_each_prompt_says_what_it_is_given(template: str) -> None:
    values = {name: VALUES[name] for name in declared(template)}
    text = render(template, **values)
    assert "{" not in text
    assert not re.search(r"\n{4}|Message\(|\['", text)
    for name, value in values.items():
        if isinstance(value, list):
            assert all((one.content if isinstance(one, Message) else one) in text for one in value), name
        elif name != "variant":
            assert str(value) in text, name


@pytest.mark.parametrize("template", PROMPTS)
def test_a_value_that_is_not_given_is_an_error(template: str) -> None:
    values = {name: VALUES[name] for name in declared(template)}
    for name in values:
        with pytest.raises(jinja2.UndefinedError):
            render(template, **{other: value for other, value in values.items() if other != name})


@pytest.mark.parametrize(
    ("template", "values"),
    [("prompts/closed_qa_joined.j2", {"text": "T.", "request": "R?"}), ("prompts/code_mutation.j2", {"problem": "P."})],
)
def test_variants_differ_and_repeat_after_six(template: str, values: dict[str, str]) -> None:
    texts = [render(template, **values, variant=variant) for variant in range(7)]
    assert len(set(texts[:6])) == 6
    assert texts[6] == texts[0]


def test_a_comparison_reads_the_same_from_either_side() -> None:
    """Swapped answers must give a swapped question: nothing in the words may favour a place."""
    for rubric in ("helpfulness", "correctness", "code"):
        one = render(f"prompts/judge_{rubric}.j2", question="Q", first="alpha", second="omega")
        other = render(f"prompts/judge_{rubric}.j2", question="Q", first="omega", second="alpha")
        assert one.replace("alpha", "*").replace("omega", "alpha").replace("*", "omega") == other


@pytest.mark.parametrize("template", [name for name in PROMPTS if "/instruct" in name])
def test_an_instruction_is_said_in_different_ways(template: str) -> None:
    values = {name: VALUES[name] for name in declared(template)}
    texts = [render(template, **{**values, "variant": variant}) for variant in range(3)]
    assert len(set(texts)) == 3
    for text in texts:
        for name, value in values.items():
            assert (
                all(one in text for one in value)
                if isinstance(value, list)
                else str(value) in text or name == "variant"
            )
