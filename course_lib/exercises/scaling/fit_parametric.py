"""What `scaling.fit_parametric` demands."""

from __future__ import annotations

import numpy as np
import torch

from course_lib import scaling
from course_lib.checks.exercise import Case, Exercise
from course_lib.scaling import ScalingLaw, law_of, minimise_huber, start_grid

fit_parametric = Exercise(
    "scaling.fit_parametric", 4, scaling.fit_parametric, tolerance=2e-3, seconds=20.0
)


def _constants(solution, n, d, loss, huber_delta, bootstrap, starts, seed):
    law = solution(n, d, loss, huber_delta, bootstrap, starts=starts, seed=seed)
    return {"E": law.E, "A": law.A, "B": law.B, "alpha": law.alpha, "beta": law.beta}


_PLACES = [(1e3, 1e5), (1e4, 1e6), (1e5, 1e7), (1e4, 1e5)]


def _spread(refits):
    """How much the refits' predictions of log loss differ at a few places."""
    # as five numbers: a law that lives in a sandbox is no ScalingLaw
    laws = [(law.E, law.A, law.B, law.alpha, law.beta) for law in refits]
    predicted = [[scaling.parametric_loss(n, d, law) for n, d in _PLACES] for law in laws]
    return torch.tensor(predicted, dtype=torch.float64).log().std(0)


def _intervals(solution, n, d, loss, huber_delta, bootstrap, starts, seed):
    """Properties of the intervals, since nobody prescribes how the runs are drawn anew."""

    def fit(seed, bootstrap):
        return solution(n, d, loss, huber_delta, bootstrap, starts=starts, seed=seed)

    state = torch.get_rng_state()
    law, ours = fit(seed, bootstrap), _ours(n, d, loss, huber_delta, bootstrap, starts, seed)
    few, again, others = fit(seed, 5), fit(seed, 5), [fit(seed + i, 5) for i in (1, 2)]
    alone = torch.equal(state, torch.get_rng_state())
    spread = 0.0
    if len(law.refits) > 1:
        spread = (_spread(law.refits) / _spread(ours.refits)).log().mean().exp().item()
    around = [
        low < sum(law.intervals[name]) / 2 < high
        for name, (low, high) in ours.intervals.items()
        if name in law.intervals
    ]
    return {
        "an interval for each constant": sorted(law.intervals),
        "number of refits": len(law.refits),
        "low below high": all(low < high for low, high in law.intervals.values()),
        "the refits differ enough": spread > 0.72,
        "the refits differ no more than they should": spread < 1.22,
        "around the law": sum(around) >= 3,
        "the same seed gives the same intervals": few.intervals == again.intervals,
        "another seed gives others": any(few.intervals != other.intervals for other in others),
        "torch's own random numbers are left alone": alone,
    }


def _ours(n, d, loss, huber_delta, bootstrap, starts, seed):
    return scaling.fit_parametric(n, d, loss, huber_delta, bootstrap, starts=starts, seed=seed)


@fit_parametric.cases
def _(draw):
    def case(
        about,
        law,
        noise,
        starts,
        observe=_constants,
        *,
        n_runs=15,
        delta=1e-3,
        bootstrap=0,
        spoil=1.0,
    ):
        n = 1e3 * 100 ** torch.rand(n_runs, generator=draw.generator, dtype=torch.float64)
        d = 1e5 * 100 ** torch.rand(n_runs, generator=draw.generator, dtype=torch.float64)
        loss = scaling.parametric_loss(n, d, law) * (noise * draw.normal(n_runs).double()).exp()
        loss[3] *= spoil
        arguments = {"n": n, "d": d, "loss": loss, "huber_delta": delta, "bootstrap": bootstrap}
        return Case(about, arguments | {"starts": starts, "seed": 3}, observe)

    law = ScalingLaw(E=1.3, A=40.0, B=90.0, alpha=0.45, beta=0.35)
    good = torch.tensor([[3.7, 4.5, 0.26, 0.45, 0.35]], dtype=torch.float64)
    good = good + 0.02 * draw.normal(1, 5).double()
    # No power law but a constant: from here nothing can be learned, and the end is a bad one.
    stuck = torch.tensor([[-900.0, -900.0, 0.0, 0.5, 0.5]], dtype=torch.float64)
    yield case("the best start comes last", law, 0.0, torch.cat([stuck, good]))
    yield case("the best start comes first", law, 0.0, torch.cat([good, stuck]))
    yield case("a start that leads nowhere, and no other", law, 0.0, stuck)
    yield case("a run that went wrong, and another delta", law, 0.0, good, delta=1.0, spoil=1.02)
    close = 1e12 * 1.5 ** torch.rand(2, 15, generator=draw.generator, dtype=torch.float64)
    n, d = close[0].float(), 100 * close[1].float()
    loss = scaling.parametric_loss(n.double(), d.double(), law).float()
    arguments = {"n": n, "d": d, "loss": loss, "huber_delta": 1e-3, "bootstrap": 0}
    about = "runs in single precision, close together: logarithms need more digits"
    yield Case(about, arguments | {"starts": good, "seed": 3}, _constants)
    both = torch.cat([stuck, good])
    yield case("intervals", law, 0.01, both, _intervals, n_runs=30, bootstrap=400, delta=0.1)
    if draw.hidden:
        other = ScalingLaw(E=0.9, A=30.0, B=150.0, alpha=0.4, beta=0.4)
        yield case("another law", other, 0.0, torch.cat([good, stuck]), n_runs=20)


def _logs(n, d, loss):
    return n.double().log(), d.double().log(), loss.double().log()


def _refits(best, n, d, loss, huber_delta, bootstrap, seed, redraw=None):
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(len(n), (bootstrap, len(n)), generator=generator)
    data = _logs(n, d, loss)
    data = redraw(data, generator) if redraw else [x[drawn] for x in data]
    return minimise_huber(best.expand(bootstrap, 5), *data, huber_delta)[0]


def _fit(n, d, loss, huber_delta, bootstrap, starts, seed, *, pick=torch.argmin, redraw=None):
    starts = start_grid() if starts is None else starts
    ends, objective = minimise_huber(starts, *_logs(n, d, loss), huber_delta)
    best = ends[pick(objective)]
    return best, _refits(best, n, d, loss, huber_delta, bootstrap, seed, redraw)


@fit_parametric.misconception
def takes_the_first_start(n, d, loss, huber_delta=1e-3, bootstrap=0, *, starts=None, seed=0):
    """You return where the first start ended. Other starts may end lower: look at the objective of
    each and take the lowest."""
    return law_of(*_fit(n, d, loss, huber_delta, bootstrap, starts, seed, pick=lambda _: 0))


@fit_parametric.misconception
def takes_the_last_start(n, d, loss, huber_delta=1e-3, bootstrap=0, *, starts=None, seed=0):
    """You return where the last start ended. Other starts may end lower: look at the objective of
    each and take the lowest."""
    return law_of(*_fit(n, d, loss, huber_delta, bootstrap, starts, seed, pick=lambda _: -1))


@fit_parametric.misconception
def takes_the_worst_start(n, d, loss, huber_delta=1e-3, bootstrap=0, *, starts=None, seed=0):
    """You take the end with the *highest* objective. It measures how far the law is off, so lower
    is better."""
    return law_of(*_fit(n, d, loss, huber_delta, bootstrap, starts, seed, pick=torch.argmax))


@fit_parametric.misconception
def gives_the_minimiser_the_loss_itself(
    n, d, loss, huber_delta=1e-3, bootstrap=0, *, starts=None, seed=0
):
    """`minimise_huber` wants logarithms of all three, and your third is the loss itself. Then the
    law is fitted to exp(loss)."""
    return _law(n, d, loss.double().exp(), huber_delta, bootstrap, starts, seed)


def _law(n, d, loss, huber_delta, bootstrap, starts, seed):
    return law_of(*_fit(n, d, loss, huber_delta, bootstrap, starts, seed))


@fit_parametric.misconception
def gives_the_minimiser_no_logarithms(
    n, d, loss, huber_delta=1e-3, bootstrap=0, *, starts=None, seed=0
):
    """`minimise_huber` wants logarithms of all three, and gets parameters, tokens and losses as
    they are."""
    starts = start_grid() if starts is None else starts
    data = [x.double() for x in (n, d, loss)]
    ends, objective = minimise_huber(starts, *data, huber_delta)
    best = ends[objective.argmin()]
    rows = torch.randint(len(n), (bootstrap, len(n)), generator=torch.Generator().manual_seed(seed))
    redrawn = [x[rows] for x in data]
    return law_of(best, minimise_huber(best.expand(bootstrap, 5), *redrawn, huber_delta)[0])


@fit_parametric.misconception
def exchanges_parameters_and_tokens(
    n, d, loss, huber_delta=1e-3, bootstrap=0, *, starts=None, seed=0
):
    """Parameters and tokens have changed places on their way to `minimise_huber`: `log_n` comes
    before `log_d`, and A and alpha belong to N."""
    return _law(d, n, loss, huber_delta, bootstrap, starts, seed)


@fit_parametric.misconception
def takes_starts_of_its_own(n, d, loss, huber_delta=1e-3, bootstrap=0, *, starts=None, seed=0):
    """You go downhill from starts of your own. If `starts` is given, start there and nowhere else;
    only without it take the whole grid."""
    starts = scaling.screened_grid(n, d, loss, keep=8)
    return _law(n, d, loss, huber_delta, bootstrap, starts, seed)


@fit_parametric.misconception
def ignores_huber_delta(n, d, loss, huber_delta=1e-3, bootstrap=0, *, starts=None, seed=0):
    """With the usual delta this is right. With another one the answer is another, and yours stays
    the same: pass `huber_delta` on."""
    return _law(n, d, loss, 1e-3, bootstrap, starts, seed)


@fit_parametric.misconception
def draws_without_replacement(n, d, loss, huber_delta=1e-3, bootstrap=0, *, starts=None, seed=0):
    """All your refits find the same law, so the intervals have no width. Either each resample holds
    every run once (draw *with* replacement: `torch.randint`), or all resamples are the same draw
    (draw anew for each)."""

    def redraw(data, generator):
        orders = [torch.randperm(len(n), generator=generator) for _ in range(bootstrap)]
        return [torch.stack([x[order] for order in orders]) for x in data]

    redraw = redraw if bootstrap else None
    best, refits = _fit(n, d, loss, huber_delta, bootstrap, starts, seed, redraw=redraw)
    return law_of(best, best.expand_as(refits))


@fit_parametric.misconception
def draws_each_column_by_itself(n, d, loss, huber_delta=1e-3, bootstrap=0, *, starts=None, seed=0):
    """You draw the parameters, the tokens and the losses each by themselves, so that a loss stands
    beside the size of another run. Draw runs: the same rows for all three."""
    best, _ = _fit(n, d, loss, huber_delta, 0, starts, seed)
    generator = torch.Generator().manual_seed(seed)
    shape = (bootstrap, len(n))
    data = [x[torch.randint(len(n), shape, generator=generator)] for x in _logs(n, d, loss)]
    # nothing fits such data: where 30 steps lead is as wild as where a thousand do
    return law_of(best, minimise_huber(best.expand(bootstrap, 5), *data, most_steps=30)[0])


def _refitted(n, d, loss, huber_delta, bootstrap, starts, seed, rows, first=None):
    """The right law, with refits on the rows that are given."""
    best, _ = _fit(n, d, loss, huber_delta, 0, starts, seed)
    redrawn = [x[rows] for x in _logs(n, d, loss)]
    begin = best if first is None else first
    return law_of(best, minimise_huber(begin.expand(bootstrap, 5), *redrawn, huber_delta)[0])


@fit_parametric.misconception
def draws_without_a_seed(n, d, loss, huber_delta=1e-3, bootstrap=0, *, starts=None, seed=0):
    """The same seed gives other intervals each time: you draw from torch's own random numbers. Make
    a generator, `torch.Generator().manual_seed(seed)`, and hand it to `torch.randint`."""
    rows = torch.randint(len(n), (bootstrap, len(n)))
    return _refitted(n, d, loss, huber_delta, bootstrap, starts, seed, rows)


@fit_parametric.misconception
def seeds_torch_itself(n, d, loss, huber_delta=1e-3, bootstrap=0, *, starts=None, seed=0):
    """`torch.manual_seed` sets the random numbers of the whole program: whoever draws after you
    gets others than expected. Make a generator, `torch.Generator().manual_seed(seed)`, and hand it
    to `torch.randint`."""
    torch.manual_seed(seed)
    rows = torch.randint(len(n), (bootstrap, len(n)))
    return _refitted(n, d, loss, huber_delta, bootstrap, starts, seed, rows)


@fit_parametric.misconception
def draws_the_same_whatever_the_seed(
    n, d, loss, huber_delta=1e-3, bootstrap=0, *, starts=None, seed=0
):
    """Every seed gives the same intervals: yours is fixed inside. Seed the generator with
    `seed`."""
    return _law(n, d, loss, huber_delta, bootstrap, starts, 0)


@fit_parametric.misconception
def leaves_a_part_of_the_runs_out(
    n, d, loss, huber_delta=1e-3, bootstrap=0, *, starts=None, seed=0
):
    """Your refits differ too little from each other. That is so when each takes a part of the runs
    and none of them twice: draw *with* replacement (`torch.randint`), as many as there are."""
    generator = torch.Generator().manual_seed(seed)
    share = int(0.8 * len(n))
    rows = [torch.randperm(len(n), generator=generator)[:share] for _ in range(bootstrap)]
    rows = torch.stack(rows) if rows else torch.empty(0, share, dtype=torch.int64)
    return _refitted(n, d, loss, huber_delta, bootstrap, starts, seed, rows)


@fit_parametric.misconception
def draws_half_as_many_runs(n, d, loss, huber_delta=1e-3, bootstrap=0, *, starts=None, seed=0):
    """Your refits differ too much from each other. That is so when each sees fewer runs than there
    are: draw as many as there are."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randint(len(n), (bootstrap, len(n) // 2), generator=generator)
    return _refitted(n, d, loss, huber_delta, bootstrap, starts, seed, rows)


@fit_parametric.misconception
def refits_from_the_first_start(n, d, loss, huber_delta=1e-3, bootstrap=0, *, starts=None, seed=0):
    """The law is right, and your refits begin at the first of the starts, which may lead nowhere.
    Begin at the best end."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randint(len(n), (bootstrap, len(n)), generator=generator)
    first = (start_grid() if starts is None else starts)[0]
    return _refitted(n, d, loss, huber_delta, bootstrap, starts, seed, rows, first)


@fit_parametric.misconception
def takes_logarithms_in_single_precision(
    n, d, loss, huber_delta=1e-3, bootstrap=0, *, starts=None, seed=0
):
    """Where the runs come in single precision, so are your logarithms, and a large number's have
    too few digits left for a fit. Call `.double()` before `.log()`."""
    logs = [x.log().double().exp() for x in (n, d, loss)]
    return _law(*logs, huber_delta, bootstrap, starts, seed)


@fit_parametric.misconception
def takes_the_logarithm_of_the_loss_only(
    n, d, loss, huber_delta=1e-3, bootstrap=0, *, starts=None, seed=0
):
    """`minimise_huber` wants logarithms of all three, and gets parameters and tokens as they
    are."""
    starts = start_grid() if starts is None else starts
    data = [n.double(), d.double(), loss.double().log()]
    ends, objective = minimise_huber(starts, *data, huber_delta)
    best = ends[objective.argmin()]
    rows = torch.randint(len(n), (bootstrap, len(n)), generator=torch.Generator().manual_seed(seed))
    redrawn = [x[rows] for x in data]
    return law_of(best, minimise_huber(best.expand(bootstrap, 5), *redrawn, huber_delta)[0])


@fit_parametric.misconception
def gives_no_intervals(n, d, loss, huber_delta=1e-3, bootstrap=0, *, starts=None, seed=0):
    """The law is right, but with `bootstrap` it should come with intervals: draw the runs anew that
    many times, fit each resample, and give the refits to `law_of`."""
    return _law(n, d, loss, huber_delta, 0, starts, seed)


@fit_parametric.alternative
def one_refit_after_another(n, d, loss, huber_delta=1e-3, bootstrap=0, *, starts=None, seed=0):
    best, _ = _fit(n, d, loss, huber_delta, 0, starts, seed)
    generator = torch.Generator().manual_seed(seed)
    refits = []
    for _ in range(bootstrap):
        rows = torch.randint(len(n), (len(n),), generator=generator)
        redrawn = [x[rows] for x in _logs(n, d, loss)]
        refits.append(minimise_huber(best[None], *redrawn, huber_delta)[0][0])
    return law_of(best, torch.stack(refits) if refits else torch.empty(0, 5))


@fit_parametric.alternative
def with_numpys_dice(n, d, loss, huber_delta=1e-3, bootstrap=0, *, starts=None, seed=0):
    starts = start_grid() if starts is None else starts
    data = torch.stack(_logs(n, d, loss))
    ends, objective = minimise_huber(starts, *data, huber_delta)
    best = min(zip(objective.tolist(), ends, strict=True), key=lambda pair: pair[0])[1]
    rows = np.random.default_rng(seed).integers(len(n), size=(bootstrap, len(n)))
    return law_of(best, minimise_huber(best.expand(bootstrap, 5), *data[:, rows], huber_delta)[0])
