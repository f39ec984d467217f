"""What people use today, on the same reference and candidates: nearest neighbours, regression, CellTypist, scVI."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse
from sklearn.decomposition import TruncatedSVD
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from benchmarks.annotation_parts.measures import Meter, Row, cost, measures
from benchmarks.annotation_parts.posing import Reference, Test, log_shares, variable_genes

N_NEIGHBOURS = 15
N_COMPONENTS = 50
N_GENES = 2000
CELLTYPIST_ITERATIONS = 30
REGRESSION_ITERATIONS = 150

# Counts (n, g) on the reference's genes to probabilities (n, m).
Predict = Callable[[sparse.csr_matrix], np.ndarray]


def spread(probability: np.ndarray, classes: np.ndarray, m: int) -> np.ndarray:
    """Put the columns of `classes` in their place among m candidates; others have probability 0. Rows sum to 1."""
    out = np.zeros((len(probability), m))
    out[:, np.asarray(classes, dtype=np.int64)] = probability
    return out / np.maximum(out.sum(1, keepdims=True), 1e-12)


class Scaled:
    """Log shares of the most variable genes, standardised by the reference's mean and deviation and clipped at 10."""

    def __init__(self, reference: Reference) -> None:
        logged = log_shares(reference.counts)
        self.genes = variable_genes(logged, reference.study, N_GENES)
        dense = logged[:, self.genes].toarray()
        self.mean, self.sd = dense.mean(0), dense.std(0) + 1e-3
        self.reference = self._scale(dense)

    def _scale(self, dense: np.ndarray) -> np.ndarray:
        return np.clip((dense - self.mean) / self.sd, -10, 10)

    def __call__(self, counts: sparse.csr_matrix) -> np.ndarray:
        """Bring counts to the same scale, (n, k)."""
        return self._scale(log_shares(counts)[:, self.genes].toarray())


def _neighbours(coordinates: np.ndarray, label: np.ndarray) -> KNeighborsClassifier:
    return KNeighborsClassifier(min(N_NEIGHBOURS, len(label))).fit(coordinates, label)


def fit_knn(reference: Reference, m: int, seed: int) -> Predict:
    """PCA of standardised log shares, then the share of each label among the 15 nearest."""
    scaled = Scaled(reference)
    n = min(N_COMPONENTS, *(one - 1 for one in scaled.reference.shape))
    pca = TruncatedSVD(n, random_state=seed).fit(scaled.reference)
    knn = _neighbours(pca.transform(scaled.reference), reference.label)
    return lambda counts: spread(knn.predict_proba(pca.transform(scaled(counts))), knn.classes_, m)


def fit_regression(reference: Reference, m: int, seed: int) -> Predict:
    """Multinomial logistic regression with classes balanced."""
    scaled = Scaled(reference)
    model = LogisticRegression(
        C=0.01, class_weight="balanced", max_iter=REGRESSION_ITERATIONS, tol=1e-3, random_state=seed
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # not converged: the iterations are part of the protocol
        model.fit(scaled.reference, reference.label)
    return lambda counts: spread(model.predict_proba(scaled(counts)), model.classes_, m)


def fit_celltypist(reference: Reference, m: int, seed: int) -> Predict:
    """CellTypist's own training (stochastic gradient descent) and prediction, on all shared genes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import celltypist

    celltypist.logger.set_level(logging.ERROR)
    genes = np.array([f"g{i}" for i in reference.genes])

    def table(counts: sparse.csr_matrix) -> AnnData:
        obs = pd.DataFrame(index=[str(i) for i in range(counts.shape[0])])
        return AnnData(log_shares(counts).toarray(), obs=obs, var=pd.DataFrame(index=pd.Index(genes, dtype=str)))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = celltypist.train(
            table(reference.counts).X,
            labels=reference.label.astype(str),
            genes=genes,
            check_expression=False,
            use_SGD=True,
            max_iter=CELLTYPIST_ITERATIONS,
            n_jobs=1,
            random_state=seed,
        )

    def predict(counts: sparse.csr_matrix) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = celltypist.annotate(table(counts), model=model).probability_matrix
        return spread(found.to_numpy(), found.columns.astype(int).to_numpy(), m)

    return predict


def fit_scvi(reference: Reference, m: int, seed: int, *, seconds: float) -> Predict:
    """Latent of scVI, trained on the reference cells for at most `seconds`, then the 15 nearest."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import scvi
        from scvi.model import SCVI

    scvi.settings.seed = seed
    scvi.settings.verbosity = logging.ERROR
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    genes = variable_genes(log_shares(reference.counts), reference.study, N_GENES)

    def table(counts: sparse.csr_matrix, study: np.ndarray) -> AnnData:
        x = sparse.csr_matrix(counts[:, genes], dtype=np.float32)
        x.data = np.round(x.data)
        x.eliminate_zeros()
        # A cell without counts among the chosen genes has no library size; one count keeps the logarithm finite.
        bare = np.flatnonzero(np.diff(x.indptr) == 0)
        x = x + sparse.csr_matrix((np.ones(bare.size, np.float32), (bare, np.zeros_like(bare))), shape=x.shape)
        obs = pd.DataFrame({"study": study.astype(str)}, index=[str(i) for i in range(x.shape[0])])
        return AnnData(x.tocsr(), obs=obs, var=pd.DataFrame(index=[f"g{i}" for i in genes]))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adata = table(reference.counts, reference.study)
        SCVI.setup_anndata(adata, batch_key="study")
        # Only the decoder reads the study (scvi-tools' default), so that a cell of an unknown study can be encoded.
        model = SCVI(adata, n_latent=20, n_layers=1, n_hidden=128, encode_covariates=False)
        model.train(
            max_epochs=60,
            accelerator="cpu",
            batch_size=256,
            train_size=1.0,
            plan_kwargs={"n_epochs_kl_warmup": 20},
            enable_progress_bar=False,
            logger=False,
            max_time={"seconds": seconds},
        )
    known = str(reference.study[0])
    knn = _neighbours(model.get_latent_representation(adata, batch_size=512), reference.label)

    def predict(counts: sparse.csr_matrix) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            latent = model.get_latent_representation(table(counts, np.full(counts.shape[0], known)), batch_size=512)
        return spread(knn.predict_proba(latent), knn.classes_, m)

    return predict


PEERS: dict[str, Callable[[Reference, int, int], Predict]] = {
    "PCA + kNN": fit_knn,
    "logistic regression": fit_regression,
    "CellTypist": fit_celltypist,
}


def majority_row(test: Test) -> Row:
    """Call every cell the test's commonest label."""
    called = np.full(len(test.truth), np.bincount(test.truth).argmax())
    return measures(called, test.truth, test.candidates)


def peer_row(fit: Callable[[Reference, int, int], Predict], test: Test, reference: Reference, seed: int) -> Row:
    """Train one peer on the reference and measure it on the test. With one label in the reference, it is called."""
    m, counts = len(test.candidates), test.study.counts[:, reference.genes]
    with Meter() as training:
        if len(np.unique(reference.label)) < 2:
            only = spread(np.ones((1, 1)), reference.label[:1], m)
            predict: Predict = lambda given: np.repeat(only, given.shape[0], axis=0)  # noqa: E731
        else:
            predict = fit(reference, m, seed)
    with Meter() as prediction:
        probability = predict(counts)
    row = measures(probability.argmax(1), test.truth, test.candidates, np.log(probability + 1e-12))
    memory = prediction if (training.peak_mb or 0) <= (prediction.peak_mb or 0) else training
    return row | cost(len(test.truth), prediction.seconds, memory) | {"training_seconds": round(training.seconds, 1)}
