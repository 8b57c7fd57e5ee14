"""The speed of training, against TensorFlow Recommenders and LibRecommender.

    python -m venv TFRS && TFRS/bin/pip install -r ops/requirements/peers-tfrs.txt
    python -m venv LIBREC && LIBREC/bin/pip install -r ops/requirements/peers-librecommender.txt
    longtail bench peers --tfrs-python TFRS/bin/python --librecommender-python LIBREC/bin/python

A peer trains on the same examples, in a process with its own environment, and takes turns with us.
A peer without an interpreter is left out. Ratios, above 1 where we are faster:

    vs_tfrs             our examples/s without self-supervision and sampled items / those of
                        TensorFlow Recommenders' retrieval task at its best: number of threads, with
                        or without XLA
    vs_librecommender   our examples/s with everything / those of LibRecommender's two towers with
                        correlated masking at its best number of threads

`--epochs N` also measures recall@50 on the test part after N epochs, ours and that of TensorFlow
Recommenders, and their ratio `recall_vs_tfrs`.

The work is not quite the same. TensorFlow Recommenders trains with our learning rates, not tuned
for it. Its towers and tables start as Keras starts them, ours start alike on both sides
(`model.start_alike`). It encodes every row of a batch, where we encode only distinct ones. A
missing value has a table row of its own. In LibRecommender each value of a feature is an input of
its own to the tower, so a feature has as many values as the mean of its rows, rounded up, and
further ones are left out. Queries and items share no table. Its only optimizer is Adam, which moves
every row of a table in every step. Its main loss has no sampled items among the negatives. Its
self-supervision has no value dropout.
"""

import argparse
import statistics
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import torch
from peers_parts.export import export
from peers_parts.peer import Peer, require
from report import Report, alternately, median_ratio, run_benchmark
from training.ours import CPU, VARIANTS, Ours
from training.work import Steps, Work, demo, with_settings

from longtail.evaluation.held_out import HeldOut
from longtail.evaluation.metrics import retrieval_metrics, similarity_ranks
from longtail.training.process_setup import prepare_cpu, product_dtype
from longtail.training.train_in_process import one_rank, train_in_process

# Our variant that does the same work as each peer.
COUNTERPART = {"tfrs": "base", "librecommender": "ssl"}


def measure(options: argparse.Namespace) -> Report:
    """Run the comparisons with the peers that are given."""
    if options.tfrs_python:
        packages = ["tensorflow", "tensorflow_recommenders"]
        require(options.tfrs_python, packages, "peers-tfrs.txt")
    if options.librecommender_python:
        packages = ["libreco", "pandas", "tensorflow", "torch", "sklearn"]
        require(options.librecommender_python, packages, "peers-librecommender.txt")
    if not (options.tfrs_python or options.librecommender_python):
        sys.exit("peers: give --tfrs-python, --librecommender-python, or both")
    prepare_cpu(options.threads)
    work = demo(options.as_of)
    ratios: dict[str, float] = {}
    measured: dict[str, Any] = {}
    settings: dict[str, Any] = {
        **{name: getattr(options, name) for name in ("batch_size", "rounds", "steps", "threads")},
        "products": str(product_dtype(work.config, CPU) or torch.float32).removeprefix("torch."),
        "torch": torch.__version__,
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _say("nothing yet: writing the data and starting the peers")
        questions = export(work, options.batch_size, folder)
        peers = _started(options, folder)
        for label, peer in peers.items():
            settings[label.split(",")[0]] = peer.about
        # Every peer is up before anything is timed, so that all of them can take turns with us.
        with one_rank():
            _say("steps")
            _steps(work, options, peers, ratios, measured, settings)
        for peer in peers.values():
            peer.end()
        if options.epochs and options.tfrs_python:
            _say("recall")
            _recall(work, options, questions, folder, ratios, measured)
            settings["epochs"] = options.epochs
    return Report("peers", ratios, settings, measured)


def _started(options: argparse.Namespace, folder: Path) -> dict[str, Peer]:
    peers = {}
    for threads in sorted({1, options.threads}):
        if options.tfrs_python:
            for jit, how in ((False, ""), (True, ", XLA")):
                peers[f"tfrs, {threads} thread(s){how}"] = Peer(
                    options.tfrs_python, "tfrs_worker", folder, threads=threads, jit=jit
                )
        if options.librecommender_python:
            peers[f"librecommender, {threads} thread(s)"] = Peer(
                options.librecommender_python,
                "librecommender_worker",
                folder,
                threads=threads,
                ssl_pattern="cfm",
            )
    return peers


def _steps(
    work: Work,
    options: argparse.Namespace,
    peers: dict[str, Peer],
    ratios: dict[str, float],
    measured: dict[str, Any],
    settings: dict[str, Any],
) -> None:
    """Measure whole steps, ours and the peers', in turns."""
    names = [name for name in COUNTERPART if any(label.startswith(name) for label in peers)]
    ours = {COUNTERPART[name]: Ours(work, COUNTERPART[name], options.batch_size) for name in names}
    contenders: dict[str, Steps] = {**ours, **peers}
    calls: dict[str, Any] = {
        label: (lambda steps=steps: steps.run(options.steps)) for label, steps in contenders.items()
    }
    seconds = alternately(calls, rounds=options.rounds)
    medians = {label: statistics.median(values) for label, values in seconds.items()}
    # A peer is compared at its best number of threads and compilation.
    for name in names:
        best = min((label for label in peers if label.startswith(name)), key=medians.__getitem__)
        ratios[f"vs_{name}"] = median_ratio(seconds[best], seconds[COUNTERPART[name]])
        settings[f"{name}, best"] = best
    for label, median in medians.items():
        measured[f"{label}, ms a step"] = 1e3 * median / options.steps
    for label, median in medians.items():
        measured[f"{label}, examples/s"] = options.batch_size * options.steps / median


def _recall(
    work: Work,
    options: argparse.Namespace,
    questions: HeldOut,
    folder: Path,
    ratios: dict[str, float],
    measured: dict[str, Any],
) -> None:
    """Measure recall@50 over the whole catalogue on the test part, after `--epochs` epochs."""
    data = work.training_set
    config = with_settings(
        with_settings(work.config, **VARIANTS["base"]), training={"batch_size": options.batch_size}
    )
    encoder = train_in_process(
        data, config, num_rows=work.num_rows, plan=work.plan, num_epochs=options.epochs
    )
    items = data.item_rows.take(data.catalogue_row[questions.candidate])
    ours = (
        encoder.encode("query", data.query_rows.take(questions.query_row)),
        encoder.encode("item", items),
    )
    # A fresh peer: those of the speed comparison have trained already.
    peer = Peer(options.tfrs_python, "tfrs_worker", folder, threads=options.threads, jit=False)
    peer.run(options.epochs * (len(data.train) // options.batch_size))
    theirs = peer.vectors(folder / "vectors.npz")
    peer.end()
    recall = {}
    for label, vectors in (("base", ours), ("tfrs", theirs)):
        size = config.evaluation.query_batch_size
        ranks = similarity_ranks(*vectors, questions, query_batch_size=size)
        recall[label] = float(retrieval_metrics(ranks, questions.pair_query)["recall@50"])
        measured[f"{label}, recall@50"] = recall[label]
    ratios["recall_vs_tfrs"] = recall["base"] / recall["tfrs"]


def _say(part: str) -> None:
    print(f"measuring {part}", file=sys.stderr)


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--as-of", type=date.fromisoformat, default=None)
    parser.add_argument("--batch-size", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=30, help="steps per turn")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--tfrs-python", type=Path, help="the Python of an environment with TensorFlow Recommenders"
    )
    parser.add_argument(
        "--librecommender-python",
        type=Path,
        help="the Python of an environment with LibRecommender",
    )
    parser.add_argument(
        "--epochs", type=int, default=0, help="epochs before recall is compared; 0: no comparison"
    )


if __name__ == "__main__":
    run_benchmark(measure, _options, about=__doc__.splitlines()[0])
