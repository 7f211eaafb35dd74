"""Start and resume runs from the command line's names and flags."""

import inspect
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rlhf_course.course import DEFAULT_PART
from rlhf_course.errors import CourseError
from rlhf_course.learner_package import code_in_use, package_root, parts_in, trainer_class, use_code
from rlhf_course.rl.args import RLHFArgs
from rlhf_course.rl.models import BridgeModel
from rlhf_course.rl.phase_runs import PHASE_RUNS, exercises_of_run, resume_phase_run, start_phase_run
from rlhf_course.rl.policy_gradients.group_trainer import GroupTrainer
from rlhf_course.rl.rewards import DIRECTED, describe_reward, exercises_of_reward, named_reward
from rlhf_course.rl.run_folder import (
    RunFolder,
    check_free,
    copy_run,
    load_checkpoint,
    load_config,
    located,
)
from rlhf_course.rl.trainer import Trainer
from rlhf_course.rl.types import RewardFn
from rlhf_course.stubs import NOT_WRITTEN

# Called before training with the folder of the answers and the names of the exercises that the run needs. It raises a
# CourseError where one does not pass.
RequirePassing = Callable[[Path, Sequence[str]], None]


def start_run(
    out: Path | None,
    run: str,
    profile: str,
    reward: str | None,
    direction: str | None,
    code: Path,
    given: dict[str, Any],
    lean: bool = False,
    require_passing: RequirePassing | None = None,
) -> RunFolder:
    """Start a new run.

    Args:
        out: The run's folder, or None for a new one in `runs/`.
        run, profile: The named run and the kind of machine whose settings are used.
        reward, direction: The name and direction of the reward, or None for the run's own.
        code: The folder that holds the part's package to train with.
        given: Fields of `RLHFArgs`, which take precedence over the run's.
        lean: Train with the solutions' lean trainer; `code` is the solutions then.
        require_passing: Checks the answers before training; None for no check.

    Raises:
        CourseError: A name is unknown, a setting has a wrong value, or the folder is in use.
    """
    if out is not None:
        check_free(out)
    root = use_code(code)
    _add_to_search_path(Path.cwd())
    if run in PHASE_RUNS:
        if reward is not None or direction is not None or lean or profile != "auto":
            raise CourseError(
                f"--run {run} has its own reward and trainer: leave out --reward, --direction, --profile and --lean"
            )
        if require_passing is not None:
            require_passing(root, exercises_of_run(run))
        return _without_stubs(lambda: start_phase_run(run, out, given))
    if run == "overoptimise" and reward is None:
        raise CourseError(
            "--run overoptimise needs a reward model: --reward reward-model:FOLDER, with the folder of a run of "
            "--run reward_model"
        )
    args = RLHFArgs.for_profile(profile, run, **given)
    if reward is not None or direction is not None:
        name = reward or describe_reward(args.reward_fn)["name"]
        args.reward_fn = _reward_in_direction(name, direction)
    return _train(args, out, lean, None if lean else require_passing)


def _reward_in_direction(name: str, direction: str | None) -> RewardFn:
    """Return a reward by name, and refuse a direction for one that has none."""
    reward_fn = named_reward(name, direction or "pos")
    if direction is not None and name not in DIRECTED:
        raise CourseError(f"--direction needs --reward {' or '.join(DIRECTED)}; {name} has no direction")
    return reward_fn


def _add_to_search_path(folder: Path) -> None:
    """Let reward functions be imported from a folder, as with `python -m`, but after the installed packages."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def _train(
    args: RLHFArgs, out: Path | None, lean: bool, require_passing: RequirePassing | None, resume: bool = False
) -> RunFolder:
    """Train with the trainer of the code in use, or with the lean trainer.

    Raises:
        CourseError: An exercise that the trainer calls does not pass, or is not written yet.
    """
    if require_passing is not None:
        needed = [exercise.name for exercise in DEFAULT_PART.needed_to_train]
        require_passing(code_in_use(), [*needed, *exercises_of_reward(args.reward_fn)])
    return _without_stubs(lambda: trainer_class(lean)(args).train(out, resume=resume))


def _without_stubs(train: Callable[[], RunFolder]) -> RunFolder:
    """Train, and say which exercise is not written yet if one is a stub.

    Raises:
        CourseError: An exercise that training calls is not written yet.
    """
    try:
        return train()
    except NotImplementedError as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        if not _is_unwritten(error, frame.filename):
            raise  # of a reward or of torch
        raise CourseError(
            f"{frame.name} is not written yet ({Path(frame.filename).name}, line {frame.lineno})"
        ) from error


def _is_unwritten(error: NotImplementedError, file: str) -> bool:
    """Return whether an error that was raised in a file is a stub's, or a base class's whose method is missing."""
    bases = map(inspect.getfile, (Trainer, BridgeModel, GroupTrainer))
    return error.args == (NOT_WRITTEN,) or (not error.args and file in bases)


def resume_run(
    path: Path, out: Path | None = None, code: Path | None = None, require_passing: RequirePassing | None = None
) -> RunFolder:
    """Resume a run, in its own folder or in a copy of it.

    Args:
        path: The run's folder.
        out: The folder of the copy, or None.
        code: The folder that holds the part's package, or None for the one that the run was trained with.
        require_passing: Checks the answers before training; None for no check.

    Raises:
        CourseError: The folder does not hold a complete run, the copy's folder is in use, or the code is gone.
    """
    config = load_config(path)
    load_checkpoint(path)  # refuses a damaged run before anything is copied or imported
    if config.get("kind") in PHASE_RUNS:
        root = _use_code_of(path, config, code)
        if require_passing is not None:
            require_passing(root, exercises_of_run(config["kind"]))
        copy = path if out is None or out.resolve() == path.resolve() else copy_run(path, out)
        return _without_stubs(lambda: resume_phase_run(copy))
    try:
        settings = dict(config["args"])
        _use_code_of(path, config, code)  # before the reward is imported, which may be in the learner's folder
        _add_to_search_path(located(path, config, "folder"))
        settings["reward_fn"] = named_reward(**settings["reward_fn"])
        args = RLHFArgs(**settings)
    except (KeyError, TypeError, AttributeError) as error:
        raise CourseError(f"{path / 'config.json'} was not written by this version of the course: {error}") from error
    if out is not None and out.resolve() != path.resolve():
        path = copy_run(path, out)
    lean = bool(config.get("lean"))
    return _train(args, path, lean, None if lean else require_passing, resume=True)


def _use_code_of(path: Path, config: dict[str, Any], code: Path | None) -> Path:
    """Import the parts' packages from the folder that the caller names, or from the run's own, and return the folder.

    Raises:
        CourseError: The folder holds no part, or the caller names one for a run with the solutions' lean trainer.
    """
    if code is None:
        found = located(path, config, "code")
        if not parts_in(package_root(found)):
            raise CourseError(
                f"the code of this run is no longer in {found}: name the folder that holds it now with --code"
            )
        return use_code(found)
    if config.get("lean"):
        raise CourseError("this run was trained with --lean, the solutions' own trainer: leave out --code")
    return use_code(code)
