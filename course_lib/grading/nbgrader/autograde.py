"""What `nbgrader autograde` and formgrader's button read: what our intake lets in, as it says.

Stock nbgrader sees only files with the notebooks' own names, skips a submission without one, and
lets an earlier grade stand when what was handed in since cannot be read.
"""

from __future__ import annotations

import glob
import os
from pathlib import Path
from typing import Any

from nbconvert.exporters import NotebookExporter
from nbgrader.api import Gradebook, MissingEntry
from nbgrader.converters import Autograde
from nbgrader.converters.base import NbGraderException

from course_lib.grading.changes import changes
from course_lib.grading.intake import only_plain_files, sane_name, take
from course_lib.grading.refusals import take_grades_back

LINES = "course_intake"  # in nbconvert's resources: what the intake says of a file


class Submission(NotebookExporter):
    """Reads a submission through the intake. Whatever goes wrong with it, or with judging it, is
    its own affair: it loses an earlier grade, and the others go on."""

    def from_filename(
        self, filename: str, resources: dict[str, Any] | None = None, **options: Any
    ) -> tuple[Any, dict[str, Any]]:
        resources = resources or {}
        names = resources["nbgrader"]
        converter: Any = self.parent
        try:
            if not converter._sanitizing:  # it has been taken in: this is what came of it
                return super().from_filename(filename, resources, **options)
            sane_name(names["student"])
            path = Path(filename)
            assigned = _assigned(converter, names["assignment"])
            taken = take(path.parent, path.stem, assigned)
            resources[LINES] = taken.lines
            resources["metadata"] = {"name": path.stem, "path": str(path.parent)}
            return self.from_notebook_node(taken.notebook, resources, **options)
        except Exception as error:
            self.log.error("%s: %s: %s", names["student"], type(error).__name__, error)
            with Gradebook(names["db_url"]) as gradebook:
                take_grades_back(gradebook, names["assignment"], names["student"])
            raise


def _assigned(converter: Autograde, assignment: str) -> list[str]:
    """The names of an assignment's notebooks; none if it has not been released."""
    with Gradebook(converter.coursedir.db_url, converter.coursedir.course_id) as gradebook:
        try:
            return [notebook.name for notebook in gradebook.find_assignment(assignment).notebooks]
        except MissingEntry:
            return []


_stock_assignment = Autograde.init_assignment


def _init_assignment(self: Autograde, assignment_id: str, student_id: str) -> None:
    """Look at what was handed in before nbgrader copies it: that follows links, and takes as long
    as it takes."""
    try:
        if self.exporter_class is Submission:
            only_plain_files(Path(self._format_source(assignment_id, student_id)))
        _stock_assignment(self, assignment_id, student_id)
    except Exception as error:
        self.log.error("%s: %s: %s", student_id, type(error).__name__, error)
        if _assigned(self, assignment_id):
            with Gradebook(self.coursedir.db_url, self.coursedir.course_id) as gradebook:
                take_grades_back(gradebook, assignment_id, student_id)
        raise


Autograde.init_assignment = _init_assignment  # nbgrader has no place to configure it

_stock = Autograde.init_notebooks


def _init_notebooks(self: Autograde) -> None:
    """List the assignment's notebooks for each submission, under their own names: which file is
    meant, or why there is none, is the intake's to say."""
    folders = glob.glob(
        self._format_source(self.coursedir.assignment_id, self.coursedir.student_id)
    )
    names = _assigned(self, self.coursedir.assignment_id)
    wanted = [name for name in names if self.coursedir.notebook_id in ("*", name)]
    if self.exporter_class is not Submission or not wanted or not folders:
        _stock(self)
    else:
        with Gradebook(self.coursedir.db_url, self.coursedir.course_id) as gradebook:
            assignment = self.coursedir.assignment_id
            source = self.coursedir.format_path(self.coursedir.source_directory, ".", assignment)
            found = changes(gradebook, assignment, Path(source), self.config)
        if found.cells:
            raise NbGraderException(found.sentence)
        paths = [f"{name}.ipynb" for name in wanted]
        self.assignments = {f: [os.path.join(f, one) for one in paths] for f in folders}


Autograde.init_notebooks = _init_notebooks  # nbgrader has no place to configure it
