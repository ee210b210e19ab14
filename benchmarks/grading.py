"""How fast is a class graded? Against stock `nbgrader autograde`, on the same submissions.

    python benchmarks/grading.py            # 20 submissions beside stock, then 200 alone

One assignment of eight small exercises with nine plain-assert check cells, so that both graders run
the same cells. Whole commands are timed, start-up included. Writes `benchmarks/results/grading.md`.
"""

from __future__ import annotations

import argparse
import datetime
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import nbformat
import psutil
from nbformat.v4 import new_code_cell, new_notebook
from nbgrader.api import Gradebook
from tqdm import tqdm

from course_lib.grading.sandbox import strongest_level
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
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, capture_output=True, text=True
    )
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
        while not self.done.wait(0.02):
            for process in psutil.process_iter(["cmdline"]):
                if "course_lib.grading.worker" not in (process.info["cmdline"] or []):
                    continue
                try:
                    memory = process.memory_full_info()
                except psutil.Error:
                    continue
                self.zygote = max(self.zygote, memory.rss)
                if process.parent() and "worker" in " ".join(process.parent().cmdline()):
                    self.session = max(self.session, memory.uss)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--students", type=int, default=20)
    parser.add_argument("--many", type=int, default=200)
    options = parser.parse_args()
    n, many = options.students, options.many
    rows: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as where:
        ours, stock, large = (Path(where) / name for name in ("ours", "stock", "large"))
        make_course(ours, n, stock=False)
        make_course(stock, n, stock=True)
        ways = {
            "stock `nbgrader autograde`": (stock, ["nbgrader", "autograde", "toy"]),
            "`nbgrader autograde`, ours": (ours, ["nbgrader", "autograde", "toy"]),
            "`course grade --jobs 1`": (ours, ["course_lib", "grade", "toy", "--jobs", "1"]),
            "`course grade --jobs 2`": (ours, ["course_lib", "grade", "toy", "--jobs", "2"]),
        }
        for _ in tqdm(range(options.repeats), desc="repeats"):
            for way, (folder, command) in ways.items():
                forget_grades(folder)
                rows.setdefault(way, []).append(run(folder, *command))
                if scores(folder) != scores(stock):
                    raise RuntimeError(f"{way} gives other marks than stock nbgrader")
        make_course(large, many, stock=False)
        watch = Memory()
        watch.start()
        half_done: list[float] = []

        def clock() -> None:
            while not watch.done.wait(0.05):
                if len(list(large.glob("autograded/*"))) >= many // 2:
                    return half_done.append(time.perf_counter())

        start = time.perf_counter()
        threading.Thread(target=clock, daemon=True).start()
        total = run(large, "course_lib", "grade", "toy", "--jobs", "2")
        watch.done.set()
        first = half_done[0] - start
        again = run(large, "course_lib", "grade", "toy", "--jobs", "2")
    write(rows, n, many, first, total, again, watch)


def write(rows, n, many, first, total, again, watch) -> None:
    """The table."""
    lines = [
        "# Grading",
        "",
        f"{n} submissions of one assignment (8 exercises, 9 check cells), whole commands, "
        f"{len(next(iter(rows.values())))} runs in turn; the same marks from all. "
        f"{platform.machine()}, {psutil.cpu_count()} cores, Python {platform.python_version()}, "
        f"sandbox `{strongest_level()}`, {datetime.date.today()}.",
        "",
        "| way | seconds (median) | a submission | times stock's speed (each run) |",
        "| --- | --- | --- | --- |",
    ]
    stock = next(iter(rows.values()))
    for way, seconds in rows.items():
        middle = statistics.median(seconds)
        ratios = ", ".join(f"{s / t:.1f}" for s, t in zip(stock, seconds, strict=True))
        lines.append(f"| {way} | {middle:.1f} | {middle / n:.2f} | {ratios} |")
    lines += [
        "",
        f"{many} submissions with `--jobs 2`: {total:.0f} s, the first half in {first:.0f} s "
        f"(start included), so 1,000 would take about {total / many * 1000 / 60:.0f} minutes. The "
        f"same command again, with nothing changed: {again:.0f} s. The warm process takes "
        f"{watch.zygote / 2**20:.0f} MiB, a submission's own at most {watch.session / 2**20:.0f} "
        "MiB more.",
    ]
    path = Path(__file__).parent / "results" / "grading.md"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
