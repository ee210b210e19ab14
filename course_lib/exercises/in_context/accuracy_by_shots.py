"""What `in_context.accuracy_by_shots` demands."""

from __future__ import annotations

import math

import torch

from course_lib import in_context
from course_lib.checks.exercise import Case, Exercise, refuses
from course_lib.exercises.in_context.shared import ARROW, ASKED, WORDS
from course_lib.in_context import exact_matches, rest_of_line, wilson_interval

accuracy_by_shots = Exercise(
    "in_context.accuracy_by_shots",
    points=3,
    reference=in_context.accuracy_by_shots,
    tolerance=1e-3,  # 1.96 or 1.959964
    seconds=10.0,
)


class Letters:
    """A tokenizer: each character is a token."""

    def __repr__(self):
        return "a token for each character"

    def encode(self, text):
        return [ord(letter) for letter in text]

    def decode(self, ids):
        return "".join(chr(id) for id in ids)


class Clerk:
    """A model of letters that reads the template, and answers as it is told.

    `knows(query, n_examples)` says whether it writes the right answer; `goes_on` makes it write
    more behind that. It remembers what it was shown.
    """

    def __init__(self, items, template, knows, goes_on=False):
        self.answers, self.knows, self.goes_on = dict(items), knows, goes_on
        self.before, self.after = template.split("{output}")
        self.head, self.middle = self.before.split("{input}")
        self.shown = set()

    def __call__(self, ids):
        rows = ["".join(chr(id) for id in row if id) for row in ids.tolist()]
        self.shown |= {self._read(row.rstrip("\n"))[:2] for row in rows}
        logits = torch.zeros(*ids.shape, 128)
        for number, row in enumerate(rows):
            for place in range(len(row)):
                logits[number, place, ord(self._next(row[: place + 1]))] = 1.0
        return logits

    def _read(self, text):
        """(query, examples, what is written of the answer) in a text that may break off."""
        start = text.rfind("\n" + self.head) + 1 if self.head else text.rfind("\n") + 1
        query, found, written = text[start + len(self.head) :].partition(self.middle.rstrip())
        lines = text[:start].removesuffix("\n")
        starts = ("\n" + self.head) if self.head else "\n"
        examples = tuple(lines.removeprefix(self.head).split(starts)) if lines else ()
        return query, examples, written if found else None

    def _next(self, text):
        query, examples, written = self._read(text)
        if written is None or query not in self.answers:
            return "?"
        blank = self.middle[len(self.middle.rstrip()) :]
        line = blank + self.answers[query] + self.after + ("!" if self.goes_on else "\n")
        right = line.startswith(written) and self.knows(query, len(examples))
        return line[len(written)] if right and written != line else "?"


def _ask(solution, items, shots, template, seed, known, needs, goes_on=False):
    """The accuracies, and what the model was shown."""
    clerk = Clerk(items, template, lambda query, n: query in known and n >= needs, goes_on)
    result = solution(clerk, Letters(), items, shots, template, seed)
    lines = {x + clerk.middle + y + clerk.after for x, y in items}
    example_of = {x: x + clerk.middle + y + clerk.after for x, y in items}
    shown = clerk.shown
    return {
        "accuracies": result,
        "questions and numbers of examples": sorted({(q, len(examples)) for q, examples in shown}),
        "an answer was in its own prompt": any(example_of.get(q) in e for q, e in shown),
        "an example stood twice in a prompt": any(len(set(e)) < len(e) for _, e in shown),
        "all examples were items, solved rightly": all(set(e) <= lines for _, e in shown),
    }


def _shown(solution, items, template, seed):
    """What a seed decides."""

    def prompts(seed):
        clerk = Clerk(items, template, lambda query, n: True)
        solution(clerk, Letters(), items, [4], template, seed)
        return clerk.shown

    state = torch.get_rng_state()
    first, again, others = prompts(seed), prompts(seed), [prompts(seed + i) for i in (1, 2, 3)]
    return {
        "the same seed gives the same prompts": first == again,
        "other seeds give others": any(first != other for other in others),
        "torch's own random numbers are left alone": torch.equal(state, torch.get_rng_state()),
    }


@accuracy_by_shots.cases
def _(draw):
    words = draw.random.sample(WORDS, 16)

    def items(n):
        return [(words[i], words[-1 - i][::-1]) for i in range(n)]

    def case(about, items, shots, known, needs=0, template=ARROW, goes_on=False):
        arguments = {"items": items, "shots": shots, "template": template}
        arguments |= {"seed": draw.random.randrange(1000), "known": known, "needs": needs}
        return Case(about, arguments | {"goes_on": goes_on}, _ask)

    four, six = items(4), items(6)
    everything = [x for x, _ in items(16)]
    yield case("a model that knows everything, no examples", four, [0], everything)
    yield case("a model that knows nothing", four, [0, 1], [])
    yield case("a model that knows some of the items", six, [0, 2], [x for x, _ in six[2:]])
    yield case("a model that needs two examples", six, [0, 1, 2, 4], everything, needs=2)
    yield case("all other items as examples", four, [3], everything, needs=3)
    yield case("numbers of shots out of order", six, [3, 0], [x for x, _ in six[:5]], needs=1)
    yield case("a model that goes on behind the answer", four, [1], everything, goes_on=True)
    yield case("a template of two lines", four, [0, 2], everything, needs=1, template=ASKED)
    yield case(
        "a template that goes on behind the output", four, [0, 2], [x for x, _ in four[1:]],
        template="{input} is {output}.",
    )  # fmt: skip
    yield case(
        "a template with a line behind the output", four, [0, 2], [x for x, _ in four[1:]],
        template="Q: {input}\nA: {output}\n--",
    )  # fmt: skip
    same = [(x, "yes" if i % 2 else "no") for i, (x, _) in enumerate(six)]
    yield case("two labels for all items", same, [0, 2], [x for x, _ in same[1:4]])
    arguments = {"items": items(8), "template": ARROW, "seed": draw.random.randrange(1000)}
    yield Case("the seed", arguments, _shown)
    clerk = Clerk(four, ARROW, lambda query, n: True)
    arguments = {"model": clerk, "tokenizer": Letters(), "items": four, "shots": [4]}
    yield refuses(
        "more shots than there are other items", arguments | {"template": ARROW, "seed": 0}, "shots"
    )
    if draw.hidden:
        many = items(16)
        yield case("sixteen items", many, [0, 5], everything[3:], needs=2)


def _shuffled(items, seed):
    order = torch.randperm(len(items), generator=torch.Generator().manual_seed(seed)).tolist()
    return [items[i] for i in order]


def _result(right, n):
    return (right / n, *wilson_interval(right, n))


def _accuracies(model, tokenizer, items, shots, template, seed, *, examples=None, ending=None,
                result=_result, prompt=in_context.build_prompt):  # fmt: skip
    """The reference, with places where a mistake can be put."""
    shuffled = _shuffled(items, seed)

    def first_others(query, k):
        return [item for item in shuffled if item[0] != query][:k]

    examples, ending = examples or first_others, ending or rest_of_line
    wanted = [ending(output, template) for _, output in items]
    accuracies = {}
    for k in shots:
        prompts = [prompt(examples(query, k), query, template) for query, _ in items]
        right = sum(exact_matches(model, tokenizer, prompts, wanted))
        accuracies[k] = result(right, len(items))
    return accuracies


@accuracy_by_shots.misconception
def shows_some_items_an_example_less(model, tokenizer, items, shots, template, seed):
    """The same k items are the examples of every query. Where the query is one of them,
    `build_prompt` leaves it out, and k - 1 examples remain. Choose among the *others* first, then
    take k."""
    shuffled = _shuffled(items, seed)
    return _accuracies(
        model, tokenizer, items, shots, template, seed, examples=lambda query, k: shuffled[:k]
    )


@accuracy_by_shots.misconception
def shows_the_answer_in_the_prompt(model, tokenizer, items, shots, template, seed):
    """The item that is asked may stand among its own examples, answer and all. A model that only
    copies would look clever. Take the examples from the *other* items."""

    def with_everything(examples, query, template):
        before, after = template.split("{output}")
        lines = [before.replace("{input}", x) + y + after for x, y in examples]
        return "\n".join([*lines, before.replace("{input}", query).rstrip()])

    shuffled = _shuffled(items, seed)
    return _accuracies(
        model, tokenizer, items, shots, template, seed, examples=lambda query, k: shuffled[:k],
        prompt=with_everything,
    )  # fmt: skip


@accuracy_by_shots.misconception
def does_not_shuffle(model, tokenizer, items, shots, template, seed):
    """The examples are always the first items, whatever the seed. With one choice of examples you
    never learn how much depends on it: let the seed shuffle."""
    return _accuracies(
        model, tokenizer, items, shots, template, seed,
        examples=lambda query, k: [item for item in items if item[0] != query][:k],
    )  # fmt: skip


@accuracy_by_shots.misconception
def uses_torchs_own_random_numbers(model, tokenizer, items, shots, template, seed):
    """`torch.manual_seed` sets the random numbers of the whole program: whoever draws after you
    gets others than expected. Make a generator of your own,
    `torch.Generator().manual_seed(seed)`, and hand it to `torch.randperm`."""
    torch.manual_seed(seed)
    shuffled = [items[i] for i in torch.randperm(len(items)).tolist()]
    return _accuracies(
        model, tokenizer, items, shots, template, seed,
        examples=lambda query, k: [item for item in shuffled if item[0] != query][:k],
    )  # fmt: skip


@accuracy_by_shots.misconception
def draws_examples_twice(model, tokenizer, items, shots, template, seed):
    """Some prompts hold the same example twice: you draw with replacement. Shuffle, and take the
    first k."""
    generator = torch.Generator().manual_seed(seed)

    def drawn(query, k):
        others = [item for item in items if item[0] != query]
        places = torch.randint(len(others), (k,), generator=generator).tolist()
        return [others[place] for place in places]

    return _accuracies(model, tokenizer, items, shots, template, seed, examples=drawn)


@accuracy_by_shots.misconception
def asks_only_the_items_that_are_not_shown(model, tokenizer, items, shots, template, seed):
    """You show k items and ask about the rest. Then the questions are fewer, and others, for each
    number of shots. Ask about every item; only its own examples have to be others."""
    result = {}
    for k in shots:
        examples = _shuffled(items, seed)[:k]
        asked = [item for item in items if item not in examples]
        prompts = [in_context.build_prompt(examples, query, template) for query, _ in asked]
        endings = [rest_of_line(output, template) for _, output in asked]
        result[k] = _result(sum(exact_matches(model, tokenizer, prompts, endings)), len(asked))
    return result


@accuracy_by_shots.misconception
def is_content_with_a_beginning(model, tokenizer, items, shots, template, seed):
    """You count an answer as right when it *begins* right. "box" begins "boxes": the line has to
    end where the answer ends. `rest_of_line` includes the newline."""
    return _accuracies(
        model, tokenizer, items, shots, template, seed,
        ending=lambda output, template: rest_of_line(output, template).removesuffix("\n"),
    )  # fmt: skip


@accuracy_by_shots.misconception
def uses_the_normal_interval(model, tokenizer, items, shots, template, seed):
    """Your interval is p plus and minus 1.96 standard errors. With few items it is too narrow, it
    has no width where all or none are right, and it may leave 0 ... 1. Use
    `wilson_interval`."""

    def result(right, n):
        share = right / n
        half = 1.96 * math.sqrt(share * (1 - share) / n)
        return share, share - half, share + half

    return _accuracies(model, tokenizer, items, shots, template, seed, result=result)


@accuracy_by_shots.misconception
def returns_accuracies_alone(model, tokenizer, items, shots, template, seed):
    """The accuracies are there, but not their intervals. For each number of shots return three
    numbers: accuracy, low, high."""
    return _accuracies(
        model, tokenizer, items, shots, template, seed, result=lambda right, n: right / n
    )


@accuracy_by_shots.misconception
def counts_in_percent(model, tokenizer, items, shots, template, seed):
    """You return percentages. An accuracy is a share here, between 0 and 1."""
    return _accuracies(
        model, tokenizer, items, shots, template, seed,
        result=lambda right, n: tuple(100 * share for share in _result(right, n)),
    )  # fmt: skip


@accuracy_by_shots.misconception
def returns_the_interval_without_the_accuracy(model, tokenizer, items, shots, template, seed):
    """You return low and high. Three numbers are asked for: the accuracy itself comes first."""
    return _accuracies(
        model, tokenizer, items, shots, template, seed, result=lambda r, n: wilson_interval(r, n)
    )


def _must_have_others(items, shots):
    if max(shots) >= len(items):
        raise ValueError("shots: there are not enough other items")


@accuracy_by_shots.alternative
def with_new_examples_for_each_item(model, tokenizer, items, shots, template, seed):
    """Every query draws its own examples."""
    _must_have_others(items, shots)
    generator = torch.Generator().manual_seed(seed)

    def drawn(query, k):
        others = [item for item in items if item[0] != query]
        return [others[i] for i in torch.randperm(len(others), generator=generator)[:k]]

    return _accuracies(model, tokenizer, items, shots, template, seed, examples=drawn)


@accuracy_by_shots.alternative
def by_writing_token_after_token(model, tokenizer, items, shots, template, seed):
    """The model writes; Python's own random numbers choose the examples."""
    import random

    _must_have_others(items, shots)
    order = list(items)
    random.Random(seed).shuffle(order)
    result = {}
    for k in shots:
        right = 0
        for query, output in items:
            examples = [item for item in order if item[0] != query][:k]
            ids = tokenizer.encode(in_context.build_prompt(examples, query, template))
            wanted = tokenizer.encode(rest_of_line(output, template))
            new = []
            while len(new) < len(wanted):
                new.append(int(model(torch.tensor([ids + new]))[0, -1].argmax()))
                if new[-1] != wanted[len(new) - 1]:
                    break
            right += new == wanted
        result[k] = _result(right, len(items))
    return result
