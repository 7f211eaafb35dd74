"""Define the files that `rlhf-course new-exercise` writes: a skeleton that builds, with `TODO:` for missing text."""

from string import Template

from rlhf_course.bank import LEAST_RIGHT, LEAST_VISIBLE, LEAST_WRONG
from rlhf_course.course import Exercise

TODO = "TODO:"

_FUNCTION = {
    "answer": '''"""TODO: say in one line what `$name` is for."""

from jaxtyping import Float
from torch import Tensor


def $name(values: Float[Tensor, "batch"]) -> Float[Tensor, "batch"]:
    """TODO: say in one sentence what the result is.

    Args:
        values: TODO: say what each argument means, and whether gradients flow to it.

    Returns: TODO: say what the result means.

    Source: TODO: name the paper and the equation, or delete this line.
    """
    ### BEGIN SOLUTION
    # TODO: write the answer.
    return values.clone()
    ### END SOLUTION
''',
    "check": '''"""Self-check of `$name`."""

from rlhf_course.checks.core import Answer, Case, Check, normal, observe_call

HINTS = (
    "TODO: give the idea in words.",
    "TODO: name the shapes from the arguments to the result.",
    "TODO: describe the code almost word for word.",
)

# TODO: write cases that show every visible mistake; sizes that all differ show most wrong axes.
CASES = {"batch": Case("values of shape [3]", {"values": normal(3, seed=1)})}
CHECK = Check("$name", CASES, observe_call)


# TODO: write one test for each thing that may go wrong; its name is the sentence that it proves.
def test_the_result_is_as_described($name: Answer) -> None:
    CHECK.require($name, "batch")
''',
    "bank": '''"""Wrong and right answers to `$name`."""

from rlhf_course.bank import hidden_mistake, right_answer, visible_mistake


# TODO: write at least $visible visible mistakes.
@visible_mistake
def turned_sign(values):
    """TODO: tell the learner what is wrong and what is right."""
    return -values


# TODO: write hidden mistakes, so that there are at least $wrong wrong answers in all.
@hidden_mistake
def doubled(values):
    """TODO: say what is wrong."""
    return 2 * values


# TODO: write at least $right right answers that work in another way than the reference.
@right_answer
def adds_nothing(values):
    return values + 0
''',
    "test": '''"""Hidden tests of `$name`."""

import pytest

from rlhf_course.grading.judge.circumstances import Floats, Inputs
from rlhf_course.grading.judge.compare import expect_values

# TODO: declare what the function takes: the ends of each size, and each argument in the order of the signature.
INPUTS = Inputs(sizes={"texts": (2, 9)}, arguments={"values": Floats(("texts",))}, words={"texts": "one text"})


def wanted(values):
    """TODO: work out the right result in another way than the reference."""
    return values


# TODO: write one test for each claim of the docstring; together the tests are worth $points points.
@pytest.mark.points($points)
def test_the_result_is_as_described($name, draw):
    for call in INPUTS.calls(draw, INPUTS.all_circumstances()):
        why = "TODO: say what the right numbers are"
        expect_values($name(*call.passed()), call.right(wanted), call.subject("The result"), why, call, wanted)
''',
}

_CLASS = {
    "answer": '''"""TODO: say in one line what `$name` is for."""

from jaxtyping import Float
from torch import Tensor, nn


class $name(nn.Module):
    """TODO: say in one sentence what an object of this class is."""

    def forward(self, values: Float[Tensor, "batch"]) -> Float[Tensor, "batch"]:
        """TODO: say in one sentence what the result is.

        Args:
            values: TODO: say what each argument means, and whether gradients flow to it.

        Returns: TODO: say what the result means.

        Source: TODO: name the paper and the equation, or delete this line.
        """
        ### BEGIN SOLUTION
        # TODO: write the answer.
        return values.clone()
        ### END SOLUTION
''',
    "check": '''"""Self-check of `$name`."""

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


CHECK = Check("$name", CASES, _observe, is_called_with_inputs=False)


# TODO: write one test for each thing that may go wrong; its name is the sentence that it proves.
def test_the_result_is_as_described($name: Answer) -> None:
    CHECK.require($name, "batch")
''',
    "bank": '''"""Wrong and right answers to `$name`."""

from torch import nn

from rlhf_course.bank import hidden_mistake, right_answer, visible_mistake


# TODO: write at least $visible visible mistakes.
@visible_mistake
class TurnedSign(nn.Module):
    """TODO: tell the learner what is wrong and what is right."""

    def forward(self, values):
        return -values


# TODO: write hidden mistakes, so that there are at least $wrong wrong answers in all.
@hidden_mistake
class Doubled(nn.Module):
    """TODO: say what is wrong."""

    def forward(self, values):
        return 2 * values


# TODO: write at least $right right answers that work in another way than the reference.
@right_answer
class AddsNothing(nn.Module):
    def forward(self, values):
        return values + 0
''',
    "test": '''"""Hidden tests of `$name`."""

import pytest

from rlhf_course.grading.judge.compare import expect_values


# TODO: write one test for each claim of the docstring; together the tests are worth $points points.
@pytest.mark.points($points)
def test_the_result_is_as_described($name, draw):
    values = draw.normal(draw.integer(2, 9))
    observed = $name.forward(values=values.clone())
    # TODO: work out the right result in another way than the reference.
    expect_values(observed["result"], values, "The result", "TODO: say what the right numbers are")
''',
    "driver": '''"""Drivers of `$name`: what the sandbox does with the learner's class."""

from typing import Any

from torch import Tensor

from rlhf_course.grading.drivers.plain import plain


def forward(answer: Any, values: Tensor) -> Any:
    """TODO: make an object, call its methods and return results that are tensors, numbers, texts, lists or dicts."""
    return plain({"result": answer().forward(values)})
''',
}

_SECTION = Template("""
## TODO: write a heading for `$name`

TODO: explain what the exercise is about, with an example of five tokens and a prediction to make.

> **Exercise** `$name` · difficulty $difficulty/5 · importance $importance/5 · $minutes minutes · compute: none

TODO: say what goes in and what comes out. `hint("$name")` helps.

```python exercise="$name"
```

```python check="$name"
${imports}check("$name")
```
""")


def skeleton_files(exercise: Exercise, is_class: bool) -> dict[str, str]:
    """Return the text of each new file of an exercise, by the file's path below the repository.

    Args:
        exercise: The entry of the new exercise, with its part.
        is_class: Whether the answer is a class, which also needs a driver for the sandbox.
    """
    paths = {
        "answer": f"solutions/{exercise.path}",
        "check": f"utils/rlhf_course/checks/{exercise.path}",
        "test": f"tests/hidden/{exercise.part}/test_{exercise.file}",
        "bank": f"tests/hidden/{exercise.path}",
        "driver": f"utils/rlhf_course/grading/drivers/{exercise.path}",
    }
    values = {
        "name": exercise.name,
        "points": exercise.points,
        "visible": LEAST_VISIBLE,
        "wrong": LEAST_WRONG,
        "right": LEAST_RIGHT,
    }
    templates = _CLASS if is_class else _FUNCTION
    return {paths[kind]: Template(text).substitute(values) for kind, text in templates.items()}


def notebook_section(exercise: Exercise, notebook: str) -> str:
    """Return the section that teaches an exercise, as jupytext Markdown.

    Args:
        exercise: The entry of the new exercise.
        notebook: The notebook's text; the section's last cell imports what this text does not import yet.
    """
    imported = [line for line in notebook.splitlines() if line.startswith("from rlhf_course import ")]
    has_check = any("check" in line.removeprefix("from rlhf_course import ").split(", ") for line in imported)
    return _SECTION.substitute(
        name=exercise.name,
        difficulty=exercise.difficulty,
        importance=exercise.importance,
        minutes=exercise.minutes_text,
        imports="" if has_check else "from rlhf_course import check\n\n",
    )
