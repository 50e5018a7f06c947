"""A served model asked row by row: in order, with retries, within budgets, through kills."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from asking import context, requests
from served import Say, Served

from runtime.clients.open import open_model
from runtime.clients.request import Completion, Request, StoppedError
from runtime.context import Context
from runtime.shares import ShareDoneError

HERE = Path(__file__).parent
ROOT = HERE.parents[2]


def ask(ctx: Context, rows: list[Request] | None = None, count: int = 40) -> list[Completion]:
    with open_model("served", ctx) as model:
        return list(model.ask(list(requests(count)) if rows is None else rows, ledger="answers"))


def ledger(home: Path) -> list[list[object]]:
    return [json.loads(line) for line in (home / "scratch" / "answers-0.jsonl").read_bytes().splitlines()]


def test_rows_come_in_order_whatever_the_order_of_the_answers(served: Served, tmp_path: Path) -> None:
    served.behave = lambda question, before: Say(f"to {question}", after_s=random.uniform(0, 0.02))
    found = ask(context(tmp_path, served.url, concurrency=16))
    assert [(one.key, one.text) for one in found] == [(f"row-{n}", f"to question {n}") for n in range(40)]
    assert found[0] == Completion("row-0", "to question 0", None, True, None, (20, 10))


def test_as_many_are_in_flight_as_the_cluster_file_allows_and_no_more(served: Served, tmp_path: Path) -> None:
    served.behave = lambda question, before: Say("x", after_s=0.02)
    ask(context(tmp_path, served.url, concurrency=5))
    assert served.most_in_flight == 5


def test_the_request_says_model_sampling_and_a_seed_of_the_row(served: Served, tmp_path: Path) -> None:
    ask(context(tmp_path, served.url), count=3)
    for body in served.bodies:
        assert (body["model"], body["temperature"], body["top_p"], body["max_tokens"]) == ("some/model", 0.7, 0.9, 50)
    assert len({body["seed"] for body in served.bodies}) == 3


def test_the_key_comes_from_the_environment(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx = context(tmp_path, served.url, api_key_env="SOME_KEY")
    with pytest.raises(StoppedError, match="SOME_KEY is not set"):
        ask(ctx, count=1)
    monkeypatch.setenv("SOME_KEY", "s3cret")
    ask(ctx, count=1)
    assert served.keys == {"Bearer s3cret"}


def test_the_environment_says_where_a_server_is_that_the_cluster_file_does_not_list(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StoppedError, match="RUNG_SERVERS"):
        ask(context(tmp_path, ""), count=1)
    monkeypatch.setenv("RUNG_SERVERS", json.dumps({"some/model": served.url}))
    assert len(ask(context(tmp_path, ""), count=2)) == 2
    assert len(ask(context(tmp_path / "listed", "http://127.0.0.1:9/v1"), count=2)) == 2


@pytest.mark.parametrize(
    "failure",
    [
        Say("busy", status=429),
        Say("broken", status=500),
        Say("gateway", status=502),
        Say(status=-1),
        Say(raw=b"<html>not JSON</html>"),
        Say(raw=b'{"choices": []}'),
        Say(after_s=1.0),
    ],
    ids=["429", "500", "502", "reset", "html", "no choice", "time-out"],
)
def test_what_may_pass_is_tried_again(served: Served, tmp_path: Path, failure: Say) -> None:
    served.behave = lambda question, before: failure if before < 2 and question == "question 3" else Say("fine")
    found = ask(context(tmp_path, served.url, timeout_s=0.5), count=6)
    assert {one.text for one in found} == {"fine"}
    assert served.asked["question 3"] == 3
    assert len(ledger(tmp_path)) == 6


def test_retry_after_holds_back_every_request(served: Served, tmp_path: Path) -> None:
    times: list[float] = []

    def behave(question: str, before: int) -> Say:
        times.append(time.monotonic())
        return Say("slow down", status=429, headers={"Retry-After": "1"}) if len(times) == 1 else Say("fine")

    served.behave = behave
    assert {one.text for one in ask(context(tmp_path, served.url))} == {"fine"}
    assert times[1] - times[0] >= 1.0


def test_a_row_that_the_server_refuses_is_rejected_with_its_reason_and_not_asked_again(
    served: Served, tmp_path: Path
) -> None:
    served.behave = lambda question, before: (
        Say("prompt too long", status=400) if question == "question 7" else Say("fine")
    )
    for _ in range(2):
        found = ask(context(tmp_path, served.url), count=10)
        assert {one.key: one.rejected for one in found if one.rejected} == {"row-7": "400: prompt too long"}
    assert served.asked["question 7"] == 1


def test_a_filtered_answer_is_a_reject_and_a_long_one_is_cut_off(served: Served, tmp_path: Path) -> None:
    reasons = ["stop", "content_filter", "length"]
    served.behave = lambda question, before: Say("words", finish_reason=reasons[int(question.split()[1])])
    found = ask(context(tmp_path, served.url), count=3)
    assert [(one.finished, one.rejected) for one in found] == [(True, ""), (False, "content_filter"), (False, "")]


def test_a_server_that_refuses_everything_stops_the_stage_and_spoils_no_row(served: Served, tmp_path: Path) -> None:
    served.behave = lambda question, before: Say("no such parameter", status=400)
    with pytest.raises(StoppedError, match="no such parameter"):
        ask(context(tmp_path, served.url))
    assert ledger(tmp_path) == []
    served.behave = lambda question, before: Say("fine")
    assert {one.text for one in ask(context(tmp_path, served.url))} == {"fine"}


def test_a_few_rows_that_are_all_refused_are_rejected(served: Served, tmp_path: Path) -> None:
    served.behave = lambda question, before: Say("too long", status=400)
    assert [one.rejected for one in ask(context(tmp_path, served.url), count=2)] == ["400: too long"] * 2
    assert len(ledger(tmp_path)) == 2


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_wrong_key_or_model_stops_at_once_with_what_the_server_says(
    served: Served, tmp_path: Path, status: int
) -> None:
    served.behave = lambda question, before: Say("who are you", status=status)
    with pytest.raises(StoppedError, match=f"{status}: who are you"):
        ask(context(tmp_path, served.url))
    assert served.asked.total() == 1


def test_a_row_that_always_fails_is_given_up_while_others_are_answered(served: Served, tmp_path: Path) -> None:
    served.behave = lambda question, before: (
        Say("worker died", status=500) if question == "question 2" else Say("fine", after_s=0.05)
    )
    found = ask(context(tmp_path, served.url, concurrency=4), count=400)
    assert [one.key for one in found if one.rejected] == ["row-2"]
    assert "worker died" in found[2].rejected
    assert served.asked["question 2"] == 8


def test_a_server_that_goes_away_stops_the_stage_and_rows_are_kept(served: Served, tmp_path: Path) -> None:
    gone = False

    def behave(question: str, before: int) -> Say:
        nonlocal gone
        gone = gone or question == "question 20"
        return Say(status=-1) if gone else Say("fine")

    served.behave = behave
    with pytest.raises(StoppedError, match="has not answered for"):
        ask(context(tmp_path, served.url, concurrency=2, patience_s=0.5))
    kept = {str(row[1]) for row in ledger(tmp_path)}
    assert len(kept) >= 20
    served.behave = lambda question, before: Say("fine")
    served.asked.clear()
    assert len(ask(context(tmp_path, served.url))) == 40
    assert set(served.asked) == {f"question {n}" for n in range(40) if f"row-{n}" not in kept}


def test_a_budget_of_tokens_is_met_not_passed_and_a_higher_one_goes_on(served: Served, tmp_path: Path) -> None:
    served.behave = lambda question, before: Say("fine", after_s=0.01, usage=(10, 50))
    with pytest.raises(StoppedError, match=r"of 1,000 tokens \(max_tokens\)"):
        ask(context(tmp_path, served.url, concurrency=8, max_tokens=1000))
    spent = 60 * len(ledger(tmp_path))
    assert 1000 - 120 <= spent <= 1000
    assert len(ask(context(tmp_path, served.url, max_tokens=60 * 40 + 20))) == 40
    assert served.asked.total() == 40


def test_a_budget_of_money_is_counted_by_the_servers_price(served: Served, tmp_path: Path) -> None:
    served.behave = lambda question, before: Say("fine", usage=(10, 50))
    with pytest.raises(StoppedError, match=r"0\.01 in money \(max_cost\)"):
        ask(context(tmp_path, served.url, concurrency=4, max_cost=0.01, price_per_million_tokens=10))
    assert 60 * len(ledger(tmp_path)) <= 1000


def test_a_budget_that_cannot_be_kept_is_said(served: Served, tmp_path: Path) -> None:
    served.behave = lambda question, before: Say("fine", usage=None)
    with pytest.raises(StoppedError, match="does not tell the tokens"):
        ask(context(tmp_path, served.url, max_tokens=1000))


def test_nothing_that_a_model_says_breaks_a_line(served: Served, tmp_path: Path) -> None:
    hostile = [
        "a\u2028b\u2029c\x85d",
        "nul \0 nul",
        "\ud800 alone",
        "pair \ud83d\ude00",
        'quote " \\ \r\n {{ x }}',
        "\x1b[31m",
    ]
    served.behave = lambda question, before: Say(hostile[int(question.split()[1])])
    for _ in range(2):
        found = [one.text for one in ask(context(tmp_path, served.url), count=len(hostile))]
        assert found == [hostile[0], hostile[1], "\ufffd alone", "pair \U0001f600", hostile[4], hostile[5]]
    text = (tmp_path / "scratch" / "answers-0.jsonl").read_bytes()
    assert text.isascii() and text.count(b"\n") == len(text.splitlines()) == len(hostile)


def test_shards_ask_their_parts_and_together_are_the_whole(served: Served, tmp_path: Path) -> None:
    whole = ask(context(tmp_path / "whole", served.url))
    served.asked.clear()
    for shard in range(3):
        with pytest.raises(ShareDoneError):
            ask(context(tmp_path / "parts", served.url, shard=shard, shards=3))
    assert set(served.asked.values()) == {1} and served.asked.total() == 40
    gathering = Context(context(tmp_path / "parts", served.url, shards=3).manifest, 0, 1, tmp_path, None, 2, True)
    assert ask(gathering) == whole
    (tmp_path / "parts" / "scratch" / "answers-0.shard-1.jsonl").unlink()
    with pytest.raises(ShareDoneError):
        ask(gathering)


def test_another_sampling_or_prompt_is_another_row(served: Served, tmp_path: Path) -> None:
    rows = list(requests(3))
    ask(context(tmp_path, served.url), rows)
    hotter = rows[0].sampling.model_copy(update={"temperature": 1.0})
    changed = [
        Request(rows[0].key, rows[0].messages, hotter, 1),
        Request(rows[1].key, rows[1].messages, rows[1].sampling, 2),
    ]
    ask(context(tmp_path, served.url), [*changed, rows[2]])
    assert served.asked == {"question 0": 2, "question 1": 2, "question 2": 1}


def test_equal_requests_are_refused(served: Served, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="keys must differ"):
        ask(context(tmp_path, served.url), [*requests(3), *requests(1)])


def test_a_reader_that_stops_early_leaves_nothing_behind(served: Served, tmp_path: Path) -> None:
    with open_model("served", context(tmp_path, served.url, concurrency=4)) as model:
        rows = model.ask(requests(10_000), ledger="answers")
        assert next(rows).key == "row-0"
        rows.close()
    time.sleep(0.1)
    before = served.asked.total()
    time.sleep(0.2)
    assert served.asked.total() == before < 10_000


def test_killed_at_any_moment_no_recorded_row_is_asked_again_and_the_rows_are_the_same(
    served: Served, tmp_path: Path
) -> None:
    """kill -9, again and again at random moments, with the last line torn once more by hand."""
    count = 1500
    served.behave = lambda question, before: Say(f"answer to {question}", after_s=0.005)
    random.seed(7)
    file = tmp_path / "scratch" / "answers-0.jsonl"
    kills = 0
    while True:
        recorded = _whole_lines(file)
        served.asked.clear()
        victim = _program(tmp_path, served.url, count)
        target = len(recorded) + random.randint(50, 600)
        while victim.poll() is None and (not file.exists() or file.read_bytes().count(b"\n") < target):
            time.sleep(0.005)
        if victim.poll() is not None:
            break
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        kills += 1
        with file.open("ab") as lines:
            lines.write(b'["0123456789abcdef", "row-torn", "half a l')
        asked_again = {f"row-{question.split()[1]}" for question in served.asked} & recorded
        assert not asked_again
    assert victim.returncode == 0 and kills >= 2
    assert not {f"row-{question.split()[1]}" for question in served.asked} & recorded
    rows = ledger(tmp_path)
    assert sorted(str(row[1]) for row in rows) == sorted(f"row-{n}" for n in range(count))
    undisturbed = ask(context(tmp_path / "undisturbed", served.url, concurrency=64), count=count)
    assert sorted((row[1], row[2]) for row in rows) == sorted((one.key, one.text) for one in undisturbed)


@contextmanager
def instant() -> Iterator[str]:
    server = subprocess.Popen([sys.executable, "-P", str(HERE / "instant.py")], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        yield f"http://127.0.0.1:{server.stdout.readline().strip()}/v1"
    finally:
        server.kill()
        server.wait()


def _program(home: Path, url: str, count: int) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-P", str(HERE / "asking.py"), str(home), url, str(count)]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE)


def _peak_bytes(home: Path, url: str, count: int) -> int:
    told, _ = _program(home, url, count).communicate()
    came, peak = map(int, told.split())
    assert came == count
    return peak


def _whole_lines(file: Path) -> set[str]:
    lines = file.read_bytes().splitlines(keepends=True) if file.exists() else []
    return {json.loads(line)[1] for line in lines if line.endswith(b"\n")}


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    """Peak of a whole process that asks 2,000 rows, and of one that asks 16,000: all rows of the second would be
    tens of megabytes more."""
    with instant() as url:
        few, many = (_peak_bytes(tmp_path / str(count), url, count) for count in (2_000, 16_000))
    assert many - few < 8e6
