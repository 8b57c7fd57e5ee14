"""The figures of the paper, so that its relative gains can be shown beside ours.

Yao et al. 2021, "Self-supervised Learning for Large-scale Item Recommendations" (CIKM 2021, arXiv
2007.12865): Wikipedia links (5.3M items, 490M examples) whole and at 10%, app installs (private,
2.4M items, 1B examples), and the ablation on app installs.
"""

from collections.abc import Mapping

METRICS = ("map@10", "map@50", "recall@10", "recall@50")

# {(data set, fraction, slice, metric): {variant: figure}}
Figures = Mapping[tuple[str, float, str, str], Mapping[str, float]]


def _rows(
    name: str, fraction: float, table: Mapping[str, tuple[float, ...]]
) -> dict[tuple[str, float, str, str], dict[str, float]]:
    """Turn a table of the paper, one row of `METRICS` for each variant, into `Figures`."""
    return {
        (name, fraction, "overall", metric): {
            variant: figures[column] for variant, figures in table.items()
        }
        for column, metric in enumerate(METRICS)
    }


WIKIPEDIA, APP_INSTALLS = "wikipedia", "app_installs"
FIGURES: Figures = {
    **_rows(
        WIKIPEDIA,
        1.0,
        {
            "baseline": (0.0171, 0.0229, 0.0537, 0.1930),
            "feature_dropout": (0.0172, 0.0229, 0.0535, 0.1912),
            "spread_out": (0.0176, 0.0235, 0.0549, 0.1956),
            "correlated_masking": (0.0183, 0.0243, 0.0570, 0.2009),
        },
    ),
    **_rows(
        WIKIPEDIA,
        0.1,
        {
            "baseline": (0.0077, 0.0105, 0.0237, 0.0924),
            "feature_dropout": (0.0089, 0.0120, 0.0272, 0.1046),
            "spread_out": (0.0083, 0.0112, 0.0254, 0.0978),
            "correlated_masking": (0.0093, 0.0126, 0.0286, 0.1093),
        },
    ),
    **_rows(
        APP_INSTALLS,
        1.0,
        {
            "baseline": (0.1257, 0.1363, 0.2793, 0.4983),
            "correlated_masking": (0.1413, 0.1522, 0.3078, 0.5355),
        },
    ),
    (APP_INSTALLS, 1.0, "overall", "map@10"): {
        "baseline": 0.1257,
        "correlated_masking": 0.1413,
        "correlated_masking_no_dropout": 0.1309,
        "random_masking": 0.1281,
        "independent_masking": 0.1363,
        "dropout_only": 0.1303,
    },
    (APP_INSTALLS, 1.0, "tail", "recall@10"): {"baseline": 0.0475, "correlated_masking": 0.0720},
}


def paper_gains(variant: str, fraction: float, slice_name: str, metric: str) -> dict[str, float]:
    """Return the paper's relative gain over its own baseline for each data set that has one."""
    gains = {}
    for name in (WIKIPEDIA, APP_INSTALLS):
        figures = FIGURES.get((name, fraction, slice_name, metric), {})
        if variant in figures and variant != "baseline":
            gains[name] = figures[variant] / figures["baseline"] - 1.0
    return gains
