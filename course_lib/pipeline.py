"""From a model to a product: pipelines, their evaluation, and what they cost (notebook 13)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import torch

from course_lib.arguments import check_arguments
from course_lib.data.number_words import LANGUAGES, spell_number

__all__ = [
    "Encodes",
    "Pipeline",
    "evaluate_pipeline",
    "fertility",
    "my_project",
    "serving_cost",
    "sign_test",
]


@runtime_checkable
class Encodes(Protocol):
    """A tokenizer, as far as counting goes: it adds no special tokens."""

    def encode(self, text: str) -> list[int]: ...


def fertility(tokenizer: Encodes, text: str) -> float:
    """Tokens per word: how finely a tokenizer cuts a text (Rust et al. 2021, section 3.2).

    Args:
        tokenizer: `encode(text)` gives a list of ids, without special tokens.
        text: encoded as a whole; words are what stands between whitespace.

    Raises:
        ValueError: `text` holds no word.
    """
    words = text.split()
    if not words:
        raise ValueError(f"text must hold at least one word, got {text!r}")

    return len(tokenizer.encode(text)) / len(words)


class Pipeline:
    """A model with all that stands before and after it: inputs in, results out.

    A subclass writes three methods. Each works on a whole batch:

    - `preprocess(inputs)`: a list of inputs to what the model takes;
    - `forward(batch)`: the model;
    - `postprocess(outputs, inputs)`: what the model gave, to a list with one result per input.

    Attributes:
        batch_size: the most inputs that go through together; what that may be is a matter of
            memory.
    """

    batch_size = 16

    def preprocess(self, inputs: list) -> Any:  # type: ignore[type-arg]
        raise NotImplementedError(f"{type(self).__name__} has no preprocess yet")

    def forward(self, batch: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no forward yet")

    def postprocess(self, outputs: Any, inputs: list) -> list:  # type: ignore[type-arg]
        raise NotImplementedError(f"{type(self).__name__} has no postprocess yet")

    def __call__(self, inputs: Any) -> Any:
        """Run the three, `batch_size` inputs at a time.

        Args:
            inputs: a list of inputs; anything else (a text, a tuple, a dict) is one input.

        Returns:
            A list of results in the same order; a single result for a single input.

        Raises:
            ValueError: `postprocess` gave more or fewer results than it had inputs.
        """
        if not isinstance(inputs, list):
            return self([inputs])[0]
        results = []
        for start in range(0, len(inputs), self.batch_size):
            part = inputs[start : start + self.batch_size]
            outputs = self.forward(self.preprocess(part))
            answers = self.postprocess(outputs, part)
            if len(answers) != len(part):
                raise ValueError(f"postprocess gave {len(answers)} results for {len(part)} inputs")
            results.extend(answers)
        return results

    @classmethod
    def from_functions(
        cls,
        preprocess: Callable,  # type: ignore[type-arg]
        forward: Callable,  # type: ignore[type-arg]
        postprocess: Callable,  # type: ignore[type-arg]
        batch_size: int = 16,
    ) -> "Pipeline":
        """A pipeline out of three functions, for those who need no subclass."""
        pipeline = cls()
        pipeline.preprocess, pipeline.forward = preprocess, forward  # type: ignore[method-assign]
        pipeline.postprocess, pipeline.batch_size = postprocess, batch_size  # type: ignore[method-assign]
        return pipeline


def evaluate_pipeline(
    pipeline: Callable[[list], list],  # type: ignore[type-arg]
    cases: Sequence[tuple[Any, Any]],
    metric: Callable[[Any, Any], float],
) -> dict[str, Any]:
    """How good a pipeline is on cases it has not learned from.

    Args:
        pipeline: takes a list of inputs, gives a list of results.
        cases: (input, expected) pairs.
        metric: `metric(result, expected)` is from 0 to 1, and 1 (or True) is fully right.

    Returns:
        `score`: the mean of the metric. `n`: the number of cases. `failures`: a list of
        (input, expected, result), in order, for all cases below 1.

    Raises:
        ValueError: there is no case.
    """
    if not cases:
        raise ValueError("cases must hold at least one (input, expected) pair, got none")

    inputs = [given for given, _ in cases]
    results = pipeline(inputs)
    total, failures = 0.0, []
    for (given, expected), result in zip(cases, results, strict=True):
        value = metric(result, expected)
        total += value
        if value < 1:
            failures.append((given, expected, result))
    return {"score": total / len(cases), "n": len(cases), "failures": failures}


def sign_test(only_first: int, only_second: int) -> float:
    """How easily chance alone would split the cases on which two systems differ so unevenly.

    Where both are right, or both wrong, a case says nothing about which is better. If neither is,
    each of the others is a toss of a fair coin. (The exact form of McNemar's test.)

    Args:
        only_first: cases that the first system alone has right.
        only_second: cases that the second alone has right.

    Returns:
        The probability, 0 to 1, of a split at least as uneven, to either side.

    Raises:
        ValueError: a number is negative.
    """
    if only_first < 0 or only_second < 0:
        raise ValueError(
            f"only_first and only_second must not be negative, got {only_first}, {only_second}"
        )

    n = only_first + only_second
    fewer = min(only_first, only_second)
    tail = sum(math.comb(n, k) for k in range(fewer + 1)) / 2**n
    return min(1.0, 2 * tail)


def serving_cost(
    n_requests: int,
    n_input: float,
    n_output: float,
    *,
    input_speed: float,
    output_speed: float,
    price_per_hour: float,
    hours: float,
    peak: float = 1.0,
) -> float:
    """What it costs to answer requests on machines of one's own, rented by the hour.

    A machine is paid for all the time, busy or not, and there are as many of them as the busiest
    hour needs.

    Args:
        n_requests: requests in the whole time.
        n_input: tokens to read for each.
        n_output: tokens to write for each.
        input_speed: tokens a second that one machine reads.
        output_speed: tokens a second that one machine writes, for all its texts together.
        price_per_hour: of one machine.
        hours: the whole time; 730 is a month.
        peak: how many times more requests than on average come in the busiest hour.

    Returns:
        The cost of the whole time, in the currency of the price; of one machine if there is
        nothing to do.

    Raises:
        ValueError: a number is negative, or a speed or `hours` 0, or `peak` below 1.
    """
    numbers = {"n_requests": n_requests, "n_input": n_input, "n_output": n_output}
    for name, value in (numbers | {"price_per_hour": price_per_hour}).items():
        if not 0 <= value < math.inf:
            raise ValueError(f"{name} must be finite and not negative, got {value}")
    for name, value in {"input_speed": input_speed, "output_speed": output_speed}.items():
        if not value > 0:
            raise ValueError(f"{name} must be above 0 tokens a second, got {value}")
    if not 0 < hours < math.inf or not 1 <= peak < math.inf:
        raise ValueError(f"hours must be above 0 and peak at least 1, got {hours} and {peak}")

    seconds = n_input / input_speed + n_output / output_speed  # one machine, one request
    busy_hours = n_requests * seconds / 3600
    machines = max(1, math.ceil(busy_hours / hours * peak))
    return machines * hours * price_per_hour


def my_project() -> tuple[Pipeline, list, list, Callable[[Any, Any], float]]:  # type: ignore[type-arg]
    """A project, ready to be tried: here, which language a number is written in, from its letters.

    Returns:
        `pipeline`; `examples`, the (input, expected) pairs it has learned from; `cases`, those to
        test it with; and `metric`, as `evaluate_pipeline` takes it.
    """

    def letters(texts: list) -> torch.Tensor:  # type: ignore[type-arg]
        counts = [
            [float(text.count(chr(c))) for c in range(ord("a"), ord("z") + 1)] for text in texts
        ]
        return torch.nn.functional.normalize(torch.tensor(counts), dim=-1)  # [batch, 26]

    numbers = range(21, 99, 3)
    pairs = [(spell_number(n, language), language) for n in numbers for language in LANGUAGES]
    examples, cases = pairs[:12], pairs[12:]
    centroids = torch.stack(
        [
            letters([text for text, language in examples if language == known]).mean(0)
            for known in LANGUAGES
        ]
    )  # [languages, 26]

    class LanguageOfNumbers(Pipeline):
        def preprocess(self, inputs):  # type: ignore[no-untyped-def]
            return letters(inputs)

        def forward(self, batch):  # type: ignore[no-untyped-def]
            return batch @ centroids.T  # [batch, languages]

        def postprocess(self, outputs, inputs):  # type: ignore[no-untyped-def]
            return [list(LANGUAGES)[best] for best in outputs.argmax(-1).tolist()]

    def same(result: Any, expected: Any) -> bool:
        return result == expected

    return LanguageOfNumbers(), examples, cases, same


# Checked here, so that the functions above are what the exercises show.

fertility = check_arguments(fertility)
evaluate_pipeline = check_arguments(evaluate_pipeline)
sign_test = check_arguments(sign_test)
serving_cost = check_arguments(serving_cost)
