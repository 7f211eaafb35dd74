"""The gate to training: what the learner has written trains, once it passes."""

import importlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rlhf_course.course import BY_NAME, EXERCISES
from rlhf_course.errors import CourseError
from rlhf_course.learner_package import PACKAGE
from rlhf_course.notebook import workspace
from rlhf_course.notebook.checking import PASSED, check_all
from rlhf_course.notebook.messages import join_names, show_message
from rlhf_course.paths import SOLUTIONS

if TYPE_CHECKING:  # torch loads when a run starts
    from rlhf_course.rl.run_folder import RunFolder

_TRAINER = "RLHFTrainer"
_SENTIMENT = "reward_fn_sentiment_imdb"
_SHORT = {"total_phases": 2, "warmup_steps": 0, "batch_size": 16, "gen_len": 8}


def open_training(use_reference: Iterable[str] = (), also: Iterable[str] = ()) -> Any:
    """Check every exercise up to the trainer, and hand out the learner's trainer when all pass.

    Args:
        use_reference: exercises that the reference answers instead, where `solutions/` is at hand.
        also: further exercises that have to pass.

    Returns: the learner's `RLHFTrainer`, or None while something is missing; what is missing is said.
    """
    if busy := workspace.busy():
        show_message(f"The gate is closed: {busy}", status="error")
        return None
    try:
        filled = _known(use_reference)
        needed = [*EXERCISES[: EXERCISES.index(BY_NAME[_TRAINER]) + 1], *(BY_NAME[name] for name in also)]
        if filled and not (SOLUTIONS / PACKAGE).is_dir():
            raise CourseError("use_reference needs the folder solutions/ of the course, which is not here")
        workspace.substitute(filled)
        statuses = check_all([exercise for exercise in needed if exercise.name not in filled])
        workspace.load_all()
    except CourseError as error:
        workspace.substitute(())
        show_message(f"The gate is closed: {error}", status="error")
        return None
    missing = [name for name, status in statuses.items() if status != PASSED]
    lines = [f"  {exercise.name}: {statuses.get(exercise.name, 'the reference answers')}" for exercise in needed]
    if missing:
        show_message(
            f"The gate is closed: {join_names(missing)} {'has' if len(missing) == 1 else 'have'} to pass first.",
            *lines,
            status="error",
        )
        return None
    show_message("The gate is open.", *lines, *_hidden_suite(), status="passed")

    return importlib.import_module(PACKAGE).RLHFTrainer


class Prepared(NamedTuple):
    """A run that is ready to be trained: the learner's trainer, and the folder that the run will be in."""

    trainer: Any
    path: Path


def train_run(
    run: str = "periods",
    *,
    use_reference: Iterable[str] = (),
    profile: str = "auto",
    out: str | Path | None = None,
    **overrides: Any,
) -> "RunFolder | None":
    """Train with the learner's trainer, if the gate is open.

    Args:
        run: collapse, periods or sentiment.
        use_reference: exercises that the reference answers instead; the run's record names them.
        profile: auto, laptop, gpu, gpu-fast or gpu-large.
        out: the run's folder; by default a new one in `runs/`.
        overrides: fields of `RLHFArgs` that win over the run's.

    Returns: the run's folder, with its `path` and its `rows` of metrics; None where the gate is closed or the run could not be made, which is said.
    """
    prepared = prepare_run(run, use_reference=use_reference, profile=profile, out=out, **overrides)
    if prepared is None:
        return None
    try:
        return prepared.trainer.train(prepared.path)
    except CourseError as error:
        show_message(f"The run {run!r} was not made: {error}", status="error")
        return None
    finally:
        release_run()


def prepare_run(
    run: str,
    *,
    use_reference: Iterable[str] = (),
    profile: str = "auto",
    out: str | Path | None = None,
    **overrides: Any,
) -> Prepared | None:
    """Open the gate and make the trainer of a run; `release_run` is called when it has been trained.

    Args: as `train_run` takes them.

    Returns: None where the gate is closed or there can be no such run, which is said.
    """
    if busy := workspace.busy():
        show_message(f"The run {run!r} was not made: {busy}", status="error")
        return None
    use_reference = [use_reference] if isinstance(use_reference, str) else list(use_reference)
    prepared = None
    try:
        from rlhf_course.rl.args import RLHFArgs

        short = _SHORT if os.environ.get("RLHF_COURSE_SHORT") == "1" else {}
        args = RLHFArgs.for_profile(profile, run, **{**overrides, **short})
        uses_classifier = getattr(args.reward_fn, "name", None) == "sentiment-imdb"
        also = [_SENTIMENT] if run == "sentiment" or uses_classifier else []
        trainer_class = open_training(use_reference, also)
        if trainer_class is not None:
            show_message(_cost(args))
            trainer = trainer_class(args)
            trainer.reference = sorted(workspace.substituted())
            prepared = Prepared(trainer, _free_folder(run) if out is None else Path(out))
    except CourseError as error:
        show_message(f"The run {run!r} was not made: {error}", status="error")
    finally:
        if prepared is None:
            release_run()
        else:
            workspace.in_training = prepared.path
    return prepared


def release_run() -> None:
    """Open the desk again: to checks, to another run, and with the learner's answers where the reference's stood in."""
    workspace.in_training = None
    with _quiet():
        workspace.substitute(())
        workspace.load_all()


@contextmanager
def _quiet() -> Iterator[None]:
    try:
        yield
    except CourseError:
        pass


def _known(names: Iterable[str]) -> list[str]:
    names = [names] if isinstance(names, str) else list(names)
    for name in names:
        if name not in BY_NAME:
            raise CourseError(f"use_reference takes names of exercises, got {name!r}; they are {', '.join(BY_NAME)}")
    return names


def _free_folder(run: str) -> Path:
    stem = Path("runs") / f"{run}-{datetime.now():%Y%m%d-%H%M%S}"
    number, path = 2, stem
    while path.exists():
        path, number = stem.with_name(f"{stem.name}-{number}"), number + 1
    return path


def _hidden_suite() -> list[str]:
    if not (SOLUTIONS.parent / "tests" / "hidden").is_dir():
        return []
    return ["In this clone the hidden tests can grade you as well: rlhf-course grade notebooks/"]


def _cost(args: Any) -> str:
    """What a run costs, said before it starts."""
    import torch

    from rlhf_course.rl.device import pick_device
    from rlhf_course.rl.gpu import split_name

    on_cpu, threads = pick_device().type == "cpu", torch.get_num_threads()
    cost = estimate(args, threads if on_cpu else None)
    where = (
        f"on {threads} CPU core{'s' if threads > 1 else ''}" if on_cpu else "on a recent GPU (computed, not measured)"
    )
    size = "" if split_name(args.base_model)[0] in _SIZES else " (if the model is about as large as GPT-2 small)"
    return (
        f"{args.total_phases} phases of {args.batch_size} texts of {args.gen_len} tokens with {args.base_model}: "
        f"about {cost.gigabytes:.1f} GB of memory and {_as_time(cost.seconds)} {where}{size}. "
        "It can be stopped with Ctrl-C or the stop button."
    )


def _as_time(seconds: float) -> str:
    minutes = round(seconds / 60)
    return "less than a minute" if minutes < 1 else f"{minutes} minute{'s' if minutes > 1 else ''}"


class _Size(NamedTuple):
    """Of a model, before it is loaded; by the names that its configuration has for them."""

    parameters: float
    d_vocab: int
    n_layers: int
    d_model: int


_SIZES = {
    "embedded": _Size(2.4e6, 3072, 4, 192),
    "gpt2-small": _Size(124e6, 50257, 12, 768),
    "gpt2-medium": _Size(355e6, 50257, 24, 1024),
}
_PROCESS = 0.6  # gigabytes of Python and torch by themselves
# Multiplications and additions a second: of one CPU core, as `benchmarks/profiles.py` measured it with the embedded model; of a
# recent GPU in float32, as a small part of what its maker promises. More cores help, but each less than the one before.
_ONE_CORE, _GPU = 7e10, 5e12
_MORE_CORES = 0.7
_PREFIX = 3


class Cost(NamedTuple):
    """Roughly what a run takes."""

    gigabytes: float
    seconds: float


def estimate(args: Any, threads: int | None) -> Cost:
    """Rough cost of a run: memory as `needed_bytes` has it, seconds by the passes over every token.

    Args:
        args: the run's settings.
        threads: of the processor; None for a GPU.
    """
    from rlhf_course.rl.gpu import split_name
    from rlhf_course.rl.memory_need import needed_bytes, peak_bytes

    size, seq_len = _SIZES.get(split_name(args.base_model)[0], _SIZES["gpt2-small"]), args.gen_len + _PREFIX
    peak = peak_bytes(needed_bytes(args, size, size.parameters, seq_len))
    # Sampling, policy and reference read every token once; learning reads it forward and backward in each of its passes.
    passes = 3 + 3 * args.batches_per_learning_phase
    speed = _GPU if threads is None else _ONE_CORE * threads**_MORE_CORES
    seconds = args.total_phases * 2 * size.parameters * args.batch_size * seq_len * passes / speed
    return Cost(_PROCESS + peak / 2**30, seconds)
