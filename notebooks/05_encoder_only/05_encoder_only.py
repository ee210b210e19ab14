# %% [markdown]
# # Encoder-only: reading
#
# **How does a machine understand a word whose meaning is decided by what comes after it?**
#
# *She was happy* and *She was happy rather than sad* begin alike, and so do *He left the bank* and *He left the bank on his boat*. A model that writes must go from left to right: the next word is not there yet. A model that only reads has the whole text in front of it, and may look to both sides at once. Such a model is called an **encoder**. The best known is BERT (Devlin et al. 2019), and this notebook builds a small one, teaches it to read without a single label, and then puts it to work.
#
# > **You will build** the way an encoder learns (hide words, guess them), the losses, the step from tokens to one vector for a text, labels for word pieces, and LoRA, the frugal way to adapt a large model. You will see a reader of moods that is not fooled by *not*, a finder of names, a search engine for this course, and a reader of handwriting.
# >
# > **You need** attention and masks (notebook 03), the block (notebook 04), tokens and padding (notebook 01).
# >
# > **It takes** about 120 minutes to work through, and under 60 seconds to run.

# %%
import copy
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from ipywidgets import Layout, Text, interact
from jaxtyping import Bool, Float, Int64, Shaped
from sklearn.feature_extraction.text import TfidfVectorizer
from torch import Tensor, nn

from course_lib.checks import check
from course_lib.data.digits import load_digits, to_patches
from course_lib.data.storyland import TAGS, Storyland
from course_lib.experiments import encoder as lab
from course_lib.experiments.search import docstring_passages, embed_texts, notebook_passages
from course_lib.finetuning import SequenceClassifier, TokenClassifier, trainable_parameters
from course_lib.plots import encoder as plots
from course_lib.pretrained import load_minilm
from course_lib.shapes import check_shapes
from course_lib.transformer import TransformerBlock

torch.set_printoptions(precision=3, sci_mode=False)

# %% [markdown]
# ## 1. Both sides
#
# **An encoder gives every token a vector that depends on all other tokens, the later ones included.** Nothing new has to be built for that: it is the block of notebook 04 without a causal mask. Only padding is hidden.
#
# How much does the right side help? Storyland, the small written world of this course, can answer exactly, because it knows the probability of every sentence it tells. (We use its small version.) Here is how one story begins:

# %%
world = Storyland(seed=0, size="small")
tokens = "in Florence , Italy , lives a nurse called Maria Bennett .".split()
place = 1

left = world.next_token_probs(world.ids(tokens[:place]))  # P(word | what stands to the left)
both = lab.true_fill_in(world, tokens, place)  # P(word | all the others)
for name, probs in (("left side alone", left), ("both sides     ", both)):
    top = probs.topk(3)
    words = [f"{world.vocab[i]} {p:.2f}" for p, i in zip(top.values, top.indices)]
    print(f"In [MASK], Italy, lives a nurse called ...  {name}: {', '.join(words)}")

# %% [markdown]
# After *In* alone, anything may come. With *Italy* and *Maria Bennett* on the right, there is nothing left to guess. The token `[MASK]` marks the gap.
#
# The second line uses a small piece of arithmetic that holds for any exact model of whole sentences. The probability of a word given all others is proportional to the probability of the sentence with that word in the gap; divide by the sum over all words.
#
# ### Can it learn by guessing the next word?
#
# Notebook 00 described language models as predicting the next word. Let us train our encoder that way and see. Its sentences are the openings of Storyland's stories, the loss is the usual one for next words, and nothing is masked. Storyland also knows the **entropy**: the mean surprise of the best possible left-to-right guesser, in nats per token. No honest model can go below it.

# %% tags=["experiment", "nbval-ignore-output"]
reader = lab.Reader(world)
openings, endings = lab.tell(world, 3000, seed=1)  # first and last sentences of 3,000 stories
test_openings, test_endings = lab.tell(world, 1000, seed=2)
opening_text = reader.batch(s.tokens for s in openings)

n_tokens = sum(len(s.tokens) for s in test_openings)
entropy = -sum(world.log_probs(world.ids(s.tokens)).sum().item() for s in test_openings) / n_tokens
cheat, cheat_losses = lab.learn_next_word_unmasked(reader, opening_text, seed=0)
for step in (1, 50, 100):
    print(f"step {step:3}: loss {cheat_losses[step - 1]:.2f}")
print(f"the best honest guesser: {entropy:.2f}")

# %% [markdown]
# The loss falls far below what is possible without cheating. And cheating it is: with no causal mask, the position that should predict the next word attends to that very word and copies it. The model has learned to look one to the right, and nothing about language.
#
# So an encoder needs another task: one in which the answer is not in the text it is given.

# %% [markdown]
# ## 2. Hide and guess
#
# **Masked language modelling: hide some tokens, and ask the model for exactly those.** BERT chooses 15 % of the tokens. Of the chosen ones,
#
# - 80 % become the token `[MASK]`,
# - 10 % become a random token of the vocabulary,
# - 10 % stay as they are,
#
# and the model must say, for all of them, what stood there. A random or an unchanged token looks like any other, so the model cannot sit back where it sees no `[MASK]`: each word might be the one it is asked about. (How much this matters is debated. In table 8 of the BERT paper, training with `[MASK]` alone makes little difference after fine-tuning, and costs some accuracy when the model is used frozen.)
#
# The answers are kept in a second tensor, the **labels**: the original id where a token was chosen, and -100 everywhere else. -100 is no id; it says "do not count this position", a convention of PyTorch's losses that this course keeps.
#
# By hand, with `[MASK]` = 99, and draws that somebody made for us:

# %%
ids = torch.tensor([11, 12, 13, 14, 15, 16])
draw = torch.tensor([0.04, 0.70, 0.13, 0.90, 0.144, 0.50])  # uniform in 0 ... 1, one for each token
chosen = draw < 0.15
print("labels:      ", ids.masked_fill(~chosen, -100).tolist())
print("draw / 0.15: ", [round(d, 2) if d < 1 else None for d in (draw / 0.15).tolist()])


# %% [markdown]
# Three tokens are chosen. The draw of a chosen token, divided by 0.15, is again uniform between 0 and 1, so the same draw can decide its fate: below 0.8 (the first: 0.27) it becomes `[MASK]`, between 0.8 and 0.9 (the third: 0.87) a random token, above 0.9 (the fifth: 0.96) it stays.

# %% [markdown]
# ### Exercise: mask_tokens (3 points)
#
# Choose tokens, hide them, and keep the answers.
#
# - `ids` is int64, `[batch, time]`. `special_mask` has the same shape; True = special token or padding, which is never chosen.
# - Every other token is chosen with `probability`, independently of all others, in each row and place anew.
# - Of the chosen ones 80 % become `mask_id`, 10 % any id from 0 to `vocab_size - 1`, each token its own, and 10 % stay.
# - Return two int64 tensors of the shape of `ids`: what the model reads, and the labels (-100 where nothing was chosen). Leave `ids` as it was.
# - All chance comes from `generator`: hand it to `torch.rand` and `torch.randint`.
#
# ```python
# none_special = torch.zeros(1, 3, dtype=torch.bool)
# mask_tokens(torch.tensor([[5, 6, 7]]), none_special, 99, 100, 1.0, torch.Generator())[1]
# # tensor([[5, 6, 7]])
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# `torch.rand(ids.shape, generator=generator)` gives each token a number of its own. The example above uses one such number for both decisions; two or three separate draws are just as right.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# A boolean tensor `chosen`: the draw is below `probability`, and the token is not special (`&`, `~`). The labels are the ids with -100 where not chosen, taken before anything changes. Then two more boolean tensors, one for what becomes the mask token and one for what becomes random. Draw a whole tensor of random ids and use it where wanted.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `masked = chosen & (draw < 0.8 * probability)` and `replaced = chosen & ~masked & (draw < 0.9 * probability)`. `random_ids = torch.randint(vocab_size, ids.shape, generator=generator)`. Then `torch.where(replaced, random_ids, ids.masked_fill(masked, mask_id))`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "encoder-mask_tokens", "locked": false, "schema_version": 3, "solution": true, "task": false}
@check_shapes
def mask_tokens(
    ids: Int64[Tensor, "*shape"],
    special_mask: Bool[Tensor, "*shape"],
    mask_id: int,
    vocab_size: int,
    probability: float,
    generator: torch.Generator,
) -> tuple[Int64[Tensor, "*shape"], Int64[Tensor, "*shape"]]:
    """Choose tokens and hide them, 80 / 10 / 10; returns what is read, and the labels.

    >>> mask_tokens(torch.tensor([[5, 6]]), torch.ones(1, 2, dtype=torch.bool), 99, 100, 0.5, torch.Generator())
    (tensor([[5, 6]]), tensor([[-100, -100]]))  # both special: nothing is chosen
    """
    if not 0 <= probability <= 1:
        raise ValueError(f"probability must lie in 0 ... 1, got {probability}")

    ### BEGIN SOLUTION
    draw = torch.rand(ids.shape, generator=generator)  # one draw a token decides all
    chosen = (draw < probability) & ~special_mask
    labels = ids.masked_fill(~chosen, -100)

    masked = chosen & (draw < 0.8 * probability)
    replaced = chosen & ~masked & (draw < 0.9 * probability)  # the last tenth stays
    random_ids = torch.randint(vocab_size, ids.shape, generator=generator)
    inputs = torch.where(replaced, random_ids, ids.masked_fill(masked, mask_id))
    return inputs, labels
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-encoder-mask_tokens", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check("encoder.mask_tokens", mask_tokens)
### BEGIN HIDDEN TESTS
check("encoder.mask_tokens", mask_tokens, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# Your function, on a thousand sentences of Storyland. `reader` puts a special token `[CLS]` in front of every sentence and fills up with `[PAD]`; both count as special.

# %% tags=["experiment"]
text = reader.batch(s.tokens for s in openings + endings)  # ids, attention_mask, special_mask
some = text[slice(1000)]
read, labels = mask_tokens(
    some.ids, some.special_mask, reader.mask_id, len(reader.vocab), 0.15, torch.Generator().manual_seed(0)
)
chosen = labels != -100
print("real tokens that were chosen:", f"{chosen.sum() / (~some.special_mask).sum():.2f}")
print("of these, now [MASK]:        ", f"{(read == reader.mask_id)[chosen].float().mean():.2f}")
print("of these, as they were:      ", f"{(read == some.ids)[chosen].float().mean():.2f}")
for row in (0, 2):
    print()
    print("read:  ", " ".join(reader.vocab[i] for i in read[row].tolist() if i != reader.pad_id))
    print("labels:", " ".join("·" if i == -100 else reader.vocab[i] for i in labels[row].tolist()))

# %% [markdown]
# ## 3. The loss, and a first reader
#
# **The loss is the mean surprise at the hidden tokens: minus the logarithm of the probability that the model gave to what stood there.** In *nats*, the unit of the natural logarithm. Nothing is shifted: the output at a position is about the token of that position. (The models of notebook 06 shift by one, because they tell the next token.)
#
# By hand, three positions, a vocabulary of two, and only the second position hidden:

# %%
probs = torch.tensor([[[0.9, 0.1], [0.25, 0.75], [0.5, 0.5]]])  # [batch, time, vocab]
labels = torch.tensor([[-100, 0, -100]])
print(f"-log 0.25 = {-math.log(0.25):.4f}; the other two positions do not count")


# %% [markdown]
# ### Exercise: masked_lm_loss (2 points)
#
# - `logits` is `[batch, time, vocab]`, before softmax. `labels` is int64 `[batch, time]`, -100 where nothing was hidden.
# - Return the mean of minus the log-probability of the label, over all labelled positions of the whole batch (not row by row), as a tensor with no axes. It carries gradients.
# - Without a single label the loss is 0, and its gradient too: `backward()` runs there as well.
#
# ```python
# masked_lm_loss(torch.zeros(1, 2, 4), torch.tensor([[3, -100]]))  # four equal shares: log 4
# # tensor(1.3863)
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# `log_softmax` goes from logits to log-probabilities in one step, without overflow. You need it only where there is a label.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# `labelled = labels != -100` picks rows: `logits[labelled]` is `[n, vocab]` and `labels[labelled]` is `[n]`. Take `log_softmax` over the last axis, then from each row the entry of its label (`gather`). Sum, minus, divide by n. If n is 0, divide by 1.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `of_labels = log_probs.gather(-1, labels[labelled][:, None])`, and at the end `-of_labels.sum() / labelled.sum().clamp(min=1)`. (`F.cross_entropy` with `reduction="sum"` and `ignore_index=-100` is another way; its plain mean is NaN without labels.)
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "encoder-masked_lm_loss", "locked": false, "schema_version": 3, "solution": true, "task": false}
@check_shapes
def masked_lm_loss(
    logits: Float[Tensor, "batch time vocab"], labels: Int64[Tensor, "batch time"]
) -> Float[Tensor, ""]:
    """Mean surprise at the labelled tokens, in nats; 0 without labels. Nothing is shifted.

    >>> masked_lm_loss(torch.zeros(1, 2, 4), torch.tensor([[3, -100]]))
    tensor(1.3863)
    """
    vocab = logits.shape[-1]
    if ((labels != -100) & ((labels < 0) | (labels >= vocab))).any():
        raise ValueError(f"labels must lie in 0 ... {vocab - 1} or be -100, got {labels}")

    ### BEGIN SOLUTION
    labelled = labels != -100
    log_probs = logits[labelled].log_softmax(-1)  # [n, vocab]: most positions are not even scored
    of_labels = log_probs.gather(-1, labels[labelled][:, None])  # [n, 1]
    return -of_labels.sum() / labelled.sum().clamp(min=1)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-encoder-masked_lm_loss", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("encoder.masked_lm_loss", masked_lm_loss)
### BEGIN HIDDEN TESTS
check("encoder.masked_lm_loss", masked_lm_loss, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# One step of training, by hand, with your two functions. The model is `MaskedLM` of `course_lib.encoder`: token, position and segment tables as in notebook 02, two blocks as in notebook 04, post-norm as in BERT, and a score for each word of the vocabulary at each position, from the dot products with the token table.

# %% tags=["experiment"]
model = lab.new_masked_lm(lab.encoder_config(reader), torch.Generator().manual_seed(0))
rows = text[torch.arange(64)]
read, labels = mask_tokens(
    rows.ids, rows.special_mask, reader.mask_id, len(reader.vocab), 0.3, torch.Generator().manual_seed(0)
)
logits = model(read, rows.attention_mask)
print("logits:", list(logits.shape), f"  parameters: {trainable_parameters(model):,}")
print(f"loss of an untrained model: {masked_lm_loss(logits, labels):.1f}")
print(f"every word equally likely:  {math.log(len(reader.vocab)):.1f}  (log {len(reader.vocab)})")

# %% [markdown]
# And four hundred such steps, 64 sentences each. We hide 30 % and not 15 %: our sentences have nine words, our time is short, and more gaps mean more to learn from in each step. (Wettig et al. 2022 found that 40 % can be better than 15 % for large models, too.) Nobody has labelled anything: text is all it needs. This is called **pre-training**.

# %% tags=["experiment", "nbval-ignore-output"]
pretrained, losses = lab.pretrain(reader, text, seed=0)
plots.plot_loss(losses, math.log(len(reader.vocab)))

# %% [markdown]
# What has it learned? Three gaps, the model's guess beside the truth:

# %% tags=["experiment", "nbval-ignore-output"]
GAPS = [
    "in [MASK] , Italy , lives a nurse called Maria Bennett .",
    "Peter Andersen lives in Florence and works as a [MASK] .",
    "the cow [MASK] the dog near the square .",
]
guesses = {}
for sentence in GAPS:
    tokens = sentence.split()
    place = tokens.index("[MASK]")
    truth = lab.true_fill_in(world, [*tokens[:place], world.vocab[0], *tokens[place + 1 :]], place)
    with torch.no_grad():
        logits = pretrained(*reader.batch([tokens]).inputs)[0, place + 1]  # [CLS] stands in front
    probs = logits.softmax(-1)[: len(world.vocab)]
    best = (probs + truth).topk(6).indices.tolist()
    words = [world.vocab[i].replace("_", " ") for i in best]
    guesses[sentence] = (words, probs[best].tolist(), truth[best].tolist())
plots.plot_fill_in(guesses)

# %% [markdown]
# Facts of this world (who works as what), grammar (a verb, not a noun), and how often each verb is used: all of that from hiding and guessing.
#
# ### Does BERT predict the next word?
#
# **Claim, found in many notes: "BERT predicts the next word."** Let us ask our small BERT in two ways. First, nothing is hidden: is its likeliest word at a position the one that stands there, or the one that comes next? Second, one word of each sentence is hidden: how surprised is the model by it, and how surprised would the best possible guesser be, one that sees both sides, and one that sees only the left side as a next-word predictor does?

# %% tags=["experiment", "nbval-ignore-output"]
test_text = reader.batch(s.tokens for s in test_openings)
for name, model in (("trained by masking", pretrained), ("trained on next words (section 1)", cheat)):
    shares = lab.shares_predicted(model, test_text)
    print(f"{name:34} likeliest is {', '.join(f'{k}: {v:.0%}' for k, v in shares.items())}")
print()
surprise = lab.hidden_word_losses(pretrained, world, reader, test_openings[:200], seed=0)
for name, loss in surprise.items():
    print(f"surprise at a hidden word, {name:17}: {loss:.2f} nats")

# %% [markdown]
# **Measured:** no. The masked model's output at a position is about *that* position, hardly ever about the next one. Given both sides it is less surprised by a hidden word than the best next-word predictor could be, because it uses the right side. Cut the right side off, and it does badly: it has never learned to read without one.
#
# **What would break if** you let it write? You would put `[MASK]` at the end, fill it, and append the next `[MASK]`. That is the last line of the measurement: the one case it has not been trained for. Encoders read, decoders write.

# %% [markdown]
# ## 4. From tokens to a text: which mood?
#
# **A classifier asks for P(class | text): one answer for the whole text.** An encoder gives a vector for each token. To get one for the text, take the mean. (BERT takes the vector of `[CLS]`, which has been trained to hold a summary; for sentence vectors, the mean has proved the safer choice, Reimers and Gurevych 2019, table 6.)
#
# The catch is padding. Two tokens and one filler:

# %%
hidden = torch.tensor([[[1.0, 2.0], [3.0, 6.0], [9.0, 9.0]]])  # [batch, time, width]
attention_mask = torch.tensor([[1, 1, 0]])  # the third is padding
print("mean of all three:       ", hidden.mean(1))
print("mean of the first two:   ", hidden[:, :2].mean(1))


# %% [markdown]
# ### Exercise: mean_pool (2 points)
#
# - `hidden` is `[batch, time, width]`; `attention_mask` is `[batch, time]`, 1 for a token and 0 for padding, wherever it stands. It may be of int, bool or float dtype.
# - Return `[batch, width]`, in the dtype of `hidden`: the mean over the real tokens of each text.
# - A text without a token gives zeros, not NaN.
#
# ```python
# mean_pool(torch.tensor([[[1.0], [3.0], [9.0]]]), torch.tensor([[1, 1, 0]]))
# # tensor([[2.]])
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# A mean is a sum divided by a count. Padding must be missing from both.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# Give the mask a third axis of size 1, so that it stretches over the channels. Set the vectors at padding to 0, sum over the time axis, divide by the number of real tokens of each row, or by 1 where there are none.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `real = attention_mask.bool()[:, :, None]`, then `hidden.masked_fill(~real, 0).sum(1)` divided by `real.sum(1).clamp(min=1)`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "encoder-mean_pool", "locked": false, "schema_version": 3, "solution": true, "task": false}
@check_shapes
def mean_pool(
    hidden: Float[Tensor, "batch time width"], attention_mask: Shaped[Tensor, "batch time"]
) -> Float[Tensor, "batch width"]:
    """The mean of each text's vectors, padding left out: [batch, width].

    >>> mean_pool(torch.tensor([[[1.0], [3.0], [9.0]]]), torch.tensor([[1, 1, 0]]))
    tensor([[2.]])
    """
    if not ((attention_mask == 0) | (attention_mask == 1)).all():
        raise ValueError(f"attention_mask must hold only 0 and 1, got {attention_mask}")

    ### BEGIN SOLUTION
    real = attention_mask.bool()[:, :, None]  # [batch, time, 1]
    total = hidden.masked_fill(~real, 0).sum(1)  # [batch, width]
    return total / real.sum(1).clamp(min=1)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-encoder-mean_pool", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("encoder.mean_pool", mean_pool)
### BEGIN HIDDEN TESTS
check("encoder.mean_pool", mean_pool, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **What would break if** padding were counted? The same sentence would have another vector in another batch. Your function keeps it where it is:

# %% tags=["experiment"]
short, long = (choose((s.tokens for s in openings), key=len) for choose in (min, max))
alone, together = reader.batch([short]), reader.batch([short, long])  # in the second, short is padded
with torch.no_grad():
    vectors = {
        name: [pool(pretrained.encoder(*batch.inputs), batch.attention_mask)[0] for batch in (alone, together)]
        for name, pool in (("mean_pool", mean_pool), ("hidden.mean(1)", lambda hidden, _: hidden.mean(1)))
    }
for name, (one, other) in vectors.items():
    print(f"{name:14}: the vector moves by more than 0.0001 when the batch changes: {bool((one - other).norm() > 1e-4)}")


# %% [markdown]
# A linear layer turns the text's vector into a score for each class, and the loss is the one you know: minus the log-probability of the true class. It is worth writing once in a form that serves texts and tokens alike.

# %% [markdown]
# ### Exercise: classification_loss (1 point)
#
# - `logits` is `[..., classes]`: `[batch, classes]` for texts, `[batch, time, classes]` for tokens. `labels` is int64 and has the shape of `logits` without the last axis.
# - Return the mean of minus the log-probability of the true class, in nats, over all labels that are not -100. Without any, it is 0, and so is the gradient: `backward()` runs there as well.
#
# ```python
# classification_loss(torch.zeros(2, 3), torch.tensor([1, -100]))  # three equal shares: log 3
# # tensor(1.0986)
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# `F.cross_entropy` does nearly all of it: it takes raw logits, and skips labels equal to `ignore_index`. What does it answer without labels?
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# Make a list of rows out of the logits, `[n, classes]`, and a list of labels, `[n]`. Let `F.cross_entropy` sum. Divide by the number of labels that count, or by 1.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `rows = logits.reshape(-1, classes)`, then `F.cross_entropy(rows, labels.reshape(-1), ignore_index=-100, reduction="sum")` divided by `(labels != -100).sum().clamp(min=1)`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "encoder-classification_loss", "locked": false, "schema_version": 3, "solution": true, "task": false}
@check_shapes
def classification_loss(
    logits: Float[Tensor, "*shape classes"], labels: Int64[Tensor, "*shape"]
) -> Float[Tensor, ""]:
    """Mean surprise at the true classes of texts or tokens, in nats; 0 without labels.

    >>> classification_loss(torch.zeros(2, 3), torch.tensor([1, -100]))
    tensor(1.0986)
    """
    classes = logits.shape[-1]
    if ((labels != -100) & ((labels < 0) | (labels >= classes))).any():
        raise ValueError(f"labels must lie in 0 ... {classes - 1} or be -100, got {labels}")

    ### BEGIN SOLUTION
    rows = logits.reshape(-1, classes)  # [n, classes]
    total = F.cross_entropy(rows, labels.reshape(-1), ignore_index=-100, reduction="sum")
    return total / (labels != -100).sum().clamp(min=1)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-encoder-classification_loss", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
check("encoder.classification_loss", classification_loss)
### BEGIN HIDDEN TESTS
check("encoder.classification_loss", classification_loss, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# ### Not sad but happy
#
# Every story of Storyland ends with a mood, and half of them are told with a **negation**:

# %%
for sentence in [s for s in test_endings if s.negated][:3] + [s for s in test_endings if not s.negated][:2]:
    mood = ["bad ", "good"][sentence.sentiment]
    print(f"{mood}  negated: {str(sentence.negated):5}  {' '.join(sentence.tokens)}")

# %% [markdown]
# Swap the two feelings in *not sad but happy* and you get the same words with the opposite mood. A **bag of words**, which counts words and knows nothing of their order, cannot tell the two apart. It is a fair opponent all the same: give each word a weight for "good" and "bad", add them up, train the weights.
#
# We train on 1,000 labelled sentences and test on 1,000 others, in four ways: the bag of words; our pre-trained encoder, frozen, with only the last linear layer trained ("features"); the same with everything trained ("full"); and an encoder of the same size that has seen no text before ("from scratch").

# %% tags=["experiment", "nbval-ignore-output"]
moods = torch.tensor([s.sentiment for s in endings[:1000]])
mood_text = reader.batch(s.tokens for s in endings[:1000])
test_mood_text = reader.batch(s.tokens for s in test_endings)

accuracies = {
    "bag of words": lab.sentiment_accuracy(
        lab.fit_bag_of_words(reader, mood_text, moods, seed=0), test_mood_text, test_endings
    )
}
for method in ("features", "from scratch", "full"):
    model = lab.fit(pretrained.encoder, SequenceClassifier, 2, method, mood_text, moods, seed=0)
    accuracies[method] = lab.sentiment_accuracy(model, test_mood_text, test_endings)
kind = lab.right_kind_of_feeling(pretrained, world, reader, test_endings[:300])
for name, of_kind in accuracies.items():
    print(f"{name:13} {'   '.join(f'{mood}: {100 * share:5.1f} %' for mood, share in of_kind.items())}")
print(f"one feeling hidden: {100 * kind:.0f} % of the pre-trained model's guess is of the right kind")

# %% tags=["experiment", "nbval-ignore-output"]
plots.plot_accuracies(accuracies, "Counting words fails at negation, reading does not")

# %% [markdown]
# **Measured:** the bag of words is nearly perfect on plain sentences and at chance on negated ones, as it must be. The encoder reads both. It is the order that matters here, and attention with positions sees it.
#
# Two more things in this figure are worth a thought. The *frozen* encoder fails. The last line says why: hide one feeling of a negated sentence, and the other one tells whether a good or a bad one is missing; but the model guesses as if by a coin. In four hundred steps it has learned that feelings are feelings, not which of them are good, and what a model has not sorted, a linear layer cannot read off. And with 1,000 labels the encoder without pre-training comes within a few percent of the pre-trained one. So is pre-training good for nothing? Look at the next task.

# %% [markdown]
# ## 5. A label for each token: names
#
# **Some questions are about tokens, not texts: which words are a person, a place, an animal?** This is *named entity recognition*. Every token gets a **tag**: `B-` begins an entity, `I-` continues it, `O` is outside of any. So *Cape Town* is `B-PLACE I-PLACE`, and two persons in a row are told apart by the second `B-`.

# %%
sentence = next(s for s in openings if "I-PERSON" in s.tags)
print([(token, tag) for token, tag in zip(sentence.tokens, sentence.tags)])
print("entities as (start, stop, kind):", sorted(lab.spans(sentence.tags)))

# %% [markdown]
# There is one practical snag. Tags are given for *words*, and real tokenizers cut words into pieces. Here is MiniLM's, a real BERT's WordPiece tokenizer:

# %%
minilm, wordpiece = load_minilm()
words = ["Antonina", "lives", "in", "Reykjavik", "."]
pieces, word_ids = ["[CLS]"], [None]
for i, word in enumerate(words):
    of_word = wordpiece.tokenize(word)
    pieces += of_word
    word_ids += [i] * len(of_word)
pieces, word_ids = [*pieces, "[SEP]"], [*word_ids, None]
print(pieces)
print(word_ids)


# %% [markdown]
# `word_ids` says for each token which word it comes from, and None for special tokens. (The fast tokenizers of the `transformers` library give you such a list.) The custom since BERT: the first piece of a word carries the label, the others are not asked, which is -100.

# %% [markdown]
# ### Exercise: align_labels (2 points)
#
# From labels of words to labels of tokens.
#
# - `word_labels` has a class for each word. `word_ids` has, for each token, the number of its word, or None for a special token.
# - Return a list with one entry for each token: the label of its word where a run of equal numbers *begins*, and -100 for the rest of the run and for special tokens.
# - A text may be cut, so not every word need have a token. In a pair of texts the numbers start again after a special token, and a new run begins there.
#
# ```python
# align_labels([3, 0], [None, 0, 0, 1, None])
# # [-100, 3, -100, 0, -100]
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# Walk through `word_ids` and remember the entry before. When does a word begin? Careful: word number 0 is a word, and `if 0` is false.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# Start with an empty list and `previous = None`. For each entry: if it is not None and not equal to `previous`, append the label of that word, else -100. Then set `previous`, also when the entry is None.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `starts_a_word = word_id is not None and word_id != previous`, and `labels.append(word_labels[word_id] if starts_a_word else -100)`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "encoder-align_labels", "locked": false, "schema_version": 3, "solution": true, "task": false}
def align_labels(word_labels: Sequence[int], word_ids: Sequence[int | None]) -> list[int]:
    """One label for each token: the word's at its first token, -100 at the rest and at special ones.

    >>> align_labels([3, 0], [None, 0, 0, 1, None])
    [-100, 3, -100, 0, -100]
    """
    for word_id in word_ids:
        if word_id is not None and not 0 <= word_id < len(word_labels):
            raise ValueError(f"word_ids must lie in 0 ... {len(word_labels) - 1}, got {word_id}")

    ### BEGIN SOLUTION
    labels, previous = [], None
    for word_id in word_ids:
        starts_a_word = word_id is not None and word_id != previous
        labels.append(word_labels[word_id] if starts_a_word else -100)
        previous = word_id
    return labels
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-encoder-align_labels", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("encoder.align_labels", align_labels)
### BEGIN HIDDEN TESTS
check("encoder.align_labels", align_labels, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# Your function on the sentence above (1 is `B-PERSON`, 3 is `B-PLACE`, 0 is `O`):

# %%
labels = align_labels([1, 0, 0, 3, 0], word_ids)
for piece, label in zip(pieces, labels):
    print(f"{piece:10} {'not asked' if label == -100 else TAGS[label]}")

# %% [markdown]
# In Storyland every word is one token, so there only `[CLS]` and the padding get -100.
#
# Now the tagger: the same encoder, with a linear layer at every position. Entities are counted as a whole. With *precision* (which part of the entities found is right) and *recall* (which part of the right ones is found), the usual score is their harmonic mean, **F1**. A half-found name counts as wrong.
#
# The opponent is a list: it gives each word the tag that it had most often in the labelled sentences. Some names are nasty for a list: *Florence*, *Sydney* and *Lincoln* are cities and people here.

# %% tags=["experiment", "nbval-ignore-output"]
entity_text, tags = reader.batch(s.tokens for s in openings), reader.tags(openings)
tagger = lab.fit(pretrained.encoder, TokenClassifier, len(TAGS), "full", entity_text, tags, seed=0)
truth = [s.tags for s in test_openings]
guessed = lab.predict_tags(tagger, test_text, test_openings)
listed = lab.most_frequent_tags(openings, test_openings)
double = [i for i, s in enumerate(test_openings) if {"Florence", "Sydney", "Lincoln"} & set(s.tokens)]
for name, found in (("list of names", listed), ("encoder", guessed)):
    on_double = lab.entity_f1([truth[i] for i in double], [found[i] for i in double])
    print(f"{name:13}  F1 {100 * lab.entity_f1(truth, found):5.1f} %,"
          f" where a name has two meanings {100 * on_double:5.1f} %")

# %% tags=["experiment", "nbval-ignore-output"]
# Four different sentences in which the list errs; the boxes are the encoder's.
shown = list({test_openings[i].tokens: i for i in double if listed[i] != truth[i]}.values())[:4]
plots.show_entities([(test_openings[i].tokens, lab.spans(guessed[i])) for i in shown])

# %% [markdown]
# **Measured:** both do well, because names in a small world repeat, and the list has seen them all, in 3,000 labelled sentences. Where a name has two meanings, the list must be wrong each time the rarer one is meant, and the encoder reads the words around it.

# %% [markdown]
# ## 6. Few labels, and three ways to fine-tune
#
# **Labels are expensive. Pre-training pays off when there are few of them.** *Fine-tuning* means going on from a pre-trained model on a task with labels. There are three ways, by how much of the model is allowed to move:
#
# - **Features**: the encoder is frozen, and only the new linear layer learns. Cheap: the encoder runs once over each text.
# - **Full**: everything learns. A complete copy of the model for each task.
# - **LoRA** ("low-rank adaptation", Hu et al. 2021): the encoder is frozen, and beside some of its linear layers runs a thin detour that learns.
#
# The idea of LoRA is that the *change* a task needs is simple, even if the weight itself is not. A change of a weight `[out, in]` with rank r can be written as a product of two thin matrices, B `[out, r]` and A `[r, in]`:

# %%
out, n_in = 768, 768  # one layer of BERT-base
for rank in (1, 4, 16):
    n_lora = rank * (n_in + out)
    print(f"rank {rank:2}: {n_lora:6,} numbers in place of {n_in * out:,}, that is {100 * n_lora / (n_in * out):.1f} %")


# %% [markdown]
# The layer computes
#
# $$\text{base}(x) + \frac{\alpha}{r} \; x A^T B^T$$
#
# B starts at zero, so the detour is silent at first and training begins exactly at the pre-trained model. A starts random: if both were zero, each would block the other's gradient, and nothing would ever move. After training, the detour can be added into the weight, W + (α/r) B A, and costs nothing any more: this is called *merging*.

# %% [markdown]
# ### Exercise: LoRALinear (4 points)
#
# - `LoRALinear(base, rank, alpha)` wraps an `nn.Linear`. Freeze `base`: none of its parameters trains any more.
# - Its own parameters are `A`, `[rank, in]`, random at the start, and `B`, `[out, rank]`, zero at the start. They alone train. (Draw A with the generator, normal, divided by the root of `in`; the scale of A is a matter of taste.)
# - `forward(x)`: x is `[..., in]`; return what `base` gives plus alpha / rank times the detour.
# - `merge()` returns a new `nn.Linear` that does the same as the layer, with a bias if the base has one. The layer stays as it is, and shares nothing with the merged one.
#
# ```python
# layer = LoRALinear(nn.Linear(768, 768), rank=4, alpha=8.0)
# sum(p.numel() for p in layer.parameters() if p.requires_grad)  # 6144
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# `module.requires_grad_(False)` freezes a module and returns it. A tensor becomes a trainable parameter of a module by `self.A = nn.Parameter(tensor)`.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# In `__init__`: keep the frozen base, the number alpha / rank, and the two parameters. In `forward`: x times A transposed gives `[..., rank]`, times B transposed `[..., out]`; scale, and add to `self.base(x)`. In `merge`: copy the base (`copy.deepcopy`), let the copy train again, and add scale · B A to its weight, inside `with torch.no_grad():`.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `A = torch.randn(rank, base.in_features, generator=generator, dtype=base.weight.dtype)`, `self.A = nn.Parameter(A / math.sqrt(base.in_features))`, `self.B = nn.Parameter(A.new_zeros(base.out_features, rank))`. `forward` returns `self.base(x) + self.scale * (x @ self.A.T @ self.B.T)`. In `merge`: `merged = copy.deepcopy(self.base).requires_grad_()` and `merged.weight += self.scale * self.B @ self.A`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "encoder-LoRALinear", "locked": false, "schema_version": 3, "solution": true, "task": false}
class LoRALinear(nn.Module):
    """A frozen linear layer, and a thin trainable detour beside it: base(x) + alpha / rank * x A^T B^T.

    >>> LoRALinear(nn.Linear(4, 3), rank=2, alpha=4.0)(torch.zeros(5, 4)).shape
    torch.Size([5, 3])
    """

    def __init__(
        self,
        base: nn.Linear,
        rank: int,
        alpha: float,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(base, nn.Linear):
            raise TypeError(f"base must be an nn.Linear, got {type(base).__name__}")
        if rank < 1:
            raise ValueError(f"rank must be at least 1, got {rank}")

        ### BEGIN SOLUTION
        self.base = base.requires_grad_(False)
        self.scale = alpha / rank
        A = torch.randn(rank, base.in_features, generator=generator, dtype=base.weight.dtype)
        self.A = nn.Parameter(A / math.sqrt(base.in_features))
        self.B = nn.Parameter(A.new_zeros(base.out_features, rank))
        ### END SOLUTION

    def forward(self, x: Float[Tensor, "*shape in"]) -> Float[Tensor, "*shape out"]:
        """The frozen layer's output, and what the detour adds."""
        ### BEGIN SOLUTION
        return self.base(x) + self.scale * (x @ self.A.T @ self.B.T)
        ### END SOLUTION

    def merge(self) -> nn.Linear:
        """One ordinary layer that does the same; this layer stays as it is."""
        ### BEGIN SOLUTION
        merged = copy.deepcopy(self.base).requires_grad_()
        with torch.no_grad():
            merged.weight += self.scale * self.B @ self.A  # [out, in]
        return merged
        ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-encoder-LoRALinear", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
check("encoder.LoRALinear", LoRALinear)
### BEGIN HIDDEN TESTS
check("encoder.LoRALinear", LoRALinear, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# Your layer around a layer of a real model: the first query projection of MiniLM. We pretend that B has been trained.

# %% tags=["experiment"]
q_proj = copy.deepcopy(minilm.blocks[0].attention.q_proj)
layer = LoRALinear(q_proj, 4, 8.0, torch.Generator().manual_seed(0))
x = torch.randn(2, 384, generator=torch.Generator().manual_seed(1))
print("silent at the start:    ", torch.equal(layer(x), q_proj(x)))
nn.init.normal_(layer.B, std=0.1, generator=torch.Generator().manual_seed(2))
change = layer.merge().weight - q_proj.weight
print("merged does the same:   ", torch.allclose(layer.merge()(x), layer(x), atol=1e-4))
print("rank of the change:     ", torch.linalg.matrix_rank(change, atol=1e-3).item(), "of", len(change))
print("trains:                 ", f"{trainable_parameters(layer):,} of {sum(p.numel() for p in layer.parameters()):,} numbers")

# %% [markdown]
# Now the comparison on the names of section 5, with 10 to 1,000 labelled sentences. Every model gets the same 80 steps; LoRA (rank 4) sits beside the query and value projections, as in the paper.

# %% tags=["experiment", "nbval-ignore-output"]
counts = [10, 100, 1000]
scores = lab.f1_by_labels(pretrained.encoder, reader, openings, test_openings, counts, seed=0)
scores["list of names"] = [
    lab.entity_f1(truth, lab.most_frequent_tags(openings[:n], test_openings)) for n in counts
]
print(f"{'labelled sentences':20}" + "".join(f"{n:>8,}" for n in counts) + "   numbers that train")
for name, row in scores.items():
    trains = "none"
    if name in lab.METHODS:
        adapted = lab.adapt(pretrained.encoder, TokenClassifier, len(TAGS), name, torch.Generator())
        trains = f"{trainable_parameters(adapted):,}"
    print(f"{name:20}" + "".join(f"{100 * f1:8.1f}" for f1 in row) + f"   {trains}")

# %% tags=["experiment", "nbval-ignore-output"]
plots.plot_by_labels(
    counts, scores, "Pre-training pays off where labels are few", "F1 of whole entities, percent"
)

# %% [markdown]
# **Measured:** with ten labelled sentences frozen features are clearly the best: to fill gaps, the encoder *had* to sort names, cities and animals, and a linear layer can read that off at once. With a hundred, the two ways that move more of the model have passed them. LoRA trains about 2 % of the numbers and stays within a few percent of full fine-tuning. The network from scratch, with ten, falls behind all three and does no better than the list; with a thousand it catches up, and the whole question loses its weight.
#
# Beside section 4 this makes a rule you can rely on: **pre-training helps to the degree that it has sorted what your task asks for.** It had not sorted good feelings from bad ones; it had sorted names from cities and animals.
#
# Two cautions. This is one run with one seed; `benchmarks/encoder.py` repeats it over three, and its table is in `benchmarks/results`. And at this size full fine-tuning is cheap as well: LoRA was made for models of billions of parameters, where a copy for each task does not fit.

# %% [markdown]
# ## 7. A real encoder
#
# **all-MiniLM-L6-v2 is a BERT with six layers, trained, as its model card says, on over a billion pairs of texts that belong together.** You have its parts: `load_minilm` puts its weights into the very `Encoder` of this course. The tests of this course compare its output, on padded batches, with the `transformers` library: the largest difference in hidden states and sentence vectors is below 0.0001.

# %%
print(f"{sum(p.numel() for p in minilm.parameters()):,} parameters, {len(minilm.blocks)} blocks, width {minilm.config.width}")
batch = [wordpiece.encode(t) for t in ("A short text.", "Another text, which is longer.")]
rows = [torch.tensor([wordpiece.cls_id, *ids, wordpiece.sep_id]) for ids in batch]
ids = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=wordpiece.pad_id)
attention_mask = (ids != wordpiece.pad_id).long()
with torch.no_grad():
    hidden = minilm(ids, attention_mask)
print("ids", list(ids.shape), "-> hidden", list(hidden.shape), "-> text vectors", list(mean_pool(hidden, attention_mask).shape))


# %% [markdown]
# ### Names, once more
#
# MiniLM has never seen Storyland, but it has seen a great deal of English. We leave it frozen, label 200 opening sentences with your `align_labels` (its tokenizer cuts many names to pieces), and train a linear layer on its vectors. Then comes the hard test: another Storyland, the large one, with people and places most of which the labelled sentences never mention.

# %% tags=["experiment", "nbval-ignore-output"]
def wordpiece_vectors(sentences):
    """MiniLM's hidden states [n, time, width], and the label of each token [n, time]."""
    rows, labels = [], []
    for sentence in sentences:
        ids, word_ids = [wordpiece.cls_id], [None]
        for i, word in enumerate(sentence.tokens):
            of_word = wordpiece.encode(word.replace("_", " "))
            ids += of_word
            word_ids += [i] * len(of_word)
        rows.append(torch.tensor([*ids, wordpiece.sep_id]))
        labels.append(torch.tensor(align_labels([TAGS.index(t) for t in sentence.tags], [*word_ids, None])))
    ids = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=wordpiece.pad_id)
    with torch.no_grad():
        hidden = minilm(ids, (ids != wordpiece.pad_id).long())
    return hidden, nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=-100)


hidden, labels = wordpiece_vectors(openings[:200])
asked = labels != -100
head = nn.Linear(384, len(TAGS))
nn.init.zeros_(head.weight), nn.init.zeros_(head.bias)
optimizer = torch.optim.AdamW(head.parameters(), lr=1e-2)
for _ in range(150):
    loss = classification_loss(head(hidden[asked]), labels[asked])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

other_openings, _ = lab.tell(Storyland(seed=1, size="full"), 150, seed=5)
for name, sentences in (("the same world", test_openings[:150]), ("another world", other_openings)):
    hidden, labels = wordpiece_vectors(sentences)
    found = [
        [TAGS[i] for i in row[asked].tolist()]
        for row, asked in zip(head(hidden).argmax(-1), labels != -100)
    ]
    expected = [s.tags for s in sentences]
    listed = lab.most_frequent_tags(openings[:200], sentences)
    print(f"{name:14}  frozen MiniLM: F1 {100 * lab.entity_f1(expected, found):4.0f} %,"
          f"   list of names: {100 * lab.entity_f1(expected, listed):4.0f} %")

# %% [markdown]
# The list knows only what it was told. The encoder recognises that an unknown word is used as a name; where the new world has longer and stranger ones than the old, it makes mistakes, too.
#
# ### Search by meaning
#
# MiniLM was trained so that the mean of its output says what a text is about: texts that belong together point in the same direction. That is a search engine: one vector for each passage, one for the question, and the dot product says how near they are (all vectors are brought to length 1, so it is the cosine).
#
# The library is this course: the paragraphs of notebooks 00 to 04, and what their functions say of themselves.

# %% tags=["experiment", "nbval-ignore-output"]
NOTEBOOKS = {  # and the file in course_lib with the ideas of each
    "00_start_here": "probability",
    "01_tokenization": "tokenization",
    "02_embeddings": "embeddings",
    "03_attention": "attention",
    "04_transformer_block": "transformer",
}
passages = notebook_passages(NOTEBOOKS) + docstring_passages(NOTEBOOKS)
vectors = embed_texts(minilm, wordpiece, [p.text for p in passages])  # [passages, 384], length 1
print(len(passages), "passages ->", list(vectors.shape))


def search(question, k=3):
    """The k passages nearest to a question, with their cosines."""
    cosine = vectors @ embed_texts(minilm, wordpiece, [question])[0]
    best = cosine.topk(k)
    return [(passages[i], c) for i, c in zip(best.indices.tolist(), best.values.tolist())]


for question in ("What happens to a smiley?", "Why are recurrent networks slow?", "Do other languages cost more?"):
    print(f"\n{question}")
    for passage, cosine in search(question, 2):
        print(f"  {cosine:.2f}  {passage.where}: {passage.text[:110]} ...")

# %% [markdown]
# Neither "smiley" nor "recurrent networks" need stand in what is found. But three nice examples prove little. So here are nineteen questions, written down before the first trial, each with the notebook that answers it. How often does that notebook come first, or among the first three? The opponent is again one that counts words: TF-IDF, the classic weighting, in which a rare word that question and passage share counts for much.

# %% tags=["experiment", "nbval-ignore-output"]
QUESTIONS = {
    "How does a phone guess what I will type next?": "00",
    "What does the model give me in the end, a word or numbers?": "00",
    "How is my work graded?": "00",
    "Why are rare words cut into pieces?": "01",
    "Do other languages cost more than English?": "01",
    "What happens to a smiley?": "01",
    "Is a meaning a direction?": "02",
    "How does the model know which word came first?": "02",
    "What happens after the last position in the table?": "02",
    "Why do we divide by a square root?": "03",
    "How do I keep a word from peeking ahead?": "03",
    "Does a bright spot in the map show why the model decided so?": "03",
    "Why does a long text need so much memory?": "03",
    "Should the filler in short texts be ignored?": "03",
    "Why several small attentions and not a single big one?": "03",
    "Why do deep networks stop learning without a shortcut?": "04",
    "Where are most of the parameters?": "04",
    "Why are recurrent networks slow?": "04",
    "What keeps the numbers from growing from layer to layer?": "04",
}
tfidf = TfidfVectorizer().fit([p.text for p in passages])
counted = torch.from_numpy(tfidf.transform([p.text for p in passages]).toarray())
by_words = counted @ torch.from_numpy(tfidf.transform(QUESTIONS).toarray()).T  # [passages, questions]
by_meaning = vectors @ embed_texts(minilm, wordpiece, list(QUESTIONS)).T
for name, score in (("MiniLM", by_meaning), ("TF-IDF", by_words)):
    top = score.topk(3, dim=0).indices.T.tolist()
    right = [[passages[i].notebook.startswith(n) for i in row] for row, n in zip(top, QUESTIONS.values())]
    print(f"{name}: first {sum(r[0] for r in right)} of {len(right)}, among three {sum(any(r) for r in right)} of {len(right)}")


# %% [markdown]
# Reading beats counting here, but not by a landslide: where question and passage share a telling word, counting finds it, and a small model trained on questions of the web does not know every term of this course. Nineteen questions are few, and one or two more or less would be chance. Real search engines use both.
#
# Ask something yourself (the printed answers above are the static twin of this box):

# %% tags=["experiment", "nbval-ignore-output"]
def answer(question):
    for passage, cosine in search(question):
        print(f"{cosine:.2f}  {passage.where}\n      {passage.text[:300]}")


interact(answer, question=Text("Why is the softmax not computed directly?", continuous_update=False, layout=Layout(width="40em")));

# %% [markdown]
# ## 8. Images, sounds, anything in a row
#
# **A transformer reads sequences of vectors. What the vectors stand for is not its business.** Text comes in as ids and gets vectors from a table. Everything else needs one step of its own, from the thing to a sequence of vectors:
#
# | | a sequence of | to vectors by |
# |---|---|---|
# | text | tokens | a table |
# | picture | *patches*: small squares of pixels | a linear layer (ViT, Dosovitskiy et al. 2020) |
# | sound | *frames*: a few milliseconds of wave or spectrum | a linear layer or convolution (wav2vec 2.0, Baevski et al. 2020) |
# | melody | notes | a table (Music Transformer, Huang et al. 2018) |

# %%
train_digits, test_digits = load_digits()  # real handwriting, from scikit-learn
patches = to_patches(train_digits.images, size=2)  # [n, 16 patches, 4 pixels]
rate = 8000
seconds = torch.arange(800) / rate
chord = sum(torch.sin(2 * torch.pi * f * seconds) for f in (261.6, 329.6, 392.0))  # C major
frames = chord.reshape(1, -1, 100)  # [1, 8 frames, 100 samples]
melody = torch.tensor([[60, 62, 64, 65, 67, 67]])  # MIDI numbers of notes, C D E F G G

width = 48
block = TransformerBlock(width, n_heads=4, ffn_width=96, norm="post")
for name, x in {
    "picture": nn.Linear(4, width)(patches[:1]),
    "sound": nn.Linear(100, width)(frames),
    "melody": nn.Embedding(128, width)(melody),
}.items():
    print(f"{name:8} {list(x.shape)} -> block -> {list(block(x).shape)}")

# %% tags=["experiment"]
plots.plot_patches(train_digits.images[0], patches[0], 2)

# %% tags=["experiment"]
plots.plot_frames(chord, 100, rate)

# %% [markdown]
# One block, three kinds of input. For the proof that it also *learns* from such input, the pictures: 1,297 handwritten digits to train on, 500 others to test. Two blocks, a vector for each patch plus a learned vector for its place, the mean over the patches, a linear layer with ten classes. To see what places are worth, we train a second model without them.

# %% tags=["experiment", "nbval-ignore-output"]
for name, positions in (("with positions", True), ("without positions", False)):
    digit_model = lab.fit_digits(train_digits, seed=0, positions=positions)
    guesses = lab.digit_predictions(digit_model, test_digits)
    print(f"{name:17}: {100 * (guesses == test_digits.labels).float().mean():.1f} % of {len(guesses)} test pictures right")
    if positions:
        read_as = guesses
nearest = lab.nearest_digits(train_digits, test_digits)  # the label of the most similar training picture
print(f"nearest neighbour: {100 * (nearest == test_digits.labels).float().mean():.1f} %")

# %% tags=["experiment", "nbval-ignore-output"]
wrong = (read_as != test_digits.labels).nonzero()[:8, 0]
plots.plot_digits(test_digits.images[wrong], test_digits.labels[wrong].tolist(), read_as[wrong].tolist())

# %% [markdown]
# **Measured:** the model that read stories reads handwriting as well, above 95 % on pictures it has never seen, and some of its errors are ones you might make, too. Without positions it sees a bag of patches, and misreads about a third of the pictures: a jigsaw in its box.
#
# A word of caution: pictures of 8 × 8 pixels are an easy task, and the 13 people who wrote the training pictures wrote the test pictures, too. The last line is the label of the most similar training picture, pixel by pixel, with nothing learned at all, and it does better than our model. What counts here is that nothing in the block had to change.

# %% [markdown]
# ## Check what you remember
#
# Before you read the summary, find out what stayed. Think first, then open the answer you would give: it says whether it is right, and why. (The same in Portuguese: *Em português*, below the questions.)
#
# Later, `course review` in a terminal brings the ideas of this notebook back as flashcards, shortly before you would forget them.

# %% tags=["experiment"]
from course_lib.review import quiz

quiz("05_encoder_only")

# %% [markdown]
# ## Summary
#
# - An **encoder** looks to both sides. It is a stack of blocks without a causal mask; only padding is hidden.
# - It cannot learn from next words, which it can see: it copies. It learns by **masked language modelling**: choose some tokens (80 % `[MASK]`, 10 % random, 10 % unchanged) and ask for the originals. The loss does not shift.
# - **BERT does not predict the next word.** Its output at a position is about that position, given both sides.
# - **P(class | text)**: mean over the real tokens, then a linear layer. **P(class | token)**: a linear layer at each position, with labels at the first piece of each word and -100 elsewhere.
# - A bag of words is at chance on negated moods; an encoder reads them.
# - **Fine-tuning**: features (frozen), full, or **LoRA** (frozen, with a thin trained detour of rank r that can be merged). Pre-training pays off with few labels, to the degree that it has sorted what your task asks for.
# - MiniLM, a real BERT, runs in your encoder. The mean of its output is a vector of meaning, good for search.
# - Pictures, sounds and melodies are sequences, too. The block stays the same; only the first step differs.
#
# ## Test yourself
#
# <details><summary>1. An encoder is trained to predict the next word, without a mask, and reaches a loss near 0. Why is that no success?</summary>
#
# The next word is in its input, and it may attend to it. It has learned to copy from one place to the right. Text itself has an entropy above 0, so an honest loss cannot be near 0.
#
# </details>
# <details><summary>2. Of 1,000 tokens, 200 are special. With probability 0.15, how many get a label, how many become [MASK], and how many are seen unchanged although they have a label?</summary>
#
# On average 0.15 · 800 = 120 get a label; 96 become [MASK]; 12 stay as they are (and 12 become random).
#
# </details>
# <details><summary>3. Two texts of a batch have 1 and 9 hidden tokens, with mean losses 5 and 1. What is masked_lm_loss?</summary>
#
# The mean over all hidden tokens: (1 · 5 + 9 · 1) / 10 = 1.4. The mean of the two means would be 3.
#
# </details>
# <details><summary>4. A LoRA of rank 8 sits beside a layer with 512 inputs and 2048 outputs. How many numbers train, and how many does the merged layer have more than the original?</summary>
#
# 8 · (512 + 2048) = 20,480 train. The merged layer has none more: the change is added into the weight.
#
# </details>
# <details><summary>5. You have 50 labelled texts, and the task is about something that pre-training has not taught the model to distinguish. Features or full?</summary>
#
# Try full (or LoRA): what the frozen vectors have not sorted, a linear layer cannot read off. Fifty labels may be too few for either; then more labels, or pre-training closer to the task, help more than another method.
#
# </details>
#
# ## Where to read on
#
# - Jacob Devlin and others, [*BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding*](https://arxiv.org/abs/1810.04805) (2019), section 3 and appendix C.2.
# - Alexander Wettig and others, [*Should You Mask 15% in Masked Language Modeling?*](https://arxiv.org/abs/2202.08005) (2022), section 3.
# - Nils Reimers and Iryna Gurevych, [*Sentence-BERT*](https://arxiv.org/abs/1908.10084) (2019), section 3; Wenhui Wang and others, [*MiniLM*](https://arxiv.org/abs/2002.10957) (2020), section 3.
# - Edward Hu and others, [*LoRA: Low-Rank Adaptation of Large Language Models*](https://arxiv.org/abs/2106.09685) (2021), sections 4 and 7.
# - Alexey Dosovitskiy and others, [*An Image is Worth 16x16 Words*](https://arxiv.org/abs/2010.11929) (2020), section 3.1.
# - The digits: Ethem Alpaydin and Cenk Kaynak, [*Optical Recognition of Handwritten Digits*](https://doi.org/10.24432/C50P49) (UCI Machine Learning Repository, 1998).
#
# Next: [notebook 06](../06_decoder_only/06_decoder_only.ipynb) turns to writing: one word after the other, and no looking ahead.
