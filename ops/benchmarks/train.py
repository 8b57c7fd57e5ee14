"""The speed of training steps, against plain PyTorch and against the floor of their parts.

    longtail bench train --json

Every ratio compares contenders that took turns in one run:

    vs_pytorch, lookup_vs_pytorch
                         seconds of plain PyTorch / ours, of a step and of its lookups
    vs_pytorch_adagrad, lookup_vs_pytorch_adagrad
                         the same with Adagrad for our tables as well, one number per weight
    vs_floor, vs_floor_ssl
                         seconds of a step / those of its matrix products and lookups alone,
                         without and with self-supervision
    ssl_cost             seconds of a step with self-supervision / without it and sampled items
    ssl_cost_over_mixed  the same / without it, but with sampled items
    history_cost         seconds of a step with 50 items in every query's history / without
    input_headroom       seconds to train on a batch / those to make it
    two_ranks            examples per second of two ranks / of one, with one thread each
    large_catalogue      examples per second over the large synthetic catalogue / over the small one
    memory_over_tables   memory of the process with the large one / its tables and optimizer state
"""

import argparse
import statistics
import sys
from dataclasses import replace
from datetime import date
from typing import Any

import torch
from report import Report, alternately, median_ratio, run_benchmark
from training.floor import Lookups, PlainLookups, Products
from training.full_histories import with_full_histories
from training.growth import Grown
from training.ours import CPU, VARIANTS, Input, Ours
from training.plain_pytorch import Plain
from training.ranks import examples_per_second
from training.work import Steps, Work, demo, endless, with_settings

from longtail.training.process_setup import prepare_cpu, product_dtype
from longtail.training.train_in_process import one_rank

Seconds = dict[str, list[float]]


def measure(options: argparse.Namespace) -> Report:
    """Run all comparisons."""
    prepare_cpu(options.threads)
    work = demo(options.as_of)
    if options.products is not None:
        settings = with_settings(work.config, compute={"products": options.products})
        work = replace(work, config=settings)
    ratios: dict[str, float] = {}
    measured: dict[str, Any] = {}
    with one_rank():
        _say("steps")
        contenders, seconds = _steps(work, options)
        _say("batch sizes")
        _batch_sizes(work, options, measured)
    size, turn = options.batch_size, options.steps
    # Plain PyTorch counts at its best number of threads.
    reference = min(
        (label for label in seconds if label.startswith("pytorch")),
        key=lambda label: statistics.median(seconds[label]),
    )
    floor = [a + b for a, b in zip(seconds["products"], seconds["lookups"], strict=True)]
    ssl_floor = [
        a + b for a, b in zip(seconds["ssl products"], seconds["ssl lookups"], strict=True)
    ]
    ratios["vs_pytorch"] = median_ratio(seconds[reference], seconds["base"])
    ratios["vs_pytorch_adagrad"] = median_ratio(seconds[reference], seconds["adagrad"])
    ratios["lookup_vs_pytorch"] = median_ratio(seconds["plain lookups"], seconds["lookups"])
    ratios["lookup_vs_pytorch_adagrad"] = median_ratio(
        seconds["plain lookups"], seconds["adagrad lookups"]
    )
    ratios["vs_floor"] = median_ratio(seconds["base"], floor)
    ratios["vs_floor_ssl"] = median_ratio(seconds["ssl"], ssl_floor)
    ratios["ssl_cost"] = median_ratio(seconds["ssl"], seconds["base"])
    ratios["ssl_cost_over_mixed"] = median_ratio(seconds["ssl"], seconds["mixed"])
    ratios["history_cost"] = median_ratio(seconds["history"], seconds["ssl"])
    ratios["input_headroom"] = min(
        median_ratio(seconds[label], seconds[f"{label} input"])
        for label in ("base", "ssl", "history")
    )
    for label, values in seconds.items():
        measured[f"{label}, ms a step"] = 1e3 * statistics.median(values) / turn
    for label in (*VARIANTS, reference):
        measured[f"{label}, examples/s"] = size * turn / statistics.median(seconds[label])
    # Free their tables: what follows runs in processes of its own, and memory is measured.
    del contenders
    _say("ranks")
    by_ranks = [
        [examples_per_second(work, ranks, size, turn) for ranks in (1, 2)]
        for _ in range(options.rank_rounds)
    ]
    ratios["two_ranks"] = statistics.median(two / one for one, two in by_ranks)
    measured["ranks 1 and 2, examples/s"] = by_ranks
    if options.large_catalogue:
        _say("catalogues")
        _growth(work, options, ratios, measured)
    record = {
        **{name: getattr(options, name) for name in ("batch_size", "rounds", "steps", "threads")},
        "products": str(product_dtype(work.config, CPU) or torch.float32).removeprefix("torch."),
        "reference": reference,
        "torch": torch.__version__,
    }
    return Report("train", ratios, record, measured)


def _steps(work: Work, options: argparse.Namespace) -> tuple[dict[str, Steps], Seconds]:
    """Time whole steps, ours and the reference's, and their parts, in turns.

    Returns:
        The contenders, and the seconds of each of their turns.
    """
    size, turn = options.batch_size, options.steps
    ours = {variant: Ours(work, variant, size) for variant in VARIANTS}
    batches = {variant: next(endless(work, ours[variant].config)) for variant in ours}
    plain = Plain(work, size)
    settings = with_settings(work.config, sharding={"optimizer": "adagrad"})
    adagrad = Ours(replace(work, config=settings), "base", size)
    full = with_full_histories(work)
    history = Ours(full, "ssl", size)
    # Each part runs on the same batch and the same model as the step that it belongs to.
    contenders: dict[str, Steps] = {
        **ours,
        "adagrad": adagrad,
        "history": history,
        "history input": Input(full, history),
        "base input": Input(work, ours["base"]),
        "ssl input": Input(work, ours["ssl"]),
        "products": Products(ours["base"], batches["base"]),
        "ssl products": Products(ours["ssl"], batches["ssl"]),
        "lookups": Lookups(ours["base"], batches["base"]),
        "ssl lookups": Lookups(ours["ssl"], batches["ssl"]),
        "adagrad lookups": Lookups(adagrad, batches["base"]),
        "plain lookups": PlainLookups(work, next(plain.batches())),
    }

    def with_threads(steps: Steps, threads: int) -> None:
        torch.set_num_threads(threads)
        steps.run(turn)
        torch.set_num_threads(options.threads)

    calls: dict[str, Any] = {
        label: (lambda steps=steps: steps.run(turn)) for label, steps in contenders.items()
    }
    for threads in sorted({1, options.threads}):
        calls[f"pytorch, {threads} thread(s)"] = lambda n=threads: with_threads(plain, n)
    return contenders, alternately(calls, rounds=options.rounds)


def _batch_sizes(work: Work, options: argparse.Namespace, measured: dict[str, Any]) -> None:
    """Measure examples per second by batch size, with and without self-supervision."""
    for size in options.batch_sizes:
        turn = max(2, options.steps * options.batch_size // size)
        for variant in ("base", "ssl"):
            ours = Ours(work, variant, size)
            (seconds,) = alternately({"": lambda: ours.run(turn)}, rounds=2).values()  # noqa: B023
            rate = size * turn / statistics.median(seconds)
            measured[f"{variant} at batch size {size}, examples/s"] = rate


def _growth(
    work: Work, options: argparse.Namespace, ratios: dict[str, float], measured: dict[str, Any]
) -> None:
    small = Grown(work.config, work, options.small_catalogue, options.threads)
    large = Grown(work.config, work, options.large_catalogue, options.threads)
    seconds = alternately(
        {
            "small": lambda: small.run(options.steps),
            "large": lambda: large.run(options.steps),
        },
        rounds=options.rounds,
    )
    ratios["large_catalogue"] = median_ratio(seconds["small"], seconds["large"])
    small.end()
    ratios["memory_over_tables"] = large.end() / large.table_bytes
    measured["tables and optimizer state of the large catalogue, bytes"] = large.table_bytes


def _say(part: str) -> None:
    print(f"measuring {part}", file=sys.stderr)


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--as-of", type=date.fromisoformat, default=None)
    parser.add_argument(
        "--products",
        choices=("auto", "float32", "bfloat16"),
        help="our `compute.products`; default: the project's",
    )
    parser.add_argument("--batch-size", type=int, default=1024)
    parser.add_argument("--batch-sizes", type=int, nargs="*", default=[1024, 4096, 16384])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--rank-rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=30, help="steps per turn")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--small-catalogue", type=int, default=64_000)
    parser.add_argument(
        "--large-catalogue", type=int, default=10_000_000, help="items; 0: not measured"
    )


if __name__ == "__main__":
    run_benchmark(measure, _options, about=__doc__.splitlines()[0])
