"""What `tokenization.encode_pair_batch` demands."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import torch

from course_lib import tokenization
from course_lib.checks.exercise import Case, Exercise
from course_lib.exercises.tokenization.shared import LETTERS

encode_pair_batch = Exercise(
    "tokenization.encode_pair_batch", points=3, reference=tokenization.encode_pair_batch
)


_ANIMALS = (
    "ant bee cat donkey eel fox gnu hen ibis jay kangaroo lark mole newt owl pig quail rat seal "
    "toad urchin vole wasp yak zebra"
).split()


@dataclass(frozen=True)
class ToyTokenizer:
    """One id per word, so that rows can be read."""

    cls_id: int = 1
    sep_id: int = 2
    pad_id: int = 0
    ant_id: int = 10

    def encode(self, text: str) -> list[int]:
        return [self.ant_id + LETTERS.index(word[0]) for word in text.split()]

    def __repr__(self) -> str:
        ids = f"cls_id={self.cls_id}, sep_id={self.sep_id}, pad_id={self.pad_id}"
        animals = ", ".join(f"{name}={self.encode(name)[0]}" for name in _ANIMALS[:3])
        return f"ToyTokenizer({ids}), one id per word: {animals}, ..."


@encode_pair_batch.cases
def _(draw):
    plain = ToyTokenizer()

    def text(length):
        return " ".join(draw.random.sample(_ANIMALS, length))

    def case(about, lengths, max_length, tokenizer=plain):
        pairs = [(text(first), text(second)) for first, second in lengths]
        arguments = {"pairs": pairs, "tokenizer": tokenizer, "max_length": max_length}
        return Case(about, arguments)

    yield case("one pair, with room to spare", [(1, 2)], 9)
    yield case("two rows, the second shorter", [(2, 3), (1, 2)], 20)
    yield case("two rows, the first shorter", [(1, 1), (3, 2)], 20)
    yield case("rows as long, but cut elsewhere", [(1, 3), (3, 1)], 12)
    yield case("a row that fits exactly", [(2, 3)], 8)
    yield case("one token too many, the first text longer", [(4, 2)], 8)
    yield case("one token too many, the second text longer", [(2, 4)], 8)
    yield case("one token too many, equal texts", [(3, 3)], 8)
    yield case("several too many, the first text much longer", [(6, 1)], 6)
    yield case("several too many, the second text much longer", [(1, 6)], 6)
    yield case("several too many, in turns", [(4, 5)], 8)
    yield case("an empty first text", [(0, 3)], 10)
    yield case("an empty second text", [(3, 0), (2, 2)], 10)
    yield case("room for the special tokens only", [(2, 1)], 3)
    yield case("one row too long, one not", [(5, 4), (1, 2), (2, 2)], 9)
    cls_id, sep_id, pad_id = (3 + draw.permutation(6)[:3]).tolist()
    other = ToyTokenizer(cls_id, sep_id, pad_id)
    yield case("other ids for the special tokens", [(1, 2), (2, 4)], 12, other)
    same = ToyTokenizer(1, 2, 2)
    yield case("a tokenizer that pads with its [SEP]", [(2, 3), (1, 1)], 12, same)
    within = ToyTokenizer(1, 12, 0)
    pairs = [("ant cat bee", "dog"), ("eel", "cat fox")]
    about = "texts that hold the [SEP] themselves"
    yield Case(about, {"pairs": pairs, "tokenizer": within, "max_length": 12})
    yield case("ids above 255", [(2, 1), (1, 3)], 12, ToyTokenizer(101, 102, 0, 30_000))
    n_rows = 12 if draw.hidden else 4
    lengths = [(draw.random.randint(0, 9), draw.random.randint(0, 9)) for _ in range(n_rows)]
    yield case("more rows", [(9, 8), *lengths], 14)


def _shorten(first, second, room):
    while len(first) + len(second) > room:
        if len(first) > len(second):
            first = first[:-1]
        else:
            second = second[:-1]
    return first, second


def _ids(pairs, tokenizer, max_length, shorten=_shorten):
    """The ids of both texts of each pair, shortened."""
    return [
        shorten(tokenizer.encode(first), tokenizer.encode(second), max_length - 3)
        for first, second in pairs
    ]


def _row(first, second, tokenizer):
    """(ids, type ids) of one row."""
    cls_id, sep_id = tokenizer.cls_id, tokenizer.sep_id
    ids = [cls_id, *first, sep_id, *second, sep_id]
    return ids, [0] * (len(first) + 2) + [1] * (len(second) + 1)


def _padded(rows, length, pad):
    return torch.tensor([[*row, *[pad] * (length - len(row))] for row in rows])


def _batch(rows, pad_id, length=None, mask_of_padding=0, type_of_padding=0):
    length = length or max(len(ids) for ids, _ in rows)
    return {
        "input_ids": _padded([ids for ids, _ in rows], length, pad_id),
        "token_type_ids": _padded([types for _, types in rows], length, type_of_padding),
        "attention_mask": _padded([[1] * len(ids) for ids, _ in rows], length, mask_of_padding),
    }


def _rows(pairs, tokenizer, max_length, shorten=_shorten):
    ids = _ids(pairs, tokenizer, max_length, shorten)
    return [_row(first, second, tokenizer) for first, second in ids]


@encode_pair_batch.misconception
def gives_the_first_sep_type_1(pairs, tokenizer, max_length):
    """In `token_type_ids` the first [SEP] has type 1 in your rows. It closes the first text and
    still belongs to it: type 0 up to and with the first [SEP]."""
    rows = []
    for first, second in _ids(pairs, tokenizer, max_length):
        ids, _ = _row(first, second, tokenizer)
        rows.append((ids, [0] * (len(first) + 1) + [1] * (len(second) + 2)))
    return _batch(rows, tokenizer.pad_id)


@encode_pair_batch.misconception
def gives_the_second_sep_type_0(pairs, tokenizer, max_length):
    """In `token_type_ids` the second [SEP] has type 0 in your rows. It closes the second text and
    belongs to it: type 1 for everything behind the first [SEP]."""
    rows = []
    for first, second in _ids(pairs, tokenizer, max_length):
        ids, _ = _row(first, second, tokenizer)
        rows.append((ids, [0] * (len(first) + 2) + [1] * len(second) + [0]))
    return _batch(rows, tokenizer.pad_id)


@encode_pair_batch.misconception
def looks_for_the_first_sep(pairs, tokenizer, max_length):
    """In `token_type_ids` your second text begins behind the first [SEP] of the row. A text may
    hold that token itself, where somebody typed it. You know how long the first text is; use
    that."""
    rows = []
    for ids, _ in _rows(pairs, tokenizer, max_length):
        border = ids.index(tokenizer.sep_id) + 1
        rows.append((ids, [0] * border + [1] * (len(ids) - border)))
    return _batch(rows, tokenizer.pad_id)


@encode_pair_batch.misconception
def gives_padding_type_1(pairs, tokenizer, max_length):
    """In `token_type_ids` your padding has type 1, as if it went on with the second text. Padding
    belongs to neither and has type 0 by convention."""
    return _batch(_rows(pairs, tokenizer, max_length), tokenizer.pad_id, type_of_padding=1)


@encode_pair_batch.misconception
def gives_everything_type_0(pairs, tokenizer, max_length):
    """Your `token_type_ids` are 0 throughout, so the model cannot tell the two texts apart. All
    that stands behind the first [SEP], its own [SEP] included, has type 1."""
    rows = [(ids, [0] * len(ids)) for ids, _ in _rows(pairs, tokenizer, max_length)]
    return _batch(rows, tokenizer.pad_id)


@encode_pair_batch.misconception
def attends_to_padding(pairs, tokenizer, max_length):
    """Your `attention_mask` is 1 everywhere. Padding is no text: where it stands the mask is 0, so
    that the model leaves it out."""
    return _batch(_rows(pairs, tokenizer, max_length), tokenizer.pad_id, mask_of_padding=1)


@encode_pair_batch.misconception
def finds_padding_by_its_id(pairs, tokenizer, max_length):
    """You call every token padding whose id is `pad_id`. Some tokenizers pad with a token that
    also occurs in the row, such as [SEP]. You know how long each row was; use that."""
    batch = _batch(_rows(pairs, tokenizer, max_length), tokenizer.pad_id)
    return {**batch, "attention_mask": (batch["input_ids"] != tokenizer.pad_id).long()}


@encode_pair_batch.misconception
def pads_with_0(pairs, tokenizer, max_length):
    """You pad `input_ids` with 0. Which id means padding is the tokenizer's affair: take its
    `pad_id`."""
    return _batch(_rows(pairs, tokenizer, max_length), 0)


@encode_pair_batch.misconception
def pads_on_the_left(pairs, tokenizer, max_length):
    """Your padding stands before the text. Here it goes behind it: [CLS] stays at position 0 in
    every row, where the model looks for it."""
    batch = _batch(_rows(pairs, tokenizer, max_length), tokenizer.pad_id)
    lengths = batch["attention_mask"].sum(1).tolist()
    return {
        name: torch.stack([row.roll(-n) for row, n in zip(rows, lengths, strict=True)])
        for name, rows in batch.items()
    }


@encode_pair_batch.misconception
def pads_to_the_maximum_length(pairs, tokenizer, max_length):
    """You pad every row to `max_length`. That is only the most that is allowed; the longest row of
    the batch is enough, and anything more is computed in vain."""
    return _batch(_rows(pairs, tokenizer, max_length), tokenizer.pad_id, length=max_length)


@encode_pair_batch.misconception
def cuts_off_the_end_of_the_row(pairs, tokenizer, max_length):
    """You build the row and cut off what is too much, the last [SEP] with it, and only the second
    text ever loses anything. Shorten the two texts first, then build the row."""
    rows = _rows(pairs, tokenizer, inf)
    return _batch([(ids[:max_length], types[:max_length]) for ids, types in rows], tokenizer.pad_id)


@encode_pair_batch.misconception
def writes_a_sep_over_the_cut(pairs, tokenizer, max_length):
    """You cut off the end of the row and put a [SEP] in its last place. The cut hits the second
    text first, and behind a long first text nothing of it is left. Shorten the two texts first,
    each time the longer one, then build the row."""
    rows = []
    for ids, types in _rows(pairs, tokenizer, inf):
        if len(ids) > max_length:
            ids, types = [*ids[: max_length - 1], tokenizer.sep_id], types[:max_length]
        rows.append((ids, types))
    return _batch(rows, tokenizer.pad_id)


@encode_pair_batch.misconception
def measures_texts_in_characters(pairs, tokenizer, max_length):
    """You shorten the texts before they are tokens, and count characters. `max_length` counts
    tokens: encode first, then shorten the lists of ids."""
    shortened = [_shorten(first, second, max_length - 3) for first, second in pairs]
    return _batch(_rows(shortened, tokenizer, max_length), tokenizer.pad_id)


@encode_pair_batch.misconception
def shortens_the_second_text_only(pairs, tokenizer, max_length):
    """Only your second text gets shorter. Take tokens off whichever text is longer at the moment;
    the second, if they are equal."""

    def shorten(first, second, room):
        return first, second[: max(0, room - len(first))]

    rows = _rows(pairs, tokenizer, max_length, shorten)
    return _batch(rows, tokenizer.pad_id)


@encode_pair_batch.misconception
def shortens_the_first_text_only(pairs, tokenizer, max_length):
    """Only your first text gets shorter. Take tokens off whichever text is longer at the moment;
    the second, if they are equal."""

    def shorten(first, second, room):
        return first[: max(0, room - len(second))], second

    rows = _rows(pairs, tokenizer, max_length, shorten)
    return _batch(rows, tokenizer.pad_id)


@encode_pair_batch.misconception
def gives_each_text_half_the_room(pairs, tokenizer, max_length):
    """You cut both texts to half of the room, so a long text loses tokens although its partner
    leaves room for them. Take off one token at a time, from the longer text."""

    def shorten(first, second, room):
        if len(first) + len(second) <= room:
            return first, second
        return first[: room - room // 2], second[: room // 2]

    rows = _rows(pairs, tokenizer, max_length, shorten)
    return _batch(rows, tokenizer.pad_id)


@encode_pair_batch.misconception
def shortens_the_first_of_equals(pairs, tokenizer, max_length):
    """When both texts are equally long you shorten the first. The exercise asks for the second:
    the first loses a token only when it is really longer."""

    def shorten(first, second, room):
        while len(first) + len(second) > room:
            if len(first) >= len(second):
                first = first[:-1]
            else:
                second = second[:-1]
        return first, second

    rows = _rows(pairs, tokenizer, max_length, shorten)
    return _batch(rows, tokenizer.pad_id)


@encode_pair_batch.misconception
def takes_off_one_token_only(pairs, tokenizer, max_length):
    """A row that is too long loses one token, and stays too long when it had several too many.
    Ask again after each token, until the row fits."""

    def shorten(first, second, room):
        if len(first) + len(second) > room:
            return _shorten(first, second, len(first) + len(second) - 1)
        return first, second

    rows = _rows(pairs, tokenizer, max_length, shorten)
    return _batch(rows, tokenizer.pad_id)


@encode_pair_batch.misconception
def drops_tokens_at_the_front(pairs, tokenizer, max_length):
    """A text that is too long loses its first tokens in your rows. It should lose its last ones,
    and keep its beginning."""

    def shorten(first, second, room):
        n_first, n_second = map(len, _shorten(first, second, room))
        return first[len(first) - n_first :], second[len(second) - n_second :]

    rows = _rows(pairs, tokenizer, max_length, shorten)
    return _batch(rows, tokenizer.pad_id)


@encode_pair_batch.misconception
def leaves_no_room_for_the_special_tokens(pairs, tokenizer, max_length):
    """Your rows can be three tokens longer than `max_length`: you compare the two texts with it,
    and [CLS] and the two [SEP] come on top. They count too."""
    return _batch(_rows(pairs, tokenizer, max_length + 3), tokenizer.pad_id)


@encode_pair_batch.misconception
def never_shortens(pairs, tokenizer, max_length):
    """Your rows keep all their tokens, however long. No row may be longer than `max_length`, the
    special tokens included."""
    return _batch(_rows(pairs, tokenizer, inf), tokenizer.pad_id)


@encode_pair_batch.misconception
def leaves_out_the_last_sep(pairs, tokenizer, max_length):
    """Your rows end with the second text. A [SEP] closes each of the two: CLS a SEP b SEP."""
    rows = [(ids[:-1], types[:-1]) for ids, types in _rows(pairs, tokenizer, max_length)]
    return _batch(rows, tokenizer.pad_id)


@encode_pair_batch.misconception
def begins_both_texts_with_cls(pairs, tokenizer, max_length):
    """You put a [CLS] before the second text as well. There is one per row, at the very
    beginning: CLS a SEP b SEP."""
    rows = []
    for first, second in _ids(pairs, tokenizer, max_length):
        rows.append(_row(first, [tokenizer.cls_id, *second], tokenizer))
    return _batch(rows, tokenizer.pad_id)


@encode_pair_batch.alternative
def as_nested_lists(pairs, tokenizer, max_length):
    """Lists to the end, then three tensors."""
    return _batch(_rows(pairs, tokenizer, max_length), tokenizer.pad_id)


@encode_pair_batch.alternative
def with_lengths_in_one_step(pairs, tokenizer, max_length):
    """The lengths after shortening from a formula; types and mask by comparing positions."""
    room = max_length - 3
    rows, first_ends = [], []
    for pair in pairs:
        first, second = map(tokenizer.encode, pair)
        if len(first) + len(second) > room:
            if len(second) <= room // 2:  # the second may keep all
                first = first[: room - len(second)]
            elif len(first) <= room - room // 2:  # the first may keep all
                second = second[: room - len(first)]
            else:
                first, second = first[: room - room // 2], second[: room // 2]
        rows.append(torch.tensor(_row(first, second, tokenizer)[0]))
        first_ends.append(len(first) + 2)
    input_ids = torch.nn.utils.rnn.pad_sequence(
        rows, batch_first=True, padding_value=tokenizer.pad_id
    )
    position = torch.arange(input_ids.shape[1])
    inside = position < torch.tensor([[len(row)] for row in rows])
    behind_first = position >= torch.tensor(first_ends)[:, None]
    return {
        "attention_mask": inside.long(),
        "token_type_ids": (behind_first & inside).long(),
        "input_ids": input_ids,
    }
