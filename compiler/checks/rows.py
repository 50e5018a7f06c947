"""Rows have what is asked of them: the kind that a stage moves, the fields that are adopted and selected by."""

from compiler.artifacts import ATTRIBUTES
from compiler.checks.view import View
from compiler.elaborate import ProgramStage
from compiler.errors import did_you_mean
from compiler.schema.conditions import Attributes, Flags
from compiler.schema.sources import Rows
from compiler.stages.adopt import FIELDS, Adopt
from compiler.stages.dedup import Dedup
from compiler.stages.mix import Mix
from compiler.stages.select import Select
from compiler.stages.split import Split


def check_rows(view: View) -> None:
    """mix, split, select and dedup move what they say; adopted rows and conditions name fields that there are."""
    for at in view.stages.values():
        if isinstance(at.stage, Mix | Split | Select | Dedup):
            _check_moved(view, at, at.stage.rows)
        if isinstance(at.stage, Select):
            _check_conditions(view, at, at.stage)
        if isinstance(at.stage, Adopt) and isinstance(at.stage.source, Rows):
            _check_fields(view, at, at.stage, at.stage.source)


def _check_moved(view: View, at: ProgramStage, rows: str) -> None:
    for ref in at.refs:
        given = view.stages[ref.label]
        if (ref.path == "data" or ref.path.startswith("data.")) and given.stage.makes != rows:
            message = f"moves {rows}, but {ref.written!r} makes {given.stage.makes}"
            related = ((given.at, f"{ref.written!r}, of kind {given.kind}"),)
            hint = f"`rows: {given.stage.makes}` moves those"
            view.blame(at, ref.path, message, "wrong-artifact", hint=hint, related=related)


def _check_conditions(view: View, at: ProgramStage, stage: Select) -> None:
    for index, condition in enumerate(stage.conditions):
        field = f"conditions.{index}"
        if isinstance(condition, Flags) and stage.rows != "prompts":
            hint = "only prompts carry flags: select them before they are answered"
            view.blame(at, f"{field}.kind", f"{stage.rows} carry no flags", "wrong-value", hint=hint)
        elif isinstance(condition, Attributes) and stage.rows != "ratings":
            hint = "only ratings carry attributes; a filter stage looks at scores"
            view.blame(at, f"{field}.kind", f"{stage.rows} carry no attributes", "wrong-value", hint=hint)
        elif isinstance(condition, Attributes):
            for name in condition.at_least:
                if name not in ATTRIBUTES:
                    message, hint = f"no attribute is called {name!r}", did_you_mean(name, ATTRIBUTES)
                    view.blame_key(at, f"{field}.at_least.{name}", message, "unknown-name", hint=hint)


def _check_fields(view: View, at: ProgramStage, stage: Adopt, source: Rows) -> None:
    known = FIELDS[stage.artifact]
    for name in source.fields:
        if name not in known:
            message, hint = f"{stage.artifact} have no field {name!r}", did_you_mean(name, known)
            view.blame_key(at, f"source.fields.{name}", message, "unknown-name", hint=hint)
    if source.verifier is not None and stage.artifact != "prompts":
        hint = "only prompts are checked: leave it out"
        view.blame(at, "source.verifier", f"{stage.artifact} have no verifier", "wrong-value", hint=hint)
