"""The verb `demo`: adapt a pose model from plain to photo-like synthetic people."""

from pathlib import Path

from hamipose.command_line.arguments import Arguments, at_least

__all__ = ["main"]


def main(arguments: list[str]) -> None:
    """Run the demo.

    Args:
        arguments: the command line after the verb.
    """
    parser = Arguments(
        "python -m hamipose demo",
        description="Train a pose model on plain synthetic people and adapt it to photo-like ones, without labels.",
        epilog="Other options are passed to every run, such as --data.batch_size 16.",
    )
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="output folder for runs and the report")
    parser.add_argument("--seed", type=at_least(0), default=0, help="seed of training; the people stay the same")
    parser.add_argument(
        "--minutes", type=float, default=12.0, help="skip the mean teacher if it would finish later than this"
    )
    options, overrides = parser.parse_known_args(arguments)
    from hamipose.demo import run_demo

    run_demo(options.out, options.seed, options.minutes, overrides)
