"""Self-check of `GRPOTrainer`."""

from collections.abc import Mapping
from typing import Any

from rlhf_course.checks.core import Answer, Case, Check, Observation, normal, observe_result

HINTS = (
    "TODO: give the idea in words.",
    "TODO: name the shapes from the arguments to the result.",
    "TODO: describe the code almost word for word.",
)

# TODO: write cases that show every visible mistake; sizes that all differ show most wrong axes.
CASES = {"batch": Case("values of shape [3]", {"values": normal(3, seed=1)})}


def _observe(answer: Answer, inputs: Mapping[str, Any]) -> Observation:
    """TODO: make an object, call its methods and return what they do."""
    return observe_result(answer().forward(inputs["values"].clone()))


CHECK = Check("GRPOTrainer", CASES, _observe, is_called_with_inputs=False)


# TODO: write one test for each thing that may go wrong; its name is the sentence that it proves.
def test_the_result_is_as_described(GRPOTrainer: Answer) -> None:
    CHECK.require(GRPOTrainer, "batch")
