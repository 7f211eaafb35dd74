"""Show V, Q, reward and advantage of each token of a text."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from rlhf_course.errors import CourseError
from rlhf_course.widgets.numbers.advantages import (
    EXAMPLE,
    Column,
    Episode,
    columns,
    episode_from_memory,
    total_advantage,
)
from rlhf_course.widgets.output import StaticOutput, escape_html, show, status_html

if TYPE_CHECKING:  # it imports torch, which is loaded already if there is a rollout
    from rlhf_course.rl.memory import ReplayMemory

_ROWS: dict[str, Callable[[Column], str]] = {
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
        memory: A rollout, one of whose texts is shown; by default the five-token example of the notebooks is shown.
        tokenizer: The tokenizer of the model that sampled the text, such as `trainer.model.tokenizer`.
        row: The index of the text in the rollout.
        prefix_len: The slider's value at the start; by default the rollout's, and 2 in the example.

    Raises:
        CourseError: A rollout was given without its tokenizer, or with a row or a prefix_len that it does not have.
    """
    episode = EXAMPLE if memory is None else _from_rollout(memory, tokenizer, row)
    start = prefix_len if prefix_len is not None else 2 if memory is None else episode.first
    try:
        table = columns(episode, start)
    except ValueError as error:
        raise CourseError(f"advantage_picture: {error}") from error
    static = StaticOutput(
        _table(table) + status_html(_readout(table, start)), _text(table) + "\n" + _readout(table, start)
    )
    show(lambda: _widget(episode, start), static)


def _from_rollout(memory: "ReplayMemory", tokenizer: Any, row: int) -> Episode:
    if tokenizer is None:
        raise CourseError(
            "advantage_picture needs the tokenizer of the model that sampled the rollout: "
            "pass tokenizer=trainer.model.tokenizer"
        )
    if not 0 <= row < len(memory.sample_ids):
        raise CourseError(f"row takes 0 to {len(memory.sample_ids) - 1} in this rollout, got {row}")
    return episode_from_memory(memory, [tokenizer.decode([token]) for token in memory.sample_ids[row].tolist()], row)


def _widget(episode: Episode, start: int) -> Any:
    import ipywidgets as ipw

    from rlhf_course.widgets.controls import int_slider

    prefix_len = int_slider("prefix_len", start, episode.first, len(episode.tokens) - 1)
    table, readout = ipw.HTML(), ipw.HTML()

    def redraw(_: Any = None) -> None:
        current = columns(episode, prefix_len.value)
        table.value, readout.value = _table(current), status_html(_readout(current, prefix_len.value))

    prefix_len.observe(redraw, "value")
    redraw()
    return ipw.VBox([prefix_len, table, readout])


def _readout(table: Sequence[Column], prefix_len: int) -> str:
    return (
        f"prefix_len {prefix_len}: {len(table) - prefix_len} tokens were chosen. Their advantages add up to "
        f"{total_advantage(table):+.2f}, which is the reward {table[-1].reward:.2f} minus the value of the prefix "
        f"{table[prefix_len].value:.2f}."
    )


def _table(table: Sequence[Column]) -> str:
    """Return the table as HTML."""
    largest = max(abs(column.advantage or 0.0) for column in table) or 1.0
    head = "".join(
        f'<th scope="col" style="{_cell_style(column)}">{escape_html(repr(column.token)[1:-1])}</th>'
        for column in table
    )
    body = ""
    for name, format_cell in _ROWS.items():
        cells = "".join(
            f'<td style="{_cell_style(column, name, largest)}">{format_cell(column)}</td>' for column in table
        )
        body += f'<tr><th scope="row" style="text-align: left; font-weight: normal">{name}</th>{cells}</tr>'
    return (
        '<div style="overflow-x: auto">'
        '<table style="color: inherit; border-collapse: collapse; line-height: 1.5">'
        '<caption style="text-align: left; white-space: nowrap">The prefix is grey; '
        "an advantage above zero is blue, one below is orange.</caption>"
        f'<thead><tr><th scope="col" style="text-align: left">token</th>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _cell_style(column: Column, row: str = "", largest: float = 1.0) -> str:
    style = "padding: 3px 9px; text-align: center; white-space: pre; font-family: monospace; "
    if column.advantage is None:
        return style + "background: rgba(128, 128, 128, 0.25)"
    if row.startswith("A"):
        opacity = 0.1 + 0.4 * abs(column.advantage) / largest
        colour = "0, 114, 178" if column.advantage >= 0 else "213, 94, 0"
        return style + f"font-weight: bold; background: rgba({colour}, {opacity:.2f})"
    return style


def _text(table: Sequence[Column]) -> str:
    """Return the table as plain text."""
    rows = [("token", [repr(column.token) for column in table])]
    rows += [(name, [format_cell(column) for column in table]) for name, format_cell in _ROWS.items()]
    width = max(len(cell) for _, cells in rows for cell in cells) + 2
    return "\n".join(f"{name:<36}" + "".join(f"{cell:>{width}}" for cell in cells) for name, cells in rows)


def _number(value: float | None, sign: str = "") -> str:
    return "" if value is None else f"{value:{sign}.2f}"
