"""How long until a learner can work: imports, the `course` command, JupyterLab?

    python benchmarks/start.py

Each is started anew in a process of its own, several times, after one start that does not count.
The learner's copies are made beforehand if they are not there, and removed again.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError

from side_by_side import Fact, save
from tqdm import tqdm

from course_lib.notebooks import ROOT, WORKSPACE

BIN = Path(sys.executable).parent
IDEAS = (
    "attention decoder decoding embeddings encoder encoder_decoder finetuning in_context ngram "
    "objectives pipeline probability scaling tokenization training transformer"
).split()
FIRST = WORKSPACE / "00_start_here" / "00_start_here.ipynb"


def run(*command: str | Path) -> None:
    """Run a command to its end.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def seconds_of(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def import_seconds(*modules: str, after: str = "sys") -> float:
    """What importing takes in a fresh Python, once `after` is imported."""
    code = (
        f"import sys, time, {after}; start = time.perf_counter(); import {', '.join(modules)}; "
        "print(time.perf_counter() - start)"
    )
    command = [sys.executable, "-c", code]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def start_lab() -> float:
    """Seconds from `course lab` to the page of JupyterLab."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}/lab/tree/{FIRST.relative_to(ROOT).as_posix()}?token=learner"
    options = ["--no-browser", f"--port={port}", "--IdentityProvider.token=learner"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.append("--allow-root")

    start = time.perf_counter()
    lab = subprocess.Popen(
        [BIN / "course", "lab", "--", *options],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not page_is_there(url):
            if lab.poll() is not None:
                raise RuntimeError(f"JupyterLab ended with {lab.returncode}")
            time.sleep(0.02)
        return time.perf_counter() - start
    finally:
        lab.terminate()
        lab.wait()


def page_is_there(url: str) -> bool:
    try:
        with urllib.request.urlopen(url) as answer:
            return b"jupyter-config-data" in answer.read()
    except URLError:
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    ideas = [f"course_lib.{idea}" for idea in IDEAS]
    make = ["make", "--old-file=.venv/lab.ready", "lab", "LAB=--version"]  # all is installed
    ways = {
        "import torch": (lambda: import_seconds("torch"), None),
        "import course_lib": (lambda: import_seconds("course_lib"), 0.2),
        "import course_lib.attention, after torch": (
            lambda: import_seconds("course_lib.attention", after="torch"),
            0.2,
        ),
        f"import all {len(IDEAS)} modules of ideas, after torch": (
            lambda: import_seconds(*ideas, after="torch"),
            None,
        ),
        "course --help": (lambda: seconds_of(lambda: run(BIN / "course", "--help")), None),
        "make lab the second time, until it starts JupyterLab": (
            lambda: seconds_of(lambda: run(*make)),
            3,
        ),
        "course lab, until JupyterLab's page is there": (start_lab, 5),
    }

    was_there = WORKSPACE.exists()
    run(BIN / "course", "start")
    try:
        facts = []
        for what, (measure, at_most) in tqdm(ways.items()):
            measure()
            facts.append(Fact(what, [measure() for _ in range(runs)], "s", at_most))
    finally:
        if not was_there:
            shutil.rmtree(WORKSPACE)
    save("start", "Start-up", facts=facts)


if __name__ == "__main__":
    main()
