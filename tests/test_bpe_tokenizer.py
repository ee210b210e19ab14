"""Other people's tokenizer.json: the `tokenizers` library's ids, over a matrix of its options, or a
refusal that says what is not done."""

from __future__ import annotations

import json
import random
import string
import tempfile
from functools import lru_cache
from itertools import product
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)

from course_lib.bpe_tokenizer import BPETokenizer, bpe_encode_fast
from course_lib.decoding import stream_text
from course_lib.fast import train_bpe_fast
from course_lib.pre_tokenization import (
    GPT2_PATTERN,
    GPT4_PATTERN,
    bert_words,
    pre_tokenize,
    split_pattern,
)
from course_lib.tokenization import WordPieceTokenizer, bpe_encode, train_bpe

settings.register_profile("no deadline", deadline=None)  # a busy machine is no failure
settings.load_profile("no deadline")

PROSE = (
    "\n".join(topics.values())[:60_000]
    + " Ünïcode café ÉÉ e\u0301e\u0301 ﬁne 日本語 12345 \n\n\t" * 9
)


def byte_level(prefix: bool = False, regex: bool = True):
    return pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=regex)


def split(pattern: str, behavior: str = "isolated", invert: bool = False, prefix: bool = False):
    cut = pre_tokenizers.Split(Regex(pattern), behavior=behavior, invert=invert)
    return pre_tokenizers.Sequence([cut, byte_level(prefix, regex=False)])


QWEN_PATTERN = GPT4_PATTERN.replace(r"\p{N}{1,3}", r"\p{N}")
DIGITS = pre_tokenizers.Digits(individual_digits=True)
WORDS = {
    "gpt2": byte_level(),
    "gpt2 with a blank before": byte_level(prefix=True),
    "gpt2 as split": split(GPT2_PATTERN),
    "gpt2 as split, inverted": split(GPT2_PATTERN, "removed", invert=True),
    "gpt2 as split, with a blank before": split(GPT2_PATTERN, prefix=True),
    "gpt4": split(GPT4_PATTERN),
    "gpt4, inverted": split(GPT4_PATTERN, "removed", invert=True),
    "gpt4 with a blank before": split(GPT4_PATTERN, prefix=True),
    "qwen": split(QWEN_PATTERN),
    "one digit a word": pre_tokenizers.Sequence([DIGITS, byte_level()]),
    "one digit a word, as split": pre_tokenizers.Sequence([DIGITS, split(GPT2_PATTERN)]),
    "digits in a row": pre_tokenizers.Sequence([pre_tokenizers.Digits(), byte_level()]),
    "punctuation": pre_tokenizers.Sequence([pre_tokenizers.Punctuation(), byte_level()]),
    "no white space": pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), byte_level()]),
    "blanks end words": split(" ", "merged_with_previous"),
    "no words": byte_level(regex=False),
    "no words, with a blank before": byte_level(prefix=True, regex=False),
}
NORMALIZERS = {
    "none": None,
    "nfc": normalizers.NFC(),
    "nfkc": normalizers.NFKC(),
    "lower": normalizers.Lowercase(),
    "plain": normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()]),
    "replace": normalizers.Replace(Regex(" {2,}"), " "),
    "prepend": normalizers.Prepend("▁"),
}
FLAGS = ("special", "normalized", "lstrip", "rstrip", "single_word")
ADDED = {
    "none": [],
    "special": [AddedToken("<s>", special=True), AddedToken("<s>s", special=True)],
    "added": [AddedToken("<s>"), AddedToken("ab c"), AddedToken("é"), AddedToken("E\u0301")],
    "overlapping": [
        AddedToken("bar b", special=True),
        AddedToken("foo bar", normalized=True),
        AddedToken("o b", normalized=False, special=False),
    ],
    "every flag": [
        AddedToken(f"<{number}>", **dict(zip(FLAGS, flags, strict=True)))
        for number, flags in enumerate(product((False, True), repeat=5))
    ],
    "words": [
        AddedToken("ab", single_word=True),
        AddedToken("b", single_word=True, lstrip=True, special=True),
        AddedToken(" c", rstrip=True),
        AddedToken("A", normalized=True, lstrip=True, rstrip=True),
        AddedToken("\n", normalized=False),
    ],
}
MODELS = {
    "plain": {},
    "whole words": {"ignore_merges": True},
    "unknown": {"unk_token": "<unk>"},
    "unknown, fused": {"unk_token": "<unk>", "fuse_unk": True},
}
DEFAULT = ("gpt2", "none", "none", "plain")


@lru_cache
def trained(all_bytes: bool) -> str:
    """A file of the library's; without all bytes, some signs have no token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = byte_level(), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet() if all_bytes else []
    text = PROSE if all_bytes else PROSE.encode("ascii", "ignore").decode()
    trainer = trainers.BpeTrainer(
        vocab_size=700, initial_alphabet=alphabet, special_tokens=["<unk>"], show_progress=False
    )
    tokenizer.train_from_iterator([text], trainer)
    return tokenizer.to_str()


@lru_cache(maxsize=1000)
def library(words: str, normalizer: str, added: str, model: str) -> Tokenizer:
    document = json.loads(trained(not model.startswith("unknown")))
    document["model"] |= MODELS[model]
    tokenizer = Tokenizer.from_str(json.dumps(document))
    tokenizer.pre_tokenizer = WORDS[words]
    if NORMALIZERS[normalizer]:
        tokenizer.normalizer = NORMALIZERS[normalizer]
    tokenizer.add_tokens(ADDED[added])
    return tokenizer


@lru_cache(maxsize=1000)
def ours(*options: str) -> BPETokenizer:
    return loaded(library(*options))


def loaded(tokenizer: Tokenizer) -> BPETokenizer:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tokenizer.json"
        tokenizer.save(str(path))
        return BPETokenizer.load(path)


def choices(**chosen):
    tables = {"words": WORDS, "normalizer": NORMALIZERS, "added": ADDED, "model": MODELS}
    return st.tuples(*(chosen.get(name) or st.sampled_from(list(t)) for name, t in tables.items()))


pieces = [" ", "  ", "\n", "\r\n", "\t", "\u3000", "\x1c", "a", "b", "A", "ab", "é", "e\u0301", "É"]
pieces += [
    "<s>",
    "<s>s",
    "foo bar b",
    "ab c",
    " c",
    "12345",
    "'s",
    "'LL",
    "...",
    "日本",
    "😀",
    "ﬁ",
    "_",
    "²",
]
pieces += [f"<{number}>" for number in range(32)]
texts = st.lists(st.sampled_from(pieces), max_size=14).map("".join)
any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
some_text = st.one_of(texts, any_text)


# ---- the matrix


def one_at_a_time():
    """Each option with the defaults of the others."""
    for place, table in enumerate((WORDS, NORMALIZERS, ADDED, MODELS)):
        for option in table:
            yield (*DEFAULT[:place], option, *DEFAULT[place + 1 :])


@pytest.mark.parametrize("options", list(one_at_a_time()), ids=" | ".join)
def test_prose(options):
    text = PROSE[-3000:] + "".join(pieces) + " ".join(pieces) + "x".join(pieces)
    ids = library(*options).encode(text, add_special_tokens=False).ids
    assert ours(*options).encode(text) == ids
    if options[2] != "added":
        decoded = library(*options).decode(ids, skip_special_tokens=False)
        assert ours(*options).decode(ids) == decoded


@settings(max_examples=600)
@given(choices(), some_text)
def test_every_option_with_every_other(options, text):
    tokenizer, reference = ours(*options), library(*options)
    ids = reference.encode(text, add_special_tokens=False).ids
    assert tokenizer.encode(text) == ids
    # Newer versions of the library write a token as it was normalised; and "é" as the byte that is
    # spelled so. Ours writes added tokens as they are.
    if options[1] == "none" and options[2] != "added":
        for skip in (False, True):
            decoded = reference.decode(ids, skip_special_tokens=skip)
            assert tokenizer.decode(ids, skip_special_tokens=skip) == decoded


@settings(max_examples=300)
@given(choices(), st.lists(some_text, max_size=5))
def test_line_by_line_is_the_whole_text(options, lines):
    tokenizer = ours(*options)
    assert list(tokenizer.encode_iterable(iter(lines))) == tokenizer.encode("".join(lines))


@settings(max_examples=200)
@given(choices(), st.integers(1, 9), st.integers(0, 2**32))
def test_any_pieces_of_prose_are_the_whole_text(options, longest, seed):
    draw, tokenizer = random.Random(seed), ours(*options)
    start = draw.randrange(len(PROSE) - 400)
    text = PROSE[start : start + 300] + PROSE[-100:]
    cuts = sorted(draw.choices(range(len(text)), k=len(text) // longest))
    lines = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert "".join(lines) == text
    assert list(tokenizer.encode_iterable(lines)) == tokenizer.encode(text)


@pytest.mark.parametrize("words", ["gpt2", "gpt2 with a blank before", "gpt4", "qwen"])
def test_a_long_text_is_not_read_ahead(words):
    tokenizer, read = ours(words, "nfc", "none", "plain"), []

    def lines():
        for line in PROSE.splitlines(keepends=True):
            read.append(line)
            yield line

    stream = tokenizer.encode_iterable(lines())
    assert read == []
    for _ in range(50):
        next(stream)
    assert len(read) < 30


def test_line_breaks_in_a_row():
    """GPT-2 has a token for two line breaks; a file gives them in two lines."""
    tokenizer = train_bpe("a\n\n\nb\n\n\nb", 300)
    lines = ["a\n", "\n", "\n", "b"]
    assert list(tokenizer.encode_iterable(lines)) == tokenizer.encode("".join(lines))
    assert tokenizer.encode("a\n\n\nb") != [i for line in lines for i in tokenizer.encode(line)]


@settings(max_examples=100)
@given(choices(), some_text)
def test_what_we_save_is_read_by_the_library_and_by_us(tmp_path_factory, options, text):
    path = tmp_path_factory.mktemp("saved") / "tokenizer.json"
    tokenizer = ours(*options)
    tokenizer.save(path)
    assert BPETokenizer.load(path) == tokenizer
    again, reference = Tokenizer.from_file(str(path)), library(*options)
    assert again.get_vocab() == reference.get_vocab()
    assert again.encode(text).ids == reference.encode(text).ids
    known = reference.get_added_tokens_decoder()
    assert {id: repr(token) for id, token in again.get_added_tokens_decoder().items()} == {
        id: repr(token) for id, token in known.items()
    }


def test_words_beside_added_tokens_are_the_library_s():
    """What counts as a word, and as white space, for the signs of most scripts."""
    blocks = range(0x3400), range(0xA000, 0xAC00), range(0xF900, 0x12000)  # most scripts
    signs = [chr(i) for block in blocks for i in block]
    reference = library(*DEFAULT)
    reference = Tokenizer.from_str(reference.to_str())
    reference.add_tokens(
        [AddedToken("#", single_word=True), AddedToken("@", lstrip=True, rstrip=True)]
    )
    tokenizer = loaded(reference)
    for start in range(0, len(signs), 2000):
        text = "".join(f"-#{sign}#-{sign}@{sign}-" for sign in signs[start : start + 2000])
        assert tokenizer.encode(text) == reference.encode(text).ids


@example("x\n\n\n\nx")
@given(st.text(st.sampled_from("\n \u3000xb"), max_size=12))
def test_what_a_token_swallows_is_no_token_again(text):
    """One that takes the white space around it, and is itself white space."""
    reference = Tokenizer.from_str(library(*DEFAULT).to_str())
    blank = {"lstrip": True, "rstrip": True, "normalized": False}
    reference.add_tokens([AddedToken("\n\n", **blank), AddedToken("b ", rstrip=True)])
    assert loaded(reference).encode(text) == reference.encode(text).ids


# ---- special tokens in a text

SPECIAL = ("gpt2", "none", "special", "plain")


@given(texts)
def test_special_tokens_that_are_not_allowed_are_text(text):
    reference = Tokenizer.from_str(library(*SPECIAL).to_str())
    reference.encode_special_tokens = True
    assert ours(*SPECIAL).encode(text, allowed_special=()) == reference.encode(text).ids
    assert ours(*SPECIAL).encode(text, allowed_special="all") == library(*SPECIAL).encode(text).ids


def test_special_tokens_of_which_some_are_allowed():
    tokenizer = train_bpe("text", 270, ["<a>", "<b>"])
    assert tokenizer.encode("<a><b>", allowed_special={"<b>"}) == [*tokenizer.encode("<") , *tokenizer.encode("a"), *tokenizer.encode(">"), 1]  # fmt: skip
    assert tokenizer.decode(tokenizer.encode("<a><b>", allowed_special=())) == "<a><b>"
    assert list(tokenizer.encode_iterable(["<a", "> <b>"], allowed_special=())) == (
        tokenizer.encode("<a> <b>", allowed_special=())
    )


def test_forbidden_special_tokens():
    tokenizer = train_bpe("text", 270, ["<a>", "<b>"])
    for options in (
        {"disallowed_special": "all", "allowed_special": ()},
        {"disallowed_special": "all", "allowed_special": {"<a>"}},
        {"disallowed_special": ["<b>"]},
    ):
        with pytest.raises(ValueError, match="text holds '<b>', which disallowed_special forbids"):
            tokenizer.encode("x<b>", **options)
    assert tokenizer.encode("<b>", disallowed_special="all") == [1]  # all are allowed
    with pytest.raises(TypeError, match='allowed_special must be "all" or a collection of str'):
        tokenizer.encode("<b>", allowed_special="<b>")
    with pytest.raises(TypeError, match="disallowed_special must hold str"):
        tokenizer.encode("<b>", disallowed_special=[3])


def test_special_tokens_left_out():
    tokenizer = train_bpe("text", 270, ["<a>", "<b>"])
    ids = tokenizer.encode("<a>x<b>")
    assert tokenizer.decode(ids, skip_special_tokens=True) == "x"
    assert tokenizer.decode(ids) == "<a>x<b>"
    bert = WordPieceTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a"])
    assert bert.decode([2, 5, 3, 0], skip_special_tokens=True) == "a"


# ---- ids in other forms


@pytest.mark.parametrize(
    "form",
    [list, tuple, iter, torch.tensor, np.array, lambda ids: list(torch.tensor(ids)), lambda ids: list(np.array(ids)),
     lambda ids: torch.tensor(ids, dtype=torch.uint8), lambda ids: np.array(ids, dtype=np.int16)],
)  # fmt: skip
def test_ids_in_any_form(form):
    tokenizer = train_bpe("", 256)
    ids = tokenizer.encode("café 😀")
    assert tokenizer.decode(form(ids)) == "café 😀"
    assert "".join(stream_text(form(ids), tokenizer.vocab)) == "café 😀"
    assert bpe_encode(form(ids), {}, {}) == bpe_encode_fast(form(ids), {}, {}) == ids
    merge = {(ids[0], ids[1]): 0}, {(ids[0], ids[1]): 300}
    assert bpe_encode(form(ids), *merge) == bpe_encode_fast(form(ids), *merge) == [300, *ids[2:]]
    bert = WordPieceTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "##b"])
    assert bert.decode(form([5, 6])) == "ab"


@pytest.mark.parametrize(
    "ids", [3, "12", [1.5], ["a"], [None], torch.ones(2), torch.ones(2, 2).long(), [[1]]]
)
def test_ids_that_are_none(ids):
    tokenizer = train_bpe("", 256)
    with pytest.raises(TypeError, match="ids must be"):
        tokenizer.decode(ids)
    with pytest.raises(TypeError, match="ids must be"):
        list(stream_text(ids, tokenizer.vocab))


# ---- halves of a surrogate pair


@pytest.mark.parametrize("half", ["\ud800", "two \udfff", "a\ud83d b"])
def test_lone_surrogates_are_named(half):
    tokenizer = train_bpe("", 258, ["<s>"])
    bert = WordPieceTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a"])
    for call in (
        tokenizer.encode, lambda text: list(tokenizer.encode_iterable([text])), bert.encode,
        pre_tokenize, bert_words, lambda text: train_bpe(text, 300),
        lambda text: train_bpe_fast(text, 300), ours("gpt4", *DEFAULT[1:]).encode,
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"text holds a lone surrogate, '\\ud...', at place"):
            call(half)
    for train in (train_bpe, train_bpe_fast):
        with pytest.raises(ValueError, match="special_tokens holds a lone surrogate"):
            train("", 300, [half])


# ---- merging


def counted(n: int, letters: str, seed: int = 0) -> tuple[int, int]:
    """Look-ups of merges in encoding a word of n letters, and its tokens."""

    class Counting(dict):
        looked = 0

        def get(self, *arguments):
            Counting.looked += 1
            return super().get(*arguments)

    tokenizer = ours(*DEFAULT)
    ranks = Counting(tokenizer.merge_ranks)
    word = "".join(random.Random(seed).choices(letters, k=n))
    ids = bpe_encode_fast(train_bpe("", 256).encode(word), ranks, tokenizer.merge_ids)
    return Counting.looked, len(ids)


@pytest.mark.parametrize("letters", [string.ascii_lowercase, "ACGT", "a", "ab"])
def test_a_long_word_takes_steps_in_proportion_to_its_length(letters):
    for n in (1000, 10_000, 100_000):
        looked, _ = counted(n, letters)
        assert looked <= 3 * n  # n pairs at first; each merge makes one letter less, two pairs more


@pytest.mark.parametrize("letters", [string.ascii_lowercase, "ACGT", "aé"])
def test_a_long_word_is_the_library_s(letters):
    word = "".join(random.Random(1).choices(letters, k=10_000))
    assert ours(*DEFAULT).encode(word) == library(*DEFAULT).encode(word).ids


letters_of_merges = "abc"
spelled_merges = st.lists(
    st.tuples(st.text(letters_of_merges, min_size=1, max_size=3), st.text(letters_of_merges, min_size=1, max_size=3)),
    max_size=12, unique=True,
)  # fmt: skip


@given(spelled_merges, st.text(letters_of_merges, max_size=20))
def test_merges_in_any_order_are_the_library_s(merges, word):
    """Also those that no training gives, where a merge comes before the one that makes its parts."""
    tokens = dict.fromkeys([*letters_of_merges, *(t for a, b in merges for t in (a, b, a + b))])
    vocab = {token: id for id, token in enumerate(tokens)}
    reference = Tokenizer(models.BPE(vocab, merges))
    ids = [vocab[letter] for letter in word]
    ranks = {(vocab[a], vocab[b]): rank for rank, (a, b) in enumerate(merges)}
    merge_ids = {(vocab[a], vocab[b]): vocab[a + b] for a, b in merges}
    assert bpe_encode_fast(ids, ranks, merge_ids) == reference.encode(word).ids


# ---- what is not done is refused by name


def changed(**parts) -> str:
    document = json.loads(library(*DEFAULT).to_str())
    model = document["model"] | parts.pop("model", {})
    return json.dumps(document | {"model": model} | parts)


DOUBLE = {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}]}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (changed(model={"dropout": 0.1}), "expected dropout None, got 0.1"),
        (changed(model={"continuing_subword_prefix": "##"}), "continuing_subword_prefix None, got '##'"),
        (changed(model={"end_of_word_suffix": "</w>"}), "end_of_word_suffix None, got '</w>'"),
        (changed(model={"byte_fallback": True, "vocab": {"a": 0}, "merges": []}, added_tokens=[]), "byte_fallback"),
        (changed(model={"type": "Unigram"}), "expected model type 'BPE', got 'Unigram'"),
        (changed(decoder={"type": "Metaspace"}), "expected decoder 'ByteLevel', got 'Metaspace'"),
        (changed(pre_tokenizer=None), "expected one pre-tokenizer 'ByteLevel', got None"),
        (changed(pre_tokenizer={"type": "Whitespace"}), "expected one pre-tokenizer 'ByteLevel'"),
        (changed(pre_tokenizer=DOUBLE), "expected one pre-tokenizer 'ByteLevel'"),
        (changed(pre_tokenizer={"type": "ByteLevel", "add_prefix_space": 3}), "pre_tokenizer: tokenizers"),
        (changed(normalizer={"type": "Magic"}), "normalizer: tokenizers does not know .*Magic"),
        (changed(normalizer={"type": "ByteLevel"}), "normalizer 'ByteLevel'"),
        (changed(added_tokens=[{"id": 700, "content": "a"}]), "added token 'a' has the id 700, in the"),
        (changed(added_tokens=[{"id": 5, "content": "<x>"}]), "'<x>' has the id 5 of another token"),
        (changed(added_tokens=[{"id": 900, "content": c} for c in ("<x>", "<y>")]), "distinct ids"),
        (changed(added_tokens=[{"id": 900, "content": ""}]), "added tokens must not be empty"),
        (changed(added_tokens=[{"id": 900, "content": "\ud800"}]), "added token holds a lone surrogate"),
        (changed(model={"vocab": {"a": 0.5}}), r"tokens must have whole numbers as ids, got \('a', 0.5\)"),
        (changed(model={"vocab": {"a": True}}), "tokens must have whole numbers as ids"),
        ("[" * 100_000, "is not shaped like a tokenizer.json"),
        ("{}", "is not shaped like a tokenizer.json"),
    ],
)  # fmt: skip
def test_refused(tmp_path, content, says):
    path = tmp_path / "tokenizer.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=says) as caught:
        BPETokenizer.load(path)
    assert str(path) in str(caught.value) or "added tokens" in says


def test_a_file_that_is_no_text(tmp_path):
    (tmp_path / "tokenizer.json").write_bytes(b"\xff\xfe\x00{}")
    with pytest.raises(ValueError, match=r"tokenizer\.json holds no byte-level BPE tokenizer"):
        BPETokenizer.load(tmp_path / "tokenizer.json")


def test_fallback_that_is_never_needed(tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_text(changed(model={"byte_fallback": True}))
    assert BPETokenizer.load(path) == ours(*DEFAULT)


def test_an_added_token_that_is_spelled_like_a_byte():
    """ "č" spells the byte 13: the token is found where it is written, and so is the byte."""
    reference = Tokenizer.from_str(library(*DEFAULT).to_str())
    reference.add_tokens(["č", "Ġthe"])
    tokenizer, text = loaded(reference), "a\rb č Ġthe the"
    assert tokenizer.encode(text) == reference.encode(text).ids
    assert tokenizer.decode(tokenizer.encode(text)) == reference.decode(reference.encode(text).ids)


def test_a_word_with_a_pattern_of_ones_own():
    trained = train_bpe(PROSE, 500)
    parts = (trained.vocab, trained.merge_ranks, trained.merge_ids)
    tokenizer = BPETokenizer(*parts, pre_tokenizer=split_pattern(GPT4_PATTERN))
    assert tokenizer.decode(tokenizer.encode("x = 12345\n\n")) == "x = 12345\n\n"
    with pytest.raises(ValueError, match="pre_tokenizer: tokenizers does not know"):
        BPETokenizer(*parts, pre_tokenizer={"type": "Nothing"})
