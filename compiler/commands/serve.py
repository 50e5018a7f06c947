"""`rung serve`: a policy behind an OpenAI-compatible endpoint on this machine."""

import argparse
import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path

from compiler.artifacts import Kind
from compiler.commands.mistakes import UserError

_NEEDED = ("torch", "megatron", "uvicorn", "starlette")


def run(arguments: argparse.Namespace) -> int:
    """Becomes the server's process; returns only by a mistake."""
    folder: Path = arguments.checkpoint.resolve()
    if not (folder / "model.json").is_file() or not (folder / "weights").is_dir():
        raise UserError(
            f"{arguments.checkpoint} is no artifact of kind {Kind.POLICY}: it has no model.json and weights/"
        )
    if (folder / "calibration.json").is_file():
        raise UserError(f"{arguments.checkpoint} is a reward model: it scores answers and writes none")
    if arguments.api_key_env and arguments.api_key_env not in os.environ:
        raise UserError(f"--api-key-env names {arguments.api_key_env}, which is not set")
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise UserError(f"serving needs {', '.join(missing)}: pip install 'rung[train,serve]'")
    command = [sys.executable, "-P", "-m", "runtime.serve", str(folder), "--name", arguments.name or _name(folder)]
    command += ["--host", arguments.host, "--port", str(arguments.port), "--slots", str(arguments.slots)]
    command += ["--dtype", arguments.dtype]
    if arguments.api_key_env:
        command += ["--api-key-env", arguments.api_key_env]
    sys.stdout.flush()
    os.execv(sys.executable, command)


def _name(folder: Path) -> str:
    """The label of the stage that made it."""
    record = folder / "artifact.json"
    return str(json.loads(record.read_bytes())["label"]) if record.is_file() else folder.name
