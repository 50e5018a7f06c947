"""A site: what it has and how fast it is. Never bears identity."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from compiler.schema.base import Count, NonNegative, Positive, Record
from compiler.schema.slurm import Slurm


class CpuSpeed(Record):
    """What one core does, for planning. On a local cluster `rung probe --here` measures it anew for this machine, and
    `rung plan` prefers what earlier runs in this store took."""

    start_up_s: Positive
    """A stage without the engine: from submission to its first row."""
    engine_start_up_s: Positive
    """A stage with the engine: imports, process group, building the model, sealing."""
    training_flops: Positive
    """Model FLOP/s of training, forward and backward."""
    generation_flops: Positive
    """Model FLOP/s of batched generation with a KV cache."""
    rows_per_s: Positive
    """Rows read, checked and written by stages without the engine."""
    step_s: NonNegative = 0.0
    """Of each optimizer step, whatever its size."""
    token_s: NonNegative = 0.0
    """Of each token that a batch of answers is longer, whatever the rows."""
    host: str | None = None
    """The machine that was measured."""


class Gpu(Record):
    """What one GPU does, for planning. Achieved figures, of models and layouts that are near the recipe's."""

    name: str
    """As people call it, `H100-80GB-SXM5` say: A100, H100, H200, B200 and GB200 are known to the planner by it."""
    memory_bytes: Count
    """Of one GPU, in bytes; a stage that takes more does not fit."""
    peak_flops: Positive
    """Dense 16-bit FLOP/s: what a model FLOPs utilisation is a share of."""
    training_flops: Positive
    """Model FLOP/s of training that are achieved; looked at where the planner does not know the GPU by its name."""
    generation_flops: Positive
    """Model FLOP/s of batched generation that are achieved; likewise."""
    price_per_hour: NonNegative
    """Of one GPU, in the currency that the site counts in."""


SERVERS = "RUNG_SERVERS"
"""Environment variable that says at run time where servers are: a JSON object, model -> url. It goes before the cluster
file, for servers that a job starts by itself."""


class ServerAccess(Record):
    """How a server is asked. None of it bears identity."""

    price_per_million_tokens: NonNegative = 0.0
    """Of prompts and answers alike, in the currency that the site counts in."""
    api_key_env: str | None = None
    """Environment variable of the jobs that holds the key; the key itself never stands in a file."""
    concurrency: Count = 256
    """Most requests of one job in flight at once."""
    timeout_s: Positive = 600.0
    """Longest wait for one answer; the request is then sent again."""
    patience_s: Positive = 900.0
    """So long a server may answer nobody, while it starts, say, before the stage stops; it can be resumed."""
    max_tokens: Count | None = None
    """Most tokens, of prompts and answers, that one stage may take; it stops there, and goes on when this is raised."""
    max_cost: NonNegative | None = None
    """Likewise in money."""


class ServerStart(Record):
    """How a job on Slurm starts a server for itself, on nodes of its own: a heterogeneous job, the server beside its
    client. It is up before the stage starts, and ended with it."""

    command: str
    """Shell command that serves on port `$PORT`, and answers `GET /v1/models` when it is ready. It runs once on each of
    its nodes, where `$SERVER_HOST` names the first of them."""
    nodes: Count = 1
    """Machines of the server."""
    gpus_per_node: int = Field(0, ge=0)
    """GPUs that it takes of each."""
    cores: Count = 1
    """Cores that it takes of each."""
    partition: str | None = None
    """Slurm partition of the server; the stage's own where absent."""


class Server(ServerAccess):
    """An OpenAI-compatible server: one that runs anyway, at `url`, or one that each job starts itself, by `start`."""

    url: str | None = None
    """Where it answers, up to and with `/v1`; at run time, `RUNG_SERVERS` (JSON, model -> url) goes before it."""
    start: ServerStart | None = None
    """Instead of a url: how a job starts it."""
    tokens_per_s: Positive
    """Read and written, over all requests at once."""
    price_per_million_tokens: NonNegative
    """Of prompts and answers alike, in the currency that the site counts in."""

    @model_validator(mode="after")
    def _is_somewhere(self) -> "Server":
        if (self.url is None) == (self.start is None):
            raise ValueError("a server has a `url`, or a `start`")
        return self


class Cluster(Record):
    """Where stages run."""

    name: str
    """As people call it; shown in plans."""
    executor: Literal["local", "slurm"]
    """submitit's executor."""
    cores: Count | None = None
    """Cores to use; all of the machine's where absent."""
    memory_bytes: Count | None = None
    """Memory to use on this machine, in bytes; all of it where absent. Stages run side by side within it."""
    cpu: CpuSpeed
    """What one core does."""
    price_per_core_hour: NonNegative = 0.0
    """Of one core, in the same currency as GPUs."""
    nodes: Count | None = None
    """Machines with GPUs."""
    gpus_per_node: Count | None = None
    """GPUs of one machine."""
    gpu: Gpu | None = None
    """What one of them does; `nodes`, `gpus_per_node` and `gpu` go together."""
    slurm: Slurm = Slurm()
    """What jobs on its Slurm must say."""
    software: Annotated[str, Field(pattern=r"^20[0-9]{2}-(0[1-9]|1[0-2])$")] | None = None
    """Year and month of what trains there (Megatron-core, Transformer Engine, NVIDIA's containers), `2024-02` say;
    today's where absent. Training with what is older than August 2024 takes longer."""
    servers: dict[str, Server] = Field(default_factory=dict)
    """By the `model` of an endpoint stage."""

    @model_validator(mode="after")
    def _slurm_has_gpus(self) -> "Cluster":
        given = (self.nodes, self.gpus_per_node, self.gpu)
        if any(one is not None for one in given) and None in given:
            raise ValueError("`nodes`, `gpus_per_node` and `gpu` go together")
        if self.executor == "slurm" and self.gpu is None:
            raise ValueError("a slurm cluster has `nodes`, `gpus_per_node` and `gpu`")
        return self

    @property
    def software_month(self) -> int | None:
        """`2024-02` as 2402."""
        return int(self.software[2:].replace("-", "")) if self.software else None

    @property
    def num_gpus(self) -> int:
        """All of them; 0 where the engine runs on cores."""
        return (self.nodes or 0) * (self.gpus_per_node or 0)
