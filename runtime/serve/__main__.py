"""`python -P -m runtime.serve FOLDER`: opens the policy of this artifact and serves it until it is interrupted."""

import argparse
import os
import socket
import sys
from pathlib import Path

import uvicorn

from compiler.schema.model import Layout, Precision
from runtime.engine.parallel import start
from runtime.policy import TOKENIZER, open_policy
from runtime.serve.app import Serving, make_app
from runtime.serve.engine import Engine
from runtime.tokenizer import ChatTokenizer


def main() -> int:
    """Prints the address once clients may connect."""
    parser = argparse.ArgumentParser(prog="python -P -m runtime.serve", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--slots", type=int, required=True)
    parser.add_argument("--dtype", choices=["fp32", "bf16"], required=True)
    parser.add_argument("--api-key-env")
    arguments = parser.parse_args()
    key = os.environ[arguments.api_key_env] if arguments.api_key_env else None
    with (
        start(Layout(), rank=0, world_size=1, rendezvous=None, seed=0),
        socket.create_server((arguments.host, arguments.port), backlog=1024) as listening,
    ):
        model = open_policy(arguments.folder, Layout(), Precision(dtype=arguments.dtype))
        engine = Engine(model, slots=arguments.slots)
        tokenizer = ChatTokenizer.load(arguments.folder / TOKENIZER)
        app = make_app(Serving(arguments.name, engine, tokenizer, model.spec.seq_length, key))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=5))
        sys.stdout.write(f"{arguments.name} at http://{arguments.host}:{listening.getsockname()[1]}/v1\n")
        sys.stdout.flush()
        server.run(sockets=[listening])
    return 0


if __name__ == "__main__":
    sys.exit(main())
