"""`rlhf-course new-course`, and what nbgrader makes of it."""

import subprocess
import sys

import nbformat
import pytest
from conftest import NOTEBOOKS
from rlhf_course.code import REPOSITORY
from rlhf_course.errors import CourseError
from rlhf_course.exercises import EXERCISES
from rlhf_course.nbgrader_course.new_course import ASSIGNMENT, new_course
from rlhf_course.releasing.leaks import leaks


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    course = tmp_path_factory.mktemp("fresh") / "course"
    new_course(course)
    return course


def test_the_source_holds_a_check_of_each_exercise_with_its_points_and_stubs_beside_the_notebooks(fresh):
    points = {}
    for path in (fresh / "source" / ASSIGNMENT).glob("*.ipynb"):
        for cell in nbformat.read(path, as_version=4).cells:
            marks = cell.metadata.get("nbgrader", {})
            if marks.get("grade") and not marks["solution"]:
                assert marks["locked"]
                points[marks["grade_id"]] = marks["points"]
    assert points == {f"check-{one.name}": one.points for one in EXERCISES}
    for one in EXERCISES:
        assert "NotImplementedError" in (fresh / "source" / ASSIGNMENT / "part1_rlhf" / one.file).read_text()


def test_the_release_is_what_learners_get_in_the_repository(generated):
    for name in NOTEBOOKS:
        released = nbformat.read(generated / "release" / ASSIGNMENT / f"{name}.ipynb", as_version=4)
        built = nbformat.read(REPOSITORY / "notebooks" / f"{name}.ipynb", as_version=4)
        assert [(cell.cell_type, cell.source, cell.get("outputs")) for cell in released.cells] == [
            (cell.cell_type, cell.source, cell.get("outputs")) for cell in built.cells
        ]
    for one in EXERCISES:
        released = generated / "release" / ASSIGNMENT / "part1_rlhf" / one.file
        assert released.read_text() == (REPOSITORY / "notebooks/part1_rlhf" / one.file).read_text()


def test_the_release_holds_no_answer_no_known_mistake_and_no_hidden_test(generated):
    released = {path.relative_to(generated): path.read_bytes() for path in (generated / "release").rglob("*") if path.is_file()}
    assert len(released) > len(EXERCISES)
    assert not leaks(released, REPOSITORY)


def test_outputs_that_an_instructor_left_in_the_source_are_not_released(tmp_path):
    from rlhf_course.nbgrader_course.outputs import ClearOutputButExpected

    outputs = [nbformat.v4.new_output("display_data", data={"text/plain": "x"}, metadata={"expected": kept}) for kept in (True, False)]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1", outputs=outputs)])
    cleared, _ = ClearOutputButExpected().preprocess(notebook, {})
    assert cleared.cells[0].outputs == outputs[:1]


def test_a_folder_with_something_in_it_and_a_name_that_is_none_are_refused(tmp_path):
    (tmp_path / "mine").write_text("x")
    with pytest.raises(CourseError, match="not empty"):
        new_course(tmp_path)
    with pytest.raises(CourseError, match="course id"):
        new_course(tmp_path / "new", course_id="a/b")


def test_the_exchange_is_open_to_learners_and_their_settings_name_it(tmp_path):
    new_course(tmp_path / "course", course_id="rl-2027", exchange=tmp_path / "shared")
    assert (tmp_path / "shared").stat().st_mode & 0o777 == 0o777
    for settings in ("nbgrader_config.py", "for_learners/nbgrader_config.py"):
        text = (tmp_path / "course" / settings).read_text()
        assert str(tmp_path / "shared") in text and '"rl-2027"' in text


def test_the_command_line_starts_without_loading_nbgrader():
    code = "import sys, rlhf_course.cli; sys.exit('nbgrader' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
