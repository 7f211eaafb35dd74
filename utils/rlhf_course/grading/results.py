"""Define the results of grading, as they are written to JSON."""

from datetime import datetime
from typing import ClassVar, Literal

from pydantic import BaseModel

# A message with one of these texts says that an answer exceeded a limit of memory or processor time, or was killed.
LIMIT_MESSAGES = ("MemoryError", "OutOfMemoryError", "used up its processor time", "was ended by signal 9")

Status = Literal["passed", "failed", "error", "timeout", "missing", "unreadable"]
# What reports show: where a part of an answer is written and a part is not, it is unfinished, whatever the part does.
State = Literal["passed", "failed", "error", "timeout", "unfinished", "missing", "unreadable"]


class TestResult(BaseModel):
    """The result of one hidden test.

    Attributes:
        name: The test's name without `test_` and underscores: the sentence that the test proves.
        points: The points that the test gives if it passes.
        status: The status; only "passed" gives the points.
        message: The message for the learner, without hidden values, source or traceback; empty if the test passed.
    """

    __test__: ClassVar[bool] = False  # else pytest would take it for a class of tests

    name: str
    points: float
    status: Status
    message: str = ""


class ExerciseResult(BaseModel):
    """The result of one exercise.

    Attributes:
        score: The points of the tests that passed.
        max_score: The points of all tests.
        status: "passed" if every test passed, otherwise the most severe status of a test. "missing" means that nothing
            was handed in, "unreadable" that what was handed in could not be read.
        tests: The results of the tests, in the order of their file.
        mistake: The description of the known mistake that the answer behaves like; None if there is none.
        outputs: A number between -1 and 1 that is computed from all that the answer returned to the tests, so that
            answers with equal outputs have equal numbers up to rounding; None for classes and in older files.
    """

    score: float
    max_score: float
    status: Status
    tests: list[TestResult]
    mistake: str | None = None
    outputs: float | None = None

    @property
    def state(self) -> State:
        """The status as reports show it: "unfinished" if a part of the answer is written and a part is not."""
        is_unfinished = {test.status != "missing" for test in self.tests} == {True, False}
        return "unfinished" if is_unfinished else self.status

    def scaled(self, points: float) -> "ExerciseResult":
        """Return the result with other points for the exercise; no score and full score stay exact.

        Where the exercise gets no points, its tests keep theirs, so that the result can be scaled again.

        Args:
            points: The points of the exercise, to which score and tests are scaled.
        """
        score, total = self.score, self.max_score
        if total == 0:
            score = sum(test.points for test in self.tests if test.status == "passed")
            total = sum(test.points for test in self.tests)
        if total <= 0 or points == self.max_score:
            return self
        score = min(points, max(0.0, round(points * score / total, 4)))
        factor = points / total if points else 1
        tests = [test.model_copy(update={"points": round(test.points * factor, 4)}) for test in self.tests]
        return self.model_copy(update={"score": score, "max_score": points, "tests": tests})


class SubmissionResult(BaseModel):
    """The results of one submission.

    Attributes:
        name: The submission's name.
        score: The sum of the exercises' scores, at most the full marks.
        max_score: The full marks: the sum of the exercises' maximum scores, unless the course sets fewer.
        seconds: The time that grading took.
        warnings: Messages for the instructor about the reading and grading of the submission.
        exercises: The results of the exercises, by name.
        handed_in: The time of handing in; None if it is not known.
        late_penalty: The points that the submission loses because it is late. The score is the one without them.
        late: A sentence on the penalty, for the learner; empty if there is none.
    """

    name: str
    score: float
    max_score: float
    seconds: float
    warnings: list[str]
    exercises: dict[str, ExerciseResult]
    handed_in: datetime | None = None
    late_penalty: float = 0
    late: str = ""

    @property
    def mark(self) -> float:
        """The score without the penalty for late work."""
        return max(0.0, self.score - self.late_penalty)

    @property
    def is_unread(self) -> bool:
        """Whether something that was handed in could not be read, so that the score is not known."""
        return any(exercise.status == "unreadable" for exercise in self.exercises.values())

    @property
    def is_decided_by_limits(self) -> bool:
        """Whether an answer ran out of time or memory, which may depend on what else the machine did."""
        tests = [test for exercise in self.exercises.values() for test in exercise.tests]
        return any(test.status == "timeout" or any(text in test.message for text in LIMIT_MESSAGES) for test in tests)


class GradeReport(BaseModel):
    """The file that `rlhf-course grade --json` writes.

    Attributes:
        version: The version of the format.
        isolation: The isolation level that the submissions were graded at.
        secret: The fingerprint of the course's secret, which the tests' inputs were drawn from; empty in older files.
        suite: The fingerprint of the hidden tests and of all else that decides a mark; empty in older files.
        course: The fingerprint of the settings of `course.toml` that decide marks; empty in older files.
        title: The course's title; empty if it has none.
        submissions: The results of the submissions.
        examples: The texts of some answers, by exercise and submission: one of each group of answers that do the same.
    """

    version: Literal[1] = 1
    isolation: Literal["namespaces", "uid", "unsafe"]
    secret: str = ""
    suite: str = ""
    course: str = ""
    title: str = ""
    submissions: list[SubmissionResult]
    examples: dict[str, dict[str, str]] = {}
