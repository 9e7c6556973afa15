"""Crops are the protocol's, and a mask goes through its frame's crop."""

import numpy as np
import pytest
import torch

from student.transforms import (
    CropBox,
    MultiScaleCrop,
    crop_frames,
    crop_masks,
    crop_sizes,
    cut_crop,
    evaluation_boxes,
    fixed_positions,
    resize_masks,
    scale_for_test,
)

SCALES = (1.0, 0.875, 0.75, 0.66)


def test_crop_sizes_of_the_protocol() -> None:
    sizes = crop_sizes(256, 340, 224, SCALES, 1)
    sides = (256, 224, 192, 168)
    expected = [(a, b) for i, a in enumerate(sides) for j, b in enumerate(sides) if abs(i - j) <= 1]
    assert sizes == expected
    assert len(sizes) == 10


def test_a_side_near_the_input_snaps_to_it() -> None:
    assert crop_sizes(256, 340, 226, (0.875,), 0) == [(226, 226)]
    assert crop_sizes(256, 340, 227, (0.875,), 0) == [(224, 224)]
    assert crop_sizes(222, 340, 224, (1.0,), 0) == [(222, 222)]  # a crop never leaves the frame


def test_thirteen_positions_that_stay_inside() -> None:
    positions = fixed_positions(256, 340, 224, 192)
    assert len(set(positions)) == 13
    assert all(0 <= top <= 256 - 224 and 0 <= left <= 340 - 192 for top, left in positions)
    assert {(0, 0), (32, 148), (0, 148), (32, 0), (16, 74)} <= set(positions)


def test_every_crop_is_drawn_and_half_are_mirrored() -> None:
    crop = MultiScaleCrop()
    generator = np.random.default_rng(0)
    boxes = [crop.draw(256, 340, generator) for _ in range(6000)]
    assert {(box.height, box.width) for box in boxes} == set(crop_sizes(256, 340, 224, SCALES, 1))
    assert 0.47 < np.mean([box.flip for box in boxes]) < 0.53
    assert boxes[:50] == [crop.draw(256, 340, g) for g in [np.random.default_rng(0)] for _ in range(50)]


@pytest.mark.parametrize("flip", [False, True])
def test_mask_and_frame_go_through_the_same_crop(flip: bool) -> None:
    """Where the frame is an enlarged checkerboard and the mask its bright squares, they still agree afterwards."""
    rows, columns = torch.meshgrid(torch.arange(256), torch.arange(340), indexing="ij")
    mask = ((rows // 32 + columns // 40) % 2 == 0) & (columns < 300)
    frames = torch.where(mask, 255, 0).to(torch.uint8)[None, :, :, None].expand(1, -1, -1, 3)
    box = CropBox(top=11, left=37, height=168, width=192, flip=flip)
    small, small_mask = crop_frames(frames, box, 112), crop_masks(mask[None], box, 112)
    assert small.shape == (1, 3, 112, 112)
    assert small_mask.shape == (1, 112, 112)
    clear = (small[:, 0] < 20) | (small[:, 0] > 235)
    assert clear.float().mean() > 0.7
    assert torch.equal(small[:, 0][clear] > 127, small_mask[clear])


def test_a_crop_of_the_input_size_is_the_frame_itself() -> None:
    frames = torch.randint(0, 256, (2, 256, 340, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    cut = crop_frames(frames, CropBox(3, 5, 224, 224, True), 224)
    assert torch.equal(cut, frames[:, 3:227, 5:229].flip(2).permute(0, 3, 1, 2))


def test_small_masks_are_brought_to_the_frame_by_nearest_neighbour() -> None:
    mask = torch.zeros(1, 2, 2, dtype=torch.bool)
    mask[0, 0, 1] = True
    large = resize_masks(mask, 4, 6)
    assert large[0].int().tolist() == [[0, 0, 0, 1, 1, 1]] * 2 + [[0] * 6] * 2


def test_ten_crops_are_corners_centre_and_their_mirror_images() -> None:
    boxes = evaluation_boxes(256, 340, 224, 10)
    assert [(box.top, box.left) for box in boxes[:5]] == [(0, 0), (0, 116), (32, 0), (32, 116), (16, 58)]
    assert boxes[5:] == [box._replace(flip=True) for box in boxes[:5]]
    frames = torch.arange(256 * 340).reshape(1, 1, 256, 340)
    assert torch.equal(cut_crop(frames, boxes[5]), cut_crop(frames, boxes[0]).flip(-1))
    assert len(evaluation_boxes(256, 340, 224, 3)) == 3
    assert evaluation_boxes(256, 340, 224, 1) == [CropBox(16, 58, 224, 224, False)]
    with pytest.raises(ValueError, match="10, 3 or 1"):
        evaluation_boxes(256, 340, 224, 5)


def test_test_frames_are_scaled_by_256_over_224() -> None:
    frames = torch.zeros(1, 256, 340, 3, dtype=torch.uint8)
    assert scale_for_test(frames, 224).shape == (1, 3, 256, 340)
    assert scale_for_test(frames, 112).shape == (1, 3, 128, 170)
