"""Writes the man pages genbridge(1) and genbridge.yaml(5) from docs/commands.md and docs/configuration.md.

    python3 docs/man.py FOLDER

Needs nothing but Python. It knows the Markdown that these two pages use: headings, paragraphs, lists, tables, blocks.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

DOCS: Final = Path(__file__).parent
PAGES: Final = {  # the page, its source, and what it is about
    "genbridge.1": ("commands.md", "watch generation tasks and notify as soon as they finish"),
    "genbridge.yaml.5": ("configuration.md", "settings of genbridge"),
}
ITEM: Final = re.compile(r"(?:-|\d+\.) +(.*)")


def main(folder: Path) -> None:
    """Write both pages into the folder."""
    found = re.search(r'__version__.*"([^"]+)"', (DOCS.parent / "bridge/__init__.py").read_text())
    version = found[1] if found else ""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (source, about) in PAGES.items():
        title, _, section = name.rpartition(".")
        lines = (DOCS / source).read_text().splitlines()[1:]  # without the heading of the page
        head = [f'.TH {title.upper()} {section} "" "genbridge {version}"', ".SH NAME", f"{text(title)} \\- {about}"]
        roff = [*head, ".SH DESCRIPTION", *body(lines), ".SH SEE ALSO", see_also(name)]
        (folder / name).write_text("\n".join(roff) + "\n")


def see_also(name: str) -> str:
    """The other page."""
    other = next(each for each in PAGES if each != name)
    title, _, section = other.rpartition(".")
    return f".BR {title} ({section})"


def body(lines: list[str]) -> Iterator[str]:
    """The page in roff, block by block."""
    at = 0
    while at < len(lines):
        line, begin = lines[at], at
        at += 1
        if line.startswith("```"):
            while not lines[at].startswith("```"):
                at += 1
            yield from (".IP", ".EX", *(literal(each) for each in lines[begin + 1 : at]), ".EE")
            at += 1
        elif line.startswith("#"):
            level, _, words = line.partition(" ")
            yield f'{".SH" if level == "##" else ".SS"} "{text(words)}"'
        elif line.startswith("|"):
            while at < len(lines) and lines[at].startswith("|"):
                at += 1
            yield from table(lines[begin:at])
        elif line.strip():
            while at < len(lines) and lines[at].strip() and not lines[at].startswith(("#", "|", "```", "- ")):
                if re.match(r"\d+\. ", lines[at]):
                    break
                at += 1
            yield from paragraph(" ".join(each.strip() for each in lines[begin:at]))


def paragraph(words: str) -> Iterator[str]:
    """A paragraph, or an item of a list."""
    item = ITEM.fullmatch(words)
    yield ".PP" if item is None else ".IP \\(bu 2"
    yield text(words if item is None else item[1])


def table(rows: list[str]) -> Iterator[str]:
    """Each row as a term with its meaning; the head of the table is left out."""
    for row in rows[2:]:
        term, *rest = (cell.replace("\\|", "|").strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1])
        yield from (".TP", text(term), text("; ".join(cell for cell in rest if cell not in {"", "-"})))


def text(words: str) -> str:
    """A line of text: code and bold words in bold, links without their address."""
    words = re.sub(r"!?\[([^\]]+)\]\([^)]+\)", r"\1", words)
    parts = re.split(r"(`[^`]+`|\*\*.+?\*\*)", words)
    shown = (
        f"\\fB{escaped(part.strip('`*'))}\\fR" if number % 2 else escaped(part) for number, part in enumerate(parts)
    )
    line = "".join(shown)
    return f"\\&{line}" if line.startswith((".", "'")) else line


def literal(line: str) -> str:
    """A line of a block, as it is."""
    line = escaped(line)
    return f"\\&{line}" if line.startswith((".", "'")) else line


def escaped(words: str) -> str:
    return words.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
