"""Caffe's ResNets (He et al.'s names) and VGG-16 under torchvision's names.

A ResNet's BatchNorm holds sums and the factor to divide them by; the Scale layer behind it holds gamma and beta.
"""

import re

from torch import Tensor

from pipeline.errors import TeacherError
from teachers.formats.caffe import CaffeLayer
from teachers.layouts.converted import Converted
from teachers.preprocessing import Preprocessing

DEPTHS = {(3, 4, 6, 3): "resnet50", (3, 4, 23, 3): "resnet101", (3, 8, 36, 3): "resnet152"}
TORCHVISION_EPS = 1e-5
PLACES365_MEAN_BGR = (104.051, 112.514, 116.676)
"""Mean of the Places365 project's mean image, by channel."""

_BLOCK = re.compile(r"(res|bn|scale)(\d)([a-z]\d*)_branch(1|2a|2b|2c)")
_BRANCHES = {
    "1": ("downsample.0", "downsample.1"),
    "2a": ("conv1", "bn1"),
    "2b": ("conv2", "bn2"),
    "2c": ("conv3", "bn3"),
}
# VGG-16's convolutions: the layers of torchvision's `features`, by Caffe's name.
_VGG16 = {
    f"conv{stage}_{number}": f"features.{index}"
    for stage, indices in enumerate(((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28)), start=1)
    for number, index in enumerate(indices, start=1)
}


def caffe_preprocessing(
    mean_image: Tensor | None = None, mean_values: tuple[float, float, float] | None = None
) -> Preprocessing:
    """Say how Caffe's Places365 networks are fed: BGR in 0-255, 256 x 256, less a mean, the centre 224 x 224.

    Args:
        mean_image: BGR [3, 256, 256] or [3, 224, 224] to subtract; wins over `mean_values`.
        mean_values: BGR; default: those of the Places365 project's mean image.

    Raises:
        ValueError: a mean image of another size.
    """
    return Preprocessing(
        height=256,
        width=256,
        crop_height=224,
        crop_width=224,
        mean=mean_values or PLACES365_MEAN_BGR,
        std=(1.0, 1.0, 1.0),
        channels="BGR",
        white=255.0,
        mean_image=mean_image,
    )


def convert_caffe(layers: list[CaffeLayer], origin: str) -> Converted:
    """Rename a Caffe network's weights to torchvision's.

    Raises:
        TeacherError: another network, or blobs that are missing or of the wrong size.
    """
    weighted = {layer.name: layer for layer in layers if layer.blobs}
    try:
        if "conv1_1" in weighted:
            return _convert_vgg16(weighted)
        if any(_BLOCK.fullmatch(name) for name in weighted):
            return _ResNet(weighted, {layer.name: layer for layer in layers}).convert()
    except ValueError as error:
        raise TeacherError(f"{origin}: {error}") from error
    names = ", ".join(list(weighted)[:3])
    raise TeacherError(
        f"{origin}: a Caffe network with layers {names}, ...; known are ResNets with layers conv1, res2a_branch1, ... "
        "and VGG-16 with conv1_1, ..., fc8"
    )


def _convert_vgg16(weighted: dict[str, CaffeLayer]) -> Converted:
    linear = [name for name, layer in weighted.items() if layer.type == "InnerProduct"]
    if len(linear) != 3:
        raise ValueError(f"VGG-16 has 3 InnerProduct layers, found {linear}")
    names = _VGG16 | dict(zip(linear, ("classifier.0", "classifier.3", "classifier.6"), strict=True))
    state = {}
    for name, target in names.items():
        weight, bias = _blobs(weighted, name, 2)
        if target.startswith("features"):
            _check_convolution(weighted[name], weight, stride=1)
        # Old files give every blob four axes.
        state[f"{target}.weight"] = weight if target.startswith("features") else _matrix(name, weight)
        state[f"{target}.bias"] = bias.flatten()
    dropped = tuple(name for name in weighted if name not in names)
    return Converted(
        state,
        architecture="vgg16",
        classes=len(state["classifier.6.bias"]),
        preprocessing=caffe_preprocessing(),
        dropped=dropped,
    )


class _ResNet:
    """Collect the weights of one ResNet."""

    def __init__(self, weighted: dict[str, CaffeLayer], layers: dict[str, CaffeLayer]) -> None:
        self._weighted = weighted
        self._layers = layers
        self._state: dict[str, Tensor] = {}
        self._used: set[str] = set()
        self._notes: dict[str, int] = {}

    def convert(self) -> Converted:
        # Blocks are numbered within their stage in the order of the file: a, b, c or a, b1, b2.
        blocks: dict[str, list[str]] = {}
        for name in self._weighted:
            if (match := _BLOCK.fullmatch(name)) and match[1] == "res":
                letters = blocks.setdefault(match[2], [])
                if match[3] not in letters:
                    letters.append(match[3])
        counts = tuple(len(blocks.get(str(stage), ())) for stage in (2, 3, 4, 5))
        if counts not in DEPTHS or len(blocks) != 4:
            raise ValueError(f"blocks {list(counts)} in the stages, no ResNet that torchvision has")
        self._layer("conv1", "bn_conv1", "scale_conv1", "conv1", "bn1", stride=2)
        for stage, letters in blocks.items():
            for number, letter in enumerate(letters):
                for branch, (conv, norm) in _BRANCHES.items():
                    name = f"{stage}{letter}_branch{branch}"
                    if branch == "1" and f"res{name}" not in self._weighted:
                        continue
                    prefix = f"layer{int(stage) - 1}.{number}"
                    halves = stage != "2" and number == 0
                    # Which of the two inner convolutions halves the map is the variant's.
                    stride = None if halves and branch in ("2a", "2b") else 2 if halves and branch == "1" else 1
                    self._layer(
                        f"res{name}",
                        f"bn{name}",
                        f"scale{name}",
                        f"{prefix}.{conv}",
                        f"{prefix}.{norm}",
                        stride=stride,
                    )
        self._head()
        variant = self._variant(blocks)
        notes = tuple(f"{text} ({count} layers)" for text, count in self._notes.items())
        notes += (f"the stride is on the {'first 1x1' if variant == '_caffe' else '3x3'}",)
        return Converted(
            self._state,
            architecture=DEPTHS[counts] + variant,
            classes=len(self._state["fc.bias"]),
            preprocessing=caffe_preprocessing(),
            dropped=tuple(name for name in self._weighted if name not in self._used),
            notes=notes,
        )

    def _variant(self, blocks: dict[str, list[str]]) -> str:
        """Tell Caffe's ResNet ("_caffe") by strides and pooling; without them in the file it is Caffe's.

        With the stride on the 3x3 and a padded pooling it is torchvision's where the file rounds down (""), and a
        network of its own ("_ceil") where it rounds up: from 112 pixels Caffe then makes 57, torchvision 56.
        """
        first = {self._layers[f"res{stage}{blocks[stage][0]}_branch2a"].stride for stage in "345"}
        second = {self._layers[f"res{stage}{blocks[stage][0]}_branch2b"].stride for stage in "345"}
        pool, last_pool = self._layers.get("pool1"), self._layers.get("pool5")
        if pool is not None and pool.kernel and (pool.kernel, pool.stride, pool.average) != (3, 2, 0):
            raise ValueError(f"layer pool1: {_describe_pooling(pool)}, expected a maximum of 3x3 at stride 2")
        if last_pool is not None and (last_pool.kernel or last_pool.everything):
            whole = last_pool.everything or last_pool.kernel == 7
            if not (whole and last_pool.average and last_pool.pad == 0):
                raise ValueError(f"layer pool5: {_describe_pooling(last_pool)}, expected a mean of the whole map, 7x7")
        padded, floor = (pool.pad == 1, bool(pool.floor)) if pool is not None else (False, False)
        if first <= {0, 2} and second <= {0, 1} and not padded and not floor:
            return "_caffe"
        if first <= {0, 1} and second == {2} and padded:
            return "" if floor else "_ceil"
        raise ValueError(
            f"strides {sorted(first)} on the first 1x1, {sorted(second)} on the 3x3, pooling padded by "
            f"{pool.pad if pool else 0}{', rounded down' if floor else ''}: neither Caffe's ResNet nor torchvision's"
        )

    def _layer(
        self, conv: str, norm: str, scale: str, conv_target: str, norm_target: str, *, stride: int | None
    ) -> None:
        (weight, *conv_bias) = _blobs(self._weighted, conv, 1, 2)
        mean_sum, var_sum, factor = _blobs(self._weighted, norm, 3)
        gamma, beta = _blobs(self._weighted, scale, 2)
        self._used |= {conv, norm, scale}
        _check_sizes(conv, weight, axes=4)
        _check_convolution(self._weighted[conv], weight, stride=stride)
        _check_sizes(norm, factor, size=1)
        for name, tensor in ((norm, mean_sum), (norm, var_sum), (scale, gamma), (scale, beta)):
            _check_sizes(name, tensor, size=len(weight))
        for bias in conv_bias:
            _check_sizes(conv, bias, size=len(weight))
        # Caffe reads a factor of 0 as "no statistics yet".
        divisor = float(factor.flatten()[0])
        mean, variance = (
            total.flatten() / divisor if divisor else total.flatten() * 0 for total in (mean_sum, var_sum)
        )
        if divisor != 1:
            self._note("BatchNorm sums divided by their factor")
        eps = self._weighted[norm].eps
        if abs(eps - TORCHVISION_EPS) > 1e-9:
            variance = variance + (eps - TORCHVISION_EPS)
            self._note(f"eps {eps:g} folded into running_var")
        if conv_bias:
            mean = mean - conv_bias[0].flatten()
            self._note("convolution bias folded into running_mean")
        self._state[f"{conv_target}.weight"] = weight
        self._state[f"{norm_target}.running_mean"] = mean
        self._state[f"{norm_target}.running_var"] = variance
        self._state[f"{norm_target}.weight"] = gamma.flatten()
        self._state[f"{norm_target}.bias"] = beta.flatten()

    def _head(self) -> None:
        linear = [name for name, layer in self._weighted.items() if layer.type == "InnerProduct"]
        if len(linear) != 1:
            raise ValueError(f"one InnerProduct layer expected, found {linear or 'none'}")
        weight, bias = _blobs(self._weighted, linear[0], 2)
        self._used.add(linear[0])
        self._state["fc.weight"] = _matrix(linear[0], weight)
        self._state["fc.bias"] = bias.flatten()

    def _note(self, text: str) -> None:
        self._notes[text] = self._notes.get(text, 0) + 1


def _check_convolution(layer: CaffeLayer, weight: Tensor, *, stride: int | None) -> None:
    """Raise ValueError unless a convolution keeps the map's size but for its stride, undilated and in one group.

    A file without parameters says nothing, and is believed. `stride` None is checked elsewhere.
    """
    if not layer.kernel:
        return
    kernel = weight.shape[-1]
    wanted = {"kernel": kernel, "pad": kernel // 2, "dilation": 1, "group": 1}
    wanted |= {} if stride is None else {"stride": stride}
    found = {"kernel": layer.kernel, "pad": layer.pad, "dilation": layer.dilation or 1, "group": layer.group or 1}
    found |= {} if stride is None else {"stride": layer.stride or 1}
    differing = [f"{name} {found[name]}, expected {value}" for name, value in wanted.items() if found[name] != value]
    if differing:
        raise ValueError(f"layer {layer.name}: {'; '.join(differing)}")


def _describe_pooling(pool: CaffeLayer) -> str:
    size = "the whole map" if pool.everything else f"{pool.kernel}x{pool.kernel}"
    return f"a {'mean' if pool.average else 'maximum'} of {size} at stride {pool.stride or 1}, padded by {pool.pad}"


def _check_sizes(name: str, blob: Tensor, *, axes: int | None = None, size: int | None = None) -> None:
    """Raise ValueError naming the layer where a blob has other axes or another number of values."""
    if axes is not None and blob.ndim != axes:
        raise ValueError(f"layer {name} has a blob of {list(blob.shape)}, expected {axes} axes")
    if size is not None and blob.numel() != size:
        raise ValueError(f"layer {name} has a blob of {list(blob.shape)}, expected {size} values")


def _matrix(name: str, weight: Tensor) -> Tensor:
    """Take off the two axes of 1 that old files give a matrix."""
    if weight.ndim < 2 or weight.shape[:-2].numel() != 1:
        raise ValueError(f"layer {name} has a blob of {list(weight.shape)}, expected a matrix")
    return weight.view(weight.shape[-2:])


def _blobs(weighted: dict[str, CaffeLayer], name: str, *counts: int) -> list[Tensor]:
    """Copy a layer's blobs; raises ValueError naming the layer where it or one of them is missing."""
    layer = weighted.get(name)
    if layer is None:
        raise ValueError(f"layer {name} is missing")
    if len(layer.blobs) not in counts:
        raise ValueError(f"layer {name} has {len(layer.blobs)} blobs, expected {' or '.join(map(str, counts))}")
    try:
        return [blob.tensor() for blob in layer.blobs]
    except ValueError as error:
        raise ValueError(f"layer {name}: {error}") from error
