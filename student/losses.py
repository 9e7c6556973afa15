"""The joint loss of the three tasks.

Shape suffixes: B clips, T segments, L labelled frames, K classes, H/W mask size, h/w map size.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from student.outputs import StudentOutputs


@dataclass(frozen=True)
class LossWeights:
    """What each task weighs in the total (paper section 3.5: 1, 0.01, 0.01); a weight of 0 switches a task off.

    Raises:
        ValueError: a negative weight.
    """

    action: float = 1.0
    human: float = 0.01
    scene: float = 0.01

    def __post_init__(self) -> None:
        for name in ("action", "human", "scene"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"loss weight {name}: expected 0 or more, found {getattr(self, name)}")


class JointTargets(NamedTuple):
    """What a batch is to be compared with, on the outputs' device.

    Attributes:
        action: int64 [B], class indices.
        masks: bool [B, T, H, W], True on people, at the network's input size.
        scene: int64 [B, T], the best scene class of the whole frame.
        has_label: bool [B, T], False where the frame has no pseudo-label; its mask and scene class are never read.
        has_mask, has_scene: bool [B, T], where a frame may have one of the two alone; None reads as `has_label`.
        scene_indices: int64 [B, T, K], the best K scene classes; needed for soft targets alone.
        scene_probs: float [B, T, K], their probabilities.
    """

    action: Tensor
    masks: Tensor
    scene: Tensor
    has_label: Tensor
    scene_indices: Tensor | None = None
    scene_probs: Tensor | None = None
    has_mask: Tensor | None = None
    has_scene: Tensor | None = None


class JointLoss(NamedTuple):
    """The loss and its parts, before they are weighted.

    Attributes:
        total: scalar, to be differentiated.
        action, human, scene: scalars; human and scene are 0 where no frame was compared.
        num_labelled: frames that the auxiliary losses compared.
    """

    total: Tensor
    action: Tensor
    human: Tensor
    scene: Tensor
    num_labelled: int


DEFAULT_WEIGHTS = LossWeights()


def joint_loss(
    outputs: StudentOutputs,
    targets: JointTargets,
    weights: LossWeights = DEFAULT_WEIGHTS,
    *,
    scene_temperature: float | None = None,
) -> JointLoss:
    """Compare outputs with the action label and with the teachers' pseudo-labels (paper section 3.5, eq. 6).

    The action's cross-entropy is taken of the mean logits over segments. The auxiliary losses are means over the
    frames that have a label: a frame without one contributes nothing, no gradient either, and where no frame has one
    they are 0. A student without auxiliary outputs (TSN) is compared by its action logits alone.

    Args:
        outputs: what the student returned.
        targets: see `JointTargets`.
        weights: of the three tasks.
        scene_temperature: None compares with the hard label; a temperature compares with the teacher's best classes,
            renormalised (see `soft_scene_loss`).

    Raises:
        ValueError: a temperature without soft targets in `targets`.
    """
    action = F.cross_entropy(outputs.action_logits.float(), targets.action)
    human = scene = action.new_zeros(())
    num_labelled = 0
    if outputs.human_logits is not None:
        human = human_loss(
            outputs.human_logits, targets.masks, targets.has_label if targets.has_mask is None else targets.has_mask
        )
    if outputs.scene_logits is not None:
        if scene_temperature is None:
            scene = scene_loss(outputs.scene_logits, targets.scene, _has_scene(targets))
        else:
            scene = _soft_scene_loss_of(outputs.scene_logits, targets, scene_temperature)
    if outputs.human_logits is not None or outputs.scene_logits is not None:
        num_labelled = int(targets.has_label.sum())
    total = weights.action * action + weights.human * human + weights.scene * scene
    return JointLoss(total=total, action=action, human=human, scene=scene, num_labelled=num_labelled)


def human_loss(logits_BT2hw: Tensor, masks_BTHW: Tensor, has_label_BT: Tensor) -> Tensor:
    """Compare human logits with binary masks: per-pixel cross-entropy, mean over pixels and labelled frames.

    The logits are brought to the mask's size bilinearly.
    """
    logits_L2hw = logits_BT2hw[has_label_BT].float()
    if len(logits_L2hw) == 0:
        return logits_L2hw.sum()  # zero, and still joined to the graph: every worker of a run has the same gradients
    masks_LHW = masks_BTHW[has_label_BT].long()
    logits_L2HW = F.interpolate(logits_L2hw, size=masks_LHW.shape[-2:], mode="bilinear", align_corners=False)
    return F.cross_entropy(logits_L2HW, masks_LHW)


def scene_loss(logits_BTK: Tensor, scene_BT: Tensor, has_label_BT: Tensor) -> Tensor:
    """Compare scene logits with hard labels: cross-entropy, mean over labelled frames."""
    logits_LK = logits_BTK[has_label_BT].float()
    if len(logits_LK) == 0:
        return logits_LK.sum()
    return F.cross_entropy(logits_LK, scene_BT[has_label_BT])


def soft_scene_loss(
    logits_BTK: Tensor, indices_BTk: Tensor, probs_BTk: Tensor, has_label_BT: Tensor, *, temperature: float
) -> Tensor:
    """Compare scene logits with the teacher's best classes: soft cross-entropy, mean over labelled frames.

    The teacher's kept probabilities are raised to 1/temperature and renormalised to sum to 1 (which equals softening
    its logits over these classes); the student's logits are divided by the temperature, and the result is multiplied
    by its square, so that gradients keep their size (Hinton et al. 2015).
    """
    if not temperature > 0:
        raise ValueError(f"temperature: expected more than 0, found {temperature}")
    logits_LK = logits_BTK[has_label_BT].float()
    if len(logits_LK) == 0:
        return logits_LK.sum()
    probs_Lk = probs_BTk[has_label_BT].float().clamp_min(1e-12) ** (1.0 / temperature)
    probs_Lk = probs_Lk / probs_Lk.sum(dim=-1, keepdim=True)
    log_probs_LK = torch.log_softmax(logits_LK / temperature, dim=-1)
    kept_Lk = log_probs_LK.gather(1, indices_BTk[has_label_BT].long())
    return -(probs_Lk * kept_Lk).sum(dim=-1).mean() * temperature**2


def _soft_scene_loss_of(logits_BTK: Tensor, targets: JointTargets, temperature: float) -> Tensor:
    if targets.scene_indices is None or targets.scene_probs is None:
        raise ValueError("scene_temperature is set, but the targets hold no scene_indices and scene_probs")
    return soft_scene_loss(
        logits_BTK, targets.scene_indices, targets.scene_probs, _has_scene(targets), temperature=temperature
    )


def _has_scene(targets: JointTargets) -> Tensor:
    return targets.has_label if targets.has_scene is None else targets.has_scene
