"""Grade one submission on Gradescope's machine, and write `results.json`."""

import json
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from rlhf_course.course import BY_NAME
from rlhf_course.course_file import course_file_in
from rlhf_course.grading.course_marks import apply_course, without_time
from rlhf_course.grading.results import ExerciseResult, SubmissionResult
from rlhf_course.grading.secret import read_secret
from rlhf_course.grading.submissions.parse_submission import SubmissionPath
from rlhf_course.grading.submissions.reader import read_submission
from rlhf_course.paths import REPOSITORY
from rlhf_course.releasing.gradescope import SECRET

METADATA = "submission_metadata.json"
_NO_ANSWER = {
    "missing": "nothing was handed in for this exercise",
    "unreadable": "what was handed in for this exercise could not be read; the output above says why",
}


def main(home: Path, part_names: Sequence[str] = ()) -> None:
    """Grade the submission in Gradescope's folders, and write its results.

    Args:
        home: The folder that holds `submission/`, `results/`, and Gradescope's description of the submission.
        part_names: The names of the parts to grade; empty for those of the course.
    """
    from rlhf_course.grading.judge.judge import Judge

    course = course_file_in(REPOSITORY)
    with Judge(isolation="uid", secret=read_secret(REPOSITORY / SECRET)) as judge:
        result = judge.grade(
            read_submission(SubmissionPath("submission", home / "submission"), course.parts(part_names))
        )
    handed_in, learner = read_metadata(home / METADATA)
    result = apply_course(result.model_copy(update={"handed_in": handed_in}), course, learner)
    if without_time([result], course):
        result.warnings.append("the time of handing in is unknown, so nothing is subtracted for late work")
    (home / "results").mkdir(exist_ok=True)
    (home / "results/results.json").write_text(json.dumps(as_gradescope(result), indent=1))


def read_metadata(path: Path) -> tuple[datetime | None, str]:
    """Return when a submission was handed in, and the learner's e-mail address, as Gradescope describes them.

    Args:
        path: Gradescope's `submission_metadata.json`. What it does not say is None or empty.
    """
    try:
        fields = json.loads(path.read_bytes())
        handed_in = datetime.fromisoformat(fields["created_at"])
        learner = str(fields["users"][0]["email"]) if fields.get("users") else ""
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None, ""
    return (handed_in if handed_in.tzinfo is not None else None), learner


def as_gradescope(result: SubmissionResult) -> dict[str, Any]:
    """Return a result in Gradescope's format: one test for each exercise, and the warnings as its output."""
    return {
        "score": result.mark,
        "execution_time": round(result.seconds),
        "output": "\n".join([*([result.late] if result.late else []), *result.warnings]),
        "output_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "tests": [_test(number, name, exercise) for number, (name, exercise) in enumerate(result.exercises.items(), 1)],
    }


def _test(number: int, name: str, result: ExerciseResult) -> dict[str, Any]:
    lines = [
        f"{'+' if test.status == 'passed' else '-'} {test.name} ({test.points:g})" + _message(test.message)
        for test in result.tests
    ]
    if result.state in _NO_ANSWER:
        lines = [_NO_ANSWER[result.state]]
    if result.mistake:
        lines.append(f"It behaves like a known mistake: {result.mistake}")
    return {
        "number": str(number),
        "name": name,
        "score": result.score,
        "max_score": result.max_score,
        "status": "passed" if result.status == "passed" else "failed",
        "output": "\n".join(lines),
        "output_format": "text",
        "visibility": "visible",
        "tags": [BY_NAME[name].notebook],
    }


def _message(text: str) -> str:
    return "".join(f"\n    {line}" for line in text.splitlines())


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
