"""Where the counting runs: DuckDB inside this process, or a Spark cluster, by configuration."""

import os
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import ibis
from ibis.expr.types import Table

from longtail.config import CorrelationConfig
from longtail.errors import InputError, LongtailError

# What the figures must not depend on; the rest of Spark's settings is the configuration's.
_SPARK_SETTINGS = {"spark.sql.session.timeZone": "UTC", "spark.app.name": "longtail mine"}


@contextmanager
def connected(settings: CorrelationConfig) -> Iterator[Any]:
    """An ibis backend with a `read_parquet`, for one call: nothing is left in its memory.

    Raises:
        InputError: Spark is asked for, and PySpark or a JVM is missing.
        LongtailError: Spark does not start.
    """
    if settings.engine == "spark":
        backend = _connect_spark(settings.spark)
        try:
            yield backend
        finally:
            backend.disconnect()
        return
    with tempfile.TemporaryDirectory(prefix="longtail-mine-") as spill:
        backend = ibis.duckdb.connect(
            memory_limit=f"{settings.memory_gib}GiB", temp_directory=spill
        )
        try:
            yield backend
        finally:
            backend.disconnect()


def held(table: Table) -> Table:
    """The same rows, computed once, and kept by the engine until its connection ends."""
    backend = table.get_backend()
    if backend.name == "pyspark":
        return table.cache()
    # What `cache` makes, ibis 12 cannot drop again on DuckDB 2.0.
    return backend.create_table(f"held_{uuid.uuid4().hex}", table, temp=True)


def num_threads() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def _connect_spark(settings: Mapping[str, str]) -> Any:
    try:
        from pyspark.errors import PySparkException, PySparkRuntimeError
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise InputError(
            "`correlation.engine: spark` needs PySpark: pip install 'longtail[spark]'"
        ) from error
    builder = SparkSession.builder
    for name, value in {**_SPARK_SETTINGS, **settings}.items():
        builder = builder.config(name, value)
    try:
        session = builder.getOrCreate()
    except PySparkRuntimeError as error:
        raise InputError(
            "`correlation.engine: spark` needs Java 17 or later, as `java` or by JAVA_HOME; on "
            f"Debian: apt-get install default-jre-headless ({error})"
        ) from error
    except (PySparkException, OSError) as error:
        raise LongtailError(f"Spark does not start: {error}") from error
    return ibis.pyspark.connect(session)
