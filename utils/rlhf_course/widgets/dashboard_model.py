"""Hold the state of the dashboard, which is one run's metrics and samples, and decide when to redraw it."""

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from rlhf_course.errors import CourseError
from rlhf_course.rl.run_folder import Run, load_config, read_run, total_phases
from rlhf_course.widgets import training
from rlhf_course.widgets.curves_view import draw_curves
from rlhf_course.widgets.drawing import Picture
from rlhf_course.widgets.numbers.budget import Budget
from rlhf_course.widgets.numbers.curves import Curves, Spread, curves, reward_spread, reward_spreads, run_folders
from rlhf_course.widgets.numbers.status import describe_latest_phase, describe_pace, describe_status
from rlhf_course.widgets.numbers.tokens import ScoredText
from rlhf_course.widgets.output import DisplayedOutput, StaticOutput, escape_html, show, status_html
from rlhf_course.widgets.samples_view import LEGEND, samples_table, samples_text
from rlhf_course.widgets.scoring import Scorer, unscored

_MAX_SAMPLES = 4
_READ = "read"


class View(Protocol):
    """The interface of the widgets that show a dashboard model; `DashboardView` implements it."""

    widget: Any

    def show_status(self, html: str) -> None: ...

    def show_curves(self, html: str) -> None: ...

    def show_samples(self, html: str) -> None: ...

    def enable_controls(self, status: str, phases: int) -> None: ...


class DashboardModel:
    """A run that the dashboard shows, from the thread that trains it or from its folder.

    Args:
        path: The run's folder.
        total_phases: The number of phases after which the run will be finished.
        make_scorer: A function that makes the scorer of the run's samples; it is called when they are first scored.

    Attributes:
        training: The thread that trains the run; None for a run that was read from its folder.
        view: The widgets; None outside a notebook.
    """

    def __init__(self, path: Path, total_phases: int, make_scorer: Callable[[], Scorer]) -> None:
        self.path, self.total_phases = path, total_phases
        self.rows: list[dict[str, Any]] = []
        self.spreads: list[Spread] = []
        self.samples: dict[int, list[Mapping[str, Any]]] = {}
        self.budget = Budget()
        self.training: training.TrainingThread | None = None
        self.earlier: dict[str, Curves] = {}
        self.view: View | None = None
        self._make_scorer = make_scorer
        self._scorer: Scorer | None = None
        self._redraws: list[tuple[str, Callable[[], object]]] = [
            ("curves", self.update_curves),
            ("samples", self.update_samples),
        ]
        self._output = DisplayedOutput(None)
        self._samples_html, self._samples_text = "", ""
        self._lock = threading.RLock()

    @classmethod
    def from_trainer(cls, trainer: Any, path: Path) -> "DashboardModel":
        """Return the model of a run that is about to be trained."""
        return cls(path, trainer.args.total_phases, lambda: Scorer.from_trainer(trainer))

    @classmethod
    def from_folder(cls, path: Path) -> "DashboardModel":
        """Return the model of a run in a folder, finished or not.

        Raises:
            CourseError: The folder holds no run, or a damaged one.
        """
        run = read_run(path)
        model = cls(path, total_phases(run.config), lambda: Scorer.from_config(load_config(path)))
        model.load(run)
        return model

    @property
    def status(self) -> str:
        """The status of the thread, or "read" for a run that was read from its folder."""
        return self.training.status if self.training else _READ

    # The run.

    def load(self, run: Run) -> None:
        """Replace metrics and samples by those of a run that was read from its folder."""
        self.rows, self.spreads = list(run.rows), reward_spreads(run.samples)
        self.samples = {}
        self._add_samples(run.samples)

    def add_phase(self, row: dict[str, Any], samples: Sequence[Mapping[str, Any]]) -> None:
        """Add a phase: its status is shown at once, curves and samples when the budget allows.

        Args:
            row: The phase's metrics.
            samples: The phase's samples.
        """
        with self._lock:
            self.rows.append(row)
            self.spreads.append(reward_spread([sample["reward"] for sample in samples]))
            self._add_samples(samples)
            try:
                self._redraw_within_budget()
            except Exception as error:  # an error of the display must not end the run
                if self.view is not None:
                    message = escape_html(repr(error))
                    self.view.show_status(f"The dashboard cannot be drawn ({message}); the run goes on.")

    def _redraw_within_budget(self) -> None:
        self.budget.run("status", self.update_status)
        for _ in range(len(self._redraws)):
            task, redraw = self._redraws[0]
            if not self.budget.allows(task):
                break
            self.budget.run(task, redraw)
            self._redraws.append(self._redraws.pop(0))

    def on_end(self) -> None:
        """Show the run as it ended, and update the static output."""
        with self._lock:
            self.update_all()
            self.update_static_output()

    def _add_samples(self, samples: Sequence[Mapping[str, Any]]) -> None:
        for sample in samples:
            self.samples.setdefault(sample["phase"], []).append(sample)

    # The controls.

    def pause(self) -> None:
        """Pause the run and show it. The static output is updated too, which would slow down a run that goes on."""
        if self.training is not None:
            self.training.pause()
        with self._lock:
            self.update_status()
            self.update_curves()
            self.update_static_output()

    def resume(self) -> None:
        """Resume a paused run."""
        if self.training is not None:
            self.training.resume()
        self.update_status()

    def stop(self) -> None:
        """Stop the run after the current phase."""
        if self.training is not None:
            self.training.stop()
        self.update_status()

    def reload(self) -> None:
        """Read the run's folder again, and show its present content."""
        with self._lock:
            self.load(read_run(self.path))
            self.on_end()

    def compare(self, names: Sequence[str]) -> None:
        """Draw earlier runs beside this one.

        Args:
            names: The names of their folders, which are siblings of this run's folder.

        Raises:
            CourseError: A folder holds no run, or a damaged one.
        """
        with self._lock:
            self.earlier = {
                name: self.earlier.get(name) or curves(read_run(self.path.parent / name).rows) for name in names
            }
            self.update_curves()

    def other_runs(self) -> list[str]:
        """Return the names of the runs that this one can be compared with."""
        return [path.name for path in run_folders(self.path.parent) if path.name != self.path.name]

    # The display.

    def display(self, make_view: Callable[["DashboardModel"], View]) -> None:
        """Display the dashboard.

        Args:
            make_view: A function that makes the widgets; it is called only in a notebook.
        """

        def make_widget() -> Any:
            self.view = make_view(self)
            return self.view.widget

        if self.rows:
            self._render_samples()
        self._output = show(make_widget, self._static_output(self._draw_curves()))
        # The first drawing in a process is slow; this second one shows what later drawings cost.
        self.budget.set_cost("curves", self.update_curves())
        self.update_status()
        if self.view is not None:
            self.view.show_samples(self._samples_html)

    def update_all(self) -> None:
        """Redraw status, curves and samples."""
        self.update_status()
        self.update_curves()
        self.update_samples()

    def update_status(self) -> None:
        """Show the status and the latest metrics, and enable the controls that can be used now."""
        if self.view is not None:
            lines = [self._status_line()]
            if self.status in (training.TRAINING, training.PAUSED):
                lines.append(describe_pace(self.rows, self.total_phases))
            lines.append(describe_latest_phase(self.rows, self.spreads))
            self.view.show_status("<br>".join(escape_html(line) for line in lines if line))
            self.view.enable_controls(self.status, len(self.rows))

    def update_curves(self) -> float:
        """Redraw the curves, and return the seconds that it took."""
        if self.view is None:
            return 0.0
        picture = self._draw_curves(with_png=False)
        self.view.show_curves(picture.svg_html())
        return picture.seconds

    def update_samples(self, phase: int | None = None) -> None:
        """Score and show samples of a phase, by default of the latest."""
        if self.view is not None and self.rows:
            self._render_samples(phase)
            self.view.show_samples(self._samples_html)

    def update_static_output(self) -> None:
        """Replace the static output by one of the dashboard's present state."""
        with self._lock:
            self._output.update(self._static_output(self._draw_curves()))

    def _static_output(self, picture: Picture) -> StaticOutput:
        lines = (self._status_line(), describe_latest_phase(self.rows, self.spreads))
        html = status_html("<br>".join(map(escape_html, lines))) + picture.png_html() + self._samples_html
        return StaticOutput(html, "\n".join([*lines, picture.alt, self._samples_text]).strip())

    def _status_line(self) -> str:
        error = self.training.error if self.training else None
        return describe_status(self.status, len(self.rows), self.total_phases, self.path, error)

    def _draw_curves(self, with_png: bool = True) -> Picture:
        length = self.total_phases
        if self.status not in (training.TRAINING, training.PAUSED, training.STOPPING):
            length = max([len(self.rows), *(len(run.phases) for run in self.earlier.values())])
        return draw_curves(self.path.name, curves(self.rows, self.spreads), self.earlier, length, with_png)

    def _render_samples(self, phase: int | None = None) -> None:
        """Render samples of a phase, the one with the largest reward first, as HTML and as text."""
        phase = self.rows[-1]["phase"] if phase is None else phase
        samples = self.samples.get(phase, [])
        if not samples:  # a run that learns from pairs samples nothing
            self._samples_html = self._samples_text = ""
            return
        best = sorted(samples, key=lambda sample: -sample["reward"])[:1]
        chosen = best + [sample for sample in samples if sample is not best[0]][: _MAX_SAMPLES - 1]
        title = f"Phase {phase}: the text with the largest reward, then the first ones of the rollout"
        texts, note = self._score(chosen)
        self._samples_html = samples_table(texts, title) + status_html(note)
        self._samples_text = samples_text(texts, title)

    def _score(self, samples: Sequence[Mapping[str, Any]]) -> tuple[list[ScoredText], str]:
        try:
            if self._scorer is None:
                self._scorer = self._make_scorer()
            return self._scorer.score(samples), LEGEND
        except Exception as error:  # the model may be missing, and the learner's functions may raise anything
            reason = (
                str(error)
                if isinstance(error, CourseError)
                else f"{type(error).__name__} in get_logprobs or in the reward function"
            )
            return [unscored(sample) for sample in samples], f"Without colours: {escape_html(reason)}."
