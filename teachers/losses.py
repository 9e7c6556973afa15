"""What the two teachers learn to make small.

Shapes: B images, h and w the network's input size.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from teachers.augmentation import IGNORED_CLASS
from teachers.psp import AUX_LOSS_WEIGHT


class Loss(NamedTuple):
    """A mean, and over how many terms it was taken: pixels that count, or images."""

    mean: Tensor
    num_terms: Tensor


# (network, normalised images, targets) -> loss
LossFunction = Callable[[nn.Module, Tensor, Tensor], Loss]


def human_loss(network: nn.Module, x_B3hw: Tensor, targets_Bhw: Tensor) -> Loss:
    """Compute per-pixel cross-entropy plus .4 times the auxiliary head's; ids of 255 don't count."""
    outputs = network(x_B3hw)
    num_pixels = (targets_Bhw != IGNORED_CLASS).sum()
    if not bool(num_pixels):
        # A mean over no pixel is not a number.
        return Loss(outputs.logits.sum() * 0 + outputs.aux_logits.sum() * 0, num_pixels)
    main = F.cross_entropy(outputs.logits.float(), targets_Bhw, ignore_index=IGNORED_CLASS)
    aux = F.cross_entropy(outputs.aux_logits.float(), targets_Bhw, ignore_index=IGNORED_CLASS)
    return Loss(main + AUX_LOSS_WEIGHT * aux, num_pixels)


def scene_loss(network: nn.Module, x_B3hw: Tensor, targets_B: Tensor) -> Loss:
    """Compute the cross-entropy over 365 classes."""
    num_images = targets_B.new_tensor(len(targets_B))
    return Loss(F.cross_entropy(network(x_B3hw).float(), targets_B), num_images)
