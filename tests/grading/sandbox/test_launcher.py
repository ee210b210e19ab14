"""Where submissions run, level by level."""

import os
from pathlib import Path

import pytest
import torch

from course_lib.grading.sandbox.launcher import Sandbox, SandboxUnavailable, strongest_level


def readable_by_everybody(*packages):
    folders = {f for package in packages for f in Path(package.__file__).resolve().parents}
    return all(folder.stat().st_mode & 0o001 for folder in folders)


@pytest.mark.parametrize("level", ["bwrap", "container"])
def test_a_submission_is_never_root(level):
    try:
        with Sandbox(level) as sandbox, sandbox.session() as session:
            session.ask("run", source="import os\nfound = os.getuid()", seconds=120)
            assert session.ask("lookup", name="found") != 0
            session.ask("run", source="open('x', 'w').write('y')\nfound = 'wrote'", seconds=120)
            assert session.ask("lookup", name="found") == "wrote"
    except SandboxUnavailable as refused:
        if level == "bwrap":
            pytest.skip(str(refused))
        assert os.getuid() == 0 and not readable_by_everybody(os, torch)
        assert "grade as an ordinary user" in str(refused)  # noqa: PT017 - it may start, too


def test_a_level_that_does_not_exist_is_refused():
    with pytest.raises(
        ValueError, match="level must be one of bwrap, container, unsafe; got 'safe'"
    ):
        Sandbox("safe")


WRITES_EVERYWHERE = """
import os
left = []
for place, _, _ in os.walk("/"):
    try:
        if os.path.exists(f"{place}/left-by-another"):
            left.append(place)
        open(f"{place}/left-by-another", "w").close()
    except OSError:
        pass
"""


def test_nothing_that_a_submission_writes_is_there_for_the_next():
    if strongest_level() != "bwrap":
        pytest.skip("bubblewrap does not work here (Debian, Ubuntu: apt install bubblewrap)")
    with Sandbox("bwrap") as sandbox:
        for _ in range(2):
            with sandbox.session() as session:
                session.ask("run", source=WRITES_EVERYWHERE, seconds=120)
                assert session.ask("lookup", name="left") == []
