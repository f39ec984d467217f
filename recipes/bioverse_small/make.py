"""Make `bioverse-small` from the data registry to the checkpoint folder: `python -m recipes.bioverse_small.make`.

Stages: data, encoder, embedding bank, projector (contrastive, then autoregressive), calibration, card. One seed decides
everything; a graphics card is not needed.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from recipes.bioverse_small import data
from recipes.bioverse_small.card import describe
from recipes.bioverse_small.encoder import EncoderConfig, build_pool, train_encoder
from recipes.bioverse_small.evaluate import evaluate
from recipes.bioverse_small.projector import ProjectorConfig, embedding_bank, train_projector
from scbioverse.encoders.compact import CompactCellEncoder
from scbioverse.llm import Backbone
from scbioverse.models import BioVerse

logger = logging.getLogger("recipes.bioverse_small")
TARGET = Path(__file__).parents[2] / "src/scbioverse/models/weights/bioverse-small"


def make(
    target: Path,
    *,
    seed: int = 0,
    held_out: tuple[str, ...] = (),
    encoder_config: EncoderConfig | None = None,
    projector_config: ProjectorConfig | None = None,
) -> dict[str, object]:
    """Run all stages; `held_out` names training studies to leave out (for leave-one-study-out figures)."""
    encoder_config, projector_config = encoder_config or EncoderConfig(), projector_config or ProjectorConfig()
    started = time.perf_counter()
    genes = data.vocabulary()
    studies = [study for study in data.training_studies(genes) if study.name not in held_out]
    profiles = data.load_profiles(genes)
    logger.info(
        "data: %d studies, %d profiles, %.0f s", len(studies), len(profiles.cl_ids), time.perf_counter() - started
    )

    unlabelled = [data.load_study(name, genes) for name in data.UNLABELLED]
    trained = train_encoder(genes, studies, profiles, encoder_config, seed, unlabelled=unlabelled)
    rng = np.random.default_rng(seed)
    pool, _ = build_pool(studies, profiles, encoder_config, rng)
    embeddings, term = embedding_bank(trained, pool, projector_config.bank, rng)
    logger.info(
        "encoder: %d terms, bank %s, %.0f s", len(trained.terms), embeddings.shape, time.perf_counter() - started
    )

    encoder = CompactCellEncoder(trained.net, trained.stats, name="bioverse-small-cell")
    model = BioVerse.new(
        encoder,
        name="bioverse-small",
        llm=Backbone.load("smollm2-135m-instruct"),
        n_soft=projector_config.n_soft,
        hidden=projector_config.hidden,
        rng=seed,
    )
    history = train_projector(model, embeddings, term, trained.terms, projector_config, seed)
    model.config.methods = ["score", "nearest"]
    model.config.default_labels = list(trained.terms)
    logger.info("projector: %.0f s", time.perf_counter() - started)

    tests = [data.load_study(name, genes) for name in (*data.DEV_TESTS, *held_out)]
    figures = evaluate(model, trained, tests, rng=seed)
    summary = {
        "seed": seed,
        "held_out": list(held_out),
        "seconds": round(time.perf_counter() - started),
        "torch_threads": torch.get_num_threads(),
        "encoder": asdict(encoder_config),
        "projector": asdict(projector_config),
        "n_terms": len(trained.terms),
        "final_loss": float(history["loss"].tail(50).mean()),
        "figures": figures,
    }
    describe(model, summary, [study.name for study in studies])
    model.save(target, overwrite=True, dtype="float16")
    return summary


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", type=Path, default=TARGET)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--held-out", nargs="*", default=[])
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    summary = make(args.target, seed=args.seed, held_out=tuple(args.held_out))
    logger.info("%s", json.dumps(summary["figures"], indent=1))


if __name__ == "__main__":
    main()
