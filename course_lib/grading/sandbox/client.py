"""The judge's side of a session: a submission's functions and objects, as stand-ins.

A stand-in passes calls on and brings plain data back. It never says what "equal" or "true" means:
only the plain data that the judge holds itself is compared. Gradients flow through a call. In an
exercise's check, arguments that it changed are changed here too, so that the check notices; plain
asserts compare with what they passed in.
"""

from __future__ import annotations

import builtins
import dataclasses
import inspect
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only

from course_lib.checks.attempt import Forbidden
from course_lib.checks.clock import OutOfTime, Overrun
from course_lib.grading.sandbox import policy, protocol
from course_lib.memory import tensors_in


class SessionLost(Exception):
    """The session was ended: it took too long, died, or sent what makes no sense."""


class RemoteError(Exception):
    """An error of a class that only the submission knows."""


@dataclass
class Allowance:
    """What several requests may use up together: seconds of processor time, seconds on the wall's
    clock, bytes of answers.

    The first is the submission's word; the second holds for whoever lies, sleeps, or works in
    processes of its own.
    """

    seconds: float
    size: float = math.inf
    wall: float = field(init=False)

    def __post_init__(self) -> None:
        self.wall = policy.OUTER_CLOCK_IN_ALL * self.seconds

    @property
    def is_used_up(self) -> bool:
        return min(self.seconds, self.size, self.wall) <= 0

    def leave(self, seconds: float) -> None:
        """Let there be so much time left, at least."""
        self.seconds = max(self.seconds, seconds)
        self.wall = max(self.wall, policy.OUTER_CLOCK_IN_ALL * seconds)


@dataclass
class _Used:
    """What one request took, of the processor's time and of memory here."""

    seconds: float = 0.0
    size: int = 0


class Session:
    """A conversation with the process that runs one submission.

    Args:
        connection: its socket.
        seconds: how much of the processor's time a request may take if nothing else is said.
    """

    def __init__(self, connection: Any, seconds: float = 30.0) -> None:
        self.connection = connection
        self.seconds = seconds
        self.forbids: tuple[str, ...] = ()  # what the submission must not call at present
        self.allowances: tuple[Allowance, ...] = ()
        self.changes_arguments = False  # what a call does to its arguments, is it done to ours?
        self.lost: str | None = None  # why it is over, if it is
        self._callbacks: list[Callable[..., Any]] = []
        self._busy = threading.Lock()

    def ask(self, do: str, seconds: float | None = None, **request: Any) -> Any:
        """Have one thing done; the plain data or stand-ins that come back.

        Raises:
            SessionLost: no answer in time, or none that makes sense. The session is over.
            OutOfTime: the submission's code was still running and was stopped, or has used up an
                allowance.
            Exception: what the submission's code raised.
        """
        if not self._busy.acquire(blocking=False):
            raise self.end("it was still busy")
        begun, used = time.monotonic(), _Used()
        try:
            return self._ask(do, seconds or self.seconds, request, used)
        finally:
            took = time.monotonic() - begun
            for allowance in self.allowances:
                allowance.seconds -= used.seconds
                allowance.size -= used.size
                allowance.wall -= took
            self._busy.release()

    def end(self, why: str) -> SessionLost:
        """Nothing is asked of it any more; the error to raise."""
        self.lost = why
        return SessionLost(why)

    def _ask(self, do: str, seconds: float, request: dict[str, Any], used: _Used) -> Any:
        if self.lost:
            raise SessionLost(self.lost)
        if any(allowance.is_used_up for allowance in self.allowances):
            raise _out_of_time(Overrun(seconds))
        seconds = min([seconds, *(allowance.seconds for allowance in self.allowances)])
        wall = min([policy.OUTER_CLOCK * seconds, *(one.wall for one in self.allowances)])
        deadline = time.monotonic() + wall + 1  # the session's own clocks come first
        out: list[bytes] = []
        request = {"do": do, "seconds": seconds, "wall": wall, **request}
        tree = protocol.encode(request, self._referrer(out), out)
        try:
            protocol.send(self.connection, {"request": tree}, out, deadline)
            while True:
                message, buffers, size = protocol.receive(self.connection, deadline)
                used.size += size
                if "callback" not in message:
                    break
                self._serve(message, buffers, deadline)
            used.seconds = min(max(0.0, float(message.get("used", 0))), 2 * seconds)  # nan is 0
            error = _rebuilt(message["error"]) if "error" in message else None
            answer = self._decoded(message.get("answer"), buffers)
        except protocol.TooSlow as slow:
            self.lost = "it did not answer in time"
            raise _out_of_time(Overrun(seconds)) from slow
        except Exception as wrong:  # whatever nonsense makes of those who read it
            raise self.end(str(wrong)[:300] or "a message that makes no sense") from wrong
        if isinstance(error, OutOfTime):
            asleep = used.seconds < 0.1 * seconds
            error = _out_of_time(Overrun(used.seconds if asleep else seconds, asleep))
        if error is not None:
            raise error
        return answer

    def _serve(self, message: Mapping[str, Any], buffers: list[bytes], deadline: float) -> None:
        """Call a function that was given as an argument, for the submission."""
        number = message["callback"]
        if type(number) is not int or not 0 <= number < len(self._callbacks):
            raise protocol.ProtocolError("a message that makes no sense")
        request = self._decoded(message.get("request"), buffers)
        out: list[bytes] = []
        try:
            value = self._callbacks[number](*request["arguments"], **request["options"])
            reply = {"answer": protocol.encode(value, self._referrer(out), out)}
        except protocol.ProtocolError:
            raise
        except Exception as error:  # noqa: BLE001 - bad arguments: the submission's own affair
            reply, out = {"error": f"{type(error).__name__}: {error}"[:300]}, []
        protocol.send(self.connection, reply, out, deadline)

    def _decoded(self, tree: Any, buffers: list[bytes]) -> Any:
        return protocol.decode(tree, self._resolve, buffers)

    def _resolve(self, tree: list[Any]) -> Any:
        """What the submission means by a reference."""
        match tree:
            case ["theirs", int(number), str(kind), "class" | "object", bool(is_callable)]:
                made = RemoteCallable if is_callable else Remote
                return made(self, number, kind[:80])
            case ["mine", int(number)] if 0 <= number < len(self._callbacks):
                return self._callbacks[number]
        raise protocol.ProtocolError("a message that makes no sense")

    def _referrer(self, buffers: list[bytes]) -> Callable[[Any], list[Any]]:
        """How the judge's own objects travel: by reference, or as what they are built from."""

        def refer(value: Any) -> list[Any]:
            if isinstance(value, Remote):
                return ["yours", object.__getattribute__(value, "_number")]
            built = isinstance(value, nn.Module) or dataclasses.is_dataclass(value)
            if built and (recipe := _recipe(value)) is not None:
                return ["built", *(protocol.encode(part, refer, buffers) for part in recipe)]
            if callable(value):
                self._callbacks.append(value)
                return ["mine", len(self._callbacks) - 1, _n_required(value)]
            public = {n: getattr(value, n) for n in dir(value) if not n.startswith("_")}
            return [
                "namespace",
                *(protocol.encode(item, refer, buffers) for item in public.items()),
            ]

        return refer


def _out_of_time(overrun: Overrun) -> OutOfTime:
    error = OutOfTime()
    error.overrun = overrun
    return error


def _n_required(function: Callable[..., Any]) -> int:
    """How many arguments a function must be given in order; some code looks before it calls."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # one that is written in C
        return 1
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in kinds and p.default is p.empty for p in parameters)


def _recipe(value: Any) -> tuple[str, str, dict[str, Any], dict[str, Tensor] | None] | None:
    """(module, class, arguments, weights) of a linear layer or an object of `course_lib`: a config,
    or a model that is built from its config."""
    # what an exercise derives for itself goes as what it derives from: the sandbox hides exercises
    ours = (k for k in type(value).__mro__ if not k.__module__.startswith("course_lib.exercises."))
    kind = next(ours)
    module = kind.__module__
    if kind is nn.Linear:
        sizes = {name: getattr(value, name) for name in ("in_features", "out_features")}
        sizes["bias"] = value.bias is not None
        return "torch.nn", "Linear", sizes, dict(value.state_dict())
    if not module.startswith("course_lib."):
        return None
    if isinstance(value, nn.Module):
        if not dataclasses.is_dataclass(getattr(value, "config", None)):
            return None
        return module, kind.__name__, {"config": value.config}, dict(value.state_dict())
    fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.init}
    return module, kind.__name__, fields, None


class Remote:
    """Something that lives in a session. Attributes, items and iteration are passed on."""

    def __init__(self, session: Session, number: int, kind: str) -> None:
        object.__setattr__(self, "_session", session)
        object.__setattr__(self, "_number", number)
        object.__setattr__(self, "_kind", kind)

    def _ask(self, do: str, **request: Any) -> Any:
        return object.__getattribute__(self, "_session").ask(do, target=self, **request)

    def _end(self, why: str) -> SessionLost:
        return object.__getattribute__(self, "_session").end(why)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what Python or a library looks for, never a check
            raise AttributeError(name)
        return self._ask("attribute", name=name)

    def __setattr__(self, name: str, value: Any) -> None:
        raise TypeError("a submission's object cannot be changed from here; call its methods")

    def __getitem__(self, key: Any) -> Any:
        return self._ask("item", key=key)

    def __len__(self) -> int:
        length = self._ask("length")
        if type(length) is not int or length < 0:
            raise self._end("a length that makes no sense")
        return length

    def __iter__(self) -> Iterator[Any]:
        if object.__getattribute__(self, "_kind") == "generator":  # it computes as it is asked
            for _ in range(policy.MAX_STEPS):
                step = self._ask("step")
                if type(step) is not list or len(step) > 1:
                    raise self._end("a step that makes no sense")
                if not step:
                    return
                yield step[0]
            raise ValueError(f"more than {policy.MAX_STEPS} items")
        items = self._ask("items")
        if type(items) is not list:
            raise self._end("items that make no sense")
        yield from items

    def __repr__(self) -> str:
        return f"<a {object.__getattribute__(self, '_kind')} of the submission>"

    def __bool__(self) -> bool:
        raise TypeError("a submission's object is neither true nor false; look at its parts")

    def __eq__(self, other: object) -> bool:
        raise TypeError("a submission's object is not compared; compare its parts")

    __ne__ = __eq__
    __hash__ = object.__hash__


class RemoteCallable(Remote):
    """A function, class or callable object that lives in a session."""

    has_a_clock_of_its_own = True

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        session = object.__getattribute__(self, "_session")
        leaves = [t for t in tensors_in((list(arguments), options)) if t.requires_grad]
        reply = session.ask(
            "call",
            target=self,
            arguments=list(arguments),
            options=options,
            forbids=session.forbids,
            differentiate=torch.is_grad_enabled(),
        )
        if type(reply) is not dict or set(reply) != {"value", "changed", "graph"}:
            raise session.end("an answer that makes no sense")
        if reply["changed"] is not None:
            changed = _make_like if session.changes_arguments else _draw_on
            changed((list(arguments), options), reply["changed"])
        if reply["graph"] is None or not torch.is_grad_enabled():
            return reply["value"]
        return _with_gradients(session, reply["graph"], reply["value"], leaves)

    def peak_bytes(self, *arguments: Any) -> int:
        """The most memory that the tensors of a call take at one moment."""
        return self._ask("peak_bytes", arguments=list(arguments))


class _Call(torch.autograd.Function):
    """A call that has been made elsewhere; its way back goes there, too."""

    @staticmethod
    def forward(
        ctx: Any,
        session: Session,
        graph: int,
        outputs: list[Tensor],
        anchor: Tensor,
        *leaves: Tensor,
    ) -> tuple[Tensor, ...]:
        ctx.session, ctx.graph, ctx.leaves = session, graph, leaves
        return tuple(output.detach() for output in outputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        found = ctx.session.ask("backward", graph=ctx.graph, gradients=list(gradients))
        shapes = [leaf.shape for leaf in ctx.leaves]
        if type(found) is not list or len(found) != len(shapes):
            raise ctx.session.end("gradients that make no sense")
        for gradient, shape in zip(found, shapes, strict=True):
            if not (gradient is None or (isinstance(gradient, Tensor) and gradient.shape == shape)):
                raise ctx.session.end("gradients that make no sense")
        return None, None, None, None, *found


def _with_gradients(session: Session, graph: int, value: Any, leaves: list[Tensor]) -> Any:
    """The value of a call, its tensors tied to the leaves that went in."""
    outputs = [tensor for tensor in tensors_in(value) if tensor.requires_grad]
    # parameters inside the session want gradients even if no argument does
    anchor = torch.zeros((), requires_grad=True)
    tied = iter(_Call.apply(session, graph, outputs, anchor, *leaves))

    def replaced(tensor: Tensor) -> Tensor:
        return next(tied) if tensor.requires_grad else tensor

    return tree_map_only(Tensor, replaced, value)


def _draw_on(mine: Any, theirs: Any) -> None:
    """Let the judge's generators go on where the submission's copies of them are; nothing else."""
    for one, other in zip(tree_leaves(mine), tree_leaves(theirs), strict=False):
        if isinstance(one, torch.Generator) and isinstance(other, torch.Generator):
            one.set_state(other.get_state())


def _make_like(mine: Any, theirs: Any) -> None:
    """Do to the judge's arguments what the call did to the submission's copies of them."""
    if isinstance(mine, Tensor) and isinstance(theirs, Tensor):
        if mine.shape != theirs.shape or mine.dtype != theirs.dtype:
            mine.data = theirs.detach()
        elif not torch.equal(mine, theirs):  # an expanded one cannot even be written what it holds
            mine.data.copy_(theirs.detach())
    elif isinstance(mine, torch.Generator) and isinstance(theirs, torch.Generator):
        mine.set_state(theirs.get_state())
    elif isinstance(mine, list) and isinstance(theirs, list) and len(mine) != len(theirs):
        mine[:] = theirs
    elif isinstance(mine, dict) and isinstance(theirs, dict) and set(mine) != set(theirs):
        mine.clear()
        mine.update(theirs)
    elif isinstance(mine, dict) and isinstance(theirs, dict):
        for key in mine:
            if isinstance(mine[key], Tensor | list | dict | tuple | torch.Generator):
                _make_like(mine[key], theirs[key])
            else:
                mine[key] = theirs[key]
    elif isinstance(mine, list | tuple) and isinstance(theirs, list | tuple):
        for place, (one, other) in enumerate(zip(mine, theirs, strict=False)):
            if isinstance(one, Tensor | list | dict | tuple | torch.Generator):
                _make_like(one, other)
            elif isinstance(mine, list):
                mine[place] = other
    elif isinstance(mine, set) and isinstance(theirs, set):
        mine.clear()
        mine.update(theirs)


def _rebuilt(described: Any) -> BaseException:
    """An error like the submission's: of the nearest class that Python itself has."""
    try:
        classes, text, frames = (described[key] for key in ("classes", "text", "frames"))
        frames = [(str(name), int(number), str(line)) for name, number, line in frames]
        text, classes = str(text), [str(name) for name in classes]
    except (TypeError, KeyError, ValueError) as wrong:
        raise protocol.ProtocolError("a message that makes no sense") from wrong
    known: dict[str, type] = {"OutOfTime": OutOfTime, "Forbidden": Forbidden}
    error: Any
    for name in classes:
        kind = known.get(name) or getattr(builtins, name, None)
        if isinstance(kind, type) and issubclass(kind, Exception | OutOfTime):
            try:
                error = kind(text)
            except TypeError:  # it wants more than a text
                continue
            break
    else:
        error = RemoteError(f"{classes[0] if classes else 'an error'}: {text}")
    error.submission_frames = frames
    return error
