"""`rung estimate`: the planner's model of a training step by itself, for a table of layouts."""

import argparse
import json
from typing import Any

from compiler.commands.mistakes import USER_ERROR, UserError
from compiler.planning.estimate import RowError, estimate, read_table, run_of
from compiler.terminal.console import console


def run(arguments: argparse.Namespace) -> int:
    """Prints an estimate for each row; rows that say nothing possible are told and end the command with 2."""
    found: list[dict[str, Any]] = []
    wrong = 0
    try:
        for number, row in enumerate(read_table(arguments.table), start=1):
            name = {"row": number, **({"id": row["id"]} if row.get("id") else {})}
            try:
                found.append({**name, **estimate(run_of(row))})
            except RowError as error:
                wrong += 1
                found.append({**name, "error": str(error)})
    except (OSError, UnicodeDecodeError, RowError) as error:
        raise UserError(f"{arguments.table} cannot be read: {error}") from None
    if arguments.json:
        print(json.dumps(found))
    else:
        _show(found)
    return USER_ERROR if wrong else 0


def _show(found: list[dict[str, Any]]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("row", "step s", "TFLOP/s", "MFU %", "GB"):
        table.add_column(name, justify="right")
    for row in found:
        name = str(row.get("id", row["row"]))
        if "error" in row:
            table.add_row(name, row["error"])
        else:
            numbers = (row["step_time_s"], row["tflops_per_gpu"], 100 * row["mfu"], row["memory_bytes"] / 1e9)
            table.add_row(name, *(f"{number:.2f}" for number in numbers))
    console().print(table)
