"""KINet: sizes, interface, and which gradient reaches which branch."""

import pytest
import torch

import student.kinet
import student.tsn
from student.build import build_student
from student.catalogue import BACKBONES
from student.cbi import CrossBranchIntegration
from student.kinet import KINet, kinet_resnet18, kinet_resnet50, kinet_squeezenet1_1
from student.options import KINetOptions
from student.outputs import BranchFeatures
from student.parameters import count_parameters

CLASSES = 7
QUICK = ("bninception", "resnet18", "squeezenet1_1")


def _frames(num_clips: int = 2, num_segments: int = 3, size: int = 64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(num_clips, num_segments, 3, size, size, generator=generator)


def _let_cbi_in(model: KINet) -> KINet:
    """Move CBI's convolutions off their identity start, so that all three maps matter."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, CrossBranchIntegration):
                module.reduce.weight.add_(0.02 * torch.randn(module.reduce.weight.shape, generator=generator))
    return model


def test_kinet_resnet50_has_the_papers_size() -> None:
    """61.7 M in inference form for 400 classes; 76.4 M where CBI stands on the blocks' full outputs."""
    assert count_parameters(kinet_resnet50(400).to_inference()) == 61_672_656
    full = kinet_resnet50(400, options=KINetOptions(cbi_width="full")).to_inference()
    assert count_parameters(full) == 76_429_776


@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_backbone_has_builders_of_its_name_that_build_what_the_command_trains(backbone: str) -> None:
    for module, model in ((student.kinet, "kinet"), (student.tsn, "tsn")):
        with torch.device("meta"):
            named = getattr(module, f"{model}_{backbone}")(CLASSES)
            trained = build_student(model=model, backbone=backbone, num_classes=CLASSES)
        shapes = [{name: tensor.shape for name, tensor in each.state_dict().items()} for each in (named, trained)]
        assert (
            shapes[0] == shapes[1] and named.normalisation == trained.normalisation == BACKBONES[backbone].normalisation
        )


@pytest.mark.parametrize("backbone", [name for name in BACKBONES if name != "resnet200"])
@pytest.mark.parametrize(
    "options",
    [
        KINetOptions(),
        KINetOptions(cbi_places="2@res4+1@res5", cbi_width="full", cbi_output="all"),
        KINetOptions(fork="before_res4"),
    ],
)
def test_every_backbone_can_be_built_every_way(backbone: str, options: KINetOptions) -> None:
    """Shapes alone, without memory or arithmetic."""
    with torch.device("meta"):
        outputs = build_student(model="kinet", backbone=backbone, num_classes=CLASSES, options=options)(
            torch.empty(2, 3, 3, 128, 128)
        )
    assert outputs.action_logits.shape == (2, CLASSES)
    assert outputs.human_logits.shape[:3] == (2, 3, 2) and outputs.scene_logits.shape == (2, 3, 365)


@pytest.mark.parametrize("backbone", QUICK)
def test_outputs_have_the_contracts_shapes(backbone: str) -> None:
    model = build_student(model="kinet", backbone=backbone, num_classes=CLASSES)
    outputs = model(_frames())
    assert outputs.action_logits.shape == (2, CLASSES)
    assert outputs.human_logits.shape[:3] == (2, 3, 2) and outputs.human_logits.dim() == 5
    assert outputs.scene_logits.shape == (2, 3, 365)
    assert 0 <= outputs.edge_entropy.item() <= 2.2
    assert all(torch.isfinite(tensor).all() for tensor in outputs)


@pytest.mark.parametrize("backbone", QUICK)
def test_features_of_images_then_windows_equal_the_forward_pass(backbone: str) -> None:
    model = _let_cbi_in(build_student(model="kinet", backbone=backbone, num_classes=CLASSES)).eval()
    frames = _frames(num_clips=1, num_segments=4)
    with torch.no_grad():
        features = model.extract_features(frames[0])
        windows = torch.tensor([[0, 1, 2], [1, 2, 3]])
        by_window = model.classify_segments(features.gather(windows))
        whole = model(frames[0][windows]).action_logits
    torch.testing.assert_close(by_window, whole, rtol=1e-4, atol=1e-6)


def test_the_inference_form_gives_the_same_logits() -> None:
    model = _let_cbi_in(kinet_resnet18(CLASSES)).eval()
    slim = model.to_inference()
    with torch.no_grad():
        full_outputs, slim_outputs = model(_frames()), slim(_frames())
    assert torch.equal(full_outputs.action_logits, slim_outputs.action_logits)
    assert slim_outputs.human_logits is None and slim_outputs.scene_logits is None
    dropped = set(model.state_dict()) - set(slim.state_dict())
    assert {key.split(".")[0] for key in dropped} == {"human_decoder", "scene_classifier"}


@pytest.mark.parametrize(
    ("options", "num_auxiliary_blocks"),
    [
        (KINetOptions(cbi_places="none", akg_relation="none"), 0),
        (KINetOptions(cbi_places="none", akg_relation="none", auxiliary="human"), 0),
        (KINetOptions(cbi_places="1@res4", akg_relation="none"), 1),
        (KINetOptions(akg_relation="none"), 2),
        (KINetOptions(cbi_output="all"), 2),
    ],
)
def test_inference_keeps_only_the_blocks_that_the_prediction_needs(
    options: KINetOptions, num_auxiliary_blocks: int
) -> None:
    model = _let_cbi_in(kinet_squeezenet1_1(CLASSES, options=options)).eval()
    slim = model.to_inference()
    assert len(slim.human_branch) == len(slim.scene_branch) == num_auxiliary_blocks
    frames = _frames(num_clips=1)
    with torch.no_grad():
        logits = model(frames).action_logits
        assert torch.equal(slim(frames).action_logits, logits)
        features = slim.extract_features(frames[0])
        torch.testing.assert_close(slim.classify_segments(features.gather(torch.arange(3)[None])), logits)


def test_without_cbi_and_graph_inference_is_tsn() -> None:
    """Table 1's multi-task rows cost nothing at inference: 24.3 M parameters, as their baseline."""
    with torch.device("meta"):
        multitask = kinet_resnet50(400, options=MULTITASK)
    assert count_parameters(multitask.to_inference()) == 24_327_632


@pytest.mark.parametrize("task", ["human", "scene"])
def test_one_auxiliary_task_alone(task: str) -> None:
    options = KINetOptions(cbi_places="none", akg_relation="none", auxiliary=task)
    model = kinet_squeezenet1_1(CLASSES, options=options)
    outputs = model(_frames())
    assert (outputs.human_logits is None) == (task == "scene")
    assert (outputs.scene_logits is None) == (task == "human")
    assert len(model.human_branch) == (2 if task == "human" else 0)
    assert len(model.scene_branch) == (2 if task == "scene" else 0)


def test_cbi_into_all_branches_joins_maps_from_before_any_joining() -> None:
    """Each branch gets the CBI of its own map with the two others', all three read before one is replaced."""
    model = kinet_resnet18(CLASSES, options=KINetOptions(cbi_places="1@res4", cbi_output="all")).eval()
    generator = torch.Generator().manual_seed(4)
    modules = [model.cbi["0"], model.auxiliary_cbi["0"].to_human, model.auxiliary_cbi["0"].to_scene]
    with torch.no_grad():
        for module in modules:
            module.reduce.weight.copy_(0.05 * torch.randn(module.reduce.weight.shape, generator=generator))
        images = _frames()[0]
        trunk = model.trunk(images)
        chains = (model.action_branch, model.human_branch, model.scene_branch)
        action, human, scene = (chain.blocks[0](trunk) for chain in chains)
        joined = (modules[0](action, human, scene), modules[1](human, action, scene), modules[2](scene, human, action))
        for chain, maps, found in zip(chains, joined, model.extract_features(images), strict=True):
            for block in list(chain.blocks)[1:]:
                maps = block(maps)
            torch.testing.assert_close(found, maps.mean(dim=(2, 3)))


def test_at_first_cbi_changes_no_feature() -> None:
    """A pre-trained action branch sees what it was trained on, whether or not CBI is there."""
    with_cbi, without = (
        kinet_resnet50(CLASSES, options=KINetOptions(cbi_places=places)).eval() for places in ("2@res4+1@res5", "none")
    )
    # Bring both to the same backbone weights by the names of the backbone.
    source = {
        key: tensor for chain in (with_cbi.trunk, with_cbi.action_branch) for key, tensor in chain.source_tensors()
    }
    with torch.no_grad():
        for chain in (without.trunk, without.action_branch):
            for key, tensor in chain.source_tensors():
                tensor.copy_(source[key])
        images = _frames()[0]
        torch.testing.assert_close(with_cbi.extract_features(images).action, without.extract_features(images).action)


def _reached(model: KINet) -> dict[str, bool]:
    """Which parts got a gradient other than zero."""
    parts = ("trunk", "action_branch", "human_branch", "scene_branch", "human_decoder", "scene_classifier")
    return {
        part: any(
            parameter.grad is not None and bool(parameter.grad.abs().sum() > 0)
            for parameter in getattr(model, part).parameters()
        )
        for part in parts
        if getattr(model, part) is not None
    }


MULTITASK = KINetOptions(cbi_places="none", akg_relation="none")
CBI_ALONE = KINetOptions(akg_relation="none")
AKG_ALONE = KINetOptions(cbi_places="none")
CBI_INTO_ALL = KINetOptions(cbi_output="all", akg_relation="none")
HUMAN_ALONE = KINetOptions(cbi_places="none", akg_relation="none", auxiliary="human")


@pytest.mark.parametrize(
    ("options", "task", "reached"),
    [
        (MULTITASK, "action_logits", {"action_branch"}),
        (MULTITASK, "human_logits", {"human_branch", "human_decoder"}),
        (MULTITASK, "scene_logits", {"scene_branch", "scene_classifier"}),
        (CBI_ALONE, "action_logits", {"action_branch", "human_branch", "scene_branch"}),
        (CBI_ALONE, "human_logits", {"human_branch", "human_decoder"}),
        (AKG_ALONE, "action_logits", {"action_branch", "human_branch", "scene_branch"}),
        (AKG_ALONE, "scene_logits", {"scene_branch", "scene_classifier"}),
        (KINetOptions(), "action_logits", {"action_branch", "human_branch", "scene_branch"}),
        (CBI_INTO_ALL, "human_logits", {"action_branch", "human_branch", "scene_branch", "human_decoder"}),
        (CBI_INTO_ALL, "scene_logits", {"action_branch", "human_branch", "scene_branch", "scene_classifier"}),
        (HUMAN_ALONE, "action_logits", {"action_branch"}),
        (HUMAN_ALONE, "human_logits", {"human_branch", "human_decoder"}),
    ],
)
def test_gradients_reach_the_branches_they_should(options: KINetOptions, task: str, reached: set[str]) -> None:
    """The trunk learns from every task; a branch from its own, and through CBI and AKG from the action's."""
    model = _let_cbi_in(kinet_squeezenet1_1(CLASSES, options=options))
    with torch.no_grad():
        model.action_classifier.weight.mul_(100)  # it starts small, and so would the gradients behind it
    outputs = model(_frames())
    getattr(outputs, task).square().sum().backward()
    assert {part for part, has_gradient in _reached(model).items() if has_gradient} == reached | {"trunk"}


def test_branches_start_equal_and_own_their_weights() -> None:
    model = kinet_resnet18(CLASSES)
    chains = (model.action_branch, model.human_branch, model.scene_branch)
    addresses = [{parameter.data_ptr() for parameter in chain.parameters()} for chain in chains]
    assert not (addresses[0] & addresses[1] or addresses[0] & addresses[2] or addresses[1] & addresses[2])
    for tensors in zip(*(chain.parameters() for chain in chains), strict=True):
        assert torch.equal(tensors[0], tensors[1]) and torch.equal(tensors[0], tensors[2])


def test_the_seed_alone_decides_the_start() -> None:
    torch.manual_seed(123)
    before = torch.get_rng_state()
    first, again, other = (kinet_squeezenet1_1(CLASSES, seed=seed) for seed in (4, 4, 5))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(first.trunk.blocks[0].weight, other.trunk.blocks[0].weight)


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (torch.zeros(2, 3, 3, 64, 64, dtype=torch.uint8), r"float \[B, T, 3, H, W\], found torch.uint8"),
        (torch.zeros(3, 3, 64, 64), r"found torch.float32 \[3, 3, 64, 64\]"),
        (torch.zeros(1, 5, 3, 64, 64), r"AKG: expected action features \[B, 3, 512\], found \[1, 5, 512\]"),
    ],
)
def test_frames_that_do_not_fit_are_refused(frames: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kinet_squeezenet1_1(CLASSES)(frames)


def test_features_of_a_tsn_are_refused() -> None:
    with pytest.raises(ValueError, match="human and the scene branch are needed"):
        kinet_squeezenet1_1(CLASSES).classify_segments(BranchFeatures(torch.zeros(1, 3, 512), None, None))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"model": "kinnet", "backbone": "resnet50"},
            "model: expected one of kinet, tsn, kinet-fixed, found 'kinnet'.*'kinet'",
        ),
        ({"model": "tsn", "backbone": "resnet-50"}, "backbone: expected one of .*did you mean 'resnet50'"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(arguments: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_student(**arguments, num_classes=CLASSES)
