"""A gradebook in a PostgreSQL server of its own, which this test starts."""

import os
import shutil
import subprocess
from functools import partial
from pathlib import Path

import pytest
from nbgrader.api import Gradebook

from course_lib.grading.attacks.corpus import BYSTANDER, CORPUS
from course_lib.grading.grades import Course
from course_lib.grading.pool import judge_here

VERSIONS = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
INITDB = VERSIONS[-1] if VERSIONS else shutil.which("initdb")


@pytest.fixture
def database(tmp_path_factory):
    """The URL of an empty database; only its socket in a folder of its own can reach it."""
    if INITDB is None:
        pytest.skip("PostgreSQL is not installed (Debian: postgresql)")
    folder = tmp_path_factory.mktemp("pg", numbered=True)
    data, programs = folder / "data", Path(INITDB).parent
    as_user = []
    if os.getuid() == 0:  # a server does not run as root
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        for parent in [folder, *folder.parents[:-2]]:
            os.chmod(parent, os.stat(parent).st_mode | 0o011)
        shutil.chown(folder, "postgres", "postgres")

    def run(program, *arguments):
        command = [*as_user, str(programs / program), *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=folder)

    run("initdb", "-D", str(data), "--auth=trust", "--username=teacher", "--no-sync")
    options = f"-k {folder} -c listen_addresses='' -c fsync=off"
    run(
        "pg_ctl",
        "-D",
        str(data),
        "-w",
        "-t",
        "600",
        "-o",
        options,
        "-l",
        str(folder / "log"),
        "start",
    )
    try:
        yield f"postgresql+psycopg://teacher@/postgres?host={folder}"
    finally:
        run("pg_ctl", "-D", str(data), "-t", "600", "-m", "immediate", "stop")


def test_a_class_is_graded_into_postgresql(database, course_folder, hand_in, generate):
    pytest.importorskip("psycopg", reason="the extra `postgresql` brings it")
    (course_folder / "gradebook.db").unlink()
    with open(course_folder / "nbgrader_config.py", "a") as config:
        config.write(f"\nc.CourseDirectory.db_url = {database!r}\n")
    generate(course_folder)
    hand_in("ada", BYSTANDER)
    hand_in("bob", CORPUS[0])
    judge_all = partial(judge_here, processes=1)
    for state in ("graded", "unchanged"):
        results = Course(course_folder).grade("small", judge_all)
        assert {one.student: one.state for one in results} == {"ada": state, "bob": state}
    with Gradebook(database) as gradebook:
        scores = {s.student.id: s.score for s in gradebook.assignment_submissions("small")}
        assert scores == {"ada": 2, "bob": 0}
    assert not (course_folder / "gradebook.db").exists()
