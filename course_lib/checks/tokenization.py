"""Notebook 01: what each exercise demands."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from math import exp, inf

import torch

from course_lib import tokenization
from course_lib.checks.exercise import Case, Exercise
from course_lib.pre_tokenization import pre_tokenize, split_special
from course_lib.tokenization import BPETokenizer
from course_lib.tokenizer_json import BYTE_TO_CHAR

_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def _letters(draw, n):
    """n different letters in alphabetical order."""
    return sorted(draw.random.sample(_LETTERS, n))


def _refuses_with_value_error(about, arguments):
    """A case of bad input: the right answer is a ValueError, whatever its words."""

    def observe(solution, *arguments):
        try:
            solution(*arguments)
        except ValueError:
            return "a ValueError"
        return "no error"

    return Case(about, arguments, observe, at_the_door=True)


# --- count_pairs ---------------------------------------------------------------------------

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
    """A pair that stands twice in a word counts twice for that word. Yours counts it once: a set
    forgets repetitions."""
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


# --- merge_pair ----------------------------------------------------------------------------

merge_pair = Exercise("tokenization.merge_pair", points=2, reference=tokenization.merge_pair)


@merge_pair.cases
def _(draw):
    def case(about, ids, pair, new_id=99):
        return Case(about, {"ids": ids, "pair": pair, "new_id": new_id})

    a, b, c = (1 + draw.permutation(8)[:3]).tolist()
    yield case("nothing but the pair", [a, b], (a, b))
    yield case("the pair in the middle", [c, a, b, c], (a, b))
    yield case("the pair at the beginning", [a, b, c], (a, b))
    yield case("the pair at the end", [c, a, b], (a, b))
    yield case("the pair twice", [a, b, c, a, b, c], (a, b))
    yield case("twice in a row", [a, b, a, b], (a, b))
    yield case("the pair is not there", [c, b, a], (a, b))
    yield case("the left id at the end, alone", [a, b, a], (a, b))
    yield case("the right id alone, and at the beginning", [b, c, a, b, b], (a, b))
    yield case("three equal ids", [a, a, a], (a, a))
    yield case("four equal ids", [a, a, a, a], (a, a))
    yield case("runs of equal ids between others", [b, a, a, a, b, a, a, c, a], (a, a))
    yield case("ids as a tuple", (c, a, b, a), (a, b))
    yield case("no ids", [], (a, b))
    yield case("a single id", [a], (a, b))
    yield case("the id 0", [0, 0, a, 0], (0, 0))
    yield case("the new id is there already", [99, a, b, 99], (a, b))
    digits = draw.random.randint(2, 9)
    yield case("ids of several digits", [10 * digits + a, b, a, 10 * b + digits, a, b], (a, b), 500)
    ids = draw.ids(3, 200 if draw.hidden else 30).tolist()
    yield case("many ids", ids, (1, 2))
    yield case("many ids, and a pair of equals", ids, (2, 2))


@merge_pair.misconception
def keeps_the_right_id(ids, pair, new_id):
    """The new id stands for both ids of the pair. Yours replaces the left one and keeps the right
    one behind it; after a merge, go on two places further."""
    merged = []
    for position, id in enumerate(ids):
        if tuple(ids[position : position + 2]) == tuple(pair):
            merged.append(new_id)
        else:
            merged.append(id)
    return merged


@merge_pair.misconception
def merges_overlapping_pairs(ids, pair, new_id):
    """[7, 7, 7] holds two pairs (7, 7) that share the middle id, and you merge both. An id can be
    used up only once: after a merge, go on with the first id that was no part of it."""
    merged = []
    for position, id in enumerate(ids):
        if tuple(ids[position : position + 2]) == tuple(pair):
            merged.append(new_id)
        elif position == 0 or (ids[position - 1], id) != tuple(pair):
            merged.append(id)
    return merged


@merge_pair.misconception
def changes_the_list_it_was_given(ids, pair, new_id):
    """You merge inside the list `ids` itself, so whoever called you no longer has the original,
    and a tuple cannot be changed at all. Build a new list."""
    position = 0
    while position < len(ids) - 1:
        if (ids[position], ids[position + 1]) == tuple(pair):
            ids[position : position + 2] = [new_id]
        position += 1
    return ids


@merge_pair.misconception
def loses_the_last_id(ids, pair, new_id):
    """Your loop ends one short of the end, since the last id has no right neighbour. When the last
    id was not merged it still belongs to the result, and yours drops it."""
    merged = []
    position = 0
    while position < len(ids) - 1:
        if (ids[position], ids[position + 1]) == tuple(pair):
            merged.append(new_id)
            position += 2
        else:
            merged.append(ids[position])
            position += 1
    return merged


@merge_pair.misconception
def looks_past_the_end(ids, pair, new_id):
    """When the last id equals the left half of the pair you look at the id behind it, and there is
    none. Ask first whether there is a next id."""
    merged = []
    position = 0
    while position < len(ids):
        if ids[position] == pair[0] and ids[position + 1] == pair[1]:
            merged.append(new_id)
            position += 2
        else:
            merged.append(ids[position])
            position += 1
    return merged


@merge_pair.misconception
def merges_the_first_occurrence_only(ids, pair, new_id):
    """You stop after the first merge. Every occurrence of the pair is to be replaced."""
    for position in range(len(ids) - 1):
        if (ids[position], ids[position + 1]) == tuple(pair):
            return [*ids[:position], new_id, *ids[position + 2 :]]
    return list(ids)


@merge_pair.misconception
def merges_from_right_to_left(ids, pair, new_id):
    """You start at the right end, and [7, 7, 7] becomes [7, 9]. Left to right it is [9, 7]. Both
    would do, but training and encoding must do the same, and left to right is the convention."""
    backwards = tokenization.merge_pair(list(ids)[::-1], tuple(pair)[::-1], new_id)
    return backwards[::-1]


@merge_pair.misconception
def merges_the_mirror_image_too(ids, pair, new_id):
    """You merge (b, a) as well as (a, b). Order matters: the new id stands for the left id
    followed by the right one, and nothing else."""
    merged = []
    position = 0
    while position < len(ids):
        if sorted(ids[position : position + 2]) == sorted(pair):
            merged.append(new_id)
            position += 2
        else:
            merged.append(ids[position])
            position += 1
    return merged


@merge_pair.misconception
def replaces_each_id_of_the_pair(ids, pair, new_id):
    """You replace every id that is in the pair, wherever it stands. Only the two together, the
    left one directly before the right one, become the new id, and both become one."""
    return [new_id if id in pair else id for id in ids]


@merge_pair.misconception
def compares_a_list_with_a_tuple(ids, pair, new_id):
    """Nothing is merged in a list: a slice of a list is a list, and in Python [1, 2] == (1, 2) is
    False. Compare the two ids one by one, or make a tuple of them."""
    merged = []
    position = 0
    while position < len(ids):
        if ids[position : position + 2] == pair:
            merged.append(new_id)
            position += 2
        else:
            merged.append(ids[position])
            position += 1
    return merged


@merge_pair.misconception
def mixes_up_ids_and_digits(ids, pair, new_id):
    """You write the ids as text and replace there. In the text "21 2" there is a "1 2", though the
    ids are 21 and 2. Compare the ids themselves."""
    text = " ".join(map(str, ids)).replace(f"{pair[0]} {pair[1]}", str(new_id))
    return [int(id) for id in text.split()]


@merge_pair.alternative
def by_looking_back(ids, pair, new_id):
    """Each id asks whether the one before it is still waiting for it."""
    merged = []
    left_waits = False
    for id in ids:
        if left_waits and id == pair[1]:
            merged[-1] = new_id
            left_waits = False
        else:
            merged.append(id)
            left_waits = id == pair[0]
    return merged


@merge_pair.alternative
def on_a_copy(ids, pair, new_id):
    """In place, but on a copy."""
    ids = list(ids)
    position = 0
    while position < len(ids) - 1:
        if (ids[position], ids[position + 1]) == pair:
            ids[position : position + 2] = [new_id]
        position += 1
    return ids


@merge_pair.alternative
def the_rest_by_recursion(ids, pair, new_id):
    """Merge what stands first, then the rest. A stack of work instead of deep recursion."""
    merged, rest = [], list(ids)[::-1]
    while rest:
        first = rest.pop()
        if rest and (first, rest[-1]) == pair:
            rest.pop()
            first = new_id
        merged.append(first)
    return merged


# --- train_bpe -----------------------------------------------------------------------------

train_bpe = Exercise("tokenization.train_bpe", points=4, reference=tokenization.train_bpe)

_UNSEEN = "The lowest café, 2 🙂's"


def _learnt(solution, text, vocab_size, *special_tokens):
    """Plain data about the tokenizer that comes back, what was learnt first."""
    tokenizer = solution(text, vocab_size, *special_tokens)
    if tokenizer is None:
        return None
    for name in ("vocab", "merge_ranks", "merge_ids", "special_tokens"):
        if not hasattr(tokenizer, name):
            came = type(tokenizer).__name__
            raise TypeError(f"expected a BPETokenizer; the {came} that came has no {name}")
        if not isinstance(value := getattr(tokenizer, name), Mapping):
            raise TypeError(f"its {name} should be a dict, but is a {type(value).__name__}")
    vocab, merge_ranks = dict(tokenizer.vocab), dict(tokenizer.merge_ranks)
    for id, token in vocab.items():
        if not isinstance(id, int) or not isinstance(token, bytes):
            raise TypeError(f"its vocab should map ids to bytes, but maps {id!r} to {token!r}")

    anything = "".join([text, *(token for tokens in special_tokens for token in tokens), _UNSEEN])
    return {
        "merges (left, right, new id)": [
            (vocab.get(pair[0]), vocab.get(pair[1]), tokenizer.merge_ids.get(pair))
            for pair in sorted(merge_ranks, key=merge_ranks.get)
        ],
        "special_tokens": dict(tokenizer.special_tokens),
        "len(vocab)": len(vocab),
        "tokens of several bytes": {
            id: token for id, token in sorted(vocab.items()) if len(token) > 1
        },
        "single bytes": _byte_order(vocab, sum(map(len, special_tokens))),
        "encode(text)": list(tokenizer.encode(text)),
        "decode(encode(anything)) == anything": (
            tokenizer.decode(tokenizer.encode(anything)) == anything
        ),
    }


def _byte_order(vocab, first_id):
    for id, byte in enumerate(BYTE_TO_CHAR, start=first_id):
        if vocab.get(id) != bytes([byte]):
            wrong = f"id {id} is {vocab.get(id)!r}, not {bytes([byte])!r}"
            return f"not in GPT-2's order from id {first_id}: {wrong}"
    return f"in GPT-2's order from id {first_id}"


@train_bpe.cases
def _(draw):
    def case(about, text, vocab_size, *special_tokens):
        arguments = {"text": text, "vocab_size": vocab_size}
        if special_tokens:
            arguments["special_tokens"] = list(special_tokens)
        return Case(about, arguments, _learnt)

    a, b, c, d = _letters(draw, 4)
    # First a case in which nearly every mistake shows: it makes recognising them quick.
    lexicon = ["".join(draw.random.choices(_LETTERS[:6], k=k)) for k in (2, 2, 3, 3, 4, 5, 6)]
    words = draw.random.choices(lexicon, k=60 if draw.hidden else 25)
    end = "<|end|>"
    yield case("a longer text", f"{a}{b}{end}" + " ".join(words), 281, end)
    yield case("one pair, and room for one merge", a + b, 257)
    yield case("a pair in three words", f"{a}{b} {a}{b} {a}{b}", 257)
    yield case("a second merge upon the first", f"{a}{b} {a}{b} {a}{b}", 258)
    yield case("no room for a merge", a + b, 256)
    yield case("fewer pairs than there is room for", f"{b}{a}", 300)
    yield case("an empty text", "", 260)
    yield case("words of one sign each: no pairs", f"{a},{a},{a}", 258)
    yield case("a tie; the lower ids come later", f"{c}{d},{a}{b}", 257)
    yield case("a tie; the lower ids come first", f"{a}{b},{c}{d}", 257)
    # the blank is byte 32, before every letter, but among the last in GPT-2's order
    yield case("a tie between a letter and a blank", f" {a},{b}{c}", 257)
    yield case("a word seen twice against a word seen once", f"{c}{d},{c}{d},{a}{b}", 257)
    yield case("overlapping pairs count", f"{c}{c}{c},{a}{b}", 257)
    yield case("a merge that makes another pair rarer", f"{a}{b}{c},{a}{b},{a}{b},{b}{c}", 258)
    yield case("a capital letter", f"{a.upper()}{b},{a}{b}", 258)
    yield case("English endings", f"{a}'s {b}'s {c}'s", 259)
    yield case("blanks, a line break and digits", f"{a}  12\n {b}12  {c}", 261)
    yield case("letters of two bytes", f"{a}é{b}é {a}é", 259)
    yield case("an emoji", "🙂 🙂", 261)
    yield case("a special token that is not in the text", f"{a}{b}{c}", 258, end)
    yield case("a special token in the text", f"{a}{b}{end}{c}{d}", 264, end)
    yield case("a special token again and again", f"{a}{b}{end * 3}{a}{b}{end}", 259, end)
    yield case("two special tokens", f"<s>{a}{b}{c}<pad><pad>", 262, "<s>", "<pad>")
    yield case("a special token and words with its letters", f"bend{end}end {a}end", 262, end)


def _first_vocab(special_tokens):
    tokens = [token.encode() for token in special_tokens] + [bytes([b]) for b in BYTE_TO_CHAR]
    return dict(enumerate(tokens))


def _words(text, special_tokens):
    """The words of a text and how often each occurs, special tokens cut out."""
    passages = split_special(text, special_tokens)[::2]
    return Counter(word for passage in passages for word in pre_tokenize(passage))


def _lowest_ids(counts, vocab):
    return min(counts, key=lambda pair: (-counts[pair], pair))


def _as_ids(word_counts, vocab):
    byte_ids = {token[0]: id for id, token in vocab.items() if len(token) == 1}
    return {tuple(byte_ids[b] for b in word.encode()): n for word, n in word_counts.items()}


def _learn(word_counts, vocab, vocab_size, special_tokens, choose=_lowest_ids, least=1):
    """The plain way: count everything anew, merge the best pair, and again."""
    words, merge_ids = _as_ids(word_counts, vocab), {}
    while len(vocab) < vocab_size:
        counts = tokenization.count_pairs(words)
        if least is not None and max(counts.values(), default=0) < least:
            break
        pair = choose(counts, vocab)
        new_id = merge_ids[pair] = len(vocab)
        vocab[new_id] = vocab[pair[0]] + vocab[pair[1]]
        words = {tuple(tokenization.merge_pair(w, pair, new_id)): n for w, n in words.items()}
    return _finished(vocab, merge_ids, special_tokens)


def _finished(vocab, merge_ids, special_tokens):
    ranks = {pair: rank for rank, pair in enumerate(merge_ids)}
    ids = {token: id for id, token in vocab.items()}
    return BPETokenizer(vocab, ranks, merge_ids, {s: ids[s.encode()] for s in special_tokens})


@train_bpe.misconception
def takes_the_first_seen_of_equals(text, vocab_size, special_tokens=()):
    """Among pairs that are equally frequent you take the one your count met first. The result then
    depends on the order of the text; here the pair with the lower ids goes first."""

    def first_seen(counts, vocab):
        return max(counts, key=counts.get)

    words, vocab = _words(text, special_tokens), _first_vocab(special_tokens)
    return _learn(words, vocab, vocab_size, special_tokens, first_seen)


@train_bpe.misconception
def takes_the_highest_ids_of_equals(text, vocab_size, special_tokens=()):
    """Among pairs that are equally frequent you take the one with the highest ids: `max` over
    (count, pair) does that. Here the highest count wins, and then the *lowest* ids."""

    def highest_ids(counts, vocab):
        return max(counts, key=lambda pair: (counts[pair], pair))

    words, vocab = _words(text, special_tokens), _first_vocab(special_tokens)
    return _learn(words, vocab, vocab_size, special_tokens, highest_ids)


@train_bpe.misconception
def breaks_ties_by_spelling(text, vocab_size, special_tokens=()):
    """Among pairs that are equally frequent you take the first in the alphabet. Compare their ids
    instead: in GPT-2's order the blank, for one, comes after all letters."""

    def first_in_the_alphabet(counts, vocab):
        return min(counts, key=lambda pair: (-counts[pair], vocab[pair[0]], vocab[pair[1]]))

    words, vocab = _words(text, special_tokens), _first_vocab(special_tokens)
    return _learn(words, vocab, vocab_size, special_tokens, first_in_the_alphabet)


@train_bpe.misconception
def numbers_bytes_by_their_value(text, vocab_size, special_tokens=()):
    """You give byte 65 the id 65 (behind the special tokens), and so on. Many tokenizers do; GPT-2
    takes another order, the one in which `BYTE_TO_CHAR` lists the bytes."""
    tokens = [token.encode() for token in special_tokens] + [bytes([b]) for b in range(256)]
    words = _words(text, special_tokens)
    return _learn(words, dict(enumerate(tokens)), vocab_size, special_tokens)


@train_bpe.misconception
def merges_across_words(text, vocab_size, special_tokens=()):
    """You take the text as one long row of bytes, so tokens grow across words, as in "of the".
    Cut it with `pre_tokenize` first, and merge only within words."""
    passages = Counter(split_special(text, special_tokens)[::2])
    return _learn(passages, _first_vocab(special_tokens), vocab_size, special_tokens)


@train_bpe.misconception
def splits_at_white_space(text, vocab_size, special_tokens=()):
    """`text.split()` loses blanks and line breaks, and leaves commas inside words. GPT-2 keeps
    every character and has the blank at the front of a word: use `pre_tokenize`."""
    passages = split_special(text, special_tokens)[::2]
    words = Counter(word for passage in passages for word in passage.split())
    return _learn(words, _first_vocab(special_tokens), vocab_size, special_tokens)


@train_bpe.misconception
def counts_every_word_once(text, vocab_size, special_tokens=()):
    """You forget how often each word occurs: a pair in "the" then counts no more than one in a
    word seen once. Keep the number of each distinct word, and count pairs with it."""
    words = Counter(set(_words(text, special_tokens)))
    return _learn(words, _first_vocab(special_tokens), vocab_size, special_tokens)


@train_bpe.misconception
def learns_from_special_tokens(text, vocab_size, special_tokens=()):
    """You learn from the special tokens in the text too, so merges are spent on their letters.
    They have an id already: cut them out of the text before you split it into words."""
    words = _words(text, [])
    return _learn(words, _first_vocab(special_tokens), vocab_size, special_tokens)


@train_bpe.misconception
def joins_what_a_special_token_separates(text, vocab_size, special_tokens=()):
    """You delete the special tokens, and what stood on either side grows together into words that
    were never written. Cut the text at each special token and keep the passages apart."""
    for token in special_tokens:
        text = text.replace(token, "")
    words = _words(text, [])
    return _learn(words, _first_vocab(special_tokens), vocab_size, special_tokens)


@train_bpe.misconception
def reads_special_tokens_as_patterns(text, vocab_size, special_tokens=()):
    """For `re.split`, the bars in "<|end|>" mean "or": it cuts at "<", at "end" and at ">", also
    inside words. `split_special` takes a special token as it is written, as does `re.escape`."""
    passages = re.split("|".join(special_tokens), text) if special_tokens else [text]
    words = Counter(word for passage in passages for word in pre_tokenize(passage))
    return _learn(words, _first_vocab(special_tokens), vocab_size, special_tokens)


@train_bpe.misconception
def numbers_special_tokens_last(text, vocab_size, special_tokens=()):
    """Your special tokens come behind the merges. Here they take the first ids, in the order in
    which they are given; the 256 bytes follow, then the merges."""
    words = _words(text, special_tokens)
    plain = _learn(words, _first_vocab([]), vocab_size - len(special_tokens), [])
    vocab = dict(plain.vocab)
    for token in special_tokens:
        vocab[len(vocab)] = token.encode()
    return _finished(vocab, plain.merge_ids, special_tokens)


@train_bpe.misconception
def leaves_special_tokens_out_of_the_count(text, vocab_size, special_tokens=()):
    """Your vocabulary has more than `vocab_size` tokens: the number counts everything that has an
    id, special tokens, bytes and merges."""
    words, vocab = _words(text, special_tokens), _first_vocab(special_tokens)
    return _learn(words, vocab, vocab_size + len(special_tokens), special_tokens)


@train_bpe.misconception
def takes_the_size_for_the_number_of_merges(text, vocab_size, special_tokens=()):
    """You learn `vocab_size` merges. The bytes and the special tokens are in the vocabulary before
    the first merge, and `vocab_size` counts them too."""
    words, vocab = _words(text, special_tokens), _first_vocab(special_tokens)
    return _learn(words, vocab, vocab_size + len(vocab), special_tokens)


@train_bpe.misconception
def learns_one_merge_too_many(text, vocab_size, special_tokens=()):
    """You learn one merge more than there is room for: when the vocabulary has reached
    `vocab_size`, it is full. Compare with `<`, not with `<=`."""
    words, vocab = _words(text, special_tokens), _first_vocab(special_tokens)
    return _learn(words, vocab, vocab_size + 1, special_tokens)


@train_bpe.misconception
def stops_at_pairs_seen_once(text, vocab_size, special_tokens=()):
    """You stop when no pair occurs twice. Here a pair seen once is merged too: training ends when
    the vocabulary is full or no pair is left at all."""
    words, vocab = _words(text, special_tokens), _first_vocab(special_tokens)
    return _learn(words, vocab, vocab_size, special_tokens, least=2)


@train_bpe.misconception
def goes_on_when_no_pair_is_left(text, vocab_size, special_tokens=()):
    """In a short text every word becomes one token before the vocabulary is full. Then there is no
    pair left to choose, and looking for the best of none is an error: stop there."""
    words, vocab = _words(text, special_tokens), _first_vocab(special_tokens)
    return _learn(words, vocab, vocab_size, special_tokens, least=None)


@train_bpe.misconception
def counts_only_at_the_beginning(text, vocab_size, special_tokens=()):
    """You count the pairs once and take the most frequent ones from that list. Each merge changes
    the counts and makes new pairs, so count again after every merge."""
    words, vocab = _words(text, special_tokens), _first_vocab(special_tokens)
    counts = tokenization.count_pairs(_as_ids(words, vocab))
    ranked = sorted(counts, key=lambda pair: (-counts[pair], pair))
    merge_ids = {}
    for pair in ranked[: vocab_size - len(vocab)]:
        merge_ids[pair] = len(vocab)
        vocab[len(vocab)] = vocab[pair[0]] + vocab[pair[1]]
    return _finished(vocab, merge_ids, special_tokens)


@train_bpe.misconception
def forgets_to_merge_in_the_words(text, vocab_size, special_tokens=()):
    """The words stay as they were, so the same pair is the most frequent again and again.
    `merge_pair` returns a new list: put what it returns in the place of the word."""
    vocab, merge_ids = _first_vocab(special_tokens), {}
    words = _as_ids(_words(text, special_tokens), vocab)
    while len(vocab) < vocab_size:
        counts = tokenization.count_pairs(words)
        if not counts:
            break
        pair = _lowest_ids(counts, vocab)
        merge_ids[pair] = len(vocab)
        vocab[len(vocab)] = vocab[pair[0]] + vocab[pair[1]]
    return _finished(vocab, merge_ids, special_tokens)


@train_bpe.misconception
def starts_from_the_letters_of_the_text(text, vocab_size, special_tokens=()):
    """Your first tokens are the characters that occur in the text, so any other character cannot
    be encoded later. Start from all 256 bytes: every text is made of them."""
    words = _words(text, special_tokens)
    characters = sorted(set("".join(words)))
    tokens = [token.encode() for token in [*special_tokens, *characters]]
    vocab, merge_ids = dict(enumerate(tokens)), {}
    ids = {character: len(special_tokens) + n for n, character in enumerate(characters)}
    words = {tuple(ids[character] for character in word): n for word, n in words.items()}
    while len(vocab) < vocab_size and (counts := tokenization.count_pairs(words)):
        pair = _lowest_ids(counts, vocab)
        new_id = merge_ids[pair] = len(vocab)
        vocab[new_id] = vocab[pair[0]] + vocab[pair[1]]
        words = {tuple(tokenization.merge_pair(w, pair, new_id)): n for w, n in words.items()}
    return _finished(vocab, merge_ids, special_tokens)


@train_bpe.misconception
def forgets_to_hand_over_the_special_tokens(text, vocab_size, special_tokens=()):
    """The tokenizer you return does not know its special tokens: without them it would cut
    "<|end|>" into letters. Hand them over when you make it, each with its id."""
    words, vocab = _words(text, special_tokens), _first_vocab(special_tokens)
    return _learn(words, vocab, vocab_size, [])


@train_bpe.misconception
def swaps_ranks_and_ids(text, vocab_size, special_tokens=()):
    """`merge_ranks` and `merge_ids` have changed places. The rank of a pair says when it was
    learnt, from 0; its id is the number of the token that it becomes."""
    right = tokenization.train_bpe(text, vocab_size, special_tokens)
    return BPETokenizer(right.vocab, right.merge_ids, right.merge_ranks, right.special_tokens)


@train_bpe.alternative
def by_counting_everything_anew(text, vocab_size, special_tokens=()):
    """The definition of the algorithm."""
    words, vocab = _words(text, special_tokens), _first_vocab(special_tokens)
    return _learn(words, vocab, vocab_size, special_tokens)


@train_bpe.alternative
def every_word_as_often_as_it_occurs(text, vocab_size, special_tokens=()):
    """A plain list of words, repetitions and all; the new ids serve as ranks."""
    vocab = _first_vocab(special_tokens)
    byte_ids = {byte: len(special_tokens) + n for n, byte in enumerate(BYTE_TO_CHAR)}
    words = []
    for place, part in enumerate(split_special(text, special_tokens)):
        if place % 2 == 0:
            words += [[byte_ids[byte] for byte in word.encode()] for word in pre_tokenize(part)]
    merge_ids = {}
    for new_id in range(len(vocab), vocab_size):
        counts = Counter(pair for word in words for pair in pairwise(word))
        if not counts:
            break
        most = max(counts.values())
        pair = min(pair for pair in counts if counts[pair] == most)
        merge_ids[pair] = new_id
        vocab[new_id] = vocab[pair[0]] + vocab[pair[1]]
        words = [tokenization.merge_pair(word, pair, new_id) for word in words]
    special_ids = {token: id for id, token in enumerate(special_tokens)}
    return BPETokenizer(vocab, dict(merge_ids), merge_ids, special_ids)


# --- bpe_encode ----------------------------------------------------------------------------

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


# --- bpe_decode ----------------------------------------------------------------------------

bpe_decode = Exercise("tokenization.bpe_decode", points=2, reference=tokenization.bpe_decode)


@bpe_decode.cases
def _(draw):
    def case(about, *tokens):
        """The tokens get any ids, which differ, and so do tokens that are not used."""
        distinct = [*dict.fromkeys(tokens), b"unused"]
        numbers = dict(zip(distinct, draw.random.sample(range(100), len(distinct)), strict=True))
        vocab = {id: token for token, id in sorted(numbers.items(), key=lambda item: item[1])}
        return Case(about, {"ids": [numbers[token] for token in tokens], "vocab": vocab})

    a, b, c = (letter.encode() for letter in _letters(draw, 3))
    yield case("two tokens", a + b, c)
    yield case("one token again and again", a, b, a, a)
    yield case("no tokens", *[])
    yield case("blanks at the front and at the end", b" " + a, b" " + b, b" ")
    yield case("a line break and a tab", a, b"\n", b"\t" + b, b"\n")
    yield case("a letter of two bytes in one token", "é".encode())
    yield case("a letter of two bytes in two tokens", a, b"\xc3", b"\xa9", b)
    emoji = draw.random.choice("🙂🎈🐢🌍").encode()
    yield case("an emoji, one token per byte", *(bytes([byte]) for byte in emoji))
    yield case("an emoji that is cut in the middle", a, emoji[:2])
    yield case("the rest of an emoji", emoji[2:], a)
    yield case("a byte that begins no character", a + b"\xff" + b, c)
    yield case("tokens that end inside a character", b"x\xe7", b"\x8c\xab\xc3", b"\xa9y")
    yield case("a special token", a + b, b"<|end|>", c)
    text = "".join(draw.random.choices("ab é🙂猫", k=60 if draw.hidden else 20)).encode()
    cuts = sorted(draw.random.sample(range(1, len(text)), 9))
    pieces = [text[i:j] for i, j in pairwise([0, *cuts, len(text)])]
    yield case("a longer text", *pieces)
    unknown = {"ids": [1, 7, 0], "vocab": dict(enumerate([a, b, c, b"<|end|>", b"unused"]))}
    yield _refuses_with_value_error("an id that is not in vocab", unknown)


@bpe_decode.misconception
def decodes_each_token_by_itself(ids, vocab):
    """You read each token as text and join the texts. A character can be spread over several
    tokens, and none of its parts is valid UTF-8 alone: join the bytes first, then decode once."""
    return "".join(vocab[id].decode("utf-8", errors="replace") for id in ids)


@bpe_decode.misconception
def stops_at_invalid_bytes(ids, vocab):
    """A model can produce any ids, also half an emoji, and then `decode` raises an error. It can
    show such bytes as U+FFFD, the replacement character, instead: see its argument `errors`."""
    return b"".join(vocab[id] for id in ids).decode("utf-8")


@bpe_decode.misconception
def drops_invalid_bytes(ids, vocab):
    """Bytes that are no valid UTF-8 vanish from your text, and nobody can see that something was
    there. They should show as U+FFFD, the replacement character."""
    return b"".join(vocab[id] for id in ids).decode("utf-8", errors="ignore")


@bpe_decode.misconception
def takes_each_byte_for_a_character(ids, vocab):
    """You turn each byte into a character of its own, so "é" becomes "Ã©". Up to four bytes make
    one character in UTF-8; decode all bytes together."""
    return "".join(chr(byte) for id in ids for byte in vocab[id])


@bpe_decode.misconception
def puts_blanks_between_tokens(ids, vocab):
    """You put a blank between tokens. Tokens are parts of words, and a blank in the text is part
    of a token already: join them with nothing in between."""
    return b" ".join(vocab[id] for id in ids).decode("utf-8", errors="replace")


@bpe_decode.misconception
def strips_blanks(ids, vocab):
    """You take blanks and line breaks off the ends. Decoding what was encoded must give the text
    back exactly, blanks included."""
    return b"".join(vocab[id] for id in ids).decode("utf-8", errors="replace").strip()


@bpe_decode.misconception
def shows_how_python_writes_bytes(ids, vocab):
    """`str(...)` of bytes is how Python writes them in code, with a b and quotation marks. To read
    bytes as text, decode them."""
    return str(b"".join(vocab[id] for id in ids))


@bpe_decode.misconception
def reads_ascii_only(ids, vocab):
    """ASCII knows 128 characters, so every "é", "猫" or "🙂" is lost to you. The bytes are UTF-8,
    in which ASCII is the smallest part."""
    return b"".join(vocab[id] for id in ids).decode("ascii", errors="replace")


@bpe_decode.alternative
def with_a_byte_array(ids, vocab):
    """The bytes grow token by token; an unknown id is found before it is looked up."""
    joined = bytearray()
    for id in ids:
        if id not in vocab:
            raise ValueError(f"id {id} is unknown")
        joined += vocab[id]
    return joined.decode(errors="replace")


@bpe_decode.alternative
def through_a_list_of_numbers(ids, vocab):
    """Tokens are sequences of numbers."""
    unknown = set(ids) - set(vocab)
    if unknown:
        raise ValueError(f"ids: {unknown} not in the vocabulary")
    return str(bytes([byte for id in ids for byte in vocab[id]]), "utf-8", "replace")


# --- wordpiece_encode ----------------------------------------------------------------------

wordpiece_encode = Exercise(
    "tokenization.wordpiece_encode", points=3, reference=tokenization.wordpiece_encode
)

_PARTS = "able ed er full happi ing king lock ness play read ship un work".split()


@wordpiece_encode.cases
def _(draw):
    def case(about, word, *vocab):
        return Case(about, {"word": word, "vocab": {"[UNK]", *vocab}})

    a, b, c = draw.random.sample(_PARTS, 3)
    yield case("a known word", a, a, f"##{b}")
    yield case("two pieces", a + b, a, b, f"##{b}")
    yield case("three pieces", a + b + c, a, f"##{b}", f"##{c}")
    yield case("the same piece twice", a + a, a, f"##{a}")
    yield case("a known word whose parts are known too", a + b, a, f"##{b}", a + b)
    yield case(
        "a longer first piece and a shorter one",
        a + b, a, a + b[0], f"##{b}", f"##{b[1:]}",
    )  # fmt: skip
    yield case(
        "a longer second piece and a shorter one",
        a + b + c, a, f"##{b}", f"##{c}", f"##{b}{c[0]}", f"##{c[1:]}",
    )  # fmt: skip
    yield case("letter by letter", a, a[0], *(f"##{letter}" for letter in a[1:]))
    yield case("the longest piece leads into a dead end", a + b, a, a + b[0], f"##{b}")
    yield case("an unknown end", f"{a}{b}", a, f"##{c}")
    yield case("an unknown middle", f"{a}+{b}", a, f"##{b}")
    yield case("an unknown beginning", f"+{a}", a, f"##{a}")
    yield case("a beginning known only as a continuation", a, f"##{a}")
    yield case("a continuation known only as a beginning", a + b, a, b)
    yield case("a capital letter", a.title() + b, a, f"##{b}")
    yield case("the empty word", "", a, f"##{b}")
    unknown = {"word": f"{a}+", "vocab": {a, "<unk>"}, "unk": "<unk>"}
    yield Case("another name for what is unknown", unknown)
    yield Case("a vocabulary in a list", {"word": a + b, "vocab": [f"##{b}", a]})
    yield Case("a vocabulary with ids", {"word": a + b, "vocab": {a: 5, f"##{b}": 2}})
    for length in (6, 9, 24) if draw.hidden else (6, 9):
        word = "".join(draw.random.choices("ab", k=length))
        starts = ["".join(draw.random.choices("ab", k=k)) for k in (2, 3)]
        rest = ["".join(draw.random.choices("ab", k=k)) for k in (2, 2, 3, 4)]
        vocab = ["a", "b", "##a", "##b", *starts, *(f"##{piece}" for piece in rest)]
        yield case(f"a word of {length} letters", word, *vocab)


def _greedy_pieces(word, vocab, ends, mark="##"):
    """Known pieces from left to right, the first found of `ends(start)`; the last is None where
    nothing is found."""
    pieces, start = [], 0
    while start < len(word):
        prefix = mark if start > 0 else ""
        end = next((end for end in ends(start) if prefix + word[start:end] in vocab), None)
        if end is None:
            return [*pieces, None]
        pieces.append(prefix + word[start:end])
        start = end
    return pieces


def _longest_first(word):
    return lambda start: range(len(word), start, -1)


@wordpiece_encode.misconception
def takes_the_shortest_piece(word, vocab, unk="[UNK]"):
    """You take the shortest known piece first. WordPiece is greedy for length: try the whole rest
    of the word, then one letter less, and so on."""
    pieces = _greedy_pieces(word, vocab, lambda start: range(start + 1, len(word) + 1))
    return [unk] if None in pieces else pieces


@wordpiece_encode.misconception
def knows_no_continuation_signs(word, vocab, unk="[UNK]"):
    """A piece that continues a word is another token than the same letters at its beginning: it
    is written with "##". Yours looks up, and returns, all pieces without it."""
    pieces = _greedy_pieces(word, vocab, _longest_first(word), mark="")
    return [unk] if None in pieces else pieces


@wordpiece_encode.misconception
def drops_the_continuation_signs(word, vocab, unk="[UNK]"):
    """The cuts are right, but the pieces have lost their "##". It is part of the token: "##ing"
    and "ing" have different ids."""
    pieces = _greedy_pieces(word, vocab, _longest_first(word))
    return [unk] if None in pieces else [piece.removeprefix("##") for piece in pieces]


@wordpiece_encode.misconception
def adds_the_signs_after_looking_up(word, vocab, unk="[UNK]"):
    """You look for a continuing piece without its "##" and add the signs afterwards. So you find
    beginnings of words, and may return tokens that are not in the vocabulary."""
    first, *rest = _greedy_pieces(word, vocab, _longest_first(word), mark="") or [""]
    if None in (first, *rest):
        return [unk]
    return [first, *(f"##{piece}" for piece in rest)] if first else []


@wordpiece_encode.misconception
def marks_the_first_piece_too(word, vocab, unk="[UNK]"):
    """You expect "##" before every piece. The first piece of a word does not continue anything
    and is written without."""
    pieces, start = [], 0
    while start < len(word):
        for end in range(len(word), start, -1):
            if "##" + word[start:end] in vocab:
                break
        else:
            return [unk]
        pieces.append("##" + word[start:end])
        start = end
    return pieces


@wordpiece_encode.misconception
def keeps_the_known_pieces(word, vocab, unk="[UNK]"):
    """You keep the pieces found so far and put the unknown token in the place of the rest. One
    unknown piece makes the whole word unknown: the result is that token alone."""
    pieces = _greedy_pieces(word, vocab, _longest_first(word))
    return [piece or unk for piece in pieces]


@wordpiece_encode.misconception
def skips_unknown_letters(word, vocab, unk="[UNK]"):
    """Where no piece fits you put the unknown token for one letter and go on behind it. WordPiece
    gives up there: one unknown piece makes the whole word unknown."""
    pieces, start = [], 0
    while start < len(word):
        prefix = "##" if start > 0 else ""
        for end in range(len(word), start, -1):
            if prefix + word[start:end] in vocab:
                pieces.append(prefix + word[start:end])
                break
        else:
            pieces.append(unk)
            end = start + 1
        start = end
    return pieces


@wordpiece_encode.misconception
def tries_other_cuts(word, vocab, unk="[UNK]"):
    """When the longest piece leads into a dead end you go back and try a shorter one. WordPiece
    never goes back: it takes the longest piece each time, and if that fails the word is unknown."""

    def cut(start):
        if start == len(word):
            return []
        prefix = "##" if start > 0 else ""
        for end in range(len(word), start, -1):
            if prefix + word[start:end] in vocab:
                rest = cut(end)
                if rest is not None:
                    return [prefix + word[start:end], *rest]
        return None

    pieces = cut(0)
    return [unk] if pieces is None else pieces


@wordpiece_encode.misconception
def calls_the_empty_word_unknown(word, vocab, unk="[UNK]"):
    """A word without letters has no pieces, and nothing in it is unknown: the result is an empty
    list."""
    return tokenization.wordpiece_encode(word, vocab, unk) or [unk]


@wordpiece_encode.misconception
def always_writes_unk_the_same_way(word, vocab, unk="[UNK]"):
    """Other vocabularies write the unknown token in another way, so its name is an argument. Use
    `unk` in place of a fixed "[UNK]"."""
    return tokenization.wordpiece_encode(word, vocab)


@wordpiece_encode.misconception
def gives_no_pieces_for_an_unknown_word(word, vocab, unk="[UNK]"):
    """An unknown word disappears: you return an empty list. The model should see that a word was
    there, so the result is a list with the unknown token."""
    pieces = _greedy_pieces(word, vocab, _longest_first(word))
    return [] if None in pieces else pieces


@wordpiece_encode.misconception
def ignores_capitals(word, vocab, unk="[UNK]"):
    """You turn the word to lower case. BERT does that earlier, and only the uncased one; here the
    letters are taken as they come."""
    return tokenization.wordpiece_encode(word.lower(), vocab, unk)


@wordpiece_encode.alternative
def by_recursion(word, vocab, unk="[UNK]"):
    """The longest piece, then the rest, marked as a continuation."""

    def cut(rest, prefix):
        if not rest:
            return []
        for length in range(len(rest), 0, -1):
            if prefix + rest[:length] in vocab:
                return [prefix + rest[:length], *cut(rest[length:], "##")]
        return [unk]

    pieces = cut(word, "")
    return [unk] if unk in pieces else pieces


@wordpiece_encode.alternative
def by_shrinking_the_window(word, vocab, unk="[UNK]"):
    """Two positions: the end moves to the left until the piece is known."""
    pieces, start, end = [], 0, len(word)
    while start < end:
        piece = word[start:end] if start == 0 else "##" + word[start:end]
        if piece in vocab:
            pieces.append(piece)
            start, end = end, len(word)
        else:
            end -= 1
    return pieces if start == len(word) else [unk]


# --- unigram_encode ------------------------------------------------------------------------

unigram_encode = Exercise(
    "tokenization.unigram_encode", points=3, reference=tokenization.unigram_encode
)


def _segmentations(word, log_probs):
    """Every way to cut the word into known pieces."""
    if not word:
        yield []
    for end in range(1, len(word) + 1):
        if word[:end] in log_probs:
            for rest in _segmentations(word[end:], log_probs):
                yield [word[:end], *rest]


def _merit(pieces, log_probs):
    first = len(pieces[0]) if pieces else 0
    return sum(log_probs[piece] for piece in pieces), -len(pieces), first


@unigram_encode.cases
def _(draw):
    # Log-probabilities are multiples of 1/4: their sums are exact in any order, ties included.
    def case(about, word, log_probs):
        return Case(about, {"word": word, "log_probs": log_probs})

    a, b, c, d, e, f = draw.random.sample(_LETTERS, 6)
    bit = draw.random.choice([0.25, 0.5, 0.75])
    yield case("a word that is a piece", a + b, {a: -1.0, b: -1.5, a + b: -2.0})
    yield case("the empty word", "", {a: -1.0})
    yield case("an impossible piece (-inf)", a + b, {a: -1.0, b: -1.5, a + b: -inf})
    yield case("a piece less probable than its parts", a + b, {a: -1.0, b: -2.0, a + b: -3 - bit})
    yield case(
        "a probable first piece, but an improbable rest",
        a + b + c, {a: -1.0, a + b: -2.0, b + c: -6.0, c: -1.0 - bit},
    )  # fmt: skip
    yield case(
        "a long first piece, but an improbable rest",
        a + b + c, {a: -1.0, a + b: -2.0, b + c: -3.0, c: -5.0 - bit},
    )  # fmt: skip
    yield case(
        "more pieces are more probable",
        a + b + c + d, {a + b: -5.0, c + d: -5.0, a: -1.0, b: -1.0, c: -1.0, d: -1.0 - bit},
    )  # fmt: skip
    yield case(
        "the longest first piece leads into a dead end",
        a + b + c + d, {a + b + c: -1.0, a + b: -3.0, c + d: -3.0 - bit},
    )  # fmt: skip
    yield case("one piece as probable as two", a + b, {a: -1.0, b: -1.5, a + b: -2.5})
    yield case(
        "a tie between a longer and a shorter first piece",
        a + b + c, {a: -1.0, b + c: -3.0, a + b: -2.5, c: -1.5},
    )  # fmt: skip
    yield case(
        "a tie between two pieces and three, which end with a longer one",
        a + b + c + d + e, {a: -1.0, b: -1.5, c + d + e: -2.5, a + b + c: -1.5, d + e: -3.5},
    )  # fmt: skip
    yield case(
        "a tie between two pieces and three, which begin with a longer one",
        a + b + c + d + e, {a + b + c: -1.0, d: -2.0, e: -2.0, a + b: -1.5, c + d + e: -3.5},
    )  # fmt: skip
    yield case("a letter again and again", a * 5, {a: -2.0, a * 2: -3.5, a * 3: -5.25})
    rare = {a + b: -400.0, c + d + e: -380.0, a: -300.0, b + c: -300.0, d + e: -350.0}
    yield case("pieces so rare that their product is 0 as a float", a + b + c + d + e, rare)
    for length in (5, 6, 7, 8) if draw.hidden else (5, 7):
        yield case(f"a word of {length} letters", *_random_unigram(draw, length, [a, b, c]))
    log_probs = {a: -1.0, b: -1.0, c: -2.5, a + b: -1.5, b + c: -2.5, d + e: -1.0}
    no_pieces = {"word": a + b + c + f + b + a, "log_probs": log_probs}
    yield _refuses_with_value_error("a word that no pieces cover", no_pieces)


def _random_unigram(draw, length, letters):
    """A word and pieces with a single best segmentation, ties broken as far as promised."""
    while True:
        word = "".join(draw.random.choices(letters, k=length))
        log_probs = {letter: -draw.random.randint(8, 20) / 4 for letter in word}
        for _ in range(6):
            start = draw.random.randrange(length - 1)
            piece = word[start : start + draw.random.randint(2, 4)]
            log_probs[piece] = -draw.random.randint(8, 20) * len(piece) / 6 // 0.25 * 0.25
        merits = sorted(_merit(s, log_probs) for s in _segmentations(word, log_probs))
        if len(merits) > 1 and merits[-1] != merits[-2]:
            return word, log_probs


def _best_by(word, log_probs, merit):
    segmentations = list(_segmentations(word, log_probs))
    if not segmentations:
        raise ValueError("no pieces cover the word")
    return max(segmentations, key=merit)


@unigram_encode.misconception
def takes_the_longest_piece_first(word, log_probs):
    """You take the longest piece each time, as WordPiece does, and never look at its probability.
    Here the whole segmentation counts: the product of the probabilities of all its pieces."""
    pieces, start = [], 0
    while start < len(word):
        for end in range(len(word), start, -1):
            if word[start:end] in log_probs:
                break
        else:
            raise ValueError("no pieces cover the word")
        pieces.append(word[start:end])
        start = end
    return pieces


@unigram_encode.misconception
def takes_the_most_probable_piece_first(word, log_probs):
    """You take the most probable piece at each place. A probable first piece can force an
    improbable rest, or none: what must be as probable as possible is the whole segmentation."""
    pieces, start = [], 0
    while start < len(word):
        ends = [e for e in range(start + 1, len(word) + 1) if word[start:e] in log_probs]
        if not ends:
            raise ValueError("no pieces cover the word")
        end = max(ends, key=lambda end: log_probs[word[start:end]])
        pieces.append(word[start:end])
        start = end
    return pieces


@unigram_encode.misconception
def takes_the_fewest_pieces(word, log_probs):
    """You look for the fewest pieces. Their number decides only between segmentations that are
    equally probable; first comes the sum of the log-probabilities."""
    return _best_by(word, log_probs, lambda p: (-len(p), sum(map(log_probs.get, p))))


@unigram_encode.misconception
def takes_unknown_pieces_for_certain(word, log_probs):
    """A piece that is not in `log_probs` gets log-probability 0 from you, and that means certain:
    nothing is more probable. An unknown piece cannot be used; its log-probability is -inf."""
    best = [0.0] + [-inf] * len(word)
    back = [0] * (len(word) + 1)
    for end in range(1, len(word) + 1):
        for start in range(end):
            score = best[start] + log_probs.get(word[start:end], 0.0)
            if score > best[end]:
                best[end], back[end] = score, start
    return _read_back(word, back)


def _read_back(word, back):
    """The pieces, from the table of where the piece that ends at each place begins."""
    pieces, end = [], len(word)
    while end > 0:
        if back[end] is None:
            raise ValueError("no pieces cover the word")
        pieces.append(word[back[end] : end])
        end = back[end]
    return pieces[::-1]


def _viterbi(word, log_probs, better):
    """Best way to cut `word[:end]`, for every end, from left to right."""
    best = [0.0] + [-inf] * len(word)
    back = [None] * (len(word) + 1)
    for end in range(1, len(word) + 1):
        for start in range(end):
            if word[start:end] in log_probs and best[start] > -inf:
                score = best[start] + log_probs[word[start:end]]
                if better(score, best[end]):
                    best[end], back[end] = score, start
    return _read_back(word, back)


def _viterbi_from_the_end(word, log_probs, better):
    """Best way to cut `word[start:]`, for every start, from right to left."""
    best = [-inf] * len(word) + [0.0]
    ahead = [None] * len(word)
    for start in reversed(range(len(word))):
        for end in range(start + 1, len(word) + 1):
            if word[start:end] in log_probs and best[end] > -inf:
                score = log_probs[word[start:end]] + best[end]
                if better(score, best[start]):
                    best[start], ahead[start] = score, end
    pieces, start = [], 0
    while start < len(word):
        if ahead[start] is None:
            raise ValueError("no pieces cover the word")
        pieces.append(word[start : ahead[start]])
        start = ahead[start]
    return pieces


@unigram_encode.misconception
def leaves_ties_to_the_first_found(word, log_probs):
    """Your search is right. Of two segmentations that are equally probable it keeps the one found
    first, whose last piece is longer. Asked for: fewer pieces, then the longer first piece."""
    return _viterbi(word, log_probs, lambda score, best: score > best)


@unigram_encode.misconception
def leaves_ties_to_the_last_found(word, log_probs):
    """Your search is right. Of two segmentations that are equally probable it keeps the one found
    last, whose last piece is shorter. Asked for: fewer pieces, then the longer first piece."""
    return _viterbi(word, log_probs, lambda score, best: score >= best)


@unigram_encode.misconception
def prefers_a_shorter_first_piece(word, log_probs):
    """Your search is right. Of two segmentations that are equally probable it keeps the one with
    the shorter first piece. Asked for: fewer pieces, then the longer first piece."""
    return _viterbi_from_the_end(word, log_probs, lambda score, best: score > best)


@unigram_encode.misconception
def prefers_a_longer_first_piece_to_fewer_pieces(word, log_probs):
    """Your search is right. Of two segmentations that are equally probable it keeps the one with
    the longer first piece. First the number of pieces decides, then that length."""
    return _viterbi_from_the_end(word, log_probs, lambda score, best: score >= best)


@unigram_encode.misconception
def multiplies_until_nothing_is_left(word, log_probs):
    """You multiply probabilities. The product of several small numbers is too small for a float
    and becomes 0, and then nothing can be compared. Add the logarithms instead."""
    best = [1.0] + [0.0] * len(word)
    back = [None] * (len(word) + 1)
    for end in range(1, len(word) + 1):
        for start in range(end):
            if word[start:end] in log_probs:
                probability = best[start] * exp(log_probs[word[start:end]])
                if probability > best[end]:
                    best[end], back[end] = probability, start
    return _read_back(word, back)


@unigram_encode.misconception
def multiplies_logarithms(word, log_probs):
    """The probability of a segmentation is a product, but `log_probs` holds logarithms, and the
    logarithm of a product is a sum. Add them."""
    best = [1.0] + [-inf] * len(word)
    back = [None] * (len(word) + 1)
    for end in range(1, len(word) + 1):
        for start in range(end):
            if word[start:end] in log_probs and best[start] > -inf:
                score = best[start] * log_probs[word[start:end]]
                if score > best[end]:
                    best[end], back[end] = score, start
    return _read_back(word, back)


@unigram_encode.misconception
def takes_the_least_probable(word, log_probs):
    """You look for the smallest sum, which is the least probable segmentation. Logarithms of
    probabilities are negative, and the nearer to 0 the more probable: take the largest sum."""

    def merit(pieces):
        log_prob, fewer, first = _merit(pieces, log_probs)
        return -log_prob, fewer, first

    return _best_by(word, log_probs, merit)


@unigram_encode.misconception
def takes_the_mean_over_the_pieces(word, log_probs):
    """You compare means: the sum of the log-probabilities divided by the number of pieces. Every
    further piece makes a segmentation less probable, so compare the sums."""

    def merit(pieces):
        log_prob, fewer, first = _merit(pieces, log_probs)
        return log_prob / len(pieces), fewer, first

    return _best_by(word, log_probs, merit)


@unigram_encode.alternative
def by_trying_everything(word, log_probs):
    """All segmentations, the best of them. Slow for long words, but right."""
    return _best_by(word, log_probs, lambda pieces: _merit(pieces, log_probs))


@unigram_encode.alternative
def from_left_to_right(word, log_probs):
    """Viterbi over ends; what is best so far goes along with its pieces."""
    best = [(0.0, 0, 0, [])] + [None] * len(word)
    for end in range(1, len(word) + 1):
        for start in range(end):
            piece = word[start:end]
            if piece not in log_probs or best[start] is None:
                continue
            log_prob, fewer, _, pieces = best[start]
            pieces = [*pieces, piece]
            ways = (log_prob + log_probs[piece], fewer - 1, len(pieces[0]), pieces)
            if best[end] is None or ways[:3] > best[end][:3]:
                best[end] = ways
    if best[-1] is None:
        raise ValueError(f"{word!r} cannot be cut into known pieces")
    return best[-1][3]


# --- encode_pair_batch ---------------------------------------------------------------------

encode_pair_batch = Exercise(
    "tokenization.encode_pair_batch", points=3, reference=tokenization.encode_pair_batch
)


_ANIMALS = (
    "ant bee cat donkey eel fox gnu hen ibis jay kangaroo lark mole newt owl pig quail rat seal "
    "toad urchin vole wasp yak zebra"
).split()


@dataclass(frozen=True)
class ToyTokenizer:
    """One id per word, so that rows can be read."""

    cls_id: int = 1
    sep_id: int = 2
    pad_id: int = 0

    def encode(self, text: str) -> list[int]:
        return [10 + _LETTERS.index(word[0]) for word in text.split()]

    def __repr__(self) -> str:
        ids = f"cls_id={self.cls_id}, sep_id={self.sep_id}, pad_id={self.pad_id}"
        return f"ToyTokenizer({ids}), one id per word: ant=10, bee=11, cat=12, ..."


@encode_pair_batch.cases
def _(draw):
    plain = ToyTokenizer()

    def text(length):
        return " ".join(draw.random.sample(_ANIMALS, length))

    def case(about, lengths, max_length, tokenizer=plain):
        pairs = [(text(first), text(second)) for first, second in lengths]
        arguments = {"pairs": pairs, "tokenizer": tokenizer, "max_length": max_length}
        return Case(about, arguments)

    yield case("one pair, with room to spare", [(1, 2)], 9)
    yield case("two rows, the second shorter", [(2, 3), (1, 2)], 20)
    yield case("two rows, the first shorter", [(1, 1), (3, 2)], 20)
    yield case("rows as long, but cut elsewhere", [(1, 3), (3, 1)], 12)
    yield case("a row that fits exactly", [(2, 3)], 8)
    yield case("one token too many, the first text longer", [(4, 2)], 8)
    yield case("one token too many, the second text longer", [(2, 4)], 8)
    yield case("one token too many, equal texts", [(3, 3)], 8)
    yield case("several too many, the first text much longer", [(6, 1)], 6)
    yield case("several too many, the second text much longer", [(1, 6)], 6)
    yield case("several too many, in turns", [(4, 5)], 8)
    yield case("an empty first text", [(0, 3)], 10)
    yield case("an empty second text", [(3, 0), (2, 2)], 10)
    yield case("room for the special tokens only", [(2, 1)], 3)
    yield case("one row too long, one not", [(5, 4), (1, 2), (2, 2)], 9)
    cls_id, sep_id, pad_id = (3 + draw.permutation(6)[:3]).tolist()
    other = ToyTokenizer(cls_id, sep_id, pad_id)
    yield case("other ids for the special tokens", [(1, 2), (2, 4)], 12, other)
    same = ToyTokenizer(1, 2, 2)
    yield case("a tokenizer that pads with its [SEP]", [(2, 3), (1, 1)], 12, same)
    n_rows = 12 if draw.hidden else 4
    lengths = [(draw.random.randint(0, 9), draw.random.randint(0, 9)) for _ in range(n_rows)]
    yield case("more rows", [(9, 8), *lengths], 14)


def _shorten(first, second, room):
    while len(first) + len(second) > room:
        if len(first) > len(second):
            first = first[:-1]
        else:
            second = second[:-1]
    return first, second


def _ids(pairs, tokenizer, max_length, shorten=_shorten):
    """The ids of both texts of each pair, shortened."""
    return [
        shorten(tokenizer.encode(first), tokenizer.encode(second), max_length - 3)
        for first, second in pairs
    ]


def _row(first, second, tokenizer):
    """(ids, type ids) of one row."""
    cls_id, sep_id = tokenizer.cls_id, tokenizer.sep_id
    ids = [cls_id, *first, sep_id, *second, sep_id]
    return ids, [0] * (len(first) + 2) + [1] * (len(second) + 1)


def _padded(rows, length, pad):
    return torch.tensor([[*row, *[pad] * (length - len(row))] for row in rows])


def _batch(rows, pad_id, length=None, mask_of_padding=0, type_of_padding=0):
    length = length or max(len(ids) for ids, _ in rows)
    return {
        "input_ids": _padded([ids for ids, _ in rows], length, pad_id),
        "token_type_ids": _padded([types for _, types in rows], length, type_of_padding),
        "attention_mask": _padded([[1] * len(ids) for ids, _ in rows], length, mask_of_padding),
    }


def _rows(pairs, tokenizer, max_length, shorten=_shorten):
    ids = _ids(pairs, tokenizer, max_length, shorten)
    return [_row(first, second, tokenizer) for first, second in ids]


@encode_pair_batch.misconception
def gives_the_first_sep_type_1(pairs, tokenizer, max_length):
    """In `token_type_ids` the first [SEP] has type 1 in your rows. It closes the first text and
    still belongs to it: type 0 up to and with the first [SEP]."""
    rows = []
    for first, second in _ids(pairs, tokenizer, max_length):
        ids, _ = _row(first, second, tokenizer)
        rows.append((ids, [0] * (len(first) + 1) + [1] * (len(second) + 2)))
    return _batch(rows, tokenizer.pad_id)


@encode_pair_batch.misconception
def gives_the_second_sep_type_0(pairs, tokenizer, max_length):
    """In `token_type_ids` the second [SEP] has type 0 in your rows. It closes the second text and
    belongs to it: type 1 for everything behind the first [SEP]."""
    rows = []
    for first, second in _ids(pairs, tokenizer, max_length):
        ids, _ = _row(first, second, tokenizer)
        rows.append((ids, [0] * (len(first) + 2) + [1] * len(second) + [0]))
    return _batch(rows, tokenizer.pad_id)


@encode_pair_batch.misconception
def gives_padding_type_1(pairs, tokenizer, max_length):
    """In `token_type_ids` your padding has type 1, as if it went on with the second text. Padding
    belongs to neither and has type 0 by convention."""
    return _batch(_rows(pairs, tokenizer, max_length), tokenizer.pad_id, type_of_padding=1)


@encode_pair_batch.misconception
def gives_everything_type_0(pairs, tokenizer, max_length):
    """Your `token_type_ids` are 0 throughout, so the model cannot tell the two texts apart. All
    that stands behind the first [SEP], its own [SEP] included, has type 1."""
    rows = [(ids, [0] * len(ids)) for ids, _ in _rows(pairs, tokenizer, max_length)]
    return _batch(rows, tokenizer.pad_id)


@encode_pair_batch.misconception
def attends_to_padding(pairs, tokenizer, max_length):
    """Your `attention_mask` is 1 everywhere. Padding is no text: where it stands the mask is 0, so
    that the model leaves it out."""
    return _batch(_rows(pairs, tokenizer, max_length), tokenizer.pad_id, mask_of_padding=1)


@encode_pair_batch.misconception
def finds_padding_by_its_id(pairs, tokenizer, max_length):
    """You call every token padding whose id is `pad_id`. Some tokenizers pad with a token that
    also occurs in the row, such as [SEP]. You know how long each row was; use that."""
    batch = _batch(_rows(pairs, tokenizer, max_length), tokenizer.pad_id)
    return {**batch, "attention_mask": (batch["input_ids"] != tokenizer.pad_id).long()}


@encode_pair_batch.misconception
def pads_with_0(pairs, tokenizer, max_length):
    """You pad `input_ids` with 0. Which id means padding is the tokenizer's affair: take its
    `pad_id`."""
    return _batch(_rows(pairs, tokenizer, max_length), 0)


@encode_pair_batch.misconception
def pads_on_the_left(pairs, tokenizer, max_length):
    """Your padding stands before the text. Here it goes behind it: [CLS] stays at position 0 in
    every row, where the model looks for it."""
    batch = _batch(_rows(pairs, tokenizer, max_length), tokenizer.pad_id)
    lengths = batch["attention_mask"].sum(1).tolist()
    return {
        name: torch.stack([row.roll(-n) for row, n in zip(rows, lengths, strict=True)])
        for name, rows in batch.items()
    }


@encode_pair_batch.misconception
def pads_to_the_maximum_length(pairs, tokenizer, max_length):
    """You pad every row to `max_length`. That is only the most that is allowed; the longest row of
    the batch is enough, and anything more is computed in vain."""
    return _batch(_rows(pairs, tokenizer, max_length), tokenizer.pad_id, length=max_length)


@encode_pair_batch.misconception
def cuts_off_the_end_of_the_row(pairs, tokenizer, max_length):
    """You build the row and cut off what is too much, the last [SEP] with it, and only the second
    text ever loses anything. Shorten the two texts first, then build the row."""
    rows = _rows(pairs, tokenizer, inf)
    return _batch([(ids[:max_length], types[:max_length]) for ids, types in rows], tokenizer.pad_id)


@encode_pair_batch.misconception
def writes_a_sep_over_the_cut(pairs, tokenizer, max_length):
    """You cut off the end of the row and put a [SEP] in its last place. The cut hits the second
    text first, and behind a long first text nothing of it is left. Shorten the two texts first,
    each time the longer one, then build the row."""
    rows = []
    for ids, types in _rows(pairs, tokenizer, inf):
        if len(ids) > max_length:
            ids, types = [*ids[: max_length - 1], tokenizer.sep_id], types[:max_length]
        rows.append((ids, types))
    return _batch(rows, tokenizer.pad_id)


@encode_pair_batch.misconception
def measures_texts_in_characters(pairs, tokenizer, max_length):
    """You shorten the texts before they are tokens, and count characters. `max_length` counts
    tokens: encode first, then shorten the lists of ids."""
    shortened = [_shorten(first, second, max_length - 3) for first, second in pairs]
    return _batch(_rows(shortened, tokenizer, max_length), tokenizer.pad_id)


@encode_pair_batch.misconception
def shortens_the_second_text_only(pairs, tokenizer, max_length):
    """Only your second text gets shorter. Take tokens off whichever text is longer at the moment;
    the second, if they are equal."""

    def shorten(first, second, room):
        return first, second[: max(0, room - len(first))]

    rows = _rows(pairs, tokenizer, max_length, shorten)
    return _batch(rows, tokenizer.pad_id)


@encode_pair_batch.misconception
def shortens_the_first_text_only(pairs, tokenizer, max_length):
    """Only your first text gets shorter. Take tokens off whichever text is longer at the moment;
    the second, if they are equal."""

    def shorten(first, second, room):
        return first[: max(0, room - len(second))], second

    rows = _rows(pairs, tokenizer, max_length, shorten)
    return _batch(rows, tokenizer.pad_id)


@encode_pair_batch.misconception
def gives_each_text_half_the_room(pairs, tokenizer, max_length):
    """You cut both texts to half of the room, so a long text loses tokens although its partner
    leaves room for them. Take off one token at a time, from the longer text."""

    def shorten(first, second, room):
        if len(first) + len(second) <= room:
            return first, second
        return first[: room - room // 2], second[: room // 2]

    rows = _rows(pairs, tokenizer, max_length, shorten)
    return _batch(rows, tokenizer.pad_id)


@encode_pair_batch.misconception
def shortens_the_first_of_equals(pairs, tokenizer, max_length):
    """When both texts are equally long you shorten the first. The exercise asks for the second:
    the first loses a token only when it is really longer."""

    def shorten(first, second, room):
        while len(first) + len(second) > room:
            if len(first) >= len(second):
                first = first[:-1]
            else:
                second = second[:-1]
        return first, second

    rows = _rows(pairs, tokenizer, max_length, shorten)
    return _batch(rows, tokenizer.pad_id)


@encode_pair_batch.misconception
def takes_off_one_token_only(pairs, tokenizer, max_length):
    """A row that is too long loses one token, and stays too long when it had several too many.
    Ask again after each token, until the row fits."""

    def shorten(first, second, room):
        if len(first) + len(second) > room:
            return _shorten(first, second, len(first) + len(second) - 1)
        return first, second

    rows = _rows(pairs, tokenizer, max_length, shorten)
    return _batch(rows, tokenizer.pad_id)


@encode_pair_batch.misconception
def drops_tokens_at_the_front(pairs, tokenizer, max_length):
    """A text that is too long loses its first tokens in your rows. It should lose its last ones,
    and keep its beginning."""

    def shorten(first, second, room):
        n_first, n_second = map(len, _shorten(first, second, room))
        return first[len(first) - n_first :], second[len(second) - n_second :]

    rows = _rows(pairs, tokenizer, max_length, shorten)
    return _batch(rows, tokenizer.pad_id)


@encode_pair_batch.misconception
def leaves_no_room_for_the_special_tokens(pairs, tokenizer, max_length):
    """Your rows can be three tokens longer than `max_length`: you compare the two texts with it,
    and [CLS] and the two [SEP] come on top. They count too."""
    return _batch(_rows(pairs, tokenizer, max_length + 3), tokenizer.pad_id)


@encode_pair_batch.misconception
def never_shortens(pairs, tokenizer, max_length):
    """Your rows keep all their tokens, however long. No row may be longer than `max_length`, the
    special tokens included."""
    return _batch(_rows(pairs, tokenizer, inf), tokenizer.pad_id)


@encode_pair_batch.misconception
def leaves_out_the_last_sep(pairs, tokenizer, max_length):
    """Your rows end with the second text. A [SEP] closes each of the two: CLS a SEP b SEP."""
    rows = [(ids[:-1], types[:-1]) for ids, types in _rows(pairs, tokenizer, max_length)]
    return _batch(rows, tokenizer.pad_id)


@encode_pair_batch.misconception
def begins_both_texts_with_cls(pairs, tokenizer, max_length):
    """You put a [CLS] before the second text as well. There is one per row, at the very
    beginning: CLS a SEP b SEP."""
    rows = []
    for first, second in _ids(pairs, tokenizer, max_length):
        rows.append(_row(first, [tokenizer.cls_id, *second], tokenizer))
    return _batch(rows, tokenizer.pad_id)


@encode_pair_batch.alternative
def as_nested_lists(pairs, tokenizer, max_length):
    """Lists to the end, then three tensors."""
    return _batch(_rows(pairs, tokenizer, max_length), tokenizer.pad_id)


@encode_pair_batch.alternative
def with_lengths_in_one_step(pairs, tokenizer, max_length):
    """The lengths after shortening from a formula; types and mask by comparing positions."""
    room = max_length - 3
    rows, first_ends = [], []
    for pair in pairs:
        first, second = map(tokenizer.encode, pair)
        if len(first) + len(second) > room:
            if len(second) <= room // 2:  # the second may keep all
                first = first[: room - len(second)]
            elif len(first) <= room - room // 2:  # the first may keep all
                second = second[: room - len(first)]
            else:
                first, second = first[: room - room // 2], second[: room // 2]
        rows.append(torch.tensor(_row(first, second, tokenizer)[0]))
        first_ends.append(len(first) + 2)
    input_ids = torch.nn.utils.rnn.pad_sequence(
        rows, batch_first=True, padding_value=tokenizer.pad_id
    )
    position = torch.arange(input_ids.shape[1])
    inside = position < torch.tensor([[len(row)] for row in rows])
    behind_first = position >= torch.tensor(first_ends)[:, None]
    return {
        "attention_mask": inside.long(),
        "token_type_ids": (behind_first & inside).long(),
        "input_ids": input_ids,
    }


# --- prompt_cost ---------------------------------------------------------------------------

prompt_cost = Exercise(
    "tokenization.prompt_cost",
    points=1,
    reference=tokenization.prompt_cost,
    tolerance=1e-12,  # a request may cost a millionth
)


@prompt_cost.cases
def _(draw):
    def case(about, n_input, n_output, input_price, output_price):
        arguments = {"n_input": n_input, "n_output": n_output}
        prices = {"input_price": input_price, "output_price": output_price}
        return Case(about, arguments | prices)

    price = draw.random.randint(1, 19) / 4
    tokens = draw.random.randint(100, 999)
    yield case("a million tokens each way", 1_000_000, 1_000_000, price, 4 * price)
    yield case("a short prompt and a long answer", 12, tokens, price, 5 * price)
    yield case("a long prompt and a short answer", 9 * tokens, 15, price, 3 * price)
    yield case("no answer", tokens, 0, price, 3 * price)
    yield case("no prompt", 0, tokens, price, 3 * price)
    yield case("nothing at all", 0, 0, price, 3 * price)
    yield case("free input", tokens, 2 * tokens, 0.0, price)
    yield case("prices in whole numbers", 1500, tokens, 3, 15)
    yield case("a single token", 1, 0, price, 2 * price)
    yield case("several million tokens", 7_654_321, 2_345_678, price, 2 * price + 1)


@prompt_cost.misconception
def takes_prices_per_thousand(n_input, n_output, input_price, output_price):
    """Your result is a thousand times too high: prices here are for a million tokens. Some lists
    are per thousand, so the unit is worth a look each time."""
    return (n_input * input_price + n_output * output_price) / 1000


@prompt_cost.misconception
def takes_prices_per_token(n_input, n_output, input_price, output_price):
    """Your result is a million times too high: the prices are for a million tokens, not for one."""
    return float(n_input * input_price + n_output * output_price)


@prompt_cost.misconception
def adds_the_prices(n_input, n_output, input_price, output_price):
    """You charge the sum of both prices for every token. A token is either sent or received, and
    pays one of the two."""
    return (n_input + n_output) * (input_price + output_price) / 1e6


@prompt_cost.misconception
def takes_the_mean_price(n_input, n_output, input_price, output_price):
    """You charge the mean of the two prices for every token. That is right only when as many
    tokens come back as were sent; charge each kind at its own price."""
    return (n_input + n_output) * (input_price + output_price) / 2 / 1e6


@prompt_cost.misconception
def swaps_input_and_output(n_input, n_output, input_price, output_price):
    """You charge what is sent at the price of what is received, and the other way round."""
    return (n_input * output_price + n_output * input_price) / 1e6


@prompt_cost.misconception
def charges_the_prompt_only(n_input, n_output, input_price, output_price):
    """The answer is free in your account. Its tokens have a price too, mostly the higher one."""
    return n_input * input_price / 1e6


@prompt_cost.misconception
def divides_only_the_second_part(n_input, n_output, input_price, output_price):
    """Division binds more tightly than addition: only your second summand is divided by a million.
    Put the sum in parentheses."""
    return n_input * input_price + n_output * output_price / 1e6


@prompt_cost.misconception
def charges_whole_millions_only(n_input, n_output, input_price, output_price):
    """`//` keeps whole millions only, so any smaller request is free. Divide with `/`."""
    return float(n_input // 1_000_000 * input_price + n_output // 1_000_000 * output_price)


@prompt_cost.misconception
def rounds_to_cents(n_input, n_output, input_price, output_price):
    """You round to cents, and a request that costs less becomes free; a million of them would too.
    Return the exact amount, and round where you show it."""
    return round((n_input * input_price + n_output * output_price) / 1e6, 2)


@prompt_cost.alternative
def price_of_a_token_first(n_input, n_output, input_price, output_price):
    """Each price divided by a million, then multiplied."""
    return n_input * (input_price / 1e6) + n_output * (output_price / 1e6)


@prompt_cost.alternative
def as_a_sum_over_both_kinds(n_input, n_output, input_price, output_price):
    """Millions of tokens times their price."""
    kinds = [(n_input, input_price), (n_output, output_price)]
    return sum(n / 10**6 * price for n, price in kinds)
