"""Checks configuration, definitions, tables and machine before a run writes anything."""

import logging
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from longtail.artifacts import RunPaths, parse_version_day, published_pointer, read_json
from longtail.checks.check import Check
from longtail.checks.inspected_project import Inspection, Served
from longtail.checks.registry import CHECKS, run_checks, unknown_checks
from longtail.checks.report import Problem, Report
from longtail.config import Config
from longtail.config.data import RepeatedWeights
from longtail.errors import InputError, LongtailError
from longtail.features.feast.definitions import open_store
from longtail.features.feast.history import known_rows, newest_day
from longtail.features.feast.online_connection import online_failure
from longtail.features.feast.refused_rows import Admitted, write_quarantine
from longtail.features.feast.repository import FeatureRepository
from longtail.features.feast.sources import describe, source_findings
from longtail.features.feast.store_errors import StoreError
from longtail.features.feast.store_settings import KEYS
from longtail.features.finding import TABLES, Finding, TableName
from longtail.features.schema import Schema
from longtail.fingerprints import required_stamp

log = logging.getLogger("longtail.features")


def check_project(config: Config, as_of: date | None) -> Report:
    """Run all checks and report every problem.

    The only files written are the refused rows, in `runs/<as_of>/quarantine`.

    Args:
        config: the project.
        as_of: the day, or None for the newest day of the interactions.
    """
    return _report(inspect_project(config, as_of), CHECKS)


def check_tables(config: Config, as_of: date) -> Report:
    """Run the checks of the three tables only.

    Raises:
        InputError: the tables cannot be read, because the configuration or the definitions are
            wrong.
        LongtailError: they cannot be read, because one of Feast's stores failed.
    """
    inspection = inspect_project(config, as_of)
    failures = "; ".join(finding.message for finding in inspection.notes("online_store"))
    if failures and not all(table in inspection.admitted for table in TABLES):
        raise LongtailError(failures)
    if inspection.schema is None:
        raise InputError("; ".join(finding.message for _, finding in inspection.noted))
    return _report(inspection, [check for check in CHECKS if check.tables])


def check_machine(config: Config, as_of: date) -> Report:
    """Run the checks of the configuration and the machine only, on the day's finished catalogue.

    Raises:
        LongtailError: the day has no catalogue yet.
    """
    catalogue = RunPaths(config, as_of).catalogue_files
    required_stamp(catalogue.folder, made_by="dataset")
    store = open_store(config)
    reading = _Reading(noted=[("configuration", each) for each in unknown_checks(config.checks)])
    reading.note(online_failure(store))
    inspection = Inspection(
        config,
        as_of,
        tuple(reading.noted),
        Schema.from_json(read_json(catalogue.schema)),
        known={
            "items": pq.read_table(catalogue.item_history),
            "queries": pq.read_table(catalogue.query_history),
            "interactions": pq.read_table(catalogue.interactions),
        },
        online_store=store.config.online_store,
    )
    return _report(inspection, [check for check in CHECKS if not check.tables])


def _report(inspection: Inspection, checks: Sequence[Check]) -> Report:
    """Run checks, write the refused rows, and close the inspection."""
    try:
        problems = [
            Problem(check.name, severity, finding)
            for check, severity, finding in run_checks(inspection, checks)
            if severity != "ignore"
        ]
    finally:
        inspection.close()
    problems.sort(key=lambda problem: problem.severity != "error")
    refused = {}
    if inspection.as_of is not None and inspection.admitted:
        refused = write_quarantine(inspection.config, inspection.as_of, inspection.admitted)
    return Report(inspection.as_of, tuple(problems), refused)


def inspect_project(config: Config, as_of: date | None) -> Inspection:
    """Read all that the catalogue of a day needs, as far as it can be read.

    If the project's Feast registry is embedded, the definitions are applied to a temporary one in
    its place. A registry that others share has these definitions anyway, so they are applied to
    it, which keeps the published slot.
    """
    reading = _Reading(noted=[("configuration", each) for each in unknown_checks(config.checks)])
    with tempfile.TemporaryDirectory(prefix="longtail-") as folder:
        try:
            repository = FeatureRepository(config.model_copy(update={"home": Path(folder)}))
            # The registry did not move with `home`, so it is a shared one.
            if folder not in str(getattr(repository.store.config.registry, "path", "")):
                repository = FeatureRepository(config)
            reading.online_store = repository.store.config.online_store
            reading.define(repository)
        except StoreError as error:
            reading.note(error)
        except InputError as error:
            source = str(config.feature_repo)
            reading.noted += [("feature_definitions", each) for each in _findings(error, source)]
        if reading.schema is not None:
            for table in TABLES:
                reading.read(repository, table)
    day = reading.know(as_of, config.features.repeated_weights)
    return Inspection(
        config,
        day,
        tuple(reading.noted),
        reading.schema,
        reading.sources,
        reading.admitted,
        reading.known,
        _served(config),
        reading.online_store,
    )


@dataclass
class _Reading:
    """The parts of a project read so far, and findings about the parts that could not be."""

    noted: list[tuple[str, Finding]] = field(default_factory=list)
    schema: Schema | None = None
    sources: dict[TableName, str] = field(default_factory=dict)
    admitted: dict[TableName, Admitted] = field(default_factory=dict)
    known: dict[TableName, pa.Table] = field(default_factory=dict)
    online_store: object = None

    def define(self, repository: FeatureRepository) -> None:
        """Apply the definitions, derive the schema, and look whether the online store answers."""
        try:
            repository.apply()
        except StoreError as error:
            if error.store != "online store":
                raise
            # The registry may have the definitions all the same. Then the tables can be read.
            self.note(error)
            with suppress(InputError):
                self.schema = repository.schema()
            return
        self.schema = repository.schema()
        self.note(online_failure(repository.store))

    def note(self, failure: StoreError | None) -> None:
        """Note that one of Feast's stores failed, once, however many tables it holds."""
        if failure is None:
            return
        source, key = "feature_store.yaml", KEYS[failure.store]
        noted = ("online_store", Finding(failure.what, failure.cure, source, column=key))
        if noted not in self.noted:
            self.noted.append(noted)

    def read(self, repository: FeatureRepository, table: TableName) -> None:
        """Read one table, or note what is wrong with it."""
        check, name = "table_schema", str(table)
        try:
            source, columns = repository.source(table)
            name = self.sources[table] = describe(source)
            findings = source_findings(source, columns, table)
            self.noted += [("table_schema", each) for each in findings]
            if not findings:
                check = "empty_tables"
                self.admitted[table] = repository.admitted(table)
        except StoreError as error:
            self.note(error)
        except InputError as error:
            self.noted += [(check, each) for each in _findings(error, name, table)]

    def know(self, as_of: date | None, repeated: RepeatedWeights) -> date | None:
        """Keep the rows known by the day, and return the day.

        Without `as_of` it is the newest day of the interactions. If they cannot be read, None is
        returned, and the other tables are kept as known by yesterday.
        """
        interactions = self.admitted.get("interactions")
        if as_of is None and interactions is not None and interactions.rows.num_rows:
            as_of = newest_day(interactions.rows, interactions.source)
        day = as_of or datetime.now(UTC).date() - timedelta(days=1)
        for table, admitted in self.admitted.items():
            try:
                self.known[table] = known_rows(table, admitted.rows, day, admitted.source, repeated)
            except InputError as error:
                found = _findings(error, admitted.source, table)
                self.noted += [("empty_tables", each) for each in found]
        return as_of


def _findings(error: InputError, source: str, table: TableName | None = None) -> list[Finding]:
    """Return the problems of an error, each split into what is wrong and what to do."""
    return [
        replace(Finding.of(problem, source), table=table)
        for problem in error.problems or (str(error),)
    ]


def _served(config: Config) -> Served | None:
    """Return the catalogue that the served version was made from, if it is still on disk."""
    pointer = published_pointer(config)
    if not pointer.is_file():
        return None
    version = str(read_json(pointer)["version"])
    catalogue = RunPaths(config, parse_version_day(version)).catalogue_files
    files = (catalogue.schema, catalogue.items, catalogue.queries)
    if not all(file.is_file() for file in files):
        log.info(
            "drift is not checked: %s, the catalogue of the served version, is gone",
            catalogue.folder,
        )
        return None
    schema = Schema.from_json(read_json(catalogue.schema))
    return Served(version, schema, pq.read_table(catalogue.items), pq.read_table(catalogue.queries))
