"""Encoders of queries and items, known or new, into the vector space of the served version."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from longtail.artifacts import VersionPaths, read_json
from longtail.config import Config
from longtail.embeddings.versions import read_manifest, verify_version
from longtail.encoder.numpy_towers import NumpyTowers, load_numpy_towers
from longtail.features.schema import Schema, Side
from longtail.serving.feature_rows import Rows, encode_rows
from longtail.serving.served_version import Following, Shared
from longtail.serving.vocabulary_rows import ServedVocabulary, load_served_vocabularies


@dataclass(frozen=True)
class EncodedVectors:
    """Vectors, and the version that made them; only vectors of one version can be compared.

    Attributes:
        version: the version that made them.
        vectors: `[n, dim]` float32, unit length, in the order of the rows.
    """

    version: str
    vectors: npt.NDArray[np.float32]


@dataclass(frozen=True)
class VersionEncoder:
    """The encoder of one version, from raw feature values to vectors.

    Attributes:
        version: the version's name.
        towers: both towers and their tables.
        vocabularies: the vocabularies, by table name.
        history_length: the most items of a history that it was trained with; 0 without histories.
    """

    version: str
    towers: NumpyTowers
    vocabularies: dict[str, ServedVocabulary]
    history_length: int = 0

    @property
    def schema(self) -> Schema:
        """The features that the version reads."""
        return self.towers.schema

    def encode(self, side: Side, rows: Rows) -> EncodedVectors:
        """Encode raw feature values; see `QueryEncoder.encode`."""
        features = self.schema.side(side)
        encoded = encode_rows(rows, features, self.vocabularies, history_length=self.history_length)
        return EncodedVectors(self.version, self.towers.encode(side, encoded))


def _load(config: Config, version: str) -> VersionEncoder:
    paths = VersionPaths(config, version)
    # Only the files that encoding reads are hashed, since a process may do nothing else.
    folder = paths.vocabularies.relative_to(paths.folder).as_posix() + "/"
    listed = read_manifest(config, version)["files"]
    names = [paths.encoder.name, paths.schema.name, paths.config.name]
    names += [name for name in listed if name.startswith(folder)]
    verify_version(config, version, files=names)
    return VersionEncoder(
        version,
        load_numpy_towers(paths.folder),
        load_served_vocabularies(paths.vocabularies),
        # A version of an earlier release has no such section, and no histories.
        history_length=read_json(paths.config).get("history", {}).get("length", 0),
    )


load_version_encoder = Shared(_load)
"""Load the encoder of a committed version, after comparing its files with the manifest.

Raises:
    LongtailError: a file is missing or damaged.
"""


class _Encoder:
    """The encoder of one side's rows with the served version."""

    _side: Side

    def __init__(self, config: Config) -> None:
        self._following = Following(config, load_version_encoder)

    @property
    def features(self) -> list[str]:
        """The features that the served version reads, by name, the key first.

        Raises:
            LongtailError: nothing is published, or the version is damaged.
        """
        return [feature.name for feature in self._following.current().schema.side(self._side)]

    def encode(self, rows: Rows) -> EncodedVectors:
        """Encode raw feature values with the served version.

        A missing feature, a null and a value that training never saw count as not known: the
        model has a learned default for each feature. So a row needs no key, and may have a new one.
        Of a version with histories, a row may have nothing but `history`: ids of items, the newest
        first. The newest `history.length` of them count.

        Args:
            rows: a dict of values by feature name, a list of such dicts, or an Arrow table with one
                column for each feature, which is the quickest way for more than some hundred rows.
                Values are strings or integers; lists of them for a multi-valued feature; a number
                or a list of numbers for a dense feature.

        Returns:
            The `[n, dim]` unit vectors, and the version that made them.

        Raises:
            InputError: there is no row, a name is no feature, or a value is of another type; or a
                value of a dense feature is not finite or of another length.
            LongtailError: nothing is published, or the version is damaged.
        """
        return self._following.current().encode(self._side, rows)


class QueryEncoder(_Encoder):
    """The encoder of queries, known or new; follows publications without a restart.

    It needs neither Feast nor torch, so a process that only encodes stays small.
    """

    _side = "query"


class ItemEncoder(_Encoder):
    """The encoder of items, those that came after the training included; follows publications.

    An item of the catalogue, given the values that it was exported with, gets its exported vector.
    """

    _side = "item"
