"""Compute attention, activation and optimizer steps in less time, with the same numbers."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.optim import Adam, AdamW, Optimizer
from transformer_lens.model_bridge import TransformerBridge
from transformers.activations import GELUTanh, NewGELUActivation

from rlhf_course.rl.matmul import default_matmul, onednn_in_use

# GPT-2's activation is the tanh approximation of GELU: x (1 + tanh(u)) / 2 = x sigmoid(2 u), with u = a x + b x^3.
_GELU_LINEAR = 2 * math.sqrt(2 / math.pi)
_GELU_CUBIC = 0.044715 * _GELU_LINEAR
_GELU_BOUND = 100.0


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
        # Beyond the bound GELU is exactly x or 0. Without it, the derivative would be infinity times 0.
        square = x.square().clamp_(max=_GELU_BOUND**2)
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
    """Return PyTorch's attention, with PyTorch's default matrix products also within `onednn_matmul`.

    Args:
        q, k, v: Float[batch, heads, seq, d_head].
        mask: bool, where True lets a query attend to a key, or float, which is added to the scores; None for no mask.
        is_causal: Whether a query attends only to keys at its own and earlier positions.
    """
    if q.device.type == "cpu" and onednn_in_use():
        return DefaultMatmulAttention.apply(q, k, v, mask, is_causal)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=is_causal)


class DefaultMatmulAttention(torch.autograd.Function):
    """PyTorch's attention and its gradient, both with PyTorch's default matrix products.

    The kernel multiplies one small matrix for each head of each text, and oneDNN takes long to start each product. The
    backward pass computes the attention again, since only so do its products, too, run under the setting.
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, is_causal: bool) -> Tensor:
        ctx.save_for_backward(q, k, v, mask)
        ctx.is_causal = is_causal
        with default_matmul():
            return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=is_causal)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        *saved, mask = ctx.saved_tensors
        inputs = [tensor.detach().requires_grad_() for tensor in saved]
        with default_matmul(), torch.enable_grad():
            q, k, v = inputs
            output = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=ctx.is_causal)
            return *torch.autograd.grad(output, inputs, grad_output), None, None


def fuse_activations(bridge: TransformerBridge) -> None:
    """Make the tanh approximation of GELU run by `TanhGELU`."""
    for module in list(bridge.original_model.modules()):
        for name, child in module.named_children():
            if type(child) in (GELUTanh, NewGELUActivation):
                setattr(module, name, TanhGELU())


def fuse_optimizer(optimizer: Optimizer) -> None:
    """Make Adam or AdamW step by one fused kernel, where its constructor did not choose an implementation.

    On the CPU the kernel reads every parameter and every gradient as one contiguous block. So an optimizer with other
    parameters stays as it is, and a gradient of another layout, which a learner may have assigned, is copied before a
    step. This function is called before the first step.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    if type(optimizer) not in (Adam, AdamW) or not all(parameter.is_contiguous() for parameter in parameters):
        return
    unchosen = {"fused": None, "foreach": None, "capturable": False, "differentiable": False}
    groups = [group for group in optimizer.param_groups if all(group[key] == value for key, value in unchosen.items())]
    for group in groups:
        group["fused"] = True
    if groups:
        optimizer.register_step_pre_hook(_make_gradients_contiguous)


def _make_gradients_contiguous(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None and not parameter.grad.is_contiguous():
                parameter.grad = parameter.grad.contiguous()
