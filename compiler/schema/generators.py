"""Where prompts come from: one record per generator kind."""

from collections.abc import Iterable
from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from compiler.schema.base import Accepts, Count, Positive, Worded
from compiler.schema.sampling import LanguageModelRef, Sampling

Family = Literal["reverse", "sort", "word_problem", "repeat", "list_things", "words_without"]
"""The checkable task families, `runtime/tasks/<family>.py`."""


Families = Annotated[dict[Family, Positive], Field(min_length=1)]
"""Families and their weights among each other (they need not sum to 1)."""

_AS_LIST = "prompts/answer_as_list.j2"


class Tasks(Worded):
    """Prompts written by the task families themselves, from their hand-made word lists."""

    kind: Literal["tasks"]
    families: Families
    """Family -> weight."""


class SelfPrompted(Worded):
    """Synthetic prompts: a policy writes user turns by itself; what is no well-formed task is rejected and counted."""

    kind: Literal["self_prompted"]
    policy: Annotated[str, Accepts("policy")]
    """Who writes."""
    families: Families
    """Families to keep; weights are shares of the prompts kept."""
    temperature: Positive
    """Of sampling; 1 is the model's own distribution."""
    max_attempts: Count
    """Prompts sampled at most, before the stage is content with fewer rows than asked for."""


Refinement = Literal["context", "form", "length", "related"]
"""How a question is written again: with more context, in another form, longer, as a related question."""


class OpenQA(Worded):
    """Questions on each topic, each then refined."""

    kind: Literal["open_qa"]
    model: LanguageModelRef
    """Who is asked: a policy of this recipe, or an endpoint."""
    topics: Annotated[str, Accepts("topics")]
    """What the prompts are about: a topics stage."""
    per_topic: Count
    """Questions asked for on each topic."""
    refinements: tuple[Refinement, ...]
    """Each question is replaced by one version for each of these; with none the question itself is the prompt."""
    sampling: Sampling
    """How answers are drawn."""

    def templates(self) -> tuple[str, ...]:
        """The question about a topic, and its refinements."""
        return ("prompts/open_qa.j2", *(f"prompts/refine_{one}.j2" for one in self.refinements), _AS_LIST)


class Writing(Worded):
    """Requests to write a document of some type about each topic, each then refined."""

    kind: Literal["writing"]
    model: LanguageModelRef
    """Who is asked: a policy of this recipe, or an endpoint."""
    topics: Annotated[str, Accepts("topics")]
    """What the prompts are about: a topics stage."""
    document_types: Annotated[tuple[str, ...], Field(min_length=1)]
    """newsletter, essay, poem, ..."""
    per_topic: Count
    """Requests asked for on each topic, each for a type drawn at random."""
    refinements: tuple[Refinement, ...]
    """Each request is replaced by one version for each of these."""
    sampling: Sampling
    """How answers are drawn."""

    def templates(self) -> tuple[str, ...]:
        """The request, and its refinements."""
        return ("prompts/writing.j2", *(f"prompts/refine_{one}.j2" for one in self.refinements), _AS_LIST)


class ClosedQA(Worded):
    """Requests about a text, joined with the text by hand-made templates."""

    kind: Literal["closed_qa"]
    model: LanguageModelRef
    """Who is asked: a policy of this recipe, or an endpoint."""
    documents: Annotated[str, Accepts("documents")]
    """Texts to ask about."""
    per_document: Count
    """Requests asked for about each text."""
    sampling: Sampling
    """How answers are drawn."""

    def templates(self) -> tuple[str, ...]:
        """The request, and how it is joined with its text."""
        return ("prompts/closed_qa.j2", "prompts/closed_qa_joined.j2", _AS_LIST)


class Math(Worded):
    """Problems about each keyword, at each level."""

    kind: Literal["math"]
    model: LanguageModelRef
    """Who is asked: a policy of this recipe, or an endpoint."""
    keywords: Annotated[str, Accepts("topics")]
    """What the problems are about: a topics stage."""
    levels: Annotated[tuple[Literal["beginner", "general"], ...], Field(min_length=1)]
    """Levels of difficulty, each asked for."""
    per_keyword: Count
    """Problems asked for on each keyword, at each level."""
    sampling: Sampling
    """How answers are drawn."""

    def templates(self) -> tuple[str, ...]:
        """One question for each level."""
        return (*(f"prompts/math_{level}.j2" for level in self.levels), _AS_LIST)


class Coding(Worded):
    """Programming problems about each keyword, at each level."""

    kind: Literal["coding"]
    model: LanguageModelRef
    """Who is asked: a policy of this recipe, or an endpoint."""
    keywords: Annotated[str, Accepts("topics")]
    """What the problems are about: a topics stage."""
    language: str
    """Programming language of the solutions."""
    levels: Annotated[tuple[Literal["beginner", "intermediate", "advanced"], ...], Field(min_length=1)]
    """Levels of difficulty, each asked for."""
    per_keyword: Count
    """Problems asked for on each keyword, at each level."""
    sampling: Sampling
    """How answers are drawn."""

    def templates(self) -> tuple[str, ...]:
        """One question for each level."""
        return (*(f"prompts/coding_{level}.j2" for level in self.levels), _AS_LIST)


Instruction = Literal[
    "keywords",
    "keywords:existence",
    "keywords:frequency",
    "keywords:forbidden_words",
    "keywords:letter_frequency",
    "language",
    "language:response_language",
    "length_constraints",
    "length_constraints:number_sentences",
    "length_constraints:number_paragraphs",
    "length_constraints:number_words",
    "length_constraints:nth_paragraph_first_word",
    "detectable_content",
    "detectable_content:number_placeholders",
    "detectable_content:postscript",
    "detectable_format",
    "detectable_format:number_bullet_lists",
    "detectable_format:constrained_response",
    "detectable_format:number_highlighted_sections",
    "detectable_format:multiple_sections",
    "detectable_format:json_format",
    "detectable_format:title",
    "combination",
    "combination:two_responses",
    "combination:repeat_prompt",
    "startend",
    "startend:end_checker",
    "startend:quotation",
    "change_case",
    "change_case:capital_word_frequency",
    "change_case:english_capital",
    "change_case:english_lowercase",
    "punctuation",
    "punctuation:no_comma",
]
"""IFEval's 25 types of verifiable instruction, and its groups of them (2311.07911)."""


def instruction_template(name: str) -> str:
    """The words of this type of instruction."""
    return f"prompts/instruction_{name.replace(':', '_')}.j2"


def _types_of(names: Iterable[str]) -> list[str]:
    """The types, without groups, that these types and groups are."""
    types = [one for one in get_args(Instruction) if ":" in one]
    return [one for one in types if any(name in (one, one.partition(":")[0]) for name in names)]


class InstructionFollowing(Worded):
    """Prompts of another stage, each with an instruction that a program can verify (IFEval's types)."""

    kind: Literal["instruction_following"]
    prompts: Annotated[str, Accepts("prompts")]
    """What instructions are added to."""
    instructions: Annotated[dict[Instruction, Positive], Field(min_length=1)]
    """IFEval instruction type, or a group of them (`keywords`, `length_constraints`, ...) -> weight."""
    form: Literal["single_turn", "multi_turn", "second_turn"]
    """The instruction is part of the turn; or binds all later turns; or asks to revise the previous answer."""
    model: LanguageModelRef | None = None
    """Who answers in between; multi_turn and second_turn need one."""
    sampling: Sampling | None = None
    """How the answers in between are drawn."""

    def templates(self) -> tuple[str, ...]:
        """The words of each type, and how they are joined with the conversation."""
        return (f"prompts/instructed_{self.form}.j2", *map(instruction_template, _types_of(self.instructions)))

    @model_validator(mode="after")
    def _turns_need_a_model(self) -> "InstructionFollowing":
        if (self.model is None) != (self.sampling is None):
            raise ValueError("`model` and `sampling` go together")
        if (self.model is None) != (self.form == "single_turn"):
            raise ValueError(
                "`multi_turn` and `second_turn` need a `model` that answers in between; `single_turn` none"
            )
        return self


class TwoTurn(Worded):
    """First turns of another stage, answered, and then a second user turn, both by a model."""

    kind: Literal["two_turn"]
    model: LanguageModelRef
    """Who is asked: a policy of this recipe, or an endpoint."""
    prompts: Annotated[str, Accepts("prompts")]
    """First turns."""
    sampling: Sampling
    """How answers are drawn."""

    def templates(self) -> tuple[str, ...]:
        """How the model is asked to go on as the user."""
        return ("prompts/user_normal.j2",)


class FewShot(Worded):
    """New prompts of the sort that people wrote examples of: what a model cannot do, say."""

    kind: Literal["few_shot"]
    model: LanguageModelRef
    """Who is asked: a policy of this recipe, or an endpoint."""
    examples: Annotated[str, Accepts("prompts")]
    """Prompts that people wrote."""
    shots: Count
    """Examples shown at a time, drawn at random."""
    sampling: Sampling
    """How answers are drawn."""

    def templates(self) -> tuple[str, ...]:
        """How examples are shown."""
        return ("prompts/few_shot.j2", _AS_LIST)


Generator = Annotated[
    Tasks | SelfPrompted | OpenQA | Writing | ClosedQA | Math | Coding | InstructionFollowing | TwoTurn | FewShot,
    Field(discriminator="kind"),
]
