"""`rlhf-course new-course`, and what nbgrader makes of it."""

import subprocess
import sys
import zipfile

import nbformat
import pytest
from classroom import NOTEBOOKS, run_nbgrader
from nbgrader.api import Gradebook

from rlhf_course.course import DEFAULT_PART
from rlhf_course.course_file import CourseFile, course_file_in
from rlhf_course.errors import CourseError
from rlhf_course.grading.secret import read_secret
from rlhf_course.nbgrader_course.assignments import parse_assignment
from rlhf_course.nbgrader_course.new_course import new_course
from rlhf_course.paths import REPOSITORY
from rlhf_course.releasing.leaks import leaks
from rlhf_course.stubs import is_given


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    course = tmp_path_factory.mktemp("fresh") / "course"
    new_course(course)
    return course


def test_the_source_holds_a_check_of_each_exercise_with_its_points_and_stubs_beside_the_notebooks(fresh):
    points = {}
    for path in (fresh / "source" / DEFAULT_PART.name).glob("*.ipynb"):
        for cell in nbformat.read(path, as_version=4).cells:
            marks = cell.metadata.get("nbgrader", {})
            if marks.get("grade") and not marks["solution"]:
                assert marks["locked"]
                points[marks["grade_id"]] = marks["points"]
    assert points == {f"check-{exercise.name}": exercise.points for exercise in DEFAULT_PART.exercises}
    for exercise in DEFAULT_PART.exercises:
        assert (
            "NotImplementedError" in (fresh / "source" / DEFAULT_PART.name / "part1_rlhf" / exercise.file).read_text()
        )


def test_the_release_is_what_learners_get_in_the_repository(generated):
    for name in NOTEBOOKS:
        released = nbformat.read(generated / "release" / DEFAULT_PART.name / f"{name}.ipynb", as_version=4)
        built = nbformat.read(REPOSITORY / "notebooks" / f"{name}.ipynb", as_version=4)
        assert [(cell.cell_type, cell.source, cell.get("outputs")) for cell in released.cells] == [
            (cell.cell_type, cell.source, cell.get("outputs")) for cell in built.cells
        ]
    for exercise in DEFAULT_PART.exercises:
        released = generated / "release" / DEFAULT_PART.name / "part1_rlhf" / exercise.file
        assert released.read_text() == (REPOSITORY / "notebooks/part1_rlhf" / exercise.file).read_text()


def test_the_release_holds_no_answer_no_known_mistake_and_no_hidden_test(generated):
    released = {
        path.relative_to(generated): path.read_bytes() for path in (generated / "release").rglob("*") if path.is_file()
    }
    assert len(released) > len(DEFAULT_PART.exercises)
    assert not leaks(released, REPOSITORY)


def test_outputs_that_an_instructor_left_in_the_source_are_not_released(tmp_path):
    from rlhf_course.nbgrader_course.outputs import ClearOutputButExpected

    outputs = [
        nbformat.v4.new_output("display_data", data={"text/plain": "x"}, metadata={"expected": kept})
        for kept in (True, False)
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1", outputs=outputs)])
    cleared, _ = ClearOutputButExpected().preprocess(notebook, {})
    assert cleared.cells[0].outputs == outputs[:1]


def test_a_new_course_follows_its_course_toml_and_gets_one_that_changes_nothing(fresh, tmp_path):
    assert course_file_in(fresh) == CourseFile() and "# get_logprobs = 8" in (fresh / "course.toml").read_text()
    text = "left_out = ['get_optimizer']\n[points]\nreward_fn_char_count = 7.5\n"
    (tmp_path / "mine.toml").write_text(text)
    (tmp_path / "here").mkdir()
    (tmp_path / "here/course.toml").write_text(text)
    new_course(tmp_path / "here")
    new_course(tmp_path / "copied", course_file=tmp_path / "mine.toml")
    for course in (tmp_path / "here", tmp_path / "copied"):
        assert (course / "course.toml").read_text() == text
        points = points_in(course / "source" / DEFAULT_PART.name)
        assert points["check-reward_fn_char_count"] == 7.5 and "check-get_optimizer" not in points
        assert len(points) == len(DEFAULT_PART.exercises) - 1
        assert is_given((course / "source" / DEFAULT_PART.name / "part1_rlhf/get_optimizer.py").read_text())
    (tmp_path / "other").mkdir()
    (tmp_path / "other/course.toml").write_text("title = 'x'\n")
    with pytest.raises(CourseError, match="exists already"):
        new_course(tmp_path / "other", course_file=tmp_path / "mine.toml")


def points_in(source) -> dict[str, float]:
    cells = [cell for path in source.glob("*.ipynb") for cell in nbformat.read(path, as_version=4).cells]
    checks = [cell.metadata.nbgrader for cell in cells if cell.metadata.get("nbgrader", {}).get("grade")]
    return {check.grade_id: check.points for check in checks if not check.solution}


def test_a_release_follows_a_course_toml_that_was_changed_after_the_source_was_made(course):
    from nbgrader.apps import GenerateAssignmentApp

    (course / "course.toml").write_text("left_out = ['get_optimizer']\n[points]\nreward_fn_char_count = 7.5\n")
    run_nbgrader(GenerateAssignmentApp, course, DEFAULT_PART.name, "--force")
    release = course / "release" / DEFAULT_PART.name
    assert is_given((release / "part1_rlhf/get_optimizer.py").read_text())
    assert "NotImplementedError" in (release / "part1_rlhf/trainer.py").read_text()
    with Gradebook(f"sqlite:///{course}/gradebook.db") as gradebook:
        cells = {
            cell.name: cell.max_score
            for notebook in gradebook.find_assignment(DEFAULT_PART.name).notebooks
            for cell in notebook.grade_cells
        }
    assert cells["check-reward_fn_char_count"] == 7.5 and "check-get_optimizer" not in cells


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


def test_a_solution_that_ran_in_the_source_is_not_released(course):
    from nbgrader.apps import GenerateAssignmentApp

    solved = (REPOSITORY / "solutions/part1_rlhf/get_optimizer.py").read_text()
    (course / "source" / DEFAULT_PART.name / "part1_rlhf/get_optimizer.py").write_text(solved)
    run_nbgrader(GenerateAssignmentApp, course, DEFAULT_PART.name, "--force")
    released = (course / "release" / DEFAULT_PART.name / "part1_rlhf/get_optimizer.py").read_text()
    assert released == (REPOSITORY / "notebooks/part1_rlhf/get_optimizer.py").read_text()


def test_a_release_with_an_answer_in_another_file_is_taken_away_again(course):
    from nbgrader.apps import GenerateAssignmentApp

    solved = (REPOSITORY / "solutions/part1_rlhf/get_optimizer.py").read_text()
    (course / "source" / DEFAULT_PART.name / "my_notes.txt").write_text(solved)
    with pytest.raises(SystemExit):
        run_nbgrader(GenerateAssignmentApp, course, DEFAULT_PART.name, "--force")
    assert not (course / "release" / DEFAULT_PART.name).exists()


def test_zips_of_a_platform_are_collected_with_the_files_beside_the_notebooks(course):
    from nbgrader.apps import ZipCollectApp

    archive = course / "downloaded" / DEFAULT_PART.name / "archive"
    archive.mkdir(parents=True)
    with zipfile.ZipFile(archive / "ada.zip", "w") as packed:
        packed.writestr("notebooks/07_optimizer.ipynb", "{}")
        packed.writestr("notebooks/part1_rlhf/get_optimizer.py", "mine = 1\n")
        packed.writestr("backup/part1_rlhf/get_optimizer.py", "mine = 1\n")
        packed.writestr("../../evil.py", "x")
    (archive / "ben.zip").write_bytes(b"PK\x03\x04 broken")
    (archive / "Cy Li_4711_assignsubmission_file").mkdir()
    (archive / "Cy Li_4711_assignsubmission_file/trainer.py").write_text("mine = 2\n")
    run_nbgrader(ZipCollectApp, course, DEFAULT_PART.name)
    collected = {
        path.relative_to(course / "submitted").as_posix()
        for path in (course / "submitted").rglob("*")
        if path.is_file()
    }
    assert collected == {
        "ada/part1_rlhf/07_optimizer.ipynb",
        "ada/part1_rlhf/part1_rlhf/get_optimizer.py",
        "Cy Li_4711_assignsubmission_file/part1_rlhf/part1_rlhf/trainer.py",
    }


def test_a_desk_that_is_called_like_the_package_it_holds_is_the_desk(tmp_path):
    from rlhf_course import use_code

    desk = tmp_path / "part1_rlhf"
    (desk / "part1_rlhf").mkdir(parents=True)
    (desk / "part1_rlhf/__init__.py").touch()
    assert use_code(desk) == desk == use_code(desk / "part1_rlhf")


def test_a_course_has_a_secret_of_its_own_that_no_learner_receives(generated, tmp_path):
    file = generated / ".rlhf_course/secret"
    secret, other = read_secret(file), tmp_path / "other"
    new_course(other)
    assert read_secret(other / ".rlhf_course/secret") != secret
    handed_out = [
        path for folder in ("release", "source") for path in (generated / folder).rglob("*") if path.is_file()
    ]
    assert handed_out and not any(secret.key.hex().encode() in path.read_bytes() for path in handed_out)


def test_assignments_of_some_notebooks_each_hold_these_and_all_stubs_of_the_part(tmp_path):
    assignments = dict(map(parse_assignment, ("week1=01,2,03", "week2=04")))
    new_course(tmp_path / "course", assignments=assignments)
    source = tmp_path / "course/source"
    names = {path.name: sorted(notebook.name[:2] for notebook in path.glob("*.ipynb")) for path in source.iterdir()}
    assert names == {"week1": ["01", "02", "03"], "week2": ["04"]}
    for exercise in DEFAULT_PART.exercises:
        assert (source / "week2" / exercise.path).is_file()
    assert course_file_in(tmp_path / "course").assignments == ("week1", "week2"), "they may have due dates"


@pytest.mark.parametrize("text", ["week1", "week1=", "week1=a", "week/1=01", "week1=01;02"])
def test_an_assignment_of_another_form_is_refused_with_the_form(text):
    with pytest.raises(CourseError, match="NAME=01,02,03"):
        parse_assignment(text)


def test_a_notebook_that_the_part_does_not_have_is_refused_with_those_that_it_has(tmp_path):
    with pytest.raises(CourseError, match=r"week1: there is no notebook 77 in part1_rlhf, whose notebooks are 01, 02"):
        new_course(tmp_path / "course", assignments={"week1": frozenset({1, 77})})
    assert not (tmp_path / "course").exists()


def test_a_course_whose_exchange_lies_elsewhere_is_closed_to_other_accounts(tmp_path):
    new_course(tmp_path / "course", exchange=tmp_path / "exchange")
    assert (tmp_path / "course").stat().st_mode & 0o077 == 0
    assert (tmp_path / "exchange").stat().st_mode & 0o777 == 0o777
