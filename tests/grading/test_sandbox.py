"""Where submissions run, level by level."""

import os
from pathlib import Path

import pytest
import torch

from course_lib.grading.sandbox import Sandbox, SandboxUnavailable


def readable_by_everybody(*packages):
    folders = {f for package in packages for f in Path(package.__file__).resolve().parents}
    return all(folder.stat().st_mode & 0o001 for folder in folders)


@pytest.mark.parametrize("level", ["bwrap", "container"])
def test_a_submission_is_never_root(level):
    try:
        with Sandbox(level) as sandbox, sandbox.session() as session:
            session.ask("run", source="import os\nfound = os.getuid()", seconds=10)
            assert session.ask("lookup", name="found") != 0
            session.ask("run", source="open('x', 'w').write('y')\nfound = 'wrote'", seconds=10)
            assert session.ask("lookup", name="found") == "wrote"
    except SandboxUnavailable as refused:
        if level == "bwrap":
            pytest.skip(str(refused))
        assert os.getuid() == 0 and not readable_by_everybody(os, torch)
        assert "grade as an ordinary user" in str(refused)


def test_a_level_that_does_not_exist_is_refused():
    with pytest.raises(
        ValueError, match="level must be one of bwrap, container, unsafe; got 'safe'"
    ):
        Sandbox("safe")
