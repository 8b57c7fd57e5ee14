"""Projections: what makes an embedding of a dense feature."""

import torch
from torch import nn

from longtail.features.schema import Schema

# Of the numbers of an embedding at first: looked-up ones of tables of some thousand rows are alike.
_DEVIATION = 0.02


def projections(schema: Schema) -> nn.ParameterDict:
    """The learned linear maps `[dim, length]` of dense features to embeddings, by table name.

    They have no bias, which the first layer of a tower has. Values are normalised, so that an
    embedding has numbers of about the same size at first, whatever the length of its vector.

    Args:
        schema: with the scales of its dense features.
    """
    return nn.ParameterDict(
        {
            table: nn.Parameter(
                torch.empty(features[0].dim, features[0].length).normal_(0.0, _DEVIATION)
            )
            for table, features in schema.projections.items()
        }
    )
