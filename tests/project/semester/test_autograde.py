"""`nbgrader autograde` with what the judge finds: scores, messages, and notes on what was changed."""

import csv
import json
import shutil

import nbformat
import pytest
from classroom import found, run_nbgrader
from nbgrader.api import Gradebook
from nbgrader.apps import ExportApp, GenerateAssignmentApp, GenerateFeedbackApp

from rlhf_course.course import DEFAULT_PART
from rlhf_course.errors import CourseError

POINTS = 16
BRAINSTORM = "04_sampling_and_rewards"
# Raised inside nbgrader, by the SQLAlchemy that the lock pins.
pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")


def scores(course) -> dict[str, float]:
    """Total by learner, as `nbgrader export` writes them."""
    run_nbgrader(ExportApp, course)
    with (course / "grades.csv").open() as file:
        return {row["student_id"]: float(row["score"]) for row in csv.DictReader(file)}


def grades(course, learner, notebook) -> dict[str, tuple[float | None, bool]]:
    """Automatic score and whether a person is asked for, by cell."""
    with Gradebook(f"sqlite:///{course}/gradebook.db") as gradebook:
        graded = gradebook.find_submission_notebook(notebook, DEFAULT_PART.name, learner).grades
        return {grade.name: (grade.auto_score, grade.needs_manual_grade) for grade in graded}


def autograded(course, learner, notebook) -> nbformat.NotebookNode:
    return nbformat.read(course / "autograded" / learner / DEFAULT_PART.name / f"{notebook}.ipynb", as_version=4)


def cell_of(notebook, grade_id):
    return next(cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("grade_id") == grade_id)


def change(path, do) -> None:
    notebook = nbformat.read(path, as_version=4)
    do(notebook)
    path.write_text(json.dumps(notebook))


def notes(course, learner, notebook) -> str:
    first = autograded(course, learner, notebook).cells[0]
    return first.source if "Notes from grading" in first.source else ""


def test_scores_partial_credit_and_messages_reach_gradebook_notebook_and_feedback(
    course, hand_in, judge_finds, autograde
):
    hand_in("ada"), hand_in("ben")
    judge_finds(ada=found(), ben=found(0.25, message="came <b>3</b> & wanted 4"))
    autograde()
    assert scores(course) == {"ada": POINTS, "ben": POINTS / 4}
    assert grades(course, "ben", "07_optimizer") == {"check-get_optimizer": (2, False)}
    run_nbgrader(GenerateFeedbackApp, course, DEFAULT_PART.name)
    feedback = (course / "feedback/ben" / DEFAULT_PART.name / "07_optimizer.html").read_text()
    assert "came &lt;b&gt;3&lt;/b&gt; &amp; wanted 4" in feedback and "2.0 / 8.0" in feedback


def test_a_learners_own_outputs_earn_nothing_and_other_outputs_stay(course, hand_in, judge_finds, autograde):
    plot = nbformat.v4.new_output("display_data", data={"text/plain": "my plot"})

    def fake(notebook):
        check = cell_of(notebook, "check-get_optimizer")
        check.outputs = [nbformat.v4.new_output("execute_result", data={"text/plain": "8.0"})]
        notebook.cells[1].outputs = [
            plot,
            nbformat.v4.new_output("stream", name="stderr", text="UserWarning: careful\n"),
        ]

    change(hand_in("eve") / "07_optimizer.ipynb", fake)
    judge_finds(eve=found(0.5))
    autograde()
    assert grades(course, "eve", "07_optimizer")["check-get_optimizer"] == (4, False)
    graded = autograded(course, "eve", "07_optimizer")
    assert [output.get("text", output.get("data")) for output in graded.cells[1].outputs] == [
        plot.data,
        "UserWarning: careful\n",
    ]


def test_a_warning_that_a_learner_printed_under_a_check_costs_nothing(course, hand_in, judge_finds, autograde):
    warn = nbformat.v4.new_output("stream", name="stderr", text="UserWarning: careful\n")
    change(
        hand_in("ada") / "07_optimizer.ipynb",
        lambda notebook: cell_of(notebook, "check-get_optimizer").update(outputs=[warn]),
    )
    judge_finds(ada=found())
    autograde()
    assert grades(course, "ada", "07_optimizer")["check-get_optimizer"] == (8, False)


def test_what_was_not_judged_is_zero_and_flagged_for_a_person(course, hand_in, judge_finds, autograde):
    hand_in("ada"), hand_in("ben")
    judge_finds(ada=found(), ben="grading it ended the judge's process, twice")
    autograde()
    assert scores(course) == {"ada": POINTS, "ben": 0}
    assert grades(course, "ben", "07_optimizer") == {"check-get_optimizer": (0, True)}
    shown = cell_of(autograded(course, "ben", "07_optimizer"), "check-get_optimizer").outputs[0].data["text/html"]
    assert "Not judged" in shown and "ended the judge" in shown


def _copy_cells(notebook):
    notebook.cells += [
        nbformat.from_dict({**cell, "id": f"copy-{number}"}) for number, cell in enumerate(notebook.cells)
    ]


def _delete_graded_cells(notebook):
    notebook.cells = [cell for cell in notebook.cells if "nbgrader" not in cell.metadata]


def _reverse_cells(notebook):
    notebook.cells.reverse()


def _edit_locked_cells(notebook):
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("locked"):
            cell.source = "pass"


def _change_points(notebook):
    for cell in notebook.cells:
        if "points" in cell.metadata.get("nbgrader", {}):
            cell.metadata.nbgrader.points = 1000


def _mangle_metadata(notebook):
    values = [
        "not an object",
        {},
        {"grade": True},
        {"grade_id": 7, "grade": 1},
        {"schema_version": 99, "grade_id": "check-get_optimizer"},
    ]
    for number, cell in enumerate(notebook.cells):
        cell.metadata["nbgrader"] = values[number % len(values)]


def _claim_a_cell_of_points(notebook):
    marks = {
        "grade": True,
        "grade_id": "mine",
        "locked": True,
        "solution": False,
        "points": 50,
        "schema_version": 3,
        "task": False,
    }
    notebook.cells.append(nbformat.v4.new_code_cell("1", metadata={"nbgrader": marks}))


def _turn_into_markdown(notebook):
    for number, cell in enumerate(notebook.cells):
        if cell.metadata.get("nbgrader", {}).get("locked"):
            notebook.cells[number] = nbformat.v4.new_markdown_cell(cell.source, metadata=cell.metadata)


MANGLED = {
    "copied": (_copy_cells, "has 2 copies of the cell"),
    "deleted": (_delete_graded_cells, "was missing"),
    "reversed": (_reverse_cells, "another order"),
    "edited": (_edit_locked_cells, "locked cell"),
    "richer": (_change_points, "points of the cell"),
    "mangled": (_mangle_metadata, "was missing"),
    "claiming": (_claim_a_cell_of_points, "claims points"),
    "retyped": (_turn_into_markdown, "is a code cell again"),
}
BROKEN = {
    "empty": b"",
    "text": b"not json",
    "list": b"[]",
    "object": b"{}",
    "wrong": b'{"cells": 3, "nbformat": 4, "nbformat_minor": 5, "metadata": {}}',
    "bytes": b"\xff\xfe\x00",
    "deep": b"[" * 100_000,
    "absent": None,
}


def test_whatever_was_done_to_a_notebooks_cells_it_is_a_note_and_no_false_zero(course, hand_in, judge_finds, autograde):
    for learner, (mangle, _) in MANGLED.items():
        folder = hand_in(learner)
        for notebook in ("04_sampling_and_rewards", "07_optimizer"):
            change(folder / f"{notebook}.ipynb", mangle)
    hand_in("whole")
    judge_finds(**dict.fromkeys([*MANGLED, "whole"], found()))
    autograde()
    assert scores(course) == dict.fromkeys([*MANGLED, "whole"], POINTS)
    for learner, (_, note) in MANGLED.items():
        assert note in notes(course, learner, "07_optimizer"), learner
    assert notes(course, "whole", "07_optimizer") == ""


def test_a_notebook_that_is_missing_or_cannot_be_read_is_a_note_and_no_false_zero(
    course, hand_in, judge_finds, autograde
):
    for learner, content in BROKEN.items():
        path = hand_in(learner) / "04_sampling_and_rewards.ipynb"
        path.unlink()
        if content is not None:
            path.write_bytes(content)
    hand_in("whole")
    judge_finds(**dict.fromkeys([*BROKEN, "whole"], found()))
    autograde()
    assert scores(course) == dict.fromkeys([*BROKEN, "whole"], POINTS)
    for learner in BROKEN:
        given = grades(course, learner, "04_sampling_and_rewards")
        assert given["brainstorm_periods"] == (0, True), "a person looks whether it was answered elsewhere"
        assert notes(course, learner, "04_sampling_and_rewards"), learner


def test_a_submission_without_any_notebook_is_graded_from_its_files(course, hand_in, judge_finds, autograde):
    for path in hand_in("ada").glob("*.ipynb"):
        path.unlink()
    hand_in("ben")
    judge_finds(ada=found(), ben=found())
    autograde()
    assert scores(course) == {"ada": POINTS, "ben": POINTS}
    shutil.rmtree(course / "submitted/ben")
    autograde("--force")
    assert scores(course)["ada"] == POINTS, "alone, too"


def test_a_notebook_of_nobody_is_named_and_the_learners_own_files_stay(course, hand_in, judge_finds, autograde):
    folder = hand_in("ada")
    (folder / "my plots.ipynb").write_text(nbformat.writes(nbformat.v4.new_notebook()))
    (folder / "part1_rlhf/get_optimizer.py").write_text("mine = 1\n")
    judge_finds(ada=found())
    autograde()
    assert "my plots.ipynb is not a notebook of this assignment" in notes(course, "ada", "01_environment")
    assert (course / "autograded/ada" / DEFAULT_PART.name / "part1_rlhf/get_optimizer.py").read_text() == "mine = 1\n"
    assert scores(course)["ada"] == POINTS


def _answer(text):
    return lambda notebook: cell_of(notebook, "brainstorm_periods").update(source=text)


def test_a_renamed_notebooks_written_answer_is_found_and_the_note_stands_in_the_notebook_that_the_grader_opens(
    course, hand_in, judge_finds, autograde
):
    folder = hand_in("ada")
    change(folder / f"{BRAINSTORM}.ipynb", _answer("Many short sentences."))
    (folder / f"{BRAINSTORM}.ipynb").rename(folder / "my rewards.ipynb")
    judge_finds(ada=found())
    autograde()
    graded = autograded(course, "ada", BRAINSTORM)
    assert cell_of(graded, "brainstorm_periods").source == "Many short sentences."
    assert grades(course, "ada", BRAINSTORM)["brainstorm_periods"] == (None, True)
    told = notes(course, "ada", BRAINSTORM)
    assert "my rewards.ipynb holds its cells and is used in its place" in told and "missing" not in told
    assert not notes(course, "ada", "01_environment")


def test_a_written_answer_in_a_copy_of_the_notebook_is_found_and_a_second_answer_is_named(
    course, hand_in, judge_finds, autograde
):
    for learner, original in (("ada", None), ("ben", "Ellipses.")):
        folder = hand_in(learner)
        (folder / "mine").mkdir()
        shutil.copy(folder / f"{BRAINSTORM}.ipynb", folder / "mine/copy.ipynb")
        change(folder / "mine/copy.ipynb", _answer("Initials."))
        if original:
            change(folder / f"{BRAINSTORM}.ipynb", _answer(original))
    judge_finds(ada=found(), ben=found())
    autograde()
    for learner, answer, note in (
        ("ada", "Initials.", "is from mine/copy.ipynb"),
        ("ben", "Ellipses.", "mine/copy.ipynb holds another answer"),
    ):
        assert cell_of(autograded(course, learner, BRAINSTORM), "brainstorm_periods").source == answer
        assert note in notes(course, learner, BRAINSTORM)
        assert grades(course, learner, BRAINSTORM)["brainstorm_periods"] == (None, True)


OWN_TEST = """assert 1 + 1 == 2
### BEGIN HIDDEN TESTS
assert the_secret_of_the_instructor
### END HIDDEN TESTS"""


def _add_own_test(notebook, text=OWN_TEST) -> None:
    marks = {"grade": True, "grade_id": "own-test", "locked": True, "solution": False, "points": 3}
    marks |= {"schema_version": 3, "task": False}
    notebook.cells.append(nbformat.v4.new_code_cell(text, metadata={"nbgrader": marks}))


def _generate(course, do) -> None:
    """Change a notebook of the source and generate the assignment again."""
    change(course / "source" / DEFAULT_PART.name / "07_optimizer.ipynb", do)
    run_nbgrader(GenerateAssignmentApp, course, DEFAULT_PART.name, "--force")


def test_who_hands_in_what_was_released_is_told_of_no_change_and_feedback_shows_no_hidden_test_of_the_instructor(
    course, hand_in, judge_finds, autograde
):
    _generate(course, _add_own_test)
    hand_in("ada")
    change(
        hand_in("eve") / "07_optimizer.ipynb", lambda notebook: cell_of(notebook, "own-test").update(source="assert 1")
    )
    judge_finds(ada=found(), eve=found())
    autograde()
    assert not notes(course, "ada", "07_optimizer")
    assert "text of the locked cell own-test was changed" in notes(course, "eve", "07_optimizer")
    for learner in ("ada", "eve"):
        source = cell_of(autograded(course, learner, "07_optimizer"), "own-test").source
        assert source == OWN_TEST, "graders see the instructor's test"
    run_nbgrader(GenerateFeedbackApp, course, DEFAULT_PART.name)
    for learner in ("ada", "eve"):
        page = (course / "feedback" / learner / DEFAULT_PART.name / "07_optimizer.html").read_text()
        assert "own-test" in page and "secret_of_the_instructor" not in page


def test_a_learner_who_writes_the_marker_of_hidden_tests_gets_feedback(course, hand_in, judge_finds, autograde):
    change(
        hand_in("ada") / "07_optimizer.ipynb",
        lambda notebook: notebook.cells.append(nbformat.v4.new_code_cell("### BEGIN HIDDEN TESTS\nmine = 1")),
    )
    judge_finds(ada=found())
    autograde()
    run_nbgrader(GenerateFeedbackApp, course, DEFAULT_PART.name)
    assert "BEGIN HIDDEN TESTS" in (course / "feedback/ada" / DEFAULT_PART.name / "07_optimizer.html").read_text()


def test_an_earlier_release_is_named_as_such_and_nobody_is_blamed_for_what_the_instructor_changed(
    course, hand_in, judge_finds, autograde
):
    hand_in("ada")
    change(hand_in("eve") / "07_optimizer.ipynb", _edit_locked_cells)

    def regenerate(notebook):
        _add_own_test(notebook)
        cell_of(notebook, "check-get_optimizer").source += "\n# a remark"
        cell_of(notebook, "check-get_optimizer").metadata.nbgrader.points = 4

    _generate(course, regenerate)
    hand_in("ben")
    judge_finds(ada=found(), ben=found(), eve=found())
    autograde()
    told = notes(course, "ada", "07_optimizer")
    assert "from an earlier release of the assignment" in told and "own-test is new in the newest release" in told
    assert "was changed" not in told and "were changed" not in told and "missing" not in told
    assert not notes(course, "ada", BRAINSTORM), "this notebook did not change"
    assert not notes(course, "ben", "07_optimizer")
    told = notes(course, "eve", "07_optimizer")
    assert "from an earlier release" in told and "locked cell check-get_optimizer was changed" in told.replace(
        "&#95;", "_"
    )
    check = cell_of(autograded(course, "ada", "07_optimizer"), "check-get_optimizer")
    assert check.source.endswith("# a remark") and check.metadata.nbgrader.points == 4


def test_a_course_without_a_record_of_its_releases_compares_with_the_release_folder(
    course, hand_in, judge_finds, autograde
):
    _generate(course, _add_own_test)
    shutil.rmtree(course / ".rlhf_course/releases")
    hand_in("ada")
    judge_finds(ada=found())
    autograde()
    assert not notes(course, "ada", "07_optimizer")


def test_the_notebook_shows_the_text_that_was_judged_also_where_it_was_written_in_a_file(
    course, hand_in, judge_finds, autograde
):
    (hand_in("ada") / "part1_rlhf/get_optimizer.py").write_text(
        "def get_optimizer(model, base_lr, head_lr):\n    return mine\n"
    )
    change(
        hand_in("ben") / "07_optimizer.ipynb",
        lambda notebook: cell_of(notebook, "exercise-get_optimizer").update(source="%%exercise get_optimizer\nx = 1"),
    )
    judge_finds(ada=found(), ben=found())
    autograde()
    assert "return mine" in cell_of(autograded(course, "ada", "07_optimizer"), "exercise-get_optimizer").source
    assert (
        cell_of(autograded(course, "ben", "07_optimizer"), "exercise-get_optimizer").source
        == "%%exercise get_optimizer\nx = 1"
    )
    with Gradebook(f"sqlite:///{course}/gradebook.db") as gradebook:
        said = [
            gradebook.find_comment("exercise-get_optimizer", "07_optimizer", DEFAULT_PART.name, learner).comment
            for learner in ("ada", "ben")
        ]
    assert said == [None, None], "nobody is told that there was no response"


def test_what_the_reader_and_the_judge_noted_stands_on_the_first_notebook_and_does_nothing_there(
    course, hand_in, judge_finds, autograde
):
    hand_in("ada")
    judge_finds(ada=found(warnings=("trainer.py: <script>alert(1)</script> `x` $y$",)))
    autograde()
    told = notes(course, "ada", "01_environment")
    assert "trainer.py" in told and not set("<`$") & set(told.split("<li>")[1].split("</li>")[0])
    assert not notes(course, "ada", "07_optimizer")


def test_grading_again_changes_nothing_and_asks_the_judge_for_what_is_new_alone(
    course, hand_in, judge_finds, autograde
):
    hand_in("ada")
    judge_finds(ada=found(0.5), ben=found())
    autograde()
    before = scores(course), grades(course, "ada", "04_sampling_and_rewards")
    hand_in("ben")
    autograde()
    assert judge_finds.asked == [["ada"], ["ben"]]
    autograde("--force")
    assert (scores(course)["ada"], grades(course, "ada", "04_sampling_and_rewards")) == (before[0]["ada"], before[1])
    autograde("--force", "--student=ada")
    assert judge_finds.asked[-1] == ["ada"] and scores(course) == {"ada": POINTS / 2, "ben": POINTS}


def test_a_score_given_by_hand_stays_when_grading_again(course, hand_in, judge_finds, autograde):
    change(
        hand_in("ada") / "04_sampling_and_rewards.ipynb",
        lambda notebook: cell_of(notebook, "brainstorm_periods").update(source="Many ways."),
    )
    judge_finds(ada=found())
    autograde()
    assert grades(course, "ada", "04_sampling_and_rewards")["brainstorm_periods"] == (None, True)
    with Gradebook(f"sqlite:///{course}/gradebook.db") as gradebook:
        gradebook.find_grade("brainstorm_periods", "04_sampling_and_rewards", DEFAULT_PART.name, "ada").manual_score = 2
        gradebook.db.commit()
    assert scores(course) == {"ada": POINTS + 2}
    autograde("--force")
    assert scores(course) == {"ada": POINTS + 2}


def test_what_an_interrupted_process_left_is_graded_anew(course, hand_in, judge_finds, autograde):
    hand_in("ada")
    judge_finds(ada=found())
    half_done = course / "autograded/ada" / DEFAULT_PART.name
    half_done.mkdir(parents=True)
    mark = course / ".rlhf_course/unfinished" / f"{DEFAULT_PART.name}+ada"
    mark.parent.mkdir(parents=True)
    mark.touch()
    autograde()
    assert scores(course) == {"ada": POINTS}
    assert not mark.exists()


def test_the_formgraders_button_grades_with_the_judge_too(course, hand_in, judge_finds, monkeypatch):
    from nbgrader.apps.api import NbGraderAPI
    from nbgrader.apps.baseapp import NbGrader

    hand_in("ada")
    judge_finds(ada=found(0.5))
    monkeypatch.chdir(course)
    app = NbGrader()
    app.initialize([])
    app.start()
    done = NbGraderAPI(app.coursedir, app.authenticator, app.exchange, parent=app).autograde(DEFAULT_PART.name, "ada")
    assert done["success"], done
    assert scores(course) == {"ada": POINTS / 2}


def test_a_judge_that_cannot_work_here_grades_nobody(course, hand_in, monkeypatch, autograde, caplog):
    hand_in("ada")

    def refuse(*_):
        raise CourseError("no namespaces here: install bubblewrap")

    monkeypatch.setattr("rlhf_course.nbgrader_course.autograde.judge_folders", refuse)
    with pytest.raises(SystemExit):
        autograde()
    assert not (course / "autograded").exists()


HOSTILE_NOTEBOOKS = {
    "dicts": '{"cells": [' + ",".join(["{}"] * 16_000_000) + "]}",
    "nested": "[" * 1_000_000,
    "values": '{"cells": [], "metadata": {"a": [' + "1," * 1_100_000 + '1]}, "nbformat": 4, "nbformat_minor": 5}',
    "surrogate": '{"cells": [], "metadata": {"a": "\\ud800"}, "nbformat": 4, "nbformat_minor": 5}',
    "number": '{"cells": [' + "1" * 5_000_000 + "]}",
    "codec": "# coding: undefined\n",
    "widgets": '{"cells": [], "metadata": {"widgets": {"application/x": {}}}, "nbformat": 4, "nbformat_minor": 5}',
    "no_cells": '{"metadata": {}, "nbformat": 4, "nbformat_minor": 5}',
    "other_version": '{"worksheets": [{"cells": [{"cell_type": 7}]}], "nbformat": 3, "metadata": []}',
}


def test_hostile_notebooks_cost_their_own_rows_alone_and_everybody_gets_feedback(
    course, hand_in, judge_finds, autograde
):
    for learner, text in HOSTILE_NOTEBOOKS.items():
        (hand_in(learner) / "07_optimizer.ipynb").write_text(text)
    hand_in("ada")
    judge_finds(ada=found(), **dict.fromkeys(HOSTILE_NOTEBOOKS, found(0.25)))
    autograde()
    assert scores(course) == {"ada": POINTS, **dict.fromkeys(HOSTILE_NOTEBOOKS, POINTS / 4)}
    for learner in ("dicts", "nested", "values", "number", "codec"):
        assert "the file as handed in is in submitted/" in notes(course, learner, "07_optimizer")
    assert not notes(course, "ada", "07_optimizer")
    run_nbgrader(GenerateFeedbackApp, course, DEFAULT_PART.name)
    for learner in ("ada", *HOSTILE_NOTEBOOKS):
        page = course / "feedback" / learner / DEFAULT_PART.name / "07_optimizer.html"
        assert ("8.0 / 8.0" if learner == "ada" else "2.0 / 8.0") in page.read_text(), learner


def test_a_person_is_asked_to_grade_what_could_not_be_read(course, hand_in, judge_finds, autograde):
    hand_in("ada")
    result = found()
    result.exercises["get_optimizer"].status = "unreadable"
    judge_finds(ada=result)
    autograde()
    assert grades(course, "ada", "07_optimizer")["check-get_optimizer"][1]
    check = cell_of(autograded(course, "ada", "07_optimizer"), "check-get_optimizer")
    assert "what was handed in could not be read" in check.outputs[0].data["text/html"]


MOODLE = "rlhf_course.nbgrader_course.export.MoodleExporter"
CANVAS = "rlhf_course.nbgrader_course.export.CanvasExporter"


def write_answer(notebook) -> None:
    cell_of(notebook, "brainstorm_periods").source = "It could end sentences early."


def exported(course, name, exporter, *options) -> list[dict[str, str]]:
    run_nbgrader(ExportApp, course, f"--exporter={exporter}", f"--assignment={DEFAULT_PART.name}", *options)
    with (course / name).open() as file:
        return list(csv.DictReader(file))


def test_a_learner_of_whom_something_waits_for_a_person_has_no_mark_yet_and_the_log_says_so(
    course, hand_in, judge_finds, autograde, capsys
):
    hand_in("ada")
    change(hand_in("ben") / "04_sampling_and_rewards.ipynb", write_answer)
    judge_finds(ada=found(), ben=found())
    autograde()
    rows = exported(course, "moodle.csv", MOODLE)
    assert [(row["Username"], row["Grade"]) for row in rows] == [("ada", str(POINTS)), ("ben", "")]
    assert "Not written: ben: no mark yet" in capsys.readouterr().err


def test_points_given_by_hand_count_after_grading_again_and_the_log_says_to_look_at_them(
    course, hand_in, judge_finds, autograde, capsys
):
    change(hand_in("ben") / "04_sampling_and_rewards.ipynb", write_answer)
    judge_finds(ben=found())
    autograde()
    with Gradebook(f"sqlite:///{course}/gradebook.db") as gradebook:
        written = gradebook.find_grade("brainstorm_periods", "04_sampling_and_rewards", DEFAULT_PART.name, "ben")
        written.manual_score, written.needs_manual_grade = 2, False
        gradebook.db.commit()
    autograde("--force")
    (row,) = exported(course, "moodle.csv", MOODLE)
    assert row["Grade"] == str(POINTS + 2)
    assert "ben: the 2 points given by hand for brainstorm_periods count" in capsys.readouterr().err


def test_marks_of_the_gradebook_fill_in_the_platforms_file_on_its_scale(course, hand_in, judge_finds, autograde):
    hand_in("ada"), hand_in("ben")
    judge_finds(ada=found(), ben=found(0.5))
    autograde()
    with Gradebook(f"sqlite:///{course}/gradebook.db") as gradebook:
        maximum = gradebook.find_submission(DEFAULT_PART.name, "ada").max_score
    (course / "worksheet.csv").write_text(
        f"Identifier,Username,Grade,Maximum grade,Feedback comments\nParticipant 1,ben,,{10 * maximum},\n"
    )
    (ben,) = exported(course, "moodle.csv", MOODLE, "--MoodleExporter.roster=worksheet.csv")
    assert ben["Grade"] == str(10 * POINTS // 2)
    assert "get_optimizer 4/8" in ben["Feedback comments"]
    possible, ada, _ = exported(course, "canvas.csv", CANVAS, "--CanvasExporter.scale=100")
    assert (possible[DEFAULT_PART.name], float(ada[DEFAULT_PART.name])) == ("100", round(100 * POINTS / maximum, 2))


def test_with_two_assignments_an_export_without_a_name_lists_them(course, hand_in, judge_finds, autograde):
    hand_in("ada")
    judge_finds(ada=found())
    autograde()
    with Gradebook(f"sqlite:///{course}/gradebook.db") as gradebook:
        gradebook.add_assignment("week2")
    assert len(exported(course, "moodle.csv", MOODLE)) == 1
    with pytest.raises(CourseError, match=r"name one assignment with --assignment; there are .*week2"):
        run_nbgrader(ExportApp, course, f"--exporter={MOODLE}")
