"""Where commands print."""

from rich.console import Console


def console(*, stderr: bool = False) -> Console:
    """The terminal; into a file or a pipe nothing is cut off: lines are as long as the tables need."""
    screen = Console(stderr=stderr)
    return screen if screen.is_terminal else Console(stderr=stderr, width=180)
