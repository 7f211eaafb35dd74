"""The results of grading, as they are written to JSON."""

from typing import Literal

from pydantic import BaseModel

Status = Literal["passed", "failed", "error", "timeout", "missing"]


class TestResult(BaseModel):
    """One hidden test: what it was worth and what came of it.

    Attributes:
        name: the test's name without `test_`, words apart: the sentence that it proves.
        points: what it is worth.
        status: "passed" gives the points, all else gives none.
        message: for the learner; empty where it passed. No hidden value, source or traceback.
    """

    name: str
    points: float
    status: Status
    message: str = ""


class ExerciseResult(BaseModel):
    """One exercise.

    Attributes:
        mistake: the known mistake that the answer behaves like, in words; None where there is none.
    """

    score: float
    max_score: float
    status: Status
    tests: list[TestResult]
    mistake: str | None = None


class SubmissionResult(BaseModel):
    """One learner's results, by exercise."""

    name: str
    score: float
    max_score: float
    seconds: float
    warnings: list[str]
    exercises: dict[str, ExerciseResult]


class GradeReport(BaseModel):
    """What `rlhf-course grade --json` writes."""

    version: Literal[1] = 1
    isolation: Literal["namespaces", "uid", "unsafe"]
    submissions: list[SubmissionResult]
