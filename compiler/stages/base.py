"""What every stage record shares. A stage record is identity: what is not marked `NotIdentity` is hashed."""

from typing import Annotated, ClassVar, Literal

from compiler.artifacts import Kind
from compiler.schema.base import Accepts, Count, Record, Worded

TokenizerRef = Annotated[str, Accepts(Kind.TOKENIZER)]
DocumentsRef = Annotated[str, Accepts(Kind.DOCUMENTS)]
TopicsRef = Annotated[str, Accepts(Kind.TOPICS)]
PromptsRef = Annotated[str, Accepts(Kind.PROMPTS)]
DialoguesRef = Annotated[str, Accepts(Kind.DIALOGUES)]
TextRef = Annotated[str, Accepts(Kind.DOCUMENTS, Kind.DIALOGUES)]
"""Documents, or dialogues that a chat template writes as text."""
ResponsesRef = Annotated[str, Accepts(Kind.RESPONSES)]
ScoresRef = Annotated[str, Accepts(Kind.SCORES)]
RatingsRef = Annotated[str, Accepts(Kind.RATINGS)]
PreferencesRef = Annotated[str, Accepts(Kind.PREFERENCES)]
TokensRef = Annotated[str, Accepts(Kind.TOKENS)]
PolicyRef = Annotated[str, Accepts(Kind.POLICY)]
RewardModelRef = Annotated[str, Accepts(Kind.REWARD_MODEL)]
ModelRef = Annotated[str, Accepts(Kind.POLICY, Kind.REWARD_MODEL)]
"""Anything with the weights of a transformer."""
EvaluationRef = Annotated[str, Accepts(Kind.EVALUATION)]
ExaminationRef = Annotated[str, Accepts(Kind.EXAMINATION)]

RowKind = Literal["documents", "topics", "prompts", "dialogues", "ratings", "preferences"]
"""The artifact kinds that are rows which stand by themselves; stages that move rows say which they move."""
RowsRef = Annotated[
    str,
    Accepts(Kind.DOCUMENTS, Kind.TOPICS, Kind.PROMPTS, Kind.DIALOGUES, Kind.RATINGS, Kind.PREFERENCES),
]


class Evaluation(Record):
    """How often a model in training is looked at, and on how much: the loss on rows that it does not learn."""

    every_steps: Count
    """Optimizer steps from one look to the next; there is one after the last step too."""
    rows: Count
    """So many of the first rows (sequences, where they are packed)."""


class Stage(Worded):
    """A vertex of the DAG: typed inputs (the refs among its fields) and one output."""

    version: ClassVar[int] = 1
    """Hashed with the record: bump it when the same fields come to mean something else."""
    output: ClassVar[Kind]
    """The artifact kind that the stage makes, where that is the same for every stage of the kind."""
    output_field: ClassVar[str] = ""
    """Otherwise the field that says it."""

    @property
    def makes(self) -> Kind:
        """The artifact kind that this stage makes."""
        return Kind(getattr(self, self.output_field)) if self.output_field else self.output
