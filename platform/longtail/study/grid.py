"""What a study runs: the grid, and whether it is tuned."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from longtail.config import Config
from longtail.errors import InputError
from longtail.study.variants import BASELINE, VARIANTS, check_variants


@dataclass(frozen=True)
class Plan:
    """A grid of variants x fractions x seeds.

    Attributes:
        about: one line for people.
        variants: names of `variants.VARIANTS`.
        fractions: shares of the training part, in (0, 1].
        num_seeds: reported cells of each variant and fraction, with seeds 1, 2, ...
        num_epochs: passes over all of the training part, at most where trials choose the number;
            None: `training.num_epochs`.
        same_epochs: every fraction gets as many. Else a fraction f gets 1/sqrt(f) times as many,
            since its epochs have fewer steps.
        tune: choose hyper-parameters on the validation part first.
        reference: the variant that gains are measured against.
        settings: what differs from the configuration for every variant, by dotted key.
    """

    about: str
    variants: tuple[str, ...]
    fractions: tuple[float, ...] = (1.0,)
    num_seeds: int = 3
    num_epochs: int | None = None
    same_epochs: bool = False
    tune: bool = False
    reference: str = BASELINE
    settings: Mapping[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """Refuse what cannot be run.

        Raises:
            InputError: a variant is unknown, or a fraction is none.
        """
        check_variants(self.variants)
        for fraction in self.fractions:
            if not 0.0 < fraction <= 1.0:
                raise InputError(f"{fraction:g} is no fraction of the data: give 0 < f <= 1")
        for name in ("variants", "fractions"):
            values = getattr(self, name)
            if len(set(values)) != len(values) or not values:
                raise InputError(f"{name}: each once, and at least one")

    def measures(self, config: Config) -> set[str]:
        """The measures of correlation that its variants mask by."""
        return {VARIANTS[variant](config).correlation.measure for variant in self.variants}

    def epochs(self, config: Config, fraction: float) -> int:
        """Epochs of a cell at a fraction, at most where trials choose the number."""
        whole = self.num_epochs or config.training.num_epochs
        return whole if self.same_epochs else round(whole / math.sqrt(fraction))
