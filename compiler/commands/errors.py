"""`rung errors`: what a problem's code means."""

import argparse

from compiler.codes import PAGES
from compiler.commands.mistakes import UserError
from compiler.errors import did_you_mean
from compiler.terminal.codes import list_of_codes, page_text


def run(arguments: argparse.Namespace) -> int:
    """Prints the page of one code, or lists them all."""
    if arguments.code is None:
        print(list_of_codes())
        return 0
    code = next((code for code in PAGES if code == arguments.code.strip("[]")), None)
    if code is None:
        raise UserError(
            f"no code {arguments.code!r}; {did_you_mean(arguments.code, PAGES) or 'rung errors lists them'}"
        )
    print(page_text(code))
    return 0
