"""Files to start from on Slurm and Kubernetes can be read by those that read them."""

from __future__ import annotations

import ast
import shutil
import subprocess
from pathlib import Path

import pytest

FILES = Path(__file__).parents[2] / "docs" / "atlas_files"


def test_slurm() -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash")
    assert subprocess.run([bash, "-n", FILES / "slurm.sh"], check=False).returncode == 0


def test_kubernetes() -> None:
    yaml = pytest.importorskip("yaml")
    parts = [*yaml.safe_load_all((FILES / "kubernetes.yaml").read_text())]
    assert [one["kind"] for one in parts] == ["Service", "Deployment", "Deployment"]
    for one in parts[1:]:
        labels = one["spec"]["template"]["metadata"]["labels"]
        assert one["spec"]["selector"]["matchLabels"] == labels
        (container,) = one["spec"]["template"]["spec"]["containers"]
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in one["spec"]["template"]["spec"]["volumes"]}
    assert parts[0]["spec"]["selector"] == parts[1]["spec"]["template"]["metadata"]["labels"]


def test_the_script() -> None:
    ast.parse((FILES / "annotate.py").read_text())
