"""The report stage over a store of made-up but plausible artifacts (`Recipe` writes them)."""

import hashlib
import json
import math
import random
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from compiler.artifacts import ArtifactRecord, InputRecord
from compiler.manifest import Manifest, ManifestInput, Placement
from compiler.stages.report import Claim, Report
from compiler.terminal.tables import judges_table, ladder_table
from runtime.context import Context
from runtime.stages import report
from runtime.stages.examine import summarise

FAMILIES = ("list_things", "repeat", "reverse", "sort", "word_problem", "words_without")
START = datetime(2026, 1, 5, 9, 30, tzinfo=UTC)
NASTY = '<script>alert("x")</script> & <b>bold</b>'


def fingerprint_of(label: str) -> str:
    return hashlib.sha256(label.encode()).hexdigest()[:16]


@dataclass
class Recipe:
    """Writes artifacts as the worker seals them, with records that look like those of a run of tiny.yaml."""

    store: Path
    prompts: int = 240
    noise: str = ""
    """At the end of every prompt and answer."""
    made: dict[str, InputRecord] = field(default_factory=dict)
    clock_s: float = 0.0

    def seal(
        self,
        label: str,
        kind: str,
        *,
        inputs: Sequence[str] = (),
        stage: Mapping[str, Any] | None = None,
        facts: Mapping[str, Any] | None = None,
        files: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
        wall_s: float = 2.0,
    ) -> str:
        fingerprint = fingerprint_of(label)
        folder = self.store / kind / fingerprint
        folder.mkdir(parents=True)
        for name, lines in (files or {}).items():
            (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        rng = random.Random(label)
        wall_s *= rng.uniform(0.85, 1.2)
        self.clock_s += wall_s * 0.8
        record = ArtifactRecord(
            kind=kind,
            fingerprint=fingerprint,
            label=label,
            stage={"kind": kind, **(stage or {})},
            inputs={each: self.made[each] for each in inputs},
            files=dict.fromkeys(files or {}, "0" * 64),
            bytes=rng.randint(10_000, 4_000_000),
            facts=dict(facts or {}),
            planned={
                "wall_s": round(wall_s * rng.uniform(0.8, 1.3), 2),
                "speed_wall_s": round(wall_s * 0.7, 3),
                "rows": 1000,
                "flops": 2e15 if kind == "pretrain" else 0,
                "memory_bytes_per_gpu": 70e9 if kind == "pretrain" else None,
            },
            measured={
                "wall_s": round(wall_s, 3),
                "start_up_s": round(rng.uniform(0.2, 1.6), 3),
                "cpu_s": round(wall_s * 1.1, 3),
                "peak_rss_bytes": rng.randint(90_000_000, 900_000_000),
                "attempts": 2 if label == "dpo" else 1,
                "world_size": 2 if kind == "pretrain" else 1,
                **({"peak_gpu_bytes": 66e9} if kind == "pretrain" else {}),
            },
            provenance={
                "run": "tiny-20260105-093000-1a2b",
                "host": "secret-host-17",
                "user": "somebody",
                "rung": "0.1.0",
                "sealed": (START + timedelta(seconds=self.clock_s + wall_s)).isoformat(timespec="seconds"),
            },
        )
        (folder / "artifact.json").write_text(record.model_dump_json(), encoding="utf-8")
        self.made[label] = InputRecord(stage=label, kind=kind, fingerprint=fingerprint)
        return fingerprint

    def fp(self, label: str) -> str:
        return self.made[label].fingerprint

    # --- the stages of a recipe -------------------------------------------------------------------------------------

    def rows(self, label: str, kind: str, count: int, *, inputs: Sequence[str] = (), **facts: Any) -> None:
        rng = random.Random(label)
        lines = [{"id": f"{label}-{row}", "prompt_id": fingerprint_of(f"{label}{row}")} for row in range(count)]
        shares = {family: count // len(FAMILIES) for family in FAMILIES}
        found = {"rows": count, "rows_by_family": shares, **facts}
        self.seal(label, kind, inputs=inputs, facts=found, files={"rows.jsonl": lines}, wall_s=rng.uniform(0.6, 2))

    def train(
        self, label: str, kind: str, *, start: str, data: str, steps: int, first: float, last: float, **facts: Any
    ) -> None:
        rng = random.Random(label)
        prefer = kind == "prefer"
        lines = []
        for step in range(steps):
            share = step / max(1, steps - 1)
            loss = last + (first - last) * math.exp(-5 * share) + rng.gauss(0, 0.03 * first)
            shifts = {"accuracy": 0.5 + 0.4 * share, "chosen_shift": -1.5 * share + rng.gauss(0, 0.1)}
            shifts["rejected_shift"] = -9 * share + rng.gauss(0, 0.4)
            line = {"step": step, "loss": loss, "learning_rate": 3e-4, "grad_norm": 1.0, "tokens": 4096}
            lines.append({**line, "flops": 5e12, **(shifts if prefer else {})})
        stage: dict[str, Any] = {"init": self.fp(start) if start else None}
        if kind in ("sft", "prefer"):
            stage["data"] = self.fp(data)
        if kind == "reward_model":
            stage["responses"] = self.fp(data)
        if prefer:
            stage["loss"] = {"kind": "dpo" if label.startswith("dpo") else "rpo"}
        inputs = [each for each in (start, data) if each]
        told = {"steps": steps, "tokens": 4096 * steps, "flops": 5e12 * steps, **facts}
        self.seal(
            label, kind, inputs=inputs, stage=stage, facts=told, files={"curve.jsonl": lines}, wall_s=4 + steps / 20
        )

    def exam(
        self,
        label: str,
        policy: str,
        skill: float,
        *,
        salt: str = "",
        prompts: Sequence[str] = (),
        graded: bool = False,
    ) -> None:
        """`skill` is the share of prompts that are answered rightly; easy prompts are easy for every policy. Where
        it is `graded`, no program checks an answer."""
        rng = random.Random(label)
        lines = []
        for number, prompt in enumerate(prompts or [f"prompt {each} {salt}" for each in range(self.prompts)]):
            family = FAMILIES[number % len(FAMILIES)]
            hard = random.Random(prompt).random() * 0.7 + 0.3 * rng.random()
            words = f">>> {family} {number}{self.noise}"
            answers = {
                name: {
                    "response": f"{'right' if hard < skill - less else 'wrong'} {number}{self.noise}",
                    "token_ids": [5] * rng.randint(3, 12),
                    "finished": rng.random() < 0.98,
                    "passed": None if graded else hard < skill - less,
                    **({"grade": 1 + number % 10} if graded and name == "greedy" else {}),
                    "reward": skill * 4 + rng.gauss(0, 0.5),
                }
                for name, less in (("greedy", 0.0), ("sampled", 0.06))
            }
            lines.append({"id": fingerprint_of(prompt), "family": family, "prompt": words, **answers})
        judge = {"model": self.fp("reward")} if "reward" in self.made else None
        stage = {"policy": self.fp(policy), "prompts": "0", "reward": judge}
        inputs = [policy, "reward"] if judge else [policy]
        self.seal(label, "evaluate", inputs=inputs, stage=stage, files={"rows.jsonl": lines}, wall_s=8)

    def preference_round(self, name: str, policy: str, *, pairs: int, point: str = "") -> str:
        prompts, responses, truth, reward, data, train = (
            f"{name}.{each}{point}" for each in ("prompts", "responses", "truth", "reward", "pairs", "train")
        )
        self.rows(prompts, "prompts", 2000)
        self.rows(responses, "generate", 8000, inputs=[policy, prompts], tokens=70_000, cut_off=31)
        self.judge(truth, responses, "ground_truth", silent=0)
        self.judge(reward, responses, "reward_model", silent=1333)
        steps = zip(("prompts", "judged", "with a response fit to be chosen", "with different rewards", "pairs"),
                    (2000, 2000, 1880, pairs + 40, pairs), strict=True)  # fmt: skip
        self.rows(
            data, "pair", pairs, inputs=[responses, truth, reward],
            waterfall=[{"name": step, "rows": count} for step, count in steps],
            rejected={"no response fit to be chosen": 120, "all rewards equal": 1840 - pairs, "margin too small": 40},
        )  # fmt: skip
        self.train(train, "prefer", start=policy, data=data, steps=60, first=0.7, last=0.4,
                   rows=pairs, rows_synthetic=pairs, rows_human=0)  # fmt: skip
        return train

    def judge(self, label: str, responses: str, kind: str, *, silent: int) -> None:
        rng = random.Random(label)
        speaking = FAMILIES[1:] if silent else FAMILIES
        facts = {"judge": kind, "rows": 8000, "judged": 8000 - silent, "silent": silent}
        scores = {family: rng.uniform(0.3, 0.9) for family in speaking}
        judge = {"kind": kind, **({"gate": 0.65} if kind == "reward_model" else {})}
        self.seal(label, "judge", inputs=[responses], stage={"judge": judge}, facts={**facts, "mean_score": scores})

    def reward_model(self, label: str, policy: str) -> None:
        responses = label.replace("reward", "reward_responses")
        self.rows(responses, "generate", 6000, inputs=[policy], tokens=50_000, cut_off=120)
        self.train(
            label, "reward_model", start=policy, data=responses, steps=140, first=2.2, last=0.6,
            rows=5100, rows_held_out=900, held_out_mse=0.412,
            pair_accuracy_by_helpfulness={
                family: {"accuracy": (55 + 8 * number) / 100, "pairs": 100} for number, family in enumerate(FAMILIES)
            },
        )  # fmt: skip


def tiny(store: Path, *, prompts: int = 240, noise: str = "") -> Recipe:
    """About what tiny.yaml makes, without its tokenizer."""
    recipe = Recipe(store, prompts, noise)
    recipe.rows("web", "annotate", 4000, wrong=1000)
    recipe.rows("code", "annotate", 1000, wrong=97)
    recipe.rows("general_blend", "mix", 1600)
    recipe.seal("web_tokens", "tokenize", inputs=["web"], facts={"documents": 4000})
    for base, steps in (("base", 460), ("student_base", 300)):
        phases = [{"name": "main", "steps": steps - 100}, {"name": "continued", "steps": 100}]
        recipe.train(base, "pretrain", start="", data="web_tokens", steps=steps, first=6.2, last=1.4, phases=phases)
    recipe.train("code_sft", "sft", start="base", data="code", steps=32, first=1.5, last=1.1,
                 rows=1000, rows_synthetic=0, rows_human=1000)  # fmt: skip
    recipe.train("general_sft", "sft", start="code_sft", data="general_blend", steps=75, first=1.4, last=0.9,
                 rows=1600, rows_synthetic=0, rows_human=1600)  # fmt: skip
    recipe.reward_model("reward", "general_sft")
    dpo = recipe.preference_round("dpo", "general_sft", pairs=1430)
    one = recipe.preference_round("rpo.1", dpo, pairs=1210)
    two = recipe.preference_round("rpo.2", one, pairs=1040)
    recipe.rows("lessons", "generate", 5000, inputs=[two], tokens=40_000, cut_off=3)
    recipe.rows("good_lessons", "filter", 2210, inputs=["lessons"],
                waterfall=[{"name": "responses", "rows": 5000}, {"name": "finished", "rows": 4997},
                           {"name": "above the thresholds", "rows": 4300}, {"name": "kept", "rows": 2210}],
                rejected={"unfinished": 3, "truth below 1": 697, "duplicate": 2090})  # fmt: skip
    recipe.train("student_sft", "sft", start="student_base", data="good_lessons", steps=105, first=1.6, last=0.7,
                 rows=2210, rows_synthetic=2210, rows_human=0)  # fmt: skip
    student = recipe.preference_round("student", "student_sft", pairs=1100)
    for exam, policy, skill in (
        ("base_exam", "base", 0.31), ("code_exam", "code_sft", 0.36), ("general_exam", "general_sft", 0.55),
        ("dpo_exam", dpo, 0.66), ("rpo_1_exam", one, 0.71), ("rpo_2_exam", two, 0.715),
        ("student_exam", "student_base", 0.37), ("student_sft_exam", "student_sft", 0.70),
        ("student_rpo_exam", student, 0.76),
    ):  # fmt: skip
        recipe.exam(exam, policy, skill)
    return recipe


TINY_ROWS = {
    "Base": "base_exam",
    "Code SFT": "code_exam",
    "+ General SFT": "general_exam",
    "+ DPO": "dpo_exam",
    "+ RPO 1": "rpo_1_exam",
    "+ RPO 2": "rpo_2_exam",
    "Student, base": "student_exam",
    "Student, SFT on its teacher": "student_sft_exam",
    "Student, RPO": "student_rpo_exam",
}
TINY_CLAIMS = (
    Claim(better="+ RPO 2", worse="+ General SFT", decoding="greedy"),
    Claim(better="Student, RPO", worse="+ RPO 2", decoding="sampled"),
    Claim(better="+ DPO", worse="+ RPO 1", decoding="greedy"),
)


def sweep(store: Path, skills: Mapping[str, float], *, prompts: int = 120) -> Recipe:
    """SFT and one preference round at each point."""
    recipe = Recipe(store, prompts)
    recipe.rows("code", "annotate", 1000)
    recipe.train("base", "pretrain", start="", data="", steps=50, first=6, last=2)
    for point, skill in skills.items():
        recipe.train(f"sft@{point}", "sft", start="base", data="code", steps=30, first=2 - skill, last=1,
                     rows=1000, rows_synthetic=0, rows_human=1000)  # fmt: skip
        trained = recipe.preference_round("rpo", f"sft@{point}", pairs=800, point=f"@{point}")
        recipe.exam(f"sft_exam@{point}", f"sft@{point}", skill)
        recipe.exam(f"rpo_exam@{point}", trained, skill + 0.15)
    return recipe


@dataclass(frozen=True)
class Written:
    html: str
    json: dict[str, Any]
    facts: Mapping[str, Any]
    folder: Path


def write(
    recipe: Recipe,
    rows: Mapping[str, str | tuple[str, ...]],
    claims: Sequence[Claim] = (),
    *,
    folder: Path,
    title: str = "The ladder of tiny",
    judges: Mapping[str, str | tuple[str, ...]] | None = None,
) -> Written:
    judges = dict(judges or {})
    stage = Report(kind="report", title=title, rows=dict(rows), judges=judges, claims=tuple(claims))
    named = [*rows.values(), *judges.values()]
    labels = [label for row in named for label in ([row] if isinstance(row, str) else row)]
    manifest = Manifest.model_construct(
        label="report",
        stage=stage,
        identity={},
        fingerprint="f" * 16,
        placement=Placement(),
        inputs={
            label: ManifestInput(
                **recipe.made[label].model_dump(), path=str(recipe.store / recipe.made[label].kind / recipe.fp(label))
            )
            for label in labels
        },
        output=str(folder),
        scratch=str(folder / "scratch"),
        journal=str(folder / "journal"),
    )
    folder.mkdir(parents=True)
    facts = report.run(stage, Context(manifest, 0, 1, folder, folder / "rendezvous"))
    text = (folder / "report.html").read_text(encoding="utf-8")
    return Written(text, json.loads((folder / "report.json").read_text(encoding="utf-8")), facts, folder)


# --- what is tested -----------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """Tags with their attributes, the text of each id'd section, and what is not closed."""

    VOID = frozenset({"meta", "link", "br", "img", "hr", "input", "circle", "line", "path", "rect"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.mismatched: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.mismatched.append(tag)

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Written:
    home = tmp_path_factory.mktemp("report")
    return write(tiny(home / "store", noise=NASTY), TINY_ROWS, TINY_CLAIMS, folder=home / "output")


def examined(recipe: Recipe, name: str, verdicts: Sequence[str], **facts: Any) -> None:
    """The examination of a judge that said this of as many pairs of one kind."""
    said = [
        {"id": f"pair-{number}", "family": "kind", "verdict": verdict, "chosen_is_longer": number < 5}
        for number, verdict in enumerate(verdicts)
    ]
    found = {"judge": "llm", **summarise(said), **facts}
    recipe.seal(name, "examine", stage={"judge": {}}, facts=found, files={"rows.jsonl": said})


def test_judges_stand_beside_each_other_on_labelled_pairs(tmp_path: Path) -> None:
    recipe = Recipe(tmp_path / "store", prompts=12)
    recipe.train("base", "pretrain", start="", data="", steps=50, first=6, last=2)
    recipe.exam("exam", "base", 0.5)
    examined(recipe, "sure", ["right"] * 9)
    examined(recipe, "silent", ["silent"] * 9)
    judges = {"Sure": "sure", "Never says": "silent"}
    ran = write(recipe, {"Base": "exam"}, folder=tmp_path / "out", judges=judges)
    sure, silent = ran.json["data"]["examinations"]
    assert (sure["judge"], sure["accuracy"], sure["for_the_longer"]) == ("Sure", 1.0, 5 / 9)
    assert (silent["judge"], silent["accuracy"], silent["mean_of_families"]) == ("Never says", None, 0.5)
    assert (sure["not_above_chance"], silent["not_above_chance"]) == ([], ["kind"])
    assert ran.json["data"]["agreements"] == []
    assert "Never says decided none of 9 pairs" in ran.html
    assert not Page(ran.html).mismatched


def test_a_report_may_be_of_judges_alone(tmp_path: Path) -> None:
    recipe = Recipe(tmp_path / "store")
    share = {"share": 0.25, "low": 0.1, "high": 0.5, "of": 8}
    compared = {"pairs": 9, "both_readable": 8, "consistent": share, "first_place": share, "ties": 0, "rejected": {}}
    examined(recipe, "one", ["right"] * 6 + ["wrong", "tie", "wrong"], comparisons=compared)
    examined(recipe, "other", ["right"] * 4 + ["wrong"] * 4 + ["silent"])
    ran = write(recipe, {}, folder=tmp_path / "out", judges={"First judge": "one", "Second judge": "other"})
    (agreement,) = ran.json["data"]["agreements"]
    assert (agreement["judges"], agreement["pairs"], agreement["share"]) == ("First judge; Second judge", 7, 5 / 7)
    page = Page(ran.html)
    assert (page.mismatched, page.open) == ([], [])
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    assert {attributes["href"] for tag, attributes in page.tags if tag == "a"} <= {f"#{name}" for name in ids}
    assert "ladder" not in ids
    assert "Judges that compare" in ran.html
    assert "Second judge is not known to do better than chance on kind" in ran.html
    screen = Console(file=StringIO(), width=120)
    screen.print(judges_table(ran.json))
    told = screen.file.getvalue()  # type: ignore[attr-defined]
    assert re.search(r"First judge +9 +8 +75.0 ±", told)


def test_an_exam_that_only_a_judge_grades_stands_in_the_ladder_without_an_accuracy(tmp_path: Path) -> None:
    recipe = Recipe(tmp_path / "store", prompts=20)
    recipe.train("base", "pretrain", start="", data="", steps=50, first=6, last=2)
    recipe.exam("checked", "base", 0.5)
    recipe.exam("graded", "base", 0.5, graded=True)
    for rows in ({"Checked": "checked", "Graded": "graded"}, {"Graded": "graded"}):
        ran = write(recipe, rows, folder=tmp_path / f"of {len(rows)}")
        row = ran.json["rows"][-1]
        assert (row["overall"]["greedy"]["accuracy"], row["grade"]["mean"], row["grade"]["prompts"]) == (None, 5.5, 20)
        assert "5.50" in ran.html
        assert not Page(ran.html).mismatched
        printed = StringIO()
        Console(file=printed, width=200).print(ladder_table(ran.json))
        assert "5.50" in printed.getvalue()


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Written:
    home = tmp_path_factory.mktemp("sweep")
    points = [f"seed={seed}" for seed in (1, 2, 3)]
    recipe = sweep(home / "store", dict(zip(points, (0.35, 0.45, 0.5), strict=True)))
    rows = {"SFT": tuple(f"sft_exam@{point}" for point in points), "+ RPO": tuple(f"rpo_exam@{p}" for p in points)}
    claims = [Claim(better="+ RPO", worse="SFT", decoding="greedy")]
    return write(recipe, rows, claims, folder=home / "output")


def test_the_page_is_whole_and_well_formed(ran: Written) -> None:
    page = Page(ran.html)
    assert (page.mismatched, page.open) == ([], [])
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert links
    assert {str(link) for link in links} <= {f"#{name}" for name in ids}


def test_the_page_asks_nothing_of_the_network(ran: Written) -> None:
    page = Page(ran.html)
    for tag, attributes in page.tags:
        assert "src" not in attributes, tag
        assert (attributes.get("href") or "#").startswith(("#", "data:")), tag
    assert not re.search(r"https?://|@import|url\(", ran.html)


def test_every_drawing_has_a_title(ran: Written) -> None:
    tags = [tag for tag, _ in Page(ran.html).tags]
    drawings = [place for place, tag in enumerate(tags) if tag == "svg"]
    assert len(drawings) > 20
    assert all(tags[place + 1] == "title" for place in drawings)


def test_numbers_in_drawings_are_numbers(ran: Written, swept: Written) -> None:
    for text in (ran.html, swept.html):
        assert not re.search(r' (?:[xyrd]|[xy][12]|c[xy]|width|height|points)="[^"]*(nan|inf|None)', text)
        assert "Undefined" not in text


def test_what_a_model_wrote_is_text_not_markup(ran: Written) -> None:
    assert NASTY not in ran.html
    assert "&lt;script&gt;alert" in ran.html
    assert [tag for tag, _ in Page(ran.html).tags].count("script") == 1


def test_titles_are_escaped_in_attributes_too(tmp_path: Path) -> None:
    recipe = Recipe(tmp_path / "store", 12)
    recipe.train("base", "pretrain", start="", data="", steps=3, first=2, last=1)
    recipe.exam("exam", "base", 0.5)
    title = '"><img src=x onerror=alert(1)>'
    written = write(recipe, {title: "exam"}, folder=tmp_path / "output", title=title)
    assert "img" not in [tag for tag, _ in Page(written.html).tags]


def test_every_row_and_every_stage_upstream_is_there(ran: Written) -> None:
    assert [row["title"] for row in ran.json["rows"]] == list(TINY_ROWS)
    labels = [stage["label"] for stage in ran.json["stages"]]
    assert len(labels) == len(set(labels)) == ran.json["time"]["totals"]["stages"]
    assert {"web", "web_tokens", "base", "reward", "rpo.1.pairs", "lessons", "student_base", "base_exam"} <= set(labels)
    words = "".join(Page(ran.html).words)
    assert all(label in words for label in labels)
    places = {label: place for place, label in enumerate(labels)}
    assert all(places[need] < places[stage["label"]] for stage in ran.json["stages"] for need in stage["needs"])


def test_a_row_that_starts_from_other_weights_is_marked(ran: Written) -> None:
    anew = [row["title"] for row in ran.json["rows"] if row["gain"] and not row["gain"]["continues"]]
    assert anew == ["Student, base"]


def test_a_claim_that_fails_is_said_loudly(ran: Written) -> None:
    assert [claim["holds"] for claim in ran.json["claims"]] == [True, True, False]
    assert (ran.facts["claims"], ran.facts["claims_that_hold"]) == (3, 2)
    page = Page(ran.html)
    assert sum(attributes.get("role") == "alert" for _, attributes in page.tags) == 1
    assert sum(attributes.get("class") == "badge bad" for _, attributes in page.tags) == 1
    assert sum(attributes.get("class") == "fails" for tag, attributes in page.tags if tag == "tr") == 1


def test_nothing_alarms_where_every_claim_holds(swept: Written) -> None:
    assert [claim["holds"] for claim in swept.json["claims"]] == [True]
    assert not any(attributes.get("role") == "alert" for _, attributes in Page(swept.html).tags)


def test_the_synthetic_share_counts_a_data_set_once(tmp_path: Path) -> None:
    recipe = Recipe(tmp_path / "store", 12)
    recipe.rows("people", "annotate", 20)
    recipe.rows("models", "filter", 980)
    recipe.train("base", "pretrain", start="", data="", steps=3, first=2, last=1)
    for label, data, synthetic, human in (
        ("one", "people", 0, 20),
        ("two", "people", 0, 20),
        ("three", "models", 980, 0),
    ):
        recipe.train(label, "sft", start="base", data=data, steps=3, first=2, last=1,
                     rows=synthetic + human, rows_synthetic=synthetic, rows_human=human)  # fmt: skip
        recipe.exam(f"{label}_exam", label, 0.5)
    rows = {label: f"{label}_exam" for label in ("one", "two", "three")}
    found = write(recipe, rows, folder=tmp_path / "output").json["synthetic"]
    assert (found["share"], found["rows_synthetic"], found["rows_human"]) == (0.98, 980, 20)
    assert {one["data"]: one["used_by"] for one in found["sets"]} == {"people": ["one", "two"], "models": ["three"]}


def test_rated_responses_count_as_human_in_the_stricter_share(ran: Written) -> None:
    found = ran.json["synthetic"]
    assert found["rows_rated"] == 5100
    total = found["rows_synthetic"] + found["rows_human"]
    assert found["share"] == found["rows_synthetic"] / total
    assert found["with_ratings"] == found["rows_synthetic"] / (total + 5100)


def test_a_held_out_prompt_in_training_data_is_found_and_said(tmp_path: Path) -> None:
    recipe = Recipe(tmp_path / "store", 12)
    recipe.rows("code", "annotate", 50)
    recipe.train("base", "pretrain", start="", data="", steps=3, first=2, last=1)
    recipe.train("sft", "sft", start="base", data="code", steps=3, first=2, last=1,
                 rows=50, rows_synthetic=0, rows_human=50)  # fmt: skip
    recipe.exam("clean", "sft", 0.5)
    recipe.exam("leaky", "sft", 0.5, prompts=["code3", "code7", "unseen"])
    clean = write(recipe, {"SFT": "clean"}, folder=tmp_path / "clean")
    assert (clean.facts["held_out_prompts_learnt_from"], clean.json["overlap"]["sets"][0]["label"]) == (0, "code")
    leaky = write(recipe, {"SFT": "leaky"}, folder=tmp_path / "leaky")
    assert leaky.facts["held_out_prompts_learnt_from"] == 2
    assert any(attributes.get("role") == "alert" for _, attributes in Page(leaky.html).tags)


def test_a_reward_model_that_may_be_guessing_is_named(ran: Written) -> None:
    (model,) = ran.json["data"]["reward_models"]
    assert model["not_above_chance"] == ["list_things"]
    assert "better than chance" in ran.html


def test_samples_show_every_family_and_every_row_by_a_rule(ran: Written) -> None:
    assert [one["family"] for one in ran.json["samples"]] == list(FAMILIES)
    for family in ran.json["samples"]:
        assert 1 <= len(family["prompts"]) <= 4
        assert sum(family["counts"].values()) == 40
        for prompt in family["prompts"]:
            assert list(prompt["answers"]) == list(TINY_ROWS)
            first, last = (prompt["answers"][title]["greedy"]["passed"] for title in ("Base", "Student, RPO"))
            change = {(0, 1): "gained", (1, 0): "lost", (1, 1): "right in both", (0, 0): "wrong in both"}
            assert prompt["change"] == change[first, last]


def test_curves_of_a_sweep_share_a_chart(swept: Written) -> None:
    by_stage = {curve["stage"]: [line["point"] for line in curve["lines"]] for curve in swept.json["curves"]}
    points = ["seed=1", "seed=2", "seed=3"]
    assert by_stage == {"base": [""], "sft": points, "rpo.train": points}


def test_curves_are_thinned(ran: Written) -> None:
    lines = [line for curve in ran.json["curves"] for line in curve["lines"]]
    assert max(line["steps"] for line in lines) == 460
    assert max(len(line["loss"]) for line in lines) == 200


def test_waterfalls_of_a_sweep_are_summed(swept: Written) -> None:
    (fall,) = swept.json["data"]["waterfalls"]
    assert (fall["stage"], fall["points"], fall["steps"][0]["rows"], fall["steps"][-1]["rows"]) == (
        "rpo.pairs",
        3,
        6000,
        2400,
    )
    assert fall["rejected"]["margin too small"] == 120


def test_times_are_summed_from_the_records(ran: Written) -> None:
    totals, stages = ran.json["time"]["totals"], ran.json["stages"]
    for name in ("wall_s", "start_up_s", "cpu_s"):
        assert totals[name] == pytest.approx(sum(stage[name] for stage in stages), abs=1e-2)
    assert totals["peak_rss_bytes"] == max(stage["peak_rss_bytes"] for stage in stages)
    assert totals["interrupted"] == sum(stage["attempts"] > 1 for stage in stages)
    (run,) = ran.json["time"]["runs"]
    assert len(run["bars"]) == len(stages)
    assert min(bar["start_s"] for bar in run["bars"]) == 0
    planned = {stage["label"]: stage["planned_s"] for stage in stages}
    assert {bar["label"]: bar["planned_s"] for bar in run["bars"]} == planned
    tips = re.findall(r"<title>[^<]*\): [^<]*, planned [^<]*, from [^<]*</title>", ran.html)
    assert len(tips) == sum(seconds is not None for seconds in planned.values()) > 0


def test_work_and_memory_are_told_as_planned_and_as_done(ran: Written) -> None:
    base = next(stage for stage in ran.json["stages"] if stage["label"] == "base")
    assert base["planned_work"]["flops"] == 2e15
    assert base["work"] == {"rows": None, "steps": 460, "tokens": 4096 * 460, "flops": 5e12 * 460}
    assert (base["planned_gpu_bytes"], base["peak_gpu_bytes"]) == (70e9, 66e9)
    assert "1.15 \N{MULTIPLICATION SIGN}" in ran.html  # 2.3P FLOPs done of 2P
    assert "2.3P" in ran.html and "70.00 GB" in ran.html and "66.00 GB" in ran.html
    exam = next(stage for stage in ran.json["stages"] if stage["kind"] == "evaluate")
    assert exam["planned_work"]["flops"] is None and exam["peak_gpu_bytes"] is None


def test_the_report_names_no_host_and_no_user(ran: Written) -> None:
    for text in (ran.html, json.dumps(ran.json)):
        assert "secret-host" not in text
        assert "somebody" not in text


def test_equal_inputs_give_equal_bytes(ran: Written, tmp_path: Path) -> None:
    again = write(tiny(tmp_path / "store", noise=NASTY), TINY_ROWS, TINY_CLAIMS, folder=tmp_path / "output")
    for name in ("report.html", "report.json"):
        assert (again.folder / name).read_bytes() == (ran.folder / name).read_bytes()


def test_what_is_gone_from_the_store_is_told(tmp_path: Path) -> None:
    recipe = tiny(tmp_path / "store", prompts=24)
    (tmp_path / "store" / "annotate" / recipe.fp("web") / "artifact.json").unlink()
    written = write(recipe, TINY_ROWS, folder=tmp_path / "output")
    assert written.json["missing"] == ["web"]
    assert "no longer in the store" in written.html


def test_a_diverged_loss_is_told_and_breaks_nothing(tmp_path: Path) -> None:
    recipe = Recipe(tmp_path / "store", 12)
    recipe.train("base", "pretrain", start="", data="", steps=3, first=math.inf, last=1)
    recipe.exam("exam", "base", 0.5)
    written = write(recipe, {"Base": "exam"}, folder=tmp_path / "output")
    (line,) = written.json["curves"][0]["lines"]
    assert (line["first_loss"], line["steps_without_finite_loss"]) == (None, 3)
    assert "3 steps without a finite loss" in written.html


def test_a_claim_over_other_prompts_is_refused(tmp_path: Path) -> None:
    recipe = Recipe(tmp_path / "store", 12)
    recipe.train("base", "pretrain", start="", data="", steps=3, first=2, last=1)
    recipe.exam("one", "base", 0.5)
    recipe.exam("two", "base", 0.9, salt="other")
    claims = [Claim(better="Two", worse="One", decoding="greedy")]
    with pytest.raises(ValueError, match="other prompts"):
        write(recipe, {"One": "one", "Two": "two"}, claims, folder=tmp_path / "output")


def test_a_report_needs_no_torch() -> None:
    program = "import sys, runtime.stages.report; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-P", "-c", program], check=False).returncode == 0
