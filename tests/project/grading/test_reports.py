"""Pages escape all text that is not trusted, and tables hold the same numbers as the results."""

import csv
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest
from fake_judge import FakeJudge
from rich.console import Console

from rlhf_course.course import DEFAULT_PART, EXERCISES
from rlhf_course.grading.reports.pages import class_page, learner_page, write_pages
from rlhf_course.grading.reports.summary import summarise
from rlhf_course.grading.reports.tables import terminal_table, write_csv
from rlhf_course.grading.results import ExerciseResult, GradeReport, SubmissionResult
from rlhf_course.grading.results import TestResult as Outcome
from rlhf_course.grading.submissions.submission import Submission
from rlhf_course.nbgrader_course.outputs import judged_output
from rlhf_course.releasing.on_gradescope import _test as gradescope_test

POINTS = DEFAULT_PART.points
HOSTILE = (
    "<script>alert(1)</script>\"' onload=x {{ 7*7 }} </style> ]]> &lt;b&gt; \u202egnp.exe \x1b[31m javascript:alert(1)"
)
MESSAGE = 'got <img src=x onerror="alert(1)">\nwanted 3'


def make_result(name: str, **statuses: str) -> SubmissionResult:
    """Return a result in which every exercise is passed except those that get another status."""
    result = FakeJudge().grade(Submission(name, {exercise.path: "#" * 50 for exercise in EXERCISES}))
    for exercise, status in statuses.items():
        test = Outcome(
            name="the reward is the last token's",
            points=3,
            status=status,
            message=MESSAGE if status != "missing" else "",
        )
        best = result.exercises[exercise].max_score
        mistake = "The sign is turned: <Q> - V." if status == "failed" else None
        result.exercises[exercise] = ExerciseResult(
            score=best - 3, max_score=best, status=status, tests=[test], mistake=mistake
        )
        result.score -= 3
    result.seconds = 0.5 + len(statuses)
    return result


REPORT = GradeReport(
    isolation="namespaces",
    submissions=[
        make_result("ada"),
        make_result("bob", compute_advantages="failed", get_logprobs="timeout"),
        make_result("cy", compute_advantages="failed", RLHFTrainer="missing"),
        make_result("dee", RLHFTrainer="missing", reward_fn_sentiment_imdb="missing"),
        make_result(HOSTILE, get_optimizer="error"),
    ],
)


class Page(HTMLParser):
    """A page's elements, attributes and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        self.open.append(tag)

    def handle_endtag(self, tag):
        self.text += " "
        while self.open and self.open.pop() != tag:
            continue

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open[-1:]):
            self.text += data


def pages() -> list[str]:
    return [class_page(REPORT, ["a.html"] * 5), *(learner_page(result, "namespaces") for result in REPORT.submissions)]


@pytest.mark.parametrize("number", range(6))
def test_a_page_runs_no_script_loads_no_resource_and_shows_hostile_text_as_text(number):
    page = Page(pages()[number])
    assert not {"script", "img", "iframe", "object", "embed", "link", "form", "base"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    for name, value in page.attributes:
        if name in ("href", "src", "xlink:href", "action"):
            assert re.match(r"^(#|learners/|exercises/)[\w./-]+$", value), value
    assert "url(http" not in pages()[number] and not re.search(r"[\x00-\x08\x0b-\x1f\u202e]", pages()[number])
    if number in (0, 5):
        assert "<script>alert(1)</script>" in page.text and "{{ 7*7 }}" in page.text


def test_the_learners_page_holds_scores_messages_and_the_likely_mistake():
    page = Page(learner_page(REPORT.submissions[1], "namespaces")).text
    for wanted in (
        f"{POINTS - 6} of {POINTS} points",
        "5 / 8",
        "The sign is turned: <Q> - V.",
        MESSAGE,
        "timeout",
        "judged by a fake",
    ):
        assert wanted in page


def test_the_learners_page_names_nobody_else_and_holds_no_more_of_the_suite_than_the_results_do():
    html = learner_page(REPORT.submissions[1], "namespaces")
    assert not [name for name in ("ada", "cy", "dee") if re.search(rf"\b{name}\b", Page(html).text)]
    assert "tests/hidden" not in html and "Traceback" not in html and "index.html" not in html


def test_the_page_says_that_an_exercise_was_not_handed_in():
    assert "no answer to this exercise" in Page(learner_page(REPORT.submissions[2], "namespaces")).text


def test_every_figure_has_an_alternative_text_and_uses_the_colours_of_the_page():
    html = pages()[0]
    assert html.count("<svg") == html.count('role="img" aria-label="') == 2
    svg = html[html.index("<svg") :]
    assert "currentColor" in svg and "var(--passed)" in svg and "#01020" not in svg
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids)), "ids of different figures differ"


def luminance(colour: str) -> float:
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4 for channel in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_every_text_colour_has_enough_contrast_in_the_light_and_the_dark_theme():
    themes = re.findall(r":root \{(.*?)\}", pages()[0], flags=re.DOTALL)
    assert len(themes) == 2
    for theme in themes:
        colours = dict(re.findall(r"--(\w+): (#\w{6})", theme))
        ground = luminance(colours.pop("ground"))
        del colours["line"]
        for name, colour in colours.items():
            light, dark = sorted([luminance(colour), ground], reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, name


def test_the_class_page_counts_learners_and_names_mistakes():
    page = " ".join(Page(pages()[0]).text.split())
    assert "5 submissions" in page and "1 passed everything" in page
    assert "2 compute_advantages The sign is turned: <Q> - V." in page


def test_the_summary_says_where_learners_are_stuck_and_which_mistakes_are_frequent():
    summary = summarise(REPORT)
    by_name = {exercise.name: exercise for exercise in summary.exercises}
    assert by_name["compute_advantages"].stuck == ["bob", "cy"] and by_name[
        "compute_advantages"
    ].pass_rate == pytest.approx(0.6)
    assert by_name["RLHFTrainer"].next == ["dee"] and by_name["RLHFTrainer"].minutes == "40-60"
    assert by_name["get_optimizer"].counts == {
        "passed": 4,
        "failed": 0,
        "error": 1,
        "timeout": 0,
        "unfinished": 0,
        "missing": 0,
        "unreadable": 0,
    }
    assert summary.finished == ["ada"]
    first, *others = summary.causes
    assert (first.exercise, first.description) == ("compute_advantages", "The sign is turned: <Q> - V.")
    assert (first.learners, first.example) == (["bob", "cy"], MESSAGE)
    assert [(cause.exercise, cause.description, cause.example) for cause in others] == [
        ("get_logprobs", MESSAGE, ""),
        ("get_optimizer", MESSAGE, ""),
    ]
    assert [result.name for result in summary.slowest[:1]] == ["bob"]


def graded(name: str, *points: float, status: str = "passed") -> SubmissionResult:
    """A submission with one exercise; a test of two points passes where the points are 2, and is unwritten where -1."""
    statuses = {2: status, 0: "failed", -1: "missing"}
    tests = [
        Outcome(name=f"test {number}", points=2, status=statuses[value], message="m")
        for number, value in enumerate(points)
    ]
    score = sum(test.points for test in tests if test.status == "passed")
    kinds = [kind for kind in ("failed", "unreadable", "missing", "passed") if kind in {test.status for test in tests}]
    result = ExerciseResult(score=score, max_score=2 * len(tests), status=kinds[0], tests=tests)
    return SubmissionResult(
        name=name, score=score, max_score=2 * len(tests), seconds=1, warnings=[], exercises={"get_logprobs": result}
    )


def test_what_could_not_be_read_enters_neither_mean_nor_pass_rate_and_is_named():
    report = GradeReport(
        isolation="unsafe", submissions=[graded("ada", 2, 2), graded("ben", 2, 2, status="unreadable")]
    )
    summary = summarise(report)
    assert (summary.mean, summary.median, summary.percents, summary.unread) == (4, 4, [100], ["ben"])
    (exercise,) = summary.exercises
    assert (exercise.pass_rate, exercise.mean, exercise.counts["unreadable"]) == (1, 4, 1)
    assert not summary.causes and summary.finished == ["ada"] and exercise.stuck == []
    page = " ".join(Page(class_page(report, ["a.html", "b.html"])).text.split())
    assert "1 with something that could not be read: ben" in page


def test_unwritten_unfinished_and_wrong_answers_are_told_apart():
    results = [graded("ada", -1, -1), graded("ben", 2, -1), graded("cy", 0, 2), graded("dee", 0, -1)]
    summary = summarise(GradeReport(isolation="unsafe", submissions=results))
    (exercise,) = summary.exercises
    assert {state: count for state, count in exercise.counts.items() if count} == {
        "missing": 1, "unfinished": 2, "failed": 1,
    }  # fmt: skip
    assert [(cause.description, cause.learners) for cause in summary.causes] == [("m", ["cy", "dee"])]


def test_table_csv_and_pages_show_an_unfinished_answer_as_unfinished(tmp_path):
    results = [graded("ada", -1, -1), graded("ben", 2, -1)]
    console = Console(record=True, width=100)
    console.print(terminal_table(results))
    assert [line.split()[4] for line in console.export_text().splitlines()[1:]] == ["·", "◐"]
    write_csv(tmp_path / "a.csv", results)
    assert [line.split(",")[-1] for line in (tmp_path / "a.csv").read_text().splitlines()[1:]] == [
        "missing", "unfinished",
    ]  # fmt: skip
    report = GradeReport(isolation="uid", submissions=results)
    assert "2 ◐ unfinished" in " ".join(Page(class_page(report, ["a.html", "b.html"])).text.split())
    own = Page(learner_page(results[1], "uid")).text
    assert "A part of this answer is written" in own and "no answer to this exercise" not in own


def test_nbgrader_and_gradescope_show_what_passed_in_an_unfinished_answer():
    result = graded("ben", 2, -1).exercises["get_logprobs"]
    shown = judged_output(result, 4)["data"]["text/html"]
    assert "a part of it is not written" in shown and "nothing was handed in</b>" not in shown and "test 0" in shown
    assert "+ test 0 (2)" in gradescope_test(1, "get_logprobs", result)["output"]


def test_pages_say_when_work_was_handed_in_and_what_counts_of_late_work():
    results = [graded("ada", 2, 2), graded("ben", 2, 2), graded("cy", 0, 0)]
    results[0].handed_in = datetime(2027, 3, 5, 18, 30, tzinfo=UTC)
    results[1] = results[1].model_copy(
        update={"handed_in": datetime(2027, 3, 1, 9, 5, tzinfo=UTC), "late_penalty": 1.0, "late": "One day late."}
    )
    page = " ".join(Page(class_page(GradeReport(isolation="uid", submissions=results), list("abc"))).text.split())
    assert "Handed in from 2027-03-01 09:05 (UTC) to 2027-03-05 18:30 (UTC)." in page
    assert "1 loses points for late work" in page and ": ben." in page and "the mean is 2.3" in page
    assert "3 points count : One day late." in Page(learner_page(results[1], "uid")).text


def test_item_analysis_gives_each_hidden_test_its_share_its_correlation_with_the_rest_and_a_remark():
    results = [
        graded("a", 2, 2, 2, 0, -1),
        graded("b", 2, 2, 0, 0, 2),
        graded("c", 2, 0, 0, 0, 2),
        graded("d", 2, 0, 2, 0, 2),
    ]
    easy, separates, other, hard, late = summarise(GradeReport(isolation="unsafe", submissions=results)).items
    assert [(item.learners, item.passed) for item in (easy, separates, other, hard, late)] == [
        (4, 4), (4, 2), (4, 2), (4, 0), (3, 3),
    ]  # fmt: skip
    assert (easy.remark, hard.remark, easy.discrimination) == ("everybody passes it", "nobody passes it", None)
    # Without test 1 the scores are 4, 4, 4, 6; those who pass it are a and b: the correlation is -1/sqrt(3).
    assert separates.discrimination == pytest.approx(-(3**-0.5))
    assert separates.failed_by == ["c", "d"]
    assert separates.remark == "who passes it does worse elsewhere"


def test_an_empty_class_still_makes_a_page():
    assert "0 submissions" in class_page(GradeReport(isolation="uid", submissions=[]), [])


def test_equal_and_unsafe_names_of_learners_give_different_files_in_one_folder(tmp_path):
    names = ["ada", "ADA", "ada!", "../../etc/passwd", "..", "", "a/b", "x" * 300, "语"]
    write_pages(tmp_path / "html", GradeReport(isolation="unsafe", submissions=[make_result(name) for name in names]))
    written = [path.name for path in (tmp_path / "html" / "learners").iterdir()]
    assert len(written) == len({name.lower() for name in written}) == len(names)
    assert [path.name for path in tmp_path.iterdir()] == ["html"]
    links = set(re.findall(r'href="learners/([^"]+)"', (tmp_path / "html" / "index.html").read_text()))
    assert links == set(written)


def test_the_csv_holds_a_row_for_each_submission_and_no_formula(tmp_path):
    bad = make_result("=HYPERLINK(1)").model_copy(update={"warnings": ["@x", "line\nbreak"]})
    write_csv(tmp_path / "a.csv", [*REPORT.submissions, bad])
    with open(tmp_path / "a.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["score"] for row in rows] == [str(POINTS - lost) for lost in (0, 6, 6, 6, 3, 0)]
    assert (
        rows[1]["compute_advantages"] == "5"
        and rows[1]["get_logprobs status"] == "timeout"
        and rows[1]["percent"] == f"{100 * (POINTS - 6) / POINTS:.1f}"
    )
    assert rows[5]["name"] == "'=HYPERLINK(1)" and rows[5]["warnings"] == "'@x | line\nbreak"
    assert list(rows[0])[:6] == ["name", "score", "max_score", "percent", "seconds", "warnings"]


def test_a_name_with_markup_is_printed_literally_in_the_terminals_table():
    console = Console(record=True, width=150, force_terminal=True)
    name = "[bold red]x[/] [link=http://a]b[/link]"
    console.print(terminal_table([make_result(name), *REPORT.submissions[:2]]))
    shown = console.export_text()
    assert "[link=" in shown and f"{POINTS - 6} / {POINTS}" in shown and "compute_advantages +1" in shown


def test_templates_are_part_of_what_is_installed():
    import rlhf_course.grading

    assert {path.name for path in (Path(rlhf_course.grading.__file__).parent / "reports" / "templates").iterdir()} == {
        "page.html",
        "marks.html",
        "learner.html",
        "exercise.html",
        "course.html",
        "class.html",
    }
