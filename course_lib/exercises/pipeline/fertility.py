"""What `pipeline.fertility` demands."""

from __future__ import annotations

import re
from functools import cache

from course_lib import pipeline
from course_lib.checks.exercise import Case, Exercise, refuses
from course_lib.exercises.pipeline.shared import WORDS
from course_lib.tokenization import BPETokenizer, train_bpe

fertility = Exercise("pipeline.fertility", points=1, reference=pipeline.fertility)


@cache
def _small_bpe() -> BPETokenizer:
    return train_bpe("the boats and the kettle, the moon and the light. " * 3, 300)


class _Letters:
    """A tokenizer: each character is a token."""

    def __repr__(self):
        return "a token for each character"

    def encode(self, text):
        return [ord(letter) for letter in text]


@fertility.cases
def _(draw):
    letters = _Letters()
    words = draw.random.choices(WORDS, k=60 if draw.hidden else 7)
    text = " ".join(words)

    def case(about, tokenizer, text):
        return Case(about, {"tokenizer": tokenizer, "text": text})

    yield case("a token for each character", letters, "ab " + draw.random.choice(WORDS))
    yield case("a token for each character, one word", letters, draw.random.choice(WORDS))
    yield case("a byte-level BPE", _small_bpe(), f"{text}, the boats")
    yield case("the same word again and again", _small_bpe(), "the boats the boats the moonlight")
    yield case("several blanks and line breaks", _small_bpe(), f"  the  {words[0]}\n\n{text}\n")
    yield refuses("an empty text", {"tokenizer": letters, "text": ""}, "text")
    yield refuses("a text of blanks", {"tokenizer": letters, "text": " \n "}, "text")


def _n_tokens(tokenizer, text):
    return len(tokenizer.encode(text))


@fertility.misconception
def words_per_token(tokenizer, text):
    """This is words per token, the fraction upside down. Fertility is tokens per word: 1 if every
    word is one token, and larger the finer the text is cut."""
    return len(text.split()) / _n_tokens(tokenizer, text)


@fertility.misconception
def characters_per_token(tokenizer, text):
    """This is characters per token, a good measure too, and the one to take where a language puts
    no blanks between words. Fertility is tokens per word."""
    return len(text) / _n_tokens(tokenizer, text)


@fertility.misconception
def tokens_per_character(tokenizer, text):
    """This divides by the length of the text, which Python counts in characters. Divide by the
    number of words: `text.split()` is the list of them."""
    return _n_tokens(tokenizer, text) / len(text)


@fertility.misconception
def encodes_each_word_by_itself(tokenizer, text):
    """Each word is encoded alone here, without the blank in front of it. Most tokenizers have
    other tokens for a word with a blank before it than for one at the beginning, so the count is
    not that of the text. Encode the text as a whole."""
    return sum(_n_tokens(tokenizer, word) for word in text.split()) / len(text.split())


@fertility.misconception
def splits_at_every_single_blank(tokenizer, text):
    """`split(" ")` cuts at each blank: two blanks in a row give an empty word, and a line break
    gives none. `split()` without an argument cuts at any stretch of whitespace."""
    return _n_tokens(tokenizer, text) / len(text.split(" "))


@fertility.misconception
def counts_each_word_once(tokenizer, text):
    """The tokens of the whole text are divided by the number of *different* words. A word that
    comes twice is read twice: count all of them."""
    return _n_tokens(tokenizer, text) / len(set(text.split()))


@fertility.misconception
def counts_each_token_once(tokenizer, text):
    """A set keeps each id once, so this counts the different tokens. What costs time and money is
    every token: take the length of the list."""
    return len(set(tokenizer.encode(text))) / len(text.split())


@fertility.misconception
def rounds_to_a_whole_number(tokenizer, text):
    """`//` cuts off what stands behind the point, and between 1.1 and 1.9 tokens per word there is
    a world. Divide with `/`."""
    return float(_n_tokens(tokenizer, text) // len(text.split()))


@fertility.alternative
def counts_words_with_a_pattern(tokenizer, text):
    n_words = len(re.findall(r"\S+", text))
    if n_words == 0:
        raise ValueError("text is empty")
    return len(tokenizer.encode(text)) / n_words


@fertility.alternative
def counts_one_by_one(tokenizer, text):
    if not text.strip():
        raise ValueError("text has no words")
    return sum(1 for _ in tokenizer.encode(text)) / sum(1 for _ in text.split())
