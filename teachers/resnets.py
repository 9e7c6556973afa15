"""ResNets as Caffe has them: He et al.'s first form, which differs from torchvision's in two places."""

from torch import nn
from torchvision import models


def resnet50_caffe(num_classes: int) -> nn.Module:
    """Build ResNet-50 with the stride on the first 1x1 and Caffe's max-pooling."""
    return bring_to_caffe_form(models.resnet50(weights=None, num_classes=num_classes))


def resnet101_caffe(num_classes: int) -> nn.Module:
    """Build ResNet-101 with the stride on the first 1x1 and Caffe's max-pooling."""
    return bring_to_caffe_form(models.resnet101(weights=None, num_classes=num_classes))


def resnet152_caffe(num_classes: int) -> nn.Module:
    """Build ResNet-152 with the stride on the first 1x1 and Caffe's max-pooling."""
    return bring_to_caffe_form(models.resnet152(weights=None, num_classes=num_classes))


def bring_to_caffe_form(network: models.ResNet) -> models.ResNet:
    """Move a bottleneck ResNet's strides from the 3x3 to the 1x1 before it, and pool without padding.

    The names and shapes of the weights stay torchvision's.
    """
    network.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=0, ceil_mode=True)
    for stage in (network.layer2, network.layer3, network.layer4):
        stage[0].conv1.stride = (2, 2)
        stage[0].conv2.stride = (1, 1)
    return network
