"""Claims of a report compare rows that it has."""

from compiler.checks.view import View
from compiler.errors import did_you_mean
from compiler.stages.report import Report


def check_claims(view: View) -> None:
    """Both sides of each claim are titles of rows, and differ."""
    for at in view.stages.values():
        if not isinstance(at.stage, Report):
            continue
        for index, claim in enumerate(at.stage.claims):
            for side, title in (("better", claim.better), ("worse", claim.worse)):
                if title not in at.stage.rows:
                    hint = did_you_mean(title, at.stage.rows)
                    view.blame(
                        at, f"claims.{index}.{side}", f"no row has the title {title!r}", "unknown-name", hint=hint
                    )
            if claim.better == claim.worse:
                view.blame(at, f"claims.{index}.worse", "is the same row as `better`", "wrong-value")
