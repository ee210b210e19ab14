"""What `decoder.warmup_cosine` demands."""

from __future__ import annotations

import math

from course_lib import training
from course_lib.checks.exercise import Case, Exercise

warmup_cosine = Exercise("decoder.warmup_cosine", points=2, reference=training.warmup_cosine)


@warmup_cosine.cases
def _(draw):
    def case(about, step, warmup=4, total=20, peak=2.0, floor=0.0):
        arguments = {"step": step, "warmup": warmup, "total": total}
        return Case(about, {**arguments, "peak": peak, "floor": floor})

    yield case("the very first step", 0)
    yield case("on the way up", 1)
    yield case("at the peak", 4)
    yield case("half of the way down", 12)
    yield case("a quarter of the way down", 8)
    yield case("at the end", 20)
    yield case("after the end", 29)
    yield case("half of the way down to a floor", 12, floor=0.5)
    yield case("the very first step, with a floor", 0, floor=0.5)
    yield case("on the way up, with a floor", 3, floor=0.5)
    yield case("at the peak, with a floor", 4, floor=0.5)
    yield case("near the end, with a floor", 19, floor=0.5)
    yield case("at the end, with a floor", 20, floor=0.5)
    yield case("after the end, with a floor", 33, floor=0.5)
    yield case("no warmup: it starts at the peak", 0, warmup=0, floor=0.25)
    yield case("no warmup, later", 5, warmup=0, total=10)
    yield case("as much warmup as steps: on the way up", 3, warmup=4, total=4, floor=0.25)
    yield case("as much warmup as steps: after the end", 6, warmup=4, total=4, floor=0.25)
    number = draw.random.randint
    warmup, total = number(3, 30), number(50, 90)
    options = {"warmup": warmup, "total": total, "peak": 3e-4, "floor": 3e-5}
    yield case("somewhere on the way up", number(1, warmup - 1), **options)
    yield case("somewhere on the way down", number(warmup + 1, total - 1), **options)
    if draw.hidden:
        step = number(60, 400)
        yield case("a long training", step, warmup=50, total=500, peak=0.7, floor=0.07)


def _wave(progress):
    """1 at 0, 0 at 1."""
    return (1 + math.cos(math.pi * progress)) / 2


def _with_descent(step, warmup, total, peak, floor, descent):
    """The right climb and the right end; `descent(progress)` in between."""
    if step < warmup:
        return peak * step / warmup
    if step >= total:
        return floor
    return descent((step - warmup) / (total - warmup))


@warmup_cosine.misconception
def begins_the_wave_at_step_0(step, warmup, total, peak, floor):
    """Your wave runs over all steps, so when the climb ends it is no longer at its top. Measure the
    progress from the end of the climb: (step - warmup) / (total - warmup)."""
    if step < warmup:
        return peak * step / warmup
    return floor + (peak - floor) * _wave(min(step / total, 1))


@warmup_cosine.misconception
def divides_by_the_total(step, warmup, total, peak, floor):
    """Your wave starts in the right place but runs too slowly: it has total - warmup steps, not
    total, to come down."""
    return _with_descent(
        step, warmup, total, peak, floor,
        lambda _: floor + (peak - floor) * _wave((step - warmup) / total),
    )  # fmt: skip


@warmup_cosine.misconception
def starts_one_step_ahead(step, warmup, total, peak, floor):
    """Your climb has (step + 1) / warmup, so it starts above 0 and is at the peak one step early.
    Here step 0 has the rate 0, and step `warmup` the peak."""
    if step < warmup:
        return peak * (step + 1) / warmup
    return training.warmup_cosine(step, warmup, total, peak, floor)


@warmup_cosine.misconception
def climbs_from_the_floor(step, warmup, total, peak, floor):
    """Your climb starts at the floor. It starts at 0; the floor is for the end."""
    if step < warmup:
        return floor + (peak - floor) * step / warmup
    return training.warmup_cosine(step, warmup, total, peak, floor)


@warmup_cosine.misconception
def never_goes_below_the_floor(step, warmup, total, peak, floor):
    """Your climb is cut off at the floor. It starts at 0 whatever the floor is; the floor is for
    the end."""
    return max(floor, training.warmup_cosine(step, warmup, total, peak, floor))


@warmup_cosine.misconception
def counts_the_total_after_the_warmup(step, warmup, total, peak, floor):
    """Your wave is at its end at warmup + total. `total` counts all steps, the climb included, so
    the wave has total - warmup of them."""
    return training.warmup_cosine(step, warmup, warmup + total, peak, floor)


@warmup_cosine.misconception
def drops_to_zero_after_the_end(step, warmup, total, peak, floor):
    """After `total` your rate is 0. It stays at the floor."""
    return 0.0 if step > total else training.warmup_cosine(step, warmup, total, peak, floor)


@warmup_cosine.misconception
def falls_to_zero(step, warmup, total, peak, floor):
    """Your rate falls to 0 and never looks at the floor."""
    return training.warmup_cosine(step, warmup, total, peak, 0.0)


@warmup_cosine.misconception
def stops_falling_at_the_floor(step, warmup, total, peak, floor):
    """You let the wave fall towards 0 and cut it off at the floor. The wave itself should end
    there, smoothly: floor + (peak - floor) * wave."""
    return _with_descent(
        step, warmup, total, peak, floor, lambda progress: max(floor, peak * _wave(progress))
    )


@warmup_cosine.misconception
def adds_the_floor_to_the_peak(step, warmup, total, peak, floor):
    """You add the floor to the whole wave, so it starts above the peak. Only peak - floor is left
    for the wave."""
    return _with_descent(
        step, warmup, total, peak, floor, lambda progress: floor + peak * _wave(progress)
    )


@warmup_cosine.misconception
def comes_up_again_after_the_end(step, warmup, total, peak, floor):
    """After `total` your wave goes on, and the rate rises again. It should stay at the floor."""
    if step < warmup:
        return peak * step / warmup
    return floor + (peak - floor) * _wave((step - warmup) / (total - warmup))


@warmup_cosine.misconception
def falls_in_a_straight_line(step, warmup, total, peak, floor):
    """Yours falls in a straight line. The way down is half a wave of the cosine: slow at first,
    steep in the middle, slow at the end."""
    return _with_descent(
        step, warmup, total, peak, floor, lambda progress: peak + (floor - peak) * progress
    )


@warmup_cosine.misconception
def takes_a_whole_wave(step, warmup, total, peak, floor):
    """Your cosine runs through 2 pi: down and up again. Half a wave is pi."""
    return _with_descent(
        step, warmup, total, peak, floor,
        lambda progress: floor + (peak - floor) * _wave(2 * progress),
    )  # fmt: skip


@warmup_cosine.misconception
def takes_a_quarter_of_a_wave(step, warmup, total, peak, floor):
    """Your cosine goes from 1 to 0, a quarter of a wave, and arrives at full speed. Take it from 1
    to -1, which is pi, then add 1 and halve."""
    return _with_descent(
        step, warmup, total, peak, floor,
        lambda progress: floor + (peak - floor) * math.cos(math.pi / 2 * progress),
    )  # fmt: skip


@warmup_cosine.misconception
def forgets_pi(step, warmup, total, peak, floor):
    """Your cosine gets the bare progress, from 0 to 1. Half a wave goes from 0 to pi: multiply."""
    return _with_descent(
        step, warmup, total, peak, floor,
        lambda progress: floor + (peak - floor) * (1 + math.cos(progress)) / 2,
    )  # fmt: skip


@warmup_cosine.misconception
def turns_the_wave_upside_down(step, warmup, total, peak, floor):
    """1 - cos goes up. After the peak the rate should fall: 1 + cos."""
    return _with_descent(
        step, warmup, total, peak, floor,
        lambda progress: floor + (peak - floor) * _wave(1 - progress),
    )  # fmt: skip


@warmup_cosine.misconception
def climbs_to_one(step, warmup, total, peak, floor):
    """Your climb goes from 0 to 1. Multiply by the peak."""
    if step < warmup:
        return step / warmup
    return training.warmup_cosine(step, warmup, total, peak, floor)


@warmup_cosine.misconception
def forgets_to_halve(step, warmup, total, peak, floor):
    """1 + cos goes from 2 to 0, so your wave starts at twice its height. Divide by 2."""
    return _with_descent(
        step, warmup, total, peak, floor,
        lambda progress: floor + (peak - floor) * 2 * _wave(progress),
    )  # fmt: skip


@warmup_cosine.misconception
def divides_by_a_warmup_of_zero(step, warmup, total, peak, floor):
    """With warmup = 0 your code divides by 0 at step 0. Ask for `step < warmup`: then a climb of no
    steps is never entered."""
    if step <= warmup:
        return peak * step / warmup
    return training.warmup_cosine(step, warmup, total, peak, floor)


@warmup_cosine.misconception
def needs_room_for_the_wave(step, warmup, total, peak, floor):
    """With as much warmup as there are steps your code divides by total - warmup = 0. Then there is
    no wave at all: climb, and after the end stay at the floor."""
    progress = min(1.0, max(0, step - warmup) / (total - warmup))
    if step < warmup:
        return peak * step / warmup
    return floor + (peak - floor) * _wave(progress)


@warmup_cosine.misconception
def is_a_step_late_after_the_end(step, warmup, total, peak, floor):
    """Your wave ends one step after `total`. At step `total` the rate is at the floor already:
    divide by total - warmup."""
    if step < warmup:
        return peak * step / warmup
    progress = min(1.0, (step - warmup) / (total - warmup + 1))
    return floor + (peak - floor) * _wave(progress)


@warmup_cosine.alternative
def with_progress_cut_off(step, warmup, total, peak, floor):
    """The progress stays between 0 and 1, and the rest is one formula."""
    if step < warmup:
        return step / warmup * peak
    progress = min(1.0, (step - warmup) / max(1, total - warmup))
    return peak - (peak - floor) * 0.5 * (1 - math.cos(progress * math.pi))


@warmup_cosine.alternative
def as_a_mean_of_peak_and_floor(step, warmup, total, peak, floor):
    """A wave around the middle between peak and floor, with the square of a half-angle sine."""
    if warmup and step < warmup:
        return peak * (step / warmup)
    if step >= total:
        return float(floor)
    sine = math.sin(math.pi / 2 * (step - warmup) / (total - warmup))
    return peak * (1 - sine**2) + floor * sine**2
