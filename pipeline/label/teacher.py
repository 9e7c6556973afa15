"""What the engine asks of a teacher; it knows no network.

A teacher is made by a factory that is given to `label` by name (``teachers.human:load``, or a user's own
``module:function``)::

    def load(weights_path: Path, *, device: torch.device, precision: str) -> HumanTeacherProtocol | SceneTeacherProtocol

The factory is called once in every worker; docs/own-teacher.md has a complete example. A teacher may have a method
``compile()``: `label --compile` calls it before the first batch, all batches then being of one size.
"""

from typing import NamedTuple, Protocol

from torch import Tensor

NUM_SCENE_CLASSES = 365
NUM_SCENE_LABELS = 5


class SceneLabels(NamedTuple):
    """The best scene classes of each frame.

    Attributes:
        indices_BK: int64 [B, 5], Places365 class indices, best first.
        probs_BK: float32 [B, 5], their softmax probabilities over all 365 classes.
    """

    indices_BK: Tensor
    probs_BK: Tensor


class HumanTeacherProtocol(Protocol):
    """Human parsing, merged to one mask.

    Attributes:
        name: architecture, as shown to people.
        sha256: hex digest of the weights file.
        preprocessing: how frames become the network's input; its `str` is, with the other two, part of the labels'
            fingerprint, so that labels of another teacher never mix with these.
    """

    name: str
    sha256: str

    @property
    def preprocessing(self) -> object: ...

    def predict_masks(self, frames_BHWC: Tensor) -> Tensor:
        """Segment people: uint8 RGB [B, H, W, 3] on the teacher's device to bool [B, H, W], same H and W."""
        ...


class SceneTeacherProtocol(Protocol):
    """Scene classification; attributes as in `HumanTeacherProtocol`."""

    name: str
    sha256: str

    @property
    def preprocessing(self) -> object: ...

    def predict_scenes(self, frames_BHWC: Tensor) -> SceneLabels:
        """Classify scenes: uint8 RGB [B, H, W, 3] on the teacher's device to the five best of 365 classes."""
        ...
