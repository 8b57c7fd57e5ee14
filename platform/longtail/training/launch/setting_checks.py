"""Refuses settings of training that cannot work, before any rank starts."""

from longtail.artifacts import RunPaths
from longtail.config import Config
from longtail.errors import InputError
from longtail.fingerprints import required_stamp


def check_settings(config: Config, run: RunPaths) -> None:
    """Check that early stopping has a validation part, and that table weight decay reaches tables.

    Args:
        config: the whole configuration.
        run: the day, with a finished training set.

    Raises:
        InputError: a setting cannot work with the others, or with this training set.
    """
    training = config.training
    if training.early_stopping_epochs is not None:
        if config.checkpoints.best_by == "training_loss":
            raise InputError(
                "`training.early_stopping_epochs` needs a validation figure, and "
                "`checkpoints.best_by` is `training_loss`: remove `best_by`, which then is "
                "recall@50 on the validation part, or name a function"
            )
        if not required_stamp(run.training_set, made_by="dataset")["num_validation"]:
            raise InputError(
                "`training.early_stopping_epochs` measures on the validation part, and that of "
                f"{run.training_set} is empty: raise `dataset.validation_fraction` (or "
                "`dataset.validation_days`) and run `longtail dataset`, or remove "
                "`early_stopping_epochs`"
            )
    if training.table_weight_decay:
        # FBGEMM would write cached rows back over those that were shrunk in host memory.
        sharding = config.sharding
        for name in ("default", *sharding.tables):
            table = sharding.default if name == "default" else sharding.of(name)
            if "fused_uvm_caching" in (table.compute_kernels or ()):
                raise InputError(
                    f"`sharding` lets table {name} be cached (`fused_uvm_caching`), where "
                    "`training.table_weight_decay` does not reach it: remove one of the two"
                )
