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
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from compiler.artifacts import Message
from compiler.render import render, template_text

PAD, END_OF_TEXT = "<|pad|>", "<|endoftext|>"
Role = Literal["user", "assistant", "system"]
ROLES: tuple[Role, ...] = get_args(Role)

TOKENIZER_FILE, TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"
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
    """Role -> the text before a turn, without the spaces that follow."""
    lead: Mapping[str, str]
    """Role -> spaces between the marker and the turn's words: tokenized together with them."""
    generation_prompt: str
    """What asks the assistant for its turn: its marker, without the lead, which the model writes itself."""
    end: str = "<|end|>"
    """The token that ends a turn."""
    tail: str = ""
    """Plain text between the turn's words and the end token: tokenized together with the words."""
    opening: str = ""
    """What stands before a conversation that has no system turn."""
    gap: str = ""
    """Between the end of a turn and the next marker; nobody learns to write it."""
    pad: str = PAD
    """The token that fills up rows."""
    end_of_text: str = END_OF_TEXT
    """The token that ends a document."""

    @property
    def special_tokens(self) -> tuple[str, ...]:
        """Padding, what the template writes in angle brackets, and the end of a document."""
        written = "".join([*(self.markers[role] for role in ROLES), self.opening, self.end])
        return tuple(dict.fromkeys([self.pad, *_SPECIAL.findall(written), self.end_of_text]))


class ChatTokenizer:
    """A trained tokenizer with its chat layout."""

    def __init__(self, tokenizer: Tokenizer, layout: ChatLayout) -> None:
        self._tokenizer = tokenizer
        self._lead, self._tail = layout.lead, layout.tail
        self.layout = layout
        self._tokenizer.encode_special_tokens = False
        self._markers = {role: self._plain_ids(text) for role, text in layout.markers.items()}
        self._opening = self._plain_ids(layout.opening)
        self._gap = self._plain_ids(layout.gap)
        (self.pad_id,) = self._plain_ids(layout.pad)
        (self.end_id,) = self._plain_ids(layout.end)
        (self.end_of_text_id,) = self._plain_ids(layout.end_of_text)
        # From here on `<|end|>` in somebody's words is seven signs, not the end of their turn.
        self._tokenizer.encode_special_tokens = True
        self.vocab_size: int = tokenizer.get_vocab_size()

    @staticmethod
    def load(folder: Path) -> "ChatTokenizer":
        """The tokenizer in this folder, with the chat layout it was made with."""
        config = json.loads((folder / TOKENIZER_CONFIG).read_text(encoding="utf-8"))
        return ChatTokenizer(Tokenizer.from_file(str(folder / TOKENIZER_FILE)), ChatLayout(**config["chat_layout"]))

    def encode_prompt(self, messages: Sequence[Message], speaker: Role = "assistant") -> list[int]:
        """All turns, then the marker that asks the speaker for the next."""
        return [*self._turns(messages), *(self._gap if messages else []), *self._markers[speaker]]

    def encode_dialogue(self, messages: Sequence[Message], answer_ids: Sequence[int] | None = None) -> Encoded:
        """All turns and what is to be learnt; with `answer_ids` the last turn's tokens are exactly these."""
        spoken: list[Sequence[int]] = [self._spoken(message) for message in messages]
        if answer_ids is not None:
            spoken[-1] = answer_ids
        ids = self._before(messages)
        mask = [0] * len(ids)
        for turn, (message, words) in enumerate(zip(messages, spoken, strict=True)):
            marker = self._marker(message, turn)
            ids += [*marker, *words]
            mask += [0] * len(marker) + [int(message.role == "assistant")] * len(words)
        return Encoded(ids, mask)

    def encode_document(self, messages: Sequence[Message]) -> list[int]:
        """A conversation as pretraining reads it: all turns, then the token that ends the document."""
        return [*self._turns(messages), self.end_of_text_id]

    def encode_answer(self, text: str) -> list[int]:
        """An assistant's turn as a model would have sampled it, end token included."""
        return self._spoken(Message(role="assistant", content=text))

    def answer_ids(self, text: str, sampled: Sequence[int] | None) -> Sequence[int]:
        """An answer's tokens: as they were sampled where that is known, since encode(decode(ids)) is not ids."""
        return self.encode_answer(text) if sampled is None else sampled

    def encode_text(self, text: str) -> list[int]:
        """Plain text, as it stands."""
        return self._plain_ids(text)

    def decode_text(self, ids: Sequence[int]) -> str:
        """Tokens as they stand, special ones included."""
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=False)
        return text

    def decode(self, ids: Sequence[int], role: Role = "assistant") -> str:
        """The words of one turn, without its end token."""
        ended = bool(ids) and ids[-1] == self.end_id
        text: str = self._tokenizer.decode(list(ids[:-1] if ended else ids), skip_special_tokens=False)
        return text.removeprefix(self._lead[role]).removesuffix(self._tail if ended else "")

    def _turns(self, messages: Sequence[Message]) -> list[int]:
        return [
            *self._before(messages),
            *(
                token
                for turn, message in enumerate(messages)
                for token in self._marker(message, turn) + self._spoken(message)
            ),
        ]

    def _marker(self, message: Message, turn: int) -> list[int]:
        return [*(self._gap if turn else []), *self._markers[message.role]]

    def _before(self, messages: Sequence[Message]) -> list[int]:
        return [] if messages and messages[0].role == "system" else list(self._opening)

    def _spoken(self, message: Message) -> list[int]:
        return [*self._plain_ids(self._lead[message.role] + message.content + self._tail), self.end_id]

    def _plain_ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids


def train_tokenizer(texts: Iterable[str], vocab_size: int, chat_template: str, folder: Path) -> ChatTokenizer:
    """Trains on these turns and writes the folder; equal texts in any order give equal bytes."""
    layout = read_layout(chat_template)
    smallest = len(layout.special_tokens) + len(pre_tokenizers.ByteLevel.alphabet())
    if vocab_size < smallest:
        raise ValueError(f"vocab_size is {vocab_size}, but the bytes and the special tokens alone are {smallest}")
    words = _count_words(texts, layout.lead["user"])
    tokenizer = _assemble(layout.special_tokens, *_choose_pieces(words, vocab_size, room=vocab_size - smallest))
    _write(tokenizer, chat_template, layout, folder)
    return ChatTokenizer(tokenizer, layout)


def adopt_tokenizer(tokenizer: Tokenizer, chat_template: str, folder: Path) -> ChatTokenizer:
    """Writes the folder of a tokenizer that was trained elsewhere; ValueError where it cannot write conversations by
    this template, or does not give back the text that it was given."""
    special = [token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special]
    plain = read_layout(chat_template)
    ends = [token for token in _ENDS_OF_TEXT if token in special]
    pads = [token for token in _PADS if token in special]
    layout = replace(plain, pad=[*pads, plain.end][0], end_of_text=[*ends, plain.end][0])
    missing = [token for token in layout.special_tokens if token not in special]
    if missing:
        raise ValueError(
            f"the tokenizer has no special token {', '.join(missing)}, which templates/chat/{chat_template}.j2 writes"
        )
    chat = ChatTokenizer(tokenizer, layout)
    if chat.decode(chat.encode_answer(_PROBE)) != _PROBE:
        raise ValueError("the tokenizer changes text: what it decodes is not what it encoded")
    tokenizer.encode_special_tokens = False
    tokenizer.no_truncation()
    tokenizer.no_padding()
    _write(tokenizer, chat_template, layout, folder)
    return ChatTokenizer.load(folder)


_ENDS_OF_TEXT = (END_OF_TEXT, "<|end_of_text|>", "</s>", "<eos>")
_PADS = (PAD, "<pad>", "[PAD]", "<|endoftext|>", "<|finetune_right_pad_id|>")
_PROBE = "Two words, 1234: (x + y)\n\n\tπ is 3.14;  naïve 東京 🙂\n"
"""Comes back from every tokenizer that can write any text."""


def read_layout(chat_template: str) -> ChatLayout:
    """Reads off a template what it writes around a turn, and makes sure that it writes every turn alike."""
    name = f"chat/{chat_template}.j2"
    after = _pieces(name, "user")[-1]
    end = re.fullmatch(r"([^<>]*)(<[^<>\s]+>)(\s*)", after)
    if end is None:
        raise ValueError(f"{name} ends a turn with {after!r}, in which no special token stands")
    split = {role: _marker(name, role, after) for role in ROLES}
    alone, _ = _pieces(name, "user")
    layout = ChatLayout(
        markers={role: marker for role, (marker, _) in split.items()},
        lead={role: lead for role, (_, lead) in split.items()},
        generation_prompt=_written(name, "user", asks=True).removeprefix(_written(name, "user")),
        end=end[2],
        tail=end[1],
        opening=alone.removesuffix("".join(split["user"])),
        gap=end[3],
    )
    for first in ("system", "user"):
        for asks in (False, True):
            roles = (first, "user", "assistant", "user", "assistant")
            if _written(name, *roles, asks=asks) != _expected(layout, roles, asks):
                raise ValueError(f"{name} does not write every turn alike; models need `<marker> words {layout.end}`")
    if layout.generation_prompt != layout.markers["assistant"]:
        raise ValueError(f"{name}: an answer starts with another marker than a prompt ends with")
    return layout


_SPECIAL = re.compile(r"<[^<>\s]+>")
_WORD = "words"


def _written(template: str, *roles: str, asks: bool = False) -> str:
    messages = [Message.model_validate({"role": role, "content": _WORD}) for role in roles]
    return render(template, messages=messages, add_generation_prompt=asks)


def _pieces(template: str, *roles: str) -> list[str]:
    """What the template writes before, between and after the words of turns of these roles."""
    pieces = _written(template, *roles).split(_WORD)
    if len(pieces) != len(roles) + 1:
        raise ValueError(f"{template} does not write each turn's words once")
    return pieces


def _marker(template: str, role: str, after: str) -> tuple[str, str]:
    """The marker before a turn of this role that follows another, and the spaces between it and the words."""
    between = _pieces(template, "user", role)[1]
    match = re.fullmatch(r"(.*[>\n])( *)", between.removeprefix(after), re.DOTALL)
    if match is None or not between.startswith(after):
        raise ValueError(f"{template} writes {between!r} between two turns, not what ends one and then a marker")
    return match[1], match[2]


def _expected(layout: ChatLayout, roles: Sequence[str], asks: bool) -> str:
    end = layout.tail + layout.end + layout.gap
    turns = [layout.markers[role] + layout.lead[role] + _WORD + end for role in roles]
    opening = "" if roles[0] == "system" else layout.opening
    return opening + "".join(turns) + (layout.generation_prompt if asks else "")


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


def _choose_pieces(words: Counter[str], vocab_size: int, room: int) -> tuple[list[str], list[tuple[str, str]]]:
    """The pieces beside bytes and special tokens (at most `room`), most used first, and the merges that make them.

    Byte-pair training needs many pieces on its way to whole words (` d`, ` do`, ` dog`). In a vocabulary of a few
    hundred they would take the room of words, so more are trained than wanted, and those stay that words end up as.
    """
    trained, merges = _train(words, vocab_size)
    made_of = {left + right: (left, right) for left, right in merges}
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


def _assemble(special: Sequence[str], pieces: Sequence[str], merges: Sequence[tuple[str, str]]) -> Tokenizer:
    tokens = [*special, *sorted(pre_tokenizers.ByteLevel.alphabet()), *pieces]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=list(merges), ignore_merges=True))
    tokenizer.pre_tokenizer = _pre_tokenizer()
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return tokenizer


def _write(tokenizer: Tokenizer, chat_template: str, layout: ChatLayout, folder: Path) -> None:
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": layout.pad,
        "eos_token": layout.end,
        "chat_template": template_text(f"chat/{chat_template}.j2"),
        "chat_template_name": chat_template,
        "chat_layout": asdict(layout),
    }
    (folder / TOKENIZER_FILE).write_text(tokenizer.to_str(pretty=True), encoding="utf-8")
    (folder / TOKENIZER_CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
