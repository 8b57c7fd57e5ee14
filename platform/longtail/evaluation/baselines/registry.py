"""The baselines by name."""

from longtail.evaluation.baselines.ease import EASE
from longtail.evaluation.baselines.feature_cosine import TfidfCosine, TfidfProfile
from longtail.evaluation.baselines.ials import IALS
from longtail.evaluation.baselines.item_knn import ItemKNN
from longtail.evaluation.baselines.method import Method
from longtail.evaluation.baselines.query_knn import QueryKNN

_METHODS: tuple[type[Method], ...] = (ItemKNN, QueryKNN, EASE, IALS, TfidfCosine, TfidfProfile)

TUNED: dict[str, type[Method]] = {method.name: method for method in _METHODS}
