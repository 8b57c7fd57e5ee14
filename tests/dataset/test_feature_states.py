"""The states of interactions, against a loop over a dictionary of changes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtail.dataset import feature_states as states_module
from longtail.dataset.feature_states import interaction_states

NUM_ENTITIES = 4
ENTITY, MOMENT = st.integers(0, NUM_ENTITIES - 1), st.integers(-3, 12)


def looped(
    entity: list[int], when: list[int], changes: list[tuple[int, int]]
) -> tuple[list[tuple[int, int]], list[int]]:
    """Return states as (entity, earliest moment), sorted, and the state of each interaction."""
    seen: dict[tuple[int, int], int] = {}
    keys = []
    for one, moment in zip(entity, when, strict=True):
        passed = sum(1 for other, at in changes if other == one and at <= moment)
        keys.append((one, passed))
        seen[one, passed] = min(moment, seen.get((one, passed), moment))
    ordered = sorted(seen)
    return [(one, seen[one, passed]) for one, passed in ordered], [ordered.index(k) for k in keys]


@given(
    interactions=st.lists(st.tuples(ENTITY, MOMENT), max_size=30),
    changes=st.lists(st.tuples(ENTITY, MOMENT), max_size=30),
)
def test_interactions_between_two_changes_of_their_key_share_a_state(
    interactions: list[tuple[int, int]], changes: list[tuple[int, int]]
) -> None:
    entity, when = [e for e, _ in interactions], [w for _, w in interactions]
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(states_module, "BLOCK", 7)
        states = interaction_states(
            np.array(entity, np.int32),
            np.array(when, np.int64),
            np.array([e for e, _ in changes], np.int64),
            np.array([at for _, at in changes], np.int64),
            num_entities=NUM_ENTITIES,
        )
    expected, of_example = looped(entity, when, changes)
    found = list(zip(states.entity.tolist(), states.moment.tolist(), strict=True))
    assert found == expected
    assert states.of_example.tolist() == of_example
