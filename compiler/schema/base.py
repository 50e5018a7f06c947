"""What every record of the language shares, and the scalar types that a person writes."""

import re
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    SerializerFunctionWrapHandler,
    model_serializer,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from compiler.schema.described import descriptions


class Record(BaseModel):
    """A frozen, closed value: unknown keys, wrong types, infinities and NaN are refused.

    Records are validated from JSON or from its like in Python, never coerced: "5" is not 5 and true is not 1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The fields' texts become their descriptions."""
        made = handler(core)
        properties = handler.resolve_ref_schema(made).get("properties", {})
        for name, text in descriptions(cls).items():
            properties[name].setdefault("description", text)
        return made


class Grown(Record):
    """A record that was given optional fields when it was in use already.

    They are written only where they are said: what does not say them hashes as it did before.
    """

    later: ClassVar[tuple[str, ...]] = ()
    """These fields; absent, each of them is None."""

    @model_serializer(mode="wrap")
    def _what_is_said(self, written: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = written(self)
        for name in self.later:
            if fields.get(name) is None:
                fields.pop(name, None)
        return fields


class Worded(Record):
    """A record of which words in `templates/` may be part."""

    def templates(self) -> tuple[str, ...]:
        """Templates whose words shape the result; they are hashed by content."""
        return ()


@dataclass(frozen=True)
class Piece:
    """Marks a field that may also be written as a name: the record stands in this section of the spec."""

    section: str


@dataclass(frozen=True, init=False)
class Accepts:
    """Marks a field that holds a ref: the name of a stage that makes one of these artifact kinds."""

    artifacts: tuple[str, ...]

    def __init__(self, *artifacts: str) -> None:
        object.__setattr__(self, "artifacts", tuple(str(artifact) for artifact in artifacts))


@dataclass(frozen=True)
class NotIdentity:
    """Marks a field that says where something lies or how large it is about, not what is computed: it is not hashed."""


_SUFFIXES = {"k": 10**3, "K": 10**3, "M": 10**6, "B": 10**9, "G": 10**9, "T": 10**12}
_COUNT = re.compile(r"(?P<number>[0-9][0-9_]*(\.[0-9]+)?)(?P<suffix>[kKMBGT])")


def parse_count(value: Any) -> Any:
    """`8T` -> 8_000_000_000_000, `4k` -> 4000, `1.5M` -> 1_500_000; anything else is returned as it came."""
    if not isinstance(value, str):
        return value
    match = _COUNT.fullmatch(value.strip())
    if match is None:
        return value
    count = float(match["number"].replace("_", "")) * _SUFFIXES[match["suffix"]]
    return int(count) if count == int(count) else value


Count = Annotated[Annotated[int, Field(gt=0)], BeforeValidator(parse_count)]
"""A positive whole number, which may be written `8T`, `340B`, `4k` (decimal suffixes)."""

Walltime = Annotated[str, Field(pattern=r"^([0-9]+-)?[0-9]{1,2}:[0-9]{2}:[0-9]{2}$")]
"""[days-]hours:minutes:seconds, as Slurm writes it."""


def minutes(walltime: str) -> int:
    """Whole minutes of a walltime, rounded up."""
    days, _, clock = walltime.rpartition("-")
    hours, whole, seconds = map(int, clock.split(":"))
    return (int(days or 0) * 24 + hours) * 60 + whole + (seconds > 0)


Share = Annotated[float, Field(gt=0, le=1)]
Rate = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
