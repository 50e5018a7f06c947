"""llm_likelihood: a model compares two by two; which of both verdicts it finds likelier is read, nothing is written."""

from collections.abc import Sequence

from compiler.artifacts import ResponseRow
from compiler.schema.judges import LLMLikelihood
from runtime.asking import Rejected
from runtime.context import Context
from runtime.engine.batch import pack
from runtime.engine.logprobs import sequence_logprobs, token_batches
from runtime.engine.parallel import start
from runtime.judged import Opinion
from runtime.judges.llm import Found, Place, comparisons, questions, shares_won, statistics
from runtime.policy import TOKENIZER, answering_precision, open_policy, read_model_spec
from runtime.shares import Batches
from runtime.tokenizer import ChatTokenizer

VERDICTS = ("Better: first", "Better: second")
"""What the question asks to be written in the last line."""
TOO_LONG = "longer than the model's context"
_TOKENS_AT_ONCE = 4096


def judge(spec: LLMLikelihood, rows: Sequence[ResponseRow], ctx: Context) -> Opinion:
    """An answer's score is the share of its comparisons that it won; None where none fits the model's context. A share
    raises ShareDoneError."""
    folder = ctx.input(spec.model)
    tokenizer = ChatTokenizer.load(folder / TOKENIZER)
    room = read_model_spec(folder).seq_length
    compared = list(comparisons(rows))
    verdicts = [tokenizer.encode_answer(verdict) for verdict in VERDICTS]
    asked = [tokenizer.encode_prompt(one.messages) for one in questions(spec.rubric, compared)]
    fitting = [row for row, prompt in enumerate(asked) if len(prompt) + max(map(len, verdicts)) <= room]
    lengths = [len(asked[row]) for row in fitting]
    batches = Batches(ctx, "verdicts", token_batches(lengths, group=1, max_tokens=_TOKENS_AT_ONCE))
    if batches.missing:
        with start(ctx.placement.layout, rank=ctx.rank, world_size=ctx.world_size, rendezvous=ctx.rendezvous, seed=0):
            model = open_policy(folder, ctx.placement.layout, answering_precision(folder))

            def odds(numbers: Sequence[int]) -> list[float]:
                prompts = [asked[fitting[number]] for number in numbers]
                both = [[*prompt, *verdict] for prompt in prompts for verdict in verdicts]
                masks = [[0] * len(prompt) + [1] * len(verdict) for prompt in prompts for verdict in verdicts]
                found_S = sequence_logprobs(model, pack(both, masks, group=2, pad_id=tokenizer.pad_id)).double()
                return [float(gap) for gap in found_S[0::2] - found_S[1::2]]

            batches.compute(odds)
    told = batches.results()
    by_question = {row: told[number] for number, row in enumerate(fitting)}
    pairs = [(by_question.get(row), by_question.get(row + 1)) for row in range(0, len(asked), 2)]
    found = [Found(_place(forward), _place(backward)) for forward, backward in pairs]
    winners = [None if first is None or second is None else _said(first - second) for first, second in pairs]
    return Opinion(shares_won(rows, compared, winners), {"comparisons": statistics(compared, found)})


def _place(odds: float | None) -> Place | Rejected:
    return Rejected(TOO_LONG) if odds is None else _said(odds)


def _said(odds: float) -> Place:
    """log p(first) - log p(second) as a verdict."""
    return "first" if odds > 0 else "second" if odds < 0 else "neither"
