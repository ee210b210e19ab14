"""While an assignment is graded, `course_lib`'s own solutions of it refuse to help.

They refuse under every name that they have in the package, also one that comes to be by an import
or a reload later. `course_lib` itself may go on using them: a caller is known by the file its code
stands in. Whoever copies their text, or looks for them in the interpreter's memory, is not stopped.
"""

from __future__ import annotations

import functools
import importlib.machinery
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import course_lib

_PACKAGE = f"{Path(course_lib.__file__).parent}/"
_ASKERS = (f"{_PACKAGE}grading/", f"{_PACKAGE}checks/")  # they call for a submission


def refuse(references: Sequence[tuple[str, str]]) -> None:
    """Have these functions and classes, by module and name, refuse from now on, in this process."""
    names = frozenset(references)
    for name, module in list(sys.modules.items()):
        if name.startswith("course_lib.") and isinstance(module, ModuleType):
            _guard_in(vars(module), names)
    sys.meta_path.insert(0, _Finder(names))


class _Finder:
    """Guards what a module of the package holds after it has been executed, again or at last."""

    def __init__(self, names: frozenset[tuple[str, str]]) -> None:
        self.names = names

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Python's own answer, with a loader that guards."""
        if not name.startswith("course_lib."):
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        loader: Any = spec and spec.loader
        if hasattr(loader, "exec_module"):
            execute = loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                _guard_in(vars(module), self.names)

            loader.exec_module = exec_module
        return spec


def _guard_in(names: dict[Any, Any], references: frozenset[tuple[str, str]]) -> None:
    """Guard what a module holds, also in its dicts."""
    tables = [value for name, value in names.items() if type(value) is dict and name[:2] != "__"]
    for table in (names, *tables):
        for name, value in list(table.items()):
            if _key(value) not in references or "_refuses" in vars(value):
                continue
            if isinstance(value, type):
                _guard_class(value)
            else:
                table[name] = _guarded(value)


def _key(value: Any) -> tuple[Any, Any]:
    if not callable(value):
        return None, None
    return getattr(value, "__module__", None), getattr(value, "__name__", None)


def _guarded(reference: Any) -> Any:
    def guarded(*arguments: Any, **options: Any) -> Any:
        if _is_ours(sys._getframe(1)):
            return reference(*arguments, **options)
        raise _refusal(reference.__name__)

    return _marked(guarded, reference)


def _marked(guard: Any, reference: Any) -> Any:
    """The guard, looking like what it guards, but not telling where that is."""
    functools.update_wrapper(guard, reference, updated=())
    del guard.__wrapped__
    guard._refuses = True
    return guard


def _guard_class(reference: Any) -> None:
    """Only `course_lib` makes objects of it, and only they have its methods. The class stays what
    it is, since others derive from it and ask what is an instance."""
    begin = reference.__init__

    def __init__(self: Any, *arguments: Any, **options: Any) -> None:
        if not _is_ours(sys._getframe(1)):
            raise _refusal(reference.__name__)
        begin(self, *arguments, **options)

    reference.__init__ = _marked(__init__, begin)
    reference._refuses = True


def make(kind: type, arguments: dict[str, Any]) -> Any:
    """An object of a class that may refuse: the judge's, not the submission's."""
    return kind(**arguments)


def _is_ours(frame: FrameType) -> bool:
    name = frame.f_code.co_filename
    return name == __file__ or (name.startswith(_PACKAGE) and not name.startswith(_ASKERS))


def _refusal(name: str) -> RuntimeError:
    return RuntimeError(f"course_lib's {name} is the exercise: use your own")
