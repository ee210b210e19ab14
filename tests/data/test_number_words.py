from __future__ import annotations

import pytest
import torch

from course_lib.data.number_words import (
    LIMIT,
    SPECIAL_TOKENS,
    aligned_words,
    pad_rows,
    spell_number,
    split_numbers,
    train_tokenizer,
)


def test_tens_and_units_change_places():
    assert spell_number(23, "English") == "twenty-three"
    assert spell_number(23, "German") == "dreiundzwanzig"


@pytest.mark.parametrize("language", ["English", "German"])
def test_every_number_has_its_own_words(language):
    assert len({spell_number(number, language) for number in range(0, LIMIT, 7)}) == -(-LIMIT // 7)


def test_split_shares_no_number_and_follows_its_generator():
    train, test = split_numbers(300, 100, torch.Generator().manual_seed(0))
    assert (len(train), len(test)) == (300, 100)
    assert len(set(train) | set(test)) == 400
    assert all(0 <= number < LIMIT for number in train + test)
    assert split_numbers(300, 100, torch.Generator().manual_seed(0)) == (train, test)
    assert split_numbers(300, 100, torch.Generator().manual_seed(1)) != (train, test)


def test_tokenizer_reads_both_languages_and_keeps_its_special_tokens():
    tokenizer = train_tokenizer(range(0, 3000, 3), 330)
    assert [tokenizer.special_tokens[token] for token in SPECIAL_TOKENS] == list(range(11))
    for number in (7, 814, 99_999):
        for language in ("English", "German"):
            words = spell_number(number, language)
            assert tokenizer.decode(tokenizer.encode(words)) == words
    assert len(tokenizer.vocab) == 330
    assert len(tokenizer.encode(spell_number(2001, "German"))) < 10
    assert len(tokenizer.encode("40213")) == 5  # it has seen no digits, so each is a token


def test_rows_are_padded_on_the_right():
    rows = pad_rows([[5, 6, 7], [8], []], 0)
    assert rows.tolist() == [[5, 6, 7], [8, 0, 0], [0, 0, 0]]
    assert rows.dtype == torch.int64


def test_bad_arguments():
    with pytest.raises(ValueError, match="number"):
        spell_number(-1, "German")
    with pytest.raises(TypeError, match="number"):
        spell_number("7", "German")
    with pytest.raises(ValueError, match="language"):
        spell_number(7, "Klingon")
    with pytest.raises(ValueError, match="n_train"):
        split_numbers(LIMIT, 1, torch.Generator())
    with pytest.raises(ValueError, match="rows"):
        pad_rows([], 0)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, []),
        (1, ["one eins"]),
        (20, ["twenty zwanzig"]),
        (23, ["three drei", "twenty zwanzig"]),
        (1001, ["one ein", "thousand tausend", "one eins"]),
        (
            21_416,
            [
                "one ein",
                "twenty zwanzig",
                "thousand tausend",
                "four vier",
                "hundred hundert",
                "sixteen sechzehn",
            ],
        ),
        (
            37_437,
            [
                "seven sieben",
                "thirty dreißig",
                "thousand tausend",
                "four vier",
                "hundred hundert",
                "seven sieben",
                "thirty dreißig",
            ],
        ),
    ],
)
def test_aligned_words_say_the_same(number, words):
    english, german = (spell_number(number, one).encode() for one in ("English", "German"))
    found = [
        f"{english[a:b].decode()} {german[c:d].decode()}"
        for (a, b), (c, d) in aligned_words(number)
    ]
    assert found == words


def test_aligned_words_of_every_kind_of_number():
    for number in range(1, LIMIT, 37):
        places = aligned_words(number)
        for side in (0, 1):  # no two words overlap
            spans = sorted(pair[side] for pair in places)
            assert all(before[1] <= after[0] for before, after in zip(spans, spans[1:]))
