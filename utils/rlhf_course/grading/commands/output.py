"""Print results, and write them to files."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from rlhf_course.errors import CourseError
from rlhf_course.files import write_text
from rlhf_course.grading.comments.comments import ClassComments, Comment, comments_beside, read_comments
from rlhf_course.grading.reports.tables import LEGEND, terminal_table, write_csv
from rlhf_course.grading.results import GradeReport, SubmissionResult
from rlhf_course.grading.submissions.parse_submission import printable


def print_results(results: Sequence[SubmissionResult], console: Console) -> None:
    """Print results as a table."""
    console.print(terminal_table(results))
    console.print(LEGEND, style="dim", highlight=False)


def write_reports(
    grades: GradeReport,
    json_file: Path | None,
    html: Path | None,
    csv: Path | None,
    comments: Sequence[Comment] = (),
) -> None:
    """Write results to files.

    Args:
        grades: The results.
        json_file: The JSON file to write; None for no JSON.
        html: The folder to write pages to; None for no pages.
        csv: The CSV file to write; None for no CSV.
        comments: The instructor's comments.

    Raises:
        CourseError: A file cannot be written.
    """
    with writing_files():
        if json_file is not None:
            json_file.parent.mkdir(parents=True, exist_ok=True)
            write_text(json_file, grades.model_dump_json(indent=1) + "\n")
        if csv is not None:
            csv.parent.mkdir(parents=True, exist_ok=True)
            write_csv(csv, grades.submissions)
        if html is not None:
            from rlhf_course.grading.reports.pages import write_pages  # jinja2 takes time to load.

            print(f"class report: {write_pages(html, grades, comments)}")
            print_unmatched(comments, grades)


def print_unmatched(comments: Sequence[Comment], grades: GradeReport) -> None:
    """Print the comments that reach nobody."""
    for message in ClassComments(comments, grades.submissions).unmatched:
        print(f"a comment reaches nobody: {printable(message)}")


def comments_of(file: Path | None, results: Path | None) -> list[Comment]:
    """Return the comments in a file, or else in the file beside the results."""
    if file is not None:
        return read_comments(file)
    return [] if results is None else comments_beside(results)


@contextmanager
def writing_files() -> Iterator[None]:
    """Turn an error of writing a file into a message.

    Raises:
        CourseError: A file cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise CourseError(f"{error.filename} cannot be written: {error.strerror}") from error
