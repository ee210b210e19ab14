# %% [markdown]
# # In-context learning
#
# **A model is trained once. How can it learn a new task afterwards, from a few lines of text?**
#
# Write "Italy -> Rome", below it "Spain -> Madrid", below that "France ->", and a language model goes on with "Paris". Nobody told it what the arrow means. No weight has changed, no gradient was taken. It is called *in-context learning*, and GPT-3 made it famous (Brown and others 2020). In this notebook you measure it on a real model, find out what the examples teach and what they do not, and grow the mechanism behind it in a model small enough to look into.
#
# > **You will build** few-shot prompts and chat prompts, a fair measurement of accuracy with an interval around it, scores for given options, a calibration that takes a prompt's bias out, and a detector of induction heads.
# >
# > **You need** that a decoder gives a score for each next token (notebook 06), attention maps (notebook 03), and the chain rule of probabilities (notebook 00).
# >
# > **It takes** about 110 minutes to work through, and under 60 seconds to run.

# %%
import hashlib
import itertools
from collections.abc import Mapping, Sequence

import torch
from ipywidgets import Dropdown, IntSlider, Text, interact
from jaxtyping import Float
from torch import Tensor

from course_lib.attention import record_attention
from course_lib.checks import check
from course_lib.data.word_tasks import CAPITALS, OPPOSITES, PAST_TENSES, PLURALS, SENTIMENTS
from course_lib.decoding import generate, pad_left
from course_lib.experiments import in_context as experiments
from course_lib.in_context import (
    LanguageModel,
    exact_matches,
    rest_of_line,
    share_beginning,
    wilson_interval,
)
from course_lib.plots import in_context as plots
from course_lib.pretrained import load_smollm2
from course_lib.shapes import check_shapes
from course_lib.tokenization import BPETokenizer

torch.set_printoptions(precision=3, sci_mode=False)
model, tokenizer = load_smollm2()


# %% [markdown]
# ## 1. A task, told by examples
#
# **In-context learning changes what the model reads, and nothing else.** To be sure, we take a fingerprint of all weights now and another one at the end. A *hash* turns any number of bytes into one short text, and a single changed bit gives another one.

# %%
def fingerprint(model: torch.nn.Module) -> str:
    """The SHA-256 hash of all weights, its first 16 digits."""
    digest = hashlib.sha256()
    for name, weight in model.state_dict().items():
        digest.update(name.encode())
        digest.update(weight.numpy())
    return digest.hexdigest()[:16]


before = fingerprint(model)
print(f"{sum(p.numel() for p in model.parameters()):,} weights, fingerprint {before}")

# %% [markdown]
# A prompt with solved examples is called *few-shot*, each example a *shot*; without examples it is *zero-shot*. How an example is written is the *template*. By hand, with the template `{input} -> {output}`:
#
# ```text
# Italy -> Rome
# Spain -> Madrid
# France ->
# ```
#
# Two things matter here. The prompt ends right before the answer, without a blank: in the vocabulary " Paris" with its blank is one token, so after a blank the model would have to find a rarer way to go on. And the answer itself must not be in the prompt. That sounds obvious until you draw examples at random from the list you also ask about.

# %%
print(tokenizer.encode("-> Paris"), [tokenizer.decode([id]) for id in tokenizer.encode("-> Paris")])
print(tokenizer.encode("-> "), [tokenizer.decode([id]) for id in tokenizer.encode("-> ")])


# %% [markdown]
# ### Exercise: build_prompt (2 points)
#
# - `examples` are pairs (input, output). Each is written as the template has it, blanks included, with `{input}` and `{output}` filled in, and on lines of its own: join with a newline.
# - Then comes the query, written the same way up to where the output would stand. What the template has behind `{output}` is not written there, and no blanks (spaces or newlines) are left at the end.
# - Every example whose input *is* the query is left out.
# - A template may have other braces, and an input or output may hold any text, even `{output}`.
#
# ```python
# build_prompt([("Italy", "Rome"), ("Spain", "Madrid")], "France", "{input} -> {output}")
# # "Italy -> Rome\nSpain -> Madrid\nFrance ->"
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# The template has a part before the output and a part behind it. The query needs only the first.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# `split` the template at `{output}`. For each example that is not the query: the first part with the input filled in (`replace`), the output, the second part. Last the first part with the query in it, and `rstrip()`. Join them all.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `before, after = template.split("{output}")`, then `[before.replace("{input}", x) + y + after for x, y in examples if x != query]`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "in_context-build_prompt", "locked": false, "schema_version": 3, "solution": true, "task": false}
def build_prompt(examples: Sequence[tuple[str, str]], query: str, template: str) -> str:
    r"""Solved examples below each other, then the query, left open where its output would stand.

    >>> build_prompt([("a", "b")], "c", "{input} = {output};")
    'a = b;\nc ='
    """
    if template.count("{input}") != 1 or template.count("{output}") != 1:
        raise ValueError(f"template must hold {{input}} and {{output}} once each, got {template!r}")
    if template.index("{input}") > template.index("{output}"):
        raise ValueError(f"template must have {{output}} behind {{input}}, got {template!r}")

    ### BEGIN SOLUTION
    before, after = template.split("{output}")
    lines = [before.replace("{input}", x) + y + after for x, y in examples if x != query]
    lines.append(before.replace("{input}", query).rstrip())
    return "\n".join(lines)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-in_context-build_prompt", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("in_context.build_prompt", build_prompt)
### BEGIN HIDDEN TESTS
check("in_context.build_prompt", build_prompt, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# Now watch what one, two and eight examples do to the distribution of the next token:

# %%
ARROW = "{input} -> {output}"


def likeliest(prompt: str, k: int = 6) -> list[tuple[str, float]]:
    """The k likeliest next tokens and their probabilities."""
    with torch.no_grad():
        probs = model(torch.tensor([tokenizer.encode(prompt)]))[0, -1].softmax(-1)
    best = probs.topk(k)
    return [(tokenizer.decode([id]), p) for id, p in zip(best.indices.tolist(), best.values.tolist())]


# %% tags=["experiment", "nbval-ignore-output"]
panels = {
    f"{k} examples": likeliest(build_prompt(CAPITALS[1:k + 1], "France", ARROW)) for k in (0, 1, 2, 8)
}  # fmt: skip
plots.next_token_chart(panels)


# %% [markdown]
# Without an example the arrow could mean anything. After one or two the model mostly repeats the country: it has seen that a name follows, but not yet which. After eight it names the capital. Move the slider, change the template, and ask about something of your own:

# %% tags=["experiment", "nbval-ignore-output"]
@interact(
    task=Dropdown(options={"capitals": CAPITALS, "plurals": PLURALS, "opposites": OPPOSITES}),
    shots=IntSlider(4, 0, 8),
    query=Text("Sweden", continuous_update=False),
    template=Text(ARROW, continuous_update=False),
)
def explore(task, shots, query, template):
    prompt = build_prompt(task[:shots], query, template)
    print(prompt)
    return plots.next_token_chart({"the next token": likeliest(prompt)})


# %% [markdown]
# ## 2. Measuring it
#
# **An accuracy is a share of some questions, and with 50 questions it is known only roughly.** If a model is right on 8 of 10, its true rate may well be 0.6 or 0.9. A 95 % *confidence interval* gives the range of true rates under which such a count would not be unusual. The textbook formula $p \pm 1.96\sqrt{p(1-p)/n}$ breaks down where we need it: with 0 of 10 right it says "exactly 0, without any doubt". Wilson's interval (1927) does not:
#
# $$\frac{p + \frac{z^2}{2n} \pm z\sqrt{\frac{p(1-p)}{n} + \frac{z^2}{4n^2}}}{1 + \frac{z^2}{n}}, \qquad z = 1.96$$

# %%
for right, n in ((0, 10), (8, 10), (40, 50), (50, 50)):
    low, high = wilson_interval(right, n)
    print(f"{right:2} of {n} right: {right / n:.2f}, between {low:.2f} and {high:.2f}")

# %% [markdown]
# What counts as right? We are strict: *exact match*. Greedy decoding has to write the answer, and then end the line. "Paris, the city of light" is wrong here. To know what greedy decoding would write, nothing has to be written: read prompt and answer together, and look whether at each place the best next token is the one that stands there. That is teacher forcing again (notebook 07), and one call of the model instead of many. Two helpers do it: `rest_of_line` gives what should follow the prompt, and `exact_matches` checks many prompts at once.

# %%
print(repr(build_prompt([], "France", ARROW)), "should go on with", repr(rest_of_line("Paris", ARROW)))
for examples in ([], CAPITALS[1:9]):
    prompt = build_prompt(examples, "France", ARROW)
    print(len(examples), "examples:", exact_matches(model, tokenizer, [prompt], [rest_of_line("Paris", ARROW)]))


# %% [markdown]
# ### Exercise: accuracy_by_shots (3 points)
#
# Measure how accuracy depends on the number of examples.
#
# - `items` are pairs (input, output). For each k in `shots`, ask about **every** item once, with k examples that are **other** items, none of them twice.
# - Which ones, and in which order, is decided by `seed` alone: the same seed gives the same prompts. Leave torch's own random numbers as they are.
# - Return for each k a tuple of three floats: the accuracy (the share of exact matches), and the low and high end of its Wilson interval.
# - `build_prompt`, `rest_of_line(output, template)`, `exact_matches(model, tokenizer, prompts, endings)` and `wilson_interval(n_right, n)` are there for you.
#
# ```python
# accuracy_by_shots(model, tokenizer, CAPITALS[:10], [0, 8], "{input} -> {output}", seed=0)
# # {0: (0.0, 0.0, 0.28), 8: (0.9, 0.60, 0.98)}, or the like
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# Shuffle the items once. If the first k of the shuffled items include the query, `build_prompt` drops it, and one example is missing. So who comes first, "not the query" or "the first k"?
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# `torch.randperm(len(items), generator=torch.Generator().manual_seed(seed))` is an order. For each k, for each item: the shuffled items with another input, the first k of them, a prompt. All prompts of one k go to `exact_matches` together; `sum` of its answers is the number of right ones.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `others = [item for item in shuffled if item[0] != query]`, `build_prompt(others[:k], query, template)`, and at the end `result[k] = (right / len(items), *wilson_interval(right, len(items)))`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "in_context-accuracy_by_shots", "locked": false, "schema_version": 3, "solution": true, "task": false}
def accuracy_by_shots(
    model: LanguageModel,
    tokenizer: BPETokenizer,
    items: Sequence[tuple[str, str]],
    shots: Sequence[int],
    template: str,
    seed: int,
) -> dict[int, tuple[float, float, float]]:
    """{number of shots: (accuracy, low, high)}; each item is asked with k other items as examples.

    >>> accuracy_by_shots(model, tokenizer, [("a", "b"), ("c", "d")], [1], "{input}{output}", 0)
    {1: (0.0, 0.0, 0.66)}
    """
    most = len({x for x, _ in items}) - 1
    if not all(0 <= k <= most for k in shots):
        raise ValueError(f"shots must lie in 0 ... {most} for these items, got {list(shots)}")

    ### BEGIN SOLUTION
    order = torch.randperm(len(items), generator=torch.Generator().manual_seed(seed))
    shuffled = [items[i] for i in order.tolist()]
    endings = [rest_of_line(output, template) for _, output in items]
    result = {}
    for k in shots:
        prompts = []
        for query, _ in items:
            others = [item for item in shuffled if item[0] != query]
            prompts.append(build_prompt(others[:k], query, template))
        right = sum(exact_matches(model, tokenizer, prompts, endings))
        result[k] = (right / len(items), *wilson_interval(right, len(items)))
    return result
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-in_context-accuracy_by_shots", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check("in_context.accuracy_by_shots", accuracy_by_shots)
### BEGIN HIDDEN TESTS
check("in_context.accuracy_by_shots", accuracy_by_shots, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# Now with two tasks of more than 50 items each, 0 to 8 shots. The prompts of one k nearly all begin with the same examples. `share_beginning(model)` is the same model, but reads what most rows of a batch have in common only once and keeps its keys and values (notebook 06): the same logits but for rounding, and several times faster.

# %% tags=["experiment", "nbval-ignore-output"]
TASKS = {"capitals": CAPITALS, "plurals": PLURALS}
SHOTS = [0, 1, 2, 8]
quick = share_beginning(model)

results = {}
for name, items in TASKS.items():
    results[name] = accuracy_by_shots(quick, tokenizer, items, SHOTS, ARROW, seed=1)
    line = "   ".join(f"{k}: {accuracy:.2f}" for k, (accuracy, _, _) in results[name].items())
    print(f"{name:10} {len(items)} items   {line}")
plots.shots_chart(results, "More examples, more right, and no weight moves")

# %% [markdown]
# **Claim: "large models do tasks zero-shot, small ones need examples." Measured, with 135 million weights:** with this template, yes. Zero-shot nothing is right; a few examples take it to where most is right. But look again at the first panel of section 1. The model did not fail to know the capital of France: it could not know that capitals were the question. Section 3 asks in another way.
#
# The bars say how much luck there is in the choice of the *items*. They say nothing about the choice of the *examples*: another seed shows other examples, and with one or two examples the accuracy may then lie outside of the bar (`benchmarks/results/in_context.md` has four tasks under three seeds).
#
# What would break if the query stood among its own examples? A model that copies would look like one that knows.

# %% [markdown]
# ## 3. Asking in another way: the chat template
#
# **A model that was trained on conversations knows a task when it is asked like in a conversation.** SmolLM2-135M-*Instruct* is a language model first, then trained further on dialogues. To it a dialogue is a text like any other, with markers in it, in a format called *ChatML*:
#
# ```text
# <|im_start|>user
# What is the capital of France?<|im_end|>
# <|im_start|>assistant
# ```
#
# Each marker is a single token that occurs nowhere else. The text stops behind the newline after "assistant", where the answer begins, and the model goes on as the assistant. A message with the role *system* may come first and say how to behave. There is nothing more to a chat: the model has no other way to know who said what. (Here library functions differ. SmolLM2's own template puts a system message in front when you give none, "You are a helpful AI assistant named SmolLM"; ours adds nothing.)

# %%
for marker in ("<|im_start|>", "<|im_end|>"):
    print(marker, "is token", tokenizer.encode(marker))


# %% [markdown]
# ### Exercise: chat_prompt (1 point)
#
# - `messages` is a list of dicts with a "role" ("system", "user" or "assistant") and a "content".
# - Each message: `<|im_start|>`, the role, a newline, the content as it is, `<|im_end|>`, a newline.
# - At the end open the assistant's turn, whoever spoke last: `<|im_start|>assistant` and a newline.
#
# ```python
# chat_prompt([{"role": "user", "content": "Hello"}])
# # "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"
# ```
#
# The lines that are given refuse a content with a marker in it. Can you see what its author could do otherwise?
#
# <details><summary>Hint 1: a nudge</summary>
#
# One f-string does a message.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# Make the list of all turns, join them without anything between, add the opening of the answer.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n"` for each `m` in `messages`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "in_context-chat_prompt", "locked": false, "schema_version": 3, "solution": true, "task": false}
def chat_prompt(messages: Sequence[Mapping[str, str]]) -> str:
    r"""A conversation in ChatML, open for the assistant's answer.

    >>> chat_prompt([{"role": "user", "content": "Hi"}])
    '<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n'
    """
    if not messages:
        raise ValueError("messages must hold at least one message, got none")
    for message in messages:
        if message["role"] not in ("system", "user", "assistant"):
            raise ValueError(f"messages must have a known role, got {message['role']!r}")
        if "<|im_start|>" in message["content"] or "<|im_end|>" in message["content"]:
            raise ValueError(f"messages must hold no markers, got {message['content']!r}")

    ### BEGIN SOLUTION
    turns = [f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in messages]
    return "".join(turns) + "<|im_start|>assistant\n"
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-in_context-chat_prompt", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
check("in_context.chat_prompt", chat_prompt)
### BEGIN HIDDEN TESTS
check("in_context.chat_prompt", chat_prompt, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# (With a marker in the content, a user could end the own turn and open one as "system".)
#
# Three ways to ask for 16 capitals, all zero-shot. This time we are generous: the answer counts if the capital occurs in the first ten tokens.

# %% tags=["experiment", "nbval-ignore-output"]
countries, capitals = zip(*CAPITALS[:16])
ways = {
    "arrow": [build_prompt([], country, ARROW) for country in countries],
    "sentence": [f"The capital of {country} is" for country in countries],
    "chat": [
        chat_prompt([{"role": "user", "content": f"What is the capital of {country}?"}])
        for country in countries
    ],
}
for way, prompts in ways.items():
    ids, mask = pad_left([tokenizer.encode(prompt) for prompt in prompts])
    stop = [tokenizer.special_tokens["<|im_end|>"]]
    rows, _ = generate(model, ids, attention_mask=mask, max_new_tokens=10, stop_ids=stop)
    answers = [tokenizer.decode(row) for row in rows]
    right = sum(capital in answer for capital, answer in zip(capitals, answers))
    print(f"{way:9} {right:2} of {len(capitals)}; for example {answers[1]!r}")

# %% [markdown]
# So most of the knowledge was there all the time, without a single example. Zero-shot fails with the arrow because the *task* is unclear, not because the answer is unknown. **This is what most of the gain from few shots is: the examples say which task, which words may be answers, and what an answer looks like.**

# %% [markdown]
# ## 4. Choosing among options
#
# **Often the possible answers are known: then ask which of them the model finds likeliest.** The format of the answer no longer matters, only the task. An option of several tokens is scored by the chain rule: the log-probability of its first token after the prompt, plus that of the second after prompt and first, and so on. By hand: if " New" has probability 0.5 after "India ->", and " Delhi" 0.8 after "India -> New", the option " New Delhi" has 0.4:

# %%
print(f"exp(log 0.5 + log 0.8) = {(torch.tensor(0.5).log() + torch.tensor(0.8).log()).exp():.2f}")


# %% [markdown]
# ### Exercise: option_log_likelihoods (3 points)
#
# - `model(ids)` takes ids `[batch, time]` and returns logits `[batch, time, vocab]`. It looks back only.
# - `prompt` is a list of ids, `options` a list of lists of ids, of different length.
# - Return one number for each option, `[options]`: the sum of the log-probabilities of its tokens, each after the prompt and the option's tokens before it. Same float dtype as the logits.
# - The sum, not the mean; natural logarithm. The prompt's own tokens do not count.
#
# The check uses a toy model with a `table`: its logits are the sum of the table's rows of all tokens read so far.
#
# ```python
# option_log_likelihoods(model, tokenizer.encode("India ->"), [[1, 2], [3]])
# # tensor([log P(1 | prompt) + log P(2 | prompt, 1),  log P(3 | prompt)])
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# Read prompt and option together. What the model says at place t is about the token at place t + 1.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# One row for each option: prompt, option, filled up on the right to the longest with any id. (What stands behind is not seen, so it does no harm.) `log_softmax` over the vocabulary. The guesses about the option stand from place `len(prompt) - 1` to the last but one. Pick with `gather` the scores of the tokens that are there, and add up, for each option, as many as it has tokens.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `guesses, targets = log_probs[:, len(prompt) - 1 : -1], ids[:, len(prompt) :]`, then `guesses.gather(-1, targets[..., None]).squeeze(-1)`, and `row[: len(option)].sum()`.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "in_context-option_log_likelihoods", "locked": false, "schema_version": 3, "solution": true, "task": false}
def option_log_likelihoods(
    model: LanguageModel, prompt: Sequence[int], options: Sequence[Sequence[int]]
) -> Float[Tensor, "options"]:
    """log P(option | prompt) for each option, [options].

    >>> option_log_likelihoods(lambda ids: torch.zeros(*ids.shape, 4), [0], [[1], [2, 3]])
    tensor([-1.3863, -2.7726])
    """
    if len(prompt) == 0:
        raise ValueError("prompt must hold at least one id, got none")
    if len(options) == 0 or any(len(option) == 0 for option in options):
        raise ValueError(f"options must hold at least one id each, got {options}")

    ### BEGIN SOLUTION
    longest = max(len(option) for option in options)
    rows = [[*prompt, *option] + [0] * (longest - len(option)) for option in options]
    ids = torch.tensor(rows)  # [options, time]; padding on the right is seen by no token before it
    log_probs = model(ids).log_softmax(dim=-1)  # [options, time, vocab]

    # The token at place t is scored by what the model says at place t - 1.
    guesses, targets = log_probs[:, len(prompt) - 1 : -1], ids[:, len(prompt) :]
    scores = guesses.gather(-1, targets[..., None]).squeeze(-1)  # [options, longest]
    return torch.stack([row[: len(option)].sum() for row, option in zip(scores, options)])
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-in_context-option_log_likelihoods", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check("in_context.option_log_likelihoods", option_log_likelihoods)
### BEGIN HIDDEN TESTS
check("in_context.option_log_likelihoods", option_log_likelihoods, hidden=True)
### END HIDDEN TESTS

# %% tags=["experiment"]
prompt = tokenizer.encode(build_prompt(CAPITALS[:4], "India", ARROW))
options = [" New Delhi", " New York", " Rome", " Paris", " cold"]
with torch.no_grad():
    scores = option_log_likelihoods(quick, prompt, [tokenizer.encode(option) for option in options])
for score, option in sorted(zip(scores.tolist(), options), reverse=True):
    print(f"{option:10} {score:6.1f} nats")

# %% [markdown]
# Now a task with two answers: is a review positive or negative? The questions are 20 short reviews, as many good as bad. Zero-shot, in three templates. (`label_log_likelihoods` does what you wrote for many prompts at once, as long as each label is one token; the first line sees to it that both agree.)

# %% tags=["experiment", "nbval-ignore-output"]
REVIEW = "Review: {input}\nSentiment: {output}"
LABELS = [" " + sentiment for sentiment in SENTIMENTS]
questions = experiments.draw_reviews(4, 30, seed=0)[1][5:-5]  # 10 good, then 10 bad


def label_scores(examples, inputs, template=REVIEW):
    """Probabilities of the two labels, [inputs, 2], the two alone."""
    prompts = [build_prompt(examples, text, template) for text in inputs]
    scores = experiments.label_log_likelihoods(quick, tokenizer, prompts, LABELS)
    return scores.softmax(dim=-1)


texts = [text for text, _ in questions]
one = build_prompt([], texts[0], REVIEW)
with torch.no_grad():
    mine = option_log_likelihoods(model, tokenizer.encode(one), [tokenizer.encode(x) for x in LABELS])
torch.testing.assert_close(mine.softmax(-1), label_scores([], texts)[0], atol=1e-3, rtol=0)

for template in (ARROW, "{input} It was {output}", REVIEW):
    right = experiments.share_right(label_scores([], texts, template), questions)
    prompts = [build_prompt([], text, template) for text in texts]
    endings = [rest_of_line(label, template) for _, label in questions]
    exact = sum(exact_matches(quick, tokenizer, prompts, endings)) / len(questions)
    print(f"{template!r:40} exact match {exact:.2f}   better of the two labels {right:.2f}")

# %% [markdown]
# Zero-shot again, and the same model. With two of the templates nothing is right by exact match, and most when the model only has to choose: again it knew more than it said. And the words of the template matter a great deal, although all three ask the same. When somebody tells you the accuracy of a model, ask for the template.

# %% [markdown]
# ## 5. What a prompt makes the model prefer, and how to take it out
#
# **Examples can also do harm: the model leans toward labels that came often, or last.** The same four examples, two good and two bad, in all six orders of their labels:

# %% tags=["experiment", "nbval-ignore-output"]
CONTENT_FREE = ["N/A", "[MASK]", "..."]
examples, _ = experiments.draw_reviews(4, 30, seed=2)
good = [e for e in examples if e[1] == "positive"]
bad = [e for e in examples if e[1] == "negative"]
orders, order_probs = [], []
for places in itertools.combinations(range(4), 2):  # where the good ones stand
    goods, bads = iter(good), iter(bad)
    ordered = [next(goods) if place in places else next(bads) for place in range(4)]
    orders.append("".join("+" if label == "positive" else "-" for _, label in ordered))
    order_probs.append(label_scores(ordered, texts + CONTENT_FREE))

for order, probs in zip(orders, order_probs):
    said = (probs[: len(texts)].argmax(-1) == 0).float().mean()
    right = experiments.share_right(probs[: len(texts)], questions)
    free = probs[len(texts) :].mean(0)
    print(f"{order}   says positive to {said:.2f} of the reviews, right {right:.2f};  "
          f"to no review at all: P(positive) = {free[0]:.2f}")


# %% [markdown]
# Zero-shot this template got them nearly all right. With four examples, all true, it is worse in every order: the model has become biased, now toward one label, now toward the other.
#
# The last column is the key. We asked the same about "reviews" without any content: "N/A", "[MASK]", "...". A fair model would answer half and half. What it answers instead comes from the prompt alone, and can be divided out. This is *contextual calibration* (Zhao and others 2021, who average over such inputs as well). By hand: a review gets (0.6, 0.4), no review at all gets (0.8, 0.2). Divided: (0.75, 2). Scaled to sum to one: (0.27, 0.73). What looked positive was only less positive than nothing.

# %% [markdown]
# ### Exercise: contextual_calibration (1 point)
#
# - `option_probs` is `[options]` or `[batch, options]` (or more axes), `content_free_probs` `[options]`, all above 0.
# - Divide, and scale each row to sum to one.
#
# ```python
# contextual_calibration(torch.tensor([0.6, 0.4]), torch.tensor([0.8, 0.2]))
# # tensor([0.2727, 0.7273])
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# Two divisions.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# Broadcasting does the first for all rows. The second divides each row by its own sum.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `fair.sum(dim=-1, keepdim=True)`
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "in_context-contextual_calibration", "locked": false, "schema_version": 3, "solution": true, "task": false}
@check_shapes
def contextual_calibration(
    option_probs: Float[Tensor, "*batch options"], content_free_probs: Float[Tensor, "options"]
) -> Float[Tensor, "*batch options"]:
    """Probabilities with the prompt's own leaning taken out, same shape, rows sum to one.

    >>> contextual_calibration(torch.tensor([0.5, 0.5]), torch.tensor([0.75, 0.25]))
    tensor([0.2500, 0.7500])
    """
    if not (content_free_probs > 0).all():
        raise ValueError(f"content_free_probs must be above 0, got {content_free_probs.tolist()}")

    ### BEGIN SOLUTION
    fair = option_probs / content_free_probs
    return fair / fair.sum(dim=-1, keepdim=True)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-in_context-contextual_calibration", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
check("in_context.contextual_calibration", contextual_calibration)
### BEGIN HIDDEN TESTS
check("in_context.contextual_calibration", contextual_calibration, hidden=True)
### END HIDDEN TESTS

# %% tags=["experiment", "nbval-ignore-output"]
def calibrated(probs):
    """The questions' probabilities, calibrated by those of the content-free inputs behind them."""
    return contextual_calibration(probs[: len(texts)], probs[len(texts) :].mean(0))


said = [(probs[: len(texts)].argmax(-1) == 0).float().mean().item() for probs in order_probs]
bars = {
    "as the model says": [experiments.share_right(p[: len(texts)], questions) for p in order_probs],
    "calibrated": [experiments.share_right(calibrated(p), questions) for p in order_probs],
}
for name, values in bars.items():
    print(f"{name:18} mean {sum(values) / len(values):.2f}, from {min(values):.2f} to {max(values):.2f}")
plots.order_chart(orders, said, bars)

# %% [markdown]
# The same four examples, and the order alone decides between useful and useless (Lu and others 2022 found the same in models up to GPT-3). Calibration does not know the answers, and brings much of it back.
#
# ### Do the labels have to be right?
#
# Min and others (2022) asked a rude question: what if the labels in the examples are *wrong*? We take three draws of four examples each, and show them with their true labels, with half of them turned round (so that they say nothing), and with all turned round.

# %% tags=["experiment", "nbval-ignore-output"]
conditions = {"true": [], "half wrong": [], "all wrong": []}
after = {name: [] for name in conditions}
for seed in range(3):
    examples, _ = experiments.draw_reviews(4, 30, seed)
    shown = [examples, experiments.half_flipped(examples, seed), experiments.flipped(examples)]
    for name, labelled in zip(conditions, shown):
        probs = label_scores(labelled, texts + CONTENT_FREE)
        conditions[name].append(experiments.share_right(probs[: len(texts)], questions))
        after[name].append(experiments.share_right(calibrated(probs), questions))
for name in conditions:
    raw, fair = (sum(values) / 3 for values in (conditions[name], after[name]))
    print(f"{name:10}  as the model says {raw:.2f}   calibrated {fair:.2f}")
plots.labels_chart({"As the model says": conditions, "Calibrated": after}, "labels of the examples")


# %% [markdown]
# **Measured:** calibrated, even examples whose labels are all wrong leave the model far above chance, on the side of the *truth*. If it learnt the task from them, it would have to turn its answers round. It does not: it recognises "these are reviews, and the words are positive and negative", and answers as it would have anyway. Before calibration the bias of each draw hides this.
#
# Two cautions. These are few draws and one small model: look at the spread of the dots. And it is a task that the model could do zero-shot; where the mapping is new, as with made-up labels, the examples are all there is. Larger models do follow turned labels (Wei and others 2023).

# %% [markdown]
# ## 6. Where it comes from: induction heads
#
# **If A was followed by B before, and A comes again, then B is a good guess.** A head that does this looks from the present token to the one that *followed* the same token last time. Olsson and others (2022) call it an *induction head*, and give evidence that such heads are behind much of in-context learning.
#
# It takes two layers. At the second A, the head has to find a place by what stood *before* it. A key at that place says only what stands *there*, unless an earlier layer has written the previous token into it. So: a head in layer 1 copies to each place what stood before, then a head in layer 2 searches for "A stood before" and finds B.
#
# To find such heads, give the model random tokens that repeat themselves. There is no grammar to help: whoever predicts the second round has looked back. By hand, with a period of 3:
#
# ```text
# place   0 1 2 3 4 5
# token   K M Q K M Q
# ```
#
# At place 3 stands K, as it did at place 0. What followed then is the M at place 1. So an induction head looks from 3 to 1, from 4 to 2, from 5 to 3: from t to t - 3 + 1.

# %% [markdown]
# ### Exercise: induction_score (2 points)
#
# - `attention` is `[heads, target, source]` or `[batch, heads, target, source]`, with as many sources as targets, of texts that repeat themselves every `period` tokens.
# - Return `[heads]`: for each head the mean weight from target t to source t - period + 1, over all t >= period, and over the batch if there is one.
# - A `period` without a target (period >= time) is an error: the line that is given sees to it.
#
# ```python
# weights = torch.tensor([[[1, 0, 0], [0.5, 0.5, 0], [0.2, 0.7, 0.1]]])
# induction_score(weights, 2)
# # tensor([0.7000]): only t = 2 counts, and it looks at 2 - 2 + 1 = 1
# ```
#
# <details><summary>Hint 1: a nudge</summary>
#
# In the attention matrix these places lie on a line parallel to the diagonal.
#
# </details>
# <details><summary>Hint 2: the plan</summary>
#
# `attention.diagonal(offset=..., dim1=-2, dim2=-1)` takes such a line out, for all heads and texts at once. A negative offset lies below the main diagonal. It begins one target too early. Average the rest over the last axis, then over the batch.
#
# </details>
# <details><summary>Hint 3: almost the code</summary>
#
# `attention.diagonal(offset=1 - period, dim1=-2, dim2=-1)[..., 1:]`; then the mean over the last axis, `.reshape(-1, heads)`, and the mean over axis 0.
#
# </details>

# %% nbgrader={"grade": false, "grade_id": "in_context-induction_score", "locked": false, "schema_version": 3, "solution": true, "task": false}
@check_shapes
def induction_score(
    attention: Float[Tensor, "*batch heads time time"], period: int
) -> Float[Tensor, "heads"]:
    """Mean attention from t to t - period + 1 for t >= period, [heads].

    >>> induction_score(torch.eye(4)[[0, 0, 1, 2]][None], 2)
    tensor([1.])
    """
    heads, time = attention.shape[-3:-1]
    if not 1 <= period < time:
        raise ValueError(f"period must lie in 1 ... {time - 1} for this attention, got {period}")

    ### BEGIN SOLUTION
    # The diagonal holds, for t = period - 1, period, ..., the weight from t to t - period + 1.
    to_next = attention.diagonal(offset=1 - period, dim1=-2, dim2=-1)[..., 1:]
    return to_next.mean(dim=-1).reshape(-1, heads).mean(dim=0)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check-in_context-induction_score", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("in_context.induction_score", induction_score)
### BEGIN HIDDEN TESTS
check("in_context.induction_score", induction_score, hidden=True)
### END HIDDEN TESTS

# %% [markdown]
# ### Growing one
#
# We train a model of two layers of attention and nothing else: one head a layer, no feed-forward, 32 channels. Its texts are random tokens that repeat themselves, each after another number of tokens, so that looking back a fixed distance is no use. Beside it a model with *one* layer. (`grow_induction_heads` looks at the model every 20 steps, on texts whose second half repeats the first.)

# %% tags=["experiment", "nbval-ignore-output"]
grown, two = experiments.grow_induction_heads(2, steps=320, every=20)
_, one_layer = experiments.grow_induction_heads(1, steps=320, every=20)
print("steps   loss on the repetition   induction score   loss with one layer")
for i in range(0, len(two.steps), 4):
    print(f"{two.steps[i]:5} {two.second[i]:16.1f} {two.induction[1][i]:20.1f} {one_layer.second[i]:20.1f}")
plots.growth_chart(two, one_layer)

# %% [markdown]
# For a while nothing seems to happen, then within about a hundred steps the loss on the repetition falls off a cliff. It falls when the second layer's induction score rises, and when the first layer starts to look at the token before. Each head is worth nothing without the other; that is why it comes so suddenly. With one layer there is no cliff: the loss creeps down, and no induction head appears.
#
# Here are the two heads at work, on one text whose second half repeats its first. (The first layer looks at the token before only in the first round, where it will be needed: hence its mean of about a half.)

# %% tags=["experiment"]
half = torch.randperm(experiments.VOCAB, generator=torch.Generator().manual_seed(5))[: experiments.PERIOD]
with torch.no_grad(), record_attention() as weights:
    grown(torch.cat([half, half])[None])
for layer, attention in enumerate(weights, start=1):
    print(f"layer {layer}: induction score {induction_score(attention, experiments.PERIOD).item():.1f}")
plots.stripe_map(
    {"Layer 1: the token before": weights[0][0, 0], "Layer 2: what came next": weights[1][0, 0]},
    experiments.PERIOD,
)

# %% [markdown]
# ### Finding them in SmolLM2
#
# Nobody trained SmolLM2 on random tokens. Give it some that repeat themselves after 20 places, and look at all of its 270 heads with your detector:

# %% tags=["experiment", "nbval-ignore-output"]
generator = torch.Generator().manual_seed(0)
first_round = torch.randint(1000, 40_000, (3, 20), generator=generator)
repeating = torch.cat([first_round, first_round], dim=1)
with torch.no_grad(), record_attention() as weights:
    model(repeating)
head_scores = torch.stack([induction_score(attention, 20) for attention in weights])
heads = experiments.ranked_heads(head_scores)
print(f"{int((head_scores > 0.3).sum())} of {head_scores.numel()} heads score above 0.3; the best:")
print("  ".join(f"layer {layer} head {head}: {head_scores[layer, head]:.1f}" for layer, head in heads[:4]))
plots.head_map(head_scores, "A few heads of SmolLM2 do it")

# %% [markdown]
# (Here layers and heads are counted from 0.) A few heads stand out, all past the middle of the model. Are they *used* when the model learns from examples? A score shows where a head looks, not what comes of it. So we take heads away: whatever the twelve best have to say is set to zero. As a control, twelve others of the same layers.

# %% tags=["experiment", "nbval-ignore-output"]
best = heads[:12]
others = experiments.control_heads(head_scores, best)
for name, silent in {"all heads": [], "without the 12 best": best, "without 12 others": others}.items():
    with experiments.heads_switched_off(model, silent), torch.no_grad():
        logits = model(repeating)[:, 20:-1]
        loss = torch.nn.functional.cross_entropy(logits.mT, repeating[:, 21:]).item()
        tenses, capitals = (
            accuracy_by_shots(quick, tokenizer, items[:30], [4], ARROW, seed=1)[4][0]
            for items in (PAST_TENSES, CAPITALS)
        )
    print(f"{name:20} loss on the repetition {loss:4.1f};   with 4 examples: "
          f"past tenses {tenses:.2f}, capitals {capitals:.2f}")

# %% [markdown]
# Without its induction heads the model can no longer repeat; without the others it can. And the past tenses of 30 verbs ("walk -> walked"), mostly right after four examples, suffer from the loss of the induction heads and hardly from that of the others. So these heads are used.
#
# The last column is a warning. The capitals are lost with *either* set: there other heads of these layers are needed as well, and the model has none to spare. Without the control we would have written "few-shot capitals run on induction heads", and it would have looked convincing. (`benchmarks/results/in_context.md` has four tasks with all their items; on some the two sets differ little.) Olsson and others (2022) followed models of many sizes through their training: the score for learning in context jumps when induction heads form, as the loss did in the model you grew.
#
# And the weights?

# %%
after_all = fingerprint(model)
print(f"fingerprint {after_all}")
print("weights changed:", "none" if after_all == before else "some")
assert after_all == before

# %% [markdown]
# ## Check what you remember
#
# Before you read the summary, find out what stayed. Think first, then open the answer you would give: it says whether it is right, and why. (The same in Portuguese: *Em português*, below the questions.)
#
# Later, `course review` in a terminal brings the ideas of this notebook back as flashcards, shortly before you would forget them.

# %% tags=["experiment"]
from course_lib.review import quiz

quiz("09_in_context_learning")

# %% [markdown]
# ## Summary
#
# - **In-context learning** is reading, not training: the fingerprint of the weights is the same as at the beginning.
# - A **few-shot prompt** is solved examples and an open question. It ends without a blank, and never holds the question's own answer.
# - An accuracy needs an **interval** (Wilson's holds near 0 and 1), the template, the number of shots, and how the examples were drawn. The interval covers the items, not the examples.
# - Zero-shot the model often knows the answer and not the question. **Examples, a clear sentence or a chat template** say what is asked.
# - When the options are known, **score the options**: the sum of their tokens' log-probabilities.
# - The **order** of the examples can decide everything. **Contextual calibration** divides by what the model says to nothing, and repairs much of it.
# - For a task the model knows, **wrong labels** in the examples do little harm: examples show the kind of text and the words for answers more than which goes with which.
# - **Induction heads** look at what followed last time. They need two layers, appear suddenly, and take the loss off a cliff. In SmolLM2 a few heads do this. Without them it cannot repeat, and forms past tenses worse from examples; on other tasks other heads matter as much, which only a control shows.
#
# ## Test yourself
#
# <details><summary>1. A colleague's few-shot prompt ends with "France -> " and works badly. What is the first thing you change?</summary>
#
# Take the blank off the end: " Paris" with its blank is one token, and after "-> " it cannot come any more.
#
# </details>
# <details><summary>2. 20 of 20 right. The textbook interval says 1.00 to 1.00. What does Wilson's say, roughly, and why is it more honest?</summary>
#
# About 0.84 to 1: a model that is right nine times in ten would get 20 of 20 one time in eight.
#
# </details>
# <details><summary>3. Option A has one token and log-likelihood -3, option B three tokens and -4.5. Which is likelier, and which wins per token?</summary>
#
# A is likelier (-3 against -4.5). Per token B wins: -1.5 against -3.
#
# </details>
# <details><summary>4. To "N/A" the model says positive with 0.9. To a review it says positive with 0.8. What does calibration make of that?</summary>
#
# (0.8 / 0.9, 0.2 / 0.1) = (0.89, 2), scaled (0.31, 0.69): negative.
#
# </details>
# <details><summary>5. Why can a model with one layer of attention have no induction head?</summary>
#
# The head has to find a place by what stood before it. In one layer a key knows only the token at its own place (and its position); that another token stood before it, an earlier layer has to write there first.
#
# </details>
#
# ## Where to read on
#
# - Tom Brown and others, [*Language Models are Few-Shot Learners*](https://arxiv.org/abs/2005.14165) (2020), sections 1 and 2: GPT-3 and the words for all this.
# - Tony Zhao and others, [*Calibrate Before Use*](https://arxiv.org/abs/2102.09690) (2021): majority, recency, and contextual calibration; Yao Lu and others, [*Fantastically Ordered Prompts and Where to Find Them*](https://arxiv.org/abs/2104.08786) (2022).
# - Sewon Min and others, [*Rethinking the Role of Demonstrations*](https://arxiv.org/abs/2202.12837) (2022): wrong labels; Jerry Wei and others, [*Larger language models do in-context learning differently*](https://arxiv.org/abs/2303.03846) (2023): when they do matter.
# - Catherine Olsson and others, [*In-context Learning and Induction Heads*](https://arxiv.org/abs/2209.11895) (2022); Nelson Elhage and others, [*A Mathematical Framework for Transformer Circuits*](https://transformer-circuits.pub/2021/framework/index.html) (2021): attention-only models.
# - Edwin Wilson, *Probable Inference, the Law of Succession, and Statistical Inference*, Journal of the American Statistical Association 22 (1927).
#
# Next: [notebook 10](../10_scaling/10_scaling.ipynb) asks how large a model should be, and how long it should be trained.
