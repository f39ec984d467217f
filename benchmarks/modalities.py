"""Molecules and proteins, ours beside every baseline: `python -m benchmarks.modalities`.

`captions`: the 1,800 open test captions of ChEBI-20, none of which is trained on or in the reference: put together from
neighbours, copied from the nearest, written by MolT5-large (its own output, on the same rows), and the controls.
`retrieval`: these texts found for their molecules, and the other way round; `development`: the same for the captions
that settings were chosen on. `proteins`: enzyme classes by search, k-mers, DIAMOND and MMseqs2, on families and
clusters that the known proteins have no member of. `together`: a question that needs two modalities, and cells and
compounds in one prompt. `bulk`: many rows, with memory. `written`, where it is named: definitions that the language
model writes with neighbours in view, by an adapter of `recipes.bioverse_small.neighbours_in_view`. The tables of
`docs/modalities.md` are written anew by every run.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

import torch

import scbioverse as sb
from benchmarks.modalities_parts.bulk import bulk
from benchmarks.modalities_parts.captions import SHOWN, captions
from benchmarks.modalities_parts.proteins import enzyme_classes
from benchmarks.modalities_parts.texts import retrieved
from benchmarks.modalities_parts.together import together
from benchmarks.modalities_parts.written import by_model

RESULTS = Path(__file__).parent / "results" / "modalities.json"
PAGE = Path(__file__).parents[1] / "docs" / "modalities.md"
PARTS = ("captions", "retrieval", "development", "proteins", "together", "bulk")

APART = {
    "families": "of other families", "clusters": "of other clusters (half of the residues identical)",
    "clusters30": "of other clusters (three in ten residues identical)",
}  # fmt: skip


def markdown(rows: dict[str, dict[str, float]], columns: list[str]) -> str:
    """Lay out measures as a table of Markdown."""
    lines = ["| | " + " | ".join(columns) + " |", "| --- |" + " --- |" * len(columns)]
    shown = {
        name: [(f"{one[c]:.3f}" if isinstance(one[c], float) else f"{one[c]:,}") if c in one else "" for c in columns]
        for name, one in rows.items()
    }
    return "\n".join(lines + [f"| {name} | {' | '.join(values)} |" for name, values in shown.items()])


def tables(found: dict[str, Any]) -> dict[str, str]:
    """Write one table for each part that was measured, by the name of its place in the page."""
    made: dict[str, str] = {}
    if "captions" in found:
        one = found["captions"]
        part = {name: row for name, row in one["rows"].items() if name.startswith("a part")}
        whole = {name: row for name, row in one["rows"].items() if name not in part}
        said = f"{one['n_test']:,} open test captions, {one['n_reference']:,} training captions as reference"
        made["captions"] = f"{said}; nothing known is similar to {one['nothing similar']}.\n\n" + "\n\n".join(
            markdown(rows, list(SHOWN)) for rows in (whole, part)
        )
        made["facts"] = markdown(one["facts"], list(next(iter(one["facts"].values())))) if "facts" in one else ""
        made["floors"] = markdown(one["floors"], ["molecules", "holds"])
    for part in ("retrieval", "development"):
        if part in found:
            made[part] = markdown(found[part], list(next(iter(found[part].values()))))
    for split, one in found.get("proteins", {}).items():
        said = f"{one['n_asked']:,} enzymes, {one['n_known']:,} known ones {APART[split]}"
        possible = f"the class of {one['class is known at all']:.3f} is a known one's"
        made[split] = f"{said}; {possible}.\n\n" + markdown(one["rows"], list(next(iter(one["rows"].values()))))
        if "shares" in one:
            made[f"{split}_shares"] = markdown(one["shares"], list(next(iter(one["shares"].values()))))
        if "levels" in one:
            made[f"{split}_levels"] = markdown(one["levels"], list(next(iter(one["levels"].values()))))
        if "terms" in one:
            said = f"GO terms of the {one['terms']['n']} of these enzymes that have any"
            rows = one["terms"]["rows"]
            made[f"{split}_terms"] = f"{said}:\n\n" + markdown(rows, ["precision", "recall", "f1"])
    if "together" in found:
        made["together"] = markdown(found["together"]["rows"], ["auroc", "standard_error", "average_precision"])
        prompts = found["together"]["one prompt"]
        rows = {name: {"named as alone": value} for name, value in prompts.items() if name != "n"}
        made["prompts"] = f"{prompts['n']} cells.\n\n" + markdown(rows, ["named as alone"])
    if "written" in found:
        one = found["written"]
        said = f"{one['n']:,} open test captions; the model changed {one['changed']:.3f} of the drafts"
        made["written"] = f"{said}.\n\n" + markdown(one["rows"], list(SHOWN))
        sizes, pairs = one["n_controls"], one["controls"]["written"]
        said = (
            f"{sizes['written']} definitions, of which {pairs['better']} are better than their draft and "
            f"{pairs['worse']} worse; mean of ROUGE-L and METEOR: {pairs['mean difference']:+.3f} (standard error "
            f"{pairs['standard error']:.3f}). A part: {sizes['a part']} of them."
        )
        made["written_controls"] = f"{said}\n\n" + markdown(one["controls"], list(SHOWN[:4]))
    if "bulk" in found:
        made["bulk"] = markdown(found["bulk"], list(next(iter(found["bulk"].values()))))
    return made


def write_page(found: dict[str, Any], page: Path) -> None:
    """Put the tables between the marks of the page; what was not measured stays."""
    text = page.read_text(encoding="utf-8")
    for name, table in tables(found).items():
        mark = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        text = mark.sub(lambda match, table=table: f"{match[1]}{table}\n{match[2]}", text)  # type: ignore[misc]
    page.write_text(text, encoding="utf-8")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=PARTS, help=f"{', '.join(PARTS)} (all of these if none), written")
    parser.add_argument("--adapter", type=Path, help="for written: folder of the run that trained the adapter")
    parser.add_argument("--model", default="bioverse-small", help="name or folder")
    parser.add_argument("--rows", type=int, help="so many of the test captions; all if not given")
    parser.add_argument("--enzymes", type=int, default=700, help="at most so many are asked about")
    parser.add_argument("--drugs", type=int, default=10_000)
    parser.add_argument("--chains", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--missing", action="store_true", help="leave out what was measured with this model and options"
    )
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--page", type=Path, default=PAGE)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = sb.models.load(options.model)
    work = {
        "captions": lambda: captions(model, options.rows, options.seed),
        "retrieval": lambda: retrieved(model, options.rows, options.seed),
        "development": lambda: retrieved(model, options.rows, options.seed, "dev"),
        "proteins": lambda: enzyme_classes(options.enzymes, options.seed),
        "together": lambda: together(model, options.seed),
        "written": lambda: by_model(model, options.adapter, options.rows or 400, options.seed),
        "bulk": lambda: bulk(options.model, options.drugs, options.chains, options.seed),
    }
    found = json.loads(options.out.read_text()) if options.out.is_file() else {}
    of = {
        "model": model.fingerprint(),
        **{one: getattr(options, one) for one in ("rows", "enzymes", "drugs", "chains")},
    }
    for part in options.parts:
        if options.missing and found.get("of", {}).get(part) == of:
            continue
        found[part] = work[part]()
        found.setdefault("of", {})[part] = of
        options.out.write_text(json.dumps(found, indent=1) + "\n")
        print("\n\n".join(f"{name}\n{table}" for name, table in tables({part: found[part]}).items()), flush=True)
    write_page(found, options.page)


if __name__ == "__main__":
    main()
