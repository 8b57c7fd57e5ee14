"""What a training process asks of the machine, with GPUs that are simulated."""

import pytest
import torch

from longtail.errors import InputError
from longtail.training.process_setup import check_num_ranks


@pytest.mark.parametrize(("num_devices", "num_ranks"), [(0, 8), (2, 2), (8, 3)])
def test_ranks_that_fit(num_devices: int, num_ranks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: num_devices > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: num_devices)
    check_num_ranks(num_ranks)


def test_more_ranks_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(InputError, match=r"3 ranks need a GPU each, and this machine has 2: lower"):
        check_num_ranks(3)
