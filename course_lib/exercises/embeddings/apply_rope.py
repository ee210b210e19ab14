"""What `embeddings.apply_rope` demands."""

from __future__ import annotations

import torch

from course_lib import embeddings
from course_lib.checks.exercise import Case, Exercise, compares_gradients, gradient_of

apply_rope = Exercise(
    "embeddings.apply_rope",
    points=4,
    reference=embeddings.apply_rope,
    tolerance=1e-3,  # learners may count angles in float32
)


@apply_rope.cases
def _(draw):
    def positions(time, highest=60):
        return torch.randperm(highest, generator=draw.generator)[:time]

    yield Case(
        "one pair of channels, position 1", {"x": draw.normal(1, 2), "positions": torch.tensor([1])}
    )
    yield Case("position 0 turns nothing", {"x": draw.normal(1, 4), "positions": torch.tensor([0])})
    yield Case("three positions in order", {"x": draw.normal(3, 4), "positions": torch.arange(3)})
    yield Case(
        "positions that start at 7", {"x": draw.normal(2, 6), "positions": torch.arange(7, 9)}
    )
    yield Case(
        "positions in no order, one twice",
        {"x": draw.normal(5, 4), "positions": positions(4).repeat(2)[:5]},
    )
    yield Case("a batch of two", {"x": draw.normal(2, 3, 6, scale=3.0), "positions": positions(3)})
    far = {"x": draw.normal(3, 6), "positions": torch.tensor([511, 512, 700])}
    yield Case("positions above 511", far)
    yield Case("one batch, one head, one token",
               {"x": draw.normal(1, 1, 1, 4), "positions": torch.tensor([3])})  # fmt: skip
    heads = {"x": draw.normal(2, 3, 5, 8), "positions": positions(5)}
    yield Case("batch and heads", heads)
    base = {
        "x": draw.normal(3, 8),
        "positions": positions(3),
        "base": float(draw.random.randint(20, 900)),
    }
    yield Case("another base", base)
    yield Case("double precision", {"x": draw.normal(4, 6).double(), "positions": positions(4)})
    yield Case("the gradient", {"x": draw.normal(3, 4), "positions": positions(3)}, _gradient)
    if draw.hidden:
        yield Case(
            "a longer text", {"x": draw.normal(2, 4, 17, 12), "positions": positions(17, 150)}
        )


@compares_gradients
def _gradient(solution, x, positions):
    """The gradient of the sum of cubes: that of the squares is 2x, whatever the angles."""
    return gradient_of(0)(lambda x: solution(x, positions).abs() ** 1.5, x)


def _rope_angles(x, positions, base):
    return positions[:, None] / base ** (torch.arange(0, x.shape[-1], 2) / x.shape[-1])


def _turn_halves(x, angles):
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)


@apply_rope.misconception
def pairs_neighbouring_channels(x, positions, base=10_000.0):
    """You turn channels 2i and 2i + 1 together, as the paper does. This course turns i and
    i + d_k/2, the halves, as LLaMA's checkpoints do: same idea, other channels."""
    angles = _rope_angles(x, positions, base)
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1).flatten(-2)


@apply_rope.misconception
def mixes_the_two_pairings(x, positions, base=10_000.0):
    """The angles are laid out for neighbouring channels (each twice in a row), but the turn pairs
    the two halves. Channels i and i + d_k/2 must share an angle: the list of angles comes twice,
    one copy after the other."""
    angles = _rope_angles(x, positions, base).repeat_interleave(2, dim=-1)
    first, second = x.chunk(2, dim=-1)
    turned = torch.cat([-second, first], dim=-1)
    return x * angles.cos().to(x.dtype) + turned * angles.sin().to(x.dtype)


@apply_rope.misconception
def counts_from_zero_whatever_the_positions(x, positions, base=10_000.0):
    """The angles must follow the argument `positions`. Yours numbers the steps 0, 1, 2, ...,
    which goes wrong as soon as a cache or padding makes positions start elsewhere."""
    return _turn_halves(x, _rope_angles(x, torch.arange(x.shape[-2]), base))


@apply_rope.misconception
def turns_the_other_way(x, positions, base=10_000.0):
    """A turn by a positive angle takes (1, 0) to (cos, sin). Yours goes the other way round: look
    at the sign of the two sines."""
    return _turn_halves(x, -_rope_angles(x, positions, base))


@apply_rope.misconception
def reuses_the_half_it_has_turned(x, positions, base=10_000.0):
    """The second half is computed from the first half as it was BEFORE the turn. In yours the
    first half has already been replaced when the second needs it."""
    angles = _rope_angles(x, positions, base)
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    first, second = x.chunk(2, dim=-1)
    first = first * cos - second * sin
    second = first * sin + second * cos
    return torch.cat([first, second], dim=-1)


@apply_rope.misconception
def turns_every_pair_by_the_same_angle(x, positions, base=10_000.0):
    """Every pair of channels turns by the same angle. Pair i should turn base^(2i / d_k) times
    slower than pair 0, so that some pairs tell near from far."""
    return _turn_halves(x, positions[:, None].float())


@apply_rope.misconception
def uses_half_the_exponent_for_rope(x, positions, base=10_000.0):
    """The exponent of pair i is 2i / d_k: it runs from 0 almost to 1. Yours is i / d_k, so the slow
    turns are missing."""
    d_k = x.shape[-1]
    return _turn_halves(x, positions[:, None] / base ** (torch.arange(d_k // 2) / d_k))


@apply_rope.misconception
def doubles_the_exponent(x, positions, base=10_000.0):
    """Your exponent is twice as large as it should be. The exponent of pair i is 2i / d_k; where
    you count 0, 2, 4, ... already, that is 2i, and must not be doubled once more."""
    d_k = x.shape[-1]
    return _turn_halves(x, positions[:, None] / base ** (2 * torch.arange(0, d_k, 2) / d_k))


@apply_rope.misconception
def turns_the_first_half_alone(x, positions, base=10_000.0):
    """The first half of your channels is turned, the second is as it was. Both halves of a pair
    change: the second becomes x sin + y cos."""
    turned, _ = _turn_halves(x, _rope_angles(x, positions, base)).chunk(2, dim=-1)
    return torch.cat([turned, x.chunk(2, dim=-1)[1]], dim=-1)


@apply_rope.misconception
def swaps_sine_and_cosine(x, positions, base=10_000.0):
    """Sine and cosine have changed places. At position 0 nothing turns, and there the cosine is 1
    and the sine 0."""
    return _turn_halves(x, torch.pi / 2 - _rope_angles(x, positions, base))


@apply_rope.misconception
def multiplies_the_angle_by_the_power(x, positions, base=10_000.0):
    """The angle is the position divided by base^(2i / d_k), so later pairs turn slower. Yours
    multiplies, and they spin faster without end."""
    powers = base ** (torch.arange(0, x.shape[-1], 2) / x.shape[-1])
    return _turn_halves(x, positions[:, None] * powers)


@apply_rope.misconception
def has_a_fixed_base(x, positions, base=10_000.0):
    """With the usual base this is right, but `base` is an argument: put it in place of the number
    10000."""
    return _turn_halves(x, _rope_angles(x, positions, 10_000.0))


@apply_rope.misconception
def adds_the_waves(x, positions, base=10_000.0):
    """This adds sines and cosines to x, as the original transformer does to its embeddings. Rotary
    positions add nothing: they turn each pair of channels, and every length stays as it is."""
    angles = _rope_angles(x, positions, base)
    return x + torch.cat([angles.sin(), angles.cos()], dim=-1).to(x.dtype)


@apply_rope.alternative
def with_rotate_half(x, positions, base=10_000.0):
    """x cos + rotate_half(x) sin, as most libraries write it."""
    speeds = 1.0 / base ** (torch.arange(0, x.shape[-1], 2).float() / x.shape[-1])
    angles = torch.outer(positions.float(), speeds).repeat(1, 2)
    half = x.shape[-1] // 2
    rotated = torch.cat([-x[..., half:], x[..., :half]], dim=-1)
    return x * angles.cos().to(x.dtype) + rotated * angles.sin().to(x.dtype)


@apply_rope.alternative
def with_complex_numbers(x, positions, base=10_000.0):
    """A turn is a product with exp(i angle)."""
    points = torch.complex(*x.chunk(2, dim=-1))
    angles = _rope_angles(x, positions, base).to(x.dtype)
    turned = points * torch.polar(torch.ones_like(angles), angles)
    return torch.cat([turned.real, turned.imag], dim=-1)


@apply_rope.alternative
def with_rotation_matrices(x, positions, base=10_000.0):
    """One 2 x 2 matrix for each position and pair."""
    angles = _rope_angles(x, positions, base).to(x.dtype)
    rows = [
        torch.stack([angles.cos(), -angles.sin()], -1),
        torch.stack([angles.sin(), angles.cos()], -1),
    ]
    matrices = torch.stack(rows, dim=-2)  # [time, pair, 2, 2]
    points = torch.stack(x.chunk(2, dim=-1), dim=-1)  # [..., time, pair, 2]
    return torch.einsum("tpij,...tpj->...itp", matrices, points).movedim(-3, -2).flatten(-2)
