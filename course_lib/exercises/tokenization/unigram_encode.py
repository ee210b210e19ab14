"""What `tokenization.unigram_encode` demands."""

from __future__ import annotations

from math import exp, inf

from course_lib import tokenization
from course_lib.checks.exercise import Case, Exercise, refuses
from course_lib.exercises.tokenization.shared import LETTERS

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

    a, b, c, d, e, f = draw.random.sample(LETTERS, 6)
    bit = draw.random.choice([0.25, 0.5, 0.75])
    yield case("a word that is a piece", a + b, {a: -1.0, b: -1.5, a + b: -2.0})
    yield case("a word of one letter", a, {a: -1.0 - bit})
    yield case("a certain piece (log-probability 0)", a + b, {a: -1.0, b: -1.5, a + b: 0.0})
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
    three = {a + b: -2.0, c: -2.0, d + e: -2.0, a: -1.0, b + c + d: -4.0, e: -1.0}
    yield case("a tie between three pieces and three", a + b + c + d + e, three)
    yield case("a letter again and again", a * 5, {a: -2.0, a * 2: -3.5, a * 3: -5.25})
    rare = {a + b: -400.0, c + d + e: -380.0, a: -300.0, b + c: -300.0, d + e: -350.0}
    yield case("pieces so rare that their product is 0 as a float", a + b + c + d + e, rare)
    for length in (5, 6, 7, 8) if draw.hidden else (5, 7):
        yield case(f"a word of {length} letters", *_random_unigram(draw, length, [a, b, c]))
    log_probs = {a: -1.0, b: -1.0, c: -2.5, a + b: -1.5, b + c: -2.5, d + e: -1.0}
    no_pieces = {"word": a + b + c + f + b + a, "log_probs": log_probs}
    yield refuses("a word that no pieces cover", no_pieces, naming="word")
    impossible = {"word": a + b, "log_probs": {a: -1.0, b: -inf}}
    yield refuses("a word that only an impossible piece (-inf) covers", impossible, naming="word")


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
def overlooks_certain_pieces(word, log_probs):
    """A piece with log-probability 0 is certain, and 0 counts as false in a condition: yours takes
    it for an unknown piece. Ask whether the piece is in `log_probs`, or compare with None."""
    known = {piece: log_prob for piece, log_prob in log_probs.items() if log_prob}
    return tokenization.unigram_encode(word, known)


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
    log_probs = {piece: log_prob for piece, log_prob in log_probs.items() if log_prob > -inf}
    return _best_by(word, log_probs, lambda pieces: _merit(pieces, log_probs))


@unigram_encode.alternative
def from_left_to_right(word, log_probs):
    """Viterbi over ends; what is best so far goes along with its pieces."""
    best = [(0.0, 0, 0, [])] + [None] * len(word)
    for end in range(1, len(word) + 1):
        for start in range(end):
            piece = word[start:end]
            if log_probs.get(piece, -inf) == -inf or best[start] is None:
                continue
            log_prob, fewer, _, pieces = best[start]
            pieces = [*pieces, piece]
            ways = (log_prob + log_probs[piece], fewer - 1, len(pieces[0]), pieces)
            if best[end] is None or ways[:3] > best[end][:3]:
                best[end] = ways
    if best[-1] is None:
        raise ValueError(f"word {word!r} cannot be cut into known pieces")
    return best[-1][3]
