"""Take over circulating weights. Nothing in a file is ever executed."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from pipeline.errors import TeacherError
from pipeline.files import sha256_of_file
from teachers.architectures import (
    ARCHITECTURES,
    DEFAULT_CLASSES,
    IMPORTED_ARCHITECTURES,
    build_network,
    check_classes,
    default_preprocessing,
    list_architectures,
    torchvision_classifiers,
)
from teachers.cards import MEAN_IMAGE_KEY, NO_LICENSE, TeacherCard
from teachers.formats.caffe import read_caffemodel, read_mean_image
from teachers.formats.detect import FileFormat, detect_format, require_file
from teachers.formats.pytorch import read_pytorch
from teachers.formats.torch7 import read_torch7
from teachers.kinds import Kind
from teachers.layouts.caffe_nets import convert_caffe
from teachers.layouts.converted import Converted
from teachers.layouts.state_dicts import convert_state_dict, match_by_position
from teachers.layouts.torch7_resnet import convert_torch7_resnet
from teachers.preprocessing import MIN_SIZE, Preprocessing
from teachers.storage import (
    check_replacing,
    describe_misfit,
    describe_other_names,
    describe_other_shapes,
    fill_network,
    read_card,
    save_teacher,
    shorten,
    side_path,
)

TRIAL_SIZE = (65, 65)


@dataclass(frozen=True)
class ImportRequest:
    """What the user says of a file; None leaves it to the file.

    Attributes:
        file_format: what it is, against its first bytes.
        architecture: a name that `build_network` knows.
        classes: width of the head.
        person_classes: of a parser of other classes than LIP's, those that are people.
        input_size: height and width of the network's input.
        mean_image_path: Caffe's mean image, as ``.binaryproto`` or ``.npy``, BGR.
        mean_values: Caffe's mean by channel, BGR in 0-255.
        source: where the weights come from; default: the file's name.
        license: of the weights.
        replace: take the place of a teacher that is there.
    """

    file_format: FileFormat | None = None
    architecture: str | None = None
    classes: int | None = None
    person_classes: tuple[int, ...] | None = None
    input_size: tuple[int, int] | None = None
    mean_image_path: Path | None = None
    mean_values: tuple[float, float, float] | None = None
    source: str | None = None
    license: str | None = None
    replace: bool = False

    def __post_init__(self) -> None:
        if self.input_size is not None and min(self.input_size) < MIN_SIZE:
            raise ValueError(f"input size: height and width of at least {MIN_SIZE} pixels, got {self.input_size}")
        if self.mean_image_path is not None and self.mean_values is not None:
            raise ValueError("give a mean image or mean values, not both")


class ImportReport(NamedTuple):
    """What an import did.

    Attributes:
        card: of the teacher, as written.
        file_format: of the file.
        tensors: number of tensors that the network has from the file.
        dropped: names in the file that are not used.
        notes: what was done beyond renaming.
    """

    card: TeacherCard
    file_format: FileFormat
    tensors: int
    dropped: tuple[str, ...]
    notes: tuple[str, ...]


def import_teacher(kind: Kind, file: Path, destination: Path, request: ImportRequest = ImportRequest()) -> ImportReport:
    """Read weights of any known format, fit them to their architecture, try a forward pass, and write a teacher file.

    Args:
        kind: human or scene.
        file: safetensors (with our side file nothing else need be said), PyTorch, Torch7 or Caffe.
        destination: the weights file to write.
        request: what the file does not say of itself, or says wrongly.

    Raises:
        TeacherError: a file that is missing, holds code, or does not fit its architecture.
        CheckpointError: a damaged PyTorch file.
        WorkspaceError: there is a teacher already that is not to be replaced, or the disk takes no more.
    """
    check_replacing(destination, kind, replace=request.replace)
    require_file(file)
    file_format = request.file_format or detect_format(file)
    converted = _read(file, file_format)
    card = _describe(kind, file, converted, request)
    check_classes(kind, card.architecture, card.classes, card.person_classes)
    with torch.device("meta"):
        network = build_network(kind, card.architecture, card.classes)
    state, notes = _fit(converted, network)
    fill_network(network, state, origin=f"{file} as {card.architecture}")
    _try_forward(network, card, file)
    card = save_teacher(network, card, destination)
    return ImportReport(card, file_format, len(state), converted.dropped, converted.notes + notes)


def _read(file: Path, file_format: FileFormat) -> Converted:
    """Read a file and bring its weights under our names."""
    match file_format:
        case FileFormat.TORCH7:
            return convert_torch7_resnet(read_torch7(file), str(file))
        case FileFormat.CAFFE:
            return convert_caffe(read_caffemodel(file), str(file))
        case FileFormat.SAFETENSORS:
            try:
                state = safetensors.torch.load_file(file)
            except (safetensors.SafetensorError, OSError) as error:
                raise TeacherError(f"{file}: not a safetensors file ({error})") from error
            state.pop(MEAN_IMAGE_KEY, None)
            return convert_state_dict(state, str(file))
        case FileFormat.PYTORCH:
            content = read_pytorch(file)
            converted = convert_state_dict(content.state, str(file))
            return dataclasses.replace(
                converted, claimed=content.architecture, dropped=converted.dropped + content.beside
            )


def _describe(kind: Kind, file: Path, converted: Converted, request: ImportRequest) -> TeacherCard:
    """Make the card from the side file, what the weights tell, and what the user says; the user wins."""
    if side_path(file).is_file() and file.suffix == ".safetensors":
        card = read_card(file, kind)
        if card.sha256 != sha256_of_file(file):
            raise TeacherError(
                f"{file}: not the weights that its side file describes; the file was altered or cut short"
            )
    else:
        architecture = request.architecture or _recognise(kind, file, converted)
        if architecture is None:
            raise TeacherError(
                f"{file}: neither its names nor a side file say what it is; "
                f"give --architecture: {list_architectures(kind)}"
            )
        card = TeacherCard(
            kind=kind,
            architecture=architecture,
            classes=_head_width(converted) or DEFAULT_CLASSES[kind],
            preprocessing=converted.preprocessing or default_preprocessing(kind),
            source=file.name,
        )
    if converted.architecture is not None and request.architecture not in (None, converted.architecture):
        raise TeacherError(f"{file}: holds {converted.architecture}, --architecture says {request.architecture}")
    changed = dataclasses.replace(
        card,
        architecture=request.architecture or card.architecture,
        classes=request.classes or card.classes,
        person_classes=request.person_classes or card.person_classes,
        preprocessing=_choose_preprocessing(kind, card.preprocessing, request),
        source=request.source or card.source,
        license=request.license or card.license or NO_LICENSE,
    )
    if _answers_alike(card, changed):
        return changed
    return dataclasses.replace(changed, evaluations=())


def _answers_alike(one: TeacherCard, other: TeacherCard) -> bool:
    """Say whether two cards of the same weights are the same teacher, so that the scores of one are the other's."""
    return (
        (one.architecture, one.classes, one.person_classes) == (other.architecture, other.classes, other.person_classes)
        and one.preprocessing == other.preprocessing
        and one.preprocessing.mean_image is other.preprocessing.mean_image
    )


def _choose_preprocessing(kind: Kind, preprocessing: Preprocessing, request: ImportRequest) -> Preprocessing:
    try:
        if request.input_size is not None:
            sizes = default_preprocessing(kind, request.input_size)
            preprocessing = dataclasses.replace(
                preprocessing,
                height=sizes.height,
                width=sizes.width,
                crop_height=sizes.crop_height,
                crop_width=sizes.crop_width,
            )
        if preprocessing.channels != "BGR" and (request.mean_image_path or request.mean_values):
            raise TeacherError("a mean image or mean values belong to Caffe's networks; this one is fed otherwise")
        if request.mean_image_path is not None:
            return dataclasses.replace(preprocessing, mean_image=read_mean_image(request.mean_image_path))
        if request.mean_values is not None:
            return dataclasses.replace(preprocessing, mean=request.mean_values, mean_image=None)
        return preprocessing
    except ValueError as error:
        raise TeacherError(str(error)) from error


def _recognise(kind: Kind, file: Path, converted: Converted) -> str | None:
    """Name the architecture: as the layout tells, as the file calls it, or the first usual one that the weights fit.

    Raises:
        TeacherError: the layout tells of no such teacher, or names fit a usual one and shapes do not.
    """
    names = ARCHITECTURES[kind] + IMPORTED_ARCHITECTURES[kind]
    names += torchvision_classifiers() if kind == Kind.SCENE else ()
    if converted.architecture is not None:
        if converted.architecture in names:
            return converted.architecture
        raise TeacherError(f"{file}: holds {converted.architecture}, which is no {kind} teacher")
    if converted.claimed in names:
        return converted.claimed
    for name in ARCHITECTURES[kind]:
        with torch.device("meta"):
            network = build_network(kind, name, _head_width(converted) or DEFAULT_CLASSES[kind])
        if describe_other_names(network, converted.state):
            continue
        if shapes := describe_other_shapes(network, converted.state):
            raise TeacherError(
                f"{file}: its names are those of {name}, its shapes are not: {shorten(shapes)}; for another network of "
                f"these names give --architecture: {list_architectures(kind)}"
            )
        return name
    return None


def _head_width(converted: Converted) -> int | None:
    """Tell the number of classes from the last layer; None where the layer goes by no known name."""
    if converted.classes is not None:
        return converted.classes
    heads = (converted.state.get(f"{name}.bias") for name in ("head", "fc", "classifier"))
    return next((len(bias) for bias in heads if bias is not None and bias.ndim == 1), None)


def _fit(converted: Converted, network: nn.Module) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Match weights to a network by name, or else, where there is no doubt, by position; and say which."""
    if describe_misfit(network, converted.state):
        moved = match_by_position(converted.state, network.state_dict())
        if moved is not None:
            return moved, ("names differ from the architecture's: matched by order, kind and shape",)
    return converted.state, ()


def _try_forward(network: nn.Module, card: TeacherCard, file: Path) -> None:
    """Run noise through the network, so that damaged weights do not pass; a parser sees a small piece, to be quick."""
    height, width = TRIAL_SIZE if card.kind == Kind.HUMAN else card.preprocessing.input_size
    noise_13hw = torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(0))
    try:
        with torch.inference_mode():
            outputs = network.eval()(noise_13hw)
    except RuntimeError as error:
        raise TeacherError(
            f"{file}: {card.architecture} fails on noise of {height}x{width} ({' '.join(str(error).split())}); "
            "give another --input-size"
        ) from error
    scores: Tensor = outputs.logits if card.kind == Kind.HUMAN else outputs
    if not bool(scores.isfinite().all()):
        raise TeacherError(f"{file}: the network gives no numbers for noise; the weights are damaged")
