"""`course.toml`: what it sets, and how it refuses what is wrong."""

import random
import re
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from rlhf_course.course import DEFAULT_PART, EXERCISES
from rlhf_course.course_file import (
    CourseFile,
    course_file_in,
    course_file_template,
    parse_course_file,
    read_course_file,
)
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


DATE = (
    "takes a date, a time with seconds and their offset from UTC, like 2027-03-05T23:59:00+01:00 without quotes, got "
)
AMOUNT = 'takes points such as 10, or a percentage of full marks such as "10%", at most "100%", got '
BERLIN = "timezone = 'Europe/Berlin'\n"
DUE = f"[due]\n{PART} = 2027-03-05T23:59:00+01:00\n"
ALL = [exercise.name for exercise in DEFAULT_PART.exercises]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        # unknown names, and names in the wrong place
        ("tilte = 'x'", 1, "tilte is unknown here: did you mean title?; allowed are title, timezone, parts"),
        ("[point]\nget_logprobs = 3", 1, "point is unknown here: did you mean points?"),
        ("[Points]\nget_logprobs = 3", 1, "did you mean points?"),
        ("title = 'x'\n[points]\n# none\nget_logits = 3", 4, "points.get_logits is unknown here: did you mean get_log"),
        ("[late]\nper_day = 3", 2, "allowed are penalty_per_day, flat, grace, latest, max"),
        ("[late]\npenaltyPerDay = 3", 2, "did you mean penalty_per_day?"),
        ("[late]\nflat = 3\ntitle = 'x'", 3, "late.title stands below [late]: write title above the first [table]"),
        ("get_logprobs = 3", 1, "get_logprobs is in no table: write it below [points]"),
        ("flat = 3", 1, "write it below [late]"),
        (
            "[due]\nweek1 = 2027-03-05T23:59:00Z",
            2,
            "allowed are part1_rlhf, part2_preferences, part3_policy_gradients; other assignments of",
        ),
        ("[full]\nweek1 = 3", 2, "full.week1 is unknown here"),
        ("[extensions]\n'b@x' = {part9 = 1}", 2, '"b@x".part9 is unknown here; allowed are part1_rlhf'),
        ("[extensions]\nada.li = 2", 2, 'a name with a dot stands in quotes: "ada.li" = 2'),
        ("[extensions]\nada@x.org = 2", 2, 'stands in quotes: write "ada@x.org" = ...'),
        ("'\\u001b[31mx\\n' = 1", 1, '"\\u001b[31mx\\n" is unknown here'),
        ('"\\u001b[31mx\\n" = 1', 1, '"\N{REPLACEMENT CHARACTER}[31mx\N{REPLACEMENT CHARACTER}" is unknown here'),
        # values of another type
        ("title = 3", 1, "title takes a text of one line in quotes, got 3"),
        ("title = 'a\u2028b'", 1, "title takes a text of one line"),
        ("title = [" + "1," * 9999 + "]", 1, "got [1, 1"),
        ("parts = 'part1_rlhf'", 1, "parts takes a list"),
        (
            "parts = ['part1_rlhf',\n 'part1']",
            2,
            "parts takes part1_rlhf, part2_preferences, part3_policy_gradients, got 'part1': did you mean",
        ),
        ("parts = [['part1_rlhf']]", 1, "got ['part1_rlhf']"),
        ("parts = []", 1, "names no part: write at least one of part1_rlhf"),
        ("left_out = [\n'get_logprobs',\n'get_logits',\n]", 3, "got 'get_logits': did you mean get_logprobs?"),
        (f"left_out = {ALL}", 1, "leaves no exercise of part1_rlhf"),
        ("[points]\nget_logprobs = -1", 2, "points.get_logprobs takes a number from 0 to 1000000, got -1"),
        ("[points]\nget_logprobs = '3'", 2, "got '3'"),
        ("[points]\nget_logprobs = true", 2, "got true"),
        ("[points]\nget_logprobs = nan", 2, "got nan"),
        ("[points]\nget_logprobs = inf", 2, "got inf"),
        ("points.get_logprobs = -1", 1, "takes a number"),
        ("points = 3", 1, "points is a table"),
        ("[[late]]\nflat = 3", 1, "late is a table: write its entries below [late], which stands there once"),
        ("[points]\n" + "\n".join(f"{name} = 0" for name in ALL), 1, "gives no exercise of part1_rlhf points"),
        ("[full]\npart1_rlhf = 0", 2, "takes a number above 0"),
        ("[points]\nRLHFTrainer = 10\n[full]\npart1_rlhf = 77", 4, "more than all points of the part, 76"),
        ("timezone = 'Mars/Base'", 1, "timezone takes a zone such as 'Europe/Berlin'"),
        ("timezone = '../../etc/passwd'", 1, "timezone takes a zone"),
        ("timezone = 1", 1, "got 1"),
        ("assignments = ['a/b']", 1, "letters, digits"),
        ("assignments = ['part1_rlhf']", 1, "is the name of a part"),
        ("assignments = ['w1', 'W1']", 1, "has 'W1' twice"),
        # dates
        ("[due]\npart1_rlhf = 2027-03-05T23:59:00", 2, DATE + "2027-03-05T23:59:00"),
        ("[due]\npart1_rlhf = 2027-03-05", 2, DATE + "2027-03-05"),
        ("[due]\npart1_rlhf = '2027-03-05T23:59:00Z'", 2, DATE + "'2027-03-05T23:59:00Z'"),
        ("[due]\npart1_rlhf = 2027-03-05T23:59+01:00", 2, DATE + "2027-03-05T23:59+01:00"),
        ("[due]\npart1_rlhf = 2027-02-30T23:59:00Z", 2, DATE + "2027-02-30T23:59:00Z"),
        ("[due]\npart1_rlhf = 05.03.2027", 2, DATE + "05.03.2027"),
        ("[due]\npart1_rlhf = 0207-03-05T23:59:00Z", 2, "takes a year from 2000 to 2199, got 0207"),
        (
            BERLIN + "[due]\npart1_rlhf = 2027-07-05T23:59:00+01:00",
            3,
            "write 2027-07-05T23:59:00+02:00, or 2027-07-05T22:",
        ),
        # late work
        ("[late]\nflat = '10'", 2, AMOUNT + "'10'"),
        ("[late]\n\nmax = -3", 3, "late.max " + AMOUNT),
        ("[late]\nflat = '150%'", 2, AMOUNT + "'150%'"),
        ("[late]\npenalty_per_day = 10%", 2, "late.penalty_per_day " + AMOUNT + "10%"),
        ("[late]\ngrace = '15 min'", 2, "late.grace takes minutes from 0"),
        ("[late]\ngrace = 15", 2, "late.grace has no effect without penalty_per_day, flat or latest"),
        ("[late]\nlatest = 7\ngrace = 20000", 3, "is longer than latest, 7 days: grace is in minutes"),
        ("[extensions]\nada = -1", 2, "extensions.ada takes days such as 2, at most 3650, or a date"),
        ("[extensions]\nada = 999999999.5", 2, "at most 3650"),
        ("[extensions]\nada = 1\nAda = 5", 3, "extensions.Ada is the same learner as 'ada'"),
        (DUE + "[extensions]\nada = 2027-03-01T00:00:00Z", 4, "is before the due date, 2027-03-05T23:59:00+01:00"),
        # no TOML
        ("title = 'x'\ntitle = 'y'\n\n", 2, "title is there twice, first in line 1: keep one of them"),
        ("title = 'x'\ntitle = 'y'", 2, "title is there twice"),
        ("[late]\nflat = 1\n[late]\ngrace = 2\n", 3, "late is there twice, first in line 1"),
        ("[points]\nget_logprobs = 4,5", 2, "points.get_logprobs takes a number from 0 to 1000000, got 4,5"),
        ("timezone = Europe/Berlin", 1, "timezone takes a zone such as 'Europe/Berlin' in quotes, got Europe/Berlin"),
        ("title = \u201cx\u201d", 1, "title takes a text of one line in quotes, got"),
        ("title =", 1, "got nothing"),
        ("title = 'x", 1, "a quotation mark or bracket that is opened here is not closed"),
        ("title = 'y'\nparts = ['part1_rlhf'\n[late]\nflat = 3", 2, "bracket that is opened here is not closed"),
        ("title: x\n", 1, "takes an entry `key = value` or a table `[name]`, got title: x"),
        ("colour = red\n", 1, "colour has a value that is no TOML; texts stand in quotes, got red"),
        ('\ntitle = """x\n[late]\nflat = 3\n', 2, "opened here is not closed"),
        ("a = " + "[" * 100_000, None, "lists within lists"),
        ("[points]\nget_logprobs = " + "9" * 5000, None, "a number too long"),
        ("[late]\r\nflat = -1\r\n", 2, AMOUNT + "-1"),
    ],
)
def test_a_wrong_entry_is_refused_with_its_line_and_what_is_allowed(read, text, line, words):
    with pytest.raises(CourseError) as refusal:
        read(text)
    message = str(refusal.value)
    assert words in message and "\n" not in message and "\x1b" not in message and len(message) < 900
    assert line is None or f"course.toml, line {line}: " in message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("title = 'é'".encode("latin-1"), "line 1: is not written in UTF-8: save the file in this encoding"),
        ("title = 'x'".encode("utf-16"), "is not written in UTF-8"),
        (b"#" + b"x" * 9_000_000, "over 8 MB"),
    ],
    ids=["Latin-1", "UTF-16", "a large file"],
)
def test_a_file_that_is_no_text_of_this_kind_is_refused(tmp_path, content, words):
    (tmp_path / "course.toml").write_bytes(content)
    with pytest.raises(CourseError, match=words):
        read_course_file(tmp_path / "course.toml")


def test_a_file_that_cannot_be_read_is_refused_and_never_taken_for_no_file(tmp_path):
    with pytest.raises(CourseError, match=r"course\.toml cannot be read"):
        read_course_file(tmp_path / "course.toml")
    (tmp_path / "course.toml").symlink_to("nowhere")
    (tmp_path / "folder/course.toml").mkdir(parents=True)
    for folder in (tmp_path, tmp_path / "folder"):
        with pytest.raises(CourseError, match=r"course\.toml cannot be read"):
            course_file_in(folder)


def test_unusual_ways_to_write_the_same_settings_are_read_alike(tmp_path):
    plain = f"title = 'x'\n[points]\nget_logprobs = 10\n[due]\n{PART} = 2027-03-05T23:59:00+01:00\n[late]\nflat = 5\n"
    unusual = [
        "\ufeff" + plain,
        plain.replace("\n", "\r\n"),
        plain.rstrip("\n"),
        plain.replace("= 10", "= 0xA").replace("'x'", '"\\u0078"'),
        plain.replace("= 10", "= 1_0.0").replace("flat = 5", "flat = 5e0"),
        f"late = {{flat = 5}}\npoints.get_logprobs = 1e1\ntitle = 'x'\n'due'.\"{PART}\" = 2027-03-05 22:59:00z\n",
    ]
    path = tmp_path / "course.toml"
    path.write_text(plain, newline="")
    expected = read_course_file(path)
    for text in unusual:
        path.write_text(text, encoding="utf-8", newline="")
        assert read_course_file(path) == expected


def test_a_time_in_utc_and_both_hours_of_the_night_in_which_clocks_go_back_are_right(read):
    for time in ("2027-07-05T23:59:00Z", "2027-10-31T02:30:00+02:00", "2027-10-31T02:30:00+01:00"):
        assert read(f"{BERLIN}[due]\n{PART} = {time}\n").due[PART] == datetime.fromisoformat(time)


PIECES = [
    "'",
    '"',
    '"""',
    "[",
    "]",
    "[[",
    "{",
    "}",
    "=",
    "\n",
    "\r",
    ".",
    "#",
    ",",
    "%",
    "\\",
    "\0",
    "é",
    "0",
    "-",
    "2027-01-01",
]


def test_a_damaged_file_is_read_or_refused_in_one_line_and_nothing_else_happens():
    chance = random.Random(0)
    whole = re.sub(r"^# (?=[\w\"@.]+ = )", "", course_file_template(), flags=re.MULTILINE)
    refused = 0
    for _ in range(400):
        text = whole
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(len(text))
            text = text[:place] + chance.choice(PIECES) + text[place + chance.choice([0, 0, 1, 9]) :]
        try:
            parse_course_file(text.encode(), Path("course.toml"))
        except CourseError as error:
            refused += 1
            assert str(error).startswith("course.toml") and str(error).isprintable()
    assert refused > 100
