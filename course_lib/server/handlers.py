"""The pages' addresses, behind the server's own login."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.utils import url_path_join
from tornado import web
from traitlets import Unicode
from traitlets.config import Configurable

from course_lib.notebooks import NOTEBOOKS
from course_lib.outline import outlines
from course_lib.server.pages import class_page, home_page, overview_page
from course_lib.workspace.standing import next_step, standing

if TYPE_CHECKING:
    from course_lib.grading.overview import ClassFolder

FORMGRADER = "nbgrader.server_extensions.formgrader"


class CoursePages(Configurable):
    """What the pages are about."""

    workspace = Unicode(
        "", help="the folder with the learner's copies; empty: `workspace` in the server's root"
    ).tag(config=True)


def add_to(server: Any) -> None:
    """Add the pages to a Jupyter server."""
    root = Path(server.root_dir).resolve()
    workspace = Path(CoursePages(parent=server).workspace or root / "workspace").resolve()
    has_formgrader = bool(server.extension_manager.extensions.get(FORMGRADER))
    options = {"root": root, "workspace": workspace, "has_formgrader": has_formgrader}
    base = server.base_url
    server.web_app.add_handlers(
        ".*$",
        [
            (url_path_join(base, r"/course/?"), Home, options),
            (url_path_join(base, r"/course/class/?"), Class, options),
            (url_path_join(base, r"/course/class/([^/]+)/?"), ClassAssignment, options),
        ],
    )
    server.log.info("The course's page: %s", url_path_join(base, "course"))


class _Page(JupyterHandler):
    """A page that is made from files; making it keeps nobody waiting."""

    auth_resource = "contents"

    def initialize(self, root: Path, workspace: Path, has_formgrader: bool) -> None:
        self.root, self.workspace, self.has_formgrader = root, workspace, has_formgrader

    @property
    def content_security_policy(self) -> str:
        """Nothing but this text and its style sheet: no scripts, and nothing from elsewhere."""
        return "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'"

    def is_a_class(self) -> bool:
        """Is the server's root an instructor's folder with a gradebook, in a file or elsewhere?"""
        config = self.root / "nbgrader_config.py"
        if not config.exists():
            return False
        return (self.root / "gradebook.db").exists() or "db_url" in config.read_text("utf-8")

    def address(self, *parts: str) -> str:
        """Where something is on this server."""
        return url_path_join(self.base_url, *(quote(part) for part in parts))

    async def send(self, make: Callable[..., str], *arguments: Any) -> None:
        self.set_header("Content-Type", "text/html; charset=UTF-8")
        self.set_header("Cache-Control", "no-store")
        self.finish(await asyncio.to_thread(make, *arguments))


class Home(_Page):
    """The course as its learner finds it: the notebooks, what is done, what comes next."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        await self.send(self.page)

    def page(self) -> str:
        return home_page(
            outlines(NOTEBOOKS),
            list(standing(self.workspace)),
            next_step(self.workspace),
            self.notebook,
            self.address("course/class") if self.is_a_class() else None,
        )

    def notebook(self, name: str) -> str | None:
        """The address of the learner's copy in JupyterLab; None if it is not there."""
        path = self.workspace / name / f"{name}.ipynb"
        if not path.exists() or not path.is_relative_to(self.root):
            return None
        return self.address("lab/tree", path.relative_to(self.root).as_posix())


class _ClassPage(_Page):
    def folder(self) -> ClassFolder:
        if not self.is_a_class():
            raise web.HTTPError(404, "no gradebook here: start JupyterLab in your course folder")
        from course_lib.grading.overview import ClassFolder

        return ClassFolder(self.root)

    def formgrader(self, *parts: str) -> str | None:
        return self.address("formgrader", *parts) if self.has_formgrader else None


class Class(_ClassPage):
    """An instructor's assignments, and how many handed each in."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        await self.send(self.page)

    def page(self) -> str:
        folder = self.folder()
        rows = [
            (name, len(folder.submitted(name)), self.address("course/class", name))
            for name in folder.assignments()
        ]
        return class_page(rows, self.address("course"), self.formgrader())


class ClassAssignment(_ClassPage):
    """One assignment: who handed it in, with which points and mistakes."""

    @web.authenticated
    @authorized
    async def get(self, assignment: str) -> None:
        await self.send(self.page, assignment)

    def page(self, assignment: str) -> str:
        try:
            overview = self.folder().overview(assignment)
        except ValueError as error:
            raise web.HTTPError(404, str(error)) from None
        links = self.address("course/class"), self.formgrader("gradebook", assignment)
        return overview_page(overview, *links)
