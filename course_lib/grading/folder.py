"""An instructor's course folder, where nbgrader's commands are run."""

from __future__ import annotations

from pathlib import Path

from nbgrader.coursedir import CourseDirectory
from traitlets.config import Config

from course_lib.release import nbgrader_config


class CourseFolder:
    """Configuration, notebooks, submissions and what becomes of them.

    Attributes:
        config: what `nbgrader_config.py` says.
        directory: nbgrader's names for the folders in it.

    Raises:
        ValueError: it has no `nbgrader_config.py`.
    """

    def __init__(self, folder: Path) -> None:
        if not (folder / "nbgrader_config.py").exists():
            raise ValueError(f"folder: expected one with an nbgrader_config.py, got {folder}")
        self.config = Config(nbgrader_config(folder))
        self.config.CourseDirectory.root = str(folder)
        self.directory = CourseDirectory(config=self.config)

    def path(self, stage: str, student: str, assignment: str) -> Path:
        """The folder of a submission at one of nbgrader's stages, such as "submitted"."""
        pattern = getattr(self.directory, f"{stage}_directory")
        return Path(self.directory.format_path(pattern, student, assignment))

    def submitted(self, assignment: str) -> list[Path]:
        """The folders of all submissions of an assignment, in the order of the students' names."""
        everybody = self.path("submitted", "x", "y").parent.parent
        return sorted(everybody.glob(f"*/{assignment}"))
