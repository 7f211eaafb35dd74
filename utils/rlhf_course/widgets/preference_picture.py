"""Show part 2's pictures: bands over the seeds of the recorded runs, and a learner's own run beside them."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from rlhf_course.errors import CourseError
from rlhf_course.widgets import preference_plots as plots
from rlhf_course.widgets.drawing import Picture, draw
from rlhf_course.widgets.output import StaticOutput, show

if TYPE_CHECKING:  # it imports torch
    from rlhf_course.rl.run_folder import RunFolder

# The pictures by name, each with its size in inches.
_PICTURES: dict[str, tuple[Callable[..., str], tuple[float, float]]] = {
    "calibration": (plots.plot_calibration, (6.0, 3.6)),
    "pairs": (plots.plot_pairs, (6.0, 3.6)),
    "overoptimisation": (plots.plot_overoptimisation, (10.0, 3.8)),
    "classifier": (plots.plot_classifier, (6.5, 3.6)),
    "dpo": (plots.plot_dpo, (6.5, 3.6)),
    "methods": (plots.plot_methods, (7.5, 4.4)),
}
# The pictures that a run of one's own can be drawn into.
_WITH_RUN = ("overoptimisation", "dpo", "methods")


def preference_picture(name: str, run: "RunFolder | None" = None) -> None:
    """Show one of part 2's pictures: what the course's runs with several seeds did.

    Args:
        name: "calibration", "pairs", "overoptimisation", "classifier", "dpo" or "methods".
        run: A run of your own, which is drawn beside the bands: a policy of `overoptimise` in "overoptimisation" and
            "methods", a run of `dpo` in "dpo".

    Raises:
        CourseError: There is no such picture, or a run of one's own has no place in it.
    """
    picture = draw_preferences(name, run)
    show(lambda: _widget(picture), StaticOutput(picture.png_html(), picture.alt))


def draw_preferences(name: str, run: "RunFolder | None" = None) -> Picture:
    """Draw the picture that `preference_picture` shows.

    Raises:
        CourseError: There is no such picture, or a run of one's own has no place in it.
    """
    if name not in _PICTURES:
        raise CourseError(f"preference_picture takes {', '.join(_PICTURES)}, got {name!r}")
    plot, size = _PICTURES[name]
    if run is None:
        return draw(plot, size)
    if name not in _WITH_RUN:
        raise CourseError(f"preference_picture draws a run of your own in {', '.join(_WITH_RUN)}, not in {name!r}")
    needed = "chosen_log_ratio" if name == "dpo" else "gold"
    if not run.rows or needed not in run.rows[0]:
        raise CourseError(f"{run.path} records no {needed}, which the picture {name!r} shows")
    return draw(partial(plot, run=run), size)


def _widget(picture: Picture) -> Any:
    import ipywidgets as ipw

    return ipw.HTML(picture.svg_html())
