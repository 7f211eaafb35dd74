"""Show pairs of completions side by side, and store which one a person prefers."""

from collections.abc import Callable
from typing import Any

from rlhf_course.display import in_notebook
from rlhf_course.rl.preferences.labels import Answer, Labelling
from rlhf_course.rl.special_tokens import END_OF_TEXT
from rlhf_course.widgets.output import StaticOutput, escape_html, show, status_html

# The keys of the text field, and of a terminal.
KEYS: dict[str, Answer] = {"a": "left", "d": "right", "s": "tie"}
UNDO = "z"
_HELP = "a: left is better · d: right is better · s: tie · z: undo"


def label_pairs(labelling: Labelling) -> None:
    """Show one pair after the other, and store each answer at once.

    In a notebook it is a widget with buttons and with a field that takes keys; the cell can be run again at any time
    and continues where it was. In a terminal the pairs are printed, and an empty line ends the session.

    Args:
        labelling: The pairs and the file of the answers.
    """
    if not in_notebook():
        _in_a_terminal(labelling)
        return
    show(lambda: _widget(labelling), StaticOutput(f"<p>{escape_html(_progress(labelling))}</p>", _progress(labelling)))


def _progress(labelling: Labelling) -> str:
    """Return how many questions are answered, in words."""
    done, total = len(labelling.answers), len(labelling.questions)
    return f"{done} of {total} pairs are labelled; the answers are in {labelling.path.name}."


def shown_text(completion: str) -> str:
    """Return a completion as a reader sees it: an end-of-text token becomes the words "(end)"."""
    return completion.removesuffix(END_OF_TEXT) + (" (end)" if completion.endswith(END_OF_TEXT) else "")


def _in_a_terminal(labelling: Labelling) -> None:
    print(f"{labelling.prompt} …    {_HELP} · an empty line ends", flush=True)
    while (question := labelling.current) is not None:
        number = f"{len(labelling.answers) + 1}/{len(labelling.questions)}"
        print(f"\n{number}\n  left:  {shown_text(question.left)!r}\n  right: {shown_text(question.right)!r}")
        try:
            key = input("> ").strip().lower()
        except EOFError:
            break
        if not key:
            break
        if key == UNDO:
            labelling.undo()
        elif key in KEYS:
            labelling.answer(KEYS[key])
        else:
            print(f"{key!r} is no key here: {_HELP}")
    print(_progress(labelling))


def _widget(labelling: Labelling) -> Any:
    import ipywidgets as ipw

    from rlhf_course.widgets.controls import button

    status, left, right = ipw.HTML(), ipw.HTML(), ipw.HTML()
    field = ipw.Text(
        description="keys", placeholder=_HELP, continuous_update=True, layout=ipw.Layout(width="460px"), tooltip=_HELP
    )

    def redraw() -> None:
        question = labelling.current
        status.value = status_html(escape_html(_progress(labelling)))
        for side, name in ((left, "left"), (right, "right")):
            text = "" if question is None else shown_text(getattr(question, name))
            side.value = _card(name, labelling.prompt, text) if question is not None else ""

    def press(key: str) -> None:
        if key == UNDO:
            labelling.undo()
        elif key in KEYS and labelling.current is not None:
            labelling.answer(KEYS[key])
        redraw()

    def typed(change: Any) -> None:
        if keys := change["new"].lower():
            field.value = ""
            for key in keys:
                press(key)

    def clicked(key: str) -> Callable[[Any], None]:
        return lambda _: press(key)

    field.observe(typed, "value")
    labels = {"a": "left is better", "s": "tie", "d": "right is better", UNDO: "undo"}
    buttons = [button(f"{text} ({key})", text, clicked(key)) for key, text in labels.items()]
    redraw()
    half = ipw.Layout(width="50%")
    left.layout = right.layout = half
    return ipw.VBox([status, ipw.HBox([left, right]), ipw.HBox(buttons), field])


def _card(side: str, prompt: str, completion: str) -> str:
    """Return a completion as HTML, with a heading that a screen reader reads first."""
    return (
        f'<div style="border: 1px solid currentColor; padding: 0.6em; margin: 0.3em; line-height: 1.5" role="group" '
        f'aria-label="{side}"><strong>{side}</strong><br><span style="opacity: 0.65">{escape_html(prompt)}</span>'
        f"{escape_html(completion)}</div>"
    )
