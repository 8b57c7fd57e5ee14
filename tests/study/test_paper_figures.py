"""The figures of the paper, against the text of its tables as it was copied for the design."""

import pytest

from longtail.study.paper_figures import FIGURES, paper_gains

# MAP@10 / MAP@50 / Recall@10 / Recall@50
TABLES = {
    ("wikipedia", 1.0): """
        baseline .0171/.0229/.0537/.1930, feature dropout .0172/.0229/.0535/.1912,
        spread out .0176/.0235/.0549/.1956, correlated masking .0183/.0243/.0570/.2009""",
    ("wikipedia", 0.1): """
        baseline .0077/.0105/.0237/.0924, feature dropout .0089/.0120/.0272/.1046,
        spread out .0083/.0112/.0254/.0978, correlated masking .0093/.0126/.0286/.1093""",
    ("app_installs", 1.0): """
        baseline .1257/.1363/.2793/.4983, correlated masking .1413/.1522/.3078/.5355""",
}


@pytest.mark.parametrize("key", TABLES)
def test_the_tables(key: tuple[str, float]) -> None:
    for entry in TABLES[key].split(","):
        *words, figures = entry.split()
        for metric, text in zip(
            ("map@10", "map@50", "recall@10", "recall@50"), figures.split("/"), strict=True
        ):
            assert FIGURES[(*key, "overall", metric)]["_".join(words)] == float(text)


def test_the_ablation_and_the_tail() -> None:
    assert FIGURES["app_installs", 1.0, "overall", "map@10"] == {
        "baseline": 0.1257,
        "correlated_masking": 0.1413,
        "correlated_masking_no_dropout": 0.1309,
        "random_masking": 0.1281,
        "independent_masking": 0.1363,
        "dropout_only": 0.1303,
    }
    tail = FIGURES["app_installs", 1.0, "tail", "recall@10"]
    assert tail == {"baseline": 0.0475, "correlated_masking": 0.0720}


def test_gains() -> None:
    gains = paper_gains("correlated_masking", 1.0, "overall", "recall@50")
    assert gains == pytest.approx({"wikipedia": 0.0409, "app_installs": 0.0747}, abs=5e-5)
    tenth = paper_gains("correlated_masking", 0.1, "overall", "map@10")
    assert tenth == pytest.approx({"wikipedia": 0.2078}, abs=5e-5)
    tail = paper_gains("correlated_masking", 1.0, "tail", "recall@10")
    assert tail == pytest.approx({"app_installs": 0.5158}, abs=5e-5)
    assert paper_gains("baseline", 1.0, "overall", "recall@50") == {}
    assert paper_gains("random_masking", 1.0, "overall", "recall@50") == {}
    assert paper_gains("correlated_masking", 0.5, "overall", "recall@50") == {}
