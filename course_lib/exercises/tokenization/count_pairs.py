"""What `tokenization.count_pairs` demands."""

from __future__ import annotations

from collections import Counter
from itertools import combinations, pairwise

from course_lib import tokenization
from course_lib.checks.exercise import Case, Exercise

count_pairs = Exercise("tokenization.count_pairs", points=2, reference=tokenization.count_pairs)


@count_pairs.cases
def _(draw):
    def case(about, words):
        return Case(about, {"words": words})

    a, b, c, d = draw.permutation(9)[:4].tolist()
    yield case("one word, seen once", {(a, b, c): 1})
    yield case("one word, seen several times", {(a, b): draw.random.randint(2, 9)})
    yield case("two words that share a pair", {(a, b): 2, (c, a, b): 3})
    yield case("a pair twice in a word", {(a, b, c, a, b): 4})
    yield case("a pair and its mirror image", {(a, b, a): 2, (b, a): 5})
    yield case("pairs that overlap", {(a, a, a): 1})
    yield case("pairs that overlap, after another id", {(b, a, a, a, a, c): 2})
    yield case("two words with nothing in common", {(a, b): 2, (c, d): 3})
    yield case("a word of one id, and a word of none", {(a,): 5, (): 2, (b, c): 1})
    yield case("ids above 255", {(a, 300 + b, a, 50_000 + c): 2, (300 + b, a): 1})
    yield case("no words", {})
    n_words = 60 if draw.hidden else 12
    lengths = draw.ids(7, n_words).tolist()
    words = {tuple(draw.ids(4, length).tolist()): draw.random.randint(1, 9) for length in lengths}
    yield case("many words", words)


@count_pairs.misconception
def ignores_how_often_a_word_occurs(words):
    """Each word comes with a number: how often it occurs in the text. A pair in a word that occurs
    five times occurs five times too, so adding 1 is not enough."""
    counts = Counter()
    for word in words:
        counts.update(pairwise(word))
    return dict(counts)


@count_pairs.misconception
def counts_across_words(words):
    """You put the words one behind the other and count in the long row, so the end of a word makes
    a pair with the beginning of the next. A pair lies within one word; count word by word."""
    row = [id for word, count in words.items() for _ in range(count) for id in word]
    return dict(Counter(pairwise(row)))


@count_pairs.misconception
def counts_a_pair_once_per_word(words):
    """A pair that stands twice in a word counts twice for that word. Yours counts it once: a set,
    or a dict, forgets repetitions."""
    counts = Counter()
    for word, count in words.items():
        for pair in set(pairwise(word)):
            counts[pair] += count
    return dict(counts)


@count_pairs.misconception
def keeps_only_the_last_word_of_a_pair(words):
    """When a pair turns up again, your code overwrites what it counted before. Add to the count
    that is there already."""
    counts = {}
    for word, count in words.items():
        for pair in pairwise(word):
            counts[pair] = count
    return counts


@count_pairs.misconception
def leaves_out_overlapping_pairs(words):
    """(7, 7, 7) holds the pair (7, 7) twice: ids one and two, ids two and three. Yours goes on
    behind a repeated pair and misses the second. Merging is without overlap; counting is not."""
    counts = Counter()
    for word, count in words.items():
        position = 0
        while position + 1 < len(word):
            pair = word[position], word[position + 1]
            counts[pair] += count
            overlaps = word[position : position + 3] == (pair[0],) * 3
            position += 2 if overlaps else 1
    return dict(counts)


@count_pairs.misconception
def steps_from_pair_to_pair(words):
    """You cut the word into pieces of two ids: first and second, third and fourth. Every id has a
    neighbour on both sides, so the second and third are a pair as well."""
    counts = Counter()
    for word, count in words.items():
        for position in range(0, len(word) - 1, 2):
            counts[word[position], word[position + 1]] += count
    return dict(counts)


@count_pairs.misconception
def misses_the_last_pair(words):
    """The last pair of each word is missing. A word of n ids has n - 1 pairs, so the position of
    the left id runs up to and with n - 2."""
    counts = Counter()
    for word, count in words.items():
        for position in range(len(word) - 2):
            counts[word[position], word[position + 1]] += count
    return dict(counts)


@count_pairs.misconception
def takes_mirror_images_for_the_same_pair(words):
    """You count (a, b) and (b, a) as one pair. Order matters: "th" is not "ht"."""
    counts = Counter()
    for word, count in words.items():
        for left, right in pairwise(word):
            counts[min(left, right), max(left, right)] += count
    return dict(counts)


@count_pairs.misconception
def pairs_ids_that_are_not_neighbours(words):
    """You count every two ids of a word, however far apart. Only neighbours can be merged into one
    token, so only neighbours are a pair here."""
    counts = Counter()
    for word, count in words.items():
        for pair in combinations(word, 2):
            counts[pair] += count
    return dict(counts)


@count_pairs.misconception
def stops_after_the_first_word(words):
    """Only the first word is counted: your function returns inside its loop. Move the `return` to
    the left, behind the loop."""
    counts = {}
    for word, count in words.items():
        for pair in pairwise(word):
            counts[pair] = counts.get(pair, 0) + count
        return counts
    return counts


@count_pairs.misconception
def counts_ids_and_not_pairs(words):
    """You count single ids. What can be merged is a pair of neighbours: count (left, right)."""
    counts = Counter()
    for word, count in words.items():
        for id in word:
            counts[id] += count
    return dict(counts)


@count_pairs.misconception
def lists_pairs_that_do_not_occur(words):
    """Your dict holds every pair of any two ids, many with the count 0. Leave out pairs that do not
    occur."""
    ids = sorted({id for word in words for id in word})
    counts = {(left, right): 0 for left in ids for right in ids}
    for word, count in words.items():
        for pair in pairwise(word):
            counts[pair] += count
    return counts


@count_pairs.alternative
def by_position(words):
    """Positions instead of `pairwise`, a `Counter` instead of a dict."""
    counts = Counter()
    for word, count in words.items():
        for position in range(1, len(word)):
            counts[word[position - 1], word[position]] += count
    return counts


@count_pairs.alternative
def every_pair_of_a_list(words):
    """First a list of all that is to be added, then the sums."""
    seen = [
        (pair, count) for word, count in words.items() for pair in zip(word, word[1:], strict=False)
    ]
    return {pair: sum(count for other, count in seen if other == pair) for pair, _ in seen}
