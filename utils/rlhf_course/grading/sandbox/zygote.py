"""Run the zygote: a process that loads torch and the given code once, and forks a sandbox at each request of the judge.

It starts with an empty environment, and enters the root folder of its sandboxes before it loads anything. Its memory
holds only what every sandbox may read: torch, the given code and tiny models. Only its children run learners' code.
"""

import gc
import importlib
import json
import os
import socket
import sys
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rlhf_course.grading.limits import ResourceLimits
from rlhf_course.grading.sandbox import linux_syscalls
from rlhf_course.grading.sandbox.backends import SandboxBackend, sandbox_backend
from rlhf_course.grading.sandbox.isolation import Level

_MAX_REQUEST_BYTES = 4096


@dataclass(frozen=True)
class ZygoteConfig:
    """The configuration that a zygote receives when it starts.

    Attributes:
        level: The isolation level of its sandboxes.
        limits: The resource limits of each sandbox.
        language_model: The folder of the tiny language model.
        classifier: The folder of the tiny sentiment classifier.
        models: The number of language models to load before the first fork.
    """

    level: Level
    limits: ResourceLimits
    language_model: str
    classifier: str
    models: int

    def to_json(self) -> str:
        """Return the configuration as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "ZygoteConfig":
        """Return the configuration that `to_json` wrote."""
        values = json.loads(text)
        return cls(**{**values, "limits": ResourceLimits(**values["limits"])})


def main(control_fd: int, config_json: str) -> None:
    """Run a zygote until the judge closes the control socket.

    Args:
        control_fd: The socket to the judge.
        config_json: A `ZygoteConfig` as JSON.
    """
    config = ZygoteConfig.from_json(config_json)
    backend = sandbox_backend(config.level, config.limits, (config.language_model, config.classifier))
    with socket.socket(fileno=control_fd) as control:
        try:
            backend.prepare()
        except OSError as error:
            _send(control, unavailable=str(error))
            return
        try:
            _load(config)
            _send(control, ready=True)
            _serve(control, backend, config.limits.output_bytes)
        finally:
            backend.close()


def _send(control: socket.socket, **reply: Any) -> None:
    """Send one reply to the judge, as a line of JSON."""
    control.sendall(json.dumps(reply).encode() + b"\n")


def _load(config: ZygoteConfig) -> None:
    """Load everything that answers need.

    No operation in this function may run on several threads: a fork copies only the thread that calls it.
    """
    warnings.simplefilter("ignore")
    gc.disable()  # Collections would visit each of the objects that are loaded here several times.
    import torch

    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    from rlhf_course.checks import tiny
    from rlhf_course.course import EXERCISES
    from rlhf_course.grading.drivers import DRIVEN, model_pool

    tiny.premade_folders().update(gpt2=config.language_model, classifier=config.classifier)
    for exercise in EXERCISES:
        importlib.import_module(f"rlhf_course.checks.{exercise.part}.{exercise.module}")
        if exercise.name in DRIVEN:
            importlib.import_module(f"rlhf_course.grading.drivers.{exercise.part}.{exercise.module}")
    for module in ("trainer", "samples", "memory", "objective", "schedule", "rewards"):
        importlib.import_module(f"rlhf_course.rl.{module}")
    importlib.import_module("rlhf_course.grading.sandbox.worker")
    from rlhf_course.rl.classifier import LOCAL_CLASSIFIERS, load_classifier

    LOCAL_CLASSIFIERS["lvwerra/distilbert-imdb"] = Path(config.classifier)
    load_classifier()
    model_pool.preload(config.models)
    gc.collect()
    gc.freeze()  # A collection in a child would write to every page, and so copy it.
    gc.enable()
    if sys.platform == "linux":
        linux_syscalls.collapse_into_huge_pages()


def _serve(control: socket.socket, backend: SandboxBackend, output_bytes: int) -> None:
    """Start and terminate sandboxes at the judge's requests, and terminate all of them when the judge disconnects."""
    pids: dict[int, int] = {}
    while True:
        text, descriptors, _, _ = socket.recv_fds(control, _MAX_REQUEST_BYTES, 1)
        if not text:
            break
        request = json.loads(text)
        if "start" in request:
            (connection_fd,) = descriptors
            _start_sandbox(control, backend, pids, request["start"], connection_fd, output_bytes)
            os.close(connection_fd)
        else:
            pid = pids.pop(request["terminate"])
            _send(control, exit_code=backend.terminate(pid, request["grace_period"]))
    for pid in pids.values():
        backend.terminate(pid, grace_period=0)


def _start_sandbox(
    control: socket.socket,
    backend: SandboxBackend,
    pids: dict[int, int],
    sandbox_id: int,
    connection_fd: int,
    output_bytes: int,
) -> None:
    """Fork one sandbox, add its process to `pids`, and report to the judge whether that succeeded."""
    try:
        pids[sandbox_id] = backend.spawn(lambda home: _run_worker(connection_fd, home, output_bytes), connection_fd)
        _send(control, started=sandbox_id)
    except OSError as error:
        _send(control, failed=str(error))


def _run_worker(connection_fd: int, home: Path, output_bytes: int) -> None:
    from rlhf_course.grading.sandbox.worker import run_worker

    with socket.socket(fileno=connection_fd) as connection:
        run_worker(connection, home, output_bytes)
