"""pair: chosen and rejected answers out of judged responses."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence

from compiler.artifacts import PreferenceRow
from compiler.stages.pair import Pair
from runtime.context import Context, Facts
from runtime.judged import Judged, agreement, read_judged, sample_index
from runtime.rows import write_rows

SILENT, NOTHING_TO_CHOOSE = "judges silent", "no response fit to be chosen"
ALL_EQUAL, SMALL_MARGIN = "all rewards equal", "margin too small"


def run(stage: Pair, ctx: Context) -> Facts:
    """At most one pair for each prompt."""
    prompts = read_judged(ctx.input(stage.responses), {name: ctx.input(ref) for name, ref in stage.scores.items()})
    pairs: list[PreferenceRow] = []
    rejected: Counter[str] = Counter()
    for judged in prompts:
        found = _pair(stage, judged)
        if isinstance(found, str):
            rejected[found] += 1
        else:
            pairs.append(found)
    write_rows(ctx.output, pairs)
    return _facts(pairs, prompts, rejected)


def _pair(stage: Pair, judged: Sequence[Judged]) -> PreferenceRow | str:
    """The pair of these responses to one prompt, or why there is none."""
    heard = _heard(stage, judged)
    if not heard:
        return SILENT
    rewards = {one.row.id: _reward(one, heard) for one in judged}
    # Ties are broken by lot, not by position: with a verifier's 0 and 1, most responses are tied.
    rng = random.Random(f"{stage.seed}/{judged[0].row.prompt_id}")
    ranked = sorted(rng.sample(list(judged), len(judged)), key=lambda one: rewards[one.row.id], reverse=True)
    fit = [one for one in ranked if _may_be_chosen(stage, one)]
    if not fit:
        return NOTHING_TO_CHOOSE
    chosen = fit[0]
    worse = [one for one in ranked if rewards[one.row.id] < rewards[chosen.row.id]]
    if not worse:
        return ALL_EQUAL
    far = [one for one in worse if rewards[chosen.row.id] - rewards[one.row.id] >= stage.min_margin]
    if not far:
        return SMALL_MARGIN
    return _row(chosen, far[-1] if stage.rejected == "worst" else rng.choice(far), rewards)


def _heard(stage: Pair, judged: Sequence[Judged]) -> dict[str, float]:
    """Weights of the judges that spoke on every response to this prompt: the others would make rewards incomparable."""
    return {
        name: weight
        for name, weight in sorted(stage.reward.items())
        if all(one.scores[name] is not None for one in judged)
    }


def _reward(judged: Judged, weights: Mapping[str, float]) -> float:
    return sum(weight * (judged.scores[name] or 0.0) for name, weight in weights.items())


def _may_be_chosen(stage: Pair, judged: Judged) -> bool:
    """Finished (nobody should learn not to end), and no score below its threshold; a silent judge does not reject."""
    scores = ((judged.scores[name], least) for name, least in stage.chosen_at_least.items())
    return judged.row.finished and all(score is None or score >= least for score, least in scores)


def _row(chosen: Judged, rejected: Judged, rewards: Mapping[str, float]) -> PreferenceRow:
    best, worst = chosen.row, rejected.row
    return PreferenceRow(
        id=f"{best.prompt_id}-{sample_index(best)}-{sample_index(worst)}",
        prompt_id=best.prompt_id,
        family=best.family,
        messages=best.messages,
        chosen=best.response,
        rejected=worst.response,
        chosen_ids=best.response_ids,
        rejected_ids=worst.response_ids,
        chosen_reward=rewards[best.id],
        rejected_reward=rewards[worst.id],
        made_from=(best.id, worst.id),
    )


def _facts(pairs: list[PreferenceRow], prompts: Sequence[Sequence[Judged]], rejected: Counter[str]) -> Facts:
    rows = len(prompts)
    waterfall = [{"name": "prompts", "rows": rows}]
    for name, reason in (
        ("judged", SILENT),
        ("with a response fit to be chosen", NOTHING_TO_CHOOSE),
        ("with different rewards", ALL_EQUAL),
        ("pairs", SMALL_MARGIN),
    ):
        rows -= rejected[reason]
        waterfall.append({"name": name, "rows": rows})
    margins = [pair.chosen_reward - pair.rejected_reward for pair in pairs]
    return {
        "rows": len(pairs),
        "rows_by_family": dict(sorted(Counter(pair.family for pair in pairs).items())),
        "prompts": len(prompts),
        "responses": sum(map(len, prompts)),
        "share_of_prompts": round(len(pairs) / max(1, len(prompts)), 6),
        "mean_margin": round(sum(margins) / max(1, len(margins)), 6),
        "agreement": agreement(prompts),
        "rejected": {reason: count for reason, count in sorted(rejected.items()) if count},
        "waterfall": waterfall,
    }
