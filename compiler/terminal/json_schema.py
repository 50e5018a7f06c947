"""JSON Schema (2020-12) of specs and of cluster files, for editors: made from the records, with their descriptions.

It is a little more generous than the compiler: names and refs are strings, and `${...}` may stand for any scalar. What
is told apart by its kind is a chain of `if`, so that one mistake is marked once and never as the mistakes of all kinds.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import TypeAdapter

from compiler.experiment import LANGUAGE_VERSION, MOST_ROUNDS, SECTIONS
from compiler.manifest import Placement
from compiler.reading.fields import hints_of, pieces_of, record_types
from compiler.schema.budget import Budget
from compiler.schema.cluster import Cluster
from compiler.schema.model import ModelSpec
from compiler.stages import STAGES

Schema = dict[str, Any]

_NAME = "^[A-Za-z][A-Za-z0-9_-]*$"
_VARIABLE = r"\$\{[^{}]*\}"
_COUNT = r"^[0-9][0-9_]*(\.[0-9]+)?[kKMBGT]$"
_SCALAR: Schema = {"type": ["string", "number", "boolean", "null"]}
_REFS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}


def spec_json_schema() -> Schema:
    """The schema of a spec file; every definition stands under `$defs`."""
    definitions: Schema = {}
    budget = {**_of(Budget, definitions), "description": "a plan that takes more fails"}
    sections = {name: _section(name, hint, definitions) for name, hint in SECTIONS.items()}
    for kind in STAGES:
        definitions[f"stage:{kind}"] = _stage(kind, definitions)
    definitions["Placement"] = _of(Placement, definitions)
    definitions["loop"] = _LOOP
    definitions["entry"] = _entry()
    pipeline = {**_named({"$ref": "#/$defs/entry"}), "description": "stages and loops, by name", "minProperties": 1}
    return {
        "$schema": _DIALECT,
        "title": "rung spec",
        "type": "object",
        # A file that others use has no name; any other part of a spec may come from such a file.
        "dependentRequired": {"name": ["rung"]},
        "additionalProperties": False,
        "properties": {**_TOP, "budget": budget, **sections, "pipeline": pipeline},
        "$defs": definitions,
    }


def cluster_json_schema() -> Schema:
    """The schema of a cluster file; nothing varies there."""
    definitions: Schema = {}
    made = _of(Cluster, definitions, pattern="")
    return {"$schema": _DIALECT, **made, "title": "rung cluster", "$defs": definitions}


_DIALECT = "https://json-schema.org/draft/2020-12/schema"

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
            "type": ["integer", "string"],
            "minimum": 1,
            "maximum": MOST_ROUNDS,
            "pattern": _VARIABLE,
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
    """A stage by its kind, or a loop, which has none."""
    stages = {kind: {"$ref": f"#/$defs/stage:{kind}"} for kind in STAGES}
    about = {kind: STAGES[kind].__doc__ or "" for kind in STAGES}
    any_of_a_loop = {"anyOf": [{"required": [key]} for key in _LOOP["properties"]]}
    # An entry that is neither yet lacks a kind; an editor still offers what begins a loop.
    unsaid = {"required": ["kind"], "properties": {key: _offered(part) for key, part in _LOOP["properties"].items()}}
    unknown: Schema = {"if": any_of_a_loop, "then": {"$ref": "#/$defs/loop"}, "else": unsaid}
    return _by_kind(stages, about, otherwise={"if": {"not": {"required": ["kind"]}}, "then": unknown})


def _offered(part: Schema) -> Schema:
    return {"description": part["description"]}


def _by_kind(kinds: Mapping[str, Schema], about: Mapping[str, str], otherwise: Schema) -> Schema:
    """The schema that belongs to the value of `kind`; an unknown word is marked, and nothing else."""
    chain = otherwise
    for kind, schema in reversed(list(kinds.items())):
        condition = {"properties": {"kind": {"const": kind}}, "required": ["kind"]}
        chain = {"if": condition, "then": schema, "else": chain}
    words = [" ".join(about[kind].split()) for kind in kinds]
    kind_word = {"enum": list(kinds), "enumDescriptions": words, "description": "Which of the kinds this is."}
    return {"type": "object", "properties": {"kind": kind_word}, **chain}


def _section(name: str, hint: Any, definitions: Schema) -> Schema:
    piece = _of(hint, definitions)
    if hint is ModelSpec:
        definitions["Model"] = _extensible(piece)
        piece = _MODEL
    return {**_named(piece), "description": _SECTIONS[name]}


_SECTIONS: Mapping[str, str] = {
    "models": "Shapes of models, by name; a stage says which by `model`.",
    "generators": "Where prompts come from, by name; a prompts stage says which by `generator`.",
    "judges": "Who scores responses, by name; a judge or evaluate stage says which.",
    "splits": "Disjoint parts of all prompts, by name; a stage says which by `split`, and its `parts`.",
    "optimizers": "How weights are moved, by name; a training stage says which by `optimizer`.",
    "precisions": "What training computes in, by name; a training stage says which by `precision`.",
}

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
        "pin": {
            "type": ["string", "integer", "number", "null"],
            "description": "the beginning of a sealed artifact's fingerprint: it is used, whatever is written here",
        },
    }
    for field, section in pieces_of(STAGES[kind]).items():
        takes_model = ModelSpec in record_types(hints_of(STAGES[kind])[field])
        piece = _MODEL if takes_model else properties[field]
        text = f"{properties[field].get('description', '')} A name from `{section}`, or the fields themselves.".strip()
        # Not `anyOf`: a mistake inside the fields is marked where it is, and not as a mapping that is no name.
        properties[field] = {"description": text, "if": {"type": "string"}, "else": piece}
    return {**schema, "properties": properties}


def _of(hint: Any, definitions: Schema, *, pattern: str = _VARIABLE) -> Schema:
    """pydantic's schema of a type, in which a text of this pattern may stand for every scalar."""
    made = TypeAdapter(hint).json_schema(ref_template="#/$defs/{model}")
    abouts = {name: schema.get("description", "") for name, schema in made.get("$defs", {}).items()}
    for name, schema in made.pop("$defs", {}).items():
        definitions[name] = _opened(schema, abouts, pattern)
    opened = _opened(made, abouts, pattern)
    assert isinstance(opened, dict)
    return opened


def _opened(schema: Any, abouts: Mapping[str, str], pattern: str) -> Any:
    """The schema with the pattern allowed for every scalar, `8T` for every count, and unions told apart by kind."""
    if isinstance(schema, list):
        return [_opened(part, abouts, pattern) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "discriminator" in schema:
        return _union(schema, abouts)
    if "enum" in schema:
        return _words(schema, pattern)
    if schema.get("type") in ("integer", "number", "boolean"):
        return _scalar(schema, pattern)
    if _is_optional_scalar(schema):
        # Said in one place, so that an editor has one thing to say of it.
        value, _ = schema["anyOf"]
        about = {key: part for key, part in schema.items() if key not in ("anyOf", "title")}
        opened = _scalar({**value, **about}, pattern)
        return {**opened, "type": [*_listed(opened["type"]), "null"]}
    # Defaults and constants are values, not schemas.
    return {
        key: {name: _untitled(_opened(part, abouts, pattern)) for name, part in value.items()}
        if key == "properties"
        else value
        if key in ("default", "const", "required")
        else _opened(value, abouts, pattern)
        for key, value in schema.items()
    }


def _untitled(field: Schema) -> Schema:
    """pydantic's titles of fields say their names again."""
    return {key: value for key, value in field.items() if key != "title"}


def _union(schema: Schema, abouts: Mapping[str, str]) -> Schema:
    targets: Mapping[str, str] = schema["discriminator"]["mapping"]
    about = {kind: abouts[target.rpartition("/")[2]] for kind, target in targets.items()}
    kept: Schema = {key: schema[key] for key in ("description", "default") if key in schema}
    chain = _by_kind({kind: {"$ref": target} for kind, target in targets.items()}, about, otherwise={})
    return {**kept, **chain, "required": ["kind"]}


def _is_optional_scalar(schema: Schema) -> bool:
    match schema.get("anyOf"):
        case [{"type": "integer" | "number" | "boolean"} as value, {"type": "null"}]:
            return "enum" not in value
        case _:
            return False


def _words(schema: Schema, pattern: str) -> Schema:
    if not pattern:
        return _untitled(schema)
    about: Schema = {key: schema[key] for key in ("description", "default") if key in schema}
    return {**about, "anyOf": [{"enum": schema["enum"]}, {"type": "string", "pattern": pattern}]}


def _scalar(schema: Schema, pattern: str) -> Schema:
    """Bounds speak of numbers and patterns of texts, so both stand side by side."""
    is_count = schema["type"] == "integer" and schema.get("exclusiveMinimum") == 0
    patterns = "|".join(part for part in (_COUNT if is_count else "", pattern) if part)
    if not patterns:
        return _untitled(schema)
    name: str = schema["type"]
    forms = [*(["`4k`"] if is_count else []), *(["`${params.name}`"] if pattern else [])]
    names = {"integer": "a whole number", "number": "a number", "boolean": "true or false"}
    wanted = ", ".join([names[name], *forms])
    return {
        **_untitled(schema),
        "type": [name, "string"],
        "pattern": patterns,
        # Of the YAML language server; other validators pass over it.
        "patternErrorMessage": f"must be one of: {wanted}",
    }


def _listed(types: str | Iterable[str]) -> list[str]:
    return [types] if isinstance(types, str) else list(types)
