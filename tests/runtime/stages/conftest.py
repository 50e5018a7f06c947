"""Runs one stage in a folder, with rows as its inputs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from compiler.artifacts import DialogueRow, Message, ResponseRow, ScoreRow
from compiler.manifest import Manifest, ManifestInput, Placement
from compiler.schema.base import Record
from compiler.stages import STAGES
from runtime.context import Context
from runtime.rows import write_rows


@dataclass(frozen=True)
class Ran:
    """What a stage made."""

    output: Path
    facts: Mapping[str, Any]

    @property
    def bytes(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted(self.output.iterdir())}


Inputs = Mapping[str, Path | Sequence[Record]]
RunStage = Callable[..., Ran]


@pytest.fixture
def run_stage(tmp_path: Path) -> RunStage:
    """(kind, fields, inputs by label, fingerprints by label, adopted files) -> what the stage made. Inputs are rows or
    folders."""
    count = 0

    def run(
        kind: str,
        fields: Mapping[str, Any],
        inputs: Inputs,
        fingerprints: Mapping[str, str] | None = None,
        files: Sequence[Path] = (),
    ) -> Ran:
        from importlib import import_module

        nonlocal count
        count += 1
        home = tmp_path / f"{kind}-{count}"
        folders = {label: _folder(home / "inputs" / label, rows) for label, rows in inputs.items()}
        stage = STAGES[kind].model_validate({"kind": kind, **fields})
        manifest = Manifest.model_construct(
            label="stage",
            stage=stage,
            identity={},
            fingerprint="f" * 64,
            placement=Placement(),
            inputs={
                label: ManifestInput(
                    stage=label, kind="any", fingerprint=(fingerprints or {}).get(label, label), path=str(path)
                )
                for label, path in folders.items()
            },
            files=tuple(map(str, files)),
            output=str(home / "output"),
            scratch=str(home / "scratch"),
            journal=str(home / "journal.jsonl"),
        )
        for folder in ("output", "scratch"):
            (home / folder).mkdir(parents=True)
        context = Context(manifest, 0, 1, home / "output", home / "rendezvous")
        return Ran(home / "output", import_module(f"runtime.stages.{kind}").run(stage, context))

    return run


def _folder(folder: Path, rows: Path | Sequence[Record]) -> Path:
    if isinstance(rows, Path):
        return rows
    folder.mkdir(parents=True)
    write_rows(folder, rows)
    return folder


@pytest.fixture
def dialogue() -> Callable[..., DialogueRow]:
    """A dialogue of this name."""

    def make(name: str, origin: str = "annotator") -> DialogueRow:
        messages = (Message(role="user", content=f"say {name}"), Message(role="assistant", content=name))
        return DialogueRow(id=name, prompt_id=f"p{name}", family="sort", messages=messages, origin=origin)

    return make


@pytest.fixture
def response() -> Callable[..., ResponseRow]:
    """One sample of a prompt."""

    def make(prompt: str, sample: int, text: str = "", finished: bool = True) -> ResponseRow:
        return ResponseRow(
            id=f"{prompt}-{sample}",
            prompt_id=prompt,
            family="sort",
            messages=(Message(role="user", content=prompt),),
            response=text or f"{prompt} {sample}",
            response_ids=(7, sample, 4) if finished else (7, sample),
            finished=finished,
            logprob=-1.0,
            by="policy",
        )

    return make


@pytest.fixture
def scores() -> Callable[..., list[ScoreRow]]:
    """Scores by response id."""

    def make(**by_id: float | None) -> list[ScoreRow]:
        return [ScoreRow(response_id=name.replace("_", "-"), score=score) for name, score in by_id.items()]

    return make
