"""The sections about how training runs: the loop, checkpoints, reports, number formats."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from longtail.config.section import PositiveFloat, PositiveInt, Section


class TrainingConfig(Section):
    """The loop: batches, epochs, optimizers, ranks, checkpoints."""

    batch_size: PositiveInt = Field(1024, description="examples a rank and step")
    num_epochs: PositiveInt = 10
    warm_start: bool = Field(True, description="start from the newest earlier version's tables")
    warm_start_epochs: PositiveInt = Field(3, description="epochs of a warm-started refresh")
    table_learning_rate: PositiveFloat = 0.04
    tower_learning_rate: PositiveFloat = 0.002
    num_ranks: PositiveInt = 1
    threads_per_rank: PositiveInt | None = Field(None, description="default: cores / ranks")
    checkpoint_every_steps: PositiveInt = 500
    keep_checkpoints: PositiveInt = 2
    max_restarts: Annotated[int, Field(ge=0)] = 1
    log_every_steps: PositiveInt = 20
    seed: int = 0


class CheckpointsConfig(Section):
    """How a training run is kept safe, and which checkpoint becomes the version's model."""

    asynchronous: bool = Field(
        True,
        description="write while training goes on; for that time the rank holds a second copy of "
        "its tables and optimizer state in host memory",
    )
    best_by: str | None = Field(
        None,
        description="the checkpoint that is best by this is kept, and becomes the model; default: "
        "the last one does. `training_loss` (mean since the checkpoint before; low is good), or "
        "`module:function`, called with (encoder, training_set, config), whose result is good "
        "when high, such as `longtail.evaluation.validation:recall_at_50`",
    )

    @field_validator("best_by")
    @classmethod
    def _is_known(cls, value: str | None) -> str | None:
        if value not in (None, "training_loss") and ":" not in str(value):
            raise ValueError("must be `training_loss`, or a function as `module:function`")
        return value


class ReportingConfig(Section):
    """What a training run tells beside its JSON lines."""

    tensorboard: bool = Field(
        False, description="also write the figures for TensorBoard, below `<home>/tensorboard`"
    )
    profile_steps: Annotated[int, Field(ge=0)] = Field(
        0,
        description="steps of rank 0 that torch.profiler follows, early in the run; its trace and "
        "the seconds in communication and other parts stand in the version's folder",
    )


class ComputeConfig(Section):
    """What training computes with; results differ by rounding alone."""

    products: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description="the towers' matrix products; auto is bfloat16 where the processor has it",
    )
