"""Time variants in turn, record results by processor, and make random models: what the benchmarks share.

A benchmark whose figures depend on the machine records them in a `measurement`:

    with measurement("generation") as results:
        results["generation"] = time_in_turn(variants)

This writes `results/generation.json`, which holds the figures of each processor under its name: a run on another
processor adds to the file, and a run on the same one replaces its earlier figures. tables.py makes rows of all of them
with `by_processor`, and quotes ranges over them with `range_over_processors`. Results that are the same on any machine
are written with `write_results`.
"""

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import date
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import psutil

from rlhf_course import use_code  # before torch, since it sets how threads wait

# isort: split
import torch

from rlhf_course.rl.matmul import onednn_matmul
from rlhf_course.rl.models import EMBEDDED

use_code()

RESULTS = Path(__file__).resolve().parent / "results"
REPEATS = 5
Result = TypeVar("Result")
Times: TypeAlias = dict[str, float]  # "seconds" by the clock, and "cpu_seconds" of the process
BUSY = 0.05  # share of all cores that other programs may use before a run counts as disturbed


def time_in_turn(variants: dict[str, Callable[[], Any]], repeats: int = REPEATS) -> dict[str, dict[str, Any]]:
    """Time each variant `repeats` times, in rounds that run every variant once.

    Other work on the machine then slows all variants alike. One more round at the start warms up and is not counted.

    Returns: for each variant the wall time and the CPU time in seconds, each as median, lowest and highest.
    """
    rounds = [{name: timed(call)[1] for name, call in variants.items()} for _ in range(repeats + 1)]
    return {name: spread_of([times[name] for times in rounds[1:]]) for name in variants}


def timed(call: Callable[[], Result]) -> tuple[Result, Times]:
    """Return the result of a call, and the seconds that it took."""
    began, began_cpu = time.perf_counter(), time.process_time()
    result = call()
    return result, {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - began_cpu}


def spread_of(times: Sequence[Times]) -> dict[str, Any]:
    """Return the spread of each kind of seconds."""
    return {kind: spread([time[kind] for time in times]) for kind in times[0]}


def spread(numbers: list[float]) -> dict[str, Any]:
    """Return median, lowest and highest of the repeats, and their number."""
    return {"median": statistics.median(numbers), "low": min(numbers), "high": max(numbers), "repeats": len(numbers)}


def ratios(measured: dict[str, dict[str, Any]], base: str, key: str = "cpu_seconds") -> dict[str, float]:
    """Return how many times as fast as `base` each variant is, by the medians."""
    return {name: measured[base][key]["median"] / times[key]["median"] for name, times in measured.items()}


def processor() -> str:
    """Return the processor's name with family and model, since virtual machines give several models one name."""
    info = Path("/proc/cpuinfo")
    if not info.is_file():
        return platform.processor() or platform.machine()
    fields: dict[str, str] = {}
    for line in info.read_text().splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    name = fields.get("model name") or platform.machine()
    return f"{name} (family {fields['cpu family']}, model {fields['model']})" if "cpu family" in fields else name


def machine() -> dict[str, Any]:
    """Describe the machine and its load before the benchmark."""
    return {
        "cpu": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "date": date.today().isoformat(),
        "load_average_before": round(os.getloadavg()[0], 2),
    }


@contextmanager
def measurement(name: str) -> Iterator[dict[str, Any]]:
    """Record a benchmark's figures under this processor's name in `results/NAME.json`, and print them.

    The load average before the run, and the share of all cores that other programs used just before and during it, are
    part of the figures. Where that share is over `BUSY`, a warning is printed.

    Yields: the dictionary to put the figures into.
    """
    machine_info = machine()
    with _others_share() as before:
        time.sleep(1)
    results: dict[str, Any] = {"machine": machine_info}
    with _others_share() as during:
        yield results
    machine_info |= {"other_programs_before": before[0], "other_programs_during": during[0]}
    write_results(name, earlier_results(name) | {machine_info["cpu"]: results}, shown=results)
    _warn_if_busy(name, machine_info)


def earlier_results(name: str) -> dict[str, Any]:
    """Return what `results/NAME.json` holds, by processor; nothing where the file is missing."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.is_file() else {}


@contextmanager
def _others_share() -> Iterator[list[float]]:
    """Add to a list, at the end of the block, the share of all cores that other programs used during it.

    What a virtual machine's host gave to others counts too. Own processes count as own once they have been waited for.
    """
    share: list[float] = []
    began = _busy_seconds(), _own_seconds(), time.perf_counter()
    yield share
    busy, own = _busy_seconds() - began[0], _own_seconds() - began[1]
    core_seconds = (time.perf_counter() - began[2]) * (os.cpu_count() or 1)
    share.append(round(max(0.0, busy - own) / core_seconds, 3))


def _busy_seconds() -> float:
    """Return the CPU seconds of all programs since the machine started."""
    times = psutil.cpu_times()
    return sum(getattr(times, kind, 0.0) for kind in ("user", "nice", "system", "irq", "softirq", "steal"))


def _own_seconds() -> float:
    """Return the CPU seconds of this process and of its child processes that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def _warn_if_busy(name: str, machine_info: dict[str, Any]) -> None:
    """Say on stderr that other programs disturbed a benchmark, if they did."""
    shares = {when: machine_info[f"other_programs_{when}"] for when in ("before", "during")}
    if max(shares.values()) > BUSY:
        used = ", ".join(f"{100 * share:.0f}% {when} it" for when, share in shares.items())
        print(
            f"warning: the machine was busy. Other programs used this share of all cores: {used} (load average before "
            f"it: {machine_info['load_average_before']:.1f}). Run {name} again on an idle machine.",
            file=sys.stderr,
        )


def write_results(name: str, data: dict[str, Any], shown: dict[str, Any] | None = None) -> None:
    """Write a benchmark's results, and print them, or the part that is new."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(data, indent=2) + "\n")
    print(json.dumps(data if shown is None else shown, indent=2))


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


def run_in_process(script: Path, *arguments: str, environment: dict[str, str] | None = None) -> dict[str, Any]:
    """Run a benchmark script in a new process, and return the JSON that it prints.

    Args:
        environment: variables that the new process has besides those of this one.
    """
    command, variables = [sys.executable, str(script), *arguments], os.environ | (environment or {})
    process = subprocess.run(command, capture_output=True, text=True, env=variables)
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
