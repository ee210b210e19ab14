"""Notebook 10: what each exercise demands."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import torch

from course_lib import scaling
from course_lib.checks.exercise import Case, Exercise, refuses
from course_lib.scaling import ScalingLaw, law_of, minimise_huber, start_grid

# --- training_flops ------------------------------------------------------------------------

training_flops = Exercise("scaling.training_flops", 1, scaling.training_flops)


@training_flops.cases
def _(draw):
    yield Case("two parameters, five tokens", {"n_params": 2, "n_tokens": 5})
    yield Case("a small model", {"n_params": 8912.0, "n_tokens": draw.random.uniform(1e5, 1e7)})
    yield Case("Chinchilla", {"n_params": 70e9, "n_tokens": 1.4e12})
    if draw.hidden:
        large = {"n_params": draw.random.uniform(1e9, 1e12), "n_tokens": 3e12}
        yield Case("a large model", large)


@training_flops.misconception
def counts_the_way_forward_only(n_params, n_tokens):
    """2 N D is the way forward. A training also goes back, and that costs twice as much again: a
    gradient for the weights and one for what came in."""
    return 2.0 * n_params * n_tokens


@training_flops.misconception
def counts_the_way_back_once(n_params, n_tokens):
    """Your way back costs as much as the way forward. But it makes two products where the way
    forward made one: the gradient of the weights, and that of what came in."""
    return 4.0 * n_params * n_tokens


@training_flops.misconception
def counts_a_multiplication_with_its_addition_as_one(n_params, n_tokens):
    """You count one operation for each multiply-and-add. A FLOP is one operation on numbers: the
    multiplication is one, the addition another."""
    return 3.0 * n_params * n_tokens


@training_flops.misconception
def goes_forward_twice(n_params, n_tokens):
    """8 N D is what a training costs that saves memory by computing the way forward a second time
    on the way back. The plain training, and the C of all scaling laws, is without it."""
    return 8.0 * n_params * n_tokens


@training_flops.misconception
def multiplies_parameters_by_tokens(n_params, n_tokens):
    """Each token meets each parameter: N D meetings. Now count the operations in one meeting, on
    the way forward and on the way back."""
    return float(n_params * n_tokens)


@training_flops.alternative
def pass_by_pass(n_params, n_tokens):
    forward = 2 * n_params * n_tokens
    return float(forward + 2 * forward)


@training_flops.alternative
def per_token(n_params, n_tokens):
    return n_tokens * (6.0 * n_params)


# --- exact_training_flops ------------------------------------------------------------------

exact_training_flops = Exercise("scaling.exact_training_flops", 3, scaling.exact_training_flops)


@exact_training_flops.cases
def _(draw):
    names = ("vocab_size", "max_length", "width", "n_layers", "n_heads", "ffn_width", "tied")

    def case(about, sizes, n_tokens, **options):
        config = SimpleNamespace(**dict(zip(names, sizes, strict=True)))
        return Case(about, {"config": config, "n_tokens": n_tokens}, **options)

    yield case("one layer, one head", (7, 3, 2, 1, 1, 5, False), 1)
    yield case("three layers", (11, 5, 6, 3, 2, 10, False), 100)
    yield case("a tied head", (13, 4, 6, 2, 3, 7, True), 1000.0)
    yield case("GPT-2 small", (50257, 1024, 768, 12, 12, 3072, True), 1e9)
    if draw.hidden:
        heads = draw.random.randint(2, 9)
        yield case("other sizes", (101, 37, 8 * heads, 5, heads, 50, False), 12345)


def _flops(
    config,
    n_tokens,
    *,
    projections=4,
    scores=1,
    mixing=1,
    heads=1,
    matrices=2,
    length=None,
    ffn_width=None,
    layers=None,
    head=1,
    per_layer_head=False,
    embedding=0,
    a_term=2,
    times=3.0,
):
    """The count with switches for what may go wrong."""
    width, layers = config.width, layers or config.n_layers
    block = projections * width * width + matrices * width * (ffn_width or config.ffn_width)
    block += (scores + mixing) * (length or config.max_length) * width * heads
    tables = (head + embedding) * config.vocab_size * width
    forward = layers * (block + tables) if per_layer_head else layers * block + tables
    return float(times * a_term * forward * n_tokens)


@exact_training_flops.misconception
def leaves_out_the_head(config, n_tokens):
    """The product with the head is missing: from width to vocabulary, once for each token. A tied
    head is the token table again, but the product is made all the same."""
    return _flops(config, n_tokens, head=0)


@exact_training_flops.misconception
def counts_the_head_only_if_it_is_not_tied(config, n_tokens):
    """A tied head has no parameters of its own, but its product is made like any other: cost goes
    by what is computed, not by what is stored."""
    return _flops(config, n_tokens, head=0 if config.tied else 1)


@exact_training_flops.misconception
def counts_the_embedding_as_a_product(config, n_tokens):
    """Looking up a row of a table multiplies nothing. (Hoffmann et al. do count it as a product
    with a one-hot vector; here only products that are computed count.)"""
    return _flops(config, n_tokens, embedding=1)


@exact_training_flops.misconception
def leaves_out_the_scores(config, n_tokens):
    """Products with weights are counted, but attention has two more, of tokens with tokens: queries
    with keys, and weights with values. They grow with the length of the text."""
    return _flops(config, n_tokens, scores=0, mixing=0)


@exact_training_flops.misconception
def counts_half_of_attention(config, n_tokens):
    """Of attention's products of tokens with tokens you count half. There are two of them, queries
    with keys and shares with values. And a causal mask saves nothing: all scores are computed, then
    it hides some."""
    return _flops(config, n_tokens, mixing=0)


@exact_training_flops.misconception
def multiplies_the_scores_by_the_heads(config, n_tokens):
    """Heads share out the width: each makes its scores from width / n_heads channels, and together
    that is one product over the whole width."""
    return _flops(config, n_tokens, heads=config.n_heads)


@exact_training_flops.misconception
def counts_the_scores_of_the_whole_text_for_each_token(config, n_tokens):
    """Attention's products stand here with `max_length` squared. That is the cost for a whole text;
    one token has one query, which meets `max_length` keys."""
    return _flops(config, n_tokens, length=config.max_length**2)


@exact_training_flops.misconception
def lets_a_token_attend_to_the_whole_training(config, n_tokens):
    """Each token of yours meets all `n_tokens` of the training. It attends to the tokens of its own
    text only: `max_length` of them."""
    return _flops(config, n_tokens, length=n_tokens)


@exact_training_flops.misconception
def takes_the_feed_forward_for_four_times_the_width(config, n_tokens):
    """A feed-forward four times as wide as the model is a habit and no law: its width is
    `config.ffn_width`."""
    return _flops(config, n_tokens, ffn_width=4 * config.width)


@exact_training_flops.misconception
def counts_three_projections(config, n_tokens):
    """Queries, keys and values make three products. The fourth, `out_proj`, mixes the heads."""
    return _flops(config, n_tokens, projections=3)


@exact_training_flops.misconception
def counts_one_feed_forward_matrix(config, n_tokens):
    """The feed-forward has two matrices, one into the hidden layer and one out of it."""
    return _flops(config, n_tokens, matrices=1)


@exact_training_flops.misconception
def counts_one_layer(config, n_tokens):
    """This is one block and the head. There are `n_layers` blocks."""
    return _flops(config, n_tokens, layers=1)


@exact_training_flops.misconception
def counts_the_head_in_every_layer(config, n_tokens):
    """The head comes once, after the last block. Multiply only the block by `n_layers`."""
    return _flops(config, n_tokens, per_layer_head=True)


@exact_training_flops.misconception
def counts_a_term_as_one_operation(config, n_tokens):
    """Each term of a product is a multiplication and an addition: two operations."""
    return _flops(config, n_tokens, a_term=1)


@exact_training_flops.misconception
def stops_at_the_way_forward(config, n_tokens):
    """That is the way forward. The way back makes two products for each one: three times as much
    in all."""
    return _flops(config, n_tokens, times=1.0)


@exact_training_flops.misconception
def takes_the_way_back_for_as_long_as_the_way_forward(config, n_tokens):
    """The way back costs twice the way forward, not once: gradients of the weights and of what came
    in. Three times as much in all."""
    return _flops(config, n_tokens, times=2.0)


@exact_training_flops.misconception
def takes_the_rule_of_thumb(config, n_tokens):
    """This is 6 times the weights of the matrices, times tokens. The products of attention that
    have no weights (queries with keys, shares with values) are not in it, nor a head whose table is
    tied; count product by product."""
    width = config.width
    weights = config.n_layers * (4 * width * width + 2 * width * config.ffn_width)
    return 6.0 * weights * n_tokens


@exact_training_flops.alternative
def product_by_product(config, n_tokens):
    def product(a, b, c):
        return 2 * a * b * c

    length, width = config.max_length, config.width
    text = 0
    for _ in range(config.n_layers):
        text += 4 * product(length, width, width)
        for _ in range(config.n_heads):
            d_k = width // config.n_heads
            text += product(length, d_k, length) + product(length, length, d_k)
        text += product(length, width, config.ffn_width) + product(length, config.ffn_width, width)
    text += product(length, width, config.vocab_size)
    return 3.0 * text * n_tokens / length


@exact_training_flops.alternative
def from_the_weights(config, n_tokens):
    width, layers = config.width, config.n_layers
    weights = layers * (4 * width**2 + 2 * width * config.ffn_width) + width * config.vocab_size
    return n_tokens * (6.0 * weights + 12.0 * layers * width * config.max_length)


# --- fit_power_law -------------------------------------------------------------------------

fit_power_law = Exercise("scaling.fit_power_law", 2, scaling.fit_power_law, tolerance=1e-4)


@fit_power_law.cases
def _(draw):
    def case(about, x, c, k, noise=0.0):
        y = c * x**k * (noise * draw.normal(len(x))).exp().to(x.dtype)
        return Case(about, {"x": x, "y": y})

    yield case("y = 2 x^3 at three places", torch.tensor([1.0, 2.0, 5.0]), 2.0, 3.0)
    yield case("a falling law", torch.tensor([0.5, 2.0, 8.0, 40.0]), 0.7, -0.4)
    around = draw.normal(9).exp() * 5
    yield case("points in no order, beside the line", around, 3.0, 0.5, noise=0.3)
    budgets = torch.logspace(17, 21, 6, dtype=torch.float64)
    yield case("budgets of a paper, in double precision", budgets, 0.12, 0.49, noise=0.1)
    uneven = torch.tensor([1.0, 1.1, 1.2, 90.0])
    yield case("three points together, one far off", uneven, 1.5, 0.8, noise=0.4)
    if draw.hidden:
        many = draw.normal(40).double().exp() * 1e9
        yield case("many points", many, 1e-3, -0.3, noise=0.5)


def _line(x, y):
    """Slope and height of the straight line by least squares."""
    x, y = x.double(), y.double()
    k = ((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum()
    return k.item(), (y.mean() - k * x.mean()).item()


@fit_power_law.misconception
def fits_a_line_to_the_numbers_themselves(x, y):
    """This is the straight line through the points as they are. A power law is straight only in
    logarithms: take those of x and of y first."""
    k, c = _line(x, y)
    return c, k


@fit_power_law.misconception
def takes_the_logarithm_of_y_only(x, y):
    """You fit log y = log c + k x, which is an exponential law. For a power law x needs its
    logarithm too."""
    k, log_c = _line(x, y.log())
    return math.exp(min(log_c, 700.0)), k


@fit_power_law.misconception
def returns_the_exponent_first(x, y):
    """Both numbers are right, and they come in the wrong order: c first, then k."""
    k, log_c = _line(x.double().log(), y.double().log())
    return k, math.exp(log_c)


@fit_power_law.misconception
def returns_the_logarithm_of_c(x, y):
    """The height of the line is log c. The factor itself is `exp` of it."""
    k, log_c = _line(x.double().log(), y.double().log())
    return log_c, k


@fit_power_law.misconception
def takes_logarithms_to_base_ten_and_exp(x, y):
    """The line is fitted in logarithms to base 10, so its height has to be undone with 10**, not
    with `exp`. (The exponent is the same in any base.)"""
    k, log_c = _line(x.double().log10(), y.double().log10())
    return math.exp(log_c), k


@fit_power_law.misconception
def exchanges_x_and_y(x, y):
    """You fit log x against log y: how the budget follows from the size, as it were. y = c x^k asks
    for log y as a line in log x."""
    k, log_c = _line(y.double().log(), x.double().log())
    return math.exp(log_c), k


@fit_power_law.misconception
def takes_the_slope_for_the_height(x, y):
    """Slope and height have changed places before `exp`: your c is `exp` of the slope, and your k
    is the height. (`np.polyfit(..., 1)` returns the slope first.)"""
    k, log_c = _line(x.double().log(), y.double().log())
    return math.exp(k), log_c


@fit_power_law.misconception
def joins_the_first_and_the_last_point(x, y):
    """You draw the line through the first and the last point, so that all others have no say. Least
    squares weighs all of them."""
    log_x, log_y = x.double().log(), y.double().log()
    k = (log_y[-1] - log_y[0]) / (log_x[-1] - log_x[0])
    return (log_y[0] - k * log_x[0]).exp().item(), k.item()


@fit_power_law.misconception
def leaves_out_the_factor(x, y):
    """Your line goes through the origin, which says that c is 1. Let it have a height of its own:
    log c."""
    log_x, log_y = x.double().log(), y.double().log()
    return 1.0, ((log_x * log_y).sum() / log_x.square().sum()).item()


@fit_power_law.misconception
def divides_the_logarithms(x, y):
    """You average log y / log x. That is the exponent only where c is 1. Fit a line with a height
    and a slope."""
    log_x, log_y = x.double().log(), y.double().log()
    k = (log_y.mean() / log_x.mean()).item()
    return 1.0, k


@fit_power_law.alternative
def with_polyfit(x, y):
    k, log_c = np.polyfit(x.double().log().numpy(), y.double().log().numpy(), 1)
    return float(np.exp(log_c)), float(k)


@fit_power_law.alternative
def with_lstsq(x, y):
    log_x = x.double().log()
    columns = torch.stack([torch.ones_like(log_x), log_x], dim=1)
    log_c, k = torch.linalg.lstsq(columns, y.double().log()[:, None]).solution[:, 0]
    return math.exp(log_c), k.item()


@fit_power_law.alternative
def in_base_two(x, y):
    k, log_c = _line(x.double().log2(), y.double().log2())
    return 2.0**log_c, k


# --- isoflop_minimum -----------------------------------------------------------------------

isoflop_minimum = Exercise("scaling.isoflop_minimum", 2, scaling.isoflop_minimum, tolerance=1e-4)


@isoflop_minimum.cases
def _(draw):
    def case(about, n, best, height, bend, noise=0.0):
        loss = height + bend * (n / best).log().square() + noise * draw.normal(len(n)).to(n.dtype)
        return Case(about, {"n": n, "loss": loss})

    n = torch.tensor([1e3, 1e4, 1e5], dtype=torch.float64)
    yield case("three sizes, the best in the middle", n, 1e4, 2.0, 0.05)
    n = torch.tensor([1e8, 2e8, 7e8, 3e9], dtype=torch.float64)
    yield case("the vertex between two sizes", n, 4.3e8, 2.5, 0.03)
    best = draw.random.uniform(2e4, 5e4)
    n = torch.logspace(3.6, 5.4, 8, dtype=torch.float64)
    yield case("eight sizes with noise", n, best, 1.9, 0.06, noise=0.01)
    mixed = n[draw.permutation(8)]
    mixed = mixed[[0, 1, 2, 3, 4, 5, 2, 0]]
    yield case("sizes in no order, two of them twice", mixed, best, 1.8, 0.05, noise=0.01)
    yield case("the vertex left of all sizes", n, 1e3, 2.2, 0.04)
    yield case("single precision", n.float(), 2e4, 3.0, 0.2)
    if draw.hidden:
        wide = torch.logspace(7, 10, 12, dtype=torch.float64)
        yield case("models of a paper", wide, 6e8, 2.3, 0.02, noise=0.005)
    hill = 2.0 - 0.05 * (n / 2e4).log().square()
    yield refuses("a hill in place of a valley", {"n": n, "loss": hill}, naming="loss")


def _parabola(x, y):
    columns = torch.stack([x.double() ** 2, x.double(), torch.ones_like(x).double()], dim=1)
    return torch.linalg.lstsq(columns, y.double()[:, None]).solution[:, 0].tolist()


def _centred_parabola(n, loss):
    log_n = n.double().log()
    a, b, c = _parabola(log_n - log_n.mean(), loss)
    if a <= 0:
        raise ValueError("loss must fall and rise again")
    return a, b, c, log_n.mean().item()


@isoflop_minimum.misconception
def fits_the_parabola_in_n(n, loss):
    """Your parabola is one in N. Sizes are tried by factors, 1, 2, 4, ..., and the valley looks the
    same to both sides only in log N."""
    scale = n.mean().item()
    a, b, c = _parabola(n / scale, loss)
    return -b / (2 * a) * scale, c - b**2 / (4 * a)


@isoflop_minimum.misconception
def returns_the_best_of_the_sizes_tried(n, loss):
    """This is the best size that was tried. The bottom of the valley mostly lies between two of
    them, and noise moves single points: fit the parabola, and take its vertex."""
    best = loss.argmin()
    return n[best].item(), loss[best].item()


@isoflop_minimum.misconception
def returns_the_logarithm_of_n(n, loss):
    """The vertex is at this place of log N. Return N itself: `exp` of it."""
    a, b, c, middle = _centred_parabola(n, loss)
    return middle - b / (2 * a), c - b**2 / (4 * a)


@isoflop_minimum.misconception
def undoes_the_logarithm_in_another_base(n, loss):
    """The parabola is one in log10 N, and you undo the logarithm with `exp`. Either `10**` there,
    or the natural logarithm here."""
    a, b, c, middle = _centred_parabola(n, loss)
    return math.exp((middle - b / (2 * a)) / math.log(10)), c - b**2 / (4 * a)


@isoflop_minimum.misconception
def forgets_to_go_back_from_the_mean(n, loss):
    """You have taken the mean off log N, and the vertex you found is counted from there. Add the
    mean again before `exp`."""
    a, b, c, _ = _centred_parabola(n, loss)
    return math.exp(-b / (2 * a)), c - b**2 / (4 * a)


@isoflop_minimum.misconception
def returns_the_loss_first(n, loss):
    """Both numbers are right, and they come in the wrong order: N first, then the loss."""
    a, b, c, middle = _centred_parabola(n, loss)
    return c - b**2 / (4 * a), math.exp(middle - b / (2 * a))


@isoflop_minimum.misconception
def forgets_the_two_below_the_vertex(n, loss):
    """The derivative of a x^2 + b x + c is 2 a x + b, and it is zero at -b / (2 a). Your vertex
    lies at -b / a."""
    a, b, c, middle = _centred_parabola(n, loss)
    return math.exp(middle - b / a), c


@isoflop_minimum.misconception
def goes_to_the_wrong_side_of_the_middle(n, loss):
    """The derivative 2 a x + b is zero at x = -b / (2 a). The sign of yours is turned round."""
    a, b, c, middle = _centred_parabola(n, loss)
    return math.exp(middle + b / (2 * a)), c + 3 * b**2 / (4 * a)


@isoflop_minimum.misconception
def returns_the_lowest_measured_loss(n, loss):
    """The size is the vertex, but the loss beside it is the lowest that was measured. Return the
    parabola's own value there: it is the mean of noise, not its luckiest draw."""
    a, b, _, middle = _centred_parabola(n, loss)
    return math.exp(middle - b / (2 * a)), loss.min().item()


@isoflop_minimum.misconception
def keeps_the_vertex_among_the_sizes_tried(n, loss):
    """You move the vertex to the nearest size when it lies outside of those tried. A vertex outside
    is a message: the sweep has not found the valley's other side. Return it as it is."""
    a, b, c, middle = _centred_parabola(n, loss)
    x = min(max(middle - b / (2 * a), n.log().min().item()), n.log().max().item()) - middle
    return math.exp(x + middle), a * x**2 + b * x + c


@isoflop_minimum.misconception
def takes_the_top_of_a_hill(n, loss):
    """On a valley this is right. But a parabola that opens downward has its vertex at the *highest*
    loss; that is an error, and you return it as if it were the best size."""
    log_n = n.double().log()
    a, b, c = _parabola(log_n - log_n.mean(), loss)
    return math.exp(log_n.mean().item() - b / (2 * a)), c - b**2 / (4 * a)


@isoflop_minimum.alternative
def with_polynomial_fit(n, loss):
    curve = np.polynomial.Polynomial.fit(n.double().log().numpy(), loss.double().numpy(), 2)
    if curve.convert().coef[2] <= 0:
        raise ValueError("loss is a hill")
    (vertex,) = curve.deriv().roots()
    return float(np.exp(vertex)), float(curve(vertex))


@isoflop_minimum.alternative
def in_base_ten(n, loss):
    a, b, c = np.polyfit(n.double().log10().numpy(), loss.double().numpy(), 2)
    if a <= 0:
        raise ValueError("loss is a hill")
    return float(10 ** (-b / (2 * a))), float(c - b**2 / (4 * a))


# --- training_envelope ---------------------------------------------------------------------

training_envelope = Exercise(
    "scaling.training_envelope", 3, scaling.training_envelope, tolerance=1e-4
)


@training_envelope.cases
def _(draw):
    def curve(n_params, low, high, start, end, looks=5):
        flops = torch.logspace(math.log10(low), math.log10(high), looks)
        bent = torch.linspace(1, 0, looks).square()
        return float(n_params), flops, end + (start - end) * bent

    def case(about, curves, points):
        return Case(about, {"curves": curves, "points": points})

    two = [curve(10, 1.0, 90.0, 4.0, 2.9), curve(50, 7.0, 800.0, 5.0, 1.0)]
    yield case("one curve", two[:1], 4)
    yield case("a small model and a large one", two, 7)
    ends_low = [curve(10, 1.0, 90.0, 4.0, 0.5), curve(50, 7.0, 800.0, 5.0, 1.0)]
    yield case("a curve that ends lower than the other ever comes", ends_low, 12)
    late = [curve(30, 1.0, 8.0, 3.0, 2.5), curve(20, 300.0, 5000.0, 2.0, 1.5)]
    yield case("a gap that no curve reaches", late, 11)
    sizes = [(3 + 7 * i) * draw.random.uniform(0.9, 1.1) for i in range(4)]
    mixed = [curve(n, 2 * n, 400 * n, 4 - 0.02 * n, 2.6 - n / 11, looks=6) for n in sizes]
    yield case("four models, in no order", [mixed[i] for i in draw.permutation(4).tolist()], 25)
    again = [curve(8, 3.0, 200.0, 3.5, 2.0), curve(8, 3.5, 900.0, 3.9, 1.6)]
    yield case("one size, trained twice", again, 9)
    if draw.hidden:
        yield case("a fine grid", mixed, 200)


def _grid(curves, points):
    first = min(flops[0].item() for _, flops, _ in curves)
    last = max(flops[-1].item() for _, flops, _ in curves)
    return np.linspace(math.log(first), math.log(last), points)


def _envelope(
    curves,
    points,
    *,
    grid=None,
    read=None,
    pick=np.argmin,
    silent=True,
    left=np.inf,
    right=np.inf,
):
    """The algorithm with switches for what may go wrong."""
    grid = _grid(curves, points) if grid is None else grid

    def in_log_flops(flops, loss):
        return np.interp(grid, flops.double().log(), loss.double(), left=left, right=right)

    losses = np.array([(read or in_log_flops)(flops, loss) for _, flops, loss in curves])
    sizes = np.array([n_params for n_params, _, _ in curves])
    best = pick(losses, axis=0)
    lowest = losses[best, np.arange(len(grid))]
    heard = np.isfinite(lowest) if silent else np.ones(len(grid), dtype=bool)
    return tuple(torch.tensor(x[heard]) for x in (np.exp(grid), sizes[best], lowest))


@training_envelope.misconception
def goes_on_after_the_end_of_a_curve(curves, points=1500):
    """A curve that has ended keeps its last loss in your envelope, as if the model stood there for
    every larger budget (and its first loss for every smaller one). That is what `np.interp` does
    unless `left` and `right` say otherwise. Outside of its looks a curve says nothing."""
    return _envelope(curves, points, left=None, right=None)


@training_envelope.misconception
def goes_on_to_the_right(curves, points=1500):
    """Before a curve begins you leave it out, but after its end it keeps its last loss. There it
    says nothing either: `right` as well as `left`."""
    return _envelope(curves, points, right=None)


@training_envelope.misconception
def goes_on_to_the_left(curves, points=1500):
    """After a curve's end you leave it out, but before its first look it has its first loss. There
    it says nothing either: `left` as well as `right`."""
    return _envelope(curves, points, left=None)


@training_envelope.misconception
def counts_silence_as_a_loss_of_zero(curves, points=1500):
    """Where a curve says nothing you write a loss of 0, and 0 is lower than any loss. Write what
    can never be the lowest: infinity."""
    return _envelope(curves, points, left=0.0, right=0.0)


@training_envelope.misconception
def lets_nan_win(curves, points=1500):
    """Where a curve says nothing you write NaN, and `min` takes NaN before any number: wherever one
    curve is silent, the others are lost with it. Write infinity."""
    return _envelope(curves, points, left=np.nan, right=np.nan)


@training_envelope.misconception
def keeps_the_lowest_loss_so_far(curves, points=1500):
    """Your envelope never rises: it remembers the best loss of smaller budgets. But it may rise,
    where the best curve has ended; there the lowest of those that go on counts."""
    flops, sizes, loss = _envelope(curves, points)
    return flops, sizes, loss.cummin(dim=0).values


@training_envelope.misconception
def reads_off_in_flops(curves, points=1500):
    """Between two looks you go straight in FLOPs. The grid and the curves live on logarithms:
    straight lines in log FLOPs."""
    grid = _grid(curves, points)

    def read(flops, loss):
        values = np.interp(np.exp(grid), flops.double(), loss.double())
        heard = (grid >= flops[0].double().log().item()) & (grid <= flops[-1].double().log().item())
        return np.where(heard, values, np.inf)

    return _envelope(curves, points, grid=grid, read=read)


@training_envelope.misconception
def spaces_the_grid_evenly_in_flops(curves, points=1500):
    """Your grid is even in FLOPs, so that nearly all of its points lie in the last factor of ten.
    It is given: even in log FLOPs."""
    ends = np.exp(_grid(curves, 2))
    return _envelope(curves, points, grid=np.log(np.linspace(*ends, points)))


@training_envelope.misconception
def takes_the_highest_curve(curves, points=1500):
    """This is the upper envelope: the worst model at each budget. Lower is better."""

    def worst(losses, axis):
        return np.where(np.isfinite(losses), losses, -np.inf).argmax(axis)

    return _envelope(curves, points, pick=worst)


@training_envelope.misconception
def keeps_the_places_where_all_are_silent(curves, points=1500):
    """Where no curve has a look to either side, your best loss is infinite. Leave such places out
    of all three results."""
    return _envelope(curves, points, silent=False)


@training_envelope.misconception
def returns_the_number_of_the_curve(curves, points=1500):
    """The second result says *which* curve is best, by its place in the list. Return the parameters
    of that model."""
    flops, sizes, loss = _envelope([(float(i), *c[1:]) for i, c in enumerate(curves)], points)
    return flops, sizes, loss


@training_envelope.misconception
def returns_log_flops(curves, points=1500):
    """The first result is the grid of log FLOPs. Return the FLOPs: `exp` of it."""
    flops, sizes, loss = _envelope(curves, points)
    return flops.log(), sizes, loss


@training_envelope.misconception
def takes_one_winner_for_all_budgets(curves, points=1500):
    """You look for the model with the lowest loss once. Which model is best depends on the budget:
    look at each point of the grid (`dim=0`, over the curves)."""
    lowest = np.argmin([loss.min().item() for _, _, loss in curves])

    def same(losses, axis):
        return np.full(losses.shape[1], lowest)

    return _envelope(curves, points, pick=same)


@training_envelope.alternative
def point_by_point(curves, points=1500):
    rows = []
    for place in _grid(curves, points).tolist():
        readings = []
        for n_params, flops, loss in curves:
            x, y = flops.double().log().tolist(), loss.tolist()
            for i in range(len(x) - 1):
                if x[i] <= place <= x[i + 1]:
                    share = (place - x[i]) / (x[i + 1] - x[i])
                    readings.append((y[i] + share * (y[i + 1] - y[i]), n_params))
        if readings:
            loss, n_params = min(readings)
            rows.append((math.exp(place), n_params, loss))
    return tuple(torch.tensor(column, dtype=torch.float64) for column in zip(*rows, strict=True))


@training_envelope.alternative
def with_a_running_minimum(curves, points=1500):
    grid = _grid(curves, points)
    best_loss, best_size = np.full(points, np.inf), np.zeros(points)
    for n_params, flops, loss in curves:
        here = np.interp(grid, flops.double().log(), loss.double(), left=np.nan, right=np.nan)
        better = here < best_loss
        best_loss[better], best_size[better] = here[better], n_params
    heard = best_loss < np.inf
    return tuple(torch.from_numpy(x[heard]) for x in (np.exp(grid), best_size, best_loss))


# --- parametric_loss -----------------------------------------------------------------------

parametric_loss = Exercise("scaling.parametric_loss", 1, scaling.parametric_loss)


@parametric_loss.cases
def _(draw):
    def case(about, n, d, params):
        return Case(about, {"n": n, "d": d, "params": params})

    yield case("numbers to do in the head", 4.0, 9.0, (1.0, 6.0, 12.0, 0.5, 0.5))
    yield case("two exponents", 16.0, 8.0, (0.5, 3.0, 5.0, 0.25, 2 / 3))
    law = ScalingLaw(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28)
    yield case("a law", 70e9, 1.4e12, law)
    n, d = draw.normal(5).exp() * 1e4, draw.normal(5).exp() * 1e6
    yield case("many runs at once", n, d, (1.2, 40.0, 90.0, 0.45, 0.3))
    grid = {"n": n.double()[None], "d": d.double()[:, None]}
    yield case("every size with every length", grid["n"], grid["d"], law)
    if draw.hidden:
        yield case("single runs as tensors", n[0], d[1], [2.0, 7.0, 11.0, 0.2, 0.6])


def _five(params):
    if isinstance(params, ScalingLaw):
        return params.E, params.A, params.B, params.alpha, params.beta
    return tuple(params)


@parametric_loss.misconception
def leaves_out_what_cannot_be_removed(n, d, params):
    """This is what parameters and tokens can still win. The loss has a third part, E, that no model
    gets rid of."""
    _, A, B, alpha, beta = _five(params)
    return A / n**alpha + B / d**beta


@parametric_loss.misconception
def exchanges_the_exponents(n, d, params):
    """alpha belongs to the parameters N, beta to the tokens D; yours are the other way round."""
    E, A, B, alpha, beta = _five(params)
    return E + A / n**beta + B / d**alpha


@parametric_loss.misconception
def exchanges_the_factors(n, d, params):
    """A belongs to the parameters N, B to the tokens D; you have them the other way round."""
    E, A, B, alpha, beta = _five(params)
    return E + B / n**alpha + A / d**beta


@parametric_loss.misconception
def multiplies_where_it_should_divide(n, d, params):
    """In your law the loss grows with N and D. The powers stand below the bar of the fraction."""
    E, A, B, alpha, beta = _five(params)
    return E + A * n**alpha + B * d**beta


@parametric_loss.misconception
def raises_the_factor_too(n, d, params):
    """(A / N)^alpha raises A to the power as well. Only N is: A / N^alpha."""
    E, A, B, alpha, beta = _five(params)
    return E + (A / n) ** alpha + (B / d) ** beta


@parametric_loss.misconception
def takes_each_factor_with_its_exponent(n, d, params):
    """You read the five numbers as E, A, alpha, B, beta. Their order is E, A, B, alpha, beta."""
    E, A, alpha, B, beta = _five(params)
    return E + A / n**alpha + B / d**beta


@parametric_loss.misconception
def takes_numbers_only(n, d, params):
    """Five numbers work, a `ScalingLaw` does not: it has to be asked for its `E`, `A`, `B`, `alpha`
    and `beta`."""
    E, A, B, alpha, beta = params
    return E + A / n**alpha + B / d**beta


@parametric_loss.alternative
def with_negative_powers(n, d, params):
    E, A, B, alpha, beta = _five(params)
    return A * n**-alpha + B * d**-beta + E


@parametric_loss.alternative
def attribute_by_attribute(n, d, params):
    if not isinstance(params, ScalingLaw):
        params = ScalingLaw(*params)
    return params.E + params.A / n**params.alpha + params.B / d**params.beta


# --- compute_optimal -----------------------------------------------------------------------

compute_optimal = Exercise("scaling.compute_optimal", 3, scaling.compute_optimal, tolerance=1e-4)


@compute_optimal.cases
def _(draw):
    def case(about, budget, *constants):
        return Case(about, {"budget": budget, "law": ScalingLaw(*constants)})

    yield case("parameters and tokens count the same", 600.0, 1.0, 3.0, 3.0, 0.5, 0.5)
    yield case("tokens cost more", 6e4, 1.0, 2.0, 5.0, 0.5, 0.5)
    yield case("two exponents", 6e6, 1.0, 4.0, 4.0, 0.3, 0.6)
    yield case("Chinchilla's budget", 5.76e23, 1.69, 406.4, 410.7, 0.34, 0.28)
    A, B = draw.random.uniform(20, 60), draw.random.uniform(100, 900)
    alpha, beta = draw.random.uniform(0.2, 0.35), draw.random.uniform(0.4, 0.6)
    yield case("a law of a small sweep", 3e11, 1.3, A, B, alpha, beta)
    if draw.hidden:
        yield case("the exponents exchanged", 1e15, 0.4, A, B, beta, alpha)


def _optimum(budget, law, *, per=6, g=None, exponent=None):
    product, together = budget / per, law.alpha + law.beta
    if g is None:
        g = (law.alpha * law.A / (law.beta * law.B)) ** (1 / together)
    n = g * product ** (law.beta / together if exponent is None else exponent)
    return n, product / n


@compute_optimal.misconception
def forgets_that_a_token_costs_six(budget, law):
    """Your N times D is the whole budget. The budget is 6 N D, so N times D is a sixth of it."""
    return _optimum(budget, law, per=1)


@compute_optimal.misconception
def forgets_the_six_for_the_tokens(budget, law):
    """N is right. But with your D, 6 N D is six times the budget: D = C / 6 N."""
    n, _ = _optimum(budget, law)
    return n, budget / n


@compute_optimal.misconception
def exchanges_the_exponents_of_the_budget(budget, law):
    """N should grow like C^(beta / (alpha + beta)): a large beta means that tokens soon do their
    part, and the budget goes into parameters. You have alpha above the bar."""
    return _optimum(budget, law, exponent=law.alpha / (law.alpha + law.beta))


@compute_optimal.misconception
def turns_the_balance_round(budget, law):
    """G = (alpha A / (beta B))^(1 / (alpha + beta)). Yours has the fraction upside down, and gives
    parameters what belongs to tokens."""
    together = law.alpha + law.beta
    return _optimum(budget, law, g=(law.beta * law.B / (law.alpha * law.A)) ** (1 / together))


@compute_optimal.misconception
def balances_the_terms_themselves(budget, law):
    """At your optimum A / N^alpha equals B / D^beta. What must be equal is what one percent more of
    each would *gain*: alpha A / N^alpha and beta B / D^beta."""
    together = law.alpha + law.beta
    return _optimum(budget, law, g=(law.A / law.B) ** (1 / together))


@compute_optimal.misconception
def leaves_out_the_balance(budget, law):
    """The exponent is right, the factor is missing: without G = (alpha A / (beta B))^(1 / (alpha +
    beta)) the constants A and B have no say."""
    return _optimum(budget, law, g=1.0)


@compute_optimal.misconception
def leaves_the_root_out_of_the_balance(budget, law):
    """alpha A / (beta B) still has to be raised to 1 / (alpha + beta)."""
    return _optimum(budget, law, g=law.alpha * law.A / (law.beta * law.B))


@compute_optimal.misconception
def takes_twenty_tokens_for_each_parameter(budget, law):
    """You spend 20 tokens on each parameter, whatever the law says. That number is what one law
    gives for certain budgets; ask *this* law."""
    n = math.sqrt(budget / 120)
    return n, 20 * n


@compute_optimal.misconception
def shares_the_budget_evenly(budget, law):
    """You grow N and D with the square root of the budget. That is right only where alpha equals
    beta."""
    return _optimum(budget, law, exponent=0.5)


@compute_optimal.misconception
def returns_tokens_first(budget, law):
    """Both numbers are right, and they come in the wrong order: N first, then D."""
    return _optimum(budget, law)[::-1]


@compute_optimal.alternative
def by_bisection(budget, law):
    def parameters_gain_more(log_n):
        n = math.exp(log_n)
        d = budget / 6 / n
        return law.alpha * law.A / n**law.alpha > law.beta * law.B / d**law.beta

    low, high = -50.0, math.log(budget) + 50
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if parameters_gain_more(middle) else (low, middle)
    n = math.exp(low)
    return n, budget / 6 / n


@compute_optimal.alternative
def tokens_from_their_own_formula(budget, law):
    together = law.alpha + law.beta
    g = (law.alpha * law.A / law.beta / law.B) ** (1 / together)
    n = g * (budget / 6) ** (law.beta / together)
    return n, (budget / 6) ** (law.alpha / together) / g


# --- fit_parametric ------------------------------------------------------------------------

fit_parametric = Exercise(
    "scaling.fit_parametric", 4, scaling.fit_parametric, tolerance=2e-3, seconds=20.0
)


def _constants(solution, n, d, loss, huber_delta, bootstrap, starts, seed):
    law = solution(n, d, loss, huber_delta, bootstrap, starts=starts, seed=seed)
    return {"E": law.E, "A": law.A, "B": law.B, "alpha": law.alpha, "beta": law.beta}


def _intervals(solution, n, d, loss, huber_delta, bootstrap, starts, seed):
    """Properties of the intervals, since nobody prescribes how the runs are drawn anew."""
    options = {"starts": starts, "seed": seed}
    law = solution(n, d, loss, huber_delta, bootstrap, **options)
    ours = scaling.fit_parametric(n, d, loss, huber_delta, bootstrap, **options)
    widths = sorted(
        (law.intervals[name][1] - law.intervals[name][0]) / (high - low)
        for name, (low, high) in ours.intervals.items()
        if name in law.intervals
    )
    typical = widths[len(widths) // 2] if widths else 0.0
    around = [
        low < sum(law.intervals[name]) / 2 < high
        for name, (low, high) in ours.intervals.items()
        if name in law.intervals
    ]
    return {
        "an interval for each constant": sorted(law.intervals),
        "low below high": all(low < high for low, high in law.intervals.values()),
        "wide enough": typical > 0.3,
        "narrow enough": typical < 3,
        "around the law": sum(around) >= 3,
    }


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
    yield case("intervals", law, 0.01, good, _intervals, n_runs=30, bootstrap=40, delta=0.1)
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
