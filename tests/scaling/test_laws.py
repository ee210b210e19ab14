"""FLOPs, the law and its optimum, valleys, envelopes, power laws, published figures."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from course_lib.attention import record_attention
from course_lib.decoder import DecoderConfig, DecoderLM
from course_lib.scaling import (
    ScalingLaw,
    compute_optimal,
    exact_training_flops,
    fit_power_law,
    isoflop_minimum,
    parametric_loss,
    training_envelope,
    training_flops,
)
from course_lib.scaling.published import (
    ALLOCATIONS,
    HOFFMANN_SECTION_3_4,
    HOFFMANN_TABLE_3,
    HOFFMANN_TABLE_A3,
    LAWS,
    MODELS,
)
from course_lib.transformer import count_parameters

LAW = ScalingLaw(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28)


def test_training_flops():
    assert training_flops(2, 5) == 60.0
    assert isinstance(training_flops(2, 5), float)
    for n_params, n_tokens in ((0, 5), (2, -1), (float("nan"), 1)):
        with pytest.raises(ValueError, match="must be (above 0|a number)"):
            training_flops(n_params, n_tokens)


@pytest.mark.parametrize("tied", [True, False])
def test_exact_flops_are_those_that_torch_counts(tied):
    config = DecoderConfig(37, 11, 12, n_layers=2, n_heads=3, ffn_width=20, tied=tied)
    ids = torch.randint(37, (5, 11))
    # recording makes attention take the plain way, whose products torch counts one by one
    with record_attention(), FlopCounterMode(display=False) as counter:
        DecoderLM(config)(ids).sum().backward()
    assert exact_training_flops(config, ids.numel()) == counter.get_total_flops()


def test_exact_flops_approach_the_rule_of_thumb_for_wide_models():
    def ratio(width):
        config = DecoderConfig(1000, 128, width, n_layers=12, n_heads=8, ffn_width=4 * width)
        n_params = count_parameters(config)["non_embedding"]
        return exact_training_flops(config, 1e9) / training_flops(n_params, 1e9)

    assert ratio(64) > ratio(512) > ratio(4096) > 1
    assert ratio(4096) == pytest.approx(1, abs=0.02)


def test_exact_flops_refuse_what_they_do_not_count():
    config = DecoderConfig(9, 4, 8, 1, 2, 8, feed_forward="swiglu", bias=False)
    with pytest.raises(ValueError, match="config must have a GELU"):
        exact_training_flops(config, 10)
    with pytest.raises(ValueError, match="n_tokens"):
        exact_training_flops(DecoderConfig(9, 4, 8, 1, 2, 8), 0)


def test_parametric_loss_takes_laws_and_numbers_of_any_kind():
    by_hand = 1.69 + 406.4 / 1e9**0.34 + 410.7 / 2e10**0.28
    assert parametric_loss(1e9, 2e10, LAW) == pytest.approx(by_hand)
    assert parametric_loss(1e9, 2e10, (1.69, 406.4, 410.7, 0.34, 0.28)) == pytest.approx(by_hand)
    n, d = torch.tensor([[1e9], [2e9]]), torch.tensor([2e10, 3e10, 4e10])
    assert parametric_loss(n, d, LAW).shape == (2, 3)
    assert parametric_loss(n, d, LAW).dtype == torch.float32
    with pytest.raises(ValueError, match="params"):
        parametric_loss(1e9, 1e9, (1.0, 2.0))


@given(
    budget=st.floats(1e10, 1e26),
    A=st.floats(1, 1e4),
    B=st.floats(1, 1e4),
    alpha=st.floats(0.1, 0.8),
    beta=st.floats(0.1, 0.8),
)
def test_the_optimum_spends_the_budget_and_beats_its_neighbours(budget, A, B, alpha, beta):
    law = ScalingLaw(1.0, A, B, alpha, beta)
    n, d = compute_optimal(budget, law)
    assert 6 * n * d == pytest.approx(budget)
    for factor in (0.9, 1.1):
        beside = parametric_loss(n * factor, d / factor, law)
        assert parametric_loss(n, d, law) <= beside * (1 + 1e-12)


def test_optima_follow_a_power_law_with_the_exponent_of_the_paper():
    budgets = torch.logspace(18, 24, 7, dtype=torch.float64)
    best = torch.tensor([compute_optimal(c, LAW)[0] for c in budgets.tolist()]).double()
    assert fit_power_law(budgets, best)[1] == pytest.approx(0.28 / 0.62, rel=1e-5)


def test_compute_optimal_refuses():
    with pytest.raises(ValueError, match="budget"):
        compute_optimal(0, LAW)
    with pytest.raises(ValueError, match="law must have"):
        compute_optimal(1e20, ScalingLaw(1, 1, 1, -0.1, 0.3))


def test_power_law():
    x = torch.tensor([1.0, 10.0, 300.0])
    c, k = fit_power_law(x, 2.5 * x**-0.7)
    assert (c, k) == pytest.approx((2.5, -0.7), rel=1e-5)
    for x, y in (([1.0, -1.0], [1.0, 1.0]), ([1.0, 2.0], [1.0, 0.0]), ([2.0, 2.0], [1.0, 2.0])):
        with pytest.raises(ValueError, match="^[xy] must"):
            fit_power_law(torch.tensor(x), torch.tensor(y))


def test_isoflop_minimum_is_the_vertex():
    n = torch.tensor([1e8, 2e8, 7e8, 3e9], dtype=torch.float64)
    loss = 2.5 + 0.03 * (n / 6e8).log().square()
    assert isoflop_minimum(n, loss) == pytest.approx((6e8, 2.5), rel=1e-9)
    shuffled = torch.tensor([2, 0, 3, 1])
    assert isoflop_minimum(n[shuffled], loss[shuffled]) == pytest.approx((6e8, 2.5))
    with pytest.raises(ValueError, match="loss must fall and rise"):
        isoflop_minimum(n, -loss)
    with pytest.raises(ValueError, match="three different sizes"):
        isoflop_minimum(n[[0, 0, 1]], loss[:3])


def test_envelope_takes_the_lowest_curve_that_has_been_there():
    early = (10.0, torch.tensor([1.0, 10.0, 100.0]), torch.tensor([4.0, 3.0, 2.9]))
    late = (50.0, torch.tensor([10.0, 100.0, 1000.0]), torch.tensor([5.0, 2.0, 1.0]))
    flops, n_params, loss = training_envelope([early, late], points=7)
    torch.testing.assert_close(flops, torch.logspace(0, 3, 7, dtype=torch.float64))
    assert n_params.tolist() == [10, 10, 10, 10, 50, 50, 50]
    expected = [4.0, 3.5, 3.0, 2.95, 2.0, 1.5, 1.0]
    torch.testing.assert_close(loss, torch.tensor(expected, dtype=torch.float64))


def test_envelope_is_silent_where_all_curves_are():
    one = (10.0, torch.tensor([1.0, 10.0]), torch.tensor([4.0, 3.0]))
    two = (50.0, torch.tensor([1000.0, 10000.0]), torch.tensor([2.0, 1.0]))
    flops, n_params, loss = training_envelope([one, two], points=9)
    assert len(flops) == len(n_params) == len(loss) == 6
    assert loss.isfinite().all()


@pytest.mark.parametrize(
    "curves",
    [
        [],
        [(10.0, torch.tensor([2.0, 1.0]), torch.tensor([1.0, 1.0]))],
        [(10.0, torch.tensor([1.0, 2.0]), torch.tensor([1.0]))],
        [(10.0, torch.tensor([0.0, 2.0]), torch.tensor([1.0, 1.0]))],
    ],
)
def test_envelope_refuses_curves_that_are_none(curves):
    with pytest.raises(ValueError, match="curves"):
        training_envelope(curves)


def test_published_tables_agree_with_arithmetic_but_for_the_known_misprint():
    for n, flops, d in HOFFMANN_TABLE_3:
        assert training_flops(n, d) == pytest.approx(flops, rel=0.05)
    for n, flops, d in HOFFMANN_SECTION_3_4:  # "approximately" 1e25, so says the second
        assert training_flops(n, d) == pytest.approx(flops, rel=0.15)
        in_table = next(tokens for size, _, tokens in HOFFMANN_TABLE_3 if size == n)
        assert d / in_table > 1.1
    wrong = [n for n, c, d in HOFFMANN_TABLE_A3 if abs(math.log(6 * n * d / c)) > math.log(1.05)]
    assert wrong == [175e9]


def test_published_laws_and_exponents_agree():
    law = LAWS["Hoffmann, TeX source"]
    a = law.beta / (law.alpha + law.beta)
    assert round(a, 2) == ALLOCATIONS["Hoffmann 3: parametric"].a
    for allocation in ALLOCATIONS.values():
        assert allocation.a + allocation.b == pytest.approx(1)
    # figure 4 of the paper: 40 billion parameters by approach 3 at Gopher's budget
    assert compute_optimal(5.76e23, law)[0] == pytest.approx(40e9, rel=0.02)
    chinchilla = MODELS["Chinchilla"]
    assert chinchilla.tokens / chinchilla.params == pytest.approx(20)
