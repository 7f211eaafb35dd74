"""Estimate the memory of a run before it starts, and advise when memory runs out."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import torch

from rlhf_course.errors import CourseError
from rlhf_course.rl.args import RLHFArgs

_FLOAT_BYTES = 4
# How many tensors of the size of a minibatch's logits the objective and its gradient hold at once, and how many numbers
# a layer stores for the gradient, in multiples of d_model for each token. Both were measured with benchmarks/memory.py.
_LOGITS_COPIES = 8
_ACTIVATIONS_PER_LAYER = 24


def needed_bytes(args: RLHFArgs, config: Any, parameters: int, seq_len: int) -> dict[str, int]:
    """Return the bytes for the models with the optimizer's state, and those that a rollout and learning need besides.

    Args:
        args: The run's settings.
        config: The model's configuration.
        parameters: Number of trainable parameters.
        seq_len: Tokens of a text, with its prefix.
    """
    batch_logits = args.batch_size * seq_len * config.d_vocab * _FLOAT_BYTES
    minibatch = args.minibatch_size * seq_len * _FLOAT_BYTES
    activations = minibatch * config.n_layers * config.d_model * _ACTIVATIONS_PER_LAYER
    return {
        # The policy, its gradient and Adam's two moments, and the reference.
        "models": 5 * parameters * _FLOAT_BYTES,
        # The logits of policy and reference, and the policy's log-softmax.
        "rollout": 3 * batch_logits,
        # The reference's logits are computed a minibatch at a time.
        "learning": minibatch * config.d_vocab * (1 + _LOGITS_COPIES) + activations,
    }


def free_bytes(device: torch.device) -> int:
    """Return the free memory of a device."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available


def peak_bytes(needed: dict[str, int]) -> int:
    """Return the peak memory of a run. Rollout and learning never overlap."""
    return needed["models"] + max(needed["rollout"], needed["learning"])


def _as_text(size: int) -> str:
    """Return a number of bytes in GB, or in MB where it is small."""
    return f"{size / 2**30:.1f} GB" if size >= 0.1 * 2**30 else f"{max(1, round(size / 2**20))} MB"


def memory_note(needed: dict[str, int], free: int) -> str:
    """Return a line on the run's estimated peak memory, with advice where that is more than is free."""
    peak = peak_bytes(needed)
    note = (
        f"memory: about {_as_text(peak)} beside PyTorch itself, of which {_as_text(needed['models'])} for models and "
        "optimizer"
    )
    if peak <= free:
        return note
    stage = "rollout" if needed["rollout"] >= needed["learning"] else "learning"
    return f"{note}; only {_as_text(free)} are free: {_ADVICE[stage]}"


_ADVICE = {
    "rollout": "lower batch_size or gen_len, or take a smaller base_model",
    "learning": "raise num_minibatches, lower batch_size or gen_len, or take a smaller base_model",
}


@contextmanager
def advice_when_full(stage: str, args: RLHFArgs) -> Iterator[None]:
    """Turn an out-of-memory error in the block into one that says what to do.

    Args:
        stage: "rollout" or "learning".
        args: The run's settings, whose sizes the message shows.

    Raises:
        CourseError: Memory ran out.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        sizes = f"batch_size {args.batch_size}, num_minibatches {args.num_minibatches}, gen_len {args.gen_len}"
        raise CourseError(
            f"out of memory in the {stage} phase with {sizes}: {_ADVICE[stage]}; then start a new run"
        ) from error


def _is_out_of_memory(error: BaseException) -> bool:
    """Return whether memory ran out. CUDA has an error class for it; those of the CPU and MPS differ by message."""
    message = str(error).lower()
    return (
        isinstance(error, MemoryError | torch.OutOfMemoryError)
        or "allocate memory" in message
        or "out of memory" in message
    )
