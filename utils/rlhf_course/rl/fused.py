"""Quicker ways to the same numbers, for what PyTorch has fused kernels for."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.optim import Adam, AdamW, Optimizer
from transformer_lens.model_bridge import TransformerBridge
from transformer_lens.model_bridge.generalized_components import JointQKVAttentionBridge, NormalizationBridge

from rlhf_course.rl.matmul import usual_products

# GPT-2's activation is the tanh form of GELU: eight elementwise operations under the first name, one kernel under the second.
_ACTIVATIONS = {"gelu_new": "gelu_pytorch_tanh"}


def fused_activation(config: Any) -> dict[str, str]:
    """Overrides of a Hugging Face configuration that name its activation's fused form, where it has one."""
    fields = ((field, config.to_dict().get(field)) for field in ("activation_function", "hidden_act"))
    return {field: _ACTIVATIONS[name] for field, name in fields if name in _ACTIVATIONS}


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, is_causal: bool) -> Tensor:
    """`scaled_dot_product_attention`; a mask says by True, or by 0, what is seen."""
    if q.device.type != "cpu":
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=is_causal)
    if mask is not None and mask.dtype == torch.bool:
        mask = torch.zeros_like(mask, dtype=q.dtype).masked_fill_(~mask, -torch.inf)
    return AttentionOnTheCPU.apply(q, k, v, mask, is_causal)


class AttentionOnTheCPU(torch.autograd.Function):
    """PyTorch's kernel with its gradient, both by the usual products: inside, it makes a tiny one for each head of each text."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, is_causal: bool) -> Tensor:
        with usual_products():
            output, scale = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
                q, k, v, 0.0, is_causal, attn_mask=mask
            )
        ctx.save_for_backward(q, k, v, output, scale)
        ctx.how = {"dropout_p": 0.0, "is_causal": is_causal, "attn_mask": mask}
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, to_output: Tensor) -> tuple[Tensor | None, ...]:
        with usual_products():
            kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
            return *kernel(to_output, *ctx.saved_tensors, **ctx.how), None, None


class FusedAttention(JointQKVAttentionBridge):
    """GPT-2's attention by `scaled_dot_product_attention`, unless a hook asks for scores or patterns."""

    def _reconstruct_attention(self, q: Tensor, k: Tensor, v: Tensor, **kwargs: Any) -> tuple[Tensor, Tensor | None]:
        if self._needs_the_pattern():
            return super()._reconstruct_attention(q, k, v, **kwargs)
        heads = self.config.n_heads
        q, k, v, batch, seq, d_head = self._reshape_qkv_to_heads(q, k, v, heads, heads)
        k, v = self._update_kv_cache(k, v, **kwargs)
        mask = kwargs.get("attention_mask")
        if mask is not None:
            mask = mask[..., -seq:, : k.shape[-2]]
        # Without a mask, several queries are a prompt that starts at position 0, and a single one sees all that came before.
        output = attend(q, k, v, mask, is_causal=mask is None and seq > 1)
        output = self._reshape_attn_output(output, batch, seq, heads, d_head)
        return self._apply_output_projection(output), None

    def _needs_the_pattern(self) -> bool:
        config = self.config
        return (
            self.hook_attn_scores.has_hooks()
            or self.hook_pattern.has_hooks()
            or self.compatibility_mode
            or bool(getattr(config, "use_attn_result", False))
            or bool(getattr(config, "scale_attn_by_inverse_layer_idx", False))
            or bool(getattr(self, "_reorder_and_upcast_attn", False))
        )


class FusedNorm(NormalizationBridge):
    """Layer normalisation by PyTorch's own kernel, unless a hook asks for the normalised stream or its scale."""

    def forward(self, hidden_states: Tensor, **kwargs: Any) -> Tensor:
        """The normalised stream, scaled and shifted."""
        folded = bool(getattr(self.config, "layer_norm_folding", False))
        if folded or self.hook_scale.has_hooks() or self.hook_normalized.has_hooks():
            return super().forward(hidden_states, **kwargs)
        return self.hook_out(self.original_component(self.hook_in(hidden_states)))


def fuse_kernels(bridge: TransformerBridge) -> None:
    """Let layer norms, and a GPT-2's attention, run by PyTorch's fused kernels; all else stays as it is.

    The last norm is left alone: the value head reads its normalised stream, and logits should not depend on whether it does.
    """
    last = getattr(bridge, "ln_final", None)
    for module in bridge.modules():
        if (
            type(module) is NormalizationBridge
            and module is not last
            and type(module.original_component) is nn.LayerNorm
        ):
            module.__class__ = FusedNorm
    attentions = [module for module in bridge.modules() if type(module) is JointQKVAttentionBridge]
    for module in attentions:
        module.__class__ = FusedAttention
    if attentions:
        # Then no mask is made where every position is a token: the kernels know what is causal by themselves.
        bridge.original_model.config._attn_implementation = "sdpa"


def fuse_optimizer(optimizer: Optimizer) -> None:
    """Let Adam step by one kernel, where its maker left open how it does; called before its first step."""
    if type(optimizer) not in (Adam, AdamW):
        return
    for group in optimizer.param_groups:
        if group["fused"] is None and not group["foreach"] and not group["capturable"] and not group["differentiable"]:
            group["fused"] = True
