"""The values a training run is made of; frozen, and checked when made."""

from dataclasses import dataclass, field, replace

from pipeline.precisions import PRECISIONS
from student.catalogue import BACKBONES, MODELS, check_input_size
from student.modality import MODALITIES
from student.options import KINetOptions, check_choice


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A recipe: everything that decides a student's weights beside the data. Defaults are the Kinetics-400 recipe.

    Attributes:
        model: "kinet", "tsn", or "kinet-fixed", whose auxiliary branches are the two teachers, frozen.
        modality: "rgb", or "flow", from which "tsn" alone learns.
        human_teacher, scene_teacher: teacher files (`teachers/human.safetensors`), for "kinet-fixed" alone.
        backbone: one of `student.catalogue.BACKBONES`.
        num_segments: frames a clip is seen by (T).
        dropout: before the action classifier.
        input_size: side of the square the network sees, in pixels; 0 is the backbone's own, see `settle_input_size`.
        epochs: passes over the data set.
        batch_size: videos of one optimiser step.
        micro_batch: videos that go through the network at once; a step adds up as many as `batch_size` needs. BatchNorm
            sees one micro-batch at a time.
        learning_rate: of the first epoch.
        milestones: epochs, counted from 0, at which the learning rate is multiplied by `lr_decay`.
        momentum, weight_decay: of SGD. Biases learn at twice the rate without decay, BatchNorm without decay (TSN).
        clip_norm: limit of the gradient's global norm; 0 switches clipping off.
        freeze_batchnorm: keep all BatchNorm layers but the first as pre-trained (statistics and affine); those that
            never saw pre-training stay trainable.
        action_weight, human_weight, scene_weight: of the three losses (paper section 4.1).
        scene_temperature: 0 compares with the teacher's best scene class; above 0 with its softened best classes.
        min_scene_confidence, skip_empty_masks: labels that are left out, see `student.label_filter.LabelFilter`.
        scales, max_distort, flip_probability: see `student.transforms.MultiScaleCrop`.
        precision: "auto" is bfloat16 on CUDA and float32 elsewhere; weights and optimiser are always float32.
        seed: of everything random.
        log_every: optimiser steps between two lines of metrics.
        diagnose_every: optimiser steps between two diagnoses (see `student.diagnosis`); 0 makes none. They stand in
            the metrics' lines, so `log_every` should divide it.
        validation_split: of the data set; after an epoch its videos are scored by `num_segments` frames and one crop,
            and the best checkpoint by top-1 is kept beside the last. "" validates nothing.
        validate_every: epochs between two validations; the last epoch is always validated.
        checkpoint_every: optimiser steps between two checkpoints; 0 saves at each epoch's end alone.
        kinet: the readings of the paper KINet is built by.

    Raises:
        ValueError: a value out of range.
    """

    model: str = "kinet"
    modality: str = "rgb"
    human_teacher: str = ""
    scene_teacher: str = ""
    backbone: str = "resnet50"
    num_segments: int = 3
    dropout: float = 0.5
    input_size: int = 0
    epochs: int = 70
    batch_size: int = 256
    micro_batch: int = 32
    learning_rate: float = 0.01
    milestones: tuple[int, ...] = (20, 40, 60)
    lr_decay: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 1e-5
    clip_norm: float = 40.0
    freeze_batchnorm: bool = False
    action_weight: float = 1.0
    human_weight: float = 0.01
    scene_weight: float = 0.01
    scene_temperature: float = 0.0
    min_scene_confidence: float = 0.0
    skip_empty_masks: bool = False
    scales: tuple[float, ...] = (1.0, 0.875, 0.75, 0.66)
    max_distort: int = 1
    flip_probability: float = 0.5
    precision: str = "auto"
    seed: int = 0
    log_every: int = 10
    checkpoint_every: int = 0
    diagnose_every: int = 0
    validation_split: str = ""
    validate_every: int = 1
    kinet: KINetOptions = field(default_factory=KINetOptions)

    def __post_init__(self) -> None:
        check_choice("model", self.model, MODELS)
        check_choice("modality", self.modality, MODALITIES)
        if self.modality == "flow" and self.model != "tsn":
            raise ValueError(f"modality: {self.model} learns from rgb, found flow; the model for flow is tsn")
        check_choice("precision", self.precision, PRECISIONS)
        check_choice("backbone", self.backbone, BACKBONES)
        if self.input_size:
            check_input_size(self.backbone, self.input_size)
        for name in ("num_segments", "epochs", "batch_size", "micro_batch", "log_every"):
            self._check(name, getattr(self, name) >= 1, "1 or more")
        self._check("validate_every", self.validate_every >= 1, "1 or more")
        for name in ("seed", "max_distort", "checkpoint_every", "diagnose_every"):
            self._check(name, getattr(self, name) >= 0, "0 or more")
        for name in ("weight_decay", "clip_norm", "action_weight", "human_weight", "scene_weight", "scene_temperature"):
            self._check(name, 0 <= getattr(self, name) < float("inf"), "0 or more")
        for name in ("learning_rate", "lr_decay"):
            self._check(name, 0 < getattr(self, name) < float("inf"), "more than 0")
        for name in ("dropout", "momentum"):
            self._check(name, 0 <= getattr(self, name) < 1, "0 up to, not including, 1")
        self._check("min_scene_confidence", 0 <= self.min_scene_confidence <= 1, "0 to 1")
        self._check("flip_probability", 0 <= self.flip_probability <= 1, "0 to 1")
        self._check("scales", bool(self.scales) and all(0 < s <= 1 for s in self.scales), "numbers above 0, up to 1")
        rising = all(a < b for a, b in zip(self.milestones, self.milestones[1:], strict=False))
        self._check("milestones", rising and all(epoch >= 1 for epoch in self.milestones), "rising epochs from 1 on")
        if self.micro_batch > self.batch_size:
            raise ValueError(f"micro_batch: expected at most batch_size {self.batch_size}, found {self.micro_batch}")

    def _check(self, name: str, good: bool, expected: str) -> None:
        if not good:
            raise ValueError(f"{name}: expected {expected}, found {getattr(self, name)}")

    def settle_input_size(self) -> "TrainConfig":
        """Return the recipe with its backbone's own input size where it leaves the size open."""
        return self if self.input_size else replace(self, input_size=BACKBONES[self.backbone].size)

    def validates_after(self, epoch: int) -> bool:
        """Tell whether the student is validated when `epoch` epochs are done."""
        return bool(self.validation_split) and (epoch % self.validate_every == 0 or epoch == self.epochs)

    def learning_rate_at(self, epoch: int) -> float:
        """Return the learning rate of an epoch, counted from 0."""
        return self.learning_rate * self.lr_decay ** sum(epoch >= milestone for milestone in self.milestones)


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One run: a recipe and the data it is given.

    Attributes:
        dataset, split, fold: the videos; folds are counted from 1.
        num_classes: of the action classifier.
        videos: how many they are, and a digest of their names and classes: a resumed run must see the same.
        init: file of initial weights or another run's folder or checkpoint; "" where the network starts from random
            weights.
        transferred: `init` is another run, whose student has learned from videos.
        labelled: the auxiliary losses are on; a transferred student may do without, on a data set without labels.
        recipe: everything else.
    """

    dataset: str
    split: str = "train"
    fold: int = 1
    num_classes: int
    videos: str = ""
    init: str = ""
    transferred: bool = False
    labelled: bool = True
    recipe: TrainConfig

    @property
    def learns_from_labels(self) -> bool:
        """Tell whether the run reads shards: the other models have nothing that would learn from them."""
        return self.labelled and self.recipe.model == "kinet"

    def __post_init__(self) -> None:
        if self.num_classes < 1 or self.fold < 1:
            raise ValueError(f"num_classes and fold: expected 1 or more, found {self.num_classes} and {self.fold}")
