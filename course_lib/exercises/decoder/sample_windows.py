"""What `decoder.sample_windows` demands."""

from __future__ import annotations

import math
import random
from collections import Counter

import torch
from torch import Tensor

from course_lib import training
from course_lib.checks.exercise import Case, Exercise
from course_lib.checks.report import in_words

sample_windows = Exercise("decoder.sample_windows", points=2, reference=training.sample_windows)


def _generator(seed):
    return torch.Generator().manual_seed(seed)


def _one_draw(solution, ids, batch, length, seed):
    """Shape, dtype, and whether every window is a run of the text."""
    text = ids.clone()  # a solution may change the one it is given
    windows = solution(ids, batch, length, _generator(seed))
    facts = {"type": type(windows).__name__, "shape": None, "dtype": None}
    if not isinstance(windows, Tensor):
        return {**facts, "every window is a run of the text": None}
    runs = windows.ndim == 2 and windows.shape[1] <= len(text)
    if runs:
        all_runs = {tuple(run) for run in text.unfold(0, windows.shape[1], 1).tolist()}
        runs = all_runs >= set(map(tuple, windows.tolist()))
    facts |= {"shape": str(list(windows.shape)), "dtype": str(windows.dtype)}
    return {**facts, "every window is a run of the text": runs}


def _starts(solution, ids, batch, length, generator):
    """Where each window starts in a text of which all tokens differ; -1 = not in it."""
    place = {token: i for i, token in enumerate(ids.tolist())}
    windows = solution(ids, batch, length, generator)
    if not isinstance(windows, Tensor) or windows.ndim != 2:
        got = in_words(windows)
        raise TypeError(f"sample_windows must return a tensor [batch, length], got {got}")
    return [place.get(first, -1) for first in windows[:, 0].tolist()]


def _where_windows_start(solution, ids, batch, length, seed):
    starts = Counter(_starts(solution, ids, batch, length, _generator(seed)))
    n_places = len(ids) - length + 1
    mean = batch / n_places
    even = all(abs(count - mean) < 6 * math.sqrt(mean) for count in starts.values())
    return {"places where windows start": sorted(starts), "all about equally often": even}


def _what_chance_does(solution, ids, batch, length, seed):
    generator = _generator(seed)
    first, second = (_starts(solution, ids, batch, length, generator) for _ in range(2))
    again = _starts(solution, ids, batch, length, _generator(seed))
    other = _starts(solution, ids, batch, length, _generator(seed + 1))
    whole = torch.get_rng_state()
    _starts(solution, ids, batch, length, _generator(seed))
    steps = {later - earlier for earlier, later in zip(first, first[1:])}
    return {
        "same seed, same windows": again == first,
        "another seed, other windows": other != first,
        "the next call, other windows": second != first,
        "torch's own random numbers are left alone": torch.equal(whole, torch.get_rng_state()),
        "rows differ": len(set(first)) > 1,
        "a place may come twice": len(set(first)) < len(first),
        "rows are drawn independently": len(steps) > 2,
        "rows stand in no order": first != sorted(first) or len(set(first)) == 1,
    }


@sample_windows.cases
def _(draw):
    def case(about, ids, batch, length, observe=_one_draw):
        seed = draw.random.randrange(10_000)
        arguments = {"ids": ids, "batch": batch, "length": length, "seed": seed}
        return Case(about, arguments, observe)

    yield case("one window as long as the text", draw.permutation(4) + 10, 1, 4)
    yield case("three windows", draw.permutation(9) + 10, 3, 4)
    yield case("windows of one token", draw.permutation(5), 4, 1)
    yield case("more windows than places", draw.permutation(6) * 3, 8, 5)
    yield case("many draws: every place has its turn", draw.permutation(9), 2000, 4,
               _where_windows_start)  # fmt: skip
    yield case("what chance does", draw.permutation(60), 48, 5, _what_chance_does)
    if draw.hidden:
        n = draw.random.randint(12, 20)
        yield case("many draws from a longer text", draw.permutation(n), 4000, 6,
                   _where_windows_start)  # fmt: skip


def _cut(ids, starts, length):
    return torch.stack([ids[start : start + length] for start in starts])


def _random_starts(ids, batch, length, generator):
    return torch.randint(len(ids) - length + 1, (batch,), generator=generator).tolist()


@sample_windows.misconception
def never_takes_the_last_window(ids, batch, length, generator):
    """No window of yours reaches the last token. A text of n tokens has n - length + 1 places to
    start from, and `torch.randint` leaves its upper bound out."""
    starts = torch.randint(len(ids) - length, (batch,), generator=generator)
    return _cut(ids, starts, length)


@sample_windows.misconception
def runs_over_the_end(ids, batch, length, generator):
    """You start anywhere, even where fewer than `length` tokens are left. The last place to start
    from is len(ids) - length."""
    starts = torch.randint(len(ids), (batch, 1), generator=generator)
    return ids[starts + torch.arange(length)]


@sample_windows.misconception
def goes_round_from_the_end_to_the_start(ids, batch, length, generator):
    """Where a window would reach beyond the text, yours goes on at its beginning. Those tokens do
    not belong together; start no later than len(ids) - length."""
    starts = torch.randint(len(ids), (batch, 1), generator=generator)
    return ids[(starts + torch.arange(length)) % len(ids)]


@sample_windows.misconception
def never_takes_a_place_twice(ids, batch, length, generator):
    """You draw places without putting them back (`randperm`). A batch may then be smaller than
    asked for, and its rows are not independent. Draw each row for itself, with `torch.randint`."""
    places = torch.randperm(len(ids) - length + 1, generator=generator)[:batch]
    return _cut(ids, places, length)


@sample_windows.misconception
def seeds_torch_itself(ids, batch, length, generator):
    """`torch.manual_seed` sets the random numbers of the whole program, and whoever draws after you
    gets others than expected. Hand `generator` to `torch.randint`."""
    torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
    return _cut(ids, torch.randint(len(ids) - length + 1, (batch,)).tolist(), length)


@sample_windows.misconception
def avoids_a_place_twice_while_it_can(ids, batch, length, generator):
    """No place comes twice in a batch of yours as long as there are others. Rows are independent:
    what one has drawn must not keep the next from it."""
    n, places = len(ids) - length + 1, []
    while len(places) < batch:
        places += torch.randperm(n, generator=generator).tolist()
    return _cut(ids, places[:batch], length)


@sample_windows.misconception
def draws_one_place_for_all_rows(ids, batch, length, generator):
    """You draw one place and use it for every row. Draw one for each: `(batch,)` numbers."""
    (start,) = _random_starts(ids, 1, length, generator)
    return _cut(ids, [start] * batch, length)


@sample_windows.misconception
def draws_the_first_and_goes_on_from_there(ids, batch, length, generator):
    """Only your first row is drawn; the others follow it one by one. Windows of one batch would
    then say nearly the same. Draw every row for itself."""
    (start,) = _random_starts(ids, 1, length, generator)
    n_places = len(ids) - length + 1
    return _cut(ids, [(start + row) % n_places for row in range(batch)], length)


@sample_windows.misconception
def starts_at_multiples_of_the_length(ids, batch, length, generator):
    """Your windows start only at 0, length, 2 length, ... Every place should have its turn, so that
    a token is seen at each position of a window."""
    starts = torch.randint(len(ids) // length, (batch,), generator=generator) * length
    return _cut(ids, starts, length)


@sample_windows.misconception
def ignores_the_generator(ids, batch, length, generator):
    """The places do not come from `generator`, so the same seed gives other windows the next time.
    Hand it to `torch.randint(..., generator=generator)`."""
    return _cut(ids, [random.randrange(len(ids) - length + 1) for _ in range(batch)], length)


@sample_windows.misconception
def begins_with_the_same_seed_each_time(ids, batch, length, generator):
    """You set a seed inside. Then every call gives the same windows, and the model would see the
    same batch for ever. Draw from the `generator` you are given."""
    return _cut(ids, _random_starts(ids, batch, length, _generator(0)), length)


@sample_windows.misconception
def takes_one_token_more(ids, batch, length, generator):
    """Your windows have length + 1 tokens, as if one were needed for the labels. The loss does the
    shift; windows have `length`."""
    starts = torch.randint(max(len(ids) - length, 1), (batch, 1), generator=generator)
    return ids[(starts + torch.arange(length + 1)).clamp(max=len(ids) - 1)]


@sample_windows.misconception
def returns_inputs_and_labels(ids, batch, length, generator):
    """You return two tensors, the second shifted by one. Here `causal_lm_loss` shifts, once; return
    the windows alone."""
    windows = training.sample_windows(ids, batch, length, generator)
    return windows[:, :-1], windows[:, 1:]


@sample_windows.alternative
def row_by_row(ids, batch, length, generator):
    """A loop, with a place drawn for each row."""
    rows = []
    for _ in range(batch):
        start = int(torch.randint(0, len(ids) - length + 1, (), generator=generator))
        rows.append(ids[start : start + length])
    return torch.stack(rows)


@sample_windows.alternative
def from_all_windows(ids, batch, length, generator):
    """All windows there are, as a view, and a draw among them."""
    windows = ids.unfold(0, length, 1)
    chosen = torch.rand(batch, generator=generator, dtype=torch.float64) * len(windows)
    return windows[chosen.long()]
