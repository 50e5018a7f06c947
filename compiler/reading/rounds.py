"""How often a loop goes round."""

from compiler.experiment import MOST_ROUNDS, LoopEntry
from compiler.reading.problems import Problems
from compiler.reading.tree import describe, plain
from compiler.reading.variables import Values, substitute


def number_of_rounds(loop: LoopEntry, values: Values, problems: Problems) -> int:
    """The number of rounds; 0 where it is wrong, which is then among the problems."""
    if loop.repeat is None:
        return len(loop.over or ())
    path = f"{loop.path}.repeat"
    node = substitute(loop.repeat, values, problems, path)
    count = plain(node)
    if problems.is_blamed(node):
        return 0
    if isinstance(count, bool) or not isinstance(count, int):
        problems.blame(node, path, f"is {describe(node)}, but must be a whole number", "wrong-type")
        return 0
    if not 1 <= count <= MOST_ROUNDS:
        problems.blame(node, path, f"is {count}, but must be from 1 to {MOST_ROUNDS}", "out-of-range")
        return 0
    return count
