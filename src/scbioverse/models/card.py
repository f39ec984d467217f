"""The model card that goes with every checkpoint."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .config import BioVerseConfig


def render_card(
    config: BioVerseConfig, *, files: Mapping[str, str] | None = None, phrases: Mapping[str, int] | None = None
) -> str:
    """Write the card as Markdown.

    `config.training` may hold `summary`, `data` (list of dicts with `name`, `licence`, `citation`, `role`), `limits`
    (list of sentences), `licence`, `command`, and anything else, which is listed as it is. `config.metrics` is a dict
    of tables (list of dicts) or values. `files` are named, `phrases` counted by modality.
    """
    # A copy: what has its own section is taken out, the rest is listed as it is.
    training = dict(config.training)
    lines = [f"# {config.name}", "", str(training.pop("summary", "A BioVerse model.")), ""]
    lines += ["## Use", "", "```python", "import scbioverse as sb", ""]
    lines += [f'sb.tl.annotate(adata, model="{config.name}")', "```", ""]
    lines += ["## Parts", "", "| part | what |", "|---|---|"]
    lines += [f"| language model (not included) | `{config.llm.name}`, sha256 `{config.llm.sha256}` |"]
    for modality, encoder in config.encoders.items():
        shape = f"{encoder.n_tokens} x {encoder.dim}"
        lines += [f"| {modality} encoder | `{encoder.kind}`, {shape}, fingerprint `{encoder.fingerprint[:16]}` |"]
        inner = f"{len(encoder.terms)} prototypes" if encoder.terms else f"width {encoder.hidden}"
        lines += [f"| {modality} projector | {inner}, {config.n_soft} soft tokens |"]
        if encoder.candidates:
            lines += [f"| candidate tokens of a {modality} | {len(encoder.candidates)} Cell Ontology terms |"]
        if phrases and modality in phrases:
            lines += [f"| writing of a {modality} | by {phrases[modality]:,} phrases that a head finds |"]
    if config.text_space is not None:
        lines += [f"| text space | layer {config.text_space.layer}, {config.text_space.dim} dimensions |"]
    for method, row in config.calibration.items():
        weights = ", ".join(f"{source} x {weight:.3g}" for source, weight in row.weights.items())
        said = f"temperature {row.temperature:.4g}" + (f"; weights: {weights}" if weights else "")
        lines += [f"| calibration of {method} | {said} |"]
    lines += [f"| own vocabulary | {len(config.default_labels)} Cell Ontology terms |", ""]
    if data := training.pop("data", []):
        columns = {"name": "data", "role": "role", "licence": "licence", "citation": "citation"}
        lines += ["## Training data", "", *_table(data, columns)]
    if limits := training.pop("limits", []):
        lines += ["## Limits", "", *[f"- {one}" for one in limits], ""]
    if "command" in training:
        lines += ["## How it was made", "", f"```\n{training.pop('command')}\n```", ""]
    licence = training.pop("licence", None)
    if training:
        lines += ["## Training settings", "", "```json", json.dumps(training, indent=2, default=str), "```", ""]
    lines += _metrics(config.metrics)
    if licence:
        lines += ["## Licence", "", str(licence), ""]
    if files:
        lines += ["## Files", "", *[f"- `{name}`" for name in files], ""]
    return "\n".join(lines)


def _table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> list[str]:
    """Lines of a table; `columns` are headings by key."""
    lines = ["| " + " | ".join(columns.values()) + " |", "|" + "---|" * len(columns)]
    return [*lines, *("| " + " | ".join(_show(row.get(key, "")) for key in columns) + " |" for row in rows), ""]


def _metrics(metrics: Mapping[str, Any]) -> list[str]:
    if not metrics:
        return []
    lines = ["## Measured", ""]
    for name, value in metrics.items():
        if isinstance(value, list) and value and isinstance(value[0], Mapping):
            lines += [f"### {name}", "", *_table(value, {key: key for key in value[0]})]
        else:
            lines += [f"- {name}: {_show(value)}"]
    return [*lines, ""]


def _show(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
