"""Weight decay: in the towers at every step, in the tables between epochs.

FBGEMM has a weight decay of its own. It is not used, because its CPU kernels leave it out without a
word: row-wise Adagrad for tables in fp32, and Adagrad for all tables (fbgemm-gpu-cpu 1.8). It also
shrinks only rows that a step looks up. A pass over all tables after each step would cost more than
the step, but one between two epochs costs nothing.
"""

from typing import Any

import torch
from torch.distributed._shard.sharded_tensor.api import ShardedTensor

from longtail.encoder.tensor_names import table_of_tensor


def add_weight_decay(optimizer: torch.optim.Optimizer, weight_decay: float) -> None:
    """Let an optimizer take `weight_decay * learning rate` from its matrices before each step.

    That is the decoupled form of Loshchilov and Hutter 2019 (AdamW, arXiv 1711.05101, algorithm 2):
    the gradient, and Adagrad's sums of its squares, do not see it. Vectors, such as biases and the
    embeddings of missing features, are left alone.
    """

    @torch.no_grad()
    def shrink(stepping: torch.optim.Optimizer, *_: Any) -> None:
        for group in stepping.param_groups:
            for parameter in group["params"]:
                if parameter.dim() > 1:
                    parameter.mul_(1.0 - group["lr"] * weight_decay)

    optimizer.register_step_pre_hook(shrink)


@torch.no_grad()
def shrink_tables(model: Any, share: float) -> None:
    """Take a share away from every weight of the tables. Each rank does so for its own shards.

    Args:
        model: the sharded two-tower model.
        share: 0 changes nothing, and 1 would leave zeros.
    """
    for name, value in model.state_dict().items():
        if table_of_tensor(name) is None:
            continue
        sharded = isinstance(value, ShardedTensor)
        parts = [shard.tensor for shard in value.local_shards()] if sharded else [value]
        for part in parts:
            part.mul_(1.0 - share)
