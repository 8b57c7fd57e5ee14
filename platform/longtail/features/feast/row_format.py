"""How Feast 0.67 lays out the rows of a view of embeddings: the one file that knows it.

Publication writes rows as bytes, past Feast's objects, because building those takes most of the
time of `materialize`. What is written must be what Feast would have written: tests compare every
byte with Feast's own, for each store.
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

EMBEDDING, MODEL_VERSION = "embedding", "model_version"
FEATURES = [EMBEDDING, MODEL_VERSION]

_length = struct.Struct("<I")


class RowFormat:
    """Keys and values of one view, as bytes."""

    def __init__(self, config: RepoConfig, view: FeatureView) -> None:
        version = config.entity_key_serialization_version
        empty = EntityKey(join_keys=view.join_keys[:1], entity_values=[Value(string_val="")])
        # Up to the length of the value, which is the last thing before the value itself.
        self.key_start: bytes = serialize_entity_key(empty, version)[: -_length.size]

    def keys(self, items: Sequence[str]) -> list[bytes]:
        """`serialize_entity_key` of `[n]` string keys."""
        start, pack = self.key_start, _length.pack
        return [start + pack(len(item)) + item for item in map(str.encode, items)]

    def items(self, keys: Sequence[bytes]) -> list[str]:
        """What `keys` was made from."""
        start = len(self.key_start) + _length.size
        return [key[start:].decode() for key in keys]

    def key_length(self, key: bytes) -> int | None:
        """How long the key is that these bytes begin with; None where they begin with none."""
        start = len(self.key_start)
        if not key.startswith(self.key_start) or len(key) < start + _length.size:
            return None
        return start + _length.size + int(_length.unpack_from(key, start)[0])

    @staticmethod
    def vectors(vectors: Float32Array) -> list[bytes]:
        """The `Value` protos of `[n, dim]` vectors, serialized.

        A packed repeated float is its little-endian bytes after a head that depends on their number
        alone: the head is taken from a proto of Feast's, the rest is the matrix's own memory.
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
    def floats(value: bytes) -> list[float]:
        """What a row of `vectors` was made from."""
        return list(Value.FromString(value).float_list_val.val)

    @staticmethod
    def text(value: str) -> bytes:
        """The `Value` proto of a string, serialized."""
        return bytes(Value(string_val=value).SerializeToString())

    @staticmethod
    def string(value: bytes) -> str:
        """What `text` was made from."""
        return str(Value.FromString(value).string_val)


class SqliteFormat:
    """One table a view, one row a key and feature, as `SqliteOnlineStore` has them."""

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
        """What Feast's adapter stores: seconds of the UTC clock, read as if it were local."""
        return int(to_naive_utc(moment).timestamp())


class RedisFormat:
    """One hash a key, of all views of its entity, as `RedisOnlineStore` has them."""

    def __init__(self, config: RepoConfig, view: FeatureView) -> None:
        versioned = config.registry.enable_online_feature_view_versioning
        name = compute_versioned_name(view, versioned)
        self.project = config.project.encode()
        self.timestamp_field = f"_ts:{name}".encode()
        self.fields = [_mmh3(f"{name}:{feature}") for feature in FEATURES]

    @staticmethod
    def timestamp(moment: datetime) -> bytes:
        """A `Timestamp` proto, serialized."""
        proto = Timestamp()
        proto.FromDatetime(moment.astimezone(UTC))
        return bytes(proto.SerializeToString())
