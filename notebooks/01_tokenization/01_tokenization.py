# %% [markdown]
# # Tokenization
#
# **How does text become numbers?**
#
# A neural network computes with numbers, and a text is not one. Something has to cut the text into pieces and give each piece a number, before any model sees it. How that is done decides what a model can read, how much it costs, and who pays more. In this notebook you build the tokenizers of GPT, BERT and T5, and the first of them equals the real library on real text.
#
# > **You will build** a byte-level BPE tokenizer from nothing (training, encoding, decoding), WordPiece and Unigram encoding, and the three arrays that a BERT reads.
# >
# > **You need** Python. Nothing from other notebooks.
# >
# > **It takes** about 120 minutes to work through, and under 30 seconds to run.

# %%
import heapq
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from math import inf, isfinite

import torch
from ipywidgets import IntSlider, Text, interact
from jaxtyping import Int
from torch import Tensor

from course_lib.checks import check
from course_lib.data.python_reference import python_reference_text
from course_lib.plots.tokenization import (
    coloured_tokens,
    token_tax_chart,
    vocabulary_size_chart,
)
from course_lib.pre_tokenization import check_text, pre_tokenize, split_special
from course_lib.pretrained import load_minilm_tokenizer, load_smollm2_tokenizer
from course_lib.tokenization import BPETokenizer, PairTokenizer
from course_lib.tokenizer_json import BYTE_TO_CHAR

# %% [markdown]
# ## 1. Characters, words, or something between
#
# The simplest pieces are characters. There are few of them, every text can be written with them, and each one means almost nothing: a model would have to learn from `u`, `n`, `h`, `a`, ... what "unhappiness" is, and even a short text becomes a long sequence.
#
# The next idea is words. They mean something, and sequences are short. But there is no end to words. Let us look at a real text: the reference of the Python language, which comes with every Python. We read nine tenths of it and ask how many of the words in the last tenth we have never seen.

# %% tags=["nbval-ignore-output"]
reference = python_reference_text()
words = reference.split()
known = set(words[: len(words) * 9 // 10])
rest = words[len(words) * 9 // 10 :]
unseen = [word for word in rest if word not in known]

print(f"{len(reference):,} characters, {len(set(reference))} different ones")
print(f"{len(words):,} words, {len(set(words)):,} different ones")
print(f"never seen before, of the last tenth: {len(unseen) / len(rest):.0%}")

# %% [markdown]
# A model with a list of words cannot read the words that are not on it, not even "unhappiness" when it knows "happy". Every modern tokenizer therefore uses **subwords**: frequent words stay whole, and rare ones are cut into pieces that occur elsewhere too. A piece is called a **token**, its number an **id**, and the list of all tokens the **vocabulary**.
#
# Here is how SmolLM2, the model of the first notebook, cuts three words. `load_smollm2_tokenizer` reads its real tokenizer.

# %%
smollm2 = load_smollm2_tokenizer()
for word in (" happy", " unhappiness", " Donaudampfschiff"):
    print([smollm2.decode([id]) for id in smollm2.encode(word)])

# %% [markdown]
# Where these pieces come from is what you are going to build.
#
# ## 2. Text is bytes
#
# Before we cut, one decision makes sure that no text is impossible. A computer stores text as **bytes**, numbers from 0 to 255. UTF-8, the usual way to do so, writes an English letter as one byte, `é` as two, a Japanese character as three, and an emoji as four or more. If the 256 bytes are in the vocabulary, every text in every script can be written, and nothing is ever unknown.

# %%
for text in ("hi", "é", "猫", "🙂"):
    print(text, list(text.encode("utf-8")))

# %% [markdown]
# That gives us an alphabet of 256 ids. What is left is to find longer pieces that are worth an id of their own.
#
# ## 3. Byte pair encoding: merge what occurs together
#
# **Byte pair encoding** (BPE; Sennrich, Haddow and Birch 2016) starts from single bytes and does one thing again and again: find the pair of neighbouring ids that occurs most often, and make it a new token.
#
# Words are counted first, so that a word that occurs a thousand times is looked at once and counted a thousand times. Pairs are never counted across the border of two words. Here is a tiny corpus: three words, with ids 1 for `h`, 2 for `u`, 3 for `g`, 4 for `p`.

# %%
tiny = {(1, 2, 3): 10, (4, 2, 3): 5, (4, 2): 2}  # hug 10 times, pug 5 times, pu twice
letters = {1: "h", 2: "u", 3: "g", 4: "p"}
for word, count in tiny.items():
    print("".join(letters[id] for id in word), count)


# %% [markdown]
# By hand: the pair `u g` is in `hug` and in `pug`, so it occurs 10 + 5 = 15 times. `p u` occurs 5 + 2 = 7 times, `h u` 10 times. `u g` wins.
#
# ### Exercise: count_pairs (2 points)
#
# Count how often each pair of neighbouring ids occurs.
#
# - `words` maps each distinct word, a tuple of ids, to the number of times it occurs.
# - Every adjacent pair counts, overlaps included: the word (7, 7, 7) holds the pair (7, 7) twice.
# - Return a dict from pair to count, and leave out pairs that do not occur.
#
# ```python
# count_pairs({(1, 2, 1, 2): 3})
# # {(1, 2): 6, (2, 1): 3}
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# A word that occurs three times brings each of its pairs three times.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# Go through the words with their counts; inside, go through the neighbouring pairs of the word (`pairwise`, imported above, gives them); add the count of the word to the count of the pair.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `for word, count in words.items():` and inside `for pair in pairwise(word):` then `counts[pair] = counts.get(pair, 0) + ...`
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "tokenization-count_pairs", "locked": false, "schema_version": 3, "solution": true, "task": false}
def count_pairs(words: Mapping[tuple[int, ...], int]) -> dict[tuple[int, int], int]:
    """How often each pair of neighbouring ids occurs, over all words.

    >>> count_pairs({(1, 2, 1, 2): 3})
    {(1, 2): 6, (2, 1): 3}
    """
    if not isinstance(words, Mapping):
        raise TypeError(f"words must map words to counts, got {type(words).__name__}")

    ### BEGIN SOLUTION
    counts = {}
    for word, count in words.items():
        for pair in pairwise(word):
            counts[pair] = counts.get(pair, 0) + count
    return counts
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-tokenization-count_pairs", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("tokenization.count_pairs", count_pairs)
### BEGIN HIDDEN TESTS
check("tokenization.count_pairs", count_pairs, hidden=True)
### END HIDDEN TESTS

# %%
counts = count_pairs(tiny)
for (left, right), count in counts.items():
    print(letters[left], letters[right], count)


# %% [markdown]
# ### Exercise: merge_pair (2 points)
#
# Replace each occurrence of a pair by a new id.
#
# - Go from left to right, and never use an id twice: with the pair (7, 7), the list [7, 7, 7] becomes [new, 7].
# - `ids` is a list or a tuple. Return a new list, also where the pair is not there. What you were given stays as it is.
#
# ```python
# merge_pair([1, 2, 1, 2], (1, 2), 9)
# # [9, 9]
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# After a merge you have used up two ids, otherwise one. A `for` loop always steps by one.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# Keep a position and use `while`. If the pair stands at this position, add the new id and go two further; otherwise copy the id that is there and go one further. The last id has no right neighbour.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `if ids[position] == left and position + 1 < len(ids) and ids[position + 1] == right:` append `new_id` and add 2 to `position`; `else:` append `ids[position]` and add 1.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "tokenization-merge_pair", "locked": false, "schema_version": 3, "solution": true, "task": false}
def merge_pair(ids: Sequence[int], pair: tuple[int, int], new_id: int) -> list[int]:
    """A new list in which each occurrence of `pair` is replaced by `new_id`.

    >>> merge_pair([1, 2, 1, 2], (1, 2), 9)
    [9, 9]
    """
    if len(pair) != 2:
        raise ValueError(f"pair must hold two ids, got {pair!r}")

    ### BEGIN SOLUTION
    left, right = pair
    merged = []
    position = 0
    while position < len(ids):
        if ids[position] == left and position + 1 < len(ids) and ids[position + 1] == right:
            merged.append(new_id)
            position += 2
        else:
            merged.append(ids[position])
            position += 1
    return merged
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-tokenization-merge_pair", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("tokenization.merge_pair", merge_pair)
### BEGIN HIDDEN TESTS
check("tokenization.merge_pair", merge_pair, hidden=True)
### END HIDDEN TESTS

# %%
letters[5] = "ug"
tiny_merged = {tuple(merge_pair(word, (2, 3), 5)): count for word, count in tiny.items()}
for word, count in tiny_merged.items():
    print([letters[id] for id in word], count)
print({(letters[a], letters[b]): n for (a, b), n in count_pairs(tiny_merged).items()})

# %% [markdown]
# `ug` is one token now. The next winner is `h ug`, with 10, and then `hug` is a token too. That is the whole algorithm: count, merge the winner, count again. The list of merges, in order, is what a BPE tokenizer has learned.
#
# ### What a word is
#
# Which words do we start from? GPT-2 cuts a text with a pattern: letters together, numbers together, other signs together, each with the blank before it, so that `" the"` with its blank is one word. This step is called **pre-tokenisation**, and no token ever crosses its cuts. `pre_tokenize` does it, and the pieces joined are the text again.

# %%
print(pre_tokenize("We're 42% sure, aren't we?  Yes."))


# %% [markdown]
# ### Exercise: train_bpe (4 points)
#
# Put the pieces together: learn a tokenizer from a text.
#
# What is given, above the line where you start:
#
# - `vocab` maps ids to bytes. It holds the special tokens first, then the 256 single bytes in the order that GPT-2 gave them. **Special tokens** are texts that always stay one token, such as `<|endoftext|>`; they are cut out of the training text.
# - `token_ids` is the same the other way round, from bytes to ids.
# - `words` is the list of distinct words of the text, each a tuple of ids, and `counts` says how often each occurs.
# - `merge_ids` is empty. Fill it, in the order of learning: the pair that was merged, and the id it became.
#
# Until `vocab` holds `vocab_size` tokens or no pair is left:
#
# - Take the most frequent pair. Among equally frequent pairs, the one with the smaller left id goes first, then the one with the smaller right id. A pair that occurs once is merged too.
# - Its token is the bytes of the left id and of the right id joined. If these bytes have an id already, use that one; otherwise the next free id.
# - Write it into `merge_ids`, `vocab` and `token_ids`, and merge the pair in every word.
#
# Return `BPETokenizer(vocab, merge_ranks, merge_ids, special_ids)`. `merge_ranks` gives each pair its place in the order of learning: 0, 1, 2, ... `special_ids` gives each special token its id.
#
# Here, as everywhere in the course, ties are broken the way the `tokenizers` library breaks them, so that you can compare.
#
# Counting all pairs again after every merge is right, and passes the check. It is slow on a real text: each merge then reads every word. The solution of the course only looks at the words that hold the merged pair, and keeps its counts in a **heap**, a list that gives out its smallest entry quickly. Take the slow way first.
#
# ```python
# train_bpe("ab ab ab", vocab_size=257).encode("ab")
# # [256]
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# `words` and `counts` belong together: `dict(zip(words, counts))` is what `count_pairs` takes, as long as two words do not become the same (they cannot: different words stay different). You have `merge_pair` as well. One `while` loop is left to write.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# In the loop: count the pairs; stop if there are none; choose the winner with `min` and a key that puts high counts first and then small ids; work out its bytes and its id; write them down; replace every word by its merged form.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `pair = min(pair_counts, key=lambda pair: (-pair_counts[pair], pair))`, then `token = vocab[pair[0]] + vocab[pair[1]]`, then `new_id = token_ids.setdefault(token, len(token_ids))`. Store it in `merge_ids[pair]` and `vocab[new_id]`, and set `words = [tuple(merge_pair(word, pair, new_id)) for word in words]`. The two lines after the loop build the tokenizer: `merge_ranks = {pair: rank for rank, pair in enumerate(merge_ids)}` and `return BPETokenizer(vocab, merge_ranks, merge_ids, special_ids)` with `special_ids` from special token to id.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "tokenization-train_bpe", "locked": false, "schema_version": 3, "solution": true, "task": false}
def train_bpe(text: str, vocab_size: int, special_tokens: Sequence[str] = ()) -> BPETokenizer:
    """A byte-level BPE tokenizer with at most `vocab_size` tokens.

    >>> train_bpe("ab ab ab", vocab_size=257).encode("ab")
    [256]
    """
    if not isinstance(text, str) or not isinstance(vocab_size, int):
        got = f"{type(text).__name__} and {type(vocab_size).__name__}"
        raise TypeError(f"text and vocab_size must be str and int, got {got}")
    if isinstance(special_tokens, str) or not all(isinstance(s, str) for s in special_tokens):
        raise TypeError(f"special_tokens must be a sequence of str, got {special_tokens!r}")
    if "" in special_tokens or len(set(special_tokens)) != len(special_tokens):
        raise ValueError(f"special_tokens must be distinct and not empty, got {special_tokens!r}")
    for special in special_tokens:
        check_text(special, "special_tokens")

    token_ids: dict[bytes, int] = {}
    single_bytes = [bytes([byte]) for byte in BYTE_TO_CHAR]  # in GPT-2's order
    for token in [special.encode() for special in special_tokens] + single_bytes:
        token_ids.setdefault(token, len(token_ids))
    if vocab_size < len(token_ids):
        raise ValueError(f"vocab_size must be at least {len(token_ids)}, got {vocab_size}")
    vocab = {id: token for token, id in token_ids.items()}
    merge_ids: dict[tuple[int, int], int] = {}  # in the order of learning

    passages = split_special(text, special_tokens)[::2]
    word_counts = Counter(word for passage in passages for word in pre_tokenize(passage))
    words = [tuple(token_ids[bytes([byte])] for byte in word.encode()) for word in word_counts]
    counts = list(word_counts.values())

    ### BEGIN SOLUTION
    # A merge changes only the words that hold its pair. So we remember which words do, and bring
    # the counts up to date, instead of counting everything anew after each merge.
    pair_counts = Counter(count_pairs(dict(zip(words, counts, strict=True))))
    words_with = defaultdict(set)  # pair -> numbers of the words it is (or once was) in
    for number, word in enumerate(words):
        for pair in pairwise(word):
            words_with[pair].add(number)
    # A heap hands out its smallest entry: highest count first, then lowest ids.
    heap = [(-count, pair) for pair, count in pair_counts.items()]
    heapq.heapify(heap)

    while len(vocab) < vocab_size and heap:
        count, pair = heapq.heappop(heap)
        if -count != pair_counts[pair]:
            continue  # an old entry: the count has changed since

        token = vocab[pair[0]] + vocab[pair[1]]
        new_id = merge_ids[pair] = token_ids.setdefault(token, len(token_ids))
        vocab[new_id] = token

        changes = Counter()
        for number in words_with.pop(pair):
            old, new = words[number], tuple(merge_pair(words[number], pair, new_id))
            words[number] = new
            for old_pair in pairwise(old):
                changes[old_pair] -= counts[number]
            for new_pair in pairwise(new):
                changes[new_pair] += counts[number]
                words_with[new_pair].add(number)
        for changed, change in changes.items():
            if change != 0:
                pair_counts[changed] += change
                if pair_counts[changed] > 0:
                    heapq.heappush(heap, (-pair_counts[changed], changed))

    merge_ranks = {pair: rank for rank, pair in enumerate(merge_ids)}
    special_ids = {special: token_ids[special.encode()] for special in special_tokens}
    return BPETokenizer(vocab, merge_ranks, merge_ids, special_ids)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-tokenization-train_bpe", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
check("tokenization.train_bpe", train_bpe)
### BEGIN HIDDEN TESTS
check("tokenization.train_bpe", train_bpe, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# Now the real text: the 465 thousand characters of Python's reference. And beside it the `tokenizers` library, which is written in Rust and used by most models you know. If the idea is the same, the merges must be the same, every one of them and in the same order.

# %% tags=["experiment", "nbval-ignore-output"]
import time

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

start = time.perf_counter()
mine = train_bpe(reference, vocab_size=4000, special_tokens=["<|endoftext|>"])
my_seconds = time.perf_counter() - start

library = Tokenizer(models.BPE())
library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
trainer = trainers.BpeTrainer(
    vocab_size=4000,
    special_tokens=["<|endoftext|>"],
    initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    show_progress=False,
)
start = time.perf_counter()
library.train_from_iterator([reference], trainer)
their_seconds = time.perf_counter() - start
print(f"yours: {my_seconds:.2f} s, the library: {their_seconds:.2f} s")

# %% tags=["experiment"]
import json

from course_lib.tokenizer_json import spell

my_merges = [[spell(mine.vocab[left]), spell(mine.vocab[right])] for left, right in mine.merge_ids]
their_merges = json.loads(library.to_str())["model"]["merges"]
print(f"{len(my_merges)} merges, all the same: {my_merges == their_merges}")
print("the first ten tokens:", [mine.decode([id]) for id in list(mine.merge_ids.values())[:10]])

# %% [markdown]
# ### How large should a vocabulary be?
#
# Each merge makes texts shorter and the vocabulary longer. Shorter sequences cost less to run; a longer vocabulary costs parameters, because every token needs a vector of its own (the next notebook), and rare tokens are seldom seen in training. To see the trade we train once on the first nine tenths of the reference, stop at different sizes, and count the tokens of the last tenth, which the training has not seen. A merge never depends on later ones, so a smaller tokenizer is the larger one with fewer merges.

# %% tags=["experiment", "nbval-ignore-output"]
cut = len(reference) * 9 // 10
seen_text, held_out = reference[:cut], reference[cut:]
largest = train_bpe(seen_text, vocab_size=8000)


def first_merges(tokenizer: BPETokenizer, size: int) -> BPETokenizer:
    """The tokenizer as it was when it had `size` tokens."""
    ranks = {pair: rank for pair, rank in tokenizer.merge_ranks.items() if rank < size - 256}
    return BPETokenizer(tokenizer.vocab, ranks, tokenizer.merge_ids)


sizes = [256, 500, 1000, 2000, 4000, 8000]
bytes_per_token = {
    name: [len(text.encode()) / len(first_merges(largest, size).encode(text)) for size in sizes]
    for name, text in {"seen in training": seen_text, "held out": held_out}.items()
}
for size, seen, unseen in zip(sizes, *bytes_per_token.values()):
    print(f"{size:5d} tokens: {seen:.2f} bytes per token seen, {unseen:.2f} held out")

# %% tags=["experiment", "nbval-ignore-output"]
vocabulary_size_chart(sizes, bytes_per_token)

# %% [markdown]
# The curve bends: going from 256 to 1,000 tokens gains more than going from 4,000 to 8,000. And the two lines part: late merges are words of this particular text, which help less elsewhere. Real tokenizers are trained on far more text and stop later. SmolLM2 has:

# %%
print(f"{len(smollm2.vocab):,} tokens, {len(smollm2.merge_ids):,} merges")


# %% [markdown]
# ## 4. Encoding: replay the merges
#
# To encode a new word, start from its bytes and apply the merges **in the order in which they were learned**. The order matters. Suppose `b c` was learned first and `a b` second, and the word is `abc`. Reading from left to right you would merge `a b`; the tokenizer merges `b c`, because that came first.
#
# The place of a merge in the order is its **rank**: 0 for the first.
#
# ### Exercise: bpe_encode (3 points)
#
# Encode one word.
#
# - `ids` holds one id per byte of the word, in a list or a tuple.
# - `merge_ranks` says when each pair was learned, 0 first; `merge_ids` says which id it becomes.
# - As long as any neighbouring pair can be merged: take the one with the lowest rank and merge all its occurrences.
# - Return a list. A word of one id, or of none, comes back as it is.
#
# ```python
# bpe_encode([1, 2, 3], {(2, 3): 0, (1, 2): 1}, {(2, 3): 8, (1, 2): 9})
# # [1, 8]
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# After a merge there are new pairs, and one of them may have a lower rank than the others that are left. So look at all pairs again each time.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# While there are at least two ids: find the neighbouring pair with the lowest rank, where a pair that was never learned counts as infinitely late. If even the best was never learned, stop. Otherwise merge it with `merge_pair`.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `pair = min(pairwise(ids), key=lambda pair: merge_ranks.get(pair, inf))`; `if pair not in merge_ranks: break`; `ids = merge_pair(ids, pair, merge_ids[pair])`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "tokenization-bpe_encode", "locked": false, "schema_version": 3, "solution": true, "task": false}
def bpe_encode(
    ids: Sequence[int],
    merge_ranks: Mapping[tuple[int, int], int],
    merge_ids: Mapping[tuple[int, int], int],
) -> list[int]:
    """Apply the learned merges to one word: `ids` holds one id per byte.

    >>> bpe_encode([1, 2, 3], {(2, 3): 0, (1, 2): 1}, {(2, 3): 8, (1, 2): 9})
    [1, 8]
    """
    ### BEGIN SOLUTION
    ids = [int(id) for id in ids]
    while len(ids) > 1:
        pair = min(pairwise(ids), key=lambda pair: merge_ranks.get(pair, inf))
        if pair not in merge_ranks:
            break
        if pair not in merge_ids:
            raise ValueError(f"merge_ids must hold every pair of merge_ranks, but lacks {pair}")
        ids = merge_pair(ids, pair, merge_ids[pair])
    return ids
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-tokenization-bpe_encode", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check("tokenization.bpe_encode", bpe_encode)
### BEGIN HIDDEN TESTS
check("tokenization.bpe_encode", bpe_encode, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# Follow one word through your function. The tokenizer here is small, so that you see it work.

# %%
small = train_bpe("low lower lowest new newer newest wide wider widest", vocab_size=275)
for text in ("lowest", "slower", "newness"):
    ids = bpe_encode(
        [small.encode(letter)[0] for letter in text], small.merge_ranks, small.merge_ids
    )
    print(text, "->", [small.decode([id]) for id in ids])


# %% [markdown]
# `newness` was not in the text, and still it is no problem: what is known stays together, and the rest falls back to letters. Nothing is ever unknown.
#
# ## 5. Decoding, and what happens to an emoji
#
# Decoding is easy: look up the bytes of each id, join them, read them as UTF-8. There is one trap. A token is a run of bytes, not of characters. An emoji has four bytes, and if the tokenizer never merged them, each is a token of its own, and none of them alone is valid UTF-8.
#
# ### Exercise: bpe_decode (2 points)
#
# The text of some ids.
#
# - `vocab` maps each id to its bytes. The text is what these bytes say, joined in the order of the ids: blanks, line breaks and accents as they are.
# - Bytes that are not valid UTF-8 become `U+FFFD`, the character �. `bytes.decode` can do that for you.
# - An id that is not in `vocab` is a `ValueError` that names `ids`.
#
# ```python
# bpe_decode([1, 0], {0: b" you", 1: b"hi"})
# # 'hi you'
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# What should come back for the four tokens of an emoji, one byte each? If you turn every token into text before you join, the emoji is lost.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# First join all the bytes, then decode once. Look up the `errors` argument of `bytes.decode`. A lookup that fails raises `KeyError`; turn that into a `ValueError`.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `joined = b"".join([vocab[id] for id in ids])` inside `try`, with `except KeyError as error:` raising `ValueError(f"ids must be in vocab, got ...")`; then `joined.decode("utf-8", errors="replace")`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "tokenization-bpe_decode", "locked": false, "schema_version": 3, "solution": true, "task": false}
def bpe_decode(ids: Iterable[int], vocab: Mapping[int, bytes]) -> str:
    """The text that the ids stand for; invalid UTF-8 becomes U+FFFD.

    >>> bpe_decode([1, 0], {0: b" you", 1: b"hi"})
    'hi you'
    """
    ### BEGIN SOLUTION
    try:
        joined = b"".join([vocab[id] for id in ids])
    except KeyError as error:
        raise ValueError(f"ids must be in vocab, got {error.args[0]!r}") from None
    return joined.decode("utf-8", errors="replace")
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-tokenization-bpe_decode", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("tokenization.bpe_decode", bpe_decode)
### BEGIN HIDDEN TESTS
check("tokenization.bpe_decode", bpe_decode, hidden=True)
### END HIDDEN TESTS

# %%
ids = smollm2.encode("ok 🦙")
print("ids:", ids)
print("bytes:", [smollm2.vocab[id] for id in ids])
print("all at once:", bpe_decode(ids, smollm2.vocab))
print("cut short:  ", bpe_decode(ids[:-1], smollm2.vocab))

# %% [markdown]
# This is why a chat window sometimes shows � for a moment while a model writes an emoji: the model has written some of its bytes and not yet the last one.
#
# **Special tokens** are handled before anything else: where one of them stands in the text, the text is cut, and the token keeps its one id. SmolLM2 marks the turns of a conversation with two of them.

# %%
chat = "<|im_start|>user\nHi!<|im_end|>"
print([smollm2.decode([id]) for id in smollm2.encode(chat)])


# %% [markdown]
# The same characters typed by a user would become the same special token. Programs that build prompts from what strangers type must take care of that.
#
# ## 6. WordPiece: BERT's way
#
# BERT cuts words by another rule. Its vocabulary marks pieces that continue a word with `##`. To encode a word, take the longest piece that the vocabulary holds, then the longest piece of what is left, and so on to the end. If at some point no piece fits, the whole word becomes one unknown token, `[UNK]`.
#
# By hand: with the vocabulary `un`, `##happi`, `##ness`, `##ha`, the word `unhappiness` is `un` + `##happi` + `##ness`.
#
# ### Exercise: wordpiece_encode (3 points)
#
# Cut one word into the longest known pieces, from left to right.
#
# - The first piece is looked up as it is, all later ones with `##` before them. Capitals and accents stay as they are.
# - `vocab` may be a set, a list, or a dict from piece to id.
# - If any part of the word is not covered, return `[unk]` for the whole word.
# - The empty word gives `[]`.
#
# ```python
# wordpiece_encode("cats", {"cat", "##s"})
# # ['cat', '##s']
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# Keep the place where the next piece starts. Which end would you try first, the near one or the far one?
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# While the start is inside the word: try ends from the end of the word down to just behind the start; the first piece that is in the vocabulary is the longest. None found: return `[unk]`. Otherwise keep the piece and start again where it ends.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `for end in range(len(word), start, -1):` with `if prefix + word[start:end] in vocab: break`, where `prefix` is `"##"` for all pieces but the first. A `for` loop may have an `else:` that runs when no `break` happened: there, `return [unk]`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "tokenization-wordpiece_encode", "locked": false, "schema_version": 3, "solution": true, "task": false}
def wordpiece_encode(word: str, vocab: Collection[str], unk: str = "[UNK]") -> list[str]:
    """The longest known pieces of a word from left to right, or [unk].

    >>> wordpiece_encode("cats", {"cat", "##s"})
    ['cat', '##s']
    """
    if not isinstance(word, str):
        raise TypeError(f"word must be a str, got {type(word).__name__}")

    ### BEGIN SOLUTION
    pieces = []
    start = 0
    while start < len(word):
        prefix = "##" if start > 0 else ""
        for end in range(len(word), start, -1):  # the longest first
            if prefix + word[start:end] in vocab:
                break
        else:
            return [unk]
        pieces.append(prefix + word[start:end])
        start = end
    return pieces
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-tokenization-wordpiece_encode", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check("tokenization.wordpiece_encode", wordpiece_encode)
### BEGIN HIDDEN TESTS
check("tokenization.wordpiece_encode", wordpiece_encode, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# MiniLM, our BERT, brings a real WordPiece vocabulary. It is *uncased*: text is made lower case and accents are dropped before anything else.

# %%
minilm = load_minilm_tokenizer()
print(f"{len(minilm.vocab):,} tokens")
for word in ("unhappiness", "tokenization", "transformers", "smørrebrød", "🦙"):
    print(f"{word:14}", *wordpiece_encode(word, minilm.vocab))


# %% [markdown]
# A rare word falls into small pieces, and the longest piece first is not always a part that means something: `unhappiness` begins with `un`, and goes on with pieces that are no parts of `happiness` to a reader. The last row shows the price of a vocabulary without bytes. What is not in it is lost: no decoder can bring it back from `[UNK]`.
#
# ## 7. Unigram: the most probable way to cut
#
# The third family, **Unigram** (Kudo 2018; used by T5), gives each piece a probability. A segmentation is as probable as the product of its pieces, and the best segmentation wins. In logarithms, products become sums.
#
# By hand, with log-probabilities `a` -1, `bc` -1.5, `ab` -1, `c` -2: the word `abc` can be `a|bc` with -2.5, or `ab|c` with -3. The first is more probable. Taking the longest piece first, as WordPiece does, would have chosen the other.
#
# A word of n letters can be cut in 2^(n-1) ways. You need not try them all: the best way to cut the whole word is some first piece, followed by the best way to cut the rest. So work from the end of the word to its start, and remember the best for each rest. This is called the **Viterbi algorithm**.
#
# ### Exercise: unigram_encode (3 points)
#
# The most probable segmentation of a word.
#
# - `log_probs` maps pieces to log-probabilities, none above 0. A piece with 0 is certain, a piece with -inf is never used.
# - Equally probable: the segmentation with fewer pieces wins, then the one with the longer first piece.
# - A word that the pieces cannot cover is a `ValueError` that names `word`. The empty word gives `[]`.
#
# Floating-point sums depend on the order in which you add, and two equal sums may differ in the last digit. `Fraction`, imported above, is exact: `Fraction(log_prob)` can be added and compared without that trouble.
#
# ```python
# unigram_encode("abc", {"a": -1.0, "bc": -1.5, "ab": -1.0, "c": -2.0})
# # ['a', 'bc']
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# What do you know about the best segmentation of `abc` once you know the best ones of `bc`, of `c`, and of the empty rest?
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# Keep a list `best` with one entry per position, filled from the back; the entry behind the last letter is known. For each start, try all ends: the piece between them, if it is known, plus the best of what follows. An entry is a tuple that compares the way you want: log-probability, minus the number of pieces, length of the first piece. At the end, walk through the word with the lengths you kept.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `best = [None] * len(word) + [(Fraction(0), 0, 0)]`. Inside two loops, `for start in reversed(range(len(word)))` and `for end in range(start + 1, len(word) + 1)`: `candidate = (Fraction(log_prob) + best[end][0], best[end][1] - 1, end - start)`, kept if `best[start] is None or candidate > best[start]`. Skip the piece if it is unknown or `best[end]` is None.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "tokenization-unigram_encode", "locked": false, "schema_version": 3, "solution": true, "task": false}
def unigram_encode(word: str, log_probs: Mapping[str, float]) -> list[str]:
    """The most probable way to cut a word into pieces.

    >>> unigram_encode("abc", {"a": -1.0, "bc": -1.5, "ab": -1.0, "c": -2.0})
    ['a', 'bc']
    """
    if not isinstance(word, str):
        raise TypeError(f"word must be a str, got {type(word).__name__}")

    ### BEGIN SOLUTION
    # best[start]: log-probability, minus the number of pieces, length of the first piece: the
    # better segmentation is the larger tuple. Fractions are exact, so that equal sums are equal
    # in whatever order they are added; floats are not.
    best = [None] * len(word) + [(Fraction(0), 0, 0)]
    longest = len(word) if len(word) < 100 else max(map(len, log_probs), default=0)
    for start in reversed(range(len(word))):
        for end in range(start + 1, min(start + longest, len(word)) + 1):
            log_prob = log_probs.get(word[start:end], -inf)
            if not log_prob <= 0:
                raise ValueError(f"log_probs must be at most 0, got {log_prob}")
            if log_prob == -inf or best[end] is None:
                continue
            rest_log_prob, rest_pieces, _ = best[end]
            candidate = (Fraction(log_prob) + rest_log_prob, rest_pieces - 1, end - start)
            if best[start] is None or candidate > best[start]:
                best[start] = candidate
    if best[0] is None:
        raise ValueError(f"word {word!r} cannot be covered by the pieces of log_probs")

    pieces = []
    start = 0
    while start < len(word):
        length = best[start][2]
        pieces.append(word[start : start + length])
        start += length
    return pieces
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-tokenization-unigram_encode", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check("tokenization.unigram_encode", unigram_encode)
### BEGIN HIDDEN TESTS
check("tokenization.unigram_encode", unigram_encode, hidden=True)
### END HIDDEN TESTS

# %%
pieces = {"un": -3.0, "happi": -6.0, "ness": -3.5, "unhapp": -9.5, "iness": -4.0, "u": -5.0,
          "n": -5.0, "happiness": -8.0}  # fmt: skip
print(unigram_encode("unhappiness", pieces))


# %% [markdown]
# The three rules side by side:
#
# | | learns | cuts a word by |
# | --- | --- | --- |
# | BPE (GPT, LLaMA, SmolLM2) | a list of merges, most frequent pair first | replaying the merges in order |
# | WordPiece (BERT, MiniLM) | a list of pieces | the longest piece first |
# | Unigram (T5) | a list of pieces with probabilities | the most probable segmentation |
#
# ## 8. The three arrays that a BERT reads
#
# A model reads a **batch**: several texts at once, in one rectangular array. BERT was also trained on pairs of texts, such as a question and a paragraph. So three arrays go in:
#
# - `input_ids`: the ids. Each row is `[CLS]` first text `[SEP]` second text `[SEP]`; `[CLS]` and `[SEP]` are special tokens that mark the start and the borders.
# - `token_type_ids`: 0 for the first text with its `[CLS]` and `[SEP]`, 1 for the second with its `[SEP]`.
# - `attention_mask`: 1 for tokens, 0 for padding. **Padding** fills short rows up to the longest one, so that the array is rectangular, and the mask tells the model not to look at it.
#
# ### Exercise: encode_pair_batch (3 points)
#
# Build the three arrays for a list of pairs.
#
# - `tokenizer` has `encode(text)`, which adds no special tokens, and `cls_id`, `sep_id`, `pad_id`. A text may hold the `[SEP]` itself, and some tokenizers pad with their `[SEP]`.
# - If a row is longer than `max_length`, special tokens included, the longer of the two texts loses its last token, the second one if they are equally long, until the row fits.
# - Pad on the right to the longest row of the batch. Padding has type 0 and attention 0.
# - Return a dict of three int64 tensors `[batch, time]`.
#
# ```python
# encode_pair_batch([("a", "b c")], tokenizer, max_length=8)["token_type_ids"]
# # tensor([[0, 0, 0, 1, 1, 1]]) if "a" is one token and "b c" are two
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# Treat each pair by itself first, and think about the rectangle when you have all rows.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# For each pair: encode both texts; while both lengths plus three special tokens are above `max_length`, drop the last token of the longer one; put the two segments together. Then find the longest row, make three arrays filled with `pad_id`, 0 and 0, and write each row into their beginning.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `if len(first) > len(second): first = first[:-1]` `else: second = second[:-1]`. Then `segment_0 = [tokenizer.cls_id, *first, tokenizer.sep_id]` and `segment_1 = [*second, tokenizer.sep_id]`; `input_ids = torch.full((len(rows), length), tokenizer.pad_id)` and `input_ids[row, :end] = torch.tensor(segment_0 + segment_1)`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "tokenization-encode_pair_batch", "locked": false, "schema_version": 3, "solution": true, "task": false}
def encode_pair_batch(
    pairs: Iterable[tuple[str, str]], tokenizer: PairTokenizer, max_length: int
) -> dict[str, Int[Tensor, "batch time"]]:
    """`input_ids`, `token_type_ids` and `attention_mask`, each int64 [batch, time].

    >>> encode_pair_batch([("a", "b c")], tokenizer, max_length=8)["token_type_ids"]
    tensor([[0, 0, 0, 1, 1, 1]])
    """
    if not isinstance(max_length, int):
        raise TypeError(f"max_length must be an int, got {type(max_length).__name__}")
    if max_length < 3:
        raise ValueError(f"max_length must be at least 3 ([CLS], two [SEP]), got {max_length}")

    ### BEGIN SOLUTION
    rows = []
    for pair in pairs:
        if isinstance(pair, str) or len(pair) != 2 or not all(isinstance(t, str) for t in pair):
            raise TypeError(f"pairs must hold pairs of texts, got {pair!r}")
        first, second = (tokenizer.encode(text) for text in pair)
        while len(first) + len(second) + 3 > max_length:
            if len(first) > len(second):
                first = first[:-1]
            else:
                second = second[:-1]
        segment_0 = [tokenizer.cls_id, *first, tokenizer.sep_id]
        segment_1 = [*second, tokenizer.sep_id]
        rows.append((segment_0, segment_1))

    length = max((len(segment_0) + len(segment_1) for segment_0, segment_1 in rows), default=0)
    input_ids = torch.full((len(rows), length), tokenizer.pad_id)
    token_type_ids = torch.zeros(len(rows), length, dtype=torch.int64)
    attention_mask = torch.zeros(len(rows), length, dtype=torch.int64)
    for row, (segment_0, segment_1) in enumerate(rows):
        start, end = len(segment_0), len(segment_0) + len(segment_1)
        input_ids[row, :end] = torch.tensor(segment_0 + segment_1)
        token_type_ids[row, start:end] = 1
        attention_mask[row, :end] = 1
    return {
        "input_ids": input_ids,
        "token_type_ids": token_type_ids,
        "attention_mask": attention_mask,
    }
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-tokenization-encode_pair_batch", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check("tokenization.encode_pair_batch", encode_pair_batch)
### BEGIN HIDDEN TESTS
check("tokenization.encode_pair_batch", encode_pair_batch, hidden=True)
### END HIDDEN TESTS

# %%
batch = encode_pair_batch(
    [("Where is the cat?", "The cat sleeps in the kitchen."), ("Who?", "Anna.")],
    minilm,
    max_length=16,
)
for name, array in batch.items():
    print(name, list(array.shape))
    print(array)

# %%
names = {id: token for token, id in minilm.vocab.items()}
for row in batch["input_ids"]:
    print(" ".join(names[id] for id in row.tolist()))

# %% [markdown]
# What would break if the mask were left out? The model would read `[PAD]` as if it were a word, and the answer for a short text would depend on how long its neighbours in the batch are.
#
# ## 9. The same sentence through three tokenizers
#
# Each box is one token; neighbouring tokens differ in shade. The first row is the tokenizer you trained on the Python reference, the second SmolLM2's, the third MiniLM's. Which one cuts "unhappiness", and which one knows `yield`?

# %% tags=["experiment", "nbval-ignore-output"]
tokenizers = {"yours, 4,000 tokens": mine, "SmolLM2, BPE": smollm2, "MiniLM, WordPiece": minilm}
sentence = "The generator yields 3,141 values; unhappiness is not an exception 🦙."
coloured_tokens(sentence, tokenizers)

# %% [markdown]
# Type your own sentence here. The picture above is what it shows at the start.

# %% tags=["experiment", "nbval-ignore-output"]
interact(
    lambda text: display(coloured_tokens(text, tokenizers)),
    text=Text(sentence, description="Your text", layout={"width": "90%"}, continuous_update=False),
)


# %% [markdown]
# Some things to try: a number with many digits (SmolLM2 makes each digit a token of its own, which helps it to calculate), your name, indented Python code, a sentence in another language.
#
# ## 10. What a token costs, and who pays more
#
# Services that run large models ask for money per token, usually named per million tokens, with one price for what you send and another for what comes back.
#
# ### Exercise: prompt_cost (1 point)
#
# What one request costs.
#
# - `n_input` and `n_output` are numbers of tokens; the prices are per million tokens.
# - Return a float, in the currency of the prices, not rounded.
#
# ```python
# prompt_cost(2_000_000, 500_000, input_price=1.0, output_price=4.0)
# # 4.0
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# A million input tokens cost `input_price`. What does one cost?
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# Tokens times price for the input, tokens times price for the output; add them; a price is for a million.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `(n_input * ... + n_output * ...) / 1_000_000`
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "tokenization-prompt_cost", "locked": false, "schema_version": 3, "solution": true, "task": false}
def prompt_cost(n_input: int, n_output: int, input_price: float, output_price: float) -> float:
    """What a request costs; prices are per million tokens.

    >>> prompt_cost(2_000_000, 500_000, input_price=1.0, output_price=4.0)
    4.0
    """
    for name, value in {"n_input": n_input, "n_output": n_output}.items():
        if not isinstance(value, int):
            raise TypeError(f"{name} must be an int, got {type(value).__name__}")
        if value < 0:
            raise ValueError(f"{name} must not be negative, got {value}")
    for name, value in {"input_price": input_price, "output_price": output_price}.items():
        if not isfinite(value) or value < 0:
            raise ValueError(f"{name} must be finite and not negative, got {value}")

    ### BEGIN SOLUTION
    return (n_input * input_price + n_output * output_price) / 1_000_000
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-tokenization-prompt_cost", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
check("tokenization.prompt_cost", prompt_cost)
### BEGIN HIDDEN TESTS
check("tokenization.prompt_cost", prompt_cost, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# Now the same thing said in four languages. We wrote six sentences in English, German, Portuguese and Japanese; their meaning is the same, line by line. How many tokens does each language need?

# %%
sentences = {
    "English": [
        "Good morning, how are you today?",
        "The library opens at nine and closes at six.",
        "My sister bought fresh bread and two kilos of apples.",
        "Children learn languages faster than adults.",
        "We will travel to the mountains if the weather is good.",
        "Please write your name and address at the top of the page.",
    ],
    "German": [
        "Guten Morgen, wie geht es dir heute?",
        "Die Bibliothek öffnet um neun und schließt um sechs.",
        "Meine Schwester hat frisches Brot und zwei Kilo Äpfel gekauft.",
        "Kinder lernen Sprachen schneller als Erwachsene.",
        "Wir fahren in die Berge, wenn das Wetter gut ist.",
        "Bitte schreiben Sie Ihren Namen und Ihre Adresse oben auf die Seite.",
    ],
    "Portuguese": [
        "Bom dia, como você está hoje?",
        "A biblioteca abre às nove e fecha às seis.",
        "Minha irmã comprou pão fresco e dois quilos de maçãs.",
        "As crianças aprendem línguas mais rápido que os adultos.",
        "Vamos viajar para as montanhas se o tempo estiver bom.",
        "Por favor, escreva seu nome e endereço no alto da página.",
    ],
    "Japanese": [
        "おはようございます、今日はお元気ですか。",
        "図書館は九時に開いて六時に閉まります。",
        "妹は焼きたてのパンとりんごを二キロ買いました。",
        "子どもは大人より早く言葉を覚えます。",
        "天気が良ければ、私たちは山へ旅行に行きます。",
        "ページの一番上に名前と住所を書いてください。",
    ],
}
tokens = {
    language: sum(len(smollm2.encode(line)) for line in lines)
    for language, lines in sentences.items()
}
for language, count in tokens.items():
    characters = sum(map(len, sentences[language]))
    times = count / tokens["English"]
    print(f"{language:10} {characters:4} characters {count:4} tokens, {times:.1f} times English")

# %% tags=["experiment", "nbval-ignore-output"]
token_tax_chart(
    {
        name: {lang: sum(len(tok.encode(s)) for s in lines) for lang, lines in sentences.items()}
        for name, tok in {"SmolLM2": smollm2, "yours (Python reference)": mine}.items()
    }
)

# %% [markdown]
# The tokenizers saw mostly English, so English words became tokens and the words of other languages did not. A Japanese character is three bytes, and where no merges are known, that is three tokens. The same request then costs several times as much, is slower, and fills the model's limited length sooner. With example prices of 1 per million input tokens and 4 per million output tokens, a million requests that send and receive these six sentences cost:

# %%
for language, count in tokens.items():
    print(f"{language:10} {1_000_000 * prompt_cost(count, count, 1.0, 4.0):7,.0f}")

# %% [markdown]
# This is sometimes called the *token tax*. Tokenizers trained on more languages lower it, at the price of a larger vocabulary.
#
# Slide through vocabulary sizes of the tokenizer you trained, and watch the sentence come together.

# %% tags=["experiment", "nbval-ignore-output"]
interact(
    lambda size: display(
        coloured_tokens(
            "def unhappiness(values): return exceptions",
            {f"{size} tokens": first_merges(largest, size)},
        )
    ),
    size=IntSlider(
        value=1000, min=256, max=8000, step=8, continuous_update=False, description="tokens"
    ),
)

# %% tags=["experiment", "nbval-ignore-output"]
coloured_tokens(
    "def unhappiness(values): return exceptions",
    {f"{size} tokens": first_merges(largest, size) for size in (256, 500, 1000, 4000, 8000)},
)

# %% [markdown]
# ## Check what you remember
#
# Before you read the summary, find out what stayed. Think first, then open the answer you would give: it says whether it is right, and why. (The same in Portuguese: *Em português*, below the questions.)
#
# Later, `course review` in a terminal brings the ideas of this notebook back as flashcards, shortly before you would forget them.

# %% tags=["experiment"]
from course_lib.review import quiz

quiz("01_tokenization")

# %% [markdown]
# ## Summary
#
# A tokenizer turns text into ids and back, before and after the model. Subwords are the compromise between characters, which are few and say little, and words, which say much and never end. Byte-level BPE starts from the 256 bytes, so that every text can be written, and learns merges: the most frequent pair becomes a token, again and again, within the words that pre-tokenisation cuts. Encoding replays the merges by rank; decoding joins bytes and reads them as UTF-8, where a cut character shows as �. WordPiece takes the longest known piece and gives up on a word it cannot cover; Unigram finds the most probable segmentation with the Viterbi algorithm. Special tokens are cut out first. A BERT reads three arrays, ids, types and mask, padded to a rectangle. A vocabulary is a choice: larger ones make shorter sequences and cost parameters, and whoever writes in a language that the tokenizer saw little of pays in tokens.
#
# Your `train_bpe` gave the same merges as the `tokenizers` library on the same text. Libraries differ elsewhere: some put a blank before the first word, some split digits, some normalise Unicode first. A model only works with the tokenizer it was trained with.
#
# ### Test yourself
#
# 1. Why does byte-level BPE never need an unknown token?
#
# <details><summary>Answer</summary>
#
# All 256 bytes are in the vocabulary, and every text is a sequence of bytes. In the worst case each byte is a token.
#
# </details>
#
# 2. `b c` has rank 0 and `a b` rank 1. How is `abc` encoded, and why does reading from the left give something else?
#
# <details><summary>Answer</summary>
#
# As `a`, `bc`: the merge with the lowest rank goes first. Reading from the left would merge `a b` because it comes first in the text, and then `b c` is no longer there.
#
# </details>
#
# 3. What goes wrong if you decode each token by itself and join the texts?
#
# <details><summary>Answer</summary>
#
# A character whose bytes are spread over several tokens is valid only when the bytes are joined; decoded one by one, each part becomes �.
#
# </details>
#
# 4. Why can WordPiece and Unigram cut the same word differently with the same pieces?
#
# <details><summary>Answer</summary>
#
# WordPiece takes the longest piece at each place and never looks back. Unigram compares whole segmentations by probability.
#
# </details>
#
# 5. Why does the same sentence cost more in Japanese than in English with SmolLM2's tokenizer?
#
# <details><summary>Answer</summary>
#
# Its merges were learned from mostly English text. Japanese characters have three bytes each and few merges join them, so the text falls into more tokens, and price and length are counted in tokens.
#
# </details>
#
# ### Where to read on
#
# - Sennrich, Haddow and Birch (2016), *Neural Machine Translation of Rare Words with Subword Units*, section 3: BPE for words.
# - Radford et al. (2019), *Language Models are Unsupervised Multitask Learners*, section 2.2: why bytes.
# - Devlin et al. (2019), *BERT*, section 3 and figure 2: the three arrays.
# - Kudo (2018), *Subword Regularization*, section 3: the Unigram model.
# - Petrov et al. (2023), *Language Model Tokenizers Introduce Unfairness Between Languages*: the token tax, measured for many languages.
