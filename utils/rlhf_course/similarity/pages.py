"""Write the similarity report as HTML pages that a browser opens from disk."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from rlhf_course.course import BY_NAME
from rlhf_course.files import write_text
from rlhf_course.grading.reports.pages import visible
from rlhf_course.similarity.pairs import Pair
from rlhf_course.stubs import stub_of

# Only this many pairs, by falling weight, get a page; more pages would not be read.
MAX_PAGES = 200


def write_report(folder: Path, pairs: Sequence[Pair], submissions: int) -> Path:
    """Write `index.html` with the list of pairs, and a page for each pair with both texts side by side.

    Args:
        folder: The folder of the pages.
        pairs: The pairs, by falling weight.
        submissions: The number of submissions that were compared.

    Returns:
        The path of `index.html`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    listed = pairs[:MAX_PAGES]
    for number, pair in enumerate(listed, 1):
        write_text(folder / page_name(number), _environment().get_template("pair.html").render(pair=pair))
    template = _environment().get_template("pairs.html")
    html = template.render(pairs=listed, pair_count=len(pairs), submission_count=submissions)
    write_text(folder / "index.html", html)
    return folder / "index.html"


def page_name(number: int) -> str:
    """Return the file name of a pair's page."""
    return f"pair-{number:03}.html"


def lines_of(text: str, exercise: str) -> list[tuple[str, bool]]:
    """Return the lines of an answer, each with whether it is a line of the stub."""
    stub_lines = {line.strip() for line in stub_of(BY_NAME[exercise]).splitlines()}
    return [(line, line.strip() in stub_lines) for line in text.splitlines()]


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=ChoiceLoader([PackageLoader("rlhf_course.similarity"), PackageLoader("rlhf_course.grading.reports")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=visible,
    )
    environment.globals |= {"page_name": page_name, "lines_of": lines_of}
    return environment
