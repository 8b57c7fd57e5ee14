"""`plan`: the placement of the tables on a cluster and its bottleneck, without a GPU."""

import logging
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from longtail.artifacts import RunPaths, read_json
from longtail.cli.earlier_stages import make_catalogue
from longtail.cli.options import AsOfOption, ConfigOption, JsonOption
from longtail.cli.output import output
from longtail.cli.tables.result_tables import grid
from longtail.config import Config, load_config
from longtail.errors import InputError, LongtailError
from longtail.fingerprints import required_stamp

if TYPE_CHECKING:
    from longtail.training.sharding.cluster import Cluster

_GIGABYTE = 2**30
_HBM_GIGABYTES = 80.0  # of an A100 or H100
_RANKS_A_NODE = 8
_GROUPS_SHOWN = 16
_RANKS_NAMED = 4

WorldSizeOption = Annotated[int, typer.Option("--world-size", min=1, help="Number of ranks.")]
DeviceOption = Annotated[
    str, typer.Option("--device", metavar="cuda|cpu", help="The device of a rank.")
]
HbmOption = Annotated[
    float | None,
    typer.Option(
        "--hbm-gb",
        min=0.001,
        help="Device memory of a rank in GiB; default: `sharding.hbm_gb`, else 80.",
        show_default=False,
    ),
]
DdrOption = Annotated[
    float | None,
    typer.Option(
        "--ddr-gb",
        min=0.001,
        help="Host memory of a rank in GiB; default: `sharding.ddr_gb`, else 128.",
        show_default=False,
    ),
]
LocalOption = Annotated[
    int | None,
    typer.Option(
        "--local-world-size", min=1, help="Ranks per machine; default: 8.", show_default=False
    ),
]
ScaleOption = Annotated[
    float,
    typer.Option(
        "--scale-vocabulary", min=1e-6, help="Factor on the rows of every exact vocabulary."
    ),
]
BatchOption = Annotated[
    int | None,
    typer.Option(
        "--batch-size",
        min=1,
        help="Examples per rank and step; default: the configuration's.",
        show_default=False,
    ),
]


def plan(
    world_size: WorldSizeOption,
    device: DeviceOption = "cuda",
    hbm_gb: HbmOption = None,
    ddr_gb: DdrOption = None,
    local_world_size: LocalOption = None,
    scale_vocabulary: ScaleOption = 1.0,
    batch_size: BatchOption = None,
    config: ConfigOption = None,
    as_of: AsOfOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the sharding plan, each rank's memory and the bottleneck (exit code 1: does not fit)."""
    with output(as_json) as out:
        if device not in ("cuda", "cpu"):
            raise InputError(f"--device {device} does not exist: give cuda or cpu")
        local = local_world_size or min(_RANKS_A_NODE, world_size)
        if world_size % local:
            raise InputError(
                f"{world_size} ranks are not whole machines of {local}: give --local-world-size"
            )
        project = _with_batch_size(load_config(config), batch_size)
        day = make_catalogue(project, as_of)
        # TorchRec logs while it is imported. Without a handler, Python would then add one to the
        # root logger, and that one would repeat every line of ours.
        logging.getLogger().addHandler(logging.NullHandler())

        from longtail.features.schema import Schema
        from longtail.features.vocabulary import SCHEMA_FILE, build_vocabularies
        from longtail.training.sharding.cluster import Cluster, host_bytes
        from longtail.training.sharding.cluster_plan import Model, lengths_in, plan_cluster
        from longtail.training.sharding.plan_alternatives import what_would_fit

        build_vocabularies(project, day)
        paths = RunPaths(project, day)
        schema = Schema.from_json(read_json(paths.vocabularies / SCHEMA_FILE))
        num_rows = required_stamp(paths.vocabularies, made_by="dataset")["num_rows"]
        lengths = lengths_in(paths.catalogue_files, schema)
        model = Model(schema, project, num_rows, lengths).scaled(scale_vocabulary)
        hbm = hbm_gb or project.sharding.hbm_gb or _HBM_GIGABYTES
        cluster = Cluster(
            world_size=world_size,
            local_world_size=local,
            device=device,
            hbm_bytes=int(hbm * _GIGABYTE) if device == "cuda" else 0,
            ddr_bytes=int(ddr_gb * _GIGABYTE) if ddr_gb else host_bytes(project.sharding),
        )
        document = plan_cluster(model, cluster)
        document["as_of"] = day.isoformat()
        document["scale_vocabulary"] = scale_vocabulary
        document["would_fit"] = [] if document["fits"] else what_would_fit(model, cluster)
        out.result(document, *_renderables(document, cluster))
        if not document["fits"]:
            raise LongtailError(_refusal(document))


def _with_batch_size(project: Config, batch_size: int | None) -> Config:
    if batch_size is None:
        return project
    training = project.training.model_copy(update={"batch_size": batch_size})
    sample = project.self_supervision.sample_size
    own = project.self_supervision.model_copy(
        update={"sample_size": min(sample, batch_size) if sample else None}
    )
    return project.model_copy(update={"training": training, "self_supervision": own})


def _refusal(document: dict[str, Any]) -> str:
    changes = [entry["change"] for entry in document["would_fit"]]
    cure = (
        f"any of these would fit: {'; '.join(changes)}"
        if changes
        else "no single change that was tried fits: try more ranks and smaller tables together"
    )
    return f"the tables do not fit into {document['world_size']} rank(s); {cure}"


def _renderables(document: dict[str, Any], cluster: "Cluster") -> list[Table | str]:
    parts: list[Table | str] = [_tables(document), _ranks(document, cluster), _limits(document)]
    parts += [f"Note: {note}" for note in document["notes"]]
    if document["would_fit"]:
        parts.append(_changes(document))
    return parts


def _tables(document: dict[str, Any]) -> Table:
    fits = "" if document["fits"] else ", if memory were unlimited"
    title = f"{document['world_size']} ranks on {document['device']}{fits}"
    table = grid("table", "#rows x dim", "#sharding", "kernel", "#GB", "#ranks", title=title)
    for entry in document["tables"]:
        half = " fp16" if entry["data_type"] == "fp16" else ""
        table.add_row(
            entry["name"],
            f"{entry['num_embeddings']:,} x {entry['dim']}",
            entry["sharding"],
            entry["kernel"] + half,
            _gigabytes(entry["bytes"]),
            _span(entry["ranks"]),
        )
    return table


def _ranks(document: dict[str, Any], cluster: "Cluster") -> Table:
    """Return one row for each group of ranks that hold the same; of many groups, the fullest."""
    groups: dict[tuple[str, str, str], list[int]] = {}
    fullest = sorted(document["ranks"], key=lambda rank: -(rank["hbm_bytes"] + rank["ddr_bytes"]))
    for rank in fullest:
        cells = (
            _gigabytes(rank["hbm_bytes"]),
            _gigabytes(rank["ddr_bytes"]),
            f"{rank['milliseconds']:.3f}",
        )
        groups.setdefault(cells, []).append(rank["rank"])
    table = grid(
        "#ranks", "#device GB", "#host GB", "#ms a step", title="Memory and lookup time of a rank"
    )
    for cells, ranks in list(groups.items())[:_GROUPS_SHOWN]:
        table.add_row(_span(sorted(ranks)), *cells)
    if len(groups) > _GROUPS_SHOWN:
        table.add_row(f"and {len(groups) - _GROUPS_SHOWN} more", "", "", "")
    table.add_section()
    on_device = cluster.device == "cuda"
    reserved = _gigabytes(document["capacity"]["reserved_bytes"])
    table.add_row("reserved", reserved if on_device else "", "" if on_device else reserved, "")
    table.add_row("of", _gigabytes(cluster.hbm_bytes), _gigabytes(cluster.ddr_bytes), "")
    return table


def _span(ranks: list[int]) -> str:
    """Return `0-7` for consecutive ranks, else the first few of them."""
    if len(ranks) > 1 and ranks == list(range(ranks[0], ranks[-1] + 1)):
        return f"{ranks[0]}-{ranks[-1]}"
    named = ", ".join(map(str, ranks[:_RANKS_NAMED]))
    more = len(ranks) - _RANKS_NAMED
    return f"{named} and {more} more" if more > 0 else named


def _limits(document: dict[str, Any]) -> str:
    memory, time = document["bottleneck"]["memory"], document["bottleneck"]["time"]
    where = {"hbm": "device", "ddr": "host"}[memory["resource"]]
    share = "more than all" if memory["share"] is None else f"{memory['share']:.1%}"
    return (
        f"Memory: rank {memory['rank']} uses {share} of the {where} memory that tables may have, "
        f"most of it for table {memory['table']}.\n"
        f"Time: rank {time['rank']} is the slowest with {time['milliseconds']:.3f} ms of lookups a "
        f"step ({time['relative_to_mean']:.2f} times the mean), most of it for table "
        f"{time['table']} and in the {time['part']}. These are the planner's estimates: a model of "
        "bandwidths, not a measurement."
    )


def _changes(document: dict[str, Any]) -> Table:
    columns = ("what would fit", "#device GB", "#host GB", "#ms a step")
    table = grid(*columns, title="Single changes, each tried with the planner; the fullest rank")
    for entry in document["would_fit"]:
        table.add_row(
            escape(entry["change"]),  # Rich would take its lists in brackets for styles
            _gigabytes(entry["hbm_bytes"]),
            _gigabytes(entry["ddr_bytes"]),
            f"{entry['milliseconds']:.3f}",
        )
    return table


def _gigabytes(num_bytes: int) -> str:
    return f"{num_bytes / _GIGABYTE:,.2f}"
