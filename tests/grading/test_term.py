"""What happens in an ordinary term, and costs nobody work or marks."""

import base64
import io
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from nbgrader.apps import NbGraderAPI
from nbgrader.coursedir import CourseDirectory
from PIL import Image

from course_lib.grading.attacks.corpus import RIGHT, assignment
from course_lib.grading.folder import CourseFolder
from course_lib.grading.intake import Refused, take
from course_lib.grading.rebuild import rebuild
from course_lib.release import released_from

REPORT = {"schema_version": 3, "grade_id": "report", "grade": True, "solution": True}
REPORT |= {"locked": False, "task": False, "points": 2, "cell_type": "markdown"}


def with_report():
    """The small assignment, and an answer in words."""
    notebook = assignment()
    notebook.cells.append(new_markdown_cell("Your answer here.", metadata={"nbgrader": REPORT}))
    return notebook


@pytest.fixture
def released(tmp_path):
    path = tmp_path / "small.ipynb"
    nbformat.write(with_report(), path)
    return released_from(path)


def cell(notebook, name):
    return next(c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") == name)


def answered(released):
    notebook = nbformat.from_dict(released)
    for name, source in RIGHT.items():
        cell(notebook, name).source = source
    return notebook


def picture(color="red"):
    content = io.BytesIO()
    Image.new("RGB", (4, 4), color).save(content, "PNG")
    return base64.b64encode(content.getvalue()).decode()


def api(folder):
    """nbgrader's commands, as formgrader calls them."""
    config = CourseFolder(folder).config
    return NbGraderAPI(CourseDirectory(config=config), config=config)


def nbgraders(folder):
    """`nbgrader autograde small --force`."""
    return api(folder).autograde("small", "*")


# --- 5 and 9: one intake, which says what is there


@pytest.mark.parametrize(
    "name",
    ["small (1).ipynb", "SMALL.ipynb", "work/small.ipynb", "mine.ipynb", "small-Copy1.ipynb"],
)
def test_a_sole_notebook_under_another_name_is_taken_with_a_line(name, tmp_path, released):
    folder = tmp_path / "ada" / "small"
    (folder / name).parent.mkdir(parents=True)
    nbformat.write(released, folder / name)
    (folder / ".ipynb_checkpoints").mkdir()
    nbformat.write(released, folder / ".ipynb_checkpoints" / "small-checkpoint.ipynb")
    taken = take(folder, "small", ["small"])
    assert len(taken.notebook.cells) == len(released.cells)
    assert name in taken.lines[0] and "taken as small.ipynb" in taken.lines[0]


def test_which_of_several_is_meant_is_asked(tmp_path, released):
    folder = tmp_path / "ada" / "small"
    folder.mkdir(parents=True)
    for name in ("small (1)", "small (2)"):
        nbformat.write(released, folder / f"{name}.ipynb")
    with pytest.raises(Refused, match=r"several that may be meant: small \(1\)"):
        take(folder, "small", ["small"])
    nbformat.write(released, folder / "small.ipynb")
    assert "small (2).ipynb is there as well" in take(folder, "small", ["small"]).lines[1]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda text: b"", "is empty"),
        (lambda text: b" \n\0\0", "is empty"),
        (lambda text: text[: len(text) // 2], "is cut off"),
        (lambda text: text[: text.index(b'"cells"')], "is cut off"),
        (lambda text: b"<<<<<<< HEAD\n" + text + b"=======\n>>>>>>> b\n", "merge conflict .*line 1"),
        (lambda text: text.replace(b'"cells"', b'\n<<<<<<< HEAD\n"cells"'), "merge conflict"),
        (lambda text: b"<!DOCTYPE html><p>Sign in", "a web page"),
        (lambda text: b"PK\x03\x04" + text, "a ZIP archive"),
        (lambda text: b"def double(x):\n    return 2 * x", "not JSON"),
        (lambda text: text.replace(b"small", b"sm\xe4ll"), "not UTF-8"),
        (lambda text: b'{"metadata": {}}', "no list of cells"),
    ],
)  # fmt: skip
def test_each_broken_file_is_named_for_what_it_is(change, told, tmp_path, released):
    path = tmp_path / "ada" / "small" / "small.ipynb"
    path.parent.mkdir(parents=True)
    path.write_bytes(change(nbformat.writes(released).encode()))
    with pytest.raises(Refused, match=told):
        take(path.parent, "small", ["small"])


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "\ufeff".encode() + text.encode(),
        lambda text: text.encode("utf-16"),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.replace("\\n", "\\r\\n").encode(),
    ],
    ids=["BOM", "UTF-16", "CRLF in the file", "CRLF in cells"],
)
def test_how_an_editor_saved_it_costs_nothing(change, tmp_path, released):
    path = tmp_path / "ada" / "small" / "small.ipynb"
    path.parent.mkdir(parents=True)
    path.write_bytes(change(nbformat.writes(answered(released))))
    result, repairs = rebuild(take(path.parent, "small", ["small"]).notebook, released)
    assert repairs == ()
    assert [c.source for c in result.cells] == [c.source for c in answered(released).cells]


def test_outputs_do_not_count_where_sizes_are_measured(tmp_path, released):
    folder = tmp_path / "ada" / "small"
    folder.mkdir(parents=True)
    notebook = answered(released)
    plot = new_output("display_data", {"image/png": "A" * 26 * 2**20})
    cell(notebook, "double").outputs = [plot]
    nbformat.write(notebook, folder / "small.ipynb")
    assert cell(take(folder, "small").notebook, "double").source == RIGHT["double"]
    notebook.cells.append(new_markdown_cell("A" * 21 * 2**20))
    nbformat.write(notebook, folder / "small.ipynb")
    with pytest.raises(Refused, match="more than 20 MiB without its outputs"):
        take(folder, "small")


def test_another_notebook_goes_to_a_person(released):
    other = new_notebook(
        cells=[new_markdown_cell("Mine", metadata={"nbgrader": REPORT | {"grade_id": "x"}})]
    )
    for handed_in, told in ((other, "its own are 'x'"), (new_notebook(), "no cells")):
        with pytest.raises(Refused, match=told):
            rebuild(handed_in, released)


def test_the_same_is_let_in_by_all_ways(course_folder, hand_in, released, here):
    """Names of any script, other file names, byte order marks: `nbgrader autograde` and
    `course grade` give the same marks and refuse the same."""
    from nbgrader.api import Gradebook

    from course_lib.grading.attacks.corpus import BYSTANDER
    from course_lib.grading.grades import Course

    hand_in("José García", BYSTANDER)
    path = hand_in("o'brien", BYSTANDER) / "small.ipynb"
    (path.parent / "sub").mkdir()
    path.rename(path.parent / "sub" / "small (1).ipynb")
    path = hand_in("李明", BYSTANDER) / "small.ipynb"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    hand_in("cut", BYSTANDER)

    def scores():
        with Gradebook(f"sqlite:///{course_folder / 'gradebook.db'}") as gradebook:
            return {
                s.student.id: None if any(g.auto_score is None for g in s.notebooks[0].grades) else s.score
                for s in gradebook.assignment_submissions("small")
            }  # fmt: skip

    assert nbgraders(course_folder)["success"]
    must = {"José García": 2, "o'brien": 2, "李明": 2}
    assert scores() == must | {"cut": 2}
    hand_in("cut", BYSTANDER).joinpath("small.ipynb").write_text('{"cells": [')
    done = nbgraders(course_folder)
    assert not done["success"] and "is cut off" in done["log"]
    assert scores() == must | {"cut": None}, "no grade of an earlier time stays"
    results = {one.student: one for one in Course(course_folder).grade("small", here)}
    assert "is cut off" in results["cut"].reason
    assert {r.state for name, r in results.items() if name != "cut"} == {"graded"}
    assert scores() == must | {"cut": None}


# --- 4, 6, 7: what a learner made is what is marked


def test_a_split_cell_runs_in_its_order(released):
    notebook = answered(released)
    whole = cell(notebook, "double")
    place = notebook.cells.index(whole)
    whole.source = "def twice(x):\n    return x + x"
    below = new_code_cell("def double(x):\n    return twice(x)", metadata=whole.metadata)
    notebook.cells.insert(place + 1, below)
    result, repairs = rebuild(notebook, released)
    sources = [c.source for c in result.cells]
    assert sources.index(whole.source) + 1 == sources.index(below.source)
    assert any("double was there 2 times" in line for line in repairs)


def test_a_written_answer_in_another_cell_goes_to_a_person(released):
    from nbgrader.utils import determine_grade

    def score(notebook):
        return determine_grade(cell(rebuild(notebook, released)[0], "report"))[0]

    blank = answered(released)
    assert score(blank) == 0
    for below in (new_markdown_cell("Because."), new_code_cell("Because it is so.")):
        notebook = answered(released)
        notebook.cells.append(below)
        result, repairs = rebuild(notebook, released)
        assert cell(result, "report").source == below.source
        assert score(notebook) is None and "stood in another cell" in repairs[0]
    above = answered(released)
    above.cells.insert(1, new_markdown_cell("Because."))
    assert score(above) is None
    retyped = answered(released)
    retyped.cells[-1] = new_code_cell("Because it is so.", metadata={"nbgrader": REPORT})
    assert score(retyped) is None
    unmarked = answered(released)
    unmarked.cells[-1] = new_markdown_cell("Because.")
    assert score(unmarked) is None


def test_pictures_reach_the_person_who_marks(released):
    notebook = answered(released)
    report = cell(notebook, "report")
    report.source = "See ![image.png](attachment:image.png) and ![b](attachment:bad.png)."
    script = base64.b64encode(b"<svg onload='alert(1)'/>").decode()
    report["attachments"] = {
        "image.png": {"image/png": picture()},
        "bad.png": {"image/png": script},
    }
    cell(notebook, "double").outputs = [new_output("display_data", {"image/png": picture("blue")})]
    notebook.cells.append(
        new_code_cell(
            "draw()", outputs=[new_output("display_data", {"image/png": picture("blue")})]
        )
    )
    result, _ = rebuild(notebook, released)
    nbformat.validate(result)
    written = cell(result, "report")
    assert "![picture-1.png](attachment:picture-1.png)" in written.source
    assert written.attachments == {"picture-1.png": {"image/png": picture()}}
    assert script not in str(result) and "](attachment:bad" not in written.source
    drawn = result.cells[[c.source for c in result.cells].index("draw()") + 1]
    assert drawn.attachments == {"figure-1.png": {"image/png": picture("blue")}}

    from nbconvert.exporters import HTMLExporter

    from course_lib.grading.nbgrader.feedback import FeedbackPage

    assert f"data:image/png;base64,{picture()}" in HTMLExporter().from_notebook_node(result)[0]
    renderer = FeedbackPage().markdown2html
    assert picture() in renderer({"cell": written}, written.source)


# --- 8: causes are named rightly


def test_a_newer_python_is_named(released):
    notebook = answered(released)
    notebook.metadata["language_info"] = {"name": "python", "version": "3.99.1"}
    assert rebuild(notebook, released)[1] == ()
    cell(notebook, "double").source = "def double(x) -> newer syntax:\n    return x + x"
    (line,) = rebuild(notebook, released)[1]
    assert "Python 3.99" in line and f"{sys.version_info[0]}.{sys.version_info[1]}" in line


def test_a_renamed_function_is_named(released):
    notebook = answered(released)
    cell(notebook, "double").source = "def dubble(x):\n    return x + x"
    (line,) = rebuild(notebook, released)[1]
    assert line == "The cell of double defines dubble, but not double."
    notebook.cells.append(new_code_cell("double = dubble"))
    assert rebuild(notebook, released)[1] == ()


# --- 1, 2, 3: unchanged means unchanged; a changed source is compared first


@pytest.fixture
def term(course_folder, here):
    """A course folder with one submission that has an answer in words, and its ways."""
    from nbgrader.api import Gradebook

    from course_lib.grading.grades import Course

    class Term:
        source = course_folder / "notebooks" / "small" / "small.ipynb"
        submitted = course_folder / "submitted" / "ada" / "small"

        def gradebook(self):
            return Gradebook(f"sqlite:///{course_folder / 'gradebook.db'}")

        def hand_in(self, text=None):
            self.submitted.mkdir(parents=True, exist_ok=True)
            notebook = answered(released_from(self.source))
            if text is not None:
                cell(notebook, "report").source = text
            nbformat.write(notebook, self.submitted / "small.ipynb")

        def grade(self):
            (result,) = Course(course_folder).grade("small", here)
            return result.state

        def grades(self):
            with self.gradebook() as gradebook:
                (notebook,) = gradebook.find_submission("small", "ada").notebooks
                return {g.name: (g.auto_score, g.needs_manual_grade) for g in notebook.grades}

        def write(self, notebook, release=True):
            nbformat.write(notebook, self.source)
            if release:
                assert api(course_folder).generate_assignment("small", force=True)["success"]

    term = Term()
    term.write(with_report())
    term.hand_in()
    assert term.grade() == "graded" and term.grade() == "unchanged"
    assert term.grades()["report"] == (0, False)
    return term


def test_everything_nbgrader_would_write_decides_what_is_unchanged(term):
    from datetime import datetime, timedelta

    from nbgrader.api import Grade

    term.hand_in("Because.")
    assert term.grade() == "graded" and term.grades()["report"] == (None, True)
    (term.submitted / "data.csv").write_text("1")
    assert term.grade() == "graded" and term.grade() == "unchanged"
    with term.gradebook() as gradebook:
        gradebook.find_assignment("small").duedate = datetime(2026, 1, 1)
        gradebook.db.commit()
    assert term.grade() == "graded" and term.grade() == "unchanged"
    with term.gradebook() as gradebook:
        gradebook.find_submission("small", "ada").extension = timedelta(days=1)
        gradebook.db.commit()
    assert term.grade() == "graded" and term.grade() == "unchanged"
    notebook = with_report()
    cell(notebook, "check-double").metadata.nbgrader.points = 6
    term.write(notebook)
    assert term.grade() == "graded" and term.grades()["check-double"] == (6, False)
    with term.gradebook() as gradebook:  # an older copy of the gradebook is put back
        gradebook.db.query(Grade).filter_by(auto_score=6).one().auto_score = 1
        gradebook.db.commit()
    assert term.grade() == "graded" and term.grades()["check-double"] == (6, False)


def test_a_changed_source_touches_nobody_until_it_is_accepted(term, course_folder):
    from typer.testing import CliRunner

    from course_lib.cli import app

    def mark(points):
        with term.gradebook() as gradebook:
            (notebook,) = gradebook.find_submission("small", "ada").notebooks
            next(g for g in notebook.grades if g.name == "report").manual_score = points
            gradebook.db.commit()

    term.hand_in("Because.")
    term.grade()
    mark(1.5)
    before = term.grades()
    notebook = with_report()
    more = nbformat.from_dict(cell(notebook, "check-double"))
    more.metadata.nbgrader.grade_id, more.id = "check-more", "check-more"
    notebook.cells.insert(4, more)
    cell(notebook, "check-double").metadata.nbgrader.points = 3
    notebook.cells.remove(cell(notebook, "check-greedy"))
    term.write(notebook, release=False)

    def grade(*more):
        return CliRunner().invoke(app, ["grade", "small", "--folder", str(course_folder), *more])

    done = grade()
    assert done.exit_code == 1 and "--accept-changes" in done.output
    for told in ("check-more is new", "check-greedy is gone", "check-double has 3 points, not 1"):
        assert told in done.output
    done = nbgraders(course_folder)
    assert not done["success"] and "check-more is new" in done["error"]
    assert term.grades() == before

    done = grade("--accept-changes")
    assert done.exit_code == 0, done.output
    found = term.grades()
    assert found.keys() == {"check-double", "check-more", "report"}
    assert found["check-double"][0] == 3 and found["check-more"][0] == 1
    with term.gradebook() as gradebook:
        assert gradebook.find_submission("small", "ada").score == 5.5, "the mark by hand is there"
    assert term.grade() == "unchanged"
    assert list((course_folder / ".grading").glob("gradebook-*.db"))
