"""Tests of the names that an embedding table cannot have."""

import pytest
from torch import nn

from longtail.config.table_names import is_reserved


@pytest.mark.parametrize("container", [nn.ModuleDict, nn.ParameterDict])
def test_every_name_that_a_container_has_is_reserved(container: type[nn.Module]) -> None:
    assert [name for name in dir(container()) if not is_reserved(name)] == []


@pytest.mark.parametrize("name", ["type", "items", "values", "_modules"])
def test_torch_refuses_them(name: str) -> None:
    with pytest.raises(KeyError, match="already exists"):
        nn.ModuleDict({name: nn.Identity()})
    assert is_reserved(name)


def test_others_are_free() -> None:
    assert not any(map(is_reserved, ("item_type", "package", "types", "query_query_id")))
