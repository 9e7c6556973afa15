"""What a layout makes of a file: weights under the names of one of our architectures."""

from dataclasses import dataclass

from torch import Tensor

from teachers.preprocessing import Preprocessing


@dataclass(frozen=True)
class Converted:
    """Weights by our names, and what the file says of itself.

    Attributes:
        state: tensors by the names of the architecture.
        architecture: which one the file is, by its layout; None where that does not tell.
        claimed: what the file calls its network (``arch``), by whatever name; None where it does not.
        classes: width of its head; None where it is the usual one.
        preprocessing: what the network was trained with; None for the usual one.
        dropped: names in the file that are not used.
        notes: what was done beyond renaming, one line each.
    """

    state: dict[str, Tensor]
    architecture: str | None = None
    claimed: str | None = None
    classes: int | None = None
    preprocessing: Preprocessing | None = None
    dropped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
