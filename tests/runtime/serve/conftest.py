"""A tiny random policy on disk, and a server of it in a process of its own. `tiny_policy.py` is no test."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from compiler.schema.model import Layout, Precision

sys.path.insert(0, str(Path(__file__).parent))

from tiny_policy import NAME, SPEC


@pytest.fixture(scope="package")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With weights so large that what it says is never a tie, and nearly never an end."""
    from runtime.engine.model import build
    from runtime.engine.parallel import start
    from runtime.policy import write_policy
    from runtime.tokenizer import train_tokenizer

    home = tmp_path_factory.mktemp("policy")
    tokenizer, folder = home / "tokenizer", home / "policy"
    for made in (tokenizer, folder):
        made.mkdir()
    texts = [f"say {one} to {other}" for one in ("dog", "cat", "bird") for other in ("me", "them", "nobody")]
    train_tokenizer(texts, SPEC.vocab_size, "compact", tokenizer)
    with start(Layout(), rank=0, world_size=1, rendezvous=None, seed=1):
        write_policy(build(SPEC, Layout(), Precision(dtype="fp32"), seed=1), folder, tokenizer=tokenizer, main=True)
    return folder


@pytest.fixture(scope="package")
def url(policy: Path) -> Iterator[str]:
    command = [sys.executable, "-P", "-m", "compiler", "serve", str(policy), "--name", NAME, "--port", "0"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "SERVE_KEY": "s3cret"}
    server = subprocess.Popen(
        [*command, "--api-key-env", "SERVE_KEY", "--slots", "4"], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert server.stdout is not None
    address = server.stdout.readline()
    assert address.startswith(f"{NAME} at http://127.0.0.1:"), address
    yield address.split(" at ")[1].strip()
    server.terminate()
    assert server.wait(20) == 0 or server.returncode == -15
