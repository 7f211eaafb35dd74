"""The steps of `JudgedAutograde` on one notebook."""

from typing import Any

from nbformat.v4 import new_markdown_cell
from nbgrader.api import Gradebook
from nbgrader.preprocessors import NbGraderPreprocessor
from nbgrader.utils import is_grade, is_solution

from rlhf_course.course import BY_NAME, Exercise
from rlhf_course.nbgrader_course.cells import known_cells, restore
from rlhf_course.nbgrader_course.outputs import judged_output, notes_cell, unjudged_output

_CHECK, _EXERCISE = "check-", "exercise-"
# Characters of an answer that are shown.
_LONGEST = 100_000


class _Step(NbGraderPreprocessor):
    """A preprocessor that works for `JudgedAutograde`."""

    @property
    def converter(self) -> Any:
        """The `JudgedAutograde` at work; between it and a preprocessor stands the exporter."""
        return self.parent.parent


class RestoreCells(_Step):
    """Brings a submitted notebook back to the released cells, and writes on top what was found."""

    def preprocess(self, notebook: Any, resources: Any) -> tuple[Any, Any]:
        """Restore one notebook; see the class."""
        place = resources["nbgrader"]
        with Gradebook(place["db_url"]) as gradebook:
            known = known_cells(gradebook.find_notebook(place["notebook"], place["assignment"]))
        done = restore(notebook, known)
        problem = place.get("problem")
        notes = [problem] if problem else done.notes
        self.converter.to_review = done.to_review
        for note in notes:
            self.log.warning("%s, %s: %s", place["student"], place["notebook"], note)
        # What concerns the submission as a whole stands on its first notebook.
        notes = [*self.converter.notes, *notes]
        self.converter.notes = []
        if notes:
            done.notebook.cells.insert(0, new_markdown_cell(notes_cell(notes)))
        return done.notebook, resources


class JudgeAnswers(_Step):
    """Puts what the judge found in the place of every autograded cell's outputs; other outputs stay as the learner left them.

    An exercise's cell shows the text that was judged, which may be that of a file.
    """

    def preprocess_cell(self, cell: Any, resources: Any, cell_index: int) -> tuple[Any, Any]:
        """Write one cell; see the class."""
        if cell.cell_type != "code" or not (is_grade(cell) or is_solution(cell)):
            return cell, resources
        marks = cell.metadata["nbgrader"]
        if is_grade(cell) and not is_solution(cell):
            cell.execution_count = None
            cell.outputs = [self._output(marks["grade_id"], float(marks["points"]))]
        elif marks["grade_id"].removeprefix(_EXERCISE) in BY_NAME:
            self._show_what_was_judged(cell, BY_NAME[marks["grade_id"].removeprefix(_EXERCISE)])
        return cell, resources

    def _show_what_was_judged(self, cell: Any, exercise: Exercise) -> None:
        text = self.converter.answers.get(exercise.path)
        if text is not None and text.strip() not in cell.source:
            cell.source = f"%%exercise {exercise.name}\n{text.rstrip()[:_LONGEST]}"
            cell.outputs = []

    def _output(self, grade_id: str, points: float) -> Any:
        judgement = self.converter.judgement
        exercise = grade_id.removeprefix(_CHECK)
        if judgement.result is not None and grade_id.startswith(_CHECK) and exercise in judgement.result.exercises:
            return judged_output(judgement.result.exercises[exercise], points)
        self.converter.to_review.add(grade_id)
        return unjudged_output(judgement.reason or "This cell is no exercise's check; the judge does not run it.")


class FlagForAPerson(_Step):
    """Marks in the gradebook what a person has to look at, after nbgrader has saved the scores."""

    def preprocess(self, notebook: Any, resources: Any) -> tuple[Any, Any]:
        """Flag one notebook's cells; see the class."""
        place = resources["nbgrader"]
        if self.converter.to_review:
            with Gradebook(place["db_url"]) as gradebook:
                for name in sorted(self.converter.to_review):
                    gradebook.find_grade(
                        name, place["notebook"], place["assignment"], place["student"]
                    ).needs_manual_grade = True
                gradebook.db.commit()
        return notebook, resources
