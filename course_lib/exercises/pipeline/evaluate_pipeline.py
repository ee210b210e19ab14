"""What `pipeline.evaluate_pipeline` demands."""

from __future__ import annotations

import math

from course_lib import pipeline
from course_lib.checks.exercise import Case, Exercise
from course_lib.exercises.pipeline.shared import refuses_by

evaluate_pipeline = Exercise(
    "pipeline.evaluate_pipeline", points=3, reference=pipeline.evaluate_pipeline
)


def _case_of(about, cases, answers, metric):
    """`answers` maps inputs to results; the stand-in for a pipeline looks them up."""

    needed = {given: answers[given] for given, _ in cases if given in answers}
    return Case(about, {"cases": cases, "answers": needed, "metric": metric}, _look_answers_up)


def _look_answers_up(solution, cases, answers, metric):
    calls = []

    def answer(given):
        return answers.get(given) if isinstance(given, str) else "?"

    def system(inputs):
        calls.append(len(inputs) if isinstance(inputs, list) else "no list")
        return list(map(answer, inputs)) if isinstance(inputs, list) else answer(inputs)

    return {"result": solution(system, cases, metric), "inputs in each call": calls}


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
    some = right | dict.fromkeys(questions[1 : n // 2], "sand")
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
    yield refuses_by("no cases", nothing, "cases", _look_answers_up)


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
def asks_one_input_at_a_time(pipeline, cases, metric):
    """The numbers are right, but the pipeline is called for each input by itself, so it can never
    make batches. Hand it all inputs in one list."""
    triples = [(given, expected, pipeline(given)) for given, expected in cases]
    return _evaluation(triples, [metric(r, expected) for _, expected, r in triples])


@evaluate_pipeline.misconception
def asks_with_lists_of_one(pipeline, cases, metric):
    """The numbers are right, but each input goes to the pipeline in a list of its own, so it can
    never make batches. Hand it all inputs in one list."""
    triples = [(given, expected, pipeline([given])[0]) for given, expected in cases]
    return _evaluation(triples, [metric(r, expected) for _, expected, r in triples])


@evaluate_pipeline.misconception
def asks_twice(pipeline, cases, metric):
    """The numbers are right, but the pipeline does all its work twice: once for the score, once for
    the failures. Keep its results."""
    _triples(pipeline, cases)
    triples = _triples(pipeline, cases)
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
def in_a_loop(pipeline, cases, metric):
    """One walk over cases and results."""
    if len(cases) == 0:
        raise ValueError("cases is empty")
    values, failures = [], []
    for (given, expected), result in zip(cases, pipeline([case[0] for case in cases])):
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
