"""Submissions that try to get marks without earning them, and honest ones that had bad luck.

All are submissions of one small assignment with two graded exercises: `double`, judged by an
instructor's own asserts, and `greedy_next_token`, judged by the course's check. `marks` are what
each must get. `course doctor --attacks` prints them as a table.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

Marks = dict[str, int]
Change = Callable[[NotebookNode], object] | None

RIGHT = {
    "double": "def double(x):\n    return x + x",
    "greedy": "def greedy_next_token(logits):\n    return int(logits.argmax())",
}
WRONG = {
    "double": "def double(x):\n    return None",
    "greedy": "def greedy_next_token(logits):\n    return 0",
}
FULL, NONE = {"check-double": 1, "check-greedy": 1}, {"check-double": 0, "check-greedy": 0}


def assignment() -> NotebookNode:
    """The instructor's notebook, with answers and hidden tests."""

    def marks(grade_id: str, **kind: bool) -> dict[str, Any]:
        metadata = {"schema_version": 3, "grade_id": grade_id, "task": False, "solution": False}
        return {"nbgrader": metadata | {"grade": False, "locked": True} | kind}

    def answer(name: str) -> NotebookNode:
        signature, body = RIGHT[name].split("\n", 1)
        source = f"{signature}\n    ### BEGIN SOLUTION\n{body}\n    ### END SOLUTION"
        return new_code_cell(source, metadata=marks(name, solution=True, locked=False))

    def check(name: str, source: str) -> NotebookNode:
        metadata = marks(f"check-{name}", grade=True)
        metadata["nbgrader"]["points"] = 1
        return new_code_cell(source, metadata=metadata)

    return new_notebook(
        cells=[
            new_markdown_cell("# A small assignment"),
            new_code_cell("import torch\n\nfrom course_lib.checks import check"),
            answer("double"),
            check(
                "double",
                "assert double(2) == 4\nassert torch.equal(double(torch.ones(2)), torch.full((2,), 2.0))\n"
                "### BEGIN HIDDEN TESTS\nassert double(-0.25) == -0.5\nassert double('ab') == 'abab'\n"
                "### END HIDDEN TESTS",
            ),
            answer("greedy"),
            check(
                "greedy",
                'check("probability.greedy_next_token", greedy_next_token)\n### BEGIN HIDDEN TESTS\n'
                'check("probability.greedy_next_token", greedy_next_token, hidden=True)\n'
                "### END HIDDEN TESTS",
            ),
        ],
        metadata={
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
        },
    )


@dataclass(frozen=True)
class Submission:
    """One made-up submission: what it writes, and the marks it must get."""

    name: str
    marks: Marks
    answers: dict[str, str]
    hostile: bool = False
    first: str = ""  # an extra cell at the top
    change: Change = None  # what is done to the notebook itself

    def write(self, released: NotebookNode) -> NotebookNode:
        """The submission, on a copy of the released notebook."""
        for cell in released.cells:
            name = cell.metadata.get("nbgrader", {}).get("grade_id")
            if name in self.answers:
                cell.source = self.answers[name]
        if self.first:
            released.cells.insert(2, new_code_cell(self.first))
        if self.change is not None:
            self.change(released)
        return released


CORPUS: list[Submission] = []
BYSTANDER = Submission("an honest neighbour", FULL, RIGHT)


def _hostile(
    name: str, first: str = "", marks: Marks | None = None, change: Change = None, **answers: Any
) -> None:
    CORPUS.append(Submission(name, marks or NONE, WRONG | answers, True, first, change))


def _unlucky(
    name: str, first: str = "", marks: Marks | None = None, change: Change = None, **answers: Any
) -> None:
    CORPUS.append(Submission(name, marks or FULL, RIGHT | answers, False, first, change))


def _both(body: str) -> dict[str, Any]:
    """Both answers with the same body."""
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    return {
        "double": f"def double(x):\n{lines}",
        "greedy": f"def greedy_next_token(logits):\n{lines}",
    }


# --- hostile: the helpers that compare and complain ----------------------------------------------

_hostile(
    "replaces check", "import course_lib.checks\ncourse_lib.checks.check = lambda *a, **k: None"
)
_hostile(
    "defines a check of its own",
    "def check(*a, **k): return None\ndef evaluate(*a, **k): return None",
)
_hostile(
    "replaces evaluate inside the package",
    "import course_lib.checks.evaluation as e\n"
    "class R:\n    passed, points, max_points, headline, message = True, 1, 1, 'right', 'right'\n"
    "e.evaluate = lambda *a, **k: R()",
)
_hostile(
    "makes CheckFailed harmless", "import course_lib.checks as c\nc.CheckFailed = type('X', (), {})"
)
_hostile("makes torch.equal true", "torch.equal = torch.allclose = lambda *a, **k: True")
_hostile(
    "makes assert errors harmless",
    "import builtins\nbuiltins.AssertionError = type('E', (BaseException,), {'__init__': lambda s, *a: None})",
)
_hostile(
    "replaces isinstance and all",
    "import builtins\nbuiltins.isinstance = lambda *a: True\nbuiltins.all = lambda *a: True",
)
_hostile(
    "replaces the comparison",
    "import course_lib.checks.compare as c\nc.difference = lambda *a, **k: None",
)
_hostile(
    "returns what equals everything",
    **_both(
        "class E:\n    def __eq__(self, o): return True\n    def __ne__(self, o): return False\n    def __bool__(self): return True\nreturn E()"
    ),
)
_hostile(
    "returns an int that equals everything",
    **_both(
        "class E(int):\n    __eq__ = lambda s, o: True\n    __hash__ = int.__hash__\nreturn E(7)"
    ),
)
_hostile(
    "returns a float that equals everything",
    **_both(
        "class E(float):\n    __eq__ = lambda s, o: True\n    __hash__ = float.__hash__\nreturn E(7)"
    ),
)
_hostile(
    "returns a text that equals everything",
    **_both(
        "class E(str):\n    __eq__ = lambda s, o: True\n    __hash__ = str.__hash__\nreturn E('7')"
    ),
)
_hostile(
    "returns a tensor that equals everything",
    **_both(
        "class T(torch.Tensor):\n    @classmethod\n    def __torch_function__(c, f, t, a=(), k=None): return torch.tensor(True)\nreturn torch.zeros(2).as_subclass(T)"
    ),
)
_hostile(
    "returns a list that lies about itself",
    **_both(
        "class L(list):\n    __eq__ = lambda s, o: True\n    __len__ = lambda s: 99\nreturn L()"
    ),
)

# --- hostile: the shell and its hooks ------------------------------------------------------------

_hostile(
    "strips asserts from later cells",
    "get_ipython().input_transformers_post.append(lambda ls: [l for l in ls if 'assert' not in l and 'check(' not in l])",
)
_hostile(
    "transforms the syntax tree",
    "import ast\nclass T(ast.NodeTransformer):\n    def visit_Assert(self, n): return ast.Pass()\n    def visit_Expr(self, n): return ast.Pass()\nget_ipython().ast_transformers.append(T())",
)
_hostile(
    "swallows errors in the shell",
    "get_ipython().set_custom_exc((BaseException,), lambda *a, **k: None)",
)
_hostile(
    "replaces showtraceback",
    "get_ipython().showtraceback = lambda *a, **k: None\nget_ipython().run_cell = lambda *a, **k: None",
)
_hostile(
    "registers events",
    "get_ipython().events.register('pre_run_cell', lambda i: exec('i.raw_cell=\"\"'))",
)
_hostile(
    "replaces the exception hook",
    "import sys\nsys.excepthook = lambda *a: None\nsys.settrace(lambda *a: None)",
)
_hostile("prints a score", "print('1')\nfrom IPython.display import display\ndisplay(1.0)\n1e9")
_hostile(
    "forges a display of success",
    "from IPython.display import HTML, display\ndisplay(HTML('<b>right on all cases (1 of 1 points)</b>'))",
)

# --- hostile: the notebook itself ----------------------------------------------------------------


def _cell(notebook: NotebookNode, grade_id: str) -> NotebookNode:
    cells = [
        c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") == grade_id
    ]
    return cells[0]


def _on_checks(change: Callable[[NotebookNode], None]) -> Callable[[NotebookNode], None]:
    def apply(notebook: NotebookNode) -> None:
        for name in ("check-double", "check-greedy"):
            change(_cell(notebook, name))

    return apply


def _retype(cell: NotebookNode) -> None:
    cell.cell_type = "markdown"
    del cell["outputs"], cell["execution_count"]


def _swap(notebook: NotebookNode) -> None:
    a, b = _cell(notebook, "check-double"), _cell(notebook, "double")
    a.metadata.nbgrader.grade_id, b.metadata.nbgrader.grade_id = "double", "check-double"


_hostile("empties the check cells", change=_on_checks(lambda c: c.update(source="pass")))
_hostile(
    "puts full marks into the outputs",
    change=_on_checks(
        lambda c: c.update(outputs=[new_output("execute_result", {"text/plain": "1"})])
    ),
)
_hostile(
    "puts nan into the outputs",
    change=_on_checks(
        lambda c: c.update(outputs=[new_output("execute_result", {"text/plain": "nan"})])
    ),
)
_hostile(
    "tags checks to be skipped",
    change=_on_checks(lambda c: c.metadata.update(tags=["skip-execution", "experiment"])),
)
_hostile(
    "tags checks as allowed to fail",
    change=_on_checks(lambda c: c.metadata.update(tags=["raises-exception"])),
)
_hostile("raises its points", change=_on_checks(lambda c: c.metadata.nbgrader.update(points=1000)))
_hostile(
    "takes the grade mark off", change=_on_checks(lambda c: c.metadata.nbgrader.update(grade=False))
)
_hostile(
    "makes checks its own answers",
    change=_on_checks(
        lambda c: c.metadata.nbgrader.update(solution=True, locked=False, source="pass")
    ),
)
_hostile("makes checks text", change=_on_checks(_retype))
_hostile(
    "deletes the checks",
    change=lambda n: n.update(
        cells=[c for c in n.cells if not c.metadata.get("nbgrader", {}).get("grade")]
    ),
)
_hostile(
    "doubles a check with an empty one",
    change=lambda n: n.cells.append(NotebookNode(_cell(n, "check-double").copy(), source="pass")),
)
_hostile("swaps the names of check and answer", change=_swap)
_hostile(
    "adds a check of its own, worth much",
    change=lambda n: n.cells.append(
        new_code_cell(
            "pass",
            metadata={
                "nbgrader": {
                    "schema_version": 3,
                    "grade_id": "extra",
                    "grade": True,
                    "solution": False,
                    "locked": True,
                    "task": False,
                    "points": 100,
                }
            },
        )
    ),
)
_hostile(
    "writes nonsense into the metadata",
    change=lambda n: [c.metadata.update(nbgrader="nonsense") for c in n.cells],
)
_hostile(
    "asks for another kernel",
    change=lambda n: n.metadata.update(
        kernelspec={"name": "bash", "display_name": "Bash", "language": "bash"}
    ),
)
_hostile(
    "puts a script into a cell's name",
    change=lambda n: [c.update(id="<script>alert(1)</script>") for c in n.cells],
)
_hostile(
    "has ten thousand cells",
    change=lambda n: n.cells.extend(new_code_cell(f"x = {i}") for i in range(10_000)),
)

# --- hostile: looking for answers ----------------------------------------------------------------

_hostile(
    "looks for the gradebook and notebooks",
    "import os\nhits = [os.path.join(d, f) for d, _, fs in os.walk('/') for f in fs if (f.endswith(('.ipynb', 'gradebook.db')) or f == os.path.basename(d) + '.py') and 'site-packages' not in d and 'share/jupyter' not in d]\nsrc = ''.join(open(h, errors='ignore').read() for h in hits)",
    double="def double(x):\n    assert 'BEGIN HIDDEN' in src\n    return x + x",
)
_hostile(
    "looks for expected values in frames",
    **_both(
        "import sys\nf = sys._getframe()\nwhile f:\n    for v in list(f.f_locals.values()):\n        if type(v).__name__ in ('Case', 'Exercise', 'Outcome'): return v.value\n    f = f.f_back"
    ),
)
_hostile(
    "looks for exercises in memory",
    **_both(
        "import gc\nfor o in gc.get_objects():\n    if type(o).__name__ == 'Exercise': return o.reference(*[v for v in list(locals().values())[:1]])"
    ),
)
_hostile(
    "imports the checks' file",
    greedy="def greedy_next_token(logits):\n    import course_lib.exercises.probability.greedy_next_token as p\n    return p.greedy_next_token.reference(logits)",
)
_hostile(
    "asks the registry for the reference",
    greedy="def greedy_next_token(logits):\n    from course_lib.checks import exercises\n    return exercises()['probability.greedy_next_token'].reference(logits)",
)
_hostile(
    "uses the course's reference",
    greedy="def greedy_next_token(logits):\n    import course_lib.probability\n    return course_lib.probability.greedy_next_token(logits)",
)
_hostile(
    "reads the checks from disk",
    greedy="import course_lib, pathlib, sys\nplaces = [pathlib.Path(course_lib.__file__).parent, *(pathlib.Path(p) / 'course_lib' for p in sys.path)]\nassert any((p / 'exercises/probability/greedy_next_token.py').read_text() for p in places if (p / 'exercises/probability').exists())\ndef greedy_next_token(logits):\n    return int(logits.argmax())",
)
_hostile(
    "reads other processes",
    **_both(
        "import glob\nfor f in glob.glob('/proc/[0-9]*/environ'):\n    open(f).read()\nraise RuntimeError(len(glob.glob('/proc/*')))"
    ),
)
_hostile(
    "tells hidden cases by their seed",
    "import random, torch\ntorch.manual_seed = lambda s: print('seed', s)\nrandom.seed = print",
)

# --- hostile: shadows, start-up files, writing where it must not -----------------------------------

_hostile(
    "shadows torch with a file",
    "open('torch.py', 'w').write('equal = lambda *a: True')\nimport sys; sys.path.insert(0, '.'); sys.modules.pop('torch'); import torch",
)
_hostile(
    "writes start-up files",
    "import os, pathlib\nfor d in ('~/.ipython/profile_default/startup', '~/.config'):\n    p = pathlib.Path(d).expanduser(); p.mkdir(parents=True, exist_ok=True); (p / '00.py').write_text('check = print')",
)
_hostile(
    "writes into the package",
    "import course_lib.checks.checking as c\nopen(c.__file__, 'w').write('check = print')",
)
_hostile(
    "writes into Python's packages",
    "import torch, pathlib\n(pathlib.Path(torch.__file__).parent.parent / 'sitecustomize.py').write_text('raise SystemExit')",
)

# --- hostile: ending what must go on ---------------------------------------------------------------

_hostile("ends its process in a cell", "import os; os._exit(0)")
_hostile("ends its process in a call", **_both("import os; os._exit(0)"))
_hostile("raises SystemExit", **_both("raise SystemExit(0)"))
_hostile("raises KeyboardInterrupt", **_both("raise KeyboardInterrupt"))
_hostile("raises GeneratorExit", **_both("raise GeneratorExit"))
_hostile("kills its parent", "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)")
_hostile("kills everything", "import os, signal\nos.kill(-1, signal.SIGKILL)")
_hostile("crashes the interpreter", **_both("import ctypes; ctypes.string_at(0)"))
_hostile(
    "stops its process", "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)\nraise SystemExit"
)

# --- hostile: taking everything ----------------------------------------------------------------------

_hostile(
    "forks a daemon",
    "import os\nif os.fork() == 0:\n    os.setsid()\n    import time\n    while True: time.sleep(1)",
)
_hostile(
    "forks a bomb",
    "import os\ntry:\n    for _ in range(10_000):\n        if os.fork() == 0:\n            import time; time.sleep(60); os._exit(0)\nexcept OSError: pass",
)
_hostile(
    "starts threads without end",
    "import threading, time\ntry:\n    for _ in range(100_000): threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\nexcept BaseException: pass",
)
_hostile("asks for all memory", "x = bytearray(200 * 2**30)")
_hostile("fills the memory", "x = []\nwhile True: x.append(bytearray(2**28))")
_hostile(
    "fills the disk",
    "with open('x', 'wb') as f:\n    for _ in range(2000): f.write(bytes(2**20))",
)
_hostile("prints without end", "for _ in range(3_000_000): print('x' * 100)")
_hostile(
    "loops in a call, catching everything",
    double="def double(x):\n    while True:\n        try:\n            while True: pass\n        except BaseException: pass",
)
_hostile("returns a huge list", **_both("return [0] * 20_000_000"))
_hostile("returns a deep list", **_both("x = []\nfor _ in range(100_000): x = [x]\nreturn x"))
_hostile("returns itself within itself", **_both("x = []\nx.append(x)\nreturn x"))
_hostile("returns a huge text", **_both("return 'x' * 10**8"))
_hostile("returns an endless generator", **_both("import itertools\nreturn itertools.count()"))
_hostile("returns a tensor of a petabyte", **_both("return torch.zeros(1).expand(10**15)"))

# --- hostile: the network, and the line to the judge ----------------------------------------------

_hostile(
    "asks the network",
    **_both(
        "import urllib.request\nreturn urllib.request.urlopen('http://1.1.1.1', timeout=1).status"
    ),
)

_SOCKETS = (
    "import os, socket\n"
    "def lines():\n"
    "    for fd in range(3, 256):\n"
    "        try: yield socket.socket(fileno=os.dup(fd))\n"
    "        except OSError: pass\n"
)  # fmt: skip
_hostile(
    "writes nonsense to the judge",
    _SOCKETS,
    **_both("for s in lines(): s.sendall(b'nonsense' * 1000)\nreturn 1"),
)
_hostile(
    "writes an answer to the judge",
    _SOCKETS + "import json, struct\n",
    **_both(
        "t = json.dumps({'answer': ['dict', ['tuple', 'value', True], ['tuple', 'changed', None], ['tuple', 'graph', None]]}).encode()\nfor s in lines(): s.sendall(struct.pack('!II', len(t), 0) + t)\nreturn 1"
    ),
)
_hostile(
    "announces a message of four gigabytes",
    _SOCKETS,
    **_both("for s in lines(): s.sendall(b'\\xff' * 64)\nreturn 1"),
)
_hostile(
    "sends a deep message",
    _SOCKETS + "import struct\n",
    **_both(
        "t = b'[' * 1_000_000\nfor s in lines(): s.sendall(struct.pack('!II', len(t), 0) + t)\nreturn 1"
    ),
)
_hostile(
    "sends a tensor that lies about its size",
    _SOCKETS + "import json, struct\n",
    **_both(
        "t = json.dumps({'answer': ['tensor', 'float32', [10**12], 0, False, None]}).encode()\nfor s in lines(): s.sendall(struct.pack('!II', len(t), 1) + struct.pack('!Q', 4) + t + b'aaaa')\nreturn 1"
    ),
)
_hostile(
    "calls the judge back out of turn",
    _SOCKETS + "import json, struct\n",
    **_both(
        "t = json.dumps({'callback': 0, 'request': ['dict']}).encode()\nfor s in lines(): s.sendall(struct.pack('!II', len(t), 0) + t)\nreturn 1"
    ),
)
_hostile("closes the line", _SOCKETS, **_both("import os\nos.closerange(3, 256)\nreturn 1"))
_hostile(
    "changes the session's own code",
    "import gc\nfor o in gc.get_objects():\n    if type(o).__name__ == 'Session':\n        type(o).do_call = lambda self, **k: {'value': True, 'changed': None, 'graph': None}",
)

# --- hostile: names, answers and time ---------------------------------------------------------------

_hostile(
    "brings a torch of its own",
    double="class torch:\n    equal = staticmethod(lambda *_: True)\n    full = ones = staticmethod(lambda *_: 0)\n\n"
    "class Two(int):\n    pass\n\ndef double(x):\n    return None",
)
_hostile(
    "changes what it was given",
    double="def double(x):\n    if hasattr(x, 'zero_'): x.zero_()\n    return x",
)
_SERVER = (
    "import gc\n"
    "def patch(**methods):\n"
    "    for o in gc.get_objects():\n"
    "        if type(o).__name__ == 'Server':\n"
    "            for name, method in methods.items(): setattr(type(o), 'do_' + name, method)\n"
)
_hostile(
    "says that its length is negative",
    _SERVER + "patch(length=lambda s, **k: -1)\n",
    **_both("return type('Many', (), {})()"),
)
for _what in ("None", "True", "[]", "{}", "'x'", "-1", "10**5000", "object", "float('nan')"):
    _hostile(
        f"answers every request with {_what}",
        _SERVER + f"answer = lambda s, **k: {_what}\n"
        "patch(**dict.fromkeys(('call', 'lookup', 'length', 'items', 'step', 'attribute', 'backward'), answer))\n",
    )
_hostile(
    "sleeps before each item of a generator",
    **_both("import time\nwhile True:\n    time.sleep(0.5)\n    yield 1"),
)
_hostile("returns a number of five thousand digits", **_both("return 10**5000"))
_hostile(
    "outlives its session",
    "import ctypes, os, time\nctypes.CDLL(None).prctl(1, 0, 0, 0, 0)\nos._exit = lambda code: time.sleep(600)\n"
    "if os.fork() == 0:\n    os.setsid()\n    while True: pass",
)
_hostile(
    "prints past the limit inside",
    _SERVER + "patch(run=lambda s, source: {'printed': '\\ud800x' * 10**6, 'error': None})\n",
)
_hostile(
    "imports a name of very many parts", double="import " + "a." * 40_000 + "a\n" + WRONG["double"]
)
_hostile(
    "holds memory in several processes",
    "import os, time\nfor _ in range(6):\n    if os.fork() == 0:\n        x = bytearray(b'x') * 2**30\n        time.sleep(60); os._exit(0)\ntime.sleep(3)",
)
_hostile(
    "holds memory that belongs to no process",
    "import os\nfor i in range(200):\n    f = os.memfd_create(str(i))\n    os.write(f, bytes(2**25))",
)

# --- hostile: the course's own solution ---------------------------------------------------------------

for _name, _line in {
    "another module's name": "import sys\ng = next(v for n, m in sorted(sys.modules.items()) if n.startswith('course_lib.') and n != 'course_lib.probability' for k, v in vars(m).items() if k == 'greedy_next_token')",
    "what it wraps": "import course_lib.probability as p\ng = p.greedy_next_token.__wrapped__",
    "a module's name of its own": "__name__ = 'course_lib.x'\nfrom course_lib.probability import greedy_next_token as g",
    "a reload": "import importlib, course_lib.probability as p\ng = importlib.reload(p).greedy_next_token",
    "a second import": "import importlib, sys\nsys.modules.pop('course_lib.probability', None)\ng = importlib.import_module('course_lib.probability').greedy_next_token",
}.items():
    _hostile(
        f"reaches the course's reference by {_name}",
        greedy=f"{_line}\ndef greedy_next_token(logits):\n    return g(logits)",
    )

# --- unlucky: honest work that graders have been known to lose ---------------------------------------


def _drop_ids(notebook: NotebookNode) -> None:
    for cell in notebook.cells:
        cell.pop("id", None)
        cell.metadata.pop("nbgrader", None)
    notebook.nbformat_minor = 4


def _reverse(notebook: NotebookNode) -> None:
    notebook.cells = [notebook.cells[1], *reversed(notebook.cells[2:]), notebook.cells[0]]


def _twice(grade_id: str) -> Callable[[NotebookNode], None]:
    def change(notebook: NotebookNode) -> None:
        cell = _cell(notebook, grade_id)
        notebook.cells.insert(notebook.cells.index(cell), NotebookNode(cell.copy()))

    return change


_unlucky("copied a check cell", change=_twice("check-double"))
_unlucky("copied an answer", change=_twice("double"))
_unlucky("deleted a check cell", change=lambda n: n.cells.remove(_cell(n, "check-double")))
_unlucky("lost all ids and marks to an editor", change=_drop_ids)
_unlucky("moved cells around", change=_reverse)
_unlucky(
    "changed a check cell", change=lambda n: _cell(n, "check-greedy").update(source="# check(...)")
)
_unlucky(
    "has a warning",
    "import warnings\nwarnings.warn('old')",
    double="def double(x):\n    import warnings\n    warnings.warn('slow')\n    return x + x",
)
_unlucky(
    "writes to stderr",
    double="import sys\ndef double(x):\n    print('debug', x, file=sys.stderr)\n    return x + x",
)
_unlucky("prints while it works", double="def double(x):\n    print('x is', x)\n    return x + x")
_unlucky("has an error in a cell of its own", "1 / 0")
_unlucky("has a syntax error in a cell of its own", "for in range")
_unlucky("loops in a cell of its own", "import time\nfor _ in range(20): time.sleep(0.01)")
_unlucky("asks for input in a cell of its own", "name = input('name?')")
_unlucky(
    "keeps a helper in a cell of its own",
    "def twice(x):\n    return x * 2",
    double="def double(x):\n    return twice(x)",
)
_unlucky(
    "keeps a helper beside its answer",
    double="def add(a, b):\n    return a + b\n\ndef double(x):\n    return add(x, x)",
)
_unlucky(
    "uses one answer in the other",
    greedy="def greedy_next_token(logits):\n    return int((double(logits) / 2).argmax())",
)
_unlucky(
    "uses magic",
    "%matplotlib inline\n!echo hello",
    double="%%time\ndef double(x):\n    return x + x",
)
_unlucky("draws a figure", "import matplotlib.pyplot as plt\nplt.plot([1, 2]); plt.show()")
_unlucky("writes a lambda", double="double = lambda x: 2 * x")
_unlucky(
    "left the stub below its answer",
    double="def double(x):\n    return x + x\n    raise NotImplementedError",
)
_unlucky("has Windows line ends", double="def double(x):\r\n    return x + x\r\n")
_unlucky(
    "got one answer wrong", greedy=WRONG["greedy"], marks={"check-double": 1, "check-greedy": 0}
)
_unlucky(
    "crashes in one answer",
    greedy="def greedy_next_token(logits):\n    return logits.no_such()",
    marks={"check-double": 1, "check-greedy": 0},
)
_unlucky(
    "has a syntax error in one answer",
    greedy="def greedy_next_token(logits)\n    return 1",
    marks={"check-double": 1, "check-greedy": 0},
)
_unlucky(
    "loops in one answer",
    double="def double(x):\n    while True: pass",
    marks={"check-double": 0, "check-greedy": 1},
)
_unlucky(
    "keeps a count in a global",
    double="calls = 0\ndef double(x):\n    global calls\n    calls += 1\n    return x + x",
)
_unlucky(
    "ends its process in each call of one answer",
    double="def double(x):\n    import os; os._exit(1)",
    marks={"check-double": 0, "check-greedy": 1},
)
_unlucky(
    "returns a number too long to send in one answer",
    double="def double(x):\n    return 10**5000",
    marks={"check-double": 0, "check-greedy": 1},
)
_unlucky(
    "imports torch anew in its answer", double="import torch\ndef double(x):\n    return x + x"
)
_unlucky("calls its own variable torch", "torch = None")
