"""From text to ids and back: BPE, WordPiece, Unigram, and the arrays a BERT eats (notebook 01)."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain, pairwise, repeat
from math import inf, isfinite
from pathlib import Path
from typing import Protocol

import torch
from jaxtyping import Int
from tokenizers import decoders
from torch import Tensor

from course_lib.pre_tokenization import bert_words, chunks, pre_tokenize, split_special
from course_lib.tokenizer_json import (
    BYTE_TO_CHAR,
    read_tokenizer_json,
    resolve_spelling,
    write_tokenizer_json,
)

# ---- byte pair encoding


def count_pairs(words: Mapping[tuple[int, ...], int]) -> dict[tuple[int, int], int]:
    """How often each pair of neighbouring ids occurs.

    Args:
        words: the ids of each distinct word, and how often the word occurs.

    Returns:
        A count for every adjacent pair, overlaps included: (7, 7, 7) holds (7, 7) twice.

    Raises:
        TypeError: `words` is not a mapping.
    """
    if not isinstance(words, Mapping):
        raise TypeError(f"words must map words to counts, got {type(words).__name__}")

    counts = {}
    for word, count in words.items():
        for pair in pairwise(word):
            counts[pair] = counts.get(pair, 0) + count
    return counts


def merge_pair(ids: Sequence[int], pair: tuple[int, int], new_id: int) -> list[int]:
    """Replace each occurrence of a pair by one id, left to right, without overlap.

    Returns:
        A new list: merging (7, 7) into 9 turns [7, 7, 7] into [9, 7].

    Raises:
        ValueError: `pair` does not hold two ids.
    """
    if len(pair) != 2:
        raise ValueError(f"pair must hold two ids, got {pair!r}")

    left, right = pair
    merged = []
    position = 0
    while position < len(ids):
        if ids[position] == left and position + 1 < len(ids) and ids[position + 1] == right:
            merged.append(new_id)
            position += 2
        else:
            merged.append(ids[position])
            position += 1
    return merged


def train_bpe(text: str, vocab_size: int, special_tokens: Sequence[str] = ()) -> BPETokenizer:
    """Learn a byte-level BPE tokenizer: merge the most frequent pair, again and again.

    Byte pair encoding (Sennrich, Haddow and Birch 2016) on UTF-8 bytes within GPT-2's words
    (Radford et al. 2019). Among equally frequent pairs the one with the lower ids goes first; a
    pair seen once is merged too. Merges and ids equal those of `tokenizers`' `BpeTrainer`, given
    `ByteLevel.alphabet()` to start from.

    Ids are handed out to the special tokens, then to the 256 bytes in GPT-2's order, then to the
    merges; a spelling that has an id keeps it.

    Args:
        text: what to learn from. Special tokens in it are cut out, and no word spans the cut.
        vocab_size: how many tokens to reach. Training stops earlier when no pair is left.
        special_tokens: texts that are always one token.

    Raises:
        TypeError: `text` is not a str, `vocab_size` not an int, or `special_tokens` not a sequence
            of str.
        ValueError: `vocab_size` has no room for the special tokens and the 256 bytes, or a special
            token is empty or given twice.
    """
    if not isinstance(text, str) or not isinstance(vocab_size, int):
        got = f"{type(text).__name__} and {type(vocab_size).__name__}"
        raise TypeError(f"text and vocab_size must be str and int, got {got}")
    if isinstance(special_tokens, str) or not all(isinstance(s, str) for s in special_tokens):
        raise TypeError(f"special_tokens must be a sequence of str, got {special_tokens!r}")
    if "" in special_tokens or len(set(special_tokens)) != len(special_tokens):
        raise ValueError(f"special_tokens must be distinct and not empty, got {special_tokens!r}")

    token_ids: dict[bytes, int] = {}
    single_bytes = [bytes([byte]) for byte in BYTE_TO_CHAR]  # in GPT-2's order
    for token in [special.encode() for special in special_tokens] + single_bytes:
        token_ids.setdefault(token, len(token_ids))
    if vocab_size < len(token_ids):
        raise ValueError(f"vocab_size must be at least {len(token_ids)}, got {vocab_size}")
    vocab = {id: token for token, id in token_ids.items()}
    merge_ids: dict[tuple[int, int], int] = {}  # in the order of learning

    passages = split_special(text, special_tokens)[::2]
    word_counts = Counter(word for passage in passages for word in pre_tokenize(passage))
    words = [tuple(token_ids[bytes([byte])] for byte in word.encode()) for word in word_counts]
    counts = list(word_counts.values())

    # A merge changes only the words that hold its pair. So we remember which words do, and bring
    # the counts up to date, instead of counting everything anew after each merge.
    pair_counts = Counter(count_pairs(dict(zip(words, counts, strict=True))))
    words_with = defaultdict(set)  # pair -> numbers of the words it is (or once was) in
    for number, word in enumerate(words):
        for pair in pairwise(word):
            words_with[pair].add(number)
    # A heap hands out its smallest entry: highest count first, then lowest ids.
    heap = [(-count, pair) for pair, count in pair_counts.items()]
    heapq.heapify(heap)

    while len(vocab) < vocab_size and heap:
        count, pair = heapq.heappop(heap)
        if -count != pair_counts[pair]:
            continue  # an old entry: the count has changed since

        token = vocab[pair[0]] + vocab[pair[1]]
        new_id = merge_ids[pair] = token_ids.setdefault(token, len(token_ids))
        vocab[new_id] = token

        changes = Counter()
        for number in words_with.pop(pair):
            old, new = words[number], tuple(merge_pair(words[number], pair, new_id))
            words[number] = new
            for old_pair in pairwise(old):
                changes[old_pair] -= counts[number]
            for new_pair in pairwise(new):
                changes[new_pair] += counts[number]
                words_with[new_pair].add(number)
        for changed, change in changes.items():
            if change != 0:
                pair_counts[changed] += change
                if pair_counts[changed] > 0:
                    heapq.heappush(heap, (-pair_counts[changed], changed))

    merge_ranks = {pair: rank for rank, pair in enumerate(merge_ids)}
    special_ids = {special: token_ids[special.encode()] for special in special_tokens}
    return BPETokenizer(vocab, merge_ranks, merge_ids, special_ids)


def bpe_encode(
    ids: Sequence[int],
    merge_ranks: Mapping[tuple[int, int], int],
    merge_ids: Mapping[tuple[int, int], int],
) -> list[int]:
    """Apply learnt merges to one word, the earliest learnt first, until none applies.

    Args:
        ids: the word, one id per byte.
        merge_ranks: when each pair was learnt, 0 first.
        merge_ids: the id each pair becomes.

    Raises:
        ValueError: `merge_ids` lacks a pair of `merge_ranks`.
    """
    ids = list(ids)
    while len(ids) > 1:
        pair = min(pairwise(ids), key=lambda pair: merge_ranks.get(pair, inf))
        if pair not in merge_ranks:
            break
        if pair not in merge_ids:
            raise ValueError(f"merge_ids must hold every pair of merge_ranks, but lacks {pair}")
        ids = merge_pair(ids, pair, merge_ids[pair])
    return ids


def bpe_encode_fast(
    ids: Sequence[int],
    merge_ranks: Mapping[tuple[int, int], int],
    merge_ids: Mapping[tuple[int, int], int],
) -> list[int]:
    """What `bpe_encode` gives, sooner: after a merge, only the ranks beside it are looked up."""
    ids, rank_of = list(ids), merge_ranks.get
    ranks = list(map(rank_of, pairwise(ids), repeat(inf)))
    while ranks and (rank := min(ranks)) != inf:
        i = ranks.index(rank)
        pair = ids[i], ids[i + 1]
        if pair not in merge_ids:
            raise ValueError(f"merge_ids must hold every pair of merge_ranks, but lacks {pair}")
        if ranks.count(rank) > 1:  # merge all, and begin anew
            ids = merge_pair(ids, pair, merge_ids[pair])
            ranks = list(map(rank_of, pairwise(ids), repeat(inf)))
            continue
        ids[i] = merge_ids[pair]
        del ids[i + 1], ranks[i]
        if i > 0:
            ranks[i - 1] = rank_of((ids[i - 1], ids[i]), inf)
        if i < len(ranks):
            ranks[i] = rank_of((ids[i], ids[i + 1]), inf)
    return ids


def bpe_decode(ids: Iterable[int], vocab: Mapping[int, bytes]) -> str:
    """The text of some ids: their bytes joined, then read as UTF-8.

    Bytes that are no valid UTF-8, as when an emoji is cut in the middle, show as U+FFFD.

    Raises:
        ValueError: an id is not in `vocab`.
    """
    try:
        joined = b"".join([vocab[id] for id in ids])
    except KeyError as error:
        raise ValueError(f"ids must be in vocab, got {error.args[0]!r}") from None
    return joined.decode("utf-8", errors="replace")


_CACHED_WORDS = 100_000


class _Cache(dict[str, tuple[int, ...]]):
    """The ids of chunks of text: a text repeats its chunks, so each is encoded once."""

    def __init__(self, encode: Callable[[str], Iterable[int]]) -> None:
        super().__init__()
        self._encode = encode

    def __missing__(self, chunk: str) -> tuple[int, ...]:
        ids = tuple(self._encode(chunk))
        if len(self) < _CACHED_WORDS:
            self[chunk] = ids
        return ids


@dataclass(repr=False)
class BPETokenizer:
    """A byte-level BPE tokenizer with GPT-2's pre-tokenisation.

    Attributes:
        vocab: the bytes of each id, special tokens included.
        merge_ranks: when each pair was learnt, 0 first.
        merge_ids: the id each pair becomes.
        special_tokens: texts that are always one token, and their ids.
        split_digits: each digit is a word of its own, as in SmolLM2.
    """

    vocab: dict[int, bytes]
    merge_ranks: dict[tuple[int, int], int]
    merge_ids: dict[tuple[int, int], int]
    special_tokens: dict[str, int] = field(default_factory=dict)
    split_digits: bool = False

    def __post_init__(self) -> None:
        self._byte_ids = {token[0]: id for id, token in self.vocab.items() if len(token) == 1}
        self._cache = _Cache(self._encode_chunk)

    def __repr__(self) -> str:
        return f"BPETokenizer({len(self.vocab)} tokens, special: {list(self.special_tokens)})"

    def encode(self, text: str) -> list[int]:
        """The ids of a text. Special tokens written in it become their ids.

        Raises:
            TypeError: `text` is not a str.
            ValueError: a byte of the text has no token (never so after `train_bpe`).
        """
        ids = []
        for part in split_special(text, self.special_tokens):
            if part in self.special_tokens:
                ids.append(self.special_tokens[part])
            else:
                ids_of = self._cache.__getitem__
                ids.extend(chain.from_iterable(map(ids_of, chunks(part, self.split_digits))))
        return ids

    def _encode_chunk(self, chunk: str) -> Iterator[int]:
        words = [chunk] if chunk.isascii() else pre_tokenize(chunk, self.split_digits)
        return chain.from_iterable(map(self._encode_word, words))

    def _encode_word(self, word: str) -> list[int]:
        try:
            byte_ids = [self._byte_ids[byte] for byte in word.encode()]
        except KeyError as error:
            raise ValueError(f"text holds byte {error.args[0]}, which has no token") from None
        return bpe_encode_fast(byte_ids, self.merge_ranks, self.merge_ids)

    def encode_iterable(self, lines: Iterable[str]) -> Iterator[int]:
        """The ids of a text too long for memory, one line after another, read as they are needed.

        Each line is encoded by itself: no word spans two of them.
        """
        if isinstance(lines, str):
            raise TypeError("lines must be an iterable of str, such as an open file, got a str")
        return chain.from_iterable(map(self.encode, lines))

    def decode(self, ids: Iterable[int]) -> str:
        """The text of some ids, special tokens as they are written; see `bpe_decode`."""
        return bpe_decode(ids, self.vocab)

    @classmethod
    def from_spelled(
        cls,
        tokens: Mapping[str, int],
        merges: Iterable[tuple[str, str]],
        special_tokens: Mapping[str, int],
        split_digits: bool = False,
    ) -> BPETokenizer:
        """Build from tokens and merges spelled in GPT-2's characters, as files hold them.

        Args:
            tokens: "Ġthe" -> id; special tokens are among them, spelled as they are.
            merges: ("Ġ", "t"), ..., in the order of learning.
            special_tokens: which of the tokens are special.
            split_digits: each digit is a word of its own.

        Raises:
            ValueError: a token has a character that stands for no byte, two tokens have the same
                id, or a merge is not of tokens, or not into one.
        """
        vocab, merge_ids = resolve_spelling(tokens, merges, special_tokens)
        merge_ranks = {pair: rank for rank, pair in enumerate(merge_ids)}
        return cls(vocab, merge_ranks, merge_ids, dict(special_tokens), split_digits)

    @classmethod
    def load(cls, path: str | Path) -> BPETokenizer:
        """Read a tokenizer.json, ours or one of the `tokenizers` library.

        Raises:
            OSError: there is no such file.
            ValueError: it holds another kind of tokenizer.
        """
        return cls.from_spelled(*read_tokenizer_json(path))

    def save(self, path: str | Path) -> None:
        """Write a tokenizer.json, which `tokenizers.Tokenizer.from_file` reads too.

        Raises:
            ValueError: two tokens would be spelled the same in it.
        """
        merges = sorted(self.merge_ranks, key=self.merge_ranks.__getitem__)
        write_tokenizer_json(path, self.vocab, merges, self.special_tokens, self.split_digits)


# ---- WordPiece and Unigram


def wordpiece_encode(word: str, vocab: Collection[str], unk: str = "[UNK]") -> list[str]:
    """Cut a word into the longest known pieces, from left to right (BERT; Wu et al. 2016).

    Args:
        word: one word.
        vocab: the known pieces; a piece that continues a word is written with "##" before it.
        unk: what stands for a word that cannot be cut into known pieces.

    Returns:
        The pieces; [unk] for the whole word if any part of it is unknown; [] for an empty word.

    Raises:
        TypeError: `word` is not a str.
    """
    if not isinstance(word, str):
        raise TypeError(f"word must be a str, got {type(word).__name__}")

    pieces = []
    start = 0
    while start < len(word):
        prefix = "##" if start > 0 else ""
        for end in range(len(word), start, -1):  # the longest first
            if prefix + word[start:end] in vocab:
                break
        else:
            return [unk]
        pieces.append(prefix + word[start:end])
        start = end
    return pieces


def unigram_encode(word: str, log_probs: Mapping[str, float]) -> list[str]:
    """Cut a word into the most probable pieces: the Unigram model (Kudo 2018, section 3.2).

    The probability of a segmentation is the product of its pieces'. Viterbi: the best way to cut
    `word[start:]` is one piece and then the best way to cut what follows it.

    Args:
        word: one word.
        log_probs: the pieces and their log-probabilities, at most 0; -inf is never used.

    Returns:
        The pieces. Among equally probable segmentations the one with fewer pieces, then the one
        with the longer first piece (then the longer second one, ...); [] for an empty word.

    Raises:
        TypeError: `word` is not a str.
        ValueError: no pieces cover the word, or a log-probability is above 0 or NaN.
    """
    if not isinstance(word, str):
        raise TypeError(f"word must be a str, got {type(word).__name__}")

    # best[start]: log-probability, minus the number of pieces, length of the first piece: the
    # better segmentation is the larger tuple. Fractions are exact, so that equal sums are equal
    # in whatever order they are added; floats are not.
    best = [None] * len(word) + [(Fraction(0), 0, 0)]
    for start in reversed(range(len(word))):
        for end in range(start + 1, len(word) + 1):
            log_prob = log_probs.get(word[start:end], -inf)
            if not log_prob <= 0:
                raise ValueError(f"log_probs must be at most 0, got {log_prob}")
            if log_prob == -inf or best[end] is None:
                continue
            rest_log_prob, rest_pieces, _ = best[end]
            candidate = (Fraction(log_prob) + rest_log_prob, rest_pieces - 1, end - start)
            if best[start] is None or candidate > best[start]:
                best[start] = candidate
    if best[0] is None:
        raise ValueError(f"word {word!r} cannot be covered by the pieces of log_probs")

    pieces = []
    start = 0
    while start < len(word):
        length = best[start][2]
        pieces.append(word[start : start + length])
        start += length
    return pieces


class WordPieceTokenizer:
    """BERT's uncased tokenizer (Devlin et al. 2019): lower case, no accents, then WordPiece.

    Args:
        tokens: the vocabulary in the order of ids, as in the lines of a vocab.txt; [PAD], [UNK],
            [CLS], [SEP] and [MASK] must be among them.

    Attributes:
        vocab: id of each token.
        pad_id, unk_id, cls_id, sep_id, mask_id: ids of the special tokens.

    Raises:
        ValueError: a token comes twice, or a special token is missing.
    """

    _LONGEST_WORD = 100  # in characters; longer ones are unknown

    def __init__(self, tokens: Sequence[str]) -> None:
        self.vocab = {token: id for id, token in enumerate(tokens)}
        self._tokens = list(tokens)
        if len(self.vocab) != len(self._tokens):
            raise ValueError("tokens must be distinct, but some come twice")
        self._special_tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        missing = [token for token in self._special_tokens if token not in self.vocab]
        if missing:
            raise ValueError(f"tokens must hold the special tokens, but lacks {missing}")
        self.pad_id, self.unk_id, self.cls_id, self.sep_id, self.mask_id = (
            self.vocab[token] for token in self._special_tokens
        )

    @classmethod
    def from_file(cls, path: str | Path) -> WordPieceTokenizer:
        """Read a vocab.txt: one token per line."""
        # not splitlines(), which also splits at characters that may be tokens
        return cls(Path(path).read_text(encoding="utf-8").removesuffix("\n").split("\n"))

    def tokenize(self, text: str) -> list[str]:
        """The tokens of a text, as text. Special tokens written in it stay what they are."""
        tokens = []
        for part in split_special(text, self._special_tokens):
            if part in self._special_tokens:
                tokens.append(part)
                continue
            for word in bert_words(part):
                too_long = len(word) > self._LONGEST_WORD
                tokens.extend(["[UNK]"] if too_long else wordpiece_encode(word, self.vocab))
        return tokens

    def encode(self, text: str) -> list[int]:
        """The ids of a text; [CLS] and [SEP] are not added."""
        return [self.vocab[token] for token in self.tokenize(text)]

    def decode(self, ids: Iterable[int]) -> str:
        """Readable text, lower case and with blanks as usual in English: the original is lost.

        Raises:
            ValueError: an id is not in the vocabulary.
        """
        ids = list(ids)
        for id in ids:
            if not 0 <= id < len(self._tokens):
                raise ValueError(f"ids must lie in 0 ... {len(self._tokens) - 1}, got {id}")
        tokens = [self._tokens[id] for id in ids]
        return decoders.WordPiece(prefix="##", cleanup=True).decode(tokens)


# ---- what a model eats, and what it costs


class PairTokenizer(Protocol):
    """What `encode_pair_batch` needs: a tokenizer that adds no special tokens itself."""

    cls_id: int
    sep_id: int
    pad_id: int

    def encode(self, text: str) -> list[int]: ...


def encode_pair_batch(
    pairs: Iterable[tuple[str, str]], tokenizer: PairTokenizer, max_length: int
) -> dict[str, Int[Tensor, "batch time"]]:
    """The three arrays a BERT eats, for pairs of texts (Devlin et al. 2019, figure 2).

    A row is [CLS] a [SEP] b [SEP], padded on the right to the longest row. If it is longer than
    `max_length`, the longer text loses its last token (the second text if they are equal) until
    it fits.

    Returns:
        Three int64 tensors [batch, time]: `input_ids`; `token_type_ids`, 0 up to and with the
        first [SEP], then 1, and 0 for padding; `attention_mask`, 1 for tokens, 0 for padding.

    Raises:
        TypeError: a pair does not hold two texts, or `max_length` is not an int.
        ValueError: `max_length` has no room for the three special tokens.
    """
    if not isinstance(max_length, int):
        raise TypeError(f"max_length must be an int, got {type(max_length).__name__}")
    if max_length < 3:
        raise ValueError(f"max_length must be at least 3 ([CLS], two [SEP]), got {max_length}")

    rows = []
    for pair in pairs:
        if isinstance(pair, str) or len(pair) != 2 or not all(isinstance(t, str) for t in pair):
            raise TypeError(f"pairs must hold pairs of texts, got {pair!r}")
        first, second = (tokenizer.encode(text) for text in pair)
        while len(first) + len(second) + 3 > max_length:
            if len(first) > len(second):
                first = first[:-1]
            else:
                second = second[:-1]
        segment_0 = [tokenizer.cls_id, *first, tokenizer.sep_id]
        segment_1 = [*second, tokenizer.sep_id]
        rows.append((segment_0, segment_1))

    length = max((len(segment_0) + len(segment_1) for segment_0, segment_1 in rows), default=0)
    input_ids = torch.full((len(rows), length), tokenizer.pad_id)
    token_type_ids = torch.zeros(len(rows), length, dtype=torch.int64)
    attention_mask = torch.zeros(len(rows), length, dtype=torch.int64)
    for row, (segment_0, segment_1) in enumerate(rows):
        start, end = len(segment_0), len(segment_0) + len(segment_1)
        input_ids[row, :end] = torch.tensor(segment_0 + segment_1)
        token_type_ids[row, start:end] = 1
        attention_mask[row, :end] = 1
    return {
        "input_ids": input_ids,
        "token_type_ids": token_type_ids,
        "attention_mask": attention_mask,
    }


def prompt_cost(n_input: int, n_output: int, input_price: float, output_price: float) -> float:
    """What a request costs, in the currency of the prices.

    Args:
        n_input: tokens sent.
        n_output: tokens received.
        input_price: price of a million input tokens.
        output_price: price of a million output tokens.

    Raises:
        TypeError: a number of tokens is not an int.
        ValueError: a number or a price is negative or not finite.
    """
    for name, value in {"n_input": n_input, "n_output": n_output}.items():
        if not isinstance(value, int):
            raise TypeError(f"{name} must be an int, got {type(value).__name__}")
        if value < 0:
            raise ValueError(f"{name} must not be negative, got {value}")
    for name, value in {"input_price": input_price, "output_price": output_price}.items():
        if not isfinite(value) or value < 0:
            raise ValueError(f"{name} must be finite and not negative, got {value}")

    return (n_input * input_price + n_output * output_price) / 1_000_000
