"""code: genetic instruct, a population of programming problems with solutions that grows from seeds."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from compiler.artifacts import Kind
from compiler.schema.base import Count, Piece, Positive, Seed
from compiler.schema.judges import Judge
from compiler.schema.sampling import LanguageModelRef, Sampling
from compiler.stages.base import PromptsRef, Stage


class Code(Stage):
    """Instructions breed (crossover: new ones from several; mutation: one made harder or other), a coder solves them,
    a judge says which are fit to breed on. Colonies grow side by side and are joined at the end (2407.21077)."""

    output: ClassVar[Kind] = Kind.DIALOGUES

    kind: Literal["code"]
    seeds: PromptsRef
    """The first population: problems that people wrote."""
    instructor: LanguageModelRef
    """Writes new problems."""
    coder: LanguageModelRef
    """Solves them."""
    fitness: Annotated[Judge, Piece("judges")]
    """Says which solutions are right; only these are kept, and only their problems breed."""
    operators: Annotated[dict[Literal["crossover", "mutation"], Positive], Field(min_length=1)]
    """Operator -> weight."""
    parents: Count
    """Problems shown to the instructor in one crossover."""
    colonies: Count
    """Populations that grow by themselves."""
    count: Count
    """Dialogues wanted, over all colonies."""
    max_generations: Count
    """Rounds of breeding at most, before the stage is content with fewer."""
    instructor_sampling: Sampling
    """How problems are drawn."""
    coder_sampling: Sampling
    """How solutions are drawn."""
    seed: Seed
    """Of everything random in this stage."""

    def templates(self) -> tuple[str, ...]:
        """One for each operator, the coder's, and what the judge of fitness asks."""
        breeding = (f"prompts/code_{operator}.j2" for operator in sorted(self.operators))
        return (*breeding, "prompts/code_solution.j2", *self.fitness.templates())
