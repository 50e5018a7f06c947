"""The colour of a stage kind, the same in every picture."""

_COLOURS = {
    "pretrain": "#cfe2ff", "sft": "#cfe2ff", "prefer": "#cfe2ff", "reward_model": "#e2d9f3",
    "generate": "#d1e7dd", "judge": "#fff3cd", "pair": "#fff3cd", "filter": "#fff3cd",
    "evaluate": "#f8d7da", "report": "#f8d7da",
}  # fmt: skip


def colour_of(kind: str) -> str:
    """Training blue, reward models purple, answers green, judging yellow, results red, all else grey."""
    return _COLOURS.get(kind, "#eeeeee")
