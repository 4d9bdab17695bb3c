import pytest

from hamipose.experiments.paper_results import BODY_COLUMNS, GAMMA_MAX, HAND_COLUMNS, TABLE5, figures
from hamipose.experiments.rows import plan


@pytest.mark.parametrize(
    ("table", "row", "transfer", "group", "printed"),
    [
        (1, "HamiPose", "surreal_to_lsp", "all", 83.9),
        (1, "HamiPose", "surreal_to_h36m", "hip", 55.0),
        (1, "Source only", "surreal_to_lsp", "elbow", 73.6),
        (1, "MDAM", "surreal_to_h36m", "hip", 17.7),
        (1, "PGDA", "surreal_to_h36m", "ankle", 86.4),
        (2, "GGA", "surreal_to_lsp_to_h36m", "all", 76.8),
        (2, "Source only", "surreal_to_lsp_to_h36m", "all", 63.9),
        (2, "HamiPose", "rhd_to_h3d_to_freihand", "tip", 54.8),
        (3, "SFHPE", "rhd_to_h3d", "pip", 89.2),
        (3, "GGF", "rhd_to_freihand", "all", 56.5),
        (4, "Mean teacher", "surreal_to_h36m", "all", 75.3),
        (4, "+ metric, gate", "rhd_to_h3d", "dip", 81.6),
    ],
)
def test_figures_are_as_printed(table, row, transfer, group, printed):
    assert figures(table)[row, transfer][group] == printed


def test_most_headlines_are_near_the_mean_of_their_groups():
    """A slip in copying would show: all but the rows that the facts name are within 2.5 points."""
    odd = {(1, "Source only"), (1, "MDAM"), (2, "Source only")}
    for table in (1, 2, 3, 4):
        for (row, transfer), values in figures(table).items():
            groups = [v for g, v in values.items() if g != "all"]
            assert len(groups) in (len(BODY_COLUMNS) - 1, len(HAND_COLUMNS) - 1)
            if (table, row) not in odd:
                assert sum(groups) / len(groups) == pytest.approx(values["all"], abs=2.5), (table, row, transfer)


def test_the_best_cell_of_table_5():
    best = max((value, *key, gamma) for key, row in TABLE5.items() for gamma, value in zip(GAMMA_MAX, row, strict=True))
    assert best == (70.3, 0.0, 0.1, 2.0)
    assert len(TABLE5) * len(GAMMA_MAX) == 40


@pytest.mark.parametrize("table", [1, 2, 3, 4])
def test_every_printed_row_has_its_row(table):
    printed = {row for row, _ in figures(table)}
    assert printed <= {row.label for row in plan(str(table)).rows}
