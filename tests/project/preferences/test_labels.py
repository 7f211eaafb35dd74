"""A person's labels: stored at once, undone, resumed, and compared."""

import json

import pytest

from rlhf_course.errors import CourseError
from rlhf_course.rl.preferences.labels import Labelling
from rlhf_course.rl.preferences.pairs import Pair
from rlhf_course.widgets.labelling import label_pairs

PROMPT, COMPLETIONS = "This film", [f" text {number}" for number in range(8)]


@pytest.fixture
def labelling(tmp_path):
    return Labelling(tmp_path / "labels.jsonl", PROMPT, COMPLETIONS, repeated=2)


def test_all_pairs_are_asked_and_some_again_with_their_sides_exchanged(labelling):
    first, again = labelling.questions[:4], labelling.questions[4:]
    assert [(question.left, question.right) for question in first] == [
        (" text 0", " text 1"),
        (" text 2", " text 3"),
        (" text 4", " text 5"),
        (" text 6", " text 7"),
    ]
    assert len(again) == 2 and all(question.again for question in again)
    for question in again:
        assert (question.right, question.left) == (first[question.pair].left, first[question.pair].right)


def test_an_answer_is_in_the_file_at_once_and_another_session_goes_on_there(labelling):
    labelling.answer("left")
    labelling.answer("tie")
    other = Labelling(labelling.path, PROMPT, COMPLETIONS, repeated=2)
    assert other.answers == ["left", "tie"] and other.current == labelling.questions[2]
    other.undo()
    assert Labelling(labelling.path, PROMPT, COMPLETIONS, repeated=2).answers == ["left"]


def test_pairs_hold_the_preferred_completion_and_no_tie(labelling):
    for answer in ("left", "right", "tie", "right"):
        labelling.answer(answer)
    assert labelling.pairs() == [
        Pair(PROMPT, " text 0", " text 1"),
        Pair(PROMPT, " text 3", " text 2"),
        Pair(PROMPT, " text 7", " text 6"),
    ]


def test_agreement_with_oneself_counts_exchanged_sides_as_the_same_answer(labelling):
    for _ in range(4):
        labelling.answer("left")
    labelling.answer("right")  # the same completion as before
    labelling.answer("left")
    assert labelling.agreement_with_oneself() == (1, 2)
    assert labelling.agreement_with([True, False, True, True]) == (3, 4)


def test_answers_to_other_pairs_are_not_taken_over(labelling):
    labelling.answer("left")
    with pytest.raises(CourseError, match="answers to other pairs"):
        Labelling(labelling.path, PROMPT, COMPLETIONS[::-1], repeated=2)
    labelling.path.write_text("no JSON\n")
    with pytest.raises(CourseError, match="cannot be read"):
        Labelling(labelling.path, PROMPT, COMPLETIONS, repeated=2)


def test_what_is_no_answer_changes_nothing(labelling):
    with pytest.raises(CourseError, match="an answer is left, right, tie"):
        labelling.answer("both")
    labelling.undo()
    assert labelling.answers == [] and not labelling.path.exists()


def test_an_answer_that_cannot_be_written_is_not_counted(labelling):
    labelling.path.mkdir()
    with pytest.raises(CourseError, match="the answer is not stored"):
        labelling.answer("left")
    assert labelling.answers == []


def test_in_a_terminal_keys_answer_undo_and_end(labelling, monkeypatch, capsys):
    keys = iter(["a", "x", "d", "z", "s", ""])
    monkeypatch.setattr("builtins.input", lambda _: next(keys))
    label_pairs(labelling)
    assert labelling.answers == ["left", "tie"]
    printed = capsys.readouterr().out
    assert "'x' is no key here" in printed and "2 of 6 pairs are labelled" in printed
    assert json.loads(labelling.path.read_text().splitlines()[1])["answer"] == "tie"


@pytest.mark.parametrize("character", ["\u2028", "\x85", "\x0c", "\r"])
def test_completions_with_any_line_separator_are_read_again(tmp_path, character):
    completions = [f" text{character}{number}" for number in range(4)]
    labelling = Labelling(tmp_path / "labels.jsonl", PROMPT, completions, repeated=1)
    labelling.answer("right")
    assert Labelling(labelling.path, PROMPT, completions, repeated=1).answers == ["right"]
