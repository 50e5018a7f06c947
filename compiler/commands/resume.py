"""`rung resume`: a run that was interrupted or failed goes on."""

import argparse

from compiler.commands.past_runs import named_run
from compiler.commands.run import go


def run(arguments: argparse.Namespace) -> int:
    """Runs what is not sealed yet."""
    return go(named_run(arguments), as_json=arguments.json)
