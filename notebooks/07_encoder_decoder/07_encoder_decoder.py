# %% [markdown]
# # Encoder-decoder: rewriting
#
# **How does a model turn one text into another?**
#
# *Twenty-three* is *dreiundzwanzig* in German: three-and-twenty. Whoever writes the German word begins with what the English one ends with. So a translator cannot go from left to right and replace word by word. It has to read all of the source first, and then look back at the right place for each word it writes. An encoder, which reads both ways (notebook 05), and a decoder, which writes from left to right (notebook 06), share the work. You are going to join them, and then look at the place where they meet.
#
# > **You will build** the decoder's block with its look at the other text, the whole model, its way of learning and its way of writing. It will translate numbers it has never seen, and you will see its attention cross. Then one model does four tasks, and you build the exercise that T5 learned from: fill in the gaps.
# >
# > **You need** attention (notebook 03), the block (04), and the ideas of reading (05) and writing (06).
# >
# > **It takes** about 100 minutes to work through, and under 60 seconds to run.

# %%
import copy
import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from ipywidgets import BoundedIntText, interact
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from course_lib import encoder_decoder
from course_lib.attention import MultiHeadAttention, causal_mask, padding_mask
from course_lib.checks import check
from course_lib.data.number_words import (
    END,
    LANGUAGES,
    PAD,
    SENTINELS,
    START,
    pad_rows,
    spell_number,
    split_numbers,
    train_tokenizer,
)
from course_lib.decoder import DecoderConfig, DecoderLM
from course_lib.embeddings import input_embeddings
from course_lib.encoder import EncoderConfig, MaskedLM
from course_lib.encoder_decoder import EncoderDecoderConfig
from course_lib.experiments import encoder_decoder as experiments
from course_lib.initialisation import initialise
from course_lib.objectives import draw_spans
from course_lib.plots import encoder_decoder as plots
from course_lib.shapes import check_shapes
from course_lib.training import train
from course_lib.transformer import TransformerBlock

torch.set_printoptions(precision=3, sci_mode=False)

# %% [markdown]
# ## 1. Two texts, one probability
#
# **An encoder-decoder models P(y | x): how probable is the text y, given the text x?** We call x the *source* and y the *target*. As in notebook 06 the probability of a text is a product over its tokens; the only news is that every factor knows the source:
#
# $$P(y \mid x) = \prod_t P(y_t \mid y_1, \dots, y_{t-1}, x)$$
#
# Translation, summary, answering a question: each is a choice of what x and y are.
#
# Our first task is small and merciless. The library `num2words` writes every number in English and in German. There are 100,000 numbers below 100,000, the right answer is known exactly, and a single wrong letter makes it wrong.

# %%
for number in (7, 23, 814, 41_253):
    print(f"{number:6}  {spell_number(number, 'English'):50} {spell_number(number, 'German')}")

# %% [markdown]
# Look at 41,253 and follow the order: *forty-one* becomes *einundvierzig*, one-and-forty; *fifty-three* becomes *dreiundfünfzig*. Between them *two hundred* and *zweihundert* stand in the same order. The lines that join words of the same meaning cross twice.
#
# German writes all of it as a single word. Both languages go through one byte-level BPE, the `train_bpe` of notebook 01, learned from 2,000 of the training numbers. Three tokens are special: `<pad>` fills up short rows, `<start>` is what every target begins with, `<end>` says that it is complete.

# %%
generator = torch.Generator().manual_seed(0)
train_numbers, test_numbers = split_numbers(20_000, 500, generator)
tokenizer = train_tokenizer(train_numbers[:2000], vocab_size=400)
PAD_ID, START_ID, END_ID = (tokenizer.special_tokens[token] for token in (PAD, START, END))


def pieces(text: str) -> list[str]:
    """The tokens of a text, as text."""
    return [tokenizer.decode([id]) for id in tokenizer.encode(text)]


print("special ids:", PAD_ID, START_ID, END_ID)
for language in LANGUAGES:
    print(pieces(spell_number(41_253, language)))

# %% [markdown]
# The tokenizer has found the parts of German numbers by counting pairs, and nobody told it about them. (Where it joins the *und* to the tens, it does so because that is frequent, and not because of grammar.)
#
# ### Why a start and an end?
#
# The decoder predicts each token from those before it. Before the first one there is nothing, so we put something there: the start token. And a text has to end. The model decides that by *writing* the end token, so that token gets a probability like any other. By hand, for a target of one word:

# %%
p_word = 0.8  # P(drei | <start>, x)
p_end = 0.9  # P(<end> | <start> drei, x)
print(f"P('drei' and nothing more | x) = {p_word * p_end:.2f}")
print(f"nats per token: {-(math.log(p_word) + math.log(p_end)) / 2:.3f}")


# %% [markdown]
# ## 2. Teacher forcing
#
# **While it learns, the decoder reads the right answer, one place behind: at each position it knows all tokens before and guesses the next.** It does not read what it has written itself. The teacher says after each guess what would have been right, and the next guess builds on that. This is called *teacher forcing*. It makes training fast, because all positions can be guessed at once.
#
# So there are two rows for each target. The *labels* are what the model shall write, end token included. The *decoder input* is the same row shifted to the right, with the start token in front:
#
# | position | 0 | 1 | 2 | 3 |
# |---|---|---|---|---|
# | decoder reads | `<start>` | drei | und | zwanzig |
# | label, to be guessed | drei | und | zwanzig | `<end>` |
#
# Labels of a batch have different lengths. As in notebook 05, -100 marks the places that do not count. A token table has no row -100, so in the decoder's input these places get the padding id.

# %% [markdown]
# ### Exercise: shift_right (1 point)
#
# From labels to what the decoder reads.
#
# - `labels` is int64 `[batch, time]`, with -100 where nothing is to be learned. The result has the same shape and dtype.
# - Each row begins with `start_id`, then come its labels without the last one.
# - Where a -100 would stand, `pad_id` stands. Real labels stay as they are, 0 included.
#
# ```python
# shift_right(torch.tensor([[7, 8, 2, -100]]), start_id=1)
# # tensor([[1, 7, 8, 2]])
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# A column of start ids in front, one column less at the end. `labels.new_full((rows, columns), value)` makes a tensor of the same dtype.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# Put the column and the labels together along the time axis, cut the last column off, then replace -100.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `start = labels.new_full((len(labels), 1), start_id)`, `shifted = torch.cat([start, labels], dim=1)[:, :-1]`, and `shifted.masked_fill(..., pad_id)` where it equals -100.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "encoder_decoder-shift_right", "locked": false, "schema_version": 3, "solution": true, "task": false}
@check_shapes
def shift_right(
    labels: Int64[Tensor, "batch time"], start_id: int, pad_id: int = 0
) -> Int64[Tensor, "batch time"]:
    """What the decoder reads while it learns: start_id, then all labels but the last.

    >>> shift_right(torch.tensor([[7, 8, -100]]), start_id=1)
    tensor([[1, 7, 8]])
    """
    ### BEGIN SOLUTION
    start = labels.new_full((len(labels), 1), start_id)
    shifted = torch.cat([start, labels], dim=1)[:, :-1]
    return shifted.masked_fill(shifted == -100, pad_id)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-encoder_decoder-shift_right", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
check("encoder_decoder.shift_right", shift_right)
### BEGIN HIDDEN TESTS
check("encoder_decoder.shift_right", shift_right, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# On two real targets of different length:

# %%
targets = [[*tokenizer.encode(spell_number(n, "German")), END_ID] for n in (23, 41_253)]
labels = pad_rows(targets, -100)  # [2, time]
decoder_input = shift_right(labels, START_ID, PAD_ID)
for name, rows in (("labels", labels), ("decoder reads", decoder_input)):
    for row in rows.tolist():
        print(f"{name:14}", [tokenizer.decode([id]) if id >= 0 else "-100" for id in row])


# %% [markdown]
# The loss is the one you know: the mean of $-\log P(\text{label})$ over all labelled positions of the batch. Mind one difference to `causal_lm_loss` of notebook 06. There the model read the very ids it was judged by, and the loss shifted them. Here the shift is done already, in what the decoder reads. **Shift once, and in one place.** (Libraries differ. In `transformers`, `T5ForConditionalGeneration` takes labels and shifts its decoder's input itself; `GPT2LMHeadModel` shifts inside its loss.)

# %% [markdown]
# ### Exercise: seq2seq_loss (2 points)
#
# How surprised the decoder is by the right answer, in nats per token.
#
# - `logits` is `[batch, time, vocab]`, `labels` int64 `[batch, time]`. The logits at position t are the guess of label t: no shift.
# - Return the mean of $-\log \text{softmax}(\text{logits})_\text{label}$ over all labels of the whole batch that are not -100, as a tensor that carries gradients. Every token counts the same, in whichever row it stands.
# - With no label at all the loss is 0, not `nan`, and `backward()` still runs.
#
# ```python
# shares = torch.tensor([[[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]])
# seq2seq_loss(shares.log(), torch.tensor([[0, 2]]))  # (-log 0.5 - log 0.8) / 2 = 0.458
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# `F.cross_entropy` takes logits `[n, vocab]` and labels `[n]`, and skips labels of -100 by itself. Look at its argument `reduction`.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# Make one long list of positions out of batch and time, in the logits and in the labels. Take the *sum* of the losses, and divide it by the number of labels that count, or by 1 if there are none.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `total = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum")`, divided by `(labels != -100).sum().clamp(min=1)`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "encoder_decoder-seq2seq_loss", "locked": false, "schema_version": 3, "solution": true, "task": false}
@check_shapes
def seq2seq_loss(
    logits: Float[Tensor, "batch time vocab"], labels: Int64[Tensor, "batch time"]
) -> Float[Tensor, ""]:
    """Mean of -log P(label) over all labels that are not -100 (nats per token).

    >>> seq2seq_loss(torch.zeros(1, 2, 4), torch.tensor([[3, -100]]))  # log 4
    tensor(1.3863)
    """
    vocab = logits.shape[-1]
    if ((labels != -100) & ((labels < 0) | (labels >= vocab))).any():
        raise ValueError(f"labels must lie in 0 ... {vocab - 1} or be -100, got {labels}")

    ### BEGIN SOLUTION
    total = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum")
    return total / (labels != -100).sum().clamp(min=1)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-encoder_decoder-seq2seq_loss", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("encoder_decoder.seq2seq_loss", seq2seq_loss)
### BEGIN HIDDEN TESTS
check("encoder_decoder.seq2seq_loss", seq2seq_loss, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# A model that knows nothing gives every token of the vocabulary the same share. Its loss is the logarithm of the size of the vocabulary, and that is where our training will start:

# %%
nothing = torch.zeros(*labels.shape, len(tokenizer.vocab))
vocab = len(tokenizer.vocab)
print(f"{seq2seq_loss(nothing, labels):.3f} = log {vocab} = {math.log(vocab):.3f}")

# %% [markdown]
# ## 3. Cross-attention: a look at the other text
#
# **Cross-attention is attention whose queries come from the target, and whose keys and values come from the source.** You have the function already: `MultiHeadAttention(x, context)` of notebook 03. By hand, with one head and vectors of two numbers: the target asks for the channel in which its vector is large.

# %%
source = torch.tensor([[4.0, 0.0], [0.0, 4.0], [0.0, 0.0]])  # [source 3, width 2]
target = torch.tensor([[0.0, 2.0], [2.0, 0.0]])  # [target 2, width 2]
scores = target @ source.T / math.sqrt(2)  # [target 2, source 3]
weights = scores.softmax(-1)
print("weights [target, source]:", weights, sep="\n")
print("what each target token receives [target, width]:", weights @ source, sep="\n")


# %% [markdown]
# The map is not square: two rows for the two tokens that look, three columns for those that are looked at. The first target token looks at the *second* source token, the second at the *first*. That is a crossing, in the smallest form.
#
# No mask hides the source's future here, and none should. The source is all there before the first target token is written. What has to be hidden is only its padding.
#
# A decoder's block is then the block of notebook 04 with one step more. In order, each step added to the stream, each with a norm in front:
#
# 1. `attention`: look at what has been written so far (causal);
# 2. `cross_attention`: look at the source;
# 3. the feed-forward: work on what both have brought.
#
# The context is not normalised again. It comes from the end of the encoder, where a last norm has seen to that.

# %% [markdown]
# ### Exercise: CrossAttentionBlock (3 points)
#
# Write the `forward` of a decoder's block. The parts are there: the constructor of `TransformerBlock` makes `attention`, `norm1`, `norm2` and the feed-forward, called as `self.feed_forward(x)`; two parts are new, `cross_attention` and its norm `cross_norm`.
#
# - `x` is `[batch, target, width]`, the stream of the text that is written. `context` is `[batch, source, width]`.
# - `mask` belongs to the self-attention, `context_mask` to the cross-attention. Both are boolean, True = may attend, or None; they may differ from text to text and from head to head.
# - Return the stream after the three steps, `[batch, target, width]`.
#
# ```python
# block = CrossAttentionBlock(width=8, n_heads=2, ffn_width=16)
# block(torch.randn(1, 5, 8), torch.randn(1, 3, 8), causal_mask(5)).shape  # [1, 5, 8]
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# The pre-norm `TransformerBlock` is two lines: `x = x + attention(norm1(x))` and `x = x + feed_forward(norm2(x))`. A line of the same form comes between them.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# `MultiHeadAttention` takes `(x, context, mask)`. In the self-attention there is no context, so the mask has to be named: `mask=mask`. In the cross-attention the first argument is the normalised stream, the second the context as it is.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `x = x + self.attention(self.norm1(x), mask=mask)`, then `x = x + self.cross_attention(self.cross_norm(x), ..., ...)`, then return `x + self.feed_forward(self.norm2(x))`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "encoder_decoder-CrossAttentionBlock", "locked": false, "schema_version": 3, "solution": true, "task": false}
class CrossAttentionBlock(TransformerBlock):
    """The pre-norm block of notebook 04 with a look at another text in the middle.

    >>> CrossAttentionBlock(8, 2, 16)(torch.zeros(1, 5, 8), torch.zeros(1, 3, 8)).shape
    torch.Size([1, 5, 8])
    """

    def __init__(self, width: int, n_heads: int, ffn_width: int) -> None:
        super().__init__(width, n_heads, ffn_width, norm="pre")
        self.cross_attention = MultiHeadAttention(width, n_heads)
        self.cross_norm = nn.LayerNorm(width)

    @check_shapes
    def forward(
        self,
        x: Float[Tensor, "batch target width"],
        context: Float[Tensor, "batch source width"],
        mask: Bool[Tensor, "... #target #target"] | None = None,
        context_mask: Bool[Tensor, "... #target #source"] | None = None,
    ) -> Float[Tensor, "batch target width"]:
        """The stream of the target, one step further: [batch, target, width]."""
        ### BEGIN SOLUTION
        x = x + self.attention(self.norm1(x), mask=mask)
        x = x + self.cross_attention(self.cross_norm(x), context, context_mask)
        return x + self.feed_forward(self.norm2(x))
        ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-encoder_decoder-CrossAttentionBlock", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check("encoder_decoder.CrossAttentionBlock", CrossAttentionBlock)
### BEGIN HIDDEN TESTS
check("encoder_decoder.CrossAttentionBlock", CrossAttentionBlock, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# ## 4. The whole model, and the three architectures
#
# **The three architectures are the same attention and the same block. They differ in who may look at whom, in what stands at the end, and in what they are trained for.** Here is who looks at whom, with *forty-one* as the source and *einundvierzig* as the target:

# %% tags=["experiment"]
plots.plot_architectures(["forty", "-", "one"], ["<start>", "ein", "und", "vierzig"])

# %% [markdown]
# | | encoder-only (05) | decoder-only (06) | encoder-decoder (07) |
# |---|---|---|---|
# | known for | BERT | GPT, LLaMA, SmolLM2 | the first transformer, T5 |
# | **mask** | padding: all may look both ways | causal | encoder: padding. Decoder: causal |
# | **context** | none | none: the source stands in front, in the same text | the encoder's output, through cross-attention |
# | **head** | tags or classes; for pre-training, the token at the position itself | the next token | the next token of the target |
# | **objective** | guess masked tokens: P(x_t given all others) | guess the next token: P(x_t given x_<t) | guess the next target token: P(y_t given y_<t, x) |
# | **blocks, in code** | `block(x, padding)` | `block(x, causal & padding, ...)` | `encoder`: `block(x, padding)`. `decoder`: `block(x, context, causal, padding)` |
# | **loss, in code** | `masked_lm_loss(model(masked_ids), labels)` | `causal_lm_loss(model(ids), ids)` | `seq2seq_loss(model(source_ids, shift_right(labels, start_id)), labels)` |
# | in `course_lib` | `encoder.py` | `decoder.py` | `encoder_decoder.py` |
# | good at | understanding a text as a whole: labels, tags, search | writing on; by prompting, nearly anything | rewriting one text into another |
#
# In the middle board the source is read by a decoder, so *forty* cannot see *one*. On the right it can. That is what the encoder buys: the source is read both ways, once, and then stays as it is. Nothing that is written later changes what was read.
#
# The boards can be tested on the real models. Three small ones with random weights get the same tokens; then one token is changed. A cross stands at each position whose logits change with it, a dot where nothing happens:

# %% tags=["experiment"]
sizes = {"vocab_size": 20, "max_length": 8, "width": 16, "n_layers": 2, "n_heads": 2}
sizes |= {"ffn_width": 32}
weights = torch.Generator().manual_seed(1)
reader = MaskedLM(EncoderConfig(**sizes), weights)
writer = DecoderLM(DecoderConfig(**sizes), weights)
rewriter = encoder_decoder.EncoderDecoder(EncoderDecoderConfig(**sizes), weights)

source, target = torch.tensor([[5, 6, 7]]), torch.tensor([[1, 8, 9, 10]])
other_source, other_target = torch.tensor([[5, 6, 11]]), torch.tensor([[1, 8, 12, 10]])


def noticed(model: nn.Module, before: list[Tensor], after: list[Tensor]) -> str:
    """A cross for each position whose logits change, a dot for each other."""
    with torch.no_grad():
        change = (model(*before) - model(*after)).abs().amax(-1)[0]  # [time]
    return " ".join("x" if moved else "." for moved in (change > 1e-6).tolist())


def as_one_text(source: Tensor, target: Tensor) -> list[Tensor]:
    """Source and target in one row, as a decoder reads them."""
    return [torch.cat([source, target], dim=1)]


print("the last of three source tokens is changed")
print("  encoder-only, 3 positions:       ", noticed(reader, [source], [other_source]))
texts = as_one_text(source, target), as_one_text(other_source, target)
print("  decoder-only, 3 + 4 positions:   ", noticed(writer, *texts))
texts = [source, target], [other_source, target]
print("  encoder-decoder, 4 of the target:", noticed(rewriter, *texts))
print("the third of four target tokens is changed")
texts = as_one_text(source, target), as_one_text(source, other_target)
print("  decoder-only, 3 + 4 positions:   ", noticed(writer, *texts))
texts = [source, target], [source, other_target]
print("  encoder-decoder, 4 of the target:", noticed(rewriter, *texts))


# %% [markdown]
# Compare with the boards. In the encoder everybody notices, in the decoder only what stands at the changed token or behind it. The encoder-decoder is both: a change in the source is noticed by the whole target, its first position included; a change in the target only from there on.
#
# In our model both texts use one token table and one position table, and the head is the token table again (*tied*). The original transformer and T5 share tables too. T5 has no position table: it adds a learned number for each distance to the attention scores.

# %% [markdown]
# ### Exercise: EncoderDecoder (4 points)
#
# Put it together: `encode`, `decode`, and `forward`, which calls the two. The constructor, `embed` (ids to vectors, with positions) and `unembed` (vectors to logits) are given.
#
# - `encode(source_ids)`: embed, go through the blocks of `self.encoder` (these are `TransformerBlock`s, called as `block(x, mask)`), then `self.encoder_norm`. Padding of the source, where `source_ids` equals `self.config.pad_id`, is seen by nobody. `[batch, source, width]`.
# - `decode(target_ids, context, source_ids)`: embed, go through the blocks of `self.decoder`, then `self.decoder_norm` and `self.unembed`. Nobody looks ahead in the target, and nobody looks at padding in the source. Every block looks at the same context. `[batch, target, vocab]`.
# - `forward(source_ids, target_ids)`: the logits. `target_ids` are what the decoder reads; there is nothing to shift here.
# - Padding at the end of the target needs no mask, and gets none, since a target may *begin* with `pad_id` (T5's do). Do you see why it needs none? (Answer: it stands behind all real tokens, and the causal mask hides what stands behind. What comes out *at* the padding is not used, since its label is -100.)
#
# ```python
# config = EncoderDecoderConfig(vocab_size=50, max_length=16, width=8, n_layers=2, n_heads=2, ffn_width=16)
# EncoderDecoder(config)(torch.tensor([[5, 6, 7]]), torch.tensor([[1, 8]])).shape  # [1, 2, 50]
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# Two masks from notebook 03: `padding_mask(attention_mask)` wants True for a token and False for padding, `causal_mask(length)` the number of target tokens. Compare with the board on the right of the figure.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# `encode`: the padding mask, `x = self.embed(...)`, a loop over `self.encoder`, the norm. `decode`: both masks, `x = self.embed(...)`, a loop over `self.decoder` where each block gets x, the context and the two masks, the norm, `unembed`. The padding mask is the same in both.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `mask = padding_mask(source_ids != self.config.pad_id)`, then `for block in self.encoder: x = block(x, mask)`. In `decode`: `for block in self.decoder: x = block(x, context, causal_mask(target_ids.shape[1]), context_mask)`. In `forward`: `return self.decode(target_ids, self.encode(source_ids), source_ids)`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "encoder_decoder-EncoderDecoder", "locked": false, "schema_version": 3, "solution": true, "task": false}
class EncoderDecoder(nn.Module):
    """Reads a source text and scores each next token of a target text: P(y_t | y_<t, x).

    >>> sizes = EncoderDecoderConfig(50, 16, width=8, n_layers=2, n_heads=2, ffn_width=16)
    >>> EncoderDecoder(sizes)(torch.tensor([[5, 6, 7]]), torch.tensor([[1, 8]])).shape
    torch.Size([1, 2, 50])
    """

    def __init__(
        self, config: EncoderDecoderConfig, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.config = config
        sizes = (config.width, config.n_heads, config.ffn_width)
        self.token_embedding = nn.Embedding(config.vocab_size, config.width)
        self.position_embedding = nn.Embedding(config.max_length, config.width)
        self.encoder = nn.ModuleList(
            TransformerBlock(*sizes, norm="pre") for _ in range(config.n_layers)
        )
        self.encoder_norm = nn.LayerNorm(config.width)
        self.decoder = nn.ModuleList(CrossAttentionBlock(*sizes) for _ in range(config.n_layers))
        self.decoder_norm = nn.LayerNorm(config.width)
        self.head = None
        if not config.tied:
            self.head = nn.Linear(config.width, config.vocab_size, bias=False)
        # Each decoder block adds to its stream three times. In a narrow model GPT-2's deviation of
        # 0.02 would leave attention nearly even, and learning slow to begin.
        initialise(self, generator, 3 * config.n_layers, deviation=config.width**-0.5)

    @check_shapes
    def forward(
        self,
        source_ids: Int64[Tensor, "batch source"],
        target_ids: Int64[Tensor, "batch target"],
    ) -> Float[Tensor, "batch target vocab"]:
        """Logits of the token after each position of the target: [batch, target, vocab]."""
        ### BEGIN SOLUTION
        context = self.encode(source_ids)  # [batch, source, width]
        return self.decode(target_ids, context, source_ids)
        ### END SOLUTION

    def encode(
        self, source_ids: Int64[Tensor, "batch source"]
    ) -> Float[Tensor, "batch source width"]:
        """Read, both ways: [batch, source, width]."""
        ### BEGIN SOLUTION
        mask = padding_mask(source_ids != self.config.pad_id)  # [batch, 1, 1, source]
        x = self.embed(source_ids)  # [batch, source, width]
        for block in self.encoder:
            x = block(x, mask)
        return self.encoder_norm(x)
        ### END SOLUTION

    def decode(
        self,
        target_ids: Int64[Tensor, "batch target"],
        context: Float[Tensor, "batch source width"],
        source_ids: Int64[Tensor, "batch source"],
    ) -> Float[Tensor, "batch target vocab"]:
        """Write, with a look at the context: [batch, target, vocab]."""
        ### BEGIN SOLUTION
        mask = causal_mask(target_ids.shape[1])  # [target, target]
        context_mask = padding_mask(source_ids != self.config.pad_id)  # [batch, 1, 1, source]
        x = self.embed(target_ids)  # [batch, target, width]
        for block in self.decoder:
            x = block(x, context, mask, context_mask)
        return self.unembed(self.decoder_norm(x))
        ### END SOLUTION

    def embed(self, ids: Int64[Tensor, "batch time"]) -> Float[Tensor, "batch time width"]:
        """Ids to vectors, with positions; the same two tables for both texts."""
        return input_embeddings(ids, self.token_embedding.weight, self.position_embedding.weight)

    def unembed(self, x: Float[Tensor, "batch time width"]) -> Float[Tensor, "batch time vocab"]:
        """Vectors to logits: a dot product with each row of the head, or of the token table."""
        table = self.token_embedding if self.head is None else self.head
        return F.linear(x, table.weight)


# %% nbgrader={"grade": true, "grade_id": "check-encoder_decoder-EncoderDecoder", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
check("encoder_decoder.EncoderDecoder", EncoderDecoder)
### BEGIN HIDDEN TESTS
check("encoder_decoder.EncoderDecoder", EncoderDecoder, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise: greedy_translate (3 points)
#
# Let the model write. Now there is no teacher: the decoder reads what it has written itself.
#
# - `model(source_ids, target_ids)` gives logits `[batch, target, vocab]`. It is whatever is passed in, so use nothing else of it.
# - Begin each row with `start_id`. At each step append the token that scores highest at the last position (*greedy*).
# - A row is finished when it has written `end_id`. Rows finish at different steps: a finished row is filled up with `end_id` while others go on. Stop when all are finished, or when `max_length` tokens have been written.
# - Return int64 `[batch, at most max_length]`: without the start token, with the end token. The start is not an end, even if both have the same id.
#
# ```python
# def ends_at_once(source_ids, target_ids):
#     return F.one_hot(torch.full_like(target_ids, 2), 5).float()  # token 2 scores highest, always
#
# greedy_translate(ends_at_once, torch.tensor([[7, 8]]), start_id=1, end_id=2, max_length=9)
# # tensor([[2]])
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# Keep two things from step to step: what has been written, `[batch, time]`, and one boolean a row that says whether it is finished.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# At most `max_length` times: run the model on the source and *all* that is written; take the last position; `argmax` over the vocabulary; where a row was finished before, put `end_id` in place of its token; append; update `finished`; leave the loop if all are. Return without the first column.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `logits = model(source_ids, target_ids)[:, -1]`, `next_ids = logits.argmax(-1).masked_fill(finished, end_id)`, `target_ids = torch.cat([target_ids, next_ids[:, None]], dim=1)`, `finished = finished | (next_ids == end_id)`, `if finished.all(): break`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "encoder_decoder-greedy_translate", "locked": false, "schema_version": 3, "solution": true, "task": false}
@torch.no_grad()
@check_shapes
def greedy_translate(
    model: Callable[[Tensor, Tensor], Tensor],
    source_ids: Int64[Tensor, "batch source"],
    start_id: int,
    end_id: int,
    max_length: int,
) -> Int64[Tensor, "batch target"]:
    """What the model writes, greedily: [batch, at most max_length], filled up with end_id.

    >>> always_two = lambda source, target: F.one_hot(torch.full_like(target, 2), 5).float()
    >>> greedy_translate(always_two, torch.tensor([[7, 8]]), start_id=1, end_id=2, max_length=9)
    tensor([[2]])
    """
    if max_length < 1:
        raise ValueError(f"max_length must be at least 1, got {max_length}")

    ### BEGIN SOLUTION
    target_ids = source_ids.new_full((len(source_ids), 1), start_id)
    finished = torch.zeros(len(source_ids), dtype=torch.bool)
    for _ in range(max_length):
        logits = model(source_ids, target_ids)[:, -1]  # [batch, vocab], those of the next token
        next_ids = logits.argmax(-1).masked_fill(finished, end_id)  # [batch]
        target_ids = torch.cat([target_ids, next_ids[:, None]], dim=1)
        finished = finished | (next_ids == end_id)
        if finished.all():
            break
    return target_ids[:, 1:]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-encoder_decoder-greedy_translate", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check("encoder_decoder.greedy_translate", greedy_translate)
### BEGIN HIDDEN TESTS
check("encoder_decoder.greedy_translate", greedy_translate, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# ## 5. Translating numbers it has never seen
#
# **Now train it: 200 steps, 64 numbers each, from weights drawn at random.** Each batch is drawn from 20,000 numbers; 500 others are kept for the test. `fit` is the loop of notebook 06 with the loss of this one: it encodes the pairs, shifts the labels, runs the model and compares. From here on the `course_lib` versions of what you have built do the work, so that every reader trains the same model.

# %% tags=["experiment"]
test_pairs = [experiments.translation(number) for number in test_numbers]
print("one pair:", test_pairs[0])

config = EncoderDecoderConfig(
    vocab_size=len(tokenizer.vocab), max_length=48, width=96, n_layers=2, n_heads=4, ffn_width=384
)
translator = encoder_decoder.EncoderDecoder(config, generator)
print(f"{sum(p.numel() for p in translator.parameters()):,} parameters")


def next_translations(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """(source ids, labels) of 64 training numbers, drawn at random."""
    numbers = experiments.draw(train_numbers, 64, generator)
    pairs = [experiments.translation(number) for number in numbers]
    return experiments.encode_pairs(pairs, tokenizer)


history = experiments.fit(
    translator, next_translations, START_ID, steps=200, learning_rate=3e-3, generator=generator
)

# %% tags=["experiment", "nbval-ignore-output"]
for row in history[:1] + history[24::25]:
    print(f"step {row['step']:3}   loss {row['loss']:.3f} nats per token")

# %% [markdown]
# Let it write. Your `greedy_translate` runs it, on a few numbers of the test set:

# %% tags=["experiment", "nbval-ignore-output"]
some = test_pairs[:5]
source_ids, _ = experiments.encode_pairs(some, tokenizer)
for (english, german), row in zip(
    some, greedy_translate(translator, source_ids, START_ID, END_ID, 32)
):
    written = tokenizer.decode([id for id in row.tolist() if id != END_ID])
    print("right" if written == german else "WRONG", f" {english}\n       {written}")

# %% [markdown]
# And the score on all 500. *Exact match* counts a translation only if every letter is right.

# %% tags=["experiment", "nbval-ignore-output"]
written = experiments.answer(translator, [english for english, _ in test_pairs], tokenizer)
right = [ours == german for ours, (_, german) in zip(written, test_pairs)]
score = sum(right) / len(right)
print(f"exact match on {len(test_pairs)} unseen numbers: {score:.1%}")
for (english, german), ours in zip(test_pairs, written):
    if ours != german:
        print(f"  {english}\n    right:   {german}\n    written: {ours}")

# %% tags=["experiment", "nbval-ignore-output"]
print("above 99 %:", score > 0.99)

# %% [markdown]
# In 200 steps the model was shown 12,800 numbers, some of them twice: about one in ten of all there are. It writes the others because it has learned parts, and how to put them together. Look at what it still gets wrong: is it something that is rare among random numbers?
#
# ### One wrong token is enough
#
# While it learned, the model always read the right tokens. Now it reads its own. If one of them is wrong, it goes on from there, in a situation that no teacher ever showed it. And an exact match needs all of them right. Compare three numbers: the share of tokens guessed right with the teacher's help, that share to the power of the number of tokens, and the exact match.

# %% tags=["experiment", "nbval-ignore-output"]
source_ids, labels = experiments.encode_pairs(test_pairs, tokenizer)
with torch.no_grad():
    guesses = translator(source_ids, shift_right(labels, START_ID)).argmax(-1)
kept = labels != -100
per_token = (guesses == labels)[kept].float().mean().item()
length = kept.sum(1).float().mean().item()
print(f"right tokens, with the teacher: {per_token:.2%}")
print(f"to the power of {length:.1f} tokens:     {per_token**length:.2%}")
print(f"exact match, by itself:         {score:.2%}")


# %% [markdown]
# ### Where does it look?
#
# We know which English word says the same as which German word, so we can do what is rarely possible: compare an attention map with the truth. Each row below is a token while it is being written, and the frames mark the English tokens with the same meaning. In this number two pairs of words cross.

# %% tags=["experiment", "nbval-ignore-output"]
def alignment_figure(number: int):
    """Cross-attention of each decoder block, heads averaged, with the right places framed."""
    maps, source, target = experiments.cross_attention_maps(translator, number, tokenizer)
    expected = experiments.aligned_tokens(number, source, target)
    names = [[token.decode(errors="replace") for token in tokens] for tokens in (source, target)]
    names_of_blocks = "first decoder block", "second decoder block"
    averages = {name: heads.mean(0) for name, heads in zip(names_of_blocks, maps)}
    return plots.plot_alignment(
        averages, *names, expected, "German looks back at English, and crosses"
    )


alignment_figure(41_253)

# %% [markdown]
# How reliable is that? For all tokens with a partner, in 100 unseen numbers: how much of the attention lies on the partner, and how often is the partner what the token looks at most? For comparison, the last column shows what someone who looks everywhere alike would give the partner.

# %% tags=["experiment", "nbval-ignore-output"]
found = experiments.alignment_scores(translator, test_numbers[:100], tokenizer)
print("block  head   weight on the partner   looks there most   everywhere alike")
for (block, head), (weight, most, alike) in found.items():
    print(f"{block + 1:5}  {head:>4}   {weight:21.2f}   {most:16.2f}   {alike:16.2f}")

# %% [markdown]
# **Claim:** cross-attention finds the word that is being translated. **Measured:** mostly. Averaged over heads, each block looks at the right word several times as often as chance would, and the path crosses where the two languages do. But no head does so always, and a good part of the weight goes elsewhere. That is no fault: every vector of the context has taken in its neighbours, so what a token needs to know may be read off next door. How clean the maps are is a matter of luck, too: with another seed the same training gives nearly the same scores and other maps (`benchmarks/encoder_decoder.py` trains three). A map shows where was looked, and notebook 03 says how little that proves.
#
# ### What would break without the look across?
#
# Set what the cross-attention adds to zero. What is left is a decoder that knows German number words and nothing of the source: P(y) in place of P(y | x).

# %% tags=["experiment", "nbval-ignore-output"]
blind = copy.deepcopy(translator)
for block in blind.decoder:
    nn.init.zeros_(block.cross_attention.out_proj.weight)
    nn.init.zeros_(block.cross_attention.out_proj.bias)
for (english, _), ours in zip(
    some, experiments.answer(blind, [english for english, _ in some], tokenizer)
):
    print(f"{english}\n    {ours or '(no end within 32 tokens)'}")
print(f"exact match: {experiments.exact_match(blind, test_pairs[:100], tokenizer):.1%}")
with torch.no_grad():
    for name, model in (("with", translator), ("without", blind)):
        loss = experiments.loss_on(model, source_ids, labels, START_ID)
        print(f"loss {name} the look across: {loss:.3f} nats per token")

# %% [markdown]
# It writes the same for every source, as it must: nothing tells it one from another.
#
# ### What would break without the shift?
#
# Forget `shift_right` and give the decoder the labels themselves. Every position then reads the very token it is to guess. Look how fast the loss comes down now.

# %% tags=["experiment", "nbval-ignore-output"]
cheat = encoder_decoder.EncoderDecoder(config, generator)


def loss_without_shift(generator: torch.Generator) -> Tensor:
    """The mistake: the decoder reads what it shall write."""
    source_ids, labels = next_translations(generator)
    return seq2seq_loss(cheat(source_ids, labels.masked_fill(labels == -100, PAD_ID)), labels)


cheated = train(
    cheat, loss_without_shift, steps=25, generator=generator, learning_rate=3e-3, progress=False
)
print(
    f"loss after 25 steps: {cheated[-1]['loss']:.3f}, of the honest one: {history[24]['loss']:.3f}"
)
print(f"exact match: {experiments.exact_match(cheat, test_pairs[:100], tokenizer):.1%}")


# %% [markdown]
# A loss that falls too fast and too far is a warning. This model has learned to copy its input, and when it has to write by itself there is nothing to copy.
#
# ### Try it
#
# Any number below 100,000. (In the web page you see the figure above; with a running kernel the box is live.)

# %% tags=["experiment", "nbval-ignore-output"]
def translate(number: int = 98_765):
    """The translation of a number, and where the model looked."""
    english, german = experiments.translation(number)
    (ours,) = experiments.answer(translator, [english], tokenizer)
    print(f"{english}\n{ours}   ({'right' if ours == german else f'should be {german}'})")
    return alignment_figure(number)


_ = interact(translate, number=BoundedIntText(98_765, min=0, max=99_999, description="number"))

# %% [markdown]
# ## 6. Text to text: one model, four tasks
#
# **If every task is a text to read and a text to write, one model with one loss can do them all. A prefix says which one is meant.** That is T5's idea: "text-to-text transfer transformer" (Raffel et al. 2020). There are no heads for classes and no heads for tags; the answer is always text.
#
# Four tasks, none of which is a copy of another:
#
# - `translation:` a number from English to German;
# - `digits:` a German number to digits, so the crossing has to be undone;
# - `question:` a little story from Storyland, and a question about who did what;
# - `headline:` the same kind of story, cut down to three words or a few more.
#
# In Storyland "the dog chased the man" and "the man was chased by the dog" are equally likely, and so are their opposites. Who did it cannot be guessed from the order of the names. The answers are known exactly, because Storyland keeps a record of its facts.

# %% tags=["experiment"]
generator = torch.Generator().manual_seed(1)
tasks = experiments.make_tasks(generator)
for learn, test in tasks.pairs.values():
    print(f"{len(learn):5} to learn from, {len(test)} to test")
    print(f"      read:  {test[0][0]}\n      write: {test[0][1]}")

# %% [markdown]
# Numbers are below 10,000 here, to save your time. Test items are other numbers, and stories that do not occur in the training set. Every batch holds eight items of each task.

# %% tags=["experiment"]
steps, scores = [], {name: [] for name in tasks.pairs}


def note(step: int, model: nn.Module) -> None:
    """Every 75 steps: the exact match on 50 items of each task."""
    if step % 75 == 0:
        steps.append(step)
        for name, (_, test) in tasks.pairs.items():
            scores[name].append(experiments.exact_match(model, test[:50], tasks.tokenizer))


generalist = experiments.new_model(tasks.tokenizer, generator)
experiments.fit(
    generalist,
    tasks.next_batch,
    START_ID,
    steps=225,
    learning_rate=3e-3,
    generator=generator,
    on_step=note,
)
plots.plot_exact_match(steps, scores)

# %% tags=["experiment", "nbval-ignore-output"]
for name, (_, test) in tasks.pairs.items():
    score = experiments.exact_match(generalist, test, tasks.tokenizer)
    print(f"{name:11} {score:.1%} exact on {len(test)} items it has not seen")

# %% [markdown]
# **Measured:** one set of weights answers all four, each for the most part exactly, though they are not learned at the same time: the questions come first, and the numbers take longer. Nothing in the model says "translation" or "headline". What the prefix changes is what the encoder makes of the text, and so what the decoder finds there.
#
# The prefix is text like any other. What does the model do if it is changed? The same German number, with two prefixes, and the same story with two:

# %% tags=["experiment", "nbval-ignore-output"]
number, story = 4_728, tasks.pairs["headline"][1][0][0].removeprefix("headline: ")
asked = [
    f"digits: {spell_number(number, 'German')}",
    f"translation: {spell_number(number, 'German')}",
    f"headline: {story}",
    f"question: {story}",
]
for source, ours in zip(asked, experiments.answer(generalist, asked, tasks.tokenizer)):
    print(f"{source}\n    {ours!r}")


# %% [markdown]
# The first and the third are tasks it knows. The second asks for something it has never learned (German was never translated), the fourth is a question that nobody asked. It answers anyway, and nothing in the answer says that it is out of its depth.

# %% [markdown]
# ## 7. Learning from plain text: span corruption
#
# **Pairs of texts are rare; plain text is not. Span corruption makes pairs out of plain text: cut some spans out of it, and ask for what is missing.** It is the pre-training of T5. Each span that is cut out is replaced by a *sentinel*, a special token that marks the hole; the target lists each sentinel with the span that belongs to it, and one more sentinel at the end. The example of the paper (Raffel et al. 2020, figure 2):
#
# | | |
# |---|---|
# | text | Thank you **for inviting** me to your party **last** week |
# | read | Thank you `<A>` me to your party `<B>` week |
# | write | `<A>` for inviting `<B>` last `<C>` |
#
# Compare with BERT's masked tokens in notebook 05. There each hidden token has a [MASK] of its own, so the model sees how many are missing, and the head guesses them all at once. Here a hole says nothing about its length: the decoder writes, and decides when the span is over. And the target is short, since only what is missing is written.

# %% [markdown]
# ### Exercise: corrupt_spans (2 points)
#
# Make the pair out of a text.
#
# - `ids` is a list of token ids, `spans` a list of (start, end), half-open like Python's slices, in order and at least one token apart.
# - Span i is replaced by `sentinel_ids[i]`. The target is each sentinel followed by its span, and then the next sentinel that is not used yet.
# - Return two lists: the corrupted text and the target. What follows the last span stays.
# - Bad spans and missing sentinels are errors (given).
#
# ```python
# corrupt_spans([10, 11, 12, 13, 14], [(1, 3)], sentinel_ids=[90, 91])
# # ([10, 90, 13, 14], [90, 11, 12, 91])
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# If you cut from a list while you walk through it, the places of all later spans move. Build two new lists out of slices of the old one.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# Remember up to which position you have dealt with the text. For each span: copy what stands before it and the sentinel into the corrupted text; the sentinel and the span into the target; move the position to the end of the span. After the loop: the rest of the text, and the last sentinel.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `for (start, end), sentinel in zip(spans, sentinel_ids):` with `corrupted += [*ids[position:start], sentinel]`, `target += [sentinel, *ids[start:end]]`, `position = end`. After it `corrupted += ids[position:]` and `target += [sentinel_ids[len(spans)]]`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "encoder_decoder-corrupt_spans", "locked": false, "schema_version": 3, "solution": true, "task": false}
def corrupt_spans(
    ids: Sequence[int], spans: Sequence[tuple[int, int]], sentinel_ids: Sequence[int]
) -> tuple[list[int], list[int]]:
    """(corrupted, target): each span cut out and asked for, with a sentinel in its place.

    >>> corrupt_spans([10, 11, 12, 13, 14], [(1, 3)], sentinel_ids=[90, 91])
    ([10, 90, 13, 14], [90, 11, 12, 91])
    """
    ends = [-1, *(end for _, end in spans)]
    if not all(before < start < end <= len(ids) for before, (start, end) in zip(ends, spans)):
        raise ValueError(f"spans must be in order, apart and within {len(ids)} ids, got {spans}")
    if len(sentinel_ids) <= len(spans) or len(set(sentinel_ids)) < len(sentinel_ids):
        raise ValueError(f"sentinel_ids must be {len(spans) + 1} or more different ids")
    if set(ids) & set(sentinel_ids):
        raise ValueError("ids must not hold a sentinel")

    ### BEGIN SOLUTION
    corrupted, target = [], []
    position = 0  # everything before it is dealt with
    for (start, end), sentinel in zip(spans, sentinel_ids):
        corrupted += [*ids[position:start], sentinel]
        target += [sentinel, *ids[start:end]]
        position = end
    corrupted += ids[position:]
    target += [sentinel_ids[len(spans)]]
    return corrupted, target
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-encoder_decoder-corrupt_spans", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("encoder_decoder.corrupt_spans", corrupt_spans)
### BEGIN HIDDEN TESTS
check("encoder_decoder.corrupt_spans", corrupt_spans, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# On the sentence of the table, with words in place of ids:

# %%
words = "Thank you for inviting me to your party last week".split()
corrupted, target = corrupt_spans(words, [(2, 4), (8, 9)], SENTINELS)
print("read: ", " ".join(corrupted))
print("write:", " ".join(target))


# %% [markdown]
# ### Exercise: fill_spans (2 points)
#
# The way back: put the spans into the holes.
#
# - `corrupted` and `target` are lists as `corrupt_spans` returns them. Return the whole text as a list.
# - The sentinel at the end of the target may be missing: a model that was cut off has not written it. The last span counts all the same.
# - A span may be empty. What follows the closing sentinel, if anything, is of no use.
# - A target that does not fit the holes is an error (given).
#
# ```python
# fill_spans([10, 90, 13, 14], [90, 11, 12, 91], sentinel_ids=[90, 91])
# # [10, 11, 12, 13, 14]
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# First read the target into a dictionary: sentinel to span. Then walk through the corrupted text.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# Going through the target, a sentinel opens a new, empty span, and any other id belongs to the span opened last. Going through the corrupted text, a sentinel is replaced by its span, and any other id stays.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `span = spans[id] = []` at a sentinel, `span.append(id)` otherwise. Then `filled += spans[id] if id in sentinel_ids else [id]`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "encoder_decoder-fill_spans", "locked": false, "schema_version": 3, "solution": true, "task": false}
def fill_spans(
    corrupted: Sequence[int], target: Sequence[int], sentinel_ids: Sequence[int]
) -> list[int]:
    """The text with its spans back in their places.

    >>> fill_spans([10, 90, 13, 14], [90, 11, 12, 91], sentinel_ids=[90, 91])
    [10, 11, 12, 13, 14]
    """
    holes = [id for id in corrupted if id in sentinel_ids]
    given = [id for id in target if id in sentinel_ids]
    if given[: len(holes)] != holes or len(given) > len(holes) + 1 or [*target][:1] != given[:1]:
        raise ValueError(f"target must hold a span for each of {holes} in order, got {target}")

    ### BEGIN SOLUTION
    spans = {}
    for id in target:
        if id in sentinel_ids:
            span = spans[id] = []  # the ids that follow belong to it
        else:
            span.append(id)
    filled = []
    for id in corrupted:
        filled += spans[id] if id in sentinel_ids else [id]
    return filled
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-encoder_decoder-fill_spans", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("encoder_decoder.fill_spans", fill_spans)
### BEGIN HIDDEN TESTS
check("encoder_decoder.fill_spans", fill_spans, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# Which spans? T5 draws them at random: 15 % of the tokens, in spans of three on average. `draw_spans` of `course_lib.objectives` does that. Cut out, ask, put back, a thousand times:

# %%
generator = torch.Generator().manual_seed(2)
text = list(range(40))
undone = 0
for _ in range(1000):
    spans = draw_spans(len(text), generator)
    corrupted, target = corrupt_spans(text, spans, range(100, 120))
    undone += fill_spans(corrupted, target, range(100, 120)) == text
print("the last spans drawn:", spans)
print(
    f"undone {undone} of 1000 times; {len(text)} tokens became {len(corrupted)} to read and {len(target)} to write"
)

# %% [markdown]
# ### Does it help?
#
# **Pre-training should pay where examples are rare.** So we make them rare: English to German again, numbers below 1,000, but only 40 pairs to learn from. Of plain text there is more: 800 numbers in words, the 200 of the test not among them. A model is first trained on such text by span corruption (half of the tokens, in spans of five: the texts are short), and then *fine-tuned* on the 40 pairs: trained further, on the task. Two starts are compared, each followed by the same fine-tuning:
#
# 1. from scratch: weights drawn at random;
# 2. both in one text: *forty-one, einundvierzig* or the other way round, as dictionaries and travel guides write. Spans are cut out of these texts as out of any other.
#
# What do you expect? Fill a hole in such a text yourself before you look.

# %% tags=["experiment"]
histories, starts = experiments.low_data_scores(
    torch.Generator().manual_seed(3),
    pretrain_steps=160,
    fine_tune_steps=60,
    starts=("from scratch", "both in one text"),
)
plots.plot_starts(
    {name: [score] for name, score in starts.items()}, "English to German from 40 examples"
)

# %% tags=["experiment", "nbval-ignore-output"]
for name, history in histories.items():
    print(f"{name:20} nats per token:", *(f"{row['loss']:.2f}" for row in history[39::40]))
for name, value in starts.items():
    print(f"{name:20} then 40 examples: {value:6.1%} exact")

# %% [markdown]
# **Claim:** pre-training on plain text helps where examples are rare. **Measured:** with this kind of text it does: the same 40 examples go further than from scratch.
#
# The holes say why. In *forty-one, ein* `<A>` the missing part can be read off the English words, so a model that learns to fill such holes learns which words belong together, and the 40 examples have only to tell it what is wanted. In a text of one language alone, *ein* `<A>`, nothing says which number was meant. Does such text help as well? `starts=experiments.STARTS` tries that too, and takes about twice as long. Pre-training hands on what the holes demanded, and no more. In text from the web both kinds occur: in what the language model PaLM was trained on, Briakou and others (2023) found over 30 million translation pairs that nobody had put there on purpose, and in small models trained without such text, translation suffered.
#
# One run is one throw of the dice, and with 40 examples the scores move a lot from seed to seed: `benchmarks/encoder_decoder.py` repeats this over three seeds and writes a table. A real pre-training is also thousands of times longer than ours, on text that needs more than spelling.

# %% [markdown]
# ## Check what you remember
#
# Before you read the summary, find out what stayed. Think first, then open the answer you would give: it says whether it is right, and why. (The same in Portuguese: *Em português*, below the questions.)
#
# Later, `course review` in a terminal brings the ideas of this notebook back as flashcards, shortly before you would forget them.

# %% tags=["experiment"]
from course_lib.review import quiz

quiz("07_encoder_decoder")

# %% [markdown]
# ## Summary
#
# - An **encoder-decoder** models P(y | x). The **encoder** reads the source both ways; the **decoder** writes the target from left to right.
# - Where they meet is **cross-attention**: queries from the target, keys and values from the source. A `CrossAttentionBlock` is the block of notebook 04 with this one step more, between self-attention and feed-forward.
# - The source's padding is hidden in both places. Its future is not: it is all there.
# - **Teacher forcing**: the decoder reads the right answer shifted to the right, with a **start token** in front, and guesses all positions at once. Shift once, in one place. Without the shift the loss is small and the model worthless.
# - By itself the model reads what it has written, until it writes the **end token**. Rows of a batch end at different steps.
# - Where the right alignment is known, cross-attention can be checked: it looks at the partner far more than chance would, and crosses where the languages do. It is not the only way information travels: each vector of the context has read the whole source.
# - **Text-to-text**: with every task as text, one model and one loss do them all, told apart by a prefix.
# - **Span corruption** makes pairs out of plain text: holes marked by sentinels, the missing spans as the target. What it teaches is what it takes to fill the holes.
#
# ## Test yourself
#
# <details><summary>1. A source has 7 tokens, and the decoder has written 4 (with the start token). What shapes do the maps of its self-attention and of its cross-attention have?</summary>
#
# [4, 4] and [4, 7], in each head: rows are those who look, columns those who are looked at.
#
# </details>
# <details><summary>2. The labels of a row are 7, 9, 2 (2 is the end token), the start id is 1. What does the decoder read? At which position does it guess the 9?</summary>
#
# 1, 7, 9. At position 1, where it reads the 7.
#
# </details>
# <details><summary>3. Why may the encoder look both ways and the decoder not?</summary>
#
# The decoder is trained to guess the next token. If it could look ahead it would read the answer, and when it writes there is nothing ahead. The encoder guesses nothing; its text is complete before the writing starts.
#
# </details>
# <details><summary>4. While the target grows token by token, what has to be computed only once?</summary>
#
# Everything in the encoder, and the keys and values that the cross-attention makes of the context. The target's own keys and values can be kept in a cache as in notebook 06.
#
# </details>
# <details><summary>5. Corrupt "a b c d e f" with the spans (0, 1) and (3, 5). What is read, what is written?</summary>
#
# Read: &lt;A&gt; b c &lt;B&gt; f. Written: &lt;A&gt; a &lt;B&gt; d e &lt;C&gt;.
#
# </details>
#
# ## Where to read on
#
# - Ashish Vaswani and others, [*Attention Is All You Need*](https://arxiv.org/abs/1706.03762) (2017), section 3.1 and figure 1: the model of this notebook, with the norms after the additions.
# - Colin Raffel and others, [*Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer*](https://arxiv.org/abs/1910.10683) (2020): section 2.4 on text-to-text, section 3.3 on what to corrupt and how, figure 2 for span corruption.
# - Ilya Sutskever, Oriol Vinyals and Quoc Le, [*Sequence to Sequence Learning with Neural Networks*](https://arxiv.org/abs/1409.3215) (2014): the same task before attention.
# - Dzmitry Bahdanau and others, [*Neural Machine Translation by Jointly Learning to Align and Translate*](https://arxiv.org/abs/1409.0473) (2014), figure 3: the first maps of this kind, with adjectives and nouns that cross between English and French.
# - Eleftheria Briakou, Colin Cherry and George Foster, [*Searching for Needles in a Haystack*](https://arxiv.org/abs/2305.10266) (2023): where a language model's translation comes from.
# - Mike Lewis and others, [*BART*](https://arxiv.org/abs/1910.13461) (2019): another way to corrupt a text, with the whole text as the target.
#
# Next: [notebook 08](../08_decoding/08_decoding.ipynb) asks what else can be done with the logits than to take the largest.
