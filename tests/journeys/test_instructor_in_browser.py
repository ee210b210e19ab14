"""An instructor's day, as it is seen: marks in formgrader, a comment, the feedback with it."""

import re
import shutil
import subprocess
import sys

import pytest

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect

NAME = "00_start_here"
EXERCISE = "probability-greedy_next_token"
WRONG = """\
def greedy_next_token(logits):
    return logits.argmax()
"""
COMMENT = "Nearly: one int() around it, and it is right."


@pytest.fixture
def course(new_course, write, solutions):
    """A course in which Ada and Bob have handed in, and everything is graded."""
    folder = new_course(NAME)
    right = solutions(NAME)
    for student, answers in {"ada": right, "bob": right | {EXERCISE: WRONG}}.items():
        handed_in = folder / "submitted" / student / NAME
        shutil.copytree(folder / "release" / NAME, handed_in)
        write(handed_in / f"{NAME}.ipynb", answers)
    command = [sys.executable, "-m", "course_lib", "grade", NAME]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert "2 submissions; 2 graded" in done.stdout, done.stdout + done.stderr
    return folder


def follow(frame, link, address):
    """Click, and go on when the next page is there."""
    link.click()
    frame.wait_for_url(f"**/formgrader/{address}", wait_until="commit")


def test_an_instructors_day(course, course_lab, page, choose, centre, picture, barriers):
    address, token = course_lab(course)

    # How the class is doing.
    page.goto(f"{address}/course/class/{NAME}?token={token}")
    expect(page.get_by_text("2 submissions, 2 graded.")).to_be_visible()
    exercise = page.get_by_role("row", name="probability.greedy_next_token")
    expect(exercise).to_contain_text("1 of 2")
    expect(exercise).to_contain_text("returns a tensor (1)")
    assert barriers(page, "html") == []
    centre(exercise)
    picture(page, "instructor-1-class")

    # In formgrader: the assignment, the marks of everybody, Bob's mistake.
    page.goto(f"{address}/lab")
    choose(page, "Nbgrader", "Formgrader")
    page.frame_locator("iframe").get_by_role("heading", name="Manage Assignments").wait_for()
    formgrader = page.frame(url=re.compile("formgrader"))
    assignment = formgrader.get_by_role("row").filter(has_text=NAME)
    expect(assignment.get_by_role("link", name="2", exact=True)).to_be_visible()  # submissions
    page.keyboard.press("Control+b")  # the list of files goes away
    picture(page, "instructor-2-assignments")

    manual_grading = formgrader.get_by_role("link", name="Manual Grading")
    follow(formgrader, manual_grading, "gradebook")
    follow(formgrader, assignment.get_by_role("link"), f"gradebook/{NAME}")
    follow(formgrader, assignment.get_by_role("link"), f"gradebook/{NAME}/{NAME}")
    rows = formgrader.get_by_role("row")
    expect(rows.filter(has_text="5 / 5")).to_have_count(1)
    expect(rows.filter(has_text="4 / 5")).to_have_count(1)
    picture(page, "instructor-3-marks")
    bob = rows.filter(has_text="4 / 5").get_by_role("link", name="Submission")
    follow(formgrader, bob, "submissions/**")
    report = formgrader.locator(".course-report", has_text="greedy_next_token")
    expect(report).to_contain_text("returns a tensor")
    expect(formgrader.locator(f"#check-{EXERCISE}")).to_have_attribute("placeholder", "0")
    assert barriers(formgrader, ".course-report") == []

    # A comment is kept.
    formgrader.wait_for_load_state("networkidle")  # formgrader has fetched the comments there are
    comment = formgrader.locator(f"#{EXERCISE}-comment")
    comment.fill(COMMENT)
    with page.expect_response(lambda answer: "/api/comment/" in answer.url) as saved:
        page.keyboard.press("Tab")
    assert saved.value.ok
    centre(formgrader.locator(f"#check-{EXERCISE}"))
    picture(page, "instructor-4-comment")

    # Feedback, with the comment in it.
    follow(formgrader, manual_grading, "gradebook")
    manage_assignments = formgrader.get_by_role("link", name="Manage Assignments")
    follow(formgrader, manage_assignments, "manage_assignments")
    assignment.locator(".generate-feedback a").click()
    expect(formgrader.get_by_role("dialog")).to_contain_text("Success")
    page.goto((course / "feedback" / "bob" / NAME / f"{NAME}.html").as_uri())
    expect(page.get_by_text("4 of 5 points.")).to_be_visible()
    expect(page.get_by_text(COMMENT)).to_be_visible()
    report = page.locator(".course-report", has_text="returns a tensor")
    expect(report).to_be_visible()
    assert barriers(page, "html") == []
    centre(report)
    picture(page, "instructor-5-feedback")
