from collections import Counter
from itertools import islice

from compiler.artifacts import Message, PromptRow
from compiler.schema.generators import InstructionFollowing
from runtime import instructions, verifiers
from runtime.generators.instruction_following import drafts, finish
from runtime.rows import messages_id


def _prompt(text: str, *earlier: Message) -> PromptRow:
    messages = (*earlier, Message(role="user", content=text))
    return PromptRow(id=messages_id(messages), family="open_qa", messages=messages, origin="open_qa")


def _spec(form: str = "single_turn", **weights: float) -> InstructionFollowing:
    model = {} if form == "single_turn" else {"model": "m", "sampling": SAMPLING}
    names = {name.replace("__", ":"): weight for name, weight in weights.items()} or {"keywords": 1.0, "startend": 1.0}
    fields = {"kind": "instruction_following", "prompts": "p", "instructions": names, "form": form, **model}
    return InstructionFollowing.model_validate(fields)


SAMPLING = {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 64}
PROMPTS = [_prompt(f"Explain thing number {number} to a child.") for number in range(40)]


def test_a_prompt_keeps_its_words_and_gains_an_instruction_that_its_check_verifies() -> None:
    for draft in islice(drafts(_spec(punctuation=1), PROMPTS, seed=1), 40):
        row = finish(draft, None)
        (message,) = row.messages
        assert any(prompt.messages[0].content in message.content for prompt in PROMPTS)
        assert "comma" in message.content
        assert row.check == {"verifier": "instructions", "instructions": [{"type": "punctuation:no_comma"}]}


def test_weights_are_shares_and_groups_are_drawn_from() -> None:
    spec = _spec(punctuation=3, length_constraints=1)
    found = Counter(_type(finish(draft, None)) for draft in islice(drafts(spec, PROMPTS, seed=1), 2000))
    assert set(found) == {"punctuation:no_comma", *instructions.types_of("length_constraints")}
    assert 0.70 < found["punctuation:no_comma"] / 2000 < 0.80


def test_an_instruction_depends_on_the_seed_and_its_prompt_alone() -> None:
    def by_prompt(prompts: list[PromptRow], seed: int) -> dict[str, str]:
        return {draft.name: draft.last[-1].content for draft in islice(drafts(_spec(), prompts, seed), len(prompts))}

    all_of, some_of = by_prompt(PROMPTS, 1), by_prompt(PROMPTS[:7], 1)
    assert some_of.items() <= all_of.items()
    assert all_of != by_prompt(PROMPTS, 2)


def test_a_rule_for_the_conversation_is_checked_in_its_second_turn() -> None:
    for draft in islice(drafts(_spec("multi_turn", punctuation=1), PROMPTS, seed=1), 20):
        row = finish(draft, "An answer.")
        first, between, last = row.messages
        assert (first.role, between.content, last.role) == ("user", "An answer.", "user")
        assert "comma" in first.content
        assert last.content in {prompt.messages[0].content for prompt in PROMPTS}
        assert last.content not in first.content


def test_a_revision_asks_for_the_same_answer_in_another_form() -> None:
    draft = next(drafts(_spec("second_turn", punctuation=1), PROMPTS, seed=1))
    first, between, last = finish(draft, "An answer, with commas.").messages
    assert first.content in {prompt.messages[0].content for prompt in PROMPTS}
    assert between.content == "An answer, with commas."
    assert "comma" in last.content


def test_instructions_that_a_prompt_carries_bind_the_answer_too() -> None:
    words = {"type": "length_constraints:number_words", "relation": "at least", "num_words": 25}
    carried = {"verifier": "instructions", "instructions": [words]}
    prompts = [prompt.model_copy(update={"check": carried}) for prompt in PROMPTS]
    for form in ("single_turn", "multi_turn", "second_turn"):
        row = finish(next(drafts(_spec(form, punctuation=1), prompts, seed=1)), "An answer.")
        assert row.check is not None
        assert row.check["instructions"] == [words, {"type": "punctuation:no_comma"}]
        assert not verifiers.verify(row.check, "Short and without one.").passed
        assert verifiers.verify(row.check, "word " * 25).passed
        assert not verifiers.verify(row.check, "word, " * 25).passed
    other = [prompt.model_copy(update={"check": {"verifier": "numeric", "answer": "4"}}) for prompt in PROMPTS]
    row = finish(next(drafts(_spec(punctuation=1), other, seed=1)), None)
    assert row.check == {"verifier": "instructions", "instructions": [{"type": "punctuation:no_comma"}]}


def test_what_a_prompt_says_is_never_taken_for_a_template() -> None:
    text = "{{ 7 * 7 }} {% raise %} \u2028 # {{ self.__init__ }}"
    (message,) = finish(next(drafts(_spec(punctuation=1), [_prompt(text)], seed=3)), None).messages
    assert text in message.content


def _type(row: PromptRow) -> str:
    assert row.check is not None
    return str(row.check["instructions"][0]["type"])
