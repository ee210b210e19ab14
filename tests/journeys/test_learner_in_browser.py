"""A learner's day, as it is seen: `course lab` from a bare clone, a mistake, a hint, the points."""

import os
import re
import subprocess
import sys

import pytest

from course_lib.checks import exercises

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect

NAME = "03_attention"
STUB = """\
# your code here
raise NotImplementedError"""
WRONG = """\
exp = x.exp()
return exp / exp.sum(dim, keepdim=True)"""
RIGHT = """\
top = x.detach().amax(dim, keepdim=True)
top = top.masked_fill(top == float("-inf"), 0)
exp = (x - top).exp()
total = exp.sum(dim, keepdim=True)
return exp / total.masked_fill(total == 0, 1)"""


@pytest.fixture
def course(clone):
    environment = {"PYTHONPATH": str(clone), "OMP_NUM_THREADS": "1"}

    def course(*arguments):
        """Run the `course` command of the clone; what it said."""
        done = subprocess.run(
            [sys.executable, "-m", "course_lib", *arguments],
            cwd=clone,
            env=os.environ | environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    course.environment = environment
    return course


def write(page, cell, old, new):
    """Put `new` in the place of `old` at the end of a cell, run it, and then its check."""
    cell.locator(".cm-content").click()
    page.keyboard.press("Control+End")
    for _ in old.splitlines()[1:]:
        page.keyboard.press("Shift+ArrowUp")
    page.keyboard.press("Shift+Home")
    page.keyboard.insert_text(new.replace("\n", "\n    "))
    page.keyboard.press("Shift+Enter")
    page.keyboard.press("Shift+Enter")


def test_a_learners_day(clone, course, course_lab, page, choose, centre, picture, barriers):
    address, token = course_lab(clone, **course.environment)

    # The course's own page leads to the notebook.
    page.goto(f"{address}/course?token={token}")
    expect(page.get_by_role("link", name="Begin with autocomplete_bigram")).to_be_visible()
    assert barriers(page, "html") == []
    picture(page, "learner-1-home")
    page.locator("summary", has_text="03 Attention").click()
    page.get_by_role("link", name=f"Open {NAME}").click()
    notebook = page.locator(".jp-Notebook")
    title = notebook.get_by_role("heading", name="Attention", exact=True)
    title.wait_for()
    page.keyboard.press("Control+b")  # the list of files goes away
    title.click()
    expect(page.get_by_text("Python 3 (ipykernel) | Idle")).to_be_visible()
    picture(page, "learner-2-notebook")
    for _ in range(10):
        page.keyboard.press("Shift+Enter")
    expect(notebook.get_by_text("the largest taken off: tensor([0.269, 0.731])")).to_be_visible()

    # A mistake is named, in a light and in a dark room.
    exercise = notebook.locator(".jp-CodeCell", has_text="def softmax(x")
    report = notebook.locator(".jp-CodeCell", has_text='check("attention.softmax"').locator(
        ".course-report"
    )
    write(page, exercise, STUB, WRONG)
    expect(report).to_contain_text("overflows for large scores")
    expect(report).to_contain_text("Subtract the largest score of each slice first")
    expect(report).to_contain_text("expected")
    centre(report)
    assert barriers(page, ".course-report") == []
    picture(page, "learner-3-mistake")
    choose(page, "Settings", "Theme", "JupyterLab Dark")
    page.locator("body[data-jp-theme-light=false]").wait_for(state="attached")
    centre(report)
    assert barriers(page, ".course-report") == []
    picture(page, "learner-4-mistake-dark")
    choose(page, "Settings", "Theme", "JupyterLab Light")
    page.locator("body[data-jp-theme-light=true]").wait_for(state="attached")

    # A hint, without a mouse.
    hint = notebook.locator("details", has_text="Hint 1: a nudge").first
    expect(hint.get_by_text("Each slice has its own largest score")).not_to_be_visible()
    notebook.get_by_role("heading", name="Exercise: softmax").click()
    for _ in range(12):  # past the buttons that JupyterLab gives the cell
        if not hint.locator("summary:focus").count():
            page.keyboard.press("Tab")
    expect(hint.locator("summary")).to_be_focused()
    page.keyboard.press("Enter")
    expect(hint.get_by_text("Each slice has its own largest score")).to_be_visible()
    centre(hint)
    picture(page, "learner-5-hint")

    # Right, and the experiment below it runs.
    write(page, exercise, WRONG, RIGHT)
    expect(report).to_contain_text("attention.softmax: right on all")
    expect(report).to_contain_text("2 of 2 points")
    assert barriers(page, ".course-report") == []
    page.keyboard.press("Shift+Enter")
    page.keyboard.press("Shift+Enter")
    figure = notebook.locator(".jp-CodeCell", has_text="plots.plot_shares").locator("img")
    expect(figure).to_be_visible()
    centre(figure)
    picture(page, "learner-6-right")

    # Saved, and graded with fresh cases.
    page.keyboard.press("Control+s")
    expect(page.locator(".jp-mod-dirty")).to_have_count(0)
    path = clone / "workspace" / NAME / f"{NAME}.ipynb"
    assert "total.masked_fill" in path.read_text(encoding="utf-8")
    said = course("submit", NAME, "--no-show")
    assert re.search(r"attention\.softmax +2 of 2", said)
    assert "2 of 20 points" in said
    page.goto("about:blank")  # or JupyterLab, still there, asks for something meanwhile
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((clone / "workspace" / "feedback" / f"{NAME}.html").as_uri())
    expect(page.get_by_text("2 of 20 points.")).to_be_visible()
    assert page.locator("math").count() > 20
    assert not [url for url in asked if not url.startswith(("file:", "data:"))]
    right = page.get_by_text("attention.softmax: right on all")
    centre(right)
    expect(right).to_be_visible()
    assert barriers(page, ".course-report") == []
    picture(page, "learner-7-feedback")

    # The course's page knows.
    page.goto(f"{address}/course")
    expect(page.get_by_text(f"1 of {len(exercises())} exercises are right")).to_be_visible()
    done = page.get_by_role("row").filter(
        has=page.get_by_role("rowheader", name="softmax", exact=True)
    )
    expect(done).to_contain_text("2 of 2")
    expect(done).to_contain_text("overflows for large scores")
    assert barriers(page, "html") == []
    picture(page, "learner-8-home")


def test_a_live_control_answers(clone, course, course_lab, page, choose):
    address, token = course_lab(clone, **course.environment)
    path = "notebooks/00_start_here/00_start_here.ipynb"  # solved: every cell runs
    page.goto(f"{address}/lab/tree/{path}?token={token}")
    notebook = page.locator(".jp-Notebook")
    notebook.get_by_role("heading", name="Start here").first.wait_for()
    choose(page, "Run", "Run All Cells")
    control = notebook.locator(".jp-CodeCell", has_text="def what_comes_next(prompt)")
    figure = control.locator(".jp-OutputArea img")
    expect(figure).to_be_visible()
    before = figure.get_attribute("src")
    control.locator("input[type=text]").fill("Twinkle, twinkle, little")
    page.keyboard.press("Enter")
    expect(figure).not_to_have_attribute("src", before)
    expect(figure).to_be_visible()
