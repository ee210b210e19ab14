"""What `adapting.add_lora` demands."""

from __future__ import annotations

import torch
from torch import nn

from course_lib import finetuning
from course_lib.checks.exercise import Case, Exercise, compares_gradients
from course_lib.decoder import DecoderConfig, DecoderLM
from course_lib.exercises.decoder.shared import GPT, LLAMA, build
from course_lib.finetuning import LoRALinear

add_lora = Exercise("adapting.add_lora", points=3, reference=finetuning.add_lora, tolerance=1e-4)


def _adapted(solution, config, seed, rank, alpha, names):
    """A decoder with LoRA in it, whatever is random in it set to what follows from the seed."""
    model = build(DecoderLM, config, seed)
    generator = torch.Generator().manual_seed(seed)
    model = solution(model, rank, alpha, names=names, generator=generator)
    state = model.state_dict()
    mine = {name: value for name, value in sorted(state.items()) if name.endswith((".A", ".B"))}
    drawn = torch.Generator().manual_seed(seed)
    model.load_state_dict(
        {name: torch.randn(value.shape, generator=drawn) for name, value in mine.items()},
        strict=False,
    )
    return model


def _what_trains(solution, config, seed, rank, alpha, names):
    model = build(DecoderLM, config, seed)
    model = solution(model, rank, alpha, names=names, generator=torch.Generator().manual_seed(0))
    trains = {n: list(p.shape) for n, p in model.named_parameters() if p.requires_grad}
    return {"parameters that train": dict(sorted(trains.items()))}


def _at_the_start(solution, config, seed, rank, alpha, names, ids):
    model = build(DecoderLM, config, seed)
    generator = torch.Generator().manual_seed(0)
    return solution(model, rank, alpha, names=names, generator=generator)(ids).detach()


def _trained(solution, *arguments):
    *how, ids = arguments
    return _adapted(solution, *how)(ids).detach()


def _chance(solution, config, seed, rank, alpha, names):
    def first(number):
        model = build(DecoderLM, config, seed)
        generator = torch.Generator().manual_seed(number)
        state = solution(model, rank, alpha, names=names, generator=generator).state_dict()
        return torch.cat([v.flatten() for n, v in sorted(state.items()) if n.endswith(".A")])

    one, same, other = first(seed), first(seed), first(seed + 1)
    half = len(one) // 2
    return {
        "the same seed gives the same A": torch.equal(one, same),
        "another seed gives another A": not torch.equal(one, other),
        "two layers get different A": not torch.equal(one[:half], one[half:]),
    }


@compares_gradients
def _gradients(solution, *arguments):
    *how, ids = arguments
    model = _adapted(solution, *how)
    model(ids).square().mean().backward()
    return {n: p.grad for n, p in sorted(model.named_parameters()) if p.requires_grad}


def _refused(solution, config, seed, rank, alpha, names):
    """What an error says, and whether the model that was given is still as it was."""
    model = build(DecoderLM, config, seed)
    said = "no error"
    try:
        solution(model, rank, alpha, names=names, generator=torch.Generator().manual_seed(0))
    except ValueError as error:
        said = f"a ValueError that {'names' if 'names' in str(error) else 'does not name'} 'names'"
    left = any(type(one) is not nn.Linear for n, one in model.named_modules() if "proj" in n)
    frozen = any(not p.requires_grad for p in model.parameters())
    return {"it raises": said, "the model has changed": left or frozen}


@add_lora.cases
def _(draw):
    def given(names=("q_proj", "v_proj"), sizes=GPT, rank=2, alpha=3.0, **more):
        config = DecoderConfig(**sizes)
        arguments = {"config": config, "seed": draw.random.randrange(100), "rank": rank}
        return arguments | {"alpha": alpha, "names": names} | more

    ids = draw.ids(11, 2, 5)
    one_layer = {**GPT, "n_layers": 1}
    yield Case("one block: which parameters train", given(sizes=one_layer), _what_trains)
    yield Case("two blocks: which parameters train", given(), _what_trains)
    yield Case("the feed-forward alone", given(("ffn_in", "ffn_out")), _what_trains)
    yield Case("one name, rank 1", given(("k_proj",), rank=1), _what_trains)
    llama = given(("q_proj", "k_proj", "ffn_gate"), LLAMA)
    yield Case("a model like SmolLM2: shared heads and a gate", llama, _what_trains)
    yield Case("the model as it starts", given(ids=ids), _at_the_start)
    yield Case("the model after training", given(ids=ids), _trained)
    yield Case("alpha 1, rank 4", given(rank=4, alpha=1.0, ids=ids), _trained)
    after = given(("out_proj", "k_proj"), LLAMA, ids=ids)
    yield Case("a model like SmolLM2, after training", after, _trained)
    yield Case("the gradients", given(ids=ids), _gradients)
    yield Case("where the chance comes from", given(), _chance)
    yield Case("a name that no layer has", given(("q_proj", "query")), _refused, edge=True)
    yield Case("a name of a layer that is not linear", given(("norm1",)), _refused, edge=True)
    if draw.hidden:
        deep = {**LLAMA, "n_layers": 3}
        yield Case("three blocks", given(("v_proj", "out_proj"), deep, ids=ids), _trained)


def _found(model, names):
    return [
        (parent, name, layer)
        for parent in model.modules()
        for name, layer in parent.named_children()
        if name in names and isinstance(layer, nn.Linear)
    ]


def _refuse(found, names):
    if not found or set(names) - {name for _, name, _ in found}:
        raise ValueError(f"names must be of linear layers, got {names}")


@add_lora.misconception
def leaves_the_rest_free(model, rank, alpha, *, names=("q_proj", "v_proj"), generator=None):
    """Only the layers that you wrapped are frozen, and everything else would still train: tables,
    norms, the other projections. Freeze the whole model first: `model.requires_grad_(False)`."""
    found = _found(model, names)
    _refuse(found, names)
    for parent, name, layer in found:
        setattr(parent, name, LoRALinear(layer, rank, alpha, generator))
    return model


@add_lora.misconception
def freezes_the_detours_too(model, rank, alpha, *, names=("q_proj", "v_proj"), generator=None):
    """Nothing trains in yours: the model was frozen after the detours were put in, and A and B with
    it. Freeze first, then put them in."""
    found = _found(model, names)
    _refuse(found, names)
    for parent, name, layer in found:
        setattr(parent, name, LoRALinear(layer, rank, alpha, generator))
    return model.requires_grad_(False)


@add_lora.misconception
def adapts_the_first_block_alone(model, rank, alpha, *, names=("q_proj", "v_proj"), generator=None):
    """Each name stands in every block; you adapt only the first layer that has it. Go on through
    all of them."""
    found = _found(model, names)
    _refuse(found, names)
    model.requires_grad_(False)
    seen = set()
    for parent, name, layer in found:
        if name not in seen:
            seen.add(name)
            setattr(parent, name, LoRALinear(layer, rank, alpha, generator))
    return model


@add_lora.misconception
def adapts_the_last_block_alone(model, rank, alpha, *, names=("q_proj", "v_proj"), generator=None):
    """Each name stands in every block; you keep only the last layer that has it, perhaps in a
    dict by name. Adapt all of them."""
    found = _found(model, names)
    _refuse(found, names)
    model.requires_grad_(False)
    for name, (parent, layer) in {n: (p, one) for p, n, one in found}.items():
        setattr(parent, name, LoRALinear(layer, rank, alpha, generator))
    return model


@add_lora.misconception
def adapts_every_linear_layer(model, rank, alpha, *, names=("q_proj", "v_proj"), generator=None):
    """You adapt all linear layers. Only those with one of the names given are asked for."""
    _refuse(_found(model, names), names)
    every = {name for name, layer in _linear_layers(model)}
    return finetuning.add_lora(model, rank, alpha, names=every, generator=generator)


def _linear_layers(model):
    return [
        (name.rpartition(".")[2], layer)
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear)
    ]


@add_lora.misconception
def forgets_alpha(model, rank, alpha, *, names=("q_proj", "v_proj"), generator=None):
    """`alpha` has no part in yours. It goes to `LoRALinear` with the rank, and decides how much the
    detour counts."""
    return finetuning.add_lora(model, rank, float(rank), names=names, generator=generator)


@add_lora.misconception
def forgets_the_generator(model, rank, alpha, *, names=("q_proj", "v_proj"), generator=None):
    """Your A comes from torch's own generator: the same seed gives another model each time. Hand
    `generator` on to each `LoRALinear`."""
    return finetuning.add_lora(model, rank, alpha, names=names)


@add_lora.misconception
def draws_the_same_for_every_layer(
    model, rank, alpha, *, names=("q_proj", "v_proj"), generator=None
):
    """All your layers begin with the same A: the generator is started anew for each. One generator,
    handed from layer to layer, draws another for each."""
    found = _found(model, names)
    _refuse(found, names)
    model.requires_grad_(False)
    start = generator.get_state()
    for parent, name, layer in found:
        again = torch.Generator()
        again.set_state(start)
        setattr(parent, name, LoRALinear(layer, rank, alpha, again))
    return model


@add_lora.alternative
def by_full_names(model, rank, alpha, *, names=("q_proj", "v_proj"), generator=None):
    """Through `named_modules`, with the parent looked up by its name."""
    layers = {
        full: layer
        for full, layer in model.named_modules()
        if isinstance(layer, nn.Linear) and full.split(".")[-1] in names
    }
    if {full.split(".")[-1] for full in layers} != set(names):
        raise ValueError(f"names: not all of {names} are linear layers of the model")
    for parameter in model.parameters():
        parameter.requires_grad = False
    for full, layer in layers.items():
        parent, _, name = full.rpartition(".")
        setattr(model.get_submodule(parent), name, LoRALinear(layer, rank, alpha, generator))
    return model


@add_lora.alternative
def name_by_name(model, rank, alpha, *, names=("q_proj", "v_proj"), generator=None):
    """All names are looked up before anything is touched."""
    places = []
    for wanted in names:
        having = [
            parent
            for parent in model.modules()
            if isinstance(getattr(parent, wanted, None), nn.Linear)
        ]
        if not having:
            raise ValueError(f"names: no linear layer is called {wanted}")
        places += [(parent, wanted) for parent in having]
    model.requires_grad_(False)
    for parent, name in places:
        setattr(parent, name, LoRALinear(getattr(parent, name), rank, alpha, generator))
    return model
