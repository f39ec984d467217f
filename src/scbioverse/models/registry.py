"""Models by name: those in the package, and any folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._errors import WeightsError
from .config import BioVerseConfig

if TYPE_CHECKING:
    import pandas as pd

    from ..llm import Backbone
    from .bioverse import BioVerse

DEFAULT_MODEL = "bioverse-small"
_BUNDLED = Path(__file__).parent / "weights"


def load(model: str | Path | BioVerse = DEFAULT_MODEL, *, llm: str | Backbone | None = None) -> BioVerse:
    """Load a model.

    Parameters
    ----------
    model
        Name of a bundled model (see :func:`list_models`), path of a saved one, or a model, which is given back.
    llm
        Where to load its language model from, in place of the name that the checkpoint holds; or a loaded one.

    Returns
    -------
    The model; its language model is loaded on first use.

    Raises
    ------
    WeightsError
        There is no such model, or its files are damaged.
    MismatchError
        Its parts do not belong together; both fingerprints are shown.
    """
    from .bioverse import BioVerse
    from .checkpoint import load_checkpoint

    if isinstance(model, BioVerse):
        return model
    return load_checkpoint(find(model), llm=llm)


def find(model: str | Path) -> Path:
    """Folder of the model with this name or path.

    Raises
    ------
    WeightsError
        There is none.
    """
    bundled = _bundled()
    if isinstance(model, str) and model in bundled:
        return bundled[model]
    path = Path(model).expanduser()
    if path.is_dir():
        return path
    raise WeightsError(
        f"no model {str(model)!r}: neither a bundled one ({', '.join(sorted(bundled)) or 'none in this installation'}) "
        f"nor a folder. See scbioverse.models.list_models()."
    )


def list_models() -> pd.DataFrame:
    """Models in the package.

    Returns
    -------
    One row a model, indexed by `name`: `modalities`, `llm`, `encoder`, `n_labels`, `size_mb` (10^6 bytes on disk),
    `summary`, `path`.
    """
    import pandas as pd

    rows = [_row(name, folder) for name, folder in sorted(_bundled().items())]
    columns = ["name", "modalities", "llm", "encoder", "n_labels", "size_mb", "summary", "path"]
    return pd.DataFrame(rows, columns=columns).set_index("name")


def _bundled() -> dict[str, Path]:
    if not _BUNDLED.is_dir():
        return {}
    return {folder.name: folder for folder in _BUNDLED.iterdir() if (folder / "config.json").is_file()}


def _row(name: str, folder: Path) -> dict[str, Any]:
    from .config import read_config

    config = BioVerseConfig.from_dict(read_config(folder))
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return {
        "name": name,
        "modalities": ", ".join(config.encoders),
        "llm": config.llm.name,
        "encoder": ", ".join(one.name for one in config.encoders.values()),
        "n_labels": len(config.default_labels),
        "size_mb": round(size / 1e6, 1),
        "summary": str(config.training.get("summary", "")),
        "path": str(folder),
    }
