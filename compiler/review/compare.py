"""Two recipes, or a recipe and a past run, stage by stage."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from compiler.planning.differences import Cause, Identity, root_causes


@dataclass(frozen=True)
class Side:
    """One of the two: its stages' fingerprints and what was hashed."""

    name: str
    prints: Mapping[str, str]
    """label -> fingerprint"""
    identities: Mapping[str, Identity]
    """fingerprint -> what was hashed"""


@dataclass(frozen=True)
class Comparison:
    """From `old` to `new`."""

    same: tuple[str, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    renamed: tuple[tuple[str, str], ...]
    """(label in old, label in new) of one fingerprint"""
    changed: tuple[str, ...]
    causes: tuple[Cause, ...]
    """What was written anew; every changed stage is changed because of one of these."""

    @property
    def equal(self) -> bool:
        """Whether both compute the same under the same names."""
        return not (self.added or self.removed or self.renamed or self.changed)


def compare(old: Side, new: Side) -> Comparison:
    """Stage by stage, by label; a fingerprint that only its label lost is a renamed stage."""
    both = [label for label in new.prints if label in old.prints]
    changed = tuple(label for label in both if old.prints[label] != new.prints[label])
    gone = {old.prints[label]: label for label in old.prints if label not in new.prints}
    came = [label for label in new.prints if label not in old.prints]
    renamed = tuple((gone[new.prints[label]], label) for label in came if new.prints[label] in gone)
    names = {label for pair in renamed for label in pair}
    return Comparison(
        same=tuple(label for label in both if old.prints[label] == new.prints[label]),
        added=tuple(label for label in came if label not in names),
        removed=tuple(label for label in old.prints if label not in new.prints and label not in names),
        renamed=renamed,
        changed=changed,
        causes=_causes(old, new, changed),
    )


def _causes(old: Side, new: Side, changed: tuple[str, ...]) -> tuple[Cause, ...]:
    identities = {label: new.identities[print_] for label, print_ in new.prints.items() if print_ in new.identities}
    labels = {print_: label for label, print_ in new.prints.items()}
    old_of: Callable[[str], Identity | None] = old.identities.get
    found: dict[tuple[str, str], Cause] = {}
    for label in changed:
        before = old_of(old.prints[label])
        if before is not None and label in identities:
            for cause in root_causes(label, before, identities, labels, old_of):
                found.setdefault((cause.label, cause.path), cause)
    return tuple(found.values())
