"""What `adapting.instruction_example` demands."""

from __future__ import annotations

from course_lib import adapting
from course_lib.checks.exercise import Case, Exercise, refuses

instruction_example = Exercise(
    "adapting.instruction_example", points=1, reference=adapting.instruction_example
)


@instruction_example.cases
def _(draw):
    def case(about, n_prompt, n_answer):
        ids = (draw.permutation(90) + 1).tolist()
        answer = ids[n_prompt : n_prompt + n_answer]
        return Case(about, {"prompt_ids": ids[:n_prompt], "answer_ids": answer})

    yield case("a prompt of two tokens, an answer of one", 2, 1)
    yield case("a prompt of three, an answer of two", 3, 2)
    yield case("a long answer", 2, 5)
    yield case("no prompt", 0, 3)
    yield Case("an id 0 in both", {"prompt_ids": [4, 0, 7], "answer_ids": [0, 9]})
    yield Case("an answer that repeats the prompt", {"prompt_ids": [5, 6], "answer_ids": [5, 6]})
    yield Case("tuples", {"prompt_ids": (3, 1, 4), "answer_ids": (1, 5)})
    yield refuses("no answer", {"prompt_ids": [3, 1], "answer_ids": []}, "answer_ids")
    if draw.hidden:
        yield case("a longer text", 41, 23)


@instruction_example.misconception
def learns_the_prompt_too(prompt_ids, answer_ids):
    """Every token is a label in yours, so the model also learns to write questions. The prompt is
    given: its places get -100."""
    ids = [*prompt_ids, *answer_ids]
    return ids, list(ids)


@instruction_example.misconception
def learns_the_prompt_alone(prompt_ids, answer_ids):
    """The -100 stand at the places of the answer in yours: the model learns to ask, and nothing
    about answering. It is the prompt that does not count."""
    return [*prompt_ids, *answer_ids], [*prompt_ids, *[-100] * len(answer_ids)]


@instruction_example.misconception
def shifts_the_labels(prompt_ids, answer_ids):
    """Your labels stand one place to the left of their ids. In this course the loss shifts, once;
    shifted again, each place would learn the token after the next."""
    ids = [*prompt_ids, *answer_ids]
    labels = [-100] * len(prompt_ids) + [*answer_ids]
    return ids, [*labels[1:], -100]


@instruction_example.misconception
def marks_the_prompt_with_zeros(prompt_ids, answer_ids):
    """The prompt's places have label 0 in yours. 0 is the id of a token, and would be learned
    there. The number that losses leave out is -100."""
    return [*prompt_ids, *answer_ids], [0] * len(prompt_ids) + [*answer_ids]


@instruction_example.misconception
def gives_labels_of_the_answer_alone(prompt_ids, answer_ids):
    """Your labels are those of the answer alone, so that they are fewer than the ids and stand
    beside the wrong ones. One label for each id; the prompt's is -100."""
    return [*prompt_ids, *answer_ids], [*answer_ids]


@instruction_example.misconception
def leaves_out_the_last_label(prompt_ids, answer_ids):
    """The last token of the answer has no label in yours. It is the one that says "done": without
    it the model never learns to stop."""
    labels = [-100] * len(prompt_ids) + [*answer_ids]
    return [*prompt_ids, *answer_ids], [*labels[:-1], -100]


@instruction_example.misconception
def leaves_out_the_first_label(prompt_ids, answer_ids):
    """The first token of the answer has no label in yours. The last token of the prompt predicts
    it, and that is where answering begins: it counts."""
    labels = [-100] * (len(prompt_ids) + 1) + [*answer_ids[1:]]
    return [*prompt_ids, *answer_ids], labels


@instruction_example.misconception
def hides_the_prompt_from_the_model(prompt_ids, answer_ids):
    """The prompt is gone from your ids. It is to be read, and only not to be learned: it stays in
    the ids, and its labels are -100."""
    return [*answer_ids], [*answer_ids]


@instruction_example.misconception
def puts_the_answer_first(prompt_ids, answer_ids):
    """The answer stands in front of the prompt in yours. A model reads from the left: first what is
    given, then what is to be written."""
    return [*answer_ids, *prompt_ids], [*answer_ids] + [-100] * len(prompt_ids)


@instruction_example.alternative
def by_looking_at_each_place(prompt_ids, answer_ids):
    """A label for each place of the whole."""
    if len(answer_ids) == 0:
        raise ValueError("answer_ids must not be empty")
    ids = list(prompt_ids) + list(answer_ids)
    return ids, [token if place >= len(prompt_ids) else -100 for place, token in enumerate(ids)]


@instruction_example.alternative
def by_overwriting(prompt_ids, answer_ids):
    """The labels are a copy, written over."""
    if len(answer_ids) == 0:
        raise ValueError("answer_ids must not be empty")
    ids = list(prompt_ids)
    ids.extend(answer_ids)
    labels = ids.copy()
    labels[: len(prompt_ids)] = [-100 for _ in prompt_ids]
    return ids, labels
