"""Hidden tests of `GRPOTrainer`."""

import pytest

from rlhf_course.grading.judge.compare import expect_values


# TODO: write one test for each claim of the docstring; together the tests are worth 16 points.
@pytest.mark.points(16)
def test_the_result_is_as_described(GRPOTrainer, draw):
    values = draw.normal(draw.integer(2, 9))
    observed = GRPOTrainer.forward(values=values.clone())
    # TODO: work out the right result in another way than the reference.
    expect_values(observed["result"], values, "The result", "TODO: say what the right numbers are")
