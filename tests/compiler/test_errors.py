from compiler.errors import Problem, Span, SpecError, did_you_mean

_A = Problem(Span("a.yaml", 3, 5), "x.y", "is -1, but must be greater than 0", "out-of-range", "write 1")
_B = Problem(Span("a.yaml", 2, 9), "x.z", "unknown key", "unknown-key", related=((Span("b.yaml", 1, 1), "used here"),))
_C = Problem(None, "", "no cluster 'x'", "unknown-cluster")


def test_problems_are_told_once_in_reading_order_and_those_without_a_place_last() -> None:
    assert list(SpecError([_C, _A, _B, _A]).problems) == [_B, _A, _C]


def test_a_problem_begins_with_the_place_that_editors_jump_to() -> None:
    assert str(_A).splitlines()[0].startswith("a.yaml:3:5: x.y: is -1")
    assert any("b.yaml:1:1" in line for line in str(_B).splitlines()[1:])


def test_the_nearest_choice_is_offered_and_few_choices_are_listed() -> None:
    assert "'optimizers'" in did_you_mean("optimisers", ["optimizers", "models"])
    assert did_you_mean("kto", ["dpo", "ipo", "rpo"]) == "choose from dpo, ipo, rpo"
    assert did_you_mean("zzz", [f"stage_{number}" for number in range(1000)]) == ""
