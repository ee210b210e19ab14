"""How fast is the parametric fit, and does it arrive? Against SciPy, start by start.

    python benchmarks/scaling_fit.py

One thread each. Times are ratios to SciPy's on the same machine, so that they travel; the seconds
stand beside them. Writes `benchmarks/results/scaling_fit.md`.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import time
from pathlib import Path

import numpy as np
import scipy
import torch
from scipy.optimize import minimize
from scipy.special import huber, logsumexp, softmax
from tqdm import tqdm

from course_lib.scaling import (
    ScalingLaw,
    fit_parametric,
    minimise_huber,
    parametric_loss,
    screened_grid,
    start_grid,
)

DELTA = 1e-3
LAW = ScalingLaw(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28)  # Hoffmann et al. (2022)
BOOTSTRAP = 4000


def runs(n_runs: int = 240, noise: float = 0.01, seed: int = 0) -> tuple[torch.Tensor, ...]:
    """Parameters, tokens and noisy losses of a known law, in the range of Hoffmann et al."""
    generator = torch.Generator().manual_seed(seed)

    def between(low: float, high: float) -> torch.Tensor:
        uniform = torch.rand(n_runs, generator=generator, dtype=torch.float64)
        return low * (high / low) ** uniform

    n, d = between(5e7, 1.6e10), between(1e9, 3e11)
    wobble = noise * torch.randn(n_runs, generator=generator, dtype=torch.float64)
    return n, d, parametric_loss(n, d, LAW) * wobble.exp()


def scipy_minimum(start: np.ndarray, log_n, log_d, log_loss, method: str) -> float:
    """The objective where SciPy ends from one start, with the exact gradient."""

    def objective(point: np.ndarray) -> tuple[float, np.ndarray]:
        a, b, e, alpha, beta = point
        terms = np.stack([a - alpha * log_n, b - beta * log_d, np.full_like(log_n, e)])
        residual = logsumexp(terms, axis=0) - log_loss
        slopes = np.clip(residual / DELTA, -1, 1) * softmax(terms, axis=0)
        by_n, by_d, by_e = slopes.sum(axis=1)
        gradient = [by_n, by_d, by_e, -(slopes[0] * log_n).sum(), -(slopes[1] * log_d).sum()]
        return huber(DELTA, residual).sum() / DELTA, np.array(gradient)

    return minimize(objective, start, jac=True, method=method, options={"maxiter": 10_000}).fun


def timed(work):
    start = time.process_time()
    result = work()
    return result, time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scipy-starts", type=int, default=300, help="how many of the 4,500")
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    n, d, loss = runs()
    logs = [x.log() for x in (n, d, loss)]
    grid = start_grid()
    chosen = torch.randperm(len(grid), generator=torch.Generator().manual_seed(0))
    chosen = chosen[: arguments.scipy_starts]

    lines = [
        "# The parametric fit against SciPy",
        "",
        f"{len(loss)} runs of a known law with 1 % of noise, one thread "
        f"({datetime.date.today():%Y-%m-%d}; {platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, torch {torch.__version__}, SciPy {scipy.__version__}). "
        "Objective: sum of Huber / delta. SciPy gets the exact gradient and the scaled objective.",
        "",
        f"From the same {len(chosen)} starts, drawn from the grid:",
        "",
        "| method | seconds | times as long as ours | best objective | starts within 1e-6 of it |",
        "| --- | --- | --- | --- | --- |",
    ]
    (_, ours), our_seconds = timed(lambda: minimise_huber(grid[chosen], *logs, DELTA))
    found = {"course_lib": (ours, our_seconds)}
    arrays = [x.numpy() for x in logs]
    for method in ("BFGS", "L-BFGS-B"):
        bar = tqdm(grid[chosen].numpy(), f"SciPy {method}")
        ends, seconds = timed(lambda m=method, b=bar: [scipy_minimum(s, *arrays, m) for s in b])
        found[f"SciPy {method}"] = (torch.tensor(ends), seconds)
    best = min(ends.min().item() for ends, _ in found.values())
    for name, (ends, seconds) in found.items():
        share = (ends - best < 1e-6).double().mean()
        lines.append(
            f"| {name} | {seconds:.1f} | {seconds / our_seconds:.1f} | {ends.min():.9f} "
            f"| {share:.0%} |"
        )

    (_, everywhere), full = timed(lambda: minimise_huber(grid, *logs, DELTA))
    screened, quick = timed(lambda: fit_parametric(n, d, loss, starts=screened_grid(n, d, loss)))
    (_, at_screened) = minimise_huber(screened_grid(n, d, loss), *logs, DELTA)
    starts = screened_grid(n, d, loss)
    law, many = timed(lambda: fit_parametric(n, d, loss, bootstrap=BOOTSTRAP, starts=starts))
    arrived = (everywhere - everywhere.min() < 1e-6).double().mean()
    lines += [
        "",
        "| what | seconds |",
        "| --- | --- |",
        f"| all {len(grid):,} starts | {full:.1f} |",
        f"| the {len(starts)} best of them | {quick:.2f} |",
        f"| the same and {BOOTSTRAP:,} refits | {many:.1f} |",
        "",
        f"The best of all {len(grid):,} starts is {everywhere.min():.9f}, that of the screened "
        f"ones {at_screened.min():.9f}; {arrived:.0%} of all starts "
        "end there.",
        "",
        f"The law found, and 95 % intervals of {BOOTSTRAP:,} refits:",
        "",
        "| constant | true | found | low | high |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, (low, high) in law.intervals.items():
        true, got = getattr(LAW, name), getattr(law, name)
        lines.append(f"| {name} | {true:g} | {got:.4g} | {low:.4g} | {high:.4g} |")
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    (results / "scaling_fit.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
