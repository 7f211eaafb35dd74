"""Make the pages of the reading copy from the repository's files, for MkDocs.

`nav` in mkdocs.yml lists the pages by their paths in the repository. A page whose path has no Markdown file is made
from the notebook beside it. Formulas become MathML, which browsers show without a script.
"""

import html
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

REPOSITORY = Path(__file__).parents[2]
_FENCE = re.compile(r"^(?P<ticks>`{3,})(?P<language>\w*)[^\n]*(?P<code>\n.*?)^(?P=ticks)$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(
    rf"{_FENCE.pattern}|(?P<image>!?)\[(?P<text>[^\]]*)\]\((?P<target>[^)#:\s]+)(?P<anchor>#[^)\s]*)?\)", _FENCE.flags
)
_FORMULA = re.compile(r'<(?P<tag>span|div) class="arithmatex">\\[(\[](?P<latex>.*?)\\[)\]]</(?P=tag)>', flags=re.DOTALL)
# A longer formula may be wider than a phone, where it gets a scroll bar of its own.
_LONG_FORMULA = 50
_NODE = re.compile(r'(\w[\w/]*)\["([^"]+)"\]')


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that `nav` lists, and the pictures that they show."""
    pages = list(_paths(config.nav))
    for page in pages:
        text, pictures = _with_links_in(_markdown(REPOSITORY / page), Path(page), pages)
        files.append(File.generated(config, page, content=text))
        for picture in pictures:
            if files.get_file_from_path(picture) is None:
                files.append(File.generated(config, picture, abs_src_path=str(REPOSITORY / picture)))
    return files


def on_page_content(content: str, **_: Any) -> str:
    """Write formulas as MathML, and keep what is folded out of the search."""
    content = _FORMULA.sub(_mathml, content)
    return content.replace("<details", "<details data-search-exclude")


def _mathml(formula: re.Match[str]) -> str:
    display = "block" if formula["tag"] == "div" else "inline"
    latex = html.unescape(formula["latex"]).replace(r"\_", "_")  # the converter keeps the backslash
    mathml = convert(latex, display=display)
    return f'<span class="formula">{mathml}</span>' if len(formula["latex"]) > _LONG_FORMULA else mathml


def _paths(nav: Any) -> Iterator[str]:
    """Return the paths in a navigation of lists and dictionaries."""
    if isinstance(nav, str):
        yield nav
    else:
        for item in nav.values() if isinstance(nav, dict) else nav:
            yield from _paths(item)


def _markdown(path: Path) -> str:
    """Return a page's Markdown, from its Markdown file or its notebook."""
    if path.is_file():
        text = path.read_text(encoding="utf-8")
    else:
        notebook = json.loads(path.with_suffix(".ipynb").read_text(encoding="utf-8"))
        text = "\n\n".join(block for cell in notebook["cells"] for block in _cell(cell))
    text = _FENCE.sub(_fence, text)
    return text.replace("<details>", '<details markdown="1">')


def _cell(cell: dict[str, Any]) -> Iterator[str]:
    """Return the Markdown of a notebook's cell and of its recorded outputs."""
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        yield source
    elif source.strip():
        yield f"````python\n{source}\n````"
    for output in cell.get("outputs", []):
        data = {kind: "".join(text) for kind, text in output["data"].items()}
        text = data.get("text/html") or f"<pre>{html.escape(data['text/plain'], quote=False)}</pre>"
        # In one line, so that Python-Markdown takes it for one block of HTML.
        yield '<div class="output">' + text.replace("\n", "&#10;") + "</div>"


def _fence(match: re.Match[str]) -> str:
    """Return a block of code without the options behind its language, which Python-Markdown does not know."""
    if match["language"] == "mermaid":
        return f"```text\n{_drawing(match['code'])}\n```"
    return f"{match['ticks']}{match['language']}{match['code']}{match['ticks']}"


def _drawing(flowchart: str) -> str:
    """Return a Mermaid flowchart as lines of text, because Mermaid's script would come from the network."""
    labels = dict(_NODE.findall(flowchart))
    arrows = _NODE.sub(r"\1", flowchart).strip().splitlines()[1:]
    lines = [re.sub(r"\w+", lambda name: labels.get(name[0], name[0]), arrow.strip()) for arrow in arrows]
    return "\n".join(lines).replace("-->", "→").replace(" &", ",")


def _with_links_in(text: str, page: Path, pages: list[str]) -> tuple[str, set[str]]:
    """Return a page's text without links to files that are no pages, and the pictures that it shows."""
    pictures: set[str] = set()

    def link(match: re.Match[str]) -> str:
        if match["ticks"]:
            return match[0]
        target = (REPOSITORY / page.parent / match["target"]).resolve().relative_to(REPOSITORY).as_posix()
        if match["image"]:
            pictures.add(target)
            return match[0]
        if target.endswith(".ipynb"):
            return match[0].replace(".ipynb", ".md")
        known = target in pages or not (REPOSITORY / target).exists()
        return match[0] if known else match["text"]

    return _LINK.sub(link, text), pictures
