"""How large a model is and what it costs, without giving it memory."""

from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from student.build import build_student
from student.parameters import count_parameters
from student.recipes import TrainConfig


@dataclass(frozen=True)
class ModelSize:
    """What a model needs.

    Attributes:
        parameters: of the inference form.
        training_parameters: of the form with human decoder, scene classifier and all of the auxiliary branches.
        flops: of one clip through the inference form; a multiplication and an addition are two.
        input_size: side of its frames, in pixels.
    """

    parameters: int
    training_parameters: int
    flops: int
    input_size: int


def measure_size(recipe: TrainConfig, num_classes: int) -> ModelSize:
    """Count a recipe's model: shapes alone are computed, no weight is drawn and no image is read.

    Raises:
        ValueError: a model that cannot be, or an input size that its backbone cannot take.
    """
    with torch.device("meta"), torch.no_grad():
        model = build_student(
            model=recipe.model,
            backbone=recipe.backbone,
            num_classes=num_classes,
            num_segments=recipe.num_segments,
            options=recipe.kinet,
        )
        slim = model.to_inference().eval()
        frames_BTCHW = torch.empty(1, recipe.num_segments, 3, recipe.input_size, recipe.input_size)
        with FlopCounterMode(display=False) as counter:
            slim(frames_BTCHW)
    return ModelSize(
        parameters=count_parameters(slim),
        training_parameters=count_parameters(model),
        flops=counter.get_total_flops(),
        input_size=recipe.input_size,
    )
