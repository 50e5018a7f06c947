"""The pages of `compiler/codes.py` as text: `rung errors CODE` on the terminal, `docs/errors.md` for the browser.

python -m compiler.terminal.codes           # prints docs/errors.md; `make docs` writes it
"""

import sys

from compiler.codes import MARK, PAGES, Code


def list_of_codes() -> str:
    """Every code with its title, a line each."""
    width = max(map(len, PAGES))
    return "\n".join(f"{code:<{width}}  {page.title}" for code, page in PAGES.items())


def page_text(code: Code) -> str:
    """The page of a code, for the terminal."""
    page = PAGES[code]
    parts = [f"[{code}] {page.title}", page.meaning, "Wrong:", _indented(_pointed(page.wrong))]
    return "\n\n".join([*parts, "Right:", _indented(page.mended.rstrip("\n"))])


def book() -> str:
    """All pages as Markdown."""
    return _OPENING + "".join(_chapter(code) for code in PAGES)


_OPENING = """\
# What can be wrong with a recipe

Each mistake is told with its place, `file:line:column`, and ends with its code in brackets. A code never changes its
meaning. `rung errors CODE` prints the page of one code; `rung check --json` gives codes and places to other programs.
The examples that do not begin with `rung: 1` are parts of a recipe in which everything else is right; a caret points
at the place that the problem names.

This file is generated: change `compiler/codes.py`, then `make docs`.
"""


def _chapter(code: Code) -> str:
    page = PAGES[code]
    language = "yaml" if page.form == "recipe" else "text" if page.form == "files" else "sh"
    wrong, right = _pointed(page.wrong, comment="#"), page.mended.rstrip("\n")
    fence = f"```{language}\n{{}}\n```\n"
    return (
        f"\n## {code}\n\n{page.title[0].upper()}{page.title[1:]}. {page.meaning}\n\n{fence.format(wrong)}"
        f"\nRight:\n\n{fence.format(right)}"
    )


def _pointed(example: str, *, comment: str = "") -> str:
    """The example with a caret below its marked place; after a comment sign where it must stay YAML."""
    lines = []
    for line in example.rstrip("\n").split("\n"):
        before, mark, after = line.partition(MARK)
        lines.append(before + after)
        if mark:
            lines.append(f"{comment}{' ' * (len(before) - len(comment))}^")
    return "\n".join(lines)


def _indented(text: str) -> str:
    return "\n".join(f"    {line}".rstrip() for line in text.split("\n"))


if __name__ == "__main__":
    sys.stdout.write(book())
