from math import sqrt
from statistics import stdev

import pytest

from runtime.intervals import wilson
from runtime.ladder import Evaluation, claim, evaluation, ladder, synthetic_share

Z = 1.959963984540054


def asked(
    label: str,
    greedy: str,
    *,
    sampled: str = "",
    policy: str = "",
    families: str = "",
    prompts: str = "",
    fingerprint: str = "",
) -> Evaluation:
    """An evaluation out of one letter for each prompt: `1` passed, `0` failed."""
    lines = [
        {
            "id": prompts[number] if prompts else f"p{number}",
            "family": families[number] if families else "f",
            "prompt": "?",
            "greedy": answer(greedy[number]),
            "sampled": answer((sampled or greedy)[number]),
        }
        for number in range(len(greedy))
    ]
    return evaluation(label, fingerprint or label, lines, policy=policy)


def answer(passed: str) -> dict[str, object]:
    return {"response": "x", "passed": passed == "1", "token_ids": [1, 2], "finished": True, "reward": float(passed)}


# --- rows ---------------------------------------------------------------------------------------------------------


def test_a_row_counts_each_decoding_and_family_apart() -> None:
    (row,) = ladder({"Base": [asked("base", "1100", sampled="1000", families="aabb")]}, {})
    assert row["overall"]["greedy"]["accuracy"] == 0.5
    assert row["overall"]["sampled"]["accuracy"] == 0.25
    assert [row["families"][family]["greedy"]["passed"] for family in "ab"] == [2, 0]
    assert [row["families"][family]["sampled"]["passed"] for family in "ab"] == [1, 0]
    assert (row["reward"], row["mean_tokens"], row["finished"], row["points"]) == (0.5, 2, 1, 1)
    assert row["overall"]["greedy"]["spread"] is None


def test_points_of_a_sweep_are_pooled_by_counts_and_spread_apart() -> None:
    points = [
        asked("exam@seed=1", "1111000000"),
        asked("exam@seed=2", "1111110000"),
        asked("exam@seed=3", "1100000000"),
    ]
    (row,) = ladder({"SFT": points}, {})
    numbers = row["overall"]["greedy"]
    expected = wilson(12, 30)
    assert (numbers["passed"], numbers["prompts"], row["points"]) == (12, 30, 3)
    assert (numbers["low"], numbers["accuracy"], numbers["high"]) == expected
    assert numbers["spread"] == pytest.approx({"mean": 0.4, "min": 0.2, "max": 0.6, "sd": stdev([0.4, 0.6, 0.2])})
    assert [one["point"] for one in row["evaluations"]] == ["seed=1", "seed=2", "seed=3"]


def test_a_point_computed_once_counts_once() -> None:
    points = [asked(f"base@seed={seed}", "1100", fingerprint="same") for seed in (1, 2, 3)]
    (row,) = ladder({"Base": points}, {})
    assert (row["points"], row["overall"]["greedy"]["prompts"]) == (1, 4)


def test_rewards_may_be_absent() -> None:
    unrated = {name: value for name, value in answer("1").items() if name != "reward"}
    line = {"id": "a", "family": "f", "prompt": "?", "greedy": unrated, "sampled": unrated}
    (row,) = ladder({"Base": [evaluation("base", "base", [line])]}, {})
    assert row["reward"] is None


def test_a_prompt_that_stands_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        asked("base", "11", prompts="aa")


def test_an_evaluation_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no prompts"):
        asked("base", "")


# --- gains --------------------------------------------------------------------------------------------------------


def test_the_gain_is_over_the_row_before_and_tells_whether_training_went_on() -> None:
    rows = {
        "Base": [asked("base", "1000", policy="base")],
        "RPO": [asked("rpo", "1110", policy="rpo")],
        "Student": [asked("student", "0000", policy="student")],
    }
    first, second, third = ladder(rows, {"rpo": "sft", "sft": "base"})
    assert first["gain"] is None
    assert (second["gain"]["over"], second["gain"]["continues"]) == ("Base", True)
    assert second["gain"]["greedy"]["difference"] == 0.5
    assert (third["gain"]["over"], third["gain"]["continues"]) == ("RPO", False)
    assert third["gain"]["greedy"]["difference"] == -0.75


def test_rows_of_other_prompts_have_no_gain_but_a_reason() -> None:
    rows = {"Base": [asked("base", "10", prompts="ab")], "SFT": [asked("sft", "11", prompts="cd")]}
    gain = ladder(rows, {})[1]["gain"]
    assert (gain["greedy"], gain["sampled"]) == (None, None)
    assert "other prompts" in gain["why_not"]


# --- claims -------------------------------------------------------------------------------------------------------


def test_a_claim_is_the_paired_difference_by_prompt_id_not_by_position() -> None:
    # By id the gaps are a: 1-0, b: 1-0, c: 1-1, d: 0-1.
    rows = {"new": [asked("new", "1110", prompts="abcd")], "old": [asked("old", "1100", prompts="dcba")]}
    found = claim("new", "old", "greedy", rows)
    half = Z * sqrt(11 / 12 / 4)
    assert (found["difference"], found["low"], found["high"]) == pytest.approx((0.25, 0.25 - half, 0.25 + half))
    assert (found["holds"], found["prompts"]) == (False, 4)


def test_a_claim_holds_only_if_the_whole_interval_is_above_zero() -> None:
    rows = {"new": [asked("new", "1" * 30 + "0" * 70)], "old": [asked("old", "0" * 100)]}
    assert claim("new", "old", "greedy", rows)["holds"]
    assert not claim("old", "new", "greedy", rows)["holds"]
    assert not claim("new", "new", "greedy", rows)["holds"]


def test_a_claim_reads_the_decoding_that_it_names() -> None:
    rows = {"new": [asked("new", "1111", sampled="0000")], "old": [asked("old", "0000", sampled="1111")]}
    assert claim("new", "old", "greedy", rows)["difference"] == 1
    assert claim("new", "old", "sampled", rows)["difference"] == -1


def test_points_that_say_the_same_do_not_narrow_a_claim() -> None:
    once = {"new": [asked("n@seed=1", "1110")], "old": [asked("o@seed=1", "0100")]}
    thrice = {
        "new": [asked(f"n@seed={seed}", "1110") for seed in (1, 2, 3)],
        "old": [asked(f"o@seed={seed}", "0100") for seed in (1, 2, 3)],
    }
    one, three = claim("new", "old", "greedy", once), claim("new", "old", "greedy", thrice)
    for name in ("difference", "low", "high", "prompts"):
        assert three[name] == pytest.approx(one[name])
    assert [point["point"] for point in three["points"]] == ["seed=1", "seed=2", "seed=3"]


def test_a_claim_over_a_sweep_averages_each_prompt_over_the_points() -> None:
    # Gaps by prompt over two points: (1 + 0) / 2, (1 + 1) / 2, (0 + -1) / 2: mean 1/3, variance 7/12.
    rows = {
        "new": [asked("n@seed=1", "110"), asked("n@seed=2", "110")],
        "old": [asked("o@seed=1", "000"), asked("o@seed=2", "101")],
    }
    found = claim("new", "old", "greedy", rows)
    assert found["difference"] == pytest.approx(1 / 3)
    assert found["high"] - found["low"] == pytest.approx(2 * Z * sqrt(7 / 12 / 3))
    assert [point["difference"] for point in found["points"]] == pytest.approx([2 / 3, 0])


@pytest.mark.parametrize(
    ("old", "why"),
    [
        ([asked("o", "11", prompts="ac")], "other prompts"),
        ([asked("o", "111", prompts="abc")], "other prompts"),
        ([asked("o@seed=2", "11", prompts="ab")], "points"),
        ([asked("o", "11", prompts="ab"), asked("o2", "11", prompts="ab")], "points"),
    ],
)
def test_a_claim_over_what_cannot_be_paired_is_refused(old: list[Evaluation], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        claim("new", "old", "greedy", {"new": [asked("n", "10", prompts="ab")], "old": old})


def test_a_claim_about_a_row_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="no such row"):
        claim("new", "old", "greedy", {"new": [asked("n", "10")]})


def test_one_prompt_gives_no_interval() -> None:
    with pytest.raises(ValueError, match="two prompts"):
        claim("new", "old", "greedy", {"new": [asked("n", "1")], "old": [asked("o", "0")]})


# --- synthetic data -----------------------------------------------------------------------------------------------


def test_the_synthetic_share_is_over_rows_not_over_sets() -> None:
    sets = [{"synthetic": 0, "human": 20}, {"synthetic": 980, "human": 0}]
    assert synthetic_share(sets) == {"rows_synthetic": 980, "rows_human": 20, "share": 0.98}


def test_the_synthetic_share_of_nothing_is_not_known() -> None:
    assert synthetic_share([])["share"] is None
