"""`rung trace`: a row back to its topic, models, judges and scores, and forward to the stages that used it."""

import argparse
import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text
from rich.tree import Tree

from compiler.artifacts import ArtifactRecord
from compiler.commands.mistakes import UserError
from compiler.planning.inventory import read_inventory
from compiler.review.trace import Origin, Place, Store, Use, made_at, origin, uses
from compiler.terminal.console import console

_LEAST_LETTERS = 4
_MOST_NAMES = 8
_LONGEST = 100
"""Signs of a row's words that are shown."""


def run(arguments: argparse.Namespace) -> int:
    """Prints what is known of one row."""
    inventory = read_inventory(arguments.store)
    store = Store(inventory, arguments.store)
    places = _places(arguments.row, store)
    found = [(origin(place, store), uses(place.record, {place.id}, store)) for place in made_at(places, store)]
    if arguments.json:
        print(json.dumps({"row": places[0].id, "made": [_json(*one) for one in found]}, ensure_ascii=False))
        return 0
    for made, used_by in found:
        _show(made, used_by)
    return 0


def _places(beginning: str, store: Store) -> Sequence[Place]:
    """Where the row of this id, or of this beginning of one, stands."""
    if len(beginning) < _LEAST_LETTERS:
        raise UserError(f"{beginning!r} says too little: at least {_LEAST_LETTERS} letters of the row's id")
    places = list(store.holders(beginning))
    exact = [place for place in places if place.id == beginning]
    names = sorted({place.id for place in places})
    if not names:
        raise UserError(f"no row's id begins with {beginning!r}; ids stand in the rows.jsonl of the store's artifacts")
    if not exact and len(names) > 1:
        more = f", … ({len(names)})" if len(names) > _MOST_NAMES else ""
        raise UserError(f"{len(names)} rows' ids begin with {beginning!r}: {', '.join(names[:_MOST_NAMES])}{more}")
    return exact or places


def _show(made: Origin, used_by: Sequence[Use]) -> None:
    screen = console()
    tree = Tree(_in_words(made))
    _grow(tree, made)
    screen.print(tree)
    if used_by:
        forward = Tree(Text("used by", "bold"))
        for use in used_by:
            _grow_uses(forward, use)
        screen.print(forward)
    else:
        screen.print("used by no stage", highlight=False)


def _grow(tree: Tree, made: Origin) -> None:
    for model in made.models:
        tree.add(Text(f"asked {_called(model)}", "cyan"))
    for score in made.scores:
        row = score.place.row
        said = "silent" if row["score"] is None else f"{row['score']:.4g}"
        attributes = "".join(f"  {name} {value:.3g}" for name, value in dict(row.get("attributes", {})).items())
        branch = tree.add(Text(f"score {said}{attributes}  by {_called(score.place.record)}", "magenta"))
        for model in score.models:
            branch.add(Text(f"asked {_called(model)}", "cyan"))
    for parent in made.made_from:
        _grow(tree.add(_in_words(parent)), parent)


def _grow_uses(tree: Tree, use: Use) -> None:
    rows = f"  {', '.join(use.rows[:3])}{' …' if len(use.rows) > 3 else ''}" if use.rows else ""
    branch = tree.add(Text(f"{_called(use.record)}{rows}"))
    for further in use.used_by:
        _grow_uses(branch, further)


def _in_words(made: Origin) -> Text:
    row = made.place.row
    told = [f"{name} {row[name]}" for name in ("origin", "family") if row.get(name)]
    if row.get("finished") is False:
        told.append("cut off")
    line = Text(f"{made.place.id}", "bold")
    return line.append(f"  {_called(made.place.record)}  {', '.join(told)}\n", "not bold").append(
        _words(row), "not bold"
    )


def _called(record: ArtifactRecord) -> str:
    """The stage as people know it. What it asked is of its record: the judge's kind, the served model's name."""
    piece: Any = record.stage.get("judge") or record.stage.get("generator") or {}
    kind = f"{record.kind} {piece['kind']}" if isinstance(piece, dict) and "kind" in piece else record.kind
    served = f" of {record.stage['model']}" if record.kind == "endpoint" else ""
    return f"{record.label} ({kind}{served}, {record.fingerprint})"


def _words(row: Mapping[str, Any]) -> str:
    """What the row says, on one line for each speaker."""
    lines = [f"{turn['role']}: {_short(turn['content'])}" for turn in row.get("messages", ())]
    lines += [
        f"{name}: {_short(row[name])}"
        for name in ("topic", "under", "text", "response", "chosen", "rejected")
        if row.get(name)
    ]
    return "\n".join(lines)


def _short(text: str) -> str:
    """One line without signs that would move the cursor: models wrote it."""
    line = "".join(sign if sign.isprintable() else "\ufffd" for sign in " ".join(text.split()))
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def _json(made: Origin, used_by: Sequence[Use]) -> dict[str, Any]:
    return {**_origin_json(made), "used_by": [_use_json(use) for use in used_by]}


def _origin_json(made: Origin) -> dict[str, Any]:
    return {
        "id": made.place.id,
        "row": dict(made.place.row),
        "stage": _stage_json(made.place.record),
        "models": [_stage_json(model) for model in made.models],
        "scores": [_origin_json(score) for score in made.scores],
        "made_from": [_origin_json(parent) for parent in made.made_from],
    }


def _use_json(use: Use) -> dict[str, Any]:
    return {
        "stage": _stage_json(use.record),
        "rows": list(use.rows),
        "used_by": [_use_json(further) for further in use.used_by],
    }


def _stage_json(record: ArtifactRecord) -> dict[str, Any]:
    return {
        "label": record.label,
        "kind": record.kind,
        "fingerprint": record.fingerprint,
        "run": record.provenance.get("run"),
    }
