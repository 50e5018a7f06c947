"""`rung serve` refuses what it cannot serve before anything heavy is imported."""

from pathlib import Path

import pytest

from compiler.cli import main


def policy(folder: Path, *others: str) -> Path:
    (folder / "weights").mkdir(parents=True)
    for name in ("model.json", *others):
        (folder / name).write_text("{}")
    return folder


def test_a_folder_that_is_no_policy_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", str(tmp_path)]) == 2
    assert "is no artifact of kind policy" in capsys.readouterr().err


def test_a_reward_model_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", str(policy(tmp_path / "made", "calibration.json"))]) == 2
    assert "is a reward model" in capsys.readouterr().err


def test_a_key_that_is_not_set_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    assert main(["serve", str(policy(tmp_path / "made")), "--api-key-env", "NO_SUCH_KEY"]) == 2
    assert "NO_SUCH_KEY, which is not set" in capsys.readouterr().err
