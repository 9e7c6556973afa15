"""Look into Person (LIP): part names, pairs that a flip swaps, and the list of images with their part maps."""

from pathlib import Path

from manifests.errors import ManifestError
from manifests.images import MaskedImage, MaskedImages
from manifests.textlines import read_lines

PART_NAMES = (
    "background",
    "hat",
    "hair",
    "glove",
    "sunglasses",
    "upper-clothes",
    "dress",
    "coat",
    "socks",
    "pants",
    "jumpsuits",
    "scarf",
    "skirt",
    "face",
    "left-arm",
    "right-arm",
    "left-leg",
    "right-leg",
    "left-shoe",
    "right-shoe",
)
# Ids that a horizontal flip swaps: a person's left arm becomes a right arm.
FLIP_PAIRS = ((14, 15), (16, 17), (18, 19))


def read_lip(lip_dir: Path, split: str) -> MaskedImages:
    """List one split ("train" or "val") of the official layout.

    ``TrainVal_images/{split}_images/{id}.jpg``, ``TrainVal_parsing_annotations/{split}_segmentations/{id}.png`` and
    ``{split}_id.txt`` at the top or beside the image folder; the archives' habit of nesting a folder in one of its
    own name is accepted.

    Raises:
        ManifestError: a folder or the id list is missing, or no id has both files.
    """
    images_dir = _find(lip_dir, "TrainVal_images", f"{split}_images")
    masks_dir = _find(lip_dir, "TrainVal_parsing_annotations", f"{split}_segmentations")
    id_paths = [folder / f"{split}_id.txt" for folder in (lip_dir, images_dir.parent, masks_dir.parent)]
    id_path = next((path for path in id_paths if path.exists()), None)
    if id_path is None:
        raise ManifestError(
            f"{lip_dir}: no {split}_id.txt there or in TrainVal_images; expected the official LIP layout"
        )
    pairs, without_mask = [], []
    for _, image_id in read_lines(id_path):
        pair = MaskedImage(images_dir / f"{image_id}.jpg", masks_dir / f"{image_id}.png")
        if pair.image_path.exists() and pair.mask_path.exists():
            pairs.append(pair)
        else:
            without_mask.append(pair.image_path)
    if not pairs:
        raise ManifestError(f"{id_path}: {len(without_mask)} ids, none with an image and a part map in {lip_dir}")
    return MaskedImages(pairs, without_mask)


def _find(lip_dir: Path, outer: str, inner: str) -> Path:
    for folder in (lip_dir / outer / inner, lip_dir / outer / outer / inner):
        if folder.is_dir():
            return folder
    raise ManifestError(f"{lip_dir}: no folder {outer}/{inner}; expected the official LIP layout")
