"""`predict` and `compare`: say what you expect before you measure it."""

from typing import Any

from rlhf_course.errors import CourseError
from rlhf_course.notebook.messages import show_message
from rlhf_course.notebook.progress_file import changed_state, part, read_state
from rlhf_course.notebook.workspace import find_workspace


def predict(key: str, question: str, value: Any = None) -> None:
    """Record what you expect, before it is measured.

    Args:
        key: the prediction's name; `compare` takes the same.
        question: what is asked.
        value: your answer, a number or a text; None while you have none.
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
        key: the prediction's name.
        measured: a number or a text.
    """
    measured = _plain(measured)
    record = _predictions().get(key, {})
    _record(key, measured=measured)
    question = [record["question"]] if record.get("question") else []
    predicted = record.get("value")
    if predicted is None:
        show_message(*question, f"measured: {_text(measured)} (no prediction was made)")
        return
    apart = ""
    if all(isinstance(one, int | float) and not isinstance(one, bool) for one in (predicted, measured)):
        apart = f", {_text(abs(measured - predicted))} apart"
    show_message(*question, f"predicted: {_text(predicted)}, measured: {_text(measured)}{apart}")


_unsaved: dict[str, dict[str, Any]] = {}


def _predictions() -> dict[str, dict[str, Any]]:
    try:
        return part(read_state(find_workspace()), "predictions")
    except CourseError:
        return _unsaved


def _record(key: str, **what: Any) -> None:
    try:
        with changed_state(find_workspace()) as state:
            part(state, "predictions", key).update(what)
    except CourseError:
        _unsaved.setdefault(key, {}).update(what)


def _plain(value: Any) -> Any:
    """A value as JSON can hold it: tensors of one number become that number."""
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
    return f"{value:.4g}" if isinstance(value, float) else str(value)
