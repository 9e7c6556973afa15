"""The linear classifiers on pooled features, and the pooling before them.

Shape suffixes: N images, C channels, H/W map size.
"""

from torch import Tensor, nn

DEFAULT_DROPOUT = 0.5
"""Before the action classifier."""
CLASSIFIER_STD = 0.001
"""Start of the classifiers' weights: TSN's value, which keeps the first logits near zero."""


def make_classifier(feature_dim: int, num_classes: int) -> nn.Linear:
    """Make a linear layer that starts at small normal weights and zero bias; ValueError for less than one class."""
    if num_classes < 1:
        raise ValueError(f"num_classes: expected at least 1, found {num_classes}")
    classifier = nn.Linear(feature_dim, num_classes)
    nn.init.normal_(classifier.weight, std=CLASSIFIER_STD)
    nn.init.zeros_(classifier.bias)
    return classifier


def pool(maps_NCHW: Tensor) -> Tensor:
    """Average maps over their positions: [N, C, H, W] to [N, C]."""
    return maps_NCHW.mean(dim=(2, 3))


def check_frames(frames_BTCHW: Tensor, num_channels: int = 3) -> None:
    """Raise ValueError unless these are normalised frames, float [B, T, 3, H, W]."""
    if (
        frames_BTCHW.dim() != 5
        or frames_BTCHW.shape[2] != num_channels
        or not frames_BTCHW.is_floating_point()
        or 0 in frames_BTCHW.shape
    ):
        raise ValueError(
            f"frames: expected float [B, T, {num_channels}, H, W], found {frames_BTCHW.dtype} "
            f"{list(frames_BTCHW.shape)}"
        )
