"""What `pipeline.Pipeline` demands."""

from __future__ import annotations

from course_lib import pipeline
from course_lib.checks.exercise import Case, Exercise
from course_lib.exercises.pipeline.shared import WORDS, refuses_by

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


def _two_calls(solution, inputs, again, batch_size):
    """The same pipeline is called twice."""
    made = solution().from_functions(list, list, lambda outputs, inputs: outputs, batch_size)
    return [list(made(inputs)), made(again)]


def _uneven(solution, inputs, batch_size):
    """The first batch gives one result too many, the last one too few."""
    counts = iter([1, -1])

    def postprocess(outputs, inputs):
        more = next(counts)
        return [*outputs, outputs[0]] if more > 0 else outputs[1:]

    return solution().from_functions(list, list, postprocess, batch_size)(inputs)


def _loses_one(solution, inputs, batch_size):
    def postprocess(outputs, inputs):
        return outputs[1:]

    return solution().from_functions(list, list, postprocess, batch_size)(inputs)


@Pipeline.cases
def _(draw):
    words = draw.random.sample([f"{w}{n}" for n, w in enumerate(WORDS)], len(WORDS))
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
    yield case("a list of one, and batches of 1", words[:1], 1)
    arguments = {"inputs": words[:3], "again": words[3:5], "batch_size": 2}
    yield Case("two calls of one pipeline", arguments, _two_calls)
    yield case("results that are None", words[:3], 16, _without_an_answer)
    if draw.hidden:
        many = [f"{word}{n}" for n in range(9) for word in words]
        yield case("many texts", many, 8)
    arguments = {"inputs": words[:3], "batch_size": 2}
    yield refuses_by("fewer results than inputs", arguments, "postprocess", _loses_one)
    about = "a result too many in one batch, and one too few in the next"
    yield refuses_by(about, {"inputs": words[:4], "batch_size": 2}, "postprocess", _uneven)


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
class KeepsTheResultsOfEarlierCalls(_Base):
    """The results of earlier calls are still in the list: it is made once and kept on `self`. Make
    a new one in each call."""

    def __call__(self, inputs):
        if not isinstance(inputs, list):
            return self.through([inputs])[0]
        kept = self.__dict__.setdefault("kept", [])
        kept.extend(self.all_of(inputs))
        return kept


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
