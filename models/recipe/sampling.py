"""Sampling from the small Llama on a CPU, many prompts at once.

The recipe measures its own result, so it samples some ten thousand responses. Done with plain
matrix products on a cache of fixed size that takes a few minutes; the services use a real engine.

Shape suffixes: B = sequences, T = cache slots, H = heads, D = head size, E = hidden size,
V = vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import LlamaForCausalLM


@dataclass(frozen=True, slots=True)
class Sampled:
    """One sampled response."""

    tokens: list[int]
    """Ids without the end-of-sequence token."""

    finished: bool
    """Whether the model ended it, instead of the limit."""


@dataclass(slots=True)
class _Cache:
    """Keys and values of the sequences in flight, and where each of them starts."""

    keys: list[Tensor]
    """Per layer, shape BHTD."""

    values: list[Tensor]
    """Per layer, shape BHTD."""

    starts: Tensor
    """Slot of the first token of each sequence, shape B."""

    def keep(self, rows: Tensor) -> None:
        """Go on with these sequences alone."""
        self.keys = [keys[rows] for keys in self.keys]
        self.values = [values[rows] for values in self.values]
        self.starts = self.starts[rows]


class Sampler:
    """Samples at temperature 1 (or greedily) from a Llama without grouped queries."""

    def __init__(self, model: LlamaForCausalLM, *, eos_id: int, pad_id: int) -> None:
        config = model.config
        # Typed loosely: torch says of a list of layers only that its items are modules.
        self._model: Any = model.model
        self._heads = config.num_attention_heads
        self._eps = config.rms_norm_eps
        self._eos_id = eos_id
        self._pad_id = pad_id
        self._qkv = [
            torch.cat([layer.self_attn.q_proj.weight, layer.self_attn.k_proj.weight,
                       layer.self_attn.v_proj.weight])
            for layer in self._model.layers
        ]  # fmt: skip
        self._gate_up = [
            torch.cat([layer.mlp.gate_proj.weight, layer.mlp.up_proj.weight])
            for layer in self._model.layers
        ]

    @torch.no_grad()
    def sample(
        self,
        prompts: Sequence[list[int]],
        *,
        max_tokens: int,
        seed: int,
        greedy: bool = False,
        batch: int = 192,
    ) -> list[Sampled]:
        """One response per prompt, in the order of the prompts.

        The same prompts and seed give the same responses; another batch size gives others.
        """
        generator = torch.Generator().manual_seed(seed)
        order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
        results: dict[int, Sampled] = {}
        for start in range(0, len(order), batch):
            chosen = order[start : start + batch]
            responses = self._sample_batch(
                [prompts[index] for index in chosen], max_tokens, generator, greedy=greedy
            )
            results.update(zip(chosen, responses, strict=True))
        return [results[index] for index in range(len(prompts))]

    def _sample_batch(
        self, prompts: list[list[int]], max_tokens: int, generator: torch.Generator, *, greedy: bool
    ) -> list[Sampled]:
        longest = max(map(len, prompts))
        tokens_BT = torch.full((len(prompts), longest), self._pad_id)
        for row, prompt in enumerate(prompts):
            tokens_BT[row, longest - len(prompt) :] = torch.tensor(prompt)
        cache = self._new_cache(prompts, longest + max_tokens)
        logits_BV = self._forward(tokens_BT, 0, cache)
        responses: list[list[int]] = [[] for _ in prompts]
        finished = [False] * len(prompts)
        active = list(range(len(prompts)))
        for step in range(max_tokens):
            if greedy:
                next_B = logits_BV.argmax(-1)
            else:
                probabilities_BV = logits_BV.softmax(-1)
                next_B = torch.multinomial(probabilities_BV, 1, generator=generator)[:, 0]
            for row, token in zip(active, next_B.tolist(), strict=True):
                if token == self._eos_id:
                    finished[row] = True
                else:
                    responses[row].append(token)
            kept = [index for index, row in enumerate(active) if not finished[row]]
            if not kept or step == max_tokens - 1:
                break
            if len(kept) < len(active):
                rows = torch.tensor(kept)
                cache.keep(rows)
                next_B = next_B[rows]
                active = [active[index] for index in kept]
            logits_BV = self._forward(next_B[:, None], longest + step, cache)
        return [Sampled(ids, done) for ids, done in zip(responses, finished, strict=True)]

    def _new_cache(self, prompts: list[list[int]], slots: int) -> _Cache:
        head_size = self._model.config.hidden_size // self._heads
        shape = (len(prompts), self._heads, slots, head_size)
        layers = len(self._model.layers)
        longest = max(map(len, prompts))
        return _Cache(
            keys=[torch.zeros(shape) for _ in range(layers)],
            values=[torch.zeros(shape) for _ in range(layers)],
            starts=torch.tensor([longest - len(prompt) for prompt in prompts]),
        )

    def _forward(self, tokens_BT: Tensor, begin: int, cache: _Cache) -> Tensor:
        """Logits of the last token, after writing the tokens to slots `begin` onwards."""
        length = tokens_BT.shape[1]
        end = begin + length
        slots_T = torch.arange(begin, end)
        positions_BT = (slots_T - cache.starts[:, None]).clamp(min=0)
        hidden_BTE = self._model.embed_tokens(tokens_BT)
        cos, sin = self._model.rotary_emb(hidden_BTE, positions_BT)
        visible = torch.arange(end) <= slots_T[:, None]
        # A padding slot sees itself, or its softmax would have nothing to sum over.
        own = torch.arange(end) == slots_T[:, None]
        seen_BT = torch.arange(end) >= cache.starts[:, None]
        mask_BHTT = (visible & seen_BT[:, None, :] | own)[:, None]
        for index, layer in enumerate(self._model.layers):
            normed = self._norm(hidden_BTE, layer.input_layernorm.weight)
            query, key, value = (
                part.unflatten(-1, (self._heads, -1)).transpose(1, 2)
                for part in functional.linear(normed, self._qkv[index]).chunk(3, -1)
            )
            cache.keys[index][:, :, begin:end] = _rotated(key, cos, sin)
            cache.values[index][:, :, begin:end] = value
            mixed = functional.scaled_dot_product_attention(
                _rotated(query, cos, sin),
                cache.keys[index][:, :, :end],
                cache.values[index][:, :, :end],
                attn_mask=mask_BHTT,
            )
            mixed = mixed.transpose(1, 2).flatten(2)
            hidden_BTE = hidden_BTE + layer.self_attn.o_proj(mixed)
            normed = self._norm(hidden_BTE, layer.post_attention_layernorm.weight)
            gate, up = functional.linear(normed, self._gate_up[index]).chunk(2, -1)
            hidden_BTE = hidden_BTE + layer.mlp.down_proj(functional.silu(gate) * up)
        last_BE = self._norm(hidden_BTE[:, -1], self._model.norm.weight)
        return functional.linear(last_BE, self._model.embed_tokens.weight)

    def _norm(self, hidden: Tensor, weight: Tensor) -> Tensor:
        return functional.rms_norm(hidden, hidden.shape[-1:], weight, self._eps)


def _rotated(heads_BHTD: Tensor, cos_BTD: Tensor, sin_BTD: Tensor) -> Tensor:
    """Rotary position embedding, in the halves layout of Llama."""
    left, right = heads_BHTD.chunk(2, -1)
    turned = torch.cat((-right, left), -1)
    return heads_BHTD * cos_BTD[:, None] + turned * sin_BTD[:, None]
