"""The process that loads everything once and forks a sandbox whenever the judge asks for one.

It starts in an empty environment, gets into the place that its sandboxes see before it loads anything, and holds what
every sandbox may know: torch, the given code, tiny models. It runs no learner's code; its children do.
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

from rlhf_course.grading.sandbox import linux_syscalls
from rlhf_course.grading.sandbox.backends import Bounds, SandboxBackend, sandbox_backend

_WORD = 4096


@dataclass(frozen=True)
class ZygoteConfig:
    """What a zygote is told when it starts.

    Attributes:
        level: of isolation.
        bounds: of a sandbox.
        array_bytes: of tensors that a sandbox may send at once.
        language_model, classifier: folders of the tiny models.
        models: how many language models to boot ahead.
    """

    level: str
    bounds: Bounds
    array_bytes: int
    language_model: str
    classifier: str
    models: int

    def as_text(self) -> str:
        """The setup as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def of_text(cls, text: str) -> "ZygoteConfig":
        """The setup that JSON holds."""
        told = json.loads(text)
        return cls(**{**told, "bounds": Bounds(**told["bounds"])})


def main(handle: int, text: str) -> None:
    """Be a zygote.

    Args:
        handle: the open socket to the judge.
        text: a `ZygoteConfig` as JSON.
    """
    setup = ZygoteConfig.of_text(text)
    here = sandbox_backend(setup.level, setup.bounds)
    with socket.socket(fileno=handle) as control:
        try:
            here.prepare()
        except OSError as error:
            _tell(control, unavailable=str(error))
            return
        try:
            _load(setup)
            _tell(control, ready=True)
            _serve(control, here, setup.array_bytes)
        finally:
            here.close()


def _tell(control: socket.socket, **said: Any) -> None:
    control.sendall(json.dumps(said).encode() + b"\n")


def _load(setup: ZygoteConfig) -> None:
    """Load what answers need. No operation in here may run on several threads, which a fork would be without."""
    warnings.simplefilter("ignore")
    import torch

    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    from rlhf_course.checks import tiny
    from rlhf_course.course import EXERCISES
    from rlhf_course.grading.drivers import DRIVEN, model_pool

    tiny.premade_folders().update(gpt2=setup.language_model, classifier=setup.classifier)
    for exercise in EXERCISES:
        importlib.import_module(f"rlhf_course.checks.{exercise.part}.{exercise.module}")
        if exercise.name in DRIVEN:
            importlib.import_module(f"rlhf_course.grading.drivers.{exercise.part}.{exercise.module}")
    for module in ("trainer", "samples", "memory", "objective", "schedule", "rewards"):
        importlib.import_module(f"rlhf_course.rl.{module}")
    importlib.import_module("rlhf_course.grading.sandbox.worker")
    from rlhf_course.rl.classifier import LOCAL_CLASSIFIERS, load_classifier

    LOCAL_CLASSIFIERS["lvwerra/distilbert-imdb"] = Path(setup.classifier)
    load_classifier()
    model_pool.preload(setup.models)
    gc.collect()
    gc.freeze()  # a collection in a child would write to, and so copy, every page
    if sys.platform == "linux":
        linux_syscalls.gather_memory()


def _serve(control: socket.socket, here: SandboxBackend, array_bytes: int) -> None:
    """Start and end sandboxes as the judge asks, and end them all when it is gone."""
    running: dict[int, int] = {}
    while True:
        text, handles, _, _ = socket.recv_fds(control, _WORD, 1)
        if not text:
            break
        asked = json.loads(text)
        if "start" in asked:
            (handle,) = handles
            try:
                running[asked["start"]] = here.spawn(lambda home: _be_sandbox(handle, home, array_bytes), handle)
                _tell(control, started=asked["start"])
            except OSError as error:
                _tell(control, failed=str(error))
            os.close(handle)
        else:
            _tell(control, ended=here.end(running.pop(asked["end"]), asked["patience"]))
    for pid in running.values():
        here.end(pid, patience=0)


def _be_sandbox(handle: int, home: Path, array_bytes: int) -> None:
    from rlhf_course.grading.sandbox.worker import work

    with socket.socket(fileno=handle) as connection:
        work(connection, home, array_bytes)
