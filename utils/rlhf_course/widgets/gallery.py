"""Show the gallery of reward hacking: the strategies of a run, with examples, and the diversity of its texts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rlhf_course.errors import CourseError
from rlhf_course.widgets.drawing import COLOURS, DASHES, Picture, draw
from rlhf_course.widgets.numbers.diversity import diversity
from rlhf_course.widgets.numbers.strategies import DETECTORS, Rise, Span, examples, rises
from rlhf_course.widgets.numbers.strategies import rates as strategy_rates
from rlhf_course.widgets.output import StaticOutput, escape_html, show, status_html

_MAX_CURVES = 6
_MIN_RATE = 0.1


class RunStrategies(NamedTuple):
    """The strategies of a run and the diversity of its texts.

    Attributes:
        name: The name of the run's folder.
        prefix: The prompt with which the texts start.
        samples: The run's samples.
        rates: For each strategy, its uses per text in each phase.
        rises: The strategies, the greatest rise first.
        diversity: For each length of n-gram, the share of distinct n-grams in each phase.
    """

    name: str
    prefix: str
    samples: Sequence[Mapping[str, Any]]
    rates: dict[str, list[float]]
    rises: list[Rise]
    diversity: dict[int, list[float]]

    @property
    def phases(self) -> int:
        """The number of phases."""
        return len(self.diversity[1])


def gallery(run: Any) -> None:
    """Show the strategies that a run found to earn its reward, phase by phase.

    Args:
        run: The result of `train_run`, `await dashboard(…).finished()` or `read_run`, or the path of a run's folder.

    Raises:
        CourseError: The folder holds no run, or a run without a finished phase.
    """
    from rlhf_course.rl.run_folder import Run

    strategies = strategies_of(run) if isinstance(run, Run) else find_strategies(_folder_of(run))
    picture = _draw(strategies)
    first = next((rise.name for rise in strategies.rises), DETECTORS[0].name)
    last = strategies.phases - 1
    page = picture.png_html() + _table(strategies) + _examples(strategies, first, last)
    show(lambda: _widget(strategies, picture, first), StaticOutput(page, _text(strategies, picture)))


def _folder_of(run: Any) -> Path:
    """Return the folder of a run that was given by its path or by an object that has one.

    Raises:
        CourseError: It is neither, or there is no such folder.
    """
    place = getattr(run, "path", run)
    if not isinstance(place, str | Path):
        raise CourseError(f"gallery takes a run or the path of its folder, got a {type(run).__name__}")
    if not Path(place).is_dir():
        raise CourseError(f"there is no folder {place}: gallery takes a run or the path of its folder, as runs/periods")
    return Path(place)


def find_strategies(path: Path) -> RunStrategies:
    """Find the strategies of the run in a folder.

    Raises:
        CourseError: The folder holds no run, or a run without a finished phase.
    """
    from rlhf_course.rl.run_folder import read_run

    return strategies_of(read_run(path), path.name)


def strategies_of(run: Any, name: str | None = None) -> RunStrategies:
    """Find the strategies of a run that was read.

    Args:
        run: The result of `read_run`.
        name: The name of the run's folder; by default the run's own.

    Raises:
        CourseError: The run has no finished phase.
    """
    name = name or str(run.config["run_name"])
    if not run.samples:
        raise CourseError(f"{name} has no samples yet: the gallery needs a run with at least one finished phase")
    prefix = run.config["args"].get("prefix", "")  # a run on a task has many prompts
    rates = strategy_rates(run.samples, prefix)
    return RunStrategies(name, prefix, run.samples, rates, rises(rates), diversity(run.samples, prefix))


def _widget(run: RunStrategies, picture: Picture, first: str) -> Any:
    import ipywidgets as ipw

    from rlhf_course.widgets.controls import int_slider

    names = [rise.name for rise in run.rises]
    style, layout = {"description_width": "120px"}, ipw.Layout(width="360px")
    strategy = ipw.Dropdown(options=names, value=first, description="strategy", style=style, layout=layout)
    phase = int_slider("in phase", run.phases - 1, 0, run.phases - 1)
    example_html = ipw.HTML(_examples(run, first, phase.value))

    def update(_: Any) -> None:
        example_html.value = _examples(run, strategy.value, phase.value)

    strategy.observe(update, "value")
    phase.observe(update, "value")
    return ipw.VBox([ipw.HTML(picture.svg_html()), ipw.HTML(_table(run)), ipw.HBox([strategy, phase]), example_html])


def _draw(run: RunStrategies) -> Picture:
    x = list(range(run.phases))
    marker = "o" if len(x) < 2 else ""

    def plot(figure: Figure) -> str:
        strategies, variety = figure.subplots(1, 2, width_ratios=(1.5, 1))
        for index, rise in enumerate(_most_used(run)):
            colour, dashes = COLOURS[index % len(COLOURS)], DASHES[index // len(COLOURS)]
            strategies.plot(x, run.rates[rise.name], dashes, color=colour, marker=marker, label=rise.name)
        for size, dashes, colour in zip(run.diversity, DASHES, COLOURS, strict=False):
            label = {1: "words", 2: "pairs of words", 3: "three words in a row"}[size]
            variety.plot(x, run.diversity[size], dashes, color=colour, marker=marker, label=label)
        strategies.set(title="uses of a strategy, a text", xlabel="phase", ylim=(0, None))
        variety.set(title="share that is distinct in the batch", xlabel="phase", ylim=(0, 1.02))
        for axes in (strategies, variety):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            if axes.lines:
                axes.legend(loc="best", fontsize=8)
        return _alt_text(run)

    return draw(plot, (10.0, 3.4))


def _most_used(run: RunStrategies) -> list[Rise]:
    """Return the strategies that get a curve, the greatest change first."""
    used = [rise for rise in run.rises if max(run.rates[rise.name]) >= _MIN_RATE]
    return sorted(used, key=lambda rise: -abs(rise.after - rise.before))[:_MAX_CURVES]


def _alt_text(run: RunStrategies) -> str:
    grown = [
        f"{rise.name} {rise.before:.2f} to {rise.after:.2f} a text, mostly since phase {rise.phase}"
        for rise in run.rises
        if rise.phase is not None
    ]
    triples = run.diversity[3]
    return (
        f"Two plots of {run.name} against the phase. Left, strategies; risen: {'; '.join(grown[:5]) or 'none'}. "
        f"Right, the share of distinct words, pairs and triples in a batch; triples go from {triples[0]:.2f} to "
        f"{triples[-1]:.2f}."
    )


def _table(run: RunStrategies) -> str:
    cell = 'style="padding: 2px 10px; text-align: left"'
    looks = {detector.name: escape_html(detector.looks_like) for detector in DETECTORS}
    rows = "".join(
        f'<tr><th scope="row" {cell}>{rise.name}</th><td {cell}><code>{looks[rise.name]}</code></td>'
        f"<td {cell}>{rise.before:.2f}</td>"
        f"<td {cell}>{rise.after:.2f}</td><td {cell}>{'' if rise.phase is None else rise.phase}</td></tr>"
        for rise in run.rises
    )
    head = "".join(
        f'<th scope="col" {cell}>{name}</th>'
        for name in ("strategy", "looks like", "first phases", "last phases", "risen since phase")
    )
    caption = "Uses a text, in the first and in the last tenth of the phases"
    return (
        '<table style="color: inherit; border-collapse: collapse; line-height: 1.5">'
        f'<caption style="text-align: left; white-space: nowrap">{caption}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    )


def _examples(run: RunStrategies, name: str, phase: int) -> str:
    texts = examples(run.samples, name, run.prefix, phase)
    if not texts:
        return status_html(f"Phase {phase}: no text uses {name}.")
    items = "".join(f"<li>{_marked(text, spans)}</li>" for text, spans in texts)
    return status_html(f"Phase {phase}, {name}: the texts that use it most.<ul>{items}</ul>")


def _marked(text: str, spans: Sequence[Span]) -> str:
    """Return a text as HTML with some spans of it marked."""
    parts: list[str] = []
    end = 0
    for start, stop in spans:
        parts += [
            escape_html(text[end:start]),
            f'<mark style="background: rgba(0, 114, 178, 0.35); color: inherit">{escape_html(text[start:stop])}</mark>',
        ]
        end = stop
    return "".join(parts) + escape_html(text[end:])


def _text(run: RunStrategies, picture: Picture) -> str:
    """Return the gallery as plain text."""
    lines = [f"{'strategy':<18}{'first':>8}{'last':>8}{'since phase':>13}"]
    for rise in run.rises:
        lines.append(
            f"{rise.name:<18}{rise.before:>8.2f}{rise.after:>8.2f}{'' if rise.phase is None else rise.phase:>13}"
        )
    return "\n".join([picture.alt, *lines])
