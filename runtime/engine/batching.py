"""Continuous batching: rows join and leave a running batch between two steps.

Each row of the cache is as long as the row is by now; a row that leaves makes room for the last one, so that those
under way are always the first. Shapes: B rows under way, S slots, L tokens, M cached tokens, G key/value groups, D
channels, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
import torch
from megatron.core.inference.contexts.static_context import StaticInferenceContext
from torch import Tensor

from runtime.engine.attention import RowsContext
from runtime.engine.decode import Decoder, can_decode
from runtime.engine.generate import refuse_model, sample
from runtime.engine.model import Model

_FIRST_ROOM = 64
"""Cached tokens that there is room for at first; doubled when a row needs more."""


@dataclass(frozen=True)
class Row:
    """One prompt to complete."""

    prompt: Sequence[int]
    max_new_tokens: int
    end_ids: tuple[int, ...]
    """Any of them ends the row."""
    temperature: float
    top_p: float
    uniforms: np.ndarray
    """float64 [max_new_tokens] in [0, 1); not looked at where the temperature is 0."""
    top: int = 0
    """So many of the likeliest tokens are told at each step."""


@dataclass(frozen=True)
class Token:
    """One token of one row."""

    row: int
    """As `add` named it."""
    token_id: int
    logprob: float
    """By the model's own distribution: no temperature, no nucleus."""
    top: tuple[tuple[int, float], ...]
    """The likeliest tokens and their log-probabilities, likeliest first."""
    last: bool
    """Whether the row is done: this is its end token, or there is no room for more."""


@dataclass
class _UnderWay:
    name: int
    row: Row
    written: int = 0
    token_id: int = -1
    """The newest, not yet in the cache."""


@dataclass
class ContinuousBatch:
    """Rows under way in one model. Not for use by several threads."""

    model: Model
    slots: int
    """Most rows at once; others wait their turn."""
    _rows: list[_UnderWay] = field(default_factory=list, init=False)
    _waiting: list[tuple[int, Row]] = field(default_factory=list, init=False)
    _caches: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict, init=False)
    _lengths: list[int] = field(default_factory=list, init=False)
    _decoder: Decoder | None = field(default=None, init=False)
    _names: int = field(default=0, init=False)
    _room: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        refuse_model(self.model)
        if self.model.layout.pp > 1:
            raise ValueError(f"rows cannot join a running batch on a pipeline (pp={self.model.layout.pp})")
        self.model.chunks[0].eval()
        if can_decode(self.model):
            self._decoder = Decoder(self.model)

    def __len__(self) -> int:
        """Rows under way or waiting."""
        return len(self._rows) + len(self._waiting)

    def add(self, row: Row) -> int:
        """Takes a row into the next step that has room for it; returns its name. ValueError where it can never fit."""
        room = self.model.spec.seq_length
        if not 0 < len(row.prompt) < room or row.max_new_tokens < 1 or len(row.prompt) + row.max_new_tokens > room:
            raise ValueError(f"{len(row.prompt)} tokens and {row.max_new_tokens} new ones are not within 1 and {room}")
        self._names += 1
        self._waiting.append((self._names, row))
        return self._names

    def drop(self, name: int) -> None:
        """Forgets a row; nothing happens where it is done already."""
        self._waiting = [(other, row) for other, row in self._waiting if other != name]
        for place, one in enumerate(self._rows):
            if one.name == name:
                self._leave(place)
                return

    def step(self) -> list[Token]:
        """The next token of every row: the first of those that join now, one more of those under way."""
        with torch.no_grad():
            told = self._decode() if self._rows else []
            while self._waiting and len(self._rows) < self.slots:
                told += self._join()
        return told

    def _join(self) -> list[Token]:
        """Reads the prompts of waiting rows that are as long as the first one's, and writes their first tokens."""
        free = self._waiting[: self.slots - len(self._rows)]
        (length, group), *_ = ((size, list(rows)) for size, rows in groupby(free, key=lambda one: len(one[1].prompt)))
        del self._waiting[: len(group)]
        context = StaticInferenceContext(len(group), length)
        inputs_BL = torch.tensor([list(row.prompt) for _, row in group], device=self._device)
        logits_BV = self._forward(inputs_BL, None, context)
        first = len(self._rows)
        self._make_room(length + 1)
        for layer, (keys_BGMD, values_BGMD) in context.key_value_memory_dict.items():
            keys_SGMD, values_SGMD = self._cache(layer, keys_BGMD)
            keys_SGMD[first : first + len(group), :, :length] = keys_BGMD
            values_SGMD[first : first + len(group), :, :length] = values_BGMD
        self._rows += [_UnderWay(name, row) for name, row in group]
        self._lengths += [length] * len(group)
        return self._write(logits_BV, range(first, first + len(group)))

    def _decode(self) -> list[Token]:
        self._make_room(max(self._lengths) + 1)
        lengths_B = torch.tensor(self._lengths, device=self._device)
        num_rows, longest = len(self._rows), max(self._lengths) + 1
        tokens_B = torch.tensor([one.token_id for one in self._rows], device=self._device)
        hidden_BM = torch.arange(longest, device=self._device)[None] > lengths_B[:, None]
        mask = torch.zeros(hidden_BM.shape, device=self._device).masked_fill_(hidden_BM, -1e30)[:, None, None]
        if self._decoder is not None:
            under_way = {layer: (keys[:num_rows], values[:num_rows]) for layer, (keys, values) in self._caches.items()}
            logits_BV = self._decoder.step(tokens_B, mask, under_way, places_B=lengths_B, last=longest - 1)
        else:
            context = RowsContext(self._caches, lengths_B, longest=longest, room=self.model.spec.seq_length)
            logits_BV = self._forward(tokens_B[:, None], mask, context)
        self._lengths = [length + 1 for length in self._lengths]
        return self._write(logits_BV, range(len(self._rows)))

    def _forward(self, inputs_BL: Tensor, mask: Tensor | None, context: StaticInferenceContext) -> Tensor:
        (chunk,) = self.model.chunks
        logits: Tensor = chunk(inputs_BL, None, mask, inference_context=context, runtime_gather_output=True)
        return logits[:, -1].float()

    def _write(self, logits_BV: Tensor, places: range) -> list[Token]:
        """Draws the next token of each of these rows; those that are done leave."""
        tokens_B = self._draw(logits_BV, [self._rows[place] for place in places])
        normal_B = logits_BV.logsumexp(dim=-1)
        chosen = (logits_BV.gather(1, tokens_B[:, None])[:, 0] - normal_B).tolist()
        most = max(self._rows[place].row.top for place in places)
        top_values, top_ids = (logits_BV - normal_B[:, None]).topk(most, dim=-1) if most else (None, None)
        told = []
        for column, (place, token_id) in enumerate(zip(places, tokens_B.tolist(), strict=True)):
            one = self._rows[place]
            one.token_id = token_id
            one.written += 1
            top: tuple[tuple[int, float], ...] = ()
            if top_values is not None and top_ids is not None and one.row.top:
                ids, values = top_ids[column, : one.row.top].tolist(), top_values[column, : one.row.top].tolist()
                top = tuple(zip(ids, values, strict=True))
            last = token_id in one.row.end_ids or one.written >= one.row.max_new_tokens
            told.append(Token(one.name, token_id, chosen[column], top, last))
        for place in reversed(places):
            if told[place - places.start].last:
                self._leave(place)
        return told

    def _draw(self, logits_BV: Tensor, rows: Sequence[_UnderWay]) -> Tensor:
        """Each row by its own temperature and nucleus; rows of like sampling together."""
        tokens_B = logits_BV.argmax(dim=-1)
        groups: dict[tuple[float, float], list[int]] = {}
        for column, one in enumerate(rows):
            if one.row.temperature > 0:
                groups.setdefault((one.row.temperature, one.row.top_p), []).append(column)
        for (temperature, top_p), columns in groups.items():
            noise = [rows[column].row.uniforms[rows[column].written] for column in columns]
            uniforms_B = torch.tensor(np.array(noise), device=self._device)
            place = torch.tensor(columns, device=self._device)
            tokens_B[place] = sample(logits_BV[place], uniforms_B, temperature=temperature, top_p=top_p)
        return tokens_B

    def _leave(self, place: int) -> None:
        """The last row takes this one's slot."""
        last = len(self._rows) - 1
        if place != last:
            length = self._lengths[last]
            for keys_SGMD, values_SGMD in self._caches.values():
                keys_SGMD[place, :, :length] = keys_SGMD[last, :, :length]
                values_SGMD[place, :, :length] = values_SGMD[last, :, :length]
            self._rows[place], self._lengths[place] = self._rows[last], self._lengths[last]
        self._rows.pop()
        self._lengths.pop()

    def _cache(self, layer: int, like_BGMD: Tensor) -> tuple[Tensor, Tensor]:
        """Of zeros and not of whatever is in memory: what is hidden is multiplied by zero, and must not be NaN."""
        if layer not in self._caches:
            _, groups, _, channels = like_BGMD.shape
            shape = (self.slots, groups, self._room, channels)
            self._caches[layer] = (like_BGMD.new_zeros(shape), like_BGMD.new_zeros(shape))
        return self._caches[layer]

    def _make_room(self, tokens: int) -> None:
        """Caches grow by doubling, up to the model's longest sequence."""
        if tokens <= self._room and self._caches:
            return
        room = _FIRST_ROOM
        while room < tokens:
            room *= 2
        self._room = max(self._room, min(room, self.model.spec.seq_length))
        for layer, caches in self._caches.items():
            grown = tuple(torch.nn.functional.pad(cache, (0, 0, 0, self._room - cache.shape[2])) for cache in caches)
            self._caches[layer] = (grown[0], grown[1])

    @property
    def _device(self) -> torch.device:
        device: torch.device = next(self.model.chunks[0].parameters()).device
        return device
