"""What a record's fields mean: the text that stands under each of them in the source.

pydantic could take it in when a class is made (`use_attribute_docstrings`), but then every command would read the
source of every record first, a fifth of its start. Only the JSON Schema and messages about missing keys ask.
"""

import ast
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from functools import cache

from pydantic import BaseModel


@cache
def descriptions(record_type: type[BaseModel]) -> Mapping[str, str]:
    """Field -> its description; fields without one are left out."""
    found: dict[str, str] = {}
    for base in reversed(record_type.__mro__):
        if issubclass(base, BaseModel) and base is not BaseModel:
            found.update(_own_descriptions(base))
    return {name: text for name, text in found.items() if name in record_type.model_fields}


def _own_descriptions(record_type: type[BaseModel]) -> Iterator[tuple[str, str]]:
    try:
        source = inspect.getsource(record_type)
    except OSError:
        return
    (definition,) = ast.parse(textwrap.dedent(source)).body
    assert isinstance(definition, ast.ClassDef)
    for field, below in zip(definition.body, definition.body[1:], strict=False):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                yield name, inspect.cleandoc(text)
