# %% [markdown]
# # The transformer block
#
# **What stands around attention in a transformer, and why can a hundred of these blocks be stacked?**
#
# Attention lets positions look at each other. A transformer needs three things more: norms, which keep numbers at a workable size; a feed-forward, in which each position thinks for itself; and residual connections, which carry everything on to the next block. In this notebook you build all three, put them together into a block, and measure what each is for. Then you build the machine that transformers replaced, the LSTM, and measure what was won.
#
# > **You will build** layer norm and RMSNorm, two kinds of feed-forward, a whole transformer block, one step of an LSTM, and a function that says where the parameters of a model are.
# >
# > **You need** notebook 03 (attention). It helps to know what a gradient is: how much the loss changes when a number changes a little.
# >
# > **It takes** about 120 minutes to work through, and under 60 seconds to run.

# %%
import math
import time
from dataclasses import dataclass
from typing import Literal

import torch
from IPython.display import clear_output
from ipywidgets import IntSlider, SelectionSlider, interact
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from course_lib.attention import MultiHeadAttention, causal_mask
from course_lib.checks import check
from course_lib.embeddings import sinusoidal_positions
from course_lib.plots import transformer as plots
from course_lib.shapes import check_shapes
from course_lib.transformer import CountableConfig
from course_lib.transformer import TransformerBlock as FinishedBlock

# %% [markdown]
# ## 1. Norms: numbers of a workable size
#
# A layer multiplies numbers. When it makes them a little larger or smaller on average, a stack of layers makes them much larger or smaller, and both are useless: huge numbers overflow, tiny ones vanish in rounding. A *norm* brings every vector back to a standard size.
#
# *Layer norm* does it in two moves: subtract the mean of the vector, then divide by its standard deviation. By hand, for a vector of four numbers:
#
# | | | | | | |
# |---|---|---|---|---|---|
# | the vector | 1 | 2 | 3 | 6 | mean 3 |
# | less the mean | -2 | -1 | 0 | 3 | mean 0 |
# | squared | 4 | 1 | 0 | 9 | mean 3.5: the *variance* |
# | divided by the root of 3.5, about 1.87 | -1.07 | -0.53 | 0 | 1.60 | mean 0, variance 1 |

# %%
x = torch.tensor([1.0, 2.0, 3.0, 6.0])
centred = x - x.mean()
print("less the mean:", centred)
print("variance:     ", centred.square().mean())
print("normalised:   ", centred / centred.square().mean().sqrt())


# %% [markdown]
# Two details complete it. A small number `eps` is added to the variance *before* the root, so that a vector of equal numbers does not lead to 0 / 0. And because size 1 is not right for everyone, each channel gets a scale and a shift that the model learns, `weight` and `bias`:
#
# $$\text{layer\_norm}(x) = \frac{x - \text{mean}(x)}{\sqrt{\text{variance}(x) + \text{eps}}} \cdot \text{weight} + \text{bias}$$
#
# The mean and the variance belong to *one vector*, that is, to one position of one text: they run over the last axis. (Batch norm, known from image models, takes them over the batch. Then a text's numbers would depend on which other texts are in the batch.)
#
# ### Exercise: layer_norm (2 points)
#
# Normalise every vector of `x` by itself.
#
# - `x` is [..., width] with any number of axes before the last; `weight` and `bias` are [width].
# - The variance is the mean of the squares: the sum divided by the width. (`x.var()` and `x.std()` divide by width - 1 unless you tell them otherwise, with `correction=0`.)
# - `eps` stands inside the root.
# - Do not call `torch.nn.functional.layer_norm`.
#
# ```python
# layer_norm(torch.tensor([1.0, 2.0, 3.0, 6.0]), torch.ones(4), torch.zeros(4), 1e-5)
# # tensor([-1.0690, -0.5345,  0.0000,  1.6036])
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# The cell above does it for a single vector. With more axes, `mean(-1)` takes the mean of each vector, but it drops the last axis, and then the shapes no longer fit together. `keepdim=True` keeps it, with size 1.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# Subtract from x its mean over the last axis. The variance is the mean of the squares of what is left. Divide what is left by the root of (variance + eps), multiply by weight, add bias.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `centered = x - x.mean(-1, keepdim=True)`, then `variance = centered.square().mean(..., keepdim=True)`, and the result is `centered / (...).sqrt() * weight + bias`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "transformer-layer_norm", "locked": false, "schema_version": 3, "solution": true, "task": false}
@check_shapes
def layer_norm(
    x: Float[Tensor, "*shape width"],
    weight: Float[Tensor, "width"],
    bias: Float[Tensor, "width"],
    eps: float,
) -> Float[Tensor, "*shape width"]:
    """Give every vector mean 0 and variance 1, then a learned scale and shift.

    layer_norm(torch.tensor([[3.0, 5.0]]), torch.ones(2), torch.zeros(2), 0.0)
    # tensor([[-1.,  1.]])
    """
    if eps < 0:
        raise ValueError(f"eps must not be negative, got {eps}")
    ### BEGIN SOLUTION
    centered = x - x.mean(-1, keepdim=True)  # [..., width]
    variance = centered.square().mean(-1, keepdim=True)  # [..., 1], divided by width, not width - 1
    return centered / (variance + eps).sqrt() * weight + bias
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-transformer-layer_norm", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("transformer.layer_norm", layer_norm)
### BEGIN HIDDEN TESTS
check("transformer.layer_norm", layer_norm, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# Now your norm at work. We send a vector through 60 layers, each a random matrix and nothing else. In one stack the matrices make numbers 20 % smaller on average, in another 20 % larger. The third and fourth stack use the same matrices, and your layer norm after each.

# %% tags=["experiment"]
def sizes_through_layers(growth: float, normalise: bool, n_layers: int = 60) -> list[float]:
    """The root mean square of a vector after each of `n_layers` random layers."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 64, generator=generator)
    sizes = [x.square().mean().sqrt().item()]
    for _ in range(n_layers):
        x = x @ torch.randn(64, 64, generator=generator) * growth / 64**0.5
        if normalise:
            x = layer_norm(x, torch.ones(64), torch.zeros(64), 1e-5)
        sizes.append(x.square().mean().sqrt().item())
    return sizes


sizes = {
    f"times {growth} a layer{', your norm after each' if normalise else ''}":
    sizes_through_layers(growth, normalise)
    for normalise in (False, True)
    for growth in (0.8, 1.2)
}  # fmt: skip
for name, values in sizes.items():
    print(f"{name:38} after 60 layers: {values[-1]:.1g}")
plots.size_chart(sizes)


# %% [markdown]
# **What would break without it?** The two stacks without norms: after 60 layers the numbers of one are about ten powers of ten above those of the other. With norms it does not matter whether a layer makes numbers larger or smaller.
#
# ### RMSNorm: less work
#
# Is the mean worth subtracting? Zhang and Sennrich (2019) left it out, and the shift too, and the models trained as well. What remains is to divide by the *root mean square*, RMS for short:
#
# $$\text{rms\_norm}(x) = \frac{x}{\sqrt{\text{mean}(x^2) + \text{eps}}} \cdot \text{weight}$$
#
# By hand: the squares of (1, -1, 7, 7) are 1, 1, 49, 49. Their mean is 25, its root 5. So the result is (0.2, -0.2, 1.4, 1.4). LLaMA uses this norm, and so does SmolLM2.
#
# ### Exercise: rms_norm (1 point)
#
# Divide every vector of `x` by its root mean square, then multiply by `weight`.
#
# - `x` is [..., width]; `weight` is [width]; `eps` stands inside the root.
# - Do not call `torch.nn.functional.rms_norm`.
#
# ```python
# rms_norm(torch.tensor([1.0, -1.0, 7.0, 7.0]), torch.ones(4), 0.0)
# # tensor([ 0.2000, -0.2000,  1.4000,  1.4000])
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# It is your `layer_norm` with two things taken out.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# Read "root mean square" from the right: square every number, take the mean over the last axis (keep the axis), add eps, take the root. Then divide and scale.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `mean_square = x.square().mean(-1, keepdim=True)`; return `x / (... + eps).sqrt() * ...`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "transformer-rms_norm", "locked": false, "schema_version": 3, "solution": true, "task": false}
@check_shapes
def rms_norm(
    x: Float[Tensor, "*shape width"], weight: Float[Tensor, "width"], eps: float
) -> Float[Tensor, "*shape width"]:
    """Give every vector a root mean square of 1, then a learned scale; no mean, no shift.

    rms_norm(torch.tensor([[-2.0, 2.0]]), torch.ones(2), 0.0)
    # tensor([[-1.,  1.]])
    """
    if eps < 0:
        raise ValueError(f"eps must not be negative, got {eps}")
    ### BEGIN SOLUTION
    mean_square = x.square().mean(-1, keepdim=True)  # [..., 1]
    return x / (mean_square + eps).sqrt() * weight
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-transformer-rms_norm", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
check("transformer.rms_norm", rms_norm)
### BEGIN HIDDEN TESTS
check("transformer.rms_norm", rms_norm, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **Where models differ.** The formula is the same everywhere; `eps` is not: 1e-5 in GPT-2, 1e-12 in BERT. When you load somebody's weights, load their `eps` too, or small vectors come out different:

# %%
small = 1e-3 * torch.tensor([1.0, -1.0, 2.0, -2.0])
for eps in (1e-5, 1e-12):
    print(f"eps {eps:g}:", layer_norm(small, torch.ones(4), torch.zeros(4), eps))


# %% [markdown]
# ## 2. The feed-forward: each position for itself
#
# A block has two parts. *Attention* moves information between positions. The *feed-forward* then works on each position alone: it widens the vector, bends it, and brings it back to its width. Most of a block's parameters are here, as section 6 will count.
#
# To *bend* means to apply a function that is not a straight line, number by number. It is called the *activation function*. The plainest is ReLU, which cuts off everything below zero. GPT and BERT use a smooth one, *GELU* (Hendrycks and Gimpel 2016): x times the probability that a number drawn from the standard normal distribution is at most x.
#
# $$\text{GELU}(x) = x \cdot P(Z \le x) = \frac{x}{2}\left(1 + \text{erf}\frac{x}{\sqrt 2}\right)$$
#
# `erf` is the error function, which torch has as `torch.erf`. By hand: half of all draws are at most 0, about 97.7 % at most 2, and about 15.9 % at most -1. So GELU gives 0 at 0, about 2 * 0.977 = 1.95 at 2, and about -1 * 0.159 = -0.16 at -1: a large number passes, a negative one is nearly cut off.

# %%
def gelu(x: Tensor) -> Tensor:
    return x / 2 * (1 + torch.erf(x / math.sqrt(2)))


numbers = torch.tensor([-1.0, 0.0, 2.0])
print("GELU:", gelu(numbers))
print("ReLU:", numbers.relu())

# %% tags=["experiment"]
plots.activation_chart(
    {
        "ReLU": lambda x: torch.tensor(x).relu().numpy(),
        "GELU (exact)": lambda x: gelu(torch.tensor(x)).numpy(),
        "GELU (tanh)": lambda x: F.gelu(torch.tensor(x), approximate="tanh").numpy(),
        "SiLU": lambda x: F.silu(torch.tensor(x)).numpy(),
    },
    exact="GELU (exact)",
    approximation="GELU (tanh)",
)


# %% [markdown]
# Left: GELU and its relatives are smooth, and let a little of the negative numbers through. Right: **where libraries differ.** `erf` was once slow, so GPT-2 was trained with an approximation by tanh. The difference is small, but it is there; weights trained with one should be run with the same one. torch's `F.gelu` is exact unless asked, and so is ours. BERT's is exact.
#
# ### Exercise: gelu_feed_forward (2 points)
#
# Widen, bend with the exact GELU, narrow.
#
# - `x` is [..., width]. Weights are stored [out, in], as in `nn.Linear`: `w_in` is [ffn_width, width], `w_out` is [width, ffn_width]. The biases are `b_in` [ffn_width] and `b_out` [width].
# - Return what the feed-forward computes, and only that; adding it to the stream is the block's business.
# - Do not call `torch.nn.functional.gelu`.
#
# ```python
# one, zero = torch.ones(1, 1), torch.zeros(1)
# gelu_feed_forward(torch.tensor([[-1.0], [2.0]]), one, zero, one, zero)
# # tensor([[-0.1587],
# #         [ 1.9545]])
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# A vector of width 3 meets a matrix stored as [5, 3] and shall become a vector of width 5. Which way round must the matrix be for `x @ ...`?
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# `x @ w_in.T + b_in` widens. Apply GELU to it; the cell above has the formula. Then the same kind of product with `w_out` and `b_out`.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `hidden = x @ w_in.T + b_in`, then `hidden = hidden / 2 * (1 + torch.erf(...))`, then return `hidden @ ... + ...`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "transformer-gelu_feed_forward", "locked": false, "schema_version": 3, "solution": true, "task": false}
@check_shapes
def gelu_feed_forward(
    x: Float[Tensor, "*shape width"],
    w_in: Float[Tensor, "ffn_width width"],
    b_in: Float[Tensor, "ffn_width"],
    w_out: Float[Tensor, "width ffn_width"],
    b_out: Float[Tensor, "width"],
) -> Float[Tensor, "*shape width"]:
    """Widen, bend with the exact GELU, narrow; each position alone.

    one, zero = torch.ones(1, 1), torch.zeros(1)
    gelu_feed_forward(torch.tensor([[2.0]]), one, zero, one, zero)  # tensor([[1.9545]])
    """
    ### BEGIN SOLUTION
    hidden = x @ w_in.T + b_in  # [..., ffn_width]
    hidden = hidden / 2 * (1 + torch.erf(hidden / math.sqrt(2)))  # GELU
    return hidden @ w_out.T + b_out  # [..., width]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-transformer-gelu_feed_forward", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("transformer.gelu_feed_forward", gelu_feed_forward)
### BEGIN HIDDEN TESTS
check("transformer.gelu_feed_forward", gelu_feed_forward, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# Two things to see with your function. First, that each position is alone: when one position of a text changes, the results at the other positions do not. Second, **what would break without the bend**: two products in a row are one product. The matrix `w_out @ w_in`, no wider than the stream, does the same as both, and all the widening was for nothing.

# %% tags=["experiment"]
generator = torch.Generator().manual_seed(0)
x = torch.randn(1, 5, 8, generator=generator)  # [batch, time, width]
w_in, w_out = torch.randn(32, 8, generator=generator), torch.randn(8, 32, generator=generator)
weights = (w_in, torch.zeros(32), w_out, torch.zeros(8))

changed = x.clone()
changed[0, 2] += 1.0
difference = gelu_feed_forward(changed, *weights) - gelu_feed_forward(x, *weights)
print("positions whose result changed:", (difference[0].abs().amax(-1) > 0).nonzero()[:, 0].tolist())

without_bend = x @ w_in.T @ w_out.T
with_one_matrix = x @ (w_out @ w_in).T
print("two products equal one:", torch.allclose(without_bend, with_one_matrix, atol=1e-3))
bent = gelu_feed_forward(x, *weights)
print("with GELU they do:     ", torch.allclose(bent, with_one_matrix, atol=1e-3))


# %% [markdown]
# ### SwiGLU: a feed-forward with a gate
#
# Newer models let the vector decide what passes. Two matrices widen it, side by side. One result, the *gate*, is bent by *SiLU*, z * sigmoid(z), which looks much like GELU in the figure above. Then the two are multiplied, number by number, and the third matrix narrows the product (Shazeer 2020):
#
# $$\text{swiglu}(x) = \left(\text{SiLU}(x W_\text{gate}^T) \cdot (x W_\text{up}^T)\right) W_\text{down}^T$$
#
# By hand, with width 1, `w_gate` and `w_down` equal to 1, and `w_up` equal to -1: for x = 2 the gate is SiLU(2) = 2 * 0.881 = 1.762, the other projection -2, and the result their product, -3.523. There are no biases in it.
#
# ### Exercise: swiglu (2 points)
#
# - `x` is [..., width]; `w_gate` and `w_up` are [ffn_width, width], `w_down` is [width, ffn_width], stored [out, in].
# - SiLU bends the gate, and nothing else.
#
# ```python
# one = torch.ones(1, 1)
# swiglu(torch.tensor([[2.0]]), one, -one, one)
# # tensor([[-3.5232]])
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# There are three products. Two of them start from x.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# Compute the gate, `x @ w_gate.T`, and bend it: multiply it by its own sigmoid. Multiply by `x @ w_up.T`. Narrow with `w_down`.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `gate = x @ w_gate.T`, then `gate = gate * gate.sigmoid()`, then return `(gate * (...)) @ w_down.T`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "transformer-swiglu", "locked": false, "schema_version": 3, "solution": true, "task": false}
@check_shapes
def swiglu(
    x: Float[Tensor, "*shape width"],
    w_gate: Float[Tensor, "ffn_width width"],
    w_up: Float[Tensor, "ffn_width width"],
    w_down: Float[Tensor, "width ffn_width"],
) -> Float[Tensor, "*shape width"]:
    """A feed-forward with a gate: one projection decides how much of the other passes.

    one = torch.ones(1, 1)
    swiglu(torch.tensor([[2.0]]), one, one, one)  # tensor([[3.5232]])
    """
    ### BEGIN SOLUTION
    gate = x @ w_gate.T  # [..., ffn_width]
    gate = gate * gate.sigmoid()  # SiLU
    return (gate * (x @ w_up.T)) @ w_down.T  # [..., width]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-transformer-swiglu", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("transformer.swiglu", swiglu)
### BEGIN HIDDEN TESTS
check("transformer.swiglu", swiglu, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# Three matrices instead of two cost more, unless they are narrower. A feed-forward of 4 times the width has 2 * 4 * width² numbers in its matrices. For three matrices to have as many, each must be 8/3 as wide as the stream, which is why such odd numbers stand in the configurations of models. SmolLM2 has width 576:

# %%
print("two matrices, 4 times as wide:", 2 * 576 * (4 * 576))
print("8/3 of the width:             ", 8 * 576 // 3)
print("three matrices, 8/3 as wide:  ", 3 * 576 * (8 * 576 // 3))


# %% [markdown]
# 1536 is SmolLM2's published feed-forward width.
#
# ## 3. The block and its residual stream
#
# Now the parts come together. The idea that holds them: a part does not *replace* what came in, it *adds* to it.
#
# $$x \leftarrow x + \text{part}(x)$$
#
# This is a *residual connection* (He and others 2015). Seen from far, one stream of vectors runs through the whole model, and every attention and every feed-forward reads from it and writes into it by adding: the *residual stream*.
#
# There are two places for the norm:
#
# | | pre-norm (GPT-2, LLaMA) | post-norm (the first transformer, BERT) |
# |---|---|---|
# | attention | x ← x + attention(norm1(x)) | x ← norm1(x + attention(x)) |
# | feed-forward | x ← x + ffn(norm2(x)) | x ← norm2(x + ffn(x)) |
# | in words | each part reads a normalised *copy*; the stream itself is left alone | after each addition the stream itself is normalised |
#
# ### Exercise: TransformerBlock (4 points)
#
# Build the block. The names of its parts are fixed, so that weights can be loaded into it:
#
# - `attention`: `MultiHeadAttention(width, n_heads)`, from notebook 03; call it as `self.attention(x, mask=mask)`.
# - `ffn_in`, `ffn_out`: `nn.Linear(width, ffn_width)` and back, with bias; GELU (exact) in between.
# - `norm1` (goes with attention) and `norm2` (goes with the feed-forward): `nn.LayerNorm(width, eps=eps)`.
# - `forward(x, mask=None)` takes and returns [batch, time, width]; `norm` is `"pre"` or `"post"`. Nothing of a call is kept for the next.
#
# You may use `nn.functional.gelu` here. No dropout.
#
# ```python
# block = TransformerBlock(width=8, n_heads=2, ffn_width=32, norm="pre")
# block(torch.randn(1, 5, 8), mask=causal_mask(5)).shape
# # torch.Size([1, 5, 8])
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# The table has a line for each part, and each line is a line of Python. Everything that learns is made in `__init__`; `forward` only uses it.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# In `__init__`, make the five parts and keep `norm`. `feed_forward` is `ffn_in`, GELU, `ffn_out`. In `forward`: if the norm is "pre", the left column of the table, otherwise the right. Hand the mask on to attention by its name.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# Pre-norm: `x = x + self.attention(self.norm1(x), mask=mask)`, then `return x + self.feed_forward(...)`. Post-norm: `x = self.norm1(x + ...)`, then `return self.norm2(...)`. The feed-forward: `self.ffn_out(nn.functional.gelu(self.ffn_in(x)))`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "transformer-TransformerBlock", "locked": false, "schema_version": 3, "solution": true, "task": false}
class TransformerBlock(nn.Module):
    """Attention, then a feed-forward, each added to the stream that runs through.

    block = TransformerBlock(width=8, n_heads=2, ffn_width=32, norm="post")
    block(torch.randn(3, 5, 8)).shape  # torch.Size([3, 5, 8])
    """

    def __init__(
        self,
        width: int,
        n_heads: int,
        ffn_width: int,
        norm: Literal["pre", "post"],
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        if norm not in ("pre", "post"):
            raise ValueError(f'norm must be "pre" or "post", got {norm!r}')
        if ffn_width < 1:
            raise ValueError(f"ffn_width must be at least 1, got {ffn_width}")
        ### BEGIN SOLUTION
        self.norm = norm
        self.attention = MultiHeadAttention(width, n_heads)
        self.ffn_in = nn.Linear(width, ffn_width)
        self.ffn_out = nn.Linear(ffn_width, width)
        self.norm1 = nn.LayerNorm(width, eps=eps)
        self.norm2 = nn.LayerNorm(width, eps=eps)
        ### END SOLUTION

    @check_shapes
    def forward(
        self,
        x: Float[Tensor, "batch time width"],
        mask: Bool[Tensor, "... #time #time"] | None = None,
    ) -> Float[Tensor, "batch time width"]:
        """One step of the residual stream; mask: True = may attend."""
        ### BEGIN SOLUTION
        if self.norm == "pre":
            x = x + self.attention(self.norm1(x), mask=mask)
            return x + self.feed_forward(self.norm2(x))
        x = self.norm1(x + self.attention(x, mask=mask))
        return self.norm2(x + self.feed_forward(x))
        ### END SOLUTION

    def feed_forward(
        self, x: Float[Tensor, "batch time width"]
    ) -> Float[Tensor, "batch time width"]:
        """What each position does on its own."""
        ### BEGIN SOLUTION
        return self.ffn_out(nn.functional.gelu(self.ffn_in(x)))
        ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-transformer-TransformerBlock", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
check("transformer.TransformerBlock", TransformerBlock)
### BEGIN HIDDEN TESTS
check("transformer.TransformerBlock", TransformerBlock, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# Your block is the real thing. torch has one of its own, `nn.TransformerEncoderLayer`. Give it your block's weights (it stacks queries, keys and values in one matrix), and both compute the same:

# %% tags=["experiment"]
torch.manual_seed(0)
yours = TransformerBlock(width=32, n_heads=4, ffn_width=128, norm="pre")
theirs = nn.TransformerEncoderLayer(
    32, 4, 128, dropout=0.0, activation="gelu", norm_first=True, batch_first=True
)
projections = [yours.attention.q_proj, yours.attention.k_proj, yours.attention.v_proj]
with torch.no_grad():
    theirs.self_attn.in_proj_weight.copy_(torch.cat([p.weight for p in projections]))
    theirs.self_attn.in_proj_bias.copy_(torch.cat([p.bias for p in projections]))
theirs.self_attn.out_proj.load_state_dict(yours.attention.out_proj.state_dict())
theirs.linear1.load_state_dict(yours.ffn_in.state_dict())
theirs.linear2.load_state_dict(yours.ffn_out.state_dict())

text = torch.randn(2, 10, 32)
print("the same as torch's:", torch.allclose(yours(text), theirs(text), atol=1e-5))

# %% [markdown]
# **The stream is a sum.** In a pre-norm stack, what comes out is what went in plus everything that any part has written. Nothing is ever overwritten, so a late block can still read what an early one has left. Let us listen to what eight parts of four blocks write, add it up, and compare:

# %% tags=["experiment"]
torch.manual_seed(0)
stack = nn.Sequential(*(TransformerBlock(32, 4, 128, "pre") for _ in range(4)))
written = []
for block in stack:
    for part in (block.attention, block.ffn_out):
        part.register_forward_hook(lambda module, inputs, output: written.append(output))

output = stack(text)
print("parts that wrote:", len(written))
print("input plus everything written equals the output:", end=" ")
print(torch.allclose(text + sum(written), output, atol=1e-5))


# %% [markdown]
# ## 4. Why stacks need the stream
#
# Learning goes backward: the *gradient*, which says how to change each weight, starts at the loss and passes through every block down to the first. In a stack of 64 blocks it has a long way. Does anything arrive?
#
# We build stacks of 1 to 64 blocks in five ways, with fresh random weights, and measure the *gradient norm* of blocks: the length of the vector of all their gradients. The weights are drawn as for the first transformer, by the rule of Glorot and Bengio (2010).
#
# | | residual connections | norms |
# |---|---|---|
# | **neither** | no | no |
# | **norms only** | no | before each part |
# | **residuals only** | yes | no |
# | **post-norm** | yes | after each addition |
# | **pre-norm** | yes | before each part |

# %%
def through(block: FinishedBlock, x: Tensor, kind: str, mask: Tensor | None = None) -> Tensor:
    """Send the stream through a block, put together in one of five ways."""
    if kind == "neither":
        return block.feed_forward(block.attention(x, mask=mask))
    if kind == "norms only":
        x = block.attention(block.norm1(x), mask=mask)
        return block.feed_forward(block.norm2(x))
    if kind == "residuals only":
        x = x + block.attention(x, mask=mask)
        return x + block.feed_forward(x)
    return block(x, mask=mask)


def new_stack(kind: str, depth: int, width: int) -> nn.ModuleList:
    """Fresh blocks with 4 heads; draws from torch's own generator."""
    norm = "post" if kind == "post-norm" else "pre"
    stack = nn.ModuleList(FinishedBlock(width, 4, 4 * width, norm) for _ in range(depth))
    for module in stack.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
    return stack


# %% [markdown]
# The task does not matter here: 8 texts of 32 random vectors, and for each vector one of 32 random labels to predict from the end of the stack. For every block we note three things: its gradient norm; the gradient norm of its queries and keys alone; and how alike the positions of a text have become, as the mean cosine between all pairs (0 for unrelated vectors, 1 for the same direction).

# %% tags=["experiment"]
@dataclass
class Measured:
    gradient: list[float]  # norm, block by block
    attention_gradient: list[float]  # that of q_proj and k_proj alone
    similarity: list[float]  # of positions, before the first block and after each


def gradient_norm(parameters) -> float:
    return math.sqrt(sum(p.grad.square().sum().item() for p in parameters if p.grad is not None))


def mean_cosine(x: Tensor) -> float:
    unit = F.normalize(x.detach(), dim=-1)
    return (unit @ unit.transpose(1, 2)).mean().item()


def measure(kind: str, depth: int, width: int = 64) -> Measured:
    """Build a stack, run it once forward and once backward."""
    torch.manual_seed(0)
    stack, head = new_stack(kind, depth, width), nn.Linear(width, 32, bias=False)
    x, labels = torch.randn(8, 32, width), torch.randint(32, (8, 32))
    similarity = [mean_cosine(x)]
    for block in stack:
        x = through(block, x, kind)
        similarity.append(mean_cosine(x))
    x = F.layer_norm(x, (width,))  # every stack ends with a norm
    F.cross_entropy(head(x).flatten(0, 1), labels.flatten()).backward()
    queries_and_keys = [
        [block.attention.q_proj.weight, block.attention.k_proj.weight] for block in stack
    ]
    return Measured(
        [gradient_norm(block.parameters()) for block in stack],
        [gradient_norm(weights) for weights in queries_and_keys],
        similarity,
    )


KINDS = ("neither", "norms only", "residuals only", "post-norm", "pre-norm")
DEPTHS = (1, 2, 4, 8, 16, 32, 64)
measured = {kind: {depth: measure(kind, depth) for depth in DEPTHS} for kind in KINDS}
first_block = {
    kind: {depth: m.gradient[0] for depth, m in by_depth.items()}
    for kind, by_depth in measured.items()
}
print("gradient norm of the first block, by the number of blocks\n")
print(f"{'':16}" + "".join(f"{depth:>10}" for depth in (1, 4, 16, 64)))
for kind in KINDS:
    norms = [first_block[kind][depth] for depth in (1, 4, 16, 64)]
    print(f"{kind:16}" + "".join(f"{'> 1000' if norm > 1000 else f'{norm:.1e}':>10}" for norm in norms))

# %% tags=["experiment"]
plots.gradient_chart(
    first_block, {kind: measured[kind][64].gradient for kind in KINDS if kind != "residuals only"}
)

# %% [markdown]
# Take the lines one by one.
#
# - **Neither.** The gradient shrinks with every block. At 16 blocks almost nothing arrives, and at 64 exactly zero: the numbers became too small for a float. Such a stack cannot learn.
# - **Residuals only.** Now the stream grows, since every block adds to it and nothing holds it back. By 16 blocks the gradient has exploded: how far beyond 1,000 depends on the processor, since such a stack enlarges the rounding of every sum as well. At 64 it is no number any more (`nan`). Points that are zero or not a number are left out of the figure, and so is this stack on the right.
# - **Post-norm and pre-norm.** With residual connections *and* norms, the gradient of the first block keeps its order of magnitude, be the stack 1 deep or 64.
# - **Norms only.** This may surprise you. Without a single residual connection, norms alone keep the gradient at a healthy size. If the size were all that matters, we would not need the residuals.
#
# So is it all that matters? Look at what else we measured.

# %% tags=["experiment"]
deep = {kind: measured[kind][64] for kind in ("norms only", "post-norm", "pre-norm")}
print("mean cosine between positions\n")
print(f"{'':12}" + "".join(f"{'block ' + str(i):>10}" for i in (0, 2, 4, 16, 64)))
for kind, m in deep.items():
    print(f"{kind:12}" + "".join(f"{m.similarity[i]:10.2f}" for i in (0, 2, 4, 16, 64)))
plots.collapse_chart(
    {kind: m.similarity for kind, m in deep.items()},
    {kind: m.attention_gradient for kind, m in deep.items()},
)

# %% [markdown]
# Attention takes means, and a mean of means of means is the same for everyone. With **norms only**, after four blocks all positions of a text hold one and the same vector. What each token was is gone; there is nothing left to tell apart, so queries and keys have nothing to learn from, and their gradient is zero but for rounding (about 1e-8). This is called *rank collapse* (Dong and others 2021; Noci and others 2022). The gradient that arrives is alive in size only: it says the same for every token.
#
# A residual connection hands each position its own vector, past every mean. In **pre-norm** the positions grow alike much more slowly, and after 64 blocks they can still be told apart. In **post-norm** the stream is scaled down again after every addition, so what came in early fades; from about 16 blocks on, fresh post-norm stacks collapse as well. That is one reason for pre-norm in deep models. Another is in the figure before, on the right: post-norm's gradient is about as large in the last blocks as in the first, while pre-norm's falls toward the end. Xiong and others (2020) trace to these large late gradients why post-norm must start its training with tiny steps.
#
# ### A claim to test
#
# **Claim: residual connections exist to keep positions.** You will find this in study notes: the position is added once, at the bottom, and the residual connections carry it up. If that were what they are for, then adding the positions again before every block would do the same job. We can try this.
#
# First, who can still be read? We send texts of random tokens, with sinusoidal positions added, through up to 16 fresh blocks. After each, a *linear probe* tries to read from the stream which token stands there, and which position it is: a linear map fitted to 96 texts by least squares, tested on 32 others.

# %% tags=["experiment"]
N_TOKENS = LENGTH = 32  # 32 different tokens, 32 positions: guessing is right once in 32
PROBED = (0, 1, 2, 4, 8, 12, 16)


def probe_accuracy(stream: Tensor, answer: Tensor) -> float:
    """Fit a linear map from vectors to answers on the first 96 texts, test it on the others."""
    vectors = stream.double().flatten(0, 1)
    split = 96 * LENGTH
    vectors = (vectors - vectors[:split].mean(0)) / vectors[:split].std(0)
    vectors = torch.cat([vectors, torch.ones(len(vectors), 1)], dim=1)
    train, test = vectors[:split], vectors[split:]
    target = F.one_hot(answer.flatten()[:split], 32).double()
    ridge = 1e-3 * split * torch.eye(train.shape[1])  # keeps the system solvable
    fitted = torch.linalg.solve(train.T @ train + ridge, train.T @ target)
    return ((test @ fitted).argmax(-1) == answer.flatten()[split:]).double().mean().item()


def read_out(kind: str, positions_again: bool = False) -> tuple[dict, dict]:
    """How well the token, and the position, can be read after some numbers of blocks."""
    torch.manual_seed(0)
    table, positions = torch.randn(N_TOKENS, 64), sinusoidal_positions(LENGTH, 64)
    ids = torch.randint(N_TOKENS, (128, LENGTH))
    places = torch.arange(LENGTH).expand(128, LENGTH)
    x = table[ids] + positions
    token, position = {}, {}
    for depth in range(17):
        if depth in PROBED:
            token[depth], position[depth] = probe_accuracy(x, ids), probe_accuracy(x, places)
        with torch.no_grad():
            (block,) = new_stack(kind, 1, 64)
            x = through(block, x + positions if positions_again and depth else x, kind)
    return token, position


AGAIN = "norms only, positions added again"
read = {kind: read_out(kind) for kind in ("norms only", "post-norm", "pre-norm")}
read[AGAIN] = read_out("norms only", positions_again=True)
print(f"{'read after 16 blocks':36}   token   position")
for kind, (token, position) in read.items():
    print(f"{kind:36}{token[16]:8.2f}{position[16]:11.2f}")
plots.readout_chart(
    {kind: token for kind, (token, _) in read.items()},
    {kind: position for kind, (_, position) in read.items()},
    chance=1 / 32,
)


# %% [markdown]
# Without residual connections (norms only) *both* are all but gone after two blocks: the position, and the token as well. When we add the positions again before every block, the position can be read, and the token is still lost. With residual connections and pre-norm, every token can be read after 16 blocks; the position has faded, but not gone.
#
# Second, who can learn? The task is to name the token before the present one: easy for a single attention head. We train stacks of six blocks, a hundred steps each. Guessing among 16 tokens costs ln 16 = 2.77 nats per token.

# %%
def train(model: nn.Module, loss_of, steps: int, learning_rate: float, name: str) -> list[float]:
    """AdamW, with gradients cut to a norm of 1; the loss of every step."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=learning_rate)
    losses = []
    for _ in tqdm(range(steps), desc=name, leave=False):
        loss = loss_of(model)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        losses.append(loss.item())
    return losses


class PreviousToken(nn.Module):
    """A stack that shall name the token before."""

    def __init__(self, kind: str, positions_again: bool) -> None:
        super().__init__()
        self.kind, self.positions_again = kind, positions_again
        self.table = nn.Embedding(16, 32)
        self.blocks = new_stack(kind, depth=6, width=32)
        self.norm, self.head = nn.LayerNorm(32), nn.Linear(32, 16)

    def forward(self, ids: Tensor) -> Tensor:
        time = ids.shape[1]
        positions, mask = sinusoidal_positions(time, 32, base=20.0), causal_mask(time)
        x = self.table(ids) + positions
        for number, block in enumerate(self.blocks):
            again = self.positions_again and number > 0
            x = through(block, x + positions if again else x, self.kind, mask)
        return self.head(self.norm(x))


# %% tags=["experiment", "nbval-ignore-output"]
losses = {}
for kind in ("norms only", AGAIN, "post-norm", "pre-norm"):
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)

    def loss_of(model):
        ids = torch.randint(16, (16, 24), generator=generator)
        logits = model(ids)[:, 1:]  # from the second position on there is a token before
        return F.cross_entropy(logits.flatten(0, 1), ids[:, :-1].flatten())

    model = PreviousToken("norms only" if kind == AGAIN else kind, positions_again=kind == AGAIN)
    losses[kind] = train(model, loss_of, steps=100, learning_rate=3e-3, name=kind)
clear_output()
for kind, values in losses.items():
    print(f"{kind:36} loss of the last ten steps: {sum(values[-10:]) / 10:.1f}")
plots.training_chart(losses, guessing=math.log(16))


# %% [markdown]
# **Measured:** without residual connections the stack gets no better than guessing in these hundred steps, and giving it the positions again before every block changes nothing. With residual connections it learns, pre-norm sooner than post-norm. So the claim names a small part and misses the whole: residual connections carry *everything* up, the position as much as the token, and they carry down a gradient that tells the tokens apart. Positions alone can be had without them, and it does not help.
#
# ## 5. What recurrence costs
#
# Before 2017, text was read mostly by *recurrent* networks: one token after another, with a memory that is updated at each. The most used was the *LSTM*, "long short-term memory" (Hochreiter and Schmidhuber 1997). At each step it holds two vectors: `c`, what it remembers, and `h`, what it says. Three *gates*, numbers between 0 and 1, decide what happens:
#
# - the **forget** gate f: how much of the memory stays (1 keeps all),
# - the **input** gate i: how much of the news g comes in,
# - the **output** gate o: how much of the memory is said aloud.
#
# $$c' = f \cdot c + i \cdot g \qquad h' = o \cdot \tanh(c')$$
#
# A number by hand: the memory holds 2, the news is 1. With f = 0.5, i = 1, o = 1 the memory becomes 0.5 * 2 + 1 * 1 = 2, and the cell says tanh(2) = 0.96.
#
# All four come from the input and from what was said last. One product makes them all: `x @ w_x.T + h @ w_h.T + b` is [batch, 4 * hidden], four pieces side by side. The gates go through a sigmoid, the news through tanh.
#
# ### Exercise: lstm_step (3 points)
#
# One step: from the input and the old (h, c) to the new.
#
# - `x` is [batch, in]; `h` and `c` are [batch, hidden]; `w_x` is [4 * hidden, in], `w_h` is [4 * hidden, hidden], `b` is [4 * hidden].
# - The four pieces stand in torch's order: input, forget, cell (the news), output. Libraries differ here; ONNX, for one, has input, output, forget, cell.
# - Return the pair (h, c), in this order. torch's LSTM has two biases that are added up; here there is one.
# - Do not call `torch.lstm_cell`.
#
# ```python
# zero = torch.zeros(1, 1)
# lstm_step(zero, zero, 2 * torch.ones(1, 1), torch.zeros(4, 1), torch.zeros(4, 1), torch.zeros(4))
# # (tensor([[0.3808]]), tensor([[1.]])): all gates half open, c = 0.5 * 2, h = 0.5 * tanh(1)
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# `chunk(4, dim=-1)` cuts a tensor into four equal pieces along its last axis.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# Compute the product for all four, cut it into i, f, g, o. Update c with the first formula, using the sigmoid of i and f and the tanh of g. Then compute h from the *new* c.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `gates = x @ w_x.T + h @ w_h.T + b`, then `i, f, g, o = gates.chunk(4, dim=-1)`, then `c = f.sigmoid() * c + ... * ...` and `h = o.sigmoid() * ...`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "transformer-lstm_step", "locked": false, "schema_version": 3, "solution": true, "task": false}
@check_shapes
def lstm_step(
    x: Float[Tensor, "batch in"],
    h: Float[Tensor, "batch hidden"],
    c: Float[Tensor, "batch hidden"],
    w_x: Float[Tensor, "4*hidden in"],
    w_h: Float[Tensor, "4*hidden hidden"],
    b: Float[Tensor, "4*hidden"],
) -> tuple[Float[Tensor, "batch hidden"], Float[Tensor, "batch hidden"]]:
    """One step of an LSTM: (h, c) of now from x and the (h, c) of the step before.

    zero = torch.zeros(1, 1)
    lstm_step(zero, zero, zero, torch.zeros(4, 1), torch.zeros(4, 1), torch.zeros(4))  # zeros
    """
    ### BEGIN SOLUTION
    gates = x @ w_x.T + h @ w_h.T + b  # [batch, 4 * hidden]
    i, f, g, o = gates.chunk(4, dim=-1)  # each [batch, hidden]
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()  # forget some of the old, take in some of the new
    h = o.sigmoid() * c.tanh()  # and say some of what is remembered
    return h, c
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-transformer-lstm_step", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check("transformer.lstm_step", lstm_step)
### BEGIN HIDDEN TESTS
check("transformer.lstm_step", lstm_step, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# To read a text, the step is taken once for each token. Your steps, with the weights of torch's LSTM, say what torch's LSTM says:

# %%
def lstm(x: Tensor, w_x: Tensor, w_h: Tensor, b: Tensor) -> Tensor:
    """Read texts [batch, time, in] token by token; what is said at each: [batch, time, hidden]."""
    h = c = torch.zeros(x.shape[0], w_h.shape[1])
    said = []
    for now in x.unbind(1):
        h, c = lstm_step(now, h, c, w_x, w_h, b)  # needs the h and c of the step before
        said.append(h)
    return torch.stack(said, dim=1)


# %% tags=["experiment"]
torch.manual_seed(0)
theirs = nn.LSTM(8, 16, batch_first=True)
w_x, w_h, b_x, b_h = theirs.parameters()
text = torch.randn(2, 6, 8)
same = torch.allclose(lstm(text, w_x, w_h, b_x + b_h), theirs(text)[0], atol=1e-5)
print("the same as torch's:", same)


# %% [markdown]
# ### One after another
#
# Look at the loop: no step can begin before the one before it has ended. In attention, no position waits for another: one product computes all scores of the text.
#
# This can be counted. torch records how every result was made, for the backward pass. In this record we look for the *longest chain* of matrix products in which each needs the result of the one before. However many processors you have, this many products must be taken one after another.

# %% tags=["experiment"]
def longest_chain(output: Tensor) -> int:
    """The most matrix products in a row on any way to `output`, by torch's own record."""
    longest, todo = {}, [output.grad_fn]
    while todo:
        node = todo[-1]
        before = [earlier for earlier, _ in node.next_functions if earlier is not None]
        waiting = [earlier for earlier in before if earlier not in longest]
        if waiting:
            todo.extend(waiting)
            continue
        todo.pop()
        is_product = "mm" in node.name().lower()  # mm, addmm, bmm
        longest[node] = max((longest[earlier] for earlier in before), default=0) + is_product
    return longest[output.grad_fn]


torch.manual_seed(0)
LENGTHS = (16, 32, 64, 128, 256, 512, 1024)
cell, block = nn.LSTM(16, 16), FinishedBlock(16, 2, 64, "pre")
w_x, w_h, b_x, b_h = cell.parameters()
chain = {"LSTM": {}, "transformer block": {}}
for length in LENGTHS:
    text = torch.randn(1, length, 16)
    chain["LSTM"][length] = longest_chain(lstm(text, w_x, w_h, b_x + b_h))
    chain["transformer block"][length] = longest_chain(block(text, mask=causal_mask(length)))
for name, counts in chain.items():
    print(f"{name:18}", counts)


# %% [markdown]
# One LSTM layer: as many as there are tokens. One transformer block: six (a projection, the scores, the weighted mean, the output projection, and two in the feed-forward), at any length.
#
# What does that mean in seconds? We measure a training step (forward and backward) on one text, with torch's fast LSTM against a block of the same width, 512, and we do it on a *single* processor core. There nothing can be shared out: whatever the block's advantage is then, it does not come from cores working side by side. The block has half as many parameters again and so more to compute. Beside tokens a second we note how many billion multiplications and additions a second (GFLOP/s) were done, counting the products only.

# %% tags=["experiment", "nbval-ignore-output"]
def best_seconds(module, text: Tensor, repeats: int = 3) -> float:
    """The fastest of a few training steps: what else the machine does can only slow one down."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        output = module(text)
        output.square().mean().backward()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def tokens_and_gflops(n_texts: int, length: int) -> dict[str, tuple[float, float]]:
    """Tokens a second, and billions of multiplications and additions a second, of both."""
    text, mask = torch.randn(n_texts, length, width), causal_mask(length)
    usual = torch.get_num_threads()
    torch.set_num_threads(1)  # one core; it also makes other programs disturb less
    seconds = {
        "LSTM": best_seconds(lambda text: recurrent(text)[0], text),
        "transformer block": best_seconds(lambda text: block(text, mask=mask), text),
    }
    torch.set_num_threads(usual)
    # one multiplication and one addition for each weight and token, three times: forward, and two
    # products backward; attention's scores and means have 2 * length * width more
    products = {"LSTM": 8 * width**2, "transformer block": 12 * width**2 + 2 * length * width}
    tokens = n_texts * length
    return {k: (tokens / s, 6 * tokens * products[k] / s / 1e9) for k, s in seconds.items()}


torch.manual_seed(0)
width = 512
recurrent, block = nn.LSTM(width, width, batch_first=True), FinishedBlock(width, 8, 4 * width, "pre")
lines = ["tokens  |  LSTM: tokens/s, GFLOP/s  |  transformer block: tokens/s, GFLOP/s"]
speed = {"LSTM": {}, "transformer block": {}}
for length in (16, 64, 256, 512, 1024):
    measured_now = tokens_and_gflops(1, length)
    (lstm_tokens, lstm_gflops), (block_tokens, block_gflops) = measured_now.values()
    speed["LSTM"][length], speed["transformer block"][length] = lstm_tokens, block_tokens
    lines.append(
        f"{length:6}  |  {lstm_tokens:14.0f} {lstm_gflops:8.0f}  |"
        f"  {block_tokens:27.0f} {block_gflops:8.0f}"
    )
print("\n".join(lines))
plots.throughput_chart(speed, chain)

# %% [markdown]
# The block is ahead at the shorter lengths, on one core. To see why, give the LSTM more to do at once: several texts, a *batch*, of 64 tokens each.

# %% tags=["experiment", "nbval-ignore-output"]
lines = ["texts at once  |  LSTM: tokens/s  |  transformer block: tokens/s"]
for n_texts in (1, 4, 16):
    (lstm_tokens, _), (block_tokens, _) = tokens_and_gflops(n_texts, 64).values()
    lines.append(f"{n_texts:13}  |  {lstm_tokens:14.0f}  |  {block_tokens:27.0f}")
print("\n".join(lines))

# %% [markdown]
# **Claim: the transformer's edge over LSTMs is parallelism. Measured:** within a text, yes, by the count. By the clock, there is a second reason, and it depends on what you compare.
#
# - *Counted:* T products in a row against six. This is the same on every machine.
# - *One text at a time:* the block reads more tokens a second than the LSTM at up to 512 tokens, though a token costs it more arithmetic, and on one core that cannot come from work shared out. It is the size of the products. The LSTM multiplies one small vector by its whole matrix, T times over; the block multiplies all positions at once, so that each weight fetched from memory is used for all of them.
# - *Sixteen texts at a time:* now the LSTM's products are larger too. It gains several times its speed and overtakes the block. So where a batch of texts can keep a machine busy, little is left of the edge in speed. It counts where there is more to keep busy: a graphics processor has thousands of units, and the chain of T cannot be shared out among them. That we did not measure; Vaswani and others (2017, section 4) argue it by the same count of steps in a row.
# - *The price:* attention compares all pairs of positions, so its work for a token grows with the length, and the block's tokens a second fall again on the right of the figure. An LSTM's work for a token is always the same.
#
# Run the two cells again on your machine; the numbers will differ, and perhaps the verdict.
#
# ### Remembering
#
# Speed is not all there is. An LSTM must carry everything it may need later in a memory of fixed size, through every step in between. Attention looks straight back, and k steps back is as near as one.
#
# The test: texts of 48 random tokens out of 16; at every position, name the token 1, 4, 12 and 32 steps back, with one answer for each distance. The transformer is a single block; the LSTM has two layers and more parameters. Both are trained with the same optimiser and the same learning rate, and should train for the same time. Seconds differ from run to run, so we fix steps: 250 for the transformer, and 600 for the LSTM, whose steps are usually faster. The cell prints the seconds of both.

# %% tags=["experiment", "nbval-ignore-output"]
DISTANCES = (1, 4, 12, 32)


class Recaller(nn.Module):
    """Names, at every position, the tokens that stood at certain distances before it."""

    def __init__(self, kind: Literal["LSTM", "transformer"]) -> None:
        super().__init__()
        self.table = nn.Embedding(16, 64)
        nn.init.normal_(self.table.weight, std=0.3)
        if kind == "LSTM":
            self.recurrent = nn.LSTM(64, 64, num_layers=2, batch_first=True)
        else:
            self.block = FinishedBlock(64, 8, 256, "pre")
        self.norm, self.head = nn.LayerNorm(64), nn.Linear(64, len(DISTANCES) * 16)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.table(ids)
        if hasattr(self, "recurrent"):
            x, _ = self.recurrent(x)
        else:
            time = ids.shape[1]
            x = self.block(x + sinusoidal_positions(time, 64, base=10.0), mask=causal_mask(time))
        return self.head(self.norm(x)).unflatten(-1, (len(DISTANCES), 16))


def pairs(logits: Tensor, ids: Tensor):
    """For each distance: the logits where there is a token so far back, and that token."""
    for number, k in enumerate(DISTANCES):
        yield k, logits[:, k:, number].flatten(0, 1), ids[:, :-k].flatten()


recall = {}
for kind, steps, learning_rate in (("transformer", 250, 2e-2), ("LSTM", 600, 2e-2)):
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)

    def loss_of(model):
        ids = torch.randint(16, (32, 48), generator=generator)
        parts = [F.cross_entropy(logits, answer) for _, logits, answer in pairs(model(ids), ids)]
        return sum(parts) / len(parts)

    model = Recaller(kind)
    start = time.perf_counter()
    train(model, loss_of, steps, learning_rate, kind)
    seconds = time.perf_counter() - start
    ids = torch.randint(16, (200, 48), generator=torch.Generator().manual_seed(2))  # unseen
    with torch.no_grad():
        recall[kind] = {
            k: (logits.argmax(-1) == answer).double().mean().item()
            for k, logits, answer in pairs(model(ids), ids)
        }
    n_parameters = sum(p.numel() for p in model.parameters())
    recall[kind, "about"] = f"{n_parameters:,} parameters, {steps} steps, {seconds:.0f} seconds"
clear_output()
for kind in ("transformer", "LSTM"):
    print(f"{kind}: {recall.pop((kind, 'about'))}")
    print("   recalled:", {k: round(accuracy, 2) for k, accuracy in recall[kind].items()})
plots.recall_chart(recall, chance=1 / 16)


# %% [markdown]
# Both recall what was a moment ago, and the LSTM has learned to look back 12 steps as well. At 32 steps it hardly does better than guessing: to get that right it would have to hold 32 tokens in order and drop each in time. For the transformer distance makes no difference, once a head has found where to look. (Finding it is sudden: watch the loss of single distances while training, and you will see each drop at a moment of its own. With other seeds one distance may still be missing after 250 steps.)
#
# So two edges, one of short chains and one of reach. The LSTM's own edge is that its memory does not grow: a transformer keeps the keys and values of the whole text. Notebook 06 counts what that costs.
#
# ## 6. Where the parameters are
#
# How large is a model, and where are its parameters? You need nothing but its sizes. These are in every configuration file:

# %%
@dataclass(frozen=True)
class Config:
    """The sizes of a transformer."""

    vocab_size: int
    max_length: int
    width: int
    n_layers: int
    n_heads: int
    ffn_width: int
    tied: bool


# %% [markdown]
# The model is built as GPT-2 is: a table of tokens and a learned table of positions; `n_layers` blocks like yours; a last layer norm; and a *head*, the matrix that turns the final vector into a logit for each token of the vocabulary. A *tied* head is the token table used a second time (Press and Wolf 2017): the same numbers, so they count once.
#
# By hand, for one block of width 2 with feed-forward width 3: attention has four projections of 2 * 2 weights and 2 biases, so 4 * 6 = 24. The feed-forward has 2 * 3 + 3 on the way in and 3 * 2 + 2 on the way out, so 17. The two norms have a scale and a shift of 2 each, so 8. Together 49, and the number of heads does not matter: heads share the width.
#
# ### Exercise: count_parameters (3 points)
#
# Return a dictionary of whole numbers, computed from the sizes:
#
# - `token_embedding`, `position_embedding`: the two tables, [vocab_size, width] and [max_length, width].
# - `attention`, `feed_forward`: of all blocks together, with biases.
# - `norm`: the two layer norms of each block and the last one, each with a scale and a shift.
# - `head`: a matrix of its own without bias, or 0 if the head is tied.
# - `total`: everything. `non_embedding`: the total less the two tables.
#
# ```python
# count_parameters(Config(10, 5, width=2, n_layers=1, n_heads=1, ffn_width=3, tied=True))["attention"]
# # 24
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# Look at the `__init__` of your block and count line by line. `nn.Linear(a, b)` has a * b weights and b biases; `nn.LayerNorm(a)` has a scales and a shifts.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# Fill a dictionary with the six parts. What stands in a block is multiplied by `n_layers`; the last norm comes on top. Then `total` is the sum of the values, and `non_embedding` is that less two of them.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `"attention": n_layers * 4 * (width * width + width)`, `"feed_forward": n_layers * (2 * width * ffn_width + ... + ...)`, `"norm": (n_layers * 2 + 1) * 2 * width`, `"head": 0 if config.tied else ...`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "transformer-count_parameters", "locked": false, "schema_version": 3, "solution": true, "task": false}
def count_parameters(config: CountableConfig) -> dict[str, int]:
    """Where the parameters of a transformer are, from its sizes alone.

    config = Config(10, 5, width=2, n_layers=1, n_heads=1, ffn_width=3, tied=True)
    count_parameters(config)["non_embedding"]  # 53: the block's 49 and the last norm's 4
    """
    for name in ("vocab_size", "max_length", "width", "n_layers", "n_heads", "ffn_width", "tied"):
        value = getattr(config, name, None)
        if not isinstance(value, int):
            raise TypeError(f"config.{name} must be an int, got {value!r}")
        if value < 0:
            raise ValueError(f"config.{name} must not be negative, got {value}")
    if config.n_heads == 0 or config.width % config.n_heads != 0:
        raise ValueError(f"config.n_heads must divide {config.width}, got {config.n_heads}")
    ### BEGIN SOLUTION
    width, ffn_width = config.width, config.ffn_width
    parts = {
        "token_embedding": config.vocab_size * width,
        "position_embedding": config.max_length * width,
        "attention": config.n_layers * 4 * (width * width + width),  # q, k, v, out
        "feed_forward": config.n_layers * (2 * width * ffn_width + ffn_width + width),
        "norm": (config.n_layers * 2 + 1) * 2 * width,  # two a block and a last one; scale, shift
        "head": 0 if config.tied else config.vocab_size * width,
    }
    total = sum(parts.values())
    tables = parts["token_embedding"] + parts["position_embedding"]
    return {**parts, "total": total, "non_embedding": total - tables}
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-transformer-count_parameters", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check("transformer.count_parameters", count_parameters)
### BEGIN HIDDEN TESTS
check("transformer.count_parameters", count_parameters, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# Does the count hold? First against your own block: build it (on torch's `meta` device, which has shapes and no numbers, so the size does not matter) and count. Then against the world: OpenAI published the sizes of the four GPT-2 models, and names them by their number of parameters, 124M, 355M, 774M and 1558M.

# %% tags=["experiment"]
with torch.device("meta"):
    block = TransformerBlock(768, 12, 3072, "pre")
built = sum(p.numel() for p in block.parameters())
counts = count_parameters(Config(0, 0, 768, 1, 12, 3072, tied=True))
print(f"one block of GPT-2 small: built {built:,}, counted {counts['total'] - 2 * 768:,}\n")

gpt2 = {"124M": (768, 12, 12), "355M": (1024, 24, 16), "774M": (1280, 36, 20), "1558M": (1600, 48, 25)}
for name, (width, n_layers, n_heads) in gpt2.items():
    counts = count_parameters(Config(50257, 1024, width, n_layers, n_heads, 4 * width, tied=True))
    print(f"GPT-2 {name:>5}: {counts['total']:13,} parameters", end=", ")
    print(f"{counts['attention'] / counts['non_embedding']:.0%} of the non-embedding ones in", end=" ")
    print(f"attention, {counts['feed_forward'] / counts['non_embedding']:.0%} in the feed-forward")


# %% [markdown]
# All four agree with the names. (The paper's own table 2 says 117M, 345M, 762M and 1542M. The readme of OpenAI's repository `gpt-2` explains that these counts were wrong, and counting, as you just did, is how one finds out.) Inside the blocks one third is attention and two thirds are feed-forward: 4 width² against 8 width².
#
# How does the picture change with size? Below, GPT-2 small's vocabulary, length and depth, with the width growing:

# %% tags=["experiment"]
def bars(vocab_size: int, n_layers: int, ffn_factor: int, tied: bool):
    counts = {
        str(width): count_parameters(
            Config(vocab_size, 1024, width, n_layers, 1, ffn_factor * width, tied)
        )
        for width in (64, 128, 256, 512, 768, 1024, 2048, 4096)
    }
    return plots.parameter_bars(counts)


bars(vocab_size=50257, n_layers=12, ffn_factor=4, tied=True)

# %% [markdown]
# In a narrow model nearly everything is the token table; in a wide one nearly everything is blocks. Tables grow with the width, blocks with its square. This is why people who compare models by size often count `non_embedding` parameters, as notebook 10 will.
#
# Change the sizes yourself:

# %% tags=["experiment", "nbval-ignore-output"]
interact(
    bars,
    vocab_size=SelectionSlider(options=[256, 1000, 5000, 30522, 50257, 128256], value=5000),
    n_layers=IntSlider(6, 1, 48),
    ffn_factor=IntSlider(4, 1, 8),
    tied=False,
);

# %% [markdown]
# ## Check what you remember
#
# Before you read the summary, find out what stayed. Think first, then open the answer you would give: it says whether it is right, and why. (The same in Portuguese: *Em português*, below the questions.)
#
# Later, `course review` in a terminal brings the ideas of this notebook back as flashcards, shortly before you would forget them.

# %% tags=["experiment"]
from course_lib.review import quiz

quiz("04_transformer_block")

# %% [markdown]
# ## Summary
#
# - A **norm** brings every vector to a standard size: layer norm subtracts the mean and divides by the standard deviation, RMSNorm only divides by the root mean square. The statistics are those of one position; eps stands inside the root.
# - The **feed-forward** works on each position alone: widen, bend, narrow. Without the bend it would be one matrix. SwiGLU adds a gate.
# - A **residual connection** adds what a part computes to what came in. Pre-norm leaves the stream itself alone, so the output is the input plus everything written; post-norm normalises the stream after each addition.
# - Measured through 64 blocks: without residuals and norms the gradient **vanishes**; with residuals alone it **explodes**; with norms alone it has a size, but all positions become **the same vector**, and nothing can be learned from it. With both, stacks learn; pre-norm stays apart longest.
# - An **LSTM** takes T products in a row where a block takes six, and must carry everything in a memory of fixed size. Attention's price is work and memory that grow with the length. On one core, with a batch of texts, the LSTM was no slower.
# - **Parameters** can be counted from the sizes. In blocks, a third is attention and two thirds are feed-forward (at 4 times the width); in narrow models, most are in the token table.
#
# ## Test yourself
#
# <details><summary>1. A vector is multiplied by 10. How does layer norm's result change, with eps so small that it does not matter? And when 10 is added to all its numbers? What about RMSNorm?</summary>
#
# Layer norm: not at all, in both cases. Mean and standard deviation change along and cancel. RMSNorm: multiplying changes nothing; adding does, because the mean stays in.
#
# </details>
# <details><summary>2. In a pre-norm stack you set all of <code>out_proj</code> and <code>ffn_out</code> to zero. What does the stack compute? And a post-norm stack?</summary>
#
# Pre-norm: its input, unchanged, since every part adds zero. Post-norm: the input, normalised; the norms are still there.
#
# </details>
# <details><summary>3. A deep stack without residual connections, but with norms, has a gradient of normal size. Why does it not learn?</summary>
#
# Attention averages, so after a few blocks all positions hold the same vector. Which token stood where can no longer be read, and the gradient says the same for all of them.
#
# </details>
# <details><summary>4. An LSTM layer and a transformer block read 1,000 tokens. How many matrix products must each take one after another? What if you double the number of processors?</summary>
#
# 1,000 and 6. No number of processors changes that: in both, each product of the chain needs the one before.
#
# </details>
# <details><summary>5. You double the width of a model, the feed-forward with it. What happens to the number of parameters of the token table, and of the blocks?</summary>
#
# The table doubles. The blocks become about four times as large: their matrices have width times width numbers.
#
# </details>
#
# ## Where to read on
#
# - Ashish Vaswani and others, [*Attention Is All You Need*](https://arxiv.org/abs/1706.03762) (2017), sections 3.1, 3.3 and 4: the block, and why self-attention.
# - Jimmy Ba, Jamie Kiros and Geoffrey Hinton, [*Layer Normalization*](https://arxiv.org/abs/1607.06450) (2016); Biao Zhang and Rico Sennrich, [*Root Mean Square Layer Normalization*](https://arxiv.org/abs/1910.07467) (2019).
# - Ruibin Xiong and others, [*On Layer Normalization in the Transformer Architecture*](https://arxiv.org/abs/2002.04745) (2020): pre-norm against post-norm.
# - Kaiming He and others, [*Deep Residual Learning for Image Recognition*](https://arxiv.org/abs/1512.03385) (2015), sections 1 and 3: where residual connections come from.
# - Yihe Dong and others, [*Attention Is Not All You Need: Pure Attention Loses Rank Doubly Exponentially with Depth*](https://arxiv.org/abs/2103.03404) (2021), and Lorenzo Noci and others, [*Signal Propagation in Transformers*](https://arxiv.org/abs/2206.03126) (2022): the collapse you measured.
# - Noam Shazeer, [*GLU Variants Improve Transformer*](https://arxiv.org/abs/2002.05202) (2020): four pages, and an honest last sentence.
#
