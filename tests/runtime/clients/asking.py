"""A stage's context with one endpoint, and rows to ask it. As a program: asks until it is killed or done."""

import json
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from compiler.artifacts import Message
from compiler.manifest import Manifest, ManifestInput, Placement
from compiler.schema.cluster import Server
from compiler.schema.sampling import Sampling
from runtime.clients.open import open_model
from runtime.clients.request import Request
from runtime.context import Context

SAMPLING = Sampling(temperature=0.7, top_p=0.9, max_new_tokens=50)


def context(home: Path, url: str, *, shard: int | None = None, shards: int = 1, **access: Any) -> Context:
    for name in ("endpoint", "output", "scratch"):
        (home / name).mkdir(parents=True, exist_ok=True)
    (home / "endpoint" / "endpoint.json").write_text(json.dumps({"model": "some/model"}))
    listed = Server(url=url, tokens_per_s=1, **{"price_per_million_tokens": 0, "patience_s": 20, **access})
    endpoint = ManifestInput(stage="served", kind="endpoint", fingerprint="e" * 16, path=str(home / "endpoint"))
    manifest = Manifest.model_construct(
        label="stage",
        placement=Placement(shards=shards),
        inputs={"served": endpoint},
        servers={"served": listed} if url else {},
        scratch=str(home / "scratch"),
        journal=str(home / "journal.jsonl"),
    )
    return Context(manifest, 0, 1, home / "output", None, shard)


def requests(count: int, first: int = 0) -> Iterator[Request]:
    for number in range(first, first + count):
        messages = (Message(role="user", content=f"question {number}"),)
        yield Request(f"row-{number}", messages, SAMPLING, seed=1)


def main() -> None:
    """HOME URL ROWS [CONCURRENCY]: prints how many rows came, and the peak of memory in bytes."""
    home, url, rows = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    concurrency = int(sys.argv[4]) if len(sys.argv) > 4 else 32
    came = 0
    with open_model("served", context(home, url, concurrency=concurrency)) as model:
        for number, completion in enumerate(model.ask(requests(rows), ledger="answers", total=rows)):
            assert completion.key == f"row-{number}"
            came += 1
    sys.stdout.write(f"{came} {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}\n")


if __name__ == "__main__":
    main()
