"""Samples as a table whose tokens are coloured."""

from collections.abc import Sequence

from rlhf_course.widgets.numbers.tokens import ScoredText, ScoredToken, shade, strengths
from rlhf_course.widgets.showing import escaped

LEGEND = (
    "<b>Blue ground</b>: a token that the reference did not expect; the deeper, the more surprising. "
    "<b>Orange line below</b>: a token that raised the reward; dotted purple: one that lowered it. Point at a token for its numbers."
)


def samples_table(texts: Sequence[ScoredText], title: str) -> str:
    """The samples as an HTML table."""
    rows = "".join(_row(text) for text in texts)
    head = "".join(
        f'<th scope="col" style="text-align: left; padding: 2px 8px">{name}</th>'
        for name in ("reward", "ref logprob", "text")
    )
    return (
        f'<div style="overflow-x: auto"><table style="color: inherit; border-collapse: collapse; line-height: 1.5"><caption style="text-align: left; white-space: nowrap">{escaped(title)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def samples_text(texts: Sequence[ScoredText], title: str) -> str:
    """The samples in plain text."""
    lines = [f"{_number(text.reward):>8}  {text.ref_logprob:>8.1f}  {_whole(text)!r}" for text in texts]
    return "\n".join([title, f"{'reward':>8}  {'ref lp':>8}  text", *lines])


def _row(text: ScoredText) -> str:
    sizes = strengths([token.gain or 0.0 for token in text.tokens])
    tokens = "".join(_token(token, size) for token, size in zip(text.tokens, sizes, strict=True))
    strangest = text.strangest
    note = f"; least expected: {strangest.text!r}, {strangest.surprise:.1f} nats" if strangest else ""
    cell = 'style="vertical-align: top; padding: 2px 8px; text-align: right"'
    return (
        f"<tr><td {cell}>{_number(text.reward)}</td><td {cell}>{text.ref_logprob:.1f}</td>"
        f'<td style="padding: 2px 8px; text-align: left; line-height: 1.8; white-space: pre-wrap" aria-label="{escaped(_whole(text) + note)}">'
        f'<span style="opacity: 0.65">{escaped(text.prompt)}</span>{tokens}</td></tr>'
    )


def _token(token: ScoredToken, size: float) -> str:
    style, numbers = "padding: 1px 0; ", []
    if token.surprise is not None:
        style += f"background: rgba(0, 114, 178, {0.55 * shade(token.surprise):.2f}); "
        numbers.append(f"surprise {token.surprise:.1f} nats")
    if token.gain is not None:
        numbers.append(f"reward {token.gain:+.3g}")
    if abs(size) > 0.05:
        kind = f"{1 + round(2 * abs(size))}px solid #d55e00" if size > 0 else "2px dotted #cc79a7"
        style += f"border-bottom: {kind}; "
    return f'<span style="{style}" title="{escaped(", ".join(numbers))}">{escaped(token.text)}</span>'


def _whole(text: ScoredText) -> str:
    return text.prompt + "".join(token.text for token in text.tokens)


def _number(reward: float) -> str:
    return f"{reward:.0f}" if float(reward).is_integer() else f"{reward:.3f}"
