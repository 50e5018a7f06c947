"""What a page tells of a stage when it is asked: what it takes in numbers, its fields, and the script that runs it."""

from collections.abc import Iterator, Mapping
from typing import Any

from compiler.words import count

Detail = Mapping[str, Any]
"""`fields`: as the recipe says them; `script`; `tiles`: name, value and small print of each further number."""


def detail(fact: Mapping[str, Any], fields: Mapping[str, Any] | None, script: str) -> Detail:
    """`fact`: the stage as `plan --json` tells it."""
    layout = " ".join(f"{name} {ranks}" for name, ranks in fact["layout"].items() if ranks > 1)
    basis = fact["wall_basis"] if fact["wall_basis"] != "cluster" else "the cluster file's speeds"
    return {"fields": fields, "script": script, "layout": layout, "wall_basis": basis, "tiles": list(_tiles(fact))}


def _tiles(fact: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    if fact["parameters"]:
        embedding = count(fact["parameters"]["embedding"])
        yield "Parameters", count(fact["parameters"]["total"]), f"{embedding} of them embedding" if embedding else ""
    if fact["memory_bytes_per_gpu"]:
        parts = sorted(fact["memory_bytes_per_gpu"].items(), key=lambda part: -part[1])[1:4]
        told = ", ".join(f"{name.replace('_', ' ')} {size / 1e9:.0f}" for name, size in parts if size >= 5e8)
        yield "Memory of a GPU", f"{fact['memory_bytes_per_gpu']['total'] / 1e9:.0f} GB", told
    if fact["rows"]:
        yield "Rows", f"{'~' if fact['rows_are_approximate'] else ''}{count(fact['rows'])}", ""
    tokens = fact["tokens"] or fact["served_tokens"]
    if tokens:
        yield "Tokens", count(tokens), ""
    if fact["steps"]:
        batch = f"of {fact['global_batch']:,} rows" if fact["global_batch"] else ""
        yield "Steps", f"{fact['steps']:,}", f"{batch}, {fact['step_time_s']:.3g} s each" if batch else ""
    if fact["mfu"]:
        yield "MFU", f"{100 * fact['mfu']:.1f} %", ""
    if fact["segments"] > 1:
        ranks = dict.fromkeys(phase["ranks"] for phase in fact["phases"])
        why = (
            f"of {', '.join(f'{count:,}' for count in ranks)} ranks"
            if len(ranks) > 1
            else "for its partition's time limit"
        )
        yield "Jobs", f"{fact['segments']:,}", why
