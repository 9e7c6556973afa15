"""What goes on inside a student while it learns: a few figures every so many steps, from one micro-batch.

Shape suffixes: B clips, T segments, L labelled frames, C channels, H/W mask size.
"""

from types import TracebackType

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.hooks import RemovableHandle

from student.cbi import CrossBranchIntegration
from student.losses import JointLoss, JointTargets, LossWeights
from student.outputs import StudentOutputs


def measure_agreement(outputs: StudentOutputs, targets: JointTargets) -> dict[str, float]:
    """Compare the student's auxiliary answers with the teachers' labels, on the labelled frames of a batch.

    Returns:
        `mask_iou`, intersection over union of the human masks, all frames together, and `scene_top1`, the share of
        frames with the teacher's best class; {} where nothing can be compared.
    """
    found: dict[str, float] = {}
    has_mask_BT = targets.has_label if targets.has_mask is None else targets.has_mask
    has_scene_BT = targets.has_label if targets.has_scene is None else targets.has_scene
    if outputs.human_logits is not None and bool(has_mask_BT.any()):
        masks_LHW = targets.masks[has_mask_BT]
        logits_L2hw = outputs.human_logits.detach()[has_mask_BT].float()
        logits_L2HW = F.interpolate(logits_L2hw, size=masks_LHW.shape[-2:], mode="bilinear", align_corners=False)
        people_LHW = logits_L2HW[:, 1] > logits_L2HW[:, 0]
        union = (people_LHW | masks_LHW).sum()
        if union:
            found["mask_iou"] = float((people_LHW & masks_LHW).sum() / union)
    if outputs.scene_logits is not None and bool(has_scene_BT.any()):
        best_BT = outputs.scene_logits.detach().argmax(dim=-1)
        found["scene_top1"] = float((best_BT == targets.scene)[has_scene_BT].float().mean())
    return found


def measure_task_gradients(trunk: nn.Module, losses: JointLoss, weights: LossWeights) -> dict[str, float]:
    """Measure how hard each task pulls at the shared trunk: the norm of its weighted loss's gradient there.

    It costs a backward pass a task; the graph of `losses` stays for the step itself.

    Returns:
        `trunk_gradient_action`, `_human`, `_scene`; without the tasks that have no part in this batch.
    """
    parameters = [parameter for parameter in trunk.parameters() if parameter.requires_grad]
    found = {}
    tasks = (("action", losses.action), ("human", losses.human), ("scene", losses.scene))
    for name, loss in tasks:
        if not loss.requires_grad or not parameters:
            continue
        weighted = getattr(weights, name) * loss
        gradients = torch.autograd.grad(weighted, parameters, retain_graph=True, allow_unused=True)
        reached = [gradient.float().norm() for gradient in gradients if gradient is not None]
        if reached:
            found[f"trunk_gradient_{name}"] = float(torch.stack(reached).norm())
    return found


class CbiProbe:
    """Watch every CBI module of a model during a forward pass; a context manager that leaves the model as it was.

    Args:
        model: a student, with CBI or without.
        enabled: False watches nothing.
    """

    def __init__(self, model: nn.Module, *, enabled: bool = True) -> None:
        watched = model.named_modules() if enabled else ()
        self._modules = {name: module for name, module in watched if isinstance(module, CrossBranchIntegration)}
        self._handles: list[RemovableHandle] = []
        self._found: dict[str, float] = {}

    def __enter__(self) -> "CbiProbe":
        for name, module in self._modules.items():
            self._handles.append(module.reduce.register_forward_hook(self._hook(name.replace(".", "_"))))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self._handles:
            handle.remove()

    @property
    def statistics(self) -> dict[str, float]:
        """For each module: the share of open gates (above 0), the gates' means, and how far its output leaves a.

        `change` is the root mean square of (output - a) over that of a: 0 as long as CBI passes the action map alone.
        """
        return dict(self._found)

    def _hook(self, name: str):  # type: ignore[no-untyped-def]  # torch's hooks have no type to name
        def watch(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
            action, human, scene = inputs[0].detach().float().chunk(3, dim=1)
            for branch, gated in (("human", human), ("scene", scene)):
                self._found[f"{name}_{branch}_open"] = float((gated > 0).float().mean())
                self._found[f"{name}_{branch}_mean"] = float(gated.mean())
            change = (output.detach().float() - action).square().mean() / action.square().mean().clamp_min(1e-12)
            self._found[f"{name}_change"] = float(change.sqrt())

        return watch
