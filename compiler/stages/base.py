"""What every stage record shares. A stage record is identity: all of it is hashed, nothing else is."""

from typing import Annotated, ClassVar

from compiler.artifacts import Kind
from compiler.schema.base import Accepts, Record

TokenizerRef = Annotated[str, Accepts(Kind.TOKENIZER)]
PromptsRef = Annotated[str, Accepts(Kind.PROMPTS)]
DialoguesRef = Annotated[str, Accepts(Kind.DIALOGUES)]
ResponsesRef = Annotated[str, Accepts(Kind.RESPONSES)]
ScoresRef = Annotated[str, Accepts(Kind.SCORES)]
PreferencesRef = Annotated[str, Accepts(Kind.PREFERENCES)]
TokensRef = Annotated[str, Accepts(Kind.TOKENS)]
PolicyRef = Annotated[str, Accepts(Kind.POLICY)]
RewardModelRef = Annotated[str, Accepts(Kind.REWARD_MODEL)]
EvaluationRef = Annotated[str, Accepts(Kind.EVALUATION)]


class Stage(Record):
    """A vertex of the DAG: typed inputs (the refs among its fields) and one output."""

    version: ClassVar[int] = 1
    """Hashed with the record: bump it when the same fields come to mean something else."""
    output: ClassVar[Kind]
    """The artifact kind that the stage makes."""

    def templates(self) -> tuple[str, ...]:
        """Templates whose words shape the result; they are hashed by content."""
        return ()
