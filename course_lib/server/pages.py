"""The pages as HTML: whole on their own, readable without colour, script or network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from itertools import groupby
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined

if TYPE_CHECKING:
    from course_lib.grading.overview import Overview
    from course_lib.outline import Outline
    from course_lib.workspace.standing import Standing

_templates = Environment(
    loader=PackageLoader("course_lib.server"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.filters["number"] = lambda value: f"{value:.1f}".removesuffix(".0")
_templates.filters["percent"] = lambda share: f"{share:.0%}"


def home_page(
    outlines: Sequence[Outline],
    standings: Sequence[Standing],
    next_step: Standing | None,
    address_of: Callable[[str], str | None],
    class_address: str | None,
) -> str:
    """The map of the course, how far the learner is, and what comes next.

    Args:
        outlines: the notebooks.
        standings: where the learner stands with each exercise.
        next_step: the exercise to go on with; None when all are right.
        address_of: where a notebook's copy opens in JupyterLab; None if there is no copy.
        class_address: where the class is seen, for an instructor.
    """
    by_notebook = {
        name: list(group) for name, group in groupby(standings, key=lambda one: one.notebook)
    }
    return _templates.get_template("home.html").render(
        outlines=outlines,
        standings=by_notebook,
        right=sum(one.passed for one in standings),
        total=len(standings),
        points=sum(one.points for one in standings),
        max_points=sum(one.max_points for one in standings),
        next_step=next_step,
        address_of=address_of,
        class_address=class_address,
        can_review=find_spec("course_lib.review") is not None,
    )


def class_page(
    assignments: Sequence[tuple[str, int, str]], home: str, formgrader: str | None
) -> str:
    """The assignments of a class: (name, submissions, address of the overview) of each."""
    return _templates.get_template("class.html").render(
        assignments=assignments, home=home, formgrader=formgrader
    )


def overview_page(overview: Overview, up: str | None = None, formgrader: str | None = None) -> str:
    """How a class did in an assignment; the links are for the page on a server."""
    return _templates.get_template("overview.html").render(
        overview=overview, up=up, formgrader=formgrader
    )
