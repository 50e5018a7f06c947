import re
from pathlib import Path

from compiler.draw.dot import draw_dot
from compiler.draw.mermaid import draw_mermaid
from compiler.draw.picture import picture_of
from compiler.draw.text import draw_text
from compiler.pipeline import compile_graph

_SMALL = Path(__file__).parents[1] / "recipes" / "small.yaml"


def test_the_text_has_a_line_for_every_stage_and_says_what_it_needs() -> None:
    graph = compile_graph(_SMALL, [])
    lines = [line.split() for line in draw_text(picture_of(graph)).splitlines()]
    stages = [words for words in lines if words and words[0].isdecimal()]
    assert len(stages) == len(graph)
    assert [words[2] for words in stages if words[1] == "train"] == ["prefer"] * 8
    assert any(words[1:] == ["responses", "generate", "rpo.1.train,", "prompts"] for words in stages)


def test_rounds_stand_under_their_loop() -> None:
    text = draw_text(picture_of(compile_graph(_SMALL, [])))
    assert re.search(r"rpo: 2 rounds\n\s+rpo 1:\n\s*\d+\s+prompts", text)


def test_mermaid_names_every_stage_and_edge_once() -> None:
    graph = compile_graph(_SMALL, [])
    text = draw_mermaid(picture_of(graph))
    boxes = re.findall(r"^\s*(s\d+)\[", text, re.MULTILINE)
    edges = re.findall(r"^\s*(s\d+) --> (s\d+)$", text, re.MULTILINE)
    assert len(boxes) == len(set(boxes)) == len(graph)
    assert len(edges) == len(set(edges)) == sum(len(graph.inputs(label)) for label in graph.order())
    assert {end for edge in edges for end in edge} <= set(boxes)
    assert text.count("subgraph ") == len(re.findall(r"^\s*end$", text, re.MULTILINE)) == 4 * 7
    frames = re.findall(r"subgraph (\S+)\[", text)
    assert len(frames) == len(set(frames))


def test_every_kind_in_the_flowchart_has_a_style() -> None:
    text = draw_mermaid(picture_of(compile_graph(_SMALL, [])))
    assert set(re.findall(r":::(\w+)", text)) == set(re.findall(r"classDef (\w+)", text))


def test_dot_has_a_box_for_each_stage_an_arrow_for_each_edge_and_a_cluster_for_each_round() -> None:
    graph = compile_graph(_SMALL, [])
    text = draw_dot(picture_of(graph))
    assert text.count("fillcolor=") == len(graph)
    assert text.count(" -> ") == sum(len(graph.inputs(label)) for label in graph.order())
    assert text.count("{") == text.count("}")
    assert text.count("subgraph cluster_") == draw_mermaid(picture_of(graph)).count("subgraph ")
