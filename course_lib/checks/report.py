"""What a check says, in HTML inside a notebook and in plain text elsewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np
from torch import Tensor

_STYLE = """<style>
.course-report {border-left: .3em solid #888; padding: .4em .9em; margin: .3em 0; max-width: 60em}
.course-report.passed {border-color: #1f8a4c}
.course-report.failed {border-color: #b8650f}
.course-report p {margin: .3em 0}
.course-report table {margin: .5em 0; border-collapse: collapse}
.course-report.course-report :is(th, td)
  {text-align: left; vertical-align: baseline; padding: .15em .8em}
.course-report th {font-weight: 600; white-space: nowrap}
.course-report.course-report pre
  {margin: 0; border: 0; padding: 0; white-space: pre-wrap; background: none; color: inherit}
</style>"""  # the class stands twice where JupyterLab's and nbgrader's style sheets would win


def _with_code(text: str) -> str:
    """A line as HTML; what stands between backticks is code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def in_words(value: Any) -> str:
    """A value, short enough to read: large tensors by shape and a corner, long texts cut."""
    if isinstance(value, Tensor):
        kind = f"{str(value.dtype).removeprefix('torch.')}, shape {list(value.shape)}"
        values = value.detach().double() if value.is_floating_point() else value.detach()
        numbers = np.array2string(
            values.numpy(), precision=4, suppress_small=True, separator=", ",
            threshold=60, edgeitems=2, max_line_width=88, floatmode="maxprec_equal",
        )  # fmt: skip
        return f"{numbers}   ({kind})"
    if isinstance(value, tuple | list) and any(isinstance(item, Tensor) for item in value):
        return "\n".join(in_words(item) for item in value)
    if isinstance(value, Mapping) and any(isinstance(item, Tensor) for item in value.values()):
        return "\n".join(f"{key!r}: {in_words(item)}" for key, item in value.items())
    text = re.sub(r" at 0x[0-9a-f]+", "", repr(value))  # an address means nothing to a reader
    if isinstance(value, Mapping) and len(text) > 88 and all(isinstance(key, str) for key in value):
        return "\n".join(f"{key!r}: {in_words(item)}" for key, item in value.items())
    return text if len(text) <= 400 else f"{text[:380]} ... ({len(text)} characters)"


@dataclass(frozen=True, repr=False)
class Report:
    """The verdict on one exercise.

    `message` is the whole report as plain text; a notebook shows the same as HTML. `evidence`
    holds the smallest failing case: rows of (label, text), empty when hidden or passed. `picture`
    is HTML that only a notebook shows (`picture.py`), or empty.
    """

    exercise: str
    passed: bool
    points: float
    max_points: float
    headline: str
    misconception: str | None = None
    explanation: tuple[str, ...] = ()
    evidence: tuple[tuple[str, str], ...] = field(default=())
    picture: str = ""

    @property
    def _title(self) -> str:
        mark = "✓" if self.passed else "✗"
        return f"{mark} {self.exercise}: {self.headline}"

    @property
    def _marks(self) -> str:
        return f"{self.points:g} of {self.max_points:g} points"

    @property
    def message(self) -> str:
        lines = [f"{self._title} ({self._marks})", *self.explanation]
        for label, text in self.evidence:
            first, *rest = text.split("\n")
            lines.append(f"  {label + ':':<10} {first}")
            lines.extend(" " * 13 + line for line in rest)
        return "\n".join(lines)

    def __repr__(self) -> str:
        return self.message

    def _repr_html_(self) -> str:
        kind, mark, word = ("passed", "✓", "Right") if self.passed else ("failed", "✗", "Not yet")
        paragraphs = "".join(f"<p>{_with_code(line)}</p>" for line in self.explanation)
        rows = "".join(
            f'<tr><th scope="row">{escape(label)}</th><td><pre>{escape(text)}</pre></td></tr>'
            for label, text in self.evidence
        )
        table = f'<table aria-label="The smallest case">{rows}</table>' if rows else ""
        says = f"{word}. {escape(self.exercise)}: {escape(self.headline)}"
        return (
            f'{_STYLE}<div class="course-report {kind}" role="group" '
            f'aria-label="Check of {escape(self.exercise)}"><p role="status">'
            f'<b><span aria-hidden="true">{mark}</span> {says}</b> ({self._marks})</p>'
            f"{paragraphs}{table}{self.picture}</div>"
        )
