"""Notebook 11: what each exercise about a product demands."""

from __future__ import annotations

import math
import re
from collections import Counter
from functools import cache
from types import SimpleNamespace

from course_lib import pipeline
from course_lib.checks.exercise import Case, Exercise, refuses
from course_lib.tokenization import BPETokenizer, train_bpe

_WORDS = "a bread boats seventeen lamp moonlight unhappiness the kettle 1984 zwölf".split()


def _refuses(about, arguments, naming, way):
    """`refuses` where a solution is not just called: `way(solution, *arguments)` tries it."""
    door = refuses(about, arguments, naming)

    def observe(solution, *arguments):
        return door.observe(lambda *_: way(solution, *arguments))

    return Case(about, arguments, observe, at_the_door=True)


# --- Pipeline ------------------------------------------------------------------------------

Pipeline = Exercise("pipeline.Pipeline", points=3, reference=pipeline.Pipeline)


def _try_out(solution, inputs, batch_size):
    """Build a pipeline out of three functions that keep a record, and call it.

    What comes back: the result, whether no batch was too large, and how many there were.
    """
    sizes = []

    def preprocess(inputs):
        sizes.append(len(inputs))
        return {"lengths": [len(given) for given in inputs]}

    def forward(batch):
        return [10 * length for length in batch["lengths"]]

    def postprocess(outputs, inputs):
        return [f"{given} -> {output}" for given, output in zip(inputs, outputs, strict=False)]

    result = solution().from_functions(preprocess, forward, postprocess, batch_size)(inputs)
    fits = all(size <= batch_size for size in sizes)
    return {"result": result, "no batch is too large": fits, "batches": len(sizes)}


def _without_an_answer(solution, inputs, batch_size):
    """Results that are None are results."""

    def postprocess(outputs, inputs):
        return [None] * len(inputs)

    return solution().from_functions(list, list, postprocess, batch_size)(inputs)


def _loses_one(solution, inputs, batch_size):
    def postprocess(outputs, inputs):
        return outputs[1:]

    return solution().from_functions(list, list, postprocess, batch_size)(inputs)


@Pipeline.cases
def _(draw):
    words = draw.random.sample([f"{w}{n}" for n, w in enumerate(_WORDS)], len(_WORDS))
    words.sort(key=len, reverse=draw.random.random() < 0.5)

    def case(about, inputs, batch_size=16, observe=_try_out):
        return Case(about, {"inputs": inputs, "batch_size": batch_size}, observe)

    yield case("one text", words[0])
    yield case("a list of one text", [words[0]])
    yield case("a list of texts", words[:3])
    yield case("an empty list", [])
    yield case("a pair, which is one input", (words[1], words[2], words[3]))
    yield case("a dict, which is one input", {words[1]: 1, words[2]: 2})
    yield case("batches of 2, the last one short", words[:5], 2)
    yield case("batches of 3 without a rest", words[:6], 3)
    yield case("batches of 1", words[:3], 1)
    yield case("texts that are not in order of length", [*words[4:9], *words[:4]], 4)
    yield case("results that are None", words[:3], 16, _without_an_answer)
    if draw.hidden:
        many = [f"{word}{n}" for n in range(9) for word in words]
        yield case("many texts", many, 8)
    arguments = {"inputs": words[:3], "batch_size": 2}
    yield _refuses("fewer results than inputs", arguments, "postprocess", _loses_one)


class _Base(pipeline.Pipeline):
    """What the misconceptions share."""

    def in_parts(self, inputs):
        for start in range(0, len(inputs), self.batch_size):
            yield inputs[start : start + self.batch_size]

    def through(self, part, told=None):
        return self.postprocess(self.forward(self.preprocess(part)), told or part)

    def all_of(self, inputs):
        return [result for part in self.in_parts(inputs) for result in self.through(part)]


@Pipeline.misconception
class TakesATextForAListOfLetters(_Base):
    """A list and one input go the same way here, so a single text is cut into its letters (and
    slices of a text are texts, which hides it). Ask first whether `inputs` is a list, and wrap it
    if it is not."""

    def __call__(self, inputs):
        return self.all_of(inputs)


@Pipeline.misconception
class ReturnsAListForASingleInput(_Base):
    """One input goes in, and a list with one result comes out. The result has the same form as the
    input: unwrap it again."""

    def __call__(self, inputs):
        return self.all_of(inputs if isinstance(inputs, list) else [inputs])


@Pipeline.misconception
class UnwrapsAListOfOne(_Base):
    """Whenever there is one result it is handed out bare, also when a list of one went in. Whoever
    loops over the answer to a list would then get its letters. What decides is the form of the
    input, not the number of results."""

    def __call__(self, inputs):
        results = self.all_of(inputs if isinstance(inputs, list) else [inputs])
        return results[0] if len(results) == 1 else results


@Pipeline.misconception
class TakesATupleForAList(_Base):
    """A tuple is treated like a list here, so an input that *is* a tuple, such as a question with
    its text, is taken apart. Only a list is several inputs."""

    def __call__(self, inputs):
        if not isinstance(inputs, list | tuple):
            return self.all_of([inputs])[0]
        return self.all_of(list(inputs))


@Pipeline.misconception
class TakesOnlyATextForASingleInput(_Base):
    """Only a text counts as one input here. A dict or a tuple is one input too: everything that is
    not a list."""

    def __call__(self, inputs):
        return self.all_of([inputs])[0] if isinstance(inputs, str) else self.all_of(inputs)


@Pipeline.misconception
class SendsEverythingAtOnce(_Base):
    """All inputs go through in one batch, whatever `batch_size` says. That is right until somebody
    sends ten thousand, and the memory is full. Cut the list into parts."""

    def __call__(self, inputs):
        if not isinstance(inputs, list):
            return self.through([inputs])[0]
        return self.through(inputs) if inputs else []


@Pipeline.misconception
class SendsOneInputAtATime(_Base):
    """The results are right, but each input goes through alone, and a model takes nearly as long
    for one text as for several. Send `batch_size` of them together."""

    def __call__(self, inputs):
        if not isinstance(inputs, list):
            return self.through([inputs])[0]
        return [result for one in inputs for result in self.through([one])]


@Pipeline.misconception
class LosesTheLastShortBatch(_Base):
    """`len(inputs) // batch_size` counts the full batches only, and what is left over is lost. Step
    through the list with `range(0, len(inputs), batch_size)`: the last slice may be shorter."""

    def __call__(self, inputs):
        if not isinstance(inputs, list):
            return self.through([inputs])[0]
        results = []
        for i in range(len(inputs) // self.batch_size):
            results.extend(self.through(inputs[i * self.batch_size : (i + 1) * self.batch_size]))
        return results


@Pipeline.misconception
class ShowsPostprocessAllInputs(_Base):
    """From the second batch on, `postprocess` gets the outputs of one part together with the inputs
    from the beginning, so answers are joined with the wrong questions. Hand it the same part."""

    def __call__(self, inputs):
        if not isinstance(inputs, list):
            return self.through([inputs])[0]
        return [r for part in self.in_parts(inputs) for r in self.through(part, told=inputs)]


@Pipeline.misconception
class KeepsTheBatchesApart(_Base):
    """`append` adds the list of a batch as one item, so a list of lists comes out. `extend` adds
    its results one by one."""

    def __call__(self, inputs):
        if not isinstance(inputs, list):
            return self.through([inputs])[0]
        return [self.through(part) for part in self.in_parts(inputs)]


@Pipeline.misconception
class LeavesTheResultsSorted(_Base):
    """Sorting by length before cutting into batches is a good idea, because little is padded. But
    the results come back in that order, and nobody knows any more which belongs to what. Put them
    back in the order of the inputs."""

    def __call__(self, inputs):
        if not isinstance(inputs, list):
            return self.through([inputs])[0]
        return self.all_of(sorted(inputs, key=len))


@Pipeline.misconception
class ReturnsTheLastBatchOnly(_Base):
    """`results` is set anew in each round of the loop, so only those of the last batch come back.
    Collect them."""

    def __call__(self, inputs):
        if not isinstance(inputs, list):
            return self.through([inputs])[0]
        results = []
        for part in self.in_parts(inputs):
            results = self.through(part)
        return results


@Pipeline.misconception
class DropsResultsThatAreNone(_Base):
    """`if result` leaves out None, 0 and the empty text. They are results too, and without them all
    later ones move up to inputs that are not theirs."""

    def __call__(self, inputs):
        if not isinstance(inputs, list):
            return self.through([inputs])[0]
        return [result for result in self.all_of(inputs) if result]


def _checked(answers, part):
    if len(answers) != len(part):
        raise ValueError("postprocess lost something")
    return answers


@Pipeline.alternative
class WithARecursion(pipeline.Pipeline):
    """The first batch, and then the rest in the same way."""

    def __call__(self, inputs):
        if not isinstance(inputs, list):
            return self.__call__([inputs])[0]
        if not inputs:
            return []
        part, rest = inputs[: self.batch_size], inputs[self.batch_size :]
        answers = self.postprocess(self.forward(self.preprocess(part)), part)
        return list(_checked(answers, part)) + self(rest)


@Pipeline.alternative
class SortedAndPutBack(pipeline.Pipeline):
    """Batches of similar length; the results go back to their places."""

    def __call__(self, inputs):
        several = isinstance(inputs, list)
        texts = inputs if several else [inputs]
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        results = [None] * len(texts)
        for start in range(0, len(texts), self.batch_size):
            places = order[start : start + self.batch_size]
            part = [texts[i] for i in places]
            answers = _checked(self.postprocess(self.forward(self.preprocess(part)), part), part)
            for place, answer in zip(places, answers, strict=True):
                results[place] = answer
        return results if several else results[0]


# --- evaluate_pipeline ---------------------------------------------------------------------

evaluate_pipeline = Exercise(
    "pipeline.evaluate_pipeline", points=3, reference=pipeline.evaluate_pipeline
)


def _case_of(about, cases, answers, metric):
    """`answers` maps inputs to results; the stand-in for a pipeline looks them up."""

    needed = {given: answers[given] for given, _ in cases if given in answers}
    return Case(about, {"cases": cases, "answers": needed, "metric": metric}, _look_answers_up)


def _look_answers_up(solution, cases, answers, metric):
    def system(inputs):
        if isinstance(inputs, list):
            return [system(one) for one in inputs]
        return answers.get(inputs) if isinstance(inputs, str) else "?"

    return solution(system, cases, metric)


def _exact(result, expected):
    return result == expected


def _caseless(result, expected):
    return float(str(result).lower() == str(expected).lower())


def _share_found(result, expected):
    """Which share of the expected words is in the result."""
    wanted = set(str(expected).split())
    return len(wanted & set(str(result).split())) / len(wanted)


@evaluate_pipeline.cases
def _(draw):
    n = 24 if draw.hidden else 8
    questions = [f"question {i}" for i in range(n)]
    draw.random.shuffle(questions)
    labels = [draw.random.choice(["tea", "milk", "rain", "wind"]) for _ in questions]
    cases = list(zip(questions, labels, strict=True))
    right = dict(cases)
    some = right | {q: "sand" for q in questions[1 : n // 2]}
    yield _case_of("one case, right", cases[:1], right, _exact)
    yield _case_of("one case, wrong", cases[1:2], some, _exact)
    yield _case_of("some right, some wrong", cases, some, _exact)
    yield _case_of("all right", cases, right, _exact)
    yield _case_of("all wrong", cases, {}, _exact)
    shouted = {q: label.upper() for q, label in right.items()} | {questions[2]: "SAND"}
    yield _case_of("a metric that forgives capitals", cases, shouted, _caseless)
    long = [(q, f"{label} sun and {label}s") for q, label in cases]
    found = {q: f"{label} and more of it" for q, label in cases} | {questions[0]: None}
    found[questions[1]] = long[1][1]
    yield _case_of("a metric between 0 and 1", long, found, _share_found)
    twice = [*cases, cases[1], cases[1]]
    yield _case_of("the same case twice", twice, some, _exact)

    nothing = {"cases": [], "answers": {}, "metric": _exact}
    yield _refuses("no cases", nothing, "cases", _look_answers_up)


def _triples(pipeline, cases):
    results = pipeline([given for given, _ in cases])
    return [(given, expected, result) for (given, expected), result in zip(cases, results)]


def _evaluation(triples, values, failures=None, score=None):
    if failures is None:
        failures = [t for t, value in zip(triples, values, strict=True) if value < 1]
    score = sum(values) / len(values) if score is None else score
    return {"score": float(score), "n": len(triples), "failures": failures}


@evaluate_pipeline.misconception
def swaps_what_the_metric_gets(pipeline, cases, metric):
    """The metric takes the result first and the expected answer second. With equality the order
    does not matter, so this shows only with other metrics."""
    triples = _triples(pipeline, cases)
    return _evaluation(triples, [metric(expected, result) for _, expected, result in triples])


@evaluate_pipeline.misconception
def shows_the_pipeline_the_answers(pipeline, cases, metric):
    """The pipeline gets the whole cases here, expected answers included. It must see the inputs
    alone: take them out of the pairs first."""
    results = pipeline(list(cases))
    triples = [(given, expected, r) for (given, expected), r in zip(cases, results)]
    return _evaluation(triples, [metric(r, expected) for _, expected, r in triples])


@evaluate_pipeline.misconception
def compares_without_the_metric(pipeline, cases, metric):
    """This asks whether result and expected answer are equal and leaves the metric aside. What
    counts as right is for the metric to say."""
    triples = _triples(pipeline, cases)
    return _evaluation(triples, [result == expected for _, expected, result in triples])


@evaluate_pipeline.misconception
def rounds_the_metric_to_right_or_wrong(pipeline, cases, metric):
    """Only the cases that are fully right count for the score here. A metric between 0 and 1 gives
    a part of the mark: the score is its mean."""
    triples = _triples(pipeline, cases)
    return _evaluation(triples, [metric(r, expected) == 1 for _, expected, r in triples])


@evaluate_pipeline.misconception
def counts_a_part_as_right(pipeline, cases, metric):
    """`if metric(...)` is true for every number but 0, so a result that is right by a tenth counts
    as right. Add up the metric itself, and list a case as a failure if it is below 1."""
    triples = _triples(pipeline, cases)
    return _evaluation(triples, [bool(metric(r, expected)) for _, expected, r in triples])


@evaluate_pipeline.misconception
def lists_only_complete_failures(pipeline, cases, metric):
    """The score is right, but a case whose metric is above 0 and below 1 is missing among the
    failures. Everything below 1 is worth a look."""
    triples = _triples(pipeline, cases)
    values = [metric(r, expected) for _, expected, r in triples]
    return _evaluation(triples, values, [t for t, v in zip(triples, values) if not v])


@evaluate_pipeline.misconception
def scores_in_percent(pipeline, cases, metric):
    """This is the score in percent. It should be the mean of the metric, from 0 to 1; a percent
    sign is for those who print it."""
    triples = _triples(pipeline, cases)
    values = [metric(r, expected) for _, expected, r in triples]
    return _evaluation(triples, values, score=100 * sum(values) / len(values))


@evaluate_pipeline.misconception
def lists_what_was_right(pipeline, cases, metric):
    """`failures` holds the cases that are right. It is for those that are not: the metric is below
    1."""
    triples = _triples(pipeline, cases)
    values = [metric(r, expected) for _, expected, r in triples]
    return _evaluation(triples, values, [t for t, v in zip(triples, values) if v >= 1])


@evaluate_pipeline.misconception
def lists_each_failure_once(pipeline, cases, metric):
    """A dictionary keyed by the input keeps one failure for each, so a case that comes twice is
    listed once. A list of tuples keeps them all."""
    triples = _triples(pipeline, cases)
    values = [metric(r, expected) for _, expected, r in triples]
    failures = {t[0]: t for t, value in zip(triples, values) if value < 1}
    return _evaluation(triples, values, list(failures.values()))


@evaluate_pipeline.misconception
def puts_the_result_before_the_expected_answer(pipeline, cases, metric):
    """A failure is (input, expected, result), in this order. Yours has the last two the other way
    round, and whoever reads it takes one for the other."""
    triples = _triples(pipeline, cases)
    values = [metric(r, expected) for _, expected, r in triples]
    failures = [(t[0], t[2], t[1]) for t, value in zip(triples, values) if value < 1]
    return _evaluation(triples, values, failures)


@evaluate_pipeline.alternative
def one_case_at_a_time(pipeline, cases, metric):
    """Slower with a real model, and the same."""
    if len(cases) == 0:
        raise ValueError("cases is empty")
    values, failures = [], []
    for given, expected in cases:
        result = pipeline(given)
        values.append(float(metric(result, expected)))
        if values[-1] != 1:
            failures.append((given, expected, result))
    return dict(score=sum(values) / len(values), n=len(values), failures=failures)


@evaluate_pipeline.alternative
def with_lists(pipeline, cases, metric):
    if not cases:
        raise ValueError("there are no cases")
    inputs, expected = map(list, zip(*cases))
    results = pipeline(inputs)
    values = list(map(metric, results, expected))
    return {
        "n": len(values),
        "failures": [f for f, v in zip(zip(inputs, expected, results), values) if v < 1],
        "score": math.fsum(values) / len(values),
    }


# --- sign_test -----------------------------------------------------------------------------

sign_test = Exercise("pipeline.sign_test", points=2, reference=pipeline.sign_test)


@sign_test.cases
def _(draw):
    def observe(solution, only_first, only_second):
        value = solution(only_first, only_second)
        return float(value) if type(value) is int else value  # 1 is as good as 1.0

    def case(about, only_first, only_second):
        return Case(about, {"only_first": only_first, "only_second": only_second}, observe)

    most = 60 if draw.hidden else 12
    fewer = draw.random.randint(1, 4)
    more = draw.random.randint(fewer + 2, most)
    yield case("one case between them", 1, 0)
    yield case("the second has more", fewer, more)
    yield case("the first has more", more, fewer)
    yield case("all for one", 0, draw.random.randint(3, 8))
    yield case("an even split", fewer, fewer)
    yield case("nearly even", fewer + 1, fewer)
    yield case("no case between them", 0, 0)
    yield case("a large number of cases", 40, 65)
    if draw.hidden:
        yield case("a very large number of cases", 600, 700)
    negative = {"only_first": -1, "only_second": 3}
    yield refuses("a negative number", negative, "only_first")


def _tail(n, k):
    return sum(math.comb(n, i) for i in range(k + 1)) / 2**n


@sign_test.misconception
def looks_to_one_side_only(only_first, only_second):
    """This asks how easily chance would favour the *one* that is ahead. Before you had looked,
    either could have been ahead, so the other side counts as well: twice as much, and at most
    1."""
    return _tail(only_first + only_second, min(only_first, only_second))


@sign_test.misconception
def exceeds_one(only_first, only_second):
    """Twice the tail is right for uneven splits, but with an even split the middle is counted from
    both sides, and a probability above 1 comes out. Take 1 at most."""
    return 2 * _tail(only_first + only_second, min(only_first, only_second))


@sign_test.misconception
def takes_this_split_alone(only_first, only_second):
    """This is the probability of exactly this split. The more cases there are, the smaller it gets
    for any split at all. Add up all that are as uneven or more."""
    n = only_first + only_second
    return min(1.0, 2 * math.comb(n, only_first) / 2**n)


@sign_test.misconception
def leaves_this_split_out(only_first, only_second):
    """The sum stops one short: it has the splits that are *more* uneven than this one, and not this
    one itself. `range(fewer + 1)` goes up to `fewer`."""
    return min(1.0, 2 * _tail(only_first + only_second, min(only_first, only_second) - 1))


@sign_test.misconception
def depends_on_which_comes_first(only_first, only_second):
    """The sum goes up to `only_first`, whichever is smaller. Swap the two systems and another
    probability comes out. Go up to the smaller of the two numbers."""
    return min(1.0, 2 * _tail(only_first + only_second, only_first))


@sign_test.misconception
def approximates_with_a_bell_curve(only_first, only_second):
    """This is McNemar's approximation with a normal distribution. It is good for many cases and
    poor for a handful, which is where the question arises. With `math.comb` it is exact."""
    n = only_first + only_second
    return math.erfc(abs(only_first - only_second) / math.sqrt(2 * n)) if n else 1.0


@sign_test.misconception
def divides_by_two_too_often(only_first, only_second):
    """Each of n tosses has two outcomes, so there are 2 ** n rows of tosses. Yours divides by
    2 ** (n + 1) or does not double: check it by hand with one case between them, which must give
    1."""
    return _tail(only_first + only_second, min(only_first, only_second)) / 2


@sign_test.misconception
def says_how_sure_it_is(only_first, only_second):
    """This is one minus what is asked for. Asked for is the probability of such a split by chance:
    small means that chance explains it badly."""
    n = only_first + only_second
    return 1 - min(1.0, 2 * _tail(n, min(only_first, only_second)))


def _at_the_door(only_first, only_second):
    if min(only_first, only_second) < 0:
        raise ValueError("only_first and only_second must not be negative")


@sign_test.alternative
def by_counting_both_tails(only_first, only_second):
    _at_the_door(only_first, only_second)
    n, gap = only_first + only_second, abs(only_first - only_second)
    rows = sum(math.comb(n, k) for k in range(n + 1) if abs(n - 2 * k) >= gap)
    return rows / 2**n


@sign_test.alternative
def term_by_term(only_first, only_second):
    """Each term out of the one before, in logarithms."""
    _at_the_door(only_first, only_second)
    n, fewer = only_first + only_second, min(only_first, only_second)
    if only_first == only_second:
        return 1.0
    term, total = 0.0, 0.0
    for k in range(fewer + 1):
        total += math.exp(term - n * math.log(2))
        term += math.log(n - k) - math.log(k + 1)
    return min(1.0, 2 * total)


# --- fertility -----------------------------------------------------------------------------

fertility = Exercise("pipeline.fertility", points=1, reference=pipeline.fertility)


@cache
def _small_bpe() -> BPETokenizer:
    return train_bpe("the boats and the kettle, the moon and the light. " * 3, 300)


@fertility.cases
def _(draw):
    letters = SimpleNamespace(encode=lambda text: [ord(letter) for letter in text])
    words = draw.random.choices(_WORDS, k=60 if draw.hidden else 7)
    text = " ".join(words)

    def case(about, tokenizer, text):
        return Case(about, {"tokenizer": tokenizer, "text": text})

    yield case("a token for each character", letters, "ab " + draw.random.choice(_WORDS))
    yield case("a token for each character, one word", letters, draw.random.choice(_WORDS))
    yield case("a byte-level BPE", _small_bpe(), f"{text}, the boats")
    yield case("the same word again and again", _small_bpe(), "the boats the boats the moonlight")
    yield case("several blanks and line breaks", _small_bpe(), f"  the  {words[0]}\n\n{text}\n")
    yield refuses("an empty text", {"tokenizer": letters, "text": ""}, "text")
    yield refuses("a text of blanks", {"tokenizer": letters, "text": " \n "}, "text")


def _n_tokens(tokenizer, text):
    return len(tokenizer.encode(text))


@fertility.misconception
def words_per_token(tokenizer, text):
    """This is words per token, the fraction upside down. Fertility is tokens per word: 1 if every
    word is one token, and larger the finer the text is cut."""
    return len(text.split()) / _n_tokens(tokenizer, text)


@fertility.misconception
def characters_per_token(tokenizer, text):
    """This is characters per token, a good measure too, and the one to take where a language puts
    no blanks between words. Fertility is tokens per word."""
    return len(text) / _n_tokens(tokenizer, text)


@fertility.misconception
def tokens_per_character(tokenizer, text):
    """This divides by the length of the text, which Python counts in characters. Divide by the
    number of words: `text.split()` is the list of them."""
    return _n_tokens(tokenizer, text) / len(text)


@fertility.misconception
def encodes_each_word_by_itself(tokenizer, text):
    """Each word is encoded alone here, without the blank in front of it. Most tokenizers have
    other tokens for a word with a blank before it than for one at the beginning, so the count is
    not that of the text. Encode the text as a whole."""
    return sum(_n_tokens(tokenizer, word) for word in text.split()) / len(text.split())


@fertility.misconception
def splits_at_every_single_blank(tokenizer, text):
    """`split(" ")` cuts at each blank: two blanks in a row give an empty word, and a line break
    gives none. `split()` without an argument cuts at any stretch of whitespace."""
    return _n_tokens(tokenizer, text) / len(text.split(" "))


@fertility.misconception
def counts_each_word_once(tokenizer, text):
    """The tokens of the whole text are divided by the number of *different* words. A word that
    comes twice is read twice: count all of them."""
    return _n_tokens(tokenizer, text) / len(set(text.split()))


@fertility.misconception
def counts_each_token_once(tokenizer, text):
    """A set keeps each id once, so this counts the different tokens. What costs time and money is
    every token: take the length of the list."""
    return len(set(tokenizer.encode(text))) / len(text.split())


@fertility.misconception
def rounds_to_a_whole_number(tokenizer, text):
    """`//` cuts off what stands behind the point, and between 1.1 and 1.9 tokens per word there is
    a world. Divide with `/`."""
    return float(_n_tokens(tokenizer, text) // len(text.split()))


@fertility.alternative
def counts_words_with_a_pattern(tokenizer, text):
    n_words = len(re.findall(r"\S+", text))
    if n_words == 0:
        raise ValueError("text is empty")
    return len(tokenizer.encode(text)) / n_words


@fertility.alternative
def counts_one_by_one(tokenizer, text):
    if not text.strip():
        raise ValueError("text has no words")
    return sum(1 for _ in tokenizer.encode(text)) / sum(1 for _ in text.split())


# --- serving_cost --------------------------------------------------------------------------

serving_cost = Exercise("pipeline.serving_cost", points=3, reference=pipeline.serving_cost)


def _bill(solution, n_requests, n_input, n_output, options):
    return solution(n_requests, n_input, n_output, **options)


@serving_cost.cases
def _(draw):
    uniform = draw.random.uniform

    def case(about, machines, n_input=None, n_output=None, peak=1.0, hours=None):
        """So many requests that so many machines are needed, where 1.5 means a part of the second;
        far enough from a whole number for any rounding of floats."""
        n_input = draw.random.randint(40, 900) if n_input is None else n_input
        n_output = draw.random.randint(40, 300) if n_output is None else n_output
        hours = draw.random.choice([24.0, 168.0, 730.0]) if hours is None else hours
        options = {
            "input_speed": round(uniform(300, 900), 1),
            "output_speed": round(uniform(20, 90), 1),
            "price_per_hour": round(uniform(0.05, 3.0), 3),
            "hours": hours,
        }
        if peak != 1.0:
            options["peak"] = peak
        seconds = n_input / options["input_speed"] + n_output / options["output_speed"]
        n_requests = round(machines / peak * hours * 3600 / seconds) if seconds else machines
        arguments = {"n_requests": n_requests, "n_input": n_input, "n_output": n_output}
        return Case(about, {**arguments, "options": options}, _bill)

    yield case("one machine, not quite busy", uniform(0.55, 0.9))
    yield case("more than one machine can do", uniform(1.15, 1.4))
    yield case("several machines", draw.random.randint(4, 9) + uniform(0.2, 0.45))
    yield case("a machine that has next to nothing to do", 0.01)
    yield case("no requests at all", 0)
    yield case("long texts to read, one token to write", uniform(2.2, 2.8), 4000, 1)
    yield case("short texts to read, long ones to write", uniform(2.2, 2.8), 5, 900)
    yield case("a peak of two and a half times the average", uniform(3.1, 3.6), peak=2.5)
    yield case("a peak that needs a second machine", 1.4, peak=2.0)
    yield case("a single hour", uniform(1.2, 1.8), hours=1.0)
    if draw.hidden:
        yield case("a large service", draw.random.randint(40, 90) + 0.5, peak=2.5)
    good = {"input_speed": 500.0, "output_speed": 50.0, "price_per_hour": 1.0, "hours": 24.0}
    texts = {"n_input": 10, "n_output": 10}
    negative = {"n_requests": -1, **texts, "options": good}
    yield _refuses("a negative number of requests", negative, "n_requests", _bill)
    for name, value in (("output_speed", 0.0), ("hours", 0.0), ("peak", 0.5)):
        arguments = {"n_requests": 100, **texts, "options": good | {name: value}}
        yield _refuses(f"{name} is {value:g}", arguments, name, _bill)


def _busy(n_requests, n_input, n_output, input_speed, output_speed):
    return n_requests * (n_input / input_speed + n_output / output_speed) / 3600


@serving_cost.misconception
def pays_only_while_busy(n_requests, n_input, n_output, *, input_speed, output_speed,
                         price_per_hour, hours, peak=1.0):  # fmt: skip
    """This is what the busy hours cost. A rented machine is paid for when it waits, too: count
    whole machines, and pay each for all the hours."""
    busy = _busy(n_requests, n_input, n_output, input_speed, output_speed)
    return busy * price_per_hour


@serving_cost.misconception
def rents_parts_of_a_machine(n_requests, n_input, n_output, *, input_speed, output_speed,
                             price_per_hour, hours, peak=1.0):  # fmt: skip
    """The number of machines is a fraction here. Nobody rents out 1.3 machines: round up, and keep
    one even when there is nothing to do."""
    busy = _busy(n_requests, n_input, n_output, input_speed, output_speed)
    return busy / hours * peak * hours * price_per_hour


@serving_cost.misconception
def rounds_machines_down(n_requests, n_input, n_output, *, input_speed, output_speed,
                         price_per_hour, hours, peak=1.0):  # fmt: skip
    """With 1.3 machines' worth of work and one machine, a queue grows and never ends. Round up,
    not down or to the nearest."""
    busy = _busy(n_requests, n_input, n_output, input_speed, output_speed)
    return max(1, int(busy / hours * peak)) * hours * price_per_hour


@serving_cost.misconception
def always_one_machine(n_requests, n_input, n_output, *, input_speed, output_speed,
                       price_per_hour, hours, peak=1.0):  # fmt: skip
    """One machine is paid for, however much there is to do. Work out how many hours of work come
    in, and how many machines they need."""
    return float(hours * price_per_hour)


@serving_cost.misconception
def closes_when_nobody_asks(n_requests, n_input, n_output, *, input_speed, output_speed,
                            price_per_hour, hours, peak=1.0):  # fmt: skip
    """Without requests this costs nothing. But a service has to be there before the first request
    comes: one machine at least."""
    busy = _busy(n_requests, n_input, n_output, input_speed, output_speed)
    return math.ceil(busy / hours * peak) * hours * price_per_hour


@serving_cost.misconception
def reads_as_slowly_as_it_writes(n_requests, n_input, n_output, *, input_speed, output_speed,
                                 price_per_hour, hours, peak=1.0):  # fmt: skip
    """Both kinds of tokens are divided by the speed of writing. A prompt is read all at once, many
    times faster than text is written token by token: each kind has a speed of its own."""
    busy = n_requests * (n_input + n_output) / output_speed / 3600
    return max(1, math.ceil(busy / hours * peak)) * hours * price_per_hour


@serving_cost.misconception
def adds_up_the_speeds(n_requests, n_input, n_output, *, input_speed, output_speed,
                       price_per_hour, hours, peak=1.0):  # fmt: skip
    """Speeds do not add up: a request is first read, then written, and the *times* add up. Divide
    each number of tokens by its own speed."""
    busy = n_requests * (n_input + n_output) / (input_speed + output_speed) / 3600
    return max(1, math.ceil(busy / hours * peak)) * hours * price_per_hour


@serving_cost.misconception
def forgets_the_seconds_in_an_hour(n_requests, n_input, n_output, *, input_speed, output_speed,
                                   price_per_hour, hours, peak=1.0):  # fmt: skip
    """Speeds are in tokens a second, the price and the time in hours. Divide the seconds of work by
    3600 before you compare them with hours."""
    busy = _busy(n_requests, n_input, n_output, input_speed, output_speed) * 3600
    return max(1, math.ceil(busy / hours * peak)) * hours * price_per_hour


@serving_cost.misconception
def divides_by_sixty(n_requests, n_input, n_output, *, input_speed, output_speed,
                     price_per_hour, hours, peak=1.0):  # fmt: skip
    """An hour has 3600 seconds; 60 makes minutes of them."""
    busy = _busy(n_requests, n_input, n_output, input_speed, output_speed) * 60
    return max(1, math.ceil(busy / hours * peak)) * hours * price_per_hour


@serving_cost.misconception
def ignores_the_peak(n_requests, n_input, n_output, *, input_speed, output_speed,
                     price_per_hour, hours, peak=1.0):  # fmt: skip
    """The average hour decides here how many machines there are. In the busiest hour `peak` times
    as many requests come, and they cannot wait until night."""
    busy = _busy(n_requests, n_input, n_output, input_speed, output_speed)
    return max(1, math.ceil(busy / hours)) * hours * price_per_hour


@serving_cost.misconception
def multiplies_the_cost_by_the_peak(n_requests, n_input, n_output, *, input_speed, output_speed,
                                    price_per_hour, hours, peak=1.0):  # fmt: skip
    """The machines are rounded up first and multiplied by the peak afterwards, so parts of machines
    come back. Multiply the work by the peak, and then round up."""
    busy = _busy(n_requests, n_input, n_output, input_speed, output_speed)
    return max(1, math.ceil(busy / hours)) * peak * hours * price_per_hour


@serving_cost.misconception
def forgets_the_hours(n_requests, n_input, n_output, *, input_speed, output_speed,
                      price_per_hour, hours, peak=1.0):  # fmt: skip
    """This is the price of the machines for a single hour. They are rented for `hours` of them."""
    busy = _busy(n_requests, n_input, n_output, input_speed, output_speed)
    return max(1, math.ceil(busy / hours * peak)) * price_per_hour


def _refuse_bad_numbers(n_requests, output_speed, hours, peak):
    if n_requests < 0 or output_speed <= 0 or hours <= 0 or peak < 1:
        raise ValueError("n_requests, output_speed, hours or peak is out of range")


@serving_cost.alternative
def in_requests_an_hour(n_requests, n_input, n_output, *, input_speed, output_speed,
                        price_per_hour, hours, peak=1.0):  # fmt: skip
    """How many requests a machine can do in an hour, and how many come in the busiest one."""
    _refuse_bad_numbers(n_requests, output_speed, hours, peak)
    if not n_requests:
        return price_per_hour * hours
    can = 3600 / (n_input / input_speed + n_output / output_speed)
    come = peak * n_requests / hours
    return price_per_hour * hours * math.ceil(come / can)


@serving_cost.alternative
def machine_after_machine(n_requests, n_input, n_output, *, input_speed, output_speed,
                          price_per_hour, hours, peak=1.0):  # fmt: skip
    """Rent one more until they keep up."""
    _refuse_bad_numbers(n_requests, output_speed, hours, peak)
    seconds = n_requests * n_input / input_speed + n_requests * n_output / output_speed
    machines = 1
    while machines * hours * 3600 < seconds * peak:
        machines += 1
    return machines * (hours * price_per_hour)


# --- my_project ----------------------------------------------------------------------------

my_project = Exercise("pipeline.my_project", points=4, reference=pipeline.my_project, seconds=60.0)

ENOUGH = 20  # cases


FOUR_PARTS = "it returns (pipeline, examples, cases, metric)"


def _what_holds(solution):
    """What every project must be able to say of itself, and cannot yet."""
    missing = [fact for fact, holds in _facts(solution()).items() if not holds]
    return f"does not hold yet: {'; '.join(missing)}" if missing else "all of it holds"


def _facts(made):
    if not isinstance(made, tuple | list) or len(made) != 4:
        return {FOUR_PARTS: False}
    system, examples, cases, metric = made
    enough = {f"there are at least {ENOUGH} cases": len(cases) >= ENOUGH}
    if not cases:
        return enough
    inputs, answers = [given for given, _ in cases], [expected for _, expected in cases]
    results = system(inputs)
    in_order = isinstance(results, list) and len(results) == len(inputs)
    facts = enough | {
        "no two cases have the same input": not _repeats(inputs),
        "no case is among the examples": not any(given in inputs for given, _ in examples),
        "a list gives a list with a result for each input": in_order,
    }
    if not in_order:
        return facts
    common = max(answers, key=answers.count)
    scores = list(map(metric, results, answers))
    own = [metric(expected, expected) for expected in answers]
    others = [metric(other, answers[0]) for other in answers]
    always = [metric(common, expected) for expected in answers]
    numbers = all(map(_is_share, [*scores, *own, *others, *always]))
    facts |= {
        "the results follow when the inputs change places": system(inputs[::-1]) == results[::-1],
        "one input gives what it gives in a list": system(inputs[0]) == results[0],
        "the metric gives a number from 0 to 1": numbers,
    }
    if not numbers:
        return facts
    return facts | {
        "the expected answer itself counts as fully right": min(own) == 1,
        "another case's answer does not always count as right": min(others) < 1,
        "it beats giving the most common answer to everything": sum(scores) > sum(always),
    }


def _repeats(items):
    return any(item in items[:place] for place, item in enumerate(items))


def _is_share(value):
    return isinstance(value, bool | int | float) and 0 <= value <= 1


@my_project.cases
def _(draw):
    yield Case("your project as a whole", {}, _what_holds)


def _changed(**parts):
    """The sample project with some of its parts made otherwise."""
    names = ("system", "examples", "cases", "metric")
    project = dict(zip(names, pipeline.my_project(), strict=True))
    project |= {name: make(project) for name, make in parts.items()}
    return tuple(project[name] for name in names)


@my_project.misconception
def tests_on_its_own_examples():
    """Some cases are among the examples. A score on them says how well the pipeline remembers, and
    nothing about messages it will meet. Keep the two apart, and look for doubles before you
    split."""
    return _changed(cases=lambda project: project["cases"] + project["examples"])


@my_project.misconception
def has_too_few_cases():
    """With fewer than 20 cases the interval around any score is so wide that next to nothing
    follows from it. Collect more, or hold more back."""
    return _changed(cases=lambda project: project["cases"][:10])


@my_project.misconception
def has_the_same_case_again_and_again():
    """Some inputs occur more than once among the cases. Each counts as if it were a new
    observation, and the interval comes out too narrow. Keep one of each."""
    return _changed(cases=lambda project: project["cases"] + project["cases"][:5])


@my_project.misconception
def has_a_metric_that_is_always_content():
    """The metric says 1 whatever the result is, so the score means nothing. It has to compare the
    result with the expected answer."""
    return _changed(metric=lambda project: lambda result, expected: 1.0)


@my_project.misconception
def has_a_metric_that_is_never_content():
    """The metric is below 1 even for the expected answer itself. Perhaps it compares two things of
    different form, such as a text and a list, or a text with and without a blank in front. Try
    `metric(expected, expected)`."""
    return _changed(metric=lambda project: lambda result, expected: result == [expected])


@my_project.misconception
def says_the_same_thing_every_time():
    """The pipeline is no better than one that gives the most common answer to everything. Look at
    its failures, and begin with what the simplest baseline would do."""

    def make(project):
        return pipeline.Pipeline.from_functions(
            list, list, lambda outputs, inputs: ["German"] * len(inputs)
        )

    return _changed(system=make)


class _Forwarding(pipeline.Pipeline):
    """The sample project's pipeline inside another one."""

    def __init__(self, inner):
        self.inner = inner


@my_project.misconception
def gives_its_answers_in_another_order():
    """The results come in an order that is not that of the inputs. Perhaps the pipeline sorts them
    by length, or goes through a set. Put them back in order."""

    class InOrderOfLength(_Forwarding):
        def __call__(self, inputs):
            if not isinstance(inputs, list):
                return self.inner(inputs)
            return self.inner(sorted(inputs, key=len))

    return _changed(system=lambda project: InOrderOfLength(project["system"]))


@my_project.misconception
def gives_a_list_for_one_input():
    """Handed one input, the pipeline returns a list. Your `Pipeline` sees to this: is it what you
    build on, without a `__call__` of your own on top?"""

    class AlwaysAList(_Forwarding):
        def __call__(self, inputs):
            return self.inner(inputs if isinstance(inputs, list) else [inputs])

    return _changed(system=lambda project: AlwaysAList(project["system"]))


@my_project.misconception
def does_not_return_its_four_parts():
    """`my_project` returns four things, in this order: the pipeline, its examples, the cases and
    the metric. Is there a `return` with all of them?"""
    return pipeline.my_project()[0]


@my_project.alternative
def counts_the_words_of_a_text():
    """No model and no examples: a metric that gives a part of the mark."""
    texts = [" ".join(_WORDS[: 1 + i % len(_WORDS)]) + f" {i}" for i in range(25)]

    def near(result, expected):
        return max(0.0, 1 - abs(result - expected) / 10)

    system = pipeline.Pipeline.from_functions(
        lambda inputs: [text.split() for text in inputs],
        lambda batch: [len(words) for words in batch],
        lambda outputs, inputs: outputs,
        batch_size=4,
    )
    return system, [], [(text, len(text.split())) for text in texts], near


@my_project.alternative
def remembers_the_first_word():
    """Learns a table from its examples; inputs are pairs."""
    kinds = {"kettle": "kitchen", "pan": "kitchen", "lamp": "living room", "sofa": "living room"}
    pairs = [((word, number), kind) for number in range(8) for word, kind in kinds.items()]
    examples, cases = pairs[:8], pairs[8:]
    votes = {}
    for (word, _), kind in examples:
        votes.setdefault(word, Counter())[kind] += 1

    class Table(pipeline.Pipeline):
        def preprocess(self, inputs):
            return [word for word, _ in inputs]

        def forward(self, batch):
            return [votes[word] for word in batch]

        def postprocess(self, outputs, inputs):
            return [count.most_common(1)[0][0] for count in outputs]

    return Table(), examples, cases, lambda result, expected: float(result == expected)
