"""Fit one Gaussian to two peaks, by hand or by minimising either KL divergence."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from rlhf_course.widgets.drawing import BLUE, INK, VERMILION, Picture, draw
from rlhf_course.widgets.numbers.kl import (
    Divergences,
    Gaussian,
    TwoPeaks,
    divergences,
    fit_covering,
    fit_seeking,
    integrands,
)
from rlhf_course.widgets.output import StaticOutput, show, status_html

_X = np.linspace(-8.0, 8.0, 201)
_COVERING, _SEEKING = "KL(target || fit)", "KL(fit || target)"


def kl_explorer(mean: float = 0.5, std: float = 1.0) -> None:
    """Show a target of two peaks, a Gaussian that sliders move, both KL divergences and their integrands.

    Args:
        mean: The Gaussian's mean at the start.
        std: The Gaussian's standard deviation at the start.
    """
    target, fit = TwoPeaks(), Gaussian(mean, std)
    picture = _draw(target, fit)
    static = StaticOutput(picture.png_html(), _readout(fit, divergences(target, fit)))
    show(lambda: _widget(target, fit, picture), static)


def _widget(target: TwoPeaks, fit: Gaussian, picture: Picture) -> Any:
    import ipywidgets as ipw

    from rlhf_course.widgets.controls import button, slider

    mean = slider("fit: mean", fit.mean, -6, 6, 0.05)
    std = slider("fit: deviation", fit.std, 0.2, 5, 0.05)
    distance = slider("peaks: ± at", target.distance, 0, 5, 0.1)
    left = slider("left peak's share", target.left, 0.05, 0.95, 0.05)
    image, readout = ipw.HTML(picture.svg_html()), ipw.HTML(status_html(_readout(fit, divergences(target, fit))))

    def redraw(_: Any = None) -> None:
        peaks, gaussian = TwoPeaks(distance.value, left.value), Gaussian(mean.value, std.value)
        image.value = _draw(peaks, gaussian, with_png=False).svg_html()
        readout.value = status_html(_readout(gaussian, divergences(peaks, gaussian)))

    def move_to(gaussian: Gaussian) -> None:
        for control in (mean, std):
            control.unobserve(redraw, "value")
        mean.value, std.value = gaussian
        for control in (mean, std):
            control.observe(redraw, "value")
        redraw()

    def cover(_: Any) -> None:
        move_to(fit_covering(TwoPeaks(distance.value, left.value)))

    def seek(_: Any) -> None:
        move_to(fit_seeking(TwoPeaks(distance.value, left.value), Gaussian(mean.value, std.value)))

    for control in (mean, std, distance, left):
        control.observe(redraw, "value")
    buttons = ipw.HBox(
        [
            button(f"minimise {_COVERING}", "Cover both peaks", cover),
            button(f"minimise {_SEEKING}", "Seek a peak, from where the fit is now", seek),
        ]
    )
    return ipw.VBox([ipw.HBox([ipw.VBox([mean, std]), ipw.VBox([distance, left])]), buttons, readout, image])


def _readout(fit: Gaussian, kl: Divergences) -> str:
    return (
        f"Fit with mean {fit.mean:.2f} and standard deviation {fit.std:.2f}: "
        f"{_COVERING} = {kl.covering:.3f} nats (covering), {_SEEKING} = {kl.seeking:.3f} nats (seeking; RLHF's)."
    )


def _draw(target: TwoPeaks, fit: Gaussian, with_png: bool = True) -> Picture:
    kl = divergences(target, fit)

    def plot(figure: Figure) -> str:
        densities, *parts = figure.subplots(1, 3, width_ratios=(1.3, 1, 1))
        densities.fill_between(_X, np.exp(target.log_density(_X)), color=INK, alpha=0.25, lw=0, label="target")
        densities.plot(_X, np.exp(fit.log_density(_X)), color=BLUE, label="fit")
        densities.set(title="densities", xlabel="x", ylim=(0, None))
        densities.legend(loc="upper right")
        values = integrands(target, fit, _X)
        for axes, name, total, value, colour in zip(
            parts, (_COVERING, _SEEKING), kl, values, (BLUE, VERMILION), strict=True
        ):
            axes.fill_between(_X, value, color=colour, alpha=0.35, lw=0)
            axes.plot(_X, value, color=colour)
            axes.axhline(0, color=INK, lw=0.8)
            axes.set(title=f"{name} = {total:.2f}", xlabel="x")
        return (
            f"Three plots. Left: the target's density, with peaks at plus and minus {target.distance:.1f}, and the "
            f"fit's, with mean {fit.mean:.2f} and deviation {fit.std:.2f}. Middle and right: what each x adds to "
            f"{_COVERING}, {kl.covering:.2f} nats, and to {_SEEKING}, {kl.seeking:.2f} nats."
        )

    return draw(plot, (9.5, 2.9), with_png)
