"""Image and mask stay together; draws come from the generator alone."""

import pytest
import torch

from manifests.lip import FLIP_PAIRS
from teachers.augmentation import (
    IGNORED_CLASS,
    PADDING_GREY,
    HumanAugmentation,
    SceneAugmentation,
    augment_human,
    augment_scene,
    flip_human,
    rotate_human,
)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_flip_swaps_left_and_right_and_nothing_else() -> None:
    mask = torch.arange(20, dtype=torch.uint8).view(1, 20)
    _, flipped = flip_human(torch.zeros(3, 1, 20), mask, swap_left_right=True)
    expected = list(range(20))
    for left, right in FLIP_PAIRS:
        expected[left], expected[right] = right, left
    assert flipped[0].flip(0).tolist() == expected
    assert expected[14:] == [15, 14, 17, 16, 19, 18]


def test_two_flips_are_none_and_ignored_pixels_stay_ignored() -> None:
    mask = torch.tensor([[0, 14, IGNORED_CLASS, 19]], dtype=torch.uint8)
    image = torch.arange(12).view(3, 1, 4)
    once = flip_human(image, mask, swap_left_right=True)
    twice = flip_human(*once, swap_left_right=True)
    assert torch.equal(twice[0], image)
    assert torch.equal(twice[1], mask)
    assert once[1][0, 1] == IGNORED_CLASS


def test_a_quarter_turn_moves_every_pixel_and_a_small_one_lays_corners_bare() -> None:
    image = torch.randint(0, 256, (3, 20, 20), dtype=torch.uint8, generator=generator(0))
    mask = torch.randint(0, 20, (20, 20), dtype=torch.uint8, generator=generator(1))
    turned_image, turned_mask = rotate_human(image, mask, 90)
    assert torch.equal(turned_image, image.rot90(1, (1, 2)))
    assert torch.equal(turned_mask, mask.rot90(1, (0, 1)))
    turned_image, turned_mask = rotate_human(image, mask, 10)
    assert set(turned_mask.unique().tolist()) <= {*range(20), IGNORED_CLASS}
    assert turned_mask[0, 0] == turned_mask[-1, -1] == IGNORED_CLASS
    assert tuple(turned_image[:, 0, 0].tolist()) == PADDING_GREY
    assert turned_mask[10, 10] == mask[10, 10]


@pytest.mark.parametrize("seed", range(12))
def test_mask_goes_where_the_image_goes(seed: int) -> None:
    """The person is white on black; wherever the map says person or ground, the image must agree."""
    mask = torch.zeros(60, 90, dtype=torch.uint8)
    mask[10:45, 20:60] = 1
    image = (mask * 255).expand(3, -1, -1)
    settings = HumanAugmentation(height=40, width=48, colour_jitter=0)
    new_image, new_mask = augment_human(image, mask, settings, generator(seed))
    assert new_image.shape == (3, 40, 48)
    assert new_image.dtype == new_mask.dtype == torch.uint8
    known = new_mask != IGNORED_CLASS
    assert known.any()
    agrees = (new_image[0] > 127) == (new_mask == 1)
    # Interpolated edges may differ by a pixel.
    assert float(agrees[known].float().mean()) > 0.93


def test_draws_depend_on_the_generator_alone() -> None:
    image = torch.randint(0, 256, (3, 50, 60), dtype=torch.uint8, generator=generator(0))
    mask = torch.zeros(50, 60, dtype=torch.uint8)
    human, place = HumanAugmentation(height=32, width=32), SceneAugmentation(height=32, width=32)
    state = torch.random.get_rng_state()
    first = augment_human(image, mask, human, generator(3))[0], augment_scene(image, place, generator(3))
    again = augment_human(image, mask, human, generator(3))[0], augment_scene(image, place, generator(3))
    other = augment_human(image, mask, human, generator(4))[0], augment_scene(image, place, generator(4))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 3)])
def test_odd_images_survive(size: tuple[int, int]) -> None:
    image = torch.zeros(3, *size, dtype=torch.uint8)
    for seed in range(5):
        result, _ = augment_human(image, image[0], HumanAugmentation(height=20, width=24), generator(seed))
        assert result.shape == (3, 20, 24)
        assert augment_scene(image, SceneAugmentation(height=20, width=24), generator(seed)).shape == (3, 20, 24)


def test_settings_are_validated() -> None:
    with pytest.raises(ValueError, match="scales"):
        HumanAugmentation(height=32, width=32, min_scale=2)
    with pytest.raises(ValueError, match="colour_jitter"):
        HumanAugmentation(height=32, width=32, colour_jitter=1)
    with pytest.raises(ValueError, match="min_area"):
        SceneAugmentation(height=32, width=32, min_area=0)
