"""Measures of how much two features tell about each other."""

from dataclasses import dataclass
from typing import Literal

Measure = Literal["mutual_information", "normalized", "adjusted"]
Missing = Literal["value", "leave_out"]

# The last digits of a sum of doubles depend on the order in which threads deliver them. Rounded,
# equal figures stay equal, and ties in a masking plan are resolved the same way every time.
DECIMALS = 10


@dataclass(frozen=True)
class PairInformation:
    """The mutual information of two features X and Y, and their entropies, in nats.

    Attributes:
        mutual_information: I(X; Y), Yao et al. 2021, equation 4; never below zero.
        left_entropy: H(X), over the items that count for the pair.
        right_entropy: H(Y), over the same items.
        chance: the mutual information to expect if the values of X were dealt out to the items at
            random; None if it was not computed.
    """

    mutual_information: float
    left_entropy: float
    right_entropy: float
    chance: float | None = None

    @property
    def normalized(self) -> float:
        """I(X; Y) / min(H(X), H(Y)): the share of the poorer feature that the other one tells.

        The raw measure grows with the number of values. Divided by the smaller entropy it is 1 if
        one feature determines the other, whatever their sizes. Such a feature can be guessed from
        the other, so the two are worth masking together. Divided by the larger entropy, or by the
        mean, a small feature that follows from a large one would score low. 0 if either feature is
        constant.
        """
        smaller = min(self.left_entropy, self.right_entropy)
        return min(self.mutual_information / smaller, 1.0) if smaller > 0.0 else 0.0

    @property
    def adjusted(self) -> float:
        """(I - chance) / ((H(X) + H(Y)) / 2 - chance): 0 if X and Y look unrelated.

        Vinh, Epps and Bailey 2010, "Information Theoretic Measures for Clusterings Comparison",
        with the arithmetic mean, which is scikit-learn's default. (With the smaller entropy, the
        score of an identifier would be 0 / 0.) An identifier determines every feature, but so would
        unique random numbers: its score is 0. The score is slightly below zero if two features
        share less than chance gives. It is 0 if either feature is constant or both are identifiers,
        which scikit-learn scores as a perfect match (two constants, or two identifiers).
        """
        assert self.chance is not None
        above = (self.left_entropy + self.right_entropy) / 2 - self.chance
        constant = min(self.left_entropy, self.right_entropy) <= 0.0
        if constant or above < 10**-DECIMALS:
            return 0.0
        return (self.mutual_information - self.chance) / above

    def figure(self, measure: Measure) -> float:
        """Return one of the three measures, rounded to `DECIMALS`."""
        if measure == "normalized":
            value = self.normalized
        elif measure == "adjusted":
            value = self.adjusted
        else:
            value = self.mutual_information
        return round(value, DECIMALS) + 0.0  # turns -0.0 into 0.0
