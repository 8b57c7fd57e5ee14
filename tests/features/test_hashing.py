import hashlib

import numpy as np
import pyarrow as pa

from longtail.features.hashing import stable_hash, unit_interval


def test_the_hash_is_the_head_of_md5_on_every_machine() -> None:
    values = ["nginx", "", "naïve 🙂", "a\x00b"]
    expected = [int.from_bytes(hashlib.md5(value.encode()).digest()[:8], "big") for value in values]
    assert stable_hash(pa.array(values)).tolist() == expected


def test_integers_hash_as_their_text() -> None:
    assert stable_hash(pa.array([7])).tolist() == stable_hash(pa.array(["7"])).tolist()


def test_unit_interval_is_even_and_below_one() -> None:
    places = unit_interval(stable_hash(pa.array([str(n) for n in range(20_000)])))
    counts, _ = np.histogram(places, bins=20, range=(0, 1))
    # Chi-square with 19 degrees of freedom: 43.8 is its 99.9% point.
    assert ((counts - 1000) ** 2 / 1000).sum() < 43.8
    assert unit_interval(np.array([2**64 - 1], np.uint64))[0] < 1.0
