"""The judge and its stand-ins, at the level that works on this machine."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch
from nbformat.v4 import new_code_cell, new_notebook

from course_lib.checks import evaluate
from course_lib.checks.exercise import gradient_of, peak_bytes
from course_lib.decoder import DecoderConfig, DecoderLM
from course_lib.grading.judge import Clock, imports_of, judge
from course_lib.grading.remote import SessionLost
from course_lib.grading.sandbox import LEVELS, Sandbox, strongest_level

SOURCE = """
import torch
from torch import nn

def twice(x):
    return 2 * x

def changes(x):
    x[0] = 7

def asks(f):
    return f(3) + 1

def applies(f, x):
    return f(x)

def counts(seen):
    for number in range(5):
        seen.append(number)
        yield number

def takes(f):
    import inspect
    return len(inspect.signature(f).parameters)

def fails(kind):
    raise kind

def pair(both):
    x, generator = both
    return torch.rand(3, generator=generator) + x.sum()

def count(generator):
    return torch.rand(3, generator=generator)

def tensor_of(n):
    return torch.zeros(n).sum()

class Layer(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.linear = nn.Linear(width, width)
    def forward(self, x):
        return self.linear(x).relu()

class Tokens:
    vocab = {0: b"a"}
    def encode(self, text):
        return [ord(letter) for letter in text]

def missing():
    return {}["no such key"]
"""


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(strongest_level()) as sandbox:
        yield sandbox


@pytest.fixture
def names(sandbox):
    with sandbox.session() as session:
        assert session.ask("run", source=SOURCE)["error"] is None
        yield lambda name: session.ask("lookup", name=name)


def test_calls_pass_on_and_plain_data_comes_back(names):
    assert names("twice")(4) == 8
    assert names("twice")([1]) == [1, 1]
    assert torch.equal(names("twice")(x=torch.ones(2)), 2 * torch.ones(2))


def test_changed_arguments_are_changed_here(names):
    for argument in ([1, 2], torch.zeros(2), {0: 1}):
        names("changes")(argument)
        assert argument[0] == 7


def test_functions_can_be_arguments(names):
    assert names("asks")(lambda x: 10 * x) == 31


def test_generators_go_on_where_they_were_left(names):
    generator = torch.Generator().manual_seed(1)
    both = torch.cat([names("count")(generator), names("count")(generator)])
    assert torch.equal(both, torch.rand(6, generator=torch.Generator().manual_seed(1)))


def test_gradients_flow_through_a_call(names):
    x = torch.randn(3)
    assert torch.allclose(gradient_of(0)(names("twice"), x), 8 * x)


def test_modules_live_in_the_session(names):
    weights = {"linear.weight": torch.randn(3, 3), "linear.bias": torch.randn(3)}
    layer = names("Layer")(3)
    layer.load_state_dict(weights)
    x = torch.randn(2, 3, requires_grad=True)
    mine = torch.nn.functional.linear(x, *weights.values()).relu()
    output = layer(x)
    assert torch.allclose(output, mine)
    (one,) = torch.autograd.grad(output.sum(), x)
    (other,) = torch.autograd.grad(mine.sum(), x)
    assert torch.allclose(one, other)
    assert {name: p.requires_grad for name, p in layer.named_parameters()} == {
        "linear.weight": True,
        "linear.bias": True,
    }
    layer(x).sum().backward()
    assert layer.linear.bias.grad.shape == (3,)


def test_linear_layers_can_be_arguments(names):
    for layer in (torch.nn.Linear(3, 2), torch.nn.Linear(4, 5, bias=False)):
        x = torch.randn(7, layer.in_features)
        assert torch.equal(names("applies")(layer, x), layer(x))


def test_a_generator_computes_as_it_is_asked(names):
    seen = []
    numbers = iter(names("counts")(seen))
    assert [next(numbers), next(numbers)] == [0, 1]
    assert list(numbers) == [2, 3, 4]
    computed = []
    lazy = iter(names("applies")(names("counts"), SimpleNamespace(append=computed.append)))
    assert next(lazy) == 0 and computed == [0]


def test_functions_tell_how_many_arguments_they_take(names):
    assert names("takes")(lambda a: a) == 1
    assert names("takes")(partial(lambda a, b, c=1: a, 1)) == 1
    assert names("takes")(lambda a, b: a) == 2


def test_an_expanded_tensor_can_be_an_argument(names):
    x = torch.ones(1, 3).expand(4, -1)
    generator = torch.Generator().manual_seed(0)  # it changes, so all arguments come back
    names("applies")(names("pair"), (x, generator))


def test_objects_have_attributes_and_methods(names):
    tokens = names("Tokens")()
    assert tokens.vocab == {0: b"a"}
    assert tokens.encode("ab") == [97, 98]
    assert not hasattr(tokens, "no_such_thing")


def test_a_stand_in_never_says_what_is_equal(names):
    thing = names("Tokens")()
    for claim in (lambda: thing == 1, lambda: bool(thing), lambda: thing != thing):
        with pytest.raises(TypeError):
            claim()


def test_errors_are_of_the_same_class(names):
    with pytest.raises(KeyError):
        names("missing")()
    assert names("twice")(1) == 2  # and the session goes on


def test_memory_is_measured_where_it_is_used(names):
    assert peak_bytes(names("tensor_of"), 10_000) >= 40_000


def test_an_unanswered_request_ends_the_session(sandbox):
    with sandbox.session() as session:
        session.ask("run", source="import os\ndef end(): os._exit(0)")
        end = session.ask("lookup", name="end")
        with pytest.raises(SessionLost):
            end()
        with pytest.raises(SessionLost):
            end()


def test_a_wrong_solution_is_recognised_through_a_stand_in(sandbox):
    source = "def greedy_next_token(logits):\n    return logits.argmax()"
    with sandbox.session() as session:
        session.ask("run", source=source)
        report = evaluate(
            "probability.greedy_next_token", session.ask("lookup", name="greedy_next_token")
        )
    assert not report.passed
    assert (
        report.misconception
        == evaluate("probability.greedy_next_token", lambda logits: logits.argmax()).misconception
    )


def notebook(answer, check):
    marks = {"schema_version": 3, "task": False, "locked": False}
    return new_notebook(
        cells=[
            new_code_cell("import math"),
            new_code_cell(
                answer,
                metadata={"nbgrader": marks | {"grade_id": "a", "solution": True, "grade": False}},
            ),
            new_code_cell(
                check,
                metadata={"nbgrader": marks | {"grade_id": "c", "solution": False, "grade": True}},
            ),
        ]
    )


def judged(sandbox, answer, check):
    (verdict,) = judge(
        made := notebook(answer, check), imports_of(made), sandbox, clock=Clock(cell=5, call=2)
    )
    return verdict, made.cells[-1]


def test_asserts_are_judged_with_the_instructors_imports(sandbox):
    answer = "def area(r):\n    return math.pi * r * r\nmath = None\nimport math"
    check = (
        "assert math.isclose(area(2), 4 * math.pi)\nassert [area(0) for _ in range(2)] == [0, 0]"
    )
    verdict, cell = judged(sandbox, answer, check)
    assert verdict.passed and not cell.outputs
    assert cell.metadata["course"]["judged"] in LEVELS


def test_hidden_asserts_say_nothing_of_themselves(sandbox):
    check = (
        "assert f(1) == 1\n### BEGIN HIDDEN TESTS\nassert f(2) == 4, 'secret'\n### END HIDDEN TESTS"
    )
    verdict, cell = judged(sandbox, "def f(x): return x", check)
    assert not verdict.passed
    assert "secret" not in str(cell.outputs) and "have not seen" in str(cell.outputs)
    verdict, cell = judged(sandbox, "def f(x): return 0", check)
    assert "AssertionError" in str(cell.outputs)


def test_a_missing_name_is_said(sandbox):
    verdict, cell = judged(sandbox, "x = 1", "assert f(1) == 1")
    assert "name 'f' is not defined" in verdict.headline


def test_no_such_level():
    with pytest.raises(ValueError, match="level must be one of"):
        Sandbox("none")


def test_a_model_of_the_exercises_own_class_can_be_an_argument(sandbox):
    config = DecoderConfig(vocab_size=7, max_length=5, width=4, n_layers=1, n_heads=2, ffn_width=8)
    model, ids = DecoderLM(config), torch.tensor([[1, 2]])
    with sandbox.session() as session:
        session.ask("begin", references=[("course_lib.decoder", "DecoderLM")])
        session.ask("run", source=SOURCE + "\nfrom course_lib.decoder import DecoderLM\n")
        applies = session.ask("lookup", name="applies")
        assert torch.equal(applies(model, ids), model(ids))
        with pytest.raises(RuntimeError, match="use your own"):
            session.ask("lookup", name="DecoderLM")(config)
