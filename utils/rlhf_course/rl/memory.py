"""Define the replay memory, which hands the sequences of a rollout to the learning phase in minibatches."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, overload

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rlhf_course.errors import CourseError
from rlhf_course.rl.args import RLHFArgs
from rlhf_course.rl.ref_logits import Indices, RecomputedLogits

if TYPE_CHECKING:  # the memory is imported without TransformerLens
    from rlhf_course.rl.reference import ReferenceModel


@dataclass
class ReplayMinibatch:
    """The sequences of one optimizer step.

    Attributes:
        sample_ids: The token ids, with the prefix.
        logprobs: Log-probabilities of the generated tokens under the policy that sampled them.
        advantages: Advantages of the generated tokens.
        returns: Targets for the values of the states before the generated tokens; None without a value head.
        ref_logits: The reference model's logits at every position.
    """

    sample_ids: Int[Tensor, "minibatch seq"]
    logprobs: Float[Tensor, "minibatch gen_len"]
    advantages: Float[Tensor, "minibatch gen_len"]
    returns: Float[Tensor, "minibatch gen_len"] | None
    ref_logits: Float[Tensor, "minibatch seq vocab"]


class ReplayMemory:
    """The whole batch of a rollout, read in shuffled minibatches.

    Args:
        args: The run's settings.
        sample_ids: Int[batch, seq], the token ids, with the prefix.
        logprobs: Float[batch, gen_len], log-probabilities of the generated tokens under the policy that sampled them.
        advantages: Float[batch, gen_len], advantages of the generated tokens.
        values: Float[batch, seq], the value of every state; None where the policy has no value head.
        ref_logits: Float[batch, seq, vocab], the reference model's logits.

    Raises:
        CourseError: A tensor has another shape; the message names the tensor and the shape that it should have.
    """

    # A subclass that stores something else than logits leaves this at None.
    _ref_logits: Tensor | RecomputedLogits | None = None

    def __init__(
        self,
        args: RLHFArgs,
        sample_ids: Int[Tensor, "batch seq"],
        logprobs: Float[Tensor, "batch gen_len"],
        advantages: Float[Tensor, "batch gen_len"],
        values: Float[Tensor, "batch seq"] | None,
        ref_logits: Float[Tensor, "batch seq vocab"],
    ) -> None:
        batch, gen = args.batch_size, args.gen_len
        _check_shape("sample_ids", sample_ids, (batch, None))
        seq = sample_ids.shape[1]
        if seq <= gen:
            raise CourseError(f"sample_ids has {seq} columns: a prefix and gen_len={gen} generated tokens need more")
        _check_shape("logprobs", logprobs, (batch, gen))
        _check_shape("advantages", advantages, (batch, gen))
        if values is not None:
            _check_shape("values", values, (batch, seq))
        _check_shape("ref_logits", ref_logits, (batch, seq, None))
        self.args = args
        self.sample_ids = sample_ids
        self.logprobs = logprobs
        self.advantages = advantages
        self.values = values
        self._ref_logits = ref_logits
        # The value of the state before a generated token plus the token's advantage is the estimate of Q.
        self.returns = None if values is None else advantages + values[:, -gen - 1 : -1]

    @property
    def ref_logits(self) -> Float[Tensor, "batch seq vocab"]:
        """The reference model's logits of the whole batch."""
        return self._ref_logits_of(slice(None))

    def release_ref_logits(self, ref_model: "ReferenceModel") -> None:
        """Free the memory of the logits, which are then computed again a minibatch at a time.

        Nothing happens where the logits are not, whole and unchanged, the result of the model's latest forward pass.
        """
        if isinstance(self._ref_logits, Tensor):
            states = ref_model.pop_states(self._ref_logits)
            self._ref_logits = self._ref_logits if states is None else states

    def rows(self, indices: Indices) -> ReplayMinibatch:
        """Return the sequences at these indices as a minibatch."""
        return ReplayMinibatch(
            sample_ids=self.sample_ids[indices],
            logprobs=self.logprobs[indices],
            advantages=self.advantages[indices],
            returns=None if self.returns is None else self.returns[indices],
            ref_logits=self._ref_logits_of(indices),
        )

    def _ref_logits_of(self, indices: Indices) -> Float[Tensor, "rows seq vocab"]:
        assert self._ref_logits is not None, f"{type(self).__name__} stores no logits of the reference model"
        return self._ref_logits[indices]

    def get_minibatches(self) -> "Minibatches":
        """Return minibatches that hold each sequence `batches_per_learning_phase` times, each time in a new order."""
        orders = [torch.randperm(self.args.batch_size) for _ in range(self.args.batches_per_learning_phase)]
        device = self.sample_ids.device
        return Minibatches(
            self, [rows for order in orders for rows in order.to(device).split(self.args.minibatch_size)]
        )


class Minibatches(Sequence[ReplayMinibatch]):
    """The minibatches of a learning phase. Each is made when it is read, so only those in use take memory.

    Args:
        memory: The memory that holds the sequences.
        rows: The indices of the sequences in each minibatch.
    """

    def __init__(self, memory: ReplayMemory, rows: Sequence[Int[Tensor, "minibatch"]]) -> None:
        self._memory, self._rows = memory, list(rows)

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> ReplayMinibatch: ...
    @overload
    def __getitem__(self, index: slice) -> "Minibatches": ...
    def __getitem__(self, index: int | slice) -> "ReplayMinibatch | Minibatches":
        if isinstance(index, slice):
            return Minibatches(self._memory, self._rows[index])
        return self._memory.rows(self._rows[index])


def _check_shape(name: str, tensor: Tensor, expected: tuple[int | None, ...]) -> None:
    """Raise a CourseError for another shape than the expected one, in which None stands for any size."""
    shape = tuple(tensor.shape)
    if len(shape) != len(expected) or any(
        wanted not in (None, size) for wanted, size in zip(expected, shape, strict=True)
    ):
        shown = ", ".join("any" if size is None else str(size) for size in expected)
        raise CourseError(f"{name} has shape {list(shape)}, should be [{shown}]")
