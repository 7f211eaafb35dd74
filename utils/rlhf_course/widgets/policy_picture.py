"""Show part 3's pictures: bands over the seeds of the recorded runs, and a learner's own run beside them."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from rlhf_course.errors import CourseError
from rlhf_course.widgets import policy_plots as plots
from rlhf_course.widgets.drawing import Picture, draw
from rlhf_course.widgets.output import StaticOutput, show

if TYPE_CHECKING:  # it imports torch
    from rlhf_course.rl.run_folder import RunFolder

# The pictures by name, each with its size in inches.
_PICTURES: dict[str, tuple[Callable[..., str], tuple[float, float]]] = {
    "methods": (plots.plot_methods, (7.5, 4.4)),
    "broken": (plots.plot_broken, (6.5, 3.6)),
    "grpo": (plots.plot_grpo, (10.0, 3.4)),
    "pass_at_k": (plots.plot_pass_at_k, (6.0, 3.6)),
}
# The pictures that a run of one's own can be drawn into, each with the metric that it needs.
_NEEDED = {"methods": "sampled_tokens", "broken": "accuracy", "grpo": "mixed_groups"}


def policy_picture(name: str, run: "RunFolder | None" = None) -> None:
    """Show one of part 3's pictures: what the course's runs with several seeds did.

    Args:
        name: "methods", "broken", "grpo" or "pass_at_k".
        run: A run of your own, which is drawn beside the bands: of `grpo` in "grpo", of `grpo` or `expert_iteration` in
            "methods", of `broken_verifier` in "broken".

    Raises:
        CourseError: There is no such picture, or a run of one's own has no place in it.
    """
    picture = draw_policy(name, run)
    show(lambda: _widget(picture), StaticOutput(picture.png_html(), picture.alt))


def draw_policy(name: str, run: "RunFolder | None" = None) -> Picture:
    """Draw the picture that `policy_picture` shows.

    Raises:
        CourseError: There is no such picture, or a run of one's own has no place in it.
    """
    if name not in _PICTURES:
        raise CourseError(f"policy_picture takes {', '.join(_PICTURES)}, got {name!r}")
    plot, size = _PICTURES[name]
    if run is None:
        return draw(plot, size)
    if name not in _NEEDED:
        raise CourseError(f"policy_picture draws a run of your own in {', '.join(_NEEDED)}, not in {name!r}")
    if not run.rows or _NEEDED[name] not in run.rows[0]:
        raise CourseError(f"{run.path} records no {_NEEDED[name]}, which the picture {name!r} shows")
    return draw(partial(plot, run=run), size)


def _widget(picture: Picture) -> Any:
    import ipywidgets as ipw

    return ipw.HTML(picture.svg_html())
