"""The reading copy of the course: `make site`."""

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from rlhf_course.building.notebooks import notebook_sources
from rlhf_course.paths import REPOSITORY
from rlhf_course.releasing.leaks import leaks

# A proxy that is not there: a request to the network fails.
_NO_NETWORK = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9")


class _Loaded(HTMLParser):
    """Collect what a page loads, and the text of its headings."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}
        self.urls += [value for name, value in attrs if name == names.get(tag) and value]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The built site."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder]
    result = subprocess.run(
        command, cwd=REPOSITORY, env={**os.environ, **_NO_NETWORK}, capture_output=True, text=True, timeout=600
    )
    assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site) -> dict[Path, str]:
    """The text of every page, by its path in the site."""
    return {path.relative_to(site): path.read_text(encoding="utf-8") for path in site.rglob("*.html")}


def test_every_notebook_guide_and_model_card_has_a_page(pages):
    notebooks = {Path("notebooks") / f"{source.stem}.html" for source in notebook_sources(REPOSITORY)}
    guides = {path.relative_to(REPOSITORY).with_suffix(".html") for path in (REPOSITORY / "docs").glob("*.md")}
    cards = {
        path.parent.relative_to(REPOSITORY) / "index.html" for path in REPOSITORY.glob("utils/**/models/*/README.md")
    }
    assert notebooks and guides and cards
    assert notebooks | guides | cards | {Path("index.html")} <= set(pages)


def test_no_page_holds_an_answer_or_a_hidden_test(site):
    files = {path.relative_to(site): path.read_bytes() for path in site.rglob("*") if path.suffix in (".html", ".json")}
    assert not leaks(files, REPOSITORY)


def test_no_page_loads_anything_from_another_host_or_that_is_missing(site, pages):
    loaded = {}
    for path, text in pages.items():
        parser = _Loaded()
        parser.feed(text)
        loaded[path] = parser.urls
    assert all(loaded.values())
    assert not [(path, url) for path, urls in loaded.items() for url in urls if re.match(r"(https?:)?//", url)]
    # A server shows 404.html in any folder, so its paths are absolute.
    del loaded[Path("404.html")]
    files = [path.parent / url for path, urls in loaded.items() for url in urls if not url.startswith("data:")]
    assert files and not [file for file in files if not (site / file).is_file()]


def test_the_search_finds_what_a_notebook_says_but_nothing_that_is_folded(site):
    sections = json.loads((site / "search/search_index.json").read_text())["docs"]
    text = {section["location"]: section["text"] for section in sections}
    assert any(
        "calc_kl_penalty" in words for place, words in text.items() if place.startswith("notebooks/06_objective")
    )
    assert "Open it when you have predicted" not in "".join(text.values())


def test_formulas_are_mathml_and_outputs_are_pictures_with_alternative_text(pages):
    text = pages[Path("notebooks/06_objective.html")]
    assert text.count("<math") > 10 and "arithmatex" not in text
    assert 'class="output"' in text and "data:image/png" in text
    assert text.count("<img") == len(re.findall(r'<img[^>]* alt="[^"]{20}|<img alt="[^"]{20}', text))


def test_every_code_cell_of_a_notebook_is_shown_as_python(pages):
    for source in notebook_sources(REPOSITORY):
        notebook = json.loads((REPOSITORY / "notebooks" / f"{source.stem}.ipynb").read_text())
        cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code" and "".join(cell["source"]).strip()]
        text = pages[Path("notebooks") / f"{source.stem}.html"]
        assert text.count('<div class="highlight"><pre><span></span><code><span class=') >= len(cells), source.stem
