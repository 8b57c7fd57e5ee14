"""The byte layout of rows of embeddings in Feast 0.67's stores; no other file knows it.

Publication writes rows as bytes, without Feast's objects, because making those takes most of the
time of `materialize`. The bytes must be those that Feast would have written: tests compare every
one with Feast's own, for each store.
"""

import struct
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
from feast import FeatureView, RepoConfig
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.helpers import _mmh3, compute_table_id, compute_versioned_name
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import FloatList, Value
from feast.utils import to_naive_utc
from google.protobuf.timestamp_pb2 import Timestamp

Float32Array = npt.NDArray[np.float32]

EMBEDDING, MODEL_VERSION, BIAS = FEATURES = ("embedding", "model_version", "bias")
"""The features of a slot. Rows of a version without biases have none, and neither have the views
of projects that an older release has made."""

_length = struct.Struct("<I")


class RowFormat:
    """Keys and values of one view, as bytes."""

    def __init__(self, config: RepoConfig, view: FeatureView) -> None:
        version = config.entity_key_serialization_version
        empty = EntityKey(join_keys=view.join_keys[:1], entity_values=[Value(string_val="")])
        # All that comes before the value's length, which is followed by the value itself.
        self.key_start: bytes = serialize_entity_key(empty, version)[: -_length.size]

    def keys(self, items: Sequence[str]) -> list[bytes]:
        """Serialize `[n]` string keys, as Feast's `serialize_entity_key` does."""
        start, pack = self.key_start, _length.pack
        return [start + pack(len(item)) + item for item in map(str.encode, items)]

    def items(self, keys: Sequence[bytes]) -> list[str]:
        """Return the string keys that `keys` serialized."""
        start = len(self.key_start) + _length.size
        return [key[start:].decode() for key in keys]

    def key_length(self, key: bytes) -> int | None:
        """Return the length of the key that `key` begins with; None if it begins with no key."""
        start = len(self.key_start)
        if not key.startswith(self.key_start) or len(key) < start + _length.size:
            return None
        return start + _length.size + int(_length.unpack_from(key, start)[0])

    @staticmethod
    def vectors(vectors: Float32Array) -> list[bytes]:
        """Serialize `[n, dim]` vectors as Feast's `Value` protos.

        A packed repeated float is a head that depends only on the number of floats, then their
        little-endian bytes. The head is taken from a proto of Feast's; the rest is the matrix's own
        memory.
        """
        num_rows, dim = vectors.shape
        zeros = Value(float_list_val=FloatList(val=[0.0] * dim)).SerializeToString()
        head = np.frombuffer(zeros[: len(zeros) - 4 * dim], np.uint8)
        block = np.empty((num_rows, len(zeros)), np.uint8)
        block[:, : len(head)] = head
        block[:, len(head) :] = np.ascontiguousarray(vectors, "<f4").view(np.uint8)
        content, size = block.tobytes(), len(zeros)
        return [content[start : start + size] for start in range(0, len(content), size)]

    @staticmethod
    def numbers(values: Float32Array) -> list[bytes]:
        """Serialize `[n]` numbers as Feast's `Value` protos."""
        return [Value(float_val=value).SerializeToString() for value in values.tolist()]

    @staticmethod
    def number(value: bytes) -> float:
        """Return the number that `numbers` serialized."""
        return float(Value.FromString(value).float_val)

    @staticmethod
    def floats(value: bytes) -> list[float]:
        """Return the floats of one serialized vector."""
        return list(Value.FromString(value).float_list_val.val)

    @staticmethod
    def text(value: str) -> bytes:
        """Serialize a string as Feast's `Value` proto."""
        return bytes(Value(string_val=value).SerializeToString())

    @staticmethod
    def string(value: bytes) -> str:
        """Return the string that `text` serialized."""
        return str(Value.FromString(value).string_val)


class SqliteFormat:
    """The layout of `SqliteOnlineStore`: one table per view, one row per key and feature."""

    def __init__(self, config: RepoConfig, view: FeatureView) -> None:
        versioned = config.registry.enable_online_feature_view_versioning
        name = compute_table_id(config.project, view, versioned).replace('"', '""')
        self.table = f'"{name}"'
        columns = ("value", "value_text", "event_ts", "created_ts")
        updates = ", ".join(f"{column} = excluded.{column}" for column in columns)
        self.upsert = (
            f"INSERT INTO {self.table} (entity_key, feature_name, {', '.join(columns)}) "
            "VALUES (?, ?, ?, ?, ?, NULL) "
            f"ON CONFLICT (entity_key, feature_name) DO UPDATE SET {updates}"
        )

    @staticmethod
    def timestamp(moment: datetime) -> int:
        """Return the seconds that Feast's adapter stores: the UTC clock, read as local time."""
        return int(to_naive_utc(moment).timestamp())


class RedisFormat:
    """The layout of `RedisOnlineStore`: one hash per key, with all views of its entity."""

    def __init__(self, config: RepoConfig, view: FeatureView) -> None:
        versioned = config.registry.enable_online_feature_view_versioning
        name = compute_versioned_name(view, versioned)
        self.project = config.project.encode()
        self.timestamp_field = f"_ts:{name}".encode()
        self.fields = [_mmh3(f"{name}:{feature}") for feature in FEATURES]

    @staticmethod
    def timestamp(moment: datetime) -> bytes:
        """Serialize a moment as a `Timestamp` proto."""
        proto = Timestamp()
        proto.FromDatetime(moment.astimezone(UTC))
        return bytes(proto.SerializeToString())
