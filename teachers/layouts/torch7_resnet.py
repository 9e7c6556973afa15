"""ResNets of fb.resnet.torch as torchvision's: the same network under other names, the stride on the 3x3 in both.

Every layer's class, place, size, stride, padding and dilation is compared, so that another network cannot pass for a
ResNet.
"""

import re
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from pipeline.errors import TeacherError
from teachers.formats.torch7 import Torch7Module, Torch7Tensor
from teachers.layouts.converted import Converted

DEPTHS: dict[tuple[str, tuple[int, ...]], str] = {
    ("basic", (2, 2, 2, 2)): "resnet18",
    ("basic", (3, 4, 6, 3)): "resnet34",
    ("bottleneck", (3, 4, 6, 3)): "resnet50",
    ("bottleneck", (3, 4, 23, 3)): "resnet101",
    ("bottleneck", (3, 8, 36, 3)): "resnet152",
}
# A residual branch's layers, by block: convolutions with (kernel, padding), each with its normalisation.
BRANCHES: dict[str, tuple[tuple[int, int], ...]] = {"basic": ((3, 1), (3, 1)), "bottleneck": ((1, 0), (3, 1), (1, 0))}
TORCHVISION_EPS = 1e-5
# Both are Torch7's plain convolution, of different ages.
CONVOLUTIONS = ("SpatialConvolution", "SpatialConvolutionMM")
POOL = {"kW": 3, "kH": 3, "dW": 2, "dH": 2, "padW": 1, "padH": 1, "dilationW": 1, "dilationH": 1}
# Of 224 pixels 7 x 7 are left: their mean is torchvision's mean of the whole map.
LAST_POOL = {"kW": 7, "kH": 7, "dW": 1, "dH": 1, "padW": 0, "padH": 0}
HEAD = re.compile(r"(View|Reshape)( (Dropout|Identity))* Linear( (SoftMax|LogSoftMax))?")


def convert_torch7_resnet(root: Any, origin: str) -> Converted:
    """Rename a Torch7 ResNet's weights to torchvision's.

    Args:
        root: what `read_torch7` gave: the model, or a table with it under ``model``.
        origin: the file, for messages.

    Raises:
        TeacherError: another network; the message names the first layer that differs.
    """
    try:
        return _Walk(origin).convert(_unwrap(root, origin))
    except ValueError as error:
        raise TeacherError(f"{origin}: {error}") from error


def _unwrap(root: Any, origin: str) -> Torch7Module:
    """Take off checkpoint tables and the data-parallel container."""
    if isinstance(root, dict):
        root = root.get("model")
    if isinstance(root, Torch7Module) and root.short_name == "DataParallelTable" and root.children:
        root = root.children[0]
    if not isinstance(root, Torch7Module):
        raise TeacherError(f"{origin}: expected a Torch7 model, or a table that holds one as `model`")
    return root


class _Walk:
    """Collect the weights of one model."""

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._state: dict[str, Tensor] = {}
        self._notes: dict[str, int] = {}

    def convert(self, model: Torch7Module) -> Converted:
        layers = iter(self._children(model, "Sequential", "the model"))
        stem = _take(layers, "the stem's convolution")
        norm = _take(layers, "the stem's normalisation")
        self._convolution(stem, norm, "conv1", "bn1", kernel=7, stride=2, padding=3)
        self._expect(_take(layers, "the stem's ReLU"), "ReLU", "the stem")
        pool = _take(layers, "the stem's pooling")
        self._expect(pool, "SpatialMaxPooling", "the stem")
        self._compare(pool, "the stem's pooling", POOL)
        counts, kinds = [], set()
        for stage in range(1, 5):
            blocks = self._children(_take(layers, f"stage {stage}"), "Sequential", f"stage {stage}")
            counts.append(len(blocks))
            for number, block in enumerate(blocks):
                stride = 2 if stage > 1 and number == 0 else 1
                kinds.add(self._block(block, f"layer{stage}.{number}", stride))
        self._head(layers)
        kind = kinds.pop() if len(kinds) == 1 else "mixed"
        architecture = DEPTHS.get((kind, tuple(counts)))
        if architecture is None:
            raise ValueError(f"{kind} blocks {counts}, no ResNet that torchvision has")
        notes = tuple(f"{text} ({count} layers)" for text, count in self._notes.items())
        return Converted(self._state, architecture=architecture, classes=len(self._state["fc.bias"]), notes=notes)

    def _block(self, block: Any, name: str, stride: int) -> str:
        parts = self._children(block, "Sequential", name)
        names = [part.short_name for part in parts if isinstance(part, Torch7Module)]
        if names != ["ConcatTable", "CAddTable", "ReLU"]:
            raise ValueError(
                f"{name}: {' '.join(names)}, expected ConcatTable CAddTable ReLU; "
                "a pre-activation ResNet is another network than torchvision's and cannot be taken over"
            )
        paths = parts[0].children
        if len(paths) != 2:
            raise ValueError(f"{name}: {len(paths)} paths, expected the residual and the shortcut")
        branch = self._children(paths[0], "Sequential", name)
        kind = "basic" if sum(part.short_name in CONVOLUTIONS for part in branch) == 2 else "bottleneck"
        shapes = BRANCHES[kind]
        found = ["Convolution" if part.short_name in CONVOLUTIONS else part.short_name for part in branch]
        # Each convolution with its normalisation, a ReLU between two of them and none behind the last.
        wanted = (["Convolution", "SpatialBatchNormalization", "ReLU"] * len(shapes))[:-1]
        if found != wanted:
            raise ValueError(f"{name}: a residual of {' '.join(found)}, expected {' '.join(wanted)}")
        for index, (kernel, padding) in enumerate(shapes):
            # The stride is on the first 3x3.
            own = stride if index == (0 if kind == "basic" else 1) else 1
            conv_name, norm_name = f"{name}.conv{index + 1}", f"{name}.bn{index + 1}"
            conv, norm = branch[3 * index : 3 * index + 2]
            self._convolution(conv, norm, conv_name, norm_name, kernel=kernel, stride=own, padding=padding)
        shortcut = paths[1]
        if not (isinstance(shortcut, Torch7Module) and shortcut.short_name == "Identity"):
            layers = self._children(shortcut, "Sequential", f"{name}'s shortcut")
            if len(layers) != 2:
                raise ValueError(f"{name}: a shortcut of {len(layers)} layers, expected a 1x1 convolution")
            conv_name, norm_name = f"{name}.downsample.0", f"{name}.downsample.1"
            self._convolution(layers[0], layers[1], conv_name, norm_name, kernel=1, stride=stride, padding=0)
        return kind

    def _head(self, layers: Iterator[Any]) -> None:
        pool = _take(layers, "the average pooling")
        self._expect(pool, "SpatialAveragePooling", "the head")
        self._compare(pool, "the average pooling", LAST_POOL)
        rest = list(layers)
        names = " ".join(layer.short_name for layer in rest)
        if not HEAD.fullmatch(names):
            raise ValueError(f"the head: {names or 'nothing'}, expected View Linear")
        linear = next(layer for layer in rest if layer.short_name == "Linear")
        self._state["fc.weight"] = _needed(linear, "weight", "the head")
        self._state["fc.bias"] = _needed(linear, "bias", "the head")

    def _convolution(
        self, layer: Any, norm: Any, conv_name: str, norm_name: str, *, kernel: int, stride: int, padding: int
    ) -> None:
        """Take over a convolution and the normalisation behind it."""
        if not isinstance(layer, Torch7Module) or layer.short_name not in CONVOLUTIONS:
            raise ValueError(f"{conv_name}: {_name(layer)}, expected SpatialConvolution")
        self._expect(norm, "SpatialBatchNormalization", norm_name)
        wanted = {"kW": kernel, "kH": kernel, "dW": stride, "dH": stride, "padW": padding, "padH": padding}
        wanted |= {"dilationW": 1, "dilationH": 1}
        self._compare(layer, conv_name, wanted)
        weight = _needed(layer, "weight", conv_name)
        if weight.ndim == 2 and weight.shape[1] % kernel**2 == 0:
            weight = weight.view(len(weight), weight.shape[1] // kernel**2, kernel, kernel)
        if weight.ndim != 4:
            raise ValueError(f"{conv_name}: a weight of {list(weight.shape)}, expected 4 axes")
        mean = _needed(norm, "running_mean", norm_name)
        out = weight.shape[:1]
        eps = norm.number("eps", TORCHVISION_EPS)
        variance = norm.tensor("running_var")
        if variance is None:
            # Files from before version 2 of the layer hold 1 / standard deviation.
            variance = _needed(norm, "running_std", norm_name).pow(-2) - eps
            self._note("running_std turned into running_var")
        scale, shift = norm.tensor("weight"), norm.tensor("bias")
        bias = layer.tensor("bias")
        for vector in (mean, variance, scale, shift, bias):
            if vector is not None and vector.shape != out:
                raise ValueError(f"{norm_name}: a vector of {list(vector.shape)}, expected {list(out)}")
        if eps != TORCHVISION_EPS:
            variance = variance + (eps - TORCHVISION_EPS)
            self._note(f"eps {eps:g} folded into running_var")
        if bias is not None and bool(bias.any()):
            mean = mean - bias
            self._note("convolution bias folded into running_mean")
        self._state[f"{conv_name}.weight"] = weight
        self._state[f"{norm_name}.running_mean"] = mean
        self._state[f"{norm_name}.running_var"] = variance
        self._state[f"{norm_name}.weight"] = torch.ones_like(mean) if scale is None else scale
        self._state[f"{norm_name}.bias"] = torch.zeros_like(mean) if shift is None else shift

    def _compare(self, layer: Torch7Module, name: str, wanted: dict[str, int]) -> None:
        padding = layer.number("padding", 0)
        found = {key: layer.number(key, padding if key.startswith("pad") else 1) for key in wanted}
        differing = [f"{key} {found[key]:g}, expected {wanted[key]}" for key in wanted if found[key] != wanted[key]]
        if differing or layer.number("groups", 1) != 1 or layer.fields.get("ceil_mode"):
            raise ValueError(f"{name}: {'; '.join(differing) or 'groups or ceil mode'}; not torchvision's ResNet")

    def _children(self, container: Any, short_name: str, place: str) -> list[Any]:
        self._expect(container, short_name, place)
        children: list[Any] = container.children
        strangers = [_name(child) for child in children if not isinstance(child, Torch7Module)]
        if strangers:
            raise ValueError(f"{place}: {strangers[0]}, expected a module")
        return children

    def _expect(self, layer: Any, short_name: str, place: str) -> None:
        if not isinstance(layer, Torch7Module) or layer.short_name != short_name:
            raise ValueError(f"{place}: {_name(layer)}, expected {short_name}")

    def _note(self, text: str) -> None:
        self._notes[text] = self._notes.get(text, 0) + 1


def _take(layers: Iterator[Any], what: str) -> Any:
    layer = next(layers, None)
    if layer is None:
        raise ValueError(f"the model ends before {what}")
    return layer


def _name(layer: Any) -> str:
    if isinstance(layer, Torch7Module):
        return layer.class_name
    return "a tensor" if isinstance(layer, Torch7Tensor) else type(layer).__name__


def _needed(layer: Torch7Module, field: str, place: str) -> Tensor:
    value = layer.tensor(field)
    if value is None:
        raise ValueError(f"{place}: {layer.class_name} without {field}")
    return value
