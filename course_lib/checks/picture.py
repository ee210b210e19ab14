"""What was expected and what came as two maps, where tables of numbers are hard to compare."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

_CELL, _GAP, _HEAD = 18, 36, 20  # pixels
_SHORTEST, _LONGEST = 2, 24


def picture(expected: Any, got: Any, tolerance: float) -> str:
    """Two tables as an SVG drawing, larger numbers stronger, with a cross where they differ.

    Drawn are the last two dimensions, at the first place where the two differ; of tuples, the first
    pair that can be drawn. Empty if there are no two tensors of one shape, of floats or booleans,
    with 2 to 24 rows and columns.
    """
    if isinstance(expected, tuple) and isinstance(got, tuple):
        drawn = (picture(one, other, tolerance) for one, other in zip(expected, got, strict=False))
        return next(filter(None, drawn), "")
    both = (expected, got)
    if not all(
        isinstance(t, Tensor) and (t.is_floating_point() or t.dtype == torch.bool) for t in both
    ):
        return ""
    if expected.shape != got.shape or expected.ndim < 2:
        return ""
    n_rows, n_columns = expected.shape[-2:]
    if not all(_SHORTEST <= n <= _LONGEST for n in (n_rows, n_columns)):
        return ""
    tables = [t.detach().double().reshape(-1, n_rows, n_columns) for t in both]
    wrong = ~torch.isclose(tables[0], tables[1], rtol=tolerance, atol=tolerance, equal_nan=True)
    if not wrong.any():
        return ""
    place = int(wrong.any(dim=2).any(dim=1).nonzero()[0])
    crossed = wrong[place]
    where = [int(i) for i in torch.unravel_index(torch.tensor(place), expected.shape[:-2])]
    says = f"{crossed.sum()} of {crossed.numel()} numbers are different"
    says += f" in [{', '.join(map(str, where))}]" if where else ""
    ours, theirs = _shades(tables[0][place], tables[1][place])
    right = n_columns * _CELL + _GAP
    width, height = right + n_columns * _CELL, n_rows * _CELL + _HEAD
    return (
        f'<svg role="img" aria-label="{says}" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" fill="currentColor" stroke="currentColor" stroke-width="0">'
        f"{_map('expected', 0, ours, torch.zeros_like(crossed))}"
        f"{_map('got', right, theirs, crossed)}</svg>"
        f"<p>{says}: each has a cross. The larger a number, the stronger its shade.</p>"
    )


def _shades(expected: Float[Tensor, "r c"], got: Float[Tensor, "r c"]) -> list[Tensor]:
    """Both from 0 to 1, by the smallest and the largest number that was expected."""
    finite = expected[expected.isfinite()]
    low, high = (finite.min(), finite.max()) if len(finite) else (torch.zeros(()), torch.zeros(()))
    span = (high - low).clamp(min=1e-12)
    return [((t - low) / span).nan_to_num(0.0, 1.0, 0.0).clamp(0, 1) for t in (expected, got)]


def _map(name: str, x: int, shades: Float[Tensor, "r c"], crossed: Bool[Tensor, "r c"]) -> str:
    parts = [f'<text x="{x}" y="12" font-size="12">{name}</text>']
    for row, shades_of_row in enumerate(shades.tolist()):
        for column, shade in enumerate(shades_of_row):
            left, top = x + column * _CELL, _HEAD + row * _CELL
            parts.append(
                f'<rect x="{left}" y="{top}" width="{_CELL}" height="{_CELL}" stroke-width="0.3" '
                f'fill-opacity="{0.75 * shade:.2f}"/>'
            )
            if crossed[row, column]:
                a, b, c, d = left + 4, top + 4, left + _CELL - 4, top + _CELL - 4
                parts.append(
                    f'<path d="M{a} {b}L{c} {d}M{a} {d}L{c} {b}" stroke="#d95f02" '
                    f'stroke-width="2.5"/>'
                )
    return "".join(parts)
