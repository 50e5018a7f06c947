"""The tests' side of an exam, run in a sandbox: a process that the program under test is not in.

A script of its own: its standard input is JSON, {`program`, `tests`, `word`, `examined`: the text of `examined.py`}.
The program runs in a child, and its functions are called over pipes, so that it can neither see the tests, nor end or
patch what runs them, nor say that they have passed. Values come back as plain data; an object of the program's own
stays there, is handed back by name, and equals no plain value. Last it writes a line: the word, and which tests passed.
"""

import builtins
import ctypes
import importlib
import json
import os
import subprocess
import sys
from typing import Any

_NOT_DUMPABLE = 4


class EndedError(Exception):
    """The program's process says nothing any more, or nonsense."""


class Program:
    """The child and the things of its that are known here."""

    def __init__(self, code: str, examined: str) -> None:
        there, self._asks = os.pipe()
        answers, back = os.pipe()
        self._child = subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", "-c", examined, str(there), str(back)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=(there, back),
        )  # fmt: skip
        os.close(there)
        os.close(back)
        self._answers = os.fdopen(answers, encoding="utf-8", errors="surrogatepass")
        self._things: dict[int, Thing] = {}
        kind, *told = self._ask(code)
        if kind != "names":
            raise EndedError
        self.names: dict[str, Any] = {name: self.value(one) for name, one in told[0].items()}

    def ask(self, what: str, thing: "Thing", *rest: Any) -> list[Any]:
        """The answer without its first word; an exception that the program raised is raised here."""
        kind, *told = self._ask([what, object.__getattribute__(thing, "_number"), *rest])
        if kind == "raised":
            known = getattr(builtins, str(told[0]), None)
            kind_of = known if isinstance(known, type) and issubclass(known, Exception) else Exception
            raise kind_of(str(told[1]))
        return told

    def end(self) -> None:
        """Kills it."""
        self._child.kill()

    def _ask(self, asked: Any) -> list[Any]:
        left = (json.dumps(asked) + "\n").encode()
        try:
            while left:
                left = left[os.write(self._asks, left) :]
            answer = json.loads(self._answers.readline())
        except (OSError, ValueError) as error:
            raise EndedError from error
        if not isinstance(answer, list) or not answer:
            raise EndedError
        return answer

    def value(self, told: list[Any]) -> Any:
        """What the program's side wrote."""
        kind, *held = told
        if kind == "dict":
            return {self.value(key): self.value(one) for key, one in held[0]}
        if kind in ("list", "tuple", "set", "frozenset"):
            collected = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}[kind]
            return collected(self.value(one) for one in held[0])
        if kind == "module":
            return importlib.import_module(held[0]) if held[0] in sys.stdlib_module_names else None
        if kind == "kept":
            return self._things.setdefault(held[0], Thing(self, held[0]))
        if kind == "type":
            named = getattr(builtins, str(held[0]))
            return named if isinstance(named, type) else None
        if kind == "atom":
            return held[0]
        makers: dict[str, Any] = {"bytes": bytes.fromhex, "complex": complex, "range": range}
        return makers[kind](*held)


class Thing:
    """A function, a class or an object of the program's."""

    def __init__(self, program: Program, number: int) -> None:
        object.__setattr__(self, "_program", program)
        object.__setattr__(self, "_number", number)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Calls it there."""
        program = object.__getattribute__(self, "_program")
        given = [plain(one) for one in arguments], {key: plain(one) for key, one in named.items()}
        found, afterwards = program.ask("call", self, *given)
        for mine, theirs in zip(arguments, afterwards, strict=True):
            _change(mine, program.value(theirs))
        return program.value(found)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._of("get", name)

    def __setattr__(self, name: str, to: Any) -> None:
        self._of("set", name, plain(to))

    def __getitem__(self, key: Any) -> Any:
        return self._of("item", plain(key))

    def __len__(self) -> int:
        return int(self._of("len"))

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Any:
        return iter(self._of("items"))

    def __str__(self) -> str:
        return str(self._of("words"))

    def __eq__(self, other: object) -> bool:
        """Its own word is taken for its own things only."""
        if not isinstance(other, Thing):
            return NotImplemented
        return self is other or self._of("equal", object.__getattribute__(other, "_number")) is True

    __hash__ = object.__hash__

    def _of(self, what: str, *rest: Any) -> Any:
        program = object.__getattribute__(self, "_program")
        return program.value(program.ask(what, self, *rest)[0])


def plain(thing: Any) -> list[Any]:
    """As the program's side reads it; TypeError where it cannot be said in plain values."""
    if type(thing) is Thing:
        return ["kept", object.__getattribute__(thing, "_number")]
    name = getattr(thing, "__name__", "") if type(thing) is type else ""
    if name and getattr(builtins, name, None) is thing:
        return ["type", name]
    if thing is None or isinstance(thing, bool | int | float | str):
        return ["atom", thing]
    if isinstance(thing, bytes):
        return ["bytes", thing.hex()]
    if isinstance(thing, complex):
        return ["complex", thing.real, thing.imag]
    if isinstance(thing, range):
        return ["range", thing.start, thing.stop, thing.step]
    for kind in (list, tuple, set, frozenset):
        if isinstance(thing, kind):
            return [kind.__name__, [plain(one) for one in thing]]
    if isinstance(thing, dict):
        return ["dict", [[plain(key), plain(one)] for key, one in thing.items()]]
    raise TypeError(f"a test hands over {type(thing).__name__}, which is no plain value")


def _change(mine: Any, theirs: Any) -> None:
    """What the program did to an argument is done to the tests' own."""
    if type(mine) is not type(theirs) or mine == theirs:
        return
    if isinstance(mine, list):
        mine[:] = theirs
    elif isinstance(mine, dict | set):
        mine.clear()
        mine.update(theirs)


def main() -> None:
    """Examines."""
    # Of the same user, the program could read and write this process otherwise.
    if ctypes.CDLL(None, use_errno=True).prctl(_NOT_DUMPABLE, 0, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    sys.set_int_max_str_digits(0)
    given = json.load(sys.stdin)
    passed: list[bool] = []
    try:
        program = Program(given["program"], given["examined"])
    except EndedError:
        pass
    else:
        space: dict[str, Any] = {"__name__": "tests", **program.names}
        for number, test in enumerate(given["tests"]):
            try:
                exec(compile(test, f"test-{number}.py", "exec"), space)
            except BaseException as error:
                passed.append(False)
                sys.stderr.write(repr(error)[:500] + "\n")
            else:
                passed.append(True)
        program.end()
    sys.stdout.flush()
    os.write(1, ("\n" + given["word"] + json.dumps(passed) + "\n").encode())
    os._exit(0)


if __name__ == "__main__":
    main()
