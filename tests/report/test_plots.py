"""The geometry of the plots."""

import pytest

from longtail.report.plots import day_plot, heat_map, line_plot, round_ticks, thinned


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.0, 7.3, [0.0, 2.0, 4.0, 6.0, 8.0]),
        (1.0, 985.0, [0.0, 200.0, 400.0, 600.0, 800.0, 1000.0]),
        (0.5, 0.5, [0.5, 0.6]),
    ],
)
def test_ticks_are_round_and_enclose(low: float, high: float, expected: list[float]) -> None:
    assert round_ticks(low, high) == pytest.approx(expected)


def test_a_line_is_placed_by_hand() -> None:
    plot = line_plot({"loss": [(0, 4.0), (5, 1.0), (10, 2.0)], "none": []}, from_zero=True)
    assert plot is not None
    assert [tick["label"] for tick in plot["y_ticks"]] == ["0", "1", "2", "3", "4"]
    assert plot["lines"] == [
        {
            "name": "loss",
            "points": "0.0,0.0 50.0,75.0 100.0,50.0",
            "dots": [{"x": 0.0, "y": 0.0}, {"x": 50.0, "y": 75.0}, {"x": 100.0, "y": 50.0}],
            "last": 2.0,
        }
    ]
    assert [(tick["at"], tick["label"]) for tick in plot["x_ticks"]][:2] == [
        (0.0, "0"),
        (20.0, "2"),
    ]
    assert line_plot({"none": []}) is None


def test_days_stand_as_far_apart_as_they_are() -> None:
    plot = day_plot({"r": [("2024-01-01", 0.5), ("2024-01-02", 0.6), ("2024-01-11", 0.7)]})
    assert plot is not None
    assert [dot["x"] for dot in plot["lines"][0]["dots"]] == [0.0, 10.0, 100.0]
    assert [tick["label"] for tick in plot["x_ticks"]] == ["2024-01-01", "2024-01-02", "2024-01-11"]
    one = day_plot({"r": [("2024-01-01", 0.5)]})
    assert one is not None
    assert one["lines"][0]["dots"][0]["x"] == 50.0


def test_long_lines_are_thinned_to_their_last_point() -> None:
    points = [(float(n), float(n)) for n in range(1_234)]
    kept = thinned(points)
    assert len(kept) <= 401
    assert (kept[0], kept[-1]) == (points[0], points[-1])


def test_a_heat_map_is_shaded_by_its_largest_cell_off_the_diagonal() -> None:
    plot = heat_map(
        {"features": ["a", "b"], "matrix": [[9.0, 0.5], [0.25, 9.0]], "measure": "normalized"}
    )
    assert [[cell["level"] for cell in row] for row in plot["rows"]] == [[None, 100], [50, None]]
    assert plot["rows"][0][1]["text"] == ".50"
    assert plot["rows"][0][1]["title"] == "a, b: 0.500"
