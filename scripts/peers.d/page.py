"""Markdown: tables, and the places in a page where they go."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def table(head, rows, right=()):
    """A table; the columns whose numbers are in `right` are set to the right."""
    rule = ["---:" if i in right else "---" for i in range(len(head))]
    lines = [head, rule, *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def cell(text):
    """Text that may stand in a table's cell."""
    return " ".join(str(text).split()).replace("|", "\\|")


def write(page, blocks):
    """Puts each block between `<!-- NAME: begin -->` and `<!-- NAME: end -->` of a page."""
    path = ROOT / page
    text = path.read_text()
    for name, block in blocks.items():
        marks = re.compile(rf"(<!-- {name}: begin -->\n).*?(<!-- {name}: end -->)", re.DOTALL)
        if len(marks.findall(text)) != 1:
            raise RuntimeError(f"{page} has not exactly one place for {name}")
        text = marks.sub(lambda found, block=block: f"{found[1]}{block}\n{found[2]}", text)
    path.write_text(text)


def show(blocks):
    """Prints the blocks, one after the other."""
    print("\n\n".join(blocks.values()))
