"""Embedding tables spread over ranks: TorchRec's planner, the sharded model, what ranks send."""
