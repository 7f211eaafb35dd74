"""Define what a rollout of groups of completions keeps for learning."""

from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from rlhf_course.errors import CourseError


@dataclass
class GRPOBatch:
    """The completions of a rollout; those of a prompt stand together.

    Attributes:
        input_ids: The token ids of prompts and completions; prompts are padded on the left, completions on the right.
        attention_mask: True at real tokens, False at padding.
        completion_mask: True at the tokens of a completion, its end-of-text token included.
        old_logprobs: The log-probability of each completion's tokens under the policy that sampled them.
        rewards: The reward of each completion.
        advantages: The advantage of each token.

    Raises:
        CourseError: A field has another shape or dtype, or a gradient; the message names it.
    """

    input_ids: Int[Tensor, "batch seq"]
    attention_mask: Bool[Tensor, "batch seq"]
    completion_mask: Bool[Tensor, "batch gen"]
    old_logprobs: Float[Tensor, "batch gen"]
    rewards: Float[Tensor, "batch"]
    advantages: Float[Tensor, "batch gen"]

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, Tensor):
                raise CourseError(f"GRPOBatch: {field.name} is a {type(value).__name__}, should be a tensor")
            if value.requires_grad:
                raise CourseError(f"GRPOBatch: {field.name} carries a gradient; a rollout records none")
        self._check_dtypes()
        self._check_shapes()

    def _check_dtypes(self) -> None:
        for name in ("attention_mask", "completion_mask"):
            if (dtype := getattr(self, name).dtype) != torch.bool:
                raise CourseError(f"GRPOBatch: {name} has dtype {dtype}, should be torch.bool")
        for name in ("old_logprobs", "rewards", "advantages"):
            if not getattr(self, name).is_floating_point():
                raise CourseError(f"GRPOBatch: {name} has dtype {getattr(self, name).dtype}, should be a float")

    def _check_shapes(self) -> None:
        if self.input_ids.ndim != 2 or self.completion_mask.ndim != 2:
            raise CourseError("GRPOBatch: input_ids should have shape [batch, seq], completion_mask [batch, gen]")
        batch, seq = self.input_ids.shape
        gen = self.completion_mask.shape[1]
        if gen >= seq:
            raise CourseError(
                f"GRPOBatch: completion_mask has {gen} columns and input_ids {seq}: it covers the completion alone, "
                "and input_ids the prompt too"
            )
        wanted = {
            "attention_mask": (batch, seq),
            "completion_mask": (batch, gen),
            "old_logprobs": (batch, gen),
            "rewards": (batch,),
            "advantages": (batch, gen),
        }
        for name, shape in wanted.items():
            if (got := tuple(getattr(self, name).shape)) != shape:
                raise CourseError(f"GRPOBatch: {name} has shape {list(got)}, should have {list(shape)}")

    def __len__(self) -> int:
        return len(self.input_ids)
