"""Show PPO's clipped term for one token, its gradient, and the ratios at which that gradient is zero."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from rlhf_course.widgets.drawing import BLUE, INK, VERMILION, Picture, draw
from rlhf_course.widgets.numbers.clipping import clipped_term, flat_part, is_flat
from rlhf_course.widgets.output import StaticOutput, show, status_html

_RATIOS = np.linspace(0.0, 2.0, 201)


def objective_explorer(ratio: float = 1.3, advantage: float = 1.0, clip_coef: float = 0.2) -> None:
    """Show the clipped term and its gradient against the ratio, with sliders for all three.

    Args:
        ratio: The token's probability under the new policy, divided by that under the old one.
        advantage: The token's advantage.
        clip_coef: How far the ratio may be from 1 before the gradient becomes zero.
    """
    picture = _draw(ratio, advantage, clip_coef)
    static = StaticOutput(picture.png_html(), _readout(ratio, advantage, clip_coef))
    show(lambda: _widget(ratio, advantage, clip_coef, picture), static)


def _widget(ratio: float, advantage: float, clip_coef: float, picture: Picture) -> Any:
    import ipywidgets as ipw

    from rlhf_course.widgets.controls import slider

    sliders = [
        slider("ratio", ratio, 0, 2, 0.01),
        slider("advantage", advantage, -2, 2, 0.1),
        slider("clip_coef", clip_coef, 0.05, 0.5, 0.05),
    ]
    image, readout = ipw.HTML(picture.svg_html()), ipw.HTML(status_html(_readout(ratio, advantage, clip_coef)))

    def redraw(_: Any) -> None:
        settings = tuple(control.value for control in sliders)
        image.value = _draw(*settings, with_png=False).svg_html()
        readout.value = status_html(_readout(*settings))

    for control in sliders:
        control.observe(redraw, "value")
    return ipw.VBox([*sliders, readout, image])


def _readout(ratio: float, advantage: float, clip_coef: float) -> str:
    term = clipped_term(ratio, advantage, clip_coef)
    clipped = "clipped: the ratio is not pushed further" if is_flat(ratio, advantage, clip_coef) else "not clipped"
    return (
        f"Ratio {ratio:.2f}, advantage {advantage:+.1f}: the term is {float(term.value):.3f}, "
        f"its gradient {float(term.gradient):+.1f} ({clipped}). The gradient is zero {flat_part(advantage, clip_coef)}."
    )


def _draw(ratio: float, advantage: float, clip_coef: float, *, with_png: bool = True) -> Picture:
    term = clipped_term(_RATIOS, advantage, clip_coef)
    current = clipped_term(ratio, advantage, clip_coef)
    flat = is_flat(_RATIOS, advantage, clip_coef)

    def plot(figure: Figure) -> str:
        value, gradient = figure.subplots(1, 2)
        value.plot(_RATIOS, term.unclipped, ":", color=INK, alpha=0.6, label="ratio × advantage")
        value.plot(_RATIOS, term.value, color=BLUE, label="clipped term")
        value.plot([ratio], [current.value], "o", color=VERMILION, label="at this ratio")
        gradient.plot(_RATIOS, term.gradient, color=BLUE, drawstyle="steps-mid")
        gradient.plot([ratio], [current.gradient], "o", color=VERMILION)
        for axes, title in ((value, "the term"), (gradient, "its gradient")):
            axes.set(title=title, xlabel="ratio", xlim=(0, 2))
            axes.axvline(1, color=INK, lw=0.8, alpha=0.5)
            axes.fill_between(
                _RATIOS, 0, 1, where=flat, transform=axes.get_xaxis_transform(), color=VERMILION, alpha=0.12, lw=0
            )
        gradient.set_ylim(-2.1, 2.1)
        value.legend(loc="best")
        return (
            f"Two plots against the ratio, for advantage {advantage:+.1f} and clip_coef {clip_coef:.2f}. "
            f"Left: the clipped term, {float(current.value):.2f} at ratio {ratio:.2f}. "
            f"Right: its gradient, {float(current.gradient):+.1f} at that ratio. "
            f"It is zero {flat_part(advantage, clip_coef)}, which is shaded."
        )

    return draw(plot, (8.5, 2.9), with_png)
