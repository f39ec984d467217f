"""Where a published Geneformer's files lie: a folder, or a pinned revision on the hub."""

from __future__ import annotations

import re
from pathlib import Path

from .._hub_files import find
from ..errors import WeightsError
from ._rank_value_vocab import RankVocabulary
from ._unpickle import load_table

_HUB_ID = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(?P<folder>(/[\w.-]+)*)@(?P<revision>[0-9a-f]{40})")
# In the official repository the dictionaries lie in the package's folder beside those of the models.
_PLACES = ("", "geneformer", "gene_dictionaries_30m", "geneformer/gene_dictionaries_30m")
_TOKENS = "token_dictionary"
_SUFFIXES = (".pkl", ".pickle", ".json", ".json.gz")


def fetch_folder(model: str | Path) -> Path:
    """Return the folder of a model: itself, or fetched from the hub.

    Raises
    ------
    WeightsError
        There is none.
    OfflineError
        It would have to be fetched, and `settings.offline` is on or the hub cannot be reached.
    """
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    match = _HUB_ID.fullmatch(str(model))
    if match is None or ".." in str(model):
        raise WeightsError(
            f"no Geneformer {str(model)!r}: it is not a folder. From the hub, pin the revision: "
            "'owner/name/subfolder@<40-digit commit>'."
        )
    inner = match["folder"].strip("/")
    head = f"{inner}/" if inner else ""
    patterns = [f"{head}config.json", f"{head}*.safetensors", "geneformer/*dict*.pkl", "geneformer/*/*dict*.pkl"]
    fetched = find(match["repo"], match["revision"], patterns, ready=lambda root: _is_whole(root / inner))
    return fetched / inner


def _is_whole(folder: Path) -> bool:
    weights = (folder / "config.json").is_file() and any(folder.glob("*.safetensors"))
    return weights and bool(token_dictionaries(folder))


def token_dictionaries(folder: Path) -> list[Path]:
    """Token dictionaries in and beside a model's folder."""
    found = []
    for base in (folder, folder.parent):
        for place in _PLACES:
            if base == folder or place:  # what lies loose beside the folder is another model's
                found += sorted((base / place).glob(f"{_TOKENS}*"))
    return [path for path in dict.fromkeys(found) if path.name.endswith(_SUFFIXES)]


def find_vocabulary(folder: Path, vocab_size: int) -> RankVocabulary:
    """Read the dictionaries that belong to a model, which are those with as many tokens as it embeds.

    Raises
    ------
    WeightsError
        There are none, or only those of another generation.
    """
    sizes = {}
    for path in token_dictionaries(folder):
        tokens = load_table(path)
        sizes[path] = len(tokens)
        if len(tokens) != vocab_size:
            continue
        medians = path.with_name(path.name.replace(_TOKENS, "gene_median_dictionary"))
        symbols = {}
        for stem in ("ensembl_mapping_dict", "gene_name_id_dict"):
            further = path.with_name(path.name.replace(_TOKENS, stem))
            symbols.update(load_table(further) if further.is_file() else {})
        return RankVocabulary.from_tables(tokens, load_table(medians), symbols)
    listed = ", ".join(f"{path.name} with {n:,}" for path, n in sizes.items()) or "none"
    raise WeightsError(
        f"no dictionaries for the model in {folder}, which embeds {vocab_size:,} tokens (token dictionaries found: "
        f"{listed}). Pass tokens= and medians=, or keep the official layout: token_dictionary_*.pkl and "
        "gene_median_dictionary_*.pkl in the folder or in geneformer/ beside it."
    )
