import pytest

from compiler.planning.parameters import count_parameters
from compiler.schema.model import ModelSpec

_NEMOTRON = {
    "seq_length": 4096,
    "vocab_size": 256_000,
    "activation": "squared_relu",
    "normalization": "layernorm1p",
    "norm_epsilon": 1e-5,
    "rotary_percent": 0.5,
    "rotary_base": 10_000,
    "linear_bias": False,
    "tie_embeddings": False,
    "init_std": 0.0063,
}


def nemotron(layers: int, hidden: int, ffn: int, heads: int, groups: int) -> ModelSpec:
    return ModelSpec(
        num_layers=layers,
        hidden_size=hidden,
        ffn_hidden_size=ffn,
        num_attention_heads=heads,
        num_query_groups=groups,
        **_NEMOTRON,
    )


@pytest.mark.parametrize(
    ("model", "embedding", "non_embedding"),
    [
        (nemotron(96, 18432, 73728, 96, 8), 9_437_184_000, 331_592_011_776),
        (nemotron(32, 6144, 24576, 48, 8), 3_145_728_000, 12_483_047_424),
        (nemotron(40, 6144, 24576, 48, 48), 3_145_728_000, 18_120_388_608),
    ],
    ids=["340B", "15B", "22B"],
)
def test_published_shapes_have_their_published_counts(model: ModelSpec, embedding: int, non_embedding: int) -> None:
    parameters = count_parameters(model)
    assert (parameters.embedding, parameters.non_embedding) == (embedding, non_embedding)


def test_flops_of_340b_are_those_of_the_reports_formula() -> None:
    # nemotron4-facts 3.5: 2304 sequences of 4096 tokens are 19.863e18 FLOPs by the formula that counts attention whole.
    tokens = 2304 * 4096
    flops = nemotron(96, 18432, 73728, 96, 8).training_flops(tokens, 4096)
    assert flops == pytest.approx(19.863e18, rel=1e-4)


def test_tied_embeddings_are_counted_once() -> None:
    model = nemotron(2, 64, 256, 4, 2)
    tied = model.model_copy(update={"tie_embeddings": True})
    assert count_parameters(model).embedding == 2 * count_parameters(tied).embedding
