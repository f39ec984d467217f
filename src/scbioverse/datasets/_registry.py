"""What data exist, where they came from, under which licence and what they may be used for."""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .._settings import settings
from ..errors import InputError

if TYPE_CHECKING:
    import pandas as pd

Use = Literal["ship", "train", "test"]


@dataclass(frozen=True)
class DatasetInfo:
    """One entry of the registry.

    Attributes
    ----------
    name
        The name :func:`scbioverse.datasets.fetch` takes.
    kind
        `"cells"`, `"profiles"` (one row per pure population), `"molecules"`, `"proteins"`, `"knowledge"` (tables) or
        `"benchmark"`.
    file
        Path of the converted copy, relative to `settings.cache_dir`.
    description
        One line.
    sha256
        Checksum of the converted copy, hexadecimal.
    bytes
        Size of the converted copy.
    address
        Where the original lies. The converted copy cannot be downloaded from there as it is.
    licence
        Licence of the data, and of the repository they were taken from.
    citation
        What to cite.
    use
        `"ship"` (may be bundled), `"train"` (weights may be trained on it), `"test"` (held out).
    shape
        (n_obs, n_vars) of an AnnData, None for a table.
    download
        Address of a byte-identical copy, None where there is none.
    note
        What to know before using it.
    """

    name: str
    kind: str
    file: str
    description: str
    sha256: str
    bytes: int
    address: str
    licence: str
    citation: str
    use: tuple[Use, ...]
    shape: tuple[int, int] | None = None
    download: str | None = None
    note: str = ""

    @property
    def path(self) -> Path:
        """Where the converted copy belongs."""
        return Path(settings.cache_dir) / self.file


@cache
def registry() -> dict[str, DatasetInfo]:
    """Read the registry, once."""
    text = resources.files(__package__).joinpath("registry.json").read_text(encoding="utf-8")
    found = {}
    for name, fields in json.loads(text)["datasets"].items():
        plain: dict[str, Any] = {key: tuple(one) if isinstance(one, list) else one for key, one in fields.items()}
        found[name] = DatasetInfo(name, **plain)
    return found


def find(name: str) -> DatasetInfo:
    """Return the entry called `name`, or raise an :class:`InputError` that suggests the nearest names."""
    entries = registry()
    if name in entries:
        return entries[name]
    near = difflib.get_close_matches(name, entries, n=3, cutoff=0.4)
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    raise InputError(f"no data set is called {name!r}.{hint} See scbioverse.datasets.list_datasets().")


def list_datasets() -> pd.DataFrame:
    """List every data set that scbioverse knows, with its source, licence and permitted use.

    Returns
    -------
    One row per data set, indexed by name. Columns: `kind`, `description`, `n_obs` and `n_vars` (missing for
    tables), `use` (`"ship"`, `"train"`, `"test"`, joined by a comma), `licence`, `citation`, `address` (of the
    original), `download` (of the converted copy, missing where there is none), `file` (in the cache), `bytes`,
    `sha256`, `note` and `cached` (whether the file is there now; its checksum is looked at when it is fetched).

    Examples
    --------
    >>> import scbioverse as sb
    >>> table = sb.datasets.list_datasets()
    >>> table.loc["pbmc3k", "use"]
    'ship, test'
    """
    import pandas as pd

    rows = []
    for info in registry().values():
        n_obs, n_vars = info.shape or (None, None)
        made = {"n_obs": n_obs, "n_vars": n_vars, "use": ", ".join(info.use), "cached": info.path.is_file()}
        rows.append(vars(info) | made)
    columns = [
        "kind", "description", "n_obs", "n_vars", "use", "licence", "citation", "address", "download", "file", "bytes",
        "sha256", "note", "cached",
    ]  # fmt: skip
    return pd.DataFrame(rows).set_index("name")[columns].astype({"n_obs": "Int64", "n_vars": "Int64"})
