"""The report stage over a store of made-up but plausible artifacts (`Recipe` writes them)."""

import hashlib
import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from compiler.artifacts import ArtifactRecord, InputRecord
from compiler.manifest import Manifest, ManifestInput, Placement
from compiler.stages.report import Claim, Report
from runtime.context import Context
from runtime.stages import report

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
            planned={"wall_s": round(wall_s * rng.uniform(0.8, 1.3), 2), "speed_wall_s": round(wall_s * 0.7, 3)},
            measured={
                "wall_s": round(wall_s, 3),
                "start_up_s": round(rng.uniform(0.2, 1.6), 3),
                "cpu_s": round(wall_s * 1.1, 3),
                "peak_rss_bytes": rng.randint(90_000_000, 900_000_000),
                "attempts": 2 if label == "dpo" else 1,
                "world_size": 2 if kind == "pretrain" else 1,
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
            lines.append({**line, **(shifts if prefer else {})})
        stage: dict[str, Any] = {"init": self.fp(start) if start else None}
        if kind in ("sft", "prefer"):
            stage["data"] = self.fp(data)
        if kind == "reward_model":
            stage["responses"] = self.fp(data)
        if prefer:
            stage["loss"] = {"kind": "dpo" if label.startswith("dpo") else "rpo"}
        inputs = [each for each in (start, data) if each]
        self.seal(
            label, kind, inputs=inputs, stage=stage, facts=facts, files={"curve.jsonl": lines}, wall_s=4 + steps / 20
        )

    def exam(self, label: str, policy: str, skill: float, *, salt: str = "", prompts: Sequence[str] = ()) -> None:
        """`skill` is the share of prompts that are answered rightly; easy prompts are easy for every policy."""
        rng = random.Random(label)
        lines = []
        for number, prompt in enumerate(prompts or [f"prompt {each} {salt}" for each in range(self.prompts)]):
            family = FAMILIES[number % len(FAMILIES)]
            hard = random.Random(prompt).random() * 0.7 + 0.3 * rng.random()
            words = f">>> {family} {number}" if number else NASTY
            answers = {
                name: {
                    "response": f"{'right' if hard < skill - less else 'wrong'} {number}" if number else NASTY,
                    "token_ids": [5] * rng.randint(3, 12),
                    "finished": rng.random() < 0.98,
                    "passed": hard < skill - less,
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


def tiny(store: Path, *, prompts: int = 240) -> Recipe:
    """About what tiny.yaml makes, without its tokenizer."""
    recipe = Recipe(store, prompts)
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
) -> Written:
    stage = Report(kind="report", title=title, rows=dict(rows), claims=tuple(claims))
    labels = [label for row in rows.values() for label in ([row] if isinstance(row, str) else row)]
    manifest = Manifest.model_construct(
        label="report",
        stage=stage,
        identity={},
        fingerprint="f" * 16,
        placement=Placement(),
        inputs={
            label: ManifestInput(
                **recipe.made[label].model_dump(), path=str(recipe.store / "evaluate" / recipe.fp(label))
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
