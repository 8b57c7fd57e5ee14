"""The image of the correlations and the masking plan."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from longtail.augmentation.masking_plan import masking_plan
from longtail.correlation.heat_map import MASKED, NEVER, SEED, SHOWN, heat_map, save_heat_map

MOST_BYTES_INSIDE_A_PAGE = 300_000


def drawn(num_features: int, measure: str = "normalized", **overrides: list[str]) -> Figure:
    generator = np.random.default_rng(num_features)
    matrix = generator.random((num_features, num_features))
    matrix = (matrix + matrix.T) / 2
    names = [f"feature_number_{number}" for number in range(num_features)]
    plan = masking_plan(names, matrix, **overrides).masks
    return heat_map(names, matrix, plan, measure=measure, as_of="2023-06-10")


def panels(figure: Figure) -> tuple[Axes, Axes]:
    matrix, plan, _ = figure.axes  # the third is the colour scale
    return matrix, plan


@pytest.mark.parametrize("num_features", [1, 2, 12, 30, 45])
def test_every_name_is_inside_the_image_and_none_lies_on_another(
    num_features: int, tmp_path: Path
) -> None:
    figure = drawn(num_features)
    save_heat_map(tmp_path / "map.png", figure)
    assert (tmp_path / "map.png").stat().st_size < MOST_BYTES_INSIDE_A_PAGE
    with Image.open(tmp_path / "map.png") as image:
        width, height = image.size
    renderer = FigureCanvasAgg(figure).get_renderer()
    for axes in panels(figure):
        assert [label.get_text() for label in axes.get_yticklabels()] == [
            f"feature_number_{number}" for number in range(num_features)
        ]
        for label in (*axes.get_xticklabels(), *axes.get_yticklabels(), axes.title):
            box = label.get_window_extent(renderer)
            assert box.x0 >= 0
            assert box.y0 >= 0
            assert box.x1 <= width
            assert box.y1 <= height
        rows = [label.get_window_extent(renderer) for label in axes.get_yticklabels()]
        assert all(above.y0 >= below.y1 for above, below in pairwise(rows))


def test_figures_stand_in_their_cells_and_not_on_the_diagonal() -> None:
    matrix = np.array([[1.0, 0.25, 0.004], [0.25, 1.0, 0.999], [0.004, 0.999, 1.0]])
    names = ["a", "b", "c"]
    figure = heat_map(names, matrix, {}, measure="adjusted", as_of="2023-06-10")
    texts = {tuple(text.get_position()): text.get_text() for text in panels(figure)[0].texts}
    assert texts == {
        (1, 0): ".25",
        (0, 1): ".25",
        (2, 0): "0",
        (0, 2): "0",
        (2, 1): "1.0",
        (1, 2): "1.0",
    }
    assert "2023-06-10" in figure.get_suptitle()
    assert "adjusted for chance" in figure.get_suptitle()
    assert "sample" not in figure.get_suptitle()
    scale = panels(figure)[0].images[0].get_clim()
    assert scale == (0.0, 0.999)  # the diagonal does not count


def test_a_sample_is_called_one() -> None:
    part = heat_map(["a"], np.eye(1), {}, measure="m", as_of="2023-06-10", sample_fraction=0.125)
    assert "a sample of 12.50%" in part.get_suptitle()


def test_entropies_are_shown_where_they_are_the_diagonal() -> None:
    figure = drawn(3, "mutual_information")
    assert len(panels(figure)[0].texts) == 9
    assert "grey: own entropy" in panels(figure)[0].get_title()


def test_the_plan_shows_seeds_their_masks_and_what_is_never_masked() -> None:
    matrix = np.array(
        [[1, 0.9, 0.1, 0.2], [0.9, 1, 0.3, 0.4], [0.1, 0.3, 1, 0.5], [0.2, 0.4, 0.5, 1]]
    )
    names = ["id", "b", "c", "d"]
    plan = masking_plan(names, matrix, never_mask=["id"]).masks
    figure = heat_map(names, matrix, plan, measure="normalized", as_of="2023-06-10")
    image = panels(figure)[1].images[0]
    colours = image.to_rgba(image.get_array())[..., :3]
    expected = [
        [NEVER, NEVER, NEVER, NEVER],
        [NEVER, SEED, SHOWN, MASKED],
        [NEVER, SHOWN, SEED, MASKED],
        [NEVER, SHOWN, MASKED, SEED],
    ]
    assert np.allclose(colours, [[to_rgb(colour) for colour in row] for row in expected])
    ranks = {tuple(text.get_position()): text.get_text() for text in panels(figure)[1].texts}
    assert ranks == {(3, 1): "1", (3, 2): "1", (2, 3): "1"}


def test_a_name_is_no_formula_and_prints(tmp_path: Path) -> None:
    names = ["cost_$a$", "line\nend", "x" * 100]
    figure = heat_map(names, np.eye(3), {}, measure="normalized", as_of="2023-06-10")
    save_heat_map(tmp_path / "map.png", figure)
    labels = panels(figure)[0].get_xticklabels()
    assert not any(label.get_parse_math() for label in labels)
    shown = [label.get_text() for label in labels]
    assert shown[:2] == ["cost_$a$", "line\\nend"]
    assert shown[2].endswith("…")
    assert len(shown[2]) < 30
