"""The dashboard's widgets."""

from typing import TYPE_CHECKING, Any

import ipywidgets as ipw

from rlhf_course.errors import CourseError
from rlhf_course.widgets import training
from rlhf_course.widgets.controls import button, whole_slider
from rlhf_course.widgets.showing import escaped, words

if TYPE_CHECKING:
    from rlhf_course.widgets.board import Board


class Face:
    """Buttons, words, curves and samples of a board.

    Attributes:
        widget: everything, to be displayed.
        image: the curves.
        table: the samples.
    """

    def __init__(self, board: "Board") -> None:
        self.board = board
        self.words, self.image, self.table = ipw.HTML(), ipw.HTML(), ipw.HTML()
        self.pause = button("Pause", "Hold the run after the optimizer step it is in", self._on_pause)
        self.resume = button("Resume", "Let the run go on", self._on_resume, disabled=True)
        self.stop = button("Stop", "End the run after the phase it is in, and keep it", self._on_stop)
        self.again = button("Read again", "Read the run's folder once more", self._on_again)
        self.phase = whole_slider("samples of phase", 0, 0, 0)
        self.phase.disabled = True
        self.phase.observe(self._on_phase, "value")
        self.earlier = ipw.SelectMultiple(
            options=board.others(),
            rows=4,
            description="compare with",
            style={"description_width": "120px"},
            layout=ipw.Layout(width="420px"),
        )
        self.earlier.observe(self._on_earlier, "value")
        buttons = [self.again] if board.training is None else [self.pause, self.resume, self.stop]
        top = ipw.HBox([ipw.VBox([ipw.HBox(buttons), self.phase]), self.earlier])
        self.widget = ipw.VBox([top, self.words, self.image, self.table])

    def show_message(self, text: str) -> None:
        """Show where the run stands."""
        self.words.value = words(text)

    def fit(self, status: str, done: int) -> None:
        """Enable what can be done now."""
        self.pause.disabled = status != training.TRAINING
        self.resume.disabled = status != training.PAUSED
        self.stop.disabled = status not in (training.TRAINING, training.PAUSED)
        if done and self.phase.max != done - 1:
            # Disabled, so that its move here is not taken for the learner's.
            self.phase.disabled = True
            self.phase.max = self.phase.value = done - 1
        self.phase.disabled = status in (training.TRAINING, training.PAUSED, training.STOPPING) or not done

    def _on_pause(self, _: Any) -> None:
        self.board.training.pause()
        self.board.hold()

    def _on_resume(self, _: Any) -> None:
        self.board.training.unpause()
        self.board.show_words()

    def _on_stop(self, _: Any) -> None:
        self.board.training.stop()
        self.board.show_words()

    def _on_again(self, _: Any) -> None:
        self.board.read_again()

    def _on_phase(self, change: Any) -> None:
        if not self.phase.disabled:
            self.board.show_samples(change["new"])

    def _on_earlier(self, change: Any) -> None:
        try:
            self.board.compare(change["new"])
        except CourseError as error:
            self.show_message(escaped(f"compare: {error}"))
