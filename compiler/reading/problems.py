"""The problems that a pass has found so far; the one value that a pass fills as it goes."""

from collections.abc import Collection, Mapping
from dataclasses import replace

from compiler.codes import Code
from compiler.errors import Problem, SpecError
from compiler.reading.tree import Node, Place, span

_MOST = 500
_NAMED = 3


class Problems:
    """Collects the problems of one pass: each once, even where aliases, params or rounds lead to it again."""

    def __init__(self) -> None:
        self._found: dict[tuple[object, ...], Problem] = {}
        self._blamed: set[Place] = set()
        self._labels: dict[tuple[object, ...], list[str]] = {}

    def add(
        self,
        at: Place | None,
        path: str,
        message: str,
        code: Code,
        *,
        hint: str = "",
        related: tuple[tuple[Place, str], ...] = (),
        label: str = "",
    ) -> None:
        """Notes a problem, unless the same was noted of the same place. `label`: the stage that it was found in."""
        # Rounds and aliases give one mistake several paths, but the last part of them is the same.
        key = (at, code, message, path.rpartition(".")[2]) if at else (path, code, message)
        if label:
            self._labels.setdefault(key, []).append(label)
        if key in self._found:
            return
        places = tuple((span(place), word) for place, word in dict.fromkeys(related))
        self._found[key] = Problem(span(at) if at else None, path, message, code, hint, places)

    def blame(
        self,
        node: Node,
        path: str,
        message: str,
        code: Code,
        *,
        hint: str = "",
        related: tuple[tuple[Place, str], ...] = (),
    ) -> None:
        """Notes what is wrong with a value; what else later passes over it would say of it is not added."""
        self._blamed.add(node.at)
        self.add(node.at, path, message, code, hint=hint, related=related + used_here(node))

    def excuse(self, node: Node) -> None:
        """Says that a value is part of a problem that has been noted of another."""
        self._blamed.add(node.at)

    def is_blamed(self, node: Node) -> bool:
        """Whether something was said of this value already."""
        return node.at in self._blamed

    def name_rounds(self, siblings: Mapping[str, int]) -> None:
        """Adds to each problem the stages that have it, where others that were written with them have not.

        `siblings`: label -> how many stages the same lines of the recipe unroll to.
        """
        for key, labels in self._labels.items():
            having = dict.fromkeys(labels)
            if len(having) < siblings[labels[0]]:
                more = f" and {len(having) - _NAMED} more" if len(having) > _NAMED else ""
                problem = self._found[key]
                where = f"{', '.join(list(having)[:_NAMED])}{more}"
                self._found[key] = replace(problem, message=f"{problem.message} (in {where})")

    def __len__(self) -> int:
        return len(self._found)

    @property
    def found(self) -> Collection[Problem]:
        """What was noted so far."""
        return self._found.values()

    @property
    def full(self) -> bool:
        """Whether more would help nobody."""
        return len(self._found) >= _MOST

    def raise_any(self) -> None:
        """Ends the pass if there are problems."""
        if self._found:
            raise SpecError(self.found)


def used_here(node: Node) -> tuple[tuple[Place, str], ...]:
    """The place that asked for a value written elsewhere."""
    return ((node.used, "used here"),) if node.used and node.used != node.at else ()
