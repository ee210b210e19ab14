"""What is let in as a submission."""

import json
import os

import pytest
from nbformat import v4, write

from course_lib.grading.intake import Refused, only_plain_files, read_submission, sane_name


def test_a_notebook_is_read(tmp_path):
    write(v4.new_notebook(cells=[v4.new_code_cell("1 + 1")]), tmp_path / "a.ipynb")
    only_plain_files(tmp_path)
    assert read_submission(tmp_path / "a.ipynb").cells[0].source == "1 + 1"


@pytest.mark.parametrize(
    "text", ["no JSON", "[]", "7", "{}", '{"cells": 3, "nbformat": 4}', "[" * 100_000, "\udcff"]
)
def test_what_is_no_notebook_is_refused(tmp_path, text):
    path = tmp_path / "a.ipynb"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(Refused, match="no notebook"):
        read_submission(path)


def test_what_is_missing_or_too_large_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.ipynb"
    with pytest.raises(Refused, match="there is no a.ipynb"):
        read_submission(path)
    path.write_text(json.dumps({"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    read_submission(path)
    monkeypatch.setattr("course_lib.grading.intake.MAX_NOTEBOOK", 10)
    with pytest.raises(Refused, match="more than"):
        read_submission(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no such files")
def test_links_and_pipes_are_refused(tmp_path):
    inside = tmp_path / "submission"
    (inside / "data").mkdir(parents=True)
    only_plain_files(inside)
    os.mkfifo(inside / "data" / "pipe")
    with pytest.raises(Refused, match="'pipe' is not a plain file"):
        only_plain_files(inside)
    (inside / "data" / "pipe").unlink()
    for target in (tmp_path, "/etc/passwd", "nowhere"):
        (inside / "data" / "link").symlink_to(target)
        with pytest.raises(Refused, match="'link' is a link"):
            only_plain_files(inside)
        (inside / "data" / "link").unlink()
    (tmp_path / "elsewhere").symlink_to(inside)
    with pytest.raises(Refused, match="'elsewhere' is a link"):
        only_plain_files(tmp_path / "elsewhere")


def test_names_that_are_no_names_are_refused():
    for name in ("ada", "a.b@c", "s+1", "0", "_x", "José García", "o'brien", "jane doe", "李明"):
        assert sane_name(name) == name
    for name in (
        "",
        ".",
        "..",
        "-rf",
        "a ",
        " a",
        "a/b",
        "a\\b",
        "*",
        "a[b]",
        "a?",
        "a\n",
        "$(x)",
        "<b>",
        "a\u202eb",
        "李" * 86,
        "a" * 129,
    ):
        with pytest.raises(Refused, match="no name"):
            sane_name(name)
