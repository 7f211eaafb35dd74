"""Draws are the same for everybody under one secret, and others under another one."""

import subprocess
import sys

import pytest
import torch

from rlhf_course.grading.judge.draw import Draw
from rlhf_course.grading.secret import PUBLIC, Secret

OTHER = Secret(bytes(range(32)))


def drawn(draw: Draw) -> list[object]:
    """Return something of every kind that a draw gives."""
    return [
        draw.integer(0, 10**9),
        draw.number(0.01, 100),
        draw.choice(range(1000)),
        draw.shuffled(list(range(20))),
        draw.distinct_integers(0, 1000, 5),
        draw.normal(2, 3).tolist(),
        draw.integers(0, 10**6, 4).tolist(),
    ]


def test_a_draw_is_the_same_again_and_in_another_process():
    program = "from test_draw import *; print(drawn(Draw(PUBLIC, 'a/test')))"  # hash randomisation differs there
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(__file__).rsplit('/', 1)[0]!r}); {program}"]
    there = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert there == str(drawn(Draw(PUBLIC, "a/test"))) == str(drawn(Draw(PUBLIC, "a/test")))


@pytest.mark.parametrize(
    "other", [Draw(OTHER, "a/test"), Draw(PUBLIC, "a/another"), Draw(PUBLIC, "a/test", 1), Draw(PUBLIC, "b/test")]
)
def test_another_secret_test_or_number_gives_other_values(other):
    pairs = zip(drawn(Draw(PUBLIC, "a/test")), drawn(other), strict=True)
    assert all(first != second for first, second in pairs)


def test_a_numbered_draw_does_not_depend_on_what_was_drawn_before():
    draw = Draw(OTHER, "a/test")
    before = drawn(draw.numbered(3))
    draw.normal(5)
    assert drawn(draw.numbered(3)) == before == drawn(Draw(OTHER, "a/test", 3))


def test_normal_numbers_are_multiples_of_a_power_of_two_so_that_processors_agree():
    numbers = Draw(PUBLIC, "a/test").normal(1000)
    assert numbers.dtype == torch.float32 and torch.equal((numbers * 1024).round(), numbers * 1024)
    assert abs(float(numbers.mean())) < 0.2 and 0.8 < float(numbers.std()) < 1.2


def test_numbers_stay_between_their_ends_and_integers_include_them():
    draw = Draw(PUBLIC, "a/test")
    assert all(0.1 <= draw.number(0.1, 4.0) <= 4.0 and -2 <= draw.number(-2, 2) <= 2 for _ in range(200))
    assert {draw.integer(1, 3) for _ in range(100)} == {1, 2, 3} == set(draw.integers(1, 3, 100).tolist())


def test_what_is_made_once_is_shared_by_a_class_and_leaves_the_draw_as_if_it_were_made_each_time():
    made = []

    def make(draw: Draw) -> list[object]:
        made.append(draw)
        return drawn(draw)

    first, second, other = Draw(PUBLIC, "a/test"), Draw(PUBLIC, "a/test"), Draw(OTHER, "a/test")
    assert first.once(make) is second.once(make)
    assert other.once(make) != Draw(PUBLIC, "a/test").once(make)
    assert made == [first, other]
    assert drawn(first) == drawn(second)
