"""The problems that a pass has found so far; the one value that a pass fills as it goes."""

from collections.abc import Collection

from compiler.codes import Code
from compiler.errors import Problem, SpecError
from compiler.reading.tree import Node, Place, span

_MOST = 500


class Problems:
    """Collects the problems of one pass: each once, even where aliases, params or rounds lead to it again."""

    def __init__(self) -> None:
        self._found: dict[tuple[object, ...], Problem] = {}
        self._blamed: set[Place] = set()

    def add(
        self,
        at: Place | None,
        path: str,
        message: str,
        code: Code,
        *,
        hint: str = "",
        related: tuple[tuple[Place, str], ...] = (),
    ) -> None:
        """Notes a problem, unless the same was noted of the same place."""
        # Rounds and aliases give one mistake several paths, but the last part of them is the same.
        key = (at, code, message, path.rpartition(".")[2]) if at else (path, code, message)
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
