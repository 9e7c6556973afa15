"""Start a student from ImageNet weights in the layout that circulates; loading never executes code from a file.

That is torchvision's, and for BN-Inception the one that came from Caffe, whose old files hold BatchNorm as [1, C].
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from pipeline.errors import CheckpointError
from pipeline.training.weights import read_state_dict
from student.backbones import average_colours
from student.branches import BlockChain

CLASSIFIER_PREFIXES = ("fc.", "classifier.", "last_linear.", "AuxLogits.")
OPTIONAL_SUFFIX = ".num_batches_tracked"
NUM_KEYS_SHOWN = 3


@dataclass(frozen=True)
class LoadReport:
    """What was taken from a checkpoint, all by the checkpoint's own keys.

    Attributes:
        used: keys whose tensors are now in the model; those of forked blocks are in all three branches.
        missing: keys that the model has and the file lacks; only BatchNorm's batch counters, which old files lack,
            can be missing.
        unexpected: keys that the model has no place for: ImageNet's classifier.
    """

    used: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]


def load_imagenet_weights(model: nn.Module, path: Path) -> LoadReport:
    """Load a backbone's ImageNet weights into the trunk and every branch of a student, in place.

    A student of other images than RGB takes the first convolution's kernels averaged over the colours and repeated.

    Args:
        model: a KINet or a TSN.
        path: a state_dict of the student's backbone, by ``torch.save`` or as safetensors.

    Raises:
        CheckpointError: the file is missing, unreadable, holds code, or is of another architecture; the model is then
            unchanged.
    """
    source = read_state_dict(path)
    targets = [pair for module in model.modules() if isinstance(module, BlockChain) for pair in module.source_tensors()]
    source |= {key: _fitted(source[key], tensor) for key, tensor in targets if key in source}
    wanted = {key for key, _ in targets}
    missing = sorted(wanted - source.keys())
    unexpected = sorted(source.keys() - wanted)
    lacking = [key for key in missing if not key.endswith(OPTIONAL_SUFFIX)]
    foreign = [key for key in unexpected if not key.startswith(CLASSIFIER_PREFIXES)]
    misshapen = [key for key, tensor in targets if key in source and source[key].shape != tensor.shape]
    if lacking or foreign or misshapen:
        raise CheckpointError(
            f"{path}: not the ImageNet weights of this student's backbone in torchvision's layout: "
            f"{_shown('missing', lacking)}, {_shown('unexpected', foreign)}, "
            f"{_shown('of another shape', sorted(set(misshapen)))}; choose the file or the backbone that fits the other"
        )
    with torch.no_grad():
        for key, tensor in targets:
            if key in source:
                tensor.copy_(source[key])
    return LoadReport(used=tuple(sorted(wanted & source.keys())), missing=tuple(missing), unexpected=tuple(unexpected))


def _fitted(stored: Tensor, own: Tensor) -> Tensor:
    """Bring a stored tensor to its place's shape where only an old layout or the number of colours differs."""
    if stored.shape == (1, *own.shape):
        return stored[0]
    if stored.dim() == own.dim() == 4 and stored.shape[1] == 3 != own.shape[1] and stored.shape[2:] == own.shape[2:]:
        return average_colours(stored, own.shape[1])
    return stored


def _shown(what: str, keys: list[str]) -> str:
    listed = f" ({', '.join(keys[:NUM_KEYS_SHOWN])}{', ...' if len(keys) > NUM_KEYS_SHOWN else ''})" if keys else ""
    return f"{len(keys)} {what}{listed}"
