"""Made-up learners and instructors: they write into notebooks, and work in a browser."""

import contextlib
import io
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest

from course_lib.grading.sandbox.launcher import strongest_level
from course_lib.notebooks import ROOT, notebook_path


@pytest.fixture
def write():
    def write(path, answers):
        """Write `answers` (solution cell -> source) into the notebook at `path`."""
        notebook = nbformat.read(path, as_version=4)
        cells = {
            cell.metadata.nbgrader.grade_id: cell
            for cell in notebook.cells
            if "nbgrader" in cell.metadata
        }
        for grade_id, source in answers.items():
            cells[grade_id].source = source
        nbformat.write(notebook, path)

    return write


@pytest.fixture
def solutions():
    def solutions(name):
        """The instructor's solution cells of a notebook, in order."""
        notebook = nbformat.read(notebook_path(name), as_version=4)
        return {
            cell.metadata.nbgrader.grade_id: cell.source
            for cell in notebook.cells
            if cell.metadata.get("nbgrader", {}).get("solution")
        }

    return solutions


@pytest.fixture(scope="session")
def nbgrader():
    def nbgrader(course, *arguments, fails=False):
        """Run one of nbgrader's commands in a course folder; what it said."""
        done = subprocess.run(
            [sys.executable, "-m", "nbgrader", *arguments],
            cwd=course,
            capture_output=True,
            text=True,
        )
        assert (done.returncode != 0) == fails, done.stderr[-3000:]
        return done.stdout + done.stderr

    return nbgrader


@pytest.fixture(scope="session")
def new_course(tmp_path_factory, nbgrader):
    def new_course(name):
        """A course folder as an instructor has it: nbgrader's configuration and a notebook."""
        folder = tmp_path_factory.mktemp("course")
        shutil.copy(ROOT / "nbgrader_config.py", folder)
        with open(folder / "nbgrader_config.py", "a") as config:
            config.write(f"\nc.Judge.level = {strongest_level()!r}\n")
        shutil.copytree(ROOT / "notebooks" / name, folder / "notebooks" / name)
        nbgrader(folder, "generate_assignment", name)
        return folder

    return new_course


# --- in a browser ----------------------------------------------------------------------------


@pytest.fixture
def clone(clone_into, tmp_path):
    return clone_into(tmp_path / "transformers-by-hand")


@pytest.fixture
def course_lab(tmp_path):
    """Runs `course lab` in a folder, with nobody's settings; gives its address and token."""
    running = contextlib.ExitStack()

    def course_lab(folder, **environment):
        settings = tmp_path / "jupyter" / "lab" / "user-settings" / "@jupyterlab"
        settings = settings / "apputils-extension" / "notification.jupyterlab-settings"
        settings.parent.mkdir(parents=True)
        settings.write_text(json.dumps({"fetchNews": "false", "checkForUpdates": False}))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        token = secrets.token_hex(8)
        command = [sys.executable, "-m", "course_lib", "lab", f"--workspace={folder / 'workspace'}"]
        command += ["--", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}"]
        command += ["--ServerApp.port_retries=0", f"--IdentityProvider.token={token}"]
        own = {f"JUPYTER_{kind}_DIR": str(tmp_path / "jupyter") for kind in ("CONFIG", "DATA")}
        own |= {"IPYTHONDIR": str(tmp_path / "ipython"), **environment}
        log = tmp_path / "jupyterlab.log"
        server = subprocess.Popen(
            command,
            cwd=folder,
            env=os.environ | own,
            stdout=running.enter_context(log.open("w")),
            stderr=subprocess.STDOUT,
        )
        running.callback(server.wait)
        running.callback(server.terminate)
        address = f"http://127.0.0.1:{port}"
        for _ in range(720):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{address}/api?token={token}", timeout=30)
                return address, token
            assert server.poll() is None, log.read_text()
            time.sleep(0.25)
        raise TimeoutError(log.read_text())

    with running:
        yield course_lab


@pytest.fixture
def page(browser):
    """A window of 1200 x 800 in which three minutes may pass until something is to be seen."""
    from playwright.sync_api import expect

    context = browser.new_context(viewport={"width": 1200, "height": 800})
    context.set_default_timeout(180_000)
    expect.set_options(timeout=180_000)
    yield context.new_page()
    context.close()


@pytest.fixture
def choose():
    def choose(page, menu, *items):
        """Choose from JupyterLab's menus."""
        page.locator(".lm-MenuBar-itemLabel", has_text=menu).click()
        *above, last = (
            page.locator(".lm-Menu-itemLabel").get_by_text(i, exact=True) for i in items
        )
        for item in above:
            item.hover()
        last.click()

    return choose


@pytest.fixture
def centre():
    def centre(element):
        """Scroll until an element is in the middle of the window; as somebody who reads it would."""
        element.evaluate("element => element.scrollIntoView({block: 'center'})")

    return centre


@pytest.fixture
def picture():
    """Keeps what a page shows, where COURSE_SCREENSHOTS names a folder (docs/tour.md does)."""
    folder = os.environ.get("COURSE_SCREENSHOTS")

    def picture(page, name):
        if folder:
            image = pytest.importorskip("PIL.Image")
            seen = image.open(io.BytesIO(page.screenshot(animations="disabled", caret="hide")))
            Path(folder).mkdir(parents=True, exist_ok=True)
            palette = seen.convert("RGB").quantize(256, dither=image.Dither.NONE)
            palette.save(Path(folder) / f"{name}.png", optimize=True)

    return picture


@pytest.fixture
def barriers():
    """What keeps some people from reading a part of a page, by axe-core."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")

    def barriers(page, part):
        """Serious and critical findings of axe within the selector `part`."""
        found = axe.Axe().run(page, context=part, options={"preload": False})
        return [
            (one["id"], node["html"])
            for one in found.response["violations"]
            if one["impact"] in ("serious", "critical")
            for node in one["nodes"]
        ]

    return barriers
