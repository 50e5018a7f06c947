"""Where topics come from: one record per source."""

from typing import Annotated, Literal

from pydantic import Field

from compiler.schema.base import Accepts, Count, Worded
from compiler.schema.sampling import LanguageModelRef, Sampling

Subject = Literal["general", "python", "math"]


class HandMade(Worded):
    """A list that people wrote."""

    kind: Literal["hand_made"]
    topics: Annotated[str, Accepts("topics")]
    """An adopt stage of topics."""


class Generated(Worded):
    """A model names broad topics, then narrower ones of each."""

    kind: Literal["generated"]
    model: LanguageModelRef
    """Who is asked: a policy of this recipe, or an endpoint."""
    subject: Subject
    """What the topics are of."""
    levels: tuple[str, ...] = ()
    """School levels to ask for, one after the other (math); none where the subject has none."""
    macro_topics: Count
    """Broad topics asked for, at each level."""
    subtopics: Count
    """Narrower topics asked for, of each broad one."""
    sampling: Sampling
    """How answers are drawn."""

    def templates(self) -> tuple[str, ...]:
        """The two questions, and the one that turns an answer into a list."""
        asked = (f"prompts/{self.subject}_macro_topics.j2", f"prompts/{self.subject}_subtopics.j2")
        return (*asked, "prompts/answer_as_list.j2")


class Classified(Worded):
    """Entities of a list, an encyclopedia's titles say, that a model takes for topics of the subject."""

    kind: Literal["classified"]
    model: LanguageModelRef
    """Who is asked: a policy of this recipe, or an endpoint."""
    subject: Literal["python", "math"]
    """What the topics are of."""
    entities: Annotated[str, Accepts("topics")]
    """An adopt stage of topics: the candidates."""
    sampling: Sampling
    """How answers are drawn."""

    def templates(self) -> tuple[str, ...]:
        """The yes-or-no question."""
        return (f"prompts/{self.subject}_classify.j2",)


class Mined(Worded):
    """Names that stand often in source code, by parsing it."""

    kind: Literal["mined"]
    documents: Annotated[str, Accepts("documents")]
    """Source code."""
    language: Literal["python"]
    """What the code is written in."""
    at_least: Count
    """Documents that a name must stand in."""


TopicSource = Annotated[HandMade | Generated | Classified | Mined, Field(discriminator="kind")]
