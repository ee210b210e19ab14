"""The page a learner gets back: formulas without a network, points, comments."""

import re

from hypothesis import given
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from course_lib.grading.nbgrader.feedback import FeedbackPage, formula


def page(*cells, late_penalty=0.0):
    about = {"notebook": "small", "score": 1.5, "max_score": 3.0, "late_penalty": late_penalty}
    return FeedbackPage().from_notebook_node(new_notebook(cells=list(cells)), {"nbgrader": about})[
        0
    ]


def graded(grade_id, score, points, comment=None):
    solution = {"grade_id": grade_id, "solution": True, "grade": False, "comment": comment}
    mark = {"grade_id": f"check-{grade_id}", "solution": False, "grade": True}
    mark |= {"score": score, "points": points}
    return [
        new_code_cell("x = 1", metadata={"nbgrader": solution}),
        new_code_cell("check(x)", metadata={"nbgrader": mark}),
    ]


def test_formulas_are_mathml_in_the_line_and_on_their_own():
    html = page(new_markdown_cell("With $d_k$ channels,\n\n$$\\frac{q \\cdot k}{\\sqrt{d_k}}$$"))
    assert "<msub><mi>d</mi><mi>k</mi></msub>" in html
    assert re.search(r'<math display="block".*<mfrac>', html)
    assert "$" not in re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL)


def test_code_with_dollars_stays_code():
    assert "<code>$HOME and $PATH</code>" in page(new_markdown_cell("`$HOME and $PATH`"))


def test_what_is_no_formula_is_shown_as_it_was_written():
    assert formula(r"\frac{1", False) == r"<code>\frac{1</code>"
    assert formula(r"\href{javascript:x}{<b>}", True) == (
        r"<code>\href{javascript:x}{&lt;b&gt;}</code>"
    )


@given(st.text(alphabet=list("\\{}<>/ &\"'=_^abhrefscript:;"), max_size=40))
def test_no_formula_brings_a_tag_that_acts(latex):
    html = formula(latex, False)
    assert not re.findall(r"<(script|img|svg|iframe|style|a|object|embed)\b", html)
    assert not re.findall(r"\son\w+\s*=|href", re.sub(r">[^<]*<", "><", html))


def test_points_and_comments_are_listed():
    cells = [*graded("own-double", 1.5, 2, "Nearly!"), *graded("own-half", 0, 1)]
    html = page(*cells, late_penalty=0.5)
    assert "<b>1.5 of 3 points.</b> It was late: 0.5 of them taken off." in html
    rows = [" ".join(re.sub(r"<[^>]*>", " ", row).split()) for row in html.split("<tr>")[1:]]
    assert rows[1] == "own-double 1.5 of 2 comment"
    assert rows[2].startswith("own-half 0 of 1")
    assert 'href="#comment-own-double"' in html and 'name="comment-own-double"' in html
    assert "Nearly!" in html


def test_hidden_tests_are_not_shown():
    answer, check = graded("own-double", 1, 2)
    shown, hidden = "assert double(1) == 2", "assert double(-8.5) == -17"
    marks = "### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS"
    check.source = "\n".join([shown, marks[0], hidden, marks[1], "assert double(3) == 6"])
    html = re.sub(r"<[^>]*>", "", page(answer, check))
    assert "double(1)" in html and "double(3)" in html and "double(-8.5)" not in html
    assert hidden in check.source, "the graded notebook keeps them"
    check.source = "\n".join([shown, marks[0], hidden])  # never closed
    assert "double(-8.5)" not in re.sub(r"<[^>]*>", "", page(answer, check))


def test_nothing_is_fetched():
    html = page(new_markdown_cell("$x$"), *graded("own-double", 1, 2))
    assert not re.findall(r"<script|<link|@import|src=\"http|url\(http", html)
    assert '<html lang="en">' in html
