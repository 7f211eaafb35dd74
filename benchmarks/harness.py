"""Time variants in turn, describe the machine, and make random models: the functions that the benchmarks share."""

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch

from rlhf_course import use_code
from rlhf_course.rl.matmul import onednn_matmul
from rlhf_course.rl.models import EMBEDDED

use_code()

RESULTS = Path(__file__).resolve().parent / "results"
REPEATS = 5


def time_in_turn(variants: dict[str, Callable[[], Any]], repeats: int = REPEATS) -> dict[str, dict[str, Any]]:
    """Time each variant `repeats` times, in rounds that run every variant once.

    Other work on the machine then slows all variants alike. One more round at the start warms up and is not counted.

    Returns: for each variant the wall time and the CPU time in seconds, each as median, lowest and highest.
    """
    clock: dict[str, list[float]] = {name: [] for name in variants}
    cpu: dict[str, list[float]] = {name: [] for name in variants}
    for round_ in range(repeats + 1):
        for name, call in variants.items():
            began, began_cpu = time.perf_counter(), time.process_time()
            call()
            if round_:
                clock[name].append(time.perf_counter() - began)
                cpu[name].append(time.process_time() - began_cpu)
    return {name: {"seconds": spread(clock[name]), "cpu_seconds": spread(cpu[name])} for name in variants}


def spread(numbers: list[float]) -> dict[str, Any]:
    """Return median, lowest and highest of the repeats, and their number."""
    return {"median": statistics.median(numbers), "low": min(numbers), "high": max(numbers), "repeats": len(numbers)}


def ratios(measured: dict[str, dict[str, Any]], base: str, key: str = "cpu_seconds") -> dict[str, float]:
    """Return how many times as fast as `base` each variant is, by the medians."""
    return {name: measured[base][key]["median"] / times[key]["median"] for name, times in measured.items()}


def machine() -> dict[str, Any]:
    """Describe the machine and its load before the benchmark."""
    model = platform.processor()
    if Path("/proc/cpuinfo").is_file():
        model = next(
            (line.split(": ", 1)[1] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
            model,
        )
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "load_average_before": os.getloadavg()[0],
    }


def write_results(name: str, data: dict[str, Any]) -> None:
    """Write a benchmark's results, and print them."""
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(data, indent=2) + "\n"
    (RESULTS / f"{name}.json").write_text(text)
    print(text)


def save_random_gpt2(
    folder: Path, vocab: int = 3072, layers: int = 4, width: int = 192, heads: int = 4, context: int = 128
) -> str:
    """Save a GPT-2 with random weights and the embedded model's tokenizer.

    Returns: the folder.
    """
    from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=vocab,
        n_layer=layers,
        n_embd=width,
        n_head=heads,
        n_positions=context,
        bos_token_id=0,
        eos_token_id=0,
    )
    GPT2LMHeadModel(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(EMBEDDED).save_pretrained(folder)
    return str(folder)


GPT2_SMALL = {"vocab": 50257, "layers": 12, "width": 768, "heads": 12, "context": 1024}


def matmul_rate(
    size: int = 1536, repeats: int = REPEATS, matmul_library: Callable[[], AbstractContextManager[None]] = onednn_matmul
) -> float:
    """Measure the rate of a large float32 matrix product, in floating-point operations per second of CPU time.

    Args:
        matmul_library: context manager that chooses the library; by default the faster one.
    """
    left, right = torch.randn(size, size), torch.randn(size, size)
    seconds = []
    with matmul_library():
        left @ right
        for _ in range(repeats):
            began = time.process_time()
            left @ right
            seconds.append(time.process_time() - began)
    return 2 * size**3 / statistics.median(seconds)


def run_in_process(script: Path, *arguments: str) -> dict[str, Any]:
    """Run a benchmark script in a new process, and return the JSON that it prints."""
    process = subprocess.run([sys.executable, str(script), *arguments], capture_output=True, text=True)
    if process.returncode:
        raise RuntimeError(f"{script.name} {' '.join(arguments)} failed:\n{process.stderr[-2000:]}")
    return json.loads(process.stdout.splitlines()[-1])


def reset_peak() -> int:
    """Reset the process's peak memory, and return its memory now, in bytes. Linux only."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def peak() -> int:
    """Return the peak memory of the process since `reset_peak`, in bytes."""
    return (
        _status("VmHWM")
        if Path("/proc/self/status").is_file()
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    )


def _status(field: str) -> int:
    """Return a field of /proc/self/status in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) * 1024
