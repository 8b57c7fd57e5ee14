"""Writes the configuration of a new project, with sizes that fit its data.

The comments in the configuration state the rule behind each size.
"""

import math
from dataclasses import dataclass
from datetime import date

from longtail.config import ScheduleConfig
from longtail.init.project_plan import ProjectPlan

# The day of tables without timestamps, for which a run takes the last complete day.
EPOCH_DAY = date(1970, 1, 1)
# Rough share of the pairs that training sees; the rest is held out.
_TRAINING_SHARE = 0.8
_MIN_BATCH, _MAX_BATCH = 64, 4096
# Fewest steps of an epoch, and steps of the whole training.
_EPOCH_STEPS, _ALL_STEPS = 100, 800
_MIN_EPOCHS, _MAX_EPOCHS = 3, 20
# Number of pairs from which the wider model is worth it.
_FEW_PAIRS = 20_000
# Number of items from which a graph search is worth its cost.
_MANY_ITEMS = 100_000


@dataclass(frozen=True)
class Sizes:
    """The settings that depend on the amount of data, under their names in the configuration."""

    batch_size: int
    num_epochs: int
    warm_start_epochs: int
    default_dim: int
    hidden: int
    output_dim: int
    index: str


def choose_sizes(num_pairs: int, num_items: int) -> Sizes:
    """Return the sizes for a data set.

    Args:
        num_pairs: number of different pairs of query and item.
        num_items: number of different items.
    """
    # A small data set gets small batches and more epochs, so that it is trained for enough steps.
    training = max(1, int(num_pairs * _TRAINING_SHARE))
    fitting = 2 ** int(math.log2(max(1.0, training / _EPOCH_STEPS)))
    batch_size = min(max(fitting, _MIN_BATCH), _MAX_BATCH)
    steps = math.ceil(training / batch_size)
    epochs = min(max(math.ceil(_ALL_STEPS / steps), _MIN_EPOCHS), _MAX_EPOCHS)
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
    """Return the text of `longtail.yaml`."""
    pairs, items = plan.interactions.num_pairs, plan.items.num_keys
    sizes = choose_sizes(pairs, items)
    sections = [_project(plan), _model(sizes), _HISTORY, _training(sizes, pairs), _index(sizes)]
    if plan.items.has_placeholder:
        sections.insert(2, _NO_SELF_SUPERVISION)
    newest = date.fromisoformat(plan.measured["times"]["interactions"]["last"][:10])
    if EPOCH_DAY < newest < ScheduleConfig().first_day:
        sections.append(_schedule(newest))
    return "\n".join(sections)


_HISTORY = """\
history:
  # Newest items of a query that its tower sees. Try 50 where queries come back, or where new ones
  # must be answered after their first items; `longtail evaluate` says what it changes.
  length: 0
"""

_NO_SELF_SUPERVISION = """\
self_supervision:
  # Augmentations hide features of an item, and these items have none besides their id.
  augmentation: none
"""


def _project(plan: ProjectPlan) -> str:
    return f"""\
# {plan.name}, written by `longtail init` for {plan.queries.num_keys:,} queries,
# {plan.items.num_keys:,} items and {plan.interactions.num_pairs:,} different pairs of them.
# A key that is not listed has its default; platform/longtail/config/ documents all keys.
# The features that the model uses are not listed here, but in feature_repo/services.py.
feature_repo: feature_repo
home: .longtail
"""


def _model(sizes: Sizes) -> str:
    return f"""\
# Each width is the smaller one below {_FEW_PAIRS:,} pairs, which a wide model would memorise.
features:
  default_dim: {sizes.default_dim} # 32 or 64, per embedding; a field's tag `dim` overrides it
model:
  hidden: [{sizes.hidden}] # 256 or 512
  output_dim: {sizes.output_dim} # 64 or 128: the length of the published embeddings
"""


def _training(sizes: Sizes, pairs: int) -> str:
    steps = math.ceil(pairs * _TRAINING_SHARE / sizes.batch_size)
    return f"""\
training:
  # Largest power of two with at least {_EPOCH_STEPS} steps per epoch, {_MIN_BATCH} to {_MAX_BATCH}.
  batch_size: {sizes.batch_size}
  # {_MIN_EPOCHS} to {_MAX_EPOCHS}, for about {_ALL_STEPS:,} steps in all; one epoch has {steps}.
  num_epochs: {sizes.num_epochs}
  # Epochs of a refresh, which starts from the previous version.
  warm_start_epochs: {sizes.warm_start_epochs}
"""


def _index(sizes: Sizes) -> str:
    return f"""\
index:
  # flat compares a query with every item; hnsw searches a graph, from {_MANY_ITEMS:,} items on.
  kind: {sizes.index}
"""


def _schedule(newest: date) -> str:
    return f"""\
schedule:
  # The first day that can be refreshed. The newest interaction is older than the default.
  first_day: {newest.replace(day=1)}
"""
