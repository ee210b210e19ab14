"""Notebook 09: what each exercise on learning in context demands."""

from __future__ import annotations

import math

import torch

from course_lib import in_context
from course_lib.checks.exercise import Case, Exercise, refuses
from course_lib.in_context import exact_matches, rest_of_line, wilson_interval

ARROW = "{input} -> {output}"
ASKED = "Q: {input}\nA: {output}"
WORDS = "sun moon lake tree bird wolf rose king ship road snow lamp fish hill corn star".split()

# --- build_prompt --------------------------------------------------------------------------

build_prompt = Exercise("in_context.build_prompt", points=2, reference=in_context.build_prompt)


@build_prompt.cases
def _(draw):
    words = draw.random.sample(WORDS, 14)

    def pairs(n, start=0):
        return [(words[start + 2 * i], words[start + 2 * i + 1]) for i in range(n)]

    def case(about, examples, query, template):
        return Case(about, {"examples": examples, "query": query, "template": template})

    yield case("one example", pairs(1), words[13], ARROW)
    yield case("no example", [], words[13], ARROW)
    yield case("three examples", pairs(3), words[13], ARROW)
    yield case("a template of two lines", pairs(2), words[13], ASKED)
    yield case("something behind the output", pairs(2), words[13], "{input} means {output}.")
    yield case("two blanks before the output", pairs(2), words[13], "in: {input}  out:  {output}")
    yield case("no blank before the output", pairs(2), words[13], "<{input}|{output}>")
    yield case("the query is among the examples", pairs(4), words[2], ARROW)
    yield case("the query is the output of an example", pairs(3), words[3], ARROW)
    yield case(
        "the query is a part of an input", [("sunrise", "morning"), *pairs(1)], "rise", ARROW
    )
    braces = '{"word": "{input}", "other": "{output}"}'
    yield case("a template with braces of its own", pairs(2), words[13], braces)
    odd = [("{output}", words[0]), (words[1], "{input}"), ("f{x}", words[2])]
    yield case("examples with braces in them", odd, words[13], ARROW)
    arguments = {"examples": pairs(1), "query": words[13]}
    yield refuses("a template without {output}", arguments | {"template": "{input} ->"}, "template")
    if draw.hidden:
        yield case("six examples", pairs(6), words[13], "Word: {input}\nOther: {output} (end)")


def _prompt(examples, query, template, *, join="\n", open_end=None, keep=None):
    """The reference, with places where a mistake can be put."""
    before, after = template.split("{output}")
    keep = keep or (lambda x, y: x != query)
    lines = [before.replace("{input}", x) + y + after for x, y in examples if keep(x, y)]
    question = before.replace("{input}", query)
    return join.join([*lines, open_end(question, after) if open_end else question.rstrip()])


@build_prompt.misconception
def shows_the_answer(examples, query, template):
    """An example with the query's own input stays in the prompt, and so its answer is there to be
    copied. Leave such an example out."""
    return _prompt(examples, query, template, keep=lambda x, y: True)


@build_prompt.misconception
def leaves_a_blank_at_the_end(examples, query, template):
    """Your prompt ends with the blank that stands before the output. Tokens of words begin with
    their blank (" Paris" is one token), so after a blank the model hardly ever finds the word. End
    without one."""
    return _prompt(examples, query, template, open_end=lambda question, after: question)


@build_prompt.misconception
def fills_the_output_with_nothing(examples, query, template):
    """You write the query with an empty output, so what the template has *behind* the output is
    there too. The prompt stops where the output would stand: that is what the model goes on
    with."""
    return _prompt(
        examples, query, template, open_end=lambda question, after: (question + after).rstrip()
    )


@build_prompt.misconception
def puts_an_empty_line_between(examples, query, template):
    """Between the examples there is an empty line. One newline is enough: the template says what an
    example looks like."""
    return _prompt(examples, query, template, join="\n\n")


@build_prompt.misconception
def puts_everything_on_one_line(examples, query, template):
    """Nothing stands between the examples. Each begins on a line of its own: join them with a
    newline."""
    return _prompt(examples, query, template, join="")


@build_prompt.misconception
def ends_with_a_newline(examples, query, template):
    """Your prompt ends with a newline, so the model would begin the next line. It has to go on
    right where the output would stand."""
    return _prompt(examples, query, template) + "\n"


@build_prompt.misconception
def formats_the_template(examples, query, template):
    """`str.format` takes every pair of braces in the template for a field, and stops with an error
    at those that are neither `{input}` nor `{output}`. `replace` or `split` touch only what you
    name."""
    start = template[: template.index("{output}")]
    lines = [template.format(input=x, output=y) for x, y in examples if x != query]
    return "\n".join([*lines, start.format(input=query).rstrip()])


@build_prompt.misconception
def replaces_in_what_was_filled_in(examples, query, template):
    """You fill in the input, and then look for `{output}` in the whole line. If the input itself
    holds that text, it is replaced as well. Cut the template in two first, or fill both in at
    once."""
    lines = [
        template.replace("{input}", x).replace("{output}", y) for x, y in examples if x != query
    ]
    start = template.split("{output}")[0]
    return "\n".join([*lines, start.replace("{input}", query).rstrip()])


@build_prompt.misconception
def leaves_out_what_holds_the_query(examples, query, template):
    """You leave out every example in whose text the query occurs. Only an example whose input *is*
    the query gives its answer away: compare with `==` or `!=`, not with `in`."""
    return _prompt(examples, query, template, keep=lambda x, y: query not in x + " " + y)


@build_prompt.misconception
def puts_the_query_first(examples, query, template):
    """The query stands before the examples. The model goes on at the end, so the open question has
    to be last."""
    *lines, question = _prompt(examples, query, template, join="\0").split("\0")
    return "\n".join([question, *lines])


@build_prompt.alternative
def in_a_loop(examples, query, template):
    """Text is added piece by piece."""
    if "{input}" not in template or "{output}" not in template:
        raise ValueError("template must have both fields")
    head, rest = template.split("{input}")
    middle, tail = rest.split("{output}")
    text = ""
    for given, wanted in examples:
        if given == query:
            continue
        text += head + given + middle + wanted + tail + "\n"
    return (text + head + query + middle).rstrip()


@build_prompt.alternative
def by_a_regular_expression(examples, query, template):
    """Both fields are filled in at once."""
    import re

    if not {"{input}", "{output}"} <= set(re.findall(r"\{\w+\}", template)):
        raise ValueError("template must have both fields")

    def fill(text, **fields):
        return re.sub(r"\{(input|output)\}", lambda match: fields[match[1]], text)

    lines = [fill(template, input=x, output=y) for x, y in examples if x != query]
    question = fill(template.partition("{output}")[0], input=query)
    return "\n".join(lines + [question.rstrip()])


# --- chat_prompt ---------------------------------------------------------------------------

chat_prompt = Exercise("in_context.chat_prompt", points=1, reference=in_context.chat_prompt)


@chat_prompt.cases
def _(draw):
    words = draw.random.sample(WORDS, 8)

    def case(about, *turns):
        messages = [{"role": role, "content": content} for role, content in turns]
        return Case(about, {"messages": messages})

    yield case("one question", ("user", f"What is a {words[0]}?"))
    yield case("a system message first", ("system", f"You are a {words[1]}."), ("user", words[2]))
    yield case(
        "an answer in between",
        ("user", words[3]), ("assistant", f"A {words[4]}."), ("user", f"And a {words[5]}?"),
    )  # fmt: skip
    yield case("a content of two lines", ("user", f"{words[6]}\n{words[7]}"))
    yield case("blanks around a content", ("user", f"  {words[0]} \n"))
    yield case("an empty system message", ("system", ""), ("user", words[1]))
    if draw.hidden:
        turns = [("user" if i % 2 == 0 else "assistant", word) for i, word in enumerate(words[:7])]
        yield case("a long conversation", *turns)


def _turns(messages, form="<|im_start|>{role}\n{content}<|im_end|>\n"):
    return "".join(form.format(**message) for message in messages)


START = "<|im_start|>assistant\n"


@chat_prompt.misconception
def adds_a_system_message(messages):
    """You put a system message in front where there is none. Many chat programs do, SmolLM2's own
    template among them; here the conversation is what was handed in, and nothing more."""
    if messages[0]["role"] != "system":
        messages = [{"role": "system", "content": "You are a helpful assistant."}, *messages]
    return _turns(messages) + START


@chat_prompt.misconception
def does_not_open_the_answer(messages):
    """Your text stops behind the last message, so the model would have to guess who speaks next,
    and may well go on as the user. Open the assistant's turn."""
    return _turns(messages)


@chat_prompt.misconception
def closes_the_answer(messages):
    """You open the assistant's turn and close it at once: an empty answer, already over. Stop where
    the answer begins."""
    return _turns(messages) + START + "<|im_end|>\n"


@chat_prompt.misconception
def forgets_the_newline_between_messages(messages):
    """After `<|im_end|>` a newline is missing. The model has seen one there in all its
    training."""
    return _turns(messages, "<|im_start|>{role}\n{content}<|im_end|>") + START


@chat_prompt.misconception
def forgets_the_last_newline(messages):
    """The newline after the last "assistant" is missing. The model would have to write it first;
    its answer begins behind it."""
    return _turns(messages) + START.rstrip()


@chat_prompt.misconception
def puts_the_role_on_the_line_of_the_content(messages):
    """Role and content stand on one line. In ChatML the role has the line of `<|im_start|>`, and
    the content begins on the next."""
    return _turns(messages, "<|im_start|>{role}: {content}<|im_end|>\n") + START


@chat_prompt.misconception
def starts_a_line_before_the_end_marker(messages):
    """You put a newline between content and `<|im_end|>`. It follows the content directly; the
    newline comes behind it."""
    return _turns(messages, "<|im_start|>{role}\n{content}\n<|im_end|>\n") + START


@chat_prompt.misconception
def strips_the_contents(messages):
    """You take blanks off the contents. What somebody wrote is handed on as it is."""
    form = "<|im_start|>{role}\n{content}<|im_end|>\n"
    stripped = [message | {"content": message["content"].strip()} for message in messages]
    return _turns(stripped, form) + START


@chat_prompt.alternative
def line_by_line(messages):
    """Pieces are collected and joined at the end."""
    pieces = []
    for message in messages:
        pieces += ["<|im_start|>", message["role"], "\n", message["content"], "<|im_end|>", "\n"]
    pieces += ["<|im_start|>", "assistant", "\n"]
    return "".join(pieces)


@chat_prompt.alternative
def as_an_unfinished_message(messages):
    """The answer is a message whose rest is cut away."""
    answer = {"role": "assistant", "content": "\0"}
    return _turns([*messages, answer]).partition("\0")[0]


# --- option_log_likelihoods ----------------------------------------------------------------

option_log_likelihoods = Exercise(
    "in_context.option_log_likelihoods",
    points=3,
    reference=in_context.option_log_likelihoods,
    tolerance=1e-4,
)


def _toy_model(table):
    """Each token that was read adds its row of the table to the logits: it looks back only."""
    return lambda ids: table[ids].cumsum(dim=1)


def _score(solution, table, prompt, options):
    return solution(_toy_model(table), prompt, options)


@option_log_likelihoods.cases
def _(draw):
    def case(about, table, prompt, *options):
        arguments = {"table": table, "prompt": prompt, "options": [list(o) for o in options]}
        return Case(about, arguments, _score)

    def table(vocab=6):
        return draw.normal(vocab, vocab, scale=1.5)

    first, second, third, fourth = (draw.permutation(5)[:4] + 1).tolist()
    yield case("a prompt of one token, options of one", table(), [first], [second], [third])
    yield case("one option of two tokens", table(), [first], [second, third])
    yield case("a longer prompt", table(), [first, second, third], [first], [second], [fourth])
    yield case(
        "two options of two tokens", table(), [third, first], [second, third], [first, fourth]
    )
    yield case(
        "options of different length", table(), [first, third], [second], [third, fourth, first],
        [fourth, second],
    )  # fmt: skip
    yield case("an option that begins another", table(), [second], [first], [first, third])
    yield case("the token 0 in an option", table(), [first], [0], [second, 0], [0, 0, third])
    yield case("an option that is there twice", table(), [first, 0], [third], [third])
    impossible = table()
    impossible[:, 0] = -math.inf
    yield case(
        "a model that never says 0", impossible, [second, first], [first], [third, second, fourth]
    )
    yield case("logits in the hundreds", 40 * table(), [first], [second], [third, fourth])
    double = table().double()
    yield case("double precision", double, [first, second], [third, first], [fourth])
    model = _toy_model(table())
    arguments = {"model": model, "prompt": [], "options": [[1], [2]]}
    yield refuses("an empty prompt", arguments, "prompt")
    if draw.hidden:
        options = [draw.ids(9, n).tolist() for n in (3, 1, 4, 2, 5, 1)]
        yield case("many options", table(9), draw.ids(9, 7).tolist(), *options)


def _token_scores(model, prompt, options, *, shift=1, start=None):
    """For each option its tokens' log-probabilities; `shift` and `start` can be wrong."""
    start = len(prompt) if start is None else start
    rows = []
    for option in options:
        ids = torch.tensor([[*prompt, *option]])
        log_probs = model(ids).log_softmax(-1)[0]
        places = torch.arange(start, ids.shape[1])
        rows.append(log_probs[places - shift, ids[0, start:]])
    return rows


@option_log_likelihoods.misconception
def looks_one_place_too_far(model, prompt, options):
    """You read a token's score at its own place. What the model says there is about the *next*
    token; the token at place t is scored at place t - 1."""
    return torch.stack([row.sum() for row in _token_scores(model, prompt, options, shift=0)])


@option_log_likelihoods.misconception
def takes_the_mean(model, prompt, options):
    """You divide by the number of tokens. That is a common remedy for the bias toward short
    options, but here the log-likelihood itself is asked for: the sum."""
    return torch.stack([row.mean() for row in _token_scores(model, prompt, options)])


@option_log_likelihoods.misconception
def scores_only_the_first_token(model, prompt, options):
    """Only the first token of each option is scored. Options that begin alike would be equal: all
    tokens count, each after those before it."""
    return torch.stack([row[0] for row in _token_scores(model, prompt, options)])


@option_log_likelihoods.misconception
def scores_only_the_last_token(model, prompt, options):
    """Only the last token of each option is scored. All tokens count, each after those before
    it."""
    return torch.stack([row[-1] for row in _token_scores(model, prompt, options)])


@option_log_likelihoods.misconception
def scores_the_prompt_as_well(model, prompt, options):
    """You add up the prompt's own tokens too. They are given: what counts begins with the option's
    first token."""
    return torch.stack([row.sum() for row in _token_scores(model, prompt, options, start=1)])


@option_log_likelihoods.misconception
def skips_the_first_token(model, prompt, options):
    """The first token of each option is missing from the sum. It is scored by what the model says
    at the prompt's last place."""
    start = len(prompt) + 1
    return torch.stack([r.sum() for r in _token_scores(model, prompt, options, start=start)])


@option_log_likelihoods.misconception
def adds_up_logits(model, prompt, options):
    """You add up logits. They have no fixed zero, so they cannot be compared between places: take
    `log_softmax` along the vocabulary first."""
    return torch.stack(
        [row.sum() for row in _token_scores(lambda ids: _Raw(model(ids)), prompt, options)]
    )


class _Raw:
    """Logits whose `log_softmax` does nothing."""

    def __init__(self, logits):
        self.logits = logits

    def log_softmax(self, dim):
        return self.logits


@option_log_likelihoods.misconception
def adds_up_probabilities(model, prompt, options):
    """You add up probabilities. The probability of all tokens together is their *product*; it is
    logarithms that are added."""
    return torch.stack([row.exp().sum() for row in _token_scores(model, prompt, options)])


@option_log_likelihoods.misconception
def returns_probabilities(model, prompt, options):
    """These are probabilities. Log-likelihoods are asked for: of a long option the probability is
    soon too small for a float."""
    return torch.stack([row.sum().exp() for row in _token_scores(model, prompt, options)])


@option_log_likelihoods.misconception
def compares_the_options_with_each_other(model, prompt, options):
    """You normalise over the options, so that they sum to one. Each has a likelihood of its own,
    among all texts there are; whoever calls may compare them."""
    sums = torch.stack([row.sum() for row in _token_scores(model, prompt, options)])
    return sums.log_softmax(0)


@option_log_likelihoods.misconception
def scores_every_token_after_the_prompt_alone(model, prompt, options):
    """You score all the option's tokens with what the model says after the prompt. The second token
    comes after the first: the option has to be read as well."""
    last = model(torch.tensor([[*prompt]])).log_softmax(-1)[0, -1]
    return torch.stack([last[torch.tensor(option)].sum() for option in options])


@option_log_likelihoods.misconception
def counts_the_padding(model, prompt, options):
    """Shorter options are filled up to the longest, and you count the filling as if it were text.
    Add up only as many scores as the option has tokens."""
    longest = max(map(len, options))
    padded = [[*option, *[0] * (longest - len(option))] for option in options]
    return torch.stack([row.sum() for row in _token_scores(model, prompt, padded)])


@option_log_likelihoods.misconception
def multiplies_the_padding_by_zero(model, prompt, options):
    """Multiplying by a mask of zeros and ones works until a score is -inf: 0 times -inf is NaN. Cut
    the padding off, or use `masked_fill` or `where`."""
    longest = max(map(len, options))
    padded = [[*option, *[0] * (longest - len(option))] for option in options]
    mask = [[1.0] * len(option) + [0.0] * (longest - len(option)) for option in options]
    scores = torch.stack(_token_scores(model, prompt, padded))
    return (scores * torch.tensor(mask).to(scores.dtype)).sum(-1)


@option_log_likelihoods.alternative
def one_option_at_a_time(model, prompt, options):
    """No batch, no padding."""
    if not prompt:
        raise ValueError("prompt must not be empty")
    return torch.stack([row.sum() for row in _token_scores(model, prompt, options)])


@option_log_likelihoods.alternative
def with_a_mask(model, prompt, options):
    """All at once; the padding is filled with 0 after the log-probabilities are read."""
    if not prompt:
        raise ValueError("prompt must not be empty")
    lengths = torch.tensor([len(option) for option in options])
    rows = [torch.tensor([*prompt, *option]) for option in options]
    ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    log_probs = model(ids)[:, :-1].log_softmax(-1)
    scores = log_probs.gather(-1, ids[:, 1:, None])[..., 0][:, len(prompt) - 1 :]
    outside = torch.arange(scores.shape[1]) >= lengths[:, None]
    return scores.masked_fill(outside, 0.0).sum(-1)


# --- contextual_calibration ----------------------------------------------------------------

contextual_calibration = Exercise(
    "in_context.contextual_calibration", points=1, reference=in_context.contextual_calibration
)


@contextual_calibration.cases
def _(draw):
    def probs(*shape):
        return draw.normal(*shape, scale=1.2).softmax(-1)

    def case(about, option_probs, content_free_probs):
        arguments = {"option_probs": option_probs, "content_free_probs": content_free_probs}
        return Case(about, arguments)

    yield case(
        "a model that leans toward the first of two", torch.tensor([0.6, 0.4]),
        torch.tensor([0.8, 0.2]),
    )  # fmt: skip
    yield case("three options", probs(3), probs(3))
    yield case("no leaning at all", probs(4), torch.full((4,), 0.25))
    yield case("several questions", probs(2, 3), probs(3))
    yield case("as many questions as options", probs(3, 3), probs(3))
    yield case("options that are not all there is: they sum to less", 0.1 * probs(3, 2), probs(2))
    yield case("a question in a batch of batches", probs(2, 3, 4), probs(4))
    sure = torch.tensor([[0.999, 0.001], [0.0, 1.0]])
    yield case("a model that is very sure", sure, torch.tensor([0.99, 0.01]))
    yield case("double precision", probs(2, 3).double(), probs(3).double())
    if draw.hidden:
        yield case("many questions", probs(30, 5), probs(5))


def _shared(p):
    return p / p.sum(-1, keepdim=True)


@contextual_calibration.misconception
def does_not_renormalise(option_probs, content_free_probs):
    """The division is right, but the results do not sum to one. Divide each row by its sum."""
    return option_probs / content_free_probs


@contextual_calibration.misconception
def subtracts_the_leaning(option_probs, content_free_probs):
    """You subtract what the model says without content, so that probabilities may fall below 0.
    Divide by it."""
    return _shared(option_probs - content_free_probs)


@contextual_calibration.misconception
def multiplies_by_the_leaning(option_probs, content_free_probs):
    """You multiply, which makes the model lean twice as much. Divide: what it says too readily has
    to count less."""
    return _shared(option_probs * content_free_probs)


@contextual_calibration.misconception
def divides_the_wrong_way_round(option_probs, content_free_probs):
    """You divide the content-free probabilities by the others. It is the other way round."""
    return _shared(content_free_probs / option_probs)


@contextual_calibration.misconception
def takes_a_softmax(option_probs, content_free_probs):
    """After the division you take softmax. That is for logits; these are weights already, so
    dividing by their sum is enough."""
    return (option_probs / content_free_probs).softmax(-1)


@contextual_calibration.misconception
def renormalises_before_the_division(option_probs, content_free_probs):
    """You scale to sum to one first and divide then, so the result does not sum to one. The other
    way round."""
    return _shared(option_probs) / content_free_probs


@contextual_calibration.misconception
def divides_by_the_sum_of_all_questions(option_probs, content_free_probs):
    """You divide by the sum over all questions together. Each row has its own sum: along the last
    axis, with `keepdim=True`."""
    fair = option_probs / content_free_probs
    return fair / fair.sum()


@contextual_calibration.misconception
def sums_over_the_questions(option_probs, content_free_probs):
    """You sum along the first axis, over the questions. The options of *one* question have to sum
    to one: the last axis."""
    fair = option_probs / content_free_probs
    return fair / fair.sum(0, keepdim=True)


@contextual_calibration.alternative
def in_logarithms(option_probs, content_free_probs):
    """A division is a difference of logarithms, and softmax renormalises it."""
    return (option_probs.log() - content_free_probs.log()).softmax(-1)


@contextual_calibration.alternative
def as_a_matrix(option_probs, content_free_probs):
    """The paper's form: a diagonal matrix of weights."""
    weights = torch.diag(1 / content_free_probs)
    return torch.nn.functional.normalize(option_probs @ weights, p=1, dim=-1)


# --- accuracy_by_shots ---------------------------------------------------------------------

accuracy_by_shots = Exercise(
    "in_context.accuracy_by_shots",
    points=3,
    reference=in_context.accuracy_by_shots,
    tolerance=1e-3,  # 1.96 or 1.959964
    seconds=10.0,
)


class Letters:
    """A tokenizer: each character is a token."""

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


# --- induction_score -----------------------------------------------------------------------

induction_score = Exercise(
    "in_context.induction_score", points=2, reference=in_context.induction_score
)


@induction_score.cases
def _(draw):
    def weights(*shape):
        """Causal attention weights, [..., target, source]."""
        scores = draw.normal(*shape, shape[-1], scale=2.0)
        time = shape[-1]
        return scores.masked_fill(torch.ones(time, time).triu(1).bool(), -math.inf).softmax(-1)

    def case(about, attention, period):
        return Case(about, {"attention": attention, "period": period})

    def looking_back(time, distance):
        """A head that looks a fixed distance back, and at the start before that."""
        places = (torch.arange(time) - distance).clamp(min=0)
        return torch.eye(time)[places][None]

    yield case("one head, four tokens, period 2", weights(1, 4), 2)
    yield case("a perfect induction head", looking_back(8, 3), 4)
    yield case("a head that looks at the token before", looking_back(9, 1), 4)
    yield case("a head that looks at the same token, last time", looking_back(9, 4), 4)
    yield case("three heads", weights(3, 7), 3)
    yield case("two texts, three heads", weights(2, 3, 8), 3)
    yield case("three texts, two heads", weights(3, 2, 8), 4)
    yield case("a single token after the first period", weights(2, 6), 5)
    yield case("a period of 1", weights(2, 5), 1)
    yield case("three periods", weights(2, 2, 9), 3)
    yield case("double precision", weights(2, 2, 6).double(), 2)
    arguments = {"attention": weights(1, 4), "period": 4}
    yield Case("no token after the first period", arguments, _refused, at_the_door=True)
    if draw.hidden:
        yield case("many heads", weights(3, 7, 24), 9)


def _refused(solution, attention, period):
    """Nothing to average: an error that names the period."""
    try:
        solution(attention, period)
    except ValueError as error:
        return f"a ValueError that {'names' if 'period' in str(error) else 'does not name'} period"
    return "no error"


def _mean_attention(attention, period, back, *, first=None):
    """Mean weight from t to t - back for t >= first, [heads]."""
    first = period if first is None else first
    time = attention.shape[-1]
    targets = torch.arange(max(first, back, 0), time)
    picked = attention[..., targets, targets - back].mean(-1)
    return picked.mean(0) if picked.ndim == 2 else picked


@induction_score.misconception
def looks_at_the_same_token(attention, period):
    """You measure the attention to t - period: the same token, last time. An induction head looks
    one place further on, at what *followed* it: t - period + 1."""
    return _mean_attention(attention, period, period)


@induction_score.misconception
def looks_at_the_token_before(attention, period):
    """You measure the attention to t - period - 1, the token *before* the same one. What followed
    it stands at t - period + 1."""
    return _mean_attention(attention, period, period + 1)


@induction_score.misconception
def starts_one_token_too_early(attention, period):
    """The diagonal begins at t = period - 1, where nothing has been repeated yet. Only t >= period
    counts."""
    return _mean_attention(attention, period, period - 1, first=period - 1)


@induction_score.misconception
def starts_one_token_too_late(attention, period):
    """You leave out t = period. The first token of the second round is a repetition already."""
    time = attention.shape[-1]
    if period + 1 >= time:
        return torch.full(attention.shape[-3:-2], torch.nan, dtype=attention.dtype)
    return _mean_attention(attention, period, period - 1, first=period + 1)


@induction_score.misconception
def divides_by_all_tokens(attention, period):
    """You divide by the number of all tokens. The mean is over t >= period only, so that a perfect
    head has the score 1."""
    n, time = attention.shape[-1] - period, attention.shape[-1]
    return _mean_attention(attention, period, period - 1) * n / time


@induction_score.misconception
def adds_up(attention, period):
    """You add up the weights. Take their mean, so that texts of different length can be
    compared."""
    return _mean_attention(attention, period, period - 1) * (attention.shape[-1] - period)


@induction_score.misconception
def swaps_target_and_source(attention, period):
    """Target and source are swapped: you read the weights above the diagonal, from a token to one
    that comes after it. The next-to-last axis is who looks, the last is who is looked at."""
    return _mean_attention(attention.mT, period, period - 1)


@induction_score.misconception
def averages_the_heads_too(attention, period):
    """One number for all heads hides which of them it is. Return one score a head."""
    return _mean_attention(attention, period, period - 1).mean()


@induction_score.misconception
def keeps_the_batch(attention, period):
    """You return scores for every text of the batch. Average over the batch as well: one number a
    head."""
    diagonal = attention.diagonal(offset=1 - period, dim1=-2, dim2=-1)[..., 1:]
    return diagonal.mean(-1)


@induction_score.misconception
def averages_heads_instead_of_texts(attention, period):
    """With a batch you average over the heads and keep the texts. It is the other way round: axis 0
    is the batch, axis 1 the heads."""
    scores = keeps_the_batch(attention, period)
    return scores.mean(1) if scores.ndim == 2 else scores


@induction_score.alternative
def token_by_token(attention, period):
    """A loop over the targets."""
    if period >= attention.shape[-1]:
        raise ValueError("period must be shorter than the text")
    if attention.ndim == 3:
        attention = attention[None]
    batch, heads, time, _ = attention.shape
    total = torch.zeros(heads, dtype=attention.dtype)
    for target in range(period, time):
        total += attention[:, :, target, target - period + 1].sum(0)
    return total / (batch * (time - period))


@induction_score.alternative
def by_a_mask(attention, period):
    """A boolean matrix picks the places."""
    time = attention.shape[-1]
    if period >= time:
        raise ValueError("period must be shorter than the text")
    target, source = torch.arange(time)[:, None], torch.arange(time)
    places = (source == target - period + 1) & (target >= period)
    picked = (attention * places).sum(dim=(-2, -1)) / places.sum()
    return picked.mean(0) if picked.ndim > 1 else picked
