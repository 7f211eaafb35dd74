"""Estimate the memory and the time that a run takes, before it starts."""

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
# Multiplications and additions per second. `benchmarks/profiles.py` measured the speed of a CPU core with the embedded
# model. That of a GPU is a small part of the float32 speed in the data sheets of recent GPUs.
_CORE_SPEED, _GPU_SPEED = 7e10, 5e12
_CORES_EXPONENT = 0.7  # below 1, since each further core helps less than the core before it
_PREFIX_LEN = 3


class RunCost(NamedTuple):
    """A rough estimate of a run's memory and time."""

    gigabytes: float
    seconds: float


def cost_sentence(args: Any) -> str:
    """Return a sentence for the learner on the memory and time of a run on this machine.

    Args:
        args: The run's settings, an `RLHFArgs`.
    """
    import torch

    from rlhf_course.rl.device import pick_device
    from rlhf_course.rl.gpu import split_name

    on_cpu, threads = pick_device().type == "cpu", torch.get_num_threads()
    cost = estimate(args, threads if on_cpu else None)
    cores = f"on {threads} CPU core{'s' if threads > 1 else ''}"
    machine = cores if on_cpu else "on a recent GPU (computed, not measured)"
    assumption = "" if split_name(args.base_model)[0] in _SIZES else " (if the model is about as large as GPT-2 small)"
    return (
        f"{args.total_phases} phases of {args.batch_size} texts of {args.gen_len} tokens with {args.base_model}: "
        f"about {cost.gigabytes:.1f} GB of memory and {_in_minutes(cost.seconds)} {machine}{assumption}. "
        "It can be stopped with Ctrl-C or the stop button."
    )


def estimate(args: Any, threads: int | None) -> RunCost:
    """Estimate a run's memory from `needed_bytes`, and its time from the number of passes over every token.

    Args:
        args: The run's settings, an `RLHFArgs`.
        threads: Number of CPU threads; None for a GPU.
    """
    from rlhf_course.rl.gpu import split_name
    from rlhf_course.rl.memory_need import needed_bytes, peak_bytes

    size, seq_len = _SIZES.get(split_name(args.base_model)[0], _SIZES["gpt2-small"]), args.gen_len + _PREFIX_LEN
    peak = peak_bytes(needed_bytes(args, size, size.parameters, seq_len))
    # Sampling, policy and reference model read every token once; learning reads it forward and backward in each epoch.
    passes = 3 + 3 * args.batches_per_learning_phase
    speed = _GPU_SPEED if threads is None else _CORE_SPEED * threads**_CORES_EXPONENT
    seconds = args.total_phases * 2 * size.parameters * args.batch_size * seq_len * passes / speed
    return RunCost(_PROCESS_GIGABYTES + peak / 2**30, seconds)


def _in_minutes(seconds: float) -> str:
    minutes = round(seconds / 60)
    return "less than a minute" if minutes < 1 else f"{minutes} minute{'s' if minutes > 1 else ''}"
