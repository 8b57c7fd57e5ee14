"""The sections about how training runs: the loop, checkpoints, reports, number formats."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from longtail.config.section import NO_UNIT, PositiveFloat, PositiveInt, Section, Unit

_VALIDATION_RECALL = "longtail.evaluation.validation:recall_at_50"


class TrainingConfig(Section):
    """The loop: batches, epochs, optimizers, ranks, restarts."""

    batch_size: Annotated[PositiveInt, Unit("examples per rank and step")] = Field(
        1024,
        description="Number of examples of a step on each rank, and so of in-batch negatives. "
        "Raise it on a GPU; lower it when a rank runs out of memory.",
    )
    num_epochs: Annotated[PositiveInt, Unit("epochs")] = Field(
        10,
        description="Passes over the training part from a cold start. Raise it while recall on the "
        "validation part still grows.",
    )
    warm_start: bool = Field(
        True,
        description="Start from the weights of the newest earlier version. Switch it off when the "
        "gate refuses a refresh, or after a large change of the data.",
    )
    warm_start_epochs: Annotated[PositiveInt, Unit("epochs")] = Field(
        3,
        description="Passes over the training part of a warm-started version, in place of "
        "`num_epochs`. Raise it when refreshes get worse from day to day.",
    )
    table_learning_rate: Annotated[PositiveFloat, NO_UNIT] = Field(
        0.04,
        description="Learning rate of the embedding tables (`sharding.optimizer`). Lower it when "
        "the loss is not finite, and with `sharding.optimizer: adagrad`.",
    )
    tower_learning_rate: Annotated[PositiveFloat, NO_UNIT] = Field(
        0.002,
        description="Learning rate of the towers' layers. Lower it when the loss is not finite.",
    )
    learning_rate_decay: Literal["none", "linear", "cosine"] = Field(
        "none",
        description="Course of both learning rates over the epochs: `none` keeps them, `linear` "
        "and `cosine` lower them to zero at the last epoch's end. Set it when a validation figure "
        "goes up and down late in training; then raise the rates or `num_epochs`.",
    )
    weight_decay: Annotated[float, Field(ge=0.0), NO_UNIT] = Field(
        0.0,
        description="Decoupled weight decay of the towers' layers and of the projections of dense "
        "features, as in AdamW: each step takes this times the learning rate from every weight, "
        "but not from biases. Raise it, such as to 0.1, when validation recall falls while the "
        "training loss does, too.",
    )
    table_weight_decay: Annotated[float, Field(ge=0.0, lt=1.0), Unit("share per epoch")] = Field(
        0.0,
        description="Share of every weight of the embedding tables that is taken away before each "
        "epoch but the first; `learning_rate_decay` lowers it, too. Raise it, such as to 0.1, when "
        "rare values overfit.",
    )
    average_epochs: Annotated[PositiveInt, Unit("epochs")] = Field(
        1,
        description="Number of last epochs whose mean weights become the model; 1 takes the "
        "weights as they are. Set it, such as to 4, when the validation figure varies from epoch "
        "to epoch. Every epoch then ends with a checkpoint, and this many are kept.",
    )
    average_tables: bool = Field(
        False,
        description="Let the mean of `average_epochs` cover the embedding tables, too. Without it, "
        "the towers are a mean, and the tables are those of the last epoch: better on the demo, "
        "where rare rows still learn. Try it with many epochs.",
    )
    early_stopping_epochs: Annotated[PositiveInt | None, Unit("epochs")] = Field(
        None,
        description="End training when the figure of `checkpoints.best_by`, or else recall@50 on "
        "the validation part, has not risen for this many epochs; the best epoch becomes the "
        "model. Without it, training runs for all epochs. Set it, such as to 2, with a generous "
        "`num_epochs`, when it is not known how many are needed.",
    )
    num_ranks: Annotated[PositiveInt, Unit("processes")] = Field(
        1,
        description="Training processes on this machine. Raise it for more cores or GPUs; a "
        "run can go on with another number.",
    )
    threads_per_rank: Annotated[PositiveInt | None, Unit("threads")] = Field(
        None,
        description="Threads of each rank. Without it, the machine's cores divided by the ranks. "
        "Set it to leave cores to other work.",
    )
    checkpoint_every_steps: Annotated[PositiveInt, Unit("steps")] = Field(
        500,
        description="Steps between two checkpoints; the last step always has one. Lower it when "
        "machines fail often; raise it when `seconds_checkpoint` in training.jsonl is above zero.",
    )
    keep_checkpoints: Annotated[PositiveInt, Unit("checkpoints")] = Field(
        2,
        description="Finished checkpoints of a run that stay on disk; one more is needed while it "
        "is written. Lower it when the disk is short.",
    )
    max_restarts: Annotated[int, Field(ge=0), Unit("restarts")] = Field(
        1,
        description="How often a start may restart all ranks from the last checkpoint after one "
        "died. Raise it on machines that fail often.",
    )
    log_every_steps: Annotated[PositiveInt, Unit("steps")] = Field(
        20,
        description="Steps between two lines of training.jsonl and of the log. Raise it for long "
        "runs.",
    )
    seed: Annotated[int, NO_UNIT] = Field(
        0,
        description="Seed of every random choice in training and evaluation. Another seed is "
        "another version; change it to see how far results vary.",
    )

    @property
    def goes_by_epochs(self) -> bool:
        """True if every epoch ends with a checkpoint, and only such a checkpoint can be best."""
        return self.average_epochs > 1 or self.early_stopping_epochs is not None


class CheckpointsConfig(Section):
    """The way checkpoints are written, and which one becomes the version's model."""

    asynchronous: bool = Field(
        True,
        description="Write checkpoints while training goes on. Each rank then holds a second copy "
        "of its tables and optimizer state in host memory. Switch it off where there is no room "
        "for the copy.",
    )
    best_by: str | None = Field(
        None,
        description="Figure by which the best checkpoint is kept and becomes the model; without "
        "it, the last one does. `training_loss` is the mean loss since the checkpoint before, and "
        "low is good. `module:function`, such as "
        "`longtail.evaluation.validation:recall_at_50` (or `:map_at_50`), is called with "
        "(encoder, training_set, config), and a high result is good. Set it when the model "
        "overfits.",
    )

    def measure(self, training: TrainingConfig) -> str | None:
        """Return the name of the figure by which the best checkpoint becomes the model, or None."""
        if self.best_by is None and training.early_stopping_epochs is not None:
            return _VALIDATION_RECALL
        return self.best_by

    @field_validator("best_by")
    @classmethod
    def _is_known(cls, value: str | None) -> str | None:
        if value not in (None, "training_loss") and ":" not in str(value):
            raise ValueError("must be `training_loss`, or a function as `module:function`")
        return value


class ReportingConfig(Section):
    """The reports of a training run, beside its JSON lines."""

    tensorboard: bool = Field(
        False,
        description="Also write the figures for TensorBoard, below `<home>/tensorboard`. Needs "
        "`pip install tensorboard`.",
    )
    profile_steps: Annotated[int, Field(ge=0), Unit("steps")] = Field(
        0,
        description="Number of early steps of rank 0 that torch.profiler follows. The trace, and "
        "`profile.json` with the seconds spent in communication and other parts, are written to "
        "the version's folder. Set it, such as to 20, to see where a step's time goes.",
    )


class ComputeConfig(Section):
    """The number format that training computes with. Results differ only by rounding."""

    products: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description="Number format of the towers' matrix products. `auto` is bfloat16 where the "
        "processor has it, else float32. Set `float32` to compare with a machine that has no "
        "bfloat16.",
    )
