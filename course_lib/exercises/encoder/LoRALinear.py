"""What `encoder.LoRALinear` demands."""

from __future__ import annotations

import copy
import math

import torch
from torch import nn
from torch.nn import functional as F

from course_lib import finetuning
from course_lib.checks.exercise import Case, Exercise, compares_gradients
from course_lib.exercises.encoder.shared import seeded

LoRALinear = Exercise("encoder.LoRALinear", points=4, reference=finetuning.LoRALinear)


def _linear(base):
    """The linear layer with these weights."""
    n_out, n_in = base["weight"].shape
    layer = nn.Linear(n_in, n_out, bias="bias" in base)
    layer.load_state_dict(base)
    return layer


def _layer(solution, base, rank, alpha, trained):
    """The learner's layer around a linear layer, with A and B as they are after training."""
    layer = solution(_linear(base), rank, alpha)
    layer.load_state_dict(trained, strict=False)
    return layer


def _what_trains(solution, base, rank, alpha):
    layer = solution(_linear(base), rank, alpha)
    trained = {name: list(p.shape) for name, p in layer.named_parameters() if p.requires_grad}
    return {"parameters that train": trained}


def _where_chance_comes_from(solution, base, rank, alpha, seed):
    def first(seed):
        layer = solution(_linear(base), rank, alpha, seeded(seed))
        return layer.state_dict().get("A", torch.zeros(()))

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # and from here on torch's own generator runs on
        one, same, other = first(seed), first(seed), first(seed + 1)
    return {
        "the same seed gives the same A": torch.equal(one, same),
        "another seed gives another A": not torch.equal(one, other),
    }


def _at_the_start(solution, base, rank, alpha, x):
    layer = solution(_linear(base), rank, alpha)
    output, state = layer(x), layer.state_dict()
    before = _linear(base)(x)
    output.square().sum().backward()
    gradients = {n: p.grad for n, p in layer.named_parameters() if p.requires_grad}
    moving = [name for name, g in gradients.items() if g is not None and g.abs().sum() > 0]
    return {
        "B is zero": bool("B" in state and not state["B"].any()),
        "the output is that of the base": bool(torch.allclose(output, before, atol=1e-5)),
        "what the first step of training changes": sorted(moving),
    }


def _trained_output(solution, *arguments):
    *sizes, x = arguments
    return _layer(solution, *sizes)(x)


@compares_gradients
def _trained_gradients(solution, *arguments):
    *sizes, x = arguments
    layer = _layer(solution, *sizes)
    x = x.clone().requires_grad_()
    layer(x).square().sum().backward()
    gradients = {n: p.grad for n, p in layer.named_parameters() if p.requires_grad}
    return {"x": x.grad, **{n: gradients.get(n) for n in ("A", "B")}}


def _merged(solution, *arguments):
    *sizes, x = arguments
    layer = _layer(solution, *sizes)
    merged = layer.merge()
    if merged is None:  # a forgotten `return`
        return None
    return {
        "its parameters": {name: list(p.shape) for name, p in merged.named_parameters()},
        "its output": merged(x).detach(),
    }


def _after_merging(solution, *arguments):
    """The layer itself after a merge, and after the merged layer is changed."""
    *sizes, x = arguments
    layer = _layer(solution, *sizes)
    merged = layer.merge()
    if merged is None:
        return None
    after = layer(x).detach()
    zeros = {name: torch.zeros_like(value) for name, value in merged.state_dict().items()}
    merged.load_state_dict(zeros)
    return {
        "the layer after merge()": after,
        "the layer after the merged one has changed": layer(x).detach(),
    }


@LoRALinear.cases
def _(draw):
    def start(n_in=4, n_out=3, bias=True, rank=2, alpha=3.0):
        base = {"weight": draw.normal(n_out, n_in)}
        if bias:
            base["bias"] = draw.normal(n_out)
        return {"base": base, "rank": rank, "alpha": alpha}

    def case(about, observe, x, **sizes):
        arguments = start(**sizes)
        (n_out, n_in), rank = arguments["base"]["weight"].shape, arguments["rank"]
        trained = {"A": draw.normal(rank, n_in), "B": draw.normal(n_out, rank)}
        return Case(about, arguments | {"trained": trained, "x": x}, observe)

    yield Case("which parameters train, and their shapes", start(), _what_trains)
    yield Case("a layer as it starts", start() | {"x": draw.normal(2, 4)}, _at_the_start)
    chance = start() | {"seed": draw.random.randrange(1000)}
    yield Case("where the chance comes from", chance, _where_chance_comes_from)
    tiny = {"n_in": 2, "n_out": 1, "rank": 1, "alpha": 2.0}
    yield case("a trained layer, two numbers in, one out", _trained_output, draw.normal(2), **tiny)
    yield case("a trained layer, one vector", _trained_output, draw.normal(4))
    yield case("rank 1", _trained_output, draw.normal(2, 4), rank=1, alpha=0.5)
    yield case("a batch of texts", _trained_output, draw.normal(2, 3, 4), rank=4, alpha=2.0)
    yield case("a base without bias", _trained_output, draw.normal(2, 4), bias=False)
    yield case("the gradients", _trained_gradients, draw.normal(2, 4))
    yield case("merge()", _merged, draw.normal(2, 4))
    yield case("merge() of a base without bias", _merged, draw.normal(2, 4), bias=False)
    yield case("the layer after merge()", _after_merging, draw.normal(2, 4))
    if draw.hidden:
        sizes = {"n_in": 7, "n_out": 9, "rank": 3, "alpha": 5.0}
        yield case("a larger layer", _trained_output, draw.normal(5, 7), **sizes)


class _LoRA(finetuning.LoRALinear):
    """The right layer; the misconceptions change one thing."""

    def detour(self, x):
        return self.scale * (x @ self.A.T @ self.B.T)


@LoRALinear.misconception
class StartsAlreadyChanged(_LoRA):
    """A and B are both random, so the layer is changed before it has learned anything. B starts at
    zero: then the product is zero, and training begins at the pre-trained model."""

    def __init__(self, base, rank, alpha, generator=None):
        super().__init__(base, rank, alpha, generator)
        nn.init.normal_(self.B, generator=generator)


@LoRALinear.misconception
class StartsWithZerosOnBothSides(_LoRA):
    """A and B are both zero. Then the gradient of each, which is multiplied by the other, is zero
    too, and neither ever moves. Only B is zero; A is random."""

    def __init__(self, base, rank, alpha, generator=None):
        super().__init__(base, rank, alpha, generator)
        nn.init.zeros_(self.A)


@LoRALinear.misconception
class PutsTheZerosIntoA(_LoRA):
    """A starts at zero and B at random. That would work as well, but in LoRA, and in every
    checkpoint made with it, it is B that starts at zero."""

    def __init__(self, base, rank, alpha, generator=None):
        super().__init__(base, rank, alpha, generator)
        nn.init.zeros_(self.A)
        nn.init.normal_(self.B, generator=generator)


@LoRALinear.misconception
class ForgetsTheScale(_LoRA):
    """You add the detour as it is. It is multiplied by alpha / rank."""

    def __init__(self, base, rank, alpha, generator=None):
        super().__init__(base, rank, alpha, generator)
        self.scale = 1.0


@LoRALinear.misconception
class ScalesByAlphaAlone(_LoRA):
    """You multiply the detour by alpha and do not divide by the rank. With alpha / rank the
    strength stays about the same when somebody tries another rank."""

    def __init__(self, base, rank, alpha, generator=None):
        super().__init__(base, rank, alpha, generator)
        self.scale = alpha


@LoRALinear.misconception
class ScalesByRankOverAlpha(_LoRA):
    """Your scale is upside down: it is alpha / rank, not rank / alpha."""

    def __init__(self, base, rank, alpha, generator=None):
        super().__init__(base, rank, alpha, generator)
        self.scale = rank / alpha


@LoRALinear.misconception
class ForgetsTheScaleInMerge(_LoRA):
    """`forward` is right, but `merge` adds B A without alpha / rank, so the merged layer does
    something else."""

    def merge(self):
        merged = copy.deepcopy(self.base).requires_grad_()
        with torch.no_grad():
            merged.weight += self.B @ self.A
        return merged


@LoRALinear.misconception
class ForgetsTheBaseLayer(_LoRA):
    """Your output is the detour alone. It is added to what the frozen layer gives."""

    def forward(self, x):
        return self.detour(x)


@LoRALinear.misconception
class LetsNoGradientThroughTheBase(_LoRA):
    """You run the base layer under `torch.no_grad()` (or detach its output), and then no gradient
    gets through it to the layers below, which may have something to learn. Frozen means only that
    its own numbers stay: `requires_grad_(False)` is all it takes."""

    def forward(self, x):
        return self.base(x).detach() + self.detour(x)


@LoRALinear.misconception
class TrainsTheBaseToo(_LoRA):
    """The base layer still trains, and with it everything LoRA wants to leave alone. Set
    requires_grad to False for its parameters, with `base.requires_grad_(False)`."""

    def __init__(self, base, rank, alpha, generator=None):
        super().__init__(base, rank, alpha, generator)
        self.base.requires_grad_(True)


@LoRALinear.misconception
class FreezesOnlyTheWeight(_LoRA):
    """The weight of the base layer is frozen, its bias still trains. Freeze both:
    `base.requires_grad_(False)`."""

    def __init__(self, base, rank, alpha, generator=None):
        super().__init__(base, rank, alpha, generator)
        if self.base.bias is not None:
            self.base.bias.requires_grad_(True)


@LoRALinear.misconception
class KeepsPlainTensors(_LoRA):
    """A and B are plain tensors, which no optimiser sees and no checkpoint keeps. Wrap each in
    `nn.Parameter`."""

    def __init__(self, base, rank, alpha, generator=None):
        super().__init__(base, rank, alpha, generator)
        A, B = self.A.detach().clone(), self.B.detach().clone()
        del self.A, self.B
        self.A, self.B = A, B


@LoRALinear.misconception
class DrawsWithoutTheGenerator(_LoRA):
    """The same seed does not give the same A: yours is not drawn from `generator`. Hand it on:
    `torch.randn(..., generator=generator)`."""

    def __init__(self, base, rank, alpha, generator=None):
        super().__init__(base, rank, alpha)


@LoRALinear.misconception
class SeedsAGeneratorOfItsOwn(_LoRA):
    """Your A is the same whatever the generator's seed. Draw it from the `generator` you are given,
    as it is."""

    def __init__(self, base, rank, alpha, generator=None):
        super().__init__(base, rank, alpha, seeded(0))


@LoRALinear.misconception
class TakesTheNamesOfAnotherLibrary(_LoRA):
    """Your parameters are called lora_A and lora_B, as in the library PEFT. Here their names are A
    and B, and weights are loaded by these."""

    def __init__(self, base, rank, alpha, generator=None):
        super().__init__(base, rank, alpha, generator)
        A, B = self.A, self.B
        del self.A, self.B
        self.lora_A, self.lora_B = A, B

    def forward(self, x):
        return self.base(x) + self.scale * (x @ self.lora_A.T @ self.lora_B.T)

    def merge(self):
        merged = copy.deepcopy(self.base).requires_grad_()
        with torch.no_grad():
            merged.weight += self.scale * self.lora_B @ self.lora_A
        return merged


@LoRALinear.misconception
class DividesInWholeNumbers(_LoRA):
    """Your scale is alpha // rank, cut to a whole number. It is alpha / rank."""

    def __init__(self, base, rank, alpha, generator=None):
        super().__init__(base, rank, alpha, generator)
        self.scale = alpha // rank


@LoRALinear.misconception
class MakesLayersOfThem(_LoRA):
    """Your A and B are layers, so the parameters are called A.weight and B.weight. Here A and B are
    parameters themselves, `nn.Parameter`, under these two names."""

    def __init__(self, base, rank, alpha, generator=None):
        super().__init__(base, rank, alpha, generator)
        del self.A, self.B
        self.A = nn.Linear(base.in_features, rank, bias=False)
        self.B = nn.Linear(rank, base.out_features, bias=False)
        nn.init.zeros_(self.B.weight)

    def forward(self, x):
        return self.base(x) + self.scale * self.B(self.A(x))

    def merge(self):
        merged = copy.deepcopy(self.base).requires_grad_()
        with torch.no_grad():
            merged.weight += self.scale * self.B.weight @ self.A.weight
        return merged


@LoRALinear.misconception
class StoresBothTransposed(_LoRA):
    """Your A is [in, rank] and your B [rank, out]. It computes the same, but weights are [out, in]
    in this course, as in torch, so that A is [rank, in] and B is [out, rank]."""

    def __init__(self, base, rank, alpha, generator=None):
        super().__init__(base, rank, alpha, generator)
        self.A = nn.Parameter(self.A.detach().T.contiguous())
        self.B = nn.Parameter(self.B.detach().T.contiguous())

    def forward(self, x):
        return self.base(x) + self.scale * (x @ self.A @ self.B)

    def merge(self):
        merged = copy.deepcopy(self.base).requires_grad_()
        with torch.no_grad():
            merged.weight += self.scale * (self.A @ self.B).T
        return merged


@LoRALinear.misconception
class MergesIntoTheBase(_LoRA):
    """`merge` changes the frozen layer itself, so this layer now makes the change twice: once in
    its base and once in its detour. Merge into a new layer, or a copy."""

    def merge(self):
        with torch.no_grad():
            self.base.weight += self.scale * self.B @ self.A
        return self.base


@LoRALinear.misconception
class MergesWithoutTheBias(_LoRA):
    """The merged layer has the right weight, but the bias of the base layer is lost."""

    def merge(self):
        merged = nn.Linear(self.base.in_features, self.base.out_features, bias=False)
        with torch.no_grad():
            merged.weight.copy_(self.base.weight + self.scale * self.B @ self.A)
        return merged


@LoRALinear.misconception
class MergesWithTheWrongBias(_LoRA):
    """The merged layer has the right weight, but its bias is the random one that `nn.Linear` begins
    with. Copy that of the base; where it has none, neither has the merged layer."""

    def merge(self):
        merged = nn.Linear(self.base.in_features, self.base.out_features)
        with torch.no_grad():
            merged.weight.copy_(self.base.weight + self.scale * self.B @ self.A)
            merged.bias.fill_(0.37)
        return merged


@LoRALinear.misconception
class SharesTheBiasAfterMerging(_LoRA):
    """The merged layer and this one hold the same bias, so whoever trains one changes the other.
    Give the merged layer a copy."""

    def merge(self):
        merged = super().merge()
        merged.bias = self.base.bias
        return merged


@LoRALinear.misconception
class MergesTheDetourAlone(_LoRA):
    """The merged layer holds the change B A alone. The merged weight is the frozen weight plus the
    change."""

    def merge(self):
        merged = copy.deepcopy(self.base).requires_grad_()
        with torch.no_grad():
            merged.weight.copy_(self.scale * self.B @ self.A)
        return merged


@LoRALinear.alternative
class WithFunctionalLinear(nn.Module):
    """The same with F.linear, and a merged layer built anew."""

    def __init__(self, base, rank, alpha, generator=None):
        super().__init__()
        self.linear, self.rank, self.alpha = base, rank, alpha
        for parameter in base.parameters():
            parameter.requires_grad = False
        self.A = nn.Parameter(torch.empty(rank, base.in_features))
        self.B = nn.Parameter(torch.zeros(base.out_features, rank))
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5), generator=generator)

    def forward(self, x):
        return self.linear(x) + F.linear(F.linear(x, self.A), self.B) * (self.alpha / self.rank)

    def merge(self):
        has_bias = self.linear.bias is not None
        merged = nn.Linear(self.linear.in_features, self.linear.out_features, bias=has_bias)
        merged.weight.data = (
            self.linear.weight.data + self.alpha / self.rank * self.B.data @ self.A.data
        )
        if has_bias:
            merged.bias.data = self.linear.bias.data.clone()
        return merged


@LoRALinear.alternative
class WithOneWeight(_LoRA):
    """The weight is put together first: what `merge` does, at each call."""

    def __init__(self, base, rank, alpha, generator=None):
        super().__init__(base, rank, alpha, generator)
        self.A = nn.Parameter(0.01 * torch.randn(self.A.shape, generator=generator))

    def forward(self, x):
        weight = self.base.weight + self.scale * self.B @ self.A
        return F.linear(x, weight, self.base.bias)
