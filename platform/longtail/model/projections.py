"""The projections: learned linear maps from dense features to embeddings."""

import torch
from torch import nn

from longtail.features.schema import Schema

# The initial standard deviation of an embedding's numbers. Embeddings that are looked up in tables
# of some thousand rows start at about the same size.
_DEVIATION = 0.02


def projections(schema: Schema) -> nn.ParameterDict:
    """Return the projections `[dim, length]` of dense features, by table name.

    They have no bias: the first layer of a tower has one. Dense values are normalised, so that an
    embedding starts with numbers of about the same size, whatever the length of its vector.

    Args:
        schema: the features, with the scales of the dense ones.
    """
    return nn.ParameterDict(
        {
            table: nn.Parameter(
                torch.empty(features[0].dim, features[0].length).normal_(0.0, _DEVIATION)
            )
            for table, features in schema.projections.items()
        }
    )
