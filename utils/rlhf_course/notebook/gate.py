"""Open the gate to training: a learner's code trains once the exercises that training needs pass."""

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rlhf_course.course import BY_NAME, DEFAULT_PART, PARTS_BY_NAME, Exercise, Part
from rlhf_course.errors import CourseError
from rlhf_course.learner_package import imported_answer
from rlhf_course.notebook import workspace
from rlhf_course.notebook.checking import check_all
from rlhf_course.notebook.exercise_progress import PASSED
from rlhf_course.notebook.guide import has_solution
from rlhf_course.notebook.messages import join_names, show_message
from rlhf_course.notebook.recorded import recorded_runs
from rlhf_course.notebook.run_cost import cost_sentence
from rlhf_course.notebook.session import current_session
from rlhf_course.notebook.short_runs import shortened
from rlhf_course.paths import SOLUTIONS
from rlhf_course.stubs import is_given

if TYPE_CHECKING:  # torch is loaded when a run starts
    from rlhf_course.rl.args import RLHFArgs
    from rlhf_course.rl.run_folder import RunFolder

_SENTIMENT = "reward_fn_sentiment_imdb"
# What the gate says of an exercise that use_reference names. To a learner, a reference is the frozen model.
_COURSE_ANSWER = "the course's answer"
_INTERRUPT = "To stop it, interrupt the kernel (■); in a terminal, press Ctrl-C."
# What makes a run short.
_SHORT = {"total_phases": 2, "warmup_steps": 0, "batch_size": 16, "gen_len": 8}


def open_training(use_reference: Iterable[str] = (), also: Iterable[str] = (), part: str = DEFAULT_PART.name) -> Any:
    """Check every exercise up to the trainer of a part, and return the learner's trainer if all pass.

    Args:
        use_reference: Exercises that the reference answers instead; this needs the folder `solutions/`.
        also: Further exercises that have to pass.
        part: The name of the part.

    Returns:
        The learner's trainer class; None if the gate is closed, for which a message gives the reason.
    """
    session = current_session()
    if busy := session.busy():
        show_message(f"The gate is closed: {busy}", status="error")
        return None
    return _opened(use_reference, also, part)


def _opened(use_reference: Iterable[str], also: Iterable[str], part: str, run: str | None = None) -> Any:
    """Open the gate; if it stays closed, the message says what can be done meanwhile in place of a run."""
    session = current_session()
    try:
        needed = [*_exercises_to_train(part), *(BY_NAME[name] for name in also)]
        needed = [exercise for exercise in needed if not is_given(workspace.read_answer(exercise))]
        session.substituted = _checked_reference(use_reference)
        statuses = check_all([exercise for exercise in needed if exercise.name not in session.substituted])
        workspace.load_all(session.substituted)
    except CourseError as error:
        session.substituted = ()
        show_message(f"The gate is closed: {error}", status="error")
        return None
    missing = [name for name, status in statuses.items() if status != PASSED]
    lines = [f"  {exercise.name}: {statuses.get(exercise.name, _COURSE_ANSWER)}" for exercise in needed]
    if missing:
        show_message(
            f"The gate is closed: {join_names(missing)} {'has' if len(missing) == 1 else 'have'} to pass first.",
            *lines,
            *_ways_on(run, missing, session.substituted),
            status="error",
        )
        return None
    show_message("The gate is open.", *lines, *_hidden_suite(), status="passed")
    return imported_answer(str(PARTS_BY_NAME[part].trainer))


def _ways_on(run: str | None, missing: list[str], substituted: tuple[str, ...]) -> list[str]:
    """Return lines on how to go on in the notebook while exercises do not pass.

    Args:
        run: The name of the run that was to be made.
        missing: The exercises that do not pass.
        substituted: The exercises that the reference answers already.
    """
    if run not in recorded_runs():
        return []
    lines = [f"To go on meanwhile, put a run of the course in place of yours: recorded_run({run!r})"]
    if all(has_solution(BY_NAME[name]) for name in missing):
        names = [*substituted, *missing]
        lines.append(f"The course's answers can fill the gap as well; call it with use_reference={names!r}")
    return lines


def _exercises_to_train(name: str) -> tuple[Exercise, ...]:
    """Return the exercises of a part up to its trainer.

    Raises:
        CourseError: There is no such part, or it has no trainer.
    """
    part: Part | None = PARTS_BY_NAME.get(name)
    if part is None or part.trainer is None:
        having = [part.name for part in PARTS_BY_NAME.values() if part.trainer is not None]
        raise CourseError(f"part takes the name of a part with a trainer, got {name!r}; they are {', '.join(having)}")
    return part.needed_to_train


class PreparedRun(NamedTuple):
    """A run that is ready to be trained: the learner's trainer, and the run's folder, which is not made yet."""

    trainer: Any
    path: Path


def train_run(
    run: str = "periods",
    *,
    use_reference: Iterable[str] = (),
    profile: str = "auto",
    out: str | Path | None = None,
    part: str = DEFAULT_PART.name,
    **overrides: Any,
) -> "RunFolder | None":
    """Train with the learner's trainer if the gate is open.

    Args:
        run: "collapse", "periods", "sentiment" or "overoptimise".
        use_reference: Exercises that the reference answers instead; the run's record names them.
        profile: "auto", "laptop", "gpu", "gpu-fast" or "gpu-large".
        out: The run's folder; by default a new one in `runs/`.
        part: The name of the part whose trainer is used.
        overrides: Fields of `RLHFArgs` that take the place of the run's.

    Returns:
        The run's folder, with its `path` and its `rows` of metrics; None if the gate is closed or the run failed, for
        which a message gives the reason.
    """
    prepared = prepare_run(run, use_reference=use_reference, profile=profile, out=out, part=part, **overrides)
    if prepared is None:
        return None
    try:
        folder: RunFolder = prepared.trainer.train(prepared.path)
        return folder
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
    part: str = DEFAULT_PART.name,
    how_to_stop: str = _INTERRUPT,
    **overrides: Any,
) -> PreparedRun | None:
    """Open the gate and make the trainer of a run. The caller calls `release_run` after training.

    Args:
        run, use_reference, profile, out, part, overrides: As for `train_run`.
        how_to_stop: The sentence that tells the learner how the run can be stopped.

    Returns:
        The trainer and the run's folder; None if the gate is closed or the settings are wrong, for which a message
        gives the reason.
    """
    session = current_session()
    if busy := session.busy():
        show_message(f"The run {run!r} was not made: {busy}", status="error")
        return None
    use_reference = [use_reference] if isinstance(use_reference, str) else list(use_reference)
    prepared = None
    try:
        from rlhf_course.rl.args import RLHFArgs
        from rlhf_course.rl.rewards import exercises_of_reward

        args = RLHFArgs.for_profile(profile, run, **shortened(overrides, _SHORT))
        also = dict.fromkeys([*exercises_of_reward(args.reward_fn), *([_SENTIMENT] if run == "sentiment" else [])])
        trainer_class = _opened(use_reference, also, part, _recorded_name(run, args))
        if trainer_class is not None:
            show_message(cost_sentence(args, how_to_stop))
            trainer = trainer_class(args)
            trainer.reference = sorted(session.substituted)
            prepared = PreparedRun(trainer, _free_folder(run) if out is None else Path(out))
    except CourseError as error:
        show_message(f"The run {run!r} was not made: {error}", status="error")
    finally:
        if prepared is None:
            release_run()
        else:
            session.training = prepared.path
    return prepared


def release_run() -> None:
    """End a run: checks and other runs are possible again, and the learner's answers replace the reference's."""
    session = current_session()
    session.training, session.substituted = None, ()
    with suppress(CourseError):
        workspace.load_all()


def _checked_reference(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names of the exercises that the reference is to answer, each once.

    Raises:
        CourseError: A name is not that of an exercise, or the solutions are not installed.
    """
    names = (names,) if isinstance(names, str) else tuple(dict.fromkeys(names))
    for name in names:
        if name not in BY_NAME:
            raise CourseError(f"use_reference takes names of exercises, got {name!r}; they are {', '.join(BY_NAME)}")
        if not (SOLUTIONS / BY_NAME[name].part).is_dir():
            raise CourseError(
                "use_reference needs the course's answers, and the folder solutions/ is not here: leave use_reference "
                "out"
            )
    return names


def _recorded_name(run: str, args: "RLHFArgs") -> str:
    return f"{run}-neg" if getattr(args.reward_fn, "direction", None) == "neg" else run


def _free_folder(run: str) -> Path:
    """Return the path of a folder in `runs/` that does not exist yet, named after a run and the time."""
    stem = Path("runs") / f"{run}-{datetime.now():%Y%m%d-%H%M%S}"
    number, path = 2, stem
    while path.exists():
        path, number = stem.with_name(f"{stem.name}-{number}"), number + 1
    return path


def _hidden_suite() -> list[str]:
    if not (SOLUTIONS.parent / "tests" / "hidden").is_dir():
        return []
    return ["The hidden tests can grade you too, in a terminal in the course's folder: rlhf-course grade notebooks/"]
