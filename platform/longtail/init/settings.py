"""The configuration of a new project: sizes that fit its data, by rules that stand beside them."""

import math
from dataclasses import dataclass

from longtail.init.project_plan import ProjectPlan

_TRAINING_SHARE = 0.8
_MIN_BATCH, _MAX_BATCH = 64, 4096
_STEPS_AN_EPOCH = 100
_STEPS_IN_ALL = 800
_MIN_EPOCHS, _MAX_EPOCHS = 3, 20
_FEW_PAIRS = 20_000
# From so many items on a graph search is worth it.
_MANY_ITEMS = 100_000


@dataclass(frozen=True)
class Sizes:
    """What depends on how much there is to learn from."""

    batch_size: int
    num_epochs: int
    warm_start_epochs: int
    default_dim: int
    hidden: int
    output_dim: int
    index: str


def choose_sizes(num_pairs: int, num_items: int) -> Sizes:
    """Sizes for so many different pairs of query and item, and so many items."""
    training = max(1, int(num_pairs * _TRAINING_SHARE))
    fitting = 2 ** int(math.log2(max(1.0, training / _STEPS_AN_EPOCH)))
    batch_size = min(max(fitting, _MIN_BATCH), _MAX_BATCH)
    steps = math.ceil(training / batch_size)
    epochs = min(max(math.ceil(_STEPS_IN_ALL / steps), _MIN_EPOCHS), _MAX_EPOCHS)
    small = num_pairs < _FEW_PAIRS
    return Sizes(
        batch_size=batch_size,
        num_epochs=epochs,
        warm_start_epochs=max(1, epochs // 3),
        default_dim=32 if small else 64,
        hidden=256 if small else 512,
        output_dim=64 if small else 128,
        index="hnsw" if num_items >= _MANY_ITEMS else "flat",
    )


def render_configuration(plan: ProjectPlan) -> str:
    """The text of `longtail.yaml`."""
    pairs, items = plan.interactions.num_pairs, plan.items.num_keys
    sizes = choose_sizes(pairs, items)
    sections = [_project(plan), _model(sizes), _training(sizes, pairs), _index(sizes)]
    if plan.items.has_placeholder:
        sections.insert(2, _NO_SELF_SUPERVISION)
    return "\n".join(sections)


_NO_SELF_SUPERVISION = """\
self_supervision:
  # It hides features of an item, and these have none besides their id.
  augmentation: none
"""


def _project(plan: ProjectPlan) -> str:
    return f"""\
# {plan.name}, written by `longtail init` for {plan.queries.num_keys:,} queries,
# {plan.items.num_keys:,} items and {plan.interactions.num_pairs:,} different pairs of them.
# Every key that is left out has its default; platform/longtail/config.py documents all of them.
# Which features the model sees is not said here: see feature_repo/services.py.
feature_repo: feature_repo
home: .longtail
"""


def _model(sizes: Sizes) -> str:
    return f"""\
# Widths: the smaller ones below {_FEW_PAIRS:,} pairs, from which wide ones would learn by heart.
features:
  default_dim: {sizes.default_dim} # 32 or 64 numbers in an embedding; a field's tag `dim` wins
model:
  hidden: [{sizes.hidden}] # 256 or 512
  output_dim: {sizes.output_dim} # 64 or 128: the length of what is published
"""


def _training(sizes: Sizes, pairs: int) -> str:
    steps = math.ceil(pairs * _TRAINING_SHARE / sizes.batch_size)
    return f"""\
training:
  # The power of two with at least {_STEPS_AN_EPOCH} steps an epoch, {_MIN_BATCH} to {_MAX_BATCH}.
  batch_size: {sizes.batch_size}
  # {_MIN_EPOCHS} to {_MAX_EPOCHS}, for about {_STEPS_IN_ALL:,} steps; an epoch has {steps}.
  num_epochs: {sizes.num_epochs}
  # Of a refresh, which starts from the version before.
  warm_start_epochs: {sizes.warm_start_epochs}
"""


def _index(sizes: Sizes) -> str:
    return f"""\
index:
  # flat compares with every item; hnsw walks a graph, from {_MANY_ITEMS:,} items on.
  kind: {sizes.index}
"""
