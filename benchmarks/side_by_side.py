"""Time ways of doing the same work in turn, tell how they compare, and keep it as JSON.

Seconds differ between machines and from minute to minute. So all ways run one after the other,
again and again, and what counts is the ratio within each round: its median, and its extremes.
"""

from __future__ import annotations

import datetime
import gc
import json
import math
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

RESULTS = Path(__file__).parent / "results"


def machine() -> str:
    """Where and when it was measured."""
    return (
        f"{datetime.date.today()}, {platform.machine()}, {os.cpu_count()} CPUs, "
        f"Python {platform.python_version()}, torch {torch.__version__}"
    )


def in_turn(
    ways: Mapping[str, Callable[[], object]], rounds: int = 5, warm_up: int = 1
) -> dict[str, list[float]]:
    """The seconds of each way, round after round.

    Args:
        ways: what to call, by name. Each call does the whole work.
        rounds: how often each is timed.
        warm_up: rounds before, not timed.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in tqdm(range(warm_up + rounds), " / ".join(ways), leave=False):
        for name, work in ways.items():
            gc.collect()
            start = time.perf_counter()
            work()
            if number >= warm_up:
                seconds[name].append(time.perf_counter() - start)
    return seconds


@dataclass(frozen=True)
class Comparison:
    """One piece of work, done by us and by a peer, round after round.

    Attributes:
        work: what was done, on how much.
        peer: who did it too.
        ours, theirs: seconds of each round (or another cost: see `unit`).
        goal: how many times our cost theirs should be; None if there is no goal.
        bound: if the goal is not reached, what stops it.
    """

    work: str
    peer: str
    ours: Sequence[float]
    theirs: Sequence[float]
    goal: float | None = None
    bound: str = ""
    unit: str = "s"

    @property
    def ratios(self) -> list[float]:
        """Their cost over ours, round by round: above 1, ours is the cheaper."""
        return [theirs / ours for ours, theirs in zip(self.ours, self.theirs, strict=True)]


@dataclass(frozen=True)
class Growth:
    """How a cost grows with a size: cost = constant * size ** exponent, where it is long enough."""

    work: str
    size: str
    sizes: Sequence[float]
    costs: Sequence[float]
    unit: str = "s"

    @property
    def exponent(self) -> float:
        """The slope of a line through the points in logarithms."""
        return float(np.polyfit(np.log(self.sizes), np.log(self.costs), 1)[0])


@dataclass(frozen=True)
class Fact:
    """A cost of ours that has no peer, with what it should stay under."""

    what: str
    values: Sequence[float]
    unit: str
    at_most: float | None = None


@dataclass(frozen=True)
class Profile:
    """Where the time of a piece of work goes, in the clear way ("before") and in the fast one.

    Each way is (name, seconds, its hottest operations with their percent of the time).
    """

    work: str
    before: tuple[str, float, list[tuple[str, float]]]
    after: tuple[str, float, list[tuple[str, float]]]


def spread(values: Sequence[float]) -> str:
    """Median (lowest to highest), with three significant digits."""

    def short(value: float) -> str:
        digits = max(0, 2 - math.floor(math.log10(abs(value)))) if value else 0
        return f"{value:,.{digits}f}"

    middle = short(statistics.median(values))
    if len(values) == 1:
        return middle
    return f"{middle} ({short(min(values))} to {short(max(values))})"


def save(
    name: str,
    title: str,
    comparisons: Sequence[Comparison] = (),
    growths: Sequence[Growth] = (),
    facts: Sequence[Fact] = (),
    notes: Sequence[str] = (),
    profiles: Sequence[Profile] = (),
) -> None:
    """Keep what was measured in `results/NAME.json`, for `report.py`, and print it."""
    result = {
        "title": title,
        "measured": machine(),
        "comparisons": [asdict(c) for c in comparisons],
        "growths": [asdict(g) for g in growths],
        "facts": [asdict(f) for f in facts],
        "profiles": [asdict(p) for p in profiles],
        "notes": list(notes),
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print("\n".join(section(result)))


def load(name: str) -> dict:
    """What `save` kept."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def section(result: Mapping) -> list[str]:
    """Markdown lines of one result: tables of ratios, of growth, of other costs, and notes."""
    lines = [f"## {result['title']}", "", f"Measured {result['measured']}."]
    if result["comparisons"]:
        lines += ["", "| work | peer | ours | peer's | times the peer's speed | goal |"]
        lines += ["| --- | --- | --- | --- | --- | --- |"]
    for fields in result["comparisons"]:
        c = Comparison(**fields)
        reached = c.goal is None or statistics.median(c.ratios) >= c.goal
        goal = "" if c.goal is None else f"{c.goal:g}" + ("" if reached else f", missed: {c.bound}")
        ours, theirs = (f"{statistics.median(v):.3g} {c.unit}" for v in (c.ours, c.theirs))
        row = [c.work, c.peer, ours, theirs, spread(c.ratios), goal]
        lines.append("| " + " | ".join(row) + " |")
    if result["growths"]:
        lines += ["", "| cost of | grows with | measured at | exponent |"]
        lines += ["| --- | --- | --- | --- |"]
    for fields in result["growths"]:
        g = Growth(**fields)
        span = f"{min(g.sizes):,g} to {max(g.sizes):,g}"
        lines.append(f"| {g.work} | {g.size} | {span} | {g.exponent:.2f} |")
    if result["facts"]:
        lines += ["", "| what | measured | at most |", "| --- | --- | --- |"]
    for fields in result["facts"]:
        f = Fact(**fields)
        limit = "" if f.at_most is None else f"{f.at_most:g} {f.unit}"
        lines.append(f"| {f.what} | {spread(f.values)} {f.unit} | {limit} |")
    if result.get("profiles"):
        lines += ["", "| work | before | after |", "| --- | --- | --- |"]
    for fields in result.get("profiles", []):
        p = Profile(**fields)
        ways = (
            f"{name}, {seconds:.3g} s: " + "; ".join(f"{share:.0f} % {op}" for op, share in hottest)
            for name, seconds, hottest in (p.before, p.after)
        )
        lines.append("| " + " | ".join([p.work, *ways]) + " |")
    for note in result["notes"]:
        lines += ["", note]
    return lines
