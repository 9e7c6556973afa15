"""Caffe's networks: written byte by byte, evaluated from the raw blobs by the definitions of Caffe's layers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision import models
from torchvision.models.vgg import make_layers

from pipeline.errors import TeacherError
from teachers.architectures import build_network
from teachers.formats.caffe import CaffeBlob, CaffeLayer, read_caffemodel
from teachers.importing import ImportRequest, import_teacher
from teachers.kinds import Kind
from teachers.layouts.caffe_nets import PLACES365_MEAN_BGR, caffe_preprocessing, convert_caffe
from teachers.resnets import bring_to_caffe_form, round_pooling_up
from teachers.storage import describe_misfit, fill_network, read_card
from tests.teachers.formats.caffe_writer import Layer, encode_net

BLOCKS_50 = (3, 4, 6, 3)
BLOCKS_152 = (3, 8, 36, 3)


class Maker:
    """Make a ResNet with the layers of He et al.'s prototxt.

    Args:
        width: of the innermost convolutions of the first stage; 64 in full.
        on_first: the stride is on the first 1x1, as in Caffe; else on the 3x3, as in torchvision.
        floor: the first pooling rounds down.
        eps: of every BatchNorm.
        factor: by which every BatchNorm's sums are too large.
        conv_bias: the first convolution has a bias.
    """

    def __init__(
        self,
        width: int = 64,
        *,
        on_first: bool = True,
        floor: bool = False,
        eps: float = 1e-5,
        factor: float = 1,
        conv_bias: bool = False,
    ) -> None:
        self.generator = np.random.default_rng(0)
        self.width, self.on_first, self.floor = width, on_first, floor
        self.eps, self.factor, self.conv_bias = eps, factor, conv_bias
        self.layers: list[Layer] = []

    def uniform(self, *shape: int, low: float = -1, high: float = 1) -> np.ndarray:
        # One draw of a block repeated is random enough, and quick.
        size = int(np.prod(shape))
        block = self.generator.uniform(low, high, min(size, 100_003)).astype(np.float32)
        return np.resize(block, shape)

    def convolution(self, bottom: str, name: str, shape: tuple[int, ...], stride: int, pad: int, relu: bool) -> str:
        out, channels, kernel, _ = shape
        bound = (3 / (channels * kernel**2)) ** 0.5
        blobs = [self.uniform(*shape, low=-bound, high=bound)]
        if name == "conv1" and self.conv_bias:
            blobs.append(self.uniform(out))
        sizes = {"kernel": kernel, "stride": stride, "pad": pad}
        self.layers.append(Layer(name, "Convolution", (bottom,), name, blobs, sizes))
        tail = name if name == "conv1" else name.removeprefix("res")
        names = ("bn_conv1", "scale_conv1") if name == "conv1" else (f"bn{tail}", f"scale{tail}")
        mean, variance = self.uniform(out) * self.factor, self.uniform(out, low=0.5, high=2) * self.factor
        statistics = [mean, variance, np.array([self.factor], np.float32)]
        self.layers.append(Layer(names[0], "BatchNorm", (name,), name, statistics, {"eps": self.eps}))
        scale = [self.uniform(out, low=0.2, high=0.8), self.uniform(out)]
        self.layers.append(Layer(names[1], "Scale", (name,), name, scale))
        if relu:
            self.layers.append(Layer(f"{name}_relu", "ReLU", (name,), name))
        return name

    def network(self, counts: tuple[int, ...], classes: int) -> list[Layer]:
        top = self.convolution("data", "conv1", (64, 3, 7, 7), 2, 3, relu=True)
        pad = {} if self.on_first else {"pad": 1}
        pad |= {"floor": 1} if self.floor else {}
        self.layers.append(Layer("pool1", "Pooling", (top,), "pool1", [], {"kernel": 3, "stride": 2, **pad}))
        top, channels = "pool1", 64
        for stage, count in enumerate(counts):
            width, out = self.width * 2**stage, 256 * 2**stage
            for number in range(count):
                letter = "a" if number == 0 else f"b{number}" if count > 6 else "abcdef"[number]
                name = f"res{stage + 2}{letter}"
                stride = 2 if stage and not number else 1
                first, second = (stride, 1) if self.on_first else (1, stride)
                shortcut = top
                if number == 0:
                    shortcut = self.convolution(top, f"{name}_branch1", (out, channels, 1, 1), stride, 0, relu=False)
                x = self.convolution(top, f"{name}_branch2a", (width, channels, 1, 1), first, 0, relu=True)
                x = self.convolution(x, f"{name}_branch2b", (width, width, 3, 3), second, 1, relu=True)
                x = self.convolution(x, f"{name}_branch2c", (out, width, 1, 1), 1, 0, relu=False)
                self.layers.append(Layer(name, "Eltwise", (shortcut, x), name))
                self.layers.append(Layer(f"{name}_relu", "ReLU", (name,), name))
                top, channels = name, out
        self.layers.append(Layer("pool5", "Pooling", (top,), "pool5", [], {"average": 1, "kernel": 7, "stride": 1}))
        head = [self.uniform(classes, channels, low=-0.1, high=0.1), self.uniform(classes)]
        self.layers.append(Layer("fc365", "InnerProduct", ("pool5",), "fc365", head))
        return self.layers


def run(layers: list[Layer], data: Tensor) -> Tensor:
    """Evaluate layer after layer, in place where bottom and top have one name, as Caffe does."""
    tops = {"data": data}
    for layer in layers:
        x = tops[layer.bottoms[0]]
        blobs = [torch.from_numpy(array) for array in layer.blobs]
        sizes = {name: int(value) for name, value in layer.parameters.items() if name != "eps"}
        match layer.type:
            case "Convolution":
                x = F.conv2d(x, blobs[0], *blobs[1:], stride=sizes["stride"], padding=sizes["pad"])
            case "BatchNorm":
                mean, variance = (blob.view(-1, 1, 1) / blobs[2] for blob in blobs[:2])
                x = (x - mean) / (variance + layer.parameters["eps"]).sqrt()
            case "Scale":
                x = x * blobs[0].view(-1, 1, 1) + blobs[1].view(-1, 1, 1)
            case "ReLU":
                x = x.clamp(min=0)
            case "Eltwise":
                x = x + tops[layer.bottoms[1]]
            case "Pooling" if sizes["kernel"] == 7:
                x = x.mean((2, 3))
            case "Pooling":
                x = max_pool(x, **sizes)
            case "InnerProduct":
                x = x.flatten(1) @ blobs[0].T + blobs[1]
        tops[layer.top] = x
    return x


def max_pool(x: Tensor, kernel: int, stride: int, pad: int = 0, floor: int = 0) -> Tensor:
    """Caffe's: ceil((size + 2 pad - kernel) / stride) + 1 windows, the last ones cut at the border."""
    counts = [
        ((size + 2 * pad - kernel) // stride if floor else -(-(size + 2 * pad - kernel) // stride)) + 1
        for size in x.shape[2:]
    ]
    rows = []
    for row in range(counts[0]):
        top = max(row * stride - pad, 0)
        bottom = row * stride - pad + kernel
        columns = []
        for column in range(counts[1]):
            left, right = max(column * stride - pad, 0), column * stride - pad + kernel
            columns.append(x[:, :, top:bottom, left:right].amax((2, 3)))
        rows.append(torch.stack(columns, -1))
    return torch.stack(rows, -2)


def convert(tmp_path: Path, layers: list[Layer], **options: Any) -> Any:
    (tmp_path / "a.caffemodel").write_bytes(encode_net(layers, **options))
    return convert_caffe(read_caffemodel(tmp_path / "a.caffemodel"), "a.caffemodel")


def thin_resnet50(architecture: str) -> nn.Module:
    network = models.resnet50(weights=None, num_classes=5, width_per_group=4)
    forms = {"resnet50": lambda same: same, "resnet50_caffe": bring_to_caffe_form, "resnet50_ceil": round_pooling_up}
    return forms[architecture](network)


@pytest.mark.parametrize(
    ("architecture", "options"),
    [
        ("resnet50_caffe", {}),
        ("resnet50_caffe", {"eps": 1e-3, "factor": 999.98, "conv_bias": True}),
        ("resnet50_ceil", {"on_first": False, "factor": 1}),
        ("resnet50", {"on_first": False, "floor": True}),
    ],
)
def test_resnet_gives_the_same_scores(tmp_path: Path, architecture: str, options: dict[str, Any]) -> None:
    layers = Maker(4, **options).network(BLOCKS_50, 5)
    converted = convert(tmp_path, layers)
    assert converted.architecture == architecture
    assert converted.dropped == ()
    network = thin_resnet50(architecture).eval()
    fill_network(network, converted.state, origin="test")
    # Even and odd sizes at the pooling and behind it, where padding and rounding show; 224 is what the networks see.
    for height, width in ((64, 64), (70, 90), (66, 98), (224, 224)):
        x = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0)) * 255 - 110
        with torch.inference_mode():
            torch.testing.assert_close(network(x), run(layers, x), rtol=1e-4, atol=1e-4)


def test_padded_pooling_of_224_pixels_makes_57_as_caffe_does() -> None:
    network = build_network(Kind.SCENE, "resnet50_ceil", 365)
    assert network.maxpool(torch.zeros(1, 1, 112, 112)).shape[-2:] == (57, 57)
    assert network.layer2[0].conv2.stride == (2, 2)


@pytest.mark.parametrize(
    ("layer", "parameters", "message"),
    [
        ("pool1", {"kernel": 2}, "layer pool1: a maximum of 2x2 at stride 2, padded by 0, expected a maximum of 3x3"),
        ("pool1", {"stride": 1}, "layer pool1: a maximum of 3x3 at stride 1"),
        ("pool1", {"average": 1}, "layer pool1: a mean of 3x3"),
        ("pool5", {"average": 0}, "layer pool5: a maximum of 7x7"),
        ("pool5", {"kernel": 5}, "layer pool5: a mean of 5x5"),
        ("res2a_branch2b", {"dilation": 2}, "layer res2a_branch2b: dilation 2, expected 1"),
        ("res3b_branch2b", {"pad": 0}, "layer res3b_branch2b: pad 0, expected 1"),
        ("res3b_branch2c", {"stride": 2}, "layer res3b_branch2c: stride 2, expected 1"),
        ("res4a_branch1", {"stride": 1}, "layer res4a_branch1: stride 1, expected 2"),
        ("conv1", {"group": 3}, "layer conv1: group 3, expected 1"),
    ],
)
def test_another_resnet_is_refused_at_its_first_difference(
    tmp_path: Path, layer: str, parameters: dict[str, float], message: str
) -> None:
    layers = Maker(4).network(BLOCKS_50, 5)
    next(made for made in layers if made.name == layer).parameters.update(parameters)
    with pytest.raises(TeacherError, match=message):
        convert(tmp_path, layers)


def test_damaged_blobs_are_one_line(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    layers = Maker(2).network(BLOCKS_50, 3)
    weighted = [layer for layer in layers if layer.blobs]
    with torch.device("meta"):
        network = thin_resnet50("resnet50_caffe")
    refused = 0
    for _ in range(16):
        layer = weighted[generator.integers(len(weighted))]
        number = int(generator.integers(len(layer.blobs)))
        whole = layer.blobs[number]
        shapes = ((), (0,), (1,), (3,), (0, 2), (2, 2), (1, 1, 2, 3), (2, 1, 1, 1, 2), (*whole.shape, 2))
        layer.blobs[number] = np.ones(shapes[generator.integers(len(shapes))], np.float32)
        try:
            fill_network(network, convert(tmp_path, layers).state, origin="a.caffemodel")
        except TeacherError as fault:
            refused += 1
            assert "\n" not in str(fault)
        layer.blobs[number] = whole
    assert refused > 10


def test_without_parameters_a_file_is_caffes_own_resnet(tmp_path: Path) -> None:
    layers = Maker(4).network(BLOCKS_50, 5)
    assert convert(tmp_path, layers, with_parameters=False).architecture == "resnet50_caffe"


def test_a_factor_of_zero_means_no_statistics(tmp_path: Path) -> None:
    layers = Maker(4, factor=0).network(BLOCKS_50, 5)
    assert not convert(tmp_path, layers).state["bn1.running_mean"].any()


def test_resnet152_has_every_key_and_shape_of_torchvisions() -> None:
    memory = memoryview(np.zeros(2048 * 512 * 9, np.float32).tobytes())

    class Shapes(Maker):
        def uniform(self, *shape: int, low: float = -1, high: float = 1) -> np.ndarray:
            return np.broadcast_to(np.float32(1), shape)

    layers = []
    for layer in Shapes().network(BLOCKS_152, 365):
        blobs = tuple(CaffeBlob(array.shape, (memory[: 4 * array.size],), 4) for array in layer.blobs)
        sizes = {name: int(value) for name, value in layer.parameters.items() if name != "eps"}
        layers.append(CaffeLayer(layer.name, layer.type, blobs, **sizes))
    converted = convert_caffe(layers, "resnet152_places365.caffemodel")
    assert (converted.architecture, converted.classes) == ("resnet152_caffe", 365)
    with torch.device("meta"):
        network = build_network(Kind.SCENE, "resnet152_caffe", 365)
    assert describe_misfit(network, converted.state) == []


def test_a_whole_file_becomes_a_teacher_that_is_fed_as_caffe_feeds(tmp_path: Path) -> None:
    file = tmp_path / "resnet50_places365.caffemodel"
    file.write_bytes(encode_net(Maker().network(BLOCKS_50, 365)))
    mean = np.random.default_rng(1).uniform(90, 130, (3, 256, 256)).astype(np.float32)
    np.save(tmp_path / "mean.npy", mean)
    target = tmp_path / "scene.safetensors"
    report = import_teacher(Kind.SCENE, file, target, ImportRequest(mean_image_path=tmp_path / "mean.npy"))
    assert report.file_format == "caffe"
    assert report.notes == ("the stride is on the first 1x1",)
    preprocessing = read_card(target, Kind.SCENE).preprocessing
    assert preprocessing.mean_image is not None
    assert np.array_equal(preprocessing.mean_image.numpy(), mean)
    assert "BGR 0-255, mean a mean image" in str(preprocessing)
    assert caffe_preprocessing().mean == PLACES365_MEAN_BGR


VGG_PLAN: list[str | int] = [4, 4, "M", 4, 4, "M", 6, 6, 6, "M", 6, 6, 6, "M", 6, 6, 6, "M"]


def vgg_layers() -> list[Layer]:
    """VGG-16 of a few channels for inputs of 64 x 64."""
    maker = Maker()
    layers, channels, bottom = [], 3, "data"
    for stage, count in enumerate((2, 2, 3, 3, 3), start=1):
        out = 4 if stage < 3 else 6
        for number in range(1, count + 1):
            name = f"conv{stage}_{number}"
            blobs = [maker.uniform(out, channels, 3, 3, low=-0.4, high=0.4), maker.uniform(out)]
            sizes = {"kernel": 3, "stride": 1, "pad": 1}
            layers.append(Layer(name, "Convolution", (bottom,), name, blobs, sizes))
            layers.append(Layer(f"relu{stage}_{number}", "ReLU", (name,), name))
            bottom, channels = name, out
        layers.append(Layer(f"pool{stage}", "Pooling", (bottom,), f"pool{stage}", [], {"kernel": 2, "stride": 2}))
        bottom = f"pool{stage}"
    for name, shape in (("fc6", (7, 24)), ("fc7", (8, 7)), ("fc8a", (5, 8))):
        layers.append(Layer(name, "InnerProduct", (bottom,), name, [maker.uniform(*shape), maker.uniform(shape[0])]))
        bottom = name
        if name != "fc8a":
            layers.append(Layer(f"relu_{name}", "ReLU", (name,), name))
    return layers


@pytest.mark.parametrize("v1", [False, True])
def test_vgg16_gives_the_same_scores(tmp_path: Path, v1: bool) -> None:
    layers = vgg_layers()
    converted = convert(tmp_path, layers, v1=v1)
    assert converted.architecture == "vgg16"
    relu_and_dropout = (nn.ReLU(), nn.Dropout())
    classifier = nn.Sequential(nn.Linear(24, 7), *relu_and_dropout, nn.Linear(7, 8), *relu_and_dropout, nn.Linear(8, 5))
    # torchvision's VGG-16, thin, and without the pooling to 7 x 7 that does nothing at its own input size.
    network = nn.Sequential()
    for name, part in (("features", make_layers(VGG_PLAN)), ("flat", nn.Flatten()), ("classifier", classifier)):
        network.add_module(name, part)
    fill_network(network.eval(), converted.state, origin="test")
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(network(x), run(layers, x), rtol=1e-4, atol=1e-4)


def test_other_networks_are_named(tmp_path: Path) -> None:
    layers = Maker(4).network(BLOCKS_50, 5)
    with pytest.raises(TeacherError, match="layer scale3a_branch2b is missing"):
        convert(tmp_path, [layer for layer in layers if layer.name != "scale3a_branch2b"])
    with pytest.raises(TeacherError, match=r"blocks \[3, 4, 5, 3\]"):
        convert(tmp_path, [layer for layer in layers if "4f" not in layer.name])
    with pytest.raises(TeacherError, match="known are ResNets"):
        convert(tmp_path, [Layer("conv2", "Convolution", ("data",), "x", [np.zeros((1, 1, 1, 1), np.float32)])])
    layers[0].blobs[0] = layers[0].blobs[0][:, :1]
    converted = convert(tmp_path, layers)
    with pytest.raises(TeacherError, match=r"conv1\.weight is \[64, 1, 7, 7\], expected \[64, 3, 7, 7\]"):
        fill_network(thin_resnet50("resnet50_caffe"), converted.state, origin="test")
