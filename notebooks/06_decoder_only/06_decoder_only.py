# %% [markdown]
# # Decoder-only: writing
#
# **How does a machine learn to write, and how good could it possibly get?**
#
# A language model reads a text and says, for every token of its vocabulary, how likely it is to come next. Draw one, append it, ask again: that is writing. In this notebook you build such models, from one that only counts to a GPT. You train them on texts of a small invented world, and that world has something no library can offer: its entropy is known. So for once you can say how far a model is from the best that is possible, and not only that it is better than another.
#
# > **You will build** an n-gram model, the loss of every language model and its perplexity, the GPT itself, the two small functions around its training, a cache that makes it write quickly, and a count of the memory it takes. Your class will then run a real model of 135 million parameters.
# >
# > **You need** the chain rule of probability (notebook 00), attention and its masks (03) and the pre-norm block (04). For the last sections: rotary positions (02).
# >
# > **It takes** about 150 minutes to work through, and under 60 seconds to run.

# %%
import json
import math
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from ipywidgets import IntSlider, interact
from jaxtyping import Float, Int64, Shaped
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor, nn

from course_lib.checks import check
from course_lib.data.storyland import Storyland
from course_lib.decoder import (
    Cache,
    DecoderBlock,
    DecoderConfig,
    n_parameters,
    new_norm,
    positions_and_mask,
    seen_tokens,
)
from course_lib.decoder import DecoderLM as FinishedDecoder
from course_lib.experiments import decoder as race
from course_lib.initialisation import initialise
from course_lib.ngram import Counts, smoothed_probability
from course_lib.objectives import Loss
from course_lib.plots import decoder as plots
from course_lib.pretrained import load_smollm2_tokenizer, read_smollm2
from course_lib.pretrained.export import export_decoder, load_decoder
from course_lib.pretrained.weights import build_model
from course_lib.shapes import check_shapes
from course_lib.training import train

torch.set_printoptions(precision=3, sci_mode=False)

# %% [markdown]
# ## 1. A model that counts
#
# **The simplest language model counts which token followed which, and expects the past to repeat itself.**
#
# Our texts come from Storyland, a world of 261 words and signs. A story introduces somebody, tells what they do, and ends with a mood. Here are four:

# %%
world = Storyland(0, "small", race.PLOTS)
vocab_size, END = len(world.vocab), world.end_id
for story in world.stories(4, seed=0):
    print(story.text)
print(f"\n{vocab_size} tokens, the commonest: {world.vocab[:8]}")
print("a story in ids:", story.ids.tolist()[:12], "...")


# %% [markdown]
# Every word is a token here, and every story ends with the token `<end>`. (Real models use the sub-words of notebook 01. Nothing below depends on it.)
#
# An **n-gram** is a run of n tokens: a *context* of n - 1 tokens and the one that follows. Counting n-grams gives a model: after the context "the dog", how often did each token come? Divide by the total, and you have probabilities. By hand, with n = 2 and the text `a b a b a c`:
#
# | context | what followed, and how often | so P(next) is |
# |---|---|---|
# | `a` | `b` 2 times, `c` 1 time | `b` 2/3, `c` 1/3 |
# | `b` | `a` 2 times | `a` 1 |
# | nothing | `a` 3, `b` 2, `c` 1 | `a` 1/2, `b` 1/3, `c` 1/6 |
#
# The last row is the *empty context*: how often each token occurs at all. It is needed as soon as somebody asks about a context that was never seen (here `c`, which ends the text). Then the model *backs off*: it forgets the oldest token of the context, and looks again.
#
# With n = 2 this is the phone keyboard of notebook 00. Two functions make it work for any n: one counts, one answers.

# %% [markdown]
# ### Exercise: train_ngram (2 points)
#
# Count what follows each context of up to n - 1 tokens.
#
# - `ids` `[n_tokens]` is the text. `n` is the length of the longest runs: context and follower together.
# - Return a dict from contexts to counts. A context is a tuple of ints, of length 0 to n - 1, the empty one included. Its counts are a `Counter` (or a dict): token -> how often it came right after this context.
# - The first tokens of the text have short contexts only: nothing stands before the text.
#
# ```python
# train_ngram(torch.tensor([0, 1, 0]), n=2)
# # {(): Counter({0: 2, 1: 1}), (0,): Counter({1: 1}), (1,): Counter({0: 1})}
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# Go through the text token by token. For each, look back by 0 tokens, by 1, by 2, ... and count it under each of these contexts. How far back may you look at the third token of the text?
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# Make `ids` a list of ints (`.tolist()`); two tensors with the same number are different keys of a dict. Two loops: over the places, and over the lengths of context, which stop at n - 1 and at the start of the text. `defaultdict(Counter)` is a dict that makes a new `Counter` for a key it does not have.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `for place, token in enumerate(tokens):` and inside it `for length in range(min(n, place + 1)):`. The context is `tuple(tokens[place - length : place])`. Add 1 to `counts[context][token]`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "decoder-train_ngram", "locked": false, "schema_version": 3, "solution": true, "task": false}
@check_shapes
def train_ngram(ids: Int64[Tensor, "n_tokens"], n: int) -> Counts:
    """Count what follows each context of up to n - 1 tokens: {context: Counter of followers}.

    >>> train_ngram(torch.tensor([4, 4]), n=2)
    {(): Counter({4: 2}), (4,): Counter({4: 1})}
    """
    if len(ids) == 0:
        raise ValueError("ids must have at least one token, got none")
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")

    ### BEGIN SOLUTION
    tokens = ids.tolist()
    counts = defaultdict(Counter)
    for place, token in enumerate(tokens):
        for length in range(min(n, place + 1)):  # no context reaches back before the text
            context = tuple(tokens[place - length : place])
            counts[context][token] += 1
    return dict(counts)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-decoder-train_ngram", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("decoder.train_ngram", train_ngram)
### BEGIN HIDDEN TESTS
check("decoder.train_ngram", train_ngram, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: ngram_probs (2 points)
#
# The probability of every token after a context.
#
# - `model` is what `train_ngram` returned, with `Counter`s or plain dicts inside; `context` is a list (or a tensor) of ids, of any length.
# - A context that the model does not know is shortened from the left, one token at a time, until it is known. The empty one always is.
# - Return `[vocab_size]`, float32: each token's count divided by the sum of the counts. What never followed gets 0.
#
# ```python
# model = train_ngram(torch.tensor([0, 1, 0, 1, 0, 2]), n=2)  # the text a b a b a c
# ngram_probs(model, [1, 0], vocab_size=4)  # backs off to [0]: tensor([0.0000, 0.6667, 0.3333, 0.0000])
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# You need not know n: a context that is too long is not in the model, just like one that was never seen. Both are shortened in the same way.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# Make the context a tuple of ints. While it is not in the model, drop its first element. Fill a vector of zeros with the counts, and divide by the sum.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `context = tuple(int(token) for token in context)`, then `while context not in model: context = context[1:]`. For each pair in `model[context].items()` set `probs[token] = count`. Return `probs / probs.sum()`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "decoder-ngram_probs", "locked": false, "schema_version": 3, "solution": true, "task": false}
def ngram_probs(
    model: Counts, context: Sequence[int] | Int64[Tensor, "time"], vocab_size: int
) -> Float[Tensor, "vocab"]:
    """The next token's probabilities, from the longest end of the context that is known.

    >>> ngram_probs({(): Counter({0: 1, 2: 3})}, [], 4)
    tensor([0.2500, 0.0000, 0.7500, 0.0000])
    """
    if () not in model or max(model[()]) >= vocab_size:
        raise ValueError(f"model must be counts of ids below vocab_size = {vocab_size}")

    ### BEGIN SOLUTION
    context = tuple(int(token) for token in context)
    while context not in model:
        context = context[1:]  # back off: forget the oldest token
    probs = torch.zeros(vocab_size)
    for token, count in model[context].items():
        probs[token] = count
    return probs / probs.sum()
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-decoder-ngram_probs", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("decoder.ngram_probs", ngram_probs)
### BEGIN HIDDEN TESTS
check("decoder.ngram_probs", ngram_probs, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# Let your model read a million tokens of stories and write. It starts with `<end>`, because a story begins where another has ended, draws a token, appends it, and draws again.

# %% tags=["experiment"]
text = world.sample_ids(race.STEPS * race.BATCH * race.LENGTH, seed=1)
counts = train_ngram(text, 5)
print(f"{len(text):,} tokens of text, {len(counts):,} contexts\n")


def written_by_ngram(n, seed, longest=60):
    generator = torch.Generator().manual_seed(seed)
    return race.write_ngram_stories(counts, n, END, 1, longest, vocab_size, generator)[0]


for n in (1, 2, 3, 5):
    print(f"n = {n}: {world.decode(written_by_ngram(n, seed=3)).strip()}\n")


# %% [markdown]
# With n = 1 there is no order at all. With n = 2 neighbours fit each other, and with n = 5 whole sentences do. But read the last one from its beginning to its end: an n-gram model forgets whom the story is about as soon as that is more than four tokens ago. Try other lengths and other draws (in a running notebook):

# %% tags=["experiment", "nbval-ignore-output"]
def show_ngram_story(n, seed):
    print(world.decode(written_by_ngram(n, seed)).strip())


interact(
    show_ngram_story,
    n=IntSlider(3, 1, 5, continuous_update=False),
    seed=IntSlider(0, 0, 20, continuous_update=False),
);

# %% [markdown]
# ## 2. How good is it? Loss, perplexity, entropy
#
# **A language model is as good as the probability it gave to what really came.** The *loss* is the negative logarithm of that probability, averaged over the tokens of a text: its mean surprise, in *nats* (with the natural logarithm; in bits it would be base 2).
#
# By hand. The text is `0 1 2`. After reading `0` a model gave token 1 the probability 1/4; after `0 1` it gave token 2 the probability 4/5:

# %%
print("surprises:", [round(-math.log(p), 3) for p in (1 / 4, 4 / 5)])
print("loss:     ", round(-(math.log(1 / 4) + math.log(4 / 5)) / 2, 3))


# %% [markdown]
# Neural models do not return probabilities but *logits*, one score for each id at each position: `[batch, time, vocab]`. Softmax makes probabilities of them. Now one thing decides everything: **the logits at a position are about the next token.** The model has read the token at that position already. So position 0 is compared with the id at 1, position 1 with the id at 2, and so on:
#
# | position | 0 | 1 | 2 |
# |---|---|---|---|
# | the model has read | `0` | `0 1` | `0 1 2` |
# | its logits are about | the id at 1 | the id at 2 | an id we do not have |
# | label | 1 | 2 | none |
#
# The last logits and the first id have no partner. Whether model, data or loss does this shift is a matter of convention. In this course **the loss shifts, once**, and nobody else does. (In `transformers` it is the same: the model takes `labels` equal to its inputs. In many training scripts the data come as shifted pairs.)
#
# Rows of a batch differ in length and are filled up. The filling must not count: it gets the label `-100`, which torch's `cross_entropy` ignores by default.

# %% [markdown]
# ### Exercise: causal_lm_loss (2 points)
#
# The mean loss of a language model, in nats per token.
#
# - `logits` `[batch, time, vocab]`; `ids` `[batch, time]`: what the model read. An id that equals `ignore_index` is no label.
# - Shift: the logits at t are compared with the id at t + 1.
# - Return a tensor without axes that carries gradients: the mean over all labelled tokens of the whole batch. With none at all it is 0, and `backward()` still runs.
# - `F.cross_entropy` is allowed, and so is doing it by `log_softmax`.
#
# ```python
# logits = torch.tensor([[[0.5, 0.25, 0.25], [0.1, 0.1, 0.8], [1.0, 0.0, 0.0]]]).log()
# causal_lm_loss(logits, torch.tensor([[0, 1, 2]]))  # tensor(0.8047), the example above
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# Cut the last position off the logits and the first off the ids. Now they stand side by side.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# After cutting, join batch and time into one axis: logits `[..., vocab]`, labels `[...]`. Sum the losses of the labelled tokens, count those tokens, divide. Divide by at least 1, so that 0 / 0 never happens.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `logits[:, :-1].flatten(0, 1)` and `ids[:, 1:].flatten()` go into `F.cross_entropy(..., ignore_index=ignore_index, reduction="sum")`. Divide by `(labels != ignore_index).sum().clamp(min=1)`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "decoder-causal_lm_loss", "locked": false, "schema_version": 3, "solution": true, "task": false}
@check_shapes
def causal_lm_loss(
    logits: Float[Tensor, "batch time vocab"],
    ids: Int64[Tensor, "batch time"],
    ignore_index: int = -100,
) -> Float[Tensor, ""]:
    """Mean of -log P(next token), over labelled tokens; the logits at t score the id at t + 1.

    >>> causal_lm_loss(torch.zeros(1, 3, 4), torch.tensor([[0, 1, 2]]))  # four equal chances
    tensor(1.3863)
    """
    vocab = logits.shape[-1]
    if ((ids != ignore_index) & ((ids < 0) | (ids >= vocab))).any():
        raise ValueError(f"ids must lie in 0 ... {vocab - 1} or be {ignore_index}, got {ids}")

    ### BEGIN SOLUTION
    predictions = logits[:, :-1].flatten(0, 1)  # [batch * (time - 1), vocab]
    labels = ids[:, 1:].flatten()  # [batch * (time - 1)], each the id after its prediction
    total = F.cross_entropy(predictions, labels, ignore_index=ignore_index, reduction="sum")
    n_labelled = (labels != ignore_index).sum()
    return total / n_labelled.clamp(min=1)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-decoder-causal_lm_loss", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("decoder.causal_lm_loss", causal_lm_loss)
### BEGIN HIDDEN TESTS
check("decoder.causal_lm_loss", causal_lm_loss, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# A loss in nats says little to most people. **Perplexity** translates it: $e^{\text{loss}}$. A model that hesitates between 8 tokens, all equally likely to it, has the loss $\log 8$ and the perplexity 8.

# %% [markdown]
# ### Exercise: perplexity (1 point)
#
# - `loss` is in nats per token: a Python number, whole or not, or a tensor of any shape.
# - Return the same kind: a `float` for a number, a tensor for a tensor.
#
# ```python
# perplexity(math.log(8))              # 8.0, up to rounding
# perplexity(torch.tensor([0.0, 1.0]))  # tensor([1.0000, 2.7183])
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# The loss is the mean of -log p. What undoes a natural logarithm?
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# Ask with `isinstance(loss, Tensor)` what came in. Tensors have their own `exp`; for numbers there is one in `math`.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `return loss.exp() if isinstance(loss, Tensor) else ...`
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "decoder-perplexity", "locked": false, "schema_version": 3, "solution": true, "task": false}
def perplexity(loss: Loss) -> Loss:
    """e to the loss (nats per token): among how many equally likely tokens the model hesitates.

    >>> perplexity(0.0)
    1.0
    """
    if not isinstance(loss, Tensor | float | int):
        raise TypeError(f"loss must be a float or a tensor, got {type(loss).__name__}")

    ### BEGIN SOLUTION
    return loss.exp() if isinstance(loss, Tensor) else math.exp(loss)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-decoder-perplexity", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
check("decoder.perplexity", perplexity)
### BEGIN HIDDEN TESTS
check("decoder.perplexity", perplexity, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# ### The floor nobody can beat
#
# How low can the loss get? Not to 0: whoever says "There is a" has not decided yet between a king and a waiter, and no model can know. If $p$ are the *true* probabilities of the next token and $q$ those of a model, the mean loss is
#
# $$-\sum_x p(x) \log q(x) \;=\; \underbrace{-\sum_x p(x) \log p(x)}_{\text{entropy}} \;+\; \underbrace{\sum_x p(x) \log \frac{p(x)}{q(x)}}_{\text{never negative}}$$
#
# The first part is the **entropy** of the text: what is open, even to one who knows everything. The second is the Kullback-Leibler divergence: what the model does not know. It is 0 only if $q = p$. So **the entropy is the floor of every language model.** For English nobody knows it (Shannon estimated it in 1951 by letting people guess letters). For Storyland it is known exactly, because the stories follow rules with known probabilities:

# %% tags=["experiment"]
stories = race.held_out(world, 300, seed=2)
rate = world.entropy_rate()
print(f"entropy: {rate:.4f} nats per token, perplexity {perplexity(rate):.2f}")
print(f"on 300 stories that no model will be trained on: {stories.entropy:.4f}")
print(f"guessing blindly: {math.log(vocab_size):.2f} nats, perplexity {perplexity(math.log(vocab_size)):.0f}")

# %% [markdown]
# The second line is the mean surprise of somebody who knows all the rules, on just those 300 *held-out* stories. All models below are measured on them, each story read from its start, and this line is what they are compared with.
#
# Now the n-grams. One thing goes wrong at once:

# %% tags=["experiment"]
few, blocked, n_tokens = stories.ids[:60].tolist(), 0, 0
for row in few:
    row = [token for token in row if token != race.IGNORED]
    for place in range(1, len(row)):
        context = row[max(0, place - 4) : place]
        blocked += ngram_probs(counts, context, vocab_size)[row[place]].item() == 0
        n_tokens += 1
print(f"{blocked} of {n_tokens} tokens have probability 0 in the 5-gram model: the loss is infinite")

# %% [markdown]
# A million tokens are not enough to hold everything that can be said with five. A single token of probability 0 makes the loss infinite. So counts are *smoothed*: each context is mixed with the shorter one, the more so, the more different followers it had (Witten and Bell 1991). `smoothed_probability` of `course_lib.ngram` does it in eight lines; read them if you like. Here are the smoothed losses, for texts of three lengths:

# %% tags=["experiment"]
ngram_losses = {}
for n_tokens in (10_000, 100_000, len(text)):
    model = counts if n_tokens == len(text) else train_ngram(text[:n_tokens], 5)
    losses = {n: race.ngram_loss(model, n, stories, vocab_size) for n in range(1, 6)}
    ngram_losses[f"{n_tokens:,} tokens of text"] = losses
    print(f"{n_tokens:9,} tokens:", "  ".join(f"n={n} {loss:.3f}" for n, loss in losses.items()))
plots.plot_ngrams(ngram_losses, stories.entropy)

# %% [markdown]
# Longer contexts help, as long as there is text to fill them. There are $261^5$ runs of five tokens, more than a million million, and each of them is a fact of its own to a model that counts. It cannot see that "the cow guided the dog" says something about cows and horses. That is one wall. The other is the four tokens that it looks back on. A neural network runs into neither.

# %% [markdown]
# ## 3. The GPT
#
# **A decoder-only transformer is a stack of blocks between two tables: ids become vectors, every position gathers what it needs from the positions before it, and each vector becomes scores for the next token.**
#
# You have all the parts. In order:
#
# 1. **Embed.** Each id takes its row of the token table; its position's row of the position table is added (notebook 02).
# 2. **Blocks.** The pre-norm blocks of notebook 04, one after the other, with a causal mask (notebook 03).
# 3. **A last norm**, because pre-norm blocks leave the stream itself unnormalised.
# 4. **Unembed.** The dot product of each vector with each row of a table: a score for each id. Usually that table is the token table again (*tied* weights, Press and Wolf 2017).
#
# The causal mask is what makes training cheap. Since no position sees a later one, the logits at *every* position are an honest prediction. One pass over a text of 64 tokens is 63 exercises with 63 solutions.
#
# Two things of step 2 are given to you. `DecoderBlock(config)` is your block of notebook 04; from its `config` it also knows other parts, which section 6 needs: rotary positions, RMSNorm, SwiGLU, shared heads. And `positions_and_mask` says where the tokens stand and who may look at whom. Look at what it does with two texts, of which the first is padded on the left by two:

# %%
seen = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]]).bool()  # [batch, time], True = token
positions, mask = positions_and_mask(seen, target=4)
print("positions:", positions.tolist(), " shape of the mask:", list(mask.shape))
print("the mask of the first text:")
print(mask[0, 0].int())


# %% [markdown]
# Padding counts no position and is seen by nobody: the first text starts at position 0 like the other. (`target` is the number of tokens that are being read. In section 5 it will be smaller than the number of those that can be seen.)

# %% [markdown]
# ### Exercise: DecoderLM (4 points)
#
# Put it together. The constructor is given; write three methods.
#
# - `embed(ids, positions)`: both `[batch, time]`; return token vectors plus position vectors, `[batch, time, width]`. The positions are the caller's: they need not be 0, 1, 2, ... (The case of rotary positions, with no table, and the check of the length are given.)
# - `unembed(x)`: `[..., width]` to `[..., vocab]`. With `self.head` None the weights are tied: the token table's `weight` `[vocab, width]` does the work. Otherwise `self.head.weight`, of the same shape.
# - `forward(ids, attention_mask=None)`: embed, blocks, norm, unembed. `seen` (given) is `[batch, time]`, True = token. Call a block as `block(x, mask, positions)`.
# - Return logits for all positions, `[batch, time, vocab]`: no softmax, no shift. Nothing is kept from one call to the next.
#
# ```python
# model = DecoderLM(DecoderConfig(vocab_size=10, max_length=8, width=4, n_layers=2, n_heads=2, ffn_width=16))
# model(torch.tensor([[3, 1, 2]])).shape  # torch.Size([1, 3, 10])
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# The four numbered steps above are `forward`, one line each and a loop. What goes into the loop comes out of it: the stream keeps its shape from the first block to the last.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# In `forward`: `positions_and_mask(seen, ids.shape[1])` first. Then `x = self.embed(...)`, each block makes a new x from x, `self.norm` once after the last one, `self.unembed`. In `unembed`: choose which of the two has the weight, then one `F.linear`, which multiplies by the transposed matrix.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `for block in self.blocks: x = block(x, mask, positions)`, then `return self.unembed(self.norm(x))`. `table = self.token_embedding if self.head is None else self.head`, then `F.linear(x, table.weight)`. In `embed`: `self.token_embedding(ids) + ...`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "decoder-DecoderLM", "locked": false, "schema_version": 3, "solution": true, "task": false}
class DecoderLM(nn.Module):
    """A language model: ids [batch, time] in, logits of the next token [batch, time, vocab] out.

    >>> config = DecoderConfig(vocab_size=10, max_length=8, width=4, n_layers=1, n_heads=1, ffn_width=8)
    >>> DecoderLM(config)(torch.tensor([[1, 2]])).shape
    torch.Size([1, 2, 10])
    """

    def __init__(self, config: DecoderConfig, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.width)
        self.position_embedding = None
        if config.positions == "learned":
            self.position_embedding = nn.Embedding(config.max_length, config.width)
        self.blocks = nn.ModuleList(DecoderBlock(config) for _ in range(config.n_layers))
        self.norm = new_norm(config)
        self.head = None
        if not config.tied:
            self.head = nn.Linear(config.width, config.vocab_size, bias=False)
        initialise(self, generator, n_residual=2 * config.n_layers)

    @check_shapes
    def forward(
        self,
        ids: Int64[Tensor, "batch time"],
        attention_mask: Shaped[Tensor, "batch time"] | None = None,
    ) -> Float[Tensor, "batch time vocab"]:
        """Score every id as the next token, at each position. attention_mask: 1 = token."""
        seen = seen_tokens(ids, attention_mask, self.config.vocab_size)
        ### BEGIN SOLUTION
        positions, mask = positions_and_mask(seen, ids.shape[1])
        x = self.embed(ids, positions)  # [batch, time, width]
        for block in self.blocks:
            x = block(x, mask, positions)
        return self.unembed(self.norm(x))  # [batch, time, vocab]
        ### END SOLUTION

    def embed(
        self, ids: Int64[Tensor, "batch time"], positions: Int64[Tensor, "batch time"]
    ) -> Float[Tensor, "batch time width"]:
        """Ids to vectors: the token table, plus the position table if there is one."""
        if self.position_embedding is None:  # "rope" comes in later, in the attention
            return self.token_embedding(ids)
        most, got = self.config.max_length, positions.max() + 1
        if got > most:
            raise ValueError(f"ids must have at most {most} tokens a row, got {got}")
        ### BEGIN SOLUTION
        return self.token_embedding(ids) + self.position_embedding(positions)
        ### END SOLUTION

    def unembed(self, x: Float[Tensor, "*shape width"]) -> Float[Tensor, "*shape vocab"]:
        """Vectors to logits: a dot product with each row of the head, or of the token table."""
        ### BEGIN SOLUTION
        table = self.token_embedding if self.head is None else self.head
        return F.linear(x, table.weight)
        ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-decoder-DecoderLM", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
check("decoder.DecoderLM", DecoderLM)
### BEGIN HIDDEN TESTS
check("decoder.DecoderLM", DecoderLM, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# A new model knows nothing. Its logits are nearly equal, so its loss should be that of blind guessing. And a change at position 5 should change no logits before position 5. Does yours behave?

# %% tags=["experiment"]
config = race.decoder_config(vocab_size)
model = DecoderLM(config, torch.Generator().manual_seed(0))
ids = stories.ids[:1, :10].clone()
changed = ids.clone()
changed[0, 5] = (changed[0, 5] + 1) % vocab_size
with torch.no_grad():
    before, after = model(ids), model(changed)
print(f"{n_parameters(config):,} parameters; loss {causal_lm_loss(before, ids):.2f}, blind guessing {math.log(vocab_size):.2f}")
print("positions with other logits:", (before != after).any(-1)[0].nonzero()[:, 0].tolist())


# %% [markdown]
# ## 4. Training
#
# **Training is a loop of four lines: take some text, compute the loss, compute its gradient, move every parameter a little against it.** Two small functions are left for you: where the text comes from, and how far to move.
#
# The text is one long row of ids. A batch is a handful of windows cut out of it at random places. Random, because windows that follow each other would tell the model much the same things; and anywhere, not only at multiples of the length, so that every token is met at each position of a window.

# %% [markdown]
# ### Exercise: sample_windows (2 points)
#
# Cut `batch` windows of `length` tokens out of a text.
#
# - `ids` `[n_tokens]`; return `[batch, length]`, int64. Each row is a run of the text.
# - All places where a whole window fits are equally likely, the first and the last included. Rows are drawn independently of each other, so a place may come twice, and from `generator` only.
# - One tensor is enough: the loss does the shift.
#
# ```python
# sample_windows(torch.arange(100), batch=2, length=3, generator=torch.Generator().manual_seed(0))
# # for example tensor([[44, 45, 46], [39, 40, 41]])
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# A text of 5 tokens and windows of 3: how many places are there to start from? `torch.randint(n, ...)` draws from 0 to n - 1.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# Draw `batch` starts at once, from `len(ids) - length + 1` places. A window is start, start + 1, ..., so add `torch.arange(length)` to each start. Broadcasting does that if the starts are a column `[batch, 1]`. Then index `ids` with the whole table of places.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `starts = torch.randint(n_places, (batch, 1), generator=generator)`, then `return ids[starts + ...]`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "decoder-sample_windows", "locked": false, "schema_version": 3, "solution": true, "task": false}
@check_shapes
def sample_windows(
    ids: Int64[Tensor, "n_tokens"], batch: int, length: int, generator: torch.Generator
) -> Int64[Tensor, "batch length"]:
    """Cut pieces out of a long text, each from a random place; every place is equally likely.

    >>> sample_windows(torch.arange(4), batch=1, length=4, generator=torch.Generator())
    tensor([[0, 1, 2, 3]])
    """
    for name, number in {"batch": batch, "length": length}.items():
        if number < 1:
            raise ValueError(f"{name} must be at least 1, got {number}")
    if len(ids) < length:
        raise ValueError(f"ids must have at least {length} tokens, got {len(ids)}")

    ### BEGIN SOLUTION
    n_places = len(ids) - length + 1
    starts = torch.randint(n_places, (batch, 1), generator=generator)
    return ids[starts + torch.arange(length)]  # [batch, 1] + [length] -> [batch, length]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-decoder-sample_windows", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("decoder.sample_windows", sample_windows)
### BEGIN HIDDEN TESTS
check("decoder.sample_windows", sample_windows, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# How far to move is the *learning rate*. At the beginning it should be small: the optimiser, AdamW, scales each step by running averages of the gradients, and after a few steps those averages know little. So the rate climbs from 0 to its peak, the *warmup*. Later, when only fine differences are left to learn, large steps jump back and forth over them, so the rate falls again, along half a wave of the cosine:
#
# $$\text{rate} = \text{floor} + (\text{peak} - \text{floor}) \cdot \frac{1 + \cos(\pi \cdot \text{progress})}{2}, \qquad \text{progress} = \frac{\text{step} - \text{warmup}}{\text{total} - \text{warmup}}$$
#
# By hand, with warmup 4, total 20, peak 2 and floor 0: step 1 has a quarter of the peak, 0.5. Step 4 has the peak. Step 12 is half of the way down, cos(π/2) = 0, and the rate is 1.

# %% [markdown]
# ### Exercise: warmup_cosine (2 points)
#
# The learning rate at a step.
#
# - Straight from 0 at step 0 to `peak` at step `warmup`; then the wave down to `floor` at step `total`; `floor` for ever after.
# - With `warmup=0` it starts at the peak; with as much warmup as steps there is no wave. Return a float.
#
# ```python
# warmup_cosine(12, warmup=4, total=20, peak=2.0, floor=0.0)  # 1.0
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# Three cases: on the way up, on the way down, after the end. Take care that with `warmup=0` nothing is divided by it.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# `step < warmup`: a straight line through (0, 0) and (warmup, peak). `step >= total`: the floor. Otherwise the formula above.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `if step < warmup: return peak * step / warmup`, `if step >= total: return floor`, then `progress = (step - warmup) / (total - warmup)` and the formula with `math.cos(math.pi * progress)`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "decoder-warmup_cosine", "locked": false, "schema_version": 3, "solution": true, "task": false}
def warmup_cosine(step: int, warmup: int, total: int, peak: float, floor: float) -> float:
    """The learning rate at a step: a straight climb, then half a wave of the cosine down.

    >>> warmup_cosine(1, warmup=4, total=20, peak=2.0, floor=0.0)
    0.5
    """
    if step < 0:
        raise ValueError(f"step must not be negative, got {step}")
    if not 0 <= warmup <= total:
        raise ValueError(f"warmup must lie in 0 ... total = {total}, got {warmup}")

    ### BEGIN SOLUTION
    if step < warmup:
        return peak * step / warmup
    if step >= total:
        return floor
    progress = (step - warmup) / (total - warmup)  # 0 at the peak, 1 at the end
    return floor + (peak - floor) * (1 + math.cos(math.pi * progress)) / 2
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-decoder-warmup_cosine", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("decoder.warmup_cosine", warmup_cosine)
### BEGIN HIDDEN TESTS
check("decoder.warmup_cosine", warmup_cosine, hidden=True)
### END HIDDEN TESTS

# %% tags=["experiment"]
steps = range(1100)
rates = {
    "warmup 50, floor 0": [warmup_cosine(step, 50, 1000, 1e-2, 0.0) for step in steps],
    "warmup 300, floor 0.001": [warmup_cosine(step, 300, 1000, 1e-2, 1e-3) for step in steps],
}
plots.plot_schedule(rates)

# %% [markdown]
# Here is the whole loop, for thirty steps:

# %% tags=["experiment", "nbval-ignore-output"]
model = DecoderLM(config, torch.Generator().manual_seed(0))
optimizer = torch.optim.AdamW(model.parameters())
generator = torch.Generator().manual_seed(0)
for step in range(1, 31):
    for group in optimizer.param_groups:
        group["lr"] = warmup_cosine(step, warmup=5, total=30, peak=1e-2, floor=0.0)
    ids = sample_windows(text, 16, 64, generator)  # some text
    loss = causal_lm_loss(model(ids), ids)  # how surprised is the model?
    optimizer.zero_grad()
    loss.backward()  # which way is less surprise?
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)  # no step is too long
    optimizer.step()  # a little that way
    if step % 10 == 0:
        print(f"step {step}: loss {loss.item():.2f}")

# %% [markdown]
# One line is new: **clipping**. Now and then a batch has a gradient many times longer than usual, and one such step can undo a hundred good ones. So all gradients together are scaled down to length 1 where they are longer (Pascanu and others 2013).
#
# ### What would break without the shift?
#
# Suppose the loss compared each position's logits with the id at the *same* position. Sixty steps of that:

# %% tags=["experiment", "nbval-ignore-output"]
model = DecoderLM(config, torch.Generator().manual_seed(0))
optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
for _ in range(60):
    ids = sample_windows(text, 16, 64, generator)
    loss = F.cross_entropy(model(ids).flatten(0, 1), ids.flatten())  # no shift
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(f"loss without the shift: {loss.item():.3f}, entropy: {rate:.3f}")
print(f"the true loss of this model: {race.held_out_loss(model, stories):.2f}")


# %% [markdown]
# The loss sinks below the entropy, which is impossible for a model that predicts. This one repeats what it has just read, and of what comes next it has no idea. In general: **a loss below the floor is no success, it is a leak.** On real text nobody knows the floor, and a leak is found later.
#
# ### A training that survives an interruption
#
# `course_lib.training.train` is this loop with three things more: it can average the gradients of several batches before a step (*accumulation*: a large batch in the memory of a small one), it writes a history, and it keeps a checkpoint. A checkpoint that holds only the weights is not enough to go on *exactly*: AdamW's averages, the generator's state and the step belong to it as well. Let us stop a training in the middle and compare:

# %% tags=["experiment"]
def tiny_training(folder=None, stop_at=None):
    tiny = replace(config, width=16, ffn_width=32, n_layers=1)
    model = DecoderLM(tiny, torch.Generator().manual_seed(0))

    def next_loss(generator):
        ids = sample_windows(text, 4, 16, generator)
        return causal_lm_loss(model(ids), ids)

    def stop(step, model):
        if step == stop_at:
            raise KeyboardInterrupt

    options = {"steps": 20, "learning_rate": 1e-2, "warmup": 2, "accumulate": 2, "progress": False}
    options |= {"checkpoint": folder, "checkpoint_every": 5, "on_step": stop}
    return train(model, next_loss, generator=torch.Generator().manual_seed(0), **options)


uninterrupted = tiny_training()
with tempfile.TemporaryDirectory() as folder:
    try:
        tiny_training(folder, stop_at=13)
    except KeyboardInterrupt:
        print("interrupted after step 13; in the folder:", sorted(p.name for p in Path(folder).iterdir()))
    resumed = tiny_training(folder)
print("the same 20 losses as without the interruption:", resumed == uninterrupted)


# %% [markdown]
# ### The race
#
# Now the real thing. Two networks learn from the text that the n-grams have counted. They read as many tokens as it has, in batches of 16 windows of 64, cut out at random. One is your transformer. The other is what was used before: an LSTM (notebook 04), here `torch.nn.LSTM`, one layer of width 128. It has more parameters and a learning rate chosen for it. While they train, the transformer writes a line now and then.

# %% tags=["experiment", "nbval-ignore-output"]
def say(step, model):
    if step in (20, 80, 250, 1000):
        generator = torch.Generator().manual_seed(1)
        (ids,) = race.write_stories(model, END, 1, 45, generator)
        print(f"after {step} steps: {world.decode(ids).strip()}\n")


def seeded():
    return torch.Generator().manual_seed(0)


gpt = DecoderLM(config, seeded())
lstm = race.LSTMLanguageModel(vocab_size, width=128, n_layers=1, generator=seeded())
curves = {}
for name, model in {"LSTM": lstm, "transformer": gpt}.items():
    start = time.perf_counter()
    options = {"steps": race.STEPS, "learning_rate": race.LEARNING_RATES[name], "seed": 0}
    on_step = say if model is gpt else None
    curves[name] = race.loss_curve(model, text, stories, on_step=on_step, **options)
    size = sum(parameter.numel() for parameter in model.parameters())
    print(f"{name}: {size:,} parameters, {time.perf_counter() - start:.0f} seconds\n")

# %% tags=["experiment", "nbval-ignore-output"]
by_n = {f"{n}-gram": loss for n, loss in ngram_losses[f"{len(text):,} tokens of text"].items()}
final = by_n | {name: list(curve.values())[-1] for name, curve in curves.items()}
print("             loss   perplexity   loss / entropy")
for name, loss in final.items():
    print(f"{name:11}  {loss:.3f}  {perplexity(loss):10.2f}  {loss / stories.entropy:14.2f}")
print(f"{'entropy':11}  {stories.entropy:.3f}  {perplexity(stories.entropy):10.2f}  {1:14.2f}")

# %% tags=["experiment", "nbval-ignore-output"]
plots.plot_race(curves, {name: by_n[name] for name in ("2-gram", "3-gram", "5-gram")}, stories.entropy)

# %% [markdown]
# **Claim:** no model gets below the entropy, and a small transformer comes close to it. **Measured:** everything stays above the floor. The transformer ends within 5 % of it and below all others: the n-grams, and the LSTM that has read the same text. (`benchmarks/decoder.py` repeats this with three seeds; its table is in `benchmarks/results/decoder.md`. An LSTM that trains longer comes lower too. What is compared is what each learns from the same text, by reading the same number of tokens.)
#
# Where does the rest lose? Take one held-out story and ask three readers how surprised they are at each token: the one who knows all the rules, the 5-gram, and your transformer.

# %% tags=["experiment", "nbval-ignore-output"]
number, story = next((i, s) for i, s in enumerate(world.stories(300, seed=2)) if s.plot == "encounter")
row = stories.ids[number, : 1 + len(story.tokens)]  # "<end>", then the story
with torch.no_grad():
    log_probs = gpt(row[None])[0].log_softmax(-1)
places = range(1, len(row))
surprise = {
    "who knows the rules": (-story.log_probs).tolist(),
    "5-gram": [
        -math.log(smoothed_probability(counts, row[max(0, p - 4) : p].tolist(), row[p].item(), vocab_size))
        for p in places
    ],
    "your transformer": [-log_probs[p - 1, row[p]].item() for p in places],
}
plots.plot_surprise(story.tokens, surprise)

# %% [markdown]
# Where the story is free (who meets whom, and how it ends), all three are surprised, and rightly so. The 5-gram is also surprised where nothing is free any more: when somebody is named again who was named more than four tokens ago. The transformer looks back and finds the name.
#
# A world with known rules can also tell which stories are *possible*. Let each model write 100 stories and count those that Storyland could have told, from the first token to the last:

# %% tags=["experiment", "nbval-ignore-output"]
written = {"5-gram": race.write_ngram_stories(counts, 5, END, 100, 60, vocab_size, seeded())}
for name, model in {"LSTM": lstm, "transformer": gpt}.items():
    written[name] = race.write_stories(model, END, 100, 60, seeded())
for name, some in written.items():
    print(f"{name:11}  {100 * race.share_possible(world, some):3.0f} of 100 stories are possible")


# %% [markdown]
# The loss of the 5-gram did not look so bad. But a story is possible only if *every* token is, and small errors multiply.

# %% [markdown]
# ## 5. Writing quickly: the cache
#
# **To write one more token, a model needs the keys and values of all tokens before it. They have been computed already. A cache keeps them.**
#
# Writing, so far, runs the whole text through the model for each new token. But a position never sees a later one, so nothing that was computed for the old tokens changes when a new one comes: not their vectors, not their keys, not their values. What does the new token need from them? In each layer its query meets the old keys, and takes a mean of the old values. Queries are used once, by their own token, and never again.
#
# So keep keys and values, for each layer. This is the **KV cache**, and a step with it looks like this:
#
# | | reads | computes | from the cache |
# |---|---|---|---|
# | without a cache, token 100 | 100 tokens | 100 queries, keys, values | |
# | with a cache, token 100 | 1 token | 1 query, key, value | 99 keys and values |
#
# For this the attention of `DecoderBlock` comes in two halves:
#
# - `q, k, v = block.attention.project(x, positions)`: from vectors `[batch, time, width]` to queries, keys and values, `[batch, heads, time, d_k]`;
# - `block.attention.attend(q, k, v, mask)`: the weighted means, mixed by `out_proj`, `[batch, time, width]`.
#
# Between the two halves is the place where the old keys and values come in. The whole block is then, as in notebook 04, `x + attention(norm1(x))` and `x + block.feed_forward(norm2(x))`.
#
# `Cache` holds `keys` and `values`, tuples with one tensor for each layer, and `attention_mask` `[batch, source]`, which says which of the cached positions are tokens and which are padding.

# %% [markdown]
# ### Exercise: decode_step (4 points)
#
# Read the next token and score the one after it.
#
# - `token` `[batch, time]` holds the new ids: one for each text, or several at once, as when a whole prompt begins (`cache=None`).
# - Return `(logits, cache)`: the logits after the *last* new token, `[batch, vocab]`, equal to those of the full forward; and a new cache that holds the new tokens too.
# - The cache you are given stays as it is, so that one beginning can be continued in several ways.
# - Compute keys and values of the new tokens only.
# - `seen` (given) is the mask of *all* tokens, old and new, `[batch, source]`; from it `positions` and `mask` for the new ones.
#
# ```python
# logits, cache = decode_step(model, prompt)         # prompt [1, 5]: logits [1, vocab]
# logits, cache = decode_step(model, token, cache)   # token [1, 1]: the sixth
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# Write the forward first, with every block opened up into its two lines, and the attention into its two halves. Then ask at which line the old keys and values are needed.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# `x = model.embed(token, positions)`. For each layer: project `block.norm1(x)`; if there is a cache, put its keys and values of this layer in front of the new ones, along the time axis (2); remember the long ones in two lists; attend, add; feed-forward, add. At the end norm and unembed the last position alone.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `for layer, block in enumerate(model.blocks):`, `q, k, v = block.attention.project(block.norm1(x), positions)`, `k = torch.cat([cache.keys[layer], k], dim=2)` and the same for `v`. `x = x + block.attention.attend(q, k, v, mask)`. Return `model.unembed(model.norm(x[:, -1]))` and `Cache(tuple(keys), tuple(values), seen)`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "decoder-decode_step", "locked": false, "schema_version": 3, "solution": true, "task": false}
@check_shapes
def decode_step(
    model: DecoderLM,
    token: Int64[Tensor, "batch time"],
    cache: Cache | None = None,
    attention_mask: Shaped[Tensor, "batch time"] | None = None,
) -> tuple[Float[Tensor, "batch vocab"], Cache]:
    """Read the new ids [batch, time]; (logits after the last one [batch, vocab], longer cache).

    >>> logits, cache = decode_step(model, torch.tensor([[1, 2, 3]]))
    >>> logits, cache = decode_step(model, torch.tensor([[4]]), cache)
    """
    seen = seen_tokens(token, attention_mask, model.config.vocab_size)
    if cache is not None:
        layers, rows = len(model.blocks), len(token)
        if len(cache.keys) != layers or len(cache.attention_mask) != rows:
            got = f"{len(cache.keys)} layers and {len(cache.attention_mask)} rows"
            raise ValueError(f"cache must have {layers} layers, {rows} rows, got {got}")
        seen = torch.cat([cache.attention_mask, seen], dim=1)  # [batch, source]
    positions, mask = positions_and_mask(seen, token.shape[1])

    ### BEGIN SOLUTION
    x = model.embed(token, positions)  # [batch, time, width], the new tokens alone
    keys, values = [], []
    for layer, block in enumerate(model.blocks):
        q, k, v = block.attention.project(block.norm1(x), positions)
        if cache is not None:
            k = torch.cat([cache.keys[layer], k], dim=2)  # [batch, kv_heads, source, d_k]
            v = torch.cat([cache.values[layer], v], dim=2)
        keys.append(k)
        values.append(v)
        x = x + block.attention.attend(q, k, v, mask)
        x = x + block.feed_forward(block.norm2(x))
    logits = model.unembed(model.norm(x[:, -1]))  # [batch, vocab]
    return logits, Cache(tuple(keys), tuple(values), seen)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-decoder-decode_step", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
check("decoder.decode_step", decode_step)
### BEGIN HIDDEN TESTS
check("decoder.decode_step", decode_step, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# ## 6. A real model in your class
#
# **SmolLM2-135M-Instruct is a decoder like yours, with other numbers and a few other parts.** It turns queries and keys by their position (RoPE, notebook 02) in place of a position table, normalises by RMSNorm, has SwiGLU in the feed-forward (notebook 04), no biases, and every three of its query heads share one head of keys and values (*grouped-query attention*, Ainslie and others 2023). `DecoderBlock` knows all of that from the config; your class need not care.
#
# `read_smollm2` reads the weights from the installed file, under the names of your parts. Put them into *your* class, and compare with the finished one of `course_lib`:

# %% tags=["experiment"]
weights, smol_config = read_smollm2()
smol = build_model(DecoderLM, smol_config, weights)
finished = build_model(FinishedDecoder, smol_config, weights)
tokenizer = load_smollm2_tokenizer()
print(smol_config)
print(f"{n_parameters(smol_config):,} parameters")
prompt = torch.tensor([tokenizer.encode("The capital of France is")])
with torch.no_grad():
    difference = (smol(prompt) - finished(prompt)).abs().max().item()
print(f"largest difference of the logits: {difference:.5f}")
del finished


# %% [markdown]
# Let it write with your `decode_step`, always taking the most likely token. (Other ways to choose are the subject of notebook 08.)

# %% tags=["experiment"]
def continue_greedily(model, ids, n_tokens):
    ids, cache, token = ids.clone(), None, ids
    with torch.no_grad():
        for _ in range(n_tokens):
            logits, cache = decode_step(model, token, cache)
            token = logits.argmax(-1, keepdim=True)  # [batch, 1]
            ids = torch.cat([ids, token], dim=1)
    return ids


print(tokenizer.decode(continue_greedily(smol, prompt, 12)[0].tolist()))

# %% [markdown]
# ### What the cache is worth
#
# One more token, after texts of different length, with the cache and without:

# %% tags=["experiment", "nbval-ignore-output"]
lengths = [16, 64, 128, 192]
page = torch.tensor([tokenizer.encode(" ".join(s.text for s in world.stories(12, seed=5)))])
seconds = {"without a cache: the whole text again": [], "with a cache": []}


@torch.no_grad()
def best_seconds(work):
    """The shorter of two runs."""
    times = []
    for _ in range(2):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


for length in lengths:
    old, new = page[:, :length], page[:, length : length + 1]
    with torch.no_grad():
        _, cache = decode_step(smol, old)
    both = page[:, : length + 1]
    seconds["without a cache: the whole text again"].append(best_seconds(lambda x=both: smol(x)))
    seconds["with a cache"].append(best_seconds(lambda x=new, c=cache: decode_step(smol, x, c)))
for name, values in seconds.items():
    print(f"{name}: {1000 * values[0]:.0f} ms after {lengths[0]} tokens, {1000 * values[-1]:.0f} ms after {lengths[-1]}")
plots.plot_step_time(lengths, seconds)


# %% [markdown]
# **Claim:** without a cache each further token costs more than the one before, with a cache nearly always the same. **Measured:** that is so. A text of n tokens takes the work of about $n^2 / 2$ tokens without the cache and of n with it. (Not quite the same: the look at the keys does grow with the text. In this model, at these lengths, it is small beside the rest.)
#
# Reading a *prompt* is another matter. All its tokens are known, so they go through the model at once, and the cache is filled in one pass. That is why a chat model takes a moment before its first word, and then writes evenly.

# %% [markdown]
# ## 7. What it costs in memory
#
# **While a model writes, three things lie in memory: the weights, which are there once; the cache, which grows with every token of every text; and the activations of the step that is being computed.**
#
# By hand, for a model of 2 layers and width 8 that writes one text of 10 tokens. Each layer keeps for each token a key and a value of 8 numbers together for all heads: 2 layers × 10 tokens × 2 × 8 = 320 numbers. In float32 a number takes 4 bytes: 1280 bytes.
#
# The activations are small, because a step computes one token for each text. At its widest moment there are the stream and its normalised copy, `width` numbers each, and the longest vector that is made from them. That is one of three: the scores of all heads over all tokens, `n_heads * length`; the hidden channels of the feed-forward, `ffn_width`; or the logits, `vocab_size`.

# %% [markdown]
# ### Exercise: inference_memory (3 points)
#
# Count the bytes it takes to write.
#
# - `config`: a `DecoderConfig`; `batch` texts of `length` tokens each; `bytes_per_value`: 4 for float32, 2 for 16-bit floats, 0.5 for 4 bits.
# - Return a dict of ints: `weights`, `cache`, `activations`, `total`. Round each part up; the total is their sum.
# - `weights`: `n_parameters(config)` (given) counts the parameters.
# - `cache`: a head has `width // n_heads` channels. `config.n_kv_heads` heads keep keys and values; None means as many as there are query heads.
# - `activations`: as described above, for each text.
#
# ```python
# config = DecoderConfig(vocab_size=20, max_length=16, width=8, n_layers=2, n_heads=2, ffn_width=32)
# inference_memory(config, batch=1, length=10, bytes_per_value=4)["cache"]  # 1280
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# First count *values*, then multiply everything by the bytes of one. For the cache, write down all its axes: layers, texts, tokens, key and value, heads, channels of a head.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# Cache: the product of those six numbers. Activations: batch × (2 × width + the longest of three). `math.ceil` rounds up and gives an int. The total is the sum of the three.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `d_k = config.d_k`, `kv_heads = config.n_kv_heads or config.n_heads`, `longest = max(config.n_heads * length, config.ffn_width, config.vocab_size)`. Then a dict of values, `{part: math.ceil(count * bytes_per_value) for ...}`, and add `total`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "decoder-inference_memory", "locked": false, "schema_version": 3, "solution": true, "task": false}
def inference_memory(
    config: DecoderConfig, batch: int, length: int, bytes_per_value: float
) -> dict[str, int]:
    """Bytes while writing: {"weights", "cache", "activations", "total"}.

    >>> config = DecoderConfig(20, max_length=16, width=8, n_layers=2, n_heads=2, ffn_width=32)
    >>> inference_memory(config, batch=1, length=10, bytes_per_value=4)["activations"]
    192
    """
    for name, number in {"batch": batch, "length": length}.items():
        if number < 1:
            raise ValueError(f"{name} must be at least 1, got {number}")
    if not bytes_per_value > 0:
        raise ValueError(f"bytes_per_value must be above 0, got {bytes_per_value}")

    ### BEGIN SOLUTION
    d_k = config.d_k
    kv_heads = config.n_kv_heads or config.n_heads
    longest = max(config.n_heads * length, config.ffn_width, config.vocab_size)
    values = {
        "weights": n_parameters(config),
        "cache": config.n_layers * batch * length * 2 * kv_heads * d_k,
        "activations": batch * (2 * config.width + longest),
    }
    memory = {part: math.ceil(count * bytes_per_value) for part, count in values.items()}
    return memory | {"total": sum(memory.values())}
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-decoder-inference_memory", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check("decoder.inference_memory", inference_memory)
### BEGIN HIDDEN TESTS
check("decoder.inference_memory", inference_memory, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# Does the count agree with what is really there? Weights and cache of SmolLM2 can be weighed, tensor by tensor:

# %% tags=["experiment"]
with torch.no_grad():
    _, cache = decode_step(smol, page[:, :200])
weighed = {
    "weights": sum(parameter.nbytes for parameter in smol.parameters()),
    "cache": sum(tensor.nbytes for tensor in (*cache.keys, *cache.values)),
}
counted = inference_memory(smol_config, batch=1, length=200, bytes_per_value=4)
for part in ("weights", "cache", "activations"):
    there = f"{weighed[part]:13,} weighed" if part in weighed else ""
    print(f"{part:11} {counted[part]:13,} bytes counted {there}")

# %% tags=["experiment"]
spans = [2**power for power in range(7, 14)]
own_heads = replace(smol_config, n_kv_heads=None)
caches = {
    "cache, 1 text": [inference_memory(smol_config, 1, n, 2)["cache"] for n in spans],
    "cache, 32 texts": [inference_memory(smol_config, 32, n, 2)["cache"] for n in spans],
    "cache, 32 texts, if every head kept its own": [inference_memory(own_heads, 32, n, 2)["cache"] for n in spans],
}
plots.plot_memory(spans, 2 * n_parameters(smol_config), caches, "SmolLM2 in 16-bit floats: the cache outgrows the weights")

# %% [markdown]
# For one short text the weights are nearly everything. For many long ones the cache is. That is what shared key-value heads are for: SmolLM2 has 9 query heads and 3 heads of keys and values, and its cache is a third of what it would be.
#
# The count is the least that is needed. Your `decode_step` needs more for a moment: `torch.cat` makes a longer copy of each layer's cache while the old one is still there. Programs that serve many people reserve the place in advance and write into it.

# %% [markdown]
# ## 8. Take it with you
#
# A model that only this course can load would be a pity. `export_decoder` writes a folder in the form that the `transformers` library loads with `AutoModelForCausalLM.from_pretrained(folder)`: the sizes in `config.json`, the weights in `model.safetensors`, the vocabulary in `tokenizer.json`. The tests of this course hold the logits of both equal. To `transformers`, our racer is a GPT-NeoX (a GPT-2 with rotary positions); SmolLM2 would be a LLaMA. Here we write it, look at it, and read it back:

# %% tags=["experiment"]
words = Tokenizer(models.WordLevel(world.token_to_id))
words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
with tempfile.TemporaryDirectory() as folder:
    export_decoder(gpt, folder, words)
    for path in sorted(Path(folder).iterdir()):
        print(f"{path.name:18} {path.stat().st_size:9,} bytes")
    said = json.loads((Path(folder) / "config.json").read_text())
    back = load_decoder(folder)
print({name: said[name] for name in ("model_type", "hidden_size", "num_hidden_layers", "hidden_act")})
same = all(torch.equal(a, b) for a, b in zip(gpt.parameters(), back.parameters()))
print("every weight came back, bit by bit:", same)

# %% [markdown]
# ## Check what you remember
#
# Before you read the summary, find out what stayed. Think first, then open the answer you would give: it says whether it is right, and why. (The same in Portuguese: *Em português*, below the questions.)
#
# Later, `course review` in a terminal brings the ideas of this notebook back as flashcards, shortly before you would forget them.

# %% tags=["experiment"]
from course_lib.review import quiz

quiz("06_decoder_only")

# %% [markdown]
# ## Summary
#
# - A language model gives P(next token | tokens before). An **n-gram** model counts; it forgets all but n - 1 tokens, and every context is a fact of its own to it.
# - The **loss** is the mean surprise about what really came, in nats. The logits at t are about the id at t + 1, and **the loss shifts, once**. **Perplexity** is e to the loss.
# - The **entropy** of the text is the floor of every model. What lies above it is what the model does not know. A loss below it is a leak.
# - A **decoder-only transformer**: token and position vectors, causal pre-norm blocks, a last norm, the token table again. The causal mask makes every position a training example.
# - **Training**: random windows, a learning rate that climbs and falls, clipped gradients. A checkpoint that shall continue exactly holds model, optimiser, generator and step.
# - On a million tokens of a world with known entropy, the transformer came within 5 % of the floor, below n-grams and an LSTM.
# - A **KV cache** keeps keys and values, because they never change under a causal mask. A step then costs one token's work.
# - **Memory**: weights once, the cache for every token of every text, activations of one step. Long texts and large batches make the cache the largest; shared key-value heads shrink it.
#
# ## Test yourself
#
# <details><summary>1. A model gives the right next token probabilities 1/2, 1/8 and 1/4 at three places. What are its loss and its perplexity?</summary>
#
# The surprises are log 2, 3 log 2 and 2 log 2; their mean is 2 log 2, about 1.39 nats. The perplexity is e to that: 4.
#
# </details>
# <details><summary>2. A batch has 8 rows of 64 tokens without filling. How many predictions does its loss average?</summary>
#
# 8 × 63 = 504. The last position of each row has no next token.
#
# </details>
# <details><summary>3. Your new model reaches a loss of 0.3 on held-out Storyland stories, whose entropy is about 0.65. Celebrate?</summary>
#
# No. Nothing can be below the entropy. Look for a leak: a missing causal mask, a missing shift.
#
# </details>
# <details><summary>4. Why does the cache hold keys and values, but no queries?</summary>
#
# A token's query is used when that token looks around, once. Its key and value are used by every later token.
#
# </details>
# <details><summary>5. A model has 30 layers, 3 key-value heads of 64 channels, 16-bit values. How much cache does one token of one text take?</summary>
#
# 30 × 2 × 3 × 64 = 11,520 values, so 23,040 bytes.
#
# </details>
#
# ## Where to read on
#
# - Claude Shannon, [*A Mathematical Theory of Communication*](https://doi.org/10.1002/j.1538-7305.1948.tb01338.x) (1948), section 3: English from n-grams, by hand. And *Prediction and Entropy of Printed English* (1951).
# - Stanley Chen and Joshua Goodman, *An Empirical Study of Smoothing Techniques for Language Modeling* (Harvard University, TR-10-98, 1998), sections 2 and 5: better ways to smooth than ours.
# - Alec Radford and others, *Language Models are Unsupervised Multitask Learners* (2019), section 2: GPT-2, the architecture of `DecoderLM` with its defaults.
# - Tom Brown and others, [*Language Models are Few-Shot Learners*](https://arxiv.org/abs/2005.14165) (2020), appendix B: how GPT-3 was trained, with warmup, cosine and clipping.
# - Joshua Ainslie and others, [*GQA: Training Generalized Multi-Query Transformer Models from Multi-Head Checkpoints*](https://arxiv.org/abs/2305.13245) (2023), section 2.
# - Reiner Pope and others, [*Efficiently Scaling Transformer Inference*](https://arxiv.org/abs/2211.05102) (2022), section 2: time and memory of writing.
#
# Next: [notebook 07](../07_encoder_decoder/07_encoder_decoder.ipynb) gives the writer another text to read.
