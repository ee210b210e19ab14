"""What `encoder.align_labels` demands."""

from __future__ import annotations

from course_lib import objectives
from course_lib.checks.exercise import Case, Exercise

align_labels = Exercise("encoder.align_labels", points=2, reference=objectives.align_labels)


@align_labels.cases
def _(draw):
    def case(about, word_ids, n_words=None):
        word_ids = [None if i == "." else int(i) for i in word_ids]
        n_words = n_words or 1 + max((i for i in word_ids if i is not None), default=-1)
        word_labels = (draw.permutation(9) + 1)[:n_words].tolist()
        return Case(about, {"word_labels": word_labels, "word_ids": word_ids})

    yield case("every word is one token", ".012.")
    yield case("a word of three tokens", ".01112.")
    yield case("the first word has two tokens", ".0012.")
    yield case("a pair of texts: the numbers start again", ".0112.0012.", n_words=3)
    yield case("the same word again after a special token", ".0.0.")
    yield case("two special tokens in a row", "..01..")
    yield case("the text was cut: words without tokens", ".0112", n_words=6)
    yield case("a window in the middle: it does not start with word 0", ".334556.", n_words=8)
    yield case("special tokens alone", "..")
    yield case("a single word, and no special tokens", "00")
    far = [None, *map(int, "300 300 301 302 302".split()), None]  # each number an object of its own
    labels = {"word_labels": [1 + i % 7 for i in range(303)], "word_ids": far}
    yield Case("word numbers above 256", labels)
    yield Case("nothing at all", {"word_labels": [2, 1], "word_ids": []})
    ignored = {"word_labels": [4, -100, 0], "word_ids": [None, 0, 0, 1, 2, 2, None]}
    yield Case("a word whose own label is -100, and one of class 0", ignored)
    if draw.hidden:
        word_ids = [None]
        for word in range(7):
            word_ids += [word] * draw.random.randrange(4)
        labels = [draw.random.randrange(1, 5) for _ in range(7)]
        yield Case("a longer text", {"word_labels": labels, "word_ids": [*word_ids, None]})


@align_labels.misconception
def labels_every_token_of_a_word(word_labels, word_ids):
    """Every token of a word gets its label, so long words count several times, and an entity of one
    word looks like many. Only the first token keeps it; the others get -100."""
    return [-100 if i is None else word_labels[i] for i in word_ids]


@align_labels.misconception
def labels_the_last_token_of_a_word(word_labels, word_ids):
    """You label the last token of each word. It should be the first one."""
    following = [*word_ids[1:], None]
    return [
        word_labels[i] if i is not None and i != after else -100
        for i, after in zip(word_ids, following)
    ]


@align_labels.misconception
def labels_special_tokens_0(word_labels, word_ids):
    """Special tokens get class 0, and so does the model's loss count them. Class 0 is a class like
    any other; what does not count is -100."""
    return [
        0 if i is None else word_labels[i] if n == 0 or word_ids[n - 1] != i else -100
        for n, i in enumerate(word_ids)
    ]


@align_labels.misconception
def labels_the_other_tokens_0(word_labels, word_ids):
    """The later tokens of a word get class 0. That teaches the model that half of every long word
    is of this class; give them -100."""
    return [
        -100 if i is None else word_labels[i] if n == 0 or word_ids[n - 1] != i else 0
        for n, i in enumerate(word_ids)
    ]


@align_labels.misconception
def puts_none_where_nothing_is_asked(word_labels, word_ids):
    """None stands in your list where no label counts. A tensor can hold no None; the number that
    losses leave out is -100."""
    pairs = zip([None, *word_ids], word_ids)
    return [word_labels[i] if i is not None and i != before else None for before, i in pairs]


@align_labels.misconception
def takes_word_0_for_a_special_token(word_labels, word_ids):
    """The first word has number 0, and `if word_id` takes 0 for "nothing". Ask for
    `word_id is not None`."""
    labels, previous = [], None
    for word_id in word_ids:
        labels.append(word_labels[word_id] if word_id and word_id != previous else -100)
        previous = word_id
    return labels


@align_labels.misconception
def asks_whether_it_is_the_same_object(word_labels, word_ids):
    """You compare word numbers with `is`, which asks for the same object. Python keeps each small
    number only once, so it goes well up to 256; beyond that two equal numbers are two objects. Ask
    `!=` (and `is` for None alone)."""
    labels, previous = [], None
    for word_id in word_ids:
        begins = word_id is not None and word_id is not previous
        labels.append(word_labels[word_id] if begins else -100)
        previous = word_id
    return labels


@align_labels.misconception
def labels_what_continues_a_word(word_labels, word_ids):
    """Your labels stand at the tokens that continue a word, and not where it begins: the comparison
    with the token before is the wrong way round."""
    pairs = zip([None, *word_ids], word_ids)
    return [word_labels[i] if i is not None and i == before else -100 for before, i in pairs]


@align_labels.misconception
def labels_each_number_only_once(word_labels, word_ids):
    """In your list each word number gets a label only once. In a pair of texts the numbers start
    again, and the second text loses its labels. Compare with the token before instead."""
    labels, seen = [], set()
    for word_id in word_ids:
        labels.append(-100 if word_id is None or word_id in seen else word_labels[word_id])
        seen.add(word_id)
    return labels


@align_labels.misconception
def looks_past_special_tokens(word_labels, word_ids):
    """You compare with the last *word*, looking past special tokens. A special token ends a word:
    after it a new run begins, even if the number is the same."""
    labels, previous = [], None
    for word_id in word_ids:
        labels.append(-100 if word_id in (None, previous) else word_labels[word_id])
        previous = previous if word_id is None else word_id
    return labels


@align_labels.misconception
def compares_the_first_token_with_the_last(word_labels, word_ids):
    """For the first token there is no token before it, and in Python word_ids[-1] is the *last*
    one. If both belong to the same word, it loses its label."""
    return [
        word_labels[i] if i is not None and i != word_ids[n - 1] else -100
        for n, i in enumerate(word_ids)
    ]


@align_labels.misconception
def counts_the_words_itself(word_labels, word_ids):
    """You take the labels one after the other, whatever the word numbers say. When a text is cut or
    starts in the middle, they slip. The number is the place of the label."""
    labels, previous, n = [], None, 0
    for word_id in word_ids:
        if word_id is None or word_id == previous:
            labels.append(-100)
        else:
            labels.append(word_labels[n % len(word_labels)])
            n += 1
        previous = word_id
    return labels


@align_labels.misconception
def returns_the_word_numbers(word_labels, word_ids):
    """You keep the number of each word. What belongs there is its label,
    word_labels[word_id]."""
    labels, previous = [], None
    for word_id in word_ids:
        labels.append(-100 if word_id is None or word_id == previous else word_id)
        previous = word_id
    return labels


@align_labels.misconception
def leaves_out_special_tokens(word_labels, word_ids):
    """Special tokens have no entry in your list, so all later labels stand beside the wrong token.
    One label for each token; theirs is -100."""
    labels = labels_everything_in_runs(word_labels, word_ids)
    return [label for label, i in zip(labels, word_ids, strict=True) if i is not None]


@align_labels.alternative
def labels_everything_in_runs(word_labels, word_ids):
    """A list of pairs: the token before, and this one."""
    pairs = zip([None, *word_ids], word_ids)
    return [word_labels[i] if i is not None and i != before else -100 for before, i in pairs]


@align_labels.alternative
def with_groupby(word_labels, word_ids):
    """Runs by itertools."""
    from itertools import groupby

    labels = []
    for word_id, run in groupby(word_ids):
        first = -100 if word_id is None else word_labels[word_id]
        labels += [first] + [-100] * (len(list(run)) - 1)
    return labels
