# %% [markdown]
# # Attention
#
# **How does a word learn from the words around it?**
#
# *The bank by the river is steep, but the bank in town is closed.* The word `bank` stands there twice, and the table of notebook 02 gives it the same vector both times. That table knows nothing of rivers. To tell the two apart, a token has to take something in from other tokens. Attention is the step that does this. It is the only place in a transformer where tokens exchange anything, and you are going to build all of it.
#
# > **You will build** softmax, the scores, the masks, attention itself, its many-headed form, and a version that does the same with a fraction of the memory. Your layer will run inside a real model, and you will look at what the heads of two real models do with a sentence of yours.
# >
# > **You need** the idea of notebook 02 that a token is a vector and that its position is added to it; and the matrix product.
# >
# > **It takes** about 120 minutes to work through, and under 60 seconds to run.

# %%
import math
import time

import numpy as np
import torch
import torch.nn.functional as F
from ipywidgets import IntSlider, Layout, Text, interact
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from course_lib.attention import record_attention
from course_lib.checks import check
from course_lib.memory import PeakMemory
from course_lib.plots import attention as plots
from course_lib.pretrained import load_minilm, load_smollm2
from course_lib.shapes import broadcasts, check_shapes

torch.set_printoptions(precision=3, sci_mode=False)

# %% [markdown]
# ## 1. A weighted mean
#
# **The claim of this section: what attention gives a token is a weighted mean of vectors.** All the rest of this notebook is about where the weights come from.
#
# Here are three tokens, each with a vector of two numbers. A fourth token wants something from them and gives the first two half its attention each, and the third none:

# %%
values = torch.tensor([[1.0, 0.0], [0.0, 1.0], [4.0, 4.0]])  # [source, width]
weights = torch.tensor([0.5, 0.5, 0.0])  # [source], they sum to 1
weights @ values

# %% [markdown]
# Half of (1, 0) plus half of (0, 1) plus nothing of (4, 4). A weighted mean is one matrix product.
#
# Now, where do the weights come from? Think of a Python dictionary. You come with something to look up, a *query*. The dictionary compares it with its *keys*, and where one is equal, it gives you the *value* stored there. Attention does the same, softly: it compares the query with every key, says how similar each one is, and gives you a mixture of all values, with more of those whose keys were similar.
#
# In a transformer each token makes three vectors out of its own one, each by a learned matrix:
#
# - a **query**, with which it looks at others,
# - a **key**, by which others find it,
# - a **value**, which it passes on to those who find it.
#
# The names suggest intentions ("what am I looking for?"). Read them as a picture. What a matrix comes to look for is decided by training, and section 8 shows how hard it can be to put into words.
#
# Two words for the rest of the course: the **target** is the token that looks (its query), the **source** is the token that is looked at (its key and value). Shapes are written in this order, `[target, source]`: a row for each query, a column for each key.

# %% [markdown]
# ## 2. From scores to shares: softmax
#
# **Softmax turns any numbers into shares: positive, in the same order, summing to 1.** It takes $e$ to the power of each number, then divides by the sum:
#
# $$\text{softmax}(x)_i = \frac{e^{x_i}}{\sum_j e^{x_j}}$$
#
# A number that goes in is called a *score*. By hand, with scores chosen so that $e^x$ is 1, 2 and 3:

# %%
scores = torch.tensor([0.0, math.log(2), math.log(3)])
exp = scores.exp()
print("exp:   ", exp.round(decimals=3))
print("shares:", exp / exp.sum())

# %% [markdown]
# One sixth, two sixths, three sixths.
#
# Adding the same number to all scores changes nothing, because $e^{x+c} = e^x e^c$, and $e^c$ stands above and below the bar of the fraction. That matters in practice: a computer's float32 cannot hold $e^{89}$.

# %%
large = torch.tensor([100.0, 101.0])
print("as it stands:         ", large.exp() / large.exp().sum())
print("the largest taken off:", (large - 101).exp() / (large - 101).exp().sum())


# %% [markdown]
# Infinity divided by infinity is `nan`, "not a number". So softmax first subtracts the largest score. Then the largest that is left is 0, its $e^0$ is 1, and nothing overflows.
#
# One more thing softmax has to do for us. In section 4 a token may be forbidden to look at another one. A forbidden score is set to minus infinity, and $e^{-\infty} = 0$ is exactly "no share". But what if a token may look at nothing at all? Conventions differ: `torch.softmax` answers `nan` there. In this course a row with nothing to attend to gives **zeros**, so that no `nan` ever gets into a model.

# %% [markdown]
# ### Exercise: softmax (2 points)
#
# Turn scores into shares along the axis `dim`.
#
# - `x` is a float tensor of any shape; the result has the same shape and dtype. Each slice along `dim` sums to 1.
# - Scores may be large: nothing overflows. A score may be `-inf`: its share is 0.
# - A slice that is `-inf` throughout gives zeros, and no `nan` in its gradient either.
# - Build it from `exp`, without `torch.softmax`, `torch.nn.functional.softmax`, the method `.softmax`, or anything else of torch that has it inside, such as `log_softmax`.
#
# ```python
# softmax(torch.tensor([[0.0, 0.0], [-torch.inf, 5.0]]), dim=-1)
# # tensor([[0.5000, 0.5000], [0.0000, 1.0000]])
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# Start with the two lines of the example above: the largest taken off, `exp`, divide by the sum. Each slice has its own largest score and its own sum. `keepdim=True` keeps the axis, with size 1, so that what you subtract or divide by lines up with `x`.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# Find the largest score along `dim`. Where it is `-inf`, take 0 in its place: then `-inf` minus 0 is `-inf`, and `exp` makes it 0. Divide by the sum. Where the sum is 0, divide by 1. If you put in these replacements *before* the subtraction and the division, no `nan` ever arises, not in the gradient either.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `top = x.detach().amax(dim, keepdim=True)`, then `top = top.masked_fill(top == float("-inf"), 0)`. `shares = (x - top).exp()`, `total = shares.sum(...)`. In the division, `total.masked_fill(total == 0, 1)`. (`detach` says that no gradient flows through the largest score; it would cancel out anyway.)
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "attention-softmax", "locked": false, "schema_version": 3, "solution": true, "task": false}
@check_shapes
def softmax(x: Float[Tensor, "*shape"], dim: int) -> Float[Tensor, "*shape"]:
    """Shares along one axis: exp(x) / sum of exp(x). Same shape and dtype as x.

    >>> softmax(torch.tensor([0.0, 0.0, -torch.inf]), dim=0)
    tensor([0.5000, 0.5000, 0.0000])
    """
    if not -x.ndim <= dim < x.ndim:
        raise ValueError(f"dim must be an axis of x, which has {x.ndim}, got {dim}")
    if x.numel() == 0:
        return x.clone()  # no scores, no shares

    ### BEGIN SOLUTION
    # Subtracting the largest score changes no share, and keeps exp from overflowing.
    top = x.detach().amax(dim, keepdim=True)
    top = top.masked_fill(top == float("-inf"), 0)  # -inf - -inf would be NaN
    shares = (x - top).exp()  # the largest is 1
    total = shares.sum(dim, keepdim=True)  # at least 1, or 0 where all scores are -inf
    return shares / total.masked_fill(total == 0, 1)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-attention-softmax", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("attention.softmax", softmax)
### BEGIN HIDDEN TESTS
check("attention.softmax", softmax, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# Adding a number to all scores changes nothing. Multiplying them does: it makes the softmax more or less sharp. Look at the same four scores three times:

# %% tags=["experiment"]
scores = torch.tensor([1.0, 2.0, 0.5, 1.5])
names = [f"score {score:g}" for score in scores.tolist()]
shares = {f"scores × {factor:g}": softmax(factor * scores, dim=0) for factor in (0.1, 1, 10)}
plots.plot_shares(names, shares, "Small scores share out evenly, large scores choose one")

# %% [markdown]
# With tiny scores everybody gets about the same. With large ones the best key takes nearly all: the softmax comes close to choosing, and is called *saturated*. Keep that picture for the next section.

# %% [markdown]
# ## 3. The scores, and why they are scaled
#
# **A score says how well a query matches a key: their dot product, divided by the square root of their width.** With $d_k$ for the width of queries and keys,
#
# $$\text{score}(q, k) = \frac{q \cdot k}{\sqrt{d_k}}$$
#
# The dot product multiplies channel by channel and adds up: it is large when the two vectors point the same way. By hand, with $d_k = 4$ and so $\sqrt{d_k} = 2$:

# %%
q = torch.tensor([[1.0, 2.0, 0.0, 1.0]])  # [target, d_k], one query
k = torch.tensor([[2.0, 1.0, 1.0, 0.0], [0.0, -1.0, 3.0, 0.0]])  # [source, d_k], two keys
print("dot products:", q @ k.T)  # 1*2 + 2*1 + 0*1 + 1*0 and 1*0 + 2*(-1) + 0*3 + 1*0
print("scores:      ", q @ k.T / 2)


# %% [markdown]
# One matrix product compares all queries with all keys: `[target, d_k]` times `[d_k, source]` gives `[target, source]`.

# %% [markdown]
# ### Exercise: attention_scores (1 point)
#
# Every query against every key.
#
# - `q` is `[..., target, d_k]` and `k` is `[..., source, d_k]`; the axes in front (a batch, or batch and heads) are the same in both.
# - Return the dot products divided by $\sqrt{d_k}$, `[..., target, source]`. No softmax yet.
#
# ```python
# attention_scores(torch.tensor([[1.0, 2.0, 0.0, 1.0]]), torch.tensor([[2.0, 1.0, 1.0, 0.0]]))
# # tensor([[2.]])
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# The example above does it for one query and two keys. `.T` turns round *all* axes, which is wrong as soon as there is a batch.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# Swap the last two axes of `k` and leave the others alone. Multiply with `@`, which works on the last two axes. Divide by the root of the size of the last axis of `q`.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `d_k = q.shape[-1]`, then `q @ k.transpose(-2, -1)` divided by `math.sqrt(...)`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "attention-attention_scores", "locked": false, "schema_version": 3, "solution": true, "task": false}
@check_shapes
def attention_scores(
    q: Float[Tensor, "*batch target d_k"], k: Float[Tensor, "*batch source d_k"]
) -> Float[Tensor, "*batch target source"]:
    """How well each query matches each key: q k^T / sqrt(d_k), [..., target, source].

    >>> attention_scores(torch.ones(1, 4), torch.ones(3, 4))
    tensor([[2., 2., 2.]])
    """
    ### BEGIN SOLUTION
    d_k = q.shape[-1]
    return q @ k.transpose(-2, -1) / math.sqrt(d_k)  # [..., target, source]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-attention-attention_scores", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
check("attention.attention_scores", attention_scores)
### BEGIN HIDDEN TESTS
check("attention.attention_scores", attention_scores, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# ### What would break without the scale?
#
# Let the channels of a query and of a key be random numbers with mean 0 and variance 1, as they are about when training begins. Each product of two channels has variance 1 as well, and the dot product adds up $d_k$ of them. Variances add, so the dot product has variance $d_k$: in a head of 64 channels its typical size is 8. You have seen above what large scores do to a softmax. Let us measure it: 256 random queries look at 64 random keys, for heads of different widths.
#
# The last column below is about learning. A model learns through the *gradient*: how much the shares change when a score changes a little. The table of all these changes (each share by each score) is the Jacobian matrix of softmax, $\text{diag}(p) - p p^T$ for shares $p$; we take its length, the root of the sum of its squares.

# %% tags=["experiment"]
widths = [1, 4, 16, 64, 256, 1024]
variance, largest_share, gradient = ({"without scale": [], "with scale": []} for _ in range(3))
generator = torch.Generator().manual_seed(0)
print(" d_k  scale    variance  largest share  gradient")
for d_k in widths:
    q, k = torch.randn(256, d_k, generator=generator), torch.randn(64, d_k, generator=generator)
    scaled = attention_scores(q, k)  # [256, 64]
    for name, scores in {"without scale": scaled * math.sqrt(d_k), "with scale": scaled}.items():
        p = softmax(scores, dim=-1)
        jacobian = p.diag_embed() - p[:, :, None] * p[:, None, :]  # [256, 64, 64]
        variance[name].append(scores.var().item())
        largest_share[name].append(p.amax(-1).mean().item())
        gradient[name].append(jacobian.norm(dim=(-2, -1)).median().item())
        row = [lists[name][-1] for lists in (variance, largest_share, gradient)]
        print(f"{d_k:4}  {name[:-6]:7}  {row[0]:8.1f}  {row[1]:13.2f}  {row[2]:8.3f}")
plots.plot_scale(widths, variance, largest_share, gradient)


# %% [markdown]
# **Claim:** without the scale the variance of a score is about $d_k$, and wide heads start out saturated. **Measured:** the variance without scale follows $d_k$, with scale it stays near 1. Without scale, the best of 64 keys takes nearly everything in a wide head, and the gradient of the typical query sinks towards zero: such a head has made its choice before it has learned anything, and it can hardly take it back. With scale, neither depends on the width.
#
# Note what the measurement does not say. At $d_k$ = 4 or 16 the gradient without scale is *larger*. And a trained model may well make its queries and keys longer, and saturate where that is useful. The scale only sees to it that every width starts from the same place.

# %% [markdown]
# ## 4. Masks: who may look at whom
#
# **A mask is a board of True and False, one row for each query, one column for each key: True means "may attend".** There are two everyday reasons to forbid a look.
#
# **The future.** A model that learns to write must not see the word it is about to predict. So each position may look at itself and at what came before: a *causal* mask. For three tokens:
#
# | | key 0 | key 1 | key 2 |
# |---|---|---|---|
# | **query 0** | ✓ | | |
# | **query 1** | ✓ | ✓ | |
# | **query 2** | ✓ | ✓ | ✓ |
#
# A position may look at itself: the diagonal is True. What a model predicts at position $t$ is token $t + 1$, and that one is hidden.
#
# When a model writes, it has read the first tokens already and keeps their keys and values (notebook 06 builds this cache). Then there are more keys than queries, and the queries are the *last* tokens. So the rule for all cases is: **the last query sees the last key.**
#
# **Padding.** Texts in a batch have different lengths. The shorter ones are filled up with tokens that mean nothing, and nobody should look at these. The tokenizer says which they are: its `attention_mask` is 1 for a token and 0 for padding.
#
# Conventions differ: True means "may attend" here and in `torch.nn.functional.scaled_dot_product_attention`, but "blocked" in `torch.nn.MultiheadAttention`. Other code adds a mask of zeros and very negative numbers to the scores. When you read someone's mask, look first which kind it is.

# %% [markdown]
# ### Exercise: causal_mask (2 points)
#
# The board for `target` queries and `source` keys, when nobody may look ahead.
#
# - Return a boolean tensor `[target, source]`, True = may attend. `source` is as many as `target` if it is not given.
# - The last query sees all keys; the query before it all but the last one; and so on. With more queries than keys the first rows are False throughout.
# - A negative number is an error (given).
#
# ```python
# causal_mask(2, 4)
# # tensor([[ True,  True,  True, False], [ True,  True,  True,  True]])
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# Draw the boards for 3 queries and 3 keys, and for 2 queries and 4 keys. Both are a full board with a triangle cut off in the upper right corner. `torch.ones(..., dtype=torch.bool)` is a full board; `.tril()` cuts off the upper right.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# `tril(diagonal=n)` keeps n diagonals more above the main one (fewer if n is negative). In the first row, how many keys beyond key 0 may the first query see, when the last query sees the last key? Try your two drawings.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `torch.ones(target, source, dtype=torch.bool).tril(diagonal=...)`. With as many queries as keys the diagonal is 0; with 2 queries and 4 keys it is 2.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "attention-causal_mask", "locked": false, "schema_version": 3, "solution": true, "task": false}
def causal_mask(target: int, source: int | None = None) -> Bool[Tensor, "target source"]:
    """Who may look at whom when nobody may look ahead: True = may attend, [target, source].

    >>> causal_mask(2)
    tensor([[ True, False], [ True,  True]])
    """
    source = target if source is None else source
    for name, number in {"target": target, "source": source}.items():
        if not isinstance(number, int):
            raise TypeError(f"{name} must be an int, got {type(number).__name__}")
        if number < 0:
            raise ValueError(f"{name} must not be negative, got {number}")

    ### BEGIN SOLUTION
    everything = torch.ones(target, source, dtype=torch.bool)
    return everything.tril(diagonal=source - target)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-attention-causal_mask", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("attention.causal_mask", causal_mask)
### BEGIN HIDDEN TESTS
check("attention.causal_mask", causal_mask, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: padding_mask (1 point)
#
# From the tokenizer's `attention_mask` to a mask for attention.
#
# - `attention_mask` is `[batch, source]`, integers or booleans, 1 = token, 0 = padding.
# - Return booleans `[batch, 1, 1, source]`, True = may attend. Scores of many heads have the shape `[batch, heads, target, source]`. An axis of size 1 is stretched by torch to the size it meets ("broadcasting"), so one row of the mask serves all heads and all queries.
#
# ```python
# padding_mask(torch.tensor([[1, 1, 0]]))
# # tensor([[[[ True,  True, False]]]])
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# Two things to do: numbers to booleans, and two new axes in the right place.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# `.bool()` gives True for 1 and False for 0. `None` as an index makes a new axis of size 1: `x[:, None]` puts one after the first axis.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `attention_mask.bool()[:, ..., ..., :]` with the two new axes in the middle.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "attention-padding_mask", "locked": false, "schema_version": 3, "solution": true, "task": false}
@check_shapes
def padding_mask(
    attention_mask: Shaped[Tensor, "batch source"],
) -> Bool[Tensor, "batch 1 1 source"]:
    """Nobody may look at padding: [batch, source] of 1 and 0 -> bool [batch, 1, 1, source].

    >>> padding_mask(torch.tensor([[1, 0]])).shape
    torch.Size([1, 1, 1, 2])
    """
    if not ((attention_mask == 0) | (attention_mask == 1)).all():
        raise ValueError(f"attention_mask must hold only 0 and 1, got {attention_mask}")

    ### BEGIN SOLUTION
    return attention_mask.bool()[:, None, None, :]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-attention-padding_mask", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
check("attention.padding_mask", padding_mask)
### BEGIN HIDDEN TESTS
check("attention.padding_mask", padding_mask, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# Masks combine with `&`: both must allow it. The last board below is for the second text of a batch, which has three tokens and one of padding:

# %% tags=["experiment"]
padded = padding_mask(torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]]))  # [2, 1, 1, 4]
masks = {
    "causal": causal_mask(4),
    "causal, last 2 of 5 tokens": causal_mask(2, 5),
    "padding": padded.expand(2, 1, 4, 4)[1, 0],
    "causal & padding": (causal_mask(4) & padded)[1, 0],
}
plots.plot_masks(masks)

# %% [markdown]
# ## 5. Attention
#
# **Attention is the four steps in a row: scores, mask, softmax, weighted mean.**
#
# $$\text{attention}(Q, K, V) = \text{softmax}\left(\frac{Q K^T}{\sqrt{d_k}}\right) V$$
#
# (Vaswani et al. 2017, equation 1.) The rows of $Q$, $K$ and $V$ are the queries, keys and values. By hand: one query, two keys, chosen so that the scores are 0 and $\log 2$. The second key gets twice the share of the first, so the shares are 1/3 and 2/3, and the mean of the values 3 and 6 is 5.

# %%
q = torch.tensor([[1.0]])  # [target 1, d_k 1]
k = torch.tensor([[0.0], [math.log(2)]])  # [source 2, d_k 1]
v = torch.tensor([[3.0], [6.0]])  # [source 2, d_v 1]
weights = softmax(attention_scores(q, k), dim=-1)  # [target 1, source 2]
print(weights, (weights @ v).round(decimals=3))


# %% [markdown]
# The mask comes in before the softmax: a score that is `-inf` gets no share, and the others share out the whole. If we waited until after the softmax and put zeros into the weights, the blocked scores would have had their part already, and the rest would sum to less than 1.

# %% [markdown]
# ### Exercise: scaled_dot_product_attention (3 points)
#
# Each query takes the mean of the values, weighted by how well their keys match it.
#
# - `q` `[..., target, d_k]`, `k` `[..., source, d_k]`, `v` `[..., source, d_v]`. There is one value for each key; its width may be another.
# - `mask` is boolean, True = may attend, and broadcasts to `[..., target, source]`: it may be one for all, or differ from text to text and from head to head. Without it everybody may look at everything.
# - Return a pair: the output `[..., target, d_v]` and the weights `[..., target, source]`.
# - A blocked score is `-inf`, so that no finite score, however low, loses against it. A query with nothing to attend to gets zeros.
# - Use your own functions, not `torch.nn.functional.scaled_dot_product_attention`.
#
# ```python
# output, weights = scaled_dot_product_attention(torch.ones(1, 1), torch.ones(2, 1), torch.tensor([[3.0], [6.0]]))
# # output tensor([[4.5000]]), weights tensor([[0.5000, 0.5000]])
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# The lines by hand above are the whole function, except for the mask. You have written `attention_scores` and `softmax`; call them.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# Compute the scores. If there is a mask, put `-inf` where it is False. Softmax along the last axis, so that each *row* sums to 1. Multiply with the values. Return both.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `scores.masked_fill(where, number)` puts `number` where `where` is True; you want it where the mask is False, which is `~mask`. Then `weights = softmax(..., dim=-1)` and `return weights @ v, weights`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "attention-scaled_dot_product_attention", "locked": false, "schema_version": 3, "solution": true, "task": false}
@check_shapes
def scaled_dot_product_attention(
    q: Float[Tensor, "*batch target d_k"],
    k: Float[Tensor, "*batch source d_k"],
    v: Float[Tensor, "*batch source d_v"],
    mask: Bool[Tensor, "..."] | None = None,
) -> tuple[Float[Tensor, "*batch target d_v"], Float[Tensor, "*batch target source"]]:
    """(output [..., target, d_v], weights [..., target, source]); mask: True = may attend.

    >>> scaled_dot_product_attention(torch.ones(1, 2), torch.ones(3, 2), torch.ones(3, 4))[0]
    tensor([[1., 1., 1., 1.]])
    """
    shape = (*q.shape[:-1], k.shape[-2])  # [..., target, source]
    if mask is not None and not broadcasts(mask.shape, shape):
        raise ValueError(f"mask must broadcast to {list(shape)}, got {list(mask.shape)}")

    ### BEGIN SOLUTION
    scores = attention_scores(q, k)  # [..., target, source]
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))  # no finite score beats a blocked one
    weights = softmax(scores, dim=-1)  # [..., target, source], each row sums to 1
    return weights @ v, weights  # [..., target, d_v]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-attention-scaled_dot_product_attention", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check("attention.scaled_dot_product_attention", scaled_dot_product_attention)
### BEGIN HIDDEN TESTS
check("attention.scaled_dot_product_attention", scaled_dot_product_attention, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# torch has the same function, without the weights, in `torch.nn.functional`. Does yours agree with it?

# %% tags=["experiment"]
generator = torch.Generator().manual_seed(0)
q, k, v = (torch.randn(2, 3, 5, 4, generator=generator, dtype=torch.float64) for _ in range(3))
output, weights = scaled_dot_product_attention(q, k, v, causal_mask(5))
theirs = F.scaled_dot_product_attention(q, k, v, attn_mask=causal_mask(5))
print("shapes:", list(output.shape), list(weights.shape))
print("same output as torch:", torch.allclose(output, theirs))
print("the weights of one head:")
print(weights[0, 0].float())

# %% [markdown]
# The upper right is zero: nobody looks ahead. The first query has only itself to look at and gives it everything. Every row sums to 1.
#
# ### What would break with a "very negative number"?
#
# Much code blocks with -1,000,000,000 in place of `-inf`. Usually that does the same. Here is a query that may look at nothing, because its text is all padding:

# %%
scores, mask = torch.tensor([[0.3, -1.2, 0.9]]), torch.tensor([[False, False, False]])
print("with -1e9:", softmax(scores.masked_fill(~mask, -1e9), dim=-1))
print("with -inf:", softmax(scores.masked_fill(~mask, float("-inf")), dim=-1))

# %% [markdown]
# With the finite number it looks at the padding after all, a third each.
#
# ### One function, three uses
#
# The function does not know where queries, keys and values come from. That choice gives the three kinds of attention you will read about:
#
# | kind | queries from | keys and values from | mask | found in |
# |---|---|---|---|---|
# | **self-attention** | the text | the same text | padding | encoders (BERT, notebook 05) |
# | **causal self-attention** | the text | the same text | causal, and padding | decoders (GPT, notebook 06) |
# | **cross-attention** | the text being written | another text, the one being read | padding of the other text | encoder-decoders (T5, notebook 07) |

# %% [markdown]
# ## 6. Many heads
#
# **One attention gives each token one mean. Several small ones, side by side, give it several.**
#
# Suppose a token wants to know two things: what stands before it (a vector `a`) and what the sentence began with (a vector `b`). One attention can look at both places, half and half. But then it has the mean, and a mean does not say which was which:

# %%
a, b = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
print("one head:  ", (a + b) / 2, "and with the places exchanged:", (b + a) / 2)
print("two heads: ", torch.cat([a, b]), "and with the places exchanged:", torch.cat([b, a]))


# %% [markdown]
# Two attentions that look at one place each, with their findings put side by side, keep the difference. Each is called a *head*.
#
# So that this costs nothing extra, the width is shared out: with width 12 and 3 heads, each head works on $d_k = 4$ channels. Head 0 takes channels 0 to 3, head 1 channels 4 to 7, head 2 channels 8 to 11. In code, the heads become an axis beside the batch, and your attention function, which does not care what stands in front, does all of them at once.

# %% [markdown]
# ### Exercise: split_heads (2 points)
#
# Share out the channels among the heads.
#
# - `x` is `[batch, time, width]`; return `[batch, heads, time, d_k]` with `d_k = width / n_heads`.
# - Head `h` takes a run of neighbouring channels: `x[:, :, h * d_k : (h + 1) * d_k]`.
# - A number of heads that does not divide the width is an error (given).
#
# ```python
# split_heads(torch.arange(8).reshape(1, 2, 4), 2)  # two tokens: channels 0 to 3 and 4 to 7
# # tensor([[[[0, 1], [4, 5]], [[2, 3], [6, 7]]]])
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# There is a way to the right *shape* in one `reshape`, but it puts the numbers in the wrong places. Print it for the example above, and see what went wrong.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# Two steps. Cut only the last axis in two, heads and channels of a head: `[batch, time, heads, d_k]`. Then swap the two axes in the middle.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `batch, time, width = x.shape`, then `x.reshape(batch, time, n_heads, ...)` and `.transpose(1, 2)`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "attention-split_heads", "locked": false, "schema_version": 3, "solution": true, "task": false}
@check_shapes
def split_heads(
    x: Shaped[Tensor, "batch time width"], n_heads: int
) -> Shaped[Tensor, "batch heads time d_k"]:
    """Deal the channels out to the heads: [batch, time, width] -> [batch, heads, time, d_k].

    >>> split_heads(torch.zeros(2, 5, 12), 3).shape
    torch.Size([2, 3, 5, 4])
    """
    if n_heads < 1 or x.shape[-1] % n_heads != 0:
        raise ValueError(f"n_heads must divide the width {x.shape[-1]}, got {n_heads}")

    ### BEGIN SOLUTION
    batch, time, width = x.shape
    x = x.reshape(batch, time, n_heads, width // n_heads)  # first cut the channels into runs,
    return x.transpose(1, 2)  # then bring heads forward: [batch, heads, time, d_k]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-attention-split_heads", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("attention.split_heads", split_heads)
### BEGIN HIDDEN TESTS
check("attention.split_heads", split_heads, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: merge_heads (1 point)
#
# Put the heads' channels side by side again.
#
# - `x` is `[batch, heads, time, d_k]`; return `[batch, time, width]` with `width = heads * d_k`.
# - It undoes `split_heads`: `merge_heads(split_heads(x, n))` is `x`.
#
# ```python
# merge_heads(torch.tensor([[[[0, 1], [4, 5]], [[2, 3], [6, 7]]]]))
# # tensor([[[0, 1, 2, 3], [4, 5, 6, 7]]])
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# Do the two steps of `split_heads` backwards.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# Swap the two middle axes: `[batch, time, heads, d_k]`. Then join the last two into one.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `x.transpose(1, 2)`, then `.flatten(2)`, which joins all axes from number 2 on.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "attention-merge_heads", "locked": false, "schema_version": 3, "solution": true, "task": false}
@check_shapes
def merge_heads(x: Shaped[Tensor, "batch heads time d_k"]) -> Shaped[Tensor, "batch time width"]:
    """Undo `split_heads`: [batch, heads, time, d_k] -> [batch, time, width].

    >>> merge_heads(torch.zeros(2, 3, 5, 4)).shape
    torch.Size([2, 5, 12])
    """
    ### BEGIN SOLUTION
    return x.transpose(1, 2).flatten(2)  # [batch, time, heads, d_k] -> [batch, time, width]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-attention-merge_heads", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
check("attention.merge_heads", merge_heads)
### BEGIN HIDDEN TESTS
check("attention.merge_heads", merge_heads, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: MultiHeadAttention (4 points)
#
# The whole layer. It makes queries, keys and values by three learned matrices, lets every head attend, puts the findings side by side, and mixes them by a fourth matrix. The mixing matters: without it, a head could only ever write into its own channels.
#
# - A `torch.nn.Module` with four projections, each `nn.Linear(width, width)` (with its bias): `q_proj`, `k_proj`, `v_proj`, `out_proj`. The names count: real weights are loaded by them.
# - `forward(x, context=None, mask=None)`: queries come from `x` `[batch, target, width]`. Keys and values come from `context` `[batch, source, width]` if there is one (cross-attention), else from `x` (self-attention).
# - `mask` broadcasts to `[batch, heads, target, source]`. Nothing of a call is kept for the next.
# - Return the output alone, `[batch, target, width]`.
# - Build it from your functions, without `torch.nn.MultiheadAttention` and `multi_head_attention_forward`.
#
# ```python
# layer = MultiHeadAttention(12, n_heads=3)
# layer(torch.randn(2, 5, 12), mask=causal_mask(5)).shape  # torch.Size([2, 5, 12])
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# You have all the parts: `split_heads`, `scaled_dot_product_attention`, `merge_heads`. Write the shapes beside each line, and the order will follow.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# In `__init__`, make the four `nn.Linear`. In `forward`: choose the context; project and split three times (q from `x`, k and v from the context); attend with the mask; merge; `out_proj`.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `q = split_heads(self.q_proj(x), self.n_heads)`, and the same for `k` and `v`. `output, _ = scaled_dot_product_attention(...)`, where `_` takes the weights, which are not needed. `return self.out_proj(merge_heads(output))`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "attention-MultiHeadAttention", "locked": false, "schema_version": 3, "solution": true, "task": false}
class MultiHeadAttention(nn.Module):
    """Several small attentions side by side, mixed by a last projection.

    >>> MultiHeadAttention(8, n_heads=2)(torch.zeros(1, 3, 8)).shape
    torch.Size([1, 3, 8])
    """

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        if n_heads < 1 or width < 1 or width % n_heads != 0:
            raise ValueError(f"n_heads must divide the width {width}, got {n_heads}")
        self.width, self.n_heads = width, n_heads
        ### BEGIN SOLUTION
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)
        ### END SOLUTION

    @check_shapes
    def forward(
        self,
        x: Float[Tensor, "batch target width"],
        context: Float[Tensor, "batch source width"] | None = None,
        mask: Bool[Tensor, "..."] | None = None,
    ) -> Float[Tensor, "batch target width"]:
        """Let x look at itself, or at `context` if there is one."""
        if x.shape[-1] != self.width:
            raise ValueError(f"x must be [batch, time, {self.width}], got {list(x.shape)}")

        ### BEGIN SOLUTION
        context = x if context is None else context
        q = split_heads(self.q_proj(x), self.n_heads)  # [batch, heads, target, d_k]
        k = split_heads(self.k_proj(context), self.n_heads)  # [batch, heads, source, d_k]
        v = split_heads(self.v_proj(context), self.n_heads)  # [batch, heads, source, d_k]
        output, _ = scaled_dot_product_attention(q, k, v, mask)  # [batch, heads, target, d_k]
        return self.out_proj(merge_heads(output))  # [batch, target, width]
        ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-attention-MultiHeadAttention", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
check("attention.MultiHeadAttention", MultiHeadAttention)
### BEGIN HIDDEN TESTS
check("attention.MultiHeadAttention", MultiHeadAttention, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# How many numbers does the layer learn, and do more heads cost more?

# %% tags=["experiment"]
for n_heads in (1, 4, 12):
    layer = MultiHeadAttention(384, n_heads)
    print(f"{n_heads:2} heads: {sum(p.numel() for p in layer.parameters()):,} parameters")
print(f"4 * 384 * 384 + 4 * 384 = {4 * 384 * 384 + 4 * 384:,}")

# %% [markdown]
# Four square matrices and four biases, whatever the number of heads.
#
# ### Your layer inside a real model
#
# all-MiniLM-L6-v2 is a small encoder of BERT's kind: 6 layers, width 384, 12 heads in each. It has read a great part of the web's sentences. The cell below loads it, notes what goes into and comes out of the attention in each of its layers, puts that layer's real weights into *your* class, and gives it the same input.

# %% tags=["experiment"]
minilm, minilm_tokenizer = load_minilm()
sentence = "The bank by the river is steep, but the bank in town is closed."
ids = [minilm_tokenizer.cls_id, *minilm_tokenizer.encode(sentence), minilm_tokenizer.sep_id]

seen = []  # (input, output) of the attention of each layer
hooks = [
    block.attention.register_forward_hook(lambda _, x, y: seen.append((x[0], y)))
    for block in minilm.blocks
]
with torch.no_grad():
    minilm(torch.tensor([ids]))
for hook in hooks:
    hook.remove()

for number, (block, (x, expected)) in enumerate(zip(minilm.blocks, seen, strict=True)):
    yours = MultiHeadAttention(width=384, n_heads=12)
    yours.load_state_dict(block.attention.state_dict())
    with torch.no_grad():
        same = torch.allclose(yours(x), expected, atol=1e-4)
    print(f"layer {number}: {list(x.shape)} -> {list(expected.shape)}, yours is the same: {same}")

# %% [markdown]
# ## 7. Does attention know the order of words?
#
# **Claim: "without positions the model sees a bag of words".** A *bag* of words is a text with the order thrown away. Nothing in the formula of attention mentions a position: a score depends on the two vectors and on nothing else. So if the tokens change places and carry their vectors with them, what should happen? Let us try, with a layer of random weights and no positions added: shuffle six tokens, and compare with the shuffled output.

# %% tags=["experiment"]
torch.manual_seed(0)
layer, second_layer = MultiHeadAttention(12, 3).double(), MultiHeadAttention(12, 3).double()
x = torch.randn(1, 6, 12, dtype=torch.float64)
order = torch.tensor([3, 0, 4, 2, 1, 5])  # the last token stays where it is


def largest_change(one, other):
    return f"{(one - other).abs().max().item():.3f}"


def twice(x, mask):
    return x + second_layer(x + layer(x, mask=mask), mask=mask)


with torch.no_grad():
    mask = causal_mask(6)
    print("no mask:      shuffled in, shuffled out, change", largest_change(layer(x[:, order]), layer(x)[:, order]))
    print("causal mask:  shuffled in, shuffled out, change", largest_change(layer(x[:, order], mask=mask), layer(x, mask=mask)[:, order]))
    print("causal, last token only, one layer:      change", largest_change(layer(x[:, order], mask=mask)[:, -1], layer(x, mask=mask)[:, -1]))
    print("causal, last token only, two layers:     change", largest_change(twice(x[:, order], mask)[:, -1], twice(x, mask)[:, -1]))

# %% [markdown]
# **Measured:**
#
# - *Without a mask* the claim holds exactly. Shuffle the input, and the output is shuffled in the same way, with a change of 0.000. Each token gets what it would have got anywhere else. (The word for this is *permutation equivariant*.) To such a model, "dog bites man" and "man bites dog" are the same.
# - *With a causal mask* the claim is wrong: a token's output depends on who came before it.
# - And it is wrong in an interesting way. For the last token, a single causal layer still sees a bag: it may look at everybody, in whatever order they stand. A second layer tells orders apart, because the vectors it looks at already depend on what stood before *them*. Language models without any positions can learn from this where they are (Haviv et al. 2022).
#
# This is why positions are added to the embeddings (notebook 02), or turned into the queries and keys as rotary positions do.

# %% [markdown]
# ## 8. What real heads look at
#
# Now to the trained heads. Beside MiniLM we take SmolLM2-135M-Instruct, a decoder: 30 layers with 9 heads each, a causal mask, and rotary positions. `record_attention` collects the weights of every layer while a model runs.
#
# **Write a sentence of your own** in the first line, and run the section again.

# %% tags=["experiment"]
sentence = "The bank by the river is steep, but the bank in town is closed."

smollm2, smollm2_tokenizer = load_smollm2()


def ids_of(name, sentence):
    if name == "SmolLM2":
        return smollm2_tokenizer.encode(sentence)
    return [minilm_tokenizer.cls_id, *minilm_tokenizer.encode(sentence), minilm_tokenizer.sep_id]


def look(name, sentence):
    """The tokens of a sentence, and the model's weights [layers, heads, target, source]."""
    model = {"MiniLM": minilm, "SmolLM2": smollm2}[name]
    tokenizer = {"MiniLM": minilm_tokenizer, "SmolLM2": smollm2_tokenizer}[name]
    ids = ids_of(name, sentence)
    with torch.no_grad(), record_attention() as weights:
        model(torch.tensor([ids]))
    return [tokenizer.decode([i]).strip() for i in ids], torch.cat(weights)


for name in ("MiniLM", "SmolLM2"):
    tokens, weights = look(name, sentence)
    print(f"{name}: weights {list(weights.shape)}")
    print("  ", " | ".join(tokens))


# %% [markdown]
# MiniLM's tokenizer puts a special token `[CLS]` in front and `[SEP]` behind.
#
# In this explorer you can go through all heads. Each row is a token that looks, each column a token that is looked at; bright is much. (On a web page, where nothing can be moved, go on to the four maps below it.)

# %% tags=["experiment", "nbval-ignore-output"]
def explore(text, model, layer, head):
    tokens, weights = look(model, text or "nothing")
    layer, head = min(layer, len(weights) - 1), min(head, weights.shape[1] - 1)
    title = f"{model}, layer {layer}, head {head}"
    return plots.plot_attention_maps({title: weights[layer, head]}, tokens)


interact(
    explore,
    text=Text(sentence, continuous_update=False, layout=Layout(width="40em")),
    model=["MiniLM", "SmolLM2"],
    layer=IntSlider(0, 0, 29, continuous_update=False),
    head=IntSlider(2, 0, 11, continuous_update=False),
);

# %% [markdown]
# ### Do heads specialise?
#
# **Claim: "heads specialise", one on the previous word, one on punctuation, and so on.** To see more than a chosen picture we need a number for each head. Let us take twelve sentences and ask of each head: how much of its attention goes, on average, to the *previous* token, the *next* one, the token *itself*, the *first* and the *last* token of the text? (The last is `[SEP]` in MiniLM. SmolLM2 cannot look ahead, so "next" and "last" do not exist for it.) We leave out the first two queries and the last one, for which some of these places are the same.

# %% tags=["experiment"]
SENTENCES = [
    "The trophy did not fit in the suitcase because it was too big.",
    "My sister planted tomatoes in the garden, and the rabbits ate them.",
    "When the train arrived, the children ran to the window to look.",
    "The teacher gave the boy a book because he had lost his own.",
    "Nobody in the village knew who had built the old stone bridge.",
    "If you heat the water slowly, the sugar dissolves before it boils.",
    "The cat that chased the mouse slept all afternoon on the roof.",
    "She opened the letter, read it twice, and put it back in the drawer.",
    "After the storm, two boats were missing from the harbour.",
    "The doctor told the farmer that his cow needed rest and clean water.",
    "Bread, cheese, apples and a bottle of milk lay on the kitchen table.",
    "The judge asked the witness whether she had seen the red car.",
]


def places(name, sentence):
    """Mean weight on each place: name of the place -> [layers, heads]."""
    _, weights = look(name, sentence)
    t = torch.arange(2, weights.shape[-1] - 1)  # the queries
    measures = {"previous": weights[..., t, t - 1], "itself": weights[..., t, t]}
    measures["first"] = weights[..., t, 0]
    if name == "MiniLM":
        measures |= {"next": weights[..., t, t + 1], "last": weights[..., t, -1]}
    return {place: weight.mean(-1) for place, weight in measures.items()}


def mean_places(name, sentences):
    found = [places(name, sentence) for sentence in sentences]
    return {place: torch.stack([one[place] for one in found]).mean(0) for place in found[0]}


looks_at = {name: mean_places(name, SENTENCES) for name in ("MiniLM", "SmolLM2")}
for name, measures in looks_at.items():
    halves = [mean_places(name, half) for half in (SENTENCES[:6], SENTENCES[6:])]
    print(name)
    for place, weight in measures.items():
        layer, head = divmod(weight.argmax().item(), weight.shape[1])
        both = torch.stack([half[place].flatten() for half in halves])
        print(
            f"  {place:8}  mean {weight.mean():.2f}   strongest: layer {layer:2}, head {head:2},"
            f" {weight.max():.2f}   the two halves agree: r = {torch.corrcoef(both)[0, 1]:.2f}"
        )

# %% tags=["experiment"]
plots.plot_heads(looks_at["MiniLM"], "MiniLM: where each of its 72 heads looks")

# %% tags=["experiment"]
plots.plot_heads(looks_at["SmolLM2"], "SmolLM2: where each of its 270 heads looks")

# %% [markdown]
# Four heads of MiniLM on your sentence: the strongest ones of the table for three places, and the one whose attention goes least to any of the five:

# %% tags=["experiment"]
tokens, weights = look("MiniLM", sentence)
minilm_places = looks_at["MiniLM"]
strongest = {
    place: divmod(minilm_places[place].argmax().item(), 12) for place in ("previous", "next", "first")
}
clearest = torch.stack(list(minilm_places.values())).amax(0)  # [layers, heads]
strongest["none of the five places"] = divmod(clearest.argmin().item(), 12)
maps = {
    f"layer {layer}, head {head}: {place}": weights[layer, head]
    for place, (layer, head) in strongest.items()
}
plots.plot_attention_maps(maps, tokens)


# %% [markdown]
# **Measured:** yes, in this sense. A few heads look at one place nearly always, and the head that does so on six sentences does so on six others: the correlation over heads between the two halves is close to 1. One head of MiniLM is a "previous token" head in all but name. Two cautions belong to it. What these heads have specialised in is mostly a *position*. And by far the commonest place is no word at all: the first token of the text, in both models.
#
# ### What attention maps do not show
#
# Why would so many heads look at `[CLS]`, or at the first word whatever it is? A map shows the weights. But what is *added* to a token is weight times value, and a value can be short. So let us measure the length of each value, after the head's part of `out_proj`, and ask what part of the contributions comes from the first token (Kobayashi et al. 2020 look at attention in this way):

# %% tags=["experiment"]
def contributions(name, sentence):
    """Weight times length of the projected value, as parts of 1: [layers, heads, target, source]."""
    model = {"MiniLM": minilm, "SmolLM2": smollm2}[name]
    values = []
    hooks = [
        block.attention.v_proj.register_forward_hook(lambda _, x, y: values.append(y))
        for block in model.blocks
    ]
    _, weights = look(name, sentence)  # [layers, heads, target, source]
    for hook in hooks:
        hook.remove()
    n_heads, d_k = weights.shape[1], model.config.width // weights.shape[1]
    lengths = []
    for block, value in zip(model.blocks, values, strict=True):
        v = split_heads(value, value.shape[-1] // d_k)[0]  # [kv_heads, source, d_k]
        v = v.repeat_interleave(n_heads // len(v), dim=0)  # SmolLM2: 3 query heads share a value head
        w_out = block.attention.out_proj.weight.detach().unflatten(1, (n_heads, d_k))
        lengths.append(torch.einsum("hsd,whd->hsw", v, w_out).norm(dim=-1))  # [heads, source]
    parts = weights * torch.stack(lengths)[:, :, None, :]
    return parts / parts.sum(-1, keepdim=True)


first_token = {}
for name in ("MiniLM", "SmolLM2"):
    parts = [contributions(name, sentence)[..., 2:-1, 0].mean(-1) for sentence in SENTENCES]
    by_contribution, by_weight = torch.stack(parts).mean(0), looks_at[name]["first"]
    first_token[name] = by_weight.mean(1), by_contribution.mean(1)
    print(
        f"{name}: the first token gets {by_weight.mean():.0%} of the weights"
        f" and makes {by_contribution.mean():.0%} of the contributions"
    )
plots.plot_weight_and_contribution(first_token)

# %% [markdown]
# The brightest columns of the maps do the least. In MiniLM the value of `[CLS]` is so short that hardly anything of all that weight arrives. The softmax forces every head to spend its whole attention somewhere, every time; a head that finds nothing to do can put it where it has no effect. Such a place is called an *attention sink* (Xiao et al. 2023). In SmolLM2 the effect is smaller, and there.
#
# **A second test: take a head out.** If a clear map meant an important head, then removing it should hurt. MiniLM makes an embedding of a sentence as the mean of its output vectors. Remove each of the 72 heads in turn (by setting its columns of `out_proj` to zero) and measure how far the embeddings of eight sentences turn, as 1 minus the cosine between before and after:

# %% tags=["experiment"]
batch = [torch.tensor(ids_of("MiniLM", sentence)) for sentence in SENTENCES[:8]]
ids = nn.utils.rnn.pad_sequence(batch, batch_first=True)
kept = torch.arange(ids.shape[1]) < torch.tensor([[len(row)] for row in batch])


@torch.no_grad()
def embeddings():
    hidden = minilm(ids, kept.long()) * kept[..., None]  # padding counts for nothing
    return hidden.sum(1) / kept.sum(1, keepdim=True)


before = embeddings()
effect = torch.zeros(6, 12)
for layer, block in enumerate(minilm.blocks):
    weight = block.attention.out_proj.weight.data  # [width, heads * d_k]
    for head in range(12):
        channels = slice(32 * head, 32 * (head + 1))
        removed = weight[:, channels].clone()
        weight[:, channels] = 0
        effect[layer, head] = 1 - F.cosine_similarity(embeddings(), before, dim=-1).mean()
        weight[:, channels] = removed

layer, head = strongest["previous"]
more = int((effect > effect[layer, head]).sum())
print(f"the clearest head: layer {layer}, head {head}, {clearest[layer, head]:.2f} on the previous token")
print(f"heads whose removal changes more: {more} of the other 71")
both = torch.stack([clearest.flatten(), effect.log().flatten()])
print(f"correlation of clearness and log effect: {torch.corrcoef(both)[0, 1]:.1f}")
plots.plot_removal(clearest, effect, {"the clearest head": (layer, head)})

# %% [markdown]
# More than half of the other heads matter more than the one with the clearest map, and over all heads a clear map goes together with *less* effect, if with anything. The heads that change most sit in the last layer, right before the output.
#
# So, about the claim: heads specialise, in the sense that some reliably look at one place. But keep the limits in mind when you meet a colourful map:
#
# 1. **A weight is not a contribution.** What arrives is weight times value, and a bright column may bring nothing.
# 2. **A clear map is not an important head.** Only taking it out, or changing it, tells. (Removing one head has a limit of its own: the others may stand in for it.)
# 3. **After the first layer a column is no longer a word.** Its vector has taken in others already. A look at "river" in layer 5 is a look at whatever has gathered at that position.
# 4. **A name for a head is a guess until it is tested** on sentences that did not suggest it. Ours was tested on twelve, all short and plain.
#
# The debate has a literature; where to begin stands at the end of the page.

# %% [markdown]
# ## 9. What attention costs
#
# **Every query meets every key: with $n$ tokens there are $n^2$ scores, so time and memory grow with the square of the length.** At 1,000 tokens a head has a million scores; at 100,000 tokens ten thousand million, 40 gigabytes in float32, for one head of one layer.
#
# The time is hard to avoid as long as everybody looks at everybody. The memory is not. A query needs, in the end, two sums: the total of its shares, and the sum of the values times their shares. Sums can be built up bit by bit, over blocks of keys, and each block of scores can be forgotten at once.
#
# One thing stands in the way: softmax subtracts the *largest* score, and that may come in a later block. The way out is small and beautiful (Milakov and Gimelshein 2018). Keep the largest score *so far*. When a larger one comes, everything summed up so far was measured against the old one; multiply it by $e^{\text{old} - \text{new}}$, and it is as if it had been measured against the new one all along. This is *streaming softmax*.
#
# One query, four keys in two blocks, with scores 1, 3 and then 2, 5:

# %%
scores, v = torch.tensor([1.0, 3.0, 2.0, 5.0]), torch.tensor([10.0, 20.0, 30.0, 40.0])
top, total, output = -math.inf, 0.0, 0.0
for start in (0, 2):
    block = slice(start, start + 2)
    new_top = max(top, scores[block].max().item())
    shares = (scores[block] - new_top).exp()
    shrink = math.exp(top - new_top)  # e to the minus infinity is 0 in the first block
    total = total * shrink + shares.sum().item()
    output = output * shrink + (shares @ v[block]).item()
    top = new_top
    print(f"after block {start // 2}: largest {top:.0f}, shrink {shrink:.2f}, total {total:.2f}, output {output:.2f}")
print(f"streaming: {output / total:.2f}    all at once: {(softmax(scores, dim=0) @ v).item():.2f}")


# %% [markdown]
# In the second block the largest score went from 3 to 5, and both sums shrank by $e^{-2}$. At the end, one division.

# %% [markdown]
# ### Exercise: streaming_attention (4 points)
#
# The same result as `scaled_dot_product_attention`, without ever holding the full score matrix.
#
# - `q` `[..., target, d_k]`, `k` `[..., source, d_k]`, `v` `[..., source, d_v]`; return the output `[..., target, d_v]`.
# - Look at `block_size` keys at a time. It need not divide the number of keys: the last block may be short.
# - With `causal=True` nobody looks ahead, as in `causal_mask(target, source)`. A query that sees nothing gets zeros, and no `nan` in its gradient.
# - Memory may grow with `target * block_size`, never with `target * source`. The check measures it: no full matrix of scores, and no full mask either.
# - Without `torch.nn.functional.scaled_dot_product_attention`, which can do this too.
#
# ```python
# q, k, v = torch.randn(3, 1000, 8)
# streaming_attention(q, k, v, block_size=100)  # equals scaled_dot_product_attention(q, k, v)[0]
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# The loop above is the algorithm for one query. Here `top` and `total` become tensors `[..., target, 1]`, one number a query, and `output` becomes `[..., target, d_v]`. First get it right without `causal`.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# For each block of keys from `start` to `stop`: the scores `[..., target, block]` by your `attention_scores`; the new largest (`torch.maximum` of the old one and the block's); the shares; the factor for the old sums; both sums. At the end divide.
#
# For `causal`, block scores before you look for the largest. Query number i stands at position `i + source - target`, and key number j of the block at position `start + j`; a key beyond the query's position gets `-inf`. A query that has seen nothing yet has a largest score of `-inf`: subtract 0 instead, as in `softmax`.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# Before the loop: `top = q.new_full((*q.shape[:-1], 1), float("-inf"))`, `total = torch.zeros_like(top)`, `output = q.new_zeros(*q.shape[:-1], v.shape[-1])`.
#
# In it: `last_seen = torch.arange(target)[:, None] + source - target`, and `scores.masked_fill(torch.arange(start, stop) > last_seen, float("-inf"))`. Then `new_top = torch.maximum(top, scores.detach().amax(-1, keepdim=True))`, `shift = new_top.masked_fill(new_top == float("-inf"), 0)`, `shares = (scores - shift).exp()` and `shrink = (top - shift).exp()`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "attention-streaming_attention", "locked": false, "schema_version": 3, "solution": true, "task": false}
@check_shapes
def streaming_attention(
    q: Float[Tensor, "*batch target d_k"],
    k: Float[Tensor, "*batch source d_k"],
    v: Float[Tensor, "*batch source d_v"],
    block_size: int,
    causal: bool = False,
) -> Float[Tensor, "*batch target d_v"]:
    """Attention block by block over the keys, [..., target, d_v]; never the full score matrix.

    >>> streaming_attention(torch.ones(1, 2), torch.ones(5, 2), torch.ones(5, 3), block_size=2)
    tensor([[1., 1., 1.]])
    """
    if block_size < 1:
        raise ValueError(f"block_size must be at least 1, got {block_size}")

    ### BEGIN SOLUTION
    target, source = q.shape[-2], k.shape[-2]
    top = q.new_full((*q.shape[:-1], 1), float("-inf"))  # [..., target, 1], largest score so far
    total = torch.zeros_like(top)  # [..., target, 1], sum of the shares so far
    output = q.new_zeros(*q.shape[:-1], v.shape[-1])  # [..., target, d_v], sum of shares * values

    for start in range(0, source, block_size):
        stop = min(start + block_size, source)
        scores = attention_scores(q, k[..., start:stop, :])  # [..., target, block]
        if causal:
            last_seen = torch.arange(target)[:, None] + source - target  # [target, 1]
            scores = scores.masked_fill(torch.arange(start, stop) > last_seen, float("-inf"))

        new_top = torch.maximum(top, scores.detach().amax(-1, keepdim=True))
        shift = new_top.masked_fill(new_top == float("-inf"), 0)  # nothing seen yet: no NaN
        shares = (scores - shift).exp()  # [..., target, block]
        shrink = (top - shift).exp()  # brings the old sums to the new scale; 0 at the start
        total = total * shrink + shares.sum(-1, keepdim=True)
        output = output * shrink + shares @ v[..., start:stop, :]
        top = new_top

    return output / total.masked_fill(total == 0, 1)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-attention-streaming_attention", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
check("attention.streaming_attention", streaming_attention)
### BEGIN HIDDEN TESTS
check("attention.streaming_attention", streaming_attention, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# ### The measurement
#
# Both algorithms, one head of 64 channels, causal, from 256 to 4,096 tokens.
#
# *Memory* is counted, not guessed: `PeakMemory` sits between Python and torch, adds the bytes of every tensor that an operation returns, takes them off when the tensor dies, and remembers the highest sum. So it counts exactly the tensors your code makes, beyond its inputs. *Time* is the best of three runs.
#
# If a quantity grows like $n^p$, then its logarithm is a line with slope $p$ against the logarithm of $n$. The cell fits that slope: over all lengths for the memory, over the three longest for the time, where the fixed costs of a call weigh little.

# %% tags=["experiment", "nbval-ignore-output"]
lengths = [256, 512, 1024, 2048, 4096]
BLOCK = 128


def full(q, k, v):
    return scaled_dot_product_attention(q, k, v, causal_mask(len(q), len(k)))[0]


def streaming(q, k, v):
    return streaming_attention(q, k, v, block_size=BLOCK, causal=True)


def best_time(attend, *qkv):
    def once():
        start = time.perf_counter()
        attend(*qkv)
        return time.perf_counter() - start

    return min(once() for _ in range(3))


def peak_memory(attend, *qkv):
    with PeakMemory() as memory:
        attend(*qkv)
    return memory.peak


seconds = {"full": [], "streaming": []}
memory = {"full": [], "streaming": [], "streaming, gradients wanted": []}
for n in lengths:
    q, k, v = torch.randn(3, n, 64, generator=torch.Generator().manual_seed(n))
    with torch.no_grad():
        for name, attend in (("full", full), ("streaming", streaming)):
            memory[name].append(peak_memory(attend, q, k, v))
            seconds[name].append(best_time(attend, q, k, v))
    q.requires_grad_()
    memory["streaming, gradients wanted"].append(peak_memory(streaming, q, k, v))


def exponent(values, points):
    return np.polyfit(np.log(lengths[-points:]), np.log(values[-points:]), 1)[0]


for name, values in memory.items():
    print(f"memory, {name}: {values[-1] / 2**20:.0f} MiB at {n} tokens, grows like n^{exponent(values, 5):.2f}")
for name, values in seconds.items():
    print(f"time, {name}: {1000 * values[-1]:.0f} ms at {n} tokens, grows like n^{exponent(values, 3):.2f}")

# %% tags=["experiment", "nbval-ignore-output"]
plots.plot_cost(lengths, seconds, memory)

# %% [markdown]
# **Measured:** the memory of the full algorithm has exponent 2, that of streaming exponent 1: twice the text, twice the memory. The time of both goes towards the square. Streaming does not compute less; it forgets sooner. (It may even be faster on long texts, because small blocks stay in the processor's fast memory. How much depends on your machine.)
#
# The third line is a warning. As soon as gradients are wanted, torch keeps every block for the way back, and most of the gain is gone. FlashAttention (Dao et al. 2022) adds what is missing: it keeps only the sums, and computes each block a second time on the way back. It also keeps the blocks in the fast memory of a graphics processor, and that is where its speed comes from. `torch.nn.functional.scaled_dot_product_attention` uses it where it can.

# %% [markdown]
# ## Check what you remember
#
# Before you read the summary, find out what stayed. Think first, then open the answer you would give: it says whether it is right, and why. (The same in Portuguese: *Em português*, below the questions.)
#
# Later, `course review` in a terminal brings the ideas of this notebook back as flashcards, shortly before you would forget them.

# %% tags=["experiment"]
from course_lib.review import quiz

quiz("03_attention")

# %% [markdown]
# ## Summary
#
# - Attention gives each token a **weighted mean of values**. Its **query** is compared with all **keys**; the **scores** are dot products divided by $\sqrt{d_k}$; **softmax** turns them into weights that sum to 1.
# - The **scale** keeps the variance of the scores near 1 for every width. Without it wide heads start saturated, with next to no gradient.
# - A **mask** is boolean, True = may attend. Blocked scores are `-inf` before the softmax; a row with nothing to attend to gives zeros. *Causal*: the last query sees the last key. *Padding*: nobody looks at filler.
# - **Self-, causal and cross-attention** are the same function; they differ in where queries and keys come from, and in the mask.
# - **Many heads** work on runs of channels, side by side, are put together again and mixed by `out_proj`. The number of parameters does not depend on the number of heads.
# - Without positions and without a mask, attention is **permutation equivariant**: it sees a bag. A causal mask already breaks that.
# - Some heads reliably look at one place. A map shows weights, not contributions and not importance: in MiniLM the brightest column, `[CLS]`, brings nearly nothing.
# - Full attention needs $n^2$ time and memory. **Streaming softmax** makes the memory grow with $n$ only, by scaling down two running sums whenever a larger score appears.
#
# ## Test yourself
#
# <details><summary>1. The scores of a query are 0, 0 and log 2. What are its weights?</summary>
#
# exp gives 1, 1, 2, so 1/4, 1/4, 1/2.
#
# </details>
# <details><summary>2. A model has width 768 and 12 heads. By what are its dot products divided?</summary>
#
# By $\sqrt{d_k} = \sqrt{768 / 12} = \sqrt{64} = 8$. The width of a head counts, not that of the model.
#
# </details>
# <details><summary>3. A decoder has read 10 tokens and now reads 2 more, keeping the keys of the first 10. What shape is its causal mask, and how many entries are False?</summary>
#
# [2, 12]. One: the first of the two queries must not see the last key.
#
# </details>
# <details><summary>4. Why block before the softmax and not set weights to zero after it?</summary>
#
# After it, the blocked scores have taken their share already, and the remaining weights sum to less than 1. With -inf before it, the others share out the whole.
#
# </details>
# <details><summary>5. A map shows that a head gives 90 % of its attention to the first token. What do you know about what the head does?</summary>
#
# Little. If the value of the first token is short, the other 10 % may be nearly all that arrives. And whether the head matters is seen only by changing it.
#
# </details>
#
# ## Where to read on
#
# - Ashish Vaswani and others, [*Attention Is All You Need*](https://arxiv.org/abs/1706.03762) (2017), section 3.2: one page, and you have built all of it. Footnote 4 is the argument for the scale.
# - Dzmitry Bahdanau and others, [*Neural Machine Translation by Jointly Learning to Align and Translate*](https://arxiv.org/abs/1409.0473) (2014), section 3: where attention came from.
# - Adi Haviv and others, [*Transformer Language Models without Positional Encodings Still Learn Positional Information*](https://arxiv.org/abs/2203.16634) (2022), sections 4 and 5.
# - On maps: Sarthak Jain and Byron Wallace, [*Attention is not Explanation*](https://arxiv.org/abs/1902.10186) (2019), and Sarah Wiegreffe and Yuval Pinter, [*Attention is not not Explanation*](https://arxiv.org/abs/1908.04626) (2019); Goro Kobayashi and others, [*Attention is Not Only a Weight*](https://arxiv.org/abs/2004.10102) (2020), section 3; Guangxuan Xiao and others, [*Efficient Streaming Language Models with Attention Sinks*](https://arxiv.org/abs/2309.17453) (2023), section 3.
# - Maxim Milakov and Natalia Gimelshein, [*Online normalizer calculation for softmax*](https://arxiv.org/abs/1805.02867) (2018), section 3; Tri Dao and others, [*FlashAttention*](https://arxiv.org/abs/2205.14135) (2022), section 3.
#
# Next: [notebook 04](../04_transformer_block/04_transformer_block.ipynb) puts this layer into a block, and blocks on top of each other.
