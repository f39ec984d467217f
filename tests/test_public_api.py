"""The public functions look alike: one walk over all of them."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import scbioverse

VERBS = ("pp", "tl", "pl", "get")
PACKAGES = ("ask", "datasets", "encoders", "errors", "explain", "get", "metrics", "models", "pl", "pp", "tl")


def functions(packages: tuple[str, ...]) -> Iterator[tuple[str, Callable[..., object]]]:
    for package in packages:
        module = importlib.import_module(f"scbioverse.{package}")
        for name in module.__all__:
            member = getattr(module, name)
            if inspect.isfunction(member):
                yield f"{package}.{name}", member


def classes() -> Iterator[tuple[str, type]]:
    for package in PACKAGES:
        module = importlib.import_module(f"scbioverse.{package}")
        for name in module.__all__:
            member = getattr(module, name)
            if inspect.isclass(member):
                yield f"{package}.{name}", member


def methods() -> Iterator[tuple[str, Callable[..., object]]]:
    for name, member in classes():
        for attribute, value in vars(member).items():
            function = getattr(value, "fget", None) or getattr(value, "__func__", value)
            if not attribute.startswith("_") and inspect.isfunction(function):
                yield f"{name}.{attribute}", function


def params(items: Iterator[tuple[str, object]]) -> list[object]:
    return [pytest.param(item, id=name) for name, item in items]


def sections(doc: str) -> dict[str, str]:
    """Split a numpydoc text at its underlined headings."""
    parts = re.split(r"^(\w[\w ]*)\n-{3,}\n", doc, flags=re.MULTILINE)
    return {"summary": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


@pytest.mark.parametrize("function", params(functions(VERBS)))
def test_only_the_data_is_positional(function: Callable[..., object]) -> None:
    positional = [
        parameter.name
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    # What is asked for stands beside the data: sb.tl.ask(adata, "How many B cells?").
    assert positional[1:] in ([], ["question"], ["query"])
    assert not positional or positional[0] in {"adata", "mdata", "data"}


@pytest.mark.parametrize("function", params(functions(VERBS)))
def test_defaults_are_alike(function: Callable[..., object]) -> None:
    parameters = inspect.signature(function).parameters
    defaults = {"copy": False, "rng": None, "show": None, "ax": None, "return_fig": None}
    for name, default in defaults.items():
        if name in parameters:
            assert parameters[name].default is default, f"{name}= should default to {default}"
    assert not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()), "**kwargs hide names"
    assert "save" not in parameters
    assert "random_state" not in parameters
    assert "seed" not in parameters


@pytest.mark.parametrize("function", params(functions(PACKAGES)))
def test_types_stand_in_the_signature(function: Callable[..., object]) -> None:
    signature = inspect.signature(function)
    assert signature.return_annotation is not inspect.Signature.empty
    for parameter in signature.parameters.values():
        assert parameter.annotation is not inspect.Parameter.empty, parameter.name


@pytest.mark.parametrize("function", params(functions(PACKAGES)))
def test_functions_are_documented(function: Callable[..., object]) -> None:
    doc = inspect.getdoc(function)
    assert doc
    found = sections(doc)
    assert found["summary"].split("\n")[0].endswith((".", "?")), "the first line is one sentence"
    signature = inspect.signature(function)
    if signature.parameters:
        entries = re.findall(r"^(\S.*)$", found.get("Parameters", ""), flags=re.MULTILINE)
        named = [name.strip().lstrip("*") for entry in entries for name in entry.split(",")]
        assert named == list(signature.parameters), "each parameter once, in order, without its type"
    if signature.return_annotation not in (None, "None"):
        assert "Returns" in found or "Yields" in found


@pytest.mark.parametrize("cls", params(classes()))
def test_classes_are_documented(cls: type) -> None:
    assert cls.__doc__
    assert not cls.__doc__.startswith(f"{cls.__name__}("), "a dataclass's made-up docstring"


@pytest.mark.parametrize("method", params(methods()))
def test_methods_are_documented_and_typed(method: Callable[..., object]) -> None:
    assert inspect.getdoc(method)
    assert inspect.signature(method).return_annotation is not inspect.Signature.empty


def test_all_of_it_is_in_the_reference() -> None:
    page = (Path(__file__).parents[1] / "docs" / "api" / "index.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^   (\w+\.\w+)$", page, flags=re.MULTILINE))
    public = {
        f"{name}.{member}" for name in PACKAGES for member in importlib.import_module(f"scbioverse.{name}").__all__
    }
    assert listed == public


def test_version_is_the_distributions() -> None:
    from importlib.metadata import version

    assert scbioverse.__version__ == version("scbioverse")
