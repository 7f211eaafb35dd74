"""The training dashboard: a run's curves and samples while it trains, buttons to pause, resume and stop it, earlier runs."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlhf_course.display import in_notebook
from rlhf_course.errors import CourseError
from rlhf_course.widgets import training
from rlhf_course.widgets.board import board_of_folder, board_of_trainer

if TYPE_CHECKING:  # torch loads when a run starts
    from rlhf_course.rl.run_folder import RunFolder


class Dashboard:
    """What `dashboard` returns: the run that is shown.

    Attributes:
        training: the run in its thread; None where none is being trained here.
    """

    def __init__(self, running: training.Training | None, folder: "RunFolder | None") -> None:
        self.training = running
        self._folder = folder

    def _ipython_display_(self) -> None:
        """The board is on the page already: a cell that ends with it shows nothing more."""

    async def finished(self) -> "RunFolder | None":
        """Wait until the run has ended, by itself or by Stop. The buttons answer meanwhile.

        Returns: the run's folder, with its `path` and its `rows` of metrics; None where there was no run, which is said.
        """
        if self.training is None:
            return self._folder
        await self.training.finished()
        error = self.training.error
        if error is not None and not isinstance(error, CourseError):
            raise error
        return self.training.folder


def dashboard(
    run: str = "periods",
    *,
    folder: str | Path | None = None,
    use_reference: Iterable[str] = (),
    profile: str = "auto",
    out: str | Path | None = None,
    **overrides: Any,
) -> Dashboard:
    """Train with the learner's trainer, if the gate is open, and show the run while it trains.

    The cell ends at once; `await dashboard(…).finished()` waits for the run. Outside a notebook the run is trained in the
    foreground, with a progress bar.

    Args:
        run: collapse, periods or sentiment.
        folder: show the run in this folder, whether it has ended or not, and train nothing.
        use_reference: exercises that the reference answers instead; the run's record names them.
        profile: auto, laptop, gpu, gpu-fast or gpu-large.
        out: the run's folder; by default a new one in `runs/`.
        overrides: fields of `RLHFArgs` that win over the run's.
    """
    if folder is not None:
        return _from_folder(Path(folder))
    from rlhf_course.notebook.gate import prepare_run, release_run, train_run

    if not in_notebook():
        return Dashboard(None, train_run(run, use_reference=use_reference, profile=profile, out=out, **overrides))
    prepared = prepare_run(run, use_reference=use_reference, profile=profile, out=out, **overrides)
    if prepared is None:
        return Dashboard(None, None)
    try:
        return _start(prepared.trainer, prepared.path, release_run)
    except BaseException:
        release_run()
        raise


def _start(trainer: Any, path: Path, release: Callable[[], None]) -> Dashboard:
    board = board_of_trainer(trainer, path)

    def ended() -> None:
        try:
            board.end()
        finally:
            release()

    board.training = training.Training(trainer, path, board.add_phase, ended)
    board.display()
    board.budget.begin()
    board.training.start()
    return Dashboard(board.training, None)


def _from_folder(path: Path) -> Dashboard:
    from rlhf_course.rl.run_folder import RunFolder

    try:
        board = board_of_folder(path)
        board.display()
    except CourseError as error:
        _say(f"dashboard: {error}")
        return Dashboard(None, None)
    return Dashboard(None, RunFolder(path, board.rows))


def _say(message: str) -> None:
    from rlhf_course.notebook.messages import show_message

    show_message(message, status="error")
