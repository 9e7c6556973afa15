"""Tiny images with exact answers, written as real files."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def write_folder_pairs(root: Path, num_images: int, seed: int = 0) -> Path:
    """Write ``images/`` and ``labels/``: a bright upright ellipse on a dark textured ground is the person, id 3."""
    generator = np.random.default_rng(seed)
    (root / "images").mkdir(parents=True)
    (root / "labels").mkdir()
    rows, columns = np.mgrid[:48, :64]
    for index in range(num_images):
        pixels = generator.integers(0, 80, (48, 64, 3))
        row, column = generator.integers(14, 34), generator.integers(12, 52)
        inside = ((rows - row) / 14) ** 2 + ((columns - column) / 9) ** 2 <= 1
        pixels[inside] = generator.integers(180, 255, (int(inside.sum()), 3))
        Image.fromarray(pixels.astype(np.uint8)).save(root / "images" / f"{index:03}.jpg", quality=95)
        Image.fromarray(np.where(inside, 3, 0).astype(np.uint8)).save(root / "labels" / f"{index:03}.png")
    return root


def write_scenes(root: Path, classes: tuple[str, ...], images_per_class: int) -> Path:
    """Write ``train/<class>/`` and ``val/<class>/``: each class has its own colour."""
    generator = np.random.default_rng(0)
    for number, name in enumerate(classes):
        colour = np.eye(3)[number % 3] * 200
        for split, count in (("train", images_per_class), ("val", 2)):
            folder = root / split / name
            folder.mkdir(parents=True)
            for index in range(count):
                pixels = np.clip(colour + generator.integers(0, 50, (40, 48, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{index}.jpg")
    return root


@pytest.fixture
def people_dir(tmp_path: Path) -> Path:
    """16 images of one bright "person" each."""
    return write_folder_pairs(tmp_path / "people", 16)
