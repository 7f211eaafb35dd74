"""Print an account of one hidden test, for `rlhf-course grade --explain`."""

from pathlib import Path
from typing import TYPE_CHECKING

from rlhf_course.course import BY_NAME, part_of
from rlhf_course.errors import CourseError
from rlhf_course.grading.submissions.parse_submission import list_submissions
from rlhf_course.grading.submissions.reader import read_submission

if TYPE_CHECKING:
    from rlhf_course.grading.judge.judge import Judge


def explain_test(path: Path, exercise: str, test: str, judge: "Judge", folder: Path | None) -> None:
    """Print an account of one hidden test on one submission.

    Raises:
        CourseError: There is no such submission, exercise or test.
    """
    from rlhf_course.grading.judge.explain import explain

    if exercise not in BY_NAME:
        raise CourseError(f"{exercise} is no exercise; they are {', '.join(BY_NAME)}")
    (submission,) = list_submissions([path], each=False)
    with judge, judge.answers(read_submission(submission, [part_of(BY_NAME[exercise])])) as answers:
        print(*explain(answers, exercise, test, judge.secret, folder), sep="\n")
