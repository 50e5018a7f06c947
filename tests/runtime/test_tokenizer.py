import json
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.artifacts import Message
from compiler.render import render, template_text
from runtime import tasks
from runtime import tokenizer as module
from runtime.tokenizer import PAD, ChatTokenizer, read_layout, train_tokenizer

TEMPLATES = ("compact", "nemotron")


def _dialogues(count: int, seed: int = 0) -> list[tuple[str, str, str]]:
    rng = random.Random(seed)
    rows = []
    for family in tasks.FAMILIES:
        for _ in range(count):
            task = tasks.find(family).draw(rng)
            rows.append((family, task.prompt, tasks.find(family).answer(task, rng)))
    return rows


def _texts(count: int) -> list[str]:
    return [text for _, prompt, answer in _dialogues(count) for text in (prompt, answer)]


def _say(*turns: tuple[str, str]) -> list[Message]:
    return [Message.model_validate({"role": role, "content": content}) for role, content in turns]


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = {template: tmp_path_factory.mktemp(template) for template in TEMPLATES}
    for template, folder in made.items():
        train_tokenizer(_texts(400), 512, template, folder)
    return made


@pytest.fixture(scope="session")
def folder(folders: dict[str, Path]) -> Path:
    return folders["compact"]


@pytest.fixture(scope="session")
def chat(folder: Path) -> ChatTokenizer:
    return ChatTokenizer.load(folder)


@pytest.fixture(scope="session", params=TEMPLATES)
def any_chat(request: pytest.FixtureRequest, folders: dict[str, Path]) -> ChatTokenizer:
    return ChatTokenizer.load(folders[request.param])


def test_every_word_digit_and_letter_of_the_tasks_is_one_token(chat: ChatTokenizer) -> None:
    assert chat.vocab_size <= 512
    for text, count in (
        (">>> rev k t a", 5),
        ("Tom has 12 apples and gets 5 more. How many?", 13),
        ("12+5=17", 7),
        ("list 2 animals and 1 color without r in capitals", 10),
        ("CAT DOG RED", 3),
    ):
        assert len(chat.encode_answer(text)) == count + 1, text


def test_dialogues_are_short(chat: ChatTokenizer) -> None:
    lengths = [
        len(chat.encode_dialogue(_say(("user", prompt), ("assistant", answer))).ids)
        for _, prompt, answer in _dialogues(200, seed=1)
    ]
    assert max(lengths) < 32
    assert 14 <= sum(lengths) / len(lengths) <= 18


@given(text=st.text(max_size=60))
@settings(deadline=None)
def test_any_text_comes_back(any_chat: ChatTokenizer, text: str) -> None:
    ids = any_chat.encode_answer(text)
    assert ids[-1] == any_chat.end_id
    assert any_chat.decode(ids) == text
    assert any_chat.decode(ids[:-1]).startswith(text)


SPECIAL_TOKENS = sorted({token for template in TEMPLATES for token in read_layout(template).special_tokens})


@given(text=st.sampled_from(SPECIAL_TOKENS), before=st.text(max_size=5), after=st.text(max_size=5))
@settings(deadline=None)
def test_no_words_can_forge_a_marker(any_chat: ChatTokenizer, text: str, before: str, after: str) -> None:
    ids = any_chat.encode_answer(before + text + after)
    assert not {any_chat._tokenizer.id_to_token(token) for token in ids[:-1]} & set(SPECIAL_TOKENS)
    assert any_chat.decode(ids) == before + text + after


turns = st.lists(st.text(max_size=12), min_size=1, max_size=5)


def _alternate(contents: Sequence[str], system: bool) -> list[Message]:
    roles = ["user", "assistant"] * len(contents)
    said = [("system", "be brief")] if system else []
    return _say(*said, *zip(roles, contents, strict=False))


@given(contents=turns, system=st.booleans(), answer=st.text(max_size=12))
@settings(deadline=None)
def test_a_prompt_is_the_beginning_of_every_dialogue_that_continues_it(
    any_chat: ChatTokenizer, contents: list[str], system: bool, answer: str
) -> None:
    prompt = _alternate(contents, system)
    prompt_ids = any_chat.encode_prompt(prompt)
    ids, mask = any_chat.encode_dialogue([*prompt, Message(role="assistant", content=answer)])
    assert ids == prompt_ids + any_chat.encode_answer(answer)
    assert mask[len(prompt_ids) :] == [1] * (len(ids) - len(prompt_ids))


@given(contents=turns, system=st.booleans())
@settings(deadline=None)
def test_the_mask_is_on_what_the_assistant_says_and_nowhere_else(
    any_chat: ChatTokenizer, contents: list[str], system: bool
) -> None:
    messages = _alternate(contents, system)
    ids, mask = any_chat.encode_dialogue(messages)
    learnt = [token for token, counts in zip(ids, mask, strict=True) if counts]
    assert learnt == [
        token for turn in messages if turn.role == "assistant" for token in any_chat.encode_answer(turn.content)
    ]


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("system", [True, False])
def test_the_tokens_are_those_of_the_rendered_text(folders: dict[str, Path], template: str, system: bool) -> None:
    chat = ChatTokenizer.load(folders[template])
    messages = _say(("system", "say"), ("user", "list 2 animals"), ("assistant", "cat dog"), ("user", "more"))
    messages = messages if system else messages[1:]
    text = render(f"chat/{template}.j2", messages=messages, add_generation_prompt=True)
    plain = module.Tokenizer.from_str(chat._tokenizer.to_str())
    assert plain.encode(text).ids == chat.encode_prompt(messages)


def test_nemotron_conversations_are_written_as_the_released_models_read_them() -> None:
    messages = _say(("user", "Hi."), ("assistant", "Yes?"), ("user", "Why?"))
    assert render("chat/nemotron.j2", messages=messages, add_generation_prompt=True) == (
        "<extra_id_0>System\n\n<extra_id_1>User\nHi.\n<extra_id_1>Assistant\nYes?\n<extra_id_1>User\nWhy?\n"
        "<extra_id_1>Assistant\n"
    )
    said = _say(("system", "Be brief."), ("user", "Hi."))
    assert render("chat/nemotron.j2", messages=said, add_generation_prompt=False) == (
        "<extra_id_0>System\nBe brief.\n<extra_id_1>User\nHi.\n<extra_id_1>"
    )


def test_each_template_has_its_own_special_tokens() -> None:
    assert read_layout("compact").special_tokens == (
        "<|pad|>",
        "<|user|>",
        "<|assistant|>",
        "<|system|>",
        "<|end|>",
        "<|endoftext|>",
    )
    assert read_layout("nemotron").special_tokens == ("<|pad|>", "<extra_id_0>", "<extra_id_1>", "<|endoftext|>")


def test_a_nemotron_answer_stops_where_the_next_turn_would_begin(folders: dict[str, Path]) -> None:
    chat = ChatTokenizer.load(folders["nemotron"])
    assert chat._tokenizer.id_to_token(chat.end_id) == "<extra_id_1>"
    with_line_break = chat.encode_answer("dog")
    assert chat.decode(with_line_break) == chat.decode([*with_line_break[:-2], chat.end_id]) == "dog"


def test_sampled_answers_are_learnt_token_by_token(any_chat: ChatTokenizer) -> None:
    dialogue = _say(("user", "say dog"), ("assistant", "dog"), ("user", "again"), ("assistant", "dog"))
    spelt = tuple(any_chat.encode_answer("d")[:1]) + tuple(any_chat.encode_answer("o")[:1]) + (any_chat.end_id,)
    assert list(spelt) != any_chat.encode_answer("dog")
    ids, mask = any_chat.encode_dialogue(dialogue, spelt)
    prompt = any_chat.encode_prompt(dialogue[:-1])
    assert ids == [*prompt, *spelt]
    assert mask[-3:] == [1, 1, 1]
    assert sum(mask) == 3 + len(any_chat.encode_answer("dog"))


def test_an_answer_that_was_cut_off_is_not_given_an_end(any_chat: ChatTokenizer) -> None:
    cut = any_chat.encode_answer("dog")[:-1]
    ids, _ = any_chat.encode_dialogue(_say(("user", "say dog"), ("assistant", "dog")), cut)
    assert ids[-1] == cut[-1] != any_chat.end_id


def test_a_user_turn_is_read_back_as_a_model_writes_it(chat: ChatTokenizer) -> None:
    ids = chat.encode_prompt(_say(("user", "say dog")))
    opening = chat.encode_prompt((), "user")
    written = ids[len(opening) : ids.index(chat.end_id) + 1]
    assert chat.decode(written, role="user") == "say dog"
    assert ids[: len(opening)] == opening


def test_equal_texts_in_any_order_and_process_give_equal_bytes(tmp_path: Path, folder: Path) -> None:
    program = (
        "import sys, json; from pathlib import Path; from runtime.tokenizer import train_tokenizer;"
        "train_tokenizer(json.load(sys.stdin), 512, 'compact', Path(sys.argv[1]))"
    )
    texts = _texts(400)
    random.Random(1).shuffle(texts)
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], input=json.dumps(texts), text=True, check=True)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_the_folder_keeps_the_template_and_needs_nothing_else(
    folder: Path, chat: ChatTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = json.loads((folder / "tokenizer_config.json").read_text())
    assert (config["chat_template_name"], config["chat_template"]) == ("compact", template_text("chat/compact.j2"))
    assert (config["pad_token"], config["eos_token"]) == (PAD, "<|end|>")

    def edited(*_: object, **__: object) -> str:
        raise AssertionError("the template is read again")

    monkeypatch.setattr(module, "render", edited)
    monkeypatch.setattr(module, "template_text", edited)
    messages = _say(("user", "say dog"))
    assert ChatTokenizer.load(folder).encode_prompt(messages) == chat.encode_prompt(messages)


@pytest.mark.parametrize(
    "template",
    [
        "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}",
        "{% for m in messages %}<|{{ m.role }}|>{{ loop.index }} {{ m.content }}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}",
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|> {% endif %}",
    ],
)
def test_a_template_that_writes_prompts_and_dialogues_differently_is_refused(
    template: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import jinja2

    compiled = jinja2.Template(template)
    monkeypatch.setattr(module, "render", lambda _, **values: compiled.render(**values))
    with pytest.raises(ValueError, match="compact"):
        module.read_layout("compact")


def test_a_small_vocabulary_keeps_the_most_used_words_and_still_writes_all(tmp_path: Path) -> None:
    texts = ["the cat"] * 50 + ["the zyzzyva"] * 2 + ["the dog"] * 30
    small = train_tokenizer(texts, 262 + 3, "compact", tmp_path)
    assert small.vocab_size == 262 + 3
    assert [len(small.encode_answer(text)) - 1 for text in ("the cat", "the dog")] == [2, 2]
    assert small.decode(small.encode_answer("the zyzzyva")) == "the zyzzyva"


def test_every_piece_of_the_vocabulary_can_be_reached(tmp_path: Path) -> None:
    # Too many words for the room: the pieces that remain must not hang on merges that were dropped.
    rng = random.Random(0)
    stems = ["run", "walk", "talk", "jump", "sing", "read", "cook", "paint"]
    texts = [f"{rng.choice(stems)}{rng.choice(['', 's', 'er', 'ers', 'ing', 'ed'])}{'x' * (n % 7)}" for n in range(600)]
    chat = train_tokenizer(texts, 300, "compact", tmp_path)
    inner = module.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for piece, token in inner.get_vocab().items():
        if token >= 262:
            assert [found.id for found in inner.model.tokenize(piece)] == [token], piece
    merges = json.loads((tmp_path / "tokenizer.json").read_text())["model"]["merges"]
    whole = {word for text in texts for word, _ in module._pre_tokenizer().pre_tokenize_str(" " + text)}
    made = {left + right for left, right in merges}
    assert all(piece in whole or piece in made for piece, token in inner.get_vocab().items() if token >= 262)
    assert chat.vocab_size <= 300


def test_too_small_a_vocabulary_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="262"):
        train_tokenizer(["a"], 200, "compact", tmp_path)


def test_a_document_is_all_turns_and_its_own_end(any_chat: ChatTokenizer) -> None:
    messages = _say(("user", "say dog"), ("assistant", "dog"))
    assert any_chat.encode_document(messages) == [*any_chat.encode_dialogue(messages).ids, any_chat.end_of_text_id]
    assert any_chat.end_of_text_id not in (any_chat.end_id, any_chat.pad_id)
