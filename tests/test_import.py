"""`import scbioverse` costs next to nothing; every module can be imported."""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import subprocess
import sys

import pytest

import scbioverse

HEAVY = (
    "anndata",
    "gguf",
    "matplotlib",
    "pandas",
    "peft",
    "scanpy",
    "scvi",
    "sklearn",
    "torch",
    "transformers",
    "umap",
)
# Packages that promise to work without torch.
WITHOUT_TORCH = ("datasets", "io", "knowledge", "pp", "predict.embedding", "predict.neighbours", "pl._layout")
MODULES = sorted(
    module.name for module in pkgutil.walk_packages(scbioverse.__path__, "scbioverse.") if "__main__" not in module.name
)


def run(code: str) -> str:
    """Run `code` in a fresh interpreter, as a user would."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONWARNINGS": ""},
    )
    return done.stdout


def test_import_is_quick_and_light() -> None:
    code = (
        "import sys, time, json; start = time.process_time(); import scbioverse; "
        "print(json.dumps([time.process_time() - start, sorted({name.split('.')[0] for name in sys.modules})]))"
    )
    runs = [json.loads(run(code)) for _ in range(3)]
    assert min(seconds for seconds, _ in runs) < 0.5  # of the processor, the fastest: a busy machine is not our fault
    assert not set(runs[0][1]) & set(HEAVY)


def test_loading_a_checkpoint_leaves_the_compiler_of_torch_alone() -> None:
    # It takes as long to import as torch itself, and arithmetic on tensors without storage brings it in.
    code = "import sys, scbioverse as sb; sb.models.load('bioverse-small'); print('torch._dynamo' in sys.modules)"
    assert run(code).split()[-1] == "False"


@pytest.mark.parametrize("package", WITHOUT_TORCH)
def test_light_packages_do_not_import_torch(package: str) -> None:
    found = run(f"import sys, scbioverse.{package}; print(*({{'torch', 'transformers', 'scanpy'}} & set(sys.modules)))")
    assert found.strip() == ""


@pytest.mark.parametrize("name", MODULES)
def test_module_imports(name: str) -> None:
    importlib.import_module(name)


@pytest.mark.parametrize("name", sorted(set(scbioverse.__all__) - {"Chat", "report", "serve", "settings", "widget"}))
def test_subpackages_load_on_first_use(name: str) -> None:
    module = getattr(scbioverse, name)
    assert module.__name__ == f"scbioverse.{name}"
    assert module.__all__ == sorted(module.__all__)
    for public in module.__all__:
        assert hasattr(module, public)


def test_unknown_attribute() -> None:
    with pytest.raises(AttributeError, match="'nothing'"):
        _ = scbioverse.nothing
