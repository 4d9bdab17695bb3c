"""How much training every row of a small table is given."""

from dataclasses import dataclass
from typing import ClassVar

from hamipose.errors import UserError

__all__ = ["Budget"]


@dataclass(frozen=True)
class Budget:
    """Steps at the small scale; at the paper's, each config states its own.

    Attributes:
        start: of the training that all rows of a seed go on from, evaluated ten times.
        steps: of each row, from there, evaluated four times.
    """

    start: int
    steps: int

    START_EPOCHS: ClassVar[int] = 10
    EPOCHS: ClassVar[int] = 4

    def __post_init__(self) -> None:
        for name, value, epochs in (("start", self.start, self.START_EPOCHS), ("steps", self.steps, self.EPOCHS)):
            if value < epochs or value % epochs:
                raise UserError(f"{name} is {value}, expected a multiple of its {epochs} epochs")
