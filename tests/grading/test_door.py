"""What is let in as a submission."""

import json
import os

import pytest
from nbformat import v4, write

from course_lib.grading import door
from course_lib.grading.door import Refused, only_plain_files, read_submission, sane_name


def test_a_notebook_is_read(tmp_path):
    write(v4.new_notebook(cells=[v4.new_code_cell("1 + 1")]), tmp_path / "a.ipynb")
    only_plain_files(tmp_path)
    assert read_submission(tmp_path / "a.ipynb").cells[0].source == "1 + 1"


@pytest.mark.parametrize(
    "text", ["", "no JSON", "[]", "7", "{}", '{"cells": 3, "nbformat": 4}', "[" * 100_000, "\udcff"]
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
    monkeypatch.setattr(door, "MAX_BYTES", 10)
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
    for name in ("ada", "a.b@c", "s+1", "0", "_x"):
        assert sane_name(name) == name
    for name in ("", ".", "..", "-rf", "a b", "a/b", "*", "a\n", "$(x)", "é", "a" * 129):
        with pytest.raises(Refused, match="no name"):
            sane_name(name)
