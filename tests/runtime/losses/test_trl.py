"""Losses and their gradients in a model's weights against TRL's trainers: another implementation, on the same batch."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor

from compiler.schema.losses import Loss
from runtime import losses
from runtime.losses.bradley_terry import bradley_terry, with_margin
from runtime.losses.preference import PreferenceLogprobs
from runtime.losses.sft import answer_only

os.environ.setdefault("HF_HUB_OFFLINE", "1")
pytest.importorskip("trl", reason="trl is not installed")
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")

_PROMPTS = [[5, 6, 7], [8, 9], [10, 11, 12, 13]]
_CHOSEN = [[20, 21, 1], [22, 1], [23, 24, 25, 1]]
_REJECTED = [[30, 1], [31, 32, 33, 34, 1], [35, 36, 1]]
_ROWS = [
    {"prompt_ids": prompt, "chosen_ids": chosen, "rejected_ids": rejected}
    for prompt, chosen, rejected in zip(_PROMPTS, _CHOSEN, _REJECTED, strict=True)
]


def _llama(seed: int, *, scores: bool = False) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=40,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        # Large weights: answers must differ for losses to.
        initializer_range=0.3,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=None,
        num_labels=1,
    )
    return (LlamaForSequenceClassification if scores else LlamaForCausalLM)(config).eval()


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = {"<pad>": 0, "<end>": 1, "<unk>": 2}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="<unk>")), pad_token="<pad>", eos_token="<end>"
    )


def _options(folder: Path) -> dict[str, Any]:
    return {"output_dir": str(folder), "use_cpu": True, "bf16": False, "report_to": [], "gradient_checkpointing": False}


def _prepared(trainer_type: Any) -> Any:
    """A trainer whose rows are tokens already."""
    return type("Prepared", (trainer_type,), {"_prepare_dataset": lambda self, dataset, *args, **kwargs: dataset})


def _logprobs(model: Any, prompts: list[list[int]], answers: list[list[int]]) -> Tensor:
    """log p of each answer, end token included, one row after another: no padding."""
    found = []
    for prompt, answer in zip(prompts, answers, strict=True):
        ids = torch.tensor([[*prompt, *answer]])
        logprobs_LV = model(input_ids=ids).logits[0, :-1].log_softmax(-1)
        found.append(logprobs_LV.gather(1, ids[0, 1:, None])[len(prompt) - 1 :].sum())
    return torch.stack(found)


def _gradients(model: Any, loss: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}


def _agree(model: Any, ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    mine, other = _gradients(model, ours), _gradients(model, theirs)
    assert set(mine) == set(other)
    assert max(gradient.abs().max().item() for gradient in mine.values()) > 1e-3
    for name, gradient in mine.items():
        torch.testing.assert_close(gradient, other[name], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("spec", "options"),
    [
        ({"kind": "dpo", "sft_weight": 0.0}, {"loss_type": ["sigmoid"]}),
        ({"kind": "ipo", "sft_weight": 0.0, "average_log_probs": True}, {"loss_type": ["ipo"]}),
    ],
    ids=["dpo", "ipo"],
)
def test_preference_losses_and_gradients_are_trls(
    spec: dict[str, Any], options: dict[str, Any], tmp_path: Path
) -> None:
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    policy, reference, beta = _llama(1), _llama(2), 0.3
    trainer = _prepared(DPOTrainer)(
        model=policy,
        ref_model=reference,
        args=DPOConfig(**_options(tmp_path), beta=beta, max_length=None, **options),
        train_dataset=Dataset.from_list(_ROWS),
        processing_class=_tokenizer(),
    )
    theirs = trainer.compute_loss(policy, trainer.data_collator([dict(row) for row in _ROWS]))
    with torch.no_grad():
        before = [_logprobs(reference, _PROMPTS, answers) for answers in (_CHOSEN, _REJECTED)]
    lengths = [torch.tensor([float(len(answer)) for answer in answers]) for answers in (_CHOSEN, _REJECTED)]
    nothing = torch.zeros(len(_ROWS))
    pairs = PreferenceLogprobs(
        _logprobs(policy, _PROMPTS, _CHOSEN),
        _logprobs(policy, _PROMPTS, _REJECTED),
        *before,
        nothing,
        nothing,
        *lengths,
    )
    record = TypeAdapter(Loss).validate_python({"beta": beta, "sft_average": False, **spec})
    found = losses.find(record.kind)(record, pairs)
    _agree(policy, found.loss_sum / found.weight, theirs)


def test_answers_and_their_gradients_are_those_of_trls_sft(tmp_path: Path) -> None:
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    policy = _llama(1)
    rows = [
        {"input_ids": [*prompt, *answer], "completion_mask": [0] * len(prompt) + [1] * len(answer)}
        for prompt, answer in zip(_PROMPTS, _CHOSEN, strict=True)
    ]
    trainer = SFTTrainer(
        model=policy,
        args=SFTConfig(**_options(tmp_path), max_length=None, completion_only_loss=True),
        train_dataset=Dataset.from_list(rows),
        processing_class=_tokenizer(),
    )
    theirs = trainer.compute_loss(policy, trainer.data_collator(list(trainer.train_dataset)))
    lengths = torch.tensor([float(len(answer)) for answer in _CHOSEN])
    _agree(policy, answer_only(_logprobs(policy, _PROMPTS, _CHOSEN), lengths), theirs)


@pytest.mark.parametrize("margins", [None, [1.0, 0.0, 2.5]], ids=["plain", "margin"])
def test_reward_losses_and_gradients_are_trls(margins: list[float] | None, tmp_path: Path) -> None:
    from datasets import Dataset
    from trl import RewardConfig, RewardTrainer

    model = _llama(1, scores=True)
    rows: list[dict[str, Any]] = [
        {
            "chosen_ids": [*row["prompt_ids"], *row["chosen_ids"]],
            "rejected_ids": [*row["prompt_ids"], *row["rejected_ids"]],
        }
        for row in _ROWS
    ]
    if margins:
        rows = [{**row, "margin": margin} for row, margin in zip(rows, margins, strict=True)]
    trainer = _prepared(RewardTrainer)(
        model=model,
        args=RewardConfig(**_options(tmp_path), max_length=None, disable_dropout=True),
        train_dataset=Dataset.from_list(rows),
        processing_class=_tokenizer(),
    )
    theirs = trainer.compute_loss(model, trainer.data_collator([dict(row) for row in rows]))
    chosen_B, rejected_B = (
        torch.stack([model(input_ids=torch.tensor([row[name]])).logits[0, 0] for row in rows])
        for name in ("chosen_ids", "rejected_ids")
    )
    loss_B = (
        with_margin(chosen_B, rejected_B, torch.tensor(margins)) if margins else bradley_terry(chosen_B, rejected_B)
    )
    _agree(model, loss_B.mean(), theirs)
