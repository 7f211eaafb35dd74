"""Runs from the command line: from names and flags to a trainer."""

import sys
import traceback
from pathlib import Path
from typing import Any

from rlhf_course.errors import CourseError
from rlhf_course.learner_package import trainer_class, use_code
from rlhf_course.rl.args import RewardFn, RLHFArgs
from rlhf_course.rl.rewards import DIRECTED, named_reward
from rlhf_course.rl.run_folder import RunFolder, check_free, copy_run, load_checkpoint, load_config


def start_run(
    out: Path | None,
    run: str,
    profile: str,
    reward: str | None,
    direction: str | None,
    code: Path,
    given: dict[str, Any],
    lean: bool = False,
) -> RunFolder:
    """Train from the beginning.

    Args:
        out: the run's folder, or None for a new one in `runs/`.
        run, profile: what fills in the settings.
        reward, direction: the reward by name, where it is not the run's own.
        code: the folder that holds the part's package to train with.
        given: fields of `RLHFArgs` that win over the run's.
        lean: train with the solutions' trainer that wastes nothing; `code` is the solutions then.

    Raises:
        CourseError: something named does not exist, a setting is wrong, or the folder is in use.
    """
    if out is not None:
        check_free(out)
    use_code(code)
    _search_for_modules(Path.cwd())
    args = RLHFArgs.for_profile(profile, run, **given)
    if reward is not None or direction is not None:
        args.reward_fn = _chosen_reward(reward or args.reward_fn.name, direction)
    return _trained(args, out, lean)


def _chosen_reward(name: str, direction: str | None) -> RewardFn:
    reward_fn = named_reward(name, direction or "pos")
    if direction is not None and name not in DIRECTED:
        raise CourseError(f"--direction goes with --reward {' or '.join(DIRECTED)}; {name} has none")
    return reward_fn


def _search_for_modules(folder: Path) -> None:
    """Let rewards be imported from a folder, as `python -m` would; what is installed comes first."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def _trained(args: RLHFArgs, out: Path | None, lean: bool, resume: bool = False) -> RunFolder:
    """Train with the code in use, or with the lean trainer.

    Raises:
        CourseError: an exercise of it is not written yet.
    """
    try:
        return trainer_class(lean)(args).train(out, resume=resume)
    except NotImplementedError as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        raise CourseError(
            f"{frame.name} is not written yet ({Path(frame.filename).name}, line {frame.lineno})"
        ) from error


def resume_run(path: Path, out: Path | None = None) -> RunFolder:
    """Go on with a run, in its own folder or in a copy of it.

    Raises:
        CourseError: there is no whole run there, or the copy's folder is in use.
    """
    config = load_config(path)
    load_checkpoint(path)
    try:
        settings = dict(config["args"])
        use_code(config["code"])  # first: the reward may live beside the learner's code
        _search_for_modules(Path(config["folder"]))
        settings["reward_fn"] = named_reward(**settings["reward_fn"])
        args = RLHFArgs(**settings)
    except (KeyError, TypeError) as error:
        raise CourseError(f"{path / 'config.json'} is not of a run of this version: {error}") from error
    if out is not None and out.resolve() != path.resolve():
        path = copy_run(path, out)
    return _trained(args, path, bool(config.get("lean")), resume=True)
