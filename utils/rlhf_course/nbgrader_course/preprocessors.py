"""Define the preprocessors that `JudgedAutograde` runs on each notebook."""

from typing import Any

from nbformat.v4 import new_markdown_cell
from nbgrader.api import Gradebook
from nbgrader.preprocessors import ClearHiddenTests, NbGraderPreprocessor
from nbgrader.utils import is_grade, is_locked, is_solution
from traitlets import List

from rlhf_course.course import BY_NAME, Exercise
from rlhf_course.nbgrader_course.cells import known_cells, restore
from rlhf_course.nbgrader_course.clean import clean_notebook
from rlhf_course.nbgrader_course.outputs import judged_output, notes_cell, unjudged_output

CHECK_PREFIX, _EXERCISE_PREFIX = "check-", "exercise-"
# The largest number of characters of an answer that a cell shows.
_MAX_SHOWN = 100_000


class _AutogradePreprocessor(NbGraderPreprocessor):
    """A preprocessor that `JudgedAutograde` runs."""

    @property
    def converter(self) -> Any:
        """The running `JudgedAutograde`: the parent of the exporter, which is the parent of each preprocessor."""
        return self.parent.parent


class RestoreCells(_AutogradePreprocessor):
    """Restore the released cells of a submitted notebook, and add a cell of notes at its top."""

    def preprocess(self, notebook: Any, resources: Any) -> tuple[Any, Any]:
        """Restore one notebook; see the class."""
        ids = resources["nbgrader"]
        with Gradebook(ids["db_url"]) as gradebook:
            known = known_cells(gradebook.find_notebook(ids["notebook"], ids["assignment"]))
        releases = self.converter.releases(ids["assignment"], ids["notebook"])
        restored = restore(notebook, known, releases, self.converter.copies.get(ids["notebook"]))
        # All cells of a notebook that could not be read are missing, so the problem stands for the notes on them.
        notes = [ids["problem"]] if "problem" in ids else restored.notes
        notes = [*ids.get("notes", []), *notes]
        self.converter.to_review = restored.to_review
        for note in notes:
            self.log.warning("%s, %s: %s", ids["student"], ids["notebook"], note)
        # Notes on the whole submission go to its first notebook.
        notes = [*self.converter.notes, *notes]
        self.converter.notes = []
        if notes:
            restored.notebook.cells.insert(0, new_markdown_cell(notes_cell(notes)))
        return restored.notebook, resources


class JudgeAnswers(_AutogradePreprocessor):
    """Replace the outputs of every autograded cell by the judge's result; the outputs of other cells stay.

    The cell of an exercise shows the text that was judged, which may come from a file.
    """

    def preprocess_cell(self, cell: Any, resources: Any, cell_index: int) -> tuple[Any, Any]:
        """Replace the outputs of one cell; see the class."""
        if cell.cell_type != "code" or not (is_grade(cell) or is_solution(cell)):
            return cell, resources
        marks = cell.metadata["nbgrader"]
        if is_grade(cell) and not is_solution(cell):
            cell.execution_count = None
            cell.outputs = [self._output(marks["grade_id"], float(marks["points"]))]
        elif (name := marks["grade_id"].removeprefix(_EXERCISE_PREFIX)) in BY_NAME:
            self._show_judged_text(cell, BY_NAME[name])
        return cell, resources

    def _show_judged_text(self, cell: Any, exercise: Exercise) -> None:
        text = self.converter.answers.get(exercise.path)
        if text is not None and text.strip() not in cell.source:
            cell.source = f"%%exercise {exercise.name}\n{text.rstrip()[:_MAX_SHOWN]}"
            cell.outputs = []

    def _output(self, grade_id: str, points: float) -> Any:
        judgement = self.converter.judgement
        exercise = grade_id.removeprefix(CHECK_PREFIX)
        if (
            judgement.result is not None
            and grade_id.startswith(CHECK_PREFIX)
            and exercise in judgement.result.exercises
        ):
            result = judgement.result.exercises[exercise]
            if result.status == "unreadable":
                self.converter.to_review.add(grade_id)
            return judged_output(result, points)
        self.converter.to_review.add(grade_id)
        return unjudged_output(
            judgement.reason or "This cell is not the check of an exercise, so the judge does not run it."
        )


class FlagForReview(_AutogradePreprocessor):
    """Flag cells for manual grading in the gradebook, after nbgrader has saved the scores."""

    def preprocess(self, notebook: Any, resources: Any) -> tuple[Any, Any]:
        """Flag one notebook's cells; see the class."""
        ids = resources["nbgrader"]
        if self.converter.to_review:
            with Gradebook(ids["db_url"]) as gradebook:
                for name in sorted(self.converter.to_review):
                    grade = gradebook.find_grade(name, ids["notebook"], ids["assignment"], ids["student"])
                    grade.needs_manual_grade = True
                gradebook.db.commit()
        return notebook, resources


class CutHiddenTests(ClearHiddenTests):
    """Cut the hidden tests out of the instructor's own test cells, which hold them again after autograding.

    The cells of learners stay, whatever they hold.
    """

    def preprocess_cell(self, cell: Any, resources: Any, cell_index: int) -> tuple[Any, Any]:
        """Cut the hidden tests of one cell; see the class."""
        if is_grade(cell) and is_locked(cell):
            return super().preprocess_cell(cell, resources, cell_index)
        return cell, resources


class CleanContent(NbGraderPreprocessor):
    """Clean a learner's notebook of what could act in a browser; see `clean_notebook`."""

    # The converters to HTML set it for all preprocessors.
    display_data_priority: Any = List().tag(config=True)

    def preprocess(self, notebook: Any, resources: Any) -> tuple[Any, Any]:
        """Clean one notebook; see the class."""
        clean_notebook(notebook)
        return notebook, resources
