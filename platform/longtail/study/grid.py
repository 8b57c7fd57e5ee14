"""The plan of a study: its grid, and whether it is tuned."""

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
        about: the title of the study, one line.
        variants: names of `variants.VARIANTS`.
        fractions: shares of the training part, in (0, 1].
        num_seeds: reported cells of each variant and fraction, with seeds 1, 2, ...
        num_epochs: passes over the whole training part, the maximum if trials choose the number;
            None: `training.num_epochs`.
        same_epochs: give every fraction that number of epochs. Otherwise a fraction f gets
            1/sqrt(f) times the number, because its epochs have fewer steps.
        tune: choose hyper-parameters on the validation part first.
        reference: the variant that gains are measured against.
        settings: changes to the configuration for every variant, by dotted key.
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
        """Refuse a plan that cannot be run.

        Raises:
            InputError: a variant is unknown, a fraction is not in (0, 1], or a list is empty or
                has a repeated entry.
        """
        check_variants(self.variants)
        for fraction in self.fractions:
            if not 0.0 < fraction <= 1.0:
                raise InputError(
                    f"{fraction:g} is not a fraction of the data: give a number above 0, at most 1"
                )
        for name in ("variants", "fractions"):
            values = getattr(self, name)
            if len(set(values)) != len(values) or not values:
                raise InputError(f"{name}: give at least one, and each of them once")

    def measures(self, config: Config) -> set[str]:
        """Return the measures of correlation that the variants mask by."""
        return {VARIANTS[variant](config).correlation.measure for variant in self.variants}

    def epochs(self, config: Config, fraction: float) -> int:
        """Return the epochs of a cell at a fraction, the maximum if trials choose the number."""
        whole = self.num_epochs or config.training.num_epochs
        return whole if self.same_epochs else round(whole / math.sqrt(fraction))
