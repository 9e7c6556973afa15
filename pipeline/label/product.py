"""What workers make of the videos' frames: labels of the teachers, or optical flow.

Plan, ledger, workers, journal, receipts and verification are the same for all products. A product brings the rows of
its own columns, and what decides their values.
"""

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.label.settings import LabelSettings


class FrameRows(NamedTuple):
    """What is to be stored of n frames; None of what the product does not make.

    Attributes:
        num_frames: n.
        masks: bool [n, H, W].
        scene_indices: int64 [n, 5]. scene_probs: float32 [n, 5].
        flows: n encoded images, see `pipeline.flow.coding`.
    """

    num_frames: int
    masks: NDArray[np.bool_] | None = None
    scene_indices: NDArray[np.int64] | None = None
    scene_probs: NDArray[np.float32] | None = None
    flows: tuple[bytes, ...] | None = None

    def part(self, start: int, stop: int) -> "FrameRows":
        """Return the rows start..stop - 1."""
        return FrameRows(
            num_frames=stop - start,
            masks=None if self.masks is None else self.masks[start:stop],
            scene_indices=None if self.scene_indices is None else self.scene_indices[start:stop],
            scene_probs=None if self.scene_probs is None else self.scene_probs[start:stop],
            flows=None if self.flows is None else self.flows[start:stop],
        )


class RowMaker(Protocol):
    """Turns a stream of frames into rows, one for each frame and in their order.

    Attributes:
        busy_sec: time that the stream stood still for it.
    """

    busy_sec: float

    @property
    def present_sec(self) -> float:
        """How long it has been at work since it was last asked, or 0; for other threads."""
        ...

    def add(self, pixels: NDArray[np.uint8]) -> list[FrameRows]:
        """Take frames uint8 [n, H, W, 3] in, which may change later; return the rows that are finished."""
        ...

    def end_video(self) -> list[FrameRows]:
        """Note that the next frame is of another video; return the rows that are finished."""
        ...

    def finish(self) -> list[FrameRows]:
        """Return the rows of all frames that are still in here."""
        ...


class LoadedProduct(Protocol):
    """A product in a worker, ready to be made.

    Attributes:
        ingredients: what decides the rows' values beside manifest, schema and decoder, by name.
        stage: under which a receipt counts the seconds that it took.
        batch_size: frames that are computed together, where that moves values by rounding; else None.
        trial_frames: so many frames try it out, and tell its speed.
    """

    ingredients: dict[str, str]
    stage: str
    batch_size: int | None
    trial_frames: int

    def make_rows(self) -> RowMaker:
        """Begin the rows of a shard."""
        ...

    def close(self) -> None:
        """Drop what is still to be computed, and wait for nothing; no rows are made any more."""
        ...


class Product(Protocol):
    """What a job asks its workers to make; small, and sent to them: `TeacherSettings` or `FlowSettings`."""

    @property
    def uses_gpu(self) -> bool:
        """Whether a GPU makes it faster."""
        ...

    def load(self, settings: LabelSettings, num_cpus: int) -> LoadedProduct:
        """Load it in a worker that has so many processors.

        Raises:
            KinetError: a part of it is missing.
        """
        ...

    def digest_files(self) -> str | None:
        """Hash what it is made by, without loading it; None where a part is missing."""
        ...
