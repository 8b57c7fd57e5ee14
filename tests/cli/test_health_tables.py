"""The tables of embedding health."""

from io import StringIO

from rich.console import Console

from longtail.cli.tables.health_tables import health

DOCUMENT = {
    "slices": {
        "overall": {
            "num_items": 63_436,
            "uniformity": -1.2318,
            "alignment": 1.3002,
            "never_retrieved": 0.77101,
        },
        "head": {"num_items": 0, "uniformity": None, "alignment": None, "never_retrieved": None},
        "tail": {"num_items": 9, "uniformity": -1.0, "alignment": 2.0, "never_retrieved": 0.0},
        "cold": {"num_items": 1, "uniformity": None, "alignment": 3.0, "never_retrieved": 1.0},
    },
    "effective_rank": 38.578,
    "dim": 128,
    "popularity_correlation": {"times_retrieved": 0.5548, "mean_similarity": -0.6263, "norm": None},
    "probes": {
        "section": {"accuracy": 0.6667, "majority": 0.1007, "num_classes": 53, "num_items": 9_983}
    },
}


def test_each_figure_stands_in_its_row() -> None:
    stream = StringIO()
    Console(file=stream, width=100).print(health(DOCUMENT))
    rows = [line.split() for line in stream.getvalue().splitlines() if line.strip()]
    for row in (
        ["overall", "-1.232", "1.300", "77.1%", "63,436"],
        ["head", "-", "-", "-", "0"],
        ["cold", "-", "3.000", "100.0%", "1"],
        ["effective", "rank", "38.6", "of", "128"],
        ["popularity", "correlation:", "mean", "similarity", "-0.626"],
        ["popularity", "correlation:", "norm", "-"],
        ["section", "0.667", "0.101", "53", "9,983"],
    ):
        assert row in rows


def test_a_space_without_probes_has_no_table_of_them() -> None:
    stream = StringIO()
    Console(file=stream, width=100).print(health({**DOCUMENT, "probes": {}}))
    assert "linear probe" not in stream.getvalue()
