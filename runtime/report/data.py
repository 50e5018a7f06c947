"""Where rows came from and where they were lost; how good the judges are; how much of the data a model wrote."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from runtime.intervals import wilson
from runtime.ladder import synthetic_share
from runtime.report.lineage import Lineage, Made, read_lines
from runtime.rows import FILE

SHARE_OF_340B = 0.98
"""Nemotron-4 340B: over 98 % of the data used in alignment is synthetic (arXiv 2406.11704)."""
_CHANCE = 0.5
_ROWS = (
    "topics",
    "prompts",
    "annotate",
    "dialogues",
    "code",
    "mix",
    "split",
    "select",
    "dedup",
    "generate",
    "filter",
    "pair",
)


def waterfalls(lineage: Lineage) -> list[dict[str, Any]]:
    """Stages that lose rows on their way, step by step and by reason; summed over the points of a sweep."""
    by_stage: dict[tuple[str, tuple[str, ...]], list[Made]] = {}
    for one in lineage.made:
        steps = tuple(step["name"] for step in one.facts.get("waterfall", ()))
        if len(steps) > 1:
            by_stage.setdefault((one.stage_name, steps), []).append(one)
    return [_waterfall(name, steps, ones) for (name, steps), ones in by_stage.items()]


def sources(lineage: Lineage) -> list[dict[str, Any]]:
    """Every stage that makes rows: how many, and what else it told in one number."""
    return [
        {
            "label": one.label,
            "kind": one.kind,
            "fingerprint": one.fingerprint,
            "rows": one.facts["rows"],
            "families": one.facts.get("rows_by_family", {}),
            "tokens": one.facts.get("tokens"),
            "cut_off": one.facts.get("cut_off"),
            "wrong": one.facts.get("wrong"),
        }
        for one in lineage.of(*_ROWS)
    ]


def reward_models(lineage: Lineage) -> list[dict[str, Any]]:
    """Held-out calibration: share of pairs whose more helpful response also has the higher predicted helpfulness."""
    return [_reward_model(one) for one in lineage.of("reward_model")]


def judges(lineage: Lineage) -> list[dict[str, Any]]:
    """What each judging stage said, and where it was silent."""
    return [
        {
            "label": one.label,
            "fingerprint": one.fingerprint,
            "judge": one.facts["judge"],
            "gate": one.record.stage["judge"].get("gate"),
            **{name: one.facts[name] for name in ("rows", "judged", "silent", "mean_score")},
            "comparisons": one.facts.get("comparisons"),
            "grading": one.facts.get("grading"),
        }
        for one in lineage.of("judge")
    ]


def agreements(lineage: Lineage) -> list[dict[str, Any]]:
    """How often two judges put two responses to one prompt in the same order, where both tell them apart."""
    return [
        {"label": one.label, "fingerprint": one.fingerprint, "judges": names, **numbers}
        for one in lineage.of("pair")
        for names, numbers in one.facts.get("agreement", {}).items()
    ]


def examinations(named: Mapping[str, Sequence[str]], lineage: Lineage) -> list[dict[str, Any]]:
    """Judges against labelled pairs: name of a judge -> fingerprints of its examinations, one for each point."""
    found = [(title, lineage.by_fingerprint[one]) for title, ones in named.items() for one in dict.fromkeys(ones)]
    return [
        {
            "judge": title,
            "label": one.label,
            **{name: one.facts[name] for name in _EXAMINED},
            "not_above_chance": [
                family
                for family, numbers in one.facts["families"].items()
                if numbers["low"] is None or numbers["low"] <= _CHANCE
            ],
            "comparisons": one.facts.get("comparisons"),
        }
        for title, one in found
    ]


def agreements_on_labels(named: Mapping[str, Sequence[str]], lineage: Lineage) -> list[dict[str, Any]]:
    """The same of judges that were examined on the same pairs, over the pairs that both decided."""
    found = []
    for (one, ones), (other, others) in combinations(named.items(), 2):
        for first, second in zip(ones, others, strict=False):
            mine, theirs = _decided(lineage.by_fingerprint[first]), _decided(lineage.by_fingerprint[second])
            both = [mine[pair] == theirs[pair] for pair in mine.keys() & theirs.keys()]
            if both:
                low, share, high = wilson(sum(both), len(both))
                label = f"{lineage.by_fingerprint[first].label}, {lineage.by_fingerprint[second].label}"
                numbers = {"share": share, "low": low, "high": high, "pairs": len(both)}
                found.append({"label": label, "fingerprint": first, "judges": f"{one}; {other}", **numbers})
    return found


def _decided(examination: Made) -> dict[str, bool]:
    """Pair -> whether the judge was right, of pairs that it decided."""
    return {
        row["id"]: row["verdict"] == "right"
        for row in read_lines(examination.folder, FILE)
        if row["verdict"] in ("right", "wrong")
    }


_EXAMINED = (
    "pairs", "right", "wrong", "tie", "silent", "accuracy", "low", "high", "credited", "for_the_longer",
    "mean_of_families", "families",
)  # fmt: skip


def synthetic(lineage: Lineage) -> dict[str, Any]:
    """The share of rows that a model wrote among those that sft and prefer learnt from; a data set counts once.

    `with_ratings` also counts the responses that the reward model learnt from, as human: there a person (here, the
    judge that stands in for one) gave the label, as in HelpSteer2, although a model wrote the answer.
    """
    sets: dict[str, dict[str, Any]] = {}
    for one in lineage.of("sft", "prefer"):
        data = str(one.record.stage["data"])
        entry = sets.setdefault(data, _training_set(data, one, lineage))
        entry["used_by"].append(one.label)
    rated = sum({_rated_by(one): int(one.facts["rows"]) for one in lineage.of("reward_model")}.values())
    found = list(sets.values())
    return {
        **synthetic_share(found),
        "sets": found,
        "rows_rated": rated,
        "with_ratings": synthetic_share([*found, {"synthetic": 0, "human": rated}])["share"],
        "share_of_nemotron4_340b": SHARE_OF_340B,
    }


def overlap(lineage: Lineage, held_out: frozenset[str]) -> dict[str, Any]:
    """How many of the held-out prompts stand, by id, in what was learnt from; each data set that was looked into."""
    found = []
    leaked: set[str] = set()
    for one in _learnt_from(lineage):
        prompts = {line["prompt_id"] for line in read_lines(one.folder, FILE) if "prompt_id" in line}
        if not prompts:
            continue
        leaked |= prompts & held_out
        found.append({"label": one.label, "prompts": len(prompts), "held_out": len(prompts & held_out)})
    return {"held_out": len(held_out), "found": len(leaked), "sets": found}


def _waterfall(name: str, steps: Sequence[str], ones: Sequence[Made]) -> dict[str, Any]:
    rejected: dict[str, int] = {}
    for one in ones:
        for reason, count in one.facts.get("rejected", {}).items():
            rejected[reason] = rejected.get(reason, 0) + count
    return {
        "stage": name,
        "kind": ones[0].kind,
        "points": len(ones),
        "steps": [
            {"name": step, "rows": sum(one.facts["waterfall"][number]["rows"] for one in ones)}
            for number, step in enumerate(steps)
        ],
        "rejected": dict(sorted(rejected.items())),
    }


def _reward_model(one: Made) -> dict[str, Any]:
    told: Mapping[str, Mapping[str, Any]] = one.facts["pair_accuracy_by_helpfulness"]
    families = {family: _pairs(numbers) for family, numbers in sorted(told.items())}
    return {
        "label": one.label,
        "fingerprint": one.fingerprint,
        "rows": one.facts["rows"],
        "rows_held_out": one.facts["rows_held_out"],
        "mse": one.facts["held_out_mse"],
        "families": families,
        "not_above_chance": [family for family, numbers in families.items() if numbers["low"] <= _CHANCE],
    }


def _pairs(numbers: Mapping[str, Any]) -> dict[str, Any]:
    count = int(numbers["pairs"])
    low, share, high = wilson(round(numbers["accuracy"] * count), count)
    return {"accuracy": share, "low": low, "high": high, "pairs": count}


def _training_set(data: str, one: Made, lineage: Lineage) -> dict[str, Any]:
    made = lineage.by_fingerprint.get(data)
    return {
        "data": made.label if made else data,
        "kind": made.kind if made else None,
        "used_by": [],
        "synthetic": int(one.facts["rows_synthetic"]),
        "human": int(one.facts["rows_human"]),
    }


def _rated_by(reward_model: Made) -> str:
    """What it learnt from: ratings, responses or preferences."""
    stage = reward_model.record.stage
    return str(stage.get("ratings") or stage.get("responses") or stage.get("preferences"))


def _learnt_from(lineage: Lineage) -> Iterator[Made]:
    """Rows that some training stage read, directly or as tokens; each artifact once."""
    told: set[str] = set()
    for learner in lineage.of("tokenize", "sft", "reward_model", "prefer"):
        for source in learner.record.inputs.values():
            one = lineage.by_fingerprint.get(source.fingerprint)
            if one is not None and (one.folder / FILE).is_file() and one.fingerprint not in told:
                told.add(one.fingerprint)
                yield one
