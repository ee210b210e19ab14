# %% [markdown]
# # Start here
#
# **What happens between the text you type and the text that comes back?**
#
# A language model reads a text and answers with probabilities for what comes next. On this page you build the oldest such model, look into a modern one while it works, and let it write. The notebooks after this one open its parts, one by one.
#
# > **You will build** the suggestions of a phone keyboard, the step that turns scores into a written word, and the sum that says how probable a text is.
# >
# > **You need** Python, and what a vector is. Nothing about neural networks.
# >
# > **It takes** about 45 minutes to work through, and under 30 seconds to run.
#
# Run the cells from top to bottom: click on one and press Shift and Enter together. (Just opened? Wait until the line at the bottom says *Idle*: before that, JupyterLab passes over cells without a word.) This first one fetches everything the page uses.

# %%
from collections import Counter
from itertools import pairwise
from math import exp, fsum, log

import torch
from ipywidgets import Layout, Text, interact
from jaxtyping import Float, Int64
from torch import Tensor

from course_lib.attention import causal_mask
from course_lib.checks import check, evaluate
from course_lib.data.python_reference import python_reference_text
from course_lib.plots.probability import label_chart, log_prob_chart, machine, next_token_chart
from course_lib.pretrained import load_smollm2
from course_lib.shapes import check_shapes

# %% [markdown]
# ## 1. Before transformers: the keyboard of a phone
#
# While you type, a phone offers the words that may come next. A keyboard can do that by remembering which word has followed which. This is called a *bigram model*: it knows pairs of words, and nothing more.
#
# Here is a text short enough to count by hand. What has followed `the`?

# %%
text = "the cat sat on the mat and the cat slept"
for before, after in pairwise(text.split()):
    if before == "the":
        print(before, "->", after)


# %% [markdown]
# Something followed `the` three times: twice it was `cat`, once `mat`. So the keyboard says
#
# $$P(\text{cat} \mid \text{the}) = \frac{2}{3} \qquad P(\text{mat} \mid \text{the}) = \frac{1}{3}$$
#
# The bar is read "given": the probability of `cat`, given that `the` was typed. The probabilities of everything that may follow sum to 1. Such a set of numbers is called a *probability distribution*, and it is what every language model gives, this small one and the largest.
#
# ### How an exercise works
#
# You are about to write this keyboard. It is the first exercise of the course, so let us look at how exercises go. Each has three parts:
#
# 1. **The task.** Below it are three hints, folded away. The first is a nudge, the second a plan, the third almost the code. Click on one to open it. They cost nothing.
# 2. **A cell to write in.** Replace the line `raise NotImplementedError` by your code and run the cell. The lines above it are given.
# 3. **A check.** It says at once whether your function is right, and if it is not, what the matter is. Run it as often as you like.
#
# Let us watch a check fail, on purpose. Somebody wrote this keyboard, and it is not quite right. `evaluate` tries it on many cases and shows the report that a check would show:

# %% tags=["experiment"]
def first_try(text, word, k):
    followers = Counter(after for before, after in pairwise(text.split()) if before == word)
    ranked = sorted(followers.items(), key=lambda item: (-item[1], item[0]))
    return ranked[:k]


evaluate("probability.autocomplete_bigram", first_try)


# %% [markdown]
# How to read a report:
#
# - **The first line** names the mistake, if it is one that people often make.
# - **The sentence below** says what is wrong and where to look. For a mistake nobody has described yet, it says what differs, or which line stopped with an error.
# - **The table** holds the smallest case that went wrong: what went in, what was expected, and what came out. Getting this one case right is a good next step.
#
# A right function gets a ✓ and its points. Until then the check stops *Run All* at its cell, so that you notice. You may go on all the same: the rest of the page works, except for the cells that use that function.

# %% [markdown]
# ### Exercise: autocomplete_bigram (2 points)
#
# Write the keyboard: what it offers after `word`, having read `text`.
#
# - Words are what `text.split()` gives: capitals and punctuation stay as they are.
# - The probability of a next word is the number of times it followed `word`, divided by the number of times anything followed `word`.
# - Return a list of at most `k` pairs (next word, probability), most likely first. Among equally likely words, alphabetical order decides.
# - If nothing ever followed `word`, return an empty list.
#
# ```python
# autocomplete_bigram("the cat sat on the mat and the cat slept", "the", 1)
# # [('cat', 0.6666666666666666)]
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# The cell with the tiny text already finds what followed `the`. Count these words instead of printing them. `Counter`, imported above, counts the items of anything you give it.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# Count the followers. Sort the pairs (word, count) with a key that puts high counts first and, among equal counts, the alphabet. Then divide each count by the sum of *all* counts, and keep the first `k`.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `followers = Counter(... for before, after in pairwise(text.split()) if ...)`, then `ranked = sorted(followers.items(), key=lambda item: (-item[1], ...))`. The sum of all counts is `followers.total()`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "probability-autocomplete_bigram", "locked": false, "schema_version": 3, "solution": true, "task": false}
def autocomplete_bigram(text: str, word: str, k: int) -> list[tuple[str, float]]:
    """At most k pairs (next word, probability) for what followed `word` in `text`.

    Most likely first, ties alphabetically; [] if nothing ever followed `word`.

    >>> autocomplete_bigram("to be or not to be", "to", 3)
    [('be', 1.0)]
    """
    if not isinstance(text, str) or not isinstance(word, str) or not isinstance(k, int):
        got = ", ".join(type(value).__name__ for value in (text, word, k))
        raise TypeError(f"text, word and k must be str, str and int, got {got}")
    if k < 0:
        raise ValueError(f"k must not be negative, got {k}")

    ### BEGIN SOLUTION
    followers = Counter(after for before, after in pairwise(text.split()) if before == word)
    ranked = sorted(followers.items(), key=lambda item: (-item[1], item[0]))
    return [(after, count / followers.total()) for after, count in ranked[:k]]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-probability-autocomplete_bigram", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("probability.autocomplete_bigram", autocomplete_bigram)
### BEGIN HIDDEN TESTS
check("probability.autocomplete_bigram", autocomplete_bigram, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# Now give your keyboard something to read: the language reference that comes with Python itself. Put in words of your own.

# %% tags=["experiment", "nbval-ignore-output"]
reference_text = python_reference_text()
print(f"read {len(reference_text.split()):,} words\n")
for word in ["keyword", "list", "of", "kettle"]:
    offers = autocomplete_bigram(reference_text, word, 4)
    print(f"{word:8} -> {', '.join(f'{after} ({p:.2f})' for after, p in offers)}")

# %% [markdown]
# After `keyword` it has a clear opinion. After a word that it never met, it has none. And whatever you typed before the last word plays no part: that is the limit of this model. A transformer looks at everything you typed.
#
# ## 2. The whole machine in one page
#
# SmolLM2 is a transformer of today, small enough to run on your own processor, without a network ([Ben Allal et al. 2025](https://arxiv.org/abs/2502.02737)). What training has taught it is stored in its *parameters*, the numbers that everything else is computed from. (To keep the download small they come rounded, most of them to 4 bits, so its answers differ a little from the original's.) We load it once:

# %% tags=["experiment"]
model, tokenizer = load_smollm2()
model.requires_grad_(False)  # we use it here, we do not train it
n_parameters = sum(parameter.numel() for parameter in model.parameters())
print(f"{n_parameters / 1e6:.1f} million parameters, {len(model.blocks)} blocks")

# %% [markdown]
# From text to text there are three phases. **Preprocess** turns text into numbers, **forward** sends the numbers through the network, and **postprocess** turns the numbers that come out into an answer. In between lie these stages:
#
# | phase | stage | you will build it in notebook |
# |---|---|---|
# | preprocess | text → ids | 01 |
# | forward | ids → vectors | 02 |
# | forward | vectors → through the blocks → vectors | 03, 04 |
# | forward | vectors → logits | 02 |
# | postprocess | logits → probabilities → text | here and 03 |
#
# Let us walk one sentence through, and look at the value and its *shape* (how many numbers there are along each axis) at every stage.
#
# **Preprocess: text → ids.** The text is cut into *tokens*: pieces from a fixed list, the *vocabulary*. A token is often a word together with the blank before it. Its place in the list is its *id*.

# %% tags=["experiment"]
prompt = "The sun rises in the"
ids = torch.tensor([tokenizer.encode(prompt)])
tokens = [tokenizer.decode([id]) for id in ids[0].tolist()]
print(tokens)
print(ids, "shape", list(ids.shape))

# %% [markdown]
# The shape says: one text, five tokens. Models read several texts at once, so the first axis counts texts. It is called the *batch*.
#
# **Forward: ids → vectors.** Each id picks one row of a big table. From here on, a token is a row of numbers.

# %% tags=["experiment"]
vectors = model.token_embedding(ids)
print("the first numbers of the last token:", [round(v, 2) for v in vectors[0, -1, :5].tolist()])
print("shape", list(vectors.shape))

# %% [markdown]
# **Forward: through the blocks.** In each block every token first takes in something of the tokens before it (*attention*), and then works on its own vector (*feed-forward*). The blocks are also told where each token stands, and a *mask* sees to it that nobody looks ahead. The numbers change; the shape stays.

# %% tags=["experiment"]
positions = torch.arange(len(tokens))[None]
mask = causal_mask(len(tokens))
x = vectors
for block in model.blocks:
    x = block(x, mask, positions)
print("the same numbers of the last token:", [round(v, 1) for v in x[0, -1, :5].tolist()])
print("shape", list(x.shape))

# %% [markdown]
# **Forward: vectors → logits.** At each position, every token of the vocabulary gets one score for being the next. Such a score is called a *logit*. It may be any number, and higher means more likely. These few cells are all that happens when you call `model(ids)`:

# %% tags=["experiment"]
logits = model.unembed(model.norm(x))
print("shape", list(logits.shape))
print("the same as model(ids):", torch.allclose(logits, model(ids), atol=1e-3))

# %% [markdown]
# Each of the five rows answers for its own position: it scores what comes after the tokens up to there. Here is the favourite of each row.

# %% tags=["experiment"]
for position, row in enumerate(logits[0]):
    seen = tokenizer.decode(ids[0, : position + 1].tolist())
    print(f"{seen!r:24} -> {tokenizer.decode([int(row.argmax())])!r}")


# %% [markdown]
# For the next token of the whole text, the last row is the one to read. Reading another row is a common slip, and nothing stops you: the answer is a fine distribution, to another question.
#
# **Postprocess: logits → probabilities → text.** *Softmax* makes probabilities of logits: it raises $e$ to each of them and divides by the sum. Every result is positive, all together sum to 1, and the order stays. Then ids become text again.
#
# Here are the three phases as one short function. You will use it on your own texts in a moment.

# %% tags=["experiment"]
def suggest(prompt, k=8):
    """The k most likely next tokens and their probabilities."""
    ids = torch.tensor([tokenizer.encode(prompt)])  # preprocess: [1, time]
    logits = model(ids)[0, -1]  # forward, and the row of the last position: [vocab]
    best = logits.softmax(0).topk(k)  # postprocess
    return [(tokenizer.decode([id]), p) for id, p in zip(best.indices.tolist(), best.values.tolist())]


for token, probability in suggest(prompt, 5):
    print(f"{probability:.2f}  {token!r}")

# %% [markdown]
# The whole way in one picture, drawn from the numbers above. In the two colourful panels a row is a token and a colour is a number: red above zero, blue below (each row has its own scale). The mark ␣ stands for a blank.

# %% tags=["experiment", "nbval-ignore-output"]
machine(tokens, ids[0], vectors[0], x[0], logits[0, -1], suggest(prompt, 5))


# %% [markdown]
# ## 3. The answer is a distribution
#
# SmolLM2 did not answer "sky". It gave a probability to each token of its vocabulary, and ` sky` got the largest. The sun rises in the east, and ` east` came second: the model says what is likely to be written next, which is not always what is true.
#
# Try your own beginnings. Type into the field and press Enter. (The field needs a running notebook; the chart after it stays on the page without one.)

# %% tags=["experiment", "nbval-ignore-output"]
@interact(
    prompt=Text("My favourite food is", continuous_update=False, layout=Layout(width="40em"))
)
def what_comes_next(prompt):
    return next_token_chart({f"after: {prompt}": suggest(prompt)}) if prompt else None


# %% tags=["experiment", "nbval-ignore-output"]
beginnings = ["My favourite food is", "Twinkle, twinkle, little"]
next_token_chart({f"after: {beginning}": suggest(beginning) for beginning in beginnings})

# %% [markdown]
# Many words can follow the first beginning, so its bars are short. The second leaves little choice, and one bar is long.
#
# Now put your keyboard and SmolLM2 side by side, on two texts that end in the same word. To be fair to the keyboard: it has read one manual, and SmolLM2 very much more. But look at the two panels on the left.

# %% tags=["experiment", "nbval-ignore-output"]
panels = {}
for start in ["The sun rises in the", "To make tea, first boil the"]:
    last_word = start.split()[-1]
    panels[f"keyboard: {start}"] = autocomplete_bigram(reference_text, last_word, 6)
    panels[f"SmolLM2: {start}"] = suggest(start, 6)
next_token_chart(panels)

# %% [markdown]
# They are the same. The keyboard sees only `the` and cannot know whether it is about suns or tea, however much it reads. SmolLM2 uses the whole text. Notice as well that one works with words and the other with tokens, and that both answer in the same form: a distribution over what comes next.
#
# ## 4. From a distribution back to text
#
# To write, a program must choose one token. The simplest rule takes the most likely one and is called *greedy*. Softmax keeps the order, so we can compare the logits themselves:

# %%
four_logits = torch.tensor([1.2, -0.3, 3.1, 0.5])
print("probabilities:", [round(p, 2) for p in four_logits.softmax(0).tolist()])
print("the highest logit:", round(four_logits.max().item(), 2))


# %% [markdown]
# ### Exercise: greedy_next_token (1 point)
#
# Return the id of the token with the highest logit.
#
# - `logits` has the shape [vocab]: one number for each token, and the position in it is the id.
# - If several share the highest logit, return the first of them.
# - Return a Python `int`, not a tensor.
#
# ```python
# greedy_next_token(torch.tensor([1.2, -0.3, 3.1, 0.5]))
# # 2
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# `max` tells you how high the highest logit is. You want to know where it is.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# Tensors have a method for "the position of the largest". It returns a tensor with one number, so turn that into an `int`.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# The method is `argmax`. `int(...)` around it makes a Python number.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "probability-greedy_next_token", "locked": false, "schema_version": 3, "solution": true, "task": false}
@check_shapes
def greedy_next_token(logits: Float[Tensor, "vocab"]) -> int:
    """The id with the highest logit; among equals, the lowest id.

    >>> greedy_next_token(torch.tensor([0.0, 4.0, 4.0]))
    1
    """
    if len(logits) == 0:
        raise ValueError("logits must hold at least one number, got none")

    ### BEGIN SOLUTION
    return int(logits.argmax())  # torch documents that argmax takes the first of equals
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-probability-greedy_next_token", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
check("probability.greedy_next_token", greedy_next_token)
### BEGIN HIDDEN TESTS
check("probability.greedy_next_token", greedy_next_token, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# (The line `@check_shapes` reads the shapes in the signature and complains when something else comes in. You will meet it often.)
#
# Now let SmolLM2 write ten tokens with your function. Each token that it writes is put at the end of the text and read again. Writing in this way, one token at a time and from one's own words, is called *autoregressive*.

# %% tags=["experiment"]
written = tokenizer.encode("The sun rises in the")
for _ in range(10):
    next_logits = model(torch.tensor([written]))[0, -1]
    written.append(greedy_next_token(next_logits))
    print(tokenizer.decode(written))

# %% [markdown]
# What would break if the model saw only the last token, like the keyboard?

# %% tags=["experiment"]
written = tokenizer.encode("The sun rises in the")
for _ in range(10):
    next_logits = model(torch.tensor([written[-1:]]))[0, -1]
    written.append(greedy_next_token(next_logits))
print(tokenizer.decode(written))

# %% [markdown]
# The same parameters, the same rule, and no sentence: what makes the model good is what it reads of the text before.
#
# ## 5. Three tasks, one kind of answer
#
# Much of what language models are used for can be written as one of three probabilities. We now compute each with SmolLM2.
#
# ### P(x): how probable is a text?
#
# A text $x$ is a row of tokens $x_1, x_2, \dots$ Its probability is a product: of the first token, times the second given the first, times the third given the first two, and so on. This is the *chain rule*:
#
# $$P(x) = \prod_t P(x_t \mid x_{<t}) \qquad\text{so}\qquad \log P(x) = \sum_t \log P(x_t \mid x_{<t})$$
#
# Here $x_{<t}$ means all tokens before $x_t$. A product of many small numbers soon is too small for a computer, so we add logarithms instead. With the natural logarithm, the unit is called *nat*. A certain text has log-probability 0; less likely ones lie below it.
#
# Two tokens, with probabilities 0.5 and 0.8:

# %%
print("product of the probabilities:", 0.5 * 0.8)
print("sum of their logarithms:     ", round(log(0.5) + log(0.8), 3))
print("back again with exp:         ", round(exp(log(0.5) + log(0.8)), 3))


# %% [markdown]
# ### Exercise: chain_rule_log_prob (2 points)
#
# Return the log-probability of a whole text, in nats.
#
# - `next_token_log_probs` has the shape [time, vocab]. Row `t` holds the log-probabilities of all tokens at place `t`, given the tokens before that place.
# - `ids` has the shape [time]: the tokens that came. So row `t` belongs with `ids[t]`, and all of them count, the first one too.
# - Return a Python `float`. For an empty text it is 0.0.
#
# ```python
# table = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.8, 0.1]]).log()
# chain_rule_log_prob(table, torch.tensor([0, 1]))  # log 0.5 + log 0.8
# # -0.916...
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# In the example, put a finger on row 0, column `ids[0]`, then on row 1, column `ids[1]`. Which two numbers do you add?
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# Take one entry from each row, in the column that `ids` names, and add them up. A loop over `range(len(ids))` does it. Without a loop: index the table with two tensors, one of row numbers and one of columns.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `rows = torch.arange(len(ids))`, and then `next_token_log_probs[rows, ...]` has one number per row. `fsum` from `math` (imported above) adds the numbers of a list and returns a float; a tensor becomes a list with `.tolist()`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "probability-chain_rule_log_prob", "locked": false, "schema_version": 3, "solution": true, "task": false}
@check_shapes
def chain_rule_log_prob(
    next_token_log_probs: Float[Tensor, "time vocab"], ids: Int64[Tensor, "time"]
) -> float:
    """Log-probability of a text in nats: the sum of log P(x_t | x_<t), every token counted.

    >>> chain_rule_log_prob(torch.tensor([[0.25, 0.75]]).log(), torch.tensor([1]))
    -0.287...
    """
    vocab = next_token_log_probs.shape[1]
    if ((ids < 0) | (ids >= vocab)).any():
        raise ValueError(f"ids must lie in 0 ... {vocab - 1}, got {ids.tolist()}")

    ### BEGIN SOLUTION
    rows = torch.arange(len(ids))
    came = next_token_log_probs[rows, ids]  # [time]: of row t, the entry of the token that came
    return fsum(came.tolist())  # adds without rounding on the way
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-probability-chain_rule_log_prob", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("probability.chain_rule_log_prob", chain_rule_log_prob)
### BEGIN HIDDEN TESTS
check("probability.chain_rule_log_prob", chain_rule_log_prob, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# Now a sentence, and the same words shuffled. The first token has nothing before it that the model could read, so we put the special token `<|endoftext|>` in front, which marks the border between two texts. Row `t` has then seen exactly the tokens before place `t`.

# %% tags=["experiment"]
def log_probs_of(ids):
    """Row t: the log-probabilities of all tokens at place t, given ids[:t]. [time, vocab]"""
    border = tokenizer.special_tokens["<|endoftext|>"]
    rows = model(torch.tensor([[border, *ids]]))[0]
    return rows[:-1].log_softmax(-1)  # the last row would score what comes after the text


def score(text):
    ids = tokenizer.encode(text)
    return chain_rule_log_prob(log_probs_of(ids), torch.tensor(ids))


fluent, shuffled = "She put the letter in the box.", "box the in letter She put the."
for sentence in [fluent, shuffled]:
    print(f"{score(sentence):6.1f} nats  {sentence}")
times = exp(score(fluent) - score(shuffled))
print(f"\nthe first is about 10^{log(times, 10):.0f} times as probable")


# %% [markdown]
# The sum has one term per token, so we can see which tokens surprised the model: the deeper the bar, the less probable the token.

# %% tags=["experiment", "nbval-ignore-output"]
def cost_of_each_token(text):
    ids = tokenizer.encode(text)
    return [(tokenizer.decode([id]), row[id].item()) for id, row in zip(ids, log_probs_of(ids))]


log_prob_chart({sentence: cost_of_each_token(sentence) for sentence in [fluent, shuffled]})

# %% [markdown]
# In the sentence, the first words are the hardest to foresee. From `in` on, no token costs as much as 2 nats: what came before leaves little choice. Among the shuffled words nearly every token is a surprise, to the end.
#
# Order carries meaning too, and the model has noticed. Both of these are good English:

# %% tags=["experiment"]
for sentence in ["The dog bit the man.", "The man bit the dog."]:
    print(f"{score(sentence):6.1f} nats  {sentence}")


# %% [markdown]
# ### P(y | x): which answer fits this input?
#
# Translation, summary, question answering and chat all ask for a text $y$, given a text $x$. We need nothing new: put $y$ after $x$, and add up only the rows that belong to $y$.

# %% tags=["experiment"]
def score_given(x, y):
    x_ids, y_ids = tokenizer.encode(x), tokenizer.encode(y)
    rows = log_probs_of(x_ids + y_ids)[len(x_ids) :]
    return chain_rule_log_prob(rows, torch.tensor(y_ids))


answers = [" uno, dos, tres", " un, deux, trois", " one, two, three", " eins, zwei, drei"]
for language in ["Spanish", "French"]:
    question = f"English: one, two, three\n{language}:"
    print(f"log P(y | x) in nats, for {language}")
    for answer in answers:
        print(f"{score_given(question, answer):8.1f} {answer}")

# %% [markdown]
# The same four answers, another order: the input decides. For Spanish the right answer leads clearly. For French it is only just ahead of repeating the English words, which is what you may expect of a model this small. (The comparison is a rough one: the answers have different numbers of tokens, and every further token costs something.)
#
# Since $P(x, y) = P(x) \cdot P(y \mid x)$, the logarithms must add up. They do:

# %% tags=["experiment"]
question, answer = "English: one, two, three\nSpanish:", " uno, dos, tres"
print(f"log P(x) + log P(y | x) = {score(question) + score_given(question, answer):.1f}")
print(f"log P(x, y)             = {score(question + answer):.1f}")

# %% [markdown]
# ### P(c | x): which class does this text belong to?
#
# A class $c$ is one of a few labels, such as positive or negative. A model that only continues texts can do this as well: ask in a way that the next token is the label, and compare the two label words.

# %% tags=["experiment", "nbval-ignore-output"]
reviews = [
    ("The food was wonderful.", True),
    ("I loved this film.", True),
    ("Not bad at all.", True),
    ("I could not find a single fault.", True),
    ("The service was terrible.", False),
    ("A dull, boring film.", False),
    ("I did not like it.", False),
    ("It was so good that I fell asleep.", False),
]
chances, left_over = [], []
for review, _ in reviews:
    beginning = f"Review: {review}\nSentiment:"
    positive = exp(score_given(beginning, " positive"))
    negative = exp(score_given(beginning, " negative"))
    chances.append(positive / (positive + negative))  # only these two labels exist for us
    left_over.append(1 - positive - negative)

label_chart([review for review, _ in reviews], chances, [good for _, good in reviews], "positive")

# %% tags=["experiment"]
right = sum((chance > 0.5) == good for chance, (_, good) in zip(chances, reviews))
print(f"{right} of {len(reviews)} right")
print(f"given to any other word than the two labels: at least {min(left_over):.0%}")

# %% [markdown]
# It is right where single words tell. Three times the words point one way and the sentence the other: "bad" in praise, a "fault" that nobody found, "good" in a joke about falling asleep. It is wrong on all three. Also, most of the probability went to words that are not labels at all; we divided only the rest between the two. A model that can do a task is not yet a model that does it well, and a few hard cases show which one you have.
#
# So one model can do all three. Three families of transformers grew up around the three tasks:
#
# | task | example | the family made for it |
# |---|---|---|
# | $P(x)$ | go on writing | decoder-only (GPT, SmolLM2) |
# | $P(y \mid x)$ | translate | encoder-decoder (T5) |
# | $P(c \mid x)$ | is this review positive? | encoder-only (BERT) |
#
# ## 6. How to work with this course
#
# **Commands.** Beside the notebooks there is one command, `course`. Open a terminal (in JupyterLab: File, New, Terminal) in the folder of the course, save your notebook, and type:
#
# | you type | what happens |
# |---|---|
# | `course check 00_start_here` | runs your notebook from top to bottom without its experiments and lists what each check says |
# | `course submit 00_start_here` | grades a copy of it as an instructor would, on cases you have not seen, and opens a page with the feedback |
# | `course progress` | shows which exercises are done, and what the last check said |
# | `course reset 00 greedy_next_token` | puts an exercise's cell back as you found it, after keeping a copy of your notebook |
# | `course update 00` | puts the course's corrected text around your answers after you have fetched a newer course; your notebook is copied first, and no line of yours is lost |
# | `course review` | asks the flashcards that are due today |
# | `course doctor` | looks whether anything is missing on this machine, and says how to get it |
#
# `00` is enough for the name. If the terminal does not know `course`, turn the course's environment on first: `source .venv/bin/activate`.
#
# **Unseen cases** follow the same task with other numbers, some of them larger. They ask for nothing that the task does not say. You may submit as often as you like.
#
# **Stuck?** When the three hints are not enough, `from course_lib.checks import show_reference` and then `show_reference("probability.greedy_next_token")` tells you how to see the course's own solution, and what that costs: the exercise's points, in your own count.
#
# **Any order.** Whatever a notebook needs from an earlier one comes from the package `course_lib`, so you can start where you like, and an exercise that you skip blocks nothing later.
#
# **Your work is yours.** Two commands write into your notebooks, `course reset` and `course update`; both keep a copy first, in `workspace/.backups`. If you want a fresh copy of one, rename yours and run `course start`: it makes what is not there and leaves the rest alone.
#
# **The map.** Each notebook opens one part of the picture above.
#
# | notebook | the question |
# |---|---|
# | 00 Start here | what happens between text and text? |
# | [01 Tokenization](../01_tokenization/01_tokenization.ipynb) | how does text become ids? |
# | [02 Embeddings](../02_embeddings/02_embeddings.ipynb) | how do ids become vectors, and what do these mean? |
# | [03 Attention](../03_attention/03_attention.ipynb) | how do tokens look at each other? |
# | [04 The transformer block](../04_transformer_block/04_transformer_block.ipynb) | what makes a block, and why can many be stacked? |

# %% [markdown]
# ## Check what you remember
#
# Before you read the summary, find out what stayed. Think first, then open the answer you would give: it says whether it is right, and why. (The same in Portuguese: *Em português*, below the questions.)
#
# Later, `course review` in a terminal brings the ideas of this notebook back as flashcards, shortly before you would forget them.

# %% tags=["experiment"]
from course_lib.review import quiz

quiz("00_start_here")

# %% [markdown]
# ## Summary
#
# - A language model answers with a **probability distribution** over what comes next. A bigram model counts pairs of words and sees the last word only; a transformer sees the whole text.
# - The machine: **text → ids → vectors → blocks → logits → probabilities → text**. Preprocess, forward, postprocess. The shapes for one text of five tokens were [1, 5], then [1, 5, 576], then [1, 5, 49152].
# - Every row of the logits answers for its own position, and the last row answers for the next token of the whole text.
# - **Greedy** writing takes the highest logit, puts the token at the end of the text, and reads it all again.
# - The **chain rule** makes the probability of a text of the probabilities of its tokens; we add logarithms.
# - $P(x)$, $P(y \mid x)$ and $P(c \mid x)$ are three tasks, and all three can be asked of a model that predicts the next token. Likely is not the same as true.
#
# ## Test yourself
#
# <details><summary>1. A keyboard has read <code>a b a c a b a</code>. What is P(b | a)?</summary>
#
# 2/3. Something followed `a` three times: `b`, `c`, `b`. The last `a` is followed by nothing and does not count.
#
# </details>
# <details><summary>2. You give SmolLM2 one text of 12 tokens. What is the shape of the logits, and which row tells what comes next?</summary>
#
# [1, 12, 49152]. The last row, `logits[0, -1]`.
#
# </details>
# <details><summary>3. Why does <code>greedy_next_token</code> need no softmax?</summary>
#
# Softmax keeps the order. The highest logit becomes the highest probability.
#
# </details>
# <details><summary>4. Two tokens of a text had probabilities 0.5 and 0.1. What is the probability of the text, and what do we add up?</summary>
#
# 0.05. We add log 0.5 and log 0.1, which gives log 0.05.
#
# </details>
# <details><summary>5. Which of P(x), P(y | x), P(c | x) is: finding spam? Summarising a letter? Finding the sentence with a typing error among three?</summary>
#
# P(c | x), with the labels spam and not spam. P(y | x): the summary, given the letter. P(x): the sentence with the error is probably the least probable.
#
# </details>
#
# ## Where to read on
#
# - Claude Shannon, *A Mathematical Theory of Communication* (1948), section 3: makes text from bigrams by hand, with a book and a lot of patience.
# - Dan Jurafsky and James Martin, *Speech and Language Processing* (3rd edition, draft), chapter 3: n-gram models and the chain rule.
# - Ashish Vaswani and others, [*Attention Is All You Need*](https://arxiv.org/abs/1706.03762) (2017), sections 1 to 3: the transformer. You will be able to read it after notebook 04.
# - Loubna Ben Allal and others, [*SmolLM2*](https://arxiv.org/abs/2502.02737) (2025), section 1: how the family of models was made that yours belongs to.
