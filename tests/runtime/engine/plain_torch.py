"""The same model written by hand in plain torch, with nothing of Megatron: what parity tests and the benchmark compare
with. Shapes: B rows, L tokens, H hidden, N heads, G key/value groups, D channels of a head, V vocabulary."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from compiler.schema.model import ModelSpec


class PlainNorm(nn.Module):
    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.kind, self.epsilon = spec.normalization, spec.norm_epsilon
        self.weight = nn.Parameter(torch.ones(spec.hidden_size))
        self.bias = None if self.kind == "rmsnorm" else nn.Parameter(torch.zeros(spec.hidden_size))

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "rmsnorm":
            return functional.rms_norm(x, self.weight.shape, self.weight, self.epsilon)
        scale = self.weight + 1 if self.kind == "layernorm1p" else self.weight
        return functional.layer_norm(x, scale.shape, scale, self.bias, self.epsilon)


class PlainLayer(nn.Module):
    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        self.heads, self.groups, self.head_dim = spec.num_attention_heads, spec.num_query_groups, spec.head_dim
        gated = 2 if spec.activation == "swiglu" else 1
        self.attention_norm, self.feed_forward_norm = PlainNorm(spec), PlainNorm(spec)
        self.query = nn.Linear(spec.hidden_size, self.heads * self.head_dim, bias=spec.linear_bias)
        self.key = nn.Linear(spec.hidden_size, self.groups * self.head_dim, bias=spec.linear_bias)
        self.value = nn.Linear(spec.hidden_size, self.groups * self.head_dim, bias=spec.linear_bias)
        self.out = nn.Linear(self.heads * self.head_dim, spec.hidden_size, bias=spec.linear_bias)
        self.up = nn.Linear(spec.hidden_size, gated * spec.ffn_hidden_size, bias=spec.linear_bias)
        self.down = nn.Linear(spec.ffn_hidden_size, spec.hidden_size, bias=spec.linear_bias)

    def forward(self, x_BLH: Tensor, cos_LD: Tensor, sin_LD: Tensor) -> Tensor:
        rows, length, _ = x_BLH.shape
        h = self.attention_norm(x_BLH)
        q = self.query(h).view(rows, length, self.heads, self.head_dim).transpose(1, 2)
        k = self.key(h).view(rows, length, self.groups, self.head_dim).transpose(1, 2)
        v = self.value(h).view(rows, length, self.groups, self.head_dim).transpose(1, 2)
        q, k = rotate(q, cos_LD, sin_LD), rotate(k, cos_LD, sin_LD)
        context = functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        x_BLH = x_BLH + self.out(context.transpose(1, 2).reshape(rows, length, -1))
        h = self.up(self.feed_forward_norm(x_BLH))
        return x_BLH + self.down(self.activate(h))

    def activate(self, h: Tensor) -> Tensor:
        if self.spec.activation == "swiglu":
            gate, up = h.chunk(2, dim=-1)
            return functional.silu(gate) * up
        if self.spec.activation == "gelu":
            return functional.gelu(h)
        return functional.relu(h).square()


def rotate(x: Tensor, cos_LD: Tensor, sin_LD: Tensor) -> Tensor:
    """RoPE on the first channels, those that cos and sin have."""
    turned, kept = x[..., : cos_LD.shape[-1]], x[..., cos_LD.shape[-1] :]
    one, other = turned.chunk(2, dim=-1)
    return torch.cat((turned * cos_LD + torch.cat((-other, one), dim=-1) * sin_LD, kept), dim=-1)


class PlainModel(nn.Module):
    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        self.embedding = nn.Embedding(spec.vocab_size, spec.hidden_size)
        self.layers = nn.ModuleList(PlainLayer(spec) for _ in range(spec.num_layers))
        self.norm = PlainNorm(spec)
        self.head = None if spec.tie_embeddings else nn.Linear(spec.hidden_size, spec.vocab_size, bias=False)
        turned = int(spec.head_dim * spec.rotary_percent)
        frequencies = 1.0 / spec.rotary_base ** (torch.arange(0, turned, 2).float() / turned)
        angles = torch.outer(torch.arange(spec.seq_length).float(), frequencies).repeat(1, 2)
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())

    def forward(self, tokens_BL: Tensor) -> Tensor:
        x = self.embedding(tokens_BL)
        length = tokens_BL.shape[1]
        cos, sin = self.cos[:length].to(x.dtype), self.sin[:length].to(x.dtype)
        for layer in self.layers:
            x = layer(x, cos, sin)
        return functional.linear(self.norm(x), self.embedding.weight if self.head is None else self.head.weight)

    def logprobs(self, tokens_BL: Tensor, labels_BL: Tensor) -> Tensor:
        logits = self(tokens_BL).float()
        losses = functional.cross_entropy(logits.flatten(0, 1), labels_BL.flatten(), reduction="none")
        return -losses.view(labels_BL.shape)


def from_megatron(spec: ModelSpec, weights: Mapping[str, Tensor]) -> PlainModel:
    """A plain model of Megatron's weights; its fused query-key-value rows are grouped: [q .. q k v] by group."""
    model = PlainModel(spec)
    state = {name: _named(spec, weights, name) for name in dict(model.named_parameters())}
    model.load_state_dict(state, strict=False)
    return model


def gradients_by_megatron_name(model: PlainModel) -> dict[str, Tensor]:
    """The plain model's gradients, fused and named as Megatron's."""
    spec, grads = model.spec, {name: parameter.grad for name, parameter in model.named_parameters()}
    found = {"embedding.word_embeddings.weight": grads["embedding.weight"]}
    if not spec.tie_embeddings:
        found["output_layer.weight"] = grads["head.weight"]
    for kind in ("weight", "bias"):
        if (gradient := grads.get(f"norm.{kind}")) is not None:
            found[f"decoder.final_layernorm.{kind}"] = gradient
        for number in range(spec.num_layers):
            ours, theirs = f"layers.{number}", f"decoder.layers.{number}"
            for one, other in _SAME.items():
                if (gradient := grads.get(f"{ours}.{one}.{kind}")) is not None:
                    found[f"{theirs}.{other}.{kind}"] = gradient
            if (query := grads.get(f"{ours}.query.{kind}")) is not None:
                parts = [
                    part.view(spec.num_query_groups, -1, *part.shape[1:])
                    for part in (query, grads[f"{ours}.key.{kind}"], grads[f"{ours}.value.{kind}"])
                ]
                found[f"{theirs}.self_attention.linear_qkv.{kind}"] = torch.cat(parts, dim=1).flatten(0, 1)
    return found


_SAME = {
    "attention_norm": "input_layernorm",
    "feed_forward_norm": "pre_mlp_layernorm",
    "out": "self_attention.linear_proj",
    "up": "mlp.linear_fc1",
    "down": "mlp.linear_fc2",
}


def _named(spec: ModelSpec, weights: Mapping[str, Tensor], name: str) -> Tensor:
    if name == "embedding.weight":
        return weights["embedding.word_embeddings.weight"]
    if name == "head.weight":
        return weights["output_layer.weight"]
    if name.startswith("norm."):
        return weights["decoder.final_layernorm." + name.removeprefix("norm.")]
    _, number, part, kind = name.split(".")
    layer = f"decoder.layers.{number}"
    if part in _SAME:
        return weights[f"{layer}.{_SAME[part]}.{kind}"]
    fused = weights[f"{layer}.self_attention.linear_qkv.{kind}"]
    per_group = spec.num_attention_heads // spec.num_query_groups * spec.head_dim
    grouped = fused.view(spec.num_query_groups, -1, *fused.shape[1:])
    query, key, value = grouped.split([per_group, spec.head_dim, spec.head_dim], dim=1)
    return {"query": query, "key": key, "value": value}[part].flatten(0, 1)


class PlainTraining:
    """The loop that one writes by hand: AdamW, no decay on vectors, gradients clipped."""

    def __init__(
        self,
        model: PlainModel,
        *,
        learning_rate: float,
        weight_decay: float,
        betas: tuple[float, float],
        epsilon: float,
        clip: float,
    ) -> None:
        self.model, self.clip = model, clip
        decayed = [parameter for parameter in model.parameters() if parameter.dim() > 1]
        others = [parameter for parameter in model.parameters() if parameter.dim() <= 1]
        groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=learning_rate, betas=betas, eps=epsilon, fused=True)

    def step(self, micro_batches: Sequence[tuple[Tensor, Tensor, Tensor]]) -> float:
        """(tokens, labels, mask) each; returns the loss."""
        self.optimizer.zero_grad()
        weight = sum(float(mask.sum()) for _, _, mask in micro_batches)
        total = 0.0
        for tokens, labels, mask in micro_batches:
            loss = -(self.model.logprobs(tokens, labels) * mask).sum() / weight
            loss.backward()
            total += float(loss.detach())
        if self.clip:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
        self.optimizer.step()
        return total
