"""PyTorch layouts: each file's weights through its public definition, written out function by function."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision import models

from pipeline.errors import TeacherError
from teachers.architectures import build_network
from teachers.importing import ImportRequest, import_teacher
from teachers.kinds import Kind
from teachers.layouts.state_dicts import convert_state_dict, match_by_position
from teachers.lip_psp import pspnet_lip_densenet121
from teachers.semseg_psp import pspnet_semseg_resnet50
from teachers.storage import load_teacher
from tests.teachers.formats.python2_writer import text, write_python2_checkpoint

State = dict[str, Tensor]


def randomised(state: State) -> State:
    """Replace normalisations' statistics and parameters, which fresh networks have at 0 and 1."""
    generator = torch.Generator().manual_seed(0)
    drawn = {}
    for name, tensor in state.items():
        if name.endswith(("running_mean", "bias")):
            drawn[name] = torch.rand(tensor.shape, generator=generator) - 0.5
        elif name.endswith("running_var") or (name.endswith("weight") and tensor.ndim == 1):
            drawn[name] = torch.rand(tensor.shape, generator=generator) + 0.5
        else:
            drawn[name] = tensor
    return drawn


def norm(state: State, name: str, x: Tensor) -> Tensor:
    keys = ("running_mean", "running_var", "weight", "bias")
    mean, variance, weight, bias = (state[f"{name}.{key}"].view(-1, 1, 1) for key in keys)
    return (x - mean) / (variance + 1e-5).sqrt() * weight + bias


def conv(state: State, name: str, x: Tensor, *, stride: int = 1, padding: int = 0, dilation: int = 1) -> Tensor:
    return F.conv2d(x, state[f"{name}.weight"], state.get(f"{name}.bias"), stride, padding, dilation)


def run_lip_parser(state: State, x: Tensor) -> Tensor:
    """The public LIP parser, by the names in its file; its log-softmax included."""
    x = norm(state, "feats.start_features.norm0", conv(state, "feats.start_features.conv0", x, stride=2, padding=3))
    x = F.max_pool2d(x.relu(), 3, 2, 1)
    for number, count in enumerate((6, 12, 24, 16)):
        for layer in range(1, count + 1):
            name = f"feats.blocks.{2 * number}.denselayer{layer}"
            y = conv(state, f"{name}.conv1", norm(state, f"{name}.norm1", x).relu())
            y = conv(state, f"{name}.conv2", norm(state, f"{name}.norm2", y).relu(), padding=1)
            x = torch.cat([x, y], 1)
        if number < 3:
            name = f"feats.blocks.{2 * number + 1}"
            x = conv(state, f"{name}.conv", norm(state, f"{name}.norm", x).relu())
            x = F.avg_pool2d(x, 2) if number == 0 else x
    levels = []
    for number, size in enumerate((1, 2, 3, 6)):
        y = conv(state, f"psp.stages.{number}.1", F.adaptive_avg_pool2d(x, size))
        levels.append(F.interpolate(y, size=x.shape[2:], mode="bilinear", align_corners=False))
    x = conv(state, "psp.bottleneck", torch.cat([*levels, x], 1)).relu()
    for number in (1, 2, 3):
        size = (2 * x.shape[2], 2 * x.shape[3])
        x = F.interpolate(x, size=size, mode="bilinear", align_corners=False)
        x = norm(state, f"up_{number}.conv.1", conv(state, f"up_{number}.conv.0", x, padding=1))
        x = torch.where(x < 0, x * state[f"up_{number}.conv.2.weight"], x)
    return conv(state, "final.0", x).log_softmax(1)


def lip_file() -> State:
    """The names and values of the public file, blocks twice, without norm5, with the second head."""
    ours = randomised(pspnet_lip_densenet121().state_dict())
    state: State = {}
    for name, tensor in ours.items():
        if not name.startswith("features."):
            state[name.replace("final.", "final.0.")] = tensor
            continue
        part, _, rest = name.removeprefix("features.").partition(".")
        if part.startswith(("denseblock", "transition")):
            number = 2 * (int(part[-1]) - 1) + part.startswith("transition")
            state[f"feats.blocks.{number}.{rest}"] = tensor
            state[f"feats.{part}.{rest}"] = tensor
        else:
            state[f"feats.start_features.{part}.{rest}"] = tensor
    return state | {"classifier.0.weight": torch.zeros(256, 512), "classifier.0.bias": torch.zeros(256)}


def test_the_public_lip_parser_is_run_faithfully(tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = lip_file()
    torch.save({f"module.{name}": tensor for name, tensor in state.items()}, tmp_path / "PSPNet_last")
    target = tmp_path / "human.safetensors"
    report = import_teacher(Kind.HUMAN, tmp_path / "PSPNet_last", target)
    assert (report.card.architecture, report.card.classes) == ("pspnet_lip_densenet121", 20)
    assert str(report.card.preprocessing).startswith("bicubic antialiased to 256x256, centre 256x256, RGB 0-1")
    # The blocks' second copies and the second head.
    copies = {name for name in state if name.startswith("feats.") and "blocks" not in name and "start" not in name}
    assert set(report.dropped) == copies | {"classifier.0.weight", "classifier.0.bias"}
    network, _ = load_teacher(target, Kind.HUMAN)
    x = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(0)) - 0.5
    with torch.inference_mode():
        scores = network(x).logits.log_softmax(1)
        torch.testing.assert_close(scores, run_lip_parser(state, x), rtol=1e-3, atol=1e-3)


def test_copies_that_differ_are_refused() -> None:
    state = {"psp.bottleneck.weight": torch.zeros(1), "feats.start_features.conv0.weight": torch.zeros(1)}
    state |= {"feats.blocks.1.conv.weight": torch.zeros(2), "feats.transition1.conv.weight": torch.ones(2)}
    with pytest.raises(TeacherError, match=r"feats\.transition1\.conv\.weight stands twice"):
        convert_state_dict(state, "a.pth")


def run_semseg(state: State, x: Tensor) -> Tensor:
    """semseg's PSPNet on ResNet-50, by the names in its file."""
    size = x.shape[2:]
    for index, stride in ((0, 2), (3, 1), (6, 1)):
        y = conv(state, f"layer0.{index}", x, stride=stride, padding=1)
        x = norm(state, f"layer0.{index + 1}", y).relu()
    x = F.max_pool2d(x, 3, 2, 1)
    for stage, (count, stride, dilation) in enumerate(((3, 1, 1), (4, 2, 1), (6, 1, 2), (3, 1, 4)), start=1):
        for number in range(count):
            name, own = f"layer{stage}.{number}", stride if number == 0 else 1
            y = norm(state, f"{name}.bn1", conv(state, f"{name}.conv1", x)).relu()
            y = conv(state, f"{name}.conv2", y, stride=own, padding=dilation, dilation=dilation)
            y = conv(state, f"{name}.conv3", norm(state, f"{name}.bn2", y).relu())
            if number == 0:
                x = norm(state, f"{name}.downsample.1", conv(state, f"{name}.downsample.0", x, stride=own))
            x = (norm(state, f"{name}.bn3", y) + x).relu()
    levels = [x]
    for number, bins in enumerate((1, 2, 3, 6)):
        y = conv(state, f"ppm.features.{number}.1", F.adaptive_avg_pool2d(x, bins))
        y = norm(state, f"ppm.features.{number}.2", y).relu()
        levels.append(F.interpolate(y, size=x.shape[2:], mode="bilinear", align_corners=True))
    x = norm(state, "cls.1", conv(state, "cls.0", torch.cat(levels, 1), padding=1)).relu()
    return F.interpolate(conv(state, "cls.4", x), size=size, mode="bilinear", align_corners=True)


def test_semsegs_pspnet_with_a_person_class(tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = randomised(pspnet_semseg_resnet50(21).state_dict())
    parallel = {f"module.{name}": tensor for name, tensor in state.items()}
    parallel["module.aux.0.weight"] = torch.zeros(1)
    file, target = tmp_path / "train_epoch_50.pth", tmp_path / "human.safetensors"
    torch.save({"epoch": 50, "state_dict": parallel, "optimizer": {"param_groups": [{"lr": 0.1}]}}, file)
    with pytest.raises(TeacherError, match=r"21 classes, expected 20 or 2; .* --person-classes"):
        import_teacher(Kind.HUMAN, file, target)
    with pytest.raises(TeacherError, match=r"person classes \[21\], expected some of 0 to 20"):
        import_teacher(Kind.HUMAN, file, target, ImportRequest(person_classes=(21,)))
    report = import_teacher(Kind.HUMAN, file, target, ImportRequest(person_classes=(15,)))
    assert (report.card.architecture, report.card.person_classes) == ("pspnet_semseg_resnet50", (15,))
    assert report.dropped == ("aux.0.weight", "epoch", "optimizer")
    assert report.card.preprocessing.input_size == (473, 473)
    network, card = load_teacher(target, Kind.HUMAN)
    assert card.person_classes == (15,)
    x = torch.rand(1, 3, 49, 57, generator=torch.Generator().manual_seed(0)) - 0.5
    with torch.inference_mode():
        torch.testing.assert_close(network(x).logits, run_semseg(state, x), rtol=1e-3, atol=1e-3)


def test_a_places365_file_of_python_2_says_its_network_itself(tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = build_network(Kind.SCENE, "squeezenet1_1", 365).state_dict()
    arrays = {f"module.{name}": tensor.numpy() for name, tensor in state.items()}
    file = write_python2_checkpoint(tmp_path / "a.pth.tar", arrays, {"arch": text("squeezenet1_1")})
    report = import_teacher(Kind.SCENE, file, tmp_path / "scene.safetensors")
    assert (report.card.architecture, report.dropped) == ("squeezenet1_1", ("arch",))
    network, _ = load_teacher(tmp_path / "scene.safetensors", Kind.SCENE)
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())


def test_the_usual_networks_are_known_by_their_weights(tmp_path: Path) -> None:
    torch.save(build_network(Kind.SCENE, "squeezenet1_1", 365).state_dict(), tmp_path / "a.pth")
    report = import_teacher(Kind.SCENE, tmp_path / "a.pth", tmp_path / "scene.safetensors")
    assert report.card.architecture == "squeezenet1_1"
    with pytest.raises(TeacherError, match=r"1000 classes, expected 365"):
        torch.save(models.resnet18(weights=None).state_dict(), tmp_path / "b.pth")
        import_teacher(Kind.SCENE, tmp_path / "b.pth", tmp_path / "other.safetensors")


def test_names_of_old_torchvisions_and_parallel_parts() -> None:
    old = {
        "module.features.denseblock1.denselayer2.norm.1.weight": torch.zeros(1),
        "module.features.denseblock1.denselayer2.conv.2.weight": torch.zeros(2),
        "features.module.0.bias": torch.zeros(3),
    }
    assert list(convert_state_dict(old, "a.pth").state) == [
        "features.denseblock1.denselayer2.norm1.weight",
        "features.denseblock1.denselayer2.conv2.weight",
        "features.0.bias",
    ]


def test_positions_count_only_where_there_is_no_doubt(tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = build_network(Kind.SCENE, "resnet18", 365).state_dict()
    numbered = {f"{index}.{name.rpartition('.')[2]}": tensor for index, (name, tensor) in enumerate(state.items())}
    torch.save(numbered, tmp_path / "a.pth")
    report = import_teacher(
        Kind.SCENE, tmp_path / "a.pth", tmp_path / "scene.safetensors", ImportRequest(architecture="resnet18")
    )
    assert report.notes == ("names differ from the architecture's: matched by order, kind and shape",)
    network, _ = load_teacher(tmp_path / "scene.safetensors", Kind.SCENE)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, state[name]) or name.endswith("num_batches_tracked")
    items = list(numbered.items())
    swapped = dict([items[1], items[0], *items[2:]])
    assert match_by_position(swapped, state) is None
    assert match_by_position(dict(items[:-1]), state) is None
