"""Archives as Canvas and Moodle make them, and tables that they take back."""

import csv
import re
import zipfile

import pytest
from nbgrader.api import Gradebook
from typer.testing import CliRunner

from course_lib.cli import app
from course_lib.grading.folder import CourseFolder
from course_lib.grading.lms import PATTERNS, collect, export, results

NAMES = {
    "canvas": ["lovelaceada_4711_90210_small.ipynb", "curiemarie_LATE_4712_90211_small-1.ipynb"],
    "moodle": [
        "Ada Lovelace_4711_assignsubmission_file_/small.ipynb",
        "Marie Curie_4712_assignsubmission_file_small-1.ipynb",
    ],
}


def archive(path, files):
    with zipfile.ZipFile(path, "w") as opened:
        for name, text in files.items():
            opened.writestr(name, text)
    return path


@pytest.mark.parametrize("system", list(NAMES))
def test_an_archive_is_put_where_nbgrader_collects(system, course_folder, tmp_path):
    folder = CourseFolder(course_folder)
    files = dict.fromkeys(NAMES[system], "{}") | {"readme.txt": "?"}
    path = archive(tmp_path / "all.zip", files)
    assert dict(collect(folder, "small", path, system)) == {
        "4711": "new", "4712": "new", "readme.txt": "left out: its name says nobody's",
    }  # fmt: skip
    submitted = course_folder / "submitted"
    assert (submitted / "4711" / "small" / "small.ipynb").read_text() == "{}"
    assert (submitted / "4712" / "small" / "small-1.ipynb").exists()
    with Gradebook(folder.directory.db_url) as gradebook:
        assert {"lovelaceada", "Ada Lovelace"} & {gradebook.find_student("4711").first_name}

    files[NAMES[system][0]] = "[]"
    again = archive(tmp_path / "again.zip", files)
    became = dict(collect(folder, "small", again, system))
    assert (became["4711"], became["4712"]) == ("handed in anew", "as before")
    assert (submitted / "4711" / "small" / "small.ipynb").read_text() == "[]"
    (old,) = (course_folder / ".grading" / "replaced").glob("*/4711/small/small.ipynb")
    assert old.read_text() == "{}"


def test_an_archive_writes_nowhere_else(course_folder, tmp_path):
    folder = CourseFolder(course_folder)
    path = archive(tmp_path / "all.zip", {"a_1_2_../../../evil.ipynb": "{}"})
    ((student, became),) = collect(folder, "small", path, "canvas")
    assert student == "1" and "no name for a file" in became
    assert not list(tmp_path.rglob("evil.ipynb"))
    with pytest.raises(ValueError, match="called as moodle does"):
        list(collect(folder, "small", path, "moodle"))
    path.write_text("no archive")
    with pytest.raises(ValueError, match="no ZIP"):
        list(collect(folder, "small", path, "canvas"))


@pytest.mark.parametrize("system", list(NAMES))
def test_the_patterns_are_such_as_zip_collect_takes(system):
    for name in NAMES[system]:
        found = re.match(PATTERNS[system], name)
        assert found["student_id"] in ("4711", "4712") and found["file_id"].startswith("small")


def test_no_mark_is_not_zero(course_folder, tmp_path):
    folder = CourseFolder(course_folder)
    with Gradebook(folder.directory.db_url) as gradebook:
        for student, name in {"1": "Zero", "2": "None", "3": "=Waiting", "4": "By Hand"}.items():
            gradebook.add_student(student, first_name=name)
        for student in "134":
            (notebook,) = gradebook.add_submission("small", student).notebooks
            for grade in notebook.grades:
                grade.auto_score = None if student == "3" else 0
                grade.needs_manual_grade = student == "4"
        gradebook.db.commit()
    states = {one.student: (one.state, one.score) for one in results(folder, "small")}
    assert states == {
        "1": ("graded", 0), "2": ("not handed in", None),
        "3": ("not graded", None), "4": ("not graded", None),
    }  # fmt: skip
    for system in ("canvas", "moodle"):
        export(results(folder, "small"), "small", system, tmp_path / f"{system}.csv")
    with (tmp_path / "canvas.csv").open(newline="") as file:
        canvas = list(csv.DictReader(file))
    assert canvas[0]["small"] == "2" and [row["ID"] for row in canvas[1:]] == list("1234")
    assert [row["small"] for row in canvas[1:]] == ["0", "", "", ""]
    assert canvas[3]["Student"] == "'=Waiting"
    with (tmp_path / "moodle.csv").open(newline="") as file:
        moodle = list(csv.DictReader(file))
    assert [row["Grade"] for row in moodle] == ["0", "", "", ""]
    assert [row["Feedback comments"] for row in moodle] == [
        "", "not handed in", "not graded", "not graded",
    ]  # fmt: skip
    assert moodle[0]["Identifier"] == "Participant 1" and moodle[1]["Status"] == "No submission"

    command = ["export", "small", str(tmp_path / "x.csv"), "--folder", str(course_folder)]
    done = CliRunner().invoke(app, [*command, "--to", "canvas"])
    assert done.exit_code == 0 and "not handed in (empty, not 0): 2" in done.output
    assert CliRunner().invoke(app, [*command, "--to", "excel"]).exit_code == 1
