"""A class is graded: every submission gets a grade or a reason, whatever is killed on the way."""

import os
import signal
import subprocess
import sys
import time
from functools import partial

import nbformat
import psutil
import pytest
from nbgrader.api import Gradebook

from course_lib.grading.attacks import bystander, corpus
from course_lib.grading.case import Case
from course_lib.grading.door import Refused
from course_lib.grading.pool import decide_here, decide_on_cluster
from course_lib.grading.whole_class import Course

BY_NAME = {one.name: one for one in corpus()}
HONEST = bystander()
WRONG = BY_NAME["replaces check"]


def scores(folder, url=None):
    """Every student's score, as it stands in the gradebook; None is a grade that is missing."""
    with Gradebook(url or f"sqlite:///{folder / 'gradebook.db'}") as gradebook:
        return {
            s.student.id: None if any(g.auto_score is None for g in s.notebooks[0].grades) else s.score
            for s in gradebook.assignment_submissions("small")
        }  # fmt: skip


def states(folder, decide_all=decide_here):
    return {one.student: one.state for one in Course(folder).grade("small", decide_all)}


def never(cases):
    """For a run in which nothing is left to be judged."""
    assert not list(cases)
    return iter(())


def test_a_class_gets_its_grades_and_a_second_run_changes_nothing(course_folder, hand_in):
    class_ = {"ada": HONEST, "bob": WRONG, "cyd": BY_NAME["copied a check cell"]}
    for student, submission in class_.items():
        hand_in(student, submission)
    hand_in("eve", HONEST).joinpath("small.ipynb").write_text("no notebook")
    hand_in("fay", HONEST).joinpath("secrets").symlink_to(course_folder / "gradebook.db")
    hand_in("-rf", HONEST)

    results = {one.student: one for one in Course(course_folder).grade("small", decide_here)}
    assert {student: one.state for student, one in results.items()} == {
        "ada": "graded", "bob": "graded", "cyd": "graded",
        "eve": "refused", "fay": "refused", "-rf": "refused",
    }  # fmt: skip
    assert "no notebook" in results["eve"].reason and "a link" in results["fay"].reason
    assert results["cyd"].repairs and not results["ada"].repairs
    must = {"ada": 2, "bob": 0, "cyd": 2, "eve": None, "fay": None}
    assert scores(course_folder) == must

    again = states(course_folder, never)
    assert [s for s, state in again.items() if state == "unchanged"] == ["ada", "bob", "cyd"]
    assert scores(course_folder) == must

    # only what changed is judged; a submission that became unreadable keeps no old grade
    hand_in("bob", HONEST)
    hand_in("ada", HONEST).joinpath("small.ipynb").write_text("{}")
    seen = []
    decide_all = lambda cases: decide_here(seen.append(c) or c for c in cases)  # noqa: E731
    assert states(course_folder, decide_all)["bob"] == "graded"
    assert seen == []  # ada's notebook said the same: it was judged before
    assert scores(course_folder) == must | {"ada": None, "bob": 2}


def test_a_worker_that_is_killed_takes_nobody_down(course_folder, hand_in):
    for i in range(6):
        hand_in(f"s{i}", WRONG if i == 2 else HONEST)

    def decide_all(cases):
        found = decide_here(cases, jobs=2)
        yield next(found)
        workers = [p for p in psutil.Process().children() if "spawn_main" in " ".join(p.cmdline())]
        workers[0].kill()
        yield from found

    assert set(states(course_folder, decide_all).values()) == {"graded"}
    assert scores(course_folder) == {f"s{i}": 0 if i == 2 else 2 for i in range(6)}


def kills_its_judge(case):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_case_that_kills_every_judge_is_refused(monkeypatch):
    monkeypatch.setattr("course_lib.grading.pool.decide_alone", kills_its_judge)
    case = Case("[]", (), None, "unsafe")
    ((same, finding),) = decide_here([case])
    assert same is case and isinstance(finding, Refused) and "killed" in str(finding)


@pytest.mark.skipif(sys.platform == "win32", reason="needs process groups")
def test_the_command_is_killed_and_goes_on(course_folder, hand_in):
    students = [f"s{i}" for i in range(8)]
    for student in students:
        hand_in(student, HONEST)
    command = [sys.executable, "-m", "course_lib", "grade", "small", "--jobs", "2"]
    for seconds in (6, 9):  # once while workers start, once while they judge
        run = subprocess.Popen(command, cwd=course_folder, stderr=subprocess.DEVNULL)
        time.sleep(seconds)
        children = psutil.Process(run.pid).children(recursive=True) if run.poll() is None else []
        run.kill()
        run.wait()
        gone, alive = psutil.wait_procs(children, timeout=20)
        assert not alive, "workers and sandboxes end with the command"
    done = subprocess.run(command, cwd=course_folder, capture_output=True, text=True)
    assert done.returncode == 0 and "8 submissions" in done.stdout, done.stderr
    assert scores(course_folder) == dict.fromkeys(students, 2)


def test_dask_workers_decide_the_same(course_folder, hand_in):
    distributed = pytest.importorskip("distributed", reason="the extra `cluster` brings it")
    for student, submission in {"ada": HONEST, "bob": WRONG}.items():
        hand_in(student, submission)
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**options, silence_logs=50) as cluster:
        decide_all = partial(decide_on_cluster, scheduler=cluster.scheduler_address)
        assert set(states(course_folder, decide_all).values()) == {"graded"}
    assert scores(course_folder) == {"ada": 2, "bob": 0}


def test_a_folder_that_would_not_use_the_judge_is_refused(course_folder):
    with pytest.raises(ValueError, match="nbgrader_config.py"):
        Course(course_folder / "notebooks")
    with pytest.raises(ValueError, match="generate_assignment"):
        list(Course(course_folder).grade("large", decide_here))
    with pytest.raises(ValueError, match="level must be one of"):
        Course(course_folder, "safe")
    (course_folder / "nbgrader_config.py").write_text("c = get_config()\n")
    with pytest.raises(ValueError, match="Judge"):
        Course(course_folder)


def test_seeds_of_hidden_cases_are_kept_for_an_appeal(course_folder, hand_in):
    hand_in("ada", HONEST)
    states(course_folder)
    path = course_folder / "autograded" / "ada" / "small" / "small.ipynb"
    cells = {
        cell.metadata.nbgrader.grade_id: cell
        for cell in nbformat.read(path, as_version=4).cells
        if "nbgrader" in cell.metadata
    }
    (seed,) = cells["check-greedy"].metadata.course.seeds
    assert seed > 0
