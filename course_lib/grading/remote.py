"""The judge's side of a session: a submission's functions and objects, as stand-ins.

A stand-in passes calls on and brings plain data back. It never says what "equal" or "true" means:
only the plain data that the judge holds itself is compared. Gradients flow through a call, and
arguments that it changed are changed here too, so that a check notices.
"""

from __future__ import annotations

import builtins
import dataclasses
import inspect
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from course_lib.checks.attempt import Forbidden, OutOfTime
from course_lib.grading import wire
from course_lib.memory import tensors_in

MAX_STEPS = 100_000  # of a generator


class SessionLost(Exception):
    """The session was ended: it took too long, died, or sent what makes no sense."""


class RemoteError(Exception):
    """An error of a class that only the submission knows."""


class Session:
    """A conversation with the process that runs one submission.

    Args:
        connection: its socket.
        seconds: how long a request may take if nothing else is said.
    """

    def __init__(self, connection: Any, seconds: float = 30.0) -> None:
        self.connection = connection
        self.seconds = seconds
        self.forbids: tuple[str, ...] = ()  # what the submission must not call at present
        self.lost: str | None = None  # why it is over, if it is
        self._callbacks: list[Callable] = []
        self._busy = threading.Lock()

    def ask(self, do: str, seconds: float | None = None, **request: Any) -> Any:
        """Have one thing done; the plain data or stand-ins that come back.

        Raises:
            SessionLost: no answer in time, or none that makes sense. The session is over.
            OutOfTime: the submission's code was still running and was stopped.
            Exception: what the submission's code raised.
        """
        if not self._busy.acquire(blocking=False):
            self.lost = "it was still busy"
            raise SessionLost(self.lost)
        try:
            return self._ask(do, seconds or self.seconds, request)
        finally:
            self._busy.release()

    def _ask(self, do: str, seconds: float, request: dict[str, Any]) -> Any:
        if self.lost:
            raise SessionLost(self.lost)
        deadline = time.monotonic() + seconds + 1  # the session's own clock comes first
        out: list[bytes] = []
        tree = wire.encode({"do": do, "seconds": seconds, **request}, self._referrer(out), out)
        try:
            wire.send(self.connection, {"request": tree}, out, deadline)
            while True:
                message, buffers = wire.receive(self.connection, deadline)
                if "callback" not in message:
                    break
                self._serve(message, buffers, deadline)
            error = _rebuilt(message["error"]) if "error" in message else None
            answer = self._decoded(message.get("answer"), buffers)
        except wire.TooSlow as error:
            self.lost = "it did not answer in time"
            raise OutOfTime from error
        except (wire.WireError, KeyError, TypeError) as error:
            self.lost = f"{error}"
            raise SessionLost(self.lost) from error
        if error is not None:
            raise error
        return answer

    def _serve(self, message: Mapping[str, Any], buffers: list[bytes], deadline: float) -> None:
        """Call a function that was given as an argument, for the submission."""
        number = message["callback"]
        if type(number) is not int or not 0 <= number < len(self._callbacks):
            raise wire.WireError("a message that makes no sense")
        request = self._decoded(message.get("request"), buffers)
        out: list[bytes] = []
        try:
            value = self._callbacks[number](*request["arguments"], **request["options"])
            reply = {"answer": wire.encode(value, self._referrer(out), out)}
        except wire.WireError:
            raise
        except Exception as error:  # noqa: BLE001 - bad arguments: the submission's own affair
            reply, out = {"error": f"{type(error).__name__}: {error}"[:300]}, []
        wire.send(self.connection, reply, out, deadline)

    def _decoded(self, tree: Any, buffers: list[bytes]) -> Any:
        return wire.decode(tree, self._resolve, buffers)

    def _resolve(self, tree: list) -> Any:
        """What the submission means by a reference."""
        match tree:
            case ["theirs", int(number), str(kind), "class" | "object", bool(is_callable)]:
                made = RemoteCallable if is_callable else Remote
                return made(self, number, kind[:80])
            case ["mine", int(number)] if 0 <= number < len(self._callbacks):
                return self._callbacks[number]
        raise wire.WireError("a message that makes no sense")

    def _referrer(self, buffers: list[bytes]) -> Callable[[Any], list]:
        """How the judge's own objects travel: by reference, or as what they are built from."""

        def refer(value: Any) -> list:
            if isinstance(value, Remote):
                return ["yours", object.__getattribute__(value, "_number")]
            if isinstance(value, nn.Module) or dataclasses.is_dataclass(value):
                if (built := _recipe(value)) is not None:
                    return ["built", *(wire.encode(part, refer, buffers) for part in built)]
            if callable(value):
                self._callbacks.append(value)
                return ["mine", len(self._callbacks) - 1, _n_required(value)]
            public = {n: getattr(value, n) for n in dir(value) if not n.startswith("_")}
            return ["namespace", *(wire.encode(item, refer, buffers) for item in public.items())]

        return refer


def _n_required(function: Callable) -> int:
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
    # what a check derives for itself goes as what it derives from: the sandbox knows no checks
    ours = (k for k in type(value).__mro__ if not k.__module__.startswith("course_lib.checks."))
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
            raise SessionLost("a length that makes no sense")
        return length

    def __iter__(self) -> Iterator:
        if object.__getattribute__(self, "_kind") == "generator":  # it computes as it is asked
            for _ in range(MAX_STEPS):
                step = self._ask("step")
                if type(step) is not list or len(step) > 1:
                    raise SessionLost("a step that makes no sense")
                if not step:
                    return
                yield step[0]
            raise ValueError(f"more than {MAX_STEPS} items")
        items = self._ask("items")
        if type(items) is not list:
            raise SessionLost("items that make no sense")
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
            session.lost = "an answer that makes no sense"
            raise SessionLost(session.lost)
        if reply["changed"] is not None:
            _make_like((list(arguments), options), reply["changed"])
        if reply["graph"] is None or not torch.is_grad_enabled():
            return reply["value"]
        return _with_gradients(session, reply["graph"], reply["value"], leaves)

    def peak_bytes(self, *arguments: Any) -> int:
        """The most memory that the tensors of a call take at one moment."""
        return self._ask("peak_bytes", arguments=list(arguments))


class _Call(torch.autograd.Function):
    """A call that has been made elsewhere; its way back goes there, too."""

    @staticmethod
    def forward(ctx, session, graph, outputs, anchor, *leaves):
        ctx.session, ctx.graph, ctx.leaves = session, graph, leaves
        return tuple(output.detach() for output in outputs)

    @staticmethod
    def backward(ctx, *gradients):
        found = ctx.session.ask("backward", graph=ctx.graph, gradients=list(gradients))
        shapes = [leaf.shape for leaf in ctx.leaves]
        if type(found) is not list or len(found) != len(shapes):
            raise SessionLost("gradients that make no sense")
        for gradient, shape in zip(found, shapes, strict=True):
            if not (gradient is None or (isinstance(gradient, Tensor) and gradient.shape == shape)):
                raise SessionLost("gradients that make no sense")
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
    except (TypeError, KeyError, ValueError) as error:
        raise wire.WireError("a message that makes no sense") from error
    known: dict[str, type] = {"OutOfTime": OutOfTime, "Forbidden": Forbidden}
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
