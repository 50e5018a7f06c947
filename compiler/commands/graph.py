"""`rung graph`: the picture of the stages and what they need."""

import argparse

from compiler.pipeline import compile_graph


def run(arguments: argparse.Namespace) -> int:
    """Prints the picture in the format asked for."""
    graph = compile_graph(arguments.spec, arguments.overrides)
    if arguments.format == "mermaid":
        from compiler.draw.mermaid import draw_mermaid

        print(draw_mermaid(graph))
    elif arguments.format == "dot":
        from compiler.draw.dot import draw_dot

        print(draw_dot(graph))
    else:
        from compiler.draw.text import draw_text

        print(draw_text(graph))
    return 0
