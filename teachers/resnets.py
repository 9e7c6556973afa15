"""ResNets as Caffe has them: He et al.'s first form, which differs from torchvision's in two places."""

from collections.abc import Callable

from torch import nn
from torchvision import models


def resnet50_caffe(num_classes: int) -> nn.Module:
    """Build ResNet-50 with the stride on the first 1x1 and Caffe's max-pooling."""
    return _as_in_caffe(models.resnet50, num_classes)


def resnet101_caffe(num_classes: int) -> nn.Module:
    """Build ResNet-101 with the stride on the first 1x1 and Caffe's max-pooling."""
    return _as_in_caffe(models.resnet101, num_classes)


def resnet152_caffe(num_classes: int) -> nn.Module:
    """Build ResNet-152 with the stride on the first 1x1 and Caffe's max-pooling."""
    return _as_in_caffe(models.resnet152, num_classes)


def _as_in_caffe(builder: Callable[..., models.ResNet], num_classes: int) -> nn.Module:
    """Move strides from the 3x3 to the 1x1 before it; pool without padding, the last column and row included.

    The names and shapes of the weights stay torchvision's.
    """
    network = builder(weights=None, num_classes=num_classes)
    network.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=0, ceil_mode=True)
    for stage in (network.layer2, network.layer3, network.layer4):
        stage[0].conv1.stride = (2, 2)
        stage[0].conv2.stride = (1, 1)
    return network
