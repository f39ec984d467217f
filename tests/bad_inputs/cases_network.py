"""What would have to be fetched and may not, cannot be reached, or is no name at all."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import scbioverse as sb

from . import Given, case, command
from ._inputs import blood

AREA = "Names on the hub, and connections"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
FORBIDDEN = ["settings.offline is on", "SCBIOVERSE_OFFLINE=1 in the environment", "Set SCBIOVERSE_OFFLINE=0"]


@contextmanager
def offline(at: Path) -> Iterator[None]:
    """The environment forbids connections, and nothing was fetched before."""
    variables = {"SCBIOVERSE_OFFLINE": "1", "HF_HUB_OFFLINE": "0", "TRANSFORMERS_OFFLINE": "0"}
    with patch.dict(os.environ, variables), _empty(at), patch.object(sb.settings, "offline", True):
        yield


@contextmanager
def closed_door(at: Path) -> Iterator[None]:
    """Connections are allowed, and nobody answers at the hub's address."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
    names = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    variables = {name: value for name, value in os.environ.items() if name not in names}
    with (
        patch.dict(os.environ, variables, clear=True),
        _empty(at),
        patch.object(sb.settings, "offline", False),
        patch("huggingface_hub.constants.ENDPOINT", address),
        patch("huggingface_hub.constants.HF_HUB_OFFLINE", False),
    ):
        yield


@contextmanager
def _empty(at: Path) -> Iterator[None]:
    with patch.object(sb.settings, "cache_dir", at / "cache"), patch("huggingface_hub.constants.HF_HUB_CACHE", str(at)):
        yield


def within(place: Callable[[Path], Any], at: Path, call: Callable[[], object]) -> Callable[[], object]:
    """Make the call there."""

    def run() -> object:
        with place(at):
            return call()

    return run


@case(AREA, "a model on the hub, connections forbidden", 'sb.models.load("lab/model")', says=FORBIDDEN)
def model_offline(at: Path) -> Given:
    return Given(within(offline, at, lambda: sb.models.load("lab/model")), {})


@case(
    AREA,
    "a pull, connections forbidden",
    "scbioverse models pull lab/model",
    says=["settings.offline is on", "Set SCBIOVERSE_OFFLINE=0"],
)
def pull_offline(at: Path) -> Given:
    return Given(within(offline, at, lambda: command("models", "pull", "lab/model")), {})


@case(
    AREA,
    "a language model on the hub, connections forbidden",
    f'sb.tl.align(adata, text_key="type", llm="lab/llm@{COMMIT}")',
    says=["not in the hub's cache", *FORBIDDEN],
)
def language_model_offline(at: Path) -> Given:
    adata = blood()
    adata.obs["type"] = ["B cell", "T cell"] * (adata.n_obs // 2)
    call = lambda: sb.tl.align(adata, text_key="type", llm=f"lab/llm@{COMMIT}", steps=1)  # noqa: E731
    return Given(within(offline, at, call), {"adata": adata})


@case(
    AREA,
    "an encoder of proteins on the hub, connections forbidden",
    'sb.encoders.HFSequenceEncoder("lab/esm", modality="protein")',
    says=["lab/esm is no folder here", *FORBIDDEN],
)
def encoder_offline(at: Path) -> Given:
    return Given(within(offline, at, lambda: sb.encoders.HFSequenceEncoder("lab/esm", modality="protein")), {})


@case(
    AREA,
    "a Geneformer on the hub, connections forbidden",
    f'sb.encoders.GeneformerEncoder.load("lab/geneformer/small@{COMMIT}")',
    says=FORBIDDEN,
)
def geneformer_offline(at: Path) -> Given:
    name = f"lab/geneformer/small@{COMMIT}"
    return Given(within(offline, at, lambda: sb.encoders.GeneformerEncoder.load(name)), {})


@case(
    AREA,
    "a data set that is not in the cache, with a mirror, connections forbidden",
    'sb.datasets.fetch("cell_ontology", mirror="https://mirror.example")',
    says=["'cell_ontology' is not in the cache", *FORBIDDEN, "SCBIOVERSE_CACHE_DIR"],
)
def data_set_offline(at: Path) -> Given:
    call = lambda: sb.datasets.fetch("cell_ontology", mirror="https://mirror.example")  # noqa: E731
    return Given(within(offline, at, call), {})


@case(
    AREA,
    "a model on the hub, and the hub cannot be reached",
    'sb.tl.embed(adata, model="lab/model")',
    says=["lab/model could not be reached on the hub", "HTTPS_PROXY", "pass the folder's path"],
)
def hub_unreachable(at: Path) -> Given:
    adata = blood()
    return Given(within(closed_door, at, lambda: sb.tl.embed(adata, model="lab/model")), {"adata": adata})


@case(
    AREA,
    "a pull, and the hub cannot be reached",
    "scbioverse models pull lab/model",
    says=["could not be reached on the hub", "HTTPS_PROXY"],
)
def pull_unreachable(at: Path) -> Given:
    return Given(within(closed_door, at, lambda: command("models", "pull", "lab/model")), {})


@case(
    AREA,
    "a data set on a mirror that cannot be reached",
    'sb.datasets.fetch("cell_ontology", mirror="http://127.0.0.1:9")',
    says=["'cell_ontology' is not in the cache", "SCBIOVERSE_CACHE_DIR", "failed"],
)
def mirror_unreachable(at: Path) -> Given:
    call = lambda: sb.datasets.fetch("cell_ontology", mirror="http://127.0.0.1:9")  # noqa: E731
    return Given(within(closed_door, at, call), {})


@case(
    AREA,
    "a language model on the hub without its commit",
    'sb.models.load("bioverse-small", llm="lab/llm@main").backbone',
    says=["pin a full commit (40 hexadecimal digits)"],
)
def loose_revision(at: Path) -> Given:
    return Given(within(offline, at, lambda: sb.models.load("bioverse-small", llm="lab/llm@main").backbone), {})


@case(
    AREA,
    "a model's folder whose file names a language model on the hub that is not here",
    'sb.models.load("mine").backbone',
    says=[
        f"lab/llm@{COMMIT} is not in the hub's cache",
        "what a file mentions is not fetched by itself",
        f"llm='lab/llm@{COMMIT}'",
    ],
)
def mentioned_language_model(at: Path) -> Given:
    folder = sb.models.load("bioverse-small").save(at / "mine")
    values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    values["llm"]["name"] = f"lab/llm@{COMMIT}"
    del values["sha256"]  # an edit by hand, as the message about one says
    (folder / "config.json").write_text(json.dumps(values), encoding="utf-8")
    return Given(within(closed_door, at, lambda: sb.models.load(folder).backbone), {"mine": folder})


@case(
    AREA,
    "a model's name with a space, as of a folder that is not here",
    'sb.models.load("my models/first try")',
    says=["no model 'my models/first try'", "nor a folder", "list_models()"],
)
def name_of_nothing(at: Path) -> Given:
    return Given(within(closed_door, at, lambda: sb.models.load("my models/first try")), {})
