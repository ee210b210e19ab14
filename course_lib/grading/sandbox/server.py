"""Inside the sandbox: a warm process that is forked for each submission, and serves its judge.

Started by `launcher.py`. Nothing in here is trusted once a submission's first cell has run:
whatever a session answers is checked by the judge, and a session can reach nothing but its own
socket.
"""

from __future__ import annotations

import _thread
import contextlib
import ctypes
import functools
import gc
import importlib
import inspect
import io
import os
import resource
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch
from IPython.core.interactiveshell import InteractiveShell
from torch import Tensor
from traitlets.config import Config

import course_lib.checks
from course_lib.checks.attempt import Forbidden, forbidding
from course_lib.checks.clock import OutOfTime
from course_lib.checks.exercise import peak_bytes
from course_lib.grading.sandbox import keeper, policy, protocol
from course_lib.grading.sandbox.filter import refuse_uncounted_memory
from course_lib.grading.sandbox.references import make, refuse
from course_lib.memory import tensors_in
from course_lib.syllabus import CHAPTERS

_libc = ctypes.CDLL(None, use_errno=True)
_CLONE = {
    "user": 0x10000000,
    "pid": 0x20000000,
    "net": 0x40000000,
    "mount": 0x20000,
    "ipc": 0x8000000,
}
_MS_PRIVATE_REC = (1 << 18) | (1 << 14)
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 1, 4, 24, 38


# --- the warm process ------------------------------------------------------------------------


def main() -> None:
    """Fork a session for every socket that comes; end one when told so; stop with the judge."""
    control = socket.socket(fileno=int(sys.argv[1]))
    level = sys.argv[2]
    isolated = level == "bwrap"
    if level != "unsafe" and os.getuid() == 0:
        _become_nobody()
    shell = _warm_up()
    control.sendall(b"ready")
    children: dict[int, int] = {}  # the judge's number of a session, its process
    while True:
        order, descriptors, _, _ = socket.recv_fds(control, 16, 1)
        if not order:
            break
        verb, number = order[:1], int(order[1:])
        if verb == b"+":
            connection = socket.socket(fileno=descriptors[0])
            children[number] = _fork_session(connection, control, shell, isolated)
            connection.close()
        elif (child := children.pop(number, None)) is not None:
            _end(child)
        control.sendall(b"done")
    for child in children.values():
        _end(child)


def _end(session: int) -> None:
    """Have a session's keeper end it, and wait until nothing of it is left."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(session, signal.SIGTERM)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(session, 0)


def _become_nobody() -> None:
    """Never run a submission as root: limits on processes do not bind root."""
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
    _libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)  # or /proc/self would still be root's
    for package in (os, torch, course_lib):
        if not os.access(package.__file__ or "", os.R_OK):
            sys.exit(
                f"grading as root, submissions run as nobody, who may not read {package.__file__}; "
                "grade as an ordinary user, or put Python where everybody can read it"
            )


def _warm_up() -> Any:
    """Import what submissions use, once for all of them, without starting a thread."""
    torch.set_num_threads(1)
    names = [f"course_lib.{chapter.idea}" for chapter in CHAPTERS]
    names += ["course_lib.fast", "course_lib.pretrained"]
    for name in (*names, "ipywidgets", "matplotlib.pyplot"):
        importlib.import_module(name)
    half = torch.ones(2, 2, dtype=torch.float16)
    half @ half  # torch looks at the processor now: a session has no /proc to look into
    # No history: it would be kept in a file, by a thread.
    shell = InteractiveShell.instance(config=Config(HistoryManager={"enabled": False}))
    gc.collect()
    gc.freeze()
    return shell


def _fork_session(
    connection: socket.socket, control: socket.socket, shell: Any, isolated: bool
) -> int:
    """Processes of its own for one submission, below a keeper whose id is returned."""
    if child := os.fork():
        return child
    try:
        os.setpgid(0, 0)
        control.close()
        keeper.adopt()
        proc = keeper.open_proc()
        if isolated:
            _enter_namespaces()  # only a child is in the new pid namespace
        if inside := keeper.fork_kept():
            connection.close()
            keeper.keep(inside, proc)
            os._exit(0)
        if proc is not None:
            os.close(proc)
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if isolated:
            _hide_and_drop()
            refuse_uncounted_memory()
        for name, most in policy.RLIMITS.items():
            limit = getattr(resource, f"RLIMIT_{name}")
            hard = resource.getrlimit(limit)[1]
            most = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(limit, (most, most))
        _silence()
        Server(connection, shell).serve()
    except BaseException:  # noqa: BLE001 - nobody above could do anything about it
        traceback.print_exc()  # seen only as long as the session has not begun
    finally:
        os._exit(0)


def _enter_namespaces() -> None:
    """Namespaces of one's own: nobody outside can be seen, signalled or written to."""
    user, group = os.getuid(), os.getgid()
    if _libc.unshare(functools.reduce(int.__or__, _CLONE.values())) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    for file, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{user} {user} 1"),
        ("gid_map", f"{group} {group} 1"),
    ):
        with open(f"/proc/self/{file}", "w") as map_file:
            map_file.write(text)


def _hide_and_drop() -> None:
    """An empty /proc, places to write of its own and of limited size, no way back to privileges."""
    _libc.mount(b"none", b"/", None, _MS_PRIVATE_REC, None)
    scratch = os.environ["HOME"]
    writable = b"size=%d,mode=1777" % policy.SCRATCH_SIZE
    for place, options in (
        ("/proc", b"size=0,mode=555"),
        (scratch, writable),
        ("/dev/shm", writable),
    ):
        if _libc.mount(b"tmpfs", place.encode(), b"tmpfs", 0, options) != 0:
            raise OSError(ctypes.get_errno(), "mount")
    os.chdir(scratch)
    for capability in range(64):
        _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    if _libc.capset(header, data) != 0:
        raise OSError(ctypes.get_errno(), "capset")
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def _silence() -> None:
    """What is written past Python's own print goes nowhere."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)


# --- one submission --------------------------------------------------------------------------


class Server:
    """Serves one judge: runs cells, looks names up, calls functions, all on request."""

    def __init__(self, connection: socket.socket, shell: Any) -> None:
        self.connection = connection
        self.shell = shell
        self.objects: dict[int, Any] = {}  # what the judge holds a reference to
        self.graphs: dict[int, tuple[list[Tensor], list[Tensor]]] = {}  # of calls: in, out
        self.n_graphs = 0
        _make_checks_silent()

    def serve(self) -> None:
        """Answer requests until the judge is gone."""
        signal.signal(signal.SIGALRM, _ring)
        signal.signal(signal.SIGPROF, _ring)
        while True:
            try:
                message, buffers, _ = protocol.receive(self.connection)
            except protocol.ProtocolError:
                return
            self.answer(message, buffers)

    def answer(self, message: dict[str, Any], buffers: list[bytes]) -> None:
        """Do one thing and send what came of it."""
        out: list[bytes] = []
        begun = time.process_time()
        try:
            request = self.decoded(message["request"], buffers)
            signal.setitimer(signal.ITIMER_PROF, request.pop("seconds"))  # the processor's time
            signal.setitimer(signal.ITIMER_REAL, request.pop("wall"))
            try:
                answer = getattr(self, "do_" + request.pop("do"))(**request)
                reply = {"answer": self.encoded(answer, out)}
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
                signal.setitimer(signal.ITIMER_REAL, 0)
        except BaseException as error:  # noqa: BLE001 - whatever a submission raises
            out.clear()
            reply = {"error": _described(error)}
        reply["used"] = time.process_time() - begun
        try:
            protocol.send(self.connection, reply, out)
        except protocol.ProtocolError as error:
            protocol.send(self.connection, {"error": _described(error)}, [])

    # --- what can be asked for

    def do_begin(self, references: list[tuple[str, str]]) -> None:
        """The assignment's own references refuse to work for the submission."""
        for module, _ in references:
            importlib.import_module(module)
        refuse([(module, name) for module, name in references])

    def do_run(self, source: str) -> dict[str, Any]:
        """Run a cell; what it printed, and the error that ended it."""
        printed = _Printed()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            self.shell.showtraceback = lambda *_, **__: None
            self.shell.showsyntaxerror = lambda *_, **__: None
            result = self.shell.run_cell(source, store_history=False)
        error = result.error_before_exec or result.error_in_exec
        said = None if error is None else _with_trace(_described(error))
        return {"printed": printed.getvalue(), "error": said}

    def do_lookup(self, name: str) -> Any:
        """What the submission calls `name`."""
        return self.shell.user_ns[name]

    def do_names(self) -> list[str]:
        """All names of the submission."""
        return [name for name in self.shell.user_ns if isinstance(name, str)]

    def do_call(
        self,
        target: Any,
        arguments: list[Any],
        options: dict[str, Any],
        forbids: tuple[str, ...],
        differentiate: bool,
    ) -> dict[str, Any]:
        """Call something. Also returned: the arguments it changed, and a number for its graph."""
        before = [self.fingerprint(value) for value in (arguments, options)]
        alone = _without_threads() if forbids else contextlib.nullcontext()
        watch = forbidding(tuple(forbids))
        with watch as entered, entered, alone, torch.set_grad_enabled(differentiate):
            value = target(*arguments, **options)
        changed = [self.fingerprint(value) for value in (arguments, options)] != before
        graph = None
        outputs = [t for t in tensors_in(value) if t.requires_grad]
        if outputs and differentiate:
            inputs = [t for t in tensors_in((arguments, options)) if t.requires_grad]
            self.n_graphs += 1
            graph = self.n_graphs
            self.graphs[graph] = (inputs, outputs)
            self.graphs.pop(graph - policy.MAX_GRAPHS, None)
        return {
            "value": value,
            "changed": (arguments, options) if changed else None,
            "graph": graph,
        }

    def do_backward(self, graph: int, gradients: list[Tensor]) -> list[Tensor | None]:
        """Gradients with respect to the inputs of an earlier call; those of parameters add up."""
        inputs, outputs = self.graphs[graph]
        for tensor in inputs:
            tensor.grad = None
        torch.autograd.backward(outputs, gradients, retain_graph=True)
        found = [tensor.grad for tensor in inputs]
        for tensor in inputs:
            tensor.grad = None
        return found

    def do_peak_bytes(self, target: Any, arguments: list[Any]) -> int:
        """The most memory that the tensors of a call take at one moment."""
        return peak_bytes(target, *arguments)

    def do_attribute(self, target: Any, name: str) -> Any:
        """An attribute of an object."""
        return getattr(target, name)

    def do_item(self, target: Any, key: Any) -> Any:
        """An item of an object."""
        return target[key]

    def do_length(self, target: Any) -> int:
        """The length of an object."""
        return len(target)

    def do_items(self, target: Any) -> list[Any]:
        """All items of an object."""
        items = []
        for item in target:
            items.append(item)
            if len(items) > policy.MAX_ITEMS:
                raise ValueError(f"more than {policy.MAX_ITEMS} items")
        return items

    def do_step(self, target: Any) -> list[Any]:
        """The next item of a generator in a list, or an empty list when there is none."""
        return [item for _, item in zip(range(1), target)]

    # --- values in and out

    def decoded(self, tree: Any, buffers: list[bytes]) -> Any:
        return protocol.decode(tree, lambda unknown: self.resolve(unknown, buffers), buffers)

    def encoded(self, value: Any, buffers: list[bytes]) -> Any:
        return protocol.encode(value, self.refer, buffers)

    def fingerprint(self, value: Any) -> Any:
        buffers: list[bytes] = []
        return self.encoded(value, buffers), buffers

    def resolve(self, tree: list[Any], buffers: list[bytes]) -> Any:
        """What the judge means by a reference."""
        kind, *items = tree
        if kind == "yours":
            return self.objects[items[0]]
        if kind == "mine":
            called_back: Any = functools.partial(self.call_back, items[0])
            takes = [
                inspect.Parameter(f"argument_{i}", inspect.Parameter.POSITIONAL_ONLY)
                for i in range(items[1])
            ]
            called_back.__signature__ = inspect.Signature(takes)
            return called_back
        if kind == "built":  # an object of the course: class, arguments, weights
            module, name, arguments, state = (self.decoded(item, buffers) for item in items)
            built = make(getattr(importlib.import_module(module), name), arguments)
            if state is not None:
                built.load_state_dict(state)
            return built
        raise protocol.ProtocolError("a message that makes no sense")

    def refer(self, value: Any) -> list[Any]:
        """Keep an object here, and send a reference to it."""
        if isinstance(value, functools.partial) and value.func == self.call_back:
            return ["mine", value.args[0]]
        self.objects[id(value)] = value
        kind = "class" if isinstance(value, type) else "object"
        return ["theirs", id(value), type(value).__name__, kind, callable(value)]

    def call_back(self, number: int, *arguments: Any, **options: Any) -> Any:
        """Call a function that the judge gave as an argument."""
        out: list[bytes] = []
        tree = self.encoded({"arguments": arguments, "options": options}, out)
        protocol.send(self.connection, {"callback": number, "request": tree}, out)
        message, buffers, _ = protocol.receive(self.connection)
        if "error" in message:
            raise ValueError(message["error"])
        return self.decoded(message["answer"], buffers)


def _ring(*_: Any) -> None:
    raise OutOfTime


class _Printed(io.StringIO):
    """What a cell prints, up to a limit."""

    def write(self, text: str) -> int:
        room = policy.MAX_PRINTED - self.tell()
        return super().write(text[: max(room, 0)]) or len(text)


def _described(error: BaseException) -> dict[str, Any]:
    """An error as plain data: its classes, its text, and the frames of the submission's code."""
    try:
        text = str(error)[:500]
    except BaseException:  # noqa: BLE001 - an error may fail at being printed
        text = ""
    frames = [
        [frame.name[:80], frame.lineno or 0, (frame.line or "")[:200]]
        for frame in traceback.extract_tb(error.__traceback__)[-200:]
        if frame.filename.startswith(("<ipython-input", "/tmp/ipykernel"))
    ]
    classes = [c.__name__[:80] for c in type(error).__mro__ if c not in (object, BaseException)]
    return {"classes": classes[:20], "text": text, "frames": frames[-20:]}


def _with_trace(described: dict[str, Any]) -> dict[str, Any]:
    """Add a traceback of the submission's own frames, as Python prints it."""
    lines = [f"line {number}, in {name}\n    {line}" for name, number, line in described["frames"]]
    return dict(described, trace="\n".join(lines))


@contextlib.contextmanager
def _without_threads() -> Iterator[None]:
    """Whoever watches a thread does not see another one: none is started meanwhile."""

    def refuse(*_: Any, **__: Any) -> None:
        raise Forbidden("this exercise forbids functions of torch, so it must not start threads")

    names = ("start_new_thread", "start_joinable_thread")
    with contextlib.ExitStack() as stack:
        for module, name in (
            *((_thread, name) for name in names),
            *((threading, f"_{name}") for name in names),
        ):
            if hasattr(module, name):
                stack.enter_context(mock.patch.object(module, name, refuse))
        yield


def _make_checks_silent() -> None:
    """Check cells are judged outside; a check called in the submission's own cells says nothing."""
    for name in ("check", "evaluate"):
        setattr(course_lib.checks, name, lambda *_, **__: None)


if __name__ == "__main__":
    main()
