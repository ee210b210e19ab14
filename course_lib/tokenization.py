"""From text to ids and back: BPE, WordPiece, Unigram, and the arrays a BERT eats (notebook 01)."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from math import inf, isfinite
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Int
from tokenizers import decoders
from torch import Tensor

from course_lib.bpe_tokenizer import BPETokenizer as BPETokenizer
from course_lib.pre_tokenization import bert_words, check_text, pre_tokenize, split_special
from course_lib.shapes import plain_ids
from course_lib.tokenizer_json import BYTE_TO_CHAR
from course_lib.twins import twin_of

__all__ = [
    "PairTokenizer",
    "WordPieceTokenizer",
    "bpe_decode",
    "bpe_encode",
    "count_pairs",
    "encode_pair_batch",
    "learn_merges",
    "merge_pair",
    "prompt_cost",
    "train_bpe",
    "unigram_encode",
    "wordpiece_encode",
]

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

    counts = {}  # type: ignore[var-annotated]
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


@twin_of("course_lib.tokenization.train_bpe")
def learn_merges(
    words: Mapping[tuple[int, ...], int], vocab: Mapping[int, bytes], vocab_size: int
) -> dict[tuple[int, int], int]:
    """Byte pair encoding as it is told: count all pairs, choose the most frequent, merge it; again.

    `train_bpe` learns the same merges without counting everything anew each time.

    Args:
        words: the ids of each distinct word, and how often the word occurs.
        vocab: the bytes of each id to begin with.
        vocab_size: how many tokens to reach.

    Returns:
        The id each pair becomes, in the order of learning.
    """
    token_ids = {token: id for id, token in vocab.items()}
    vocab, merge_ids = dict(vocab), {}
    while len(vocab) < vocab_size and (counts := count_pairs(words)):
        left, right = pair = min(counts, key=lambda pair: (-counts[pair], pair))
        token = vocab[left] + vocab[right]
        new_id = merge_ids[pair] = token_ids.setdefault(token, len(token_ids))
        vocab[new_id] = token
        words = {tuple(merge_pair(word, pair, new_id)): count for word, count in words.items()}
    return merge_ids


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
        ValueError: `vocab_size` has no room for the special tokens and the 256 bytes, a special
            token is empty or given twice, or a text holds half of a surrogate pair.
    """
    if not isinstance(text, str) or not isinstance(vocab_size, int):
        got = f"{type(text).__name__} and {type(vocab_size).__name__}"
        raise TypeError(f"text and vocab_size must be str and int, got {got}")
    if isinstance(special_tokens, str) or not all(isinstance(s, str) for s in special_tokens):
        raise TypeError(f"special_tokens must be a sequence of str, got {special_tokens!r}")
    if "" in special_tokens or len(set(special_tokens)) != len(special_tokens):
        raise ValueError(f"special_tokens must be distinct and not empty, got {special_tokens!r}")
    for special in special_tokens:
        check_text(special, "special_tokens")

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

        changes = Counter()  # type: ignore[var-annotated]
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
    ids = [int(id) for id in ids]
    while len(ids) > 1:
        pair = min(pairwise(ids), key=lambda pair: merge_ranks.get(pair, inf))
        if pair not in merge_ranks:
            break
        if pair not in merge_ids:
            raise ValueError(f"merge_ids must hold every pair of merge_ranks, but lacks {pair}")
        ids = merge_pair(ids, pair, merge_ids[pair])
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
    longest = len(word) if len(word) < 100 else max(map(len, log_probs), default=0)
    for start in reversed(range(len(word))):
        for end in range(start + 1, min(start + longest, len(word)) + 1):
            log_prob = log_probs.get(word[start:end], -inf)
            if not log_prob <= 0:
                raise ValueError(f"log_probs must be at most 0, got {log_prob}")
            if log_prob == -inf or best[end] is None:
                continue
            rest_log_prob, rest_pieces, _ = best[end]  # type: ignore[misc]
            candidate = (Fraction(log_prob) + rest_log_prob, rest_pieces - 1, end - start)
            if best[start] is None or candidate > best[start]:  # type: ignore[operator]
                best[start] = candidate
    if best[0] is None:
        raise ValueError(f"word {word!r} cannot be covered by the pieces of log_probs")

    pieces = []
    start = 0
    while start < len(word):
        length = best[start][2]  # type: ignore[index]
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

    def decode(self, ids: Iterable[int], *, skip_special_tokens: bool = False) -> str:
        """Readable text, lower case and with blanks as usual in English: the original is lost.

        Args:
            ids: a list, a tensor, an array or any iterable of whole numbers.
            skip_special_tokens: leave [CLS], [SEP] and the like out.

        Raises:
            TypeError: `ids` are no whole numbers.
            ValueError: an id is not in the vocabulary.
        """
        tokens = []
        for id in plain_ids(ids):
            if not 0 <= id < len(self._tokens):
                raise ValueError(f"ids must lie in 0 ... {len(self._tokens) - 1}, got {id}")
            if not (skip_special_tokens and self._tokens[id] in self._special_tokens):
                tokens.append(self._tokens[id])
        return decoders.WordPiece(prefix="##", cleanup=True).decode(tokens)


# ---- what a model eats, and what it costs


@runtime_checkable
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
    for name, value in {"input_price": input_price, "output_price": output_price}.items():  # type: ignore[assignment]
        if not isfinite(value) or value < 0:
            raise ValueError(f"{name} must be finite and not negative, got {value}")

    return (n_input * input_price + n_output * output_price) / 1_000_000
