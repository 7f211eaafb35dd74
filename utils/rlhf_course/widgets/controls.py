"""Make sliders and buttons that the keyboard operates and that have names for screen readers."""

from collections.abc import Callable
from typing import Any

import ipywidgets as ipw


def slider(description: str, value: float, minimum: float, maximum: float, step: float) -> ipw.FloatSlider:
    """Make a slider for a float; arrow keys move it by `step`, and its number can be typed."""
    return ipw.FloatSlider(
        description=description,
        value=value,
        min=minimum,
        max=maximum,
        step=step,
        readout_format=".2f",
        style={"description_width": "120px"},
        layout=ipw.Layout(width="360px"),
    )


def int_slider(description: str, value: int, minimum: int, maximum: int) -> ipw.IntSlider:
    """Make a slider for an integer."""
    return ipw.IntSlider(
        description=description,
        value=value,
        min=minimum,
        max=maximum,
        style={"description_width": "120px"},
        layout=ipw.Layout(width="360px"),
    )


def button(description: str, tooltip: str, on_click: Callable[[Any], None], disabled: bool = False) -> ipw.Button:
    """Make a button that is as wide as its description."""
    layout = ipw.Layout(width="auto", min_width="90px")
    widget = ipw.Button(description=description, tooltip=tooltip, disabled=disabled, layout=layout)
    widget.on_click(on_click)
    return widget
