"""What a run says of its networks before it trains them."""

from typing import Any

from lightning.pytorch.callbacks import ModelSummary
from lightning.pytorch.utilities.model_summary import get_human_readable_count as readable

__all__ = ["Summary"]


class Summary(ModelSummary):
    """One line: the parts of a method that have parameters, and how many of all are trained.

    Lightning's table takes fourteen lines and counts as 0 the FLOPs that it does not know.
    """

    @staticmethod
    def summarize(
        summary_data: list[tuple[str, list[str]]],
        total_parameters: int,
        trainable_parameters: int,
        *_: Any,
        **__: Any,
    ) -> None:
        """Print the line."""
        columns = dict(summary_data)
        parts = [f"{n} {p}" for n, p in zip(columns["Name"], columns["Params"], strict=True) if p.strip() != "0"]
        counts = f"{readable(trainable_parameters)} of {readable(total_parameters)}"
        print(f"Parameters: {', '.join(parts)}; {counts} are trained", flush=True)
