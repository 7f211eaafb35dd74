"""What a run leaves on disk: settings, metrics, samples, a plot, checkpoints."""

import csv
import json
import os
import pickle
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from filelock import FileLock, Timeout

from rlhf_course.errors import CourseError

METRICS = (
    "phase",
    "mean_reward",
    "objective",
    "clipped_surrogate",
    "value_loss",
    "entropy",
    "kl",
    "clipfrac",
    "mean_value",
    "lr",
    "seconds",
)
_CHECKPOINTS_KEPT = 2
# What a checkpoint holds.
_STATE = (
    "args",
    "phase",
    "step",
    "model",
    "optimizer",
    "scheduler",
    "torch_rng",
    "cuda_rng",
    "python_rng",
    "numpy_rng",
)


class Run(NamedTuple):
    """What a run has left so far.

    Attributes:
        config: what `config.json` holds: settings by field name under "args", and where the run came from.
        rows: the metrics of each phase, in order.
        samples: the texts of these phases, each with `phase, reward, ref_logprob, text`.
    """

    config: dict[str, Any]
    rows: list[dict[str, Any]]
    samples: list[dict[str, Any]]


def read_run(folder: str | Path) -> Run:
    """Read a run from its folder, whether it has ended or is still being trained.

    Raises:
        CourseError: no run there, or a file of it is damaged.
    """
    path = Path(folder)
    rows = _read_metrics(path)
    return Run(load_config(path), rows, [sample for sample in _read_samples(path) if sample["phase"] < len(rows)])


def _read_metrics(path: Path) -> list[dict[str, Any]]:
    """The rows of `metrics.csv`, of phases that follow each other from 0; none where there is no such file yet."""
    file = path / "metrics.csv"
    if not file.exists():
        return []
    try:
        with open(file, newline="") as opened:
            rows = [{name: _number(value) for name, value in row.items()} for row in csv.DictReader(opened)]
        whole = [row["phase"] for row in rows] == list(range(len(rows)))
    except (ValueError, TypeError, AttributeError, KeyError, csv.Error):
        whole = False
    if not whole:
        raise CourseError(f"{file} is damaged: its rows should be those of phases 0, 1, 2, …")
    return rows


def _read_samples(path: Path) -> list[dict[str, Any]]:
    """The samples of `samples.jsonl`; a last line that is being written, or was when the run died, is left out."""
    file = path / "samples.jsonl"
    try:
        *lines, _ = file.read_text().split("\n") if file.exists() else [""]
        return [sample for sample in map(json.loads, lines) if sample["phase"] >= 0]
    except (ValueError, TypeError, KeyError) as error:
        raise CourseError(f"{file} is damaged: each of its lines should hold one sample as JSON") from error


class RunFolder:
    """The folder of one run. Every file in it is replaced whole or appended to, never left half-written.

    Attributes:
        path: the folder.
        rows: the metrics of the phases so far, in order.
    """

    def __init__(self, path: Path, rows: list[dict[str, Any]]) -> None:
        self.path = path
        self.rows = rows

    @classmethod
    def create(cls, path: Path, config: dict[str, Any]) -> "RunFolder":
        """A new run's folder, holding its `config.json`.

        Raises:
            CourseError: something is there already, or nothing can be written there.
        """
        check_free(path)
        with _writing(path):
            path.mkdir(parents=True, exist_ok=True)
            _replace(path / "config.json", json.dumps(config, indent=2) + "\n")
        return cls(path, [])

    @classmethod
    def reopen(cls, path: Path, phase: int, batch_size: int) -> "RunFolder":
        """A run's folder, as it was after `phase` phases once `cut` is called.

        Raises:
            CourseError: metrics or samples of these phases are missing or damaged.
        """
        rows = [row for row in _read_metrics(path) if row["phase"] < phase]
        if len(rows) < phase:
            raise CourseError(
                f"{path / 'metrics.csv'} holds {len(rows)} phases, and the newest checkpoint is of phase {phase}: put the file "
                "back as it was, or start a new run"
            )
        samples = sum(sample["phase"] < phase for sample in _read_samples(path))
        if samples != phase * batch_size:
            raise CourseError(
                f"{path / 'samples.jsonl'} holds {samples} samples of the first {phase} phases, which had {phase * batch_size}: "
                "put the file back as it was, or start a new run"
            )
        return cls(path, rows)

    def cut(self, phase: int) -> None:
        """Drop what phases from `phase` on have written: they are done again."""
        self.rows = self.rows[:phase]
        kept = [sample for sample in _read_samples(self.path) if sample["phase"] < phase]
        with _writing(self.path):
            _replace(self.path / "samples.jsonl", _lines(kept))
            self._write_metrics()

    def add_phase(self, row: dict[str, Any], samples: list[dict[str, Any]]) -> None:
        """Record a phase's metrics and samples.

        Raises:
            CourseError: the disk does not take them.
        """
        with _writing(self.path):
            with open(self.path / "samples.jsonl", "a") as file:
                file.write(_lines(samples))
            self.rows.append(row)
            self._write_metrics()

    def _write_metrics(self) -> None:
        columns = [*METRICS, *dict.fromkeys(name for row in self.rows for name in row if name not in METRICS)]
        part = self.path / "metrics.csv.part"
        with open(part, "w", newline="") as file:
            writer = csv.DictWriter(file, columns, restval="")
            writer.writeheader()
            writer.writerows(self.rows)
        os.replace(part, self.path / "metrics.csv")

    def draw(self) -> Path:
        """Draw reward and KL against phases into `reward.png`; returns its path."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(8, 5), layout="constrained")
        reward, kl = figure.subplots(2, sharex=True, height_ratios=(2, 1))
        phases = [row["phase"] for row in self.rows]
        reward.plot(phases, [row["mean_reward"] for row in self.rows], color="#0072b2")
        reward.set(ylabel="mean reward", title=self.path.name)
        kl.plot(phases, [row["kl"] for row in self.rows], color="#d55e00")
        kl.set(ylabel="KL to reference\n(nats a token)", xlabel="phase")
        for axes in (reward, kl):
            axes.grid(alpha=0.3)
        part = self.path / "reward.png.part"
        figure.savefig(part, format="png", dpi=110)
        os.replace(part, self.path / "reward.png")
        return self.path / "reward.png"

    def has_checkpoint(self, phase: int) -> bool:
        """Whether the state after `phase` phases is kept."""
        return (self.path / "checkpoints" / f"phase_{phase:05d}.pt").is_file()

    def save_checkpoint(self, phase: int, state: dict[str, Any]) -> None:
        """Keep the state after `phase` phases; the newest two stay.

        Raises:
            CourseError: the disk does not take it; older ones are as they were.
        """
        home = self.path / "checkpoints"
        part = home / "checkpoint.part"
        with _writing(home):
            home.mkdir(exist_ok=True)
            torch.save(state, part)
            os.replace(part, home / f"phase_{phase:05d}.pt")
        for old in checkpoints(self.path)[:-_CHECKPOINTS_KEPT]:
            old.unlink()


def check_free(path: Path) -> None:
    """Refuse a folder that holds anything.

    Raises:
        CourseError: it does, or its name cannot be one.
    """
    with _writing(path):
        free = not path.exists() or (path.is_dir() and not any(path.iterdir()))
    if not free:
        raise CourseError(f"{path} is not empty: name a new folder, or go on with the run in it by --resume {path}")


@contextmanager
def owned(path: Path) -> Iterator[None]:
    """Keep a run's folder from every other process, and thread, that would train in it.

    Raises:
        CourseError: another one has it.
    """
    try:
        with FileLock(path / "run.lock", blocking=False):
            yield
    except Timeout as error:
        raise CourseError(
            f"{path} is being trained already: wait for its end, or name a copy's folder with --out"
        ) from error


def checkpoints(path: Path) -> list[Path]:
    """A run's checkpoints, oldest first."""
    return sorted((path / "checkpoints").glob("phase_*.pt"))


def load_config(path: Path) -> dict[str, Any]:
    """The settings of a run.

    Raises:
        CourseError: no run there, or a damaged `config.json`.
    """
    try:
        config = json.loads((path / "config.json").read_text())
    except FileNotFoundError as error:
        raise CourseError(f"{path} holds no config.json, so no run can be resumed there") from error
    except (OSError, ValueError) as error:
        raise CourseError(f"{path / 'config.json'} cannot be read: {error}") from error
    if (
        not isinstance(config, dict)
        or not isinstance(config.get("args"), dict)
        or not {"run_name", "code", "wandb_id"} <= set(config)
    ):
        raise CourseError(
            f"{path / 'config.json'} is not of a run of this version: put the file back, or start a new run"
        )
    return config


def load_checkpoint(path: Path) -> dict[str, Any]:
    """The newest checkpoint of a run, on the CPU. Nothing but tensors and plain values is loaded.

    Raises:
        CourseError: there is none, it is damaged, or it is of other settings than `config.json`.
    """
    found = checkpoints(path)
    if not found:
        raise CourseError(f"{path} holds no checkpoint: start the run anew in another folder")
    newest = found[-1]
    advice = f"delete it to go on from {found[-2].name}" if len(found) > 1 else "start the run anew in another folder"
    try:
        state = torch.load(newest, map_location="cpu", weights_only=True)
        missing = [key for key in _STATE if key not in state]
        settings, trained = load_config(path)["args"], state.get("args")
    except CourseError:
        raise
    except (
        OSError,
        RuntimeError,
        EOFError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        pickle.UnpicklingError,
    ) as error:
        raise CourseError(f"checkpoint {newest} is damaged: {advice}") from error
    if missing:
        raise CourseError(f"checkpoint {newest} lacks {', '.join(missing)}: {advice}")
    if edited := sorted(name for name in {*settings, *trained} if settings.get(name) != trained.get(name)):
        raise CourseError(
            f"{path / 'config.json'} has been edited: its {', '.join(edited)} is not what the run was trained with; put it back "
            "as it was, or start a new run with these settings"
        )
    return state


def copy_run(source: Path, target: Path) -> Path:
    """Copy a run's folder, so that it goes on elsewhere; returns the copy.

    Raises:
        CourseError: the target is not empty.
    """
    load_config(source)
    check_free(target)
    with owned(source), _writing(target):
        shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.lock", "*.part"))
    return target


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn what a disk refuses into one message."""
    try:
        yield
    except OSError as error:
        raise CourseError(f"{error.filename or path} cannot be written: {error.strerror or error}") from error
    except RuntimeError as error:  # how torch says it
        raise CourseError(f"{path} cannot be written: {str(error).splitlines()[0]}") from error


def _lines(samples: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(sample) + "\n" for sample in samples)


def _replace(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    os.replace(part, path)


def _number(text: str) -> float | int | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
