"""Let `nbgrader generate_assignment` release stubs also in the files beside the notebooks."""

import shutil
from pathlib import Path
from typing import Any

from nbgrader.converters import GenerateAssignment
from nbgrader.converters.base import NbGraderException
from nbgrader.preprocessors import NbGraderPreprocessor

from rlhf_course.building.course_changes import change_notebook, given_files
from rlhf_course.course import BY_NAME, EXERCISES, Exercise
from rlhf_course.nbgrader_course.late import course_of, readable
from rlhf_course.nbgrader_course.new_course import STATE_FOLDER
from rlhf_course.nbgrader_course.releases import record_releases
from rlhf_course.paths import REPOSITORY
from rlhf_course.releasing.leaks import leaks
from rlhf_course.stubs import stub_of


class ChangeToCourse(NbGraderPreprocessor):
    """Give a source notebook the points of `course.toml`, and leave out what the course leaves out.

    Points that the file does not name stay, since an instructor may have set them in the notebook.
    """

    def preprocess(self, notebook: Any, resources: Any) -> tuple[Any, Any]:
        """Change one notebook; see the class."""
        course = course_of(self.parent.parent)
        change_notebook(notebook, course.points, [BY_NAME[name] for name in course.left_out])
        return notebook, resources


class StubbedAssignment(GenerateAssignment):
    """Release the exercises' files as stubs, and refuse a release that holds an answer.

    An instructor who runs an exercise's cell in the source saves the solution to the file beside the notebook, and
    nbgrader would release that file. Only the exercises that the course leaves out are released with their answers.
    """

    def start(self) -> None:
        """Generate the assignment. A wrong `course.toml` is refused before `--force` deletes the earlier release."""
        with readable(self):
            course_of(self)
        super().start()

    def init_assignment(self, assignment_id: str, student_id: str) -> None:
        """Copy the files beside the notebooks; see the class."""
        super().init_assignment(assignment_id, student_id)
        folder = Path(self._format_dest(assignment_id, student_id))
        given = given_files(REPOSITORY, self._left_out())
        for path, content in given.items():
            if (folder / path).is_file():
                (folder / path).write_bytes(content)
        for exercise in (exercise for exercise in EXERCISES if Path(exercise.path) not in given):
            path, stub = folder / exercise.path, stub_of(exercise)
            if path.is_file() and path.read_text(encoding="utf-8") != stub:
                self.log.warning("%s in the source is not the stub; the stub is released", exercise.path)
                path.write_text(stub, encoding="utf-8")

    def _left_out(self) -> list[Exercise]:
        return [BY_NAME[name] for name in course_of(self).left_out]

    def set_permissions(self, assignment_id: str, student_id: str) -> None:
        """Finish a release.

        Raises:
            NbGraderException: The release holds an answer, a known mistake or a hidden test; it is deleted again.
        """
        super().set_permissions(assignment_id, student_id)
        folder = Path(self._format_dest(assignment_id, student_id))
        files = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        if leaked := leaks(files, REPOSITORY, self._left_out()):
            shutil.rmtree(folder)
            raise NbGraderException(
                "the release was deleted, since it held answers, known mistakes or hidden tests; remove them from "
                "source/:\n  " + "\n  ".join(leaked[:10])
            )
        record_releases(Path(self.coursedir.root) / STATE_FOLDER, assignment_id, folder)
