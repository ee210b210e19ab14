# %% [markdown]
# # Embeddings
#
# **How does a word become something a network can calculate with, and how does it know where it stands?**
#
# A tokenizer turns *the dog chased the man* into five numbers. But the numbers are only names: that `dog` has number 3899 says nothing about dogs. In this notebook every token gets a vector instead, a list of a few hundred numbers in which there is room for meaning. You will see such vectors learn what words have in common, in a world where we know the right answers. Then comes a second question, easily overlooked: a network that looks at all words at once does not know their order, and somebody has to tell it.
#
# > **You will build** the lookup of vectors, the search for neighbours, the loss of word2vec, word arithmetic (king - man + woman), and the two ways by which transformers know positions: vectors that are added, and rotary positions. Your functions will be compared with what real models compute.
# >
# > **You need** the idea of notebook 01 that a text is a list of ids; and the matrix product.
# >
# > **It takes** about 120 minutes to work through, and under 60 seconds to run.

# %%
import torch
import torch.nn.functional as F
from ipywidgets import FloatLogSlider, IntSlider, Text, interact
from jaxtyping import Float, Int64, Real
from torch import Tensor, nn

from course_lib.checks import check
from course_lib.data.storyland import Storyland
from course_lib.plots import embeddings as plots
from course_lib.pretrained import load_minilm, load_smollm2
from course_lib.shapes import check_shapes
from course_lib.transformer import TransformerBlock

torch.set_printoptions(precision=3, sci_mode=False)

# %% [markdown]
# ## 1. A table with a row for each token
#
# **An embedding is a row of a table. The id says which row, and the numbers in it are learned.**
#
# Why not give the network the id itself? Because a network calculates: it would take token 200 for twice as much as token 100, and 101 for nearly the same as 100. Ids are in the order in which a tokenizer happened to number its tokens, and nothing of the kind is true.
#
# The honest way to write down a name without claiming anything else is a **one-hot** vector: as many numbers as there are tokens, all 0 but for a single 1. No two tokens are nearer to each other than any other two. For a vocabulary of three:

# %%
one_hot = torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])  # the ids 2 and 0: [time 2, vocab 3]
table = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])  # [vocab 3, width 2]
one_hot @ table


# %% [markdown]
# The first thing a network does with its input is to multiply it by a matrix. Look at what happens when the input is one-hot: the zeros cancel every row of the matrix but one. The product *is* row 2 and row 0. So the matrix is a table with a row for each token, and the product looks rows up. These rows are the **embeddings**, and the number of columns is the **width**. Against one-hot vectors they are short and *dense*: few of their numbers are 0, and each number can say something about many tokens.

# %% [markdown]
# ### Exercise: embed_one_hot (1 point)
#
# Look up rows of a table the slow way, through one-hot vectors, once in your life.
#
# - `ids` is an int64 tensor of any shape, `table` is `[vocab, width]`. The result is `ids`' shape with `width` added at the end: `[batch, time]` gives `[batch, time, width]`.
# - The result has the table's dtype, and gradients reach the table.
# - Without `torch.nn.functional.embedding`. (`table[ids]` gives the same numbers and is accepted. The point here is to see the matrix product.)
#
# ```python
# embed_one_hot(torch.tensor([2, 0]), torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]))
# # tensor([[5., 6.], [1., 2.]])
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# torch makes one-hot vectors for you: `F.one_hot`. How many numbers must each of them have?
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# Make the one-hot vectors, as long as the table has rows. They come out as integers; give them the table's dtype. Multiply with `@`, which leaves all axes in front alone.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `F.one_hot(ids, len(table))`, then `.to(table.dtype)`, then `@ table`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "embeddings-embed_one_hot", "locked": false, "schema_version": 3, "solution": true, "task": false}
@check_shapes
def embed_one_hot(
    ids: Int64[Tensor, "*shape"], table: Float[Tensor, "vocab width"]
) -> Float[Tensor, "*shape width"]:
    """Rows of a table by one-hot vectors: [...] ids -> [..., width].

    >>> embed_one_hot(torch.tensor([2, 0]), torch.tensor([[1.0], [3.0], [5.0]]))
    tensor([[5.], [1.]])
    """
    if ((ids < 0) | (ids >= len(table))).any():
        raise ValueError(f"ids must lie in 0 ... {len(table) - 1}, got {ids}")

    ### BEGIN SOLUTION
    one_hot = F.one_hot(ids, len(table)).to(table.dtype)  # [..., vocab], a single 1 per token
    return one_hot @ table  # [..., width]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-embeddings-embed_one_hot", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
check("embeddings.embed_one_hot", embed_one_hot)
### BEGIN HIDDEN TESTS
check("embeddings.embed_one_hot", embed_one_hot, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# Now a real table. all-MiniLM-L6-v2 is a small model of BERT's kind, which has read a great part of the web's sentences. `load_minilm` loads it with its tokenizer.

# %% tags=["experiment"]
minilm, minilm_tokenizer = load_minilm()
minilm_table = minilm.token_embedding.weight.detach()  # [vocab, width]
parameters = sum(p.numel() for p in minilm.parameters())
print("table:", list(minilm_table.shape), f"= {minilm_table.numel():,} numbers")
print(f"that is {minilm_table.numel() / parameters:.0%} of the {parameters:,} numbers of the whole model")

ids = torch.tensor(minilm_tokenizer.encode("the dog chased the man"))
print("\nids:", ids.tolist())
by_product = embed_one_hot(ids, minilm_table)
print("vectors:", list(by_product.shape), " the same as table[ids]:", torch.equal(by_product, minilm_table[ids]))
print("the first numbers of 'dog':", by_product[1, :5])

# %% [markdown]
# Half of this model is its table. The product and plain indexing give the same vectors, but the product multiplied nearly 12 million numbers for each token, almost all of them by 0. Libraries therefore index (`torch.nn.Embedding` is a table and an index), and keep in mind what it stands for: a linear layer whose input has a single 1.
#
# The same picture says how a table learns. The gradient of a product reaches only the rows whose one-hot entry is 1:

# %%
table = torch.ones(4, 2, requires_grad=True)
embed_one_hot(torch.tensor([1, 3, 1]), table).sum().backward()
table.grad

# %% [markdown]
# Row 1 was used twice and row 3 once. Rows 0 and 2 have learned nothing. A token that never occurs in the training text keeps the random vector it began with.
#
# ## 2. Near means similar
#
# **Two embeddings are similar if they point the same way. The cosine of the angle between them measures it.**
#
# $$\cos(a, b) = \frac{a \cdot b}{|a| \, |b|}$$
#
# It is 1 for the same direction, 0 for a right angle, -1 for opposite directions. Lengths do not count, because they are divided out. By hand, with a = (3, 4), whose length is 5:

# %%
a = torch.tensor([3.0, 4.0])
for b in (torch.tensor([6.0, 8.0]), torch.tensor([-4.0, 3.0]), torch.tensor([10.0, 0.0])):
    print(b, " dot product:", (a @ b).item(), "  cosine:", round((a @ b / (a.norm() * b.norm())).item(), 3))


# %% [markdown]
# The third vector has a large dot product with a, but only because it is long: it points elsewhere. How long an embedding is often says more about how frequent a word is than about what it means, and that is why neighbours are searched by cosine.

# %% [markdown]
# ### Exercise: nearest_neighbours (2 points)
#
# Which rows of a table point most nearly the way a vector points?
#
# - `query` is `[width]`, `table` is `[vocab, width]`. Return the numbers of the `k` rows with the largest cosine to the query, int64 `[k]`, most similar first.
# - Nothing is left out: a query that was taken from the table finds itself first.
# - Rows may be of any length, also very short ones. A row of zeros has cosine 0 to everything; no `nan`.
# - Without `cosine_similarity`, which torch has.
#
# ```python
# nearest_neighbours(torch.tensor([1.0, 0.0]), torch.tensor([[9.0, 9.0], [0.5, 0.0], [-1.0, 0.0]]), k=2)
# # tensor([1, 0])
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# Divide each row by its own length first. Then the dot product of two rows is their cosine.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# The length of each row is `table.norm(dim=1, keepdim=True)`, `[vocab, 1]`. Keep it above zero with `.clamp(min=...)` and a tiny number. After dividing, `table @ query` gives all dot products at once. Sort from large to small and keep k.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `tiny = torch.finfo(table.dtype).tiny` is the smallest normal number of a dtype. `cosine = table @ query`, then `cosine.argsort(descending=True, stable=True)[:k]`. (`stable` keeps equal rows in their order.)
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "embeddings-nearest_neighbours", "locked": false, "schema_version": 3, "solution": true, "task": false}
@check_shapes
def nearest_neighbours(
    query: Float[Tensor, "width"], table: Float[Tensor, "vocab width"], k: int
) -> Int64[Tensor, "k"]:
    """The k rows that point most nearly the way `query` [width] points, most similar first.

    >>> nearest_neighbours(torch.tensor([1.0, 0.0]), torch.tensor([[9.0, 9.0], [0.5, 0.0]]), k=2)
    tensor([1, 0])
    """
    if not 1 <= k <= len(table):
        raise ValueError(f"k must be between 1 and {len(table)}, got {k}")

    ### BEGIN SOLUTION
    tiny = torch.finfo(table.dtype).tiny  # keeps a zero vector from dividing by zero
    query = query / query.norm().clamp(min=tiny)  # [width], now of length 1
    table = table / table.norm(dim=1, keepdim=True).clamp(min=tiny)  # [vocab, width], each row too
    cosine = table @ query  # [vocab]
    return cosine.argsort(descending=True, stable=True)[:k]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-embeddings-nearest_neighbours", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("embeddings.nearest_neighbours", nearest_neighbours)
### BEGIN HIDDEN TESTS
check("embeddings.nearest_neighbours", nearest_neighbours, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# Which tokens stand near these in MiniLM's table?

# %% tags=["experiment"]
minilm_tokens = {id: token for token, id in minilm_tokenizer.vocab.items()}


def minilm_neighbours(word, k=6):
    """The k tokens nearest to a word in MiniLM's table, the word itself left out."""
    id = minilm_tokenizer.vocab[word]
    rows = nearest_neighbours(minilm_table[id], minilm_table, k + 1).tolist()
    return [minilm_tokens[row] for row in rows if row != id]


for word in ("dog", "paris", "happy", "monday", "seven", "python", "bank"):
    print(f"{word:7}", ", ".join(minilm_neighbours(word)))


# %% [markdown]
# Nobody told the model that seven is near eight. Note `unhappy` beside `happy`: we will see why. Note also what a table cannot do: `python` is one row for the animal and the language, and `bank` one row for the river's and the money's. To tell these apart takes the words around them, which is what attention is for (notebook 03).
#
# Try words of your own. (On a web page, where nothing can be typed, read on.)

# %% tags=["experiment", "nbval-ignore-output"]
def explore_neighbours(word):
    if word.lower() in minilm_tokenizer.vocab:
        print(", ".join(minilm_neighbours(word.lower(), k=12)))
    else:
        print("MiniLM has no single token for this; try another word")


interact(explore_neighbours, word=Text("coffee", continuous_update=False));

# %% [markdown]
# ## 3. Meaning from company
#
# **Words that occur in the same surroundings mean similar things. So a table can learn meaning by learning to tell which words occur near each other.**
#
# The idea is old ("You shall know a word by the company it keeps", Firth 1957). **Skip-gram** (Mikolov and others 2013), the heart of *word2vec*, makes an exercise out of it that needs nothing but text. We take it because it is small and you can watch it. In a transformer the table learns as part of the whole model, from the same source.
#
# We train it on **Storyland**, a little world that tells stories by rules, as many as we like. Since we know the rules, we know which words are alike.

# %% tags=["experiment"]
world = Storyland()
print(f"{len(world.vocab):,} words\n")
for story in world.stories(3, seed=7):
    print(story.text)


# %% [markdown]
# Walk through the text, word by word. The word you stand on is the **center**; each word up to a few steps away, its *window*, is a **context**. Each such pair is an example of words that belong together. With a window of 1:

# %% tags=["experiment"]
def center_context_pairs(ids, window, end_id):
    """All (center, context) at most `window` apart in the same story: two tensors [pairs]."""
    story = (ids == end_id).cumsum(0)  # number of the story each token is in
    centers, contexts = [], []
    for distance in range(1, window + 1):
        left, right = ids[:-distance], ids[distance:]
        same = story[:-distance] == story[distance:]
        centers += [left[same], right[same]]
        contexts += [right[same], left[same]]
    return torch.cat(centers), torch.cat(contexts)


ids = world.ids("the dog chased the man".split())
for center, context in zip(*center_context_pairs(ids, window=1, end_id=world.end_id)):
    print(world.vocab[center], "->", world.vocab[context])

# %% [markdown]
# Each word has two vectors, one for its life as a center and one as a context, in two tables. (The table of centers is the one we keep.) The **score** of a pair is the dot product of the two. Training should make the score of true pairs high. But if that were all, every vector could point the same way and all would be well. So for each true pair we also draw a few words at random, the **negatives**, and ask that *their* scores be low.
#
# High and low are measured by the sigmoid, $\sigma(x) = 1 / (1 + e^{-x})$, which turns a score into a number between 0 and 1: the probability, says the model, that the pair is a true one. The loss for one center $c$, its context $o$ and negatives $n_1, n_2, ...$ is
#
# $$-\log \sigma(c \cdot o) - \sum_i \log \sigma(-c \cdot n_i)$$
#
# (Mikolov and others 2013, "Distributed representations", equation 4). The minus inside the second sigmoid says "this one should *not* be a pair": $\sigma(-x) = 1 - \sigma(x)$. By hand, with one negative, a true score of 2 and a false one of -1:

# %%
true_score, false_score = torch.tensor(2.0), torch.tensor(-1.0)
print("for the true pair: ", -torch.log(torch.sigmoid(true_score)))
print("for the negative:  ", -torch.log(torch.sigmoid(-false_score)))
print("the same, score -200:", -torch.log(torch.sigmoid(torch.tensor(-200.0))), "and in one step:", -F.logsigmoid(torch.tensor(-200.0)))


# %% [markdown]
# The last line is a warning. The sigmoid of -200 is so small that float32 rounds it to 0, and the logarithm of 0 is minus infinity. `F.logsigmoid` does both steps in one and loses nothing.

# %% [markdown]
# ### Exercise: skipgram_loss (3 points)
#
# The loss of a batch of pairs.
#
# - `center` and `context` are `[batch, width]`, `negatives` is `[batch, n, width]`: for each pair n random words.
# - Return a scalar: for each pair the formula above (the *sum* over its negatives), and the *mean* over the batch. It carries gradients.
# - Scores may be of any size: the loss stays finite.
# - An empty batch gives 0, and `backward()` runs from there too.
#
# ```python
# skipgram_loss(torch.tensor([[1.0, 0.0]]), torch.tensor([[2.0, 0.0]]), torch.tensor([[[-1.0, 0.0]]]))
# # tensor(0.4402)
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# Write the shapes beside each line. The true scores are `[batch]`, one for each pair; the false scores are `[batch, n]`.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# True scores: multiply `center` and `context` number by number and sum over the width. False scores: `negatives @ center[:, :, None]` multiplies `[n, width]` with `[width, 1]` for each pair. Then `F.logsigmoid`, with a minus where the formula has one; sum over the negatives; mean over the batch.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `true_score = (center * context).sum(-1)`; `false_scores = (negatives @ center[:, :, None]).squeeze(-1)`; `loss = -F.logsigmoid(true_score) - F.logsigmoid(...).sum(-1)`; at the end `loss.sum() / max(len(loss), 1)`, which is the mean, and 0 for an empty batch.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "embeddings-skipgram_loss", "locked": false, "schema_version": 3, "solution": true, "task": false}
@check_shapes
def skipgram_loss(
    center: Float[Tensor, "batch width"],
    context: Float[Tensor, "batch width"],
    negatives: Float[Tensor, "batch n width"],
) -> Float[Tensor, ""]:
    """Pull true neighbours close, push random words away: a scalar, the mean over the batch.

    >>> skipgram_loss(torch.zeros(3, 2), torch.zeros(3, 2), torch.zeros(3, 1, 2))
    tensor(1.3863)
    """
    ### BEGIN SOLUTION
    true_score = (center * context).sum(-1)  # [batch]
    false_scores = (negatives @ center[:, :, None]).squeeze(-1)  # [batch, n]
    # logsigmoid, not log(sigmoid): sigmoid(-200) is 0 in float32, and log 0 is -inf
    loss = -F.logsigmoid(true_score) - F.logsigmoid(-false_scores).sum(-1)  # [batch]
    return loss.sum() / max(len(loss), 1)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-embeddings-skipgram_loss", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check("embeddings.skipgram_loss", skipgram_loss)
### BEGIN HIDDEN TESTS
check("embeddings.skipgram_loss", skipgram_loss, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# ### Training
#
# 300,000 words of Storyland, a window of 5, five negatives for each pair. Negatives are drawn by how frequent a word is, to the power 0.75, as in word2vec: common words more often, but not as much more often as they occur. Vectors have a width of 32. 2,000 steps of 1,024 pairs take a few seconds.
#
# Before training the context vectors are all zero, so every score is 0 and every sigmoid one half: the loss begins at $6 \log 2 = 4.159$, one true pair and five negatives.

# %% tags=["experiment"]
ids = world.sample_ids(300_000, seed=0)
centers, contexts = center_context_pairs(ids, window=5, end_id=world.end_id)
print(f"{len(centers):,} pairs")

STEPS, BATCH = 2_000, 1_024
generator = torch.Generator().manual_seed(0)
noise = world.unigram_probs().float() ** 0.75
center_table = nn.Embedding(len(world.vocab), 32)
context_table = nn.Embedding(len(world.vocab), 32)
nn.init.normal_(center_table.weight, std=0.1, generator=generator)
nn.init.zeros_(context_table.weight)
before = center_table.weight.detach().clone()

optimiser = torch.optim.Adam([center_table.weight, context_table.weight], lr=0.02)
slower = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.05, STEPS)  # ends at 5 % of the rate
losses = []
for step in range(STEPS):
    i = torch.randint(len(centers), (BATCH,), generator=generator)
    random_words = torch.multinomial(noise, 5 * BATCH, replacement=True, generator=generator)
    loss = skipgram_loss(
        center_table(centers[i]),
        context_table(contexts[i]),
        context_table(random_words.reshape(BATCH, 5)),
    )
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    slower.step()
    losses.append(loss.item())
after = center_table.weight.detach()
print(f"loss at first {losses[0]:.3f}, over the last 200 steps {sum(losses[-200:]) / 200:.1f}")


# %% [markdown]
# The neighbours of a few words, before and after:

# %% tags=["experiment", "nbval-ignore-output"]
def neighbours(word, table, k=5):
    id = world.token_to_id[word]
    rows = nearest_neighbours(table[id], table, k + 1).tolist()
    return ", ".join(world.vocab[row] for row in rows if row != id)


for word in ("dog", "happy", "May", "king", "Oslo"):
    print(f"{word}\n   before: {neighbours(word, before)}\n   after:  {neighbours(word, after)}")

# %% [markdown]
# Five words are five words. Storyland knows the kind of 1,519 of its words (animals, jobs, food and so on, 25 kinds), so we can count over all of them: of the five nearest neighbours of a word, what share is of its own kind?

# %% tags=["experiment", "nbval-ignore-output"]
kind_of = {
    world.token_to_id[word]: kind for kind, words in world.categories.items() for word in words
}


def same_kind(table, kinds):
    """Mean share of the five nearest neighbours of words of these kinds that are of their kind."""
    shares = []
    for id, kind in kind_of.items():
        if kind not in kinds:
            continue
        nearest = [row for row in nearest_neighbours(table[id], table, 6).tolist() if row != id]
        shares.append(sum(kind_of.get(row) == kind for row in nearest[:5]) / 5)
    return sum(shares) / len(shares)


print(f"{len(kind_of):,} words of {len(world.categories)} kinds")
for name, kinds in {
    "words of all kinds": list(world.categories),
    "good and bad feelings": ["good feelings", "bad feelings"],
}.items():
    shares = same_kind(before, kinds), same_kind(after, kinds)
    print("{:21}  neighbours of the same kind: before {:.0%}, after {:.0%}".format(name, *shares))


# %% [markdown]
# From chance to well over half, out of nothing but pairs. The others are often words of the same *sentences*: the king has his palace and his rules beside him, and Oslo has the jobs and surnames of people who live in cities. With a window of five words, "near" is a mixture of "the same kind" and "said together".
#
# A map of 32 dimensions has to leave most of them out. The usual choice is **principal axes**: the directions in which the points differ most (first), then most among those at right angles to it (second).

# %% tags=["experiment"]
def principal_axes(vectors):
    """Each vector's place along the two directions in which they differ most: [words, 2]."""
    centered = vectors - vectors.mean(0)
    _, _, directions = torch.linalg.svd(centered, full_matrices=False)
    return centered @ directions[:2].T


kinds = ["good feelings", "bad feelings", "animals", "food", "deeds", "objects", "countries"]
rows = [world.token_to_id[word] for kind in kinds for word in world.categories[kind]]
maps = {"before training": principal_axes(before[rows]), "after training": principal_axes(after[rows])}
plots.plot_word_maps(maps, [kind_of[row] for row in rows], "Words of seven kinds: a cloud becomes a map")

# %% [markdown]
# Look at the feelings: good and bad ones lie in one heap. *Happy* and *sad* are opposites, yet they are said in the same places ("in the end, she felt ..."), and company is all that this training sees. That holds for real tables too: "near" does not mean "the same". (In the full 32 dimensions they can still be told apart: the last line above says that the neighbours of a good feeling are mostly good ones. Half of the moods name one feeling of each kind, such as *not euphoric but agitated*. So good feelings have bad ones for company and bad ones good ones, and that is a difference, if one that these two axes do not show.)
#
# What would break without negatives? Then nothing pushes: all vectors can point the same way, every score grows, the loss goes to zero, and the table has learned nothing. You can try it: put `torch.zeros(BATCH, 5, 32)` in the place of the negatives and look at the neighbours.
#
# ## 4. Directions that mean something
#
# **A difference between two words can be a direction: the step from king to queen is about the step from man to woman.**
#
# By hand, in a table with two columns that we name ourselves, *female* and *royal*:

# %%
names = ["man", "woman", "king", "queen", "duke"]
table = torch.tensor([[-1.0, 0.0], [1.0, 0.0], [-1.0, 5.0], [1.0, 5.0], [-1.0, 3.0]])
king_minus_man_plus_woman = table[2] - table[0] + table[1]
print(king_minus_man_plus_woman, "is the row of", names[3])


# %% [markdown]
# Take a king, take away what is man, add what is woman. As a question: *man is to king as woman is to what?* In a learned table nobody names the columns, and the step will not fit exactly. So we take the nearest row, by cosine. The three words of the question themselves do not count as answers. That is a convention, and we will look at what it hides.

# %% [markdown]
# ### Exercise: analogy (2 points)
#
# *a* is to *b* as *c* is to what?
#
# - `a`, `b` and `c` are rows of `table` `[vocab, width]`. Return the row nearest, by cosine, to `table[b] - table[a] + table[c]`, as an `int`.
# - Rows `a`, `b` and `c` are no answers. `c` may be the same row as `a`.
# - The rows are added and subtracted as they are, without making them equally long first. (Some programs do; they may find other answers.)
#
# ```python
# table = torch.tensor([[-1.0, 0.0], [1.0, 0.0], [-1.0, 5.0], [1.0, 5.0]])
# analogy(0, 2, 1, table)  # man is to king as woman is to: 3
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# You have a function that finds the nearest rows. How many do you need to ask for, so that one is left when a, b and c are taken out?
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# Compute the target vector. Ask `nearest_neighbours` for four rows (or for all, if the table has fewer than four). Go through them from the first and return the one that is not a, b or c.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `candidates = nearest_neighbours(target, table, k=min(4, len(table)))`, then `next(row for row in candidates.tolist() if row not in (...))`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "embeddings-analogy", "locked": false, "schema_version": 3, "solution": true, "task": false}
@check_shapes
def analogy(a: int, b: int, c: int, table: Float[Tensor, "vocab width"]) -> int:
    """a is to b as c is to which row? The one nearest to table[b] - table[a] + table[c].

    >>> analogy(0, 1, 2, torch.tensor([[1.0, 0.0], [1.0, 5.0], [-1.0, 0.0], [-1.0, 5.0]]))
    3
    """
    for name, row in {"a": a, "b": b, "c": c}.items():
        if not 0 <= row < len(table):
            raise ValueError(f"{name} must lie in 0 ... {len(table) - 1}, got {row}")
    if len(table) == len({a, b, c}):
        raise ValueError(f"table must have a row besides a, b and c, got {len(table)} rows")

    ### BEGIN SOLUTION
    target = table[b] - table[a] + table[c]  # [width]
    candidates = nearest_neighbours(target, table, k=min(4, len(table)))  # 3 may be a, b and c
    return next(row for row in candidates.tolist() if row not in (a, b, c))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-embeddings-analogy", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("embeddings.analogy", analogy)
### BEGIN HIDDEN TESTS
check("embeddings.analogy", analogy, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **Claim: "king - man + woman = queen".** In Storyland we know all the answers. It has 26 pairs like king and queen, and they differ in gender alone, by construction. Any two pairs make a question, in both directions: 1,300 questions. Your `analogy` answers them:

# %% tags=["experiment", "nbval-ignore-output"]
questions = torch.stack([world.ids(question) for question in world.analogies()])  # [1300, 4]
print("the first three:", world.analogies()[:3])
for name, table in {"before": before, "after": after}.items():
    right = [analogy(a, b, c, table) == d for a, b, c, d in questions.tolist()]
    print(f"{name:6} training: {sum(right):,} of {len(right):,} right")


# %% [markdown]
# Before we believe it, three controls. *Without* the convention: how often is the answer the nearest row when a, b and c may win too? And without the arithmetic: if the nearest neighbour of `king` is `queen` anyway, the step from man to woman deserves no praise. So: how often is the answer just the nearest to c, or to b + c, with the same three left out?
#
# And the same for the table of a real model, for those questions whose four words are single tokens of MiniLM.

# %% tags=["experiment", "nbval-ignore-output"]
def share_right(targets, table, questions, leave_out=True):
    """How often the fourth word is the nearest to the target [questions, width]."""
    cosine = F.normalize(targets) @ F.normalize(table).T  # [questions, vocab]
    if leave_out:
        cosine = cosine.scatter(1, questions[:, :3], -2.0)  # below every cosine
    return (cosine.argmax(1) == questions[:, 3]).float().mean().item()


known = [q for q in world.analogies() if all(word in minilm_tokenizer.vocab for word in q)]
minilm_questions = torch.tensor([[minilm_tokenizer.vocab[word] for word in q] for q in known])
tables = {"Storyland": (after, questions), "MiniLM": (minilm_table, minilm_questions)}
print("table      questions  b - a + c  nothing left out  only c  only b + c")
for name, (table, asked) in tables.items():
    a, b, c = (table[asked[:, column]] for column in range(3))
    shares = [
        share_right(b - a + c, table, asked),
        share_right(b - a + c, table, asked, leave_out=False),
        share_right(c, table, asked),
        share_right(b + c, table, asked),
    ]
    print("{:9}  {:9,}  {:9.1%}  {:16.1%}  {:6.1%}  {:10.1%}".format(name, len(asked), *shares))

# %% [markdown]
# **Measured:** in Storyland it holds, nearly always, even when nothing is left out; and the arithmetic does work that neighbourhood alone does not. That is the best case: a world in which the pairs really differ in one thing alone, and independently of all else.
#
# In MiniLM's table the answer comes first in fewer than half of the questions, and next to never unless the three words are left out: the nearest row to king - man + woman is `king` itself. The famous equation is really "the nearest row *other than these three*" (Linzen 2016 examines how much this hides). Still, the step is there: it finds clearly more answers than neighbourhood alone.
#
# If the step were the same for all pairs, arrows from each male to each female word would be parallel. The cosine between the 26 steps says how nearly they are. For a picture we take five pairs. Upwards goes the mean step of the *other* 21 pairs, so nothing forces these arrows up; sideways goes the direction in which the words differ most apart from that. (The other 30 dimensions, in which the steps differ from each other too, are not shown.)

# %% tags=["experiment", "nbval-ignore-output"]
pairs = torch.stack([world.ids(pair) for pair in world.gender_pairs])  # [26, 2]
steps = F.normalize(after[pairs[:, 1]] - after[pairs[:, 0]])  # [26, width], each of length 1
others = ~torch.eye(len(steps), dtype=torch.bool)
print(f"cosine between two steps: mean {(steps @ steps.T)[others].mean():.2f}")

shown = [("king", "queen"), ("boy", "girl"), ("actor", "actress"), ("duke", "duchess"),
         ("hero", "heroine")]  # fmt: skip
words = [word for pair in shown for word in pair]
vectors = after[world.ids(words)]  # [10, width]

rest = [row for row, pair in enumerate(world.gender_pairs) if pair not in shown]
mean_step = F.normalize(steps[rest].mean(0), dim=0)
up = vectors @ mean_step  # [10]
sideways = principal_axes(vectors - up[:, None] * mean_step)[:, 0]
points = torch.stack([sideways, up], dim=1)
plots.plot_word_arrows(points, words, shown, f"along the mean step of the other {len(rest)} pairs")

# %% [markdown]
# ## 5. What the vectors do not say: order
#
# **The vector of a word is the same wherever the word stands. A layer that looks at all words at once then sees a bag: which words there are, but not in what order.**
#
# *The dog bit the man* and *the man bit the dog* have the same words. A sum or mean of their vectors is the same:

# %% tags=["experiment"]
for sentence in ("the dog bit the man", "the man bit the dog"):
    print(minilm_table[torch.tensor(minilm_tokenizer.encode(sentence))].mean(0)[:5], sentence)


# %% [markdown]
# But a transformer does more than take a mean. Its blocks let every token take in something from every other (notebooks 03 and 04 build them; for now a block is a black box: vectors in, as many vectors out). Does that bring back the order?
#
# **Claim: "without positions the model sees a bag of words".** MiniLM has six such blocks, and it can be run in our own hands: take the vectors of the tokens, add what it adds (section 7), and send them through the blocks. We leave the positions out, or not, and look at the mean of the vectors that come out, which is how MiniLM sums up a sentence.

# %% tags=["experiment"]
@torch.no_grad()
def minilm_reads(sentence, positions):
    """The mean of MiniLM's output vectors [width], with its positions "added" or not at all."""
    ids = [minilm_tokenizer.cls_id, *minilm_tokenizer.encode(sentence), minilm_tokenizer.sep_id]
    x = minilm_table[ids] + minilm.segment_embedding.weight[0]  # [time, width]
    place = minilm.position_embedding.weight[: len(ids)]  # [time, width]
    x = {"left out": x, "added": x + place, "multiplied": x * place}[positions]
    x = minilm.embedding_norm(x)[None]  # [batch 1, time, width]
    for block in minilm.blocks:
        x = block(x)
    return x[0].mean(0)


for positions in ("added", "left out"):
    one = minilm_reads("The dog bit the man.", positions)
    other = minilm_reads("The man bit the dog.", positions)
    print(f"positions {positions:8}: largest difference {(one - other).abs().max():.3f}")

# %% [markdown]
# Exactly a bag: after six blocks of a trained model, no trace of the order is left (up to rounding). The difference of 0.000 is no weakness of this model. Nothing in the formula of attention mentions a place, and if tokens change seats, their outputs change seats with them.
#
# Now a model that may not look ahead. SmolLM2 is a **decoder**: each token sees only those before it (a *causal mask*). Its positions come in by another way, which section 8 builds, but we can hand it whatever positions we like. We give the same position, 0, to every token, so that it cannot tell them apart by place, and look at what it predicts after the last token (its *logits*, one number for each token of its vocabulary).

# %% tags=["experiment"]
smollm2, smollm2_tokenizer = load_smollm2()


@torch.no_grad()
def smollm2_reads(sentence, positions=None):
    """SmolLM2's logits after the last token [vocab]; the positions [time] may be chosen."""
    ids = torch.tensor([smollm2_tokenizer.encode(sentence)])  # [batch 1, time]
    time = ids.shape[1]
    positions = torch.arange(time) if positions is None else positions
    mask = torch.ones(1, 1, time, time, dtype=torch.bool).tril()  # nobody looks ahead
    x = smollm2.token_embedding(ids)
    for block in smollm2.blocks:
        x = block(x, mask, positions[None])
    return smollm2.unembed(smollm2.norm(x))[0, -1]


zeros = torch.zeros(7, dtype=torch.int64)
one = smollm2_reads("The dog bit the man and ran", zeros)
other = smollm2_reads("The man bit the dog and ran", zeros)
print(f"all positions 0: largest difference of the logits {(one - other).abs().max():.1f}")

# %% [markdown]
# **Measured:** without a causal mask the claim holds exactly. With one it is wrong: the two sentences differ although no token was told its place. Who may look at whom already depends on the order, so the order gets in. (Language models trained without any positions do learn where they are: Haviv and others 2022. Notebook 03 looks at this closely.)
#
# So models without a mask need to be told positions, and models with one are helped by it. The next sections build the two ways of telling.
#
# ## 6. A vector for each place
#
# **Give each position a vector too, and add it to the token's vector. The first transformers made these vectors out of waves.**
#
# What should the vector of position 7 be? The number 7 itself would grow without end. Think of a clock instead: the second hand turns fast, the hour hand slowly. Together they tell many moments apart, and no hand ever leaves the dial. **Sinusoidal positions** (Vaswani and others 2017, section 3.5) are such a clock. Channels come in pairs, and each pair is one hand, told by its sine and cosine:
#
# $$PE[p, 2i] = \sin\left(\frac{p}{base^{2i / width}}\right) \qquad PE[p, 2i + 1] = \cos\left(\frac{p}{base^{2i / width}}\right)$$
#
# with a base of 10,000. Pair 0 turns by one radian (57 degrees) a position; each further pair turns slower. By hand, width 4: two hands, with speeds $1$ and $1 / 10000^{2/4} = 1/100$. At position 1 they stand at the angles 1 and 0.01:

# %%
angles = torch.tensor([1.0, 0.01])
torch.stack([angles.sin(), angles.cos()], dim=-1).flatten()  # sine and cosine of the first, then of the second


# %% [markdown]
# ### Exercise: sinusoidal_positions (2 points)
#
# The table of position vectors.
#
# - Return float32 `[length, width]`; row p belongs to position p, beginning with 0.
# - Even channels are sines, odd channels cosines, as in the formula. (Some libraries put all sines first and then all cosines. A model must be given the kind it was trained with.)
# - An odd width is an error (given).
#
# ```python
# sinusoidal_positions(2, 4)
# # tensor([[0.0000, 1.0000, 0.0000, 1.0000], [0.8415, 0.5403, 0.0100, 0.9999]])
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# First make the table of angles, `[length, width / 2]`: position divided by a power of the base. `torch.arange(0, width, 2)` counts 0, 2, 4, ..., which is 2i.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# A column of positions `[length, 1]` divided by a row of powers `[width / 2]` gives all angles. Take sine and cosine. `torch.stack([...], dim=-1)` puts them side by side as `[length, width / 2, 2]`; flattening the last two axes gives sin, cos, sin, cos, ...
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `angles = positions / base ** (channels / width)` with `positions = torch.arange(length, dtype=torch.float64)[:, None]` and `channels` as in hint 1; then `torch.stack([angles.sin(), angles.cos()], dim=-1)`, `.flatten(1)`, `.float()`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "embeddings-sinusoidal_positions", "locked": false, "schema_version": 3, "solution": true, "task": false}
def sinusoidal_positions(
    length: int, width: int, base: float = 10_000.0
) -> Float[Tensor, "length width"]:
    """Position vectors made of waves, from fast to slow: float32 [length, width].

    >>> sinusoidal_positions(1, 4)
    tensor([[0., 1., 0., 1.]])
    """
    if not isinstance(length, int) or not isinstance(width, int):
        raise TypeError(f"length and width must be ints, got {length!r} and {width!r}")
    if length < 0:
        raise ValueError(f"length must not be negative, got {length}")
    if width < 2 or width % 2 != 0:
        raise ValueError(f"width must be even and at least 2, got {width}")
    if base <= 0:
        raise ValueError(f"base must be positive, got {base}")

    ### BEGIN SOLUTION
    positions = torch.arange(length, dtype=torch.float64)[:, None]  # [length, 1]
    channels = torch.arange(0, width, 2, dtype=torch.float64)  # [width / 2]: 0, 2, 4, ...
    angles = positions / base ** (channels / width)  # [length, width / 2]
    waves = torch.stack([angles.sin(), angles.cos()], dim=-1)  # [length, width / 2, 2]
    return waves.flatten(1).float()  # [length, width]: sin, cos, sin, cos, ...
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-embeddings-sinusoidal_positions", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("embeddings.sinusoidal_positions", sinusoidal_positions)
### BEGIN HIDDEN TESTS
check("embeddings.sinusoidal_positions", sinusoidal_positions, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# The table for 100 positions and 64 channels. The fast hands are on the left; on the right nothing seems to move, because the slowest hands would need tens of thousands of positions for one turn.

# %% tags=["experiment"]
plots.plot_waves(sinusoidal_positions(100, 64), channels=[0, 8, 16, 32])


# %% [markdown]
# Move the width and the base. A small base makes all hands fast. (The picture above is the control's twin.)

# %% tags=["experiment", "nbval-ignore-output"]
def explore_waves(width, base):
    return plots.plot_waves(sinusoidal_positions(100, width, base), channels=[0, width // 2])


interact(
    explore_waves,
    width=IntSlider(64, 8, 128, step=8, continuous_update=False),
    base=FloatLogSlider(value=10_000.0, base=10, min=1, max=5, step=0.5, continuous_update=False),
);

# %% [markdown]
# **Learned positions** are the other way: a second table with a row for each position, numbers and all learned in training like those of the tokens. BERT, GPT-2 and MiniLM do this. MiniLM's position table can be laid beside the waves. For the first 64 positions: how similar is each to each other?

# %% tags=["experiment"]
minilm_positions = minilm.position_embedding.weight.detach()  # [512, width]
print("MiniLM's position table:", list(minilm_positions.shape))


def similarities(table):
    rows = F.normalize(table[:64])
    return rows @ rows.T  # [64, 64]


maps = {
    "sinusoidal": similarities(sinusoidal_positions(64, 384)),
    "learned (MiniLM)": similarities(minilm_positions),
}
plots.plot_matrices(maps, "position", "position", "cosine", diverging=True)

# %% [markdown]
# In both, places near each other are the most similar, and the pictures are striped along the diagonals: what counts is mostly the distance. The waves have that by construction, because the dot product of two positions is a sum of cosines, each of the distance times a speed. MiniLM's table has learned it, and the light and dark stripes look like waves of its own. (Position 0 stands apart: it always holds the special token `[CLS]`.)
#
# ## 7. The sum
#
# **What enters the first block is a plain sum: token + position, and in models that read two texts, + segment.**
#
# BERT reads pairs of texts, such as a question and an answer. A **segment** id says to which of the two a token belongs, 0 or 1, and a third table, with two rows, has a vector for each.
#
# By hand, with width 2. Token 5 at position 0, then token 5 again at position 1:

# %%
token, positions = torch.tensor([10.0, 20.0]), torch.tensor([[1.0, 2.0], [3.0, 4.0]])
token + positions


# %% [markdown]
# ### Exercise: input_embeddings (2 points)
#
# What the first block is given.
#
# - `ids` is `[batch, time]`, `token_table` `[vocab, width]`, `position_table` `[max_length, width]`. Return `[batch, time, width]`: each token's row plus the row of the place where it stands, 0, 1, 2, ... in every row of the batch.
# - If `segment_ids` `[batch, time]` and `segment_table` `[segments, width]` are given, add each token's segment as well.
# - A plain sum: no scale, no normalisation. (The original transformer multiplies the token by $\sqrt{width}$ first; BERT normalises afterwards, as a layer of its own.)
# - More tokens than the position table has rows is an error (given).
#
# ```python
# input_embeddings(torch.tensor([[1, 1]]), torch.tensor([[0.0], [10.0]]), torch.tensor([[1.0], [2.0], [3.0]]))
# # tensor([[[11.], [12.]]])
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# Which rows of the position table are needed for `time` tokens?
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# Look up the tokens, `[batch, time, width]`. Take the first `time` rows of the position table, `[time, width]`. Adding them stretches them over the batch by itself. Then the segments, if there are any.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `x = token_table[ids] + position_table[:time]`, and `if segment_ids is not None:` add `segment_table[...]`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "embeddings-input_embeddings", "locked": false, "schema_version": 3, "solution": true, "task": false}
@check_shapes
def input_embeddings(
    ids: Int64[Tensor, "batch time"],
    token_table: Float[Tensor, "vocab width"],
    position_table: Float[Tensor, "max_length width"],
    segment_ids: Int64[Tensor, "batch time"] | None = None,
    segment_table: Float[Tensor, "segments width"] | None = None,
) -> Float[Tensor, "batch time width"]:
    """Token + position (+ segment), a plain sum: [batch, time, width].

    >>> input_embeddings(torch.tensor([[1, 1]]), torch.tensor([[0.0], [10.0]]), torch.ones(2, 1))
    tensor([[[11.], [11.]]])
    """
    time = ids.shape[1]
    if time > len(position_table):
        raise ValueError(f"position_table has {len(position_table)} rows, ids have {time} tokens")
    if (segment_ids is None) != (segment_table is None):
        raise ValueError("segment_ids and segment_table must be given together")
    if ((ids < 0) | (ids >= len(token_table))).any():
        raise ValueError(f"ids must lie in 0 ... {len(token_table) - 1}, got {ids}")
    if segment_ids is not None and ((segment_ids < 0) | (segment_ids >= len(segment_table))).any():
        raise ValueError(f"segment_ids must lie in 0 ... {len(segment_table) - 1}")

    ### BEGIN SOLUTION
    x = token_table[ids] + position_table[:time]  # [batch, time, width]: every row, same positions
    if segment_ids is not None:
        x = x + segment_table[segment_ids]  # [batch, time, width]
    return x
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-embeddings-input_embeddings", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("embeddings.input_embeddings", input_embeddings)
### BEGIN HIDDEN TESTS
check("embeddings.input_embeddings", input_embeddings, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# **Claim: "positional encodings are multiplied into the embeddings".** This is said in study notes around the web. Three tests. First, what does a real model do? We catch the vectors that MiniLM's own first layer receives, and compare them with your sum, and with a product:

# %% tags=["experiment"]
sentence = "The bank by the river is steep."
ids = [minilm_tokenizer.cls_id, *minilm_tokenizer.encode(sentence), minilm_tokenizer.sep_id]
ids = torch.tensor([ids])
caught = []
hook = minilm.embedding_norm.register_forward_hook(lambda _, inputs, output: caught.append(inputs[0]))
with torch.no_grad():
    minilm(ids)
hook.remove()

segment_table = minilm.segment_embedding.weight.detach()
yours = input_embeddings(ids, minilm_table, minilm_positions, torch.zeros_like(ids), segment_table)
product = minilm_table[ids] * minilm_positions[: ids.shape[1]] + segment_table[0]
print(f"largest difference: sum {(yours - caught[0]).abs().max():.3f}, product {(product - caught[0]).abs().max():.3f}")

as_trained = minilm_reads(sentence, "added")
for positions in ("added", "left out", "multiplied"):
    cosine = F.cosine_similarity(minilm_reads(sentence, positions), as_trained, dim=0)
    print(f"positions {positions:10}: cosine of the sentence vector with the true one {cosine:.2f}")

# %% [markdown]
# It adds. With positions left out, its idea of the sentence is another; with positions multiplied in, nothing is left of it.
#
# Second: is a sum not a muddle? If 7 is all you are given, you cannot say whether it was 3 + 4 or 5 + 2. But these are vectors with 384 numbers, and in such a space two tables can use directions that hardly touch. Take 10,000 random tokens, put each at a random place from 1 to 64, and let the simplest of readers, one linear layer (fitted by least squares on 8,000 of them), say the place of the other 2,000:

# %% tags=["experiment", "nbval-ignore-output"]
generator = torch.Generator().manual_seed(0)
tokens = minilm_table[torch.randint(len(minilm_table), (10_000,), generator=generator)]
places = torch.randint(1, 65, (10_000,), generator=generator)
given = {
    "the sum": tokens + minilm_positions[places],
    "the product": tokens * minilm_positions[places],
    "the token alone": tokens,
}
for name, x in given.items():
    x = torch.cat([x, torch.ones(len(x), 1)], dim=1).double()  # a constant channel, for the bias
    layer = torch.linalg.lstsq(x[:8_000], F.one_hot(places[:8_000]).double()).solution
    right = (x[8_000:] @ layer).argmax(1) == places[8_000:]
    print(f"place read from {name:15}: {right.float().mean():.0%} right")

# %% [markdown]
# From the sum a linear layer reads the place in most cases, for tokens it was not fitted on. From the product it can do so far less often: there the place shows only as a factor on numbers whose own size and sign are unknown. Chance is one in 64, and that is about what the token alone gives.
#
# The third test is to train models with either, and see which of them understand a sentence.
#
# ### Who did it?
#
# Here is a task that a bag of words cannot do. Storyland tells of encounters: *the dog chased the man*, *the man was chased by the dog*. Given such a sentence and one of its two names, say whether that one **did** it (1) or had it done to them (0). The sentence is segment 0, the name asked for is segment 1, and the rest is filled up with `<end>` to 8 tokens. Each sentence comes with its *twin*, in which the two names have changed places: the same bag of words, and the opposite answer.

# %% tags=["experiment"]
TIME = 8
encounters = Storyland(size="small", plots=["encounter"])


def example(sentence, asked):
    """The ids [time] and segment ids [time] of a sentence and the name that is asked for."""
    filler = TIME - len(sentence) - 1
    ids = encounters.ids([*sentence, asked] + ["<end>"] * filler)
    return ids, torch.tensor([0] * len(sentence) + [1] + [0] * filler)


def who_did_it(n, seed):
    """ids [2n, time], segment ids [2n, time], labels [2n]: n sentences, then their n twins."""
    rows, twins = [], []
    for story in encounters.stories(n, seed):
        agent, _, patient = story.facts[0]
        sentence = story.tokens[: story.tokens.index("near")]
        exchanged = {agent: patient, patient: agent}
        rows.append(example(sentence, agent))
        twins.append(example([exchanged.get(word, word) for word in sentence], agent))
    ids, segments = (torch.stack(column) for column in zip(*rows, *twins))
    return ids, segments, torch.tensor([1] * n + [0] * n)


test_ids, test_segments, test_labels = who_did_it(300, seed=1)
train_ids, train_segments, train_labels = who_did_it(5_000, seed=2)
in_test = {tuple(row) for row in test_ids.tolist()}
new = torch.tensor([tuple(row) not in in_test for row in train_ids.tolist()])
train_ids, train_segments, train_labels = train_ids[new], train_segments[new], train_labels[new]
for row in (0, 1, 300, 301):
    words = [encounters.vocab[id] for id in test_ids[row]]
    print(test_labels[row].item(), " ".join(words).replace(" <end>", ""), sep="   ")
print(f"{len(train_ids):,} to train on, none of which is among the {len(test_ids)} of the test")

# %% [markdown]
# The model is as small as can be: your `input_embeddings`, one block (the black box), the mean over the tokens, and a linear layer that chooses between 0 and 1. Four versions: no positions; learned; sinusoidal; and sinusoidal ones multiplied instead of added.

# %% tags=["experiment", "nbval-ignore-output"]
WIDTH = 32


class Reader(nn.Module):
    """Did the one asked for do it? Logits [batch, 2]."""

    def __init__(self, positions):
        super().__init__()
        self.multiply = positions == "multiplied"
        table = torch.zeros(TIME, WIDTH) if positions == "none" else sinusoidal_positions(TIME, WIDTH)
        if positions == "learned":
            table = 0.3 * torch.randn(TIME, WIDTH)
        self.positions = nn.Parameter(table, requires_grad=positions == "learned")
        self.tokens = nn.Parameter(0.3 * torch.randn(len(encounters.vocab), WIDTH))
        self.segments = nn.Parameter(0.3 * torch.randn(2, WIDTH))
        self.block = TransformerBlock(WIDTH, n_heads=2, ffn_width=64, norm="pre")
        self.head = nn.Linear(WIDTH, 2)

    def forward(self, ids, segment_ids):
        if self.multiply:
            x = self.tokens[ids] * self.positions + self.segments[segment_ids]
        else:
            x = input_embeddings(ids, self.tokens, self.positions, segment_ids, self.segments)
        return self.head(self.block(x).mean(1))


def train_reader(positions, steps=300, every=20):
    """The steps at which it was tested, and its share of right answers there."""
    torch.manual_seed(0)
    model = Reader(positions)
    optimiser = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=5e-3)
    tested, right = [], []
    for step in range(steps + 1):
        if step % every == 0:
            with torch.no_grad():
                answers = model(test_ids, test_segments).argmax(1)
            tested.append(step)
            right.append((answers == test_labels).float().mean().item())
        i = torch.randint(len(train_ids), (128,))
        loss = F.cross_entropy(model(train_ids[i], train_segments[i]), train_labels[i])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return tested, right


curves = {name: train_reader(name) for name in ("none", "learned", "sinusoidal", "multiplied")}
for name, (_, right) in curves.items():
    print(f"{name:10}  {right[-1]:.0%}")

# %% tags=["experiment"]
plots.plot_curves(
    curves, "Who did it? Without positions: a coin", "training step", chance=0.5
)

# %% [markdown]
# **Measured:** without positions the model is right half of the time, exactly, and stays there, however long it trains. It gives a sentence and its twin the same answer, and one of them is wrong. With positions added, learned or sinusoidal, the task is learned.
#
# And the product? With it the task is learned too. So the claim is wrong as a statement about transformers: BERT, GPT-2 and the original add. It is not that a product could not carry the order: anything that makes the vector of a word differ from place to place can. But the place is harder to read from it, as the second test showed, and where a position's vector is near zero it wipes out what the token says.
#
# ## 8. Rotary positions: turning instead of adding
#
# **Most language models since LLaMA add nothing. They turn queries and keys, by an angle that grows with the position, so that only the distance between two tokens counts.**
#
# For this we need one thing from the next notebook. When a token looks at another, its **query** vector is compared with the other's **key** vector by a dot product, the **score**. The higher the score, the more it takes in from that token. A query and a key are made from the token's vector by learned matrices; what interests us is the dot product.
#
# *Three words before me* is usually more useful to know than *at place 17*. Could the score be made to depend on the distance of the two tokens, and not on where they stand? Think of query and key as arrows in a plane. Their dot product depends on their lengths and on the angle between them. If we turn the query by its position and the key by its own, say by 1 radian a place, then the angle between them changes by the *difference* of the positions. Move both three places on, and both turn by the same 3 radians: the angle between them, and so the score, is what it was.
#
# A turn by the angle $\theta$ takes $(x, y)$ to $(x \cos\theta - y \sin\theta, \; x \sin\theta + y \cos\theta)$. By hand: the arrow (1, 0) at positions 0, 1 and 2.

# %%
theta = torch.tensor([0.0, 1.0, 2.0])
x, y = 1.0, 0.0
torch.stack([x * theta.cos() - y * theta.sin(), x * theta.sin() + y * theta.cos()], dim=1)


# %% [markdown]
# A vector with more channels is cut into pairs, and each pair is an arrow of its own. As with the clock, pair 0 turns fast and the others slower: pair $i$ by position $\cdot \; base^{-2i / d_k}$, where $d_k$ is the width of the query (Su and others 2021, section 3.2). This is called **RoPE**, rotary position embedding.
#
# Which channels make a pair? Conventions differ, and mixing them up is a classic error. The paper pairs neighbours: channels 0 and 1, 2 and 3, and so on. LLaMA's checkpoints in the common safetensors form, and this course, pair the two *halves*: channel $i$ with channel $i + d_k / 2$. With $d_k = 4$: channels 0 and 2 are the fast pair, 1 and 3 the slow one. A trained model works only with its own kind.

# %% [markdown]
# ### Exercise: apply_rope (4 points)
#
# Turn each query, or key, by its position.
#
# - `x` is `[..., time, d_k]` with an even `d_k` (given); `positions` is `[time]`, one for each time step. They need not begin at 0 or be in order.
# - Pair $i$ consists of channels $i$ and $i + d_k/2$, and turns by $position \cdot base^{-2i/d_k}$.
# - Return the same shape and dtype. Lengths do not change: nothing is added.
#
# ```python
# apply_rope(torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([0, 1]))
# # tensor([[1.0000, 0.0000], [0.5403, 0.8415]])
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# The angles are made as in `sinusoidal_positions`: `[time, d_k / 2]`, one for each position and pair. Then the formula for a turn, with the first half of the channels as x and the second half as y.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# `positions[..., None]` is a column; divide it by `base` to the power of 0, 2, 4, ... over d_k. Take cosine and sine. Split `x` into its halves with `x.chunk(2, dim=-1)`. Compute both new halves from both *old* ones, and put them one after the other with `torch.cat`.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `angles = positions[..., None] / base ** (channels / d_k)`, `cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)`, `first, second = x.chunk(2, dim=-1)`. The new first half is `first * cos - second * sin`; the new second half is the other line of the formula.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "embeddings-apply_rope", "locked": false, "schema_version": 3, "solution": true, "task": false}
@check_shapes
def apply_rope(
    x: Float[Tensor, "*batch time d_k"],
    positions: Real[Tensor, "*#batch time"],
    base: float = 10_000.0,
) -> Float[Tensor, "*batch time d_k"]:
    """Turn channels i and i + d_k/2 by position * base^(-2i/d_k); same shape as x.

    >>> apply_rope(torch.tensor([[1.0, 0.0]]), torch.tensor([1]))
    tensor([[0.5403, 0.8415]])
    """
    d_k = x.shape[-1]
    if d_k % 2 != 0:
        raise ValueError(f"x must have an even d_k, got {d_k}")
    if base <= 0:
        raise ValueError(f"base must be positive, got {base}")

    ### BEGIN SOLUTION
    channels = torch.arange(0, d_k, 2, dtype=torch.float64)  # [d_k / 2]: 0, 2, 4, ...
    angles = positions[..., None] / base ** (channels / d_k)  # [..., time, d_k / 2]
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)

    first, second = x.chunk(2, dim=-1)  # each [..., time, d_k / 2]
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-embeddings-apply_rope", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
check("embeddings.apply_rope", apply_rope)
### BEGIN HIDDEN TESTS
check("embeddings.apply_rope", apply_rope, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# One pair of channels: a query and a key, at three pairs of positions. In the first two the query stands one place after the key. In the third it is four places after.

# %% tags=["experiment"]
query, key = torch.tensor([[1.0, 0.4]]), torch.tensor([[0.9, 0.3]])  # [time 1, d_k 2]


def turned(query_position, key_position):
    """The query and key vector at these positions, each [d_k]."""
    q = apply_rope(query, torch.tensor([query_position]))[0]
    k = apply_rope(key, torch.tensor([key_position]))[0]
    return q, k


plots.plot_turns({f"query at {q}, key at {k}": turned(q, k) for q, k in ((1, 0), (3, 2), (4, 0))})


# %% [markdown]
# Slide both together, and the score stays. Change the distance, and it moves. (The three pictures above are the control's twin.)

# %% tags=["experiment", "nbval-ignore-output"]
def explore_turns(start, distance):
    places = f"query at {start + distance}, key at {start}"
    return plots.plot_turns({places: turned(start + distance, start)})


interact(
    explore_turns,
    start=IntSlider(0, 0, 20, continuous_update=False),
    distance=IntSlider(1, -6, 6, continuous_update=False),
);

# %% [markdown]
# Now with 32 channels, and beside the way of section 7. The same token stands at all of 40 places, and looks at itself at all of them. On the left positions are added before random matrices make queries and keys; on the right the same matrices make them without, and they are turned. What we want to see is whether a score is the same all along a diagonal, where the distance is the same.

# %% tags=["experiment"]
generator = torch.Generator().manual_seed(0)
token = torch.randn(32, generator=generator).expand(40, 32)  # the same token at 40 places
w_q, w_k = torch.randn(2, 32, 32, generator=generator) / 32**0.5
added = token + sinusoidal_positions(40, 32)
places = torch.arange(40)
scores = {
    "added": (added @ w_q) @ (added @ w_k).T,
    "rotary": apply_rope(token @ w_q, places) @ apply_rope(token @ w_k, places).T,
}
for name, score in scores.items():
    spread = max(score.diagonal(d).max() - score.diagonal(d).min() for d in range(-30, 31))
    print(f"{name:6}: scores at the same distance differ by up to {spread:.3f}")
plots.plot_matrices(scores, "position of the key", "position of the query", "score", diverging=True)

# %% [markdown]
# **Claim: with rotary positions only the distance counts.** On the right that is exactly so: stripes along the diagonals. On the left a score depends on both places. (The waves *alone* had this property too, in section 6. But after the sum they are multiplied by learned matrices together with the token, and it is lost.)
#
# Does it hold for a whole real model? SmolLM2 is a LLaMA: 30 blocks, in each of which queries and keys are turned. If only distances count, we may tell it that the text begins at position 1,000 instead of 0, and nothing should change. If distances are stretched by two, something should.

# %% tags=["experiment"]
sentence = "The dog chased the man into the"
places = torch.arange(len(smollm2_tokenizer.encode(sentence)))
logits = smollm2_reads(sentence)
print(f"{len(smollm2.blocks)} blocks, base {smollm2.config.rope_base:,.0f}; logits lie between {logits.min():.0f} and {logits.max():.0f}")
for name, positions in {
    "+ 1,000": places + 1_000, "× 2": 2 * places, "in reverse": places.flip(0)
}.items():  # fmt: skip
    moved = smollm2_reads(sentence, positions)
    print(f"positions {name:10}: logits change by up to {(moved - logits).abs().max():.3f}", end="")
    print(f", best guess {smollm2_tokenizer.decode([moved.argmax().item()])!r}")
print(f"as they are: best guess {smollm2_tokenizer.decode([logits.argmax().item()])!r}")

# %% [markdown]
# **Measured:** it holds. A shift by 1,000 changes nothing, in a real model, up to rounding.
#
# ## 9. Beyond the longest text
#
# **What happens at a place that training never reached?** A learned table has a last row. MiniLM's has 512:

# %% tags=["experiment"]
try:
    input_embeddings(torch.zeros(1, 513, dtype=torch.int64), minilm_table, minilm_positions)
except ValueError as error:
    print("ValueError:", error)

# %% [markdown]
# Sinusoidal positions have no last row.
#
# **Claim: "sinusoidal positions are infinite", so the model can read texts of any length.** That they are *defined* everywhere is true; your function gives a row for position one million. Whether a model can *use* rows it has never seen is another question, and we can ask it. The task: at each place, name the token that stands one place before. Tokens are random, so nothing but positions can help. A model with a single look at the other tokens (`F.scaled_dot_product_attention`, which notebook 03 builds) trains on texts of 8 to 32 tokens, and is then tested on texts of 128. The learned table gets 128 rows, but rows 32 and above are never used in training.

# %% tags=["experiment", "nbval-ignore-output"]
TOKENS, TRAINED, TESTED, WIDTH = 20, 32, 128, 64


class OneBefore(nn.Module):
    """Name the token one place before: logits [batch, time, TOKENS]."""

    def __init__(self, positions):
        super().__init__()
        self.rotary = positions == "rotary"
        table = torch.zeros(TESTED, WIDTH) if self.rotary else sinusoidal_positions(TESTED, WIDTH)
        if positions == "learned":
            table = 0.3 * torch.randn(TESTED, WIDTH)
        self.positions = nn.Parameter(table, requires_grad=positions == "learned")
        self.tokens = nn.Parameter(0.3 * torch.randn(TOKENS, WIDTH))
        self.norm = nn.LayerNorm(WIDTH)
        self.query, self.key, self.value = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.head = nn.Linear(WIDTH, TOKENS)

    def forward(self, ids):
        x = self.norm(input_embeddings(ids, self.tokens, self.positions))
        q, k, v = self.query(x), self.key(x), self.value(x)
        if self.rotary:
            places = torch.arange(ids.shape[1])
            q, k = apply_rope(q, places), apply_rope(k, places)
        return self.head(x + F.scaled_dot_product_attention(q, k, v))


def train_one_before(positions, steps=400):
    """The share of right answers at places 1 to 127 of long texts, [127]."""
    torch.manual_seed(0)
    model = OneBefore(positions)
    optimiser = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    for _ in range(steps):
        length = torch.randint(8, TRAINED + 1, ()).item()
        ids = torch.randint(TOKENS, (32, length))
        logits = model(ids)[:, 1:]  # the first token has none before it
        loss = F.cross_entropy(logits.flatten(0, 1), ids[:, :-1].flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        ids = torch.randint(TOKENS, (300, TESTED))
        return (model(ids)[:, 1:].argmax(-1) == ids[:, :-1]).float().mean(0)


right = {name: train_one_before(name) for name in ("learned", "sinusoidal", "rotary")}
print("places       1-31   32-63  64-95  96-127")
for name, share in right.items():
    parts = [share[max(start - 1, 0) : start + 31].mean().item() for start in (0, 32, 64, 96)]
    print(f"{name:11}", "".join(f"{part:7.0%}" for part in parts))

# %% tags=["experiment"]
plots.plot_curves(
    {name: (range(1, TESTED), share.tolist()) for name, share in right.items()},
    "Learned and sinusoidal positions break where training ended",
    "position",
    chance=1 / TOKENS,
    mark=(TRAINED, "end of the training texts"),
)

# %% [markdown]
# **Measured:** up to place 31, all three have learned the task. Beyond, the learned positions fall to chance, as they must: their rows are random numbers. The sinusoidal ones fall too, almost as far. The vectors are there, but the model has learned what to do with the first 32 of them, not with the rule by which they are made. (The lonely peaks are probably places at which the fast waves happen to look much as they did somewhere in training.) So "infinite" is true of the formula and not of the model. Press, Smith and Lewis (2022, figure 1) found the same in large language models.
#
# The rotary model goes on, because "one before me" is the same turn at place 100 as at place 10. Do not read too much into that. This task needs one *small* distance, which training has seen all the time. In a task that needs distances longer than any seen in training, the slow pairs reach angles they have never had, and models with rotary positions break as well; Press and others' figure shows this too.

# %% [markdown]
# ## Check what you remember
#
# Before you read the summary, find out what stayed. Think first, then open the answer you would give: it says whether it is right, and why. (The same in Portuguese: *Em português*, below the questions.)
#
# Later, `course review` in a terminal brings the ideas of this notebook back as flashcards, shortly before you would forget them.

# %% tags=["experiment"]
from course_lib.review import quiz

quiz("02_embeddings")

# %% [markdown]
# ## Summary
#
# - A token is a **row of a table**. Looking it up is the product of a one-hot vector and the table; a row learns only when its token occurs.
# - **Cosine** compares directions and leaves lengths out.
# - **Skip-gram** learns meaning from company: true pairs get a high score, random pairs a low one. Opposites keep the same company, and so lie close.
# - **king - man + woman**: nearly always right in a world built for it. In a real table right in fewer than half of our questions, and then only because the three words of the question may not answer.
# - Without positions and without a causal mask, a model sees a **bag of words**, exactly. With a causal mask it does not.
# - **Sinusoidal** positions are made of waves, **learned** ones are a second table. Both are **added** to the tokens, and so are **segments**.
# - **Rotary** positions turn queries and keys by their position. A score then depends on the distance alone: a real model does not notice a shift by 1,000.
# - Beyond the longest training text learned positions end, and sinusoidal ones, though defined, are not understood.
#
# | | how | where it stops | found in |
# |---|---|---|---|
# | **sinusoidal** | waves, added to the token | defined everywhere, not understood beyond training | the original transformer |
# | **learned** | a second table, added to the token | at its last row | BERT, GPT-2, MiniLM |
# | **rotary** | turns query and key by the position | defined everywhere; distances beyond training are new | LLaMA, SmolLM2 |
#
# ## Test yourself
#
# <details><summary>1. A vocabulary has 50,000 tokens and the width is 512. How many numbers does the table have, and how many of them get a gradient from a text of 10 different tokens?</summary>
#
# 50,000 × 512 = 25,600,000. Ten rows: 10 × 512 = 5,120.
#
# </details>
# <details><summary>2. Why are hot and cold neighbours in a table learned by skip-gram?</summary>
#
# They occur in the same surroundings, and that is all it sees.
#
# </details>
# <details><summary>3. You shuffle the tokens of a sentence and give them to an encoder without positions. What happens to its output vectors?</summary>
#
# They are shuffled in the same way; each token's vector stays what it was.
#
# </details>
# <details><summary>4. A model has a learned position table of 512 rows. Why does it not help to add 512 more rows after training?</summary>
#
# Their numbers have never been trained. The model would get random vectors at these places.
#
# </details>
# <details><summary>5. A query at position 12 and a key at position 9 have a rotary score of 1.7. What is it at positions 112 and 109? And at 9 and 12?</summary>
#
# 1.7: the distance is the same. At 9 and 12 it is -3 in place of 3, and the score may be anything.
#
# </details>
#
# ## Where to read on
#
# - Tomas Mikolov and others, [*Distributed Representations of Words and Phrases and their Compositionality*](https://arxiv.org/abs/1310.4546) (2013), section 2: the loss you built.
# - Tomas Mikolov, Wen-tau Yih and Geoffrey Zweig, [*Linguistic Regularities in Continuous Space Word Representations*](https://aclanthology.org/N13-1090/) (2013), where king - man + woman comes from; and Tal Linzen, [*Issues in evaluating semantic spaces using word analogies*](https://arxiv.org/abs/1606.07736) (2016), what it hides.
# - Ashish Vaswani and others, [*Attention Is All You Need*](https://arxiv.org/abs/1706.03762) (2017), section 3.5: sinusoidal positions.
# - Jacob Devlin and others, [*BERT*](https://arxiv.org/abs/1810.04805) (2019), figure 2: the sum of three.
# - Jianlin Su and others, [*RoFormer: Enhanced Transformer with Rotary Position Embedding*](https://arxiv.org/abs/2104.09864) (2021), section 3.2.
# - Ofir Press, Noah Smith and Mike Lewis, [*Train Short, Test Long*](https://arxiv.org/abs/2108.12409) (2022), figure 1: lengths beyond training. Adi Haviv and others, [*Transformer Language Models without Positional Encodings Still Learn Positional Information*](https://arxiv.org/abs/2203.16634) (2022).
#
# Next: [notebook 03](../03_attention/03_attention.ipynb) opens the black box. Attention is how a token learns from the words around it.
