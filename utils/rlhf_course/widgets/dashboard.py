"""Show the training dashboard: a run's curves and samples, earlier runs, and buttons to pause, resume and stop it."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlhf_course.display import in_notebook
from rlhf_course.errors import CourseError
from rlhf_course.widgets.dashboard_model import DashboardModel, View
from rlhf_course.widgets.training import TrainingThread

if TYPE_CHECKING:  # it imports torch, which is loaded when a run starts
    from rlhf_course.rl.run_folder import RunFolder


class Dashboard:
    """The result of `dashboard`: the run that is shown.

    Attributes:
        training: The thread that trains the run; None if no run is trained here.
    """

    def __init__(self, running: TrainingThread | None, folder: "RunFolder | None") -> None:
        self.training = running
        self._folder = folder

    def _ipython_display_(self) -> None:
        """Display nothing: `dashboard` has displayed the run already."""

    async def finished(self) -> "RunFolder | None":
        """Wait until the run has ended, by itself or by Stop; the buttons work meanwhile.

        Returns:
            The run's folder, with its `path` and its `rows` of metrics; None if there is no run, for which a message
            gave the reason.

        Raises:
            Exception: The exception that ended a failed run, unless it is a CourseError, which the dashboard shows.
        """
        if self.training is None:
            return self._folder
        await self.training.wait()
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

    The cell ends at once; `await dashboard(…).finished()` waits for the run. Outside a notebook the run is trained in
    the foreground, with a progress bar.

    Args:
        run: "collapse", "periods", "sentiment" or "overoptimise".
        folder: The folder of a run, finished or not, that is shown; then nothing is trained.
        use_reference: The exercises for which the reference is used; the run's record names them.
        profile: "auto", "laptop", "gpu", "gpu-fast" or "gpu-large".
        out: The run's folder; by default a new one in `runs/`.
        overrides: Fields of `RLHFArgs` that take precedence over the run's.

    Returns:
        The dashboard, whose `finished()` waits for the run.
    """
    if folder is not None:
        return _show_folder(Path(folder))
    from rlhf_course.notebook.gate import prepare_run, release_run, train_run

    if not in_notebook():
        return Dashboard(None, train_run(run, use_reference=use_reference, profile=profile, out=out, **overrides))
    how_to_stop = "The button Stop ends it after the current phase."
    prepared = prepare_run(
        run, use_reference=use_reference, profile=profile, out=out, how_to_stop=how_to_stop, **overrides
    )
    if prepared is None:
        return Dashboard(None, None)
    try:
        return _start(prepared.trainer, prepared.path, release_run)
    except BaseException:
        release_run()
        raise


def _start(trainer: Any, path: Path, release: Callable[[], None]) -> Dashboard:
    model = DashboardModel.from_trainer(trainer, path)

    def on_end() -> None:
        try:
            model.on_end()
        finally:
            release()

    thread = model.training = TrainingThread(trainer, path, model.add_phase, on_end)
    model.display(_make_view)
    model.budget.start()
    thread.start()
    return Dashboard(thread, None)


def _show_folder(path: Path) -> Dashboard:
    from rlhf_course.rl.run_folder import RunFolder

    try:
        model = DashboardModel.from_folder(path)
        model.display(_make_view)
    except CourseError as error:
        _show_error(f"dashboard: {error}")
        return Dashboard(None, None)
    return Dashboard(None, RunFolder(path, model.rows))


def _make_view(model: DashboardModel) -> View:
    from rlhf_course.widgets.dashboard_view import DashboardView  # ipywidgets loads only in a notebook

    return DashboardView(model)


def _show_error(message: str) -> None:
    from rlhf_course.notebook.messages import show_message

    show_message(message, status="error")
