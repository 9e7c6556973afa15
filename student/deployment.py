"""A student in the form that other programs run: pixels in, action logits out.

Shape suffixes: B clips, T segments, N images, S input size, K classes.
"""

import torch
from torch import Tensor, nn

from student.build import Student
from student.normalisation import Normalisation, normalise


class DeployedStudent(nn.Module):
    """Score clips by their pixels alone: the inference form, with normalisation inside.

    Its logits are those of the student's whole forward pass; nothing in it depends on the number of clips.

    Args:
        student: in evaluation mode; its human decoder and scene classifier are left out.
        num_segments: T, the frames of a clip.
    """

    def __init__(self, student: Student, *, num_segments: int) -> None:
        super().__init__()
        self.student = student.to_inference()
        self.num_segments = num_segments
        self._normalisation: Normalisation = student.normalisation

    def forward(self, frames_BTCSS: Tensor) -> Tensor:
        """Score clips: uint8 frames [B, T, C, S, S] to float32 logits [B, K], before the softmax."""
        images_NCSS = normalise(frames_BTCSS.flatten(0, 1), self._normalisation)
        segments = self.student.extract_features(images_NCSS).as_segments(self.num_segments)
        logits_BK: Tensor = self.student.classify_segments(segments)
        return logits_BK


def draw_test_clips(num_clips: int, num_segments: int, input_size: int, *, seed: int, num_channels: int = 3) -> Tensor:
    """Draw clips to compare models by: smooth random colours, uint8 [B, T, C, S, S]."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(num_clips * num_segments, num_channels, 8, 8, generator=generator)
    smooth = nn.functional.interpolate(coarse, size=(input_size, input_size), mode="bilinear", align_corners=False)
    return (smooth * 255).to(torch.uint8).unflatten(0, (num_clips, num_segments))
