"""`mine`, `dataset`, `train`, `evaluate`, `export`, `publish`: the flow up to one stage.

Each command first makes the stages that it needs. A stage is not made again while its inputs stay
the same.
"""

from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer

from longtail.cli.earlier_stages import make_catalogue, make_correlations, make_training_set
from longtail.cli.options import AsOfOption, ConfigOption, JsonOption, MeasureOption
from longtail.cli.output import output
from longtail.cli.tables import correlation_tables, health_tables
from longtail.cli.tables import result_tables as tables
from longtail.cli.tables.correlation_tables import CorrelationMatrix
from longtail.cli.training_bar import TrainingBar, training_bar
from longtail.config import Config, config_file, load_config
from longtail.errors import GateRefusedError

RanksOption = Annotated[
    int | None,
    typer.Option("--num-ranks", min=1, help="Training processes; default: the configuration's."),
]
BaselinesOption = Annotated[
    bool, typer.Option("--baselines", help="Show simpler methods, such as item kNN, beside it.")
]


def mine(
    config: ConfigOption = None,
    as_of: AsOfOption = None,
    measure: MeasureOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how item features correlate, and which are masked together."""
    with output(as_json) as out:
        project = load_config(config)
        day = make_catalogue(project, as_of)
        document = make_correlations(project, day, measure)
        out.result(
            document,
            CorrelationMatrix(document),
            correlation_tables.masking_plan(document),
            correlation_tables.associations(document),
        )


def dataset(
    config: ConfigOption = None, as_of: AsOfOption = None, as_json: JsonOption = False
) -> None:
    """Make the encoded training set of a day."""
    with output(as_json) as out:
        project = load_config(config)
        day = make_catalogue(project, as_of)
        document = {"as_of": day.isoformat(), **make_training_set(project, day)}
        out.result(document, tables.facts(document))


def train(
    config: ConfigOption = None,
    as_of: AsOfOption = None,
    num_ranks: RanksOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train the two towers of a day."""
    with output(as_json) as out:
        project = load_config(config)
        day = make_catalogue(project, as_of)
        with training_bar(out.progress, wanted=not as_json) as bar:
            document = _model(project, config, day, num_ranks, bar)
        out.result(document, tables.facts(document))


def evaluate(
    config: ConfigOption = None,
    as_of: AsOfOption = None,
    baselines: BaselinesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Measure a day's model, and ask the gate (exit code 3: refused)."""
    with output(as_json) as out:
        project = load_config(config)
        day = make_catalogue(project, as_of)
        document, refusal = _evaluation(project, config, day, baselines=baselines)
        verdict = "approved" if refusal is None else "refused"
        health = health_tables.health(document["health"])
        line = f"{document['version']}: {verdict}"
        out.result(document, tables.metrics(document), health, line)
        if refusal is not None:
            raise refusal


def export(
    config: ConfigOption = None, as_of: AsOfOption = None, as_json: JsonOption = False
) -> None:
    """Write the approved model's embeddings of the whole catalogue, and their index."""
    with output(as_json) as out:
        project = load_config(config)
        day = make_catalogue(project, as_of)
        document = _committed_version(project, config, day)
        out.result(document, tables.facts(document))


def publish(
    config: ConfigOption = None, as_of: AsOfOption = None, as_json: JsonOption = False
) -> None:
    """Write the approved version to the online store, and serve it."""
    with output(as_json) as out:
        project = load_config(config)
        day = make_catalogue(project, as_of)
        _committed_version(project, config, day)
        from longtail.embeddings.publish import publish as publish_embeddings
        from longtail.embeddings.publish import publish_query_features

        publish_query_features(project, day)
        document = publish_embeddings(project, day)
        out.result(document, tables.facts(document))


def _model(
    project: Config,
    config: Path | None,
    day: date,
    num_ranks: int | None = None,
    bar: TrainingBar | None = None,
) -> dict[str, Any]:
    from longtail.training.launch.launcher import train as train_model

    make_training_set(project, day)
    make_correlations(project, day)
    on_progress = None if bar is None else bar.record
    return train_model(config_file(config), day, num_ranks=num_ranks, on_progress=on_progress)


def _evaluation(
    project: Config, config: Path | None, day: date, *, baselines: bool
) -> tuple[dict[str, Any], GateRefusedError | None]:
    from longtail.evaluation.evaluate import evaluate_version
    from longtail.evaluation.gate import approve

    version = _model(project, config, day)["version"]
    document = evaluate_version(project, version, baselines=baselines)
    refusal = None
    try:
        approve(project, day)
    except GateRefusedError as error:
        refusal = error
    return {**document, "approved": refusal is None}, refusal


def _committed_version(project: Config, config: Path | None, day: date) -> dict[str, Any]:
    from longtail.embeddings.export import export_catalogue
    from longtail.embeddings.index import build_index

    _, refusal = _evaluation(project, config, day, baselines=False)
    if refusal is not None:
        raise refusal
    exported = export_catalogue(project, day)
    return {**exported, **build_index(project, day)}
