# %% [markdown]
# # Scaling
#
# **You may spend this much compute, and no more. How large should the model be, and how much text should it read?**
#
# A large model learns more from each token, but each token costs more. With a fixed budget you can train a large model for a short time or a small one for a long time, and somewhere between the two is a best choice. In 2020 and 2022 two research groups measured where it is, came to very different answers, and some of the largest models of their time were planned by the first one. You are going to measure it yourself, on a language of which the true entropy is known, and then read the published numbers with a ruler in your hand.
#
# > **You will build** the count of what a training costs, the bottom of a valley, the envelope of training curves, a power law, and the fit of a scaling law with intervals: the three approaches of the Chinchilla paper.
# >
# > **You need** notebook 06: a decoder is trained to predict the next token, and no model can beat the entropy of the text. And logarithms.
# >
# > **It takes** about 100 minutes to work through, and under 60 seconds to run.

# %%
import math
from collections.abc import Sequence

import numpy as np
import torch
from ipywidgets import FloatSlider, Layout, interact
from jaxtyping import Float
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from course_lib.attention import record_attention
from course_lib.checks import check
from course_lib.data.facts import FactLanguage
from course_lib.decoder import DecoderConfig, DecoderLM
from course_lib.experiments.scaling import (
    Run,
    config_of,
    minimise_with_scipy,
    run_training,
    stored_curves,
    stored_sweep,
)
from course_lib.plots import scaling as plots
from course_lib.scaling import (
    Curve,
    Runs,
    ScalingLaw,
    check_runs,
    law_of,
    middle,
    minimise_huber,
    screened_grid,
    start_grid,
)
from course_lib.scaling.published import (
    ALLOCATIONS,
    HOFFMANN_SECTION_3_4,
    HOFFMANN_TABLE_3,
    HOFFMANN_TABLE_A3,
    LAWS,
    MODELS,
)
from course_lib.shapes import check_shapes
from course_lib.transformer import CountableConfig, count_parameters

torch.set_num_threads(1)  # our models are so small that two threads would wait for each other

# %% [markdown]
# ## 1. What a training costs
#
# **A training of N parameters on D tokens takes about 6 N D floating-point operations.**
#
# A *FLOP* is one operation on two numbers: an addition, or a multiplication. Nearly all of a transformer's work is matrix products, and in a matrix product each weight meets each token once: one multiplication, one addition, 2 FLOPs. That is the way forward. On the way back each product brings two more of the same size, one for the gradient of the weights and one for the gradient of what came in: 4 FLOPs. Together 6.
#
# By hand, for a linear layer with 3 weights and 5 tokens:

# %%
n_weights, n_tokens = 3, 5
forward = 2 * n_weights * n_tokens
back = 2 * forward
print("forward", forward, "+ back", back, "=", forward + back, "FLOPs")


# %% [markdown]
# Three letters for the rest of the notebook: **N** is the number of parameters, **D** the number of training tokens, **C** the number of FLOPs.
#
# Which parameters? The field disagrees. Kaplan et al. (2020) leave out the embedding tables, since looking up a row multiplies nothing. Hoffmann et al. (2022) count everything. For a model of many billions it hardly matters; for a small one it does. In this course N leaves out the tables for tokens and positions, unless a name says `total`.

# %% [markdown]
# ### Exercise: training_flops (1 point)
#
# The rule of thumb.
#
# - `n_params` is N, `n_tokens` is D. Return C = 6 N D, a Python float.
#
# ```python
# training_flops(2, 5)  # 60.0
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# One token meets one parameter: how many operations forward, how many back?
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# Multiply the number of meetings by the operations in each.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `return 6.0 * ...`, so that it is a float.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "scaling-training_flops", "locked": false, "schema_version": 3, "solution": true, "task": false}
def training_flops(n_params: float, n_tokens: float) -> float:
    """FLOPs of a training by the rule of thumb, C = 6 N D.

    >>> training_flops(2, 5)
    60.0
    """
    for name, number in {"n_params": n_params, "n_tokens": n_tokens}.items():
        if not number > 0:
            raise ValueError(f"{name} must be above 0, got {number}")

    ### BEGIN SOLUTION
    return 6.0 * n_params * n_tokens
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-scaling-training_flops", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
check("scaling.training_flops", training_flops)
### BEGIN HIDDEN TESTS
check("scaling.training_flops", training_flops, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# The rule leaves things out. Attention multiplies tokens with tokens: queries with keys, shares with values. No weight is in these products. And a head that shares its table with the embedding counts no parameters of its own, but its product is made for each token. So count once exactly.

# %% [markdown]
# ### Exercise: exact_training_flops (3 points)
#
# Every matrix product of a training, and nothing else.
#
# - `config` has `vocab_size`, `max_length`, `width`, `n_layers`, `ffn_width` (and `n_heads`, `tied`, which change nothing: say to yourself why). `n_tokens` is D.
# - A product of an `[a, b]` matrix with a `[b, c]` matrix costs `2 * a * b * c` FLOPs.
# - For one token, a block makes four projections (queries, keys, values, output), two feed-forward products, and in attention two products with all `max_length` tokens of the text: one for the scores, one to mix the values. All scores are computed; the causal mask hides half of them afterwards.
# - The head comes once, after the last block. Looking up an embedding costs nothing here.
# - The way back costs twice the way forward. Return a float.
#
# ```python
# config = DecoderConfig(vocab_size=7, max_length=3, width=2, n_layers=1, n_heads=1, ffn_width=5)
# exact_training_flops(config, n_tokens=1)  # 3 * (32 + 24 + 40 + 28) = 372.0
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# Write down the products for *one* token. Then a token is a row, `[1, width]`, and a product with a `[width, ffn_width]` matrix costs `2 * width * ffn_width`.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# Four summands for a block and one for the head, as in the example: projections, scores and mixing, feed-forward. Scores: one query of `width` channels (all heads together) with `max_length` keys. Mixing costs the same.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `projections = 4 * 2 * config.width * config.width`; `scores_and_mixing = 2 * 2 * config.max_length * config.width`; `feed_forward = 2 * 2 * config.width * ...`; `head = 2 * config.width * ...`. Forward is `n_layers` times the block, plus the head; then times 3, times tokens.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "scaling-exact_training_flops", "locked": false, "schema_version": 3, "solution": true, "task": false}
def exact_training_flops(config: CountableConfig, n_tokens: float) -> float:
    """FLOPs of all matrix products of a training on `n_tokens` tokens.

    >>> exact_training_flops(DecoderConfig(7, 3, 2, n_layers=1, n_heads=1, ffn_width=5), 1)
    372.0
    """
    if not n_tokens > 0:
        raise ValueError(f"n_tokens must be above 0, got {n_tokens}")
    if getattr(config, "feed_forward", "gelu") != "gelu" or getattr(config, "n_kv_heads", None):
        raise ValueError("config must have a GELU feed-forward and no shared heads, got others")

    ### BEGIN SOLUTION
    projections = 4 * 2 * config.width * config.width  # q, k, v, out
    scores_and_mixing = 2 * 2 * config.max_length * config.width  # with every token of the text
    feed_forward = 2 * 2 * config.width * config.ffn_width
    block = projections + scores_and_mixing + feed_forward
    head = 2 * config.width * config.vocab_size
    forward = config.n_layers * block + head  # for one token
    return 3.0 * forward * n_tokens
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-scaling-exact_training_flops", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check("scaling.exact_training_flops", exact_training_flops)
### BEGIN HIDDEN TESTS
check("scaling.exact_training_flops", exact_training_flops, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# torch can count the products that it really makes. Here is a decoder from notebook 06, forward and back, on 5 texts of 11 tokens. (Recording attention makes it take the plain way through its scores; the fused kernel computes some of them twice.)

# %% tags=["experiment"]
config = DecoderConfig(37, 11, 12, n_layers=2, n_heads=3, ffn_width=20)
ids = torch.randint(37, (5, 11), generator=torch.Generator().manual_seed(0))
with record_attention(), FlopCounterMode(display=False) as counter:
    DecoderLM(config)(ids).sum().backward()
n_params = count_parameters(config)["non_embedding"]
print("torch counted", counter.get_total_flops())
print("your count   ", int(exact_training_flops(config, ids.numel())))
print("6 N D        ", int(training_flops(n_params, ids.numel())))

# %% [markdown]
# The exact count is torch's, to the last operation. How far off is 6 N D? That depends on the width. Two families: one with the shape of GPT-2 (12 layers, texts of 1,024 tokens, 50,257 tokens in the vocabulary), one with the shape of the models that we shall train (2 layers, texts of 21 tokens, 33 in the vocabulary).

# %% tags=["experiment"]
language = FactLanguage(seed=0)


def gpt2_like(width):
    return DecoderConfig(50_257, 1024, width, n_layers=12, n_heads=8, ffn_width=4 * width)


def ratio(config):
    n_params = count_parameters(config)["non_embedding"]
    return exact_training_flops(config, 1) / training_flops(n_params, 1)


shares = {
    "shaped like GPT-2": {width: ratio(gpt2_like(width)) for width in (64, 256, 1024, 4096)},
    "ours": {width: ratio(config_of(width, language)) for width in (8, 16, 32, 64, 128)},
}
for name, line in shares.items():
    print(name, {width: round(value, 2) for width, value in line.items()})
for width in (6, 96):
    counts = count_parameters(config_of(width, language))
    in_tables = 1 - counts["non_embedding"] / counts["total"]
    print(f"ours, width {width}: {in_tables:.0%} of all parameters are in the tables")
plots.flops_chart(shares)

# %% [markdown]
# For wide models the rule is good. For narrow ones with a large vocabulary it is not: the head and the scores cost several times what the blocks do. When you compare scaling laws of small models, ask first what they counted. From here on a budget is **C = 6 N D**, as in the papers.

# %% [markdown]
# ## 2. A language of which we know everything
#
# **To see what a scaling law says about the end of the line, we need a text whose end is known.**
#
# In our language a text is one fact after another. A fact is a key of three symbols and its value of two, like "Ada Marsh Jones: baker street". There are 32,768 facts. Some come up all the time, most are rare: the r-th commonest comes in proportion to $1/r^{1.1}$, *Zipf's law*, which words follow too. Keys and values are drawn at random, so there is nothing to understand and always more to memorise. A larger model can hold more facts, a longer text shows more of them.

# %% tags=["experiment"]
drawn = language.draw(rows=2, facts_a_row=4, generator=torch.Generator().manual_seed(1))
print("which facts, by rank:\n", drawn)
print("as tokens, a start token and four facts of five:\n", language.spell(drawn))
print(f"entropy: {language.entropy:.4f} nats per token")

# %% [markdown]
# A value follows from its key, so the only thing that nobody can know is which fact comes next. The uncertainty of that choice is $-\sum p \log p$ nats, spread over the five tokens of a fact. That is the entropy printed above. No model gets below it, however large.
#
# Now train. A model has two layers, two heads, a feed-forward four times as wide; only the width differs. Each run gets the tokens that its budget pays for, D = C / 6 N, fresh ones all the time, with warm-up and a cosine made for exactly its length. (Kaplan et al. used one schedule for all lengths, and Hoffmann et al. took this for a reason why the two answers differ. Porian et al. (2024) reproduced both answers and found that other things matter more: whether the head's work is counted, how long the warm-up is, how the optimiser is tuned.) The loss is measured on held-out text. Two budgets, five sizes each:

# %% tags=["experiment", "nbval-ignore-output"]
live = {}
print("budget    width  parameters    tokens   loss")
for flops, widths in ((1e9, (4, 6, 8, 12, 16)), (4e9, (6, 8, 12, 16, 24))):
    for width in widths:
        run = run_training(Run(width, flops, seed=0))
        live.setdefault(flops, []).append((run["params"], run["loss"]))
        print(f"{flops:.0e}  {width:7}  {run['params']:10}  {run['tokens']:8}  {run['loss']:.2f}")

# %% tags=["experiment", "nbval-ignore-output"]
plots.valleys_chart(live, {}, language.entropy)

# %% [markdown]
# Each budget has its valley. On the left the models are too small to hold what they read; on the right they are large and read too little. With the larger budget everything is lower, and the bottom has moved to the right.
#
# Two things to keep in mind while reading such a curve. One run is one draw: another seed gives another loss. And a point is only as good as its training: a poor learning rate for one size bends the whole valley. The learning rate here is 0.4 / width. Half and twice that were tried at one budget: for most sizes they change the loss by about as much as another seed does (the last table in `benchmarks/results/scaling_sweep.md`).

# %% [markdown]
# ## 3. The bottom of a valley
#
# **Loss against log N looks like a parabola, and a parabola has a vertex.** Hoffmann et al. call this approach 2, IsoFLOP profiles.
#
# By hand: three sizes, 1,000 and 10,000 and 100,000, so log10 N is 3, 4, 5, with losses 2.3, 2.0, 2.1. Through three points goes one parabola $a x^2 + b x + c$; with x counted from 4 it is

# %%
x, loss = np.array([-1.0, 0.0, 1.0]), np.array([2.3, 2.0, 2.1])
a, b, c = np.polyfit(x, loss, 2)
vertex = -b / (2 * a)
print(f"a = {a:.2f}, b = {b:.2f}, c = {c:.2f}")
print(f"vertex at {vertex:.2f}: N = {10 ** (4 + vertex):.0f}")


# %% [markdown]
# The derivative $2 a x + b$ is zero at $x = -b / 2a$. That the best *tried* size was 10,000 would have been a worse answer: the valley leans to the right.

# %% [markdown]
# ### Exercise: isoflop_minimum (2 points)
#
# The vertex of one least-squares parabola of the loss in log N.
#
# - `n` and `loss` are float tensors `[sizes]`, in any order; a size may occur several times (several seeds).
# - Return (N, loss) at the vertex, two Python floats. N itself, not its logarithm; the parabola's loss, not the lowest measured one. If the vertex lies outside of the sizes, return it all the same.
# - A parabola that opens downward (or is straight) has no lowest point: raise a `ValueError` that names `loss`.
#
# ```python
# isoflop_minimum(torch.tensor([1e3, 1e4, 1e5]), torch.tensor([2.3, 2.0, 2.1]))  # (17782.8, 1.9875)
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# The cell above does it, in base 10 and with three points. Any logarithm gives the same vertex, as long as you undo it in the end. `np.polyfit` or `torch.linalg.lstsq`, as you like; `float(...)` makes a Python number of NumPy's.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# Take logarithms in double precision. Subtract their mean, so that their squares stay small. Fit a, b, c. If `a <= 0`, raise. The vertex is at `-b / (2 * a)` from the mean, and the loss there is `c - b**2 / (4 * a)`.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `columns = torch.stack([x**2, x, torch.ones_like(x)], dim=1)`, then `torch.linalg.lstsq(columns, loss.double()[:, None]).solution[:, 0].tolist()` gives a, b, c. Last, `math.exp(middle.item() + vertex)`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "scaling-isoflop_minimum", "locked": false, "schema_version": 3, "solution": true, "task": false}
@check_shapes
def isoflop_minimum(
    n: Float[Tensor, "sizes"], loss: Float[Tensor, "sizes"]
) -> tuple[float, float]:
    """(N, loss) at the vertex of a parabola of loss in log N.

    >>> isoflop_minimum(torch.tensor([1e3, 1e4, 1e5]), torch.tensor([2.3, 2.0, 2.1]))
    (17782.8, 1.9875)
    """
    if not (n > 0).all() or len(n.unique()) < 3:
        raise ValueError(f"n must have three different sizes above 0, got {n}")

    ### BEGIN SOLUTION
    log_n = n.double().log()
    middle = log_n.mean()
    x = log_n - middle  # near 0, so that squares stay small
    columns = torch.stack([x**2, x, torch.ones_like(x)], dim=1)
    a, b, c = torch.linalg.lstsq(columns, loss.double()[:, None]).solution[:, 0].tolist()
    if a <= 0:
        raise ValueError("loss must fall and rise again as n grows, got a parabola without a floor")
    vertex = -b / (2 * a)
    return math.exp(middle.item() + vertex), c - b**2 / (4 * a)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-scaling-isoflop_minimum", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("scaling.isoflop_minimum", isoflop_minimum)
### BEGIN HIDDEN TESTS
check("scaling.isoflop_minimum", isoflop_minimum, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# Ten runs make two valleys. For a law we need more, and we have measured them before: the same function, more budgets, eight sizes around each valley, up to three seeds. The table is part of the package, and `benchmarks/scaling_sweep.py` makes it again.

# %% tags=["experiment"]
sweep = stored_sweep()
budgets = sweep["budget"].unique().tolist()
print(f"{len(sweep['loss'])} trainings, {sweep['seconds'].sum() / 60:.0f} minutes of one core")
for budget in budgets:
    seeds = sweep["seed"][sweep["budget"] == budget]
    print(f"{budget:7.2g} FLOPs: {len(seeds):2} trainings, seeds: {len(seeds.unique())}")


def valley(budget):
    chosen = sweep["budget"] == budget
    return sweep["params"][chosen], sweep["loss"][chosen]


# %% tags=["experiment"]
minima, costs = {}, []
for budget in budgets:
    n, loss = valley(budget)
    if len(n.unique()) >= 6:  # else it shows one side of the valley only
        minima[budget] = isoflop_minimum(n, loss)
        best_n, lowest = minima[budget]
        best_d = budget / 6 / best_n
        print(
            f"{budget:7.2g} FLOPs: best N {best_n:6.0f}, D {best_d:9.3g}, "
            f"{best_d / best_n:3.0f} tokens per parameter, loss {lowest:.3f}"
        )
        costs.append(np.polyfit(n.log(), loss, 2)[0] * math.log(2) ** 2)
print(f"half or twice the best size costs {min(costs):.3f} to {max(costs):.3f} nats more")
spread = []
for budget in budgets:
    n, loss = valley(budget)
    spread += [loss[n == size].std().item() for size in n.unique() if (n == size).sum() > 1]
print(f"from seed to seed a loss moves by {np.mean(spread):.3f} nats (standard deviation)")

# %% tags=["experiment"]
valleys = {b: list(zip(*(column.tolist() for column in valley(b)))) for b in budgets}
plots.valleys_chart(valleys, minima, language.entropy)

# %% [markdown]
# The stars move to the right and down. But note how flat the bottoms are. By the parabolas, a model of half or twice the best size loses only some hundredths of a nat, not much more than what a change of seed does. So the best size is known less well than the beautiful curves suggest, and choosing a somewhat smaller model, which will be cheaper to run for ever after, costs little.

# %% [markdown]
# ## 4. A straight line in logarithms
#
# **The best size grows like a power of the budget: $N = c\, C^k$.** Take logarithms and it is a straight line, $\log N = \log c + k \log C$. The slope k says how a larger budget is shared out. With k = 0.5, four times the budget makes the model twice as large and the text twice as long. With k = 0.73, as Kaplan et al. found, the model gets 2.8 times as large and the text 1.5 times as long.
#
# By hand: 10 and 1,000 times the budget, best sizes 3 and 30 times as large:

# %%
slope = (math.log10(30) - math.log10(3)) / (math.log10(1000) - math.log10(10))
print("k =", round(slope, 3))


# %% [markdown]
# ### Exercise: fit_power_law (2 points)
#
# The straight line by least squares through many points.
#
# - `x` and `y` are float tensors `[points]`, above 0.
# - Return (c, k) of $y = c\, x^k$, two Python floats, with the least sum of squares of $\log y - \log c - k \log x$.
#
# ```python
# fit_power_law(torch.tensor([1.0, 10.0]), torch.tensor([2.0, 200.0]))  # (2.0, 2.0)
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# Both logarithms first. Then it is the straight line that you know from school, and `np.polyfit(..., 1)` knows too (`float(...)` makes Python numbers of what it returns).
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# The slope is the sum of (x - mean of x) times y, divided by the sum of (x - mean of x) squared, with x and y for the logarithms. The line goes through the point of the means; that gives the height, log c.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `from_mean = log_x - log_x.mean()`, `k = (from_mean * log_y).sum() / ...`, `log_c = log_y.mean() - k * log_x.mean()`, and return `log_c.exp().item(), k.item()`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "scaling-fit_power_law", "locked": false, "schema_version": 3, "solution": true, "task": false}
@check_shapes
def fit_power_law(x: Float[Tensor, "points"], y: Float[Tensor, "points"]) -> tuple[float, float]:
    """(c, k) of y = c x^k, by least squares in logarithms.

    >>> fit_power_law(torch.tensor([1.0, 10.0]), torch.tensor([2.0, 200.0]))
    (2.0, 2.0)
    """
    for name, numbers in {"x": x, "y": y}.items():
        if not (numbers > 0).all():
            raise ValueError(f"{name} must be above 0 throughout, got {numbers}")
    if len(x.unique()) < 2:
        raise ValueError(f"x must have two different numbers, got {x}")

    ### BEGIN SOLUTION
    log_x, log_y = x.double().log(), y.double().log()
    from_mean = log_x - log_x.mean()
    k = (from_mean * log_y).sum() / from_mean.square().sum()
    log_c = log_y.mean() - k * log_x.mean()
    return log_c.exp().item(), k.item()
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-scaling-fit_power_law", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("scaling.fit_power_law", fit_power_law)
### BEGIN HIDDEN TESTS
check("scaling.fit_power_law", fit_power_law, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# Now approach 2 in full: a vertex for each budget, then the line through the vertices. How sure is the slope? Draw the runs of each valley anew, with replacement, as if we had made the sweep again with other luck; fit again; and look where the middle 95 % of the slopes lie. This is called the *bootstrap*.

# %% tags=["experiment"]
approach2 = fit_power_law(torch.tensor(list(minima)), torch.tensor([n for n, _ in minima.values()]))
generator = torch.Generator().manual_seed(0)
slopes2 = []
for _ in range(200):
    best = {}
    for budget in minima:
        n, loss = valley(budget)
        rows = torch.randint(len(n), (len(n),), generator=generator)
        try:
            best[budget] = isoflop_minimum(n[rows], loss[rows])[0]
        except ValueError:
            pass  # this draw shows no valley
    slopes2.append(fit_power_law(torch.tensor(list(best)), torch.tensor(list(best.values())))[1])
interval2 = middle(slopes2)
low, high = interval2
print(f"approach 2: N grows like C^{approach2[1]:.2f}, 95 % from {low:.2f} to {high:.2f}")

# %% [markdown]
# ## 5. The envelope of training curves
#
# **One long training passes through many budgets on its way. Take all curves, and ask at each budget whose loss is lowest.** This is approach 1.
#
# A curve has been looked at now and then: after so many FLOPs, this loss. Between two looks we go straight, on a logarithmic axis. By hand: looks at 10 and 1,000 FLOPs with losses 3 and 2; at 100, halfway in logarithms:

# %%
print(round(np.interp(math.log(100), [math.log(10), math.log(1000)], [3.0, 2.0]), 3))
print("after its end:", np.interp(math.log(9999), [math.log(10), math.log(1000)], [3.0, 2.0]))


# %% [markdown]
# Beware of the second line: beyond the last look `np.interp` repeats the last loss. A model that was trained up to 1,000 FLOPs has said nothing about 9,999.

# %% [markdown]
# ### Exercise: training_envelope (3 points)
#
# Who is best after how much compute?
#
# - `curves` is a list of (n_params, flops, loss): the size of a model, and two float tensors `[looks]`; flops rise.
# - The `grid` is given: log FLOPs, evenly spaced from the first look of any curve to the last.
# - At each place of the grid, read off every curve by straight lines between its looks in log FLOPs. Before its first look and after its last it takes no part.
# - Return three float64 tensors: the FLOPs of the grid (no longer their logarithms), the `n_params` of the curve with the lowest loss there, and that loss. Leave out places where no curve takes part.
#
# ```python
# one = (10.0, torch.tensor([1.0, 100.0]), torch.tensor([4.0, 3.0]))
# two = (50.0, torch.tensor([10.0, 1000.0]), torch.tensor([5.0, 1.0]))
# training_envelope([one, two], points=4)
# # flops [1, 10, 100, 1000], n_params [10, 10, 10, 50], loss [4.0, 3.5, 3.0, 1.0]; at 100 they tie
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# Make a table with a row for each curve and a column for each place of the grid. Then each column has a smallest entry. What should stand where a curve takes no part, so that it never is the smallest?
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# `np.interp(grid, log flops, loss, left=np.inf, right=np.inf)` is one row. Stack the rows into a tensor; `losses.min(dim=0)` gives values and places. The sizes at these places are the second result. A column whose minimum is infinite goes out.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `losses = torch.tensor(np.array(read_off))`, `best_loss, best = losses.min(dim=0)`, `heard = best_loss.isfinite()`, and return `torch.tensor(grid).exp()[heard], sizes[best][heard], ...`, where `sizes` is a float64 tensor of all `n_params`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "scaling-training_envelope", "locked": false, "schema_version": 3, "solution": true, "task": false}
def training_envelope(
    curves: Sequence[Curve], points: int = 1500
) -> tuple[Float[Tensor, "points"], Float[Tensor, "points"], Float[Tensor, "points"]]:
    """FLOPs, parameters of the best model there, its loss: the lower envelope of the curves.

    >>> one = (10.0, torch.tensor([1.0, 100.0]), torch.tensor([4.0, 3.0]))
    >>> training_envelope([one], points=3)[2]
    tensor([4.0000, 3.5000, 3.0000], dtype=torch.float64)
    """
    if not curves or points < 2:
        raise ValueError(f"curves and points must be at least 1 and 2, got {len(curves)}, {points}")
    for _, flops, loss in curves:
        if flops.shape != loss.shape or flops.ndim != 1 or not (flops.diff() > 0).all():
            raise ValueError("curves must have flops that rise, and a loss for each of them")
        if len(flops) == 0 or not flops[0] > 0:
            raise ValueError("curves must have a look, and flops above 0")

    first = min(flops[0].item() for _, flops, _ in curves)
    last = max(flops[-1].item() for _, flops, _ in curves)
    grid = np.linspace(math.log(first), math.log(last), points)  # of log FLOPs

    ### BEGIN SOLUTION
    read_off = [
        np.interp(grid, flops.double().log(), loss.double(), left=np.inf, right=np.inf)
        for _, flops, loss in curves
    ]
    losses = torch.tensor(np.array(read_off))  # [curves, points]
    sizes = torch.tensor([n_params for n_params, _, _ in curves], dtype=torch.float64)
    best_loss, best = losses.min(dim=0)
    heard = best_loss.isfinite()
    return torch.tensor(grid).exp()[heard], sizes[best][heard], best_loss[heard]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-scaling-training_envelope", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check("scaling.training_envelope", training_envelope)
### BEGIN HIDDEN TESTS
check("scaling.training_envelope", training_envelope, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# The stored sweep has looked at each training sixteen times on its way. A look in the middle flatters nobody: the learning rate is still high there, and a run made for that budget would be lower. So we use the envelope where trainings end, from the smallest budget of the sweep on.

# %% tags=["experiment"]
curves = stored_curves()


def envelope_slope(curves):
    flops, n_params, loss = training_envelope(curves, points=400)
    # whole steps never meet a budget exactly; at the very end only those remain that went over
    flops, n_params, loss = (x[flops < 0.97 * max(budgets)] for x in (flops, n_params, loss))
    inside = flops >= min(budgets)
    return (flops, n_params, loss), fit_power_law(flops[inside], n_params[inside])


envelope, approach1 = envelope_slope(curves)
slopes1 = []
for _ in range(50):
    rows = torch.randint(len(curves), (len(curves),), generator=generator).tolist()
    slopes1.append(envelope_slope([curves[row] for row in rows])[1][1])
interval1 = middle(slopes1)
low, high = interval1
print(f"approach 1: N grows like C^{approach1[1]:.2f}, 95 % from {low:.2f} to {high:.2f}")
plots.envelope_chart(curves, *envelope)


# %% [markdown]
# On the left the envelope jumps up wherever a budget ends: up to there the runs made for it take part, their learning rate down to nothing, and after it only runs that are still on their way to a larger budget. That is how much a schedule of the wrong length costs. On the right you see the other weak side of this approach. The winner changes in steps, between the few sizes that were tried, and where two curves cross at a small angle a little noise decides.

# %% [markdown]
# ## 6. One formula for all runs
#
# **Loss = what cannot be removed + what the model is too small for + what the text is too short for.** Approach 3 writes this as
#
# $$L(N, D) = E + \frac{A}{N^\alpha} + \frac{B}{D^\beta}$$
#
# E is what is left with endless parameters and endless text: if the formula is right, the entropy. With small numbers, E = 1, A = 6, B = 12 and both exponents one half, a model of 4 parameters and 9 tokens has $1 + 6/2 + 12/3 = 8$.

# %% [markdown]
# ### Exercise: parametric_loss (1 point)
#
# The formula.
#
# - `n` and `d` are numbers, or float tensors that broadcast; the result is of the same kind.
# - `params` is a `ScalingLaw`, with attributes `E, A, B, alpha, beta`, or the five numbers in this order, in a tuple or a list.
#
# ```python
# parametric_loss(4.0, 9.0, (1.0, 6.0, 12.0, 0.5, 0.5))  # 8.0
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# `isinstance(params, ScalingLaw)` tells the two cases apart.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# If it is a law, make a tuple of its five attributes. Then unpack the five, and write the formula as it stands. Python's `**` works on numbers and on tensors.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `E, A, B, alpha, beta = params`, `return E + A / n**alpha + ...`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "scaling-parametric_loss", "locked": false, "schema_version": 3, "solution": true, "task": false}
def parametric_loss(
    n: float | Tensor, d: float | Tensor, params: ScalingLaw | Sequence[float]
) -> float | Tensor:
    """E + A / N^alpha + B / D^beta, in nats per token.

    >>> parametric_loss(4.0, 9.0, (1.0, 6.0, 12.0, 0.5, 0.5))
    8.0
    """
    ### BEGIN SOLUTION
    if isinstance(params, ScalingLaw):
        params = (params.E, params.A, params.B, params.alpha, params.beta)
    if len(params) != 5:
        raise ValueError(f"params must be a law or E, A, B, alpha, beta, got {params}")

    E, A, B, alpha, beta = params
    return E + A / n**alpha + B / d**beta
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-scaling-parametric_loss", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
check("scaling.parametric_loss", parametric_loss)
### BEGIN HIDDEN TESTS
check("scaling.parametric_loss", parametric_loss, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# Given a law, the best use of a budget follows by arithmetic. Put D = C / 6 N into the formula and look for the lowest loss. One percent more parameters lowers the second term by $\alpha A / N^\alpha$ hundredths; paying for them with one percent fewer tokens raises the third by $\beta B / D^\beta$ hundredths. At the best choice neither side gains:
#
# $$\frac{\alpha A}{N^\alpha} = \frac{\beta B}{D^\beta} \qquad\text{and}\qquad N D = \frac{C}{6}$$
#
# Two equations for two unknowns. Solved:
#
# $$N = G \left(\frac{C}{6}\right)^{\frac{\beta}{\alpha + \beta}}, \qquad D = \frac{C}{6 N}, \qquad G = \left(\frac{\alpha A}{\beta B}\right)^{\frac{1}{\alpha + \beta}}$$
#
# So the exponent k of section 4 is $\beta / (\alpha + \beta)$. If tokens help quickly (a large $\beta$), a growing budget soon has enough of them and goes into the model. E has no say.

# %% [markdown]
# ### Exercise: compute_optimal (3 points)
#
# The best (N, D) for a budget.
#
# - `budget` is C, and C = 6 N D. `law` is a `ScalingLaw`.
# - Return (N, D), two Python floats.
#
# ```python
# compute_optimal(600.0, ScalingLaw(E=1.0, A=3.0, B=3.0, alpha=0.5, beta=0.5))  # (10.0, 10.0)
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# All of it stands in the last line of formulas above. Mind the 6.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# First C / 6, which is N times D. Then G. Then N. Then D as what is left.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `together = law.alpha + law.beta`, `balance = (law.alpha * law.A / (law.beta * law.B)) ** (1 / together)`, `n = balance * product ** (... / together)`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "scaling-compute_optimal", "locked": false, "schema_version": 3, "solution": true, "task": false}
def compute_optimal(budget: float, law: ScalingLaw) -> tuple[float, float]:
    """(N, D) with the lowest loss for a budget of 6 N D FLOPs.

    >>> compute_optimal(600.0, ScalingLaw(E=1.0, A=3.0, B=3.0, alpha=0.5, beta=0.5))
    (10.0, 10.0)
    """
    if not budget > 0:
        raise ValueError(f"budget must be above 0, got {budget}")
    four = {"A": law.A, "B": law.B, "alpha": law.alpha, "beta": law.beta}
    if not min(four.values()) > 0:
        raise ValueError(f"law must have A, B, alpha, beta above 0 to have an optimum, got {four}")

    ### BEGIN SOLUTION
    product = budget / 6  # N D
    together = law.alpha + law.beta
    balance = (law.alpha * law.A / (law.beta * law.B)) ** (1 / together)
    n = balance * product ** (law.beta / together)
    return n, product / n
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-scaling-compute_optimal", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check("scaling.compute_optimal", compute_optimal)
### BEGIN HIDDEN TESTS
check("scaling.compute_optimal", compute_optimal, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# ## 7. Fitting the formula
#
# **Five constants, a hundred runs, one number to make small; and it matters how you make it small.**
#
# With a = log A, b = log B, e = log E the logarithm of the formula is `logsumexp(a - alpha log N, b - beta log D, e)`. For each run take the difference r between this and the logarithm of the measured loss. Then sum up not r² but the *Huber loss* of r: square near zero, straight beyond a small `delta`. A run that went wrong then pulls no harder than any other. These are the choices of Hoffmann et al. (section 3.3), and so are the starts: 4,500 combinations of a, b, e, alpha and beta, from each of which one goes downhill, and the best end counts.
#
# Going downhill is given: `minimise_huber(starts, log_n, log_d, log_loss, delta)` takes `starts` `[starts, 5]`, rows (a, b, e, alpha, beta), and returns where each one ended `[starts, 5]` and how well the law fits there `[starts]`, lower is better. The data is `[runs]`, or `[starts, runs]` if each start has runs of its own. It takes care not to stop too early. That sounds like a detail, but it is one of the two reasons why the published constants of approach 3 do not agree with approaches 1 and 2: the authors' minimiser stopped before it had arrived, because the Huber loss it was given, averaged over the runs in place of summed, was a number so small that its stopping test was met too soon (Besiroglu et al. 2024, who have it from one of the authors).

# %%
grid = start_grid()
print("starts:", list(grid.shape), " the first:", grid[0].tolist(), " the last:", grid[-1].tolist())


# %% [markdown]
# ### Exercise: fit_parametric (4 points)
#
# The law that fits the runs best, with intervals.
#
# - `n`, `d`, `loss` are float tensors `[runs]`. `starts` is given or the whole grid.
# - Give `minimise_huber` the *logarithms* (in double precision) and `huber_delta`. The best end is the one with the lowest objective.
# - For the intervals draw the runs anew `bootstrap` times: as many as there are, with replacement, by `torch.randint` with a generator seeded with `seed`; torch's own random numbers stay as they are. Draw whole runs: size, tokens and loss stay together. Fit each resample, from the best end on (one call of `minimise_huber` can do all). With `bootstrap=0` there are no refits, `[0, 5]`.
# - Return `law_of(best, refits)`, with `best` `[5]` and `refits` `[bootstrap, 5]`: it turns a, b, e into A, B, E and makes the intervals.
#
# ```python
# n, d = torch.tensor([1e3, 1e4, 1e5] * 3), torch.tensor([1e5, 1e6, 1e7]).repeat_interleave(3)
# loss = parametric_loss(n, d, (1.3, 40.0, 90.0, 0.45, 0.35))
# fit_parametric(n, d, loss, starts=screened_grid(n, d, loss))  # E=1.3, A=40, B=90, ...
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# Three steps: go downhill from all starts; take the best; do the same again with drawn runs. Nothing in it is longer than a line or two.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# `objective.argmin()` is the best start. `drawn` are row numbers `[bootstrap, runs]`; indexing `log_n[drawn]` gives `[bootstrap, runs]` at once. The starts of the refits are `best` repeated: `best.expand(bootstrap, 5)`.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `ends, objective = minimise_huber(starts, log_n, log_d, log_loss, huber_delta)`; `best = ends[...]`; `drawn = torch.randint(len(n), (bootstrap, len(n)), generator=generator)`; `refits, _ = minimise_huber(best.expand(bootstrap, 5), log_n[drawn], ...)`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "scaling-fit_parametric", "locked": false, "schema_version": 3, "solution": true, "task": false}
@check_shapes
def fit_parametric(
    n: Float[Tensor, "runs"],
    d: Float[Tensor, "runs"],
    loss: Float[Tensor, "runs"],
    huber_delta: float = 1e-3,
    bootstrap: int = 0,
    *,
    starts: Float[Tensor, "starts 5"] | None = None,
    seed: int = 0,
) -> ScalingLaw:
    """The law that fits best, from many starts; with `bootstrap` refits also its intervals.

    >>> fit_parametric(n, d, loss, starts=screened_grid(n, d, loss)).E
    1.3
    """
    check_runs(n, d, loss)
    if not huber_delta > 0:
        raise ValueError(f"huber_delta must be above 0, got {huber_delta}")
    if bootstrap < 0:
        raise ValueError(f"bootstrap must not be negative, got {bootstrap}")
    starts = start_grid() if starts is None else starts

    ### BEGIN SOLUTION
    log_n, log_d, log_loss = n.double().log(), d.double().log(), loss.double().log()
    ends, objective = minimise_huber(starts, log_n, log_d, log_loss, huber_delta)
    best = ends[objective.argmin()]  # [5]

    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(len(n), (bootstrap, len(n)), generator=generator)  # [bootstrap, runs]
    redrawn = (log_n[drawn], log_d[drawn], log_loss[drawn])
    refits, _ = minimise_huber(best.expand(bootstrap, 5), *redrawn, huber_delta)
    return law_of(best, refits)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-scaling-fit_parametric", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
check("scaling.fit_parametric", fit_parametric)
### BEGIN HIDDEN TESTS
check("scaling.fit_parametric", fit_parametric, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# First a test on runs of which the law is known, with 1 % of noise. Here and below we start from the 64 most promising of the 4,500 starts, which takes well under a second; in `docs/benchmarks.md` the whole grid finds nothing better.

# %% tags=["experiment"]
generator = torch.Generator().manual_seed(3)
truth = LAWS["Hoffmann, as printed"]
n, d = (10 ** (low + 2.5 * torch.rand(200, generator=generator).double()) for low in (7.7, 9.0))
loss = parametric_loss(n, d, truth) * (0.01 * torch.randn(200, generator=generator).double()).exp()
known = fit_parametric(n, d, loss, bootstrap=500, starts=screened_grid(n, d, loss))
print("           true    found   95 % from       to")
for name, (low, high) in known.intervals.items():
    true, found = getattr(truth, name), getattr(known, name)
    print(f"{name:>5}  {true:8.4g} {found:8.4g}  {low:10.4g} {high:8.4g}")


# %% [markdown]
# Every true constant lies in its interval. Look how wide those of A and B are, while the formula predicts losses to a percent: a larger A with a larger alpha gives nearly the same curve over the range that was measured. The constants are known only together.
#
# ### Claim: the published intervals are so narrow because the minimiser stopped early
#
# L-BFGS, which the paper used, stops when the gradient is smaller than a fixed number. That number knows nothing of the size of the objective. So here is SciPy's L-BFGS-B with its usual stopping tests, on the same runs, on three objectives: the mean of the Huber losses, their sum, and their sum divided by delta. They differ by a factor, and have their lowest point at the same place. The objective printed is always the last of the three, lower is better, and the exponent is the k of section 4.

# %% tags=["experiment", "nbval-ignore-output"]
def exponent(alpha, beta):
    return float(beta / (alpha + beta))


delta = 1e-3
starts = screened_grid(n, d, loss, keep=16)
draws = torch.randint(len(n), (40, len(n)), generator=torch.Generator().manual_seed(0))
scales = {"mean": delta / len(n), "sum": delta, "sum / delta": 1.0}
for name, scale in scales.items():
    ends, objective = minimise_with_scipy(starts, n, d, loss, scale)
    best = ends[objective.argmin()]
    again = [minimise_with_scipy(best[None], n[i], d[i], loss[i], scale)[0] for i in draws]
    low, high = middle([exponent(*refit[0, 3:]) for refit in again])
    print(f"{name:12} objective {objective.min():.2f}, k = {exponent(*best[3:]):.3f}, ", end="")
    print(f"95 % from {low:.3f} to {high:.3f}")
low, high = middle([exponent(refit.alpha, refit.beta) for refit in known.refits])
k = exponent(known.alpha, known.beta)
print(f"{'yours':28} k = {k:.3f}, 95 % from {low:.3f} to {high:.3f}")
print(f"{'the true law':28} k = {exponent(truth.alpha, truth.beta):.3f}")

# %% [markdown]
# **Measured:** yes. On the mean it stops almost where it began, and k is wrong. On the sum it finds the fit; but the refits begin at that fit, and stop there at once, so that the interval is some thousandths wide, like the published one. Divided by delta it arrives, with the interval that yours has. A refit that has not moved says nothing about what the data leave open.
#
# Now our own sweep.

# %% tags=["experiment"]
runs = Runs(sweep["params"], sweep["tokens"], sweep["loss"])
law = fit_parametric(*runs, bootstrap=1000, starts=screened_grid(*runs))
for name, (low, high) in law.intervals.items():
    print(f"{name:>5} = {getattr(law, name):7.3g}   95 % from {low:7.3g} to {high:7.3g}")
low, high = law.intervals["E"]
inside = "inside" if low < language.entropy < high else "outside"
print(f"the true entropy is {language.entropy:.3f}: {inside} the interval of E")
off = (parametric_loss(runs.n, runs.d, law).log() - runs.loss.log()).abs()
print(f"typical difference between law and run: {off.median():.1%}")
shrinks = law.alpha * law.beta / (law.alpha + law.beta)
left = parametric_loss(*compute_optimal(max(budgets), law), law) - law.E
decades = math.log10(left / 0.05) / shrinks
print(f"we measured over {math.log10(max(budgets) / min(budgets)):.0f} powers of ten of compute;")
print(f"to come as near to E as 0.05 nats, the law says, takes {decades:.1f} more")
plots.fit_chart(runs, law, language.entropy)

# %% [markdown]
# This is what a language of known entropy is for. Nobody can say whether the E = 1.69 of the Chinchilla paper is the entropy of English text: there is nothing to compare it with. Here there is. **Claim:** the fitted E is the entropy of the data. **Measured:** within its interval, yes; see the lines above. But E is an extrapolation, over more powers of ten than we have measured; that is why its interval is so wide.
#
# The three approaches beside each other:

# %% tags=["experiment"]
slope3 = exponent(law.alpha, law.beta)
interval3 = middle([exponent(refit.alpha, refit.beta) for refit in law.refits])
ours = {
    "1: training curves": (approach1[1], interval1),
    "2: IsoFLOP": (approach2[1], interval2),
    "3: parametric": (slope3, interval3),
}
for name, (slope, (low, high)) in ours.items():
    print(f"{name:20} N ~ C^{slope:.2f}   95 % from {low:.2f} to {high:.2f}")
low = max(interval[0] for _, interval in ours.values())
high = min(interval[1] for _, interval in ours.values())
print("in all three intervals:", f"{low:.2f} to {high:.2f}" if low < high else "nothing")
best3 = {c: compute_optimal(c, law)[0] for c in (min(budgets), max(budgets))}
fits = {"1: training curves": approach1, "2: IsoFLOP": approach2}
fits["3: parametric"] = fit_power_law(torch.tensor(list(best3)), torch.tensor(list(best3.values())))
plots.allocation_chart(fits, budgets, [(c, n) for c, (n, _) in minima.items()])

# %% [markdown]
# Three ways to the same question, and answers that are alike, not equal. The last line says what lies in all three intervals; it is little. Remember what a bootstrap knows: the luck of the runs, and nothing of what is wrong with an approach itself, such as a curve that is read off in mid-schedule, a parabola that is not quite the shape of the valley, a formula that is not quite the law. Nor need the answers equal those of any paper: this is another language, with other models, at budgets that are many powers of ten smaller. What carries over is the method, and the habit to ask for the interval.
#
# `course fit-scaling FILE.csv` does approach 3 for a table of your own: columns `params`, `tokens` or `flops`, and `loss`.

# %% [markdown]
# ## 8. What the papers say
#
# **Published numbers can be checked with the functions you have written.** Table 2 of Hoffmann et al. (2022), with the exponents of N and of D and, in brackets, the 10th and 90th percentile over a hundred fits, each to 80 % of the runs:

# %%
for name, published in ALLOCATIONS.items():
    brackets = [interval or "" for interval in (published.a_interval, published.b_interval)]
    print(f"{name:28} a = {published.a:.2f} {brackets[0]}   b = {published.b:.2f} {brackets[1]}")
    for letter, number, interval in zip("ab", published[:2], published[2:4]):
        if interval and not interval[0] <= number <= interval[1]:
            print(" " * 28, f"its own interval does not hold {letter}")

# %% [markdown]
# Three intervals do not hold the number beside them. Rounding may explain that. What rounding does not explain is that the interval of approach 3 is a thousandth wide. Besiroglu et al. (2024) estimate that it would take more than 600,000 trainings to be as sure as that; there were fewer than 500. They read runs off one of the paper's figures and fitted them again. Three laws then, the first as it is printed in the paper, the second with the digits that stand in its source files (as Besiroglu et al. report them), the third their refit:

# %% tags=["experiment"]
gopher_budget = 5.76e23  # Chinchilla's too
print("                         a       N and D at Gopher's budget        D / N")
for name, published in LAWS.items():
    n, d = compute_optimal(gopher_budget, published)
    a = exponent(published.alpha, published.beta)
    print(f"{name:22} {a:.4f}   {n:.3g} and {d:.3g}   {d / n:12.0f}")

# %% [markdown]
# Read the last column twice: all three describe the same trainings. Approach 3 calls 40 billion parameters best, says the paper's figure 4. The law with all its digits does say so; the printed one, its exponents rounded to two digits, is a fifth lower. Chinchilla itself was given 70 billion parameters and 1.4 trillion tokens, 20 for each, "on the larger end" of what the three approaches recommend. With that, and with approaches 1 and 2, only the refit agrees. So rounding did a small part of the harm, and the minimiser that stopped too soon, say Besiroglu et al., the rest.
#
# One more check. Table A3 of the same paper lists, by approach 3, what a model of each size should be given. Is each row's FLOPs figure 6 N D? And which of the two laws made the table? Ask each for the best N at that cost:

# %%
as_printed, all_digits = LAWS["Hoffmann, as printed"], LAWS["Hoffmann, TeX source"]
print("      N         D    printed C    6 N D    best N by the law as printed, with all digits")
for n, flops, d in HOFFMANN_TABLE_A3:
    c = training_flops(n, d)
    best = [compute_optimal(c, published)[0] for published in (as_printed, all_digits)]
    print(f"{n:8.3g} {d:9.3g} {flops:10.3g} {c:10.3g} {best[0]:18.3g} {best[1]:16.3g}")
print("\nwhat table 3 (approach 1) and the text of section 3.4 give the same model")
for n, flops, d in HOFFMANN_SECTION_3_4:
    _, table_flops, table_d = next(row for row in HOFFMANN_TABLE_3 if row[0] == n)
    print(f"{n:8.3g}   table: D {table_d:.3g}, C {table_flops:.3g}", end="")
    print(f"   text: D {d:.3g}, C {flops:.3g}")

# %% [markdown]
# One row has a misprint: for 175 billion parameters the exponent of C is too small by one. (The figure is also smaller than that of the row above it.) The law with all its digits comes within a tenth of every N in the table (not nearer: perhaps it was made with yet others); by the law as printed they are about 20 to 30 % too small. So the table was not made with the law that the reader is given. And the text gives two models more tokens than the table does, for the same question. Such things happen in the best papers; arithmetic finds them.
#
# Now the models themselves, as their papers report them.

# %%
print("                 N        D        D / N   6 N D     FLOPs in the paper")
for name, model in MODELS.items():
    flops = training_flops(model.params, model.tokens)
    reported = f"{model.flops:.3g}" if model.flops else "not given"
    n, d = model.params, model.tokens
    print(f"{name:13} {n:8.3g} {d:8.3g} {d / n:7.1f}   {flops:8.3g}  {reported}")

# %% [markdown]
# GPT-3's figure is 6 N D to the digit. For Gopher and Chinchilla Hoffmann et al. give one budget, 5.76e23, which is the count in Gopher's own paper; by the more exact count of their appendix F Gopher's training cost 6.3e23. By 6 N D the two differ, and neither is 5.76e23: so much for the third digit of a FLOPs figure. BloombergGPT reports more than a third on top of 6 N D; it was trained with activation checkpointing, which computes the way forward a second time to save memory (the paper puts the extra at a third), so that 8 N D is nearer:

# %%
bloomberg = MODELS["BloombergGPT"]
print(f"8 N D = {8 * bloomberg.params * bloomberg.tokens:.3g}")

# %% tags=["experiment"]
trained = {name: (model.params, model.tokens) for name, model in MODELS.items()}
plots.models_chart(trained, LAWS)

# %% [markdown]
# Gopher and GPT-3 lie far below every line: by all three laws they are too large for the text they read. That was the advice of 2020, to put a growing budget mostly into parameters. Chinchilla spent Gopher's budget on a quarter of the parameters and was the better model. LLaMA 7B lies far above: more tokens than a training budget alone would justify, because whoever *runs* a model a million times wants it small. Being "compute-optimal" is about the training bill only.
#
# ### Claim: 20 tokens per parameter
#
# **Claim:** the optimal data set has about 20 tokens per parameter. At which budget, and by which fit?

# %% tags=["experiment"]
paper_budgets = np.geomspace(1e18, 1e26, 9)
print("budget   " + "".join(f"{name:>24}" for name in LAWS))
ratios = {name: [] for name in LAWS}
for c in paper_budgets:
    for name, published in LAWS.items():
        n, d = compute_optimal(c, published)
        ratios[name].append(d / n)
    print(f"{c:7.0e}  " + "".join(f"{line[-1]:24.0f}" for line in ratios.values()))
n, d = compute_optimal(max(budgets), law)
print(f"our sweep, {max(budgets):.0e} FLOPs, approach 3: {d / n:.0f}")
plots.ratio_chart({name: (paper_budgets, line) for name, line in ratios.items()})


# %% [markdown]
# **Measured:** by the refit, between about 16 and 26 over eight powers of ten: 20 is a fair summary of *that* law, because its two exponents are nearly equal, so that model and text grow at almost the same rate. By the printed law it is never as low as 20, and grows about sixfold on the way. In our own language it is another number altogether, with all parameters of the blocks counted and the tables left out. So 20 is a finding about one kind of text, one kind of model and one range of budgets. It is no constant of nature.
#
# Move the budget yourself:

# %% tags=["experiment", "nbval-ignore-output"]
@interact(
    log10_budget=FloatSlider(21, min=18, max=26, step=0.25, layout=Layout(width="500px")),
)
def best_choice(log10_budget):
    for name, published in LAWS.items():
        n, d = compute_optimal(10**log10_budget, published)
        loss = parametric_loss(n, d, published)
        print(f"{name:22} N {n:8.2g}  D {d:8.2g}  D / N {d / n:6.1f}  loss {loss:.2f}")


# %% [markdown]
# ## 9. When does a domain need its own pre-training?
#
# **Seldom, and arithmetic says when to think about it.** BloombergGPT is the famous example of yes: a model for finance, trained from nothing. Its paper says how much text of its own there was (363 billion tokens of finance, next to 345 billion of general text), and how large the model became. What would the laws have chosen for that budget?

# %%
budget = training_flops(bloomberg.params, bloomberg.tokens)
for name, published in LAWS.items():
    n, d = compute_optimal(budget, published)
    print(f"{name:22} N {n:8.2g}  D {d:8.2g}")
continued = training_flops(6.7e9, 20e9)
print(f"to train a model of 6.7e9 parameters on for 20e9 tokens: {continued:.2g} FLOPs,")
print(f"{continued / budget:.1%} of BloombergGPT's")

# %% [markdown]
# All three ask for a smaller model, and for more text than the 708 billion tokens that there were. The authors say so themselves (section 3.2): for the budget they had set aside, approaches 1 and 2 wanted 1.1 trillion tokens and more, so they took the largest model that could read all they had. (It read 569 billion of them; then the loss on held-out text had stopped falling.) Even with an archive like theirs, a budget of that size cannot be spent well on a domain's text alone. For nearly everyone else the last line decides. Continuing a pre-trained model on the domain's text, or fine-tuning it (notebook 05), or putting examples into the prompt (notebook 09), costs a small part of that. Pre-training of your own is worth a thought when three things come together: a text so different that existing tokenizers and models do badly on it (measure: notebook 13), billions of tokens of it, and the budget to use them.
#
# ### What would break if ...
#
# ... all models had been trained with the learning rate of the smallest? The large ones, at many times the rate that suits them, would most likely learn badly; then every valley would tilt to the left, and the exponent would come out too small. ... the cosine had been made for a longer run than was made? Every loss would be too high, those of short runs most. ... N had counted the embedding tables? For our smallest models they are a quarter of all parameters; the exponent would change, and nothing about the models would have.

# %% [markdown]
# ## Check what you remember
#
# Before you read the summary, find out what stayed. Think first, then open the answer you would give: it says whether it is right, and why. (The same in Portuguese: *Em português*, below the questions.)
#
# Later, `course review` in a terminal brings the ideas of this notebook back as flashcards, shortly before you would forget them.

# %% tags=["experiment"]
from course_lib.review import quiz

quiz("10_scaling")

# %% [markdown]
# ## Summary
#
# - A training costs about 6 N D FLOPs; exactly counted, the head and the scores come on top, which matters for narrow models.
# - With a fixed budget the loss over model size is a valley. Its bottom is flat: a model of half the size costs little.
# - Three approaches find how the best size grows: the envelope of training curves, the vertices of the valleys, and one formula $E + A/N^\alpha + B/D^\beta$ fitted to all runs. On our language they give exponents that are alike, and intervals that just about meet.
# - The fitted E is an extrapolation. Beside a known entropy you can see how good it is: right within its interval, and the interval is wide.
# - A fit needs many starts, a robust loss, a minimiser that does not stop early, all its digits, and intervals. The published approach 3 shows what happens without.
# - Twenty tokens per parameter is what one family of fits says over a range of budgets. Compute-optimal is about the training bill, and not about the bill of those who run the model.
#
# ## Test yourself
#
# <details><summary>1. Why 6 N D, and not 2 N D?</summary>
#
# The way forward is 2 N D: a multiplication and an addition for each weight and token. The way back makes two products for each of the forward one: the gradient of the weights and that of the input.
#
# </details>
# <details><summary>2. Why does each budget have a best size, in place of "the larger the better"?</summary>
#
# With the budget fixed, a larger model reads less: D = C / 6 N. What it gains in room it loses in text.
#
# </details>
# <details><summary>3. alpha is 0.3 and beta is 0.6. What happens to model and text when the budget grows a thousandfold?</summary>
#
# N grows like C^(0.6 / 0.9) = C^(2/3), a hundredfold; D like C^(1/3), tenfold. Tokens soon do their part, so most goes into the model.
#
# </details>
# <details><summary>4. Two groups publish A = 300 and A = 500. Do they disagree?</summary>
#
# Not necessarily. A and alpha go together: look at the intervals, or better, compare the losses and best sizes that the laws predict where both have measured.
#
# </details>
# <details><summary>5. Why might you train a model with far more than the compute-optimal number of tokens?</summary>
#
# Because it will be used. A smaller model that was trained for longer costs more to train for the same loss, and less each time it runs.
#
# </details>
#
# ## Where to read on
#
# - Kaplan et al. (2020), *Scaling Laws for Neural Language Models*, sections 2.1 and 6.
# - Hoffmann et al. (2022), *Training Compute-Optimal Large Language Models*, section 3, appendices D and F.
# - Besiroglu et al. (2024), *Chinchilla Scaling: A replication attempt*.
# - Porian et al. (2024), *Resolving Discrepancies in Compute-Optimal Scaling of Language Models*, and Pearce and Song (2024), *Reconciling Kaplan and Chinchilla Scaling Laws*: why 0.73 and 0.50.
# - Wu et al. (2023), *BloombergGPT*, sections 2 to 4; Touvron et al. (2023), *LLaMA*, section 2.
