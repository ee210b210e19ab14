"""How long does each notebook run, and in how much memory?

    python benchmarks/notebooks.py              # all, one after the other: about 7 minutes
    python benchmarks/notebooks.py 01 09        # only these, and nothing is saved

Each is executed as a learner would run it: in a kernel of its own, with two threads. Memory is that
of the kernel and all its child processes together, looked at five times a second. One round.
"""

from __future__ import annotations

import argparse
import os
import threading
import time

os.environ["OMP_NUM_THREADS"] = "2"  # the kernels inherit it

import nbformat
import psutil
from side_by_side import Fact, save
from tqdm import tqdm

from course_lib.notebooks import execute, notebook_names, notebook_path

MIB = 2**20


class PeakMemory(threading.Thread):
    """While it is open, watches what all child processes of this one hold together."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = 0
        self._done = threading.Event()

    def run(self) -> None:
        me = psutil.Process()
        while not self._done.wait(0.2):
            self.peak = max(self.peak, sum(map(_resident, me.children(recursive=True))))

    def __enter__(self) -> PeakMemory:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self.join()


def _resident(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.NoSuchProcess:  # it has ended since we asked who there is
        return 0


def measure(name: str) -> tuple[float, float]:
    """Seconds from the start of the kernel to its end, and MiB at most."""
    path = notebook_path(name)
    notebook = nbformat.read(path, as_version=4)
    with PeakMemory() as memory:
        start = time.perf_counter()
        execute(notebook, path.parent)
        seconds = time.perf_counter() - start
    return seconds, memory.peak / MIB


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="such as 01 09; none: all, about 7 minutes")
    names = parser.parse_args().names
    chosen = [notebook_path(name).stem for name in names] or notebook_names()

    measured = {}
    for name in (bar := tqdm(chosen)):
        bar.set_description(name)
        seconds, mib = measured[name] = measure(name)
        tqdm.write(f"{name}: {seconds:.1f} s, {mib:,.0f} MiB")
    if names:
        return  # the page is for all of them
    facts = [Fact(name, [seconds], "s", 60) for name, (seconds, _) in measured.items()]
    facts.append(Fact("all of them", [sum(s for s, _ in measured.values())], "s", 600))
    facts += [Fact(f"{name}, memory", [mib], "MiB", 2048) for name, (_, mib) in measured.items()]
    save("notebooks", "The notebooks, executed", facts=facts)


if __name__ == "__main__":
    main()
