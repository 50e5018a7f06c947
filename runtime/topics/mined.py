"""mined: names that stand often in source code, by parsing it. Nothing of the code is run."""

import ast
import builtins
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator

from compiler.schema.topics import Mined
from runtime.asking import Rejected
from runtime.topics import Named

UNREADABLE, SELDOM = "code that does not parse", "in too few documents"


def find(source: Mined, texts: Iterable[str]) -> Iterator[Named | Rejected]:
    """Modules, what is taken from them, and builtins that are called, of which each stands in enough documents; the
    most frequent first."""
    documents: Counter[str] = Counter()
    for text in texts:
        found = names(text)
        if found is None:
            yield Rejected(UNREADABLE)
        else:
            documents.update(found)
    for name, count in sorted(documents.items(), key=lambda one: (-one[1], one[0])):
        yield Named(name) if count >= source.at_least else Rejected(SELDOM)


def names(code: str) -> set[str] | None:
    """`os`, `os.path`, `collections.Counter`, `sorted`: what the code uses that it does not define; None where it does
    not parse."""
    try:
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(code)
        return _used(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _used(tree: ast.Module) -> set[str]:
    modules: dict[str, str] = {}
    found: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=aliases):
                found.update(alias.name for alias in aliases)
                modules.update({alias.asname or alias.name.split(".")[0]: _bound(alias) for alias in aliases})
            case ast.ImportFrom(module=str(module), names=aliases, level=0):
                found.add(module)
                found.update(f"{module}.{alias.name}" for alias in aliases if alias.name != "*")
                modules.update({alias.asname or alias.name: f"{module}.{alias.name}" for alias in aliases})
    defined = {
        node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id=name), attr=attribute) if name in modules:
                found.add(f"{modules[name]}.{attribute}")
            case ast.Call(func=ast.Name(id=name)) if hasattr(builtins, name) and name not in defined:
                found.add(name)
    return found


def _bound(alias: ast.alias) -> str:
    return alias.name if alias.asname else alias.name.split(".")[0]
