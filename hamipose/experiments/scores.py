"""Scores of a run, read from its logger's file: at the last epoch, the one source validation chooses, and the best."""

import math

from hamipose.engine.metrics_file import Series

__all__ = ["SELECTIONS", "selected"]

#: Only the first two are results; the third has looked at the target's labels.
SELECTIONS = ("last", "source-selected", "oracle-selected")


def selected(columns: dict[str, Series], report: str) -> dict[str, dict[str, dict[str, float]]]:
    """Selection → network → score in per cent of one test set.

    Scores are called ``pck@0.05`` for the headline and ``pck@0.05/elbow`` for a group. The network that a user gets
    comes last: the one whose headline the run logged as the set's own.

    Args:
        columns: of :func:`~hamipose.engine.metrics_file.read_run`.
        report: name of the test set.
    """
    prefix = f"test/{report}/"
    headline = columns.get(f"{prefix}pck")
    if not headline:
        return {}
    networks: dict[str, dict[str, Series]] = {}
    for name, series in columns.items():
        network, slash, score = name.removeprefix(prefix).partition("/")
        if name.startswith(prefix) and slash:
            networks.setdefault(network, {})[score] = series

    def is_headline(network: str) -> bool:
        own = networks[network].get("pck@0.05", {})
        return all(math.isclose(own.get(step, math.nan), value, abs_tol=1e-6) for step, value in headline.items())

    validation = columns.get("val/pck", {})
    steps = {"last": max(headline)}
    chosen = [step for step in validation if step in headline]
    if chosen:
        steps["source-selected"] = max(chosen, key=lambda step: (validation[step], -step))
    steps["oracle-selected"] = max(headline, key=lambda step: (headline[step], -step))
    ordered = sorted(networks, key=is_headline)
    return {
        selection: {
            network: {score: 100 * series[step] for score, series in networks[network].items() if step in series}
            for network in ordered
        }
        for selection, step in steps.items()
    }
