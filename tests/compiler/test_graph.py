import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from compiler.errors import Problem, SpecError
from compiler.graph import StageGraph
from compiler.pipeline import compile_graph

_RECIPES = Path(__file__).parent / "recipes"
_RATE = "{shape: constant, start: 1e-3, end: 1e-3, warmup_steps: 0}"


def graph(folder: Path, text: str, overrides: Sequence[str] = ()) -> StageGraph:
    file = folder / "spec.yaml"
    file.write_text(f"rung: 1\nname: test\nuse: [{_RECIPES}/world.yaml]\n{text}", encoding="utf-8")
    return compile_graph(file, overrides)


def problems(folder: Path, text: str, overrides: Sequence[str] = ()) -> Sequence[Problem]:
    with pytest.raises(SpecError) as error:
        graph(folder, text, overrides)
    return error.value.problems


def test_every_stage_comes_after_what_it_needs() -> None:
    found = compile_graph(_RECIPES / "small.yaml", [])
    place = {label: number for number, label in enumerate(found.order())}
    assert len(place) == len(found) == 4 * 40 + 1
    for label in found.order():
        assert all(place[ref] < place[label] for ref in found.inputs(label))
        assert set(found.upstream(label)) == set(found.inputs(label).values())
        assert all(label in found.upstream(below) for below in found.downstream(label))


def test_the_order_is_as_written_where_edges_leave_it_open(tmp_path: Path) -> None:
    mix = "{{kind: mix, rows: dialogues, data: {{{}: 1}}, count: 1, seed: 1}}"
    text = f"pipeline:\n  z: {mix.format('y')}\n  y: {mix.format('web')}\n"
    order = graph(tmp_path, text).order()
    assert order[:4] == ("web_prompts", "web", "held_out", "tokenizer")
    assert order[-2:] == ("y", "z")


def test_ancestors_and_descendants(tmp_path: Path) -> None:
    found = graph(tmp_path, "")
    assert found.ancestors("tokens") == {"web_prompts", "web", "tokenizer"}
    assert "pairs" in found.descendants("base")
    assert "wide_base" not in found.descendants("base")
    assert "base" in found
    assert "bsae" not in found


def test_a_policy_has_the_model_and_tokenizer_of_its_root(tmp_path: Path) -> None:
    found = graph(tmp_path, "")
    assert found.policy_model("sft").hidden_size == 64
    assert found.policy_model("wide_base").hidden_size == 128
    assert found.policy_model("reward") == found.policy_model("base")
    assert found.policy_tokenizer("reward") == "tokenizer"


def test_a_wrong_artifact_shows_both_ends(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, "", ["pipeline.sft.data=held_out"])
    assert found.code == "wrong-artifact"
    assert found.span is not None
    assert found.span.file == "--set"
    assert Path(found.related[0][0].file).name == "world.yaml"
    assert "annotate" in found.hint


def test_a_wrong_artifact_through_a_carried_value_is_told_where_it_was_carried(tmp_path: Path) -> None:
    text = """\
pipeline:
  loop:
    repeat: 5
    carry: {data: answers}
    stages: {m: {kind: mix, rows: dialogues, data: {"${data}": 1}, count: 1, seed: 1}}
    yield: {data: m}
"""
    (found,) = problems(tmp_path, text)
    assert found.span is not None
    assert (found.span.line, found.code) == (8, "wrong-artifact")


def test_exams_may_share_parts_with_nothing_that_was_learnt(tmp_path: Path) -> None:
    exam = "exam: {kind: evaluate, policy: sft, prompts: p, max_new_tokens: 8, reward: by_reward, seed: 1}"
    text = "pipeline:\n  p: {{kind: prompts, generator: all, count: 9, split: by_prompt, parts: [{}], seed: 9}}\n  {}\n"
    assert len(graph(tmp_path, text.format("exam, preference", exam)))
    assert [p.code for p in problems(tmp_path, text.format("exam, sft", exam))] == ["contamination"]
    assert [p.code for p in problems(tmp_path, text.format("exam, reward", exam))] == ["contamination"]


def test_learning_from_the_exam_through_many_stages_is_seen(tmp_path: Path) -> None:
    text = f"""\
pipeline:
  loop:
    repeat: 3
    carry: {{policy: sft}}
    stages:
      p: {{kind: prompts, generator: all, count: 9, split: by_prompt, parts: [exam], seed: "${{round}}"}}
      r: {{kind: generate, policy: "${{policy}}", prompts: p, samples: 2,
          sampling: {{temperature: 1, top_p: 1, max_new_tokens: 8}}, seed: 1}}
      s: {{kind: judge, judge: truth, responses: r}}
      f: {{kind: filter, responses: r, scores: {{t: s}}, at_least: {{t: 1}}, per_prompt: 1}}
      t: {{kind: sft, init: "${{policy}}", data: f, epochs: 1, global_batch_size: 2, learning_rate: {_RATE},
          optimizer: adam, precision: fp32, seed: 1}}
      exam: {{kind: evaluate, policy: t, prompts: held_out, max_new_tokens: 8, seed: 1}}
    yield: {{policy: t}}
"""
    (found,) = problems(tmp_path, text)
    assert (found.code, found.path) == ("contamination", "pipeline.loop.stages.exam.prompts")
    assert [span.line for span, _ in found.related][-1] == 9


@pytest.mark.parametrize(
    ("placement", "fields"),
    [
        ("{layout: {dp: 2}}", []),
        ("{layout: {dp: 4}, micro_batch_size: 8}", []),
        ("{layout: {tp: 2, pp: 2, vpp: 2}, micro_batch_size: 16}", []),
        ("{layout: {tp: 4}}", ["layout.tp"]),
        ("{layout: {pp: 3}}", ["layout.pp"]),
        ("{layout: {vpp: 2}}", ["layout.vpp"]),
        ("{layout: {pp: 4, vpp: 2}, micro_batch_size: 8}", ["layout.pp"]),
        ("{layout: {dp: 3}}", ["layout.dp"]),
        ("{micro_batch_size: 5}", ["micro_batch_size"]),
        ("{micro_batch_size: 5, layout: {dp: 2}}", ["micro_batch_size"]),
    ],
)
def test_layouts_divide_models_and_batches(tmp_path: Path, placement: str, fields: list[str]) -> None:
    override = [f"pipeline.base.placement={placement}"]
    if not fields:
        assert graph(tmp_path, "", override).stage("base").placement.model_dump(exclude_defaults=True)
        return
    found = problems(tmp_path, "", override)
    assert [p.path for p in found] == [f"pipeline.base.placement.{field}" for field in fields]
    assert all(p.span is not None and p.span.file == "--set" for p in found)


def test_the_layout_of_a_stage_that_runs_a_policy_is_checked_too(tmp_path: Path) -> None:
    found = problems(tmp_path, "", ["pipeline.answers.placement={layout: {tp: 4}}"])
    assert [p.code for p in found] == ["indivisible"]


def test_every_entry_of_a_ramp_is_divided(tmp_path: Path) -> None:
    ramp = "[{global_batch_size: 32, tokens: 80k}, {global_batch_size: 31, tokens: 80k}]"
    overrides = [f"pipeline.base.phases.0.batch_ramp={ramp}", "pipeline.base.placement={layout: {dp: 2}}"]
    assert [p.code for p in problems(tmp_path, "", overrides)] == ["indivisible"]


def test_a_layout_that_divides_all_of_a_ramp_is_named(tmp_path: Path) -> None:
    ramp = "[{global_batch_size: 24, tokens: 80k}, {global_batch_size: 32, tokens: 80k}]"
    overrides = [f"pipeline.base.phases.0.batch_ramp={ramp}", "pipeline.base.placement={layout: {dp: 16}}"]
    (problem,) = problems(tmp_path, "", overrides)
    assert problem.hint.endswith(": 8")
    assert graph(tmp_path, "", [*overrides[:1], "pipeline.base.placement={layout: {dp: 8}}"])


def test_all_wrong_refs_are_told_at_once(tmp_path: Path) -> None:
    overrides = ["pipeline.sft.data=wbe", "pipeline.sft.init=tokens", "pipeline.marks.responses=web"]
    assert [p.code for p in problems(tmp_path, "", overrides)] == ["unknown-ref", "wrong-artifact", "wrong-artifact"]


@pytest.mark.slow
def test_ten_thousand_stages_compile_in_linear_time(tmp_path: Path) -> None:
    def seconds(rounds: int) -> float:
        line = (
            "  p{n}: {{kind: prompts, generator: all, count: 20k, split: by_prompt, parts: [preference], seed: {n}}}\n"
            "  a{n}: {{kind: annotate, prompts: p{n}, error_rate: 0.1, seed: 1}}\n"
            "  m{n}: {{kind: mix, rows: dialogues, data: {{a{n}: 1, {before}: 1}}, count: 1, seed: 1}}\n"
        )
        lines = [line.format(n=n, before=f"m{n - 1}" if n else "web") for n in range(rounds)]
        start = time.process_time()
        assert len(graph(tmp_path, "pipeline:\n" + "".join(lines))) > 3 * rounds
        return time.process_time() - start

    seconds(100)
    # It takes two to three seconds; a quadratic step would take minutes.
    assert seconds(3400) < 20
