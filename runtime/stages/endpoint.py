"""endpoint: which model a server must serve; where the server is, the manifest of who asks it says."""

import json

from compiler.stages.endpoint import Endpoint
from runtime.clients.endpoint import FILE
from runtime.context import Context, Facts


def run(stage: Endpoint, ctx: Context) -> Facts:
    """Writes `endpoint.json`; nothing is asked yet."""
    told = {"model": stage.model, "revision": stage.revision, "seq_length": stage.seq_length}
    (ctx.output / FILE).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return told
