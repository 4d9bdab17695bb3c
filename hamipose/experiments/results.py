"""Results of a table's runs: the scores of each selected epoch, read from the runs' logs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hamipose.engine.experiment_page import failures, missing_notes
from hamipose.engine.metrics_file import Series, read_run
from hamipose.engine.runs import is_finished
from hamipose.evaluation.score_metrics import METRICS, PCK_METRIC
from hamipose.experiments.runs import TransferCell

__all__ = ["SELECTIONS", "Result", "collect", "select_scores"]

#: The epochs that a table shows. The last one uses the target's labels: it is a bound, not a result.
SELECTIONS = ("last", "source-selected", "oracle-selected")


@dataclass(frozen=True)
class Result:
    """The scores of a network of one run in one selected epoch.

    Attributes:
        transfer: name of the transfer.
        test_set: name of the test set.
        row: label of the row.
        selection: one of `SELECTIONS`, or "as predicted" for external predictions.
        network: name of the network; empty for external predictions.
        is_shown: whether it is the network of the row: the delivered one, unless the row names another.
        seed: seed of the run; None for external predictions.
        values: key and group of a score, such as "pck@0.05/elbow" → displayed value.
    """

    transfer: str
    test_set: str
    row: str
    selection: str
    network: str
    is_shown: bool
    seed: int | None
    values: Mapping[str, float]


def select_scores(columns: dict[str, Series], test_set: str) -> dict[str, dict[str, dict[str, float]]]:
    """Return the scores on a test set: selection → network → key and group → displayed value.

    The delivered network is the last one: its headline equals the logged headline of the set.

    Args:
        columns: result of :func:`~hamipose.engine.metrics_file.read_run`.
        test_set: name of the test set.
    """
    dataset = f"test/{test_set}"
    headline = columns.get(PCK_METRIC.headline(dataset))
    if not headline:
        return {}
    networks: dict[str, dict[str, tuple[float, Series]]] = {}
    for name, series in columns.items():
        for metric in METRICS:
            score = metric.parse(name)
            if score is not None and score.dataset == dataset:
                network, _, protocol = score.network.partition("/")
                parts = (protocol, score.key, "" if score.group == "all" else score.group)
                networks.setdefault(network, {})["/".join(filter(None, parts))] = (metric.factor, series)

    def is_delivered(network: str) -> bool:
        _, own = networks[network].get(PCK_METRIC.keys[0], (1.0, {}))
        return all(math.isclose(own.get(step, math.nan), value, abs_tol=1e-6) for step, value in headline.items())

    validation = columns.get(PCK_METRIC.headline("val"), {})
    steps = {"last": max(headline)}
    candidates = [step for step in validation if step in headline]
    if candidates:
        steps["source-selected"] = max(candidates, key=lambda step: (validation[step], -step))
    steps["oracle-selected"] = max(headline, key=lambda step: (headline[step], -step))
    ordered = sorted(networks, key=is_delivered)
    return {
        selection: {
            network: {
                key: factor * series[step] for key, (factor, series) in networks[network].items() if step in series
            }
            for network in ordered
        }
        for selection, step in steps.items()
    }


def collect(cells: Sequence[TransferCell]) -> tuple[list[Result], list[str]]:
    """Return all available results, and notes on rows and on missing results."""
    results: list[Result] = []
    notes = [f"{cell.row.label}: {cell.row.note}" for cell in cells if cell.row.note and not cell.missing]
    for transfer in dict.fromkeys(cell.transfer for cell in cells):
        group = [cell for cell in cells if cell.transfer == transfer]
        missing = failures(group)
        for cell in group:
            network = cell.row.network
            for seed, run in cell.runs.items():
                scores = select_scores(read_run(run.folder), transfer.test_set) if is_finished(run) else {}
                if is_finished(run) and not any(names and network in ("", *names) for names in scores.values()):
                    of_network = f" of {network}" if network else ""
                    reason = f"the run has no scores{of_network} on {transfer.test_set}"
                    missing.setdefault(reason, []).append(f"{cell.row.label} (seed {seed})")
                for selection, networks in scores.items():
                    shown = network or list(networks)[-1]
                    place = (transfer.name, transfer.test_set, cell.row.label, selection)
                    results += [Result(*place, name, name == shown, seed, values) for name, values in networks.items()]
        notes += missing_notes(missing, transfer.title)
    return results, list(dict.fromkeys(notes))
