"""`course.toml`: what it sets, and how it refuses what is wrong."""

import re
from datetime import datetime, timedelta

import pytest

from rlhf_course.course import DEFAULT_PART, EXERCISES
from rlhf_course.course_file import CourseFile, course_file_in, course_file_template, read_course_file
from rlhf_course.errors import CourseError
from rlhf_course.late_work import Amount, LateRule

PART = DEFAULT_PART.name


@pytest.fixture
def read(tmp_path):
    """Reads a text as a course's file."""

    def read_text(text: str) -> CourseFile:
        path = tmp_path / "course.toml"
        path.write_text(text, encoding="utf-8")
        return read_course_file(path)

    return read_text


def test_the_file_of_a_new_course_changes_nothing(read, tmp_path):
    assert read(course_file_template()) == CourseFile() == read_course_file(None) == course_file_in(tmp_path / "none")
    assert [part.exercises for part in CourseFile().parts()] == [DEFAULT_PART.exercises]


def test_each_key_in_the_comments_of_a_new_file_can_be_set(read):
    template = course_file_template()
    course = read(re.sub(r"^# (?=[\w\"@.]+ = )", "", template, flags=re.MULTILINE))
    assert course.points == {exercise.name: exercise.points for exercise in EXERCISES}
    assert course.late.max == Amount(50, is_percent=True) and course.late.grace == 15
    assert course.due[PART] == datetime.fromisoformat("2027-03-05T23:59:00+01:00")
    assert course.assignments == ("week1", "week2") and course.full == {PART: course.parts()[0].points}
    assert len(course.left_out) == 1 and course.timezone and course.title and len(course.extensions) == 3
    for key in ("title", "parts", "assignments", "left_out", "timezone", *(f"[{name}]" for name in _TABLES)):
        assert key in template


_TABLES = ("points", "full", "due", "late", "extensions")


def test_points_and_exercises_left_out_make_the_parts_of_the_course(read):
    course = read('left_out = ["get_logprobs"]\n[points]\nRLHFTrainer = 30\nget_optimizer = 2.5\n')
    (part,) = course.parts()
    points = {exercise.name: exercise.points for exercise in part.exercises}
    assert points["RLHFTrainer"] == 30 and points["get_optimizer"] == 2.5 and "get_logprobs" not in points
    assert part.points == DEFAULT_PART.points - 8 + 10 - 5.5


def test_an_extension_is_for_each_assignment_or_for_one(read):
    course = read(
        f'assignments = ["week1"]\n[extensions]\nada = 2\n"Ben@x.org" = {{ week1 = 2027-03-09T12:00:00Z }}\n'
        f"[due]\nweek1 = 2027-03-05T23:59:00+01:00\n{PART} = 2027-03-06T00:00:00Z\n"
    )
    assert course.extension("ada", PART) == course.extension("Ada", "week1") == timedelta(days=2)
    assert course.extension("ben@x.org", "week1") == datetime.fromisoformat("2027-03-09T12:00:00+00:00")
    assert course.extension("ben@x.org", PART) is None is course.extension("cy", PART)


def test_the_late_rule_takes_points_and_percentages(read):
    rule = read('[late]\npenalty_per_day = "12.5 %"\nflat = 3\ngrace = 10\nlatest = 7\nmax = 40\n').late
    assert rule == LateRule(Amount(12.5, is_percent=True), Amount(3), 10, 7, Amount(40))


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("tilte = 'x'", 1, "tilte is unknown here; allowed are title, timezone, parts"),
        ("title = 3", 1, "title takes a text in quotes, got 3"),
        ("parts = ['part1_rlhf',\n 'part9']", 2, "parts takes part1_rlhf"),
        ("parts = 'part1_rlhf'", 1, "parts takes a list"),
        ("left_out = [\n'get_logprobs',\n'get_logits',\n]", 3, "got 'get_logits'"),
        ("title = 'x'\n[points]\n# none\nget_logits = 3", 4, "points.get_logits is unknown here; allowed are Hooked"),
        ("[points]\nget_logprobs = -1", 2, "points.get_logprobs takes a number, 0 or more, got -1"),
        ("[points]\nget_logprobs = '3'", 2, "points.get_logprobs takes a number"),
        ("[points]\nget_logprobs = true", 2, "got True"),
        ("[points]\nget_logprobs = nan", 2, "got nan"),
        ("points.get_logprobs = -1", 1, "0 or more"),
        ("points = 3", 1, "points is a table"),
        ("[full]\npart1_rlhf = 0", 2, "takes a number above 0"),
        ("[points]\nRLHFTrainer = 10\n[full]\npart1_rlhf = 77", 4, "more than all points of the part, 76"),
        ("[due]\npart1_rlhf = 2027-03-05T23:59:00", 2, "their offset from UTC, like 2027-03-05T23:59:00+01:00, got"),
        ("[due]\npart1_rlhf = 2027-03-05", 2, "offset from UTC"),
        ("[due]\nweek1 = 2027-03-05T23:59:00Z", 2, "due.week1 is unknown here; allowed are part1_rlhf"),
        ("[late]\nper_day = 3", 2, "allowed are penalty_per_day, flat, grace, latest, max"),
        ("[late]\nflat = '10'", 2, 'points such as 10, or a percentage of full marks such as "10%"'),
        ("[late]\n\nmax = -3", 3, "late.max takes points"),
        ("[extensions]\nada = -1", 2, "extensions.ada takes days, or a date"),
        ("[extensions]\n'b@x' = {part9 = 1}", 2, "allowed are part1_rlhf"),
        ("timezone = 'Mars/Base'", 1, "timezone takes a zone such as 'Europe/Berlin'"),
        ("assignments = ['a/b']", 1, "letters, digits"),
        ("title = 'x'\ntitle = 'y'\n\n", None, "no TOML file: Cannot overwrite a value (at line 2"),
        (f"left_out = {[exercise.name for exercise in DEFAULT_PART.exercises]}", 1, "leaves no exercise of part1_rlhf"),
    ],
)
def test_a_wrong_entry_is_refused_with_its_line_and_what_is_allowed(read, text, line, words):
    with pytest.raises(CourseError) as refusal:
        read(text)
    assert words in str(refusal.value)
    assert line is None or f"course.toml, line {line}: " in str(refusal.value)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(CourseError, match=r"course\.toml cannot be read"):
        read_course_file(tmp_path / "course.toml")
