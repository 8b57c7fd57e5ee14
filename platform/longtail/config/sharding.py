"""The section about the placement of the embedding tables on the ranks."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from longtail.config.section import Fraction, PositiveFloat, PositiveInt, Section, Unit

_OpenShare = Annotated[float, Field(gt=0.0, lt=1.0), Unit("share")]


class TableShardingConfig(Section):
    """The limits on TorchRec's planner for one table (its `ParameterConstraints`).

    A key that a table leaves out comes from `sharding.default`.
    """

    sharding_types: (
        tuple[
            Literal[
                "table_wise",
                "column_wise",
                "row_wise",
                "table_row_wise",
                "table_column_wise",
                "data_parallel",
            ],
            ...,
        ]
        | None
    ) = Field(
        None,
        description="Ways in which the table may be split; the planner picks the best one. Without "
        "it, `table_wise` on a CPU, and on CUDA also `row_wise` and `table_row_wise`. A CPU has "
        "only `table_wise`, `column_wise` and `data_parallel`. Set it when a table is larger than "
        "a rank.",
    )
    compute_kernels: tuple[Literal["fused", "fused_uvm", "fused_uvm_caching"], ...] | None = Field(
        None,
        description="Places where the table may live. Without it, `fused`. The others keep the "
        "table in host memory, and exist on CUDA only. Set them when a table does not fit in "
        "device memory.",
    )
    data_type: Literal["fp32", "fp16"] | None = Field(
        None,
        description="Number format of the table's weights. Without it, `fp32`. `fp16` halves the "
        "memory of the weights; optimizer state stays in fp32.",
    )
    min_partition: Annotated[PositiveInt | None, Unit("columns")] = Field(
        None,
        description="Narrowest shard of a `column_wise` table. Without it, TorchRec's default, "
        "128. Lower it to spread a narrow table over more ranks.",
    )
    cache_load_factor: _OpenShare | None = Field(
        None,
        description="Share of a `fused_uvm_caching` table that is cached in device memory. Without "
        "it, TorchRec's default, 0.2. Raise it for faster lookups where there is room.",
    )


class ShardingConfig(Section):
    """The placement of the embedding tables on the ranks (training/SHARDING.md)."""

    default: TableShardingConfig = Field(
        TableShardingConfig(),
        description="Limits on the planner, for every key that a table does not set itself.",
    )
    tables: dict[str, TableShardingConfig] = Field(
        {},
        description="Limits on the planner by the name of an embedding table. Set them for the few "
        "largest tables.",
    )
    optimizer: Literal["adagrad", "row_wise_adagrad"] = Field(
        "row_wise_adagrad",
        description="Optimizer of the tables. `row_wise_adagrad` keeps one number per row, "
        "`adagrad` one per weight. Choose `adagrad` for `column_wise` tables.",
    )
    hbm_gb: Annotated[PositiveFloat | None, Unit("GiB per rank")] = Field(
        None,
        description="Device memory that the planner may count on. Without it, the device's own, "
        "and 80 for `longtail plan`. Lower it when other processes use the device.",
    )
    ddr_gb: Annotated[PositiveFloat | None, Unit("GiB per rank")] = Field(
        None,
        description="Host memory that the planner may count on. Without it, TorchRec's default, "
        "128. Set it to what the machine has for each rank.",
    )
    reserved_share: Fraction = Field(
        0.15,
        description="Smallest share of that memory that is kept for towers, activations and "
        "batches. Raise it when a rank runs out of memory in training.",
    )

    def of(self, table: str) -> TableShardingConfig:
        """Return the limits of a table: its own, and those of `default` for the rest."""
        own = self.tables.get(table, TableShardingConfig())
        chosen = {name: value for name, value in own if value is not None}
        return self.default.model_copy(update=chosen)

    @property
    def learned(self) -> dict[str, Any]:
        """The settings that change what a model learns, and not only where its tables lie."""
        types = {table: self.of(table).data_type or "fp32" for table in sorted(self.tables)}
        return {
            "optimizer": self.optimizer,
            "data_type": self.default.data_type or "fp32",
            "data_types": types,
        }

    @property
    def unsplit(self) -> Self:
        """The same settings for one rank. It has nothing to split, so every table is whole."""
        whole: dict[str, Any] = {"sharding_types": ("table_wise",), "compute_kernels": ("fused",)}
        tables = {name: table.model_copy(update=whole) for name, table in self.tables.items()}
        default = self.default.model_copy(update=whole)
        return self.model_copy(update={"default": default, "tables": tables})

    @model_validator(mode="after")
    def _can_resume(self) -> Self:
        for name in ("default", *self.tables):
            # A table is judged by its own settings together with those of `default`.
            table = self.default if name == "default" else self.of(name)
            types = set(table.sharding_types or ())
            split = types & {"column_wise", "table_column_wise"}
            if self.optimizer == "row_wise_adagrad" and split:
                raise ValueError(
                    f"{name}: row_wise_adagrad keeps one number a row of every column shard, so a "
                    f"{split.pop()} table cannot resume on another number of ranks: set "
                    "`sharding.optimizer: adagrad`, or another sharding type"
                )
            if table.data_type == "fp16" and "data_parallel" in types:
                raise ValueError(
                    f"{name}: a data_parallel table learns in its own data type, and fp16 is too "
                    "coarse for that: set `data_type: fp32`, or another sharding type"
                )
        return self
