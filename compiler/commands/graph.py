"""`rung graph`: the picture of the stages and what they need."""

import argparse

from compiler.draw.picture import picture_of
from compiler.pipeline import compile_graph


def run(arguments: argparse.Namespace) -> int:
    """Prints the picture in the format asked for."""
    picture = picture_of(compile_graph(arguments.spec, arguments.overrides))
    if arguments.format == "mermaid":
        from compiler.draw.mermaid import draw_mermaid

        print(draw_mermaid(picture))
    elif arguments.format == "dot":
        from compiler.draw.dot import draw_dot

        print(draw_dot(picture))
    else:
        from compiler.draw.text import draw_text

        print(draw_text(picture))
    return 0
