"""What is meant to be imported says so, and is documented."""

import ast
import importlib
import inspect
import pkgutil
import re

import pytest

import course_lib
from course_lib.notebooks import ROOT

REFERENCE = (ROOT / "docs" / "api.rst").read_text(encoding="utf-8")
PUBLIC = re.findall(r"^   (course_lib[\w.]*)$", REFERENCE, re.MULTILINE)


def defined_in(module):
    """The public names that a module's own text makes: functions, classes, constants, types."""
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign) and not is_type_variable(node.value):
            inside = [name for target in node.targets for name in ast.walk(target)]
            names = [name for name in inside if isinstance(name, ast.Name)]
            yield from (name.id for name in names if isinstance(name.ctx, ast.Store))
        elif isinstance(node, ast.AnnAssign):
            yield node.target.id


def is_type_variable(value):
    return ast.unparse(value).startswith(("TypeVar(", "ParamSpec("))


def is_package(module):
    return hasattr(module, "__path__")


@pytest.mark.parametrize("name", PUBLIC)
def test_a_module_says_what_is_public(name):
    module = importlib.import_module(name)
    names = getattr(module, "__all__", [])
    assert len(names) == len(set(names))
    assert all(hasattr(module, one) for one in names)
    if not is_package(module):
        assert set(names) == {one for one in defined_in(module) if not one.startswith("_")}


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_documented(name):
    module = importlib.import_module(name)
    assert inspect.getdoc(module)
    for one in getattr(module, "__all__", []):
        thing = getattr(module, one)
        if inspect.isfunction(thing) or inspect.isclass(thing):
            assert inspect.getdoc(thing), f"{name}.{one}"
        if inspect.isclass(thing) and thing.__module__ == name:
            for method in undocumented_methods(thing):
                raise AssertionError(f"{name}.{one}.{method} has no docstring")


def undocumented_methods(cls):
    """Public methods without a docstring that the docstring of the class does not name either."""
    if getattr(cls, "_is_protocol", False):
        return
    named = inspect.getdoc(cls)
    for method, function in vars(cls).items():
        public = inspect.isfunction(function) and not method.startswith("_")
        if public and not inspect.getdoc(getattr(cls, method)) and f"`{method}(" not in named:
            yield method


def test_the_reference_names_the_library_s_packages_whole():
    for package in ("data", "pretrained"):
        module = importlib.import_module(f"course_lib.{package}")
        hidden = {"grammar", "storyland_words", "storyland_world"}  # what storyland is made of
        files = {one.name for one in pkgutil.iter_modules(module.__path__)} - hidden
        hidden_models = {"minilm", "smollm2"}  # their names stand in the package itself
        named = {one.rpartition(".")[2] for one in PUBLIC if one.startswith(f"{module.__name__}.")}
        assert files - hidden_models == named


def test_a_star_brings_no_torch():
    names: dict[str, object] = {}
    exec("from course_lib.attention import *", names)
    assert "softmax" in names and "torch" not in names and "Tensor" not in names
    assert course_lib.attention.softmax is names["softmax"]
