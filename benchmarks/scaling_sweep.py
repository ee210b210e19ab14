"""The sweep of notebook 10: how loss falls with parameters and tokens, on text of known entropy.

Six budgets, eight sizes around the valley of each, three seeds: 144 trainings, and 16 more for the
learning rate. They do not depend on one another and run in as many processes as you allow.
What is done is kept in a log: run the same command again after an interruption, and it goes on.

    python benchmarks/scaling_sweep.py --workers 2

At the end it writes `course_lib/data/scaling_sweep.csv` (a row a training) and
`scaling_curves.csv` (the loss on the way) there, and `benchmarks/results/scaling_sweep.md`.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path

import torch
from side_by_side import machine
from tqdm import tqdm

from course_lib.experiments.scaling import Run, run_training

BUDGETS = (4e9, 1e10, 2.5e10, 6.3e10, 1.6e11, 4e11)
WIDTHS = (6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96)
SIZES_A_BUDGET = 8  # budget i takes eight widths from WIDTHS[i] on: the valley moves to the right
SEEDS = (0, 1, 2)
RATES = (0.2, 0.4, 0.8)  # the sweep runs at 0.4; the others are tried at RATES_BUDGET, seed 0
RATES_BUDGET = 2.5e10

HERE = Path(__file__).parent
DATA = HERE.parent / "course_lib" / "data"


def widths_of(budget: float) -> tuple[int, ...]:
    first = BUDGETS.index(budget)
    return WIDTHS[first : first + SIZES_A_BUDGET]


def all_runs() -> list[Run]:
    """Seed by seed, small budgets first, the largest budget last."""

    def sweep(budgets: Sequence[float]) -> list[Run]:
        every = itertools.product(SEEDS, budgets)
        return [Run(width, budget, seed) for seed, budget in every for width in widths_of(budget)]

    rates = itertools.product(RATES, widths_of(RATES_BUDGET))
    trials = [Run(width, RATES_BUDGET, 0, rate) for rate, width in rates if rate != Run.rate]
    return sweep(BUDGETS[:-1]) + trials + sweep(BUDGETS[-1:])


def read_log(log: Path) -> dict[Run, dict]:
    """What is done so far; a line that an interruption cut short is left out."""
    done = {}
    for line in log.read_text().splitlines() if log.exists() else []:
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            continue
        done[Run(**entry["run"])] = entry["result"]
    return done


def run_all(log: Path, workers: int) -> dict[Run, dict]:
    done = read_log(log)
    todo = [run for run in all_runs() if run not in done]
    log.parent.mkdir(parents=True, exist_ok=True)
    one_thread = {"initializer": torch.set_num_threads, "initargs": (1,)}
    with ProcessPoolExecutor(workers, **one_thread) as pool, log.open("a") as file:
        running = {pool.submit(run_training, run): run for run in todo}
        bar = tqdm(as_completed(running), initial=len(done), total=len(done) + len(todo))
        for future in bar:
            run = running[future]
            done[run] = future.result()
            file.write("\n" + json.dumps({"run": asdict(run), "result": done[run]}))
            file.flush()
    return done


def write_tables(done: dict[Run, dict], folder: Path) -> None:
    sweep = [run for run in done if run.rate == Run.rate]
    names = [name for name in done[sweep[0]] if name != "curve"]
    with (folder / "scaling_sweep.csv").open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["budget", *names])
        for run in sweep:
            table.writerow([f"{run.flops:g}", *(_short(done[run][name]) for name in names)])
    with (folder / "scaling_curves.csv").open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["params", "tokens", "flops", "loss", "budget", "seed"])
        for run in sweep:
            n_params = done[run]["params"]
            for tokens, loss in done[run]["curve"]:
                row = [n_params, tokens, 6 * n_params * tokens, _short(loss)]
                table.writerow([*row, f"{run.flops:g}", run.seed])


def _short(value: float) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def report(done: dict[Run, dict]) -> str:
    """The sweep in words, and how much the learning rate matters."""
    hours = sum(result["seconds"] for result in done.values()) / 3600
    lines = [
        "# The scaling sweep",
        "",
        f"{len(done)} trainings, {hours:.2f} hours of one core in all ({machine()}).",
        "",
        "Held-out loss (nats per token), mean over the seeds, and their standard deviation:",
        "",
        "| budget | width | parameters | tokens | seeds | loss | deviation |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for budget in BUDGETS:
        for width in widths_of(budget):
            rows = [r for run, r in done.items() if run == Run(width, budget, run.seed)]
            if rows:
                loss = torch.tensor([row["loss"] for row in rows])
                deviation = f"{loss.std():.3f}" if len(rows) > 1 else ""
                lines.append(
                    f"| {budget:g} | {width} | {rows[0]['params']} | {rows[0]['tokens']:.3g} "
                    f"| {len(rows)} | {loss.mean():.3f} | {deviation} |"
                )
    widths = widths_of(RATES_BUDGET)
    lines += ["", f"Was the learning rate right? Loss at {RATES_BUDGET:g} FLOPs, seed 0:", ""]
    lines += ["| learning rate | " + " | ".join(f"width {w}" for w in widths) + " |"]
    lines += ["| --- " * (len(widths) + 1) + "|"]
    for rate in RATES:
        losses = [done.get(Run(w, RATES_BUDGET, 0, rate), {}).get("loss") for w in widths]
        cells = " | ".join("" if loss is None else f"{loss:.3f}" for loss in losses)
        lines.append(f"| {rate} / width | {cells} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument("--log", type=Path, default=HERE / "results" / "scaling_sweep.jsonl")
    parser.add_argument("--tables", type=Path, default=DATA, help="the folder for the tables")
    parser.add_argument("--only-tables", action="store_true", help="of what is done; train nothing")
    arguments = parser.parse_args()
    only_read = arguments.only_tables
    done = read_log(arguments.log) if only_read else run_all(arguments.log, arguments.workers)
    done = {run: done[run] for run in all_runs() if run in done}  # a log may hold older plans
    write_tables(done, arguments.tables)
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / "scaling_sweep.md").write_text(report(done))


if __name__ == "__main__":
    main()
