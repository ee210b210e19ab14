"""A class is graded: every submission gets a grade or a reason, whatever is killed on the way."""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from random import Random

import nbformat
import psutil
import pytest
from nbgrader.api import Gradebook

from course_lib.grading.attacks.corpus import BYSTANDER, CORPUS
from course_lib.grading.grades import Course
from course_lib.grading.intake import Refused
from course_lib.grading.jobs import Job
from course_lib.grading.pool import judge_here, judge_on_cluster

BY_NAME = {one.name: one for one in CORPUS}
HONEST = BYSTANDER
WRONG = BY_NAME["replaces check"]


def scores(folder, url=None):
    """Every student's score, as it stands in the gradebook; None is a grade that is missing."""
    with Gradebook(url or f"sqlite:///{folder / 'gradebook.db'}") as gradebook:
        return {
            s.student.id: None if any(g.auto_score is None for g in s.notebooks[0].grades) else s.score
            for s in gradebook.assignment_submissions("small")
        }  # fmt: skip


def states(folder, judge_all):
    return {one.student: one.state for one in Course(folder).grade("small", judge_all)}


def never(jobs):
    """For a run in which nothing is left to be judged."""
    assert not list(jobs)
    return iter(())


def test_a_class_gets_its_grades_and_a_second_run_changes_nothing(course_folder, hand_in):
    class_ = {"ada": HONEST, "bob": WRONG, "cyd": BY_NAME["copied a check cell"]}
    for student, submission in class_.items():
        hand_in(student, submission)
    hand_in("eve", HONEST).joinpath("small.ipynb").write_text("no notebook")
    hand_in("fay", HONEST).joinpath("secrets").symlink_to(course_folder / "gradebook.db")
    hand_in("-rf", HONEST)

    results = {one.student: one for one in Course(course_folder).grade("small", judge_here)}
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
    judge_all = lambda jobs: judge_here(seen.append(c) or c for c in jobs)  # noqa: E731
    assert states(course_folder, judge_all)["bob"] == "graded"
    assert seen == []  # ada's notebook said the same: it was judged before
    assert scores(course_folder) == must | {"ada": None, "bob": 2}


def test_what_is_wrong_with_one_folder_is_its_own_affair(course_folder, hand_in, here):
    hand_in("ada", HONEST)
    hand_in("bob", HONEST).joinpath("timestamp.txt").mkdir()
    hand_in("cyd", HONEST).joinpath("timestamp.txt").write_bytes(b"\xff\xfe\x00")
    hand_in("dan", HONEST).joinpath("timestamp.txt").write_text("last night")
    with open(hand_in("eve", HONEST) / "data.bin", "wb") as data:
        data.truncate(2**40)
    for state in ("graded", "unchanged"):
        results = {one.student: one for one in Course(course_folder).grade("small", here)}
        assert results.pop("ada").state == state
        assert all(one.state == "refused" and one.reason for one in results.values())
        assert "MiB" in results["eve"].reason
        assert scores(course_folder) == {"ada": 2} | dict.fromkeys(results)
    command = [sys.executable, "-m", "nbgrader", "autograde", "small", "--force"]
    subprocess.run(command, cwd=course_folder, capture_output=True)
    assert scores(course_folder) == {"ada": 2} | dict.fromkeys(results)


ENDS_ALL_SESSIONS = """
import os, signal
keepers_parent = open(f"/proc/{os.getppid()}/stat").read().rpartition(")")[2].split()[1]
os.kill(int(keepers_parent), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells whom to end")
def test_who_ends_the_process_that_sessions_come_from_is_refused_alone(course_folder, hand_in):
    """Below level bwrap that is possible."""
    for student in ("ada", "cyd"):
        hand_in(student, HONEST)
    hand_in("bob", replace(HONEST, first=ENDS_ALL_SESSIONS))
    results = {
        one.student: one for one in Course(course_folder, "unsafe").grade("small", judge_here)
    }
    assert {student: one.state for student, one in results.items()} == {
        "ada": "graded", "bob": "refused", "cyd": "graded",
    }  # fmt: skip
    assert "sessions" in results["bob"].reason
    assert scores(course_folder) == {"ada": 2, "bob": None, "cyd": 2}


def test_a_grade_that_was_half_written_is_written_again(course_folder, hand_in, here):
    hand_in("ada", HONEST)
    assert states(course_folder, here) == {"ada": "graded"}
    path = course_folder / "autograded" / "ada" / "small" / "small.ipynb"
    path.write_text(path.read_text()[:1000])
    assert states(course_folder, never) == {"ada": "graded"}
    assert states(course_folder, never) == {"ada": "unchanged"}


def test_a_worker_that_is_killed_takes_nobody_down(course_folder, hand_in):
    for i in range(6):
        hand_in(f"s{i}", WRONG if i == 2 else HONEST)

    def judge_all(jobs):
        found = judge_here(jobs, processes=2)
        yield next(found)
        workers = [p for p in psutil.Process().children() if "spawn_main" in " ".join(p.cmdline())]
        workers[0].kill()
        yield from found

    assert set(states(course_folder, judge_all).values()) == {"graded"}
    assert scores(course_folder) == {f"s{i}": 0 if i == 2 else 2 for i in range(6)}


def kills_its_judge(job):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_job_that_kills_every_judge_is_refused(monkeypatch):
    monkeypatch.setattr("course_lib.grading.pool.run_alone", kills_its_judge)
    job = Job("[]", (), None, "unsafe")
    ((same, judgement),) = judge_here([job])
    assert same is job and isinstance(judgement, Refused) and "killed" in str(judgement)


def test_a_grade_comes_back_after_a_refusal(course_folder, hand_in, here):
    hand_in("ada", HONEST)
    assert states(course_folder, here) == {"ada": "graded"}
    shutil.rmtree(course_folder / ".grading")
    refuse = lambda jobs: ((job, Refused("no judge today")) for job in jobs)  # noqa: E731
    assert states(course_folder, refuse) == {"ada": "refused"}
    assert scores(course_folder) == {"ada": None}
    assert states(course_folder, here) == {"ada": "graded"}
    assert scores(course_folder) == {"ada": 2}


def test_the_same_as_nbgraders_own_command(course_folder, hand_in, here):
    """`course grade` leaves out steps of nbgrader's that would find nothing to do."""
    for student, name in {"ada": "copied a check cell", "bob": "replaces check"}.items():
        hand_in(student, BY_NAME[name])

    def written():
        found = {}
        for path in course_folder.glob("autograded/*/small/small.ipynb"):
            notebook = nbformat.read(path, as_version=4)
            notebook.metadata.pop("course", None)  # the key, which nbgrader's own command has too
            for cell in notebook.cells:
                cell.metadata.get("course", {}).pop("seeds", None)
                del cell["id"]  # drawn anew for cells that the instructor's notebook lacks
            found[path.parts[-3]] = notebook
        return found

    assert set(states(course_folder, here).values()) == {"graded"}
    ours, our_scores = written(), scores(course_folder)
    command = [sys.executable, "-m", "nbgrader", "autograde", "small", "--force"]
    done = subprocess.run(command, cwd=course_folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert written() == ours and len(ours) == 2
    assert scores(course_folder) == our_scores == {"ada": 2, "bob": 0}


def test_the_second_pass_judges_nothing(course_folder, hand_in, monkeypatch, here):
    """nbgrader finds each judgement, also where a check was edited after its release."""

    def judged_again(job):
        raise AssertionError("it was judged twice")

    hand_in("ada", HONEST)
    path = course_folder / "notebooks" / "small" / "small.ipynb"
    edited = path.read_text().replace("double(-0.25)", "double(-0.5)")
    monkeypatch.setattr("course_lib.grading.nbgrader.preprocessors.run", judged_again)
    assert states(course_folder, here) == {"ada": "graded"}
    path.write_text(edited)
    hand_in("ada", WRONG)
    assert states(course_folder, here) == {"ada": "graded"}
    assert scores(course_folder) == {"ada": 0}


def test_to_find_no_judgement_in_the_second_pass_is_an_error(
    course_folder, hand_in, monkeypatch, here
):
    hand_in("ada", HONEST)
    monkeypatch.setattr("course_lib.grading.jobs.Judgements.put", lambda *_: None)
    (result,) = Course(course_folder).grade("small", here)
    assert result.state == "refused" and "not what was judged" in result.reason
    assert scores(course_folder) == {"ada": None}


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_whatever_is_killed_no_grade_is_lost_or_doubled(course_folder, hand_in):
    """A worker, or the whole command, at random moments; `COURSE_KILLS=10` tries more of them."""
    students = [f"s{i}" for i in range(8)]
    command = [sys.executable, "-m", "course_lib", "grade", "small", "--jobs", "2"]
    random = Random(0)
    for _ in range(int(os.environ.get("COURSE_KILLS", "2"))):
        for student in random.sample(students, 4) if scores(course_folder) else students:
            hand_in(student, HONEST)
            (course_folder / "submitted" / student / "small" / "timestamp.txt").write_text(
                f"2026-01-01 00:00:{random.randrange(60):02} UTC"
            )  # handed in once more: there is something to do
        shutil.rmtree(course_folder / ".grading", ignore_errors=True)
        run = subprocess.Popen(command, cwd=course_folder, stderr=subprocess.DEVNULL)
        time.sleep(random.uniform(1, 10))
        children = psutil.Process(run.pid).children(recursive=True) if run.poll() is None else []
        workers = [p for p in children if "spawn_main" in " ".join(p.cmdline())]
        if workers and random.random() < 0.5:
            workers[0].kill()
            assert run.wait(timeout=600) == 0, "it goes on with other workers"
            assert scores(course_folder) == dict.fromkeys(students, 2)
        run.kill()
        run.wait()
        gone, alive = psutil.wait_procs(children, timeout=120)
        assert not alive, "workers and sandboxes end with the command"
        assert set(scores(course_folder).values()) <= {2, None}
    done = subprocess.run(command, cwd=course_folder, capture_output=True, text=True)
    assert done.returncode == 0 and "8 submissions" in done.stdout, done.stderr
    assert scores(course_folder) == dict.fromkeys(students, 2)


def test_dask_workers_decide_the_same(course_folder, hand_in):
    distributed = pytest.importorskip("distributed", reason="the extra `cluster` brings it")
    for student, submission in {"ada": HONEST, "bob": WRONG}.items():
        hand_in(student, submission)
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**options, silence_logs=50) as cluster:
        judge_all = partial(judge_on_cluster, scheduler=cluster.scheduler_address)
        assert set(states(course_folder, judge_all).values()) == {"graded"}
    assert scores(course_folder) == {"ada": 2, "bob": 0}


def test_a_folder_that_would_not_use_the_judge_is_refused(course_folder):
    with pytest.raises(ValueError, match="nbgrader_config.py"):
        Course(course_folder / "notebooks")
    with pytest.raises(ValueError, match="generate_assignment"):
        list(Course(course_folder).grade("large", judge_here))
    with pytest.raises(ValueError, match="level must be one of"):
        Course(course_folder, "safe")
    (course_folder / "nbgrader_config.py").write_text("c = get_config()\n")
    with pytest.raises(ValueError, match="Judge"):
        Course(course_folder)


def test_seeds_of_hidden_cases_are_kept_for_an_appeal(course_folder, hand_in, here):
    hand_in("ada", HONEST)
    states(course_folder, here)
    path = course_folder / "autograded" / "ada" / "small" / "small.ipynb"
    cells = {
        cell.metadata.nbgrader.grade_id: cell
        for cell in nbformat.read(path, as_version=4).cells
        if "nbgrader" in cell.metadata
    }
    (seed,) = cells["check-greedy"].metadata.course.seeds
    assert seed > 0
