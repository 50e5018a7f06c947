"""Where topics come from, one file per kind of source: `find(source, ...)` gives topics or why there are none."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Named:
    """A topic as a source names it."""

    topic: str
    under: str = ""
    """The broad topic that it is a part of, where the source goes from broad to narrow."""
    made_from: tuple[str, ...] = ()
    """Ids of the rows that it stood in."""
