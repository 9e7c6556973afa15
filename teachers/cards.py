"""A teacher's card: what its side file says of it, and of how it was scored."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors

from teachers.kinds import Kind
from teachers.preprocessing import Preprocessing

MEAN_IMAGE_KEY = "preprocessing.mean_image"
NO_LICENSE = "not stated"


@dataclass(frozen=True)
class Evaluation:
    """One scoring of a teacher.

    Attributes:
        data: absolute paths of the data sets' folders.
        date: ISO 8601 day (UTC).
        scores: results by name, with the number of images in ``images``.
        crops: 1 (the centre) or 10; always 1 for human teachers.
        precision: "float32" or "bfloat16".
        max_images: bound on the number of images, which were then evenly spread; None for all.
        layouts: how each data set's images lie.
        split: of the data sets, "val"; folders without one hold back every eighth image.
        without_mask: images left out for want of a class map.
        unknown_images: images left out since Places365 has no class of that name.
        unknown_classes: the names of those classes.
    """

    data: tuple[str, ...]
    date: str
    scores: dict[str, float]
    crops: int = 1
    precision: str = "float32"
    max_images: int | None = None
    layouts: tuple[str, ...] = ()
    split: str = "val"
    without_mask: int = 0
    unknown_images: int = 0
    unknown_classes: tuple[str, ...] = ()

    @property
    def conditions(self) -> tuple[object, ...]:
        """What a newer scoring must share to take this one's place."""
        return self.data, self.layouts, self.split, self.crops, self.precision, self.max_images


@dataclass(frozen=True)
class TeacherCard:
    """What the side file says.

    Attributes:
        kind: human or scene.
        architecture: a name that `teachers.architectures.build_network` knows.
        classes: width of the head.
        preprocessing: how frames become network input.
        source: where the weights come from, in words or as a URL.
        sha256: hex digest of the weights file.
        license: of the weights, as the user stated it.
        person_classes: of a parser whose classes are neither LIP's nor person alone, those that are people; else None.
        evaluations: the newest scoring under each conditions, the latest last.
    """

    kind: Kind
    architecture: str
    classes: int
    preprocessing: Preprocessing
    source: str
    sha256: str = ""
    license: str = NO_LICENSE
    person_classes: tuple[int, ...] | None = None
    evaluations: tuple[Evaluation, ...] = ()

    def with_evaluation(self, evaluation: Evaluation) -> "TeacherCard":
        """Return the card with one more scoring, which replaces an older one under the same conditions."""
        others = tuple(old for old in self.evaluations if old.conditions != evaluation.conditions)
        return dataclasses.replace(self, evaluations=(*others, evaluation))

    @property
    def scores(self) -> dict[str, float]:
        """The latest results, by name; empty where the teacher was not scored."""
        return self.evaluations[-1].scores if self.evaluations else {}

    def to_fields(self) -> dict[str, Any]:
        """Return what the side file holds; of a mean image, which lies with the weights, only that there is one."""
        bare = dataclasses.replace(self.preprocessing, mean_image=None)
        fields = dataclasses.asdict(dataclasses.replace(self, preprocessing=bare))
        fields["preprocessing"]["mean_image"] = self.preprocessing.mean_image is not None
        return fields


def card_from_fields(fields: dict[str, Any], weights_path: Path) -> TeacherCard:
    """Read what `TeacherCard.to_fields` gave, with the mean image from the weights.

    Raises:
        ValueError, KeyError, TypeError, AttributeError, OSError, SafetensorError: the fields are no teacher's, or the
            weights cannot be read.
    """
    person_classes = fields.get("person_classes")
    return TeacherCard(
        kind=Kind(fields["kind"]),
        architecture=str(fields["architecture"]),
        classes=int(fields["classes"]),
        preprocessing=_preprocessing_from_fields(fields["preprocessing"], weights_path),
        source=str(fields["source"]),
        sha256=str(fields["sha256"]),
        license=str(fields.get("license", NO_LICENSE)),
        person_classes=None if person_classes is None else tuple(map(int, person_classes)),
        evaluations=tuple(map(_evaluation_from_fields, fields.get("evaluations", ()))),
    )


def _evaluation_from_fields(fields: dict[str, Any]) -> Evaluation:
    max_images = fields.get("max_images")
    return Evaluation(
        data=tuple(map(str, fields["data"])),
        date=str(fields["date"]),
        scores={str(name): float(value) for name, value in fields["scores"].items()},
        crops=int(fields["crops"]),
        precision=str(fields.get("precision", "float32")),
        max_images=None if max_images is None else int(max_images),
        layouts=tuple(map(str, fields.get("layouts", ()))),
        split=str(fields.get("split", "val")),
        without_mask=int(fields.get("without_mask", 0)),
        unknown_images=int(fields.get("unknown_images", 0)),
        unknown_classes=tuple(map(str, fields.get("unknown_classes", ()))),
    )


def _preprocessing_from_fields(fields: dict[str, Any], weights_path: Path) -> Preprocessing:
    mean_image = None
    if fields.get("mean_image"):
        with safetensors.safe_open(weights_path, "pt") as weights:
            mean_image = weights.get_tensor(MEAN_IMAGE_KEY)
    return Preprocessing(
        height=int(fields["height"]),
        width=int(fields["width"]),
        crop_height=None if fields["crop_height"] is None else int(fields["crop_height"]),
        crop_width=None if fields["crop_width"] is None else int(fields["crop_width"]),
        mean=tuple(map(float, fields["mean"])),  # type: ignore[arg-type]  # the length is checked when made
        std=tuple(map(float, fields["std"])),  # type: ignore[arg-type]
        interpolation=fields.get("interpolation", "bilinear"),
        channels=fields.get("channels", "RGB"),
        white=float(fields.get("white", 1.0)),
        mean_image=mean_image,
        flip_averaging=bool(fields.get("flip_averaging", False)),
        scales=tuple(map(float, fields.get("scales", (1.0,)))),
    )
