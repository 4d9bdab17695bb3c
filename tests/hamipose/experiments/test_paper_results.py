import pytest

from hamipose.experiments.paper_results import BODY_COLUMNS, GAMMA_MAX, HAND_COLUMNS, TABLE5, paper_results
from hamipose.experiments.rows import table_spec


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
def test_paper_results_match_the_printed_tables(table, row, transfer, group, printed):
    assert paper_results(table)[row, transfer][group] == printed


def test_headlines_are_near_the_mean_of_their_groups():
    """Detect copying errors: all rows except known ones are within 2.5 points."""
    odd = {(1, "Source only"), (1, "MDAM"), (2, "Source only")}
    for table in (1, 2, 3, 4):
        for (row, transfer), values in paper_results(table).items():
            groups = [v for g, v in values.items() if g != "all"]
            assert len(groups) in (len(BODY_COLUMNS) - 1, len(HAND_COLUMNS) - 1)
            if (table, row) not in odd:
                assert sum(groups) / len(groups) == pytest.approx(values["all"], abs=2.5), (table, row, transfer)


def test_table5_has_its_maximum_at_the_default():
    best = max((value, *key, gamma) for key, row in TABLE5.items() for gamma, value in zip(GAMMA_MAX, row, strict=True))
    assert best == (70.3, 0.0, 0.1, 2.0)
    assert len(TABLE5) * len(GAMMA_MAX) == 40


@pytest.mark.parametrize("table", [1, 2, 3, 4])
def test_tables_have_every_printed_row(table):
    printed = {row for row, _ in paper_results(table)}
    assert printed <= {row.label for row in table_spec(str(table)).rows}
