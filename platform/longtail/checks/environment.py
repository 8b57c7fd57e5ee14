"""Checks of the machine: packages, Java, GPU, online store, disk space and memory."""

import importlib.metadata
import importlib.util
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from longtail.checks.check import check
from longtail.checks.inspected_project import CATEGORICAL, TABLE_OF, Inspection, values_of
from longtail.config import Config
from longtail.features.finding import Finding

MACHINE = "this machine"
CONFIGURATION = "the configuration"
MODULES = ("torch", "torchrec", "fbgemm_gpu", "feast", "dagster", "duckdb", "faiss", "safetensors")
"""Modules that a run imports. Module names, since FBGEMM comes from one of two packages."""

OLDEST_JAVA = 17
CUDA_TYPES = {"row_wise", "table_row_wise", "table_column_wise"}
"""Sharding types that exist on CUDA only."""
SECONDS = 3.0
"""Seconds that Redis has to answer."""
GIB = 2**30


@check("error")
def packages(inspection: Inspection) -> Iterator[Finding]:
    """Packages that a run of this configuration imports and that are missing, or installed in a
    version that longtail does not accept."""
    wanted = dict.fromkeys(MODULES, "make install")
    if inspection.config.correlation.engine == "spark":
        wanted["pyspark"] = "pip install 'longtail[spark]'"
    if inspection.config.reporting.tensorboard:
        wanted["tensorboard"] = "pip install 'longtail[tensorboard]'"
    for module, cure in wanted.items():
        if importlib.util.find_spec(module) is None:
            yield Finding(f"package `{module}` is not installed", cure, MACHINE, examples=(module,))
    for line in _requirements():
        requirement = Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        version = _version(requirement.name)
        if version is not None and not requirement.specifier.contains(version, prereleases=True):
            yield Finding(
                f"package `{requirement.name}` is version {version}, but longtail needs "
                f"{requirement.specifier}",
                "make install",
                *(MACHINE, None, None, 0, (f"{requirement.name}=={version}",)),
            )


@check("error")
def java(inspection: Inspection) -> Iterator[Finding]:
    """Java 17 or later is missing, but `correlation.engine: spark` needs it."""
    if inspection.config.correlation.engine != "spark":
        return
    found = java_version()
    if found is None or found < OLDEST_JAVA:
        yield Finding(
            "`correlation.engine: spark` needs Java 17 or later, and "
            + ("there is none" if found is None else f"there is Java {found}"),
            "install it on the PATH or point JAVA_HOME to it (Debian: apt-get install "
            "default-jre-headless), or set `correlation.engine: duckdb`",
            *(MACHINE, None, "correlation.engine"),
        )


@check("error")
def gpu(inspection: Inspection) -> Iterator[Finding]:
    """Sharding types or compute kernels that only CUDA has, on a machine without a GPU that torch
    can use."""
    asked = _asks_for_cuda(inspection.config)
    if not asked:
        return
    import torch

    if not torch.cuda.is_available():
        for column, value in asked.items():
            yield Finding(
                f"`{column}` is {value}, which needs an NVIDIA GPU, and torch finds none",
                "remove this setting, or run on a machine with a GPU (`nvidia-smi` must work, and "
                "`make install` must take the CUDA build)",
                *(CONFIGURATION, None, column, 0, (value,)),
            )


@check("error")
def online_store(inspection: Inspection) -> Iterator[Finding]:
    """Stores of `feature_store.yaml` that cannot be reached, or refuse: the registry, the online
    store and the offline store. Redis servers must answer within 3 seconds."""
    yield from inspection.notes("online_store")
    settings = inspection.online_store
    if getattr(settings, "type", None) != "redis":
        return
    from longtail.features.feast.definitions import redis_nodes

    for host, port in redis_nodes(settings.connection_string):
        error = redis_error(host, port)
        if error is not None:
            address = f"{host}:{port}"
            yield Finding(
                f"the online store, Redis at {address}, does not answer: {error}",
                "start it, or correct `online_store` in feature_store.yaml",
                str(inspection.config.feature_repo / "feature_store.yaml"),
                *(None, "online_store", 0, (address,)),
            )


@check("error")
def disk_space(inspection: Inspection) -> Iterator[Finding]:
    """Less free disk space under `home` than a run writes at the least.

    A run writes checkpoints of the embedding tables with their optimizer state, one more than it
    keeps, and three times the bytes that items, queries and interactions take in memory.
    """
    if inspection.schema is None:
        return
    sizes = table_bytes(inspection)
    data = sum(table.nbytes for table in inspection.known.values())
    needed = sum(sizes.values()) * (inspection.config.training.keep_checkpoints + 1) + 3 * data
    # A first run has not made `home` yet, but its disk is that of the nearest folder above.
    place = next(p for p in (inspection.config.home, *inspection.config.home.parents) if p.exists())
    free = shutil.disk_usage(place).free
    if free < needed:
        yield Finding(
            f"{place} has {free / GIB:.2f} GiB free, and a run writes at least "
            f"{needed / GIB:.2f} GiB",
            "free some space (old versions: lower `publication.keep_versions`; old days: delete "
            "them under `runs`), or set LONGTAIL_HOME to a folder on a larger disk",
            *(str(place), None, None, 0, _largest(sizes)),
        )


@check("error")
def memory(inspection: Inspection) -> Iterator[Finding]:
    """Less free memory than the embedding tables and their optimizer state take in training.

    With `checkpoints.asynchronous` they take it twice. Machines with an NVIDIA driver are skipped:
    `longtail plan` shows what the tables need there, rank by rank.
    """
    if inspection.schema is None or Path("/proc/driver/nvidia/version").exists():
        return
    sizes = table_bytes(inspection)
    copies = 2 if inspection.config.checkpoints.asynchronous else 1
    needed, free = sum(sizes.values()) * copies, available_memory()
    if free is not None and free < needed:
        row_wise = inspection.config.sharding.optimizer == "row_wise_adagrad"
        optimizer = "" if row_wise else "`sharding.optimizer: row_wise_adagrad` or "
        yield Finding(
            f"{free / GIB:.2f} GiB of memory are available, but the embedding tables with their "
            f"optimizer state take {needed / GIB:.2f} GiB",
            "shrink the largest tables (`dim`, `features.min_count`, `vocabulary: hash` with fewer "
            f"`buckets`), set {optimizer}`checkpoints.asynchronous: false`, or take a larger "
            "machine",
            *(MACHINE, None, None, 0, _largest(sizes)),
        )


def table_bytes(inspection: Inspection) -> dict[str, int]:
    """Return the bytes of each embedding table, weights and optimizer state, by its name."""
    assert inspection.schema is not None
    sizes = {}
    for table, features in inspection.schema.tables.items():
        first = features[0]
        if first.kind not in CATEGORICAL:
            continue
        num_rows = first.buckets
        if num_rows is None:
            # A table has one row for each distinct value of all the features that share it.
            values = [
                f"SELECT value FROM {values_of(f, f'{f.side}_rows', inspection.key(f.side))}"
                for f in features
                if TABLE_OF[f.side] in inspection.known
            ]
            union = " UNION ALL ".join(values)
            sql = f"SELECT count(DISTINCT value) AS num FROM ({union})"
            num_rows = inspection.row(sql)["num"] if values else 0
        sharding = inspection.config.sharding
        weight = 2 if sharding.of(table).data_type == "fp16" else 4
        row_wise = sharding.optimizer == "row_wise_adagrad"
        state = 4 if row_wise else 4 * first.dim  # a float32 sum for each row, or each weight
        sizes[table] = int(num_rows) * (weight * first.dim + state)
    return sizes


def _largest(sizes: dict[str, int]) -> tuple[dict[str, Any], ...]:
    """Return the three largest tables as examples of a finding."""
    named = sorted(sizes.items(), key=lambda entry: -entry[1])[:3]
    return tuple({"table": name, "bytes": size} for name, size in named)


def available_memory() -> int | None:
    """Return the bytes that this process may still take, None where Linux does not tell.

    The smaller of what the machine has available and what the control group (version 2) allows.
    """
    limits = []
    meminfo = Path("/proc/meminfo")
    if meminfo.is_file():
        found = re.search(r"MemAvailable:\s+(\d+) kB", meminfo.read_text())
        limits += [int(found[1]) * 1024] if found else []
    group = Path("/sys/fs/cgroup")
    if (group / "memory.max").is_file():
        most = (group / "memory.max").read_text().strip()
        if most.isdigit():
            limits.append(int(most) - int((group / "memory.current").read_text()))
    return min(limits, default=None)


def java_version() -> int | None:
    """Return the major version of the Java that Spark would start, None where there is none."""
    home = os.environ.get("JAVA_HOME")
    program = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    if program is None or not Path(program).is_file():
        return None
    done = subprocess.run([program, "-version"], capture_output=True, text=True, check=False)
    found = re.search(r'version "(?:1\.)?(\d+)', done.stderr + done.stdout)
    return int(found[1]) if found else None


def redis_error(host: str, port: int) -> str | None:
    """Return why no Redis answers at this address, None where one does."""
    try:
        with socket.create_connection((host, port), timeout=SECONDS) as connection:
            connection.settimeout(SECONDS)
            connection.sendall(b"PING\r\n")
            answer = connection.recv(64)
    except OSError as error:
        return str(error)
    # Redis is there if it answers with an error such as NOAUTH, or closes without a word because
    # it expects TLS.
    return None if answer[:1] in (b"+", b"-") or not answer else "it does not speak Redis"


def _asks_for_cuda(config: Config) -> dict[str, str]:
    """Return the sharding settings that no CPU can satisfy, {key: values}."""
    asked = {}
    for name in ("default", *config.sharding.tables):
        table = config.sharding.default if name == "default" else config.sharding.of(name)
        prefix = "sharding.default" if name == "default" else f"sharding.tables.{name}"
        if table.sharding_types and set(table.sharding_types) <= CUDA_TYPES:
            asked[f"{prefix}.sharding_types"] = ", ".join(table.sharding_types)
        if table.compute_kernels and "fused" not in table.compute_kernels:
            asked[f"{prefix}.compute_kernels"] = ", ".join(table.compute_kernels)
    return asked


def _requirements() -> list[str]:
    try:
        return importlib.metadata.requires("longtail") or []
    except importlib.metadata.PackageNotFoundError:
        return []  # longtail runs from a checkout that is not installed


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
