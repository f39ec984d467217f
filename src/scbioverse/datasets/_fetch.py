"""What data exist, where they came from and what they may be used for: inside the wheel, in the cache or on a mirror.

None is used unchecked.
"""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .._logging import logger
from .._settings import CONNECT_SECONDS, READ_SECONDS, need_network, settings
from ..errors import InputError, MismatchError, OfflineError

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

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


def pbmc3k() -> AnnData:
    """Load 2,700 blood cells of one healthy donor, with expert labels.

    Peripheral blood mononuclear cells, 10x Chromium 3' v1 (10x Genomics 2016, CC BY 4.0). The labels are those of the
    Seurat tutorial; the 62 cells that its quality control removed are `"unassigned"`. No weights that scbioverse
    ships were trained on these cells.

    Returns
    -------
    AnnData of shape (2700, 13714): `X` CSR float32 counts, `var_names` gene symbols, `obs["cell_type"]` categorical
    with nine cell types and `"unassigned"`, `uns["source"]`, `uns["licence"]` and `uns["citation"]`.

    Examples
    --------
    >>> import scbioverse as sb
    >>> sb.datasets.pbmc3k().shape
    (2700, 13714)
    """
    return _read("pbmc3k")


def citeseq_pbmc5k() -> AnnData:
    """Load 200 blood cells of another donor, with counts of 29 surface proteins and without labels.

    Peripheral blood mononuclear cells, 10x Chromium 3' v3 with TotalSeq-B antibodies (10x Genomics 2019, CC BY 4.0); a
    sample of 200 cells. Surface proteins tell types apart that genes leave open, so that they can check a label that
    was made from genes. No weights that scbioverse ships were trained on these cells.

    Returns
    -------
    AnnData of shape (200, 16581): `X` CSR float32 counts, `var_names` gene symbols, `obsm["protein_expression"]`
    a DataFrame of counts with a column for each protein ("CD3", "CD4", ...), `uns["source"]`, `uns["licence"]` and
    `uns["citation"]`.

    Examples
    --------
    >>> import scbioverse as sb
    >>> sb.datasets.citeseq_pbmc5k().obsm["protein_expression"].shape
    (200, 29)
    """
    return _read("citeseq_pbmc5k_200cells")


def _read(name: str) -> AnnData:
    import anndata as ad
    import numpy as np

    with resources.as_file(resources.files(__package__) / "data" / f"{name}.h5ad") as path:
        adata = ad.read_h5ad(path)
    adata.X = adata.X.astype(np.float32)  # stored as uint16: a tenth smaller
    return adata


def fetch(name: str, *, mirror: str | None = None) -> Path:
    """Return the path of a data set's converted copy, its checksum verified.

    The copies were converted once from the originals (R objects, archives, spreadsheets) to h5ad and tables. They
    are not to be had from the originals' addresses as they are: a copy is expected in `settings.cache_dir`, laid out
    as the column `file` of :func:`scbioverse.datasets.list_datasets` says, or on a mirror with the same layout.
    The cache may be read-only.

    Parameters
    ----------
    name
        A name of :func:`scbioverse.datasets.list_datasets`.
    mirror
        Address under which the cache's layout is served, used when the file is not in the cache.

    Returns
    -------
    The path. Its SHA-256 was compared with the registry's on first use.

    Raises
    ------
    InputError
        No data set has this name.
    OfflineError
        The file is not in the cache, and may not or cannot be downloaded; the message names file, address and what
        to set.
    MismatchError
        The file is there with another checksum.
    """
    info = find(name)
    path = info.path
    if not path.is_file():
        _download(info, mirror)
    status = path.stat()
    found = _sha256(path.resolve(), status.st_size, status.st_mtime_ns)
    if found != info.sha256:
        raise MismatchError(
            f"{path} is not the copy that {name!r} stands for: sha256 {found}, the registry has {info.sha256}. "
            f"It was changed or cut short: remove it and fetch it again."
        )
    return path


def load(name: str, *, mirror: str | None = None) -> AnnData:
    """Read a data set of kind `"cells"` or `"profiles"` into memory.

    Parameters
    ----------
    name
        A name of :func:`scbioverse.datasets.list_datasets`.
    mirror
        As in :func:`scbioverse.datasets.fetch`.

    Returns
    -------
    AnnData with `X` as it is stored (CSR counts for cells).

    Raises
    ------
    InputError
        No data set has this name, or it is a table.
    OfflineError, MismatchError
        As in :func:`scbioverse.datasets.fetch`.
    """
    import anndata as ad

    info = find(name)
    if not info.file.endswith(".h5ad"):
        raise InputError(f"{name!r} is a table ({info.file}), not an AnnData: read the path fetch({name!r}) returns.")
    return ad.read_h5ad(fetch(name, mirror=mirror))


def _download(info: DatasetInfo, mirror: str | None) -> None:
    path = info.path
    source = f"{mirror.rstrip('/')}/{info.file}" if mirror else info.download
    absent = (
        f"data set {info.name!r} is not in the cache: {path} is absent. It was converted from {info.address}. "
        f"Point SCBIOVERSE_CACHE_DIR at a folder that holds {info.file} (sha256 {info.sha256[:12]}…)"
    )
    if source is None:
        raise OfflineError(f"{absent}, or pass mirror= with the address of such a folder.")
    need_network(
        f"data set {info.name!r} is not in the cache ({path}) and would have to be downloaded from {source}",
        f"point SCBIOVERSE_CACHE_DIR at a folder that holds {info.file}.",
    )
    import pooch

    logger.info("downloading %s from %s", info.file, source)
    downloader = pooch.HTTPDownloader(progressbar=settings.progress, timeout=(CONNECT_SECONDS, READ_SECONDS))
    try:
        pooch.retrieve(
            source,
            known_hash=f"sha256:{info.sha256}",
            path=path.parent,
            fname=path.name,
            downloader=downloader if source.startswith("http") else None,
            progressbar=settings.progress,
        )
    except ValueError as error:  # pooch's word for a checksum that differs; it has removed the file
        raise MismatchError(f"{source} does not serve the copy that {info.name!r} stands for: {error}") from error
    except OSError as error:
        raise OfflineError(f"{absent}. Downloading {source} failed: {error}") from error


@cache
def _sha256(path: Path, size: int, changed: int) -> str:
    """Hash a file, again only when its size or time of change differs."""
    import pooch

    return pooch.file_hash(str(path), alg="sha256")
