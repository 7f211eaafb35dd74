"""A stub is known as one, also as an earlier release wrote it, and a learner's work never is."""

import pytest

from rlhf_course.course import BY_NAME, EXERCISES
from rlhf_course.errors import CourseError
from rlhf_course.paths import NOTEBOOKS, SOLUTIONS
from rlhf_course.stubs import CODE_STUB, is_stub, stub_of

EXERCISE = BY_NAME["calc_kl_penalty"]


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_the_released_file_is_the_stub_and_the_reference_answer_is_not(exercise):
    released = (NOTEBOOKS / exercise.path).read_text()
    assert released == stub_of(exercise) and is_stub(exercise, released)
    assert not is_stub(exercise, (SOLUTIONS / exercise.path).read_text())


@pytest.mark.parametrize("text", [None, "", " \n\n"])
def test_a_missing_or_empty_file_counts_as_a_stub(text):
    assert is_stub(EXERCISE, text)


@pytest.mark.parametrize(
    "released_otherwise",
    [
        lambda stub: stub.replace("\n", "  \n"),
        lambda stub: "# of an earlier release\n" + stub,
        lambda stub: stub.replace('"""', '"""In other words. ', 1),
        lambda stub: stub.replace("(\n    ", "(").replace("\n)", ")"),
    ],
    ids=["trailing space", "comment", "docstring", "layout"],
)
def test_a_stub_with_other_spaces_comments_docstrings_or_layout_is_one(released_otherwise):
    text = released_otherwise(stub_of(EXERCISE))
    assert text != stub_of(EXERCISE) and is_stub(EXERCISE, text)


@pytest.mark.parametrize(
    "work",
    [
        lambda stub: stub.replace(CODE_STUB, "return logits.sum()"),
        lambda stub: stub.replace(CODE_STUB, f"logprobs = logits.log_softmax(-1)\n    {CODE_STUB}"),
        lambda stub: stub + "\n\ndef helper():\n    return 1\n",
        lambda stub: stub.replace("def calc_kl_penalty(", "def calc_kl_penalty(("),
    ],
    ids=["answer", "first line of an answer", "helper", "syntax error"],
)
def test_a_file_with_any_work_in_it_is_no_stub(work):
    text = work(stub_of(EXERCISE))
    assert text != stub_of(EXERCISE) and not is_stub(EXERCISE, text)


def test_an_exercise_that_was_not_built_is_named():
    from dataclasses import replace

    with pytest.raises(CourseError, match="no stub of not_built: run `rlhf-course build`"):
        stub_of(replace(EXERCISE, name="not_built"))
