"""What `tokenization.train_bpe` demands."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise

from course_lib import tokenization
from course_lib.checks.exercise import Case, Exercise
from course_lib.exercises.tokenization.shared import LETTERS, draw_letters
from course_lib.pre_tokenization import pre_tokenize, split_special
from course_lib.tokenization import BPETokenizer
from course_lib.tokenizer_json import BYTE_TO_CHAR

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
        "merges (rank, left, right, new id)": [
            (merge_ranks[pair], *map(vocab.get, pair), tokenizer.merge_ids.get(pair))
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

    a, b, c, d = draw_letters(draw, 4)
    # First a case in which nearly every mistake shows: it makes recognising them quick.
    lexicon = ["".join(draw.random.choices(LETTERS[:6], k=k)) for k in (2, 2, 3, 3, 4, 5, 6)]
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
    yield case("a tie between pairs with the same left id", f"{a}{d},{a}{c},{b}{d}", 257)
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
def compares_the_left_ids_alone(text, vocab_size, special_tokens=()):
    """Among equally frequent pairs you compare the left ids alone. Where these are equal too, the
    pair with the smaller right id goes first."""

    def lowest_left_id(counts, vocab):
        return min(counts, key=lambda pair: (-counts[pair], pair[0]))

    words, vocab = _words(text, special_tokens), _first_vocab(special_tokens)
    return _learn(words, vocab, vocab_size, special_tokens, lowest_left_id)


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


@train_bpe.misconception
def ranks_merges_by_their_ids(text, vocab_size, special_tokens=()):
    """Your `merge_ranks` hold the new ids. The rank of a pair says when it was learnt: 0 for the
    first merge, 1 for the second, and so on. The order is the same, but who asks for the first
    hundred merges, by rank, gets none."""
    right = tokenization.train_bpe(text, vocab_size, special_tokens)
    return BPETokenizer(right.vocab, right.merge_ids, right.merge_ids, right.special_tokens)


@train_bpe.misconception
def counts_ranks_from_one(text, vocab_size, special_tokens=()):
    """Your first merge has rank 1. Ranks count from 0, as everything in Python."""
    right = tokenization.train_bpe(text, vocab_size, special_tokens)
    ranks = {pair: rank + 1 for pair, rank in right.merge_ranks.items()}
    return BPETokenizer(right.vocab, ranks, right.merge_ids, right.special_tokens)


@train_bpe.misconception
def takes_the_least_frequent_pair(text, vocab_size, special_tokens=()):
    """You merge the pair that occurs most rarely. `min` needs the negative count to find the most
    frequent one."""

    def rarest(counts, vocab):
        return min(counts, key=lambda pair: (counts[pair], pair))

    words, vocab = _words(text, special_tokens), _first_vocab(special_tokens)
    return _learn(words, vocab, vocab_size, special_tokens, rarest)


@train_bpe.alternative
def by_counting_everything_anew(text, vocab_size, special_tokens=()):
    """The definition of the algorithm."""
    words, vocab = _words(text, special_tokens), _first_vocab(special_tokens)
    return _learn(words, vocab, vocab_size, special_tokens)


@train_bpe.alternative
def every_word_as_often_as_it_occurs(text, vocab_size, special_tokens=()):
    """A plain list of words, repetitions and all."""
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
    ranks = dict(zip(merge_ids, range(len(merge_ids)), strict=True))
    return BPETokenizer(vocab, ranks, merge_ids, special_ids)
