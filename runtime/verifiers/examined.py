"""The program's side of an exam: defines what the program defines, and does what the examiner asks, over two pipes.

A script of its own, run in a sandbox by `examiner.py`; its arguments are the numbers of the pipes that it reads and
writes. Nothing that it says is trusted. Lines are JSON; `plain` says how values are written.
"""

import builtins
import json
import os
import sys
from typing import Any

_ATOMS = (bool, int, float, str)


def main(asked: int, told: int) -> None:
    """Answers until nobody asks any more."""
    sys.set_int_max_str_digits(0)
    questions = os.fdopen(asked, encoding="utf-8", errors="surrogatepass")
    code = json.loads(next(questions))
    module = type(sys)("program")
    sys.modules["program"] = module
    kept: list[Any] = []

    def say(answer: Any) -> None:
        left = (json.dumps(answer) + "\n").encode()
        while left:
            left = left[os.write(told, left) :]

    try:
        exec(compile(code, "program.py", "exec"), module.__dict__)
    except BaseException as error:
        sys.stderr.write(repr(error)[:500] + "\n")
        say(["raised", type(error).__name__, str(error)])
        return
    names = {name: value for name, value in module.__dict__.items() if not name.startswith("__")}
    say(["names", {name: plain(value, kept) for name, value in names.items()}])
    for line in questions:
        try:
            say(_answer(json.loads(line), kept))
        except BaseException as error:
            say(["raised", type(error).__name__, str(error)[:500]])


def _answer(asked: list[Any], kept: list[Any]) -> list[Any]:
    """`call` gives the arguments, too, as they are afterwards: a function may change them."""
    what, target, *rest = asked
    thing = kept[target]
    if what == "call":
        arguments, named = (
            [value(one, kept) for one in rest[0]],
            {key: value(one, kept) for key, one in rest[1].items()},
        )
        found = thing(*arguments, **named)
        return ["value", plain(found, kept), [plain(one, kept) for one in arguments]]
    if what == "get":
        return ["value", plain(getattr(thing, rest[0]), kept)]
    if what == "set":
        setattr(thing, rest[0], value(rest[1], kept))
        return ["value", plain(None, kept)]
    if what == "item":
        return ["value", plain(thing[value(rest[0], kept)], kept)]
    if what == "len":
        return ["value", plain(len(thing), kept)]
    if what == "items":
        return ["value", plain(list(thing), kept)]
    if what == "equal":
        return ["value", plain(bool(thing == kept[rest[0]]), kept)]
    return ["value", plain(str(thing), kept)]


def plain(thing: Any, kept: list[Any]) -> list[Any]:
    """[type, what it holds]; what is no plain value stays here and is named by its number in `kept`."""
    if thing is None:
        return ["atom", None]
    name = getattr(thing, "__name__", "") if type(thing) is type else ""
    if name and getattr(builtins, name, None) is thing:
        return ["type", name]
    for atom in _ATOMS:
        if isinstance(thing, atom):
            return ["atom", atom(thing)]
    if isinstance(thing, bytes):
        return ["bytes", thing.hex()]
    if isinstance(thing, complex):
        return ["complex", thing.real, thing.imag]
    if isinstance(thing, range):
        return ["range", thing.start, thing.stop, thing.step]
    for kind in (list, tuple, set, frozenset):
        if isinstance(thing, kind):
            return [kind.__name__, [plain(one, kept) for one in thing]]
    if isinstance(thing, dict):
        return ["dict", [[plain(key, kept), plain(one, kept)] for key, one in thing.items()]]
    if isinstance(thing, type(sys)):
        return ["module", thing.__name__]
    number = next((place for place, one in enumerate(kept) if one is thing), len(kept))
    if number == len(kept):
        kept.append(thing)
    return ["kept", number]


def value(told: list[Any], kept: list[Any]) -> Any:
    """What `plain` wrote."""
    kind, *held = told
    if kind == "atom":
        return held[0]
    if kind == "bytes":
        return bytes.fromhex(held[0])
    if kind == "complex":
        return complex(*held)
    if kind == "range":
        return range(*held)
    if kind == "type":
        return getattr(builtins, held[0])
    if kind == "dict":
        return {value(key, kept): value(one, kept) for key, one in held[0]}
    if kind == "kept":
        return kept[held[0]]
    return {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}[kind](value(one, kept) for one in held[0])


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
