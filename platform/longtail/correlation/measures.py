"""The measures of how much two features tell about each other."""

from dataclasses import dataclass
from typing import Literal

Measure = Literal["mutual_information", "normalized", "adjusted"]
Missing = Literal["value", "leave_out"]

# Sums of doubles depend, in their last digits, on the order in which threads deliver them. Rounded,
# equal figures stay equal, and the ties of a masking plan fall the same way every time.
DECIMALS = 10


@dataclass(frozen=True)
class PairInformation:
    """What two features tell about each other, in nats.

    Attributes:
        mutual_information: I(X; Y), Yao et al. 2021, equation 4; never below zero.
        left_entropy: H(X) over the items that the pair's figures are made from.
        right_entropy: H(Y), likewise.
        chance: the mutual information that is expected if the items' values of X had been dealt
            out at random; None where nobody asked for it.
    """

    mutual_information: float
    left_entropy: float
    right_entropy: float
    chance: float | None = None

    @property
    def normalized(self) -> float:
        """I(X; Y) / min(H(X), H(Y)): the share of the poorer feature that the other one tells.

        The raw measure grows with the number of values; divided by the smaller entropy it is 1
        where one feature determines the other, whatever their sizes: that is what makes a feature
        guessable from another, and hence worth masking with it. Divided by the larger entropy, or
        by their mean, a small feature that follows from a large one would score low. 0 where
        either is constant.
        """
        smaller = min(self.left_entropy, self.right_entropy)
        return min(self.mutual_information / smaller, 1.0) if smaller > 0.0 else 0.0

    @property
    def adjusted(self) -> float:
        """(I - chance) / ((H(X) + H(Y)) / 2 - chance): 0 where X and Y are as good as unrelated.

        Vinh, Epps and Bailey 2010, "Information Theoretic Measures for Clusterings Comparison",
        with the arithmetic mean, as scikit-learn's default. (With the smaller entropy, an
        identifier's score would be 0 / 0.) An identifier determines everything, yet no more than
        random numbers of as many values would: its score is 0. Slightly below zero where two
        features share less than chance gives. 0 where either is constant, and where both are
        identifiers; scikit-learn calls two constants, or two identifiers, a perfect match.
        """
        assert self.chance is not None
        above = (self.left_entropy + self.right_entropy) / 2 - self.chance
        constant = min(self.left_entropy, self.right_entropy) <= 0.0
        if constant or above < 10**-DECIMALS:
            return 0.0
        return (self.mutual_information - self.chance) / above

    def figure(self, measure: Measure) -> float:
        """One of the three, rounded to `DECIMALS`."""
        value: float = getattr(self, measure)
        return round(value, DECIMALS) + 0.0  # and no -0.0
