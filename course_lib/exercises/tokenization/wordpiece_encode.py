"""What `tokenization.wordpiece_encode` demands."""

from __future__ import annotations

from course_lib import tokenization
from course_lib.checks.exercise import Case, Exercise

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
    yield case("a word of one letter", a[0], a[0], f"##{a[0]}")
    yield case("a letter and its accent as two characters", "cafe\u0301", "cafe", "##\u0301", "caf")
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
def never_tries_the_whole_rest(word, vocab, unk="[UNK]"):
    """Your first try leaves out the last letter, so that no piece can reach the end of the word and
    every word is unknown. `range` stops before its second number, not at its first: begin with
    `len(word)` itself."""
    pieces = _greedy_pieces(word, vocab, lambda start: range(len(word) - 1, start, -1))
    return [unk] if None in pieces else pieces


@wordpiece_encode.misconception
def never_tries_a_single_letter(word, vocab, unk="[UNK]"):
    """Your last try is a piece of two letters. A single letter may be a piece too: the ends to try
    run down to start + 1."""
    pieces = _greedy_pieces(word, vocab, lambda start: range(len(word), start + 1, -1))
    return [unk] if None in pieces else pieces


@wordpiece_encode.misconception
def stops_at_the_first_piece(word, vocab, unk="[UNK]"):
    """You return the first piece alone. Go on with what is left of the word until nothing is."""
    first = _greedy_pieces(word, vocab, _longest_first(word))[:1]
    return [unk] if None in first else first


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
