"""Hidden tests of `rloo_advantages`."""

import pytest

from rlhf_course.grading.judge.circumstances import Floats, Inputs
from rlhf_course.grading.judge.compare import expect_values

# TODO: declare what the function takes: the ends of each size, and each argument in the order of the signature.
INPUTS = Inputs(sizes={"texts": (2, 9)}, arguments={"values": Floats(("texts",))}, words={"texts": "one text"})


def wanted(values):
    """TODO: work out the right result in another way than the reference."""
    return values


# TODO: write one test for each claim of the docstring; together the tests are worth 4 points.
@pytest.mark.points(4)
def test_the_result_is_as_described(rloo_advantages, draw):
    for call in INPUTS.calls(draw, INPUTS.all_circumstances()):
        why = "TODO: say what the right numbers are"
        expect_values(
            rloo_advantages(*call.passed()), call.right(wanted), call.subject("The result"), why, call, wanted
        )
