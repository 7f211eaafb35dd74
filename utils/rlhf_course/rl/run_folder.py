"""Write and read the folder of a run: settings, metrics, samples, plot and checkpoints."""

import csv
import json
import os
import pickle
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import torch
from filelock import Timeout

from rlhf_course.errors import CourseError
from rlhf_course.files import atomic_write, file_lock, write_text
from rlhf_course.rl.types import Row

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
_LOCK = "run.lock"
_MAX_CHECKPOINTS = 2
_CHECKPOINT_KEYS = (
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
    """The content of a run's folder.

    Attributes:
        config: The content of `config.json`: the settings by field name under "args", and the origin of the run.
        rows: The metrics of each phase, in order.
        samples: The samples of these phases, each with `phase, reward, ref_logprob, text`.
    """

    config: dict[str, Any]
    rows: list[dict[str, Any]]
    samples: list[dict[str, Any]]


def read_run(folder: str | Path) -> Run:
    """Read a run from its folder, also while it is being trained.

    Raises:
        CourseError: The folder holds no run, or one of its files is damaged.
    """
    path = Path(folder)
    rows = _read_metrics(path)
    return Run(load_config(path), rows, [sample for sample in _read_samples(path) if sample["phase"] < len(rows)])


def total_phases(config: Mapping[str, Any]) -> int:
    """Return the number of phases after which a run is finished: optimizer steps, where it learns from pairs."""
    if "total_phases" in config["args"]:
        return int(config["args"]["total_phases"])
    from rlhf_course.rl.preferences.args import PairArgs  # deferred: only a run on pairs needs it

    return PairArgs(**config["args"]).total_phases


def _read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return the rows of `metrics.csv`, whose phases count up from 0, or no rows where there is no such file yet."""
    file = path / "metrics.csv"
    if not file.exists():
        return []
    try:
        with open(file, newline="") as stream:
            rows = [{name: _parse_number(value) for name, value in row.items()} for row in csv.DictReader(stream)]
        consecutive = [row["phase"] for row in rows] == list(range(len(rows)))
    except (ValueError, TypeError, AttributeError, KeyError, csv.Error):
        consecutive = False
    if not consecutive:
        raise CourseError(f"{file} is damaged: its rows should be those of phases 0, 1, 2, …")
    return rows


def _read_samples(path: Path) -> list[dict[str, Any]]:
    """Return the samples of `samples.jsonl`, without a last line that is not written completely."""
    file = path / "samples.jsonl"
    try:
        *lines, _ = file.read_text().split("\n") if file.exists() else [""]
        return [sample for sample in map(json.loads, lines) if sample["phase"] >= 0]
    except (ValueError, TypeError, KeyError) as error:
        raise CourseError(f"{file} is damaged: each of its lines should hold one sample as JSON") from error


class RunFolder:
    """The folder of one run. Its files are replaced atomically; only `samples.jsonl` is appended to.

    Attributes:
        path: The folder.
        rows: The metrics of the finished phases, in order.
    """

    def __init__(self, path: Path, rows: list[dict[str, Any]]) -> None:
        self.path = path
        self.rows = rows

    @classmethod
    def create(cls, path: Path, config: dict[str, Any]) -> "RunFolder":
        """Write `config.json` of a new run into a folder that `new_folder` has locked for it."""
        write_config(path, config)
        return cls(path, [])

    @classmethod
    def reopen(cls, path: Path, phase: int, batch_size: int) -> "RunFolder":
        """Open the folder of a run after `phase` phases. Later phases stay in it until `truncate` is called.

        Raises:
            CourseError: Metrics or samples of these phases are missing or damaged.
        """
        rows = [row for row in _read_metrics(path) if row["phase"] < phase]
        if len(rows) < phase:
            raise CourseError(
                f"{path / 'metrics.csv'} holds {len(rows)} phases, and the newest checkpoint is of phase {phase}: "
                "restore the file, or start a new run"
            )
        samples = sum(sample["phase"] < phase for sample in _read_samples(path))
        if samples != phase * batch_size:
            raise CourseError(
                f"{path / 'samples.jsonl'} holds {samples} samples of the first {phase} phases, should hold "
                f"{phase * batch_size}: restore the file, or start a new run"
            )
        return cls(path, rows)

    def truncate(self, phase: int) -> None:
        """Delete the metrics and samples of `phase` and later phases, which are trained again."""
        self.rows = self.rows[:phase]
        samples = [sample for sample in _read_samples(self.path) if sample["phase"] < phase]
        with _write_errors(self.path):
            for interrupted in self.path.rglob("*.part"):  # of a process that was killed
                interrupted.unlink(missing_ok=True)
            write_text(self.path / "samples.jsonl", _json_lines(samples))
            self._write_metrics()

    def add_phase(self, row: dict[str, Any], samples: list[dict[str, Any]]) -> None:
        """Write a phase's metrics and samples.

        Raises:
            CourseError: They cannot be written.
        """
        with _write_errors(self.path):
            with open(self.path / "samples.jsonl", "a") as file:
                file.write(_json_lines(samples))
            self.rows.append(row)
            self._write_metrics()

    def _write_metrics(self) -> None:
        columns = [*METRICS, *dict.fromkeys(name for row in self.rows for name in row if name not in METRICS)]
        with atomic_write(self.path / "metrics.csv") as temporary, open(temporary, "w", newline="") as file:
            writer = csv.DictWriter(file, columns, restval="")
            writer.writeheader()
            writer.writerows(self.rows)

    def draw(
        self,
        above: tuple[str, str] = ("mean_reward", "mean reward"),
        below: tuple[str, str] = ("kl", "KL to reference\n(nats a token)"),
    ) -> Path:
        """Plot two metrics against the phase into `reward.png`, each given by its name and its label.

        Returns:
            The path of the plot.
        """
        from matplotlib.figure import Figure  # deferred: a run is read without it

        figure = Figure(figsize=(8, 5), layout="constrained")
        both = figure.subplots(2, sharex=True, height_ratios=(2, 1))
        phases = [row["phase"] for row in self.rows]
        for axes, (name, label), color in zip(both, (above, below), ("#0072b2", "#d55e00"), strict=True):
            axes.plot(phases, [row[name] for row in self.rows], color=color)
            axes.set(ylabel=label)
            axes.grid(alpha=0.3)
        both[0].set(title=self.path.name)
        both[1].set(xlabel="phase")
        with atomic_write(self.path / "reward.png") as temporary:
            figure.savefig(temporary, format="png", dpi=110)
        return self.path / "reward.png"

    def has_checkpoint(self, phase: int) -> bool:
        """Return whether there is a checkpoint after `phase` phases."""
        return (self.path / "checkpoints" / f"phase_{phase:05d}.pt").is_file()

    def save_checkpoint(self, phase: int, state: dict[str, Any]) -> None:
        """Write a checkpoint of the state after `phase` phases, and delete all but the newest two.

        Raises:
            CourseError: It cannot be written; older checkpoints are unchanged.
        """
        folder = self.path / "checkpoints"
        with _write_errors(folder):
            folder.mkdir(exist_ok=True)
            # Torch reports a full disk by its own name only when it writes to a file object.
            with atomic_write(folder / f"phase_{phase:05d}.pt") as temporary, open(temporary, "wb") as file:
                torch.save(state, file)
        for old in checkpoints(self.path)[:-_MAX_CHECKPOINTS]:
            old.unlink()


def check_free(path: Path) -> None:
    """Check that a new run can use a folder.

    Raises:
        CourseError: The folder holds something, other than what a run leaves that ended before its first checkpoint,
            or its name is not valid.
    """
    with _write_errors(path):
        free = not path.exists() or (path.is_dir() and (not any(path.iterdir()) or _is_unstarted(path)))
    if not free:
        raise CourseError(f"{path} is not empty: name a new folder, or continue the run in it with --resume {path}")


def _is_unstarted(path: Path) -> bool:
    """Return whether a folder holds nothing but what a run writes before its first checkpoint."""
    files = {file for file in path.rglob("*") if file != path / "checkpoints" and file.suffix != ".part"}
    return path / _LOCK in files and files <= {path / _LOCK, path / "config.json"}


def claim_folder(parent: Path, name: str) -> Path:
    """Make a new folder of that name, or with a number behind it where another run has the name already.

    Raises:
        CourseError: It cannot be made.
    """
    for number in count(1):
        path = parent / (name if number == 1 else f"{name}-{number}")
        with _write_errors(path), suppress(FileExistsError):
            path.mkdir(parents=True)
            return path
    raise AssertionError("there are infinitely many numbers")


@contextmanager
def new_folder(path: Path) -> Iterator[None]:
    """Make and lock the folder of a new run until the block ends. Of several processes, one gets the folder.

    Raises:
        CourseError: The folder is not empty, or it cannot be written to.
    """
    check_free(path)
    with _write_errors(path):
        path.mkdir(parents=True, exist_ok=True)
    with locked(path):
        check_free(path)  # another process may have been faster
        yield


def write_config(path: Path, config: dict[str, Any]) -> None:
    """Write `config.json` of a run.

    Raises:
        CourseError: It cannot be written.
    """
    with _write_errors(path):
        write_text(path / "config.json", json.dumps(config, indent=2) + "\n")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Lock a run's folder until the block ends, so that no other process or thread trains in it.

    Raises:
        CourseError: It is locked already.
    """
    with _write_errors(path):
        try:
            lock = file_lock(path / _LOCK, timeout=0).acquire()
        except Timeout as error:  # an OSError, too
            raise CourseError(
                f"{path} is being trained already: wait until it has finished, or name the folder of a copy with --out"
            ) from error
    with lock:
        yield


def checkpoints(path: Path) -> list[Path]:
    """Return a run's checkpoints, oldest first."""
    return sorted((path / "checkpoints").glob("phase_*.pt"))


def load_config(path: Path) -> dict[str, Any]:
    """Read `config.json` of a run.

    Raises:
        CourseError: The folder holds no run, or `config.json` is damaged.
    """
    try:
        config = json.loads((path / "config.json").read_text())
    except FileNotFoundError as error:
        raise CourseError(f"{path} has no config.json, so it holds no run: name the folder of a run") from error
    except (OSError, ValueError) as error:
        raise CourseError(
            f"{path / 'config.json'} cannot be read: {error}: restore the file, or start a new run"
        ) from error
    if (
        not isinstance(config, dict)
        or not isinstance(config.get("args"), dict)
        or not {"run_name", "code", "wandb_id"} <= set(config)
    ):
        raise CourseError(
            f"{path / 'config.json'} was not written by this version of the course: restore the file, or "
            "start a new run"
        )
    return config


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Load the newest checkpoint of a run onto the CPU. Only tensors and plain values are unpickled.

    Raises:
        CourseError: There is none, it is damaged, or its settings differ from those in `config.json`.
    """
    files = checkpoints(path)
    if not files:
        raise CourseError(f"{path} has no checkpoint: start a new run in another folder")
    newest = files[-1]
    advice = f"delete it to resume from {files[-2].name}" if len(files) > 1 else "start a new run in another folder"
    try:
        state = torch.load(newest, map_location="cpu", weights_only=True)
        missing = [key for key in _CHECKPOINT_KEYS if key not in state]
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
            f"{path / 'config.json'} has been edited: the run was trained with another {', '.join(edited)}; "
            "restore the file, or start a new run with these settings"
        )
    return state


def copy_run(source: Path, target: Path) -> Path:
    """Copy a run's folder, so that the copy can be resumed, and return the copy's path.

    Raises:
        CourseError: The target is not empty.
    """
    load_config(source)
    check_free(target)
    with locked(source), _write_errors(target):
        shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.lock", "*.part"))
    return target


def locations(path: Path, code: Path, folder: Path) -> dict[str, Any]:
    """Return what `config.json` records of the folders that a run needs; `located` finds them again.

    Args:
        path: The run's folder.
        code: The folder of the parts' packages.
        folder: The folder in which the run was started, from which reward functions are imported.
    """
    absolute = {"code": str(code), "folder": str(folder)}
    relative = {name: os.path.relpath(place, path.resolve()) for name, place in absolute.items()}
    return {**absolute, "relative_to_this_file": relative}


def located(path: Path, config: dict[str, Any], name: str) -> Path:
    """Return the folder that a run recorded as "code" or "folder".

    A folder that was renamed or copied together with the run is found by its path from the run's folder.
    """
    recorded = Path(config[name])
    relative = config.get("relative_to_this_file", {}).get(name)
    beside = (path.resolve() / relative).resolve() if relative is not None else recorded
    return beside if beside.is_dir() else recorded


@contextmanager
def _write_errors(path: Path) -> Iterator[None]:
    """Turn an error while writing in the block into a CourseError with the file's name."""
    try:
        yield
    except OSError as error:
        raise CourseError(f"{error.filename or path} cannot be written: {error.strerror or error}") from error
    except RuntimeError as error:  # torch.save raises it after the error of the file system
        cause = error.__context__
        reason = cause.strerror if isinstance(cause, OSError) else "torch did not finish it; the disk may be full"
        raise CourseError(f"{path} cannot be written: {reason}") from error


def _json_lines(samples: list[Row]) -> str:
    """Return the samples as JSON, one in each line."""
    return "".join(json.dumps(sample) + "\n" for sample in samples)


def _parse_number(text: str) -> float | int | str:
    """Return a cell of the metrics as a number, or as the text that it is."""
    for number_type in (int, float):
        try:
            return number_type(text)
        except ValueError:
            continue
    return text
