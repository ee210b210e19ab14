"""Many cases at once: processes on this machine, or Dask workers on many.

Workers get a case as plain data and give back a finding. They see no gradebook and no other
submission. A case whose worker dies is tried again alone, so it takes nobody down with it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing.connection import wait as wait_for

from course_lib.grading.case import Case, Finding, decide
from course_lib.grading.door import Refused
from course_lib.grading.sandbox import SandboxUnavailable

_lock = threading.Lock()  # a Dask worker may have threads; a process has one sandbox
Decided = tuple[Case, Finding | Refused]


def decide_alone(case: Case) -> Finding:
    """`decide`, one at a time in a process."""
    with _lock:
        return decide(case)


def decide_here(cases: Iterable[Case], jobs: int = 1) -> Iterator[Decided]:
    """Decide cases in `jobs` processes of this machine, in whatever order they come out.

    Raises:
        ValueError: `jobs` is below 1.
        SandboxUnavailable: the sandbox does not work here.
    """
    if jobs < 1:
        raise ValueError(f"jobs must be at least 1, got {jobs}")
    waiting, suspects = iter(cases), []
    ahead = 2 * jobs  # so that nobody waits for work while the caller writes down what came out
    while batch := list(islice(waiting, ahead)):  # as long as nothing breaks, one pool does all
        running: dict[Future, Case] = {}
        with _pool(jobs) as pool:
            try:
                while batch or running:
                    while batch:
                        future = pool.submit(decide_alone, batch[-1])
                        running[future] = batch.pop()
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        yield running[future], _result(future)
                        del running[future]
                    batch = list(islice(waiting, len(done)))
            except BrokenProcessPool:
                suspects += [*batch, *running.values()]
    for case in suspects:
        yield case, _alone(case)


def _alone(case: Case, tries: int = 2) -> Finding | Refused:
    """A case that ran when a worker died, with a process to itself."""
    for _ in range(tries):
        with _pool(1) as pool:
            try:
                return _result(pool.submit(decide_alone, case))
            except BrokenProcessPool:
                continue
    return Refused(f"whoever judges it is killed, {tries + 1} times now")


def _pool(jobs: int) -> ProcessPoolExecutor:
    spawn = multiprocessing.get_context("spawn")  # torch has threads, which a fork would not have
    return ProcessPoolExecutor(jobs, mp_context=spawn, initializer=_end_with_the_parent)


def _end_with_the_parent() -> None:
    """A worker whose parent was killed would wait for work for ever; Ctrl-C is the parent's."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def watch() -> None:
        wait_for([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _result(future: Future) -> Finding | Refused:
    """What a worker found, for `concurrent.futures` and Dask alike."""
    try:
        return future.result()
    except (BrokenProcessPool, SandboxUnavailable):
        raise
    except Exception as error:  # noqa: BLE001 - one case must not stop the others
        return Refused(f"it could not be judged: {type(error).__name__}: {error}")


def decide_on_cluster(cases: Iterable[Case], scheduler: str) -> Iterator[Decided]:
    """Decide cases on the workers of a Dask scheduler (`tcp://host:8786`), as they come out.

    The workers need the same version of the course and a sandbox of the same level.

    Raises:
        ImportError: `distributed` is not installed (the extra `cluster` brings it).
        OSError: no scheduler answers there.
    """
    from distributed import Client, as_completed

    with Client(scheduler, set_as_default=False) as client:
        cases = list(cases)
        futures = client.map(decide_alone, cases, pure=False)
        case_of = {future.key: case for future, case in zip(futures, cases, strict=True)}
        for future in as_completed(futures, loop=client.loop):
            yield case_of[future.key], _result(future)
