"""What a rollout leaves for the learning phase."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from rlhf_course.errors import CourseError
from rlhf_course.rl.args import RLHFArgs
from rlhf_course.rl.ref_logits import without_waste


@dataclass
class ReplayMinibatch:
    """The sequences of one optimizer step.

    Attributes:
        sample_ids: the tokens, prefix included.
        logprobs: what the policy that sampled them gave to the generated tokens.
        advantages: of the generated tokens.
        returns: what the values of the states before the generated tokens should become; None without a value head.
        ref_logits: the reference model's, at every position.
    """

    sample_ids: Int[Tensor, "minibatch seq"]
    logprobs: Float[Tensor, "minibatch gen_len"]
    advantages: Float[Tensor, "minibatch gen_len"]
    returns: Float[Tensor, "minibatch gen_len"] | None
    ref_logits: Float[Tensor, "minibatch seq vocab"]


class ReplayMemory:
    """The whole batch of a rollout, handed out in shuffled minibatches.

    The reference's logits are kept by the states that they are made from, where they come straight from it: a minibatch's are
    made again when it is handed out.

    Args:
        args: the run's settings.
        sample_ids: [batch, seq].
        logprobs: [batch, gen_len], of the generated tokens.
        advantages: [batch, gen_len].
        values: [batch, seq], of every state; None where the policy has no value head.
        ref_logits: [batch, seq, vocab].

    Raises:
        CourseError: a tensor has another shape; the message says which, and the shape it should have.
    """

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
        self._ref_logits = without_waste(ref_logits)
        # Values of the states in which the generated tokens were chosen, moved by the advantage towards Q.
        self.returns = None if values is None else advantages + values[:, -gen - 1 : -1]

    @property
    def ref_logits(self) -> Float[Tensor, "batch seq vocab"]:
        """The reference's, of the whole batch."""
        return self._ref_logits.rows(slice(None))

    def rows(self, indices: Int[Tensor, "minibatch"] | slice) -> ReplayMinibatch:
        """The chosen sequences as a minibatch."""
        return ReplayMinibatch(
            sample_ids=self.sample_ids[indices],
            logprobs=self.logprobs[indices],
            advantages=self.advantages[indices],
            returns=None if self.returns is None else self.returns[indices],
            ref_logits=self._ref_logits.rows(indices),
        )

    def get_minibatches(self) -> Iterator[ReplayMinibatch]:
        """Each sequence `batches_per_learning_phase` times, in fresh random order each time."""
        for _ in range(self.args.batches_per_learning_phase):
            order = torch.randperm(self.args.batch_size).to(self.sample_ids.device)
            for indices in order.split(self.args.minibatch_size):
                yield self.rows(indices)


def _check_shape(name: str, tensor: Tensor, wanted: tuple[int | None, ...]) -> None:
    got = tuple(tensor.shape)
    if len(got) != len(wanted) or any(want not in (None, have) for want, have in zip(wanted, got, strict=True)):
        shown = ", ".join("any" if size is None else str(size) for size in wanted)
        raise CourseError(f"{name} has shape {list(got)}, should be [{shown}]")
