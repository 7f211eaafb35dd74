"""Hold all code that uses interfaces which PyTorch and TransformerLens do not document.

A new version of a library may change them without notice. Each use has a plain way beside it, which gives the same
values: where TransformerLens's methods are not those that were known here, a model keeps the library's attention; where
a tensor does not count its writes, a replay memory keeps the logits. The norms change a module's class, and nothing of
what the module holds. `tests/project/test_private_interfaces.py` fails when an interface changes.
"""

import inspect
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from transformer_lens.model_bridge import TransformerBridge
from transformer_lens.model_bridge.generalized_components import JointQKVAttentionBridge, NormalizationBridge

from rlhf_course.rl.fused import scaled_dot_product_attention

# The methods of TransformerLens that `FusedAttention` replaces or calls, with the names of their parameters.
_ATTENTION_METHODS = {
    "_reconstruct_attention": "q k v kwargs",
    "_reshape_qkv_to_heads": "q k v num_heads num_kv_heads",
    "_update_kv_cache": "k v kwargs",
    "_reshape_attn_output": "attn_output batch_size seq_len num_heads head_dim",
    "_apply_output_projection": "attn_output",
}


def attention_is_known() -> bool:
    """Return whether TransformerLens's attention has the private methods that `FusedAttention` was written for."""
    return all(
        list(inspect.signature(getattr(JointQKVAttentionBridge, name, bool)).parameters) == ["self", *names.split()]
        for name, names in _ATTENTION_METHODS.items()
    )


class FusedAttention(JointQKVAttentionBridge):
    """GPT-2's attention by a fused kernel, unless a hook reads the attention scores or pattern."""

    def _reconstruct_attention(self, q: Tensor, k: Tensor, v: Tensor, **kwargs: Any) -> tuple[Tensor, Tensor | None]:
        if self._needs_pattern():
            return super()._reconstruct_attention(q, k, v, **kwargs)
        config: Any = self.config
        heads = config.n_heads
        q, k, v, batch, seq, d_head = self._reshape_qkv_to_heads(q, k, v, heads, heads)
        k, v = self._update_kv_cache(k, v, **kwargs)
        mask = kwargs.get("attention_mask")
        if mask is not None:
            mask = mask[..., -seq:, : k.shape[-2]]
        # Without a mask, several queries are a prompt from position 0 on, which is causal. A single query attends to
        # all cached keys.
        output = scaled_dot_product_attention(q, k, v, mask, is_causal=mask is None and seq > 1)
        output = self._reshape_attn_output(output, batch, seq, heads, d_head)
        return self._apply_output_projection(output), None

    def _needs_pattern(self) -> bool:
        """Return whether a hook or an option needs scores or pattern, which the fused kernel does not return."""
        config: Any = self.config
        return (
            self.hook_attn_scores.has_hooks()
            or self.hook_pattern.has_hooks()
            or self.compatibility_mode
            or bool(getattr(config, "use_attn_result", False))
            or bool(getattr(config, "scale_attn_by_inverse_layer_idx", False))
            or bool(getattr(self, "_reorder_and_upcast_attn", False))
        )


class FusedNorm(NormalizationBridge):
    """Layer normalisation by PyTorch's own kernel, unless a hook reads the normalised stream or its scale."""

    def forward(self, hidden_states: Tensor, **kwargs: Any) -> Tensor:
        """Return the normalised stream, scaled and shifted."""
        folded = bool(getattr(self.config, "layer_norm_folding", False))
        if folded or self.hook_scale.has_hooks() or self.hook_normalized.has_hooks():
            return super().forward(hidden_states, **kwargs)
        layer_norm: Any = self.original_component
        return self.hook_out(layer_norm(self.hook_in(hidden_states)))


def fuse_norms(bridge: TransformerBridge) -> None:
    """Make a model's layer norms run by PyTorch's kernel.

    The last norm stays as it is: the value head reads its normalised stream, and logits should not depend on whether
    there is a value head.
    """
    last_norm = getattr(bridge, "ln_final", None)
    for module in bridge.modules():
        if (
            type(module) is NormalizationBridge
            and module is not last_norm
            and type(module.original_component) is nn.LayerNorm
        ):
            module.__class__ = FusedNorm


def fuse_attention(bridge: TransformerBridge) -> None:
    """Make GPT-2's attention run by a fused kernel, where the library's private methods are known."""
    attentions = [module for module in bridge.modules() if type(module) is JointQKVAttentionBridge]
    if not attentions or not attention_is_known():
        return
    for module in attentions:
        module.__class__ = FusedAttention
    transformer: Any = bridge.original_model
    # With "sdpa" Transformers makes no mask where every position is a token: the kernels are causal by themselves.
    transformer.set_attn_implementation("sdpa")


@dataclass
class TensorContent:
    """The content of a tensor, which is recognised later without keeping the tensor's memory alive.

    Attributes:
        storage: A weak reference to the memory.
        writes: How often it had been written to.
        shape: The tensor's shape.
    """

    storage: StorageWeakRef
    writes: int
    shape: torch.Size

    @classmethod
    def of(cls, tensor: Tensor) -> Self | None:
        """Return a tensor's content, or None where its writes are not counted, as in inference mode."""
        writes = None if tensor.is_inference() else getattr(tensor, "_version", None)
        return None if writes is None else cls(StorageWeakRef(tensor.untyped_storage()), writes, tensor.shape)

    def is_all_of(self, tensor: Tensor) -> bool:
        """Return whether a tensor has this content, whole, in this order, and unchanged since."""
        other = TensorContent.of(tensor)
        return (
            other is not None
            and not self.storage.expired()
            and other.storage.cdata == self.storage.cdata
            and (other.writes, other.shape) == (self.writes, self.shape)
            and tensor.is_contiguous()
            and tensor.storage_offset() == 0
        )
