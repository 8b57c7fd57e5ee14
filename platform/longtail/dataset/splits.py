"""Splits interactions into training, validation and test, the same way at every refresh."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from longtail.config import DatasetConfig
from longtail.errors import InputError
from longtail.features.hashing import stable_hash, unit_interval

TRAIN, VALIDATION, TEST, UNUSED = 0, 1, 2, 3
DAY_US = 86_400_000_000


def pair_position(
    query_ids: pa.Array, item_ids: pa.Array, *, unordered: bool
) -> npt.NDArray[np.float64]:
    """Place each pair in `[0, 1)` by a stable hash.

    Args:
        query_ids: `[n]` strings.
        item_ids: `[n]` strings.
        unordered: (a, b) and (b, a) get the same place: where queries and items share ids, both
            tell the same.
    """
    first, second = query_ids, item_ids
    if unordered:
        swap = pc.greater(query_ids, item_ids)
        first, second = pc.if_else(swap, item_ids, query_ids), pc.if_else(swap, query_ids, item_ids)
    # The length in front keeps ("ab", "c") and ("a", "bc") apart.
    length = pc.cast(pc.binary_length(first), pa.string())
    return unit_interval(stable_hash(pc.binary_join_element_wise(length, first, second, ":")))


def split_examples(
    place: npt.NDArray[np.float64], timestamps: npt.NDArray[np.int64], config: DatasetConfig
) -> npt.NDArray[np.int8]:
    """Assign every interaction to a part.

    The hash split goes by pair. The time split gives the newest days to the test part, and the days
    before them to validation. `training_fraction` keeps a hash-chosen share of the training part;
    a smaller share is a part of a larger one.

    Args:
        place: `[n]` places of the pairs, see `pair_position`.
        timestamps: `[n]` microseconds since 1970-01-01 UTC.
        config: the dataset section.

    Returns:
        `[n]` of TRAIN, VALIDATION, TEST or UNUSED.

    Raises:
        InputError: no interaction is left to train on.
    """
    if config.split == "hash":
        train_share = 1.0 - config.validation_fraction - config.test_fraction
        part = np.where(
            place < train_share,
            TRAIN,
            np.where(place < train_share + config.validation_fraction, VALIDATION, TEST),
        )
        unused = (part == TRAIN) & (place >= train_share * config.training_fraction)
    else:
        day = timestamps // DAY_US
        last = day.max(initial=0)
        part = np.where(
            day > last - config.test_days,
            TEST,
            np.where(day > last - config.test_days - config.validation_days, VALIDATION, TRAIN),
        )
        unused = (part == TRAIN) & (place >= config.training_fraction)
    part[unused] = UNUSED
    if not np.any(part == TRAIN):
        raise InputError(
            f"no interaction is left for training (split: {config.split}): "
            "give more interactions, or smaller validation and test parts"
        )
    return part.astype(np.int8)
