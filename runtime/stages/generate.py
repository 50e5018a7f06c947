"""generate: a policy answers prompts; finished answers stand in a ledger, so that a kill loses and repeats none."""

from compiler.artifacts import PromptRow, ResponseRow
from compiler.schema.model import Precision
from compiler.stages.generate import Generate
from runtime.answers import Question, answer, gathered
from runtime.context import Context, Facts
from runtime.engine.parallel import start
from runtime.policy import TOKENIZER, open_policy
from runtime.rows import read_rows, write_rows
from runtime.tokenizer import ChatTokenizer


def run(stage: Generate, ctx: Context) -> Facts | None:
    """Samples the answers; facts: rows, prompts, tokens, share cut off by the length limit. A shard samples its share,
    and has no facts until all shares are gathered."""
    policy = ctx.input(stage.policies[0])
    tokenizer = ChatTokenizer.load(policy / TOKENIZER)
    prompts = list(read_rows(ctx.input(stage.prompts), PromptRow))
    questions = [
        Question(f"{prompt.id}-{sample}", tuple(tokenizer.encode_prompt(prompt.messages)))
        for prompt in prompts
        for sample in range(stage.samples)
    ]
    if not ctx.gathers:
        with start(
            ctx.placement.layout, rank=ctx.rank, world_size=ctx.world_size, rendezvous=ctx.rendezvous, seed=stage.seed
        ):
            model = open_policy(policy, ctx.placement.layout, Precision(dtype="fp32"))
            answer(model, questions, stage.sampling, end_id=tokenizer.end_id, seed=stage.seed, ctx=ctx)
    answers = gathered(questions, ctx) if ctx.gathers or ctx.shard is None else None
    if answers is None:
        return None
    rows = []
    for number, question in enumerate(questions):
        prompt, found = prompts[number // stage.samples], answers[question.id]
        rows.append(
            ResponseRow(
                id=question.id,
                prompt_id=prompt.id,
                family=prompt.family,
                messages=prompt.messages,
                response=tokenizer.decode(found.token_ids),
                response_ids=found.token_ids,
                finished=found.finished,
                logprob=found.logprob,
                check=prompt.check,
            )
        )
    if ctx.rank == 0:
        write_rows(ctx.output, rows)
    cut_off = sum(not row.finished for row in rows)
    return {
        "rows": len(rows),
        "prompts": len(prompts),
        "tokens": sum(len(row.response_ids) for row in rows),
        "cut_off": cut_off,
        "waterfall": [{"name": "generated", "rows": len(rows)}],
    }
