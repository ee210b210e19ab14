"""Learning from examples in the prompt, without a weight changing (notebook 09)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from course_lib.arguments import check_arguments
from course_lib.decoder import DecoderLM, positions_and_mask
from course_lib.shapes import check_shapes
from course_lib.tokenization import BPETokenizer

__all__ = [
    "LanguageModel",
    "Past",
    "accuracy_by_shots",
    "build_prompt",
    "chat_prompt",
    "contextual_calibration",
    "exact_matches",
    "induction_score",
    "option_log_likelihoods",
    "rest_of_line",
    "share_beginning",
    "wilson_interval",
]

# ids -> a score for each next token, at each place
LanguageModel = Callable[[Int64[Tensor, "batch time"]], Float[Tensor, "batch time vocab"]]


# ---- prompts


def build_prompt(examples: Sequence[tuple[str, str]], query: str, template: str) -> str:
    """A few-shot prompt (Brown et al. 2020): solved examples, then a question left open.

    Each example is written as the template has it, and so is the query, up to where its output
    would stand. Lines are put below each other. No blank is left at the end: tokens of words begin
    with their blank, so a model hardly ever goes on after one.

    Args:
        examples: (input, output) pairs; one whose input is the query is left out, since it would
            give the answer away.
        query: the input whose output the model shall write.
        template: a text with `{input}`, and behind it `{output}`, each once.

    Raises:
        ValueError: the template is no such text.
    """
    if template.count("{input}") != 1 or template.count("{output}") != 1:
        raise ValueError(f"template must hold {{input}} and {{output}} once each, got {template!r}")
    if template.index("{input}") > template.index("{output}"):
        raise ValueError(f"template must have {{output}} behind {{input}}, got {template!r}")

    before, after = template.split("{output}")
    lines = [before.replace("{input}", x) + y + after for x, y in examples if x != query]
    lines.append(before.replace("{input}", query).rstrip())
    return "\n".join(lines)


@check_arguments
def rest_of_line(output: str, template: str) -> str:
    """What should follow the end of `build_prompt`: the blank, the output and the line's end.

    Raises:
        ValueError: the template does not hold `{output}` once.
    """
    if template.count("{output}") != 1:
        raise ValueError(f"template must hold {{output}} once, got {template!r}")
    before, after = template.split("{output}")
    blank = before[len(before.rstrip()) :]
    return blank + output + after + "\n"


def chat_prompt(messages: Sequence[Mapping[str, str]]) -> str:
    """A conversation as SmolLM2-Instruct knows it, ready for the assistant's next answer.

    The format is ChatML: each message between `<|im_start|>`, with the speaker's role on the same
    line, and `<|im_end|>`. SmolLM2's own template puts a system message of its own in front when
    there is none; this function adds nothing.

    Args:
        messages: for each its "role" ("system", "user" or "assistant") and its "content".

    Raises:
        ValueError: no message, an unknown role, or a content with one of the two markers in it:
            whoever wrote it could speak in another's name.
    """
    if not messages:
        raise ValueError("messages must hold at least one message, got none")
    for message in messages:
        if message["role"] not in ("system", "user", "assistant"):
            raise ValueError(f"messages must have a known role, got {message['role']!r}")
        if "<|im_start|>" in message["content"] or "<|im_end|>" in message["content"]:
            raise ValueError(f"messages must hold no markers, got {message['content']!r}")

    turns = [f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in messages]
    return "".join(turns) + "<|im_start|>assistant\n"


# ---- scores


def option_log_likelihoods(
    model: LanguageModel, prompt: Sequence[int], options: Sequence[Sequence[int]]
) -> Float[Tensor, "options"]:
    """How likely the model thinks each of several continuations: log P(option | prompt).

    The chain rule: the sum of the log-probabilities of the option's tokens, each after the prompt
    and the tokens before it. The sum favours short options; dividing by the number of tokens is
    a common remedy (Brown et al. 2020, section 2.4), and not done here.

    Args:
        model: ids [batch, time] -> logits [batch, time, vocab]; looks back only.
        prompt: at least one id.
        options: for each its ids, at least one; they may differ in length.

    Returns:
        Natural log-probabilities, in the order of the options.

    Raises:
        ValueError: `prompt`, `options` or one of the options is empty.
    """
    if len(prompt) == 0:
        raise ValueError("prompt must hold at least one id, got none")
    if len(options) == 0 or any(len(option) == 0 for option in options):
        raise ValueError(f"options must hold at least one id each, got {options}")

    longest = max(len(option) for option in options)
    rows = [[*prompt, *option] + [0] * (longest - len(option)) for option in options]
    ids = torch.tensor(rows)  # [options, time]; padding on the right is seen by no token before it
    log_probs = model(ids).log_softmax(dim=-1)  # [options, time, vocab]

    # The token at place t is scored by what the model says at place t - 1.
    guesses, targets = log_probs[:, len(prompt) - 1 : -1], ids[:, len(prompt) :]
    scores = guesses.gather(-1, targets[..., None]).squeeze(-1)  # [options, longest]
    return torch.stack([row[: len(option)].sum() for row, option in zip(scores, options)])


@check_shapes
def contextual_calibration(
    option_probs: Float[Tensor, "*batch options"], content_free_probs: Float[Tensor, "options"]
) -> Float[Tensor, "*batch options"]:
    """Take out what the prompt alone makes the model prefer (Zhao et al. 2021, section 5).

    Asked about a text without content, such as "N/A", a fair model would find all options equally
    likely. Dividing by what it says instead makes them so; then each row is scaled to sum to one.

    Args:
        option_probs: probabilities of the options, a row for each question.
        content_free_probs: those for the question without content.

    Raises:
        TypeError: an argument is not a float tensor.
        ValueError: the numbers of options differ, or a `content_free_probs` is not above 0.
    """
    if not (content_free_probs > 0).all():
        raise ValueError(f"content_free_probs must be above 0, got {content_free_probs.tolist()}")

    fair = option_probs / content_free_probs
    return fair / fair.sum(dim=-1, keepdim=True)


# ---- accuracy


@check_arguments
def wilson_interval(n_right: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """A confidence interval of a proportion (Wilson 1927), 95 % unless told otherwise.

    Every true proportion p is in it for which `n_right` of `n` is no more than `z` standard
    deviations away. It stays within 0 ... 1 and has a width even when all are right or none.

    Raises:
        ValueError: not 0 <= n_right <= n, or `n` is below 1.
    """
    if n < 1 or not 0 <= n_right <= n:
        raise ValueError(f"n_right must lie in 0 ... n, and n be positive, got {n_right} of {n}")
    share, extra = n_right / n, z * z / n
    middle = (share + extra / 2) / (1 + extra)
    half = z * math.sqrt(share * (1 - share) / n + extra / (4 * n)) / (1 + extra)
    return max(0.0, middle - half), min(1.0, middle + half)


_ROWS_AT_ONCE = 32  # logits of a large vocabulary take room


@check_arguments
def exact_matches(
    model: LanguageModel, tokenizer: BPETokenizer, prompts: Sequence[str], endings: Sequence[str]
) -> list[bool]:
    """For each prompt: would greedy decoding write exactly this ending?

    Nothing has to be written to know. It would, if at each place of the ending the best next
    token is the one that stands there: one look at prompt and ending together, as in teacher
    forcing.

    Raises:
        ValueError: there is no prompt, or not an ending for each.
    """
    if not prompts or len(prompts) != len(endings):
        raise ValueError(f"prompts and endings must be as many, got {len(prompts)}, {len(endings)}")
    before = [tokenizer.encode(prompt) for prompt in prompts]
    wanted = [tokenizer.encode(ending) for ending in endings]
    longest = max(len(b) + len(w) for b, w in zip(before, wanted, strict=True))
    rows = [b + w + [0] * (longest - len(b) - len(w)) for b, w in zip(before, wanted)]
    with torch.no_grad():
        batches = torch.tensor(rows).split(_ROWS_AT_ONCE)
        best = torch.cat([model(batch).argmax(dim=-1) for batch in batches]).tolist()
    return [row[len(b) - 1 : len(b) + len(w) - 1] == w for row, b, w in zip(best, before, wanted)]


def accuracy_by_shots(
    model: LanguageModel,
    tokenizer: BPETokenizer,
    items: Sequence[tuple[str, str]],
    shots: Sequence[int],
    template: str,
    seed: int,
) -> dict[int, tuple[float, float, float]]:
    """How many items a model gets right after 0, 1, 2, ... solved examples.

    Every item is asked once for each number of shots. Its examples are other items: the seed
    shuffles the items, and the first k with another input are shown. So the answer is never in
    the prompt, and the examples of 4 shots are the first of those of 8. An answer is right if
    greedy decoding would write the line to its end exactly as the template has it.

    Args:
        model: ids [batch, time] -> logits [batch, time, vocab]; looks back only.
        tokenizer: has `encode(text) -> ids`.
        items: (input, output) pairs.
        shots: the numbers of examples to try.
        template: as for `build_prompt`.
        seed: decides which items are the examples, and their order.

    Returns:
        For each number of shots: accuracy, and the low and high end of its 95 % Wilson interval.
        The interval is about the choice of the items, not about that of the examples.

    Raises:
        ValueError: a number of shots is negative or more than there are other items, or the
            template is bad.
    """
    most = len({x for x, _ in items}) - 1
    if not all(0 <= k <= most for k in shots):
        raise ValueError(f"shots must lie in 0 ... {most} for these items, got {list(shots)}")

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


@check_arguments
def share_beginning(model: DecoderLM) -> LanguageModel:
    """The same model, quicker where most rows of a batch begin alike, as few-shot prompts do.

    What most rows have in common is read once, and its keys and values serve all of them
    ("prefix caching" in servers of language models). Rows that begin otherwise are read whole.
    No gradients.
    """

    @torch.no_grad()
    def read(ids: Int64[Tensor, "batch time"]) -> Float[Tensor, "batch time vocab"]:
        alike, n = _most_common_beginning(ids)
        if n == 0:
            return model(ids)
        logits = torch.empty(*ids.shape, model.config.vocab_size)
        logits[alike, :n], past = _read(model, ids[alike][:1, :n])
        logits[alike, n:], _ = _read(model, ids[alike, n:], past)
        if not alike.all():
            logits[~alike] = model(ids[~alike])
        return logits

    return read


Past = list[list[Float[Tensor, "_rows kv_heads _source d_k"]]]


def _read(
    model: DecoderLM, ids: Int64[Tensor, "batch time"], past: Past | None = None
) -> tuple[Float[Tensor, "batch time vocab"], Past]:
    """`decode_step` with the logits of all new tokens, after a past of one row for all."""
    n_past = past[0][0].shape[2] if past else 0
    seen = torch.ones(len(ids), n_past + ids.shape[1], dtype=torch.bool)
    positions, mask = positions_and_mask(seen, ids.shape[1])
    x, known = model.embed(ids, positions), []  # [batch, time, width]; keys and values by layer
    for layer, block in enumerate(model.blocks):
        q, k, v = block.attention.project(block.norm1(x), positions)
        if past:
            rows = [old.expand(len(ids), -1, -1, -1) for old in past[layer]]
            k, v = (torch.cat(both, dim=2) for both in zip(rows, (k, v)))
        known.append([k, v])
        x = x + block.attention.attend(q, k, v, mask)
        x = x + block.feed_forward(block.norm2(x))
    return model.unembed(model.norm(x)), known


def _most_common_beginning(ids: Int64[Tensor, "batch time"]) -> tuple[Tensor, int]:
    """The longest beginning that more than half of the rows share: which rows, how many tokens."""
    alike, n = torch.ones(len(ids), dtype=torch.bool), 0
    for column in ids.T[:-1]:
        still = alike & (column == column[alike].mode().values)
        if 2 * still.sum() <= len(ids):
            break
        alike, n = still, n + 1
    return alike, n


# ---- induction heads


@check_shapes
def induction_score(
    attention: Float[Tensor, "*batch heads time time"], period: int
) -> Float[Tensor, "heads"]:
    """How much each head attends to what came next last time (Olsson et al. 2022).

    In a text that repeats itself every `period` tokens, the token at t stood at t - period before,
    and was followed by the token at t - period + 1. An induction head looks there. The score is
    its mean attention to that place over all t >= period (and over the batch): between 0 and 1.

    Args:
        attention: weights [batch, heads, target, source], or without batch.
        period: tokens from one repetition to the next.

    Raises:
        TypeError: `attention` is not a float tensor.
        ValueError: the shape does not fit, or not 1 <= period < time.
    """
    heads, time = attention.shape[-3:-1]
    if not 1 <= period < time:
        raise ValueError(f"period must lie in 1 ... {time - 1} for this attention, got {period}")

    # The diagonal holds, for t = period - 1, period, ..., the weight from t to t - period + 1.
    to_next = attention.diagonal(offset=1 - period, dim1=-2, dim2=-1)[..., 1:]
    return to_next.mean(dim=-1).reshape(-1, heads).mean(dim=0)


# Checked here, so that the functions above are what the exercises show.

build_prompt = check_arguments(build_prompt)
chat_prompt = check_arguments(chat_prompt)
option_log_likelihoods = check_arguments(option_log_likelihoods)
accuracy_by_shots = check_arguments(accuracy_by_shots)
