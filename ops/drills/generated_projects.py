"""The drill of generated projects: files of every format go through init, check and a run.

    python ops/drills/generated_projects.py --per-format 100 [--formats csv,arrow] [--jobs 2]

A project is right if `init` got every role right and the planted signal is found in the published
embeddings: each query is recommended the items of the group that it likes. It may also be refused,
with a message that names what is at fault and what to do. Anything else is wrong: it is printed
with what repeats it, and the exit code is 1.

The run is that of `longtail run`, stage by stage, in this process: without Dagster, and with the
one rank of training in this process instead of one that torchrun starts.
"""

import argparse
import importlib.util
import json
import logging
import multiprocessing
import os
import re
import shutil
import socket
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
# A file of its own has neither the tests nor `assets` on its path.
for folder in (ROOT, ROOT / "platform"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

from tests.init.files.draft import FORMATS, Draft, Format  # noqa: E402
from tests.init.files.generated import Generated, generate  # noqa: E402
from tests.init.files.judge import judge, spelling  # noqa: E402

# Of the recommended items, at least this share must be of the liked group, on average over all
# queries. Drawn by chance it would be 1 / number of groups, 0.2 at most.
FOUND = 0.8
NUM_RECOMMENDED = 5
# What makes the run short. Everything else is as `init` has written it.
SHORT: dict[str, dict[str, Any]] = {
    "training": {"num_epochs": 8, "threads_per_rank": 1},
    "features": {"default_dim": 16},
    "model": {"hidden": [32], "output_dim": 32},
    # So few held-out pairs would make its ruling a draw of the dice.
    "gate": {"better_than_popularity": False},
    "index": {"recall_queries": 10},
}


@dataclass(frozen=True)
class Outcome:
    """The outcome of one project.

    Attributes:
        format: the format of its files.
        outcome: right, refused or wrong.
        reason: the message of the refusal, or what is wrong.
        found: share of the recommended items that are of the liked group; None without a run.
    """

    format: Format
    seed: int
    repeat: str
    outcome: str
    reason: str
    found: float | None
    seconds: float


def drill(writer: Format, seed: int, folder: Path) -> Outcome:
    """Generate a project and let it go through `init`, `check` and a short run."""
    start = time.monotonic()
    try:
        generated = generate(seed, writer, folder / "files")
    except Exception as error:  # of Spark's, too, which no other process could read as an object
        reason = f"the files could not be written, {type(error).__name__}: {error}"
        repeat = f"format {writer}, seed {seed}"
        return Outcome(writer, seed, repeat, "wrong", reason, None, time.monotonic() - start)
    verdict = judge(generated, folder / "project")
    outcome, reason, found = verdict.outcome, verdict.reason, None
    if outcome == "right":
        try:
            found = share_found(generated, folder / "project")
            if found < FOUND:
                outcome, reason = "wrong", f"the planted signal is not found: {found:.2f}"
        except Exception as error:  # whatever it is, `init` has made a project that does not run
            outcome, reason = "wrong", f"after init, {type(error).__name__}: {error}"
    seconds = time.monotonic() - start
    return Outcome(writer, seed, generated.repeat, outcome, reason, found, seconds)


def share_found(generated: Generated, project: Path) -> float:
    """Check a project, run it, and return the share of the recommendations that are right.

    Raises:
        AssertionError: an item that is gone is recommended.
        LongtailError: a stage failed.
    """
    from longtail.serving.recommend import Recommender

    config_file = shorten(project / "longtail.yaml")
    config, _ = run_all_stages(config_file)
    draft = generated.draft
    item_of, query_of = (numbers(draft, side, project) for side in ("item", "query"))
    gone = _gone(draft)
    found = Recommender(config).recommend_many(list(query_of), NUM_RECOMMENDED)["results"]
    hits = []
    for query, results in found.items():
        items = [item_of[result["item"]] for result in results]
        assert not gone & set(items), f"{query} is recommended an item that is gone"
        liked = draft.query_group[query_of[query]]
        hits += [draft.item_group[item] == liked for item in items]
    return sum(hits) / len(hits)


def numbers(draft: Draft, side: str, project: Path) -> dict[str, int]:
    """Return the number of each entity that the project's interactions name, by its id."""
    import pyarrow.parquet as pq

    file = project / "feature_repo" / "data" / "interactions.parquet"
    known = set(pq.read_table(file, columns=[f"{side}_id"])[f"{side}_id"].to_pylist())
    texts = spelling(draft, side, known)
    assert texts is not None  # the judge has found it right
    every = {text: number for number, text in enumerate(texts)}
    return every if side == "item" else {text: every[text] for text in sorted(known)}


def _gone(draft: Draft) -> set[int]:
    column, key = draft.find("items", "gone"), draft.column("items", "item key")
    plain = column is not None and ("active" in column.name.lower() or "deleted" in column.name)
    if column is None or column.truth is None or key.truth is None or not plain:
        return set()
    return {entity for entity, gone in zip(key.truth, column.truth, strict=True) if gone}


def shorten(file: Path) -> Path:
    """Change the configuration that `init` wrote, so that a run takes seconds."""
    import yaml

    written = yaml.safe_load(file.read_text("utf-8"))
    for section, settings in SHORT.items():
        written[section] = {**written.get(section, {}), **settings}
    file.write_text(yaml.safe_dump(written), encoding="utf-8")
    return file


def run_all_stages(config_file: Path) -> tuple[Any, date]:
    """Run every stage of `longtail run` on a project, and return its configuration and its day."""
    from assets.run import check_day
    from longtail.cli.earlier_stages import make_catalogue, make_correlations, make_training_set
    from longtail.config import load_config
    from longtail.embeddings.export import export_catalogue
    from longtail.embeddings.index import build_index
    from longtail.embeddings.publish import publish
    from longtail.embeddings.publish_query_features import publish_query_features
    from longtail.evaluation.evaluate import evaluate_version
    from longtail.evaluation.gate import approve
    from longtail.training.launch import launcher

    config = load_config(config_file)
    # Raises if a check found an error, as `longtail check` does.
    day = make_catalogue(config, None)
    check_day(config, day, today=datetime.now(UTC).date())
    make_training_set(config, day)
    make_correlations(config, day)
    with _one_rank_here(launcher):
        version = launcher.train(config_file, day)["version"]
    evaluate_version(config, version)
    approve(config, day)
    export_catalogue(config, day)
    build_index(config, day)
    publish_query_features(config, day)
    publish(config, day)
    return config, day


@contextmanager
def _one_rank_here(launcher: Any) -> Iterator[None]:
    """Let the launcher train in this process, by the same function as a rank of torchrun."""
    from longtail.training.worker import run_rank

    def run_ranks(
        config: Any, _file: Any, as_of: date, paths: Any, *, parent: str | None, **_: Any
    ) -> None:
        run_rank(config, as_of, paths.version, parent)

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    rank = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}
    os.environ |= {**rank, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    before, launcher.run_ranks = launcher.run_ranks, run_ranks
    try:
        yield
    finally:
        launcher.run_ranks = before


def available(formats: Sequence[Format]) -> list[Format]:
    """Return the formats that this environment can write."""
    has_spark = importlib.util.find_spec("pyspark") is not None and shutil.which("java") is not None
    return [writer for writer in formats if writer != "spark" or has_spark]


def _work(task: tuple[Format, int]) -> Outcome:
    # Feast's registry commits hundreds of times: on a disk, that is a third of a project's time.
    memory = Path("/dev/shm")
    where = memory if os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="longtail-drill-", dir=where) as folder:
        return drill(*task, Path(folder))


def _begin_worker() -> None:
    import torch
    from matplotlib.figure import Figure

    # The plots of a run take longer to draw than its model takes to train, and nobody looks.
    Figure.savefig = lambda _, file, **__: Path(file).write_bytes(b"")
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)


def kind_of(message: str) -> str:
    """Return a message without what differs from project to project."""
    text = re.sub(r"`[^`]*`|'[^']*'|/\S+|[0-9][0-9.,]*|\([^)]*\)", "_", message)
    return " ".join(text.split())[:90]


def table(outcomes: Sequence[Outcome]) -> str:
    """Return the result as text: a line for each format, then the refusals by kind."""
    lines = [f"{'format':8} {'projects':>8} {'right':>6} {'refused':>8} {'wrong':>6} {'found':>6}"]
    for writer in FORMATS:
        own = [each for each in outcomes if each.format == writer]
        if not own:
            continue
        counts = Counter(each.outcome for each in own)
        shares = [each.found for each in own if each.found is not None]
        mean = f"{sum(shares) / len(shares):.2f}" if shares else "-"
        lines.append(
            f"{writer:8} {len(own):8} {counts['right']:6} {counts['refused']:8} "
            f"{counts['wrong']:6} {mean:>6}"
        )
    kinds = Counter(kind_of(each.reason) for each in outcomes if each.outcome == "refused")
    lines += ["", "refusals:"] if kinds else []
    lines += [f"{number:5}  {kind}" for kind, number in kinds.most_common()]
    return "\n".join(lines)


def main() -> None:
    """Parse the command line, run the drill, and end with 1 if a project is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--per-format", type=int, default=100, help="projects of each format")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--formats", default=",".join(FORMATS), help="separated by commas")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--json", type=Path, help="write every outcome to this file")
    arguments = parser.parse_args()
    asked = [writer for writer in FORMATS if writer in arguments.formats.split(",")]
    formats = available(asked)
    if missing := set(asked) - set(formats):
        print(f"left out, because pyspark or Java is not there: {', '.join(missing)}", flush=True)
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.per_format)
    tasks = [(writer, seed) for writer in formats for seed in seeds]
    outcomes: list[Outcome] = []
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with multiprocessing.get_context("spawn").Pool(arguments.jobs, _begin_worker) as pool:
        for outcome in pool.imap_unordered(_work, tasks):
            outcomes.append(outcome)
            if outcome.outcome == "wrong":
                print(f"WRONG {outcome.repeat}\n      {outcome.reason}", flush=True)
            if arguments.json:
                arguments.json.write_text(json.dumps([asdict(each) for each in outcomes], indent=1))
    print(table(outcomes))
    sys.exit(any(each.outcome == "wrong" for each in outcomes))


if __name__ == "__main__":
    main()
