"""Answers that do the same form a group, and an instructor's comments reach learners, groups and all."""

import sys

import pytest

from rlhf_course.cli import main
from rlhf_course.course import BY_NAME
from rlhf_course.errors import CourseError
from rlhf_course.grading.comments.comments import (
    ClassComments,
    Comment,
    FolderComments,
    comments_beside,
    feedback_lines,
    read_comments,
)
from rlhf_course.grading.comments.groups import Examples, group_answers
from rlhf_course.grading.reports.pages import write_pages
from rlhf_course.grading.results import ExerciseResult, GradeReport, SubmissionResult
from rlhf_course.grading.results import TestResult as Outcome
from rlhf_course.grading.submissions.submission import Submission
from rlhf_course.nbgrader_course.feedback import shown_comments, with_comments

EXERCISE = "calc_kl_penalty"


def graded(name: str, outputs: float | None = 0.25, message: str = "too large", **fields) -> SubmissionResult:
    """A submission with one exercise, which fails unless a status is given."""
    status = fields.pop("status", "failed")
    passed = status == "passed"
    test = Outcome(name="the sum", points=2, status=status, message="" if passed else message)
    exercise = ExerciseResult(score=2 * passed, max_score=2, status=status, tests=[test], outputs=outputs, **fields)
    return SubmissionResult(
        name=name, score=exercise.score, max_score=2, seconds=1, warnings=[], exercises={EXERCISE: exercise}
    )


def members(*results: SubmissionResult) -> list[list[str]]:
    return [group.members for group in group_answers(results)[EXERCISE]]


def test_answers_with_the_same_messages_are_grouped_by_their_outputs_up_to_rounding():
    assert members(
        graded("ada", 0.2505), graded("ben", 0.75), graded("cy", 0.2504999), graded("dee", message="small")
    ) == [["ada", "cy"], ["ben"], ["dee"]]


def test_answers_that_behave_like_one_known_mistake_are_one_group_whatever_the_inputs_were():
    first = group_answers([graded("ada", 0.1, mistake="a sum"), graded("ben", 0.9, mistake="a sum")])[EXERCISE]
    again = group_answers([graded("ada", 0.3, mistake="a sum")])[EXERCISE]
    assert [group.members for group in first] == [["ada", "ben"]] and first[0].key == again[0].key


def test_passed_and_missing_answers_come_last_as_one_group_each():
    groups = group_answers([graded("ada", 0.1, status="passed"), graded("ben", 0.9, status="passed"),
                            graded("cy"), graded("dee", None, status="missing")])[EXERCISE]  # fmt: skip
    assert [(group.members, group.key) for group in groups[1:]] == [(["ada", "ben"], "passed"), (["dee"], "missing")]


def test_a_key_still_names_its_group_where_another_machine_rounds_outputs_differently():
    (before,), (after,), (other,) = (
        group_answers([graded("ada", outputs)])[EXERCISE] for outputs in (0.25049999, 0.25050001, 0.26)
    )
    assert before.key != after.key and after.is_named(before.key) and not other.is_named(before.key)
    assert not after.is_named("passed") and not after.is_named(before.key.partition("-")[0])


def test_examples_hold_the_text_of_one_answer_of_each_group():
    examples = Examples()
    for name, outputs in (("ada", 0.25), ("ben", 0.25), ("cy", 0.5)):
        examples.add(Submission(name, {f"part1_rlhf/{EXERCISE}.py": f"# {name}"}), graded(name, outputs))
    assert examples.texts == {EXERCISE: {"ada": "# ada", "cy": "# cy"}}


def class_comments(*comments: Comment) -> ClassComments:
    return ClassComments(comments, [graded("ada"), graded("ben"), graded("cy", 0.5)])


def test_a_comment_reaches_a_learner_a_group_or_all():
    (group, _) = group_answers([graded("ada"), graded("ben"), graded("cy", 0.5)])[EXERCISE]
    comments = class_comments(
        Comment("To you.", learner="ada"), Comment("Which axis?", exercise=EXERCISE, group=group.key), Comment("Hello.")
    )
    assert [feedback_lines(comments.to_learner(name)) for name in ("ada", "ben", "cy")] == [
        ["To you.", f"{EXERCISE}: Which axis?", "Hello."],
        [f"{EXERCISE}: Which axis?", "Hello."],
        ["Hello."],
    ]
    assert comments.unmatched == []


def test_comments_whose_learner_exercise_or_group_is_gone_are_listed():
    unmatched = class_comments(
        Comment("a", learner="dee"), Comment("b", exercise="no"), Comment("c", exercise=EXERCISE, group="beef01-1")
    ).unmatched
    assert [message.partition(" (")[2] for message in unmatched] == [
        "these results hold no submission dee)",
        "these results hold no exercise no)",
        f"no answer to {EXERCISE} is in group beef01-1 now)",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[[comment]\n", r"line 1: takes an entry `key = value` or a table"),
        ("[[comment]]\ntext = 'a'\n[[comment]]\nlearner = 'ada'\n", "line 3: comment 2 has no text"),
        (
            "[[comment]]\ntext = 'a'\nto = 'ada'\n",
            "line 3: comment 1 has an unknown field to; the fields are text, learner, exercise, group",
        ),
        ("[[comment]]\ntext = 'a'\ngruop = 'b'\n", r"unknown field gruop: did you mean group\?"),
        ("[[comment]]\ntext = 'a'\ngroup = 'abc'\n", "line 3: comment 1 is to a group: it names the exercise"),
        ("[[comment]]\ntext = 1\n", "line 2: comment 1 takes a text in quotes for text, got 1"),
        ("[[comment]]\ntext = Well done\n", "line 2: comment.text takes a text in quotes, got Well done"),
        ("[comment]\ntext = 'a'\n", r"line 1: comment is a list of tables: write \[\[comment\]\]"),
        ("title = 'x'\n", r"line 1: title is unknown here; write \[\[comment\]\]"),
        ("[[comments]]\ntext = 'x'\n", r"did you mean comment\?"),
        ("comment = ['x']\n", "comment 1 is a table with the fields text"),
    ],
)
def test_a_wrong_file_of_comments_is_refused_with_the_place(tmp_path, content, message):
    (tmp_path / "comments.toml").write_text(content)
    with pytest.raises(CourseError, match=message):
        read_comments(tmp_path / "comments.toml")


def test_a_file_of_comments_may_begin_with_a_byte_order_mark_and_is_never_taken_for_no_file(tmp_path):
    (tmp_path / "comments.toml").write_bytes("\ufeff[[comment]]\r\ntext = 'é'\r\n".encode())
    assert comments_beside(tmp_path / "results.json") == [Comment("é")]
    (tmp_path / "comments.toml").unlink()
    (tmp_path / "comments.toml").symlink_to("nowhere")
    with pytest.raises(CourseError, match="cannot be read"):
        comments_beside(tmp_path / "results.json")


HOSTILE = "<script>alert(1)</script> **bold** [a](javascript:x) {{ 7*7 }}"


def test_pages_show_comments_as_plain_text_and_the_groups_with_an_answer(tmp_path):
    results = [graded("ada"), graded("ben", 0.5)]
    report = GradeReport(isolation="uid", submissions=results, examples={EXERCISE: {"ada": "x = '</pre><b>'"}})
    key = group_answers(results)[EXERCISE][0].key
    gone = Comment("gone", learner="zoe")
    write_pages(tmp_path, report, [Comment(HOSTILE, exercise=EXERCISE, group=key), Comment("all of you"), gone])
    ada, ben = ((tmp_path / f"learners/{name}.html").read_text() for name in ("ada", "ben"))
    page, index = (tmp_path / f"exercises/{EXERCISE}.html").read_text(), (tmp_path / "index.html").read_text()
    assert "&lt;script&gt;alert(1)&lt;/script&gt; **bold** [a](javascript:x) {{ 7*7 }}" in ada
    assert "alert(1)" not in ben and "all of you" in ben and "<script" not in ada + page
    assert (
        f"<code>{key}</code>" in page
        and "x = &#39;&lt;/pre&gt;&lt;b&gt;&#39;" in page
        and "../learners/ben.html" in page
    )
    assert "to zoe: gone (these results hold no submission zoe)" in index


def command(monkeypatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["rlhf-course", *map(str, arguments)])
    with pytest.raises(SystemExit) as exit_info:
        main()
    return int(exit_info.value.code or 0)


def test_comments_beside_the_results_are_in_the_report_and_in_moodles_feedback_after_each_grading(
    tmp_path, monkeypatch, capsys
):
    (tmp_path / "comments.toml").write_text(
        "[[comment]]\nlearner = 'ada'\ntext = 'Well done.'\n[[comment]]\nlearner = 'zoe'\ntext = 'gone'\n"
    )
    for _ in range(2):  # The results are written anew, and the comments stay.
        report = GradeReport(isolation="uid", submissions=[graded("ada")])
        (tmp_path / "r.json").write_text(report.model_dump_json())
        assert command(monkeypatch, "report", tmp_path / "r.json", "--html", tmp_path / "html") == 0
        assert "Well done." in (tmp_path / "html/learners/ada.html").read_text()
        assert "a comment reaches nobody: to zoe: gone" in capsys.readouterr().out
    assert command(monkeypatch, "marks", tmp_path / "r.json", "--moodle", tmp_path / "m.csv") == 0
    assert "Well done.; calc_kl_penalty 0/2" in (tmp_path / "m.csv").read_text()
    assert "no submission zoe" in capsys.readouterr().out


def test_comments_of_a_folder_reach_the_learners_of_all_its_results_and_list_who_is_in_none(tmp_path):
    for name, learner in (("one", "ada"), ("two", "ben")):
        report = GradeReport(isolation="uid", submissions=[graded(learner)])
        (tmp_path / f"{name}.json").write_text(report.model_dump_json())
    key = group_answers([graded("ada")])[EXERCISE][0].key
    (tmp_path / "comments.toml").write_text(
        f"[[comment]]\ntext = 'axis'\nexercise = '{EXERCISE}'\ngroup = '{key}'\n"
        "[[comment]]\ntext = 'you'\nlearner = 'ben'\n[[comment]]\ntext = 'gone'\nlearner = 'zoe'\n"
    )
    comments = FolderComments(tmp_path)
    assert [comment.text for comment in comments.to_learner("ada")] == ["axis"]
    assert [comment.text for comment in comments.to_learner("ben")] == ["you", "axis"]
    assert comments.unmatched == ["to zoe: gone (these results hold no submission zoe)"]


def test_without_results_comments_to_groups_are_listed_and_the_others_reach_their_learners(tmp_path):
    (tmp_path / "comments.toml").write_text(
        "[[comment]]\ntext = 'axis'\nexercise = 'get_logprobs'\ngroup = 'abc'\n[[comment]]\ntext = 'all'\n"
    )
    comments = FolderComments(tmp_path)
    assert [comment.text for comment in comments.to_learner("ada")] == ["all"]
    assert comments.unmatched == ["to group abc, get_logprobs: axis (there are no results)"]
    assert not FolderComments(tmp_path / "nothing here").unmatched


def test_a_notebooks_page_shows_comments_on_its_exercises_and_on_none():
    comments = [Comment("sum", exercise=EXERCISE), Comment("AdamW", exercise="get_optimizer"), Comment("all")]
    assert shown_comments(comments, BY_NAME[EXERCISE].notebook) == [f"{EXERCISE}: sum", "all"]
    page = with_comments("<html><body class='x'><p>old</p></body></html>", ["a < b"])
    assert page.index("a &lt; b") < page.index("old") and page.startswith("<html><body class='x'>")
    assert with_comments(page, []) == page
