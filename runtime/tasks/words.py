"""The words that tasks are made of. Few and short, so that each becomes one token of a small vocabulary."""

KINDS: dict[str, tuple[str, ...]] = {
    "animal": ("cat", "dog", "cow", "pig", "bear", "duck", "fox", "goat"),
    "fruit": ("apples", "pears", "plums", "grapes", "lemons", "figs", "limes", "melons"),
    "color": ("red", "blue", "green", "pink", "black", "white", "gray", "gold"),
    "tool": ("saw", "axe", "fork", "pen", "rope", "knife", "spoon", "nail"),
    "place": ("park", "lake", "town", "farm", "shop", "beach", "hill", "school"),
    "garment": ("hat", "coat", "shirt", "boot", "glove", "sock", "belt", "scarf"),
}
"""Kind -> things of that kind."""

KIND_OF = {word: kind for kind, words in KINDS.items() for word in words}
"""Thing -> its kind; the keys are all things."""

THINGS = tuple(KIND_OF)

NAMES = ("Tom", "Ann", "Sam", "Kim", "Bob", "Eva")


def plural(noun: str, count: int) -> str:
    """The noun as it stands after this number."""
    return noun if count == 1 else noun + "s"


def in_case(word: str, capitals: bool) -> str:
    """The word as a prompt in capitals (or not) wants it."""
    return word.upper() if capitals else word
