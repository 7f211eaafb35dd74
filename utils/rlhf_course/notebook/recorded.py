"""Give a run that the course's answers trained, for learners whose own code cannot train yet."""

from typing import TYPE_CHECKING

from rlhf_course.notebook.messages import show_message
from rlhf_course.paths import RECORDED_RUNS

if TYPE_CHECKING:  # it imports torch
    from rlhf_course.rl.run_folder import RunFolder


def recorded_runs() -> list[str]:
    """Return the names of the recorded runs."""
    return sorted(path.name for path in RECORDED_RUNS.iterdir() if path.is_dir())


def recorded_run(name: str = "periods") -> "RunFolder | None":
    """Return a run that the course's answers trained with the embedded model, in place of a run of one's own.

    Args:
        name: "collapse", "periods", "sentiment", "sentiment-neg" or "overoptimise".

    Returns:
        The run, with its `path` and its `rows` of metrics, as `train_run` returns it; None if there is no such run, for
        which a message gives the reason.
    """
    from rlhf_course.rl.run_folder import RunFolder, read_run

    if name not in recorded_runs():
        show_message(f"recorded_run takes {', '.join(recorded_runs())}, got {name!r}", status="error")
        return None
    path = RECORDED_RUNS / name
    run = read_run(path)
    kept, written = len(run.samples) // len(run.rows), run.config["args"]["batch_size"]
    message = [f"The recorded run {name}: the course's answers trained it. Your own run may differ in detail."]
    if kept < written:
        message.append(
            f"It keeps {kept} of the {written} texts of each phase, so its counts of different openings are lower than "
            f"those of all texts, and its share of distinct triples of words is higher."
        )
    show_message(*message)
    return RunFolder(path, run.rows)
