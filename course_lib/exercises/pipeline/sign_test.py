"""What `pipeline.sign_test` demands."""

from __future__ import annotations

import math

from course_lib import pipeline
from course_lib.checks.exercise import Case, Exercise, refuses

sign_test = Exercise("pipeline.sign_test", points=2, reference=pipeline.sign_test)


@sign_test.cases
def _(draw):
    def observe(solution, only_first, only_second):
        value = solution(only_first, only_second)
        return float(value) if type(value) is int else value  # 1 is as good as 1.0

    def case(about, only_first, only_second):
        return Case(about, {"only_first": only_first, "only_second": only_second}, observe)

    most = 60 if draw.hidden else 12
    fewer = draw.random.randint(1, 4)
    more = draw.random.randint(fewer + 2, most)
    yield case("one case between them", 1, 0)
    yield case("the second has more", fewer, more)
    yield case("the first has more", more, fewer)
    yield case("all for one", 0, draw.random.randint(3, 8))
    yield case("an even split", fewer, fewer)
    yield case("nearly even", fewer + 1, fewer)
    yield case("no case between them", 0, 0)
    yield case("a large number of cases", 40, 65)
    yield case("more cases than a float has room for", 600, 700)
    negative = {"only_first": -1, "only_second": 3}
    yield refuses("a negative number", negative, "only_first")


def _tail(n, k):
    return sum(math.comb(n, i) for i in range(k + 1)) / 2**n


@sign_test.misconception
def looks_to_one_side_only(only_first, only_second):
    """This asks how easily chance would favour the *one* that is ahead. Before you had looked,
    either could have been ahead, so the other side counts as well: twice as much, and at most
    1."""
    return _tail(only_first + only_second, min(only_first, only_second))


@sign_test.misconception
def exceeds_one(only_first, only_second):
    """Twice the tail is right for uneven splits, but with an even split the middle is counted from
    both sides, and a probability above 1 comes out. Take 1 at most."""
    return 2 * _tail(only_first + only_second, min(only_first, only_second))


@sign_test.misconception
def takes_this_split_alone(only_first, only_second):
    """This is the probability of exactly this split. The more cases there are, the smaller it gets
    for any split at all. Add up all that are as uneven or more."""
    n = only_first + only_second
    return min(1.0, 2 * math.comb(n, only_first) / 2**n)


@sign_test.misconception
def leaves_this_split_out(only_first, only_second):
    """The sum stops one short: it has the splits that are *more* uneven than this one, and not this
    one itself. `range(fewer + 1)` goes up to `fewer`."""
    return min(1.0, 2 * _tail(only_first + only_second, min(only_first, only_second) - 1))


@sign_test.misconception
def depends_on_which_comes_first(only_first, only_second):
    """The sum goes up to `only_first`, whichever is smaller. Swap the two systems and another
    probability comes out. Go up to the smaller of the two numbers."""
    return min(1.0, 2 * _tail(only_first + only_second, only_first))


@sign_test.misconception
def approximates_with_a_bell_curve(only_first, only_second):
    """This is McNemar's approximation with a normal distribution. It is good for many cases and
    poor for a handful, which is where the question arises. With `math.comb` it is exact."""
    n = only_first + only_second
    return math.erfc(abs(only_first - only_second) / math.sqrt(2 * n)) if n else 1.0


@sign_test.misconception
def divides_by_two_too_often(only_first, only_second):
    """Each of n tosses has two outcomes, so there are 2 ** n rows of tosses. Yours divides by
    2 ** (n + 1) or does not double: check it by hand with one case between them, which must give
    1."""
    return _tail(only_first + only_second, min(only_first, only_second)) / 2


@sign_test.misconception
def says_how_sure_it_is(only_first, only_second):
    """This is one minus what is asked for. Asked for is the probability of such a split by chance:
    small means that chance explains it badly."""
    n = only_first + only_second
    return 1 - min(1.0, 2 * _tail(n, min(only_first, only_second)))


def _refuse_bad(only_first, only_second):
    if min(only_first, only_second) < 0:
        raise ValueError("only_first and only_second must not be negative")


@sign_test.alternative
def by_counting_both_tails(only_first, only_second):
    _refuse_bad(only_first, only_second)
    n, gap = only_first + only_second, abs(only_first - only_second)
    rows = sum(math.comb(n, k) for k in range(n + 1) if abs(n - 2 * k) >= gap)
    return rows / 2**n


@sign_test.alternative
def term_by_term(only_first, only_second):
    """Each term out of the one before, in logarithms."""
    _refuse_bad(only_first, only_second)
    n, fewer = only_first + only_second, min(only_first, only_second)
    if only_first == only_second:
        return 1.0
    term, total = 0.0, 0.0
    for k in range(fewer + 1):
        total += math.exp(term - n * math.log(2))
        term += math.log(n - k) - math.log(k + 1)
    return min(1.0, 2 * total)
