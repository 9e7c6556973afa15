"""ResNets as Caffe has them: He et al.'s first form, two places away from torchvision's, and one in between."""

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


def resnet50_ceil(num_classes: int) -> nn.Module:
    """Build torchvision's ResNet-50 with a pooling that rounds up."""
    return round_pooling_up(models.resnet50(weights=None, num_classes=num_classes))


def resnet101_ceil(num_classes: int) -> nn.Module:
    """Build torchvision's ResNet-101 with a pooling that rounds up."""
    return round_pooling_up(models.resnet101(weights=None, num_classes=num_classes))


def resnet152_ceil(num_classes: int) -> nn.Module:
    """Build torchvision's ResNet-152 with a pooling that rounds up."""
    return round_pooling_up(models.resnet152(weights=None, num_classes=num_classes))


def round_pooling_up(network: models.ResNet) -> models.ResNet:
    """Pool as Caffe does where the padding is torchvision's; the strides stay on the 3x3."""
    network.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1, ceil_mode=True)
    return network


def bring_to_caffe_form(network: models.ResNet) -> models.ResNet:
    """Move a bottleneck ResNet's strides from the 3x3 to the 1x1 before it, and pool without padding.

    The names and shapes of the weights stay torchvision's.
    """
    network.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=0, ceil_mode=True)
    for stage in (network.layer2, network.layer3, network.layer4):
        stage[0].conv1.stride = (2, 2)
        stage[0].conv2.stride = (1, 1)
    return network
