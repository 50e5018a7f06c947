"""A table of layouts in, the planner's model of each out."""

import csv
import json
from pathlib import Path

import pytest

from compiler.cli import main
from compiler.planning.estimate import COLUMNS

ROW = {
    "layers": 96, "hidden": 18432, "ffn": 73728, "heads": 96, "kv_heads": 8, "head_dim": 192, "vocab": 256_000,
    "gated_mlp": 0, "tied_embeddings": 0, "seq": 4096, "gbs": 2304, "mbs": 1, "tp": 8, "pp": 12, "vpp": 2, "cp": 1,
    "gpus": 6144, "gpu": "H100",
}  # fmt: skip


def table(folder: Path, *rows: dict[str, object], columns: tuple[str, ...] = COLUMNS) -> Path:
    file = folder / "table.csv"
    with file.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.DictWriter(lines, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return file


def test_each_row_gets_time_rate_and_memory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = table(tmp_path, ROW, {**ROW, "gpus": 1536, "gbs": 768})
    assert main(["estimate", str(file), "--json"]) == 0
    large, small = json.loads(capsys.readouterr().out)
    assert large["step_time_s"] == pytest.approx(8.0, rel=0.1)
    assert small["step_time_s"] == pytest.approx(10.3, rel=0.1)
    assert large["mfu"] == pytest.approx(large["tflops_per_gpu"] / 989)
    assert sum(large["memory_parts"].values()) == pytest.approx(large["memory_bytes"])


@pytest.mark.parametrize(
    ("release", "early"),
    [("24.07 performance_summary (2024-12)", True), ("2024-02 examples/README.md", True), ("24.03.01", True),
     ("v25.04 llama3.1/README.md", False), ("v24.11.1", False), ("Tables 3 and 5", False), ("", False)],
)  # fmt: skip
def test_the_release_of_a_row_says_whether_its_software_is_early(
    release: str, early: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = (*COLUMNS, "release")
    assert main(["estimate", str(table(tmp_path, {**ROW, "release": release}, ROW, columns=columns)), "--json"]) == 0
    dated, today = (row["step_time_s"] for row in json.loads(capsys.readouterr().out))
    assert (dated > 1.05 * today) is early and (dated == today) is not early


def test_a_row_that_says_nothing_possible_is_told_and_the_others_stand(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = table(tmp_path, {**ROW, "gpus": 100}, {**ROW, "gpu": "abacus"}, {**ROW, "mbs": "one"}, ROW)
    assert main(["estimate", str(file), "--json"]) == 2
    found = json.loads(capsys.readouterr().out)
    assert [row.get("error", "") for row in found] == [
        "100 GPUs are not divided by tp * pp * cp = 96",
        "no GPU is known as 'abacus'",
        "mbs is 'one', but must be a whole number",
        "",
    ]


def test_a_table_without_its_columns_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["estimate", str(table(tmp_path, ROW, columns=("layers", "hidden")))]) == 2
    assert "no column ffn" in capsys.readouterr().err
