"""fb.resnet.torch's ResNets: written as Torch7 would, evaluated layer by layer as Lua's nn defines them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.errors import TeacherError
from teachers.architectures import build_network
from teachers.formats.torch7 import read_torch7
from teachers.importing import ImportRequest, import_teacher
from teachers.kinds import Kind
from teachers.layouts.torch7_resnet import convert_torch7_resnet
from teachers.storage import describe_misfit, load_teacher
from tests.teachers.formats.torch7_writer import LuaModule, LuaTensor, Torch7Writer, lua_list

BLOCKS = {18: (2, 2, 2, 2), 152: (3, 8, 36, 3)}


class Maker:
    """Make a ResNet as models/resnet.lua does.

    Args:
        old: convolutions have biases and flat weights, normalisations have running_std and another eps.
        shared: all tensors lie in one small memory, for a file of full shapes that is quick to write.
    """

    def __init__(self, *, old: bool = False, shared: bool = False) -> None:
        self.generator = np.random.default_rng(0)
        self.old = old
        self.memory = self.generator.uniform(0.5, 1.5, 2048 * 512 * 9).astype(np.float32) if shared else None
        self.channels = 64

    def tensor(self, *sizes: int, low: float = -1, high: float = 1) -> Any:
        if self.memory is None:
            return self.generator.uniform(low, high, sizes).astype(np.float32)
        strides = [int(np.prod(sizes[axis + 1 :])) for axis in range(len(sizes))]
        return LuaTensor(self.memory, sizes, tuple(strides))

    def convolution(self, channels: int, out: int, kernel: int, stride: int, padding: int) -> LuaModule:
        bound = (3 / (channels * kernel**2)) ** 0.5
        sizes = (out, channels * kernel**2) if self.old else (out, channels, kernel, kernel)
        fields = {"kW": kernel, "kH": kernel, "dW": stride, "dH": stride, "padW": padding, "padH": padding}
        weights = {"weight": self.tensor(*sizes, low=-bound, high=bound), "gradWeight": self.tensor(1)}
        extra = {"bias": self.tensor(out)} if self.old else {"groups": 1}
        return LuaModule("cudnn.SpatialConvolution", {**fields, "nInputPlane": channels, **weights, **extra})

    def norm(self, channels: int) -> LuaModule:
        spread = "running_std" if self.old else "running_var"
        fields = {"weight": self.tensor(channels, low=0.2, high=0.8), "bias": self.tensor(channels)}
        fields |= {"running_mean": self.tensor(channels), spread: self.tensor(channels, low=0.5, high=2)}
        name = "nn.SpatialBatchNormalization" if self.old else "cudnn.SpatialBatchNormalization"
        return LuaModule(name, {**fields, "eps": 1e-3 if self.old else 1e-5, "affine": True})

    def block(self, width: int, stride: int, bottleneck: bool) -> LuaModule:
        before, self.channels = self.channels, width * (4 if bottleneck else 1)
        shapes = [(before, width, 3, stride, 1), (width, width, 3, 1, 1)]
        if bottleneck:
            shapes = [(before, width, 1, 1, 0), (width, width, 3, stride, 1), (width, 4 * width, 1, 1, 0)]
        layers = []
        for shape in shapes:
            layers += [self.convolution(*shape), self.norm(shape[1]), LuaModule("cudnn.ReLU", {"inplace": True})]
        shortcut = LuaModule("nn.Identity", {})
        if before != self.channels:
            shortcut = sequential([self.convolution(before, self.channels, 1, stride, 0), self.norm(self.channels)])
        both = LuaModule("nn.ConcatTable", {"modules": lua_list([sequential(layers[:-1]), shortcut])})
        return sequential([both, LuaModule("nn.CAddTable", {}), LuaModule("cudnn.ReLU", {})])

    def network(self, depth: int, classes: int = 365) -> LuaModule:
        stages = []
        for stage, count in enumerate(BLOCKS[depth]):
            strides = [2 if stage and not number else 1 for number in range(count)]
            stages.append(sequential([self.block(64 * 2**stage, stride, depth > 34) for stride in strides]))
        pool = {"kW": 3, "kH": 3, "dW": 2, "dH": 2, "padW": 1, "padH": 1, "ceil_mode": False}
        head = {"weight": self.tensor(classes, self.channels, low=-0.1, high=0.1), "bias": self.tensor(classes)}
        return sequential(
            [
                self.convolution(3, 64, 7, 2, 3),
                self.norm(64),
                LuaModule("cudnn.ReLU", {}),
                LuaModule("nn.SpatialMaxPooling", pool),
                *stages,
                LuaModule("cudnn.SpatialAveragePooling", {"kW": 7, "kH": 7}),
                LuaModule("nn.View", {"numInputDims": 3}),
                LuaModule("nn.Linear", head),
            ]
        )


def sequential(modules: list[LuaModule]) -> LuaModule:
    return LuaModule("nn.Sequential", {"modules": lua_list(modules), "train": False})


def run(module: LuaModule, x: Any) -> Any:
    """Evaluate a module as the documentation of Lua's nn says."""
    fields = {name: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for name, v in module.fields.items()}
    match module.class_name.partition(".")[2]:
        case "Sequential":
            for child in fields["modules"].values():
                x = run(child, x)
            return x
        case "ConcatTable":
            return [run(child, x) for child in fields["modules"].values()]
        case "CAddTable":
            return x[0] + x[1]
        case "Identity":
            return x
        case "ReLU":
            return x.clamp(min=0)
        case "SpatialConvolution":
            weight = fields["weight"].view(-1, fields["nInputPlane"], fields["kH"], fields["kW"])
            return F.conv2d(x, weight, fields.get("bias"), stride=fields["dH"], padding=fields["padH"])
        case "SpatialBatchNormalization":
            std = fields.get("running_std")
            inverse = std if std is not None else (fields["running_var"] + fields["eps"]).rsqrt()
            mean, inverse, weight, bias = (
                v.view(-1, 1, 1) for v in (fields["running_mean"], inverse, fields["weight"], fields["bias"])
            )
            return (x - mean) * inverse * weight + bias
        case "SpatialMaxPooling":
            padded = F.pad(x, (1, 1, 1, 1), value=-torch.inf)
            return padded.unfold(2, 3, 2).unfold(3, 3, 2).amax((-1, -2))
        case "SpatialAveragePooling":
            # 7 x 7 of Places365's 224 pixels; here the whole of a smaller map.
            return x.mean((2, 3), keepdim=True)
        case "View":
            return x.flatten(1)
        case "Linear":
            return x @ fields["weight"].T + fields["bias"]
    raise AssertionError(module.class_name)


def forward(state_file: Path, x: Tensor) -> Tensor:
    network, _ = load_teacher(state_file, Kind.SCENE)
    with torch.inference_mode():
        return network(x)  # type: ignore[no-any-return]


@pytest.mark.parametrize("old", [False, True])
def test_resnet18_gives_the_same_scores(tmp_path: Path, old: bool) -> None:
    model = Maker(old=old).network(18)
    wrapped = {"model": LuaModule("nn.DataParallelTable", {"modules": lua_list([model])})} if old else model
    file = Torch7Writer().write(wrapped).save(tmp_path / "resnet18_places365.t7")
    report = import_teacher(Kind.SCENE, file, tmp_path / "scene.safetensors", ImportRequest(license="CC BY"))
    assert (report.card.architecture, report.file_format, report.card.license) == ("resnet18", "torch7", "CC BY")
    assert report.notes == (
        (
            "running_std turned into running_var (20 layers)",
            "eps 0.001 folded into running_var (20 layers)",
            "convolution bias folded into running_mean (20 layers)",
        )
        if old
        else ()
    )
    x = torch.rand(2, 3, 64, 72, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(forward(tmp_path / "scene.safetensors", x), run(model, x), rtol=1e-4, atol=1e-4)


def test_resnet152_has_every_key_and_shape_of_torchvisions(tmp_path: Path) -> None:
    file = Torch7Writer().write(Maker(shared=True).network(152)).save(tmp_path / "resnet152_places365.t7")
    converted = convert_torch7_resnet(read_torch7(file), str(file))
    assert (converted.architecture, converted.classes) == ("resnet152", 365)
    with torch.device("meta"):
        network = build_network(Kind.SCENE, "resnet152", 365)
    assert describe_misfit(network, converted.state) == []


def change(model: LuaModule, path: tuple[float, ...], **fields: Any) -> LuaModule:
    """Change fields of the module at a path of child numbers."""
    module = model
    for number in path:
        module = module.fields["modules"][number]
    module.fields |= fields
    return model


@pytest.mark.parametrize(
    ("path", "fields", "message"),
    [
        ((6, 1, 1, 1, 1), {"dW": 1, "dH": 1}, r"layer2\.0\.conv1: dW 1, expected 2; dH 1, expected 2"),
        ((4,), {"padW": 0, "padH": 0}, r"the stem's pooling: padW 0, expected 1"),
        ((5,), {"modules": lua_list([])}, r"mixed blocks \[0, 2, 2, 2\]|basic blocks \[0, 2, 2, 2\]"),
        ((5, 1, 1, 1, 2), {"running_mean": None}, r"layer1\.0\.bn1: cudnn\..* without running_mean"),
        ((11,), {"weight": None}, "the head: nn.Linear without weight"),
        ((9,), {"kW": 3, "kH": 3}, "the average pooling: kW 3, expected 7"),
        ((4,), {"dW": 1, "dH": 1}, "the stem's pooling: dW 1, expected 2"),
        ((4,), {"ceil_mode": True}, "the stem's pooling: groups or ceil mode"),
        ((8, 2, 1, 1, 1), {"dilationW": 2, "dilationH": 2}, r"layer4\.1\.conv1: dilationW 2, expected 1"),
    ],
)
def test_another_network_is_refused_at_its_first_difference(
    tmp_path: Path, path: tuple[float, ...], fields: dict[str, Any], message: str
) -> None:
    model = change(Maker(shared=True).network(18), path, **fields)
    file = Torch7Writer().write(model).save(tmp_path / "a.t7")
    with pytest.raises(TeacherError, match=message) as fault:
        convert_torch7_resnet(read_torch7(file), str(file))
    assert "\n" not in str(fault.value)


@pytest.mark.parametrize(
    ("path", "order", "message"),
    [
        ((5, 1, 1, 1), (1, 3, 2, 4, 5), r"layer1\.0: a residual of Convolution ReLU SpatialBatchNormalization"),
        ((5, 1, 1, 1), (1, 2, 4, 5), r"layer1\.0: a residual of Convolution SpatialBatchNormalization Convolution"),
        ((5, 1, 1, 1), (1, 2, 3, 4, 5, 3), r"layer1\.0: a residual of .* ReLU, expected"),
        ((), (1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 10), "the head: Linear View, expected View Linear"),
        ((), (1, 2, 4, 3, 5, 6, 7, 8, 9, 10, 11), r"the stem: nn\.SpatialMaxPooling, expected ReLU"),
    ],
)
def test_the_order_of_layers_counts(
    tmp_path: Path, path: tuple[int, ...], order: tuple[int, ...], message: str
) -> None:
    model = Maker(shared=True).network(18)
    module = model
    for number in path:
        module = module.fields["modules"][number]
    modules = module.fields["modules"]
    module.fields["modules"] = lua_list([modules[number] for number in order])
    file = Torch7Writer().write(model).save(tmp_path / "a.t7")
    with pytest.raises(TeacherError, match=message):
        convert_torch7_resnet(read_torch7(file), str(file))


def test_a_pre_activation_resnet_is_named(tmp_path: Path) -> None:
    maker = Maker(shared=True)
    model = maker.network(18)
    both = LuaModule("nn.ConcatTable", {"modules": lua_list([LuaModule("nn.Identity"), LuaModule("nn.Identity")])})
    block = sequential([maker.norm(64), LuaModule("cudnn.ReLU"), both, LuaModule("nn.CAddTable")])
    change(model, (5,), modules=lua_list([block, block]))
    file = Torch7Writer().write(model).save(tmp_path / "resnet50_places365.t7")
    with pytest.raises(TeacherError, match="pre-activation ResNet is another network"):
        import_teacher(Kind.SCENE, file, tmp_path / "scene.safetensors")
    assert not (tmp_path / "scene.safetensors").exists()
