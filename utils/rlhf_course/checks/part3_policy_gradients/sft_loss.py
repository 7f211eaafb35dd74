"""Self-check of `sft_loss`."""

from rlhf_course.checks.core import Answer, Case, Check, normal, observe_call

HINTS = (
    "TODO: give the idea in words.",
    "TODO: name the shapes from the arguments to the result.",
    "TODO: describe the code almost word for word.",
)

# TODO: write cases that show every visible mistake; sizes that all differ show most wrong axes.
CASES = {"batch": Case("values of shape [3]", {"values": normal(3, seed=1)})}
CHECK = Check("sft_loss", CASES, observe_call)


# TODO: write one test for each thing that may go wrong; its name is the sentence that it proves.
def test_the_result_is_as_described(sft_loss: Answer) -> None:
    CHECK.require(sft_loss, "batch")
