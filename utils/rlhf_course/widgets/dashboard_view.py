"""Define the dashboard's ipywidgets: buttons, status, curves and samples."""

from typing import Any

import ipywidgets as ipw

from rlhf_course.errors import CourseError
from rlhf_course.widgets import training
from rlhf_course.widgets.controls import button, int_slider
from rlhf_course.widgets.dashboard_model import DashboardModel
from rlhf_course.widgets.output import escape_html, status_html


class DashboardView:
    """The widgets that show a dashboard model.

    Args:
        model: The model, whose methods the buttons call.

    Attributes:
        widget: The container of all widgets.
        status: The status text.
        image: The curves.
        table: The samples.
    """

    def __init__(self, model: DashboardModel) -> None:
        self.model = model
        self.status, self.image, self.table = ipw.HTML(), ipw.HTML(), ipw.HTML()
        self.pause = button("Pause", "Pause the run after the current optimizer step", self._on_pause)
        self.resume = button("Resume", "Resume the paused run", self._on_resume, disabled=True)
        self.stop = button("Stop", "Stop the run after the current phase, and keep it", self._on_stop)
        self.reload = button("Read again", "Read the run's folder again", self._on_reload)
        self.phase = int_slider("samples of phase", 0, 0, 0)
        self.phase.disabled = True
        self.phase.observe(self._on_phase, "value")
        self.earlier = ipw.SelectMultiple(
            options=model.other_runs(),
            rows=4,
            description="compare with",
            style={"description_width": "120px"},
            layout=ipw.Layout(width="420px"),
        )
        self.earlier.observe(self._on_earlier, "value")
        buttons = [self.reload] if model.training is None else [self.pause, self.resume, self.stop]
        controls = ipw.HBox([ipw.VBox([ipw.HBox(buttons), self.phase]), self.earlier])
        self.widget = ipw.VBox([controls, self.status, self.image, self.table])

    def show_status(self, html: str) -> None:
        """Show the status text."""
        self.status.value = status_html(html)

    def show_curves(self, html: str) -> None:
        """Show the picture of the curves."""
        self.image.value = html

    def show_samples(self, html: str) -> None:
        """Show the table of samples."""
        self.table.value = html

    def enable_controls(self, status: str, phases: int) -> None:
        """Enable the controls that can be used in a status, and extend the slider to the finished phases."""
        self.pause.disabled = status != training.TRAINING
        self.resume.disabled = status != training.PAUSED
        self.stop.disabled = status not in (training.TRAINING, training.PAUSED)
        if phases and self.phase.max != phases - 1:
            # `_on_phase` ignores a disabled slider, so this move does not count as the learner's.
            self.phase.disabled = True
            self.phase.max = self.phase.value = phases - 1
        self.phase.disabled = status in (training.TRAINING, training.PAUSED, training.STOPPING) or not phases

    def _on_pause(self, _: Any) -> None:
        self.model.pause()

    def _on_resume(self, _: Any) -> None:
        self.model.resume()

    def _on_stop(self, _: Any) -> None:
        self.model.stop()

    def _on_reload(self, _: Any) -> None:
        self.model.reload()

    def _on_phase(self, change: Any) -> None:
        if not self.phase.disabled:
            self.model.update_samples(change["new"])

    def _on_earlier(self, change: Any) -> None:
        try:
            self.model.compare(change["new"])
        except CourseError as error:
            self.show_status(escape_html(f"compare: {error}"))
