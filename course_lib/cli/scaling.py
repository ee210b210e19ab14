"""`course fit-scaling`: a scaling law for somebody's own trainings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from course_lib.cli.base import app, console, ending, stop


@app.command("fit-scaling")
def fit_scaling(
    file: Annotated[Path, typer.Argument(help="CSV with params, tokens or flops, and loss")],
    budget: Annotated[float | None, typer.Option(help="training FLOPs to spend")] = None,
    bootstrap: Annotated[int, typer.Option(help="refits for the intervals", min=0)] = 1000,
    quick: Annotated[bool, typer.Option(help="only the most promising starts")] = False,
    figure: Annotated[Path | None, typer.Option(help="where the figure goes")] = None,
) -> None:
    """Fit a scaling law to your own trainings: constants, intervals, the best use of a budget."""
    from course_lib.plots.scaling import fit_chart
    from course_lib.scaling import (
        CONSTANTS,
        compute_optimal,
        fit_parametric,
        middle,
        parametric_loss,
        read_runs,
        screened_grid,
    )

    if budget is not None and not budget > 0:
        raise stop(f"budget must be above 0, got {budget}")
    with ending(OSError, ValueError):
        runs = read_runs(file)
        starts = screened_grid(*runs) if quick else None
        console.print(f"Fitting {len(runs.n)} runs ...")
        law = fit_parametric(*runs, bootstrap=bootstrap, starts=starts)
    budget = 10 * (6 * runs.n * runs.d).max().item() if budget is None else budget
    choices: list[tuple[float, float] | Exception] = []
    for one in (law, *law.refits):
        try:
            choices.append(compute_optimal(budget, one))
        except (ValueError, ArithmeticError) as error:  # more of something makes this law worse
            choices.append(error)

    table = Table("", "fit", "95 % from", "to", box=None)
    rows = {name: (getattr(law, name), law.intervals.get(name)) for name in CONSTANTS}
    best = choices[0]
    others = [choice for choice in choices[1:] if isinstance(choice, tuple)]
    if isinstance(best, tuple):
        for i, name in enumerate(("best parameters", "best tokens")):
            rows[name] = (best[i], middle([choice[i] for choice in others]) if others else None)
    for name, (value, interval) in rows.items():
        table.add_row(name, f"{value:.4g}", *(f"{end:.4g}" for end in interval or ()))
    console.print(table)
    if not isinstance(best, tuple):
        raise stop(f"No best choice by this law: {best}")
    if len(others) < len(law.refits):
        without = len(law.refits) - len(others)
        console.print(f"{without} of {len(law.refits)} refits have no best choice; left out.")
    loss = parametric_loss(*best, law)
    console.print(f"With {budget:.3g} FLOPs (6 N D) the law expects a loss of {loss:.4g}.")
    figure = figure or file.with_suffix(".png")
    fit_chart(runs, law).savefig(figure)
    console.print(f"Figure: {figure}")
