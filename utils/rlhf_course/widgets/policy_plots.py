"""Plot part 3's figures. Each function draws on a figure, and returns the picture's alternative text."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rlhf_course.widgets.bands import axes_with_room_for_labels, plot_band
from rlhf_course.widgets.drawing import BLUE, GREEN, INK, PURPLE, VERMILION
from rlhf_course.widgets.numbers import policy_gradients as numbers

if TYPE_CHECKING:  # it imports torch
    from rlhf_course.rl.run_folder import RunFolder

# The methods that are compared: the run, its label, and its colour, line and marker.
_METHODS = {
    "grpo": ("GRPO", BLUE, "-", "o"),
    "dr_grpo": ("Dr. GRPO", VERMILION, "--", "s"),
    "rloo": ("RLOO", GREEN, "-.", "^"),
    "expert_iteration": ("expert iteration", PURPLE, ":", "D"),
}
_PASSED = {
    "sft": ("after fine-tuning", INK, ":", "o"),
    "grpo": ("after GRPO", BLUE, "-", "o"),
    "expert_iteration": ("after expert iteration", PURPLE, "--", "D"),
}


def plot_methods(figure: Figure, run: "RunFolder | None" = None) -> str:
    """Plot accuracy on held-out prompts against the number of sampled tokens, for each method."""
    axes = axes_with_room_for_labels(figure)
    parts = [
        plot_band(axes, numbers.held_out_band(name, "tokens"), *look)
        for name, look in _METHODS.items()
        if numbers.recorded_of(name)
    ]
    if run is not None:
        points = numbers.measured_of(run.rows)
        parts.append(_plot_own(axes, [point.tokens for point in points], [point.accuracy for point in points]))
    axes.set(xlabel="sampled tokens", ylabel="accuracy on held-out prompts")
    _as_shares(axes)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    return f"Accuracy on held-out prompts against the number of sampled tokens, with bands over seeds. {_joined(parts)}"


def plot_broken(figure: Figure, run: "RunFolder | None" = None) -> str:
    """Plot the reward of the broken verifier, and the share of completions that are right."""
    axes = axes_with_room_for_labels(figure)
    parts = []
    for column, metric, label, colour, style in (
        ("reward", "mean_reward", "reward of the broken verifier", BLUE, "-"),
        ("accuracy", "accuracy", "share that is right", VERMILION, "--"),
    ):
        parts.append(plot_band(axes, numbers.phase_band("broken_verifier", column), label, colour, style))
        if run is not None:
            parts.append(_plot_own(axes, *_column_of(run, metric), label, style))
    axes.set(xlabel="phase", ylabel="mean over the completions of a phase")
    _as_shares(axes)
    return f"Training on a verifier that does not compare the digits, with bands over seeds. {_joined(parts)}"


def plot_grpo(figure: Figure, run: "RunFolder | None" = None) -> str:
    """Plot held-out accuracy, the share of mixed groups and the entropy of GRPO."""
    figure.set_layout_engine("constrained")
    panels = figure.subplots(1, 3)
    titles = ("accuracy on held-out prompts", "share of groups that are mixed", "entropy, nats a token")
    bands = (
        numbers.held_out_band("grpo", "phase"),
        numbers.phase_band("grpo", "mixed_groups"),
        numbers.phase_band("grpo", "entropy"),
    )
    parts = []
    for axes, title, values, marker in zip(panels, titles, bands, ("o", "", ""), strict=True):
        parts.append(f"{title}, {plot_band(axes, values, 'GRPO', BLUE, '-', marker)}")
        axes.set(title=title, xlabel="phase", ylim=(0, None))
    if run is not None:
        points = numbers.measured_of(run.rows)
        own = [
            ([point.phase for point in points], [point.accuracy for point in points]),
            _column_of(run, "mixed_groups"),
            _column_of(run, "entropy"),
        ]
        parts += [
            f"{title}, {_plot_own(axes, *values)}" for axes, title, values in zip(panels, titles, own, strict=True)
        ]
    for axes in panels[:2]:
        _as_shares(axes, with_legend=False)
    panels[0].legend(loc="lower right", fontsize=8)
    return f"Three plots of GRPO against the phase, with bands over seeds. {_joined(parts)}"


def plot_pass_at_k(figure: Figure) -> str:
    """Plot how often at least one of k completions is right, before and after training."""
    axes = axes_with_room_for_labels(figure)
    parts = [
        plot_band(axes, values, *look) for name, look in _PASSED.items() if (values := numbers.pass_at_k_band(name)).x
    ]
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.set(xlabel="k, completions of a prompt", ylabel="pass@k on held-out prompts")
    _as_shares(axes)
    return f"The probability that at least one of k completions is right, with bands over seeds. {_joined(parts)}"


def _column_of(run: "RunFolder", name: str) -> tuple[list[int], list[float]]:
    return [int(row["phase"]) + 1 for row in run.rows], [numbers.number(row.get(name)) for row in run.rows]


def _plot_own(axes: Axes, x: Sequence[float], y: Sequence[float], label: str = "", style: str = "-") -> str:
    """Plot a learner's own curve, and return what it shows."""
    name = f"your run: {label}" if label else "your run"
    axes.plot(x, y, style, marker="." if len(x) < 20 else "", color=INK, lw=1.1, label=name)
    return f"{name} ends at {y[-1]:.2f}" if y else f"{name} has measured nothing"


def _as_shares(axes: Axes, with_legend: bool = True) -> None:
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter("{x:.0%}")
    if with_legend:
        axes.legend(fontsize=8)


def _joined(parts: Sequence[str]) -> str:
    return "; ".join(parts) + "."
