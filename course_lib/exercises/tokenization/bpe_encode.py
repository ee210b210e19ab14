"""What `tokenization.bpe_encode` demands."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from math import inf

from course_lib import tokenization
from course_lib.checks.exercise import Case, Exercise

bpe_encode = Exercise("tokenization.bpe_encode", points=3, reference=tokenization.bpe_encode)


@bpe_encode.cases
def _(draw):
    def case(about, ids, *pairs, new_ids=None):
        """The pairs in the order of learning."""
        new_ids = new_ids or range(10, 10 + len(pairs))
        merge_ids = dict(zip(pairs, new_ids, strict=True))
        merge_ranks = {pair: rank for rank, pair in enumerate(pairs)}
        return Case(about, {"ids": ids, "merge_ranks": merge_ranks, "merge_ids": merge_ids})

    a, b, c, d = draw.permutation(9)[:4].tolist()
    yield case("one pair to merge", [a, b], (a, b))
    yield case("nothing to merge", [a, b, c], (c, a))
    yield case("nothing learnt", [a, b])
    yield case("one id", [a], (a, b))
    yield case("no ids", [], (a, b))
    yield case("the same pair twice", [a, b, c, a, b], (a, b))
    yield case("a merge upon a merge", [a, b, c], (a, b), (10, c))
    yield case("the first learnt is further right", [a, b, c], (b, c), (a, b))
    yield case("the first learnt is further left", [a, b, c], (a, b), (b, c))
    yield case("four ids, three merges", [a, b, c, d], (c, d), (b, 10), (a, b))
    yield case("three equal ids", [a, a, a], (a, a))
    yield case("five equal ids, merged again", [a, a, a, a, a], (a, a), (10, 10))
    yield case("a frequent pair that was learnt late", [a, b, a, b, c], (b, c), (a, b))
    yield case("ids as a tuple", (c, a, b), (a, b))
    yield case("a tuple with nothing to merge", (c, a), (a, b))
    big = [300 + a, 300 + b, 70_000 + c]
    yield case("ids above 255", big, (big[0], big[1]), (80_000, big[2]), new_ids=(80_000, 80_001))
    yield case("the first learnt has the larger id", [a, b, c], (b, c), (a, b), new_ids=(20, 10))
    shuffled = case("tables in another order than that of the ranks", [a, b, c], (b, c), (a, b))
    backwards = {
        name: dict(reversed(shuffled.arguments[name].items()))
        for name in ("merge_ranks", "merge_ids")
    }
    yield replace(shuffled, arguments={**shuffled.arguments, **backwards})
    lexicon = ["".join(draw.random.choices("aabcd", k=k)) for k in (3, 4, 5, 6, 7, 8)]
    trained = tokenization.train_bpe(" ".join(draw.random.choices(lexicon, k=30)), 280)
    byte_ids = {token: id for id, token in trained.vocab.items()}
    unseen = "".join(draw.random.choices("aabcd", k=60 if draw.hidden else 20))
    for about, word in [("a word of the training text", lexicon[-1]), ("an unseen word", unseen)]:
        ids = [byte_ids[letter.encode()] for letter in word]
        arguments = {"merge_ranks": trained.merge_ranks, "merge_ids": trained.merge_ids}
        yield Case(f"a trained tokenizer, {about}", {"ids": ids, **arguments})


@bpe_encode.misconception
def merges_from_left_to_right(ids, merge_ranks, merge_ids):
    """You merge the leftmost pair that can be merged. What comes first is decided by the ranks:
    the pair that was learnt earliest, wherever in the word it stands."""
    ids = list(ids)
    position = 0
    while position < len(ids) - 1:
        pair = ids[position], ids[position + 1]
        if pair in merge_ranks:
            ids[position : position + 2] = [merge_ids[pair]]
            position = 0
        else:
            position += 1
    return ids


@bpe_encode.misconception
def goes_through_the_word_once(ids, merge_ranks, merge_ids):
    """You walk once from left to right and merge what you meet. A merge can make a new pair that
    merges in its turn, and ranks, not positions, say which pair goes first."""
    merged = []
    position = 0
    while position < len(ids):
        pair = tuple(ids[position : position + 2])
        merged.append(merge_ids.get(pair, ids[position]))
        position += 2 if pair in merge_ids else 1
    return merged


@bpe_encode.misconception
def stops_after_the_first_merge(ids, merge_ranks, merge_ids):
    """You find the earliest pair, merge it, and return. Look again at what has come out, and go on
    until no pair in the word was ever learnt."""
    known = [pair for pair in pairwise(ids) if pair in merge_ranks]
    if not known:
        return list(ids)
    pair = min(known, key=merge_ranks.get)
    return tokenization.merge_pair(ids, pair, merge_ids[pair])


def _until_nothing_merges(ids, choose):
    """`choose(pairs)` names the next pair and its new id, or None."""
    ids = list(ids)
    while chosen := choose(list(pairwise(ids))):
        ids = tokenization.merge_pair(ids, *chosen)
    return ids


@bpe_encode.misconception
def takes_the_latest_learnt_pair_first(ids, merge_ranks, merge_ids):
    """You take the pair with the highest rank. Rank 0 was learnt first and goes first: the word
    is put together in the order in which training did it."""

    def latest(pairs):
        known = [pair for pair in pairs if pair in merge_ranks]
        pair = max(known, key=merge_ranks.get, default=None)
        return pair and (pair, merge_ids[pair])

    return _until_nothing_merges(ids, latest)


@bpe_encode.misconception
def overlooks_rank_0(ids, merge_ranks, merge_ids):
    """The very first merge has rank 0, and 0 counts as false in a condition: yours takes it for
    "was never learnt". Ask whether the pair is in the table, or compare with None."""

    def earliest(pairs):
        known = [pair for pair in pairs if merge_ranks.get(pair)]
        pair = min(known, key=merge_ranks.get, default=None)
        return pair and (pair, merge_ids[pair])

    return _until_nothing_merges(ids, earliest)


@bpe_encode.misconception
def goes_by_the_new_ids(ids, merge_ranks, merge_ids):
    """You take the pair whose new id is the lowest. Often ids rise with the ranks, but nothing
    promises it; the order of learning is in `merge_ranks`."""

    def lowest_id(pairs):
        known = [pair for pair in pairs if pair in merge_ids]
        pair = min(known, key=merge_ids.get, default=None)
        return pair and (pair, merge_ids[pair])

    return _until_nothing_merges(ids, lowest_id)


@bpe_encode.misconception
def puts_the_rank_in_the_place_of_the_pair(ids, merge_ranks, merge_ids):
    """You write the rank of a pair where its new id belongs. `merge_ranks` says which pair goes
    first, `merge_ids` what it becomes."""

    def earliest(pairs):
        known = [pair for pair in pairs if pair in merge_ranks]
        pair = min(known, key=merge_ranks.get, default=None)
        return pair and (pair, merge_ranks[pair])

    return _until_nothing_merges(ids, earliest)


@bpe_encode.misconception
def goes_by_the_order_of_the_table(ids, merge_ranks, merge_ids):
    """You go through `merge_ranks` in the order in which the dict lists its pairs. The rank is the
    number stored with each pair: sort by it, or look for the smallest."""
    for pair in merge_ranks:
        ids = tokenization.merge_pair(ids, pair, merge_ids[pair])
    return list(ids)


@bpe_encode.misconception
def takes_the_most_frequent_pair(ids, merge_ranks, merge_ids):
    """You count the pairs of this word and merge the most frequent one. Counting is for training;
    now the merges are fixed, and the one learnt earliest goes first."""

    def most_frequent(pairs):
        counts = Counter(pair for pair in pairs if pair in merge_ranks)
        pair = min(counts, key=lambda pair: (-counts[pair], merge_ranks[pair]), default=None)
        return pair and (pair, merge_ids[pair])

    return _until_nothing_merges(ids, most_frequent)


@bpe_encode.misconception
def looks_for_a_pair_in_a_single_id(ids, merge_ranks, merge_ids):
    """One id has no neighbour and makes no pair, and the smallest of no pairs is an error. Stop
    when fewer than two ids are left."""
    ids = list(ids)
    while True:
        pair = min(pairwise(ids), key=lambda pair: merge_ranks.get(pair, inf))
        if pair not in merge_ranks:
            return ids
        ids = tokenization.merge_pair(ids, pair, merge_ids[pair])


@bpe_encode.misconception
def changes_the_ids_it_was_given(ids, merge_ranks, merge_ids):
    """You merge inside `ids` itself, so whoever called you no longer has the original, and a
    tuple cannot be changed at all. Work on a new list."""
    while len(ids) > 1:
        pair = min(pairwise(ids), key=lambda pair: merge_ranks.get(pair, inf))
        if pair not in merge_ranks:
            break
        position = list(pairwise(ids)).index(pair)
        ids[position : position + 2] = [merge_ids[pair]]
    return ids


@bpe_encode.alternative
def all_merges_in_the_order_of_learning(ids, merge_ranks, merge_ids):
    """Try every learnt merge once, the earliest first."""
    ids = list(ids)
    for pair in sorted(merge_ranks, key=merge_ranks.get):
        ids = tokenization.merge_pair(ids, pair, merge_ids[pair])
    return ids


@bpe_encode.alternative
def one_occurrence_at_a_time(ids, merge_ranks, merge_ids):
    """The earliest learnt pair, and of its occurrences the leftmost, by recursion."""
    ids = list(ids)
    known = [
        (merge_ranks[pair], position)
        for position, pair in enumerate(pairwise(ids))
        if pair in merge_ranks
    ]
    if not known:
        return ids
    _, at = min(known)
    merged = [*ids[:at], merge_ids[ids[at], ids[at + 1]], *ids[at + 2 :]]
    return one_occurrence_at_a_time(merged, merge_ranks, merge_ids)
