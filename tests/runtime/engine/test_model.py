from dataclasses import replace

import pytest
import torch
from engine_cases import BF16, LLAMA, NEMOTRON, SPECS, make, perturb, token_rows, weights
from plain_torch import from_megatron, gradients_by_megatron_name

from compiler.schema.model import Layout
from runtime.engine.attention import _folded, _fused, document_mask
from runtime.engine.batch import collate, collate_whole
from runtime.engine.logprobs import batch_logprobs, sequence_logprobs, values
from runtime.engine.model import Regression, build, num_parameters


@pytest.mark.parametrize("name", SPECS)
def test_logits_and_gradients_are_those_of_a_plain_torch_model(name: str) -> None:
    spec = SPECS[name]
    model = perturb(make(spec))
    (chunk,) = model.chunks
    plain = from_megatron(spec, weights(model))
    tokens, mask = token_rows(0, spec=spec)
    inputs, labels = tokens[:, :-1], tokens[:, 1:]

    assert torch.allclose(chunk(inputs, None, None), plain(inputs), atol=2e-5, rtol=1e-4)

    ours = chunk(inputs, None, None, labels=labels)
    theirs = plain.logprobs(inputs, labels)
    assert torch.allclose(ours, theirs, atol=2e-5, rtol=1e-4)
    (ours * mask).sum().backward()
    (theirs * mask).sum().backward()
    expected = gradients_by_megatron_name(plain)
    found = {name: parameter.grad for name, parameter in chunk.named_parameters()}
    assert found.keys() == expected.keys()
    for parameter, gradient in expected.items():
        assert (found[parameter] - gradient).abs().max() <= 1e-4 * gradient.abs().max(), parameter


def test_long_sequences_take_the_fused_attention_and_give_the_same() -> None:
    torch.manual_seed(0)
    query, key, value = (torch.randn(20, 3, heads, 8) for heads in (6, 2, 2))
    assert torch.allclose(_folded(query, key, value, None, None), _fused(query, key, value, None, None), atol=1e-5)
    last = query[-4:]
    assert torch.allclose(_folded(last, key, value, None, None), _fused(last, key, value, None, None), atol=1e-5)
    mask = torch.zeros(3, 1, 20, 20).masked_fill(torch.rand(3, 1, 20, 20) < 0.3, -1e30)
    assert torch.allclose(_folded(query, key, value, mask, None), _fused(query, key, value, mask, None), atol=1e-5)


def test_bf16_is_close_to_fp32() -> None:
    tokens, _ = token_rows(0)
    batch = collate(tokens.tolist())
    assert (batch_logprobs(make(), batch) - batch_logprobs(make(precision=BF16), batch)).abs().max() < 0.05


def test_weights_depend_on_seed_and_name_only() -> None:
    one, same, other = (weights(make(seed=seed)) for seed in (3, 3, 4))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["output_layer.weight"], other["output_layer.weight"])
    # Two layers draw different numbers, and scaled output projections are narrower.
    first, second = (one[f"decoder.layers.{number}.mlp.linear_fc2.weight"] for number in (0, 1))
    assert not torch.equal(first, second)
    assert first.std() == pytest.approx(NEMOTRON.init_std / 2, rel=0.05)  # 1 / sqrt(2 * 2 layers)
    assert one["decoder.layers.0.mlp.linear_fc1.weight"].std() == pytest.approx(NEMOTRON.init_std, rel=0.05)
    deeper = weights(make(NEMOTRON.model_copy(update={"vocab_size": 128})))
    assert torch.equal(deeper["decoder.layers.1.mlp.linear_fc1.weight"], one["decoder.layers.1.mlp.linear_fc1.weight"])


@pytest.mark.parametrize("name", SPECS)
def test_parameters_are_counted_without_memory(name: str) -> None:
    assert num_parameters(SPECS[name]) == sum(weight.numel() for weight in weights(make(SPECS[name])).values())


def test_nemotron_4_340b_has_its_published_number_of_parameters() -> None:
    spec = NEMOTRON.model_copy(
        update={
            "num_layers": 96,
            "hidden_size": 18432,
            "ffn_hidden_size": 73728,
            "num_attention_heads": 96,
            "num_query_groups": 8,
            "vocab_size": 256000,
            "seq_length": 4096,
        }
    )
    assert num_parameters(spec) == 341_029_195_776


def test_sequence_logprobs_sum_the_labels_that_count() -> None:
    rows = [[5, 6, 7, 8, 9], [10, 11, 12]]
    masks = [[0, 0, 1, 1, 1], [0, 1, 1]]
    model = make()
    plain = from_megatron(NEMOTRON, weights(model))
    found = sequence_logprobs(model, collate(rows, masks))
    for row, mask, total in zip(rows, masks, found.tolist(), strict=True):
        logprobs = plain.logprobs(torch.tensor([row[:-1]]), torch.tensor([row[1:]]))[0]
        expected = sum(float(logprob) for logprob, counts in zip(logprobs, mask[1:], strict=True) if counts)
        assert total == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("num_repeats", [1, 12])
def test_documents_in_one_row_do_not_see_each_other(num_repeats: int) -> None:
    """12 repeats are long enough for the fused attention."""
    documents = [[5, 6, 7, 8, 0], [10, 11, 0], [20, 21, 22, 23, 24, 25, 0]] * num_repeats
    spec = NEMOTRON.model_copy(update={"seq_length": 256})
    model = perturb(make(spec))
    joined = [token for document in documents for token in document]
    number = [place for place, document in enumerate(documents) for _ in document]
    packed = replace(collate([joined], multiple=1), documents_BL=torch.tensor([number[:-1]]))
    found = batch_logprobs(model, packed)[0]
    first = 0
    for document in documents:
        alone = batch_logprobs(model, collate([document], multiple=1))[0]
        assert torch.allclose(found[first : first + len(alone)], alone, atol=1e-4)
        first += len(document)

    loss = model.chunks[0](packed.tokens_BL, None, document_mask(packed.documents_BL, torch.float32)).sum()
    loss.backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.chunks[0].parameters())


def test_a_regression_head_reads_the_last_token_of_each_row() -> None:
    model = perturb(make(LLAMA, head=Regression(5)))
    rows = [[1, 2, 3, 4, 5, 6, 7, 8, 9], [4, 5], [7, 8, 9, 10, 11]]
    together = values(model, collate_whole(rows))
    assert together.shape == (3, 5)
    for row, alone in zip(rows, together, strict=True):
        assert torch.allclose(values(model, collate_whole([row], multiple=1))[0], alone, atol=1e-5)
    changed = values(model, collate_whole([[*rows[0][:-1], 10], *rows[1:]]))
    assert not torch.allclose(changed[0], together[0], atol=1e-3)


@pytest.mark.parametrize(
    ("change", "layout", "reason"),
    [
        ({"num_query_groups": 3}, Layout(), "query groups"),
        ({"hidden_size": 66}, Layout(), "hidden_size 66"),
        ({}, Layout(tp=4), "num_query_groups 2 is not a multiple of tp 4"),
        ({}, Layout(pp=4), "num_layers 2"),
    ],
)
def test_shapes_that_do_not_divide_are_refused(change: dict[str, int], layout: Layout, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        build(NEMOTRON.model_copy(update=change), layout, BF16, seed=1)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_the_logits_of_a_plain_torch_model() -> None:
    model = make()
    plain = from_megatron(NEMOTRON, {name: weight.cpu() for name, weight in weights(model).items()})
    tokens, _ = token_rows(0)
    found = model.chunks[0](tokens.cuda(), None, None).cpu()
    assert torch.allclose(found, plain(tokens), atol=1e-2)
