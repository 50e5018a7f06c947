import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from compiler.artifacts import ArtifactRecord
from runtime import store


def record(files: dict[str, str]) -> ArtifactRecord:
    return ArtifactRecord(kind="k", fingerprint="f", label="l", stage={}, inputs={}, files=files, bytes=0)


def test_an_artifact_is_whole_or_absent(tmp_path: Path) -> None:
    artifact = tmp_path / "k" / "f"
    partial = store.partial_folder(artifact)
    (partial / "data").write_text("x")
    assert not store.is_sealed(artifact)
    assert not artifact.exists()
    store.seal(partial, artifact, record(store.hash_files(partial)))
    assert store.is_sealed(artifact)
    assert not partial.exists()
    assert store.read_record(artifact).files == {
        "data": "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    }


def test_what_an_interrupted_attempt_left_is_dropped(tmp_path: Path) -> None:
    artifact = tmp_path / "k" / "f"
    (store.partial_folder(artifact) / "leftover").write_text("half")
    assert list(store.partial_folder(artifact).iterdir()) == []


def test_a_sealed_artifact_is_never_replaced(tmp_path: Path) -> None:
    artifact = tmp_path / "k" / "f"
    for word in ("first", "second"):
        partial = store.partial_folder(artifact)
        (partial / "data").write_text(word)
        store.seal(partial, artifact, record(store.hash_files(partial)))
    assert (artifact / "data").read_text() == "first"
    assert not artifact.with_name("f.partial").exists()


def test_hashes_see_content_and_place(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a").write_text("1")
    (tmp_path / "b").write_text("1")
    hashes = store.hash_files(tmp_path)
    assert list(hashes) == ["b", "sub/a"]
    assert hashes["b"] == hashes["sub/a"]


def test_a_second_worker_waits_for_the_first(tmp_path: Path) -> None:
    scratch, log = tmp_path / "scratch", tmp_path / "log"
    holder = f"""
import sys, time
from pathlib import Path
from runtime.store import exclusive
with exclusive(Path({str(scratch)!r})):
    print("held", flush=True)
    time.sleep(0.6)
    Path({str(log)!r}).write_text("first done")
"""
    process = subprocess.Popen([sys.executable, "-c", holder], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    with store.exclusive(scratch) as waited:
        assert waited
        assert log.read_text() == "first done"
    assert process.wait() == 0


def test_a_killed_worker_releases_its_hold(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    holder = f"""
import time
from pathlib import Path
from runtime.store import exclusive
with exclusive(Path({str(scratch)!r})):
    print("held", flush=True)
    time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", holder], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.kill()
    process.wait()
    begun = time.monotonic()
    with store.exclusive(scratch):
        assert time.monotonic() - begun < 5


def test_a_record_from_another_format_is_refused(tmp_path: Path) -> None:
    text = json.loads(record({}).model_dump_json())
    (tmp_path / "artifact.json").write_text(json.dumps({**text, "format": 2}))
    with pytest.raises(ValueError, match="format"):
        store.read_record(tmp_path)
