"""Spreads the embedding tables over the ranks.

    sharded_model.py       builds the two-tower model, sharded, with its optimizers
    torchrec_planner.py    TorchRec's planner, set up from the configuration
    cluster.py             the ranks that a model is trained on, and their memory
    bag_exchange.py        what ranks send each other of a lookup
    gathered_candidates.py the candidates of all ranks as in-batch negatives
    cluster_plan.py        the plan of a cluster that need not exist, as `longtail plan` prints it
    plan_alternatives.py   changes with which a plan would fit

`training/SHARDING.md` explains the types of sharding and the settings.
"""
