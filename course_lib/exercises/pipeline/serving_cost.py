"""What `pipeline.serving_cost` demands."""

from __future__ import annotations

import math

from course_lib import pipeline
from course_lib.checks.exercise import Case, Exercise
from course_lib.exercises.pipeline.shared import refuses_by

serving_cost = Exercise("pipeline.serving_cost", points=3, reference=pipeline.serving_cost)


def _bill(solution, n_requests, n_input, n_output, options):
    return solution(n_requests, n_input, n_output, **options)


@serving_cost.cases
def _(draw):
    uniform = draw.random.uniform

    def case(about, machines, n_input=None, n_output=None, peak=1.0, hours=None):
        """So many requests that so many machines are needed, where 1.5 means a part of the second;
        far enough from a whole number for any rounding of floats."""
        n_input = draw.random.randint(40, 900) if n_input is None else n_input
        n_output = draw.random.randint(40, 300) if n_output is None else n_output
        hours = draw.random.choice([24.0, 168.0, 730.0]) if hours is None else hours
        options = {
            "input_speed": round(uniform(300, 900), 1),
            "output_speed": round(uniform(20, 90), 1),
            "price_per_hour": round(uniform(0.05, 3.0), 3),
            "hours": hours,
        }
        if peak != 1.0:
            options["peak"] = peak
        seconds = n_input / options["input_speed"] + n_output / options["output_speed"]
        n_requests = round(machines / peak * hours * 3600 / seconds) if seconds else machines
        arguments = {"n_requests": n_requests, "n_input": n_input, "n_output": n_output}
        return Case(about, {**arguments, "options": options}, _bill)

    yield case("one machine, not quite busy", uniform(0.55, 0.9))
    yield case("more than one machine can do", uniform(1.15, 1.4))
    yield case("several machines", draw.random.randint(4, 9) + uniform(0.2, 0.45))
    yield case(
        "several machines, the last nearly busy", draw.random.randint(2, 5) + uniform(0.6, 0.9)
    )
    yield case("a machine that has next to nothing to do", 0.01)
    yield case("no requests at all", 0)
    yield case("long texts to read, one token to write", uniform(2.2, 2.8), 4000, 1)
    yield case("short texts to read, long ones to write", uniform(2.2, 2.8), 5, 900)
    yield case("a peak of two and a half times the average", uniform(3.1, 3.6), peak=2.5)
    yield case("a peak that needs a second machine", 1.4, peak=2.0)
    full = {"input_speed": 512.0, "output_speed": 64.0, "price_per_hour": 1.5, "hours": 1.0}
    arguments = {"n_requests": 3600, "n_input": 512, "n_output": 64, "options": full}
    yield Case("two machines that are exactly busy", arguments, _bill)
    arguments = {"n_requests": 1800, "n_input": 512, "n_output": 64, "options": full}
    yield Case("one machine that is exactly busy", arguments, _bill)
    yield case("a single hour", uniform(1.2, 1.8), hours=1.0)
    if draw.hidden:
        yield case("a large service", draw.random.randint(40, 90) + 0.5, peak=2.5)
    good = {"input_speed": 500.0, "output_speed": 50.0, "price_per_hour": 1.0, "hours": 24.0}
    texts = {"n_input": 10, "n_output": 10}
    negative = {"n_requests": -1, **texts, "options": good}
    yield refuses_by("a negative number of requests", negative, "n_requests", _bill)
    for name, value in (("output_speed", 0.0), ("hours", 0.0), ("peak", 0.5)):
        arguments = {"n_requests": 100, **texts, "options": good | {name: value}}
        yield refuses_by(f"{name} is {value:g}", arguments, name, _bill)


def _busy(n_requests, n_input, n_output, input_speed, output_speed):
    return n_requests * (n_input / input_speed + n_output / output_speed) / 3600


@serving_cost.misconception
def pays_only_while_busy(n_requests, n_input, n_output, *, input_speed, output_speed,
                         price_per_hour, hours, peak=1.0):  # fmt: skip
    """This is what the busy hours cost. A rented machine is paid for when it waits, too: count
    whole machines, and pay each for all the hours."""
    busy = _busy(n_requests, n_input, n_output, input_speed, output_speed)
    return busy * price_per_hour


@serving_cost.misconception
def rents_parts_of_a_machine(n_requests, n_input, n_output, *, input_speed, output_speed,
                             price_per_hour, hours, peak=1.0):  # fmt: skip
    """The number of machines is a fraction here. Nobody rents out 1.3 machines: round up, and keep
    one even when there is nothing to do."""
    busy = _busy(n_requests, n_input, n_output, input_speed, output_speed)
    return busy / hours * peak * hours * price_per_hour


@serving_cost.misconception
def rounds_machines_down(n_requests, n_input, n_output, *, input_speed, output_speed,
                         price_per_hour, hours, peak=1.0):  # fmt: skip
    """With 1.3 machines' worth of work and one machine, a queue grows and never ends. Round up,
    not down or to the nearest."""
    busy = _busy(n_requests, n_input, n_output, input_speed, output_speed)
    return max(1, int(busy / hours * peak)) * hours * price_per_hour


@serving_cost.misconception
def rents_one_more_than_is_busy(n_requests, n_input, n_output, *, input_speed, output_speed,
                                price_per_hour, hours, peak=1.0):  # fmt: skip
    """`int(x) + 1` rounds up, except where x is whole: then it is one machine too many. `math.ceil`
    leaves whole numbers as they are."""
    busy = _busy(n_requests, n_input, n_output, input_speed, output_speed)
    return (int(busy / hours * peak) + 1) * hours * price_per_hour


@serving_cost.misconception
def rounds_to_the_nearest(n_requests, n_input, n_output, *, input_speed, output_speed,
                          price_per_hour, hours, peak=1.0):  # fmt: skip
    """You round to the nearest whole number. With 1.3 machines' worth of work and one machine, a
    queue grows and never ends: round up."""
    busy = _busy(n_requests, n_input, n_output, input_speed, output_speed)
    return max(1, round(busy / hours * peak)) * hours * price_per_hour


@serving_cost.misconception
def reads_and_writes_at_once(n_requests, n_input, n_output, *, input_speed, output_speed,
                             price_per_hour, hours, peak=1.0):  # fmt: skip
    """You take the longer of reading and writing, as if a machine did both at once. It does one
    after the other: add the times."""
    busy = n_requests * max(n_input / input_speed, n_output / output_speed) / 3600
    return max(1, math.ceil(busy / hours * peak)) * hours * price_per_hour


@serving_cost.misconception
def always_one_machine(n_requests, n_input, n_output, *, input_speed, output_speed,
                       price_per_hour, hours, peak=1.0):  # fmt: skip
    """One machine is paid for, however much there is to do. Work out how many hours of work come
    in, and how many machines they need."""
    return float(hours * price_per_hour)


@serving_cost.misconception
def closes_when_nobody_asks(n_requests, n_input, n_output, *, input_speed, output_speed,
                            price_per_hour, hours, peak=1.0):  # fmt: skip
    """Without requests this costs nothing. But a service has to be there before the first request
    comes: one machine at least."""
    busy = _busy(n_requests, n_input, n_output, input_speed, output_speed)
    return math.ceil(busy / hours * peak) * hours * price_per_hour


@serving_cost.misconception
def reads_as_slowly_as_it_writes(n_requests, n_input, n_output, *, input_speed, output_speed,
                                 price_per_hour, hours, peak=1.0):  # fmt: skip
    """Both kinds of tokens are divided by the speed of writing. A prompt is read all at once, many
    times faster than text is written token by token: each kind has a speed of its own."""
    busy = n_requests * (n_input + n_output) / output_speed / 3600
    return max(1, math.ceil(busy / hours * peak)) * hours * price_per_hour


@serving_cost.misconception
def adds_up_the_speeds(n_requests, n_input, n_output, *, input_speed, output_speed,
                       price_per_hour, hours, peak=1.0):  # fmt: skip
    """Speeds do not add up: a request is first read, then written, and the *times* add up. Divide
    each number of tokens by its own speed."""
    busy = n_requests * (n_input + n_output) / (input_speed + output_speed) / 3600
    return max(1, math.ceil(busy / hours * peak)) * hours * price_per_hour


@serving_cost.misconception
def forgets_the_seconds_in_an_hour(n_requests, n_input, n_output, *, input_speed, output_speed,
                                   price_per_hour, hours, peak=1.0):  # fmt: skip
    """Speeds are in tokens a second, the price and the time in hours. Divide the seconds of work by
    3600 before you compare them with hours."""
    busy = _busy(n_requests, n_input, n_output, input_speed, output_speed) * 3600
    return max(1, math.ceil(busy / hours * peak)) * hours * price_per_hour


@serving_cost.misconception
def divides_by_sixty(n_requests, n_input, n_output, *, input_speed, output_speed,
                     price_per_hour, hours, peak=1.0):  # fmt: skip
    """An hour has 3600 seconds; 60 makes minutes of them."""
    busy = _busy(n_requests, n_input, n_output, input_speed, output_speed) * 60
    return max(1, math.ceil(busy / hours * peak)) * hours * price_per_hour


@serving_cost.misconception
def ignores_the_peak(n_requests, n_input, n_output, *, input_speed, output_speed,
                     price_per_hour, hours, peak=1.0):  # fmt: skip
    """The average hour decides here how many machines there are. In the busiest hour `peak` times
    as many requests come, and they cannot wait until night."""
    busy = _busy(n_requests, n_input, n_output, input_speed, output_speed)
    return max(1, math.ceil(busy / hours)) * hours * price_per_hour


@serving_cost.misconception
def multiplies_the_cost_by_the_peak(n_requests, n_input, n_output, *, input_speed, output_speed,
                                    price_per_hour, hours, peak=1.0):  # fmt: skip
    """The machines are rounded up first and multiplied by the peak afterwards, so parts of machines
    come back. Multiply the work by the peak, and then round up."""
    busy = _busy(n_requests, n_input, n_output, input_speed, output_speed)
    return max(1, math.ceil(busy / hours)) * peak * hours * price_per_hour


@serving_cost.misconception
def forgets_the_hours(n_requests, n_input, n_output, *, input_speed, output_speed,
                      price_per_hour, hours, peak=1.0):  # fmt: skip
    """This is the price of the machines for a single hour. They are rented for `hours` of them."""
    busy = _busy(n_requests, n_input, n_output, input_speed, output_speed)
    return max(1, math.ceil(busy / hours * peak)) * price_per_hour


def _refuse_bad_numbers(n_requests, output_speed, hours, peak):
    if n_requests < 0 or output_speed <= 0 or hours <= 0 or peak < 1:
        raise ValueError("n_requests, output_speed, hours or peak is out of range")


@serving_cost.alternative
def in_requests_an_hour(n_requests, n_input, n_output, *, input_speed, output_speed,
                        price_per_hour, hours, peak=1.0):  # fmt: skip
    """How many requests a machine can do in an hour, and how many come in the busiest one."""
    _refuse_bad_numbers(n_requests, output_speed, hours, peak)
    if not n_requests:
        return price_per_hour * hours
    can = 3600 / (n_input / input_speed + n_output / output_speed)
    come = peak * n_requests / hours
    return price_per_hour * hours * math.ceil(come / can)


@serving_cost.alternative
def machine_after_machine(n_requests, n_input, n_output, *, input_speed, output_speed,
                          price_per_hour, hours, peak=1.0):  # fmt: skip
    """Rent one more until they keep up."""
    _refuse_bad_numbers(n_requests, output_speed, hours, peak)
    seconds = n_requests * n_input / input_speed + n_requests * n_output / output_speed
    machines = 1
    while machines * hours * 3600 < seconds * peak:
        machines += 1
    return machines * (hours * price_per_hour)
