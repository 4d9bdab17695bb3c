"""The verb `page`: a run's folder, finished or not, as one HTML page."""

from pathlib import Path

from hamipose.command_line.arguments import Arguments

__all__ = ["main"]


def main(arguments: list[str]) -> None:
    """Write the page.

    Args:
        arguments: what follows the verb.
    """
    parser = Arguments(
        "python -m hamipose page",
        description="Write RUN/report.html: scores, losses, conflict and gate by keypoint, energy, predictions.",
        epilog="example: python -m hamipose page runs/hamipose/version_0",
    )
    parser.add_argument("run", type=Path, help="folder of a run that lightning's CSVLogger wrote to")
    given = parser.parse_args(arguments)
    from hamipose.evaluation.run_report import write_run_page

    print(write_run_page(given.run))
