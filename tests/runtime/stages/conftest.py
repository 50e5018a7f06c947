"""Runs one stage in a folder, with rows as its inputs."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from compiler.artifacts import ArtifactRecord, DialogueRow, Message, ResponseRow, ScoreRow
from compiler.manifest import Manifest, ManifestInput, Placement
from compiler.schema.base import Record
from compiler.stages import STAGES
from runtime import store
from runtime.context import Context
from runtime.rows import write_rows


@dataclass(frozen=True)
class Ran:
    """What a stage made."""

    output: Path
    facts: Mapping[str, Any]

    @property
    def bytes(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted(self.output.iterdir()) if path.is_file()}


@dataclass
class Teacher:
    """A served model: a real server on loopback, whose words a function says."""

    url: str
    model: str
    asked: list[str]
    """The last message of every request that came, in the order of coming."""


Inputs = Mapping[str, Path | Sequence[Record] | Teacher]
RunStage = Callable[..., Ran]


@pytest.fixture
def run_stage(tmp_path: Path) -> RunStage:
    """(kind, fields, inputs by label, fingerprints by label, adopted files, placement) -> what the stage made.

    Inputs are rows or folders."""
    count = 0

    def run(
        kind: str,
        fields: Mapping[str, Any],
        inputs: Inputs,
        fingerprints: Mapping[str, str] | None = None,
        files: Sequence[Path] = (),
        placement: Placement | None = None,
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
            placement=placement or Placement(),
            inputs={
                label: ManifestInput(
                    stage=label,
                    kind="endpoint" if isinstance(inputs[label], Teacher) else "any",
                    fingerprint=(fingerprints or {}).get(label, label),
                    path=str(path),
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


def _folder(folder: Path, rows: Path | Sequence[Record] | Teacher) -> Path:
    if isinstance(rows, Path):
        return rows
    folder.mkdir(parents=True)
    if isinstance(rows, Teacher):
        (folder / "endpoint.json").write_text(json.dumps({"model": rows.model}))
    else:
        write_rows(folder, rows)
    return folder


@pytest.fixture(scope="session")
def sealed() -> Callable[[Path], Path]:
    """Gives a policy's folder the record of a stage that says nothing of its precision."""

    def seal(folder: Path) -> Path:
        record = ArtifactRecord(
            kind="pretrain",
            fingerprint=folder.name,
            label="policy",
            stage={},
            inputs={},
            files=store.hash_files(folder),
            bytes=1,
        )
        (folder / store.RECORD).write_text(record.model_dump_json())
        return folder

    return seal


Answer = Callable[[str, Sequence[Mapping[str, str]]], str | tuple[str, str] | int]
"""(the last message, the whole conversation) -> words, or words and why they end, or an HTTP status."""


@pytest.fixture
def teach(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Answer], Teacher]]:
    """Starts a server that answers by a function; several at once have names of their own."""
    with ExitStack() as servers:
        known: dict[str, str] = {}

        def start(answer: Answer) -> Teacher:
            teacher = servers.enter_context(_serving(answer, f"teacher-{len(known)}"))
            known[teacher.model] = teacher.url
            monkeypatch.setenv("RUNG_SERVERS", json.dumps(known))
            return teacher

        yield start


@contextmanager
def _serving(answer: Answer, model: str) -> Iterator[Teacher]:
    asked: list[str] = []
    wrong: list[BaseException] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            given = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            messages = given["messages"]
            asked.append(messages[-1]["content"])
            try:
                said = answer(messages[-1]["content"], messages)
            except BaseException as error:
                wrong.append(error)
                said = 400
            text, why = (said, "stop") if isinstance(said, str | int) else said
            usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
            choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": why}
            payload = json.dumps({"model": model, "choices": [choice], "usage": usage}).encode()
            self.send_response(text if isinstance(text, int) else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield Teacher(f"http://127.0.0.1:{server.server_address[1]}/v1", model, asked)
        server.shutdown()
        thread.join()
    if wrong:
        raise wrong[0]


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


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory, sealed: Callable[[Path], Path]) -> Callable[[int], Path]:
    """A sealed policy of the smallest size, with initial weights of this seed."""
    import torch

    from compiler.schema.model import Layout, ModelSpec, Precision
    from runtime.engine import parallel
    from runtime.engine.model import build
    from runtime.policy import write_policy
    from runtime.tokenizer import train_tokenizer

    torch.set_num_threads(1)
    home = tmp_path_factory.mktemp("policies")
    tokenizer = home / "tokenizer"
    tokenizer.mkdir()
    spec = ModelSpec.model_validate(_SMALLEST)
    train_tokenizer(["say yes", "say no", "yes", "no"], spec.vocab_size, "compact", tokenizer)

    def make(seed: int) -> Path:
        folder = home / f"seed-{seed}"
        if not folder.exists():
            folder.mkdir()
            with parallel.start(Layout(), rank=0, world_size=1, rendezvous=None, seed=1):
                model = build(spec, Layout(), Precision(dtype="fp32"), seed=seed)
                write_policy(model, folder, tokenizer=tokenizer, main=True)
            sealed(folder)
        return folder

    return make


@pytest.fixture
def weights_of() -> Callable[[Path], dict[str, Any]]:
    """The weights of a policy by name, in float32."""
    from compiler.schema.model import Layout, Precision
    from runtime.engine import parallel
    from runtime.engine.whole import weights
    from runtime.policy import open_policy

    def read(folder: Path) -> dict[str, Any]:
        with parallel.start(Layout(), rank=0, world_size=1, rendezvous=None, seed=1):
            return dict(weights(open_policy(folder, Layout(), Precision(dtype="fp32"))))

    return read


_SMALLEST = {
    "num_layers": 2,
    "hidden_size": 32,
    "ffn_hidden_size": 64,
    "num_attention_heads": 4,
    "num_query_groups": 2,
    "vocab_size": 320,
    "seq_length": 64,
    "activation": "squared_relu",
    "normalization": "layernorm1p",
    "norm_epsilon": 1e-5,
    "rotary_percent": 0.5,
    "rotary_base": 10_000,
    "linear_bias": False,
    "tie_embeddings": False,
    "init_std": 0.05,
}
