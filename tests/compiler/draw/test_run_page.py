"""The page of a run: its journals' word, in a browser, while it goes on and afterwards."""

import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("igraph")
pytest.importorskip("bokeh")

from compiler.cli import main
from compiler.journal import append_event
from compiler.pipeline import compile_plan, create_run
from compiler.runs.layout import journal_path, read_jobs
from compiler.runs.page import RunPage
from compiler.runs.server import Watched, serving
from compiler.runs.status import read_status

_MICRO = Path(__file__).parents[2] / "recipes" / "micro.yaml"
Open = Callable[..., Any]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    store = tmp_path / "store"
    plan = compile_plan(_MICRO, [], cluster="laptop", store=store)
    return create_run(plan, _MICRO, store=store)


def start(run: Path, label: str) -> None:
    """As a job does on another machine, of whose processes nobody here can know."""
    append_event(journal_path(run, label), "started", host="elsewhere", pid=1)


def seal(run: Path, label: str) -> None:
    (job,) = [job for job in read_jobs(run).jobs if job.label == label]
    Path(job.artifact).mkdir(parents=True)
    (Path(job.artifact) / "artifact.json").write_text("{}")
    append_event(journal_path(run, label), "sealed", host="elsewhere", wall_s=1.0)


def states(page: Any) -> dict[str, str]:
    return {label: stage["state"] for label, stage in page.evaluate("rung.view.state.stages").items()}


def test_a_served_page_follows_the_journals(run: Path, open_page: Open) -> None:
    start(run, "prompts")
    seal(run, "prompts")
    start(run, "answers")
    append_event(journal_path(run, "answers"), "failed", error="the disk is full")
    watched = Watched(read_status(run))
    with serving(RunPage(run), watched, every_s=0.1) as address:
        page = open_page(address, allowed=address)
        assert page.locator("#state").text_content() == "failed"
        told = states(page)
        assert (told["prompts"], told["answers"], told["tokenizer"]) == ("done", "failed", "blocked")
    with serving(RunPage(run), watched, every_s=0.1) as address:
        start(run, "answers")
        append_event(journal_path(run, "held_out"), "queued", job_id="1", host="elsewhere")
        watched.status = read_status(run)
        page = open_page(address, allowed=address)
        assert page.locator("#state").text_content() == "running"
        assert states(page)["held_out"] == "queued"
        before = page.evaluate("[...rung.drawing.sources.stripes.data.colour]")
        seal(run, "held_out")
        watched.status = read_status(run)
        page.wait_for_function("rung.view.state.stages.held_out.state === 'done'")
        assert page.evaluate("[...rung.drawing.sources.stripes.data.colour]") != before
        assert f"2 of {len(watched.status.stages)} stages done" in page.locator("#summary").inner_text()
        page.close()


def test_the_timeline_has_what_happened_beside_what_was_planned(run: Path, open_page: Open) -> None:
    start(run, "prompts")
    seal(run, "prompts")
    with serving(RunPage(run), Watched(read_status(run)), every_s=60) as address:
        page = open_page(address, allowed=address)
        page.click("#tab-timeline")
        page.wait_for_function("rung.timeline && rung.timeline.rows.length")
        sources = page.evaluate(
            "Object.fromEntries(['planned', 'real'].map(name => [name, rung.timeline.sources[name].data.y.length]))"
        )
        assert sources == {"planned": len(read_jobs(run).jobs), "real": 1}
        page.close()


def test_nobody_is_answered_who_calls_this_machine_by_another_name(run: Path) -> None:
    with serving(RunPage(run), Watched(read_status(run)), every_s=60) as address:
        assert json.load(urllib.request.urlopen(f"{address}state.json"))["run"] == run.name
        asked = urllib.request.Request(f"{address}state.json", headers={"Host": "elsewhere.example"})
        with pytest.raises(urllib.error.HTTPError, match="421"):
            urllib.request.urlopen(asked)


def test_a_file_is_written_until_the_run_has_ended(
    run: Path, tmp_path: Path, open_page: Open, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for job in read_jobs(run).jobs:
        start(run, job.label)
        seal(run, job.label)
    file = tmp_path / "run.html"
    assert main(["watch", run.name, "--store", str(run.parents[1]), "--html", str(file)]) == 0
    assert "report: done" in capsys.readouterr().out
    page = open_page(file)
    assert page.locator("#state").text_content() == "done"
    assert set(states(page).values()) == {"done"}
    page.keyboard.press("/")
    page.keyboard.type("base")
    page.keyboard.press("Enter")
    page.wait_for_selector("#panel pre")
    assert re.search(r"^model:", page.locator("#panel pre >> nth=0").text_content(), re.MULTILINE)


def test_a_file_of_a_run_that_goes_on_opens_itself_again_where_one_was(
    run: Path, tmp_path: Path, open_page: Open
) -> None:
    start(run, "prompts")
    file, page_of_run = tmp_path / "run.html", RunPage(run)
    file.write_text(page_of_run.text(read_status(run), now=time.time(), every_s=1.5), encoding="utf-8")
    page = open_page(file)
    page.click("#fit")
    page.select_option("#colour", label="by kind")
    seal(run, "prompts")
    file.write_text(page_of_run.text(read_status(run), now=time.time(), every_s=600), encoding="utf-8")
    page.wait_for_function("globalThis.rung?.view.state.stages.prompts.state === 'done'", timeout=60_000)
    assert page.input_value("#colour") == "kind"


def test_the_command_serves_until_it_is_interrupted(run: Path) -> None:
    command = [sys.executable, "-m", "compiler", "watch", run.name, "--store", str(run.parents[1]), "--html"]
    watching = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert watching.stdout is not None
    told = re.match(r"(http://127\.0\.0\.1:\d+/)", watching.stdout.readline())
    assert told is not None
    assert b"</html>" in urllib.request.urlopen(told[1]).read()
    watching.send_signal(2)
    assert watching.wait(60) == 1  # the run has not ended well: it has not begun
