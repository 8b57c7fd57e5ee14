"""The section about how the embedding tables are spread over the ranks."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from longtail.config.section import Fraction, PositiveFloat, PositiveInt, Section


class TableShardingConfig(Section):
    """What TorchRec's planner may do with an embedding table (its `ParameterConstraints`).

    What a table leaves out it has from `sharding.default`.
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
        description="default: table_wise on a CPU; on CUDA also row_wise and table_row_wise. A CPU "
        "has table_wise, column_wise and data_parallel",
    )
    compute_kernels: tuple[Literal["fused", "fused_uvm", "fused_uvm_caching"], ...] | None = Field(
        None, description="default: fused; the others keep a table in host memory, on CUDA only"
    )
    data_type: Literal["fp32", "fp16"] | None = Field(None, description="default: fp32")
    min_partition: PositiveInt | None = Field(
        None, description="narrowest shard of column_wise; default: TorchRec's, 128"
    )
    cache_load_factor: Annotated[float, Field(gt=0.0, lt=1.0)] | None = Field(
        None,
        description="share of a fused_uvm_caching table in device memory; default: TorchRec's, 0.2",
    )


class ShardingConfig(Section):
    """How the embedding tables are spread over the ranks (training/SHARDING.md)."""

    default: TableShardingConfig = TableShardingConfig()
    tables: dict[str, TableShardingConfig] = Field({}, description="by embedding table")
    optimizer: Literal["adagrad", "row_wise_adagrad"] = Field(
        "row_wise_adagrad",
        description="of the tables; row_wise_adagrad keeps one number a row, adagrad one a weight",
    )
    hbm_gb: PositiveFloat | None = Field(
        None, description="device memory a rank; default: the device's, and 80 for `longtail plan`"
    )
    ddr_gb: PositiveFloat | None = Field(
        None, description="host memory a rank; default: TorchRec's, 128"
    )
    reserved_share: Fraction = Field(
        0.15, description="share of that memory for towers, activations and batches; at least"
    )

    def of(self, table: str) -> TableShardingConfig:
        """What holds for a table: its own settings, and the default ones for the rest."""
        own = self.tables.get(table, TableShardingConfig())
        chosen = {name: value for name, value in own if value is not None}
        return self.default.model_copy(update=chosen)

    @property
    def learned(self) -> dict[str, Any]:
        """What of it changes what a model learns, not only where its tables lie."""
        types = {table: self.of(table).data_type or "fp32" for table in sorted(self.tables)}
        return {
            "optimizer": self.optimizer,
            "data_type": self.default.data_type or "fp32",
            "data_types": types,
        }

    @property
    def unsplit(self) -> Self:
        """The same for one rank, which has nothing to split: every table lies there whole."""
        whole: dict[str, Any] = {"sharding_types": ("table_wise",), "compute_kernels": ("fused",)}
        tables = {name: table.model_copy(update=whole) for name, table in self.tables.items()}
        default = self.default.model_copy(update=whole)
        return self.model_copy(update={"default": default, "tables": tables})

    @model_validator(mode="after")
    def _can_resume(self) -> Self:
        for name in ("default", *self.tables):
            table = self.default if name == "default" else self.of(name)
            types = set(table.sharding_types or ())
            split = types & {"column_wise", "table_column_wise"}
            if self.optimizer == "row_wise_adagrad" and split:
                raise ValueError(
                    f"{name}: row_wise_adagrad keeps one number a row of every column shard, so a "
                    f"{split.pop()} table cannot resume on another number of ranks: use adagrad, "
                    "or another sharding type"
                )
            if table.data_type == "fp16" and "data_parallel" in types:
                raise ValueError(
                    f"{name}: a data_parallel table learns in its own data type, and fp16 is too "
                    "coarse for that: use fp32, or another sharding type"
                )
        return self
