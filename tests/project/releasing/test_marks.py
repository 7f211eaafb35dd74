"""Marks for Canvas and Moodle: each goes to the row of one key, and no name reaches another row."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from rlhf_course.class_list.roster import read_roster
from rlhf_course.cli import app
from rlhf_course.course import DEFAULT_PART
from rlhf_course.errors import CourseError
from rlhf_course.files import escape_formula
from rlhf_course.grading.results import ExerciseResult, GradeReport, SubmissionResult, TestResult
from rlhf_course.releasing.marks import canvas_csv, mark_of, moodle_csv
from rlhf_course.releasing.scale import Mark, parse_scale

POINTS = DEFAULT_PART.points
MARKS = [Mark("ada", POINTS, POINTS), Mark("ben", 40.5, POINTS, "RLHFTrainer 0/20")]
WORKSHEET = "Identifier,Full name,Email address,Status,Grade,Maximum Grade,Feedback comments\n"
GRADEBOOK = f"Student,ID,SIS User ID,SIS Login ID,Section,RLHF (93)\n    Points Possible,,,,,{POINTS}\n"


def rows(text: str, delimiter: str = ",") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text), delimiter=delimiter))


def moodle_names(*pairs: tuple[str, int]) -> list[str]:
    return [f"{name}_{number}_assignsubmission_file_" for name, number in pairs]


def marks_of(*names: str) -> list[Mark]:
    """Marks that tell the submissions apart: 1 point for the first name, 2 for the second, and so on."""
    return [Mark(name, number, POINTS) for number, name in enumerate(names, 1)]


@pytest.fixture
def roster(tmp_path):
    """Writes a roster and returns its path."""

    def write(text: str, encoding: str = "utf-8"):
        path = tmp_path / "roster.csv"
        path.write_bytes(text.encode(encoding))
        return path

    return write


def moodle_grades(marks, path, **options) -> dict[str, str]:
    """The grade of each row by its identifier."""
    return {row["Identifier"]: row["Grade"] for row in rows(moodle_csv(marks, path, **options).text)}


def canvas_grades(marks, path, **options) -> dict[str, str]:
    """The grade of each row by its number."""
    return {row["ID"]: row["RLHF (93)"] for row in rows(canvas_csv(marks, "RLHF", path, **options).text) if row["ID"]}


def test_canvas_gets_learners_by_login_under_the_assignments_title_and_the_points_that_are_possible():
    possible, ada, _ = rows(canvas_csv(MARKS, "RLHF").text)
    assert possible["Student"].strip() == "Points Possible" and possible["RLHF"] == str(POINTS)
    assert (ada["SIS Login ID"], ada["RLHF"]) == ("ada", str(POINTS))


def test_a_roster_from_canvas_is_filled_in_and_who_handed_in_nothing_stays_blank(roster):
    path = roster(
        "\ufeffStudent,ID,SIS User ID,SIS Login ID,Section,RLHF (93),Final Score\n"
        f"    Points Possible,,,,,{POINTS},\n"
        '"Lovelace, Ada",7,u7,ADA,S1,,80\n"Curie, Marie",8,u8,marie,S1,,70\n'
    )
    table = canvas_csv(MARKS, "RLHF", path)
    _, ada, marie = rows(table.text)
    assert (ada["ID"], ada["RLHF (93)"], marie["RLHF (93)"]) == ("7", str(POINTS), "")
    assert "Final Score" not in ada and table.matching.key == "SIS Login ID"
    assert table.matching.problems == ["ben: belongs to no row"] and table.matching.without_submission == ["marie"]


def test_moodles_worksheet_is_filled_in_by_the_number_that_moodle_gave_the_submission(roster):
    marks = [Mark(moodle_names(("Ben Yu", 4711))[0], 40.5, POINTS, "RLHFTrainer 0/20")]
    (ben,) = rows(moodle_csv(marks, roster(WORKSHEET + "Participant 4711,Ben Yu,b@x.org,,,86,\n")).text)
    assert (ben["Grade"], ben["Feedback comments"]) == ("40.5", "RLHFTrainer 0/20")


def test_without_a_worksheet_moodle_gets_usernames():
    assert [(row["Username"], row["Grade"]) for row in rows(moodle_csv(MARKS).text)] == [
        (mark.learner, f"{mark.score:g}") for mark in MARKS
    ]


# Names that are meant to reach the row of a classmate.


@pytest.mark.parametrize(
    "name", ["Participant 777", "Jane Doe", "777", "j@x.org", "Participant_777", "777_888", "Jane Doe_777_x"]
)
def test_a_full_name_on_moodle_reaches_no_other_row(roster, name):
    path = roster(WORKSHEET + f"Participant 777,Jane Doe,j@x.org,,,86,\nParticipant 12,{name},m@x.org,,,86,\n")
    assert moodle_grades(marks_of(*moodle_names((name, 12))), path) == {"Participant 777": "", "Participant 12": "1"}


@pytest.mark.parametrize(
    "name",
    [
        "Mallory_777_assignsubmission_file_",
        "Mallory_777_assignsubmission_file_x_12_assignsubmission_file_",
        "Mallory_12_assignsubmission_file_x_777_assignsubmission_file_y",
        "777",
        "Participant 777",
        "submission_777",
        "mallory_777_12_x",
    ],
)
def test_a_hand_in_that_is_named_after_a_number_on_moodle_takes_no_mark_and_gives_none(roster, name):
    path = roster(WORKSHEET + "Participant 777,Jane Doe,,,,86,\nParticipant 5,Bo,,,,86,\nParticipant 6,Cy,,,,86,\n")
    honest = moodle_names(("Jane Doe", 777), ("Bo", 5), ("Cy", 6))
    table = moodle_csv(marks_of(*honest, name), path)
    grades = {row["Identifier"]: row["Grade"] for row in rows(table.text)}
    assert (grades["Participant 5"], grades["Participant 6"]) == ("2", "3")
    assert grades["Participant 777"] in ("1", ""), "Mallory's mark is in no case there"
    assert any(name in problem for problem in table.matching.problems)


@pytest.mark.parametrize("student", ["jane", "8", "u8", "Points Possible"])
def test_a_students_name_on_canvas_that_equals_a_classmates_login_reaches_no_other_row(roster, student):
    path = roster(GRADEBOOK + f"{student},9,u9,mallory,S1,\nJane,8,u8,jane,S1,\n")
    assert canvas_grades(marks_of("mallory"), path) == {"9": "1", "8": ""}
    assert canvas_grades(marks_of("jane"), path) == {"9": "", "8": "1"}
    assert canvas_grades(marks_of("mallory"), roster(path.read_text().replace("    Points Possible", "x"))) == {
        "9": "1",
        "8": "",
    }


@pytest.mark.parametrize("name", ["jane", "JANE", "jane (2)", "jane.zip", "Jane.TAR.GZ", " jane "])
def test_two_hand_ins_for_one_login_are_listed_and_neither_is_written(roster, name):
    path = roster(GRADEBOOK + "Jane,8,u8,jane,S1,\nAda,7,u7,ada,S1,\n")
    table = canvas_csv(marks_of("jane", name, "ada"), "RLHF", path)
    assert [row["RLHF (93)"] for row in rows(table.text)] == [str(POINTS), "", "3"]
    assert len(table.matching.problems) == 1 and name in table.matching.problems[0]


def test_a_login_that_two_rows_have_gets_no_mark(roster):
    path = roster(GRADEBOOK + "Jane,8,u8,jane,S1,\nMallory,9,u9,Jane,S1,\nAda,7,u7,ada,S1,\n")
    table = canvas_csv(marks_of("jane", "ada"), "RLHF", path)
    assert [row["RLHF (93)"] for row in rows(table.text)] == [str(POINTS), "", "", "2"]
    assert table.matching.problems == ["jane: 2 rows have the same SIS Login ID"]


def test_a_row_without_a_login_is_listed_and_keeps_what_it_has(roster):
    text = "Student,ID,SIS Login ID,Section,HW (1)\n    Points Possible,,,,100\nLi,1,ada,A,\nRo,2,,A,7\n"
    table = canvas_csv(marks_of("ada"), "HW", roster(text))
    assert table.matching.without_key == ["Ro"] and "Ro,2,,A,7" in table.text


@pytest.mark.parametrize("start", [b"PK\x03\x04", b"\xd0\xcf\x11\xe0"], ids=["xlsx", "xls"])
def test_a_workbook_is_refused_with_what_to_do(tmp_path, start):
    (tmp_path / "marks.xlsx").write_bytes(start + bytes(range(256)))
    with pytest.raises(CourseError, match="is a workbook and no CSV: open it in the spreadsheet program and save"):
        read_roster(tmp_path / "marks.xlsx")


def test_honest_namesakes_have_their_own_marks(roster):
    moodle = roster(WORKSHEET + "Participant 3,Kim Lee,k@x.org,,,86,\nParticipant 4,Kim Lee,l@x.org,,,86,\n")
    marks = marks_of(*moodle_names(("Kim Lee", 3), ("Kim Lee", 4)))
    assert moodle_grades(marks, moodle) == {"Participant 3": "1", "Participant 4": "2"}
    assert moodle_grades(marks, moodle, key="Full name") == {"Participant 3": "", "Participant 4": ""}
    canvas = roster(GRADEBOOK + '"Lee, Kim",3,u3,k3,S1,\n"Lee, Kim",4,u4,k4,S1,\n')
    assert canvas_grades(marks_of("leekim_3_70_a", "leekim_LATE_4_71_a"), canvas) == {"3": "1", "4": "2"}


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("lastnamefirst_123_456_file-1", "123"),
        ("doejane_LATE_124_457_homework", "124"),
        ("doejane_124_457_12_x_3", "124"),
        ("o_neilpat_125_458_my_work", "125"),
    ],
)
def test_the_names_of_canvas_downloads_carry_the_number_of_the_learner(roster, name, number):
    path = roster(GRADEBOOK + "".join(f"x,{other},u,l{other},S1,\n" for other in (123, 124, 125, 456, 457, 3)))
    assert [key for key, grade in canvas_grades(marks_of(name), path).items() if grade] == [number]


def test_the_names_of_gradescopes_export_carry_the_number_of_the_submission(roster):
    path = roster("First Name,SID,Email,Submission ID\nJane,8,j@x.org,4711\nAda,4711,a@x.org,4712\n")
    table = moodle_csv(marks_of("submission_4711", "submission_4712"), path)
    assert [row["Grade"] for row in rows(table.text)] == ["1", "2"] and table.matching.key == "Submission ID"


# Rosters as platforms and spreadsheets write them.


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "cp1252", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_worksheet_is_read_in_every_usual_encoding_and_its_cells_come_out_as_they_went_in(
    roster, encoding, delimiter
):
    header = ["ID", "Vollständiger Name", "E-Mail-Adresse", "Bewertung", "Feedback als Kommentar", ""]
    cells = ["Teilnehmer/in4711", '=Jürgen; von, "Groß"', "+49 1", "", "", "a;=1+1"]
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=delimiter).writerows([header, cells, []])
    marks = [Mark(moodle_names(("Jürgen", 4711))[0], 3, POINTS, "f 0/3")]
    written = list(
        csv.reader(io.StringIO(moodle_csv(marks, roster(file.getvalue(), encoding)).text), delimiter=delimiter)
    )
    assert written == [header, [*cells[:3], "3", "f 0/3", cells[5]]]


def test_rows_that_are_short_or_long_and_columns_with_one_name_keep_their_cells(roster):
    path = roster("Username,Note,Note,Grade,Feedback comments\nada,1,2\nben,3,4,,,extra,more\nsep=;\n")
    written = list(csv.reader(io.StringIO(moodle_csv(MARKS, path).text)))
    assert written[1:] == [
        ["ada", "1", "2", str(POINTS), ""],
        ["ben", "3", "4", "40.5", "RLHFTrainer 0/20", "extra", "more"],
        ["sep=;"],
    ]


def test_columns_of_an_unknown_language_are_named_by_the_instructor(roster):
    path = roster("sep=;\ntunnus;pisteet;palaute\nada;;\n")
    with pytest.raises(CourseError, match="--key; its columns are tunnus, pisteet, palaute"):
        moodle_csv(MARKS, path)
    with pytest.raises(CourseError, match="--grade-column"):
        moodle_csv(MARKS, path, key="tunnus")
    table = moodle_csv(MARKS, path, key="tunnus", grade_column="pisteet", feedback_column="palaute")
    assert rows(table.text, ";") == [{"tunnus": "ada", "pisteet": str(POINTS), "palaute": ""}]


def test_a_canvas_gradebook_in_another_language_keeps_the_columns_before_the_assignments(roster):
    path = roster("Studierende;ID;SIS-Login-ID;Abschnitt;Früher (9);RLHF (93)\nJane;8;jane;S1;5;\n")
    table = canvas_csv(marks_of("jane"), "RLHF", path, key="SIS-Login-ID")
    assert table.text.splitlines() == [
        "Studierende;ID;SIS-Login-ID;Abschnitt;RLHF (93)",
        f"    Points Possible;;;;{POINTS}",
        "Jane;8;jane;S1;1",
    ]


def test_two_assignments_of_one_title_are_not_guessed(roster):
    path = roster("Student,ID,SIS Login ID,RLHF (93),RLHF (94)\nJane,8,jane,,\n")
    with pytest.raises(CourseError, match=r"RLHF \(93\), RLHF \(94\)"):
        canvas_csv(marks_of("jane"), "RLHF", path)
    assert rows(canvas_csv(marks_of("jane"), "RLHF (94)", path).text)[1]["RLHF (94)"] == "1"


@pytest.mark.parametrize("text", ["colour,size\nred,3\n", "", "one column\n1\n", "Student,ID\n" + "x" * 200_000])
def test_a_table_without_learners_is_refused(roster, text):
    with pytest.raises(CourseError, match=r"roster\.csv"):
        canvas_csv(MARKS, "RLHF", roster(text))


# Formulas.


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@x", "\t=1", "a;=1+1", "a; =1", "a\n=1", "a\t=1", " =1", "＝1", "a;-1", "\r=1"]
)
def test_no_cell_that_is_written_is_a_formula_whatever_separates_the_cells(text):
    for table in (canvas_csv([Mark(text, 1, 2)], "RLHF"), moodle_csv([Mark("ada", 1, 2, text)])):
        for separator in ",;\t\n":
            for cell in table.text.split(separator):
                assert not cell.strip(' "').startswith(("=", "+", "-", "@", "＝")), cell


@given(st.text(alphabet=";,\t\n '\"=+-@a1"))
def test_escaping_only_adds_quotes(text):
    assert escape_formula(text).replace("'", "") == text.replace("'", "")


def test_prose_is_not_changed():
    assert escape_formula("f 0/3; g 1/2: a - b = c, -1") == "f 0/3; g 1/2: a - b = c, -1"


@given(st.lists(st.text(max_size=12), min_size=1, max_size=4), st.text(max_size=40))
def test_any_names_and_any_roster_give_a_table_or_an_error_for_the_user(tmp_path_factory, names, text):
    path = tmp_path_factory.mktemp("roster") / "roster.csv"
    path.write_text("Username,Grade,Feedback comments\njane,,\n" + text, encoding="utf-8", errors="surrogatepass")
    try:
        table = moodle_csv(marks_of("jane", *names), path)
    except CourseError:
        return
    assert next(csv.reader(io.StringIO(table.text.splitlines()[1])))[1] in ("1", "")


# The command.


def run_command(tmp_path, *arguments: str, names=("jane", "mal\x1b[31m")):
    results = [
        SubmissionResult(name=name, score=1, max_score=2, seconds=1, warnings=[], exercises={}) for name in names
    ]
    report = GradeReport(submissions=results, isolation="unsafe")
    (tmp_path / "results.json").write_text(report.model_dump_json())
    return CliRunner().invoke(app, ["marks", str(tmp_path / "results.json"), *arguments])


def test_the_command_says_what_it_matched_by_and_lists_what_it_did_not_write(tmp_path, roster):
    path = roster(GRADEBOOK + "Jane,8,u8,jane,S1,\nAda,7,u7,ada,S1,\n")
    result = run_command(tmp_path, "--canvas", str(tmp_path / "out.csv"), "--roster", str(path), "--title", "RLHF")
    assert result.exit_code == 0 and "\x1b" not in result.output
    for text in ("SIS Login ID", "belongs to no row", "    ada", "marks of 1 learners"):
        assert text in result.output


def test_the_command_ends_with_1_and_writes_nothing_if_nobody_matches(tmp_path, roster):
    path = roster(GRADEBOOK + "Ada,7,u7,ada,S1,\n")
    result = run_command(tmp_path, "--canvas", str(tmp_path / "out.csv"), "--roster", str(path), "--key", "ID")
    assert result.exit_code == 1 and "--key" in result.output and not (tmp_path / "out.csv").exists()


def test_full_marks_are_the_maximum_that_moodles_worksheet_states_for_the_row(roster):
    path = roster(WORKSHEET + "Participant 1,A,,,,100.00,\nParticipant 2,B,,,,50,\nParticipant 3,C,,,,-,\n")
    marks = [
        Mark(name, points, 86)
        for name, points in zip(moodle_names(("A", 1), ("B", 2), ("C", 3)), (86, 43, 43), strict=True)
    ]
    table = moodle_csv(marks, path)
    assert [row["Grade"] for row in rows(table.text)] == ["100", "25", ""]
    assert len(table.left) == 1 and "the maximum '-' is no number above 0; --scale says what it is" in table.left[0]
    assert table.note == "scaled: 86 points are 50, 86 points are 100; --scale none writes points"


def test_a_worksheet_with_decimal_commas_gets_decimal_commas(roster):
    path = roster("ID;Vollständiger Name;Bewertung;Bestwertung;Feedback als Kommentar\nTeilnehmer/in 7;A;;10,00;\n")
    (row,) = rows(moodle_csv([Mark(moodle_names(("A", 7))[0], 21.5, 86)], path).text, ";")
    assert row["Bewertung"] == "2,5"


def test_full_marks_are_canvas_points_possible_which_stay_as_they_are(roster):
    path = roster(
        "Student,ID,SIS User ID,SIS Login ID,Section,RLHF (93)\n    Points Possible,,,,,100\nA,7,,ada,S,\nB,8,,ben,S,\n"
    )
    table = canvas_csv([Mark("ada", 86, 86), Mark("ben", 21.5, 86)], "RLHF", path)
    assert [row["RLHF (93)"] for row in rows(table.text)] == ["100", "100", "25"]
    assert table.note == "scaled: 86 points are 100; --scale none writes points"


@pytest.mark.parametrize(("scale", "written"), [("none", "43"), ("20", "10"), ("platform", "50")])
def test_the_option_scale_comes_before_what_the_platform_states(roster, scale, written):
    path = roster(WORKSHEET + "Participant 1,A,,,,100.00,\n")
    marks = [Mark(moodle_names(("A", 1))[0], 43, 86)]
    assert moodle_grades(marks, path, scale=parse_scale(scale)) == {"Participant 1": written}


def test_a_column_without_a_maximum_gets_the_points_or_what_the_option_names():
    for scale, possible, ada in (("platform", "86", "43"), ("20", "20", "10")):
        first, second = rows(canvas_csv([Mark("ada", 43, 86)], "RLHF", scale=parse_scale(scale)).text)
        assert (first["RLHF"], second["RLHF"]) == (possible, ada)


@pytest.mark.parametrize("text", ["", "half", "0", "-1", "nan", "1e3"])
def test_an_unknown_scale_is_refused_with_what_the_option_takes(text):
    with pytest.raises(CourseError, match="platform, none or a number above 0"):
        parse_scale(text)


def test_a_submission_that_a_person_has_to_grade_first_has_no_mark_and_its_row_stays_as_it_was(roster):
    (ada,) = rows(moodle_csv([Mark("ada", None, 86)]).text)
    assert ada["Grade"] == ""
    path = roster(WORKSHEET + "Participant 1,A,,,12,100,good\n")
    (row,) = rows(moodle_csv([Mark(moodle_names(("A", 1))[0], None, 86)], path).text)
    assert (row["Grade"], row["Feedback comments"]) == ("12", "good")


def test_moodles_feedback_says_what_the_learners_page_says_first_of_each_exercise():
    wrong = [TestResult(name="a", points=1, status="failed", message="it is twice what it should be")]
    exercises = {
        "calc_kl_penalty": ExerciseResult(score=0, max_score=1, status="failed", tests=wrong, mistake="a sum"),
        "get_logprobs": ExerciseResult(score=0, max_score=1, status="failed", tests=wrong),
        "get_optimizer": ExerciseResult(score=0, max_score=1, status="missing", tests=[]),
    }
    result = SubmissionResult(name="ada", score=0, max_score=3, seconds=0, warnings=[], exercises=exercises)
    assert mark_of(result).feedback == (
        "calc_kl_penalty 0/1: a sum; get_logprobs 0/1: it is twice what it should be; get_optimizer 0/1: missing"
    )


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1.000,00", 1000),
        ("1,000.00", 1000),
        ("1 000,5", 1000.5),
        ("100.00000", 100),
        ("1'000.5", 1000.5),
        ("2500", 2500),
    ],
)
def test_numbers_are_read_as_platforms_write_them_in_any_country(text, number):
    assert parse_scale(text).maximum == number


@pytest.mark.parametrize("maximum", ["1,000", "1.000", "100,00 %", "-", "(read only)"])
def test_a_maximum_that_is_no_number_or_could_be_two_leaves_the_row_and_is_named(roster, maximum):
    path = roster(WORKSHEET + f'Participant 1,A,,,7,"{maximum}",\n')
    marks = [Mark(moodle_names(("A", 1))[0], 43, 86)]
    table = moodle_csv(marks, path)
    assert rows(table.text)[0]["Grade"] == "7" and repr(maximum) in table.left[0]
    assert moodle_grades(marks, path, scale=parse_scale("none")) == {"Participant 1": "43"}
    canvas = roster(
        f'Student,ID,SIS User ID,SIS Login ID,Section,RLHF (93)\n    Points Possible,,,,,"{maximum}"\nA,7,,ada,S,\n'
    )
    with pytest.raises(CourseError, match=r"the maximum of 'RLHF .93.' in .*; add --scale"):
        canvas_csv([Mark("ada", 43, 86)], "RLHF", canvas)


def test_what_a_person_wrote_is_replaced_with_a_word_and_never_by_nothing(roster):
    path = roster(WORKSHEET + "Participant 1,A,,,9.5,86,my note\nParticipant 2,B,,,-,86,\n")
    one, two = moodle_names(("A", 1), ("B", 2))
    table = moodle_csv([Mark(one, 43, 86), Mark(two, 86, 86, "well done")], path)
    first, second = rows(table.text)
    assert (first["Grade"], first["Feedback comments"], second["Feedback comments"]) == ("43", "my note", "well done")
    assert table.replaced == [f"{one}: Grade was '9.5', is '43'"]


def test_locked_and_excused_rows_keep_what_they_have(roster):
    header = WORKSHEET.replace("Maximum Grade", "Maximum Grade,Grade can be changed")
    moodle = moodle_csv([Mark(moodle_names(("A", 1))[0], 43, 86)], roster(header + "Participant 1,A,,,7,86,No,\n"))
    assert rows(moodle.text)[0]["Grade"] == "7" and "cannot be changed" in moodle.left[0]
    canvas = canvas_csv([Mark("ada", 43, 86)], "RLHF", roster(GRADEBOOK + "A,7,,ada,S,EX\n"))
    assert rows(canvas.text)[1]["RLHF (93)"] == "EX" and canvas.left == ["ada: is excused"]


def test_a_submission_that_could_not_be_read_has_no_mark_and_is_named():
    exercises = {"get_logprobs": ExerciseResult(score=0, max_score=1, status="unreadable", tests=[])}
    result = SubmissionResult(name="ada", score=0, max_score=1, seconds=0, warnings=[], exercises=exercises)
    table = moodle_csv([mark_of(result)])
    assert rows(table.text)[0]["Grade"] == "" and "ada: no mark yet, since something could not be read" in table.left[0]


def test_of_several_columns_with_the_name_that_is_needed_none_is_taken(roster):
    marks = [Mark("ada", 1, 86)]
    for header, row in (("Username,Grade,Grade,Maximum grade", "ada,,,86"), ("Username,Username,Grade", "ada,ben,")):
        with pytest.raises(CourseError, match="has several columns"):
            moodle_csv(marks, roster(f"{header}\n{row}\n"))
    twice = "Student,ID,SIS User ID,SIS Login ID,Section,RLHF,RLHF\n    Points Possible,,,,,10,20\nA,7,,ada,S,,\n"
    with pytest.raises(CourseError, match="has several columns 'rlhf'"):
        canvas_csv(marks, "RLHF", roster(twice))


def test_names_that_may_be_no_logins_are_listed_where_no_class_list_is_given():
    marks = marks_of("ada", "-eve", "ada (2).zip", *moodle_names(("Ada Li", 4711)))
    for table in (moodle_csv(marks), canvas_csv(marks, "RLHF")):
        assert table.doubtful == [mark.learner for mark in marks[1:]]


def test_the_delimiter_is_the_one_that_fits_the_rows(roster):
    path = roster('Name;Username;Grade;"Quiz, a, b, c, d, e"\nAda;ada;;9\n')
    assert rows(moodle_csv([Mark("ada", 1, 86)], path).text, ";")[0]["Grade"] == "1"
