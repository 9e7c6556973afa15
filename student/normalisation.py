"""How pixels are scaled for each backbone: what its ImageNet weights were trained with."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Normalisation:
    """Statistics of a network's input.

    Attributes:
        mean, std: of RGB in 0-1; a single value of each is for all channels.
        bgr: the network sees blue first.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    bgr: bool = False


IMAGENET = Normalisation(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
CENTRED = Normalisation(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
"""Inception V3's."""
CAFFE = Normalisation(mean=(128 / 255, 117 / 255, 104 / 255), std=(1 / 255, 1 / 255, 1 / 255), bgr=True)
"""BN-Inception's: BGR in 0-255, less the mean [104, 117, 128]."""


def flow_normalisation(rgb: Normalisation) -> Normalisation:
    """Return the statistics of stored flow (rest is 128) for a network that was pre-trained with RGB.

    The spread is the mean over its colours: .226 for ResNets, 1 / 255 for BN-Inception, .5 for Inception V3, as in TSN.
    """
    return Normalisation(mean=(128 / 255,), std=(sum(rgb.std) / len(rgb.std),))


def normalise(frames_CHW: Tensor, normalisation: Normalisation = IMAGENET) -> Tensor:
    """Turn uint8 frames [..., C, H, W] into float32 as the pre-trained network saw them: (x / 255 - mean) / std."""
    mean_C11 = torch.tensor(normalisation.mean, device=frames_CHW.device)[:, None, None]
    std_C11 = torch.tensor(normalisation.std, device=frames_CHW.device)[:, None, None]
    scaled_CHW = (frames_CHW.float() / 255.0 - mean_C11) / std_C11
    return scaled_CHW.flip(-3) if normalisation.bgr else scaled_CHW


def renormalise(frames_CHW: Tensor, source: Normalisation, target: Normalisation) -> Tensor:
    """Turn frames that one network takes, float [..., 3, H, W], into what another takes."""
    if source == target:
        return frames_CHW
    rgb_CHW = frames_CHW.flip(-3) if source.bgr else frames_CHW
    source_mean, source_std, target_mean, target_std = (
        torch.tensor(values, device=frames_CHW.device, dtype=frames_CHW.dtype)[:, None, None]
        for values in (source.mean, source.std, target.mean, target.std)
    )
    scaled_CHW = (rgb_CHW * source_std + source_mean - target_mean) / target_std
    return scaled_CHW.flip(-3) if target.bgr else scaled_CHW
