from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from longtail.config import Config
from tests.training.small_run import make_run_config


@pytest.fixture
def one_rank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set up a process group of this process alone."""
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1")
    store = dist.FileStore(str(tmp_path / "store"), 1)
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    dist.destroy_process_group()


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return make_run_config(tmp_path / "home")
