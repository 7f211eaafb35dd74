"""How much memory a run needs, said before it starts; and what to do where it was not enough."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import torch

from rlhf_course.errors import CourseError
from rlhf_course.rl.args import RLHFArgs

_FLOAT = 4
# Tensors of a minibatch's logits that the objective and its gradient hold at once, and activations that a layer keeps for the
# gradient, in widths. Measured: benchmarks/memory.py.
_LOGITS_IN_AN_OBJECTIVE = 8
_WIDTHS_IN_A_LAYER = 24


def needed_bytes(args: RLHFArgs, config: Any, parameters: int, seq_len: int) -> dict[str, int]:
    """Bytes for the models with the optimizer's state, and over them for a rollout and for learning from it.

    Args:
        args: the run's settings.
        config: the model's, with its sizes.
        parameters: trainable ones.
        seq_len: tokens of a text, its prefix included.
    """
    whole = args.batch_size * seq_len * config.d_vocab * _FLOAT
    minibatch = args.minibatch_size * seq_len * _FLOAT
    activations = minibatch * config.n_layers * config.d_model * _WIDTHS_IN_A_LAYER
    return {
        # Policy, its gradient and two moments, and the reference.
        "models": 5 * parameters * _FLOAT,
        # Logits of policy and reference, and the policy's log-probabilities.
        "rollout": 3 * whole,
        # The reference's logits are there a minibatch at a time.
        "learning": minibatch * config.d_vocab * (1 + _LOGITS_IN_AN_OBJECTIVE) + activations,
    }


def free_bytes(device: torch.device) -> int:
    """What is free where a run's tensors live."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available


def peak_bytes(needed: dict[str, int]) -> int:
    """The most that a run holds at once: rollout and learning take turns."""
    return needed["models"] + max(needed["rollout"], needed["learning"])


def memory_note(needed: dict[str, int], free: int) -> str:
    """What a run will take at its peak, in one line; with advice where that is more than is free."""
    peak = peak_bytes(needed)
    note = f"memory: about {peak / 2**30:.1f} GB at its peak, {needed['models'] / 2**30:.1f} of them for models and optimizer"
    if peak <= free:
        return note
    stage = "rollout" if needed["rollout"] >= needed["learning"] else "learning"
    return f"{note}; only {free / 2**30:.1f} GB are free: {_ADVICE[stage]}"


_ADVICE = {
    "rollout": "lower batch_size or gen_len, or take a smaller base_model",
    "learning": "raise num_minibatches, lower batch_size or gen_len, or take a smaller base_model",
}


@contextmanager
def advice_when_full(stage: str, args: RLHFArgs) -> Iterator[None]:
    """Turn a lack of memory into what to do about it.

    Args:
        stage: "rollout" or "learning".
        args: the settings whose fields the advice names.

    Raises:
        CourseError: there was not enough memory.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not _is_lack_of_memory(error):
            raise
        sizes = f"batch_size {args.batch_size}, num_minibatches {args.num_minibatches}, gen_len {args.gen_len}"
        raise CourseError(
            f"out of memory in the {stage} phase with {sizes}: {_ADVICE[stage]}; then start a new run"
        ) from error


def _is_lack_of_memory(error: BaseException) -> bool:
    """CUDA has an error of its own; the CPU's and MPS's are known by what they say."""
    said = str(error).lower()
    return (
        isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in said or "out of memory" in said
    )
