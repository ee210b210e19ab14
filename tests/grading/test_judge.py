"""The judge and its stand-ins, at the level that works on this machine."""

from functools import partial
from textwrap import indent
from types import SimpleNamespace

import nbformat
import pytest
import torch
from nbformat.v4 import new_code_cell, new_notebook
from nbgrader.utils import determine_grade

from course_lib.checks import evaluate, exercises
from course_lib.checks.exercise import gradient_of, peak_bytes
from course_lib.decoder import DecoderConfig, DecoderLM
from course_lib.grading.believed import believed
from course_lib.grading.judge import Clock, judge
from course_lib.grading.sandbox.client import SessionLost
from course_lib.grading.sandbox.launcher import Sandbox, strongest_level
from course_lib.grading.sandbox.policy import LEVELS

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
        session.changes_arguments = True  # as in an exercise's check
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


def judged(sandbox, answer, check, given="import math", released="def f(x): return x"):
    source = notebook(released, check)
    source.cells[0].source = given
    made = notebook(answer, check)
    (verdict,) = judge(made, believed(source), sandbox, clock=Clock(cell=20, call=2, check=8))
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


USES_A_TWIN = """
from course_lib.tokenization import train_bpe as clear
from course_lib.fast.bpe import train_bpe_fast
from course_lib.fast import train_bpe_fast as handed_on
train_bpe = {}
"""


@pytest.mark.parametrize("name", ["clear", "train_bpe_fast", "handed_on"])
@pytest.mark.parametrize("module", ["tokenization", "decoder"])
def test_a_twin_of_this_notebooks_exercise_is_refused(sandbox, name, module):
    answer = new_code_cell(USES_A_TWIN.format(name))
    check = 'check("tokenization.train_bpe", train_bpe)'
    (verdict,) = judge(notebook(answer.source, check), [], sandbox, module)
    assert verdict.passed == (module != "tokenization")
    if not verdict.passed:
        assert "use your own" in str(verdict.reports)


def test_a_reference_is_refused_wherever_its_package_hands_it_on(sandbox):
    answer = "from course_lib.scaling import fit_power_law"
    check = 'check("scaling.fit_power_law", fit_power_law)'
    (verdict,) = judge(notebook(answer, check), [], sandbox, "scaling")
    assert not verdict.passed and "use your own" in str(verdict.reports)


LIES = "class torch:\n    equal = staticmethod(lambda *_: True)\n\nexpected = helper = lambda x: 0"


@pytest.mark.parametrize(
    ("given", "check"),
    [
        ("import torch", "assert torch.equal(torch.ones(2), torch.zeros(2) + f(1))"),
        ("import torch\nx = torch.ones(2)\nexpected = x.sum() / 2", "assert f(1) == expected"),
        ("def helper(x):\n    return f(x) + 1", "assert helper(1) == 2"),
        ("from math import *", "assert f(1) == factorial(1)"),
    ],
)
def test_what_an_instructor_gave_is_never_taken_from_a_submission(sandbox, given, check):
    verdict, _ = judged(sandbox, LIES + "\ndef f(x): return -1", check, given=given)
    assert not verdict.passed
    verdict, _ = judged(sandbox, LIES + "\ndef f(x): return 1", check, given=given)
    assert verdict.passed


def test_a_plain_assert_compares_with_what_it_passed_in(sandbox):
    check = "x = torch.ones(2)\nassert torch.equal(f(x), x.sqrt())"
    answer = "def f(x):\n    {} = 0\n    return x.sqrt()"
    for changes, passed in (("y", True), ("x[:]", False)):
        verdict, _ = judged(sandbox, answer.format(changes), check, given="import torch")
        assert verdict.passed == passed


def test_a_nonsensical_answer_ends_a_check_once(sandbox):
    answer = (
        "import gc\n"
        "for o in gc.get_objects():\n"
        "    if type(o).__name__ == 'Server':\n"
        "        type(o).do_length = lambda self, target: -1\n"
        "def f(x):\n    class Many:\n        pass\n    return Many()"
    )
    verdict, _ = judged(sandbox, answer, "len(f(1))")
    assert not verdict.passed and "length" in verdict.headline


def test_a_check_cell_has_one_clock_for_all_its_calls(sandbox):
    answer = "def f(x):\n    import time\n    while True:\n        time.sleep(1)\n        yield 1"
    verdict, _ = judged(sandbox, answer, "for _ in f(1): pass")
    assert not verdict.passed and verdict.headline == "it did not finish in time"
    verdict, _ = judged(sandbox, "def f(x): return 10**12", "for _ in range(f(1)): pass")
    assert not verdict.passed and verdict.headline == "it did not finish in time"


SLEEPS = "import time\nwhile True: time.sleep(1)"
STOPS_ITS_CLOCKS = (
    "import signal, time\n"
    "for clock in (signal.ITIMER_REAL, signal.ITIMER_PROF): signal.setitimer(clock, 0)\n"
    "time.process_time = lambda: 0.0\nwhile True: pass"
)


@pytest.mark.parametrize("cell", [SLEEPS, STOPS_ITS_CLOCKS])
def test_all_cells_have_one_clock_on_the_wall_too(sandbox, cell):
    """What never ends uses all of it up, whatever it says; the answer still gets a second."""
    made = notebook("def f(x): return x", "assert f(1) == 1")
    made.cells[1:1] = [new_code_cell(cell) for _ in range(20)]
    (verdict,) = judge(made, believed(made), sandbox, clock=Clock(cell=1, submission=1))
    first, *others = [cell.outputs[0].evalue for cell in made.cells[1:21]]
    assert first == "this cell took more than 1 seconds"
    assert set(others) == {"the cells before this one have used up all the time"}
    assert verdict.passed


def test_all_checks_have_one_clock_on_the_wall_too(sandbox):
    made = notebook("def f(x):\n" + indent(SLEEPS, "    "), "assert f(1) == 1")
    made.cells += [made.cells[-1].copy() for _ in range(19)]
    clock = Clock(cell=1, call=1, check=1, submission=2)
    headlines = [v.headline for v in judge(made, believed(made), sandbox, clock=clock)]
    assert headlines[0] == "it did not finish in time"
    assert set(headlines[2:]) == {"the checks before this one have used up all the time"}


@pytest.mark.parametrize(("loop", "said"), [("time.sleep(1)", "it sleeps"), ("pass", "used 2 sec")])
def test_what_sleeps_is_told_from_what_works(sandbox, loop, said):
    answer = f"import time\ndef f(x):\n    while True: {loop}"
    made = notebook(answer, 'check("probability.greedy_next_token", f)')
    (verdict,) = judge(made, believed(made), sandbox, clock=Clock(check=2))
    assert not verdict.passed and said in verdict.reports[0].message


@pytest.mark.parametrize("wrong", ["return 10**5000", "import os; os._exit(0)"])
def test_what_one_check_loses_another_keeps(sandbox, wrong):
    made = notebook("def f(x):\n    " + wrong + "\n\ndef g(x): return x", "assert f(1) == 1")
    made.cells += [made.cells[-1].copy() for _ in range(5)] + [
        new_code_cell("assert g(1) == 1", metadata=made.cells[-1].metadata)
    ]
    verdicts = judge(made, believed(made), sandbox, clock=Clock(cell=5, call=2))
    assert [verdict.passed for verdict in verdicts] == 6 * [False] + [True]


def test_the_value_of_the_last_line_is_partial_credit(sandbox):
    _, cell = judged(
        sandbox, "def f(x): return x", "score = 0\nif f(1) == 1:\n    score += 1\nscore"
    )
    (output,) = cell.outputs
    cell.metadata.nbgrader.points = 2
    assert determine_grade(cell)[0] == 1 and output.output_type == "execute_result"


def test_a_patched_session_cannot_flood_the_notebook(sandbox):
    answer = (
        "import gc\n"
        "for o in gc.get_objects():\n"
        "    if type(o).__name__ == 'Server':\n"
        "        type(o).do_run = lambda self, source: {'printed': '\\ud800' * 10**6, 'error': "
        "{'classes': ['E' * 10**6], 'text': 'x' * 10**6, 'trace': 'y' * 10**6}}\n"
    )
    made = notebook(answer, "assert f(1) == 1")
    made.cells[2:2] = [new_code_cell("1") for _ in range(100)]
    judge(made, believed(made), sandbox, clock=Clock(cell=5, call=2))
    assert len(nbformat.writes(made).encode()) < 4_000_000


SOFTMAX_BY_OTHER_NAMES = [
    "torch.special.softmax(x, dim)",
    "torch.nn.functional.log_softmax(x, dim).exp()",
    "torch.ops.aten._softmax(x, dim, False)",
    "torch.ops.aten.softmax.int(x, dim)",
    "torch._softmax(x, dim, False)",
    "torch.nn.functional.softmin(-x, dim)",
    "attention_as_softmax(x)",
    "scripted(x, dim)",
    "disabled(x, dim)",
    "in_a_thread(x, dim)",
]


@pytest.mark.parametrize("call", SOFTMAX_BY_OTHER_NAMES)
def test_what_is_forbidden_is_known_by_what_runs(sandbox, call):
    answer = f"""
import threading

@torch.jit.script
def scripted(x: torch.Tensor, dim: int):
    return torch.softmax(x, dim)

kept = torch.softmax

def attention_as_softmax(x):
    rows = x.reshape(-1, x.shape[-1])
    nothing, n = torch.zeros_like(rows[:, :1]), x.shape[-1]
    attend = torch.nn.functional.scaled_dot_product_attention
    return attend(nothing, torch.zeros(n, 1), torch.eye(n), attn_mask=rows).reshape(x.shape)

def disabled(x, dim):
    with torch._C.DisableTorchFunction():
        return kept(x, dim)

def in_a_thread(x, dim):
    found = []
    thread = threading.Thread(target=lambda: found.append(kept(x, dim)))
    thread.start()
    thread.join()
    return found[0]

def f(x, dim):
    return {call}
"""
    verdict, cell = judged(
        sandbox, "import torch\n" + answer, 'check("attention.softmax", f)', given="import torch"
    )
    assert not verdict.passed and "must not" in str(cell.outputs)


REFERENCE_BY_OTHER_NAMES = [
    "from course_lib.scaling import fit_power_law",
    "import course_lib.scaling as s\nfit_power_law = getattr(s.fit_power_law, '__wrapped__', None)"
    " or s.fit_power_law",
    "__name__ = 'course_lib.x'\nfrom course_lib.scaling import fit_power_law as g\n"
    "def fit_power_law(*a): return g(*a)",
    "import importlib, sys, course_lib.scaling as s\n"
    "m = importlib.reload(sys.modules[s.fit_power_law.__module__])\n"
    "fit_power_law = m.fit_power_law",
    "import sys, course_lib.scaling as s\nname = s.fit_power_law.__module__\n"
    "del sys.modules[name]\nimport importlib\n"
    "fit_power_law = importlib.import_module(name).fit_power_law",
]


@pytest.mark.parametrize("answer", REFERENCE_BY_OTHER_NAMES)
def test_a_reference_refuses_under_every_name(sandbox, answer):
    check = 'check("scaling.fit_power_law", fit_power_law)'
    (verdict,) = judge(notebook(answer, check), [], sandbox, "scaling")
    assert not verdict.passed and "use your own" in str(verdict.reports)


def test_no_reference_is_left_unguarded_under_any_name(sandbox):
    """Every exercise's reference, under every name that a module of the course has for it."""
    source = """
import sys
open_ = [
    f"{module}.{name}"
    for module, held in sorted(sys.modules.items()) if module.startswith("course_lib.")
    for name, value in sorted(vars(held).items())
    if callable(value) and (getattr(value, "__module__", ""), getattr(value, "__name__", ""))
    in REFERENCES and not getattr(value, "_refuses", False)
]
"""
    references = [(e.reference.__module__, e.reference.__name__) for e in exercises().values()]
    with sandbox.session() as session:
        session.ask("begin", references=references)
        error = session.ask("run", source=f"REFERENCES = {references!r}\n{source}", seconds=60)
        assert error["error"] is None
        assert session.ask("lookup", name="open_") == []
