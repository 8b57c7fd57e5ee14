"""Trains the model of a cell and measures it; this runs in a worker process."""

import time
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch

from longtail.config import Config
from longtail.dataset.training_set import TrainingSet, load_training_set
from longtail.encoder.torch_encoder import Encoder
from longtail.evaluation.encoder_ranks import encode_and_rank
from longtail.evaluation.held_out import HeldOut, chosen_examples, fewer_queries, held_out_pairs
from longtail.evaluation.metrics import metrics_by_slice
from longtail.evaluation.slices import item_slices
from longtail.fingerprints import source_hash
from longtail.study.cells import Cell, Document, Part, StudyData
from longtail.study.deciles import recall_by_decile
from longtail.study.tuning import best_epoch
from longtail.training.process_setup import product_dtype
from longtail.training.train_in_process import train_in_process

# Computed at import, so that it is the hash of the code that this process runs, even if the files
# change later.
SOURCE = source_hash("longtail.training.train_in_process", "longtail.augmentation.registry")


class _EnoughError(Exception):
    """Ends a trial early: its validation figure has not risen for some epochs."""


def train_and_measure(data: StudyData, cell: Cell) -> Document:
    """Train the model of a cell and measure it on the cell's part alone.

    Returns:
        `{"metrics": see `metrics_by_slice`, "seconds", "environment", "source"}`. A trial also has
        `"curve": [{"epoch", "metrics"}]`, and a reported cell has `"deciles"` (see
        `recall_by_decile`).

    Raises:
        LongtailError: training diverged.
    """
    start = time.monotonic()
    training_set = _seen_by(data.training_set, cell.fraction, cell.part)
    questions = _questions(training_set, cell)
    curve: list[Document] = []
    figures: Document = {}

    # A trial is measured after every epoch, because the best epoch is one of the things it is run
    # to find. A reported cell is measured once.
    def after_epoch(epoch: int, encoder: Encoder) -> None:
        if cell.part == "validation":
            curve.append({"epoch": epoch, **_measure(training_set, questions, encoder, cell)})
            _, best = best_epoch(curve, cell.base.study)
            if epoch - best >= cell.base.study.patience:
                raise _EnoughError
        elif epoch == cell.num_epochs:
            figures.update(_measure(training_set, questions, encoder, cell))

    with suppress(_EnoughError):
        train_in_process(
            training_set,
            cell.config,
            num_rows=data.num_rows,
            plan=data.plans[cell.config.correlation.measure],
            num_epochs=cell.num_epochs,
            after_epoch=after_epoch,
        )
    if cell.part == "validation":
        figures.update({"metrics": curve[-1]["metrics"], "curve": curve})
    return {
        **figures,
        "seconds": time.monotonic() - start,
        "environment": environment(cell.config),
        "source": SOURCE,
    }


def environment(config: Config) -> Document:
    """Return what the figures may depend on besides code and configuration."""
    products = product_dtype(config, torch.device("cpu")) or torch.float32
    packages = ("torch", "torchrec", "fbgemm-gpu-cpu", "fbgemm-gpu", "numpy")
    versions = {name: _version(name) for name in packages}
    return {
        **{name: number for name, number in versions.items() if number},
        "num_threads": torch.get_num_threads(),
        "products": str(products).removeprefix("torch."),
    }


def _version(package: str) -> str | None:
    """Return the version of an installed package, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@lru_cache(maxsize=4)
def _seen_by(folder: Path, fraction: float, part: Part) -> TrainingSet:
    """Load a share of the training part and one held-out part; the other part is left empty."""
    whole = load_training_set(folder)
    shared = whole if fraction == 1.0 else whole.fraction(fraction)
    nothing = np.array([], np.int64)
    if part == "validation":
        return replace(shared, test=chosen_examples(shared.test, nothing))
    return replace(shared, validation=chosen_examples(shared.validation, nothing))


def _questions(training_set: TrainingSet, cell: Cell) -> HeldOut:
    """Return the held-out pairs that a cell is measured on."""
    if cell.part == "test":
        return held_out_pairs(training_set, "test")
    limit = cell.base.study.max_validation_queries
    return held_out_pairs(fewer_queries(training_set, limit), "validation")


def _measure(
    training_set: TrainingSet, questions: HeldOut, encoder: Encoder, cell: Cell
) -> Document:
    """Return the metrics by slice, and for a reported cell recall by decile of popularity."""
    evaluation = cell.config.evaluation
    ranks = encode_and_rank(
        encoder, training_set, questions, query_batch_size=evaluation.query_batch_size
    )
    train_count = training_set.train_count[questions.candidate]
    slices = item_slices(train_count, evaluation.head_fraction)
    figures: Document = {"metrics": metrics_by_slice(ranks, questions, slices)}
    if cell.part == "test":
        figures["deciles"] = recall_by_decile(ranks, train_count[questions.pair_item])
    return figures
