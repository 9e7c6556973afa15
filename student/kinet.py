"""KINet: action, human and scene branches over a shared trunk, joined by CBI and AKG.

Shape suffixes: B clips, T segments, N images, C channels, H/W frame size, h/w map size, d feature width, K classes.
"""

from collections.abc import Mapping

from torch import Tensor, nn

from student.akg import ActionKnowledgeGraph, edge_entropy
from student.backbones import CutBackbone, cut_resnet18, cut_resnet50, cut_squeezenet1_1, fork
from student.branches import BlockChain, Branches, Tap
from student.cbi import CrossBranchIntegration
from student.decoder import HumanDecoder
from student.heads import check_frames, make_classifier, pool
from student.options import KINetOptions
from student.outputs import BranchFeatures, StudentOutputs
from student.seeding import seeded

NUM_SCENE_CLASSES = 365
DEFAULT_DROPOUT = 0.5
DEFAULT_OPTIONS = KINetOptions()


class KINet(nn.Module):
    """Recognise actions with the knowledge of people and scenes (paper Figure 2).

    Args:
        trunk: the blocks that the three branches share.
        branches: three chains of blocks, equal but for their weights.
        cbi: the CBI module of each opened block, by the block's position in its branch; {} for none.
        tap: where a block is opened for CBI.
        akg: the graph over the segments; None classifies the action features themselves.
        action_classifier: linear, from d to the classes.
        human_decoder: from the human branch's last map to 2 classes; None in the inference form.
        scene_classifier: linear, from d to 365 classes; None in the inference form.
        dropout: probability, before the action classifier.
    """

    def __init__(
        self,
        *,
        trunk: BlockChain,
        branches: Branches,
        cbi: Mapping[int, CrossBranchIntegration],
        tap: Tap,
        akg: ActionKnowledgeGraph | None,
        action_classifier: nn.Linear,
        human_decoder: HumanDecoder | None,
        scene_classifier: nn.Linear | None,
        dropout: float = DEFAULT_DROPOUT,
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.action_branch, self.human_branch, self.scene_branch = branches
        self.cbi = nn.ModuleDict({str(position): module for position, module in cbi.items()})
        self.tap = tap
        self.akg = akg
        self.dropout = nn.Dropout(dropout)
        self.action_classifier = action_classifier
        self.human_decoder = human_decoder
        self.scene_classifier = scene_classifier

    def forward(self, frames_BTCHW: Tensor) -> StudentOutputs:
        """Score clips and, for the auxiliary losses, their frames.

        Args:
            frames_BTCHW: float [B, T, 3, H, W], normalised as the backbone expects.

        Returns:
            `action_logits` [B, K], `human_logits` [B, T, 2, h, w] at the size of the last map, `scene_logits`
            [B, T, 365]; the last two are None in the inference form.

        Raises:
            ValueError: the frames have another shape, or another T than the graph.
        """
        check_frames(frames_BTCHW)
        clip_shape = frames_BTCHW.shape[:2]
        maps = self._run_branches(frames_BTCHW.flatten(0, 1))
        action_BTd, human_BTd, scene_BTd = (pool(map_NCHW).unflatten(0, clip_shape) for map_NCHW in maps)
        reasoned_BTd, entropy = self._reason(action_BTd, human_BTd, scene_BTd)
        human_logits = scene_logits = None
        if self.human_decoder is not None:
            human_logits = self.human_decoder(maps[1]).unflatten(0, clip_shape)
        if self.scene_classifier is not None:
            scene_logits = self.scene_classifier(scene_BTd)
        return StudentOutputs(
            action_logits=self._classify(reasoned_BTd),
            human_logits=human_logits,
            scene_logits=scene_logits,
            edge_entropy=entropy,
        )

    def extract_features(self, frames_NCHW: Tensor) -> BranchFeatures:
        """Return the pooled features [N, d] of single images, float [N, 3, H, W].

        CBI joins maps of the same frame, so that features of an image serve every window that it is part of.
        """
        action, human, scene = (pool(map_NCHW) for map_NCHW in self._run_branches(frames_NCHW))
        return BranchFeatures(action=action, human=human, scene=scene)

    def classify_segments(self, features: BranchFeatures) -> Tensor:
        """Score clips by their segments' features [B, T, d]: logits [B, K]."""
        if features.human is None or features.scene is None:
            raise ValueError("KINet: features of the human and the scene branch are needed, found None")
        return self._classify(self._reason(features.action, features.human, features.scene)[0])

    def to_inference(self) -> "KINet":
        """Make the form without human decoder and scene classifier; its logits are the same.

        It shares its modules with this one: training or evaluation mode, set on either, is set on both.
        """
        inference = KINet(
            trunk=self.trunk,
            branches=Branches(self.action_branch, self.human_branch, self.scene_branch),
            cbi={int(position): module for position, module in self.cbi.items()},  # type: ignore[misc]
            tap=self.tap,
            akg=self.akg,
            action_classifier=self.action_classifier,
            human_decoder=None,
            scene_classifier=None,
            dropout=self.dropout.p,
        )
        return inference.train(self.training)

    def _run_branches(self, frames_NCHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the last map of the action, the human and the scene branch."""
        action = human = scene = self.trunk(frames_NCHW)
        chains = zip(self.action_branch.blocks, self.human_branch.blocks, self.scene_branch.blocks, strict=True)
        for position, (action_block, human_block, scene_block) in enumerate(chains):
            if str(position) not in self.cbi:
                action, human, scene = action_block(action), human_block(human), scene_block(scene)
                continue
            action_tapped = self.tap.enter(action_block, action)
            human_tapped = self.tap.enter(human_block, human)
            scene_tapped = self.tap.enter(scene_block, scene)
            joined = self.cbi[str(position)](action_tapped, human_tapped, scene_tapped)
            action = self.tap.leave(action_block, joined, action)
            human = self.tap.leave(human_block, human_tapped, human)
            scene = self.tap.leave(scene_block, scene_tapped, scene)
        return action, human, scene

    def _reason(self, action_BTd: Tensor, human_BTd: Tensor, scene_BTd: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the action features that are classified, and the entropy of the edges that led to them."""
        if self.akg is None:
            return action_BTd, None
        graph = self.akg.reason(action_BTd, human_BTd, scene_BTd)
        return graph.action, edge_entropy(graph.edges, self.akg.num_segments)

    def _classify(self, features_BTd: Tensor) -> Tensor:
        logits: Tensor = self.action_classifier(self.dropout(features_BTd)).mean(dim=1)
        return logits


def kinet_resnet50(
    num_classes: int,
    num_segments: int = 3,
    *,
    dropout: float = DEFAULT_DROPOUT,
    options: KINetOptions = DEFAULT_OPTIONS,
    seed: int = 0,
) -> KINet:
    """Build KINet on ResNet-50: 61.7 M parameters in inference form for 400 classes (paper Table 2: 56.9 M).

    Args:
        num_classes: K.
        num_segments: T, the frames of one graph.
        dropout: probability before the action classifier.
        options: the readings of the paper.
        seed: of the random start; the three branches start equal.
    """
    with seeded(seed):
        return _assemble(cut_resnet50(), num_classes, num_segments, dropout, options)


def kinet_resnet18(
    num_classes: int,
    num_segments: int = 3,
    *,
    dropout: float = DEFAULT_DROPOUT,
    options: KINetOptions = DEFAULT_OPTIONS,
    seed: int = 0,
) -> KINet:
    """Build KINet on ResNet-18; arguments as of `kinet_resnet50`."""
    with seeded(seed):
        return _assemble(cut_resnet18(), num_classes, num_segments, dropout, options)


def kinet_squeezenet1_1(
    num_classes: int,
    num_segments: int = 3,
    *,
    dropout: float = DEFAULT_DROPOUT,
    options: KINetOptions = DEFAULT_OPTIONS,
    seed: int = 0,
) -> KINet:
    """Build KINet on SqueezeNet 1.1, for small machines; arguments as of `kinet_resnet50`."""
    with seeded(seed):
        return _assemble(cut_squeezenet1_1(), num_classes, num_segments, dropout, options)


def _assemble(cut: CutBackbone, num_classes: int, num_segments: int, dropout: float, options: KINetOptions) -> KINet:
    forked = fork(cut, at=options.fork, cbi_places=options.cbi_places, cbi_width=options.cbi_width)
    return KINet(
        trunk=forked.trunk,
        branches=forked.branches,
        cbi={
            position: CrossBranchIntegration(channels, gate=options.cbi_gate)
            for position, channels in forked.cbi_channels.items()
        },
        tap=forked.tap,
        akg=_make_akg(forked.feature_dim, num_segments, options),
        action_classifier=make_classifier(forked.feature_dim, num_classes),
        human_decoder=HumanDecoder(forked.feature_dim),
        scene_classifier=make_classifier(forked.feature_dim, NUM_SCENE_CLASSES),
        dropout=dropout,
    )


def _make_akg(feature_dim: int, num_segments: int, options: KINetOptions) -> ActionKnowledgeGraph | None:
    if options.akg_relation == "none":
        return None
    return ActionKnowledgeGraph(
        feature_dim,
        num_segments,
        options.akg_relation,
        scaled=options.akg_scaled,
        mask=options.akg_mask,
        mask_place=options.akg_mask_place,
        residual=options.akg_residual,
        start=options.akg_start,
    )
