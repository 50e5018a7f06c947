"""The server as its clients see it: OpenAI's own, HTTP by hand, and the driver of the pipeline."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import torch
from tiny_policy import NAME

from compiler.artifacts import Message
from compiler.schema.model import Layout, Precision
from runtime.engine.generate import Completion, generate
from runtime.engine.parallel import start
from runtime.policy import TOKENIZER, open_policy
from runtime.tokenizer import ChatTokenizer

QUESTIONS = [f"say {word} to {number}" for number in range(6) for word in ("dog", "a longer thing, bird,")]
CHAT = {"model": NAME, "messages": [{"role": "user", "content": "say dog"}], "max_tokens": 8}
TEXT = {"model": NAME, "prompt": "say dog", "max_tokens": 8}


@pytest.fixture(scope="module")
def client(url: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=url, api_key="s3cret", max_retries=0, timeout=120)


@pytest.fixture(scope="module")
def http(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, headers={"Authorization": "Bearer s3cret"}, timeout=120) as client:
        yield client


@pytest.fixture(scope="module")
def tokenizer(policy: Path) -> ChatTokenizer:
    return ChatTokenizer.load(policy / TOKENIZER)


@pytest.fixture(scope="module")
def expected(policy: Path, tokenizer: ChatTokenizer) -> list[Completion]:
    """Greedy answers to the questions, by the engine's other way of generating."""
    prompts = [tokenizer.encode_prompt([Message(role="user", content=question)]) for question in QUESTIONS]
    torch.set_num_threads(1)
    with start(Layout(), rank=0, world_size=1, rendezvous=None, seed=0):
        model = open_policy(policy, Layout(), Precision(dtype="fp32"))
        found = generate(model, prompts, max_new_tokens=24, end_id=tokenizer.end_id)
        return sorted(found, key=lambda completion: completion.index)


def ask(client: openai.OpenAI, question: str, **fields: Any) -> Any:
    return client.chat.completions.create(
        model=NAME,
        messages=[{"role": "user", "content": question}],
        **{"max_tokens": 24, "temperature": 0, "logprobs": True, "top_logprobs": 2, **fields},
    )


def test_many_at_once_get_what_each_gets_alone(
    client: openai.OpenAI, expected: list[Completion], tokenizer: ChatTokenizer
) -> None:
    """More requests than slots, each against the static batch: words, ends, log-probabilities, counts."""
    with ThreadPoolExecutor(len(QUESTIONS)) as pool:
        answers = list(pool.map(lambda question: ask(client, question), QUESTIONS))
    for answer, wanted in zip(answers, expected, strict=True):
        (choice,) = answer.choices
        assert choice.message.content == tokenizer.decode(wanted.token_ids)
        assert choice.finish_reason == ("stop" if wanted.finished else "length")
        assert answer.usage.completion_tokens == len(wanted.token_ids) + wanted.finished
        told = choice.logprobs.content
        if not wanted.finished:
            assert sum(one.logprob for one in told) == pytest.approx(wanted.logprob, abs=1e-3)
        for one in told:
            assert [top.logprob for top in one.top_logprobs] == sorted(
                (t.logprob for t in one.top_logprobs), reverse=True
            )
            assert (one.top_logprobs[0].token, len(one.top_logprobs)) == (one.token, 2)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_stream_says_what_an_answer_at_once_says(client: openai.OpenAI, temperature: float) -> None:
    """The model writes bytes at random: signs of several bytes come in pieces, and some are no signs at all."""
    for seed in range(4):
        fields = {"temperature": temperature, "seed": seed, "max_tokens": 60, "n": 2}
        whole = ask(client, QUESTIONS[seed], **fields)
        pieces = list(ask(client, QUESTIONS[seed], **fields, stream=True, stream_options={"include_usage": True}))
        for number, choice in enumerate(whole.choices):
            mine = [piece.choices[0] for piece in pieces if piece.choices and piece.choices[0].index == number]
            assert "".join(piece.delta.content for piece in mine) == choice.message.content
            assert mine[0].delta.role == "assistant"
            assert [piece.finish_reason for piece in mine] == [None] * (len(mine) - 1) + [choice.finish_reason]
            told = [one for piece in mine for one in piece.logprobs.content]
            assert [one.token for one in told] == [one.token for one in choice.logprobs.content]
        assert pieces[-1].usage == whole.usage
        if temperature:
            assert whole.choices[0].message.content != whole.choices[1].message.content


def test_a_seed_is_an_answer(client: openai.OpenAI) -> None:
    one, same, other, free = (
        ask(client, "say cat", temperature=1, **fields).choices[0].message.content
        for fields in ({"seed": 1}, {"seed": 1}, {"seed": 2}, {})
    )
    assert one == same
    assert len({one, other, free}) == 3


@pytest.mark.parametrize("stream", [False, True])
def test_a_stop_ends_the_answer_before_it(client: openai.OpenAI, stream: bool) -> None:
    text = ask(client, "say cat").choices[0].message.content
    stop = text[5:8]
    answer = ask(client, "say cat", stop=[stop, "never said"], stream=stream)
    if stream:
        pieces = [piece.choices[0] for piece in answer]
        said, why = "".join(piece.delta.content for piece in pieces), pieces[-1].finish_reason
    else:
        said, why = answer.choices[0].message.content, answer.choices[0].finish_reason
    assert (said, why) == (text[: text.index(stop)], "stop")


def test_completions_go_on_with_text_or_tokens(client: openai.OpenAI, tokenizer: ChatTokenizer) -> None:
    fields: dict[str, Any] = {"model": NAME, "max_tokens": 10, "temperature": 0, "logprobs": 1}
    text = client.completions.create(prompt=["say dog", "say cat"], **fields)
    tokens = client.completions.create(prompt=tokenizer.encode_text("say dog"), **fields)
    assert [choice.index for choice in text.choices] == [0, 1]
    assert text.choices[0].text == tokens.choices[0].text
    told = text.choices[0].logprobs
    assert len(told.tokens) == len(told.token_logprobs) == 10
    assert told.top_logprobs[0] == {told.tokens[0]: pytest.approx(told.token_logprobs[0], abs=1e-5)}
    assert text.usage.prompt_tokens == 2 * tokens.usage.prompt_tokens
    pieces = client.completions.create(prompt="say dog", stream=True, **fields)
    assert "".join(piece.choices[0].text for piece in pieces) == text.choices[0].text


def test_the_model_is_listed_and_another_is_not_found(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == [NAME]
    assert client.models.retrieve(NAME).id == NAME
    with pytest.raises(openai.NotFoundError, match="'tiny random' is"):
        client.chat.completions.create(model="another", messages=[{"role": "user", "content": "hello"}])


def test_a_wrong_key_is_refused(url: str) -> None:
    with pytest.raises(openai.AuthenticationError, match="wrong or missing"):
        openai.OpenAI(base_url=url, api_key="guess").models.list()


@pytest.mark.parametrize(
    ("path", "fields", "reason"),
    [
        ("chat/completions", {"temperature": 3}, "temperature: Input should be less than or equal to 2"),
        ("chat/completions", {"temperature": "hot"}, "temperature"),
        ("chat/completions", {"messages": []}, "messages"),
        ("chat/completions", {"messages": [{"role": "wizard", "content": "x"}]}, "role"),
        ("chat/completions", {"max_tokens": 0}, "max_tokens"),
        ("chat/completions", {"max_tokens": 5000}, "does not fit into 256"),
        ("chat/completions", {"messages": [{"role": "user", "content": "x" * 3000}]}, "does not fit into 256"),
        ("chat/completions", {"top_k": 5}, "top_k: Extra inputs are not permitted"),
        ("chat/completions", {"tools": [{"type": "function"}]}, "tools"),
        ("chat/completions", {"frequency_penalty": 0.5}, "frequency_penalty"),
        ("chat/completions", {"n": 0}, "n: "),
        ("chat/completions", {"response_format": {"type": "json_object"}}, "response_format"),
        ("completions", {"prompt": ""}, "prompt"),
        ("completions", {"prompt": [99_999]}, "tokens are from 0"),
        ("completions", {"echo": True}, "echo"),
        ("completions", {"best_of": 3}, "best_of"),
    ],
)
def test_a_bad_request_is_refused_with_a_reason(
    http: httpx.Client, path: str, fields: dict[str, Any], reason: str
) -> None:
    reply = http.post(path, json={**(CHAT if path.startswith("chat") else TEXT), **fields})
    assert reply.status_code == 400
    assert reply.json()["error"]["type"] == "invalid_request_error"
    assert reason in reply.json()["error"]["message"]


def test_what_is_no_json_or_no_route_is_refused(http: httpx.Client) -> None:
    assert http.post("chat/completions", content=b"{not json").status_code == 400
    assert http.get("chat/completions").status_code == 405
    assert http.post("embeddings", json={}).json()["error"]["message"] == "POST /v1/embeddings is not offered"


def test_events_by_hand_end_with_done(http: httpx.Client) -> None:
    with http.stream("POST", "chat/completions", json={**CHAT, "stream": True}) as reply:
        assert reply.headers["content-type"].startswith("text/event-stream")
        events = [line.removeprefix("data: ") for line in reply.iter_lines() if line]
    assert events[-1] == "[DONE]"
    assert {json.loads(event)["object"] for event in events[:-1]} == {"chat.completion.chunk"}


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_goes_away_frees_its_slots(http: httpx.Client, url: str, stream: bool) -> None:
    def under_way() -> int:
        return int(http.get(url.removesuffix("/v1") + "/health").json()["rows_under_way"])

    asked = {**CHAT, "max_tokens": 200, "n": 64, "stream": stream, "temperature": 0}
    headers = {"Authorization": "Bearer s3cret"}
    with httpx.Client(base_url=url, headers=headers, timeout=1 if not stream else 120) as leaving:
        if stream:
            with leaving.stream("POST", "chat/completions", json=asked) as reply:
                next(reply.iter_lines())
                assert under_way() > 0
        else:
            with pytest.raises(httpx.ReadTimeout):
                leaving.post("chat/completions", json={**asked, "n": 128})
    deadline = time.monotonic() + 20
    while under_way() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert under_way() == 0


def test_the_pipelines_own_driver_asks_it(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expected: list[Completion], tokenizer: ChatTokenizer
) -> None:
    from compiler.manifest import Manifest, ManifestInput, Placement
    from compiler.schema.cluster import Server
    from compiler.schema.sampling import Sampling
    from runtime.clients.open import open_model
    from runtime.clients.request import Request
    from runtime.context import Context

    monkeypatch.setenv("SERVE_KEY", "s3cret")
    (tmp_path / "endpoint.json").write_text(json.dumps({"model": NAME}))
    manifest = Manifest.model_construct(
        placement=Placement(),
        inputs={"served": ManifestInput(stage="served", kind="endpoint", fingerprint="e" * 16, path=str(tmp_path))},
        servers={"served": Server(url=url, tokens_per_s=1, price_per_million_tokens=0, api_key_env="SERVE_KEY")},
        scratch=str(tmp_path),
        journal=str(tmp_path / "journal.jsonl"),
    )
    greedy = Sampling(temperature=0.0, top_p=1.0, max_new_tokens=24)
    rows = [Request(question, (Message(role="user", content=question),), greedy, 1) for question in QUESTIONS]
    with open_model("served", Context(manifest, 0, 1, tmp_path, None)) as model:
        answers = list(model.ask(rows, ledger="answers"))
    assert [answer.text for answer in answers] == [tokenizer.decode(wanted.token_ids) for wanted in expected]
    assert all(answer.usage.completion_tokens for answer in answers)
