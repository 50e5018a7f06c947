"""What is different between two identities, field by field, and which stage upstream it comes from."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

Identity = Mapping[str, Any]
"""A stage as it was hashed: refs replaced by fingerprints."""


class Difference(NamedTuple):
    """One field that differs."""

    path: str
    old: Any
    new: Any


def differences(old: Any, new: Any, path: str = "") -> Iterator[Difference]:
    """Every field, at any depth, that is not equal; None stands for a field that one side has not."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new}):
            yield from differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
    elif isinstance(old, list | tuple) and isinstance(new, list | tuple) and len(old) == len(new):
        for index, (one, other) in enumerate(_matched(old, new)):
            yield from differences(one, other, f"{path}.{index}")
    elif old != new:
        yield Difference(path, old, new)


def _matched(old: Sequence[Any], new: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    """Items that belong together: by place; [fingerprint, value] pairs, whose order says nothing, are first rid of
    those that both sides have."""
    if all(isinstance(item, list | tuple) and len(item) == 2 and isinstance(item[0], str) for item in [*old, *new]):
        before = [item for item in old if item not in new]
        after = [item for item in new if item not in old]
        if len(before) == len(after):
            old, new = before, after
    yield from zip(old, new, strict=True)


def in_words(value: Any) -> str:
    """A value in a sentence, cut off where it is long."""
    text = "absent" if value is None else str(value)
    return text if len(text) <= 40 else text[:37] + "..."


@dataclass(frozen=True)
class Cause:
    """A field of a stage that is another one than it was: what other stages' new inputs come from."""

    label: str
    path: str
    old: Any
    new: Any

    def __str__(self) -> str:
        return f"{self.label}: {self.path} {in_words(self.old)} -> {in_words(self.new)}"


def root_causes(
    label: str,
    old: Identity | None,
    new_of: Mapping[str, Identity],
    labels: Mapping[str, str],
    old_of: Callable[[str], Identity | None],
) -> Sequence[Cause]:
    """Why this stage is not the one it was; a changed input is followed to the stages where something was written.

    `new_of`: label -> identity now. `labels`: fingerprint -> label now. `old_of`: the identity of an old fingerprint.
    """
    found: dict[tuple[str, str], Cause] = {}
    seen: set[tuple[str, int]] = set()

    def note(cause: Cause) -> None:
        found.setdefault((cause.label, cause.path), cause)

    def visit(label: str, old: Identity | None) -> None:
        if old is None:
            note(Cause(label, "the stage", None, "new"))
            return
        if (label, id(old)) in seen:
            return
        seen.add((label, id(old)))
        for path, before, after in differences(old, new_of[label]):
            source = labels.get(after) if isinstance(after, str) else None
            earlier = old_of(before) if source and isinstance(before, str) else None
            if source and earlier is not None and earlier.get("kind") == new_of[source].get("kind"):
                visit(source, earlier)
            elif source:
                note(Cause(label, path, None if before is None else "another stage", source))
            else:
                note(Cause(label, path, before, after))

    visit(label, old)
    return tuple(found.values())
