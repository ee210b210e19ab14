"""What learners write does nothing in an instructor's browser."""

import html
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbconvert.filters import markdown2html
from nbformat.v4 import new_markdown_cell
from nbgrader.api import Gradebook

from course_lib.grading.attacks.corpus import BYSTANDER, Submission
from course_lib.grading.grades import Course
from course_lib.grading.sanitize import sanitize

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FIRE = "document.documentElement.setAttribute('data-fired','yes')"
MARKDOWN = [
    f"<script>{FIRE}</script>",
    f'<img src=x onerror="{FIRE}">',
    f'<svg onload="{FIRE}"></svg>',
    f'<iframe srcdoc="<script>parent.{FIRE}</script>"></iframe>',
    f"<details open ontoggle={FIRE}>x</details>",
    f'<style>@import "javascript:{FIRE}"</style><b style="x:expression({FIRE})">x</b>',
    f"[click](javascript:{FIRE})",
    f"[click](java&#115;cript:{FIRE})",
    f"[click][1]\n\n[1]: javascript:{FIRE}",
    f"<javascript:{FIRE}>",
    f"![x](javascript:{FIRE})",
    f"$\\href{{javascript:{FIRE}}}{{x}}$",
    f"`code`\n\n<div>\n\n<script>{FIRE}</script>\n\n</div>",
    f'> <img src=x onerror="{FIRE}">',
    f'| a |\n| - |\n| <img src=x onerror="{FIRE}"> |',
]


def actions(page):
    """The parts of a page that could act."""
    acting = re.findall(r"<(script|img|svg|iframe|style|details|object|embed|div)\b", page)
    return acting + re.findall(r'(?:href|src)\s*=\s*"(?!#|https?:)[^"]*"', page)


@pytest.mark.parametrize("text", MARKDOWN)
def test_nothing_is_left_that_acts(text):
    assert actions(markdown2html(text)) or "\\href{javascript" in text
    page = markdown2html(sanitize(text))
    assert not actions(page)
    assert "\\href{javascript" not in page


def test_it_reads_as_it_was_written():
    text = "Because **a < b** and `x <y`, see [the paper](https://arxiv.org/abs/1706.03762).\n\n- $\\frac{a}{b}$"
    assert sanitize(text) == text.replace("<y", "<\u200by")
    shown = html.unescape(markdown2html(sanitize("write `<s>`, not <b>")))
    assert "<s>".replace("<", "<\u200b") in shown


@given(st.text(alphabet=list("<>![]():/ \\\n\"'ahrefscript=&#;1$`|*-"), max_size=60))
def test_no_text_brings_a_tag_or_a_link_elsewhere(text):
    page = markdown2html(sanitize(text))
    assert not re.findall(r"<(script|img|svg|iframe|style|object|embed)\b", page)
    for target in re.findall(r'href="([^"]*)"', page):
        assert target.startswith(("#", "http://", "https://"))


# --- in a real browser -----------------------------------------------------------------------


def _hostile():
    def change(notebook):
        notebook.cells[2:2] = [new_markdown_cell(text) for text in MARKDOWN]

    show = (
        f'<img src=x onerror="{FIRE}"><script>{FIRE}</script>$\\\\href{{javascript:{FIRE}}}{{x}}$'
    )
    first = (
        "from IPython.display import HTML, Javascript, display\n"
        f"display(HTML({show!r}), Javascript({FIRE!r}))\nprint({show!r})\n"
        f"raise type({show!r}, (Exception,), {{}})({show!r})"
    )
    double = f"def double(x):\n    print({show!r})\n    raise ValueError({show!r})"
    greedy = f"def greedy_next_token(logits):\n    print({show!r})\n    return {show!r}"
    answers = {"double": double, "greedy": greedy}
    return Submission("writes scripts", {}, answers, True, first, change)


def dom_of(url):
    """A page as it is after its scripts have run."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    command = [CHROMIUM, *options, "--virtual-time-budget=8000", "--dump-dom", url]
    return subprocess.run(command, capture_output=True, text=True, timeout=120).stdout


@pytest.fixture
def browser():
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed (Debian: chromium)")


@pytest.fixture
def graded(course_folder, hand_in, here):
    hand_in("eve", _hostile())
    hand_in("ada", BYSTANDER)
    assert {one.state for one in Course(course_folder).grade("small", here)} == {"graded"}
    return course_folder


def test_the_browser_would_fire(browser, tmp_path):
    page = tmp_path / "page.html"
    page.write_text(f"<!doctype html><body>{markdown2html(MARKDOWN[1])}</body>")
    assert 'data-fired="yes"' in dom_of(page.as_uri())


def test_nothing_fires_in_feedback(browser, graded):
    command = [sys.executable, "-m", "nbgrader", "generate_feedback", "small"]
    subprocess.run(command, cwd=graded, check=True, capture_output=True)
    dom = dom_of((graded / "feedback" / "eve" / "small" / "small.html").as_uri())
    assert "greedy_next_token" in dom
    assert 'data-fired="yes"' not in dom
    assert "javascript:" not in "".join(re.findall(r'(?:href|src)="([^"]*)"', dom))


def test_nothing_fires_in_formgrader(browser, graded):
    with Gradebook(f"sqlite:///{graded / 'gradebook.db'}") as gradebook:
        name = gradebook.find_submission_notebook("small", "small", "eve").id
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "jupyter", "server", "--no-browser", f"--port={port}"]
    command += ["--ServerApp.token=", "--ServerApp.password=", "--allow-root"]
    extension = "nbgrader.server_extensions.formgrader"
    command += [f"--ServerApp.jpserver_extensions={extension}=True"]
    server = subprocess.Popen(
        command, cwd=graded, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        url = f"http://127.0.0.1:{port}/formgrader/submissions/{name}/"
        for _ in range(120):
            try:
                urllib.request.urlopen(url, timeout=30)
                break
            except OSError:
                time.sleep(0.5)
        dom = dom_of(url)
    finally:
        server.terminate()
        server.wait()
    assert "greedy_next_token" in dom
    assert 'data-fired="yes"' not in dom
