"""Estimate the memory and the time that a run takes, before it starts."""

import time
from statistics import median
from typing import Any, NamedTuple


class _ModelSize(NamedTuple):
    """The size of a model that is not loaded yet; the fields are named as in TransformerLens's configuration."""

    parameters: int
    d_vocab: int
    n_layers: int
    d_model: int


_SIZES = {
    "embedded": _ModelSize(2_400_000, 3072, 4, 192),
    "gpt2-small": _ModelSize(124_000_000, 50257, 12, 768),
    "gpt2-medium": _ModelSize(355_000_000, 50257, 24, 1024),
}
_PROCESS_GIGABYTES = 0.6  # memory of a process that has only imported torch
# The part of the speed of large matrix products that training reaches on a CPU: 0.33 in phases of `periods` and 0.38 in
# those of `sentiment` with the embedded model, where both speeds were measured in turn.
_CPU_EFFICIENCY = 0.35
# Multiplications and additions per second: a small part of the float32 speed in the data sheets of recent GPUs.
_GPU_SPEED = 5e12
_PREFIX_LEN = 3


class RunCost(NamedTuple):
    """A rough estimate of a run's memory and time."""

    gigabytes: float
    seconds: float


def cost_sentence(args: Any, how_to_stop: str) -> str:
    """Return sentences for the learner on the memory and time of a run on this machine.

    Args:
        args: The run's settings, an `RLHFArgs`.
        how_to_stop: The sentence that says how the run can be stopped.
    """
    import torch

    from rlhf_course.rl.device import pick_device
    from rlhf_course.rl.gpu import split_name

    on_cpu, threads = pick_device().type == "cpu", torch.get_num_threads()
    cost = estimate(args, threads if on_cpu else None)
    gigabytes = cost.gigabytes + (_extra_gigabytes() if on_cpu else 0)
    cores = f"on {threads} CPU core{'s' if threads > 1 else ''}"
    machine = cores if on_cpu else "on a recent GPU (computed, not measured)"
    assumption = "" if split_name(args.base_model)[0] in _SIZES else " (if the model is about as large as GPT-2 small)"
    return (
        f"{args.total_phases} phases of {args.batch_size} texts of {args.gen_len} tokens with {args.base_model}: "
        f"about {gigabytes:.1f} GB of memory in all and {_in_minutes(cost.seconds)} {machine}{assumption}. "
        f"{how_to_stop}"
    )


def _extra_gigabytes() -> float:
    """Return the memory that this process holds already beyond that of one that has only imported torch.

    A notebook's kernel holds matplotlib, earlier models and what checks have made.
    """
    import psutil

    return max(0.0, psutil.Process().memory_info().rss / 2**30 - _PROCESS_GIGABYTES)


def estimate(args: Any, threads: int | None) -> RunCost:
    """Estimate a run's memory from `needed_bytes`, and its time from the number of passes over every token.

    Args:
        args: The run's settings, an `RLHFArgs`.
        threads: Number of CPU threads that torch uses; None for a GPU.
    """
    from rlhf_course.rl.gpu import split_name
    from rlhf_course.rl.memory_need import needed_bytes, peak_bytes

    size, seq_len = _SIZES.get(split_name(args.base_model)[0], _SIZES["gpt2-small"]), args.gen_len + _PREFIX_LEN
    peak = peak_bytes(needed_bytes(args, size, size.parameters, seq_len))
    # Sampling, policy and reference model read every token once; learning reads it forward and backward in each epoch.
    passes = 3 + 3 * args.batches_per_learning_phase
    speed = _GPU_SPEED if threads is None else _CPU_EFFICIENCY * matmul_speed(size.d_model)
    seconds = args.total_phases * 2 * size.parameters * args.batch_size * seq_len * passes / speed
    return RunCost(_PROCESS_GIGABYTES + peak / 2**30, seconds)


def matmul_speed(width: int) -> float:
    """Measure the operations per second of this machine's CPU in a matrix product as large as a layer's, in 0.1 s."""
    import torch

    states, weights = torch.randn(1024, width), torch.randn(width, 4 * width)
    speeds = []
    for _ in range(5):
        products, began = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - began) < 0.02 or products == 0:
            states @ weights
            products += 1
        speeds.append(products * 2 * states.numel() * 4 * width / elapsed)
    return median(speeds)


def _in_minutes(seconds: float) -> str:
    minutes = round(seconds / 60)
    return "less than a minute" if minutes < 1 else f"{minutes} minute{'s' if minutes > 1 else ''}"
