"""The light human decoder, needed in training alone."""

from torch import Tensor, nn

NUM_HUMAN_CLASSES = 2


class HumanDecoder(nn.Module):
    """Segment people from the human branch's last map: 3x3 convolution, BatchNorm, ReLU, 1x1 convolution.

    The paper draws a decoder (Figure 2) and drops it at inference (section 4.2) without describing it; this form is
    the project's choice.

    Args:
        in_channels: of the map.
        width: of the hidden layer.
    """

    def __init__(self, in_channels: int, *, width: int = 256) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, width, kernel_size=3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.classifier = nn.Conv2d(width, NUM_HUMAN_CLASSES, kernel_size=1)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, features_NChw: Tensor) -> Tensor:
        """Return logits [N, 2, h, w] (0 background, 1 human) for maps [N, C, h, w]."""
        logits: Tensor = self.classifier(self.relu(self.norm(self.conv(features_NChw))))
        return logits
