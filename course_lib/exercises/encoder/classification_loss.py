"""What `encoder.classification_loss` demands."""

from __future__ import annotations

import math

from torch.nn import functional as F

from course_lib import objectives
from course_lib.checks.exercise import Case, Exercise, gradient_of
from course_lib.exercises.encoder.shared import costs_of_labels, mean_over_labels
from course_lib.exercises.shared import gradient_that_flows

classification_loss = Exercise(
    "encoder.classification_loss",
    points=1,
    reference=objectives.classification_loss,
    tolerance=1e-4,
)


@classification_loss.cases
def _(draw):
    def case(about, shape, scale=1.0, ignored=(), **options):
        labels = draw.ids(shape[-1], *shape[:-1])
        for place in ignored:
            labels[place] = -100
        arguments = {"logits": draw.normal(*shape, scale=scale), "labels": labels}
        return Case(about, arguments, **options)

    yield case("two texts, three classes", (2, 3))
    yield case("two classes", (4, 2), scale=2.0)
    yield case("one text", (1, 3))
    yield case("one token of one text", (1, 1, 3))
    yield case("a thousand classes", (2, 1000))
    yield case("texts of which one has no label", (4, 3), ignored=[1])
    tokens = [(0, 0), (1, 0), (1, 2), (1, 3)]
    yield case("the tokens of two texts, some without a label", (2, 4, 5), ignored=tokens)
    yield case("a text none of whose tokens has a label", (2, 3, 4), scale=3.0, ignored=[1])
    yield case("no labels at all", (2, 3), ignored=[0, 1])
    gradient = {"observe": gradient_of(0)}
    flows = {"observe": gradient_that_flows(0)}
    yield case("the gradient without labels", (2, 3), ignored=[0, 1], **flows)
    yield case("large logits", (3, 4), scale=300.0)
    yield case("the gradient with respect to the logits", (3, 4), **gradient)
    double = {"logits": draw.normal(2, 3, 4).double(), "labels": draw.ids(4, 2, 3)}
    yield Case("double precision", double)
    if draw.hidden:
        yield case("many tokens", (6, 9, 7), scale=4.0, ignored=[(i, i) for i in range(6)])


@classification_loss.misconception
def applies_softmax_before_cross_entropy(logits, labels):
    """`cross_entropy` takes softmax itself, and you give it probabilities instead of logits. It
    then can never be sure: the loss stays high and learning is slow. Give it the raw logits."""
    return mean_over_labels(costs_of_labels(logits.softmax(-1), labels), labels)


@classification_loss.misconception
def gives_nan_without_labels(logits, labels):
    """Without any label, `cross_entropy` divides 0 by 0. Sum with reduction="sum", and divide by
    the number of labels or by 1, whichever is larger."""
    rows = logits.reshape(-1, logits.shape[-1])
    return F.cross_entropy(rows, labels.reshape(-1), ignore_index=-100)


@classification_loss.misconception
def divides_by_labels_that_do_not_count(logits, labels):
    """The sum leaves out -100, but you divide by the number of all labels. Divide by the number of
    those that count."""
    return costs_of_labels(logits, labels).masked_fill(labels == -100, 0).mean()


@classification_loss.misconception
def divides_by_the_number_of_texts(logits, labels):
    """The sum leaves out -100, but you divide by the length of `labels`, which is the number of
    texts. Divide by the number of labels that count."""
    return costs_of_labels(logits, labels).masked_fill(labels == -100, 0).sum() / len(labels)


@classification_loss.misconception
def takes_scores_for_log_probabilities(logits, labels):
    """You average minus the score of the true class (as `nll_loss` does with raw logits). A score
    alone says nothing: `log_softmax` sets it against those of the other classes."""
    scores = logits.gather(-1, labels.clamp(min=0)[..., None])[..., 0]
    return mean_over_labels(-scores, labels)


@classification_loss.misconception
def counts_minus_100_as_class_0(logits, labels):
    """Where the label is -100 you compare with class 0. These places do not count at all."""
    return costs_of_labels(logits, labels).mean()


@classification_loss.misconception
def sums_over_the_labels(logits, labels):
    """This is the sum. Divide by the number of labels that count."""
    return costs_of_labels(logits, labels).masked_fill(labels == -100, 0).sum()


@classification_loss.misconception
def averages_the_tokens_of_each_text_first(logits, labels):
    """You average each text by itself and then these means. Every label of the batch weighs the
    same, in whichever text it stands."""
    labelled = labels != -100
    costs = costs_of_labels(logits, labels).masked_fill(~labelled, 0)
    if costs.dim() == 1:
        return mean_over_labels(costs, labels)
    return (costs.sum(1) / labelled.sum(1).clamp(min=1)).mean()


@classification_loss.misconception
def squares_the_errors(logits, labels):
    """You measure the squared distance between probabilities and a one-hot vector. That is a loss
    too, but it hardly punishes confident errors. Asked for is minus the log-probability of the true
    class."""
    right = F.one_hot(labels.clamp(min=0), logits.shape[-1]).to(logits.dtype)
    return mean_over_labels((logits.softmax(-1) - right).square().sum(-1), labels)


@classification_loss.misconception
def asks_each_class_by_itself(logits, labels):
    """You score each class with its own sigmoid (binary cross-entropy). That is for labels of which
    several may be true at once; here exactly one is, and the classes share one softmax."""
    right = F.one_hot(labels.clamp(min=0), logits.shape[-1]).to(logits.dtype)
    each = F.binary_cross_entropy_with_logits(logits, right, reduction="none").mean(-1)
    return mean_over_labels(each, labels)


@classification_loss.misconception
def counts_errors(logits, labels):
    """This is the share of wrong answers. It has no gradient, so nothing can be learned from it.
    The loss is minus the log-probability of the true class."""
    return mean_over_labels((logits.argmax(-1) != labels).to(logits.dtype), labels)


@classification_loss.misconception
def gives_a_constant_without_labels(logits, labels):
    """Without labels you return a new tensor, a bare 0. The value is right, but no gradient flows
    back from it, and `backward()` stops with an error. Let the 0 come from the logits: a sum over
    no labels is 0 by itself."""
    if (labels != -100).sum() == 0:
        return logits.new_zeros(())
    return mean_over_labels(costs_of_labels(logits, labels), labels)


@classification_loss.misconception
def measures_in_bits(logits, labels):
    """Your logarithm has base 2, so this is the loss in bits. Asked for are nats: the natural
    logarithm."""
    return mean_over_labels(costs_of_labels(logits, labels), labels) / math.log(2)


@classification_loss.misconception
def forgets_the_minus(logits, labels):
    """This is the mean log-probability, which training would make smaller and smaller. The loss is
    minus that."""
    return -mean_over_labels(costs_of_labels(logits, labels), labels)


@classification_loss.misconception
def gives_back_a_number(logits, labels):
    """The value is right, but it is a plain number, and nothing can be learnt from that: the way
    back to the logits is cut. Return the tensor, without `.item()` or `float`."""
    return mean_over_labels(costs_of_labels(logits, labels), labels).item()


@classification_loss.misconception
def shares_out_over_the_texts(logits, labels):
    """Your softmax runs along the first axis, so the texts compete with each other. The classes
    compete for each text or token: take the last axis."""
    log_probs = logits.log_softmax(0)
    costs = -log_probs.gather(-1, labels.clamp(min=0)[..., None])[..., 0]
    return mean_over_labels(costs, labels)


@classification_loss.alternative
def with_log_softmax_and_a_mask(logits, labels):
    """By hand."""
    return mean_over_labels(costs_of_labels(logits, labels), labels)


@classification_loss.alternative
def label_by_label(logits, labels):
    """A loop over the labels that count."""
    classes = logits.shape[-1]
    costs = [
        row.logsumexp(0) - row[label]
        for row, label in zip(logits.reshape(-1, classes), labels.reshape(-1).tolist(), strict=True)
        if label != -100
    ]
    return sum(costs) / len(costs) if costs else logits.sum() * 0.0
