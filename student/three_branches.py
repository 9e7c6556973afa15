"""KINet's network: action, human and scene branches over a shared trunk, joined by CBI and AKG.

Shape suffixes: B clips, T segments, N images, C channels, H/W frame size, h/w map size, d feature width, K classes.
"""

from collections.abc import Mapping
from types import MappingProxyType

from torch import Tensor, nn

from student.akg import ActionKnowledgeGraph
from student.branches import BlockChain, Branches, Tap
from student.cbi import AuxiliaryIntegration, CrossBranchIntegration
from student.decoder import HumanDecoder
from student.heads import check_frames, pool
from student.normalisation import Normalisation
from student.outputs import BranchFeatures, StudentOutputs
from student.reasoning import reason

NO_MODULES: Mapping[int, AuxiliaryIntegration] = MappingProxyType({})


class KINet(nn.Module):
    """Recognise actions with the knowledge of people and scenes (paper Figure 2).

    Args:
        trunk: the blocks that the three branches share.
        branches: three chains of blocks, equal but for their weights; an auxiliary chain may end earlier, or be empty,
            where nothing needs its last features.
        cbi: the CBI module of each opened block, by the block's position in its branch; {} for none.
        auxiliary_cbi: likewise, for the auxiliary branches; {} lets them go on unchanged.
        tap: where a block is opened for CBI.
        akg: the graph over the segments; None classifies the action features themselves.
        action_classifier: linear, from d to the classes.
        human_decoder: from the human branch's last map to 2 classes; None in the inference form, or without the task.
        scene_classifier: linear, from d to 365 classes; None likewise.
        normalisation: of the frames it is called with.
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
        normalisation: Normalisation,
        dropout: float,
        auxiliary_cbi: Mapping[int, AuxiliaryIntegration] = NO_MODULES,
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.action_branch, self.human_branch, self.scene_branch = branches
        self.cbi = nn.ModuleDict({str(position): module for position, module in cbi.items()})
        self.auxiliary_cbi = nn.ModuleDict({str(position): module for position, module in auxiliary_cbi.items()})
        self.tap = tap
        self.akg = akg
        self.dropout = nn.Dropout(dropout)
        self.action_classifier = action_classifier
        self.human_decoder = human_decoder
        self.scene_classifier = scene_classifier
        self.normalisation = normalisation

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
        features = maps.map(pool).as_segments(clip_shape[1])
        reasoned_BTd, entropy = reason(self.akg, features)
        human_logits = scene_logits = None
        if self.human_decoder is not None and maps.human is not None:
            human_logits = self.human_decoder(maps.human).unflatten(0, clip_shape)
        if self.scene_classifier is not None and features.scene is not None:
            scene_logits = self.scene_classifier(features.scene)
        return StudentOutputs(
            action_logits=self._classify(reasoned_BTd),
            human_logits=human_logits,
            scene_logits=scene_logits,
            edge_entropy=entropy,
        )

    def extract_features(self, frames_NCHW: Tensor) -> BranchFeatures:
        """Return the pooled features [N, d] of single images, float [N, 3, H, W]; None for a branch that ends early.

        CBI joins maps of the same frame, so that features of an image serve every window that it is part of.
        """
        return self._run_branches(frames_NCHW).map(pool)

    def classify_segments(self, features: BranchFeatures) -> Tensor:
        """Score clips by their segments' features [B, T, d]: logits [B, K]."""
        return self._classify(reason(self.akg, features)[0])

    def to_inference(self) -> "KINet":
        """Make the form that has only what the action's logits need; they are the same.

        Human decoder and scene classifier go (paper section 4.2), and without a graph the auxiliary branches' blocks
        behind the last CBI. It shares its modules with this one: training or evaluation mode, set on either, is set on
        both.
        """
        needed = len(self.action_branch) if self.akg is not None else 1 + max(map(int, self.cbi), default=-1)
        inference = KINet(
            trunk=self.trunk,
            branches=Branches(self.action_branch, self.human_branch.first(needed), self.scene_branch.first(needed)),
            cbi={int(position): module for position, module in self.cbi.items()},  # type: ignore[misc]
            tap=self.tap,
            akg=self.akg,
            action_classifier=self.action_classifier,
            human_decoder=None,
            scene_classifier=None,
            normalisation=self.normalisation,
            auxiliary_cbi={int(position): module for position, module in self.auxiliary_cbi.items()},  # type: ignore[misc]
            dropout=self.dropout.p,
        )
        return inference.train(self.training)

    def _run_branches(self, frames_NCHW: Tensor) -> BranchFeatures:
        """Return the last map of each branch, [N, C, h, w]; None for an auxiliary branch that ends earlier."""
        action = human = scene = self.trunk(frames_NCHW)
        for position, action_block in enumerate(self.action_branch.blocks):
            if str(position) in self.cbi:
                action, human, scene = self._exchange(position, action, human, scene)
                continue
            action = action_block(action)
            if position < len(self.human_branch):
                human = self.human_branch.blocks[position](human)
            if position < len(self.scene_branch):
                scene = self.scene_branch.blocks[position](scene)
        num_blocks = len(self.action_branch)
        return BranchFeatures(
            action=action,
            human=human if len(self.human_branch) == num_blocks else None,
            scene=scene if len(self.scene_branch) == num_blocks else None,
        )

    def _exchange(self, position: int, action: Tensor, human: Tensor, scene: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Run the three blocks of a position, opened at the tap for CBI."""
        action_block, human_block, scene_block = (
            chain.blocks[position] for chain in (self.action_branch, self.human_branch, self.scene_branch)
        )
        tapped = (
            self.tap.enter(action_block, action),
            self.tap.enter(human_block, human),
            self.tap.enter(scene_block, scene),
        )
        to_action, to_human, to_scene = self.cbi[str(position)](*tapped), tapped[1], tapped[2]
        if str(position) in self.auxiliary_cbi:
            to_human, to_scene = self.auxiliary_cbi[str(position)](*tapped)
        return (
            self.tap.leave(action_block, to_action, action),
            self.tap.leave(human_block, to_human, human),
            self.tap.leave(scene_block, to_scene, scene),
        )

    def _classify(self, features_BTd: Tensor) -> Tensor:
        logits: Tensor = self.action_classifier(self.dropout(features_BTd)).mean(dim=1)
        return logits
