"""What stages make: the kinds of artifact, the rows inside them, and the record that seals one.

Rows are JSON lines in `rows.jsonl`. A conversation is a list of messages from the first day, so that dialogues of
several turns need no new format. The record (`artifact.json`) is the last file written into an artifact.
"""

from enum import StrEnum
from typing import Any, Literal

from pydantic import Field

from compiler.schema.base import Record


class Kind(StrEnum):
    """The kinds of artifact; an edge of the graph joins an output of a kind with an input that accepts it."""

    TOKENIZER = "tokenizer"
    """tokenizer.json, tokenizer_config.json"""
    DOCUMENTS = "documents"
    """rows.jsonl of DocumentRow, or sources.json (files where they lie): plain text"""
    TOPICS = "topics"
    """rows.jsonl of TopicRow: what prompts are written about"""
    ENDPOINT = "endpoint"
    """endpoint.json: which model a server must serve"""
    PROMPTS = "prompts"
    """rows.jsonl of PromptRow"""
    DIALOGUES = "dialogues"
    """rows.jsonl of DialogueRow: what pretraining text and SFT are made of"""
    RESPONSES = "responses"
    """rows.jsonl of ResponseRow"""
    SCORES = "scores"
    """rows.jsonl of ScoreRow, one for each response"""
    RATINGS = "ratings"
    """rows.jsonl of RatingRow: answers with the attributes that people gave them"""
    PREFERENCES = "preferences"
    """rows.jsonl of PreferenceRow"""
    TOKENS = "tokens"
    """tokens.bin and tokens.idx, megatron-core's indexed dataset"""
    POLICY = "policy"
    """weights/ (distributed checkpoint), model.json, tokenizer/: a language model"""
    REWARD_MODEL = "reward_model"
    """weights/, model.json, tokenizer/, calibration.json: a regression reward model"""
    EVALUATION = "evaluation"
    """summary.json, rows.jsonl"""
    EXAMINATION = "examination"
    """summary.json, rows.jsonl: what a judge said of labelled pairs"""
    CHECKPOINT = "checkpoint"
    """a model in another program's format, with its tokenizer: a Hugging Face folder"""
    REPORT = "report"
    """report.html, report.json"""


class Message(Record):
    """One turn."""

    role: Literal["system", "user", "assistant"]
    content: str


class DocumentRow(Record):
    """A text."""

    id: str
    """Content hash of the text."""
    text: str
    origin: str
    """The name of what it was adopted from."""


class TopicRow(Record):
    """A word or a few that prompts are written about."""

    id: str
    """Content hash of the words."""
    topic: str
    origin: str
    """`hand_made`, `generated`, `classified` or `mined`."""
    under: str = ""
    """The broad topic that it was named as a part of."""
    made_from: tuple[str, ...] = ()
    """The row of a list that it stood in."""


class PromptRow(Record):
    """A conversation that ends with a user turn, and what is needed to check an answer to it."""

    id: str
    """Content hash of the messages: equal prompts have equal ids everywhere."""
    family: str
    """The task family, as in `runtime/tasks/<family>.py`."""
    messages: tuple[Message, ...]
    origin: str
    """The generator that made it: `tasks`, `self_prompted`, ..."""
    flags: tuple[str, ...] = ()
    """What it was marked with when it was adopted: `unsafe`, say."""
    check: dict[str, Any] | None = None
    """`verifier` (a file of `runtime/verifiers/`) and what that one needs: the answer, the tests, the instructions;
    none where the family checks by itself."""
    made_from: tuple[str, ...] = ()
    """Ids of the rows that it was written from: a topic, a document, another prompt."""


class DialogueRow(Record):
    """A conversation that ends with an assistant turn."""

    id: str
    prompt_id: str
    family: str
    messages: tuple[Message, ...]
    origin: str
    """`annotator` where a (simulated) person wrote the answer, `model` where a policy sampled it."""
    answer_ids: tuple[int, ...] | None = None
    """Tokens of the last turn as they were sampled, end token included: encode(decode(ids)) is not the identity."""
    made_from: tuple[str, ...] = ()
    """Ids of the rows that it was made from, beside its prompt: a response, or the seeds of a problem that was bred."""


class ResponseRow(Record):
    """One answer that a policy sampled."""

    id: str
    """`<prompt id>-<index of the sample>`"""
    prompt_id: str
    family: str
    messages: tuple[Message, ...]
    """The prompt."""
    response: str
    response_ids: tuple[int, ...] | None
    """As sampled, with the end token where it came; None of a served model, which does not tell."""
    finished: bool
    """False where the length limit cut it off."""
    logprob: float | None
    """Sum over response_ids of the sampling policy's log-probabilities (temperature 1); None of a served model."""
    by: str = ""
    """Fingerprint of the policy or endpoint that answered."""
    check: dict[str, Any] | None = None
    """The prompt's, so that a judge can check the answer."""


class ScoreRow(Record):
    """What one judge said of one response."""

    response_id: str
    score: float | None
    """None where the judge does not speak (its calibration on this family is below its gate)."""
    attributes: dict[str, float] = Field(default_factory=dict)
    """HelpSteer's five attributes on its scale of 0 to 4, where the judge gives them."""


class RatingRow(Record):
    """One answer and what people thought of it."""

    id: str
    prompt_id: str
    family: str
    messages: tuple[Message, ...]
    """The prompt."""
    response: str
    attributes: dict[str, float]
    """HelpSteer's attributes on its scale of 0 to 4; an attribute that nobody gave is absent."""


class PreferenceRow(Record):
    """A chosen and a rejected answer to one prompt, both with their rewards (RPO needs them)."""

    id: str
    prompt_id: str
    family: str
    messages: tuple[Message, ...]
    chosen: str
    rejected: str
    chosen_ids: tuple[int, ...] | None
    """As sampled; None of a served model's answer, and of an adopted one: words alone."""
    rejected_ids: tuple[int, ...] | None
    """Likewise."""
    chosen_reward: float
    rejected_reward: float
    made_from: tuple[str, ...] = ()
    """Ids of the chosen and the rejected response."""


ATTRIBUTES = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")
"""HelpSteer's attributes, in the order of the reward model's outputs."""


class InputRecord(Record):
    """Where one input came from."""

    stage: str
    """Its label in the experiment that ran the stage."""
    kind: str
    """The stage kind."""
    fingerprint: str


class ArtifactRecord(Record):
    """`artifact.json`: what was made, from what, by whom, and what it took. Its presence seals the folder."""

    format: Literal[1] = 1
    kind: str
    """stage kind"""
    fingerprint: str
    label: str
    """The stage's name in the experiment that made it; not part of identity."""
    stage: dict[str, Any]
    """The stage record, refs replaced by fingerprints: what was hashed."""
    inputs: dict[str, InputRecord]
    """By the field's path in the stage record."""
    files: dict[str, str]
    """Relative path -> sha256 of the content: equal files, equal artifact."""
    bytes: int
    facts: dict[str, Any] = Field(default_factory=dict)
    """What the stage tells about its result: rows made and rejected with reasons, tokens, final loss, ..."""
    planned: dict[str, Any] = Field(default_factory=dict)
    """What the plan expected (seconds, parameters, ...)."""
    measured: dict[str, Any] = Field(default_factory=dict)
    """wall_s, start_up_s, cpu_s, peak_rss_bytes, peak_gpu_bytes (where a GPU was used), attempts, world_size."""
    provenance: dict[str, Any] = Field(default_factory=dict)
    """experiment, run, user, host, rung version, time sealed."""
