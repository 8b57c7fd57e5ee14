"""Vectors as a language model might give them: items of one cluster are alike."""

from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa

NUM_CLUSTERS, LENGTH = 6, 384


def texts(seed: int, clusters: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Vectors around the centre of their cluster; two of one cluster have a cosine of about 1/2."""
    centres = np.random.default_rng(0).normal(size=(NUM_CLUSTERS, LENGTH))
    noise = np.random.default_rng(seed).normal(size=(len(clusters), LENGTH))
    return (centres[clusters] + noise).astype(np.float32)


def moments(days: npt.NDArray[np.int64] | list[int]) -> pa.Array:
    """Noon of days in January 2024."""
    return pa.array(
        [datetime(2024, 1, int(day), 12, tzinfo=UTC) for day in days], pa.timestamp("us", "UTC")
    )
