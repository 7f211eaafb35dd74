"""Name the likely reason of a difference between an answer's observation and the wanted one, in any exercise."""

import re

from torch import Tensor

from rlhf_course.checks.core import RAISED, Mismatch

_GRADIENT_AT = re.compile(r"gradient (?:of|at) (\w+)$")
_GRADIENT_REACHES = re.compile(r"a gradient reaches (the )?(\w+)$")
_CARRIES_A_GRADIENT = re.compile(r"carr(?:y|ies) a gradient$")
_CHANGED_IN_PLACE = re.compile(r"(\w+) changed in place$")


def reason_of_difference(mismatch: Mismatch) -> str:
    """Return the likely reason of a difference as a sentence; empty if the difference alone does not show it.

    Args:
        mismatch: The difference that is shown to the learner.
    """
    if mismatch.key == RAISED:
        return _reason_of_missing_refusal(mismatch)
    return _reason_of_gradient(mismatch) or _reason_of_form(mismatch)


def _reason_of_missing_refusal(mismatch: Mismatch) -> str:
    """Return why an answer has to raise the wanted exception; empty if none is wanted."""
    if not mismatch.wanted:
        return ""
    why = f": {mismatch.case.refused_because}." if mismatch.case.refused_because else "."
    if mismatch.error is None:
        return f"Your code accepts this input, and should raise a {mismatch.wanted}{why}"
    return f"This input has to be refused with a {mismatch.wanted}{why}"


def _reason_of_gradient(mismatch: Mismatch) -> str:
    """Return the reason of a gradient where none is wanted, or of none where one is wanted."""
    key, got, wanted = mismatch.key, mismatch.got, mismatch.wanted
    if found := _GRADIENT_AT.search(key):
        if wanted == "none":
            return f"A gradient reaches `{found[1]}`, which counts as a constant: detach it."
        if got == "none":
            return (
                f"No gradient reaches `{found[1]}`: it is not used, or something between it and the result is detached."
            )
    if (got, wanted) != (True, False):
        return ""
    if found := _GRADIENT_REACHES.search(key):
        constant = f"the {found[2]}" if found[1] else f"`{found[2]}`"
        return f"A gradient reaches {constant}, which counts as a constant: detach it."
    if _CARRIES_A_GRADIENT.search(key):
        return "No gradient may flow back from these numbers: detach them, or compute them under `torch.no_grad`."
    return ""


def _reason_of_form(mismatch: Mismatch) -> str:
    """Return the reason of a wrong shape or dtype, or of an argument that was changed in place."""
    key, got, wanted = mismatch.key, mismatch.got, mismatch.wanted
    if (found := _CHANGED_IN_PLACE.search(key)) and got is True:
        return f"Your code changes the caller's `{found[1]}`: work on a copy, or make a new one."
    if key.endswith("dtype") and wanted == "torch.float64" and got == "torch.float32":
        return "The dtype is not that of the inputs: leave out `.float()`, and make new tensors in their dtype."
    if key.endswith("shape") and isinstance(got, list) and isinstance(wanted, list):
        return _reason_of_shape(mismatch)
    return ""


def _reason_of_shape(mismatch: Mismatch) -> str:
    """Return which argument has the shape of the result, if it is another one than should."""
    shapes = {name: list(value.shape) for name, value in mismatch.case.inputs.items() if isinstance(value, Tensor)}
    of_got = [name for name, shape in shapes.items() if shape == mismatch.got]
    of_wanted = [name for name, shape in shapes.items() if shape == mismatch.wanted]
    if len(of_got) == len(of_wanted) == 1 and of_got != of_wanted:
        return f"The result has the shape of `{of_got[0]}`, and should have that of `{of_wanted[0]}`."
    return ""
