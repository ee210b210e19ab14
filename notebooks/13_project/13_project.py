# %% [markdown]
# # Project: from use case to product
#
# **You have a task. Which model, how adapted, running where, and is it good enough?**
#
# You know how the models work: an encoder reads, a decoder writes, an encoder-decoder rewrites. A product needs more than a model. Somebody has to choose one, fit it to the task, put it between real inputs and useful answers, find out how often it is wrong, and pay for it. This notebook does that once, for a small shop, with all three families. Three decisions are to be made, and for each you will have numbers that you measured on your own machine. Then it is your turn, with a task of your own.
#
# > **You will build** a pipeline that takes one input or thousands, an evaluation with held-out cases, a test that says whether a difference is real, a bill for serving, and a small app. At the end stands your own project.
# >
# > **You need** the three families (notebooks 05 to 07), tokenizers (01), decoding (08) and prompts with examples (09). You need no new mathematics.
# >
# > **It takes** about 100 minutes to work through, without your own project, and under 60 seconds to run.

# %%
import argparse
import html
import inspect
import lzma
import math
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch
from IPython.display import HTML, display
from ipywidgets import Layout, Text, interact
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn.functional import normalize

from course_lib.checks import check
from course_lib.data.number_words import (
    END,
    LANGUAGES,
    PAD,
    START,
    pad_rows,
    spell_number,
    split_numbers,
    train_tokenizer,
)
from course_lib.data.python_reference import python_reference_text
from course_lib.data.shop_messages import TEAMS, known_and_held_out, shop_messages
from course_lib.decoder import Cache, decode_step, inference_memory
from course_lib.decoding import pad_left
from course_lib.encoder import mean_pool
from course_lib.encoder_decoder import greedy_translate
from course_lib.experiments import encoder_decoder as translation
from course_lib.in_context import build_prompt, contextual_calibration, wilson_interval
from course_lib.pipeline import Encodes
from course_lib.plots import pipeline as plots
from course_lib.pretrained import load_minilm, load_smollm2
from course_lib.scaling.published import MODELS
from course_lib.syllabus import CHAPTERS
from course_lib.tokenization import prompt_cost, train_bpe

torch.set_printoptions(precision=3, sci_mode=False)

# %% [markdown]
# Every such project goes the same way round, and each notebook of the course has its place on it:

# %% tags=["experiment"]
PLACES = {"use case": "00 13", "model": "01 02 03 04 05 06 07 10 12", "adapt": "05 09 11", "integrate": "08 13"}
plots.life_cycle_chart({
    stage: [f"{c.notebook[:2]} {c.title}" for c in CHAPTERS if c.notebook[:2] in numbers.split()]
    for stage, numbers in PLACES.items()
})  # fmt: skip

# %% [markdown]
# ## 1. The task comes first
#
# **Begin with inputs, outputs and what counts as right. A model comes later.** Our shop sells household things and gets messages. Five teams answer them, and somebody has to pass each message on, with the product it is about. We have a hundred messages for which both are known.

# %%
known, held_out = known_and_held_out(6)
held_out.sort(key=lambda message: len(message.text))  # batches of like lengths need little padding
print(f"{len(known)} known messages, {len(held_out)} held out; teams: {', '.join(TEAMS)}")
for message in known[:5]:
    print(f"{message.team:9} {message.product:8} {message.text}")

# %% [markdown]
# Two tasks are in here. *Which team?* has five possible answers. *Which product?* has as many answers as there are words, and no two of our messages are about the same product. A third task will come when the shop wants German.
#
# The messages are split before anything else happens. From the **known** ones we may learn: look at them, put them into prompts, fit a model to them. The **held-out** ones are for the test, and nobody learns from them. A score on messages that the system has seen says how well it remembers.

# %%
print("known, by team:   ", dict(Counter(message.team for message in known)))
print("held out, by team:", dict(Counter(message.team for message in held_out)))

# %% [markdown]
# ## 2. A pipeline: before, model, after
#
# **A model eats tensors of ids and gives tensors of numbers. A product gets texts and owes answers. What stands between is called a *pipeline*, and it has three parts:**
#
# | part | gets | gives | in notebook 00 |
# |---|---|---|---|
# | `preprocess(inputs)` | a list of inputs | what the model takes | text to ids |
# | `forward(batch)` | that | what the model gives | ids to logits |
# | `postprocess(outputs, inputs)` | that, and the inputs again | a list, one result for each input | logits to text |
#
# Why take it apart? Each part can be tested alone. The same model serves several tasks with another `postprocess`. And batches, which make models fast, are dealt with once for all. (Libraries do the same: `transformers.Pipeline` has `preprocess`, `_forward` and `postprocess`.)
#
# By hand, with a "model" that adds numbers:

# %%
inputs = ["2 + 3", "10 + 20 + 30"]
batch = [[int(number) for number in text.split(" + ")] for text in inputs]  # preprocess
outputs = [sum(numbers) for numbers in batch]  # forward
results = [f"{text} = {total}" for text, total in zip(inputs, outputs)]  # postprocess
print(batch, outputs, results, sep="\n")


# %% [markdown]
# ### Exercise: Pipeline (3 points)
#
# Write `__call__`, which runs the three parts. They are empty here; subclasses fill them.
#
# - `inputs` is a list of inputs, or a single input: everything that is not a list is *one* input (a text, a tuple, a dict).
# - The result has the same form: a list of results in the same order, or one result. An empty list gives an empty list.
# - `self.batch_size` inputs go through the three parts together; only the last batch may be smaller. Nothing is kept from one call to the next.
# - `postprocess` gets the outputs of a batch and the inputs of the same batch. If it gives more or fewer results than it had inputs, raise a `ValueError` that names `postprocess`.
#
# `from_functions` is given: it makes a pipeline out of three functions, without a subclass.
#
# ```python
# shout = Pipeline.from_functions(list, list, lambda outputs, inputs: [x.upper() for x in outputs])
# shout("a"), shout(["a"]), shout([])  # ("A", ["A"], [])
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# Solve it for lists first. For a single input there is a short way: what is `self([one])`?
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# If `inputs` is not a list: call yourself with a list of one, and return the first result. Otherwise begin with an empty list of results, step through the inputs, take a slice, send it through the three parts, compare the lengths, and extend the results.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `for start in range(0, len(inputs), self.batch_size):` with `part = inputs[start : start + self.batch_size]`, `outputs = self.forward(self.preprocess(part))`, `answers = self.postprocess(outputs, part)`, the check of `len(answers)`, and `results.extend(answers)`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "pipeline-Pipeline", "locked": false, "schema_version": 3, "solution": true, "task": false}
class Pipeline:
    """A model with all that stands before and after it: inputs in, results out.

    >>> shout = Pipeline.from_functions(list, list, lambda outputs, inputs: [x.upper() for x in outputs])
    >>> shout("a"), shout(["a", "b"])
    ('A', ['A', 'B'])
    """

    batch_size = 16

    def preprocess(self, inputs: list) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no preprocess yet")

    def forward(self, batch: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no forward yet")

    def postprocess(self, outputs: Any, inputs: list) -> list:
        raise NotImplementedError(f"{type(self).__name__} has no postprocess yet")

    def __call__(self, inputs: Any) -> Any:
        """A list of results for a list of inputs, one result for anything else."""
        ### BEGIN SOLUTION
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
        ### END SOLUTION

    @classmethod
    def from_functions(
        cls, preprocess: Callable, forward: Callable, postprocess: Callable, batch_size: int = 16
    ) -> "Pipeline":
        """A pipeline out of three functions, for those who need no subclass."""
        pipeline = cls()
        pipeline.preprocess, pipeline.forward = preprocess, forward
        pipeline.postprocess, pipeline.batch_size = postprocess, batch_size
        return pipeline


# %% nbgrader={"grade": true, "grade_id": "check-pipeline-Pipeline", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check("pipeline.Pipeline", Pipeline)
### BEGIN HIDDEN TESTS
check("pipeline.Pipeline", Pipeline, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# ### The first pipeline needs no model
#
# **Before any model, write down the simplest thing that could work.** It is called a *baseline*, it takes minutes, and whatever comes later has to beat it. Ours knows which words each team's known messages contain, and chooses the team that shares most words with the new message.

# %%
def words_of(text: str) -> set[str]:
    """The words of a text, in lower case, without punctuation."""
    return set(text.lower().replace(".", " ").replace(",", " ").replace("?", " ").split())


class SharedWords(Pipeline):
    """The team whose known messages share most words with the new one."""

    def __init__(self, messages: Sequence) -> None:
        self.seen = {team: Counter() for team in TEAMS}
        for message in messages:
            self.seen[message.team].update(words_of(message.text))

    def preprocess(self, inputs):
        return [words_of(text) for text in inputs]

    def forward(self, batch):
        return [[sum(word in self.seen[team] for word in words) for team in TEAMS] for words in batch]

    def postprocess(self, outputs, inputs):
        return [TEAMS[counts.index(max(counts))] for counts in outputs]


baseline = SharedWords(known)
print(baseline("My kettle has not arrived."))
print(baseline([message.text for message in held_out[:3]]), [m.team for m in held_out[:3]])

# %% [markdown]
# ## 3. Is it good? Held-out cases
#
# **A score is the mean of a *metric* over cases that the system has not learned from.** The metric compares a result with the expected answer and gives a number from 0 (wrong) to 1 (right). Which metric is right depends on the task: *equal* for a team, *equal but for capitals* for a name, *share of the words found* for a summary. By hand:

# %%
metric_values = [1, 0, 1, 1]  # four cases, one wrong
print("score:", sum(metric_values) / len(metric_values))


# %% [markdown]
# ### Exercise: evaluate_pipeline (3 points)
#
# - `pipeline` takes a list of inputs and gives a list of results. `cases` holds (input, expected) pairs. `metric(result, expected)` gives a number from 0 to 1, or a bool.
# - Hand the pipeline the inputs alone, all in one list and once, so that it can make batches.
# - Return a dict: `score`, the mean of the metric, a float; `n`, the number of cases; `failures`, a list of tuples (input, expected, result) in the order of the cases, for every case whose metric is below 1.
# - No cases are an error (given).
#
# ```python
# evaluate_pipeline(lambda texts: [len(t) for t in texts], [("ab", 2), ("abc", 5)], lambda r, e: r == e)
# # {"score": 0.5, "n": 2, "failures": [("abc", 5, 3)]}
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# Three lists of the same length run side by side: inputs, expected answers, results. `zip` joins them.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# Take the inputs out of the cases. Run the pipeline on them once. Go through cases and results together: work out the metric, add it to a total, and note the case if the metric is below 1.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `for (given, expected), result in zip(cases, results, strict=True):` with `value = metric(result, expected)`, `total += value`, and `failures.append((given, expected, result))` if `value < 1`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "pipeline-evaluate_pipeline", "locked": false, "schema_version": 3, "solution": true, "task": false}
def evaluate_pipeline(
    pipeline: Callable[[list], list],
    cases: Sequence[tuple[Any, Any]],
    metric: Callable[[Any, Any], float],
) -> dict[str, Any]:
    """The mean of the metric over held-out cases, their number, and all that is not fully right.

    >>> evaluate_pipeline(lambda texts: texts, [("a", "a"), ("b", "c")], lambda r, e: r == e)
    {'score': 0.5, 'n': 2, 'failures': [('b', 'c', 'b')]}
    """
    if not cases:
        raise ValueError("cases must hold at least one (input, expected) pair, got none")

    ### BEGIN SOLUTION
    inputs = [given for given, _ in cases]
    results = pipeline(inputs)
    total, failures = 0.0, []
    for (given, expected), result in zip(cases, results, strict=True):
        value = metric(result, expected)
        total += value
        if value < 1:
            failures.append((given, expected, result))
    return {"score": total / len(cases), "n": len(cases), "failures": failures}
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-pipeline-evaluate_pipeline", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check("pipeline.evaluate_pipeline", evaluate_pipeline)
### BEGIN HIDDEN TESTS
check("pipeline.evaluate_pipeline", evaluate_pipeline, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# The baseline on our held-out messages. Beside each score stands its 95 % interval, the `wilson_interval` of notebook 09: with so few cases, a score is a rough guess of how often the system would be right on *all* messages to come.

# %%
team_cases = [(message.text, message.team) for message in held_out]


def equal(result: str, expected: str) -> bool:
    """Right is what is the same, letter for letter."""
    return result == expected


def say(name: str, found: dict) -> None:
    """A line about an evaluation by right or wrong."""
    n_right = found["n"] - len(found["failures"])
    low, high = wilson_interval(n_right, found["n"])
    print(f"{name:28} {n_right:3} of {found['n']}  {found['score']:6.1%}  ({low:.0%} to {high:.0%})")


found = evaluate_pipeline(baseline, team_cases, equal)
say("shared words", found)
say("the same, on known messages", evaluate_pipeline(baseline, [(m.text, m.team) for m in known], equal))
for text, expected, result in found["failures"][:4]:
    print(f"   expected {expected:9} got {result:9} {text}")

# %% [markdown]
# Look at the two scores. On the messages it has learned from, the baseline is hardly ever wrong. That number is worthless, and it is what you get if you forget to hold cases out. (Guessing among five teams would be right one time in five.)
#
# Read failures before you change anything. They tell you what a score cannot: here the same small words occur everywhere, and the words that matter occur nowhere else.

# %% [markdown]
# ## 4. Decision one: which family?
#
# **Ask what the task needs: to understand a text as a whole, to write freely, or to rewrite.** Encoders read both ways and give a vector for a text; a classifier on top needs a few labels. Decoders write, and a prompt with examples makes them do nearly anything, at the price of size. A first guess for *which team?* is the encoder. We measure both, and fairly: each gets the same thirty labelled messages, and each the care that its kind needs.
#
# **The encoder's pipeline.** MiniLM (notebook 05) turns each message into a vector of length 1. A team's *centroid* is the mean of the vectors of its known messages. A new message goes to the nearest one. Nothing is trained.

# %% tags=["experiment"]
encoder, encoder_tokenizer = load_minilm()


class Router(Pipeline):
    """The team whose known messages are nearest in MiniLM's space."""

    def __init__(self, messages: Sequence) -> None:
        vectors = self.forward(self.preprocess([message.text for message in messages]))
        means = [vectors[[m.team == team for m in messages]].mean(0) for team in TEAMS]
        self.centroids = normalize(torch.stack(means), dim=-1)  # [teams, width]

    def preprocess(self, inputs):
        start, end = encoder_tokenizer.cls_id, encoder_tokenizer.sep_id
        rows = [[start, *encoder_tokenizer.encode(text)[:254], end] for text in inputs]
        longest = max(map(len, rows))
        ids = torch.tensor([row + [encoder_tokenizer.pad_id] * (longest - len(row)) for row in rows])
        return ids, ids != encoder_tokenizer.pad_id

    @torch.no_grad()
    def forward(self, batch):
        ids, attention_mask = batch
        pooled = mean_pool(encoder(ids, attention_mask.long()), attention_mask.long())
        return normalize(pooled, dim=-1)  # [batch, width]

    def postprocess(self, outputs, inputs):
        return [TEAMS[best] for best in (outputs @ self.centroids.T).argmax(-1).tolist()]


router = Router(known)
print(router("Where is my parcel?"), router(["It smells of smoke.", "I paid twice!"]))

# %% [markdown]
# **The decoder's pipeline.** SmolLM2 gets some known messages with their teams, and then the new message (`build_prompt`, notebook 09). The examples are the same every time, so their keys and values are computed once and kept (notebook 06); only the new message is read. To classify, we let it write nothing: it is asked how probable the first token of each team's name is. A decoder has favourites among the names before it has read anything, so its probabilities are calibrated as in notebook 09: divided by those that it gives for messages without content.

# %% tags=["experiment"]
decoder, decoder_tokenizer = load_smollm2()


class Prompted(Pipeline):
    """SmolLM2 with examples: what it writes up to the end of the line."""

    max_new_tokens = 5

    @torch.no_grad()
    def __init__(self, examples: Sequence[tuple[str, str]], template: str) -> None:
        *others, (last, answer) = examples
        self.template, self.between = template, template.partition("{output}")[2] + "\n"
        shown = f"{build_prompt(others, last, template)} {answer}"
        self.cache = decode_step(decoder, torch.tensor([decoder_tokenizer.encode(shown)]))[1]

    def preprocess(self, inputs):
        questions = [self.between + build_prompt([], text, self.template) for text in inputs]
        return pad_left([decoder_tokenizer.encode(question) for question in questions])

    def read(self, ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Cache]:
        """The examples, from the cache, and then the question: logits [batch, vocab]."""
        rows = [len(ids), -1, -1, -1]
        keys, values = ([part.expand(rows) for part in kind] for kind in (self.cache.keys, self.cache.values))
        seen = self.cache.attention_mask.expand(len(ids), -1)
        return decode_step(decoder, ids, Cache(tuple(keys), tuple(values), seen), attention_mask)

    @torch.no_grad()
    def forward(self, batch):
        logits, cache = self.read(*batch)
        written = [logits.argmax(-1, keepdim=True)]  # greedy
        while len(written) < self.max_new_tokens:
            logits, cache = decode_step(decoder, written[-1], cache)
            written.append(logits.argmax(-1, keepdim=True))
        return torch.cat(written, dim=1)  # [batch, max_new_tokens]

    def postprocess(self, outputs, inputs):
        return [decoder_tokenizer.decode(row).partition("\n")[0].strip() for row in outputs.tolist()]


class PromptedChoice(Prompted):
    """SmolLM2 with examples: which of the team names it would rather begin to write."""

    def __init__(self, examples: Sequence[tuple[str, str]], template: str) -> None:
        super().__init__(examples, template)
        self.shares: dict[str, Tensor] = {}  # of the teams, before calibration: [teams] for each text asked
        nothing = ["N/A", "[MASK]", "..."]
        self.content_free = self.forward(self.preprocess(nothing)).mean(0)  # [teams]

    @torch.no_grad()
    def forward(self, batch):
        first = [decoder_tokenizer.encode(f" {team}")[0] for team in TEAMS]
        return self.read(*batch)[0][:, first].softmax(-1)  # [batch, teams]

    def postprocess(self, outputs, inputs):
        self.shares.update(zip(inputs, outputs))
        calibrated = contextual_calibration(outputs, self.content_free)
        return [TEAMS[best] for best in calibrated.argmax(-1).tolist()]


TEAM_TEMPLATE = "Message: {input}\nTeam: {output}\n"
chooser = PromptedChoice([(m.text, m.team) for m in known], TEAM_TEMPLATE)
print(chooser("Where is my parcel?"), chooser(["It smells of smoke.", "I paid twice!"]))

# %% [markdown]
# `PromptedChoice` inherits `preprocess` and the cache, and changes the other two parts. Now all three with the same labels on the same cases, with the time each takes and the memory of its weights:

# %% tags=["experiment", "nbval-ignore-output"]
n_weights = {
    "shared words": 0,
    "encoder, centroids": sum(p.numel() for p in encoder.parameters()),
    "decoder, prompted": sum(p.numel() for p in decoder.parameters()),
}
found, chart, seconds = {}, {}, {}
for (name, size), system in zip(n_weights.items(), (baseline, router, chooser)):
    begin = time.perf_counter()
    found[name] = evaluate_pipeline(system, team_cases, equal)
    seconds[name] = time.perf_counter() - begin
    milliseconds = 1000 * seconds[name] / len(team_cases)
    interval = wilson_interval(found[name]["n"] - len(found[name]["failures"]), found[name]["n"])
    chart[name] = (milliseconds, found[name]["score"], *interval)
    say(name, found[name])
    print(f"{milliseconds:35.2f} ms a message, weights of {4 * size / 1e6:.0f} MB")
plots.score_chart(chart, guessing=1 / len(TEAMS))

# %% [markdown]
# The encoder has a sixth of the decoder's weights, is faster, and is right more often. That is no accident: SmolLM2 was trained to write on, MiniLM to put texts of the same meaning near each other, and *that* is what the task needs. But is the difference real, or could 70 other messages have turned it round?
#
# ### Is the difference real?
#
# **Two systems on the same cases differ only where one of them is right and the other wrong. Count these.** If neither system is better, each such case is a toss of a coin. Ten heads and no tails would make you doubt the coin; six and four would not. The *sign test* says how often fair coins are at least as uneven. By hand, with 3 tosses that all fall to the same side: there are $2^3 = 8$ rows of tosses, two of them are all alike, so the probability is 2 / 8.

# %%
print(2 * math.comb(3, 0) / 2**3)


# %% [markdown]
# ### Exercise: sign_test (2 points)
#
# - `only_first` and `only_second` are the numbers of cases that the one or the other system alone has right.
# - Return the probability, a float, that n = `only_first + only_second` tosses of a fair coin are split at least as unevenly, *to either side*. It is never more than 1.
# - Exactly, with `math.comb(n, k)`, the number of rows with k heads. With no such cases at all it is 1.
#
# ```python
# sign_test(3, 0)  # 0.25
# sign_test(4, 4)  # 1.0
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# How many rows of n tosses have at most `fewer` heads, where `fewer` is the smaller of the two numbers? The other side has as many.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# Sum `math.comb(n, k)` for k from 0 to `fewer`, `fewer` included. Divide by the number of all rows, `2**n`. Double it. In an even split the middle is then counted twice: take 1 at most.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `tail = sum(math.comb(n, k) for k in range(fewer + 1)) / 2**n`, and `min(1.0, 2 * tail)`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "pipeline-sign_test", "locked": false, "schema_version": 3, "solution": true, "task": false}
def sign_test(only_first: int, only_second: int) -> float:
    """The probability that fair coins are split at least as unevenly, to either side.

    >>> sign_test(3, 0), sign_test(4, 4)
    (0.25, 1.0)
    """
    if only_first < 0 or only_second < 0:
        raise ValueError(
            f"only_first and only_second must not be negative, got {only_first}, {only_second}"
        )

    ### BEGIN SOLUTION
    n = only_first + only_second
    fewer = min(only_first, only_second)
    tail = sum(math.comb(n, k) for k in range(fewer + 1)) / 2**n
    return min(1.0, 2 * tail)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-pipeline-sign_test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("pipeline.sign_test", sign_test)
### BEGIN HIDDEN TESTS
check("pipeline.sign_test", sign_test, hidden=True)
### END HIDDEN TESTS

# %% tags=["experiment", "nbval-ignore-output"]
def compare(first: dict, second: dict) -> str:
    """Two evaluations on the same cases, none of which has the same input as another."""
    wrong_first, wrong_second = ({text for text, *_ in one["failures"]} for one in (first, second))
    only_first, only_second = len(wrong_second - wrong_first), len(wrong_first - wrong_second)
    chance = sign_test(only_first, only_second)
    said = f"{chance:.3f}" if chance >= 0.001 else "less than 0.001"
    return f"{only_first} against {only_second}; so uneven by chance: {said}"


smaller = Router(known[:20])  # four messages a team in place of six
found["encoder, four labels a team"] = evaluate_pipeline(smaller, team_cases, equal)
for first, second in (
    ("encoder, centroids", "shared words"),
    ("encoder, centroids", "decoder, prompted"),
    ("encoder, centroids", "encoder, four labels a team"),
):
    print(f"{first} or {second}?\n   {compare(found[first], found[second])}")

# %% [markdown]
# A small probability says that chance explains the difference badly. It is usual to draw a line at 0.05, and nothing happens at that line. The last comparison shows the opposite case: six labels a team may well be better than four, but these messages cannot tell. More cases could. **A difference that is not shown is not a difference of zero.**
#
# > **Decision one.** Write down which system you would take for *which team?*, and which number decided. Would you decide otherwise if the decoder were already running for another purpose? (The table of the next section shows all of them with fewer labels.)
#
# For *which product?* an encoder with centroids is of no use: the answer is a word that no known message contains. (A tagger, as in notebook 05, would do; it needs labels on words and some training.) The decoder needs four examples and not a single step of training:

# %% tags=["experiment", "nbval-ignore-output"]
PRODUCT_TEMPLATE = "Message: {input}\nProduct: {output}\n"
reader = Prompted([(m.text, m.product) for m in known[:4]], PRODUCT_TEMPLATE)
products = evaluate_pipeline(reader, [(m.text, m.product) for m in held_out[::2]], equal)
say("decoder, four examples", products)
for text, expected, result in products["failures"][:5]:
    print(f"   expected {expected!r}, got {result!r}: {text}")


# %% [markdown]
# It has understood what is asked for. Where it fails it names another thing in the message. Whether that is good enough is a question to the shop: who reads the answer next, and what does a wrong one cost?

# %% [markdown]
# ## 5. Decision two: prompt, fine-tune or pre-train?
#
# **Adapt as little as the measurements allow.** From cheap to dear:
#
# | | what you need | what it costs | here |
# |---|---|---|---|
# | no model | a rule | nothing | below |
# | prompt | a handful of examples | longer inputs, for ever | *which product?* |
# | features + classifier | some labels a class | seconds | *which team?* |
# | fine-tune (full or LoRA) | hundreds of labels | minutes to hours | notebook 05 |
# | train from nothing, small | as many examples as you like | minutes to hours | below |
# | pre-train | billions of tokens | notebook 10 | last part of this section |
#
# ### What do more labels buy?
#
# Labels are somebody's time. One table crosses labels with methods, and every method gets the same labels: the words, the centroids, a linear classifier (logistic regression) with the vectors of MiniLM as its *features*, and SmolLM2 with the labelled messages as examples, as it is and calibrated. `Classifier` changes one of three parts of `Router`.

# %% tags=["experiment", "nbval-ignore-output"]
class Classifier(Router):
    """A linear classifier on MiniLM's vectors."""

    def __init__(self, messages: Sequence) -> None:
        vectors = self.forward(self.preprocess([message.text for message in messages]))
        teams = [message.team for message in messages]
        self.classifier = LogisticRegression(C=10, max_iter=1000).fit(vectors.numpy(), teams)

    def postprocess(self, outputs, inputs):
        return self.classifier.predict(outputs.numpy()).tolist()


def right(answers: list[str]) -> float:
    """The share of held-out messages for which these are the right teams."""
    return sum(answer == m.team for answer, m in zip(answers, held_out)) / len(held_out)


texts = [message.text for message in held_out]
methods = ("shared words", "centroids", "classifier", "decoder", "calibrated")
print("labels a team" + "".join(f"{method:>14}" for method in methods))
for n_labels in (1, 6):
    some = known[: n_labels * len(TEAMS)]
    by_labels = {kind: kind(some)(texts) for kind in (SharedWords, Router, Classifier)}
    examples = [(m.text, m.team) for m in some]
    prompted = chooser if some == known else PromptedChoice(examples, TEAM_TEMPLATE)
    prompted([text for text in texts if text not in prompted.shares])  # what section 4 has not asked
    outputs = torch.stack([prompted.shares[text] for text in texts])
    by_labels["decoder"] = [TEAMS[best] for best in outputs.argmax(-1).tolist()]
    by_labels["calibrated"] = prompted.postprocess(outputs, texts)
    print(f"{n_labels:13}" + "".join(f"{right(answers):14.1%}" for answers in by_labels.values()))
classified, routed = (evaluate_pipeline(kind(known), team_cases, equal) for kind in (Classifier, Router))
print("classifier or centroids, six labels:", compare(classified, routed))

# %% [markdown]
# Read the columns down. With the encoder more labels help. The decoder as it is does *worse* with thirty examples than with five: its favourites among the names are to blame, since calibration takes that loss back. Calibrated it stays about level, and with one label a team it is not behind the encoder, whose lead comes from the labels that follow. So the verdict of section 4 is one about thirty labels. And a comparison of thirty labels here with five uncalibrated ones there, which is soon made, would have measured the labels and the calibration, and called it the model.
#
# The classifier is ahead of the centroids by a little, and the last line says whether that is more than chance. Where it is not, take what is simpler.
#
# ### Where a prompt is not enough
#
# The shop has customers in Germany and writes amounts in words. The task: English number words to German ones, `twenty-three` to `dreiundzwanzig`. We ask SmolLM2 with eight examples, on numbers below 1,000 that are in none of them.

# %% tags=["experiment", "nbval-ignore-output"]
generator = torch.Generator().manual_seed(0)
train_numbers, test_numbers = split_numbers(900, 100, generator, limit=1000)
learn, test = ([translation.translation(n) for n in numbers] for numbers in (train_numbers, test_numbers))

asked = Prompted(learn[:8], "{input} -> {output}")
asked.max_new_tokens = 18
numbers_prompted = evaluate_pipeline(asked, test[:12], equal)
say("decoder, eight examples", numbers_prompted)
for text, expected, result in numbers_prompted["failures"][:3]:
    print(f"   {text}: expected {expected!r}, got {result!r}")


# %% [markdown]
# German in form, and wrong. Now the third family: an encoder-decoder of half a million parameters, trained from nothing for a few seconds on nine hundred pairs (notebook 07), in a pipeline of its own.

# %% tags=["experiment", "nbval-ignore-output"]
class Translator(Pipeline):
    """A small encoder-decoder, trained on pairs of texts."""

    batch_size = 100

    def __init__(self, tokenizer, pairs: Sequence, steps: int, generator: torch.Generator) -> None:
        def next_batch(generator: torch.Generator) -> tuple[Tensor, Tensor]:
            drawn = torch.randint(len(pairs), (48,), generator=generator).tolist()
            return translation.encode_pairs([pairs[i] for i in drawn], tokenizer)

        self.tokenizer, self.model = tokenizer, translation.new_model(tokenizer, generator)
        self.pad, self.start, self.end = (tokenizer.special_tokens[t] for t in (PAD, START, END))
        options = {"steps": steps, "learning_rate": 3e-3, "generator": generator}
        translation.fit(self.model, next_batch, self.start, **options)

    def preprocess(self, inputs):
        return pad_rows([self.tokenizer.encode(text) for text in inputs], self.pad)

    def forward(self, batch):
        return greedy_translate(self.model, batch, self.start, self.end, max_length=32)

    def postprocess(self, outputs, inputs):
        rows = [row[: row.index(self.end)] if self.end in row else row for row in outputs.tolist()]
        return [self.tokenizer.decode(row) for row in rows]


begin = time.perf_counter()
number_tokenizer = train_tokenizer(train_numbers[:800], vocab_size=300)
translator = Translator(number_tokenizer, learn, steps=100, generator=generator)
size = sum(p.numel() for p in translator.model.parameters())
print(f"{size:,} parameters, trained in {time.perf_counter() - begin:.0f} s")
print(f"(SmolLM2: {n_weights['decoder, prompted']:,} parameters)")
numbers_trained = evaluate_pipeline(translator, test, equal)
say("encoder-decoder", numbers_trained)
print(translator("seven hundred and forty-two"))

# %% [markdown]
# A model that is hundreds of times smaller does what the large one cannot, because it was trained for this and nothing else. It can do nothing else, either.
#
# And the honest last line of the table: these pairs were written by `num2words`, a library of rules. It is right every time, takes microseconds, and needs no model. **Where a rule exists, take the rule.** Our translator stands in for tasks that nobody has rules for.

# %% tags=["experiment", "nbval-ignore-output"]
rule = Pipeline.from_functions(
    list,
    lambda batch: [{spell_number(n, "English"): n for n in range(1000)}[text] for text in batch],
    lambda outputs, inputs: [spell_number(n, "German") for n in outputs],
)
say("rules", evaluate_pipeline(rule, test, equal))


# %% [markdown]
# ### When would you pre-train?
#
# **When the domain is strange to general models in both of two ways: its words fall into many pieces, and what follows what is unlike anything the model has read.** The first is a matter of the tokenizer, and there is a simple number for it.
#
# ### Exercise: fertility (1 point)
#
# *Fertility* is the number of tokens per word. Near 1 the tokenizer knows the words; at 5 it spells them, and every text is five times as long, as slow and as dear.
#
# - `tokenizer.encode(text)` gives a list of ids, without special tokens. Encode the text as a whole.
# - Words are what stands between whitespace; every occurrence counts. Return a float.
# - A text without words is an error (given).
#
# ```python
# fertility(tokenizer, "unhappiness is rare")  # 5 tokens, 3 words: 1.67
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# Two counts and a division.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# The number of tokens is the length of what `encode` returns. The list of words is made above your part.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `len(tokenizer.encode(...)) / len(...)`
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "pipeline-fertility", "locked": false, "schema_version": 3, "solution": true, "task": false}
def fertility(tokenizer: Encodes, text: str) -> float:
    """Tokens per whitespace-separated word of the whole text.

    >>> fertility(train_bpe("", 256), "ab c")  # one token a byte: 4 tokens, 2 words
    2.0
    """
    words = text.split()
    if not words:
        raise ValueError(f"text must hold at least one word, got {text!r}")

    ### BEGIN SOLUTION
    return len(tokenizer.encode(text)) / len(words)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-pipeline-fertility", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
check("pipeline.fertility", fertility)
### BEGIN HIDDEN TESTS
check("pipeline.fertility", fertility, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# Six domains, from near to far: the shop's own messages; Python's reference; the source of a module of the standard library; German number words; chords, drawn from a small table of what may follow what; and protein-like rows of letters, drawn with the shares that amino acids have in nature (UniProtKB/Swiss-Prot release statistics) but without any order.

# %% tags=["experiment", "nbval-ignore-output"]
rng = random.Random(0)
NEXT_CHORDS = {"C": "F G Am Dm", "F": "G C Dm", "G": "C Am", "Am": "F Dm", "Dm": "G G7", "G7": "C"}
chords = ["C"]
while len(chords) < 12_000:
    chords.append(rng.choice(NEXT_CHORDS[chords[-1]].split()))
AMINO_ACIDS = dict(zip("ARNDCQEGHILKMFPSTWYV", (8.25, 5.53, 4.06, 5.46, 1.38, 3.93, 6.72, 7.07, 2.27, 5.91,
                                                9.65, 5.80, 2.41, 3.86, 4.74, 6.65, 5.36, 1.10, 2.92, 6.86)))  # fmt: skip
domains = {
    "shop messages": [message.text for message in shop_messages()],
    "Python reference": python_reference_text()[100_000:150_000].splitlines(),
    "Python source": inspect.getsource(argparse)[:50_000].splitlines(),
    "German numbers": [spell_number(rng.randrange(100_000), "German") for _ in range(1000)],
    "chords": [" ".join(chords[i : i + 8]) for i in range(0, len(chords), 8)],
    "protein-like": ["".join(rng.choices(list(AMINO_ACIDS), AMINO_ACIDS.values(), k=60)) for _ in range(400)],
}
for name, lines in domains.items():
    print(f"{name:17} {sum(map(len, lines)):7,} characters, such as {lines[-2][:50]!r}")


# %% [markdown]
# Of each domain, the first four fifths are for learning: a BPE of 1,000 tokens is trained on them, the domain's *own* tokenizer. The last fifth is cut by all three tokenizers. Then the second way of being strange, *structure*. SmolLM2 reads 200 tokens of the last fifth, and we add up how surprised it is, in bits for each byte of text; bytes, because tokens differ from tokenizer to tokenizer. For comparison, a general compressor (LZMA, as in .xz files) that has read the four fifths and nothing else in the world says how many bits it needs for the same bytes.

# %% tags=["experiment", "nbval-ignore-output"]
@torch.no_grad()
def bits_per_byte(text: str, n_tokens: int = 128) -> tuple[float, bytes]:
    """SmolLM2's surprise at the beginning of a text, and the bytes it was asked about."""
    ids = torch.tensor([decoder_tokenizer.encode(text)[:n_tokens]])
    log_probs = decoder(ids)[0, :-1].log_softmax(-1)  # [time - 1, vocab]
    nats = -log_probs.gather(-1, ids[0, 1:, None]).sum().item()
    asked = decoder_tokenizer.decode(ids[0, 1:].tolist()).encode()
    return nats / math.log(2) / len(asked), asked


def compressed_bits_per_byte(text: str, asked: bytes) -> float:
    """What the same bytes add to an .xz file of the text."""
    before, after = (len(lzma.compress(one)) for one in (text.encode(), text.encode() + asked))
    return 8 * (after - before) / len(asked)


print("                   fertility (tokens per word)     bits per byte")
print("                   SmolLM2   MiniLM      own       SmolLM2   compressor")
strangeness = {}
for name, lines in domains.items():
    cut = len(lines) * 4 // 5
    learn_text, test_text = "\n".join(lines[:cut]) + "\n", "\n".join(lines[cut:])
    own = train_bpe(learn_text, 1000)
    general, small, of_own = (fertility(t, test_text) for t in (decoder_tokenizer, encoder_tokenizer, own))
    bits, asked = bits_per_byte(test_text)
    least = compressed_bits_per_byte(learn_text, asked)
    strangeness[name] = (general / of_own, bits / least)
    print(f"{name:17} {general:8.2f} {small:8.2f} {of_own:8.2f}      {bits:8.2f} {least:10.2f}")

# %% tags=["experiment", "nbval-ignore-output"]
plots.domain_chart(strangeness)

# %% [markdown]
# Read the picture by its corners.
#
# - **Left of 1, below 1: prose and code.** SmolLM2's 49,152 tokens cut it coarser than 1,000 tokens of the domain's own could, and it needs far fewer bits than whoever has read the domain alone. The general model knows more about our shop's messages than the shop's own messages do. Prompt it, or fine-tune it.
# - **Chords** have a structure that is quickly learned and that SmolLM2 has to guess from a few lines. The tokens are no problem. A little training would do, and a small model is enough.
# - **German numbers** are far out: words that fall into many pieces, and rules that the model does not know. This is the corner where something of your own pays; ours took seconds.
# - **Protein-like letters** are up as well, and here pre-training would *not* help: the letters are drawn without order, and no model in the world can need fewer bits than their entropy. Compute it before you plan:

# %% tags=["experiment"]
shares = torch.tensor(list(AMINO_ACIDS.values())) / sum(AMINO_ACIDS.values())
print(f"entropy of the letters: {-(shares * shares.log2()).sum():.2f} bits each")

# %% [markdown]
# Also mind what fertility does not say. A row of 60 letters without a blank is one "word", so its fertility is large for every tokenizer; compare tokenizers on the same text, and not domains with each other. And the texts of Python may well have been among those SmolLM2 was trained on, which flatters it.
#
# The best-known case of yes is BloombergGPT (Wu et al. 2023): a model for finance, trained from nothing, with a tokenizer of its own (section 2.3 of the paper) and a text of which about half is finance (table 1). What that took, with the arithmetic of notebook 10:

# %%
bloomberg = MODELS["BloombergGPT"]
print(f"BloombergGPT: {bloomberg.params / 1e9:.1f} billion parameters, {bloomberg.tokens / 1e9:.0f} billion tokens")
print(f"{bloomberg.flops:.2g} FLOPs; at 1e14 useful FLOPs a second, {bloomberg.flops / 1e14 / 3600 / 24 / 365:.0f} years on one device")


# %% [markdown]
# Financial English is still English: on our map it would stand near the prose. That is why later work often went on training a general model in place of starting anew. Where vocabulary *and* structure are different (proteins, genomes, music, logs of machines), own tokenizers and own pre-training are the rule, and the models are often small.
#
# > **Decision two.** For each of the shop's three tasks: rule, prompt, features, fine-tuning, or training? Name the number that decides. How many more labels for *which team?* would you collect, and how would you find out whether they help?

# %% [markdown]
# ## 6. Decision three: where does it run?
#
# **A machine of your own costs the same whether it works or waits. An API costs by the token.** So the answer depends on how much there is to do, and on how fast your machine is. First, measure. Reading a prompt and writing an answer are two different speeds: a prompt's tokens are read all at once, an answer is written one token after another.

# %% tags=["experiment", "nbval-ignore-output"]
@torch.no_grad()
def decoder_speeds(n_texts: int, length: int = 48, n_new: int = 4) -> tuple[float, float]:
    """Tokens a second that are read, and written, for all texts together."""
    ids = torch.randint(1000, (n_texts, length), generator=torch.Generator().manual_seed(0))
    begin = time.perf_counter()
    logits, cache = decode_step(decoder, ids)
    read = time.perf_counter()
    for _ in range(n_new):
        logits, cache = decode_step(decoder, logits.argmax(-1, keepdim=True), cache)
    end = time.perf_counter()
    return n_texts * length / (read - begin), n_texts * n_new / (end - read)


decoder_speeds(1, 8, 1)  # the first call is slower, for reasons that are none of the model's
print("texts at a time   read (tokens/s)   written (tokens/s)")
for n_texts in (1, 16):
    read_speed, write_speed = decoder_speeds(n_texts)
    print(f"{n_texts:15} {read_speed:17.0f} {write_speed:20.0f}")

encoder_lengths = [len(encoder_tokenizer.encode(text)) + 2 for text in texts]
asked_lengths = [len(decoder_tokenizer.encode(TEAM_TEMPLATE.format(input=text, output=""))) for text in texts]
encoder_speed = sum(encoder_lengths) / seconds["encoder, centroids"]  # measured in section 4
decoder_speed = sum(asked_lengths) / seconds["decoder, prompted"]
print(f"which team? from text to answer: MiniLM {encoder_speed:.0f} tokens/s, SmolLM2 {decoder_speed:.0f}")

# %% [markdown]
# Writing for many texts at a time makes more tokens a second out of the same machine: the weights are fetched from memory once for all of them. That is why services wait a moment to fill a batch, and why one of them is cheaper than a machine that serves a single person.
#
# How many texts fit? `inference_memory` of notebook 06 counts bytes. A machine with 4 GB, conversations of 2,048 tokens:

# %% tags=["experiment"]
print("bits a value   weights (MB)   cache of a text (MB)   texts in 4 GB")
for bits in (32, 16, 8):
    one, two = (inference_memory(decoder.config, batch, 2048, bits / 8) for batch in (1, 2))
    fits = int((4e9 - one["weights"]) // (two["total"] - one["total"]))
    print(f"{bits:12} {one['weights'] / 1e6:14.0f} {one['cache'] / 1e6:22.1f} {fits:15}")


# %% [markdown]
# ### Exercise: serving_cost (3 points)
#
# What does it cost to answer `n_requests` within `hours` hours on machines of your own, rented by the hour?
#
# - A request has `n_input` tokens to read and `n_output` tokens to write. A machine reads `input_speed` and writes `output_speed` tokens a *second*; it does one after the other.
# - Requests do not come evenly. In the busiest hour come `peak` times as many as on average, and there must be enough machines for that hour.
# - Machines are whole, there is at least one, and each is paid `price_per_hour` for all the hours, busy or not.
# - Return the cost, a float, in the currency of the price. Bad numbers are errors (given).
#
# ```python
# serving_cost(1000, 100, 50, input_speed=500.0, output_speed=50.0, price_per_hour=2.0, hours=24.0)
# # 0.2 s + 1 s for each request, 1200 s in all: one machine, 24 hours: 48.0
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# Seconds for one request; hours of work for all; machines; money. Mind which numbers are in seconds.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# Tokens divided by speed are seconds, for reading and for writing; add them. Times the requests, divided by 3600, are hours of work. Divided by `hours`, times `peak`, is how many machines the busiest hour keeps busy. Round up (`math.ceil`), 1 at least. Times hours, times price.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `seconds = n_input / input_speed + n_output / output_speed`, `busy_hours = n_requests * seconds / 3600`, `machines = max(1, math.ceil(busy_hours / hours * peak))`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "pipeline-serving_cost", "locked": false, "schema_version": 3, "solution": true, "task": false}
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
    """What requests cost on machines rented by the hour; speeds in tokens a second.

    >>> serving_cost(1000, 100, 50, input_speed=500.0, output_speed=50.0, price_per_hour=2.0, hours=24.0)
    48.0
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

    ### BEGIN SOLUTION
    seconds = n_input / input_speed + n_output / output_speed  # one machine, one request
    busy_hours = n_requests * seconds / 3600
    machines = max(1, math.ceil(busy_hours / hours * peak))
    return machines * hours * price_per_hour
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-pipeline-serving_cost", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check("pipeline.serving_cost", serving_cost)
### BEGIN HIDDEN TESTS
check("pipeline.serving_cost", serving_cost, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# Now the shop's bill for a month (730 hours), with a busiest hour of four times the average. One bill for each task, so that like is compared with like: for *which team?* all read the message and answer with one of five, for *which product?* only those stand in it that can write. The speeds are those you have just measured, from text to answer, the lengths those of our messages. The prices are **examples**, round numbers to calculate with: 0.05 an hour for a machine like this one, and for an API 0.10 and 0.40 per million tokens read and written. Put in those you are offered.

# %% tags=["experiment", "nbval-ignore-output"]
PRICE_PER_HOUR, READ_PRICE, WRITE_PRICE = 0.05, 0.10, 0.40
OWN = {"price_per_hour": PRICE_PER_HOUR, "hours": 730.0, "peak": 4.0}


n_input = round(sum(asked_lengths) / len(asked_lengths))  # a message in its template
n_encoder = round(sum(encoder_lengths) / len(encoder_lengths))
team_examples, product_examples = (
    len(decoder_tokenizer.encode(build_prompt(examples, "", template)))
    for examples, template in (
        ([(m.text, m.team) for m in known], TEAM_TEMPLATE),
        ([(m.text, m.product) for m in known[:4]], PRODUCT_TEMPLATE),
    )
)
print(f"a message: {n_input} tokens for SmolLM2, {n_encoder} for MiniLM")
print(f"examples: {team_examples} tokens for the team, {product_examples} for the product")


def team_bill(n_requests: int) -> dict[str, float]:
    """A month of *which team?*: each system reads, and answers with one of five."""
    speeds = {"own decoder": (n_input, decoder_speed), "own encoder": (n_encoder, encoder_speed)}
    return {"API": n_requests * prompt_cost(n_input + team_examples, 1, READ_PRICE, WRITE_PRICE)} | {
        name: serving_cost(n_requests, length, 0, input_speed=speed, output_speed=1.0, **OWN)
        for name, (length, speed) in speeds.items()
    }


def product_bill(n_requests: int) -> dict[str, float]:
    """A month of *which product?*: five tokens are written, which an encoder cannot."""
    return {
        "API": n_requests * prompt_cost(n_input + product_examples, 5, READ_PRICE, WRITE_PRICE),
        "own decoder": serving_cost(
            n_requests, n_input, 5, input_speed=decoder_speed, output_speed=write_speed, **OWN
        ),
    }


for task, bill in (("which team?", team_bill), ("which product?", product_bill)):
    print(f"\n{task:16}" + "".join(f"{name:>14}" for name in bill(1)))
    for n_requests in (1000, 100_000, 1_000_000, 10_000_000):
        print(f"{n_requests:16,}" + "".join(f"{cost:14,.2f}" for cost in bill(n_requests).values()))

# %% tags=["experiment", "nbval-ignore-output"]
grid = [round(10 ** (3 + i / 60)) for i in range(301)]  # a thousand to a hundred million
bills = [team_bill(n) for n in grid]
plots.cost_chart(
    grid,
    {name: [bill[name] for bill in bills] for name in bills[0]},
    "Which team? An own machine costs the same until it is full",
)


# %% [markdown]
# Left, the API: nothing to do, nothing to pay. An own machine is a flat line up to where it is full, and then a stair. Where the lines cross depends on the prices, and on three things that are yours to change: how long the prompts are (the API reads the examples each time; your machine keeps them in its cache), how many tokens are written, and how full the batches get.
#
# Money is not all. Private messages that must not leave the house, an answer needed within a tenth of a second, a service that has to run when the network is down: each of these decides alone. And a larger model behind an API may be right more often than ours; put it into the same `evaluate_pipeline` and you will know.
#
# > **Decision three.** How many messages a month must the shop have before you would rent a machine? Change one assumption by a factor of two, and see whether your decision holds.

# %% [markdown]
# ## 7. Put together: a small app
#
# **A pipeline of pipelines is a pipeline.** The desk asks the router for the team and the decoder for the product. One thing more makes it a product: it may say *I am not sure*. The router's `postprocess` has the similarities to all five centroids. If the best is hardly better than the second, a person should look.

# %% tags=["experiment", "nbval-ignore-output"]
class CarefulRouter(Router):
    """A router that hands over to a person when two teams are about equally near."""

    margin = 0.05

    def postprocess(self, outputs, inputs):
        similarity = outputs @ self.centroids.T  # [batch, teams]
        best = similarity.topk(2, dim=-1)
        sure = (best.values[:, 0] - best.values[:, 1] >= self.margin).tolist()
        return [TEAMS[i] if ok else "a person" for i, ok in zip(best.indices[:, 0].tolist(), sure)]


careful = CarefulRouter(known)
print("margin   left to a person   right among the rest")
for careful.margin in (0.0, 0.02, 0.05, 0.1):
    answers = careful(texts)
    kept = [(answer, m.team) for answer, m in zip(answers, held_out) if answer != "a person"]
    right = sum(answer == team for answer, team in kept)
    print(f"{careful.margin:6.2f} {1 - len(kept) / len(texts):18.0%} {right / len(kept):17.0%} of {len(kept)}")
careful.margin = 0.05


# %% [markdown]
# The more it leaves to people, the more often it is right about the rest. What a wrong message costs, against a minute of somebody's time, decides where the margin goes. (If you choose it by looking at this table, the held-out messages have been used to learn. An honest score of the final desk then needs fresh ones.)

# %% tags=["experiment", "nbval-ignore-output"]
class Desk(Pipeline):
    """Team and product of a message."""

    def preprocess(self, inputs):
        return inputs

    def forward(self, batch):
        return careful(batch), reader(batch)

    def postprocess(self, outputs, inputs):
        return [{"team": team, "product": product} for team, product in zip(*outputs)]


desk = Desk()


def card(message: str, answer: dict[str, str]) -> str:
    """An answer as a line of HTML."""
    team, product, text = map(html.escape, (answer["team"], answer["product"], message))
    return f"<b>{team}</b> &nbsp;|&nbsp; about: {product} &nbsp;|&nbsp; <i>{text}</i>"


NEW_MESSAGES = [
    "The hinges of my pantry door arrived bent.",
    "I would like to know whether the kayak fits on a small car.",
    "You have taken the money for the stroller two times.",
    "It is about the thing I bought.",
]
for message, answer in zip(NEW_MESSAGES, desk(NEW_MESSAGES)):
    print(f"{answer['team']:9} {answer['product']:14} {message}")


# %% [markdown]
# And live: type a message of your own and press Enter. (In a web page without Python, the lines above are what you would see.)

# %% tags=["experiment", "nbval-ignore-output"]
@interact(
    message=Text(
        value="My new umbrella has a hole.", continuous_update=False, layout=Layout(width="90%")
    )
)
def show_desk(message: str) -> None:
    display(HTML(card(message, desk(message)) if message.strip() else "Type a message."))


# %% [markdown]
# ### What would break if ...
#
# ... `card` did not escape what it shows (`html.escape`)? Text from a stranger, or from a model, would become part of the page, scripts included. ... a message had ten thousand words? The encoder cuts it after 256 tokens, the decoder reads it all: decide, and say so. ... customers began to write in Spanish? The score you measured would still be printed somewhere, and would no longer be true. Keep measuring, on new messages, with the same `evaluate_pipeline`.

# %% [markdown]
# ## 8. Your project
#
# **Now choose a task that you care about.** It may be small: sorting your mails, finding the language of a line, turning dates into one form, extracting names, answering from a page, guessing the chapter of a paragraph. Use any model of this course, and the texts you have. What counts is that you decide with numbers.
#
# Part of it is checked automatically, and three cells are read and marked by a person, by the tables given. If you work alone, mark yourself after a night's sleep, or swap with somebody.
#
# ### Part 1: the use case and the choice (6 points, read by a person)
#
# | | 0 | 1 | 2 |
# |---|---|---|---|
# | **Task** | unclear | input and output are named | and who uses the answer, and what a wrong one costs |
# | **Measure** | none | a metric is named | and why it fits the task, and what score would be good enough, said before measuring |
# | **Choice** | a model is named | family and way of adapting are named | and argued for with measured numbers (accuracy, time, memory, cost), against a simpler alternative |
#
# Write about 200 words in the next cell.

# %% [markdown] nbgrader={"grade": true, "grade_id": "project-choice", "locked": false, "points": 6, "schema_version": 3, "solution": true, "task": false}
# <!-- BEGIN SOLUTION -->
# **Task.** A form asks for an amount in words, in English or German. The program that reads it has to know the language first. Input: the words of one number. Output: `English` or `German`. The answer goes to a parser; a wrong one means that a clerk looks at the form, which takes a minute.
#
# **Measure.** Right or wrong, since there is nothing in between. With nine of ten right the clerks would have little to do; below three of four the program is not worth its keep.
#
# **Choice.** Letters should be enough: German words have many *z* and *u*. So no transformer, but the share of each letter, and the nearest of two centroids, learned from twelve examples. It takes next to no time and no memory to speak of. The alternative was the `Router` of section 4 with two centroids: it needs MiniLM's 90 MB and some milliseconds a message. Only if the letters had failed would I have taken it. A list of number words would do as well and never be wrong; a real project should take that.
# <!-- END SOLUTION -->

# %% [markdown]
# ### Exercise: my_project (4 points)
#
# Part 2: your project as one function, so that it can be tried by others. It takes no arguments and returns four things:
#
# - `pipeline`: built on your `Pipeline`. It takes one input or a list; inputs and answers may be of any kind, tensors too.
# - `examples`: a list of the (input, expected) pairs that it has learned from or has in its prompt; empty if there are none.
# - `cases`: a list of at least 20 held-out (input, expected) pairs. No input comes twice, and none is among the examples.
# - `metric(result, expected)`: 1 for the expected answer itself, and below 1 for some wrong one.
#
# Checked is the contract: results come in the form and order of the inputs, the metric can tell right from wrong, and the pipeline beats answering the same thing every time. Your score is not graded. The function must bring everything it needs: load models and make data inside it (or in a cell that is not tagged `experiment`). It may take up to a minute.
#
# ```python
# pipeline, examples, cases, metric = my_project()
# evaluate_pipeline(pipeline, cases, metric)["score"]
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# Begin with the cases. Twenty lines that you write yourself teach you more about the task than any model.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# Split the pairs into examples and cases. Write the simplest pipeline that could work, such as `SharedWords`. Then put a model in its place: `Router` and `Prompted` above can be copied and changed.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `pairs = [...]`, `examples, cases = pairs[:12], pairs[12:]`, a class with `preprocess`, `forward` and `postprocess`, a function `same(result, expected)`, and `return MyPipeline(examples), examples, cases, same`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "pipeline-my_project", "locked": false, "schema_version": 3, "solution": true, "task": false}
def my_project() -> tuple[Pipeline, list, list, Callable[[Any, Any], float]]:
    """Your project, ready to be tried: (pipeline, examples, cases, metric).

    >>> pipeline, examples, cases, metric = my_project()
    >>> len(pipeline([given for given, _ in cases])) == len(cases) >= 20
    True
    """
    ### BEGIN SOLUTION
    def letters(texts: list) -> torch.Tensor:
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
        def preprocess(self, inputs):
            return letters(inputs)

        def forward(self, batch):
            return batch @ centroids.T  # [batch, languages]

        def postprocess(self, outputs, inputs):
            return [list(LANGUAGES)[best] for best in outputs.argmax(-1).tolist()]

    def same(result: Any, expected: Any) -> bool:
        return result == expected

    return LanguageOfNumbers(), examples, cases, same
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-pipeline-my_project", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
check("pipeline.my_project", my_project)
### BEGIN HIDDEN TESTS
check("pipeline.my_project", my_project, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# ### Part 3: the evaluation (4 points, read by a person)
#
# | | 0 | 1 | 2 |
# |---|---|---|---|
# | **Evaluation** | a score | with its interval, on held-out cases | and a baseline on the same cases, with a comparison that says whether the difference is real |
# | **Failures** | none shown | some are printed | and sorted or counted in a way that shows what they have in common |
#
# Write code in the next cell that prints what you would show to those who have to decide.

# %% nbgrader={"grade": true, "grade_id": "project-evaluation", "locked": false, "points": 4, "schema_version": 3, "solution": true, "task": false}
### BEGIN SOLUTION
my_pipeline, my_examples, my_cases, my_metric = my_project()
mine = evaluate_pipeline(my_pipeline, my_cases, my_metric)
contains_und = Pipeline.from_functions(  # the baseline: "und" is a German word
    list,
    lambda batch: ["und" in text for text in batch],
    lambda outputs, inputs: ["German" if found else "English" for found in outputs],
)
simple = evaluate_pipeline(contains_und, my_cases, my_metric)
for name, one in (("letters", mine), ("contains 'und'", simple)):
    n_right = one["n"] - len(one["failures"])
    low, high = wilson_interval(n_right, one["n"])
    print(f"{name:15} {n_right} of {one['n']} ({low:.0%} to {high:.0%}); wrong by language:",
          dict(Counter(expected for _, expected, _ in one["failures"])))  # fmt: skip
wrong, simply_wrong = ({text for text, *_ in one["failures"]} for one in (mine, simple))
print("by chance:", round(sign_test(len(simply_wrong - wrong), len(wrong - simply_wrong)), 4))
print("failures:", [text for text, *_ in mine["failures"]])
### END SOLUTION

# %% [markdown]
# ### Part 4: the report (4 points, read by a person)
#
# | | 0 | 1 | 2 |
# |---|---|---|---|
# | **Result** | a claim | score and interval, and whether it is good enough by what you said in part 1 | and what the score does *not* say: which inputs were not tested, what may change |
# | **Next step** | none | a step | one that follows from the failures, with its cost and how you would see whether it helped |
#
# Write about 150 words.

# %% [markdown] nbgrader={"grade": true, "grade_id": "project-report", "locked": false, "points": 4, "schema_version": 3, "solution": true, "task": false}
# <!-- BEGIN SOLUTION -->
# **Result.** The scores and intervals are printed above. The whole interval of the letters lies above the line of three in four that I drew before, so they are good enough. They are no better than looking for "und", though: both have the same score, and chance alone explains the rest. I had not expected that; nearly every German number above twenty holds an "und".
#
# What the score does not say: all cases are numbers from 21 to 98, written without mistakes. Numbers below 21, large ones, and misspelled ones were not tested, and forms are filled in by people.
#
# **Next step.** The two fail on different words. The letters fail on English numbers, "und" on German ones without a unit, such as *dreißig*. So I would let "und" decide where it occurs and ask the letters otherwise: five lines, no cost. To see whether it helps I would collect a hundred real forms first, hold half of them out, and compare the versions on them with the sign test.
# <!-- END SOLUTION -->

# %% [markdown]
# ## Check what you remember
#
# Before you read the summary, find out what stayed. Think first, then open the answer you would give: it says whether it is right, and why. (The same in Portuguese: *Em português*, below the questions.)
#
# Later, `course review` in a terminal brings the ideas of this notebook back as flashcards, shortly before you would forget them.

# %% tags=["experiment"]
from course_lib.review import quiz

quiz("13_project")

# %% [markdown]
# ## Summary
#
# - Begin with the task: inputs, outputs, a metric, held-out cases, and a baseline. Then choose a model.
# - A **pipeline** is preprocess, forward, postprocess. It gives results in the form and order of its inputs, and takes care of batches.
# - A **score** belongs to cases that nobody learned from, and has an interval. Two systems are compared on the same cases, where they differ: the **sign test**.
# - **Which family?** Encoders for labels and search, decoders for whatever can be prompted, encoder-decoders for rewriting. Smaller and trained for the task often beats larger and general.
# - **Adapt** as little as needed: a rule, a prompt, features, fine-tuning, training. Pre-training is worth a thought where a domain's vocabulary (**fertility**) and structure (bits per byte) are both strange, there is much of it, and it has structure to learn.
# - **Serving**: an own machine is paid by the hour and full at some point, an API by the token. Measure the speeds of reading and writing; count memory for weights and caches.
# - A product may say that it does not know, and is measured again when its inputs change.
#
# ## Test yourself
#
# <details><summary>1. A colleague reports 97 % on the messages the classifier was fitted to, and 70 % on others. Which number goes into the report?</summary>
#
# The second, with its interval. The first says how well it remembers.
#
# </details>
# <details><summary>2. System A is right on 60 of 70 cases, B on 57. Is A better?</summary>
#
# That depends on where they differ. If A alone is right on 3 cases and B alone on none, the sign test gives 0.25; if they are 13 and 10, about 0.68. Either way these cases cannot tell.
#
# </details>
# <details><summary>3. Why does `postprocess` get the inputs as well?</summary>
#
# Because an answer often needs them: a span is cut out of the text, a label is written beside its message, a cut-off input is reported.
#
# </details>
# <details><summary>4. A tokenizer has fertility 1.2 on your texts, and the model needs fewer bits per byte than a compressor that knows them. Should you pre-train?</summary>
#
# No. Words and structure are familiar to the model. Prompt it, and fine-tune if that is not enough.
#
# </details>
# <details><summary>5. Requests double, and the bill of your own machine stays the same. How can that be?</summary>
#
# The machine was not full in its busiest hour, and is paid for whether it works or waits. At some point a second one is needed, all at once.
#
# </details>
#
# ## Where to read on
#
# - Jurafsky and Martin, [*Speech and Language Processing*](https://web.stanford.edu/~jurafsky/slp3/), the sections on evaluation and on statistical significance testing in the chapter on classification.
# - Phillip Rust and others, [*How Good is Your Tokenizer?*](https://arxiv.org/abs/2012.15613) (2021), section 3.2: fertility.
# - Shijie Wu and others, [*BloombergGPT*](https://arxiv.org/abs/2303.17564) (2023), sections 2 and 3: data, tokenizer, training.
# - Suchin Gururangan and others, [*Don't Stop Pretraining*](https://arxiv.org/abs/2004.10964) (2020): going on with pre-training on the domain, the way in between.
# - Quinn McNemar (1947), *Note on the sampling error of the difference between correlated proportions or percentages*, Psychometrika 12: the test of section 4 in its approximate form.
# - Reiner Pope and others, [*Efficiently Scaling Transformer Inference*](https://arxiv.org/abs/2211.05102) (2022): reading, writing, batches and memory, for large models.
#
# This was the last notebook. You have built every part of it.
