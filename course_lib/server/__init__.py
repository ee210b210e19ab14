"""The course inside JupyterLab: /course, a page that says where you are and what comes next.

A server extension, in Python only. `course lab` starts JupyterLab with it; JupyterLab started in
another way has no such page, and lacks nothing else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any


def lab_arguments(workspace: Path, folder: Path | None = None) -> list[str]:
    """What JupyterLab is started with, to open on the course's page.

    Args:
        workspace: the folder with the learner's copies.
        folder: where the server's files begin; by default the current folder if the workspace lies
            in it, or the folder around the workspace.
    """
    folder = folder or Path.cwd()
    root = folder if workspace.is_relative_to(folder) else workspace.parent
    return [
        "--ServerApp.jpserver_extensions=course_lib.server=True",
        f"--ServerApp.root_dir={root}",
        "--LabApp.default_url=/course",
        f"--CoursePages.workspace={workspace}",
    ]


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "course_lib.server"}]


def _load_jupyter_server_extension(server: Any) -> None:
    from course_lib.server.handlers import add_to

    add_to(server)
