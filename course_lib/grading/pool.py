"""Many jobs at once: by processes on this machine, or Dask workers on many.

Workers get a job as plain data and give back a judgement. They see no gradebook and no other
submission. A job whose worker dies is tried again alone, so it takes nobody down with it.
"""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice

from course_lib.grading import worker
from course_lib.grading.intake import Refused
from course_lib.grading.jobs import Job, Judgement, run
from course_lib.grading.sandbox.launcher import SandboxUnavailable

_lock = threading.Lock()  # a Dask worker may have threads; a process has one sandbox
Judged = tuple[Job, Judgement | Refused]


def run_alone(job: Job) -> Judgement:
    """`run`, one at a time in a process."""
    with _lock:
        return run(job)


def judge_here(jobs: Iterable[Job], processes: int = 1) -> Iterator[Judged]:
    """Judge in `processes` processes of this machine, in whatever order they come out.

    Raises:
        ValueError: `processes` is below 1.
        SandboxUnavailable: the sandbox does not work here.
    """
    if processes < 1:
        raise ValueError(f"processes must be at least 1, got {processes}")
    waiting = iter(jobs)
    suspects: list[Job] = []
    ahead = 2 * processes  # nobody waits for work while the caller writes down what came out
    while batch := list(islice(waiting, ahead)):  # as long as nothing breaks, one pool does all
        running: dict[Future[Judgement], Job] = {}
        with _pool(processes) as pool:
            try:
                while batch or running:
                    while batch:
                        future = pool.submit(run_alone, batch[-1])
                        running[future] = batch.pop()
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        yield running[future], _result(future)
                        del running[future]
                    batch = list(islice(waiting, len(done)))
            except BrokenProcessPool:
                suspects += [*batch, *running.values()]
    for job in suspects:
        yield job, _alone(job)


def _alone(job: Job, tries: int = 2) -> Judgement | Refused:
    """A job that ran when a worker died, with a process to itself."""
    for _ in range(tries):
        with _pool(1) as pool:
            try:
                return _result(pool.submit(run_alone, job))
            except BrokenProcessPool:
                continue
    return Refused(f"whoever judges it is killed, {tries + 1} times now")


def _pool(processes: int) -> ProcessPoolExecutor:
    spawn = multiprocessing.get_context("spawn")  # torch has threads, which a fork would not have
    return ProcessPoolExecutor(processes, mp_context=spawn, initializer=worker.begin)


def _result(future: Future[Judgement]) -> Judgement | Refused:
    """What a worker found, for `concurrent.futures` and Dask alike."""
    try:
        return future.result()
    except (BrokenProcessPool, SandboxUnavailable):
        raise
    except Exception as error:  # noqa: BLE001 - one job must not stop the others
        return Refused(f"it could not be judged: {type(error).__name__}: {error}")


def judge_on_cluster(jobs: Iterable[Job], scheduler: str) -> Iterator[Judged]:
    """Judge on the workers of a Dask scheduler (`tcp://host:8786`), as they come out.

    The workers need the same version of the course and a sandbox of the same level.

    Raises:
        ImportError: `distributed` is not installed (the extra `cluster` brings it).
        OSError: no scheduler answers there.
    """
    from distributed import Client, as_completed

    with Client(scheduler, set_as_default=False) as client:
        jobs = list(jobs)
        futures = client.map(run_alone, jobs, pure=False)
        job_of = {future.key: job for future, job in zip(futures, jobs, strict=True)}
        for future in as_completed(futures, loop=client.loop):
            yield job_of[future.key], _result(future)
