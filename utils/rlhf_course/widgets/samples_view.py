"""Render samples as a table with coloured tokens, and as plain text."""

from collections.abc import Sequence

from rlhf_course.widgets.numbers.tokens import ScoredText, ScoredToken, relative_gains, shade
from rlhf_course.widgets.output import escape_html

LEGEND = (
    "<b>Blue background</b>: a token that the reference did not expect; a deeper blue means a greater surprise. "
    "<b>Orange underline</b>: a token that raised the reward; dotted purple: a token that lowered it. "
    "Point at a token for its numbers."
)


def samples_table(texts: Sequence[ScoredText], title: str) -> str:
    """Return the samples as an HTML table."""
    rows = "".join(_row(text) for text in texts)
    head = "".join(
        f'<th scope="col" style="text-align: left; padding: 2px 8px">{name}</th>'
        for name in ("reward", "ref logprob", "text")
    )
    return (
        '<div style="overflow-x: auto">'
        '<table style="color: inherit; border-collapse: collapse; line-height: 1.5">'
        f'<caption style="text-align: left; white-space: nowrap">{escape_html(title)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def samples_text(texts: Sequence[ScoredText], title: str) -> str:
    """Return the samples as plain text."""
    lines = [f"{_number(text.reward):>8}  {_logprob(text):>8}  {_full_text(text)!r}" for text in texts]
    return "\n".join([title, f"{'reward':>8}  {'ref lp':>8}  text", *lines])


def _row(text: ScoredText) -> str:
    gains = relative_gains([token.gain or 0.0 for token in text.tokens])
    tokens = "".join(_token(token, gain) for token, gain in zip(text.tokens, gains, strict=True))
    token = text.most_surprising
    note = f"; least expected: {token.text!r}, {token.surprise:.1f} nats" if token else ""
    cell = 'style="vertical-align: top; padding: 2px 8px; text-align: right"'
    return (
        f"<tr><td {cell}>{_number(text.reward)}</td><td {cell}>{_logprob(text)}</td>"
        '<td style="padding: 2px 8px; text-align: left; line-height: 1.8; white-space: pre-wrap" '
        f'aria-label="{escape_html(_full_text(text) + note)}">'
        f'<span style="opacity: 0.65">{escape_html(text.prompt)}</span>{tokens}</td></tr>'
    )


def _token(token: ScoredToken, relative_gain: float) -> str:
    style, numbers = "padding: 1px 0; ", []
    if token.surprise is not None:
        style += f"background: rgba(0, 114, 178, {0.55 * shade(token.surprise):.2f}); "
        numbers.append(f"surprise {token.surprise:.1f} nats")
    if token.gain is not None:
        numbers.append(f"reward {token.gain:+.3g}")
    if abs(relative_gain) > 0.05:
        width = 1 + round(2 * abs(relative_gain))
        border = f"{width}px solid #d55e00" if relative_gain > 0 else "2px dotted #cc79a7"
        style += f"border-bottom: {border}; "
    return f'<span style="{style}" title="{escape_html(", ".join(numbers))}">{escape_html(token.text)}</span>'


def _full_text(text: ScoredText) -> str:
    return text.prompt + "".join(token.text for token in text.tokens)


def _number(reward: float) -> str:
    return f"{reward:.0f}" if float(reward).is_integer() else f"{reward:.3f}"


def _logprob(text: ScoredText) -> str:
    """Return the reference's log-probability; a dash for a run without a reference."""
    return "-" if text.ref_logprob is None else f"{text.ref_logprob:.1f}"
