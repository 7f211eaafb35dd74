"""Sliders and buttons that a keyboard reaches, with names that a screen reader says."""

from collections.abc import Callable
from typing import Any

import ipywidgets as ipw


def slider(name: str, value: float, least: float, most: float, step: float) -> ipw.FloatSlider:
    """A slider for a number; arrow keys move it by `step`, and its number can be typed."""
    return ipw.FloatSlider(
        description=name,
        value=value,
        min=least,
        max=most,
        step=step,
        readout_format=".2f",
        style={"description_width": "120px"},
        layout=ipw.Layout(width="360px"),
    )


def whole_slider(name: str, value: int, least: int, most: int) -> ipw.IntSlider:
    """A slider for a whole number."""
    return ipw.IntSlider(
        description=name,
        value=value,
        min=least,
        max=most,
        style={"description_width": "120px"},
        layout=ipw.Layout(width="360px"),
    )


def button(name: str, tooltip: str, on_click: Callable[[Any], None], disabled: bool = False) -> ipw.Button:
    """A button as wide as its name."""
    made = ipw.Button(
        description=name, tooltip=tooltip, disabled=disabled, layout=ipw.Layout(width="auto", min_width="90px")
    )
    made.on_click(on_click)
    return made
