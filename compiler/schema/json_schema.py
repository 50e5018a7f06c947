"""JSON Schema (2020-12) of the whole spec, for editors: made from the records, with their descriptions.

It is a little more generous than the compiler: names and refs are strings, and `${...}` may stand for any scalar.
"""

from typing import Any

from pydantic import TypeAdapter

from compiler.manifest import Placement
from compiler.reading.fields import hints_of, pieces_of, record_types
from compiler.schema.experiment import LANGUAGE_VERSION, MOST_ROUNDS, SECTIONS
from compiler.schema.model import ModelSpec
from compiler.stages import STAGES

Schema = dict[str, Any]

_NAME = "^[A-Za-z][A-Za-z0-9_-]*$"
_VARIABLE: Schema = {"type": "string", "pattern": r"\$\{[^{}]*\}"}
_COUNT: Schema = {"type": "string", "pattern": "^[0-9][0-9_]*(\\.[0-9]+)?[kKMBGT]$"}
_SCALAR: Schema = {"type": ["string", "number", "boolean", "null"]}
_REFS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}


def spec_json_schema() -> Schema:
    """The schema of a spec file; every definition stands under `$defs`."""
    definitions: Schema = {}
    sections = {name: _section(name, hint, definitions) for name, hint in SECTIONS.items()}
    for kind in STAGES:
        definitions[f"stage:{kind}"] = _stage(kind, definitions)
    definitions["Placement"] = _of(Placement, definitions)
    definitions["loop"] = _LOOP
    definitions["entry"] = _entry()
    pipeline = {**_named({"$ref": "#/$defs/entry"}), "description": "stages and loops, by name", "minProperties": 1}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "rung spec",
        "type": "object",
        # A file that others use has no name; any other part of a spec may come from such a file.
        "dependentRequired": {"name": ["rung"]},
        "additionalProperties": False,
        "properties": {**_TOP, **sections, "pipeline": pipeline},
        "$defs": definitions,
    }


_TOP: Schema = {
    "rung": {"const": LANGUAGE_VERSION, "description": "version of the language"},
    "name": {"type": "string", "description": "name of the experiment"},
    "use": {
        "type": "array",
        "items": {"type": "string"},
        "description": "files, relative to this one, that add sections",
    },
    "params": {
        "type": "object",
        "description": "knobs: `${params.name}` stands for the value",
        "propertyNames": {"pattern": _NAME},
        "additionalProperties": {"anyOf": [_SCALAR, {"type": "array", "items": _SCALAR}]},
    },
    "matrix": {
        "type": "object",
        "description": "a sweep: the pipeline once for each combination",
        "propertyNames": {"pattern": r"^params\."},
        "additionalProperties": {"type": "array", "items": _SCALAR, "minItems": 1},
    },
}

_LOOP: Schema = {
    "type": "object",
    "description": "a loop, unrolled when the spec is compiled",
    "required": ["stages"],
    "oneOf": [{"required": ["repeat"]}, {"required": ["over"]}],
    "additionalProperties": False,
    "properties": {
        "repeat": {
            "anyOf": [{"type": "integer", "minimum": 1, "maximum": MOST_ROUNDS}, _VARIABLE],
            "description": "number of rounds",
        },
        "over": {
            "type": "array",
            "minItems": 1,
            "maxItems": MOST_ROUNDS,
            "items": {"type": "object", "minProperties": 1, "additionalProperties": _SCALAR},
            "description": "the variables of each round",
        },
        "carry": {**_REFS, "description": "variable -> stage that is its value in the first round"},
        "stages": {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": {"$ref": "#/$defs/entry"},
            "description": "stages and loops of each round, by name",
        },
        "yield": {**_REFS, "description": "carried variable -> stage that is its value in the next round"},
    },
}


def _entry() -> Schema:
    """A stage by its kind, or a loop; `if` chains make an editor's messages speak of one kind only."""
    chain: Schema = {"$ref": "#/$defs/loop"}
    for kind in reversed(STAGES):
        condition = {"properties": {"kind": {"const": kind}}, "required": ["kind"]}
        chain = {"if": condition, "then": {"$ref": f"#/$defs/stage:{kind}"}, "else": chain}
    known = {"if": {"required": ["kind"]}, "then": {"properties": {"kind": {"enum": list(STAGES)}}}}
    return {"type": "object", "allOf": [known, chain]}


def _section(name: str, hint: Any, definitions: Schema) -> Schema:
    piece = _of(hint, definitions)
    if hint is ModelSpec:
        definitions["Model"] = _extensible(piece)
        piece = _MODEL
    return {**_named(piece), "description": "named pieces: a stage field that takes one may say its name"}


_MODEL: Schema = {"$ref": "#/$defs/Model"}


def _named(value: Schema) -> Schema:
    return {"type": "object", "propertyNames": {"pattern": _NAME}, "additionalProperties": value}


def _extensible(model: Schema) -> Schema:
    """A model that may extend another, and then say only what differs."""
    extends = {"type": "string", "description": "the model whose fields are taken where this one has none"}
    whole = {"if": {"not": {"required": ["extends"]}}, "then": {"required": model["required"]}}
    kept = {key: value for key, value in model.items() if key != "required"}
    return {**kept, "properties": {**model["properties"], "extends": extends}, **whole}


def _stage(kind: str, definitions: Schema) -> Schema:
    schema = _of(STAGES[kind], definitions)
    properties = {
        **schema["properties"],
        "placement": {
            "$ref": "#/$defs/Placement",
            "description": "where and how it is computed; never part of what is computed",
        },
    }
    for field in pieces_of(STAGES[kind]):
        takes_model = ModelSpec in record_types(hints_of(STAGES[kind])[field])
        piece = _MODEL if takes_model else properties[field]
        name = {"type": "string", "description": "the name of a piece"}
        properties[field] = {"anyOf": [name, piece], "description": properties[field].get("description", "")}
    return {**schema, "properties": properties}


def _of(hint: Any, definitions: Schema) -> Schema:
    """pydantic's schema of a type, opened to variables; its definitions are added to ours."""
    made = TypeAdapter(hint).json_schema(ref_template="#/$defs/{model}")
    for name, schema in made.pop("$defs", {}).items():
        definitions[name] = _opened(schema)
    opened = _opened(made)
    assert isinstance(opened, dict)
    return opened


def _opened(schema: Any) -> Any:
    """The schema with `${...}` allowed for every scalar, and `8T` for every count."""
    if isinstance(schema, list):
        return [_opened(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("type") in ("integer", "number", "boolean") or "enum" in schema:
        return _with_words(schema)
    # Defaults and constants are values, not schemas.
    return {key: part if key in ("default", "const", "required") else _opened(part) for key, part in schema.items()}


def _with_words(scalar: Schema) -> Schema:
    about: Schema = {key: scalar[key] for key in ("description", "title", "default") if key in scalar}
    value: Schema = {key: part for key, part in scalar.items() if key not in about}
    is_count = value.get("type") == "integer" and value.get("exclusiveMinimum") == 0
    return {**about, "anyOf": [value, *([_COUNT] if is_count else []), _VARIABLE]}
