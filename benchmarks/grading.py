"""How fast is a class graded? Against stock `nbgrader autograde`, on the same submissions.

    python benchmarks/grading.py    # about 10 minutes

One assignment of eight small exercises with nine plain-assert check cells, so that both graders run
the same cells. Whole commands are timed. The course folder is a copy, with a gradebook of its own.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

import nbformat
import psutil
from nbformat.v4 import new_code_cell, new_notebook
from nbgrader.api import Gradebook
from side_by_side import Comparison, Fact, Growth, in_turn, save

from course_lib.grading.sandbox.launcher import strongest_level
from course_lib.notebooks import ROOT

BODIES = {  # name: (right, wrong, check)
    "double": ("2 * x", "x", "f(3) == 6"),
    "mean": ("x.mean(-1)", "x.mean()", "torch.equal(f(torch.eye(2)), torch.full((2,), 0.5))"),
    "largest": ("int(x.argmax())", "0", "f(torch.tensor([1.0, 3.0, 2.0])) == 1"),
    "shift": ("x - x.max()", "x", "f(torch.tensor([1.0, 2.0])).max() == 0"),
    "words": ("x.split()", "list(x)", "f('a b') == ['a', 'b']"),
    "squares": ("[i * i for i in x]", "x", "f([1, 2]) == [1, 4]"),
    "transposed": ("x.T", "x", "f(torch.zeros(2, 3)).shape == (3, 2)"),
    "count": ("len(set(x))", "len(x)", "f('aab') == 2"),
}
STOCK = 'c = get_config()\nc.CourseDirectory.source_directory = "notebooks"\n'


def assignment() -> nbformat.NotebookNode:
    """The instructor's notebook."""
    marks = {"schema_version": 3, "task": False, "solution": False, "grade": False, "locked": False}
    cells = [new_code_cell("import torch")]
    for name, (right, _, check) in BODIES.items():
        answer = marks | {"grade_id": name, "solution": True}
        text = f"def {name}(x):\n    ### BEGIN SOLUTION\n    return {right}\n    ### END SOLUTION"
        cells.append(new_code_cell(text, metadata={"nbgrader": answer}))
        for number in range(2 if name == "double" else 1):
            test = marks | {"grade_id": f"check-{name}-{number}", "grade": True, "locked": True}
            source = f"f = {name}\nassert {check}"
            cells.append(new_code_cell(source, metadata={"nbgrader": test | {"points": 1}}))
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel})


def make_course(folder: Path, n_students: int, stock: bool) -> None:
    """A course folder with submissions, each wrong in another way."""
    path = folder / "notebooks" / "toy" / "toy.ipynb"
    path.parent.mkdir(parents=True)
    nbformat.write(assignment(), path)
    config = STOCK
    if not stock:
        config = (ROOT / "nbgrader_config.py").read_text()
        config += f"\nc.Judge.level = {strongest_level()!r}\n"
    (folder / "nbgrader_config.py").write_text(config)
    run(folder, "nbgrader", "generate_assignment", "toy")
    for student in range(n_students):
        submitted = folder / "submitted" / f"s{student:04d}" / "toy" / "toy.ipynb"
        submitted.parent.mkdir(parents=True)
        notebook = nbformat.read(folder / "release" / "toy" / "toy.ipynb", as_version=4)
        for number, (name, (right, wrong, _)) in enumerate(BODIES.items()):
            is_right = student >> number & 1
            source = f"def {name}(x):\n    return {right if is_right else wrong}  # {student}"
            cell = next(
                c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") == name
            )
            cell.source = source
        nbformat.write(notebook, submitted)


def run(folder: Path, *command: str) -> float:
    """Run a command of the course's Python in a folder; its seconds."""
    start = time.perf_counter()
    scripts = Path(sys.executable).parent  # nbgrader calls alembic, which is there
    environment = os.environ | {"PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}
    line = [sys.executable, "-m", *command]
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise RuntimeError(f"{command} failed: {done.stderr[-2000:]}")
    return time.perf_counter() - start


def forget_grades(folder: Path) -> None:
    """Before grading again: nothing found, nothing graded."""
    for name in (".grading", "autograded"):
        shutil.rmtree(folder / name, ignore_errors=True)


def scores(folder: Path) -> dict[str, float]:
    """Everybody's marks, as the gradebook has them."""
    with Gradebook(f"sqlite:///{folder / 'gradebook.db'}") as gradebook:
        return {s.student.id: s.score for s in gradebook.assignment_submissions("toy")}


class Memory(threading.Thread):
    """Watches the sandboxes' processes: the largest one's memory, and a session's own."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.zygote = self.session = 0
        self.done = threading.Event()

    def run(self) -> None:
        while not self.done.wait(0.05):
            for process in psutil.Process().children(recursive=True):
                try:
                    if "course_lib.grading.sandbox.server" not in process.cmdline():
                        continue
                    memory = process.memory_full_info()
                    in_session = "course_lib.grading.sandbox.server" in process.parent().cmdline()
                except (psutil.Error, AttributeError):  # it has ended meanwhile
                    continue
                self.zygote = max(self.zygote, memory.rss)
                if in_session:
                    self.session = max(self.session, memory.uss)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--students", type=int, default=20)
    parser.add_argument("--more", type=int, default=100, help="for the cost of one more submission")
    parser.add_argument("--many", type=int, default=200)
    options = parser.parse_args()
    one, n, more, many = 1, options.students, options.more, options.many
    with tempfile.TemporaryDirectory() as where:

        def course(students: int, stock: bool) -> Path:
            folder = Path(where) / f"{'stock' if stock else 'ours'}-{students}"
            make_course(folder, students, stock)
            return folder

        stock = {students: course(students, stock=True) for students in (one, n)}
        ours = {students: course(students, stock=False) for students in (n, more, many)}

        def grade(folder: Path, *command: str) -> None:
            forget_grades(folder)
            run(folder, *command)

        autograde = ("nbgrader", "autograde", "toy")
        one_job = ("course_lib", "grade", "toy", "--jobs", "1")
        two_jobs = ("course_lib", "grade", "toy", "--jobs", "2")
        ways = {
            "stock": partial(grade, stock[n], *autograde),
            "stock, one": partial(grade, stock[one], *autograde),
            "1 job": partial(grade, ours[n], *one_job),
            "1 job, more": partial(grade, ours[more], *one_job),
            "2 jobs, more": partial(grade, ours[more], *two_jobs),
        }
        seconds = in_turn(ways, options.rounds, warm_up=0)
        if not scores(stock[n]) == scores(ours[n]):
            raise RuntimeError("other marks than stock nbgrader gives")
        total = run(ours[many], *one_job)
        again = run(ours[many], *one_job)
        watch = Memory()
        watch.start()
        grade(ours[n], *one_job)
        watch.done.set()

    def each_more(long: str, short: str, submissions: int) -> list[float]:
        """Seconds of one more submission: what is left when the start is taken off."""
        pairs = zip(seconds[long], seconds[short], strict=True)
        return [(a - b) / submissions for a, b in pairs]

    stock_each = each_more("stock", "stock, one", n - one)
    peer = "stock `nbgrader autograde`"
    start = (
        "a command's start, about {:.1f} s (Python, torch and nbgrader in two processes, torch in "
        "the sandbox); stock starts in less and pays for each submission"
    ).format(statistics.median(seconds["1 job"]) - n * statistics.median(
        each_more("1 job, more", "1 job", more - n)
    ))  # fmt: skip
    whole = f"{n} submissions, whole command"
    comparisons = [
        Comparison(f"{whole}, `--jobs 1`", peer, seconds["1 job"], seconds["stock"], 13, start),
        Comparison("one more submission, `--jobs 1`", peer,
                   each_more("1 job, more", "1 job", more - n), stock_each, 13),
        Comparison("one more submission, `--jobs 2`", peer,
                   each_more("2 jobs, more", "1 job", more - n), stock_each),
    ]  # fmt: skip
    each = [statistics.median(each_more("1 job, more", "1 job", more - n))]
    each.append((total - statistics.median(seconds["1 job, more"])) / (many - more))
    thousand = total + (1000 - many) * each[1]
    typical = {name: statistics.median(times) for name, times in seconds.items()}
    ours_whole = [typical["1 job"], typical["1 job, more"], total]
    stock_whole = [typical["stock, one"], typical["stock"]]
    save(
        "grading",
        "Grading a class",
        comparisons,
        [
            Growth("grading, `course grade`", "submissions", [n, more, many], ours_whole),
            Growth("grading, stock", "submissions", [one, n], stock_whole),
        ],
        [
            Fact(f"one more submission, from {n} to {more}", each[:1], "s"),
            Fact(f"one more submission, from {more} to {many}", each[1:], "s"),
            Fact(f"{many} submissions, `--jobs 1`, whole command", [total], "s"),
            Fact("the same again, nothing changed", [again], "s"),
            Fact("projected: 1,000 submissions", [thousand / 60], "min"),
            Fact("memory of the warm process", [watch.zygote / 2**20], "MiB"),
            Fact("memory of a submission's own process beside it", [watch.session / 2**20], "MiB"),
        ],
        notes=[
            "An assignment of 8 exercises and 9 check cells of plain asserts, each submission "
            f"wrong in another way; the same marks from both. Sandbox: `{strongest_level()}`. With "
            "one job, one process judges while another writes the gradebook."
        ],
    )


if __name__ == "__main__":
    main()
