# %% [markdown]
# # Decoding
#
# **The model gives probabilities. How do you get a text from them?**
#
# Ask a chat service the same question twice and you get two answers. The model behind it is the same both times, and so are its probabilities. What differs is *decoding*: the choice of a token, again and again. It is a page of code, it is not learned, and it decides whether a text is dull, lively, or nonsense. In this notebook you write all of it, and try it on SmolLM2.
#
# > **You will build** sampling with temperature, top-k, top-p and a repetition penalty; a generator for many texts at once, which hands out tokens as they come; beam search; and the trick by which a small model makes a large one faster without changing what it says.
# >
# > **You need** softmax (notebook 03), and that a decoder gives a score for each next token (notebook 06).
# >
# > **It takes** about 120 minutes to work through, and under 60 seconds to run.

# %%
import copy
import math
import textwrap
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial

import torch
from ipywidgets import FloatSlider, IntSlider, Layout, Text, interact
from jaxtyping import Float, Int64, Shaped
from torch import Tensor, nn

from course_lib.attention import softmax
from course_lib.checks import check
from course_lib.data.python_reference import python_reference_text
from course_lib.decoder import DecoderConfig, DecoderLM, decode_step
from course_lib.decoding import (
    Filter,
    apply_filters,
    log_probs_of,
    pad_left,
    speculative_generate,
    stream_text,
)
from course_lib.plots import decoding as plots
from course_lib.pretrained import load_smollm2
from course_lib.shapes import check_shapes

torch.set_printoptions(precision=3, sci_mode=False)
model, tokenizer = load_smollm2()

# %% [markdown]
# ## 1. One distribution, many texts
#
# **A language model does not say what comes next. It gives every token a score, and softmax makes probabilities of the scores.** The scores are called *logits*. What to do with them is up to us. Here are the most likely next tokens after the beginning of a sentence:

# %%
PROMPT = "My favourite animal is the"


def next_logits(prompt: str) -> Tensor:
    """The logits of the token after a text, [vocab]."""
    with torch.no_grad():
        return model(torch.tensor([tokenizer.encode(prompt)]))[0, -1]


logits = next_logits(PROMPT)
best = logits.argsort(descending=True)[:6]
print(f"{len(logits)} logits; the best:")
for id in best.tolist():
    token, prob = tokenizer.decode([id]), softmax(logits, 0)[id]
    print(f"  {token!r:12} logit {logits[id]:5.1f}   probability {prob:.3f}")

# %% [markdown]
# The simplest rule takes the best token, every time. It is called *greedy*, you wrote it in notebook 00, and `argmax` does it. The other way is to *sample*: to draw a token at random, each as often as its probability says. Think of a line of length 1, cut into pieces as long as the probabilities. Throw a dart at it:

# %%
probs = torch.tensor([0.5, 0.3, 0.2])
dart = 0.61  # somewhere between 0 and 1
print("the pieces end at", probs.cumsum(0))
print("the dart at", dart, "sticks in piece", int((probs.cumsum(0) < dart).sum()))


# %% [markdown]
# `torch.multinomial(probs, num_samples=1)` throws such a dart for each row of `probs`. Its randomness comes from a *generator*. If you hand one in that was started with a known seed, the same text comes out every time, and that is how all random functions of this course work.

# %% [markdown]
# ### Exercise: sample (1 point)
#
# Draw one id for each row of logits.
#
# - `logits` is `[batch, vocab]`, and the result `[batch]`; or `[vocab]`, and the result a single id (a tensor of shape `[]`).
# - An id is drawn with the probability that softmax gives it. A logit of `-inf` is never drawn.
# - The randomness comes from `generator` and from nowhere else. Each row draws for itself.
#
# ```python
# sample(torch.tensor([[0.0, 9.0], [9.0, 0.0]]), torch.Generator().manual_seed(0))
# # almost always tensor([1, 0])
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# Two steps: probabilities, then the dart. `softmax` is imported; it wants to know the axis.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# Softmax along the last axis. `torch.multinomial` with one sample and your generator. It returns `[batch, 1]`: take the last axis off.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `torch.multinomial(softmax(...), num_samples=1, generator=...).squeeze(-1)`
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "decoding-sample", "locked": false, "schema_version": 3, "solution": true, "task": false}
@check_shapes
def sample(
    logits: Float[Tensor, "*batch vocab"], generator: torch.Generator | None = None
) -> Int64[Tensor, "*batch"]:
    """Draw one id for each row, with the probabilities softmax(logits). [..., vocab] -> [...].

    >>> sample(torch.tensor([-torch.inf, 0.0]), torch.Generator())
    tensor(1)
    """
    if not (logits > float("-inf")).any(dim=-1).all():
        raise ValueError("logits must leave at least one token possible in each row, got none")

    ### BEGIN SOLUTION
    probs = softmax(logits, dim=-1)
    return torch.multinomial(probs, num_samples=1, generator=generator).squeeze(-1)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-decoding-sample", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
check("decoding.sample", sample)
### BEGIN HIDDEN TESTS
check("decoding.sample", sample, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# Twelve people are asked for their favourite animal. (A token may be the beginning of a longer word.)

# %% tags=["experiment"]
generator = torch.Generator().manual_seed(1)
drawn = sample(logits.expand(12, -1), generator)
print([tokenizer.decode([id]) for id in drawn.tolist()])

# %% [markdown]
# ## 2. Temperature
#
# **Dividing all logits by a number sharpens or flattens the distribution, and never changes the order.** The number is called *temperature*, as in physics. By hand, with two logits that are 2 apart: their probabilities stand as $e^2 \approx 7.4$ to 1. Divided by 2, they are 1 apart, and stand as $e^1 \approx 2.7$ to 1.

# %%
two = torch.tensor([2.0, 0.0])
for temperature in (0.5, 1.0, 2.0):
    p = softmax(two / temperature, 0)
    print(f"temperature {temperature}: {p[0]:.3f} and {p[1]:.3f}, ratio {p[0] / p[1]:.1f}")


# %% [markdown]
# A function that changes logits before a token is drawn is called a *filter* here (`transformers` says *logits processor*). Every filter of this notebook takes logits and returns logits, `[vocab]` or `[batch, vocab]`, and leaves its argument alone. So filters can be put one behind the other. What a filter rules out gets the logit `-inf`, whose probability is $e^{-\infty} = 0$; and what is `-inf` stays so.

# %% [markdown]
# ### Exercise: apply_temperature (1 point)
#
# - Return the logits divided by `temperature`.
# - A temperature of 0 is an error, as is a negative one: the lines that are given see to it. (Towards 0 all probability goes to the best token, so "temperature 0" means greedy where it is offered.)
#
# ```python
# apply_temperature(torch.tensor([2.0, 0.0]), 0.5)
# # tensor([4., 0.])
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# Logits in, logits out: no softmax.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# One operation on the whole tensor.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# A new tensor (`/`), not a change in place (`/=`).
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "decoding-apply_temperature", "locked": false, "schema_version": 3, "solution": true, "task": false}
@check_shapes
def apply_temperature(
    logits: Float[Tensor, "*batch vocab"], temperature: float
) -> Float[Tensor, "*batch vocab"]:
    """Logits divided by a temperature, [..., vocab].

    >>> apply_temperature(torch.tensor([2.0, -1.0]), 2.0)
    tensor([1.0000, -0.5000])
    """
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature must be positive and finite, got {temperature}")

    ### BEGIN SOLUTION
    return logits / temperature
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-decoding-apply_temperature", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
check("decoding.apply_temperature", apply_temperature)
### BEGIN HIDDEN TESTS
check("decoding.apply_temperature", apply_temperature, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **Claim: a higher temperature means more randomness.** To test it we need a number for randomness: the *entropy* $-\sum p \log p$, which is 0 when one token is certain and largest when all are equally likely. It is measured in *nats*, the unit that goes with the natural logarithm.

# %% tags=["experiment"]
PROMPTS = ["The capital of France is", PROMPT, "I think that"]
temperatures = [0.1, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0]
entropy, top, rises, stays = {}, {}, True, True
for prompt in PROMPTS:
    row = next_logits(prompt).double()
    p = [softmax(apply_temperature(row, temperature), 0) for temperature in temperatures]
    entropy[prompt] = [-(q * q.clamp(min=1e-300).log()).sum().item() for q in p]
    top[prompt] = [q.max().item() for q in p]
    rises &= entropy[prompt] == sorted(entropy[prompt])
    stays &= all(q.argmax() == row.argmax() for q in p)
print("entropy rises with every step of the temperature, for every prompt:", rises)
print("the best token stays the best at every temperature:                ", stays)
print(f"the largest possible entropy: log({len(row)}) = {math.log(len(row)):.1f} nats")
plots.temperature_chart(temperatures, entropy, top)


# %% [markdown]
# **Measured:** yes. The entropy rises with the temperature and the best token never changes, so greedy gives the same text at every temperature. How much randomness there is at one temperature depends on the prompt: the model is sure of Paris, and far from sure of your favourite animal.
#
# Look at the right end. There the best token has next to nothing, and no other has much either: nearly all the probability lies with tens of thousands of tokens, each of them unlikely and wrong. This *tail* is why temperature alone is not enough.

# %% [markdown]
# ## 3. Cutting the tail: top-k and top-p
#
# **Top-k keeps the k best tokens.** The rest gets `-inf`, and softmax shares out their probability among those that stay.
#
# "Exactly k" needs one more word when logits are equal. Which of them stays? In this course the one with the lower id. (`transformers` keeps everything that equals the k-th logit, so more than k may stay.)

# %% [markdown]
# ### Exercise: top_k_filter (2 points)
#
# - Keep the `k` highest logits of each row, in their places; all others become `-inf`.
# - Exactly `k` stay; among equal logits those with the lower ids.
# - A `k` above the vocabulary keeps everything. A `k` below 1 is an error.
#
# ```python
# top_k_filter(torch.tensor([1.0, 5.0, 3.0, 3.0]), 2)
# # tensor([-inf, 5., 3., -inf])
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# If you know *which ids* stay, you are nearly done. Sorting tells: `argsort` returns the ids in order. With `stable=True` equal numbers keep their order, so lower ids come first. (Then torch wants the axis by its name, `dim=-1`.)
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# The ids, best first. A boolean mask, False everywhere, set to True at the first k of these ids in each row: `scatter` along the last axis does this for all rows at once. Then `masked_fill` where the mask is *not* True.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `order = logits.argsort(dim=-1, descending=True, stable=True)`, then `keep = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, order[..., :k], True)`. A slice beyond the end is no error, so a large k needs no case of its own.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "decoding-top_k_filter", "locked": false, "schema_version": 3, "solution": true, "task": false}
@check_shapes
def top_k_filter(logits: Float[Tensor, "*batch vocab"], k: int) -> Float[Tensor, "*batch vocab"]:
    """The k highest logits of each row; all others become -inf. [..., vocab].

    >>> top_k_filter(torch.tensor([0.0, 2.0, 1.0]), 2)
    tensor([-inf, 2., 1.])
    """
    if not isinstance(k, int):
        raise TypeError(f"k must be an int, got {k!r}")
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")

    ### BEGIN SOLUTION
    order = logits.argsort(dim=-1, descending=True, stable=True)  # ids, best first
    keep = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, order[..., :k], True)
    return logits.masked_fill(~keep, float("-inf"))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-decoding-top_k_filter", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("decoding.top_k_filter", top_k_filter)
### BEGIN HIDDEN TESTS
check("decoding.top_k_filter", top_k_filter, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# One k does not fit all. After "The capital of France is" two tokens may be too many; after "My favourite animal is the" forty may be too few. **Top-p lets the model decide how many: it keeps the smallest set of most likely tokens whose probability reaches p** (Holtzman and others 2020, who call the set the *nucleus*). With probabilities 0.5, 0.3, 0.15, 0.05 and p = 0.7:

# %%
p = torch.tensor([0.5, 0.3, 0.15, 0.05])
print("added up:                  ", p.cumsum(0))
print("what was there before each:", p.cumsum(0) - p)


# %% [markdown]
# The first token brings 0.5, which is less than 0.7. The second brings the sum to 0.8: p is reached, and we stop. The set has two tokens and probability 0.8.
#
# **Claim, found in many study notes: "top-p picks tokens until their sum stays *below* p."** Then the second token would be out, because 0.8 is above 0.7. And with p = 0.4 nothing at all would be left. The rule is the other way round: the token that *crosses* p belongs to the set, so a token stays as long as those **before** it have not reached p. At least one always stays.

# %% [markdown]
# ### Exercise: top_p_filter (3 points)
#
# - Keep the smallest set of most likely tokens whose probability reaches `p`, in their places; all others become `-inf`.
# - `p = 0` keeps one token, `p = 1` keeps all. (At `p = 1` beware of rounding: a sum of floats can reach 1 before the last token.)
# - Among equal logits, lower ids come first. A `p` outside 0 ... 1 is an error.
#
# ```python
# top_p_filter(torch.tensor([0.15, 0.5, 0.05, 0.3]).log(), 0.7)
# # the second and the fourth stay: tensor([-inf, -0.6931, -inf, -1.2040])
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# Sort, softmax, `cumsum`. A token's fate hangs on the sum *before* it. That is the `cumsum`, one place further on.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# Sort the logits downwards and keep both the values and the order (`sort` returns both). Cumulate their softmax. Make a mask for the *sorted* tokens: the first is True; token i is True where the sum up to token i - 1 is below p, or where p is 1. Now bring the mask back to the order of the ids: `scatter` puts entry i of it where `order[i]` says.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `ordered, order = logits.sort(dim=-1, descending=True, stable=True)`, `reached = softmax(ordered, dim=-1).cumsum(dim=-1)`. `keep = torch.ones_like(logits, dtype=torch.bool)`, `keep[..., 1:] = (reached[..., :-1] < p) | ...`. Back: `torch.empty_like(keep).scatter(-1, order, keep)`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "decoding-top_p_filter", "locked": false, "schema_version": 3, "solution": true, "task": false}
@check_shapes
def top_p_filter(logits: Float[Tensor, "*batch vocab"], p: float) -> Float[Tensor, "*batch vocab"]:
    """The smallest set of most likely tokens whose probability reaches p; others become -inf.

    >>> top_p_filter(torch.tensor([0.0, 9.0, 0.0]), 0.9)
    tensor([-inf, 9., -inf])
    """
    if not 0 <= p <= 1:
        raise ValueError(f"p must lie in 0 ... 1, got {p}")

    ### BEGIN SOLUTION
    ordered, order = logits.sort(dim=-1, descending=True, stable=True)
    reached = softmax(ordered, dim=-1).cumsum(dim=-1)  # probability up to and with each token
    keep = torch.ones_like(logits, dtype=torch.bool)
    keep[..., 1:] = (reached[..., :-1] < p) | (p == 1)  # those before have not reached p yet
    keep = torch.empty_like(keep).scatter(-1, order, keep)  # back to the order of the ids
    return logits.masked_fill(~keep, float("-inf"))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-decoding-top_p_filter", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check("decoding.top_p_filter", top_p_filter)
### BEGIN HIDDEN TESTS
check("decoding.top_p_filter", top_p_filter, hidden=True)
### END HIDDEN TESTS

# %% tags=["experiment"]
reaches, smallest = True, True
print(f"{'tokens that stay':26}" + "".join(f"{f'p = {p}':>14}" for p in (0.5, 0.9, 0.99)))
for prompt in PROMPTS:
    row, line = next_logits(prompt).double(), f"{prompt:26}"
    for p in (0.5, 0.9, 0.99):
        kept = softmax(row, 0)[top_p_filter(row, p) > -torch.inf]
        reaches &= kept.sum().item() >= p - 1e-9
        smallest &= (kept.sum() - kept.min()).item() < p
        line += f"{len(kept) if len(kept) < 100 else f'about {round(len(kept), -2)}':>14}"
    print(line)
print("every set reaches p:", reaches, "   and without its last token it would not:", smallest)

# %% [markdown]
# **Measured:** the set reaches p, and would not without its least likely token. "Picks below p" is wrong. And the set breathes: it is small where the model is sure, and large where it is not. (Large sets are given to the nearest hundred: whether the last of these tokens stay hangs on how your processor rounds.)
#
# Here is the same distribution through four filters. The frames show the model's own probabilities; a cross marks what is out:

# %% tags=["experiment"]
shown = logits.argsort(descending=True)[:14]
names = [tokenizer.decode([id]) for id in shown.tolist()]
panels = {
    "temperature 0.5": apply_temperature(logits, 0.5),
    "temperature 2": apply_temperature(logits, 2.0),
    "top-k 5": top_k_filter(logits, 5),
    "top-p 0.7": top_p_filter(logits, 0.7),
}
panels = {title: softmax(row, 0)[shown] for title, row in panels.items()}
plots.filter_chart(names, softmax(logits, 0)[shown], panels)


# %% [markdown]
# Play with them. The sliders work in a live notebook (the figure above stands in for them on a web page): temperature first, then top-k, then top-p. Watch two things. Turn the temperature up to 2 and see how few of 300 draws are animals; then bring p down. Then write a prompt whose end the model is sure of, such as "The capital of France is", and see what p does there.

# %% tags=["experiment", "nbval-ignore-output"]
def explore(prompt, temperature, k, p):
    row = next_logits(prompt)
    shown = row.argsort(descending=True)[:14]
    filtered = top_p_filter(top_k_filter(apply_temperature(row, temperature), k), p)
    drawn = sample(filtered.expand(300, -1), torch.Generator().manual_seed(0)).tolist()
    often = Counter(tokenizer.decode([id]) for id in drawn).most_common(8)
    stay = int((filtered > -torch.inf).sum())
    print(f"{stay} tokens stay; 300 draws give {len(set(drawn))} different ones, most often")
    print("  ".join(f"{token!r} {count}" for token, count in often))
    title = f"temperature {temperature:g}, k {k}, p {p:g}"
    names = [tokenizer.decode([id]) for id in shown.tolist()]
    return plots.filter_chart(names, softmax(row, 0)[shown], {title: softmax(filtered, 0)[shown]})


interact(
    explore,
    prompt=Text(PROMPT, continuous_update=False, layout=Layout(width="40em")),
    temperature=FloatSlider(1.0, min=0.1, max=3.0, step=0.1, continuous_update=False),
    k=IntSlider(1000, min=1, max=1000, continuous_update=False),
    p=FloatSlider(0.9, min=0.0, max=1.0, step=0.05, continuous_update=False),
);


# %% [markdown]
# ## 4. A penalty for repetition
#
# **A text that repeats itself can be pushed away from tokens it has used.** The recipe of Keskar and others (2019) is to make the logits of such tokens smaller by a factor, the *penalty*, of about 1.2. Their formula divides the logit. For a positive logit that lowers it: 3 / 1.2 = 2.5. For a negative one it does the opposite: -3 / 1.2 = -2.5 is *higher*. So the libraries divide positive logits and multiply negative ones, and so do we.

# %% [markdown]
# ### Exercise: repetition_penalty (2 points)
#
# - `logits` is `[vocab]` and `ids` is `[time]`, the text so far; or both with a batch in front, each row with its own text.
# - For each id that occurs in `ids`: divide its logit by `penalty` if it is positive, multiply it if it is negative. Once, however often the id occurs.
#
# ```python
# repetition_penalty(torch.tensor([3.0, -3.0, 1.0]), torch.tensor([0, 1, 1]), 2.0)
# # tensor([1.5, -6., 1.])
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# Do not loop over `ids`. First find out which tokens are present, as a mask over the vocabulary.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# The mask by `scatter`, as in `top_k_filter`. The lowered logits of *all* tokens by `torch.where`. Then choose between lowered and original, again by `torch.where`.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `present = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, ids, True)`, `lower = torch.where(logits > 0, logits / penalty, ...)`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "decoding-repetition_penalty", "locked": false, "schema_version": 3, "solution": true, "task": false}
@check_shapes
def repetition_penalty(
    logits: Float[Tensor, "*batch vocab"], ids: Int64[Tensor, "*batch time"], penalty: float
) -> Float[Tensor, "*batch vocab"]:
    """Lower the logits of tokens that are in the text already. [..., vocab].

    >>> repetition_penalty(torch.tensor([4.0, -4.0, 4.0]), torch.tensor([0, 1]), 2.0)
    tensor([2., -8., 4.])
    """
    vocab = logits.shape[-1]
    if not 0 < penalty < math.inf:
        raise ValueError(f"penalty must be positive and finite, got {penalty}")
    if ((ids < 0) | (ids >= vocab)).any():
        raise ValueError(f"ids must lie in 0 ... {vocab - 1}, got {ids.min()} ... {ids.max()}")

    ### BEGIN SOLUTION
    present = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, ids, True)
    lower = torch.where(logits > 0, logits / penalty, logits * penalty)
    return torch.where(present, lower, logits)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-decoding-repetition_penalty", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("decoding.repetition_penalty", repetition_penalty)
### BEGIN HIDDEN TESTS
check("decoding.repetition_penalty", repetition_penalty, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# ### What would break?
#
# Adding a number to all logits changes no probability: softmax does not notice. The other filters do not notice either. This one does:

# %%
row, text = torch.tensor([2.0, 1.0]), torch.tensor([0])
for moved in (0.0, 5.0, -5.0):
    p = softmax(repetition_penalty(row + moved, text, 1.5), 0)
    print(f"logits {(row + moved).tolist()}: token 0 has {p[0]:.2f} after the penalty")

# %% [markdown]
# The three rows are the same distribution, and get three different penalties: the recipe depends on where the model happens to put its zero. It is a rule of thumb. It works on trained models, in small doses.
#
# ### The order of filters, and where libraries differ
#
# Filters are applied in this order: **repetition penalty, temperature, top-k, top-p**. The order matters: top-p after a high temperature meets a flat distribution and keeps many tokens, before it only a few. `transformers` (version 5) has the same order. On most inputs its numbers equal ours, and the tests of this course compare them. Where they do not:
#
# | | here | `transformers` |
# |---|---|---|
# | equal logits at the edge of top-k | exactly k stay, lower ids first | all that equal the k-th stay |
# | the token that crosses p | stays | stays |
# | top-p with p = 1 | all stay | called directly, drops tokens whose probability a float rounds to 0 |
# | at least so many stay | one | one, or `min_tokens_to_keep` |
# | temperature 0 | an error | an error; greedy is `do_sample=False` |
# | repetition penalty in a padded batch | padding does not count as text | the padding token counts as said |
# | repetition penalty in beam search | up to you | applied to log-probabilities, all of which are negative |
# | a shortest answer | a filter of two lines that rules out the stop ids | `min_new_tokens` |
# | top-k, top-p when greedy | applied; they never change the best token | not applied |

# %% [markdown]
# ## 5. Writing many texts at once
#
# **Generating is a loop: logits, filters, a token, append, again.** Three things make it worth a closer look.
#
# *Different lengths.* A batch is a rectangle, so shorter prompts are padded. They must be padded on the **left**: the next token is read off at the last column, and there a real token has to stand. The *attention mask* says which places are tokens (1) and which are padding (0).

# %%
ids, attention_mask = pad_left([[11, 12, 13, 14], [21, 22]])
print(ids)
print(attention_mask)


# %% [markdown]
# *Different ends.* A *stop id* ends a text. When one row has met it, the others go on.
#
# *Patience.* Nobody wants to wait for the last token to see the first. Python's *generator functions* are made for this: where an ordinary function returns once, they `yield` one value after another, and stand still in between until somebody asks for the next.

# %%
def countdown(n):
    while n > 0:
        yield n
        n -= 1


for number in countdown(3):  # runs until the function ends
    print(number)


# %% [markdown]
# (Two things are called "generator" in this notebook: such a function's result, and torch's source of random numbers. The argument `generator` is always the second.)
#
# Recall `decode_step` from notebook 06. `decode_step(model, ids, cache, attention_mask)` reads *new* ids and returns the logits after the last of them, `[batch, vocab]`, and a *cache* with the keys and values of all tokens so far. The first call reads the whole prompt, with `cache=None`. Each later call reads one token a row, with the cache of the call before.

# %% [markdown]
# ### Exercise: stream_tokens (4 points)
#
# Continue a batch of texts and `yield` the new tokens, step by step.
#
# - At each step, yield a list with one entry a row: the new id (a Python `int`), or `None` for a row that has ended. A row ends with the first of `stop_ids` that it *writes*; the stop id itself is handed out.
# - Stop after `max_new_tokens` steps, or when every row has ended.
# - Before a token is chosen, the filters are applied: `apply_filters(logits, filters, texts)` is given. It calls them in order. `texts` is a list of the rows' ids so far, prompt included and **without padding**, for filters that look at the text.
# - With a `generator`, tokens are drawn from it by `sample`, for the whole batch at once; without one, the best token is taken.
# - With `use_cache`, use `decode_step`. Without, call `model(ids, attention_mask)` with the whole text, which gives `[batch, time, vocab]`.
# - The model records no gradients (`torch.no_grad()`), but whoever reads your tokens may want some: see to it that the `yield` stands outside.
#
# ```python
# for step in stream_tokens(model, ids, max_new_tokens=3):
#     print(step)  # such as [7, 3], then [5, 2], then [9, None]
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# Write it for one text without cache first: call the model, take the best token, yield it, append it to `ids`. Then let it be a batch: append a 1 to every row of the mask as well, and remember in a list of booleans which rows are still running. A row that has ended is carried along; what the model writes there, nobody sees.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# Keep `unread` and `unread_mask`: the ids the model has not read yet and their mask. At first that is the whole prompt; later the newest token, `[batch, 1]`, and ones. In each step: logits (by one of the two ways); `texts`; filters; `chosen`, `[batch]`; yield; update `running`; return if nobody runs; append.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `texts = [row[seen] for row, seen in zip(ids, attention_mask.bool())]`.
#
# `yield [id if runs else None for id, runs in zip(chosen.tolist(), running)]`, then `running = [runs and id not in stop_ids for id, runs in zip(chosen.tolist(), running)]`.
#
# `unread, unread_mask = chosen[:, None], torch.ones_like(attention_mask[:, :1])`, and `torch.cat` both to what is there, along `dim=1`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "decoding-stream_tokens", "locked": false, "schema_version": 3, "solution": true, "task": false}
@check_shapes
def stream_tokens(
    model: DecoderLM,
    ids: Int64[Tensor, "batch time"],
    *,
    max_new_tokens: int,
    attention_mask: Shaped[Tensor, "batch time"] | None = None,
    stop_ids: Collection[int] = (),
    filters: Sequence[Filter] = (),
    generator: torch.Generator | None = None,
    use_cache: bool = True,
) -> Iterator[list[int | None]]:
    """Continue a batch of texts, handing out the tokens as they come: a list for each step.

    Two texts, of which the second meets a stop id, may give [7, 3], [5, 2], [9, None].
    """
    if max_new_tokens < 0:
        raise ValueError(f"max_new_tokens must not be negative, got {max_new_tokens}")
    if attention_mask is None:
        attention_mask = torch.ones_like(ids)
    if not attention_mask[:, -1].all():
        raise ValueError("attention_mask must end with a token in each row: pad on the left")

    ### BEGIN SOLUTION
    running = [True] * len(ids)
    unread, unread_mask, cache = ids, attention_mask, None
    for _ in range(max_new_tokens):
        with torch.no_grad():  # not around the yield: what the caller does there is not ours
            if use_cache:
                logits, cache = decode_step(model, unread, cache, unread_mask)
            else:
                logits = model(ids, attention_mask)[:, -1]  # [batch, vocab]
        texts = [row[seen] for row, seen in zip(ids, attention_mask.bool())]  # without padding
        logits = apply_filters(logits, filters, texts)
        chosen = logits.argmax(-1) if generator is None else sample(logits, generator)  # [batch]

        yield [id if runs else None for id, runs in zip(chosen.tolist(), running)]
        running = [runs and id not in stop_ids for id, runs in zip(chosen.tolist(), running)]
        if not any(running):
            return
        # Rows that have ended are carried along; nobody sees what they go on to write.
        unread, unread_mask = chosen[:, None], torch.ones_like(attention_mask[:, :1])
        ids = torch.cat([ids, unread], dim=1)  # [batch, time + 1]
        attention_mask = torch.cat([attention_mask, unread_mask], dim=1)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-decoding-stream_tokens", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
check("decoding.stream_tokens", stream_tokens)
### BEGIN HIDDEN TESTS
check("decoding.stream_tokens", stream_tokens, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# ### From tokens to text, without breaking a character
#
# To show a stream, each token must become text at once. That has a trap. SmolLM2's tokens are made of bytes, and a character may need several: an emoji has four. For a common one they are one token; the strawberry's lie in three. Decode token by token, and this happens:

# %%
ids = tokenizer.encode("so nice 🙂 🍓")
print("token by token:", "".join(tokenizer.decode([id]) for id in ids))
print("stream_text:   ", "".join(stream_text(ids, tokenizer.vocab)))
print("its pieces:    ", list(stream_text(ids, tokenizer.vocab)))

# %% [markdown]
# A piece of a character is no character, so `tokenizer.decode` shows �. `stream_text` keeps bytes back until they make a whole one (Python's `codecs` has a decoder for that). Now your loop can talk. Between two pieces the bar `|` marks where the program could have shown something:

# %% tags=["experiment"]
prompt = "<|im_start|>user\nName three fruits.<|im_end|>\n<|im_start|>assistant\n"
END = tokenizer.special_tokens["<|im_end|>"]  # what this model ends its answers with
ids = torch.tensor([tokenizer.encode(prompt)])
steps = stream_tokens(model, ids, max_new_tokens=24, stop_ids={END})
tokens = (id for (id,) in steps)  # one text: one entry in each list
print("|".join(stream_text(tokens, tokenizer.vocab)))


# %% [markdown]
# ### Exercise: generate (2 points)
#
# Often one wants the whole text after all. Collect what `stream_tokens` hands out.
#
# - The arguments are those of `stream_tokens`; hand all of them on.
# - Return two lists with an entry for each row: its new ids, a list without any `None`, with the stop id if it wrote one; and why it ended: `"stop"` if it wrote a stop id, `"length"` if it had written `max_new_tokens`.
#
# ```python
# rows, reasons = generate(model, ids, max_new_tokens=20, stop_ids={2})
# # such as [[412, 88, 2], [29, ...]], ["stop", "length"]
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# The steps come as columns, and you want rows: one list for each text, to which each step appends. (`[[]] * n` makes n names for *one* list.)
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# Two loops, over the steps and over the rows. Append what is not `None`. Afterwards the last id of a row tells why it ended; a row may be empty.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `rows = [[] for _ in ids]`, then `for step in steps: for row, id in zip(rows, step): ...`. `reasons = ["stop" if row and row[-1] in stop_ids else ... for row in rows]`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "decoding-generate", "locked": false, "schema_version": 3, "solution": true, "task": false}
@check_shapes
def generate(
    model: DecoderLM,
    ids: Int64[Tensor, "batch time"],
    *,
    max_new_tokens: int,
    attention_mask: Shaped[Tensor, "batch time"] | None = None,
    stop_ids: Collection[int] = (),
    filters: Sequence[Filter] = (),
    generator: torch.Generator | None = None,
    use_cache: bool = True,
) -> tuple[list[list[int]], list[str]]:
    """Continue a batch of texts: the new ids of each row, and why each ended.

    Steps [7, 3], [5, 2], [9, None] give ([[7, 5, 9], [3, 2]], ["length", "stop"]).
    """
    ### BEGIN SOLUTION
    steps = stream_tokens(
        model,
        ids,
        max_new_tokens=max_new_tokens,
        attention_mask=attention_mask,
        stop_ids=stop_ids,
        filters=filters,
        generator=generator,
        use_cache=use_cache,
    )
    rows = [[] for _ in ids]
    for step in steps:
        for row, id in zip(rows, step, strict=True):
            if id is not None:
                row.append(id)
    reasons = ["stop" if row and row[-1] in stop_ids else "length" for row in rows]
    return rows, reasons
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-decoding-generate", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("decoding.generate", generate)
### BEGIN HIDDEN TESTS
check("decoding.generate", generate, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# Three prompts of different length in one batch, which stop at the first full stop:

# %% tags=["experiment"]
prompts = ["The capital of France is", "The sun rises in the", "Cats"]
ids, attention_mask = pad_left([tokenizer.encode(prompt) for prompt in prompts])
full_stop = {id for id, token in tokenizer.vocab.items() if token == b"."}
rows, reasons = generate(
    model, ids, max_new_tokens=12, attention_mask=attention_mask, stop_ids=full_stop
)
for prompt, row, reason in zip(prompts, rows, reasons):
    print(f"{reason:6} {len(row):2} tokens: {prompt}[{tokenizer.decode(row)}]")

# %% [markdown]
# ## 6. Greedy repeats itself
#
# **Claim: greedy decoding gets stuck in loops.** Let us count. A *4-gram* is four tokens in a row. We let SmolLM2 write on from four beginnings, and look which share of the 4-grams in each stretch of 20 tokens has stood in the same text before.
#
# All texts are written in one batch: four rows are greedy, four use top-p 0.9, four plain sampling. One filter can do that, as it sees the whole batch: top-k with k = 1 leaves only the best token, and drawing from one token is greedy. For comparison, the same count on prose by people: pages of Python's own reference manual.

# %% tags=["experiment", "nbval-ignore-output"]
BEGINNINGS = [
    "The best way to learn a language is",
    "In the middle of the night, the",
    "My favourite book is about",
    "The old man opened the door and",
]
WINDOW, N, LENGTH = 20, 4, 80


def a_way_for_each_row(logits):
    greedy, nucleus, plain = logits.chunk(3)
    return torch.cat([top_k_filter(greedy, 1), top_p_filter(nucleus, 0.9), plain])


ids, attention_mask = pad_left([tokenizer.encode(text) for text in BEGINNINGS * 3])
rows, _ = generate(
    model, ids, max_new_tokens=LENGTH, attention_mask=attention_mask,
    filters=[a_way_for_each_row], generator=torch.Generator().manual_seed(0),
)  # fmt: skip
texts = {"greedy": rows[:4], "top-p 0.9": rows[4:8], "plain sampling": rows[8:]}
manual = tokenizer.encode(python_reference_text()[20_000:24_000])
texts["people (a manual)"] = [manual[i * LENGTH : (i + 1) * LENGTH] for i in range(4)]


def show(title, beginning, row):
    text = f"{beginning}[{tokenizer.decode(row)}]"
    print(f"{title}:\n{textwrap.fill(text, 96, initial_indent='  ', subsequent_indent='  ')}\n")


for name in ("greedy", "top-p 0.9", "plain sampling"):
    show(name, BEGINNINGS[2], texts[name][2])


# %% tags=["experiment", "nbval-ignore-output"]
def repeats(row):
    """For each token, whether the N-gram that ends there has stood in the row before."""
    seen, found = set(), []
    for end in range(len(row)):
        gram = tuple(row[max(0, end + 1 - N) : end + 1])
        found.append(gram in seen and len(gram) == N)
        seen.add(gram)
    return found


repeated = {}
for name, rows in texts.items():
    found = torch.tensor([repeats(row) for row in rows]).float()  # [text, time]
    repeated[name] = found.reshape(len(rows), -1, WINDOW).mean(dim=(0, 2)).tolist()
    pairs = [list(zip(row, row[1:])) for row in rows]
    different = sum(len(set(some)) for some in pairs) / sum(len(some) for some in pairs)
    print(f"{name:18} repeats: {found.mean():.2f}   different pairs of tokens: {different:.2f}")
plots.repetition_chart(WINDOW, repeated, N)

# %% [markdown]
# **Measured:** the greedy texts repeat themselves, and more so the longer they get; sampled ones hardly do, and nor does the manual. (The texts are few and the model is small, so read the picture and not the decimals.)
#
# Why? A sentence that has been said makes itself more likely (Holtzman and others 2020, section 4, measured it): a transformer is good at continuing patterns, and "again" is a pattern. Under sampling the text falls out of the groove by chance. Greedy never does. So the claim "greedy is only good for short answers, because it repeats" has a true core, as far as this model goes.
#
# What does the penalty do about it? The best token again, with a penalty of 1.2:

# %% tags=["experiment", "nbval-ignore-output"]
ids, attention_mask = pad_left([tokenizer.encode(text) for text in BEGINNINGS])
rows, _ = generate(
    model, ids, max_new_tokens=40, attention_mask=attention_mask,
    filters=[partial(repetition_penalty, penalty=1.2)],
)  # fmt: skip
for name, some in (("greedy", texts["greedy"]), ("greedy with a penalty", rows)):
    found = torch.tensor([repeats(row[:40]) for row in some]).float()
    print(f"{name:22} repeats in the first 40 tokens: {found.mean():.2f}")
show("\ngreedy with a penalty", BEGINNINGS[2], rows[2])

# %% [markdown]
# No loop is left. What it says is another matter: the penalty also keeps the text from words it needs again.

# %% [markdown]
# ## 7. Variety against quality
#
# **The filters trade variety for quality.** To measure quality without asking anybody's taste, we need a question with many right answers that can be looked up. Here is one: *name a country in Africa*. Each setting answers 20 times. *Quality* is the share of answers that are a country in Africa; *variety* is the number of different right answers.

# %%
AFRICA = set(
    """Algeria, Angola, Benin, Botswana, Burkina Faso, Burundi, Cameroon, Cape Verde, Chad, Comoros,
    Congo, Djibouti, Egypt, Equatorial Guinea, Eritrea, Eswatini, Ethiopia, Gabon, Gambia, Ghana,
    Guinea, Guinea-Bissau, Ivory Coast, Kenya, Lesotho, Liberia, Libya, Madagascar, Malawi, Mali,
    Mauritania, Mauritius, Morocco, Mozambique, Namibia, Niger, Nigeria, Rwanda, Senegal,
    Seychelles, Sierra Leone, Somalia, South Africa, South Sudan, Sudan, Swaziland, Tanzania, Togo,
    Tunisia, Uganda, Zambia, Zimbabwe, Central African Republic, Democratic Republic of the Congo,
    Republic of the Congo, The Gambia""".replace("\n", " ").split(", ")
)
AFRICA = {" ".join(name.split()) for name in AFRICA}
QUESTION = "Q: Name a country in Africa.\nA:"
MARKS = (b".", b",", b";", b":", b"(", b"\n")
ends = {id for id, token in tokenizer.vocab.items() if token.lstrip(b" ").startswith(MARKS)} | {END}


def ask(*filters, answers=20):
    """(number of different right answers, share of right ones, the answers)."""
    ids = torch.tensor([tokenizer.encode(QUESTION)] * answers)
    rows, _ = generate(
        model, ids, max_new_tokens=6, stop_ids=ends, filters=filters,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    said = [tokenizer.decode([id for id in row if id not in ends]).strip() for row in rows]
    right = [answer for answer in said if answer in AFRICA]
    return len(set(right)), len(right) / answers, said


# %% tags=["experiment", "nbval-ignore-output"]
def at(temperature):
    return partial(apply_temperature, temperature=temperature)


settings = {
    "temperature alone": {f"T {t}": [at(t)] for t in (0.2, 0.6, 1.0, 1.5)},
    "temperature 1.5, then top-p": {
        f"p {p}": [at(1.5), partial(top_p_filter, p=p)] for p in (0.2, 0.4, 0.6)
    },
}
trade = {}
for family, choices in settings.items():
    trade[family] = []
    for label, filters in choices.items():
        different, share, said = ask(*filters)
        trade[family].append((label, different, share))
        print(f"{label:6} right {share:.2f}, different right ones {different:2}; {said[:4]}")
plots.trade_chart(trade, "different right answers in 20", "share of answers that are right")


# %% [markdown]
# Read the line for the temperature from its cold end. At first, more heat brings more variety at little cost. Then quality falls. At last variety falls as well, because wrong answers crowd out the right ones: noise is not variety. Cutting the tail off with top-p brings the hot model back, with more variety than it had when cold: there is heat among the good tokens, and the bad ones are out. (20 answers a point: a share of one half is uncertain by about 0.11. Neighbouring points may change places with another seed.)
#
# Neither end is "the right setting". For a fact you want the left, for twenty names for a cat the middle.

# %% [markdown]
# ## 8. Looking further ahead: beam search
#
# **Greedy takes the best token at each step. That is not the most probable text.** A tiny language shows why. From the start, *the* has probability 0.6 and *a* has 0.4. After *the* nothing is likely; after *a*, one word is nearly certain:
#
# | text | probability |
# |---|---|
# | the cat | 0.6 · 0.35 = 0.21 |
# | the dog | 0.6 · 0.33 = 0.20 |
# | a bird | 0.4 · 0.90 = **0.36** |
#
# Greedy says *the cat*. *Beam search* follows several beginnings at once. Its *width* is how many. At each step every beginning is extended by every token, and of all these the `width` most probable stay.
#
# How are texts of different length compared? Each token multiplies the probability by a number below 1, so a sum of log-probabilities falls with every token, and short texts win. The *length penalty* $\alpha$ divides: score = sum / (number of generated tokens)$^\alpha$. With 0 it is the sum; with 1 the mean.

# %% [markdown]
# ### Exercise: beam_search (4 points)
#
# - `log_prob_fn(ids)` takes the list of all ids so far and returns the log-probability of each next token, `[vocab]`. `start` is a list of ids.
# - Begin with `start` alone. While a beginning is left and has fewer than `max_length` ids (with `start`): extend every beginning by every token, and keep the `width` extensions with the highest *sum* of log-probabilities (all, if there are fewer). Those that end with `end_id` leave the beam and are remembered; the others are the beginnings of the next step. (At the next step there are `width` places again.)
# - Return the best hypothesis of all, ended or cut off, as (ids with `start` and `end_id`, score). The score is the sum divided by the number of generated tokens to the power `length_penalty`. With no room for a token, return `start` and 0.0.
# - With `width=1` this is greedy.
#
# ```python
# table = torch.tensor([[1.0, 0, 0, 0], [0, 0, 0.6, 0.4], [0.35, 0.3, 0.2, 0.15], [0.9, 0.1, 0, 0]]).log()
# beam_search(lambda ids: table[ids[-1]], [1], 2, 4, 0, 0.0)
# # ([1, 3, 0], -1.0217)       0.4 * 0.9 = 0.36
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# Keep the beam as a list of pairs (ids, sum). What are *all* extensions of the beam? A matrix of sums, `[beam, vocab]`: each beginning's sum plus its log-probabilities.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# Stack these rows, `flatten()`, `sort` downwards. Place i of the flat tensor belongs to beginning `i // vocab` and token `i % vocab`. Make new pairs of the first `width`. Two list comprehensions part those that end with `end_id` from the rest. When the loop is over, take the `max` of all that ended and all that are still in the beam, by their score.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `beam, ended = [(list(start), 0.0)], []`; `while beam and len(beam[0][0]) < max_length:`; `totals = torch.stack([total + log_prob_fn(list(ids)) for ids, total in beam])`; `best = totals.flatten().sort(descending=True, stable=True)`; then `best.values[:width].tolist()` and `best.indices[:width].tolist()`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "decoding-beam_search", "locked": false, "schema_version": 3, "solution": true, "task": false}
def beam_search(
    log_prob_fn: Callable[[list[int]], Float[Tensor, "vocab"]],
    start: list[int],
    width: int,
    max_length: int,
    end_id: int,
    length_penalty: float,
) -> tuple[list[int], float]:
    """Look for a text of high probability, following the `width` best beginnings at once.

    >>> beam_search(lambda ids: torch.tensor([0.1, 0.9]).log(), [1], 2, 3, 0, 0.0)
    ([1, 1, 1], -0.21...)
    """
    if width < 1:
        raise ValueError(f"width must be at least 1, got {width}")
    if len(start) > max_length:
        raise ValueError(f"start must have at most max_length={max_length} ids, got {len(start)}")

    ### BEGIN SOLUTION
    def score(ids: list[int], total: float) -> float:
        return total / max(1, len(ids) - len(start)) ** length_penalty

    beam, ended = [(list(start), 0.0)], []  # (ids, sum of log-probabilities)
    while beam and len(beam[0][0]) < max_length:
        totals = torch.stack([total + log_prob_fn(list(ids)) for ids, total in beam])
        vocab = totals.shape[1]
        best = totals.flatten().sort(descending=True, stable=True)  # [beam * vocab]
        extended = [
            (beam[place // vocab][0] + [place % vocab], total)
            for total, place in zip(best.values[:width].tolist(), best.indices[:width].tolist())
        ]
        ended += [(ids, total) for ids, total in extended if ids[-1] == end_id]
        beam = [(ids, total) for ids, total in extended if ids[-1] != end_id]

    ids, total = max(ended + beam, key=lambda hypothesis: score(*hypothesis))
    return ids, score(ids, total)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-decoding-beam_search", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
check("decoding.beam_search", beam_search)
### BEGIN HIDDEN TESTS
check("decoding.beam_search", beam_search, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# Here is the language of the table above with your function, for two widths:

# %%
words = ["(end)", "(start)", "the", "a", "cat", "dog", "bird"]
table = torch.zeros(7, 7)
table[1, 2], table[1, 3] = 0.6, 0.4
table[2, 4:] = torch.tensor([0.35, 0.33, 0.32])
table[3, 4:] = torch.tensor([0.05, 0.05, 0.9])
table[4:, 0] = 1.0
for width in (1, 2):
    ids, log_prob = beam_search(lambda ids: table[ids[-1]].log(), [1], width, 4, 0, 0.0)
    text = " ".join(words[id] for id in ids[1:-1])
    print(f"width {width}: {text:8} probability {math.exp(log_prob):.2f}")

# %% [markdown]
# **Claim: the greedy text is not the most probable one.** Let SmolLM2 finish two sentences, with a full stop as the end, at most 8 tokens, and no length penalty. `log_probs_of(model)` is a ready `log_prob_fn`: it keeps the caches of what it has read, so that each call costs one token.

# %% tags=["experiment"]
(stop,) = full_stop
widths = [1, 2, 4]
log_probs, lengths = {}, {}
for prompt in ("The cat sat on", "The sky is"):
    start, ask_model = tokenizer.encode(prompt), log_probs_of(model)
    log_probs[prompt], lengths[prompt] = [], []
    for width in widths:
        ids, total = beam_search(ask_model, start, width, len(start) + 8, stop, 0.0)
        log_probs[prompt].append(total)
        lengths[prompt].append(len(ids) - len(start))
        print(f"width {width}, log-probability {total:6.1f}: {tokenizer.decode(ids)}")
plots.beam_chart(widths, log_probs, lengths)

# %% [markdown]
# **Measured:** wider beams find texts that are many times more probable than the greedy one (a difference of 2.3 nats is a factor of 10). So greedy is not the most probable text, and by far.
#
# But look at what was found. The wide beams found *short* texts, because every further token costs. Is more probable better? In translation people noticed that very wide beams translate worse, and that the most probable translation of all is often the empty one (Stahlberg and Byrne 2019). People do not write the most probable text either. Let us compare the mean log-probability of a token, as the model sees it, in its own greedy texts of section 6 and in the manual:

# %% tags=["experiment", "nbval-ignore-output"]
for name in ("greedy", "plain sampling", "people (a manual)"):
    written = torch.tensor(texts[name])  # [text, time]
    with torch.no_grad():
        log_p = model(written)[:, :-1].log_softmax(-1)
    per_token = log_p.gather(-1, written[:, 1:, None]).mean()
    print(f"{name:18} {per_token:.1f} nats per token")

# %% [markdown]
# The greedy texts are what the model finds most natural; people surprise it far more, sentence after sentence, and texts sampled from it come closer to people's. Aiming at the highest probability means aiming away from how people write. (For tasks with one right answer, such as translation or speech, beam search with a small width does help, and that is where it is used.)
#
# There is a second sense in which a wider beam can be worse: it may find a *less probable* text than a narrow one. Beam search keeps what looks good now, and in a wider beam, better-looking company can push out the very beginning that would have won. SmolLM2 does this as well. The next beginning was picked because it shows it, after trying eight; here every text gets seven tokens, and no end counts:

# %% tags=["experiment"]
start, ask_model = tokenizer.encode("When I was a child, I"), log_probs_of(model)
for width in (1, 2, 3):
    ids, total = beam_search(ask_model, start, width, len(start) + 7, -1, 0.0)
    print(f"width {width}, log-probability {total:5.1f}: {tokenizer.decode(ids)}")

# %% [markdown]
# **Measured:** width 2 ends with a less probable text than greedy does. How often does such a thing happen? On small random languages it can be counted. Here are 500, of ten tokens each, with texts of seven new tokens:

# %% tags=["experiment"]
generator = torch.Generator().manual_seed(0)
LANGUAGES, better, worse = 500, 0, 0
for _ in range(LANGUAGES):
    after = torch.randn(10, 10, generator=generator).log_softmax(-1)  # what follows each token
    greedy, wider = (
        beam_search(lambda ids: after[ids[-1]], [1], width, 8, -1, 0.0)[1]  # noqa: B023
        for width in (1, 2)
    )
    better += wider > greedy + 1e-6
    worse += wider < greedy - 1e-6
print(f"width 2 finds a more probable text than greedy in {better} of {LANGUAGES} languages,")
print(f"the same in {LANGUAGES - better - worse}, and a less probable one in {worse}.")


# %% [markdown]
# Most of the time wider is better or equal, as one would hope. Not always.

# %% [markdown]
# ## 9. The same text, faster: speculative sampling
#
# **A small model drafts a few tokens, the large one checks them all in a single call, and what comes out is distributed exactly as if the large one had written it alone** (Leviathan and others 2023; Chen and others 2023).
#
# Why is that faster? A large model takes nearly as long for one token as for five: what takes time is fetching its weights from memory, and that is done once a call. The draft costs little. If the large model, the *target*, agrees with it often, there are fewer calls for the same text.
#
# The beautiful part is the rule of agreement. Let the draft have drawn token $x$ with probability $q(x)$, and let the target's probability be $p(x)$.
#
# - Where $p(x) \ge q(x)$, the draft says $x$ too seldom: accept.
# - Where $p(x) < q(x)$, it says $x$ too often: accept with probability $p(x) / q(x)$. So $x$ comes out with probability $q(x) \cdot p(x) / q(x) = p(x)$, as it should.
# - After a rejection, make up for what came too seldom: draw from $\max(0,\, p - q)$, scaled to sum to 1. The rest of the draft is dropped, since it followed a token that is gone.
# - If all are accepted, the target has scored one more place already: draw one token more from it, for free.
#
# By hand: $q = (0.5, 0.5)$ and $p = (0.8, 0.2)$. Token 0 comes half the time and is accepted. Token 1 comes half the time; it is accepted with probability 0.2 / 0.5 = 0.4, which makes 0.2 in all, and else, in 0.3 of all cases, replaced by token 0. Sum: 0.8 and 0.2.

# %% [markdown]
# ### Exercise: speculative_accept (3 points)
#
# - `tokens` `[n]` is the draft, and `draft_probs` `[n, vocab]` the distributions it was drawn from. `target_probs` `[n + 1, vocab]` is what the target says at the same places, and at the place after the last token.
# - From left to right, accept each token by the rule above, with a new random number for each. At the first rejection return the accepted tokens and one drawn from what the draft left over. If all are accepted, return them and one drawn from the target's last row.
# - Return an int64 tensor with 1 to n + 1 ids. All randomness comes from `generator`.
#
# ```python
# speculative_accept(torch.tensor([[0.5, 0.5]]), torch.tensor([[0.0, 1.0], [1.0, 0.0]]), torch.tensor([0]))
# # tensor([1]): token 0 is rejected for certain, and token 1 is all that is left over
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# "With probability r" is `torch.rand((), generator=generator) < r`. An r above 1 is always accepted, so `min(1, ...)` need not be written.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# Loop over places and tokens. Accepted: go on. Rejected: compute what is left over in this row, draw from it, return `tokens[:i]` and the new one. After the loop: all of `tokens`, and one from the last row. `torch.multinomial` scales weights to sum to 1 by itself.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `if chance * draft_probs[i, token] < target_probs[i, token]: continue`, then `residual = (target_probs[i] - draft_probs[i]).clamp(min=0)`, and `torch.cat([tokens[:i], torch.multinomial(residual, 1, generator=generator)])`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "decoding-speculative_accept", "locked": false, "schema_version": 3, "solution": true, "task": false}
@check_shapes
def speculative_accept(
    draft_probs: Float[Tensor, "n vocab"],
    target_probs: Float[Tensor, "rows vocab"],
    tokens: Int64[Tensor, "n"],
    generator: torch.Generator | None = None,
) -> Int64[Tensor, "accepted"]:
    """Keep of a draft what the target agrees to, and add one token of the target's own.

    >>> speculative_accept(torch.tensor([[1.0, 0.0]]), torch.eye(2), torch.tensor([0]))
    tensor([0, 1])
    """
    n, vocab = draft_probs.shape
    if len(target_probs) != n + 1:
        raise ValueError(f"target_probs must have {n + 1} rows, got {len(target_probs)}")
    if ((tokens < 0) | (tokens >= vocab)).any():
        raise ValueError(f"tokens must lie in 0 ... {vocab - 1}, got {tokens.tolist()}")
    if not (draft_probs[torch.arange(n), tokens] > 0).all():
        raise ValueError("tokens must be possible under draft_probs, got one of probability 0")

    ### BEGIN SOLUTION
    for i, token in enumerate(tokens.tolist()):
        chance = torch.rand((), generator=generator)
        if chance * draft_probs[i, token] < target_probs[i, token]:
            continue  # accepted
        residual = (target_probs[i] - draft_probs[i]).clamp(min=0)
        # Equal but for rounding, they leave nothing over: then the target itself will do.
        rest = residual if residual.sum() > 0 else target_probs[i]
        return torch.cat([tokens[:i], torch.multinomial(rest, 1, generator=generator)])
    return torch.cat([tokens, torch.multinomial(target_probs[-1], 1, generator=generator)])
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-decoding-speculative_accept", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check("decoding.speculative_accept", speculative_accept)
### BEGIN HIDDEN TESTS
check("decoding.speculative_accept", speculative_accept, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# ### Is it really the same distribution?
#
# The classical question "could these counts have come from these probabilities?" has a classical answer, the *chi-square test*. It adds up (counted - expected)² / expected over all tokens, and says how often pure chance would give a sum at least as large: the *p-value*. A p-value like 0.3 says nothing is wrong; one like 0.000001 says that something is.
#
# We draft 4,000 tokens, judge each with your function, and count. And to see that the test can fail, we do the same with the mistake that suggests itself: after a rejection, draw again from the *whole* target distribution.

# %% tags=["experiment"]
def chi_square_p_value(counts, probs):
    expected = counts.sum() * probs
    statistic = ((counts - expected) ** 2 / expected).sum()
    half_degrees = torch.tensor((len(counts) - 1) / 2)
    return torch.special.gammaincc(half_degrees, statistic / 2).item()


def draws_again(draft_probs, target_probs, tokens, generator):
    chance = torch.rand((), generator=generator)
    if chance * draft_probs[0, tokens[0]] < target_probs[0, tokens[0]]:
        return tokens
    return torch.multinomial(target_probs[0], 1, generator=generator)


draft_probs = torch.tensor([[0.4, 0.3, 0.2, 0.1]])
target_probs = torch.tensor([[0.1, 0.2, 0.4, 0.3], [0.25, 0.25, 0.25, 0.25]])
for name, accept in (("speculative_accept", speculative_accept), ("draws again", draws_again)):
    generator = torch.Generator().manual_seed(0)
    counts = torch.zeros(4)
    for _ in range(4000):
        token = torch.multinomial(draft_probs[0], 1, generator=generator)
        counts[accept(draft_probs, target_probs, token, generator)[0]] += 1
    p_value = chi_square_p_value(counts, target_probs[0])
    verdict = "fits the target" if p_value > 1e-3 else "does not fit"
    print(f"{name:18} shares {counts / 4000}  p-value {p_value:.3f}: {verdict}")
print(f"{'target':25} {target_probs[0]}")


# %% [markdown]
# ### How many calls does it save?
#
# `speculative_generate` (in `course_lib.decoding`) puts it together: draft, one call of the target, accept, again. Below, two toy models with random weights: a target, and drafts that are the target with its weights disturbed, a little or a lot. What they write means nothing; what we count is how many tokens each call of the target brings. If a token is accepted with probability $a$, all places alike, then n drafted tokens bring $(1 - a^{n+1}) / (1 - a)$ tokens a call on average (Leviathan and others, equation 1). The lines use the $a$ measured with n = 1; the tokens a call are counted.

# %% tags=["experiment"]
def disturbed(model, noise):
    generator = torch.Generator().manual_seed(1)
    copy = DecoderLM(model.config)
    weights = {
        name: weight + noise * weight.std() * torch.randn(weight.shape, generator=generator)
        for name, weight in model.state_dict().items()
        if weight.numel() > 1
    }
    copy.load_state_dict(weights)
    return copy.eval()


config = DecoderConfig(30, 130, width=16, n_layers=1, n_heads=2, ffn_width=32)
target = DecoderLM(config, torch.Generator().manual_seed(0)).eval()
with torch.no_grad():
    for parameter in target.parameters():
        parameter.mul_(3)  # so that it is not indifferent
n_drafts, measured, predicted = [1, 2, 4, 7], {}, {}
for name, noise in (("disturbed a little", 0.1), ("disturbed a lot", 0.5)):
    draft, measured[name] = disturbed(target, noise), []
    for n_draft in n_drafts:
        new, _, calls = speculative_generate(
            target, draft, [1, 2, 3], max_new_tokens=120, n_draft=n_draft,
            generator=torch.Generator().manual_seed(2),
        )  # fmt: skip
        measured[name].append(len(new) / calls)
    a = measured[name][0] - 1
    predicted[name] = [(1 - a ** (n + 1)) / (1 - a) for n in n_drafts]
    rates = ", ".join(f"{rate:.1f}" for rate in measured[name])
    print(f"{name:18}: accepted {a:.1f}; tokens a call {rates}")
plots.speculation_chart(n_drafts, measured, predicted)


# %% [markdown]
# **Measured:** the better draft brings more tokens a call, and each further drafted token brings less than the one before it. The points leave the lines where places are not alike, and by chance: 120 tokens are few.
#
# And SmolLM2? It has no smaller brother on this computer with the same vocabulary. But a rough draft of it can be had for nothing: leave six of its 30 blocks out (the idea of Zhang and others 2024). Nothing is trained.

# %% tags=["experiment", "nbval-ignore-output"]
def without_blocks(model, left_out):
    """The same model, sharing its weights, without some of its blocks."""
    blocks = [block for i, block in enumerate(model.blocks) if i not in left_out]
    draft = copy.copy(model)
    draft._modules = {**model._modules, "blocks": nn.ModuleList(blocks)}
    return draft


draft = without_blocks(model, range(14, 20))
prompt = "The capital of France is Paris. The capital of Italy is"
new, why, calls = speculative_generate(
    model, draft, tokenizer.encode(prompt), max_new_tokens=16, n_draft=3,
    filters=[at(0.7)], generator=torch.Generator().manual_seed(0),
)  # fmt: skip
print(f"{prompt}[{tokenizer.decode(new)}]")
print(f"{len(new)} tokens with {calls} calls of the target: {len(new) / calls:.1f} tokens a call")

# %% [markdown]
# More than one token a call, so calls are saved, and the text is SmolLM2's own. It is no gain in *time* here: a draft of 24 of 30 blocks costs nearly as much as the target, and our function reads the whole text at every call. A useful draft is ten or more times smaller than its target and was trained like it.

# %% [markdown]
# ## Check what you remember
#
# Before you read the summary, find out what stayed. Think first, then open the answer you would give: it says whether it is right, and why. (The same in Portuguese: *Em português*, below the questions.)
#
# Later, `course review` in a terminal brings the ideas of this notebook back as flashcards, shortly before you would forget them.

# %% tags=["experiment"]
from course_lib.review import quiz

quiz("08_decoding")

# %% [markdown]
# ## Summary
#
# - A model gives logits. **Decoding** makes a text of them, and is not learned.
# - **Greedy** takes the best token, **sampling** draws by probability. **Temperature** divides logits: entropy rises with it, the order stays.
# - **Top-k** keeps k tokens. **Top-p** keeps the smallest set that *reaches* p, the crossing token included, so its size follows how sure the model is. The **repetition penalty** divides positive and multiplies negative logits of what came. The order: penalty, temperature, top-k, top-p.
# - A batch is **padded on the left**, rows end by themselves, and a generator function hands tokens out as they come. Bytes are held back until they make a character.
# - Greedy **repeats itself**, more and more. Heat brings variety, then noise. Cutting the tail keeps the quality.
# - Greedy is **not the most probable text**. **Beam search** finds more probable ones, with a taste for short texts; more probable is not better; and a wider beam is not always more probable.
# - **Speculative sampling** saves calls of a large model and does not change its distribution.
#
# ## Test yourself
#
# <details><summary>1. Probabilities 0.4, 0.3, 0.2, 0.1. How many tokens does top-p keep with p = 0.7, and with p = 0.71?</summary>
#
# Two: 0.4 + 0.3 reaches 0.7 exactly (on paper; in floats an exact hit may fall on either side). With 0.71, three.
#
# </details>
# <details><summary>2. You sample with temperature 0.01 and get the same text every time. Which function would have done the same?</summary>
#
# argmax: greedy. Near temperature 0 all probability lies with the best token.
#
# </details>
# <details><summary>3. Why is a batch padded on the left and not on the right, when a model shall go on writing?</summary>
#
# The next token is read off at the last column. With padding on the right, shorter rows would have padding there, and new tokens would be appended behind a gap.
#
# </details>
# <details><summary>4. A hypothesis of 2 tokens has log-probability -3, one of 6 tokens -6. Which wins with a length penalty of 0, and which with 1?</summary>
#
# With 0: -3 against -6, the short one. With 1: -1.5 against -1, the long one.
#
# </details>
# <details><summary>5. Draft and target are the same model. How many of n drafted tokens does speculative sampling accept, and what does it return?</summary>
#
# All: p / q is 1 everywhere. It returns n + 1 tokens, the last drawn from the target's last row.
#
# </details>
#
# ## Where to read on
#
# - Ari Holtzman and others, [*The Curious Case of Neural Text Degeneration*](https://arxiv.org/abs/1904.09751) (2020), sections 1 to 4: loops, the tail, top-p.
# - Angela Fan and others, [*Hierarchical Neural Story Generation*](https://arxiv.org/abs/1805.04833) (2018), section 5: top-k.
# - Nitish Shirish Keskar and others, [*CTRL*](https://arxiv.org/abs/1909.05858) (2019), section 4.1: the repetition penalty.
# - Ilya Sutskever and others, [*Sequence to Sequence Learning with Neural Networks*](https://arxiv.org/abs/1409.3215) (2014), section 3.2: beam search; Felix Stahlberg and Bill Byrne, [*On NMT Search Errors and Model Errors: Cat Got Your Tongue?*](https://arxiv.org/abs/1908.10090) (2019): the empty translation.
# - Yaniv Leviathan and others, [*Fast Inference from Transformers via Speculative Decoding*](https://arxiv.org/abs/2211.17192) (2023), sections 2 and 3; Charlie Chen and others, [*Accelerating Large Language Model Decoding with Speculative Sampling*](https://arxiv.org/abs/2302.01318) (2023); Jun Zhang and others, [*Draft & Verify*](https://arxiv.org/abs/2309.08168) (2024): a model that leaves out its own layers.
#
# Next: [notebook 09](../09_in_context_learning/09_in_context_learning.ipynb) lets the same model learn from its prompt alone.
