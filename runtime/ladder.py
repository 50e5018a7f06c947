"""The ladder: evaluations in, rows, gains and claims out. Pure functions; what they return is part of `report.json`.

A row of the ladder is one evaluation, or one for each point of a sweep. Intervals of a row are Wilson's on the counts
of all its evaluations together. A difference is paired: answers to one prompt are compared at each point, averaged
over points, and the interval is over prompts. So a sweep of equal policies does not make the interval narrower.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from runtime.intervals import Interval, paired_difference, wilson

GREEDY, SAMPLED = "greedy", "sampled"
DECODINGS = (GREEDY, SAMPLED)


@dataclass(frozen=True)
class Answered:
    """One answer of a policy to one prompt, checked."""

    response: str
    passed: bool | None
    """None where no program can tell."""
    tokens: int
    finished: bool
    reward: float | None = None
    grade: float | None = None


@dataclass(frozen=True)
class Question:
    """One held-out prompt and its answers by decoding."""

    id: str
    family: str
    prompt: str
    answers: Mapping[str, Answered]


@dataclass(frozen=True)
class Evaluation:
    """What one evaluation found."""

    label: str
    fingerprint: str
    questions: tuple[Question, ...]
    policy: str = ""
    """Fingerprint of the policy that was asked."""
    reward_model: str = ""
    """Fingerprint of the reward model that rated the answers, if one did."""

    @property
    def point(self) -> str:
        """The point of the sweep, `seed=2,beta=0.1`; empty where there is no sweep."""
        return self.label.partition("@")[2]


Rows = Mapping[str, Sequence[Evaluation]]
"""Row title -> its evaluations, in the order of the ladder and of the sweep's points."""


def evaluation(
    label: str, fingerprint: str, lines: Sequence[Mapping[str, Any]], *, policy: str = "", reward_model: str = ""
) -> Evaluation:
    """An evaluation out of the lines of its `rows.jsonl`; each prompt must stand there once."""
    questions = tuple(_question(line) for line in lines)
    if not questions:
        raise ValueError(f"evaluation {label} has no prompts")
    if len({question.id for question in questions}) < len(questions):
        raise ValueError(f"evaluation {label} has a prompt twice: its answers cannot be compared prompt by prompt")
    return Evaluation(label, fingerprint, questions, policy, reward_model)


def ladder(rows: Rows, starts_from: Mapping[str, str]) -> list[dict[str, Any]]:
    """One entry for each row, in order. `starts_from`: fingerprint of a policy -> of the policy it was trained from."""
    found = []
    previous = ""
    for title, evaluations in rows.items():
        entry = _row(title, evaluations)
        entry["gain"] = _gain(previous, rows, evaluations, starts_from) if previous else None
        found.append(entry)
        previous = title
    return found


def claim(better: str, worse: str, decoding: str, rows: Rows) -> dict[str, Any]:
    """Whether `better` passes more held-out prompts than `worse`: the low end of the difference is above zero."""
    for title in (better, worse):
        if title not in rows:
            raise ValueError(f"a claim speaks of {title!r}, but the ladder has no such row: {', '.join(rows)}")
    pairs = _point_pairs(better, rows[better], worse, rows[worse])
    low, middle, high = _difference(pairs, decoding)
    return {
        "better": better,
        "worse": worse,
        "decoding": decoding,
        "difference": middle,
        "low": low,
        "high": high,
        "holds": low > 0,
        "prompts": len({question.id for one, _ in pairs for question in one.questions}),
        "points": [{"point": one.point, **_interval(_difference([(one, other)], decoding))} for one, other in pairs],
    }


def synthetic_share(sets: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Rows that a model wrote among all rows of these training sets (`synthetic`, `human`), each set counted once."""
    synthetic, human = (sum(int(one[name]) for one in sets) for name in ("synthetic", "human"))
    total = synthetic + human
    return {"rows_synthetic": synthetic, "rows_human": human, "share": synthetic / total if total else None}


# --- rows ---------------------------------------------------------------------------------------------------------


def _question(line: Mapping[str, Any]) -> Question:
    answers = {name: _answered(line[name]) for name in DECODINGS}
    return Question(line["id"], line["family"], line["prompt"], answers)


def _answered(found: Mapping[str, Any]) -> Answered:
    return Answered(
        response=found["response"],
        passed=None if found["passed"] is None else bool(found["passed"]),
        tokens=int(found["tokens"]) if "tokens" in found else len(found["token_ids"]),
        finished=bool(found["finished"]),
        reward=found.get("reward"),
        grade=found.get("grade"),
    )


def _row(title: str, evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    distinct = _distinct(evaluations)
    questions = [question for one in distinct for question in one.questions]
    families = sorted({question.family for question in questions})
    overall = {name: {**_numbers(questions, name), "spread": _spread(distinct, name)} for name in DECODINGS}
    return {
        "title": title,
        "points": len(distinct),
        "overall": overall,
        "families": {
            family: {name: _numbers([one for one in questions if one.family == family], name) for name in DECODINGS}
            for family in families
        },
        **{name: overall[GREEDY][name] for name in ("reward", "grade", "mean_tokens", "finished")},
        "evaluations": [
            {
                "label": one.label,
                "point": one.point,
                "fingerprint": one.fingerprint,
                "policy": one.policy,
                "reward_model": one.reward_model,
                **{name: _numbers(one.questions, name) for name in DECODINGS},
            }
            for one in distinct
        ],
    }


def _distinct(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """Points of a sweep that are computed once count once."""
    found: dict[str, Evaluation] = {}
    for one in evaluations:
        found.setdefault(one.fingerprint, one)
    return list(found.values())


def _numbers(questions: Sequence[Question], decoding: str) -> dict[str, Any]:
    answers = [question.answers[decoding] for question in questions]
    checked = [one.passed for one in answers if one.passed is not None]
    low, accuracy, high = wilson(sum(checked), len(checked)) if checked else (None, None, None)
    rewards = [one.reward for one in answers if one.reward is not None]
    grades = [one.grade for one in answers if one.grade is not None]
    return {
        "accuracy": accuracy,
        "low": low,
        "high": high,
        "passed": sum(checked),
        "checked": len(checked),
        "prompts": len(answers),
        "mean_tokens": fmean(one.tokens for one in answers),
        "finished": fmean(one.finished for one in answers),
        "reward": fmean(rewards) if rewards else None,
        "grade": _mean(grades),
    }


def _mean(grades: Sequence[float]) -> dict[str, float] | None:
    """Of two grades at least, with the normal 95 % interval of their mean."""
    if len(grades) < 2:
        return None
    low, mean, high = paired_difference(grades, [0.0] * len(grades))
    return {"mean": mean, "low": low, "high": high, "prompts": len(grades)}


def _spread(evaluations: Sequence[Evaluation], decoding: str) -> dict[str, float] | None:
    """Of the points' accuracies; None where there is one point."""
    shares = [
        fmean(passed)
        for one in evaluations
        if (passed := [found for ask in one.questions if (found := ask.answers[decoding].passed) is not None])
    ]
    if len(shares) < 2:
        return None
    return {"mean": fmean(shares), "min": min(shares), "max": max(shares), "sd": stdev(shares)}


# --- differences --------------------------------------------------------------------------------------------------

_Pairs = Sequence[tuple[Evaluation, Evaluation]]


def _gain(
    previous: str, rows: Rows, evaluations: Sequence[Evaluation], starts_from: Mapping[str, str]
) -> dict[str, Any]:
    """Over the previous row; without numbers where the two were not asked the same prompts."""
    try:
        pairs = _point_pairs("this row", evaluations, previous, rows[previous])
        gains = {name: _interval(_difference(pairs, name)) for name in DECODINGS}
    except ValueError as why:
        return {"over": previous, "continues": False, "why_not": str(why), **dict.fromkeys(DECODINGS)}
    return {
        "over": previous,
        "continues": all(_descends(one.policy, other.policy, starts_from) for one, other in pairs),
        "why_not": None,
        **gains,
    }


def _descends(policy: str, ancestor: str, starts_from: Mapping[str, str]) -> bool:
    """Whether this policy's weights were trained from the ancestor's."""
    seen: set[str] = set()
    while policy and policy not in seen:
        if policy == ancestor:
            return True
        seen.add(policy)
        policy = starts_from.get(policy, "")
    return False


def _point_pairs(one: str, ones: Sequence[Evaluation], other: str, others: Sequence[Evaluation]) -> _Pairs:
    """The evaluations of two rows side by side, point by point; refuses what cannot be compared."""
    points, other_points = [each.point for each in ones], [each.point for each in others]
    if points != other_points:
        raise ValueError(
            f"{one!r} and {other!r} cannot be compared: they stand at the points {points} and {other_points}"
        )
    pairs: dict[tuple[str, str], tuple[Evaluation, Evaluation]] = {}
    for mine, theirs in zip(ones, others, strict=True):
        if {question.id for question in mine.questions} != {question.id for question in theirs.questions}:
            raise ValueError(
                f"{one!r} and {other!r} cannot be compared: {mine.label} and {theirs.label} were asked other prompts"
            )
        pairs.setdefault((mine.fingerprint, theirs.fingerprint), (mine, theirs))
    return list(pairs.values())


def _difference(pairs: _Pairs, decoding: str) -> Interval:
    """Each prompt's pass rate over the points, one row less the other; the interval is over prompts."""
    better = _pass_rates([one for one, _ in pairs], decoding)
    worse = _pass_rates([other for _, other in pairs], decoding)
    both = [prompt for prompt in better if prompt in worse]
    if len(both) < 2:
        raise ValueError("an interval of a difference needs two prompts at least that a program can check")
    return paired_difference([better[prompt] for prompt in both], [worse[prompt] for prompt in both])


def _pass_rates(evaluations: Sequence[Evaluation], decoding: str) -> dict[str, float]:
    passed: dict[str, list[bool]] = {}
    for one in evaluations:
        for question in one.questions:
            verdict = question.answers[decoding].passed
            if verdict is not None:
                passed.setdefault(question.id, []).append(verdict)
    return {prompt: fmean(found) for prompt, found in passed.items()}


def _interval(found: Interval) -> dict[str, float]:
    return {"difference": found.estimate, "low": found.low, "high": found.high}
