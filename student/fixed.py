"""KINet with the two teachers' own features, frozen, in place of the learned auxiliary branches (paper Table 4).

Earlier work used outside knowledge in this way; the paper compares with it ("Learnable parameters", section 4.3) and
does not describe the network. Here each teacher sees the student's crops, its late features take the place of a
branch's last map, and learned 1x1 projections with ReLU bring widths together. There are no auxiliary losses: nothing
of the teachers is trained.

Shape suffixes: B clips, T segments, N images, C channels, H/W map size, d feature width.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import ResNet, SqueezeNet

from pipeline.errors import TeacherError
from student.akg import ActionKnowledgeGraph
from student.backbones import CutBackbone
from student.branches import BlockChain, Tap
from student.cbi import CrossBranchIntegration
from student.forking import fork
from student.heads import check_frames, make_classifier, pool
from student.kinet import make_akg
from student.normalisation import IMAGENET, Normalisation, renormalise
from student.options import KINetOptions
from student.outputs import BranchFeatures, StudentOutputs
from student.reasoning import reason
from teachers.architectures import resnet152_places365
from teachers.kinds import Kind
from teachers.psp import PspNet, pspnet_densenet121
from teachers.storage import load_teacher


class TeacherFeatures(nn.Module):
    """A teacher's maps, of an early and a late stage, from weights and statistics that never change.

    Args:
        early: images -> the early map; as deep as res4.
        late: that map -> the late one; as deep as res5.
        normalisation: of the images that the teacher was trained with.
    """

    def __init__(self, early: nn.Module, late: nn.Module, *, normalisation: Normalisation) -> None:
        super().__init__()
        self.early = early
        self.late = late
        self.normalisation = normalisation
        self.requires_grad_(False)
        self.train()

    def train(self, mode: bool = True) -> "TeacherFeatures":
        """Stay in evaluation mode."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, frames_N3HW: Tensor) -> tuple[Tensor, Tensor]:
        """Return the early and the late map of images in the teacher's own normalisation."""
        early_NCHW = self.early(frames_N3HW)
        return early_NCHW, self.late(early_NCHW)

    @torch.no_grad()
    def count_channels(self) -> tuple[int, int]:
        """Count the channels of the two maps."""
        device = next(self.parameters()).device
        early_NCHW, late_NCHW = self(torch.zeros(1, 3, 64, 64, device=device))
        return early_NCHW.shape[1], late_NCHW.shape[1]


class FixedTeachers(NamedTuple):
    """The two teachers."""

    human: TeacherFeatures
    scene: TeacherFeatures


class FixedKnowledge(nn.Module):
    """Bring a teacher's features to the widths of the student.

    Args:
        teacher: frozen.
        cbi_channels: width of the map at each opened block, by the block's position.
        num_early: positions below this one take the early map, the others the late one.
        feature_dim: d.
    """

    def __init__(
        self, teacher: TeacherFeatures, *, cbi_channels: Mapping[int, int], num_early: int, feature_dim: int
    ) -> None:
        super().__init__()
        self.teacher = teacher
        self.num_early = num_early
        channels = teacher.count_channels()
        self.projections = nn.ModuleDict(
            {
                str(position): nn.Conv2d(channels[position >= num_early], width, kernel_size=1)
                for position, width in cbi_channels.items()
            }
        )
        self.summary = nn.Linear(channels[1], feature_dim)

    def forward(self, frames_N3HW: Tensor) -> tuple[dict[int, Tensor], Tensor]:
        """Return a map for each opened block, [N, C, h, w] at the teacher's own size, and features [N, d]."""
        maps = self.teacher(frames_N3HW)
        projected = {
            int(position): F.relu(projection(maps[int(position) >= self.num_early]))
            for position, projection in self.projections.items()
        }
        return projected, F.relu(self.summary(pool(maps[1])))


class FixedBranchKINet(nn.Module):
    """Recognise actions with what two fixed teachers see; the interface is `student.kinet.KINet`'s.

    Args:
        trunk, action_branch, cbi, tap, akg, action_classifier, normalisation, dropout: as of `KINet`.
        human, scene: in place of its auxiliary branches.
    """

    def __init__(
        self,
        *,
        trunk: BlockChain,
        action_branch: BlockChain,
        human: FixedKnowledge,
        scene: FixedKnowledge,
        cbi: Mapping[int, CrossBranchIntegration],
        tap: Tap,
        akg: ActionKnowledgeGraph | None,
        action_classifier: nn.Linear,
        normalisation: Normalisation,
        dropout: float,
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.action_branch = action_branch
        self.human = human
        self.scene = scene
        self.cbi = nn.ModuleDict({str(position): module for position, module in cbi.items()})
        self.tap = tap
        self.akg = akg
        self.dropout = nn.Dropout(dropout)
        self.action_classifier = action_classifier
        self.normalisation = normalisation

    def forward(self, frames_BTCHW: Tensor) -> StudentOutputs:
        """Score clips: float frames [B, T, 3, H, W] to `action_logits` [B, K]; there are no auxiliary logits."""
        check_frames(frames_BTCHW)
        segments = self.extract_features(frames_BTCHW.flatten(0, 1)).as_segments(frames_BTCHW.shape[1])
        reasoned_BTd, entropy = reason(self.akg, segments)
        return StudentOutputs(action_logits=self._classify(reasoned_BTd), edge_entropy=entropy)

    def extract_features(self, frames_NCHW: Tensor) -> BranchFeatures:
        """Return the features [N, d] of single images, float [N, 3, H, W]."""
        human_maps, human_Nd = self.human(renormalise(frames_NCHW, self.normalisation, self._target(self.human)))
        scene_maps, scene_Nd = self.scene(renormalise(frames_NCHW, self.normalisation, self._target(self.scene)))
        action = self.trunk(frames_NCHW)
        for position, block in enumerate(self.action_branch.blocks):
            if str(position) not in self.cbi:
                action = block(action)
                continue
            tapped = self.tap.enter(block, action)
            size = (tapped.shape[2], tapped.shape[3])
            human = F.adaptive_avg_pool2d(human_maps[position], size)
            scene = F.adaptive_avg_pool2d(scene_maps[position], size)
            action = self.tap.leave(block, self.cbi[str(position)](tapped, human, scene), action)
        return BranchFeatures(action=pool(action), human=human_Nd, scene=scene_Nd)

    def classify_segments(self, features: BranchFeatures) -> Tensor:
        """Score clips by their segments' features [B, T, d]: logits [B, K]."""
        return self._classify(reason(self.akg, features)[0])

    def to_inference(self) -> "FixedBranchKINet":
        """Return itself: the teachers are needed at inference too."""
        return self

    @staticmethod
    def _target(knowledge: FixedKnowledge) -> Normalisation:
        return knowledge.teacher.normalisation

    def _classify(self, features_BTd: Tensor) -> Tensor:
        logits: Tensor = self.action_classifier(self.dropout(features_BTd)).mean(dim=1)
        return logits


def make_fixed_kinet(
    cut: CutBackbone,
    num_classes: int,
    num_segments: int,
    dropout: float,
    options: KINetOptions,
    teachers: FixedTeachers,
) -> FixedBranchKINet:
    """Put the student together from a backbone and two teachers; other arguments as of `student.kinet.make_kinet`.

    Raises:
        ValueError: a reading of the learned auxiliary branches, which this student does not have.
    """
    for name, only in (("auxiliary", "both"), ("cbi_output", "action")):
        if getattr(options, name) != only:
            raise ValueError(
                f"kinet.{name}: expected {only!r} for kinet-fixed, whose auxiliary branches are not learned, found "
                f"{getattr(options, name)!r}; leave it out, or choose model kinet"
            )
    forked = fork(cut, at=options.fork, cbi_places=options.cbi_places, cbi_width=options.cbi_width, auxiliary=())
    human, scene = (
        FixedKnowledge(
            teacher,
            cbi_channels=forked.cbi_channels,
            num_early=forked.num_in_res4,
            feature_dim=forked.feature_dim,
        )
        for teacher in teachers
    )
    return FixedBranchKINet(
        trunk=forked.trunk,
        action_branch=forked.branches.action,
        human=human,
        scene=scene,
        cbi={
            position: CrossBranchIntegration(channels, gate=options.cbi_gate)
            for position, channels in forked.cbi_channels.items()
        },
        tap=forked.tap,
        akg=make_akg(forked.feature_dim, num_segments, options),
        action_classifier=make_classifier(forked.feature_dim, num_classes),
        normalisation=cut.normalisation,
        dropout=dropout,
    )


def paper_teachers() -> FixedTeachers:
    """Make the paper's two teachers with random weights, to count them: PSPNet-DenseNet121 and ResNet-152."""
    return FixedTeachers(split_human(pspnet_densenet121(), IMAGENET), split_scene(resnet152_places365(), IMAGENET))


def load_fixed_teachers(human_path: str, scene_path: str) -> FixedTeachers:
    """Read the two teachers from their files.

    Raises:
        ValueError: a path is empty.
        TeacherError: a file is missing, altered, or of a network that has no stages to take.
    """
    for kind, path in (("human", human_path), ("scene", scene_path)):
        if not path:
            raise ValueError(f"{kind}_teacher: expected a teacher file for model kinet-fixed, found none; set its path")
    human, human_card = load_teacher(Path(human_path), Kind.HUMAN)
    scene, scene_card = load_teacher(Path(scene_path), Kind.SCENE)
    normalisations = [
        Normalisation(mean=card.preprocessing.mean, std=card.preprocessing.std) for card in (human_card, scene_card)
    ]
    return FixedTeachers(split_human(human, normalisations[0]), split_scene(scene, normalisations[1]))


def split_human(network: nn.Module, normalisation: Normalisation) -> TeacherFeatures:
    """Take the parser's two stages, both at stride 8: before its last dense block, and before the pyramid."""
    if not isinstance(network, PspNet):
        raise TeacherError(f"human teacher {type(network).__name__}: features can be taken of a PspNet alone")
    return TeacherFeatures(network.stem, network.body, normalisation=normalisation)


def split_scene(network: nn.Module, normalisation: Normalisation) -> TeacherFeatures:
    """Take the classifier's last two stages: `layer3` and `layer4` of a ResNet, fire8 and fire9 of a SqueezeNet."""
    if isinstance(network, ResNet):
        stages = dict(network.named_children())
        early = nn.Sequential(*(stages[name] for name in stages if name not in ("layer4", "avgpool", "fc")))
        return TeacherFeatures(early, stages["layer4"], normalisation=normalisation)
    if isinstance(network, SqueezeNet):
        return TeacherFeatures(network.features[:-1], network.features[-1:], normalisation=normalisation)
    raise TeacherError(
        f"scene teacher {type(network).__name__}: features can be taken of a ResNet or SqueezeNet; train one of those"
    )
