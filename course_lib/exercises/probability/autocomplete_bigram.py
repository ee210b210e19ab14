"""What `probability.autocomplete_bigram` demands."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from itertools import pairwise

from course_lib import probability
from course_lib.checks.exercise import Case, Exercise

autocomplete_bigram = Exercise(
    "probability.autocomplete_bigram", points=2, reference=probability.autocomplete_bigram
)


_WORDS = "bread cat dog fish garden house lamp moon night paper rain sea tea wind".split()


@autocomplete_bigram.cases
def _(draw):
    def case(about, text, word, k):
        return Case(about, {"text": text, "word": word, "k": k})

    a, b, c, d = draw.random.sample(_WORDS, 4)
    yield case("one word follows twice, another once", f"my {a} my {b} my {a}", "my", 3)
    yield case("fewer suggestions asked for than there are", f"{a} {b} {a} {c} {a} {b}", a, 1)
    first, second, third = sorted([b, c, d])
    tie = f"{a} {second} {a} {third} {a} {first}"
    yield case("words that follow equally often", tie, a, 3)
    yield case("equally often, and room for two only", tie, a, 2)
    yield case("the text ends with the word", f"{a} {b} {a} {c} {a} {b} {a}", a, 3)
    yield case("the word follows itself", "it was very very very cold and very very wet", "very", 2)
    yield case("a word that is not in the text", f"{a} {b} {c}", d, 3)
    yield case("a word that stands only at the end", f"{a} {b} {c}", c, 3)
    yield case("an empty text", "", a, 3)
    yield case("several blanks, a tab and line breaks", f"{a}  {b}\n{a}\t{c}\n\n{a} {b}", a, 3)
    yield case("capitals", f"{a} {b} {a.title()} {c} {a} {b.title()} {a} {b}", a, 3)
    yield case("punctuation", f"{a} {b}, {a} {b} {a}, {c} {a} {b}", a, 3)
    yield case("the word inside longer words", f"the {a} then {b} other {c} the {d}", "the", 3)
    yield case("no suggestions asked for", f"{a} {b}", a, 0)
    n_words = 2000 if draw.hidden else 200
    words = draw.random.choices([a, b, c, d], weights=[5, 3, 2, 1], k=n_words)
    yield case("a longer text", " ".join(words), a, 3)


def _ranked(followers):
    return sorted(followers.items(), key=lambda item: (-item[1], item[0]))


def _followers(words, word):
    return Counter(after for before, after in pairwise(words) if before == word)


@autocomplete_bigram.misconception
def returns_counts_instead_of_probabilities(text, word, k):
    """The number beside each suggestion is how often it followed. Divide it by how often anything
    followed the word: then all suggestions together share 1."""
    return _ranked(_followers(text.split(), word))[:k]


@autocomplete_bigram.misconception
def divides_by_the_length_of_the_text(text, word, k):
    """You divide by the number of words in the text. The question is what comes next *given*
    that the word has just been typed, so divide by how often anything followed that word."""
    words = text.split()
    return [(after, n / len(words)) for after, n in _ranked(_followers(words, word))[:k]]


@autocomplete_bigram.misconception
def counts_the_word_at_the_end_of_the_text_as_well(text, word, k):
    """You divide by how often the word occurs. When it also ends the text, nothing follows it
    there, and your probabilities no longer sum to 1. Divide by how often something followed."""
    words = text.split()
    return [(after, n / words.count(word)) for after, n in _ranked(_followers(words, word))[:k]]


@autocomplete_bigram.misconception
def shares_1_among_the_suggestions_shown(text, word, k):
    """You cut the list to k first and divide then, so a suggestion becomes more probable when
    fewer are shown. Divide by the count of all words that followed, also those not shown."""
    ranked = _ranked(_followers(text.split(), word))[:k]
    total = sum(n for _, n in ranked)
    return [(after, n / total) for after, n in ranked]


@autocomplete_bigram.misconception
def leaves_ties_in_the_order_of_the_text(text, word, k):
    """Words that followed equally often come in the order in which the text brought them
    (`most_common` does that). The exercise asks for alphabetical order among equals."""
    followers = _followers(text.split(), word)
    return [(after, n / followers.total()) for after, n in followers.most_common(k)]


@autocomplete_bigram.misconception
def puts_ties_in_reverse_alphabetical_order(text, word, k):
    """`reverse=True` reverses both parts of the key: counts fall, as they should, but equals come
    from z to a. Sort by the negative count instead, and nothing has to be reversed."""
    followers = _followers(text.split(), word)
    ranked = sorted(followers.items(), key=lambda item: (item[1], item[0]), reverse=True)
    return [(after, n / followers.total()) for after, n in ranked[:k]]


@autocomplete_bigram.misconception
def ignores_capitals(text, word, k):
    """You turn the text to lower case, which makes one word of "The" and "the". Here words are
    exactly what `text.split()` gives."""
    return probability.autocomplete_bigram(text.lower(), word.lower(), k)


@autocomplete_bigram.misconception
def drops_punctuation(text, word, k):
    """You take commas and full stops off the words. Here words are exactly what `text.split()`
    gives, so "end." and "end" are two words."""
    words = [one.strip(".,;:!?") for one in text.split()]
    followers = _followers(words, word)
    return [(after, n / followers.total()) for after, n in _ranked(followers)[:k]]


@autocomplete_bigram.misconception
def splits_at_single_blanks(text, word, k):
    """`split(" ")` cuts at each single blank: two blanks in a row give an empty word, and a line
    break stays inside a word. `split()` without an argument cuts at any run of white space."""
    followers = _followers(text.split(" "), word)
    return [(after, n / followers.total()) for after, n in _ranked(followers)[:k]]


@autocomplete_bigram.misconception
def suggests_the_word_before(text, word, k):
    """You count the words that stand *before* the typed word. The keyboard needs those after it."""
    before = Counter(one for one, other in pairwise(text.split()) if other == word)
    return [(one, n / before.total()) for one, n in _ranked(before)[:k]]


@autocomplete_bigram.misconception
def stops_at_an_unknown_word(text, word, k):
    """A word that nothing ever followed is not in your table, and looking it up is an error. There
    is nothing to suggest for it: return an empty list."""
    table = {}
    for before, after in pairwise(text.split()):
        table.setdefault(before, Counter())[after] += 1
    followers = table[word]
    return [(after, n / followers.total()) for after, n in _ranked(followers)[:k]]


@autocomplete_bigram.misconception
def ignores_k(text, word, k):
    """You return all words that ever followed. The keyboard has room for `k`: cut the list after
    sorting it."""
    followers = _followers(text.split(), word)
    return [(after, n / followers.total()) for after, n in _ranked(followers)]


@autocomplete_bigram.misconception
def sorts_by_the_alphabet_alone(text, word, k):
    """Your suggestions come in alphabetical order, however likely they are. The most likely comes
    first; the alphabet decides only among equals."""
    followers = _followers(text.split(), word)
    return [(after, n / followers.total()) for after, n in sorted(followers.items())[:k]]


@autocomplete_bigram.misconception
def puts_the_least_likely_first(text, word, k):
    """Your list begins with the words that followed most rarely: sorting goes from small to large.
    Sort by the negative count."""
    followers = _followers(text.split(), word)
    ranked = sorted(followers.items(), key=lambda item: (item[1], item[0]))
    return [(after, n / followers.total()) for after, n in ranked[:k]]


@autocomplete_bigram.misconception
def leaves_out_the_probabilities(text, word, k):
    """These are the right words without their probabilities. Return pairs: (word, probability)."""
    return [after for after, _ in _ranked(_followers(text.split(), word))[:k]]


@autocomplete_bigram.misconception
def searches_the_letters_of_the_text(text, word, k):
    """You look for the letters of `word` in the text and take what comes behind them. So "other" is
    found for "the", and of "very very very" only every second one. Split the text into words
    first."""
    followers = Counter(re.findall(rf"{re.escape(word)}\s+(\S+)", text))
    return [(after, n / followers.total()) for after, n in _ranked(followers)[:k]]


@autocomplete_bigram.alternative
def with_a_table_for_every_word(text, word, k):
    """Counts for all words first, looked up afterwards."""
    table = defaultdict(lambda: defaultdict(int))
    words = text.split()
    for before, after in zip(words, words[1:], strict=False):
        table[before][after] += 1
    total = sum(table[word].values())
    alphabetical = sorted(table[word].items())
    return [(w, n / total) for w, n in sorted(alphabetical, key=lambda item: -item[1])][:k]


@autocomplete_bigram.alternative
def by_taking_the_best_again_and_again(text, word, k):
    """No sorting: the best suggestion goes out, k times."""
    words = text.split()
    after = [words[i + 1] for i in range(len(words) - 1) if words[i] == word]
    left, suggestions = sorted(set(after)), []
    while left and len(suggestions) < k:
        best = max(left, key=after.count)
        left.remove(best)
        suggestions.append((best, after.count(best) / len(after)))
    return suggestions
