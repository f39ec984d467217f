"""A model as a folder: `config.json`, `projector.safetensors`, `encoders/<modality>/`, `README.md`. Never pickle.

A language model that was tuned adds `adapter/`, and one that writes of a modality by phrases `phrases/<modality>.json`
and, if it was tuned for these, `adapters/<modality>/`.

A model of several modalities is used for cells by somebody who never installed what reads molecules. An encoder of
which the folder holds no tensors, because they come with another package or there are none, is therefore built on first
use; so is one that needs a package which is not here. It then fails by itself, and with its own message. The files it
was read from are kept until then, so that a model can be saved, tuned and joined whatever is installed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from safetensors.torch import save_file
from torch import nn
from torch.overrides import TorchFunctionMode

from .._hub_files import file_sha256
from .._logging import first_few
from .._tensor_files import add_tensors, read_tensors
from .._untrusted import (
    FOREIGN,
    INERT,
    check_file_name,
    check_kinds,
    check_plain,
    refuse_code,
    refuse_executable,
    refusing,
)
from .._whole import check_room, reason, whole_folder
from ..encoders import SavableEncoder, build
from ..errors import InputError, MismatchError, OptionalDependencyError, WeightsError, check_choice
from ..llm.adapter import CONFIG as ADAPTER_CONFIG
from ..llm.adapter import Adapter
from ..llm.prompts import PromptTemplate
from ._build import build_modules
from .card import render_card
from .config import CONFIG, BioVerseConfig, PhraseBook, check_name, check_seal, read_config, sealed
from .shared_space import TextSpace, TextTable

if TYPE_CHECKING:
    from ..encoders import Encoder

T = TypeVar("T")
ENCODER_CONFIG = "encoder.json"
TENSORS, CARD, ENCODERS, ADAPTER = "projector.safetensors", "README.md", "encoders", "adapter"
WRITING_ADAPTERS, PHRASES = "adapters", "phrases"
_TEXT_SPACE, _TEXT_TABLE = "text_space.", "text_table."


PARTS = (
    "config", "encoders", "modules", "text_space", "text_table", "adapter", "phrase_books", "writing_adapters",
)  # fmt: skip
Parts = Mapping[str, Any]  # what a model is made of, by the names that `BioVerse` takes it by


def read_template(config: BioVerseConfig) -> PromptTemplate:
    """Make the prompt template that a model was trained with, if this version knows it and renders it alike."""
    fields = dict(config.template)
    wanted = fields.pop("sha256", None)
    if fields.get("tail") == "task":  # the one that is left of two
        del fields["tail"]
    try:
        template = PromptTemplate(**fields)
    except (TypeError, ValueError, AttributeError) as error:
        raise WeightsError(
            f"config.json describes a prompt template that this version of scbioverse does not know: {error}. Upgrade: "
            "pip install -U scbioverse"
        ) from error
    if (found := template.template_hash()) != wanted:
        raise MismatchError(
            f"model {config.name!r} was trained with prompt template {wanted}, this version of scbioverse renders it "
            f"as {found}. Install the version it was made with, or align a new model."
        )
    return template


@dataclass(eq=False)
class Held:
    """One encoder, built or not; shared by the models that were made from one another."""

    build: Callable[[], Encoder]  # builds it and compares it with the one the projector was trained with
    files: Mapping[str, bytes] = field(default_factory=dict)  # what it was read from, by path; empty for one handed in
    built: Encoder | None = None  # once it was asked for

    def get(self) -> Encoder:
        """Return the encoder; the first call builds it."""
        if self.built is None:
            self.built = self.build()
            self.files = {}
        return self.built

    def save(self, folder: Path) -> None:
        """Write the encoder, or what it would be built from, into `folder`."""
        if self.built is None:
            _write_files(self.files, folder)
            return
        if not isinstance(self.built, SavableEncoder):
            raise InputError(f"encoder {self.built.name!r} cannot be saved: it has no save(folder) method.")
        self.built.save(folder)


def _write_files(files: Mapping[str, bytes], folder: Path) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


class Encoders(Mapping[str, "Encoder"]):
    """Encoders by modality. Asking whether one is there builds none."""

    def __init__(self, held: Mapping[str, Held]) -> None:
        self._held = dict(held)

    @classmethod
    def of(cls, encoders: Mapping[str, Encoder]) -> Encoders:
        """Hold encoders that are built already, or those of another model as they are."""
        if isinstance(encoders, Encoders):
            return encoders
        return cls({modality: Held(lambda one=one: one, built=one) for modality, one in encoders.items()})  # type: ignore[misc]

    def held(self) -> dict[str, Held]:
        """Return the encoders without building any."""
        return dict(self._held)

    def only(self, modalities: list[str]) -> Encoders:
        """Return the encoders of some modalities, in the order of `modalities`."""
        return Encoders({one: self._held[one] for one in modalities})

    def __getitem__(self, modality: str) -> Encoder:
        return self._held[modality].get()

    def __contains__(self, modality: object) -> bool:
        return modality in self._held

    def __iter__(self) -> Iterator[str]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)


def tensors(parts: Parts) -> dict[str, torch.Tensor]:
    """Every trained or fitted tensor of a model by name."""
    out = {key: value.detach() for key, value in parts["modules"].state_dict().items()}
    if (space := parts["text_space"]) is not None:
        out |= {f"{_TEXT_SPACE}{key}": torch.as_tensor(one) for key, one in space.tensors().items()}
    if (table := parts["text_table"]) is not None:
        out |= {f"{_TEXT_TABLE}{key}": one for key, one in table.tensors().items()}
    return out


def fingerprint(parts: Parts) -> str:
    """Sha256, in hex, of everything a result depends on: language model, template, encoders, weights, calibration."""
    config = parts["config"].to_dict()
    for said in ("name", "training", "metrics", "format_version"):
        del config[said]
    config["llm"] = config["llm"]["sha256"]
    for one in config["encoders"].values():
        del one["name"]
    told = json.dumps([config, parts["phrase_books"]], sort_keys=True, default=vars)
    held = {"": parts["adapter"], **parts["writing_adapters"]}
    adapters = [(modality, one) for modality, one in sorted(held.items()) if one is not None]
    digest = hashlib.sha256(told.encode())
    add_tensors(digest, tensors(parts))
    for modality, adapter in adapters:
        digest.update(f"{modality}{adapter.fingerprint}".encode())
    return digest.hexdigest()


def write(parts: Parts, path: str | Path, *, overwrite: bool = False, dtype: str = "float32") -> Path:
    """Write a model to `path`; see :meth:`BioVerse.save`. The folder appears whole or not at all."""
    check_choice("dtype", dtype, "float32", "float16")
    path = Path(path).expanduser()
    place = _check_target(path, overwrite)
    n_bytes = sum(one.nbytes for one in tensors(parts).values()) / (2 if dtype == "float16" else 1)
    check_room(place.parent, n_bytes, f"model {parts['config'].name!r}")
    with whole_folder(place, f"cannot write a model to {path}") as fresh:
        _write(parts, fresh, torch.float16 if dtype == "float16" else torch.float32)
    return path


def packed(parts: Parts) -> dict[str, bytes]:
    """Return the files of a model, by their paths in its folder."""
    with TemporaryDirectory() as folder:
        place = write(parts, Path(folder) / "model")
        return {file.relative_to(place).as_posix(): file.read_bytes() for file in place.rglob("*") if file.is_file()}


def unpacked(files: Mapping[str, bytes], dtype: torch.dtype, make: Callable[[dict[str, Any]], T]) -> T:
    """Make a model of what :func:`packed` returned, its weights in a number type."""
    with TemporaryDirectory() as folder:
        _write_files(files, Path(folder))
        return read(folder, lambda parts: make(parts | {"modules": parts["modules"].to(dtype)}))


def read(path: str | Path, make: Callable[[dict[str, Any]], T]) -> T:
    """Read a model that :func:`write` wrote, and `make` it of its parts.

    A :class:`WeightsError` says that a file is missing, truncated, altered, or named so that it leads out of the
    folder; a :class:`MismatchError` that encoder, template or language model are not those the projectors were trained
    for.
    """
    path = Path(path).expanduser()
    values = read_config(path)
    try:
        config = BioVerseConfig.from_dict(values)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from error
    _check_files(path, values.get("files"))
    files = values["files"]
    named = {modality: f"{PHRASES}/{modality}.json" for modality in config.encoders}
    books = {modality: PhraseBook.read(path / name) for modality, name in named.items() if name in files}
    places = (ADAPTER, *(f"{WRITING_ADAPTERS}/{modality}" for modality in config.encoders))
    adapters = {place: Adapter.load(path / place) for place in places if f"{place}/{ADAPTER_CONFIG}" in files}
    encoders = _load_encoders(path, config, files)
    # Cloned: what was read may be a view of the file.
    state = {
        key: (value.float() if value.is_floating_point() else value).clone()
        for key, value in read_tensors(path / TENSORS).items()
    }
    space, table = _taken(state, _TEXT_SPACE), _taken(state, _TEXT_TABLE)
    try:
        modules = _filled(config, books, state)
        text_space = TextSpace.from_tensors(space) if config.text_space is not None else None
        text_table = TextTable.from_tensors(table, 0 if text_space is None else text_space.dim) if table else None
    except FOREIGN as error:
        raise WeightsError(f"{path / TENSORS} does not fit {CONFIG}: {error}") from error
    parts = {
        "config": config,
        "encoders": encoders,
        "modules": modules,
        "text_space": text_space,
        "text_table": text_table,
        "adapter": adapters.pop(ADAPTER, None),
        "phrase_books": books,
        "writing_adapters": {place.rpartition("/")[2]: one for place, one in adapters.items()},
    }
    made = make(parts)
    check_seal(values, path / CONFIG)  # last: what else is wrong says more
    return made


def _taken(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """Take out the tensors whose names begin so, and return them without that."""
    return {key.removeprefix(prefix): tensors.pop(key) for key in list(tensors) if key.startswith(prefix)}


def _write(parts: Parts, folder: Path, dtype: torch.dtype) -> None:
    config: BioVerseConfig = parts["config"]
    save_file({key: _stored(value, dtype) for key, value in tensors(parts).items()}, folder / TENSORS)
    for modality, encoder in parts["encoders"].held().items():
        encoder.save(folder / ENCODERS / check_name(modality, what="modality"))
    if parts["adapter"] is not None:
        parts["adapter"].save(folder / ADAPTER, llm=config.llm.name, dtype=dtype)
    for modality, adapter in parts["writing_adapters"].items():
        place = folder / WRITING_ADAPTERS / check_name(modality, what="modality")
        adapter.save(place, llm=config.llm.name, dtype=dtype)
    for modality, book in parts["phrase_books"].items():
        (folder / PHRASES).mkdir(exist_ok=True)
        book.write(folder / PHRASES / f"{check_name(modality, what='modality')}.json")
    files = {
        file.relative_to(folder).as_posix(): file_sha256(file) for file in sorted(folder.rglob("*")) if file.is_file()
    }
    check_kinds(files, where=f"what model {config.name!r} saves")  # nothing is written that would not be read
    values = sealed(config.to_dict() | {"files": files})
    (folder / CONFIG).write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    phrases = {modality: len(book.phrases) for modality, book in parts["phrase_books"].items()}
    (folder / CARD).write_text(render_card(config, files={CONFIG: "", **files}, phrases=phrases), encoding="utf-8")
    # safetensors makes files that only their owner may read; a model in a shared place is for all who may read it.
    for name in files:
        (folder / name).chmod((folder / CONFIG).stat().st_mode)


def _stored(value: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    # Only matrices are halved, and those that fit: scales and centres are few and may lie outside float16's range.
    halve = dtype == torch.float16 and value.ndim > 1 and value.dtype == torch.float32
    halve = halve and float(value.abs().max()) <= torch.finfo(dtype).max
    return (value.to(dtype) if halve else value).cpu().contiguous().clone()


def _check_target(path: Path, overwrite: bool) -> Path:
    """Return the place to write to, links resolved, if it is free or holds a model and nothing else."""
    try:
        place = path.resolve()
        there = [one.relative_to(place).as_posix() for one in place.rglob("*") if not one.is_dir()]
        kind = "a file" if place.is_file() else f"a link to {place}, which does not exist" if path.is_symlink() else ""
    except (OSError, ValueError) as error:
        raise InputError(f"cannot write a model to {path}: {reason(error)}.") from error
    if kind and not place.is_dir():
        raise InputError(f"cannot write a model to {path}: it is {kind}.")
    if not there:
        return place
    known = _files_of_model(place)
    if known is None:
        raise InputError(f"cannot write a model to {path}: the folder holds other things. Name a new one.")
    if not overwrite:
        raise InputError(f"{path} already holds a model. Pass overwrite=True to replace it, or name another folder.")
    if foreign := sorted({*there} - known):
        raise InputError(
            f"cannot replace the model in {path}: the folder also holds {first_few(foreign, 4)}, which would be lost. "
            "Move that, or name a new folder."
        )
    return place


def _files_of_model(folder: Path) -> set[str] | None:
    """Every file that belongs to the model in a folder; None where there is no model of this kind."""
    try:
        files = json.loads((folder / CONFIG).read_text(encoding="utf-8"))["files"]
        return {*files, CONFIG, CARD, *INERT, ".DS_Store"} if TENSORS in files else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _check_files(folder: Path, files: Any) -> None:
    """Compare every file with its checksum; refuse pickles, code and paths that lead elsewhere."""
    if not isinstance(files, dict) or TENSORS not in files:
        raise WeightsError(f"{folder / CONFIG} lists no files: it is not the configuration of a BioVerse model.")
    check_kinds(files, where=str(folder / CONFIG))
    refuse_executable(folder)
    for name, wanted in files.items():
        file = folder / check_file_name(name, where=str(folder / CONFIG))
        check_plain(file)
        if not file.resolve().is_relative_to(folder.resolve()):
            raise WeightsError(f"{file} is a link that leads out of the folder.")
        found = file_sha256(file)
        if found != wanted:
            raise WeightsError(
                f"{file} is truncated or was changed: sha256 {found}, expected {wanted}. Save or fetch the model again."
            )
    refuse_code(folder)


class _Unfilled(TorchFunctionMode):
    """Modules are made without drawing their weights: on tensors without storage that would import torch's compiler."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Skip what fills a tensor at the start, run all else."""
        if getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


def _filled(config: BioVerseConfig, books: dict[str, PhraseBook], state: dict[str, torch.Tensor]) -> nn.ModuleDict:
    """Build the trained parts around their tensors: a number in a configuration never fills the memory."""
    with torch.device("meta"), _Unfilled():
        modules = build_modules(config, books)
    modules.load_state_dict(state, assign=True)
    return modules


def _load_encoders(folder: Path, config: BioVerseConfig, files: dict[str, str]) -> Encoders:
    """Build the encoders whose tensors are in the folder; the others when they are asked for."""
    held = {}
    for modality in config.encoders:
        place = folder / ENCODERS / modality
        names = [name.split("/", 2)[2] for name in files if name.startswith(f"{ENCODERS}/{modality}/")]
        one = held[modality] = Held(partial(_load_encoder, place, modality, config))
        if names != [ENCODER_CONFIG]:
            with suppress(OptionalDependencyError):  # it needs a package that is not here, and is not asked for yet
                one.get()
        if one.built is None:
            with refusing(f"the encoder in {place} cannot be read"):
                one.files = {name: (place / name).read_bytes() for name in names}
    return Encoders(held)


def _load_encoder(folder: Path, modality: str, config: BioVerseConfig) -> Encoder:
    made = config.encoders[modality]
    encoder = build(made.kind, folder)
    if encoder.fingerprint() != made.fingerprint:
        raise MismatchError(
            f"the {modality} encoder in {folder} has fingerprint {encoder.fingerprint()}, the projector was trained "
            f"for {made.fingerprint}. Save or fetch the model again."
        )
    return encoder
