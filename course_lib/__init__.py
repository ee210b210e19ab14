"""Clear reference implementations of how transformers work, and the checks of the course.

Importing `course_lib` is cheap: a module (and torch with it) is loaded when it is first used,
so `course_lib.attention.softmax` works after a plain `import course_lib`.
"""

import importlib
import pkgutil
from typing import Any

__version__ = "0.1.0"

_modules = {module.name for module in pkgutil.iter_modules(__path__)}


def __getattr__(name: str) -> Any:
    if name in _modules:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_modules])
