"""Cross Branch Integration: human and scene knowledge enters the action branch's feature maps.

Shape suffixes: B images, C channels, H/W map size.
"""

from typing import get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from student.options import CbiGate, check_choice


class CrossBranchIntegration(nn.Module):
    """Gate the auxiliary branches' maps by the action map and join the three back to C channels.

    ``g_k = ReLU(BN_k(a * h_k) + h_k)`` for k in human, scene; the output is a 1x1 convolution of
    ``concat[a, g_human, g_scene]`` (paper section 3.3 and Figure 3). The paper leaves the residual's operand open;
    `gate` chooses another reading (see `KINetOptions.cbi_gate`).

    The convolution starts as the identity on ``a`` and zero elsewhere, its bias at zero, so that a pre-trained action
    branch sees its own features unchanged at first. The paper says nothing of the start.

    Args:
        channels: C, of each of the three maps and of the output.
        gate: the reading of the gate.
    """

    def __init__(self, channels: int, *, gate: CbiGate = "residual_auxiliary") -> None:
        super().__init__()
        check_choice("gate", gate, get_args(CbiGate))
        self.channels = channels
        self.gate = gate
        self.human_norm = nn.BatchNorm2d(channels)
        self.scene_norm = nn.BatchNorm2d(channels)
        self.reduce = nn.Conv2d(3 * channels, channels, kernel_size=1)
        nn.init.dirac_(self.reduce.weight)  # ones from action channel i to output channel i, zeros elsewhere
        nn.init.zeros_(self.reduce.bias)  # type: ignore[arg-type]

    def forward(self, action: Tensor, human: Tensor, scene: Tensor) -> Tensor:
        """Return the new action map, float [B, C, H, W], from three maps of that shape.

        Raises:
            ValueError: the maps differ in shape, or do not have C channels.
        """
        # Compared pairwise: a set would fix the batch size when the model is exported.
        alike = human.shape == action.shape and scene.shape == action.shape
        if not alike or action.dim() != 4 or action.shape[1] != self.channels:
            raise ValueError(
                f"CBI: expected three maps [B, {self.channels}, H, W] of one shape, found action "
                f"{list(action.shape)}, human {list(human.shape)}, scene {list(scene.shape)}"
            )
        gated_human_BCHW = self._gated(action, human, self.human_norm)
        gated_scene_BCHW = self._gated(action, scene, self.scene_norm)
        joined_BCHW: Tensor = self.reduce(torch.cat([action, gated_human_BCHW, gated_scene_BCHW], dim=1))
        return joined_BCHW

    def _gated(self, action_BCHW: Tensor, auxiliary_BCHW: Tensor, norm: nn.BatchNorm2d) -> Tensor:
        match self.gate:
            case "residual_auxiliary":
                return F.relu(norm(action_BCHW * auxiliary_BCHW) + auxiliary_BCHW)
            case "residual_action":
                return F.relu(norm(action_BCHW * auxiliary_BCHW) + action_BCHW)
            case "sigmoid":
                return action_BCHW * torch.sigmoid(norm(auxiliary_BCHW))


class AuxiliaryIntegration(nn.Module):
    """Join the other two branches' maps to each auxiliary branch: one CBI for human, one for scene.

    The paper draws CBI into the action branch alone; this is another reading (`KINetOptions.cbi_output` "all").

    Args:
        channels, gate: as of `CrossBranchIntegration`.
    """

    def __init__(self, channels: int, *, gate: CbiGate = "residual_auxiliary") -> None:
        super().__init__()
        self.to_human = CrossBranchIntegration(channels, gate=gate)
        self.to_scene = CrossBranchIntegration(channels, gate=gate)

    def forward(self, action: Tensor, human: Tensor, scene: Tensor) -> tuple[Tensor, Tensor]:
        """Return the new human and scene maps, from three maps float [B, C, H, W] as they were before any CBI."""
        return self.to_human(human, action, scene), self.to_scene(scene, human, action)
