"""Record what a learner predicts (`predict`), and show it beside what was measured (`compare`)."""

import math
from pathlib import Path
from typing import Any

from rlhf_course.errors import CourseError
from rlhf_course.learner_package import parts_in
from rlhf_course.notebook.messages import show_message
from rlhf_course.notebook.progress_file import changed_state, read_state, section
from rlhf_course.notebook.session import current_session
from rlhf_course.notebook.workspace import find_workspace


def predict(key: str, question: str, value: Any = None) -> None:
    """Record what you expect a measurement to be, before you make it.

    Args:
        key: The prediction's name, which `compare` takes too.
        question: The question that the prediction answers.
        value: Your answer, a number or a text; None while you have none.
    """
    if value is None:
        earlier = _predictions().get(key, {}).get("value")
        if earlier is None:
            show_message(
                f"{question}",
                f"No prediction yet: put yours in place of None in predict({key!r}, …), and run this cell again.",
            )
        else:
            show_message(f"{question}", f"Your prediction is still {_text(earlier)}.")
        return
    _record(key, question=question, value=_plain(value))
    show_message(f"{question}", f"Your prediction: {_text(_plain(value))}. Recorded.")


def compare(key: str, measured: Any) -> None:
    """Show a prediction beside what was measured.

    Args:
        key: The prediction's name.
        measured: The measured number or text.
    """
    measured = _plain(measured)
    record = _predictions().get(key, {})
    _record(key, measured=measured)
    question = [record["question"]] if record.get("question") else []
    predicted = record.get("value")
    if predicted is None:
        show_message(*question, f"measured: {_text(measured)} (no prediction was made)")
        return
    difference = ""
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in (predicted, measured)):
        equal = math.isclose(measured, predicted, rel_tol=1e-6, abs_tol=1e-7)  # but for rounding
        difference = f", difference: {_text(0 if equal else abs(measured - predicted))}"
    show_message(*question, f"predicted: {_text(predicted)}, measured: {_text(measured)}{difference}")


def _record_folder() -> Path:
    """Return the folder whose progress file records predictions: that of the first part in the workspace.

    Raises:
        CourseError: There is no workspace.
    """
    workspace = find_workspace()
    return workspace / parts_in(workspace)[0].name


def _predictions() -> dict[str, dict[str, Any]]:
    try:
        return section(read_state(_record_folder()), "predictions")
    except CourseError:
        return current_session().predictions


def _record(key: str, **fields: Any) -> None:
    try:
        with changed_state(_record_folder()) as state:
            section(state, "predictions", key).update(fields)
    except CourseError:
        current_session().predictions.setdefault(key, {}).update(fields)


def _plain(value: Any) -> Any:
    """Return a value that JSON can hold: a tensor of one number becomes that number, other objects become text."""
    if isinstance(value, bool | int | float | str):
        return value
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "size", None) is not None:
        try:
            return item()
        except (RuntimeError, ValueError):
            return str(value)
    return str(value)


def _text(value: Any) -> str:
    """Return a number or a text as a message shows it: whole numbers in full, others with four digits."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e12:
        value = int(value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
