"""What `embeddings.sinusoidal_positions` demands."""

from __future__ import annotations

import math

import torch

from course_lib import embeddings
from course_lib.checks.exercise import Case, Exercise, refuses

sinusoidal_positions = Exercise(
    "embeddings.sinusoidal_positions",
    points=2,
    reference=embeddings.sinusoidal_positions,
    tolerance=1e-3,  # learners may count in float32
)


@sinusoidal_positions.cases
def _(draw):
    yield Case("two positions, one wave", {"length": 2, "width": 2})
    yield Case("three positions, two waves", {"length": 3, "width": 4})
    yield Case("more channels than positions", {"length": 2, "width": 10})
    yield Case("more positions than channels", {"length": draw.random.randint(9, 20), "width": 6})
    base = float(draw.random.randint(20, 900))
    yield Case("another base", {"length": 5, "width": 6, "base": base})
    yield Case("a single position", {"length": 1, "width": 6})
    yield Case("positions above 511", {"length": 600, "width": 4})
    yield refuses("an odd width", {"length": 3, "width": 5}, naming="width")
    if draw.hidden:
        sizes = {"length": draw.random.randint(60, 120), "width": 2 * draw.random.randint(6, 20)}
        yield Case("a long text", sizes)


def _waves(length, width, base, angles=None):
    """Sines on even channels, cosines on odd ones, of the given angles [length, width / 2]."""
    angles = _angles(length, width, base) if angles is None else angles
    return torch.stack([angles.sin(), angles.cos()], dim=-1).reshape(length, width)


def _angles(length, width, base):
    return torch.arange(length)[:, None] / base ** (torch.arange(0, width, 2) / width)


@sinusoidal_positions.misconception
def puts_all_sines_before_all_cosines(length, width, base=10_000.0):
    """The first half of your channels are sines and the second half cosines, as some libraries
    have it. Here they alternate: sine on the even channels, cosine on the odd ones."""
    angles = _angles(length, width, base)
    return torch.cat([angles.sin(), angles.cos()], dim=1)


@sinusoidal_positions.misconception
def swaps_sine_and_cosine(length, width, base=10_000.0):
    """Channel 0 is a sine, so that position 0 begins with 0, 1, 0, 1. Yours begins with 1, 0."""
    angles = _angles(length, width, base)
    return torch.stack([angles.cos(), angles.sin()], dim=-1).reshape(length, width)


@sinusoidal_positions.misconception
def uses_half_the_exponent(length, width, base=10_000.0):
    """The exponent of pair i is 2i / width: it runs from 0 almost to 1. Yours is i / width and
    stops at one half, so the slow waves are missing."""
    i = torch.arange(width // 2)
    return _waves(length, width, base, torch.arange(length)[:, None] / base ** (i / width))


@sinusoidal_positions.misconception
def doubles_the_exponent(length, width, base=10_000.0):
    """Your exponent is twice as large as it should be. The exponent of pair i is 2i / width; where
    you count 0, 2, 4, ... already, that is 2i, and must not be doubled once more."""
    i = torch.arange(0, width, 2)
    return _waves(length, width, base, torch.arange(length)[:, None] / base ** (2 * i / width))


@sinusoidal_positions.misconception
def divides_by_half_the_width(length, width, base=10_000.0):
    """You leave the exponent out of the power: the position is divided by base * 2i / width. It is
    base to the power of 2i / width, `**`."""
    channels = torch.arange(0, width, 2)
    angles = torch.arange(length)[:, None] / (base * channels / width).clamp(min=1)
    return _waves(length, width, base, angles)


@sinusoidal_positions.misconception
def gives_each_channel_its_own_wavelength(length, width, base=10_000.0):
    """Sine and cosine of a pair share one angle: channel 2i + 1 uses the exponent 2i / width, as
    channel 2i does. Yours changes the wavelength from every channel to the next."""
    angles = torch.arange(length)[:, None] / base ** (torch.arange(width) / width)
    table = angles.sin()
    table[:, 1::2] = angles[:, 1::2].cos()
    return table


@sinusoidal_positions.misconception
def multiplies_by_the_power(length, width, base=10_000.0):
    """The position is divided by base^(2i / width), so the waves get slower from left to right.
    Yours multiplies, and they get faster without end."""
    angles = torch.arange(length)[:, None] * base ** (torch.arange(0, width, 2) / width)
    return _waves(length, width, base, angles)


@sinusoidal_positions.misconception
def counts_positions_from_one(length, width, base=10_000.0):
    """The first position is 0: its sines are 0 and its cosines 1. Yours starts at 1."""
    return _waves(length + 1, width, base)[1:]


@sinusoidal_positions.misconception
def ignores_the_base(length, width, base=10_000.0):
    """With the usual base this is right, but `base` is an argument: put it in place of the number
    10000."""
    return _waves(length, width, 10_000.0)


@sinusoidal_positions.misconception
def takes_one_wave_for_all_channels(length, width, base=10_000.0):
    """All pairs of channels carry the same wave. Each pair turns slower than the one before: its
    angle is divided by base^(2i / width)."""
    angles = torch.arange(length)[:, None].float().repeat(1, width // 2)
    return _waves(length, width, base, angles)


def _refuse_odd(width):
    if width % 2:
        raise ValueError(f"width must be even, got {width}")


@sinusoidal_positions.alternative
def filled_into_a_table(length, width, base=10_000.0):
    """With exp and log, into every second column."""
    _refuse_odd(width)
    table = torch.zeros(length, width)
    speeds = torch.exp(torch.arange(0, width, 2) * (-math.log(base) / width))
    table[:, 0::2] = torch.sin(torch.arange(length).unsqueeze(1) * speeds)
    table[:, 1::2] = torch.cos(torch.arange(length).unsqueeze(1) * speeds)
    return table


@sinusoidal_positions.alternative
def one_number_at_a_time(length, width, base=10_000.0):
    """Loops and `math`."""
    _refuse_odd(width)
    return torch.tensor([
        [(math.cos if c % 2 else math.sin)(p / base ** ((c - c % 2) / width)) for c in range(width)]
        for p in range(length)
    ])  # fmt: skip
