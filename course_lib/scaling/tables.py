"""Tables of trainings: what a fit takes, and what it refuses."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from course_lib.arguments import check_arguments
from course_lib.scaling.arrays import takes_arrays
from course_lib.shapes import check_shapes

FEWEST_RUNS = 6  # five constants, and one run that could contradict them
FEWEST_SIZES = 3  # a power law with an offset goes through any two


class Runs(NamedTuple):
    """Finished trainings.

    Attributes:
        n: parameters.
        d: tokens.
        loss: nats per token.
    """

    n: Float[Tensor, "runs"]
    d: Float[Tensor, "runs"]
    loss: Float[Tensor, "runs"]


@takes_arrays
@check_shapes
def check_runs(
    n: Float[Tensor, "runs"], d: Float[Tensor, "runs"], loss: Float[Tensor, "runs"]
) -> None:
    """Refuse what no parametric law can be fitted to.

    Raises:
        ValueError: a number is not finite or not above 0; fewer than six runs; fewer than three
            different model sizes, or numbers of tokens.
    """
    for name, numbers in {"n": n, "d": d, "loss": loss}.items():
        wrong = ~(numbers.isfinite() & (numbers > 0))
        if wrong.any():
            place = int(wrong.nonzero()[0])
            raise ValueError(
                f"{name} must be finite and above 0, got {numbers[place]} in run {place + 1}"
            )
    if len(loss) < FEWEST_RUNS:
        raise ValueError(f"loss must have at least {FEWEST_RUNS} runs, got {len(loss)}")
    for name, numbers, what in (("n", n, "model sizes"), ("d", d, "numbers of tokens")):
        different = len(numbers.unique())
        if different < FEWEST_SIZES:
            raise ValueError(
                f"{name} must have at least {FEWEST_SIZES} different {what}, got {different}"
            )


@check_arguments
def read_runs(path: str | Path) -> Runs:
    """Read a table of trainings (CSV with a header).

    Its columns: `params`; `tokens`, or `flops` from which the tokens follow (D = C / 6 N); `loss`.
    Others are not looked at.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a column or a number is missing, or no number; or as in `check_runs`.
    """
    with Path(path).open(
        newline="", encoding="utf-8-sig"
    ) as file:  # spreadsheets begin with a mark
        table = csv.DictReader(file, skipinitialspace=True)
        names = table.fieldnames or []
        lines = list(table)
    cost = "tokens" if "tokens" in names else "flops"
    for name in ("params", cost, "loss"):
        if name not in names:
            wanted = "params, tokens or flops, loss"
            raise ValueError(f"{path} must have the columns {wanted}, got {', '.join(names)}")
    n, cost_of, loss = (_column(lines, name, path) for name in ("params", cost, "loss"))
    d = cost_of if cost == "tokens" else cost_of / (6 * n)
    check_runs(n, d, loss)
    return Runs(n, d, loss)


def _column(lines: list[dict[str, str]], name: str, path: str | Path) -> Float[Tensor, "runs"]:
    numbers = []
    for place, line in enumerate(lines, 2):  # line 1 is the header
        try:
            numbers.append(float(line[name] or ""))
        except ValueError:
            got = repr(line[name]) if line[name] else "nothing"
            raise ValueError(f"{path}, line {place}: {name} must be a number, got {got}") from None
        if not numbers[-1] > 0:
            raise ValueError(f"{path}, line {place}: {name} must be above 0, got {line[name]}")
    return torch.tensor(numbers, dtype=torch.float64)
