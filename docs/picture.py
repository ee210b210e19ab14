"""Draw the package's layers as its import contract in `pyproject.toml` orders them.

    python docs/picture.py        # writes docs/architecture.svg

Each layer is a row, and imports only from rows below it. Parts of a layer that may not import each
other have boxes of their own.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from html import escape
from pathlib import Path

DOCS = Path(__file__).parent
WIDTH, ROW, BOX, GAP = 720, 46, 30, 8

STYLE = (
    "text{font:14px ui-monospace,Menlo,Consolas,monospace;text-anchor:middle;fill:#1b1b1b}"
    "rect{fill:#dbe9f6;stroke:#4a7ba6}path{stroke:#808080;fill:none;marker-end:url(#tip)}"
)
TIP = (
    '<marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7"'
    ' orient="auto"><path d="M0 0 10 5 0 10z" style="fill:#808080;stroke:none"/></marker>'
)


def layers(pyproject: Path) -> list[list[str]]:
    """The layers of the contract, the highest first: the boxes of each, as they are to be read.

    Raises:
        ValueError: the file has no contract of layers, or several.
    """
    settings = tomllib.loads(pyproject.read_text(encoding="utf-8"))
    contracts = settings.get("tool", {}).get("importlinter", {}).get("contracts", [])
    found = [contract for contract in contracts if contract["type"] == "layers"]
    if len(found) != 1:
        raise ValueError(f"pyproject: expected one contract of layers, got {len(found)}")
    return [[box.strip(" ()") for box in layer.split("|")] for layer in found[0]["layers"]]


def rows(boxes: Sequence[str], letters: int = 74) -> list[list[str]]:
    """The boxes of a layer in as many rows as they need."""
    lines: list[list[str]] = [[]]
    for box in boxes:
        if lines[-1] and sum(len(one) + 4 for one in [*lines[-1], box]) > letters:
            lines.append([])
        lines[-1].append(box)
    return lines


def draw(stack: Sequence[Sequence[str]]) -> str:
    """The picture, as SVG."""
    drawn, top = [], 4
    for number, boxes in enumerate(stack):
        if number:
            drawn.append(f'<path d="M{WIDTH // 2} {top - ROW + BOX}V{top - 1}"/>')
        for line in rows(boxes):
            drawn += draw_row(line, top)
            top += BOX + GAP
        top += ROW - BOX - GAP
    height = top - ROW + BOX + 4
    label = "The layers of course_lib; each imports only from those below it"
    opening = f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{label}"'
    opening += ' xmlns="http://www.w3.org/2000/svg">'
    parts = [opening, f"<style>{STYLE}</style>", f"<defs>{TIP}</defs>", *drawn, "</svg>"]
    return "\n".join(parts) + "\n"


def draw_row(boxes: Sequence[str], top: int) -> list[str]:
    """One row of boxes, in the middle of the picture."""
    widths = [9 * len(box) + 18 for box in boxes]
    left = (WIDTH - sum(widths) - GAP * (len(boxes) - 1)) // 2
    drawn = []
    for box, width in zip(boxes, widths, strict=True):
        drawn.append(f'<rect x="{left}" y="{top}" width="{width}" height="{BOX}" rx="5"/>')
        drawn.append(f'<text x="{left + width // 2}" y="{top + 20}">{escape(box)}</text>')
        left += width + GAP
    return drawn


def main() -> None:
    stack = layers(DOCS.parent / "pyproject.toml")
    (DOCS / "architecture.svg").write_text(draw(stack), encoding="utf-8")


if __name__ == "__main__":
    main()
