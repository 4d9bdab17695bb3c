"""The verb `page`: a run's folder, finished or not, as one HTML page."""

import argparse
from pathlib import Path

__all__ = ["main"]


def main(arguments: list[str]) -> None:
    """Write the page.

    Args:
        arguments: what follows the verb.
    """
    parser = argparse.ArgumentParser(
        "python -m hamipose page",
        allow_abbrev=False,
        description="Write RUN/report.html: scores, losses, conflict and gate by keypoint, energy, predictions.",
        epilog="example: python -m hamipose page runs/hamipose/version_0",
    )
    parser.add_argument("run", type=Path, help="folder of a run that lightning's CSVLogger wrote to")
    given = parser.parse_args(arguments)
    from hamipose.run_page import write_run_page

    print(write_run_page(given.run))
