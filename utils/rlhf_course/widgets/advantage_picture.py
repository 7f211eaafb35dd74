"""A text, token by token, with V, Q, reward and A under each."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rlhf_course.errors import CourseError
from rlhf_course.widgets.numbers.advantages import EXAMPLE, Column, Episode, columns, episode_of, total
from rlhf_course.widgets.showing import Kept, escaped, show, words

if TYPE_CHECKING:  # torch is there when a rollout is
    from rlhf_course.rl.memory import ReplayMemory

_ROWS = {
    "value of the state that ends here": lambda column: f"{column.state_value:.2f}",
    "V of the state it was chosen in": lambda column: _number(column.value),
    "reward": lambda column: "" if column.value is None else f"{column.reward:.2f}",
    "Q": lambda column: _number(column.q),
    "A = Q − V": lambda column: _number(column.advantage, "+"),
}


def advantage_picture(
    memory: "ReplayMemory | None" = None, tokenizer: Any = None, row: int = 0, prefix_len: int | None = None
) -> None:
    """Show the advantages of a text, with a slider for the length of its prefix.

    Args:
        memory: what a rollout left, to show one of its texts; by default, the five-token example of the notebooks.
        tokenizer: of the model that wrote it, such as `trainer.model.tokenizer`.
        row: which of the rollout's texts.
        prefix_len: where the slider starts; by default as in the rollout, and 2 in the example.

    Raises:
        CourseError: a rollout without its tokenizer, or a row or a prefix_len that it does not have.
    """
    episode = EXAMPLE if memory is None else _from_rollout(memory, tokenizer, row)
    start = prefix_len if prefix_len is not None else 2 if memory is None else episode.first
    try:
        made = columns(episode, start)
    except ValueError as error:
        raise CourseError(f"advantage_picture: {error}") from error
    kept = Kept(_table(made) + words(_in_words(made, start)), _text(made) + "\n" + _in_words(made, start))
    show(lambda: _widget(episode, start), kept)


def _from_rollout(memory: "ReplayMemory", tokenizer: Any, row: int) -> Episode:
    if tokenizer is None:
        raise CourseError(
            "advantage_picture takes the tokenizer of the model that wrote the rollout: tokenizer=trainer.model.tokenizer"
        )
    if not 0 <= row < len(memory.sample_ids):
        raise CourseError(f"row takes 0 to {len(memory.sample_ids) - 1} in this rollout, got {row}")
    return episode_of(memory, [tokenizer.decode([token]) for token in memory.sample_ids[row].tolist()], row)


def _widget(episode: Episode, start: int) -> Any:
    import ipywidgets as ipw

    from rlhf_course.widgets.controls import whole_slider

    prefix_len = whole_slider("prefix_len", start, episode.first, len(episode.tokens) - 1)
    table, readout = ipw.HTML(), ipw.HTML()

    def redraw(_: Any = None) -> None:
        made = columns(episode, prefix_len.value)
        table.value, readout.value = _table(made), words(_in_words(made, prefix_len.value))

    prefix_len.observe(redraw, "value")
    redraw()
    return ipw.VBox([prefix_len, table, readout])


def _in_words(made: Sequence[Column], prefix_len: int) -> str:
    first = made[prefix_len].value
    return (
        f"prefix_len {prefix_len}: {len(made) - prefix_len} tokens were chosen. Their advantages add up to {total(made):+.2f}, which is the "
        f"reward {made[-1].reward:.2f} minus the value of the prefix {first:.2f}."
    )


def _table(made: Sequence[Column]) -> str:
    largest = max(abs(column.advantage or 0.0) for column in made) or 1.0
    head = "".join(
        f'<th scope="col" style="{_cell(column)}">{escaped(repr(column.token)[1:-1])}</th>' for column in made
    )
    body = ""
    for name, show_one in _ROWS.items():
        cells = "".join(f'<td style="{_cell(column, name, largest)}">{show_one(column)}</td>' for column in made)
        body += f'<tr><th scope="row" style="text-align: left; font-weight: normal">{name}</th>{cells}</tr>'
    return (
        '<div style="overflow-x: auto"><table style="color: inherit; border-collapse: collapse; line-height: 1.5"><caption style="text-align: left; white-space: nowrap">The prefix is grey; '
        "an advantage above zero is blue, one below is orange.</caption>"
        f'<thead><tr><th scope="col" style="text-align: left">token</th>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _cell(column: Column, row: str = "", largest: float = 1.0) -> str:
    style = "padding: 3px 9px; text-align: center; white-space: pre; font-family: monospace; "
    if column.advantage is None:
        return style + "background: rgba(128, 128, 128, 0.25)"
    if row.startswith("A"):
        depth = 0.1 + 0.4 * abs(column.advantage) / largest
        colour = "0, 114, 178" if column.advantage >= 0 else "213, 94, 0"
        return style + f"font-weight: bold; background: rgba({colour}, {depth:.2f})"
    return style


def _text(made: Sequence[Column]) -> str:
    """The table in plain text."""
    rows = [("token", [repr(column.token) for column in made])]
    rows += [(name, [show_one(column) for column in made]) for name, show_one in _ROWS.items()]
    width = max(len(cell) for _, cells in rows for cell in cells) + 2
    return "\n".join(f"{name:<36}" + "".join(f"{cell:>{width}}" for cell in cells) for name, cells in rows)


def _number(value: float | None, sign: str = "") -> str:
    return "" if value is None else f"{value:{sign}.2f}"
