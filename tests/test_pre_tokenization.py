from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, pre_tokenizers

from course_lib.pre_tokenization import GPT2_PATTERN, chunks, pre_tokenize

GPT2_WORDS = pre_tokenizers.Split(Regex(GPT2_PATTERN), behavior="isolated")
DIGITS = pre_tokenizers.Digits(individual_digits=True)
SPLITTERS = {False: GPT2_WORDS, True: pre_tokenizers.Sequence([DIGITS, GPT2_WORDS])}

# few signs, so that they meet: endings, digits, signs that Python and the library class differently
tricky_text = st.text("aZst'09 \n\t\r.-é²Ⅷ猫\u0301\u3000\xa0\x85\x00\x1c\x1f", max_size=12)
any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def library_words(text: str, split_digits: bool) -> list[str]:
    return [word for word, _ in SPLITTERS[split_digits].pre_tokenize_str(text)]


@given(st.one_of(tricky_text, any_text), st.booleans())
def test_words_are_the_library_s(text, split_digits):
    assert pre_tokenize(text, split_digits) == library_words(text, split_digits)


@pytest.mark.parametrize("split_digits", [False, True])
def test_words_of_ascii_are_the_library_s_in_every_neighbourhood(split_digits):
    ascii = [chr(i) for i in range(128)]
    for first in ascii:
        text = "".join(f"{first}{second}{sign}" for second in ascii for sign in " a\n0.é")
        assert pre_tokenize(text, split_digits) == library_words(text, split_digits)


@pytest.mark.slow
@pytest.mark.parametrize("split_digits", [False, True])
def test_every_character_is_cut_as_the_library_does(characters, split_digits):
    for start in range(0, len(characters), 1000):
        text = "".join(f"  {c}a" for c in characters[start : start + 1000])
        assert pre_tokenize(text, split_digits) == library_words(text, split_digits)


@given(st.one_of(tricky_text, any_text), st.booleans())
def test_chunks_are_words_or_cut_by_themselves(text, split_digits):
    cut = chunks(text, split_digits)
    assert "".join(cut) == text
    words = [word for chunk in cut for word in pre_tokenize(chunk, split_digits)]
    assert words == library_words(text, split_digits)
    assert all(pre_tokenize(chunk, split_digits) == [chunk] for chunk in cut if chunk.isascii())


def test_chunks_by_hand():
    cut = ["A", " naïve", " cat", ",", "\n ", " sat", "  «là»", " (", "où?)", "\n"]
    assert chunks("A naïve cat,\n  sat  «là» (où?)\n") == cut


def test_chunks_of_something_else():
    with pytest.raises(TypeError, match="text must be a str, got bytes"):
        chunks(b"bytes")
