"""Provide one judge with short limits for all tests that grade; it starts with the first test that needs it."""

from collections.abc import Iterator

import pytest

from rlhf_course.grading.judge.judge import IsolationUnavailable, Judge, ResourceLimits


@pytest.fixture(scope="session")
def judge() -> Iterator[Judge]:
    """A judge at the level `namespaces`; tests are skipped on a machine that does not support it."""
    try:
        with Judge(
            "namespaces", ResourceLimits(timeout=4, exercise_timeout=30, memory=768, output=8192, disk=4096)
        ) as judge:
            yield judge
    except IsolationUnavailable as error:
        pytest.skip(str(error))
