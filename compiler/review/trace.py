"""Where a row comes from, back to its topic, models and judges, and which stages used it: read off sealed artifacts.

Rows name the rows that they were made from (`made_from`, `prompt_id`, `response_id`); a row that is only moved keeps
its id. So a row's parents stand in the inputs of the artifact that it stands in, and its children in the artifacts that
have that one as an input.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from compiler.artifacts import ArtifactRecord
from compiler.planning.inventory import Inventory, artifact_path

ROWS = "rows.jsonl"
_ENDS = frozenset({"evaluate", "examine", "report", "export", "prefer", "sft", "reward_model", "pretrain"})
"""Stages beyond which a row is not followed: what a model learnt from it is in no row any more."""


@dataclass(frozen=True)
class Place:
    """A row in an artifact."""

    row: Mapping[str, Any]
    record: ArtifactRecord

    @property
    def id(self) -> str:
        """Of the row; a score has that of its response."""
        return name_of(self.row)


@dataclass(frozen=True)
class Origin:
    """A row with everything that it was made from."""

    place: Place
    models: tuple[ArtifactRecord, ...]
    """Policies, endpoints and reward models that the stage asked; of several, the one that wrote the row."""
    scores: tuple["Origin", ...]
    """What judges said of it."""
    made_from: tuple["Origin", ...]


@dataclass(frozen=True)
class Use:
    """A stage that the row, or what was made from it, went into."""

    record: ArtifactRecord
    rows: tuple[str, ...]
    """Ids of the rows in it; none of an artifact without rows, which is made from all of its inputs' rows."""
    used_by: tuple["Use", ...]


def name_of(row: Mapping[str, Any]) -> str:
    """The id of a row; a score has that of its response."""
    return str(row.get("id", row.get("response_id", "")))


def parents_of(row: Mapping[str, Any]) -> frozenset[str]:
    """Ids of the rows that this one was made from, its own among them: it may have been moved."""
    named = [row.get("id"), row.get("prompt_id"), row.get("response_id"), *row.get("made_from", ())]
    return frozenset(str(name) for name in named if name)


class Store:
    """The rows of a store's artifacts, read when they are asked for."""

    def __init__(self, inventory: Inventory, folder: Path) -> None:
        self._inventory, self._folder = inventory, folder

    def holders(self, beginning: str) -> Iterator[Place]:
        """Every row whose id begins so, wherever it stands; scores aside, which are of another row."""
        for record in self._inventory.records.values():
            for row in self.rows(record, beginning):
                if str(row.get("id", "")).startswith(beginning):
                    yield Place(row, record)

    def rows(self, record: ArtifactRecord, *words: str) -> Iterator[Mapping[str, Any]]:
        """Rows of the artifact whose line has one of these words; only such lines are parsed."""
        file = artifact_path(self._folder, record.kind, record.fingerprint) / ROWS
        if ROWS not in record.files or not file.is_file():
            return
        wanted = [json.dumps(word, ensure_ascii=False)[1:-1].encode() for word in words]
        with file.open("rb") as lines:
            for line in lines:
                if any(word in line for word in wanted):
                    yield json.loads(line)

    def inputs(self, record: ArtifactRecord) -> list[ArtifactRecord]:
        """What the artifact was made from and is still in the store, in the order of its fields."""
        named = dict.fromkeys(source.fingerprint for source in record.inputs.values())
        return [self._inventory.records[name] for name in named if name in self._inventory.records]

    def users(self, record: ArtifactRecord) -> Sequence[ArtifactRecord]:
        """What was made from the artifact."""
        return self._users.get(record.fingerprint, ())

    @cached_property
    def _users(self) -> Mapping[str, list[ArtifactRecord]]:
        found: dict[str, list[ArtifactRecord]] = {}
        for record in self._inventory.records.values():
            for source in {source.fingerprint for source in record.inputs.values()}:
                found.setdefault(source, []).append(record)
        return found


def made_at(places: Sequence[Place], store: Store) -> list[Place]:
    """Where the row was made, of all the places where it stands: no input of that artifact has it."""
    holders = {place.record.fingerprint for place in places}
    return [place for place in places if not any(one.fingerprint in holders for one in store.inputs(place.record))]


def origin(place: Place, store: Store) -> Origin:
    """Walks back. An artifact is left where none of its inputs has a row that the row names."""
    wanted = parents_of(place.row)
    scores: list[Origin] = []
    parents: list[Origin] = []
    for record in store.inputs(place.record):
        for row in store.rows(record, *wanted):
            if name_of(row) not in wanted:
                continue
            if "response_id" in row:
                scores.append(Origin(Place(row, record), _models(row, record, store), (), ()))
            else:
                parents.append(origin(Place(row, record), store))
    return Origin(place, _models(place.row, place.record, store), tuple(scores), tuple(parents))


def uses(record: ArtifactRecord, names: Collection[str], store: Store) -> tuple[Use, ...]:
    """Walks forward from these rows of an artifact."""
    found = []
    for user in store.users(record):
        if ROWS not in user.files:
            further = () if user.kind in _ENDS else uses(user, (), store)
            found.append(Use(user, (), further))
            continue
        rows = [row for row in store.rows(user, *names) if parents_of(row) & set(names)]
        if rows:
            of_it = tuple(dict.fromkeys(name_of(row) for row in rows))
            # What rests on a score names the response, too, and is found by it.
            ends = user.kind in _ENDS or "response_id" in rows[0]
            found.append(Use(user, of_it, () if ends else uses(user, of_it, store)))
    return tuple(found)


_UNASKED = ("hand_made", "mined")
"""Origins of topics that were there before any model was asked."""


def _models(row: Mapping[str, Any], record: ArtifactRecord, store: Store) -> tuple[ArtifactRecord, ...]:
    """Inputs of the stage without rows that are no tokenizer: whom it asked. None for a topic that no model named."""
    if row.get("origin") in _UNASKED:
        return ()
    asked = [one for one in store.inputs(record) if ROWS not in one.files and one.kind not in ("tokenizer", "tokenize")]
    wrote = [one for one in asked if one.fingerprint == row.get("by")]
    return tuple(wrote or asked)
