"""Grade the example submissions of the course."""

from rich.console import Console

from rlhf_course.grading.commands.grader import GradingConfig, grade_with_progress
from rlhf_course.grading.commands.output import print_results
from rlhf_course.grading.limits import ResourceLimits
from rlhf_course.grading.results import SubmissionResult
from rlhf_course.grading.sandbox.isolation import IsolationUnavailable, Level, require_isolation
from rlhf_course.grading.submissions.parse_submission import list_submissions
from rlhf_course.paths import REPOSITORY

EXAMPLES = REPOSITORY / "tests" / "project" / "examples" / "submissions"


def grade_examples(console: Console) -> list[SubmissionResult]:
    """Grade the example submissions of the course and print the results.

    The examples are the course's own, so they are graded without isolation on a machine that supports none.

    Returns:
        The results; an empty list if this copy of the course holds no examples, or this system cannot grade.
    """
    if not EXAMPLES.is_dir():
        return []
    isolation: Level = "namespaces"
    try:
        require_isolation(isolation)
    except IsolationUnavailable as error:
        isolation = "unsafe"
        message = f"{error}\nThe examples are the course's own, so they are graded without isolation.\n"
        console.print(message, markup=False, highlight=False)
    paths = list_submissions([EXAMPLES], each=True)
    try:
        results = grade_with_progress(paths, GradingConfig(isolation, ResourceLimits()), None, console)
    except IsolationUnavailable as error:
        console.print(str(error), markup=False, highlight=False)
        return []
    print_results(results, console)
    return results
