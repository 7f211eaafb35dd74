"""The gallery of reward hacking: which strategies a run found, when, with examples, and what became of its variety."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rlhf_course.errors import CourseError
from rlhf_course.widgets.drawing import COLOURS, DASHES, Picture, draw
from rlhf_course.widgets.numbers.diversity import diversity
from rlhf_course.widgets.numbers.strategies import DETECTORS, Rise, Span, examples, rates, rises
from rlhf_course.widgets.showing import Kept, escaped, show, words

_DRAWN = 6
_WORTH_A_CURVE = 0.1


class Findings(NamedTuple):
    """What the gallery shows of a run."""

    name: str
    prefix: str
    samples: list[Mapping[str, Any]]
    rates: dict[str, list[float]]
    rises: list[Rise]
    diversity: dict[int, list[float]]

    @property
    def phases(self) -> int:
        """How many there are."""
        return len(self.diversity[1])


def gallery(run: Any) -> None:
    """Show the strategies that a run found to earn its reward, phase by phase.

    Args:
        run: what `train_run` or `await dashboard(…).finished()` gave, or a run's folder.

    Raises:
        CourseError: no run there, or one without a finished phase.
    """
    findings = find(Path(getattr(run, "path", run)))
    picture = _drawn(findings)
    first = next((rise.name for rise in findings.rises), DETECTORS[0].name)
    last = findings.phases - 1
    page = picture.kept() + _table(findings) + _examples(findings, first, last)
    show(lambda: _widget(findings, picture, first), Kept(page, _text(findings, picture)))


def find(path: Path) -> Findings:
    """Everything that the gallery shows, found in a run's folder.

    Raises:
        CourseError: no run there, or one without a finished phase.
    """
    from rlhf_course.rl.run_folder import read_run

    run = read_run(path)
    if not run.samples:
        raise CourseError(f"{path} has no samples yet: the gallery needs a run with at least one finished phase")
    prefix = run.config["args"]["prefix"]
    found = rates(run.samples, prefix)
    return Findings(path.name, prefix, run.samples, found, rises(found), diversity(run.samples, prefix))


def _widget(findings: Findings, picture: Picture, first: str) -> Any:
    import ipywidgets as ipw

    from rlhf_course.widgets.controls import whole_slider

    names = [rise.name for rise in findings.rises]
    style, layout = {"description_width": "120px"}, ipw.Layout(width="360px")
    strategy = ipw.Dropdown(options=names, value=first, description="strategy", style=style, layout=layout)
    phase = whole_slider("in phase", findings.phases - 1, 0, findings.phases - 1)
    shown = ipw.HTML(_examples(findings, first, phase.value))

    def choose(_: Any) -> None:
        shown.value = _examples(findings, strategy.value, phase.value)

    strategy.observe(choose, "value")
    phase.observe(choose, "value")
    return ipw.VBox([ipw.HTML(picture.live()), ipw.HTML(_table(findings)), ipw.HBox([strategy, phase]), shown])


def _drawn(findings: Findings) -> Picture:
    x = list(range(findings.phases))
    marker = "o" if len(x) < 2 else ""

    def plot(figure: Figure) -> str:
        strategies, variety = figure.subplots(1, 2, width_ratios=(1.5, 1))
        for number, rise in enumerate(_most_used(findings)):
            colour, dashes = COLOURS[number % len(COLOURS)], DASHES[number // len(COLOURS)]
            strategies.plot(x, findings.rates[rise.name], dashes, color=colour, marker=marker, label=rise.name)
        for size, dashes, colour in zip(findings.diversity, DASHES, COLOURS, strict=False):
            label = {1: "words", 2: "pairs of words", 3: "three words in a row"}[size]
            variety.plot(x, findings.diversity[size], dashes, color=colour, marker=marker, label=label)
        strategies.set(title="uses of a strategy, a text", xlabel="phase", ylim=(0, None))
        variety.set(title="share that is distinct in the batch", xlabel="phase", ylim=(0, 1.02))
        for axes in (strategies, variety):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            if axes.lines:
                axes.legend(loc="best", fontsize=8)
        return _in_words(findings)

    return draw(plot, (10.0, 3.4))


def _most_used(findings: Findings) -> list[Rise]:
    """The strategies that are worth a curve, the greatest change first."""
    used = [rise for rise in findings.rises if max(findings.rates[rise.name]) >= _WORTH_A_CURVE]
    return sorted(used, key=lambda rise: -abs(rise.after - rise.before))[:_DRAWN]


def _in_words(findings: Findings) -> str:
    grown = [
        f"{rise.name} {rise.before:.2f} to {rise.after:.2f} a text, mostly since phase {rise.phase}"
        for rise in findings.rises
        if rise.phase is not None
    ]
    three = findings.diversity[3]
    return (
        f"Two plots of {findings.name} against the phase. Left, strategies; risen: {'; '.join(grown[:5]) or 'none'}. Right, the share of distinct "
        f"words, pairs and triples in a batch; triples go from {three[0]:.2f} to {three[-1]:.2f}."
    )


def _table(findings: Findings) -> str:
    cell = 'style="padding: 2px 10px; text-align: left"'
    looks = {one.name: one.looks_like for one in DETECTORS}
    rows = "".join(
        f'<tr><th scope="row" {cell}>{rise.name}</th><td {cell}><code>{escaped(looks[rise.name])}</code></td><td {cell}>{rise.before:.2f}</td>'
        f"<td {cell}>{rise.after:.2f}</td><td {cell}>{'' if rise.phase is None else rise.phase}</td></tr>"
        for rise in findings.rises
    )
    head = "".join(
        f'<th scope="col" {cell}>{name}</th>'
        for name in ("strategy", "looks like", "first phases", "last phases", "risen since phase")
    )
    caption = "Uses a text, in the first and in the last tenth of the phases"
    return f'<table style="color: inherit; border-collapse: collapse; line-height: 1.5"><caption style="text-align: left; white-space: nowrap">{caption}</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'


def _examples(findings: Findings, name: str, phase: int) -> str:
    found = examples(findings.samples, name, findings.prefix, phase)
    if not found:
        return words(f"Phase {phase}: no text uses {name}.")
    items = "".join(f"<li>{_marked(text, spans)}</li>" for text, spans in found)
    return words(f"Phase {phase}, {name}: the texts that use it most.<ul>{items}</ul>")


def _marked(text: str, spans: Sequence[Span]) -> str:
    """A text with some parts of it marked."""
    parts, end = [], 0
    for start, stop in spans:
        parts += [
            escaped(text[end:start]),
            f'<mark style="background: rgba(0, 114, 178, 0.35); color: inherit">{escaped(text[start:stop])}</mark>',
        ]
        end = stop
    return "".join(parts) + escaped(text[end:])


def _text(findings: Findings, picture: Picture) -> str:
    """The gallery in plain text."""
    lines = [f"{'strategy':<18}{'first':>8}{'last':>8}{'since phase':>13}"]
    for rise in findings.rises:
        lines.append(
            f"{rise.name:<18}{rise.before:>8.2f}{rise.after:>8.2f}{'' if rise.phase is None else rise.phase:>13}"
        )
    return "\n".join([picture.alt, *lines])
