"""Clean learners' notebooks of all that could act in the browser of the person who looks at them.

A page shows text, code, pictures and simple HTML. The library bleach sanitises HTML, and Markdown after its conversion.
"""

import base64
import html
import re
import warnings
from collections.abc import Iterable
from typing import Any

import bleach
from bleach.css_sanitizer import CSSSanitizer
from bs4 import BeautifulSoup
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import from_dict
from nbformat.v4 import new_output

# The largest number of characters of one text. Parsing Markdown, and HTML whose elements are nested, takes a time that
# may grow with the square of the length.
MAX_MARKDOWN, MAX_HTML, MAX_CODE, MAX_SVG = 20_000, 300_000, 100_000, 1_000_000
# The largest number of the signs that begin a tag in one text.
MAX_TAGS = 4_000
# The numbers of characters of Markdown and HTML, and of tags, that are sanitised in one notebook.
_TOTALS = {"markdown": 100_000, "html": 1_000_000, "tags": 20_000}
_TAGS = frozenset(
    [
        "a",
        "abbr",
        "b",
        "blockquote",
        "br",
        "caption",
        "code",
        "col",
        "colgroup",
        "dd",
        "del",
        "details",
        "div",
        "dl",
        "dt",
        "em",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "hr",
        "i",
        "img",
        "ins",
        "kbd",
        "li",
        "mark",
        "ol",
        "p",
        "pre",
        "s",
        "samp",
        "small",
        "span",
        "strong",
        "sub",
        "summary",
        "sup",
        "table",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "tr",
        "tt",
        "u",
        "ul",
        "var",
    ]
)
_ATTRIBUTES = {"title", "align", "scope", "open", "start", "style"}
# Only classes that the conversion of Markdown makes, since those of nbgrader's pages belong to buttons.
_CLASSES = re.compile(r"(highlight|anchor-link|dataframe|hl-\w+|language-\w+|[a-z]{1,2}\d?)( |\Z)")
_NUMBER = re.compile(r"\d{1,5}(px|%)?")
_LINK = re.compile(r"(https?://|mailto:|#)\S*|[\w-][\w./#-]*", re.ASCII)
_PICTURE = re.compile(r"data:image/(png|jpeg|gif|svg\+xml);base64,[A-Za-z0-9+/=\s]*|[\w-][\w./-]*", re.ASCII)
_SVG = re.compile(r"<svg\b[^<]*(?:<(?!/svg>)[^<]*)*</svg>")
_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]*", re.ASCII)
# No property moves an element over others, and none loads a resource.
_STYLES = frozenset(
    [
        "background-color",
        "border",
        "border-bottom",
        "border-collapse",
        "border-color",
        "border-left",
        "border-right",
        "border-top",
        "color",
        "font-family",
        "font-size",
        "font-style",
        "font-weight",
        "height",
        "max-width",
        "padding",
        "padding-bottom",
        "padding-left",
        "padding-right",
        "padding-top",
        "text-align",
        "text-decoration",
        "vertical-align",
        "white-space",
        "width",
    ]
)
_PICTURES, _TEXTS = ("image/png", "image/jpeg"), ("text/plain", "text/latex")
_LANGUAGE = {"name": "python", "pygments_lexer": "ipython3", "file_extension": ".py", "mimetype": "text/x-python"}


def clean_notebook(notebook: Any) -> None:
    """Clean a notebook in place: its cells, outputs, attachments and metadata.

    Cleaning it again changes nothing. The metadata that remain are nbgrader's, the kernel and the sizes of pictures.
    """
    kernel = notebook.metadata.get("kernelspec")
    notebook.metadata = from_dict(
        {"language_info": dict(_LANGUAGE), **({"kernelspec": kernel} if isinstance(kernel, dict) else {})}
    )
    budget = _Budget()
    for cell in notebook.cells:
        nbgrader = cell.metadata.get("nbgrader")
        cell.metadata = from_dict({"nbgrader": nbgrader} if isinstance(nbgrader, dict) else {})
        if cell.cell_type == "code":
            cell.source = cell.source[:MAX_CODE]
            cell.outputs = [_clean_output(output, budget) for output in cell.outputs]
        elif cell.cell_type == "markdown":
            _clean_markdown_cell(cell, budget)
        else:
            cell.pop("attachments", None)
            cell.source = _preformatted(html.unescape(re.sub(r"\A<pre>|</pre>\Z", "", cell.source)))


def clean_html(text: str) -> str:
    """Return HTML in which only tags, attributes, styles and addresses remain that do nothing by themselves."""
    text = _SVG.sub(lambda match: _picture(match[0]), text)
    if re.search(r"<\s*(script|style)", text, re.IGNORECASE):
        text = _without_programs(text)
    cleaner = bleach.Cleaner(
        tags=_TAGS,
        attributes=_is_allowed,
        protocols={"http", "https", "mailto", "data"},
        css_sanitizer=CSSSanitizer(allowed_css_properties=_STYLES),
    )
    return cleaner.clean(text)


class _Budget:
    """What is still sanitised in a notebook; what comes after it is shown as text."""

    def __init__(self) -> None:
        self._left = dict(_TOTALS)

    def allows(self, text: str, kind: str, limit: int) -> bool:
        """Take a text from the budget, and return whether it is short enough to be sanitised.

        Args:
            text: The text.
            kind: "markdown" or "html".
            limit: The largest number of characters.
        """
        needed = {kind: len(text), "tags": text.count("<")}
        allowed = len(text) <= limit and needed["tags"] <= MAX_TAGS
        allowed = allowed and all(self._left[name] >= count for name, count in needed.items())
        if allowed:
            self._left.update({name: self._left[name] - count for name, count in needed.items()})
        return allowed


def _is_allowed(tag: str, name: str, value: str) -> bool:
    """Return whether a tag may have an attribute."""
    if name == "class":
        return not _CLASSES.sub("", value)
    if name == "id":  # the headings' anchors
        return re.fullmatch(r"h[1-6]", tag) is not None
    if name in ("width", "height", "colspan", "rowspan", "border"):
        return _NUMBER.fullmatch(value) is not None
    if (tag, name) in (("a", "href"), ("img", "src")):
        return (_LINK if tag == "a" else _PICTURE).fullmatch(value) is not None
    return name in _ATTRIBUTES or (tag, name) == ("img", "alt")


def _without_programs(text: str) -> str:
    """Return HTML without scripts and styles, so that their text is not shown."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a text that looks like the name of a file
        soup = BeautifulSoup(text, "html.parser")
    for tag in soup(["script", "style"]):
        tag.decompose()
    return str(soup)


def _picture(svg: str) -> str:
    """Return an element that shows an SVG as a picture, in which a browser runs no script and loads nothing."""
    if "xmlns=" not in svg:
        svg = svg.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
    return f'<img src="data:image/svg+xml;base64,{base64.b64encode(svg.encode(errors="replace")).decode()}">'


def _preformatted(text: str) -> str:
    """Return HTML that shows a text as it is."""
    more = " …" if len(text) > MAX_MARKDOWN else ""
    return f"<pre>{html.escape(text[:MAX_MARKDOWN], quote=False)}{more}</pre>"


# Markdown.


def _clean_markdown_cell(cell: Any, budget: _Budget) -> None:
    """Keep the source of a cell that converts to clean HTML; otherwise replace it by the cleaned HTML."""
    cleaned = _cleaned_markdown(cell.source, cell.get("attachments", {}), budget)
    if cleaned is None:
        return
    cell.pop("attachments", None)
    cell.source = cleaned


def _cleaned_markdown(source: str, attachments: Any, budget: _Budget) -> str | None:
    """Return HTML for a text in Markdown; None if the text holds no HTML, and converts to what is clean already."""
    if not budget.allows(source, "markdown", MAX_MARKDOWN):
        return _as_block(_preformatted(source))
    try:
        converted = _converted(source, attachments, escape=False)
        has_html = converted != _converted(source, attachments, escape=True)
    except Exception:  # a missing attachment, or what else the converter cannot do with a learner's text
        return _as_block(_preformatted(source))
    cleaned = clean_html(converted)
    is_clean = not has_html and BeautifulSoup(converted, "html.parser") == BeautifulSoup(cleaned, "html.parser")
    return None if is_clean else _as_block(cleaned)


def _converted(source: str, attachments: Any, escape: bool) -> str:
    return MarkdownWithMath(renderer=IPythonRenderer(escape=escape, attachments=attachments)).render(source)


def _as_block(text: str) -> str:
    """Return HTML that Markdown takes for one block, which ends at the first empty line."""
    text = text.replace("\r", "\n").strip()
    text = text if text.startswith("<div>") else f"<div>{text}</div>"
    return re.sub(r"\n(?=\s*\n)", "&#10;", text)


# Outputs.


def _clean_output(output: Any, budget: _Budget) -> Any:
    if output.output_type == "stream":
        return new_output("stream", name="stderr" if output.name == "stderr" else "stdout", text=output.text)
    if output.output_type == "error":
        return new_output("error", ename=output.ename, evalue=output.evalue, traceback=list(output.traceback))
    data = dict(_clean_data(output.data, budget))
    if not data:
        data["text/plain"] = "[left out: " + ", ".join(sorted(map(str, output.data)))[:200] + "]"
    metadata = {kind: _sizes(output.metadata.get(kind)) for kind in _PICTURES if kind in data}
    count = {"execution_count": output.get("execution_count")} if output.output_type == "execute_result" else {}
    return new_output(output.output_type, data=data, metadata=metadata, **count)


def _clean_data(data: Any, budget: _Budget) -> Iterable[tuple[str, str]]:
    """Yield the forms of an output that are shown: text, pictures, and HTML that is sanitised."""
    texts = {kind: text for kind, text in data.items() if isinstance(text, str)}
    yield from ((kind, texts[kind]) for kind in _TEXTS if kind in texts)
    pictures = [kind for kind in _PICTURES if kind in texts and _BASE64.fullmatch(texts[kind])]
    yield from ((kind, texts[kind]) for kind in pictures)
    if "text/html" in texts:
        if budget.allows(texts["text/html"], "html", MAX_HTML):
            yield "text/html", clean_html(texts["text/html"])
    elif "text/markdown" in texts:
        source = texts["text/markdown"]
        cleaned = _cleaned_markdown(source, {}, budget)
        yield "text/markdown", source if cleaned is None else cleaned
    elif "image/svg+xml" in texts and not pictures and len(texts["image/svg+xml"]) <= MAX_SVG:
        yield "text/html", _picture(texts["image/svg+xml"])


def _sizes(metadata: Any) -> dict[str, int]:
    """Return the width and height of a picture, where they are numbers."""
    sizes = metadata if isinstance(metadata, dict) else {}
    return {name: sizes[name] for name in ("width", "height") if type(sizes.get(name)) is int}
