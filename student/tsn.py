"""Temporal Segment Network: the baseline, one 2-D network over a few frames of a video.

Shape suffixes: B clips, T segments, N images, C channels, H/W frame size, d feature width, K classes.
"""

from torch import Tensor, nn

from student.backbones import (
    CutBackbone,
    cut_bninception,
    cut_inceptionv3,
    cut_resnet18,
    cut_resnet50,
    cut_resnet200,
    cut_squeezenet1_1,
    widen_input,
)
from student.branches import BlockChain
from student.heads import DEFAULT_DROPOUT, check_frames, make_classifier, pool
from student.normalisation import Normalisation, flow_normalisation
from student.outputs import BranchFeatures, StudentOutputs
from student.seeding import seeded


class TSN(nn.Module):
    """Classify each frame and average the logits over segments (Wang et al. 2016, average consensus).

    Args:
        backbone: the whole backbone up to its last map.
        classifier: linear, from its channels to the classes.
        normalisation: of the images it is called with.
        in_channels: of its images: 3 for RGB, 10 for five (x, y) pairs of optical flow.
        dropout: probability, before the classifier.
    """

    def __init__(
        self,
        *,
        backbone: BlockChain,
        classifier: nn.Linear,
        normalisation: Normalisation,
        in_channels: int = 3,
        dropout: float = DEFAULT_DROPOUT,
    ) -> None:
        super().__init__()
        self.normalisation = normalisation
        self.in_channels = in_channels
        self.backbone = backbone
        self.dropout = nn.Dropout(dropout)
        self.action_classifier = classifier

    def forward(self, frames_BTCHW: Tensor) -> StudentOutputs:
        """Score clips: float frames [B, T, C, H, W] to `action_logits` [B, K] and nothing else."""
        check_frames(frames_BTCHW, self.in_channels)
        segments = self.extract_features(frames_BTCHW.flatten(0, 1)).as_segments(frames_BTCHW.shape[1])
        return StudentOutputs(action_logits=self.classify_segments(segments))

    def extract_features(self, frames_NCHW: Tensor) -> BranchFeatures:
        """Return the pooled features [N, d] of single images, float [N, C, H, W]."""
        return BranchFeatures(action=pool(self.backbone(frames_NCHW)), human=None, scene=None)

    def classify_segments(self, features: BranchFeatures) -> Tensor:
        """Score clips by their segments' features [B, T, d]: logits [B, K]."""
        logits: Tensor = self.action_classifier(self.dropout(features.action)).mean(dim=1)
        return logits

    def to_inference(self) -> "TSN":
        """Return itself: TSN has nothing that only training needs."""
        return self


def tsn_resnet50(
    num_classes: int, num_segments: int = 3, *, dropout: float = DEFAULT_DROPOUT, in_channels: int = 3, seed: int = 0
) -> TSN:
    """Build TSN on ResNet-50: 24.3 M parameters for 400 classes (paper Table 2: 24.4 M).

    Args:
        num_classes: K.
        num_segments: T; TSN has no weights that depend on it.
        dropout: probability before the classifier.
        in_channels: 3 for RGB; 10 for optical flow, see `student.backbones.widen_input`.
        seed: of the random start.
    """
    with seeded(seed):
        return make_tsn(cut_resnet50(), num_classes, num_segments, dropout, in_channels)


def tsn_resnet200(
    num_classes: int, num_segments: int = 3, *, dropout: float = DEFAULT_DROPOUT, in_channels: int = 3, seed: int = 0
) -> TSN:
    """Build TSN on ResNet-200: 63.4 M parameters (Table 2: 64.5 M); arguments as of `tsn_resnet50`."""
    with seeded(seed):
        return make_tsn(cut_resnet200(), num_classes, num_segments, dropout, in_channels)


def tsn_bninception(
    num_classes: int, num_segments: int = 3, *, dropout: float = DEFAULT_DROPOUT, in_channels: int = 3, seed: int = 0
) -> TSN:
    """Build TSN on BN-Inception (paper Table 3); arguments as of `tsn_resnet50`."""
    with seeded(seed):
        return make_tsn(cut_bninception(), num_classes, num_segments, dropout, in_channels)


def tsn_inceptionv3(
    num_classes: int, num_segments: int = 3, *, dropout: float = DEFAULT_DROPOUT, in_channels: int = 3, seed: int = 0
) -> TSN:
    """Build TSN on Inception V3, for frames of 299 x 299 (Table 3); arguments as of `tsn_resnet50`."""
    with seeded(seed):
        return make_tsn(cut_inceptionv3(), num_classes, num_segments, dropout, in_channels)


def tsn_resnet18(
    num_classes: int, num_segments: int = 3, *, dropout: float = DEFAULT_DROPOUT, in_channels: int = 3, seed: int = 0
) -> TSN:
    """Build TSN on ResNet-18; arguments as of `tsn_resnet50`."""
    with seeded(seed):
        return make_tsn(cut_resnet18(), num_classes, num_segments, dropout, in_channels)


def tsn_squeezenet1_1(
    num_classes: int, num_segments: int = 3, *, dropout: float = DEFAULT_DROPOUT, in_channels: int = 3, seed: int = 0
) -> TSN:
    """Build TSN on SqueezeNet 1.1; arguments as of `tsn_resnet50`."""
    with seeded(seed):
        return make_tsn(cut_squeezenet1_1(), num_classes, num_segments, dropout, in_channels)


TSN_BUILDERS = {
    "resnet50": tsn_resnet50,
    "resnet200": tsn_resnet200,
    "bninception": tsn_bninception,
    "inceptionv3": tsn_inceptionv3,
    "resnet18": tsn_resnet18,
    "squeezenet1_1": tsn_squeezenet1_1,
}
"""By the backbone's name; `student.build.build_student` builds by them."""


def make_tsn(cut: CutBackbone, num_classes: int, num_segments: int, dropout: float, in_channels: int) -> TSN:
    """Put TSN together from a backbone; arguments as of `tsn_resnet50`. The start is torch's global generator's."""
    if num_segments < 1:
        raise ValueError(f"num_segments: expected at least 1, found {num_segments}")
    cut = widen_input(cut, in_channels)
    return TSN(
        backbone=BlockChain(cut.stem + cut.res4 + cut.res5),
        classifier=make_classifier(cut.feature_dim, num_classes),
        normalisation=cut.normalisation if in_channels == 3 else flow_normalisation(cut.normalisation),
        in_channels=in_channels,
        dropout=dropout,
    )
