"""Runs from the command line: from names and flags to a trainer."""

from pathlib import Path
from typing import Any

from rlhf_course.code import exercise, use_code
from rlhf_course.errors import CourseError
from rlhf_course.rl.args import RLHFArgs
from rlhf_course.rl.rewards import named_reward
from rlhf_course.rl.run_folder import RunFolder, check_free, copy_run, load_checkpoint, load_config


def start_run(
    out: Path | None,
    run: str,
    profile: str,
    reward: str | None,
    direction: str | None,
    code: Path,
    given: dict[str, Any],
) -> RunFolder:
    """Train from the beginning.

    Args:
        out: the run's folder, or None for a new one in `runs/`.
        run, profile: what fills in the settings.
        reward, direction: the reward by name, where it is not the run's own.
        code: the folder that holds the `part1_rlhf` to train with.
        given: fields of `RLHFArgs` that win over the run's.

    Raises:
        CourseError: something named does not exist, a setting is wrong, or the folder is in use.
    """
    if out is not None:
        check_free(out)
    use_code(code)
    args = RLHFArgs.for_profile(profile, run, **given)
    if reward is not None or direction is not None:
        name = reward or getattr(args.reward_fn, "name")
        args.reward_fn = named_reward(name, direction or "pos")
    return exercise("RLHFTrainer")(args).train(out)


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
        settings["reward_fn"] = named_reward(**settings["reward_fn"])
        args = RLHFArgs(**settings)
    except (KeyError, TypeError) as error:
        raise CourseError(f"{path / 'config.json'} is not of a run of this version: {error}") from error
    if out is not None and out.resolve() != path.resolve():
        path = copy_run(path, out)
    return exercise("RLHFTrainer")(args).train(path, resume=True)
