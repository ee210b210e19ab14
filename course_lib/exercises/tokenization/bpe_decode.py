"""What `tokenization.bpe_decode` demands."""

from __future__ import annotations

import unicodedata
from itertools import pairwise

from course_lib import tokenization
from course_lib.checks.exercise import Case, Exercise, refuses
from course_lib.exercises.tokenization.shared import draw_letters

bpe_decode = Exercise("tokenization.bpe_decode", points=2, reference=tokenization.bpe_decode)


@bpe_decode.cases
def _(draw):
    def case(about, *tokens, highest=99):
        """The tokens get any ids, which differ, and so do tokens that are not used."""
        distinct = [*dict.fromkeys(tokens), b"unused"]
        ids = draw.random.sample(range(highest + 1), len(distinct))
        numbers = dict(zip(distinct, ids, strict=True))
        vocab = {id: token for token, id in sorted(numbers.items(), key=lambda item: item[1])}
        return Case(about, {"ids": [numbers[token] for token in tokens], "vocab": vocab})

    a, b, c = (letter.encode() for letter in draw_letters(draw, 3))
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
    yield case("a letter and its accent as two characters", b"e", "\u0301".encode(), a)
    yield case("ids above 255", a + b, c, a, highest=60_000)
    yield case("a special token", a + b, b"<|end|>", c)
    text = "".join(draw.random.choices("ab é🙂猫", k=60 if draw.hidden else 20)).encode()
    cuts = sorted(draw.random.sample(range(1, len(text)), 9))
    pieces = [text[i:j] for i, j in pairwise([0, *cuts, len(text)])]
    yield case("a longer text", *pieces)
    unknown = {"ids": [1, 7, 0], "vocab": dict(enumerate([a, b, c, b"<|end|>", b"unused"]))}
    yield refuses("an id that is not in vocab", unknown, naming="ids")


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
def spells_out_invalid_bytes(ids, vocab):
    """Bytes that are no valid UTF-8 appear in your text as codes such as \\xff. They should show as
    U+FFFD, the replacement character."""
    return b"".join(vocab[id] for id in ids).decode("utf-8", errors="backslashreplace")


@bpe_decode.misconception
def joins_letters_and_accents(ids, vocab):
    """You make one character of a letter and the accent that follows it. They look alike, but the
    text that was encoded had two: leave the characters as they come out of the bytes."""
    joined = b"".join(vocab[id] for id in ids).decode("utf-8", errors="replace")
    return unicodedata.normalize("NFC", joined)


@bpe_decode.misconception
def reads_the_tokens_backwards(ids, vocab):
    """Your text begins with the last id. Join the bytes in the order of the ids."""
    return b"".join(vocab[id] for id in ids[::-1]).decode("utf-8", errors="replace")


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
            raise ValueError(f"ids hold {id}, which is unknown")
        joined += vocab[id]
    return joined.decode(errors="replace")


@bpe_decode.alternative
def through_a_list_of_numbers(ids, vocab):
    """Tokens are sequences of numbers."""
    unknown = set(ids) - set(vocab)
    if unknown:
        raise ValueError(f"ids: {unknown} not in the vocabulary")
    return str(bytes([byte for id in ids for byte in vocab[id]]), "utf-8", "replace")
