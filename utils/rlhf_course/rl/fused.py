"""Replace parts of a model and of an optimizer by PyTorch's fused kernels, which give the same numbers in less time."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.optim import Adam, AdamW, Optimizer
from transformer_lens.model_bridge import TransformerBridge
from transformer_lens.model_bridge.generalized_components import JointQKVAttentionBridge, NormalizationBridge
from transformers.activations import GELUTanh, NewGELUActivation

from rlhf_course.rl.matmul import default_matmul

# GPT-2's activation is the tanh approximation of GELU: x (1 + tanh(u)) / 2 = x sigmoid(2 u), with u = a x + b x^3.
_GELU_LINEAR = 2 * math.sqrt(2 / math.pi)
_GELU_CUBIC = 0.044715 * _GELU_LINEAR


class TanhGELU(nn.Module):
    """The tanh approximation of GELU.

    On the CPU PyTorch's kernel takes most of its time for tanh, once forward and once backward. The logistic function
    gives the same numbers in a quarter of that time, and the derivative with them.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return GELU of each element."""
        if x.device.type != "cpu" or x.dtype not in (torch.float32, torch.float64):
            return F.gelu(x, approximate="tanh")
        if torch.is_grad_enabled() and x.requires_grad:
            return GELUWithDerivative.apply(x)
        return _gelu_gate(x, x.square()).mul_(x)


class GELUWithDerivative(torch.autograd.Function):
    """The tanh approximation of GELU, which computes its derivative at the same time."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        square = x.square()
        gate = _gelu_gate(x, square)
        output = x * gate
        derivative = square.mul_(3 * _GELU_CUBIC).add_(_GELU_LINEAR).mul_(output)
        ctx.save_for_backward(derivative.addcmul_(derivative, gate, value=-1).add_(gate))
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> Tensor:
        (derivative,) = ctx.saved_tensors
        return grad_output * derivative


def _gelu_gate(x: Tensor, square: Tensor) -> Tensor:
    """Return the factor of x in GELU."""
    return square.mul(_GELU_CUBIC).add_(_GELU_LINEAR).mul_(x).sigmoid_()


def scaled_dot_product_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, is_causal: bool) -> Tensor:
    """Return PyTorch's attention, by `CPUAttention` on the CPU.

    Args:
        q, k, v: Float[batch, heads, seq, d_head].
        mask: bool, where True lets a query attend to a key, or float, which is added to the scores; None for no mask.
        is_causal: Whether a query attends only to keys at its own and earlier positions.
    """
    if q.device.type != "cpu":
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=is_causal)
    if mask is not None and mask.dtype == torch.bool:
        mask = torch.zeros_like(mask, dtype=q.dtype).masked_fill_(~mask, -torch.inf)
    return CPUAttention.apply(q, k, v, mask, is_causal)


class CPUAttention(torch.autograd.Function):
    """PyTorch's attention kernel for the CPU and its gradient, both with PyTorch's default matrix products.

    The kernel multiplies one small matrix for each head of each text, and oneDNN takes long to start each product.
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, is_causal: bool) -> Tensor:
        with default_matmul():
            output, scale = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
                q, k, v, 0.0, is_causal, attn_mask=mask
            )
        ctx.save_for_backward(q, k, v, output, scale)
        ctx.options = {"dropout_p": 0.0, "is_causal": is_causal, "attn_mask": mask}
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        with default_matmul():
            kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
            return *kernel(grad_output, *ctx.saved_tensors, **ctx.options), None, None


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


def fuse_kernels(bridge: TransformerBridge) -> None:
    """Make a model's layer norms, GPT-2's activation and its attention run by fused kernels."""
    fuse_activations(bridge)
    fuse_norms(bridge)
    fuse_attention(bridge)


def fuse_activations(bridge: TransformerBridge) -> None:
    """Make the tanh approximation of GELU run by `TanhGELU`."""
    for module in list(bridge.original_model.modules()):
        for name, child in module.named_children():
            if type(child) in (GELUTanh, NewGELUActivation):
                setattr(module, name, TanhGELU())


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
    """Make GPT-2's attention run by a fused kernel."""
    attentions = [module for module in bridge.modules() if type(module) is JointQKVAttentionBridge]
    for module in attentions:
        module.__class__ = FusedAttention
    if attentions:
        config: Any = bridge.original_model.config
        # With "sdpa" Transformers makes no mask where every position is a token: the kernels are causal by themselves.
        config._attn_implementation = "sdpa"


def fuse_optimizer(optimizer: Optimizer) -> None:
    """Make Adam or AdamW step by one fused kernel, where its constructor did not choose an implementation.

    It is called before the first step.
    """
    if type(optimizer) not in (Adam, AdamW):
        return
    for group in optimizer.param_groups:
        if group["fused"] is None and not group["foreach"] and not group["capturable"] and not group["differentiable"]:
            group["fused"] = True
