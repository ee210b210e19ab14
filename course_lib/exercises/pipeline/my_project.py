"""What `pipeline.my_project` demands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable

import numpy as np
import torch
from torch import Tensor

from course_lib import pipeline
from course_lib.checks.compare import difference
from course_lib.checks.exercise import Case, Exercise
from course_lib.exercises.pipeline.shared import WORDS

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
    keys, learned = list(map(_key, inputs)), {_key(given) for given, _ in examples}
    results = system(inputs)
    in_order = isinstance(results, list) and len(results) == len(inputs)
    facts = enough | {
        "no two cases have the same input": len(set(keys)) == len(keys),
        "no case is among the examples": learned.isdisjoint(keys),
        "a list gives a list with a result for each input": in_order,
    }
    if not in_order:
        return facts
    counts = Counter(map(_key, answers))
    common = max(answers, key=lambda answer: counts[_key(answer)])
    scores = list(map(metric, results, answers))
    own = [metric(expected, expected) for expected in answers]
    others = [metric(other, answers[0]) for other in answers]
    always = [metric(common, expected) for expected in answers]
    numbers = all(map(_is_share, [*scores, *own, *others, *always]))
    facts |= {
        "the results follow when the inputs change places": _same(
            system(inputs[::-1]), results[::-1]
        ),
        "one input gives what it gives in a list": _same(system(inputs[0]), results[0]),
        "the metric gives a number from 0 to 1": numbers,
    }
    if not numbers:
        return facts
    return facts | {
        "the expected answer itself counts as fully right": min(own) == 1,
        "another case's answer does not always count as right": min(others) < 1,
        "it beats giving the most common answer to everything": sum(scores) > sum(always),
    }


def _key(value):
    """What tells a value from others, also where `==` does not say yes or no, as with tensors."""
    if isinstance(value, Tensor | np.ndarray):
        return "array", *value.shape, *value.reshape(-1).tolist()
    if isinstance(value, list | tuple):
        return type(value).__name__, *map(_key, value)
    if isinstance(value, dict):
        return "dict", *((key, _key(item)) for key, item in value.items())
    return value if isinstance(value, Hashable) else repr(value)


def _same(one, other):
    """Equal, but for a model's rounding, which may differ from batch to batch."""
    return difference(_plain(one), _plain(other), 1e-3) is None


def _plain(value):
    if isinstance(value, np.ndarray):
        return torch.as_tensor(value)
    return list(map(_plain, value)) if isinstance(value, list) else value


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
    texts = [" ".join(WORDS[: 1 + i % len(WORDS)]) + f" {i}" for i in range(25)]

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
def adds_up_tensors():
    """Inputs are tensors, and answers too."""
    inputs = [torch.arange(3) + i for i in range(24)]
    system = pipeline.Pipeline.from_functions(
        torch.stack, lambda batch: batch.sum(1), lambda outputs, inputs: list(outputs)
    )
    cases = [(given, given.sum()) for given in inputs]
    return system, [], cases, lambda result, expected: bool((result == expected).all())


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
