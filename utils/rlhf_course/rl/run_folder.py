"""What a run leaves on disk: settings, metrics, samples, a plot, checkpoints."""

import csv
import json
import os
import pickle
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import torch

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
    with open(file, newline="") as opened:
        rows = [{name: _number(value) for name, value in row.items()} for row in csv.DictReader(opened)]
    if [row.get("phase") for row in rows] != list(range(len(rows))):
        raise CourseError(f"{file} is damaged: its rows should be those of phases 0, 1, 2, …")
    return rows


def _read_samples(path: Path) -> list[dict[str, Any]]:
    """The samples of `samples.jsonl`; a last line that is being written, or was when the run died, is left out."""
    file = path / "samples.jsonl"
    *lines, unfinished = file.read_text().split("\n") if file.exists() else [""]
    try:
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
        try:
            path.mkdir(parents=True, exist_ok=True)
            _replace(path / "config.json", json.dumps(config, indent=2) + "\n")
        except OSError as error:
            raise CourseError(f"{path} cannot be written: {error.strerror}") from error
        return cls(path, [])

    @classmethod
    def reopen(cls, path: Path, phase: int, batch_size: int) -> "RunFolder":
        """A run's folder as it was after `phase` phases; what later phases wrote is dropped.

        Raises:
            CourseError: metrics or samples of these phases are missing or damaged; nothing has been changed then.
        """
        rows = [row for row in _read_metrics(path) if row["phase"] < phase]
        samples = [sample for sample in _read_samples(path) if sample["phase"] < phase]
        if len(rows) < phase:
            raise CourseError(f"{path / 'metrics.csv'} holds {len(rows)} phases, and the checkpoint is of {phase}: put it back")
        if len(samples) != phase * batch_size:
            raise CourseError(
                f"{path / 'samples.jsonl'} holds {len(samples)} samples of the first {phase} phases, which had "
                f"{phase * batch_size}: put it back"
            )
        _replace(path / "samples.jsonl", _lines(samples))
        folder = cls(path, rows)
        folder._write_metrics()
        return folder

    def add_phase(self, row: dict[str, Any], samples: list[dict[str, Any]]) -> None:
        """Record a phase's metrics and samples."""
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
        """Keep the state after `phase` phases; the newest two stay."""
        home = self.path / "checkpoints"
        home.mkdir(exist_ok=True)
        part = home / "checkpoint.part"
        torch.save(state, part)
        os.replace(part, home / f"phase_{phase:05d}.pt")
        for old in checkpoints(self.path)[:-_CHECKPOINTS_KEPT]:
            old.unlink()


def check_free(path: Path) -> None:
    """Refuse a folder that holds anything.

    Raises:
        CourseError: it does.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise CourseError(f"{path} is not empty: name a new folder, or go on with the run in it by --resume {path}")


def checkpoints(path: Path) -> list[Path]:
    """A run's checkpoints, oldest first."""
    return sorted((path / "checkpoints").glob("phase_*.pt"))


def load_config(path: Path) -> dict[str, Any]:
    """The settings of a run.

    Raises:
        CourseError: no run there, or a damaged `config.json`.
    """
    try:
        return json.loads((path / "config.json").read_text())
    except FileNotFoundError as error:
        raise CourseError(f"{path} holds no config.json, so no run can be resumed there") from error
    except (OSError, ValueError) as error:
        raise CourseError(f"{path / 'config.json'} cannot be read: {error}") from error


def load_checkpoint(path: Path) -> dict[str, Any]:
    """The newest checkpoint of a run, on the CPU. Nothing but tensors and plain values is loaded.

    Raises:
        CourseError: there is none, or it is damaged.
    """
    found = checkpoints(path)
    if not found:
        raise CourseError(f"{path} holds no checkpoint: the run stopped before its first one, so start it anew")
    newest = found[-1]
    try:
        return torch.load(newest, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        advice = f"delete it to go on from {found[-2].name}" if len(found) > 1 else "start the run anew"
        raise CourseError(f"checkpoint {newest} is damaged: {advice}") from error


def copy_run(source: Path, target: Path) -> Path:
    """Copy a run's folder, so that it goes on elsewhere; returns the copy.

    Raises:
        CourseError: the target is not empty.
    """
    load_config(source)
    check_free(target)
    shutil.copytree(source, target, dirs_exist_ok=True)
    return target


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
