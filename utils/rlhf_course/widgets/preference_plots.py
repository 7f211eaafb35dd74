"""Plot part 2's figures. Each function draws on a figure, and returns the picture's alternative text."""

from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rlhf_course.rl.run_folder import read_run
from rlhf_course.widgets.bands import axes_with_room_for_labels, plot_band
from rlhf_course.widgets.drawing import BLUE, GREEN, INK, PURPLE, VERMILION
from rlhf_course.widgets.numbers import preferences as numbers
from rlhf_course.widgets.numbers.preferences import recorded_seeds

if TYPE_CHECKING:  # it imports torch
    from rlhf_course.rl.run_folder import RunFolder

_ROOT = "root of the KL of a text, in nats"
_REWARDS = {"proxy": ("proxy (the reward model)", BLUE, "-"), "gold": ("gold (the judge)", VERMILION, "--")}
_PENALTIES = {"without": "policy, no KL penalty", "with": "policy, KL penalty"}


def plot_calibration(figure: Figure) -> str:
    """Plot how often labeller and judge agree with a reward model, against how sure the model is."""
    axes = axes_with_room_for_labels(figure)
    axes.plot([0.5, 1], [0.5, 1], color=INK, lw=0.8, label="calibrated")
    parts = [
        plot_band(axes, numbers.calibration_band("labeller"), "the labeller agrees", BLUE, "-", "o"),
        plot_band(axes, numbers.calibration_band("judge"), "the judge agrees", VERMILION, "--", "o"),
    ]
    axes.set(xlabel="probability that the reward model states", ylabel="share of held-out pairs")
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.legend()
    return f"How often labeller and judge agree with a reward model, against how sure it is. {'; '.join(parts)}."


def plot_pairs(figure: Figure) -> str:
    """Plot the held-out accuracy against the number of pairs."""
    axes = axes_with_room_for_labels(figure)
    parts = [
        plot_band(axes, numbers.pairs_band("whole"), "the whole model", BLUE, "-", "o"),
        plot_band(axes, numbers.pairs_band("linear"), "a linear head on frozen states", VERMILION, "--", "o"),
    ]
    axes.axhline(0.5, color=INK, lw=0.8)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.set(xlabel="pairs to learn from", ylabel="held-out accuracy")
    axes.legend()
    return f"Held-out accuracy against the number of pairs. {'; '.join(parts)}."


def plot_overoptimisation(figure: Figure, run: "RunFolder | None" = None) -> str:
    """Plot proxy and judge against the root of the KL: policies without and with a penalty, and best of n."""
    figure.set_layout_engine("constrained")
    panels = figure.subplots(1, 3, sharey=True)
    parts = []
    for axes, (penalty, title) in zip(panels, _PENALTIES.items(), strict=False):
        axes.set_title(title)
        parts += [
            f"{title}, {plot_band(axes, numbers.policy_band(penalty, reward), *look)}"
            for reward, look in _REWARDS.items()
        ]
    panels[2].set_title("best of n, to 1024")
    parts += [
        f"best of n, {plot_band(panels[2], numbers.best_of_n_band(reward), *look)}" for reward, look in _REWARDS.items()
    ]
    if run is not None:
        own = panels[0 if _kl_coef(run) == 0 else 1]
        parts.append(_plot_own(own, run, tuple(_REWARDS)))
        own.legend(loc="best", fontsize=8)
    panels[0].set_ylabel("mean reward")
    for axes in panels:
        axes.set_xlabel(_ROOT)
    panels[0].legend(loc="best", fontsize=8)
    return f"Three plots of the mean reward against the {_ROOT}, with bands over seeds. {'; '.join(parts)}."


def plot_classifier(figure: Figure) -> str:
    """Plot what the judge and the bare classifier give to the same runs without a penalty, a line a seed."""
    axes = axes_with_room_for_labels(figure)
    runs = {seed: measured["policies"]["without"] for seed, measured in recorded_seeds().items()}
    ends = []
    for reward, label, colour, style in (
        ("gold", "judge", VERMILION, "--"),
        ("classifier", "bare classifier", GREEN, "-"),
    ):
        for curve in runs.values():
            axes.plot(numbers.roots(curve), curve[reward], style, color=colour, lw=1.1, alpha=0.8)
        axes.plot([], [], style, color=colour, label=label)
        last = [curve[reward][-1] for curve in runs.values()]
        ends.append(f"{min(last):.1f} to {max(last):.1f} under the {label}")
    axes.set(xlabel=_ROOT, ylabel="mean reward")
    axes.legend()
    return (
        f"The judge's reward and the bare classifier's in the same {len(runs)} runs without a penalty, a line a seed, "
        f"against the {_ROOT}. They end at {' and at '.join(ends)}."
    )


def plot_dpo(figure: Figure, run: "RunFolder | None" = None) -> str:
    """Plot the log-ratios of the chosen and the rejected texts of each step of DPO."""
    axes = axes_with_room_for_labels(figure)
    parts = []
    for side, colour, style in (("chosen", BLUE, "-"), ("rejected", VERMILION, "--")):
        parts.append(plot_band(axes, numbers.log_ratio_band(side), f"{side} texts", colour, style))
        if run is not None:
            own = [float(row[f"{side}_log_ratio"]) for row in run.rows]
            axes.plot(range(len(own)), own, style, color=INK, lw=1.1, label=f"your run: {side}")
            parts.append(f"your run's {side} texts end at {own[-1]:.1f}")
    axes.axhline(0, color=INK, lw=0.8)
    axes.set(xlabel="step", ylabel="mean log-ratio, in nats")
    axes.legend()
    return f"Mean log-ratios of the texts of each step of DPO, with bands over seeds. {'; '.join(parts)}."


def plot_methods(figure: Figure, run: "RunFolder | None" = None) -> str:
    """Plot the judge's reward against the root of the KL for best of n, policies trained by PPO, and DPO."""
    axes = axes_with_room_for_labels(figure)
    parts = [
        plot_band(axes, numbers.best_of_n_band("gold"), "best of n", GREEN, "-", "o"),
        plot_band(axes, numbers.policy_band("without", "gold"), "PPO, no KL penalty", VERMILION, "--"),
        plot_band(axes, numbers.policy_band("with", "gold"), "PPO, KL penalty", PURPLE, "-."),
        plot_band(axes, numbers.dpo_band("gold"), "DPO", BLUE, ":", "s"),
    ]
    if run is not None:
        parts.append(_plot_own(axes, run, ("gold",)))
    axes.set(xlabel=_ROOT, ylabel="mean gold reward")
    axes.legend(fontsize=8)
    return f"The judge's mean reward against the {_ROOT}, with bands over seeds. {'; '.join(parts)}."


def _plot_own(axes: Axes, run: "RunFolder", rewards: tuple[str, ...]) -> str:
    """Plot a learner's own policy, and return what it shows."""
    columns = numbers.columns_of(run.rows, read_run(run.path).config["args"]["gen_len"])
    for reward in rewards:
        style = _REWARDS[reward][2]
        axes.plot(numbers.roots(columns), columns[reward], style, color=INK, lw=1.0, label=f"your run: {reward}")
    return "your run: " + ", ".join(f"{reward} ends at {columns[reward][-1]:.2f}" for reward in rewards)


def _kl_coef(run: "RunFolder") -> float:
    return float(read_run(run.path).config["args"]["kl_coef"])
