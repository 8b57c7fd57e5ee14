"""The factorization of the library, against exact least squares and in repetition."""

from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from threadpoolctl import threadpool_limits

from longtail.evaluation.baselines.ials import IALS, ITERATIONS
from tests.evaluation.baselines.plain import prepared, scores_of, small_training_set

SETTINGS = {"alpha": 8.0, "regularization": 2.0, "factors": 6}


def solved(links: np.ndarray, fixed: np.ndarray, alpha: float, regularization: float) -> np.ndarray:
    """Return the factors of the rows of `links` that are best for the factors of its columns."""
    rows = []
    for row in links:
        confidence = np.where(row > 0, alpha, 1.0)
        left = (fixed * confidence[:, None]).T @ fixed
        left += regularization * np.eye(fixed.shape[1])
        rows.append(np.linalg.solve(left, (fixed * (confidence * row)[:, None]).sum(axis=0)))
    return np.array(rows)


def loss(links: np.ndarray, scores: np.ndarray, alpha: float) -> float:
    return float((np.where(links > 0, alpha, 1.0) * (links - scores) ** 2).sum())


def test_the_factors_fit_as_well_as_exact_solutions(tmp_path: Path) -> None:
    known, _, _ = prepared(small_training_set(tmp_path))
    links = known.links.toarray().astype(np.float64)
    queries = np.arange(len(links))
    fitted = IALS(known).fit(SETTINGS)
    found = fitted(queries, known.row_of_query).toarray()

    generator = np.random.default_rng(5)
    items = 0.01 * generator.random((links.shape[1], int(SETTINGS["factors"])))
    for _ in range(ITERATIONS):
        users = solved(links, items, SETTINGS["alpha"], SETTINGS["regularization"])
        items = solved(links.T, users, SETTINGS["alpha"], SETTINGS["regularization"])
    exact = loss(links, users @ items.T, SETTINGS["alpha"])
    nothing = loss(links, np.zeros_like(links), SETTINGS["alpha"])
    assert exact < 0.8 * nothing
    assert loss(links, found, SETTINGS["alpha"]) == pytest.approx(exact, rel=0.05)
    # Items and queries without a training link have no score.
    assert not found[:, known.num_links == 0].any()
    assert not found[links.sum(axis=1) == 0].any()


def test_the_same_seed_gives_the_same_scores_whatever_the_threads(tmp_path: Path) -> None:
    from implicit.cpu.als import AlternatingLeastSquares

    known, held_out, _ = prepared(small_training_set(tmp_path))
    first = scores_of(IALS(known), SETTINGS, held_out)
    assert np.array_equal(scores_of(IALS(known), SETTINGS, held_out), first)
    links = sparse.csr_matrix(
        (np.ones(900, np.float32), np.random.default_rng(0).integers(0, 90, (2, 900))), (90, 90)
    )
    links.sum_duplicates()
    factors = []
    with threadpool_limits(1, "blas"):
        for num_threads in (1, 3):
            model = AlternatingLeastSquares(8, num_threads=num_threads, random_state=0)
            model.fit(links, show_progress=False)
            factors.append((model.user_factors, model.item_factors))
    assert np.array_equal(factors[0][0], factors[1][0])
    assert np.array_equal(factors[0][1], factors[1][1])
