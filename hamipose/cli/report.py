"""The verb `report`: the HTML report of a run, finished or not."""

from pathlib import Path

from hamipose.command_line.arguments import Arguments

__all__ = ["main"]


def main(arguments: list[str]) -> None:
    """Write the report.

    Args:
        arguments: the command line after the verb.
    """
    parser = Arguments(
        "python -m hamipose report",
        description="Write RUN/report.html: scores, losses, conflict and gate per keypoint, energy, predictions.",
        epilog="example: python -m hamipose report runs/hamipose/version_0",
    )
    parser.add_argument("run", type=Path, help="folder of a run with Lightning's CSVLogger")
    options = parser.parse_args(arguments)
    from hamipose.evaluation.run_report import write_run_report

    print(write_run_report(options.run))
