"""The engine: the only door to Megatron-core. Stages say what to train or generate; nothing of Megatron leaks out.

Importing this package makes Megatron importable on a machine without a GPU (`cpu.py`). How a stage uses it:

    from runtime.engine import checkpoint, model, parallel
    from runtime.engine.batch import Batch, collate
    from runtime.engine.keeping import Checkpointing
    from runtime.engine.loop import train
    from runtime.engine.objective import LossOutput, next_token

    with parallel.start(layout, rank=rank, world_size=world_size, rendezvous=path, seed=seed) as world:
        policy = model.build(spec, layout, precision, seed=seed)      # the same weights whatever the layout
        checkpoint.load_weights(policy, folder)                       # written by any layout; a reward model starts
                                                                      # from a policy by load_weights(body_only=True)
        def micro_batches(step: int) -> list[Batch]:                  # this data-parallel rank's: world.dp_rank
            return [collate(rows, masks) for rows, masks in mine(step)]

        def objective(logprobs_BL, batch):                            # [B, L] log p(label); values [B, K] with
            loss = -(logprobs_BL * batch.loss_mask_BL).sum()          # model.build(..., head=model.Regression(K)) and
            return LossOutput(loss, weight=batch.loss_mask_BL.sum())  # batches of collate_whole; this one is next_token

        train(policy, optimizer_record, num_steps=n, learning_rate=lambda step: rate.at(step, n),
              micro_batches=micro_batches, objective=objective,
              checkpointing=Checkpointing(scratch / "training", every=100), on_step=journal)
        checkpoint.save_weights(policy, out)                          # the folder appears when it is whole

Killed at any moment and called again with the same arguments, `train` resumes and ends with the same bits.

    from runtime.engine.generate import generate
    for row in generate(policy, prompts, max_new_tokens=25, end_id=end, temperature=1.0, top_p=0.9,
                        uniforms=lambda row: generator_of(row).random(25), batch_size=256, done=finished_rows):
        ledger.append(row.index, row.token_ids, row.logprob, row.finished)

    from runtime.engine.logprobs import sequence_logprobs, values     # forward only: a reference, a reward model
    from runtime.engine.data import Source, pretraining_samples, write_shards

Checkpoint folders, ranks and files: what one rank writes once is written by `world.is_main`; all functions named
above are called on every rank.
"""

import warnings

from runtime.engine import cpu

# Megatron warns at every start that what is missing on a CPU is missing, and at every layer that its own callers
# leave out arguments; torch, at every save, that Megatron describes tensors in the older way. A user can do nothing
# about any of it.
warnings.filterwarnings("ignore", module=r"megatron\.core")
warnings.filterwarnings("ignore", message="Please use DTensor instead", category=FutureWarning)
cpu.install()
