"""Byte-pair tokenizers that know how to write a conversation.

A tokenizer's folder holds `tokenizer.json` and `tokenizer_config.json` in Hugging Face's format; the chat template is
kept in it by name and text, with the layout that was read off the template, so that later edits of the template leave
older models alone. Text is always encoded piece by piece, between markers: what a model was trained on and what it is
given when it generates are the same tokens, and no text can forge a marker.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from compiler.artifacts import Message
from compiler.render import render, template_text

PAD, END, END_OF_TEXT = "<|pad|>", "<|end|>", "<|endoftext|>"
Role = Literal["user", "assistant", "system"]
ROLES: tuple[Role, ...] = get_args(Role)
SPECIAL_TOKENS = (PAD, *(f"<|{role}|>" for role in ROLES), END, END_OF_TEXT)

_FILE, _CONFIG = "tokenizer.json", "tokenizer_config.json"
_WORDS = r" ?\p{L}+| ?\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""Words, single digits and runs of signs, each with the space before it."""
_SPARE = 4
"""So many times the wanted vocabulary is trained; the pieces that words are not made of are dropped afterwards."""


class Encoded(NamedTuple):
    """A conversation as tokens."""

    ids: list[int]
    mask: list[int]
    """1 where the model is to learn: the assistant's words and their end tokens."""


@dataclass(frozen=True)
class ChatLayout:
    """What a chat template writes around each turn. A turn ends with the end token."""

    markers: Mapping[str, str]
    """Role -> the text before a turn, up to its last special token."""
    lead: Mapping[str, str]
    """Role -> plain text between the marker and the turn's words: tokenized together with them."""
    generation_prompt: str
    """What asks the assistant for its turn: its marker, without the lead, which the model writes itself."""


class ChatTokenizer:
    """A trained tokenizer with its chat layout."""

    def __init__(self, tokenizer: Tokenizer, layout: ChatLayout) -> None:
        self._tokenizer = tokenizer
        self._lead = layout.lead
        self._tokenizer.encode_special_tokens = False
        self._markers = {role: self._plain_ids(text) for role, text in layout.markers.items()}
        self._generation_prompt = self._plain_ids(layout.generation_prompt)
        self._specials = {token: self._plain_ids(token) for token in (PAD, END, END_OF_TEXT)}
        # From here on `<|end|>` in somebody's words is seven signs, not the end of their turn.
        self._tokenizer.encode_special_tokens = True
        self.vocab_size: int = tokenizer.get_vocab_size()
        (self.pad_id,) = self._specials[PAD]
        (self.end_id,) = self._specials[END]
        (self.end_of_text_id,) = self._specials[END_OF_TEXT]

    @staticmethod
    def load(folder: Path) -> "ChatTokenizer":
        """The tokenizer in this folder, with the chat layout it was made with."""
        config = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))
        return ChatTokenizer(Tokenizer.from_file(str(folder / _FILE)), ChatLayout(**config["chat_layout"]))

    def encode_prompt(self, messages: Sequence[Message]) -> list[int]:
        """All turns, then the marker that asks the assistant to speak."""
        return [token for message in messages for token in self._turn(message)] + self._generation_prompt

    def encode_dialogue(self, messages: Sequence[Message], answer_ids: Sequence[int] | None = None) -> Encoded:
        """All turns and what is to be learnt; with `answer_ids` the last turn's tokens are exactly these."""
        spoken: list[Sequence[int]] = [self._spoken(message) for message in messages]
        if answer_ids is not None:
            spoken[-1] = answer_ids
        ids: list[int] = []
        mask: list[int] = []
        for message, words in zip(messages, spoken, strict=True):
            marker = self._markers[message.role]
            ids += [*marker, *words]
            mask += [0] * len(marker) + [int(message.role == "assistant")] * len(words)
        return Encoded(ids, mask)

    def encode_document(self, messages: Sequence[Message]) -> list[int]:
        """A conversation as pretraining reads it: all turns, then the token that ends the document."""
        return [*(token for message in messages for token in self._turn(message)), self.end_of_text_id]

    def encode_answer(self, text: str) -> list[int]:
        """An assistant's turn as a model would have sampled it, end token included."""
        return self._spoken(Message(role="assistant", content=text))

    def opening(self, role: Role) -> list[int]:
        """The marker after which a model writes a turn of this role."""
        return list(self._markers[role])

    def decode(self, ids: Sequence[int], role: Role = "assistant") -> str:
        """The words of one turn, without its end token."""
        words = ids[:-1] if ids and ids[-1] == self.end_id else ids
        text: str = self._tokenizer.decode(list(words), skip_special_tokens=False)
        return text.removeprefix(self._lead[role])

    def _turn(self, message: Message) -> list[int]:
        return self._markers[message.role] + self._spoken(message)

    def _spoken(self, message: Message) -> list[int]:
        return [*self._plain_ids(self._lead[message.role] + message.content), self.end_id]

    def _plain_ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids


def train_tokenizer(texts: Iterable[str], vocab_size: int, chat_template: str, folder: Path) -> ChatTokenizer:
    """Trains on these turns and writes the folder; equal texts in any order give equal bytes."""
    smallest = len(SPECIAL_TOKENS) + len(pre_tokenizers.ByteLevel.alphabet())
    if vocab_size < smallest:
        raise ValueError(f"vocab_size is {vocab_size}, but the bytes and the special tokens alone are {smallest}")
    layout = read_layout(chat_template)
    words = _count_words(texts, layout.lead["user"])
    tokenizer = _assemble(*_choose_pieces(words, vocab_size))
    _write(tokenizer, chat_template, layout, folder)
    return ChatTokenizer(tokenizer, layout)


def read_layout(chat_template: str) -> ChatLayout:
    """Reads off a template what it writes around a turn, and makes sure that it writes every turn alike."""
    name = f"chat/{chat_template}.j2"
    split = {role: _around(name, role) for role in ROLES}
    layout = ChatLayout(
        markers={role: marker for role, (marker, _) in split.items()},
        lead={role: lead for role, (_, lead) in split.items()},
        generation_prompt=render(name, messages=[], add_generation_prompt=True),
    )
    roles: tuple[Role, ...] = ("system", "user", "assistant", "user", "assistant")
    sample = [Message(role=role, content=f"word{place}") for place, role in enumerate(roles)]
    for asks in (False, True):
        expected = "".join(layout.markers[turn.role] + layout.lead[turn.role] + turn.content + END for turn in sample)
        expected += layout.generation_prompt if asks else ""
        if render(name, messages=sample, add_generation_prompt=asks) != expected:
            raise ValueError(f"{name} does not write every turn alike; models need `<marker> words {END}`")
    if layout.generation_prompt != layout.markers["assistant"]:
        raise ValueError(f"{name}: an answer starts with another marker than a prompt ends with")
    return layout


def _around(template: str, role: Role) -> tuple[str, str]:
    """The marker before a turn of this role, and the plain text between it and the words."""
    words = "words"
    text = render(template, messages=[Message(role=role, content=words)], add_generation_prompt=False)
    match = re.fullmatch(rf"(.*<\|{role}\|>)([^|]*){words}{re.escape(END)}", text, re.DOTALL)
    if match is None:
        raise ValueError(f"{template} does not write a turn as <|{role}|> words {END}, but {text!r}")
    return match[1], match[2]


def _pre_tokenizer() -> Any:
    split = pre_tokenizers.Split(Regex(_WORDS), behavior="isolated")
    return pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def _count_words(texts: Iterable[str], lead: str) -> Counter[str]:
    turns = Counter(texts)
    cut = _pre_tokenizer()
    words: Counter[str] = Counter()
    for text, count in turns.items():
        for word, _ in cut.pre_tokenize_str(lead + text):
            words[word] += count
    return words


def _choose_pieces(words: Counter[str], vocab_size: int) -> tuple[list[str], list[tuple[str, str]]]:
    """The pieces beside bytes and special tokens, most used first, and the merges that make them.

    Byte-pair training needs many pieces on its way to whole words (` d`, ` do`, ` dog`). In a vocabulary of a few
    hundred they would take the room of words, so more are trained than wanted, and those stay that words end up as.
    """
    trained, merges = _train(words, vocab_size)
    made_of = {left + right: (left, right) for left, right in merges}
    room = vocab_size - len(SPECIAL_TOKENS) - len(pre_tokenizers.ByteLevel.alphabet())
    kept: dict[str, None] = {}
    for piece, _ in sorted(_uses(trained, words).items(), key=lambda use: (-use[1], use[0])):
        # A whole word is found as it is; any other piece can only be reached over the pieces that it is made of.
        needed = [piece] if piece in words else [part for part in _ancestry(piece, made_of) if part not in kept]
        if piece in made_of and piece not in kept and len(kept) + len(needed) <= room:
            kept.update(dict.fromkeys(needed))
    known = {*kept, *pre_tokenizers.ByteLevel.alphabet()}
    reachable = [(left, right) for left, right in merges if {left, right, left + right} <= known]
    return list(kept), reachable


def _train(words: Counter[str], vocab_size: int) -> tuple[Any, list[tuple[str, str]]]:
    tokenizer = Tokenizer(models.BPE())
    # Words are given one by one and must not be cut again; a frequent word is repeated, which is how it is counted.
    tokenizer.pre_tokenizer = pre_tokenizers.Split("\n", behavior="removed")
    trainer = trainers.BpeTrainer(
        vocab_size=_SPARE * vocab_size,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_repeated(words), trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return tokenizer.model, [(left, right) for left, right in model["merges"]]


def _repeated(words: Counter[str]) -> Iterator[str]:
    for word, count in sorted(words.items()):
        for first in range(0, count, 10_000):
            yield "\n".join([word] * min(10_000, count - first))


def _uses(model: Any, words: Counter[str]) -> Counter[str]:
    uses: Counter[str] = Counter()
    for word, count in words.items():
        for token in model.tokenize(word):
            uses[token.value] += count
    return uses


def _ancestry(piece: str, made_of: Mapping[str, tuple[str, str]]) -> list[str]:
    """The piece and all pieces that its merges go through, smallest first; single bytes are not among them."""
    if piece not in made_of:
        return []
    left, right = made_of[piece]
    return [*dict.fromkeys(_ancestry(left, made_of) + _ancestry(right, made_of)), piece]


def _assemble(pieces: Sequence[str], merges: Sequence[tuple[str, str]]) -> Tokenizer:
    tokens = [*SPECIAL_TOKENS, *sorted(pre_tokenizers.ByteLevel.alphabet()), *pieces]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=list(merges), ignore_merges=True))
    tokenizer.pre_tokenizer = _pre_tokenizer()
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS])
    return tokenizer


def _write(tokenizer: Tokenizer, chat_template: str, layout: ChatLayout, folder: Path) -> None:
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": PAD,
        "eos_token": END,
        "chat_template": template_text(f"chat/{chat_template}.j2"),
        "chat_template_name": chat_template,
        "chat_layout": asdict(layout),
    }
    (folder / _FILE).write_text(tokenizer.to_str(pretty=True), encoding="utf-8")
    (folder / _CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
