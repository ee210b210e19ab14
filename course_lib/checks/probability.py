"""Notebook 00: what each exercise demands."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from itertools import pairwise

import torch
from torch.nn import functional as F

from course_lib import probability
from course_lib.checks.exercise import Case, Exercise

# --- autocomplete_bigram -------------------------------------------------------------------

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


# --- greedy_next_token ---------------------------------------------------------------------

greedy_next_token = Exercise(
    "probability.greedy_next_token", points=1, reference=probability.greedy_next_token
)


@greedy_next_token.cases
def _(draw):
    def case(about, logits):
        return Case(about, {"logits": logits})

    def shuffled(*values):
        return torch.tensor(values)[draw.permutation(len(values))]

    yield case("four tokens", shuffled(-1.5, 0.5, 1.0, 2.5))
    negative = shuffled(-4.0, -3.0, -2.5, -7.0)
    yield case("only negative logits", torch.cat([torch.tensor([-9.0]), negative]))
    yield case("a large negative one", shuffled(3.0, -8.0, 0.5, 1.0))
    yield case("two that are equally high", torch.tensor([0.0, 2.0, 1.0, 2.0]))
    yield case("all equal", torch.zeros(5))
    yield case("a vocabulary of one", torch.tensor([-2.0]))
    hundreds = torch.cat([torch.tensor([120.0]), shuffled(100.0, 150.0, 250.0, 300.0)])
    yield case("logits in the hundreds", hundreds)
    blocked = draw.normal(6)
    blocked[:3] = -math.inf
    yield case("some tokens ruled out (-inf)", blocked)
    yield case("double precision", draw.normal(5).double())
    yield case("many tokens", draw.normal(5000 if draw.hidden else 500))


@greedy_next_token.misconception
def returns_the_logit_instead_of_the_id(logits):
    """This is the highest logit itself. Asked for is where it stands: the id of the token."""
    return logits.max().item()


@greedy_next_token.misconception
def returns_a_tensor(logits):
    """The id is right, but still wrapped in a tensor. The signature promises an int: wrap it in
    `int(...)`, or call `.item()`."""
    return logits.argmax()


@greedy_next_token.misconception
def takes_the_last_of_equals(logits):
    """When several tokens share the highest logit you return the last of them; the exercise asks
    for the first. In a loop, `>` keeps the first and `>=` moves on to the last."""
    best = 0
    for id, logit in enumerate(logits.tolist()):
        if logit >= logits[best]:
            best = id
    return best


@greedy_next_token.misconception
def thinks_no_logit_is_below_zero(logits):
    """Your search starts from 0, so when every logit is negative nothing ever beats the start.
    Begin with the first logit, or with -inf."""
    best, highest = 0, 0.0
    for id, logit in enumerate(logits.tolist()):
        if logit > highest:
            best, highest = id, logit
    return best


@greedy_next_token.misconception
def takes_the_lowest(logits):
    """You return the token with the lowest logit. A higher logit means a more likely token."""
    return int(logits.argmin())


@greedy_next_token.misconception
def looks_at_the_size_without_the_sign(logits):
    """A logit of -8 is far from zero, but it means an unlikely token. Compare the logits
    themselves, not their absolute values."""
    return int(logits.abs().argmax())


@greedy_next_token.misconception
def overflows_on_the_way_to_probabilities(logits):
    """`exp` of a logit in the hundreds is infinite, and inf / inf is not a number. The detour is
    not needed: probabilities have the same order as the logits they come from."""
    probabilities = logits.exp() / logits.exp().sum()
    return int(probabilities.argmax())


@greedy_next_token.misconception
def counts_ids_from_one(logits):
    """You are one off: ids count from 0, like positions in a Python list."""
    return int(logits.argmax()) + 1


@greedy_next_token.alternative
def as_a_plain_loop(logits):
    """A search from left to right; `>` keeps the first of equals."""
    best = 0
    for id in range(len(logits)):
        if logits[id] > logits[best]:
            best = id
    return best


@greedy_next_token.alternative
def through_a_python_list(logits):
    """`index` finds the first of equals."""
    values = logits.tolist()
    return values.index(max(values))


@greedy_next_token.alternative
def through_probabilities(logits):
    """A stable softmax keeps the order."""
    return logits.softmax(0).argmax().item()


# --- chain_rule_log_prob -------------------------------------------------------------------

chain_rule_log_prob = Exercise(
    "probability.chain_rule_log_prob",
    points=2,
    reference=probability.chain_rule_log_prob,
    tolerance=1e-4,  # room for a sum of hundreds of terms in float32, in any order
)


@chain_rule_log_prob.cases
def _(draw):
    def case(about, log_probs, ids):
        return Case(about, {"next_token_log_probs": log_probs, "ids": ids})

    def log_probs(time, vocab, scale=1.0):
        return draw.normal(time, vocab, scale=scale).log_softmax(-1)

    by_hand = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.8, 0.1]]).log()
    yield case("two tokens, three to choose from", by_hand, torch.tensor([0, 1]))
    yield case("one token", log_probs(1, 4), draw.ids(4, 1))
    yield case("no token at all", log_probs(0, 3), draw.ids(3, 0))
    yield case("a longer text", log_probs(5, 4), draw.ids(4, 5))
    yield case("more tokens to choose from than there are steps", log_probs(3, 9), draw.ids(9, 3))
    yield case("one token, again and again", log_probs(4, 5), draw.ids(5, 1).repeat(4))
    impossible = torch.tensor([[0.25, 0.75, 0.0], [0.5, 0.0, 0.5]]).log()
    yield case("an impossible token came", impossible, torch.tensor([1, 1]))
    yield case("impossible tokens that did not come", impossible, torch.tensor([1, 2]))
    certain = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).log()
    yield case("every token was certain", certain, torch.tensor([1, 0]))
    yield case("double precision", log_probs(3, 4).double(), draw.ids(4, 3))
    time = 800 if draw.hidden else 300
    yield case("a text of hundreds of tokens", log_probs(time, 7, scale=2.0), draw.ids(7, time))


def _came(log_probs, ids):
    return log_probs[torch.arange(len(ids)), ids]


@chain_rule_log_prob.misconception
def multiplies_until_nothing_is_left(next_token_log_probs, ids):
    """You multiply probabilities and take the logarithm at the end. The product of hundreds of
    numbers below 1 is too small for a float and becomes 0. Add the logarithms instead."""
    return _came(next_token_log_probs, ids).exp().prod().log().item()


@chain_rule_log_prob.misconception
def returns_the_probability(next_token_log_probs, ids):
    """This is the probability of the text. Return its logarithm: leave out the last `exp`."""
    return _came(next_token_log_probs, ids).sum().exp().item()


@chain_rule_log_prob.misconception
def takes_the_mean(next_token_log_probs, ids):
    """You return the mean over the tokens. The probability of the whole text is a product, so its
    logarithm is the sum."""
    return _came(next_token_log_probs, ids).mean().item()


@chain_rule_log_prob.misconception
def leaves_out_the_first_token(next_token_log_probs, ids):
    """The sum begins with the second token. The first one counts too: row 0 says how likely each
    token is at the very beginning."""
    return _came(next_token_log_probs[1:], ids[1:]).sum().item()


@chain_rule_log_prob.misconception
def shifts_by_one(next_token_log_probs, ids):
    """You read the probability of a token from the row before its own. Row t is already what the
    model said *before* it saw `ids[t]`, so row t belongs with `ids[t]`."""
    return _came(next_token_log_probs[:-1], ids[1:]).sum().item()


@chain_rule_log_prob.misconception
def takes_every_id_from_every_row(next_token_log_probs, ids):
    """`[:, ids]` picks all the ids from each of the rows: a whole square of numbers. Needed is one
    number per row: from row 0 the entry `ids[0]`, from row 1 the entry `ids[1]`, and so on."""
    return next_token_log_probs[:, ids].sum().item()


@chain_rule_log_prob.misconception
def adds_up_the_whole_table(next_token_log_probs, ids):
    """You add all entries of the table, and `ids` plays no part. From each row only one entry
    counts: that of the token that came."""
    return next_token_log_probs.sum().item()


@chain_rule_log_prob.misconception
def follows_the_most_likely_tokens(next_token_log_probs, ids):
    """You take the highest entry of each row: that scores the model's favourite text. Take the
    entry of the token that came, likely or not."""
    return next_token_log_probs.max(dim=1).values.sum().item()


@chain_rule_log_prob.misconception
def turns_the_sign(next_token_log_probs, ids):
    """The number is right, the sign is not. A loss is minus the log-probability; asked for is
    the log-probability itself, which is never above 0."""
    return F.nll_loss(next_token_log_probs, ids, reduction="sum").item()


@chain_rule_log_prob.misconception
def multiplies_zero_by_infinity(next_token_log_probs, ids):
    """Multiplying by zeros and ones goes wrong when a token that did not come has log-probability
    -inf: 0 times -inf is not a number. Pick the entries that count instead."""
    one_hot = F.one_hot(ids, next_token_log_probs.shape[1])
    return (one_hot * next_token_log_probs).sum().item()


@chain_rule_log_prob.misconception
def returns_a_tensor_instead_of_a_float(next_token_log_probs, ids):
    """The value is right, but it is a tensor. The signature promises a float: add `.item()`."""
    return _came(next_token_log_probs, ids).sum()


@chain_rule_log_prob.misconception
def adds_tensors_in_a_loop(next_token_log_probs, ids):
    """Each entry you add is a tensor with one number, so the sum is a tensor too (and the int 0
    for an empty text). The signature promises a float: start from 0.0 and add `.item()`s."""
    total = 0
    for t, id in enumerate(ids):
        total += next_token_log_probs[t, id]
    return total


@chain_rule_log_prob.misconception
def starts_from_an_int(next_token_log_probs, ids):
    """For an empty text nothing is added, and the int 0 comes back that you started from. The
    signature promises a float: start from 0.0."""
    total = 0
    for t, id in enumerate(ids):
        total += next_token_log_probs[t, id].item()
    return total


@chain_rule_log_prob.misconception
def returns_inside_the_loop(next_token_log_probs, ids):
    """Your function returns within its loop, so it ends after the first token. Move the `return`
    to the left, behind the loop."""
    total = 0.0
    for t, id in enumerate(ids):
        total += next_token_log_probs[t, id].item()
        return total


@chain_rule_log_prob.misconception
def multiplies_the_logarithms(next_token_log_probs, ids):
    """You multiply the log-probabilities. Probabilities are multiplied; their logarithms are
    added."""
    return _came(next_token_log_probs, ids).prod().item()


@chain_rule_log_prob.alternative
def one_step_after_another(next_token_log_probs, ids):
    """The formula as a loop."""
    total = 0.0
    for row, id in zip(next_token_log_probs, ids, strict=True):
        total += row[id].item()
    return total


@chain_rule_log_prob.alternative
def with_gather(next_token_log_probs, ids):
    """`gather` picks one entry of each row; the sum stays in float32."""
    return next_token_log_probs.gather(1, ids.unsqueeze(1)).sum().item()


@chain_rule_log_prob.alternative
def as_a_loss_with_its_sign_turned(next_token_log_probs, ids):
    """torch's name for it is the negative log-likelihood."""
    return -F.nll_loss(next_token_log_probs, ids, reduction="sum").item()
