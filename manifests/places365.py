"""Places365: the 365 class names, and lists of labelled scene images.

Layouts: ``<split>/<class>/*.jpg`` (also ``<split>/a/abbey/*.jpg`` and nested names such as ``g/garage/indoor``), or
the file list
``path label`` with ``categories.txt`` (``/a/abbey 0``).
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from manifests.errors import ManifestError
from manifests.images import LabelledImage, LabelledImages, walk_images
from manifests.textlines import read_lines

NUM_CLASSES = 365
_CLASSES_PATH = Path(__file__).with_name("places365_classes.txt")


@cache
def places365_classes() -> tuple[str, ...]:
    """Return the 365 names in the order of the logits, as ``abbey`` or ``garage/indoor`` (no leading letter)."""
    return tuple(_CLASSES_PATH.read_text(encoding="utf-8").split())


def scene_name(text: str) -> str:
    """Reduce a class as written (``/g/garage/indoor``, ``g/garage/indoor``, ``garage-indoor``) to its plain name."""
    parts = text.strip().strip("/").replace(" ", "_").split("/")
    if len(parts) > 1 and len(parts[0]) == 1:
        parts = parts[1:]
    return "/".join(parts).replace("-", "/")


def places365_indices(class_names: Sequence[str], categories: Sequence[str] | None = None) -> list[int | None]:
    """Map class names to Places365 indices; None for a name that is not among them.

    Args:
        class_names: in any spelling of `scene_name`.
        categories: the list in the order of the logits, when it isn't the official one.
    """
    known = places365_classes() if categories is None else [scene_name(name) for name in categories]
    index_of_name = {name: index for index, name in enumerate(known)}
    return [index_of_name.get(scene_name(name)) for name in class_names]


def read_categories(path: Path) -> list[str]:
    """Read ``categories_places365.txt``: ``/a/abbey 0`` a line, indices 0, 1, 2, ...; returns plain names.

    Raises:
        ManifestError: the file is missing, or a line is not the next class.
    """
    names: list[str] = []
    for line, text in read_lines(path):
        name, _, index = text.rpartition(" ")
        if not name or index != str(len(names)):
            raise ManifestError(f"{path}, line {line}: `/a/name {len(names)}` expected, found {text!r}")
        names.append(scene_name(name))
    if not names:
        raise ManifestError(f"{path}: no class in it; expected lines such as `/a/airfield 0`")
    return names


def read_class_folders(split_dir: Path) -> LabelledImages:
    """List ``<class>/*.jpg`` below one split's folder; class ids are the sorted class names.

    Raises:
        ManifestError: the folder is missing or has no image in a class folder.
    """
    images = [(path, scene_name(path.parent.relative_to(split_dir).as_posix())) for path in walk_images(split_dir)]
    class_names = sorted({name for path, name in images if path.parent != split_dir})
    if not class_names:
        raise ManifestError(f"{split_dir}: no image in a class folder; expected <class>/*.jpg")
    label_of_class = {name: label for label, name in enumerate(class_names)}
    return LabelledImages(
        [LabelledImage(path, label_of_class[name]) for path, name in images if path.parent != split_dir], class_names
    )


def read_image_list(list_path: Path, categories_path: Path, images_dir: Path | None = None) -> LabelledImages:
    """Read a list of ``path label``, paths relative to `images_dir` (default: the list's folder).

    The images are not opened.

    Raises:
        ManifestError: a file is missing, a line is malformed, or a label is not among the categories.
    """
    class_names = read_categories(categories_path)
    root = (images_dir or list_path.parent).absolute()
    images = []
    for line, text in read_lines(list_path):
        path, _, label = text.rpartition(" ")
        if not path or not label.isdecimal() or int(label) >= len(class_names):
            raise ManifestError(
                f"{list_path}, line {line}: `path label` with a label below {len(class_names)} expected, found {text!r}"
            )
        images.append(LabelledImage(root / path.lstrip("/"), int(label)))
    if not images:
        raise ManifestError(f"{list_path}: no image in it; expected lines of `path label`")
    return LabelledImages(images, class_names)
