"""The course's pages in a real JupyterLab, started by `course lab`."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from html.parser import HTMLParser

import pytest
from nbgrader.api import Gradebook

from course_lib.grading.overview import ExerciseOverview, ForAPerson, Overview
from course_lib.outline import Outline, Task, outlines
from course_lib.server import lab_arguments
from course_lib.server.pages import home_page, overview_page
from course_lib.workspace.standing import Standing
from course_lib.workspace.start import start

TOKEN = "a-token-of-the-tests"
HOSTILE = "<script>alert('&')</script>"


def checked(exercise, passed, headline, misconception=None):
    return {
        "exercise": exercise,
        "passed": passed,
        "headline": headline,
        "misconception": misconception,
    }


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """(root, get): a folder that is both, a learner's and an instructor's; an address's answer."""
    root = tmp_path_factory.mktemp("my course")
    workspace = root / "workspace"
    for _ in start(workspace):
        pass
    lines = [
        checked("probability.autocomplete_bigram", True, "right on all 9 cases"),
        checked("attention.softmax", False, HOSTILE, "overflows for large scores"),
    ]
    (workspace / ".course" / "progress.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (root / "nbgrader_config.py").write_text("c = get_config()\n")
    with Gradebook(f"sqlite:///{root / 'gradebook.db'}") as gradebook:
        gradebook.add_assignment("03_attention")

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "course_lib", "lab", "--workspace", str(workspace), "--"]
    options = ["--no-browser", "--port", str(port), "--ServerApp.base_url=/hub/ada"]
    environment = os.environ | {
        "JUPYTER_TOKEN": TOKEN,
        "JUPYTER_CONFIG_DIR": str(root / ".jupyter"),
    }
    with open(root / "log", "w") as log:
        running = subprocess.Popen(
            [*command, *options, "--allow-root"], cwd=root, env=environment, stdout=log, stderr=log
        )

    def get(path, token=TOKEN):
        headers = {"Authorization": f"token {token}"} if token else {}
        request = urllib.request.Request(f"http://127.0.0.1:{port}/hub/ada{path}", headers=headers)
        with urllib.request.urlopen(request) as answer:
            return answer.url, dict(answer.headers), answer.read().decode()

    try:
        until = time.monotonic() + 180
        while True:
            try:
                get("/api")
                break
            except urllib.error.URLError:
                said = (root / "log").read_text(encoding="utf-8")
                assert running.poll() is None and time.monotonic() < until, said
                time.sleep(0.2)
        yield root, get
    finally:
        running.terminate()
        running.wait(20)


def test_lab_opens_on_the_page(server):
    _, get = server
    url, headers, page = get("/")
    assert url.endswith("/hub/ada/course")
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "Go on with" in page


def test_the_next_step_leads_to_the_learners_copy(server):
    _, get = server
    _, _, page = get("/course")
    address = "/lab/tree/workspace/03_attention/03_attention.ipynb"
    assert f'href="/hub/ada{address}"' in page
    assert get(address)[0].endswith(address)
    n_exercises = sum(len(outline.tasks) for outline in outlines())
    assert f"1 of {n_exercises} exercises are right" in page
    assert "overflows for large scores" in page
    assert page.count("<details") == len(outlines())


def test_nothing_typed_becomes_part_of_the_page(server):
    page = server[1]("/course")[2]
    assert "<script" not in page and "&lt;script&gt;" in page


@pytest.mark.parametrize("path", ["/course", "/course/class", "/course/class/03_attention"])
def test_nobody_sees_it_without_the_servers_login(server, path):
    url, _, page = server[1](path, token=None)
    assert "/login" in url and "exercises" not in page


def test_the_class_is_there_for_an_instructor_before_anybody_handed_in(server):
    _, get = server
    assert 'href="/hub/ada/course/class"' in get("/course")[2]
    page = get("/course/class")[2]
    assert 'href="/hub/ada/course/class/03_attention"' in page
    assert 'href="/hub/ada/formgrader"' in page
    page = get("/course/class/03_attention")[2]
    assert "0 submissions, 0 graded." in page
    with pytest.raises(urllib.error.HTTPError, match="404"):
        get("/course/class/99_nothing")


def test_no_class_without_a_gradebook(server):
    root, get = server
    (root / "gradebook.db").rename(root / "elsewhere.db")
    try:
        assert "course/class" not in get("/course")[2]
        with pytest.raises(urllib.error.HTTPError, match="404"):
            get("/course/class")
        elsewhere = f"c.CourseDirectory.db_url = 'sqlite:///{root / 'elsewhere.db'}'\n"
        (root / "nbgrader_config.py").write_text("c = get_config()\n" + elsewhere)
        assert "03_attention" in get("/course/class")[2]
    finally:
        (root / "nbgrader_config.py").write_text("c = get_config()\n")
        (root / "elsewhere.db").rename(root / "gradebook.db")


# --- the pages themselves ------------------------------------------------------------------------


class PageOutline(HTMLParser):
    """What matters to those who hear a page: headings, header cells, captions, open elements."""

    def __init__(self, page):
        super().__init__()
        self.headings, self.header_cells, self.tables, self.captions = [], [], 0, 0
        self.open, self.attributes = [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.attributes += attributes
        if tag[0] == "h" and tag[1:].isdigit():
            self.headings.append(int(tag[1:]))
        elif tag == "th":
            self.header_cells.append(dict(attributes).get("scope"))
        self.tables += tag == "table"
        self.captions += tag == "caption"
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def assert_accessible(page):
    outline = PageOutline(page)
    assert outline.open == []
    assert outline.headings.count(1) == 1 and outline.headings[0] == 1
    assert all(b <= a + 1 for a, b in zip(outline.headings, outline.headings[1:]))
    assert outline.tables == outline.captions
    assert set(outline.header_cells) <= {"row", "col"}
    assert "<script" not in page
    assert not any(k in ("src", "style") or k.startswith("on") for k, _ in outline.attributes)
    assert "http:" not in page and "https:" not in page


OUTLINE = Outline("00_start_here", "Start", "Why?", 45, (Task("own.a", 1), Task("own.b", 2)))


def home(*standings, next_step=None, address=lambda name: f"/lab/{name}", class_address=None):
    return home_page([OUTLINE], standings, next_step, address, class_address)


def test_home_in_every_state():
    fresh = Standing("00_start_here", "own.a", False, 0, "", 1)
    seen = Standing("00_start_here", "own.b", True, 3, HOSTILE, 2, (HOSTILE,), True)
    right = Standing("00_start_here", "own.a", True, 1, "right", 1)
    begin = home(fresh, next_step=fresh)
    assert "Begin with" in begin and 'href="/lab/00_start_here"' in begin
    later = home(right, seen, class_address="/course/class")
    assert "2 of 2 exercises are right: 1 of 3 points" in later
    assert "right, reference seen" in later and "Every exercise is right" in later
    nowhere = home(fresh, next_step=fresh, address=lambda name: None)
    assert "course start" in nowhere and "href" not in nowhere
    for page in (begin, later, nowhere):
        assert_accessible(page)


def test_overview_shows_the_marks_as_a_picture_and_as_numbers():
    exercise = ExerciseOverview("own.a", 4, 3, 2, ((HOSTILE, 1),))
    waiting = (ForAPerson(HOSTILE, "refused: no notebook"),)
    overview = Overview("12_mine", 4, 4, (0.0, 3.9, 4.0), (exercise,), waiting)
    assert [n for _, _, n in overview.bins] == [1, 0, 0, 0, 0, 0, 0, 0, 0, 2]
    page = overview_page(overview, "/course/class", "/formgrader")
    assert page.count("<rect") == 2 and "2 of 3 (67%)" in page
    assert "0 to below 0.4" in page and "3.6 to 4" in page
    assert_accessible(page)
    nothing = Overview("12_mine", 0, 0, (), (), ())
    assert_accessible(overview_page(nothing))


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear))


def test_text_stands_out_from_what_is_behind_it():
    """4.5 to 1 for text, 3 to 1 for a bar: WCAG 2.1, 1.4.3 and 1.4.11."""
    page = home()
    light, dark = page.split(":root {")[1:3]
    for sheet in (light, dark):
        names = ("text", "quiet", "link", "page", "panel", "bar")
        colour = {name: sheet.split(f"--{name}: ")[1].split(";")[0].split("}")[0] for name in names}
        colour = {
            n: c if len(c) == 7 else "#" + "".join(2 * x for x in c[1:]) for n, c in colour.items()
        }

        def contrast(a, b, colour=colour):
            low, high = sorted((luminance(colour[a]), luminance(colour[b])))
            return (high + 0.05) / (low + 0.05)

        for text in ("text", "quiet", "link"):
            assert contrast(text, "page") >= 4.5 and contrast(text, "panel") >= 4.5
        assert contrast("bar", "page") >= 3


def test_where_the_servers_files_begin(tmp_path):
    inside = lab_arguments(tmp_path / "workspace", tmp_path)
    outside = lab_arguments(tmp_path / "mine" / "workspace", tmp_path / "other")
    assert f"--ServerApp.root_dir={tmp_path}" in inside
    assert f"--ServerApp.root_dir={tmp_path / 'mine'}" in outside


def test_the_pages_of_a_learner_need_no_torch():
    """A server that serves a whole class keeps none of it in memory."""
    code = (
        "import sys, course_lib.server.handlers; from pathlib import Path; "
        "from course_lib.outline import outlines; from course_lib.workspace.standing import standing; "
        "outlines(), list(standing(Path('nowhere'))); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
