"""Who is judged by ground truth answers prompts that something can check."""

from collections.abc import Iterator

from compiler.checks.origins import origins
from compiler.checks.view import View
from compiler.elaborate import ProgramStage
from compiler.reading.tree import Place
from compiler.schema.generators import InstructionFollowing, SelfPrompted, Tasks
from compiler.schema.judges import GroundTruth
from compiler.schema.sources import Rows
from compiler.stages.adopt import Adopt
from compiler.stages.evaluate import Evaluate
from compiler.stages.generate import Generate
from compiler.stages.judge import Judge
from compiler.stages.prompts import Prompts


def check_verifiers(view: View) -> None:
    """A judge of ground truth, or an exam that nobody grades, needs one prompt at least that carries a verifier."""
    for at in view.stages.values():
        match at.stage:
            case Judge(judge=GroundTruth(), responses=responses):
                answered = view.stages[responses].stage
                if isinstance(answered, Generate):
                    hint = "judge them by a model (llm, llm_grade, reward_model)"
                    _check(view, at, "responses", answered.prompts, "no answer here can be checked", hint)
            case Evaluate(reward=None, grade=None, prompts=prompts):
                hint = "say `grade` or `reward`, or examine on prompts that carry a verifier"
                _check(view, at, "prompts", prompts, "nothing would be measured: no answer can be checked", hint)
            case _:
                pass


def _check(view: View, at: ProgramStage, field: str, prompts: str, message: str, hint: str) -> None:
    made = list(origins(view, prompts))
    if not any(_carries_verifier(one) for one in made):
        view.blame(at, field, message, "no-verifier", hint=hint, related=tuple(_places(made)))


def _carries_verifier(at: ProgramStage) -> bool:
    match at.stage:
        case Prompts(generator=generator):
            return isinstance(generator, Tasks | SelfPrompted | InstructionFollowing)
        case Adopt(source=Rows(verifier=verifier)):
            return verifier is not None
        case _:
            return True


def _places(made: list[ProgramStage]) -> Iterator[tuple[Place, str]]:
    for one in made[:3]:
        adopted = isinstance(one.stage, Adopt)
        yield one.at, "adopted without `source.verifier`" if adopted else "prompts that only a reader can check"
