"""The fixed branches are the teachers: their maps and weights, no gradient; what joins them to the student learns."""

import pytest
import torch

from pipeline.errors import TeacherError
from student.build import build_student
from student.fixed import FixedBranchKINet, FixedTeachers, load_fixed_teachers, split_human, split_scene
from student.normalisation import CAFFE, CENTRED, IMAGENET, normalise, renormalise
from student.options import KINetOptions
from student.outputs import BranchFeatures
from student.parameters import freeze_batchnorm_except_first, parameter_groups
from teachers.architectures import build_network
from teachers.kinds import Kind

CLASSES = 3


def _teachers() -> FixedTeachers:
    human = build_network(Kind.HUMAN, "pspnet_squeezenet1_1", 2)
    scene = build_network(Kind.SCENE, "resnet18", 365)
    return FixedTeachers(split_human(human, IMAGENET), split_scene(scene, CENTRED))


def _student(backbone: str = "squeezenet1_1", options: KINetOptions | None = None) -> FixedBranchKINet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        teachers = _teachers()
    model = build_student(
        model="kinet-fixed",
        backbone=backbone,
        num_classes=CLASSES,
        options=options or KINetOptions(),
        teachers=teachers,
    )
    assert isinstance(model, FixedBranchKINet)
    return model


def _frames(num_segments: int = 3) -> torch.Tensor:
    return torch.randn(1, num_segments, 3, 64, 64, generator=torch.Generator().manual_seed(2))


def test_a_teachers_two_maps_are_its_own() -> None:
    human = build_network(Kind.HUMAN, "pspnet_squeezenet1_1", 2).eval()
    scene = build_network(Kind.SCENE, "resnet18", 365).eval()
    images = _frames()[0]
    taken = {}
    scene.layer3.register_forward_hook(lambda module, inputs, output: taken.update(early=output))
    scene.layer4.register_forward_hook(lambda module, inputs, output: taken.update(late=output))
    with torch.no_grad():
        scene(images)
        found = split_scene(scene, IMAGENET)(images)
        assert torch.equal(found[0], taken["early"]) and torch.equal(found[1], taken["late"])
        early, late = split_human(human, IMAGENET)(images)
        assert torch.equal(early, human.stem(images)) and torch.equal(late, human.body(early))


@pytest.mark.parametrize("target", [IMAGENET, CENTRED, CAFFE])
@pytest.mark.parametrize("source", [IMAGENET, CENTRED, CAFFE])
def test_each_network_sees_the_same_pixels_in_its_own_way(source, target) -> None:  # type: ignore[no-untyped-def]
    pixels = torch.randint(0, 256, (2, 3, 4, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(
        renormalise(normalise(pixels, source), source, target), normalise(pixels, target), rtol=1e-4, atol=1e-4
    )


def test_only_what_joins_the_teachers_learns() -> None:
    model = _student().train()
    freeze_batchnorm_except_first(model)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items() if ".teacher." in key}
    with torch.no_grad():
        for module in model.cbi.values():
            module.reduce.weight.add_(0.05)
        model.action_classifier.weight.mul_(100)
    optimiser = torch.optim.SGD(parameter_groups(model, 0.5, 0.1))
    model(_frames()).action_logits.square().sum().backward()
    for knowledge in (model.human, model.scene):
        assert all(parameter.grad is None for parameter in knowledge.teacher.parameters())
        assert all(projection.weight.grad.abs().sum() > 0 for projection in knowledge.projections.values())
        assert knowledge.summary.weight.grad is not None
    optimiser.step()
    after = model.state_dict()
    assert before and all(torch.equal(tensor, after[key]) for key, tensor in before.items())
    assert not any(
        module.training for knowledge in (model.human, model.scene) for module in knowledge.teacher.modules()
    )


def test_features_of_images_then_windows_equal_the_forward_pass() -> None:
    model = _student().eval()
    frames = _frames(num_segments=4)
    with torch.no_grad():
        features = model.extract_features(frames[0])
        windows = torch.tensor([[0, 1, 2], [1, 2, 3]])
        by_window = model.classify_segments(features.gather(windows))
        outputs = model(frames[0][windows])
    torch.testing.assert_close(by_window, outputs.action_logits, rtol=1e-4, atol=1e-6)
    assert outputs.human_logits is None and outputs.scene_logits is None
    assert model.to_inference() is model


def test_without_a_graph_the_joined_action_features_are_classified() -> None:
    model = _student(options=KINetOptions(akg_relation="none")).eval()
    with torch.no_grad():
        outputs = model(_frames())
        expected = model.action_classifier(model.extract_features(_frames()[0]).action).mean(dim=0)
    torch.testing.assert_close(outputs.action_logits[0], expected)
    assert outputs.edge_entropy is None


def test_readings_of_learned_branches_are_refused() -> None:
    with pytest.raises(ValueError, match=r"kinet\.cbi_output: expected 'action' for kinet-fixed"):
        _student(options=KINetOptions(cbi_output="all"))
    with pytest.raises(ValueError, match=r"kinet\.auxiliary: expected 'both' for kinet-fixed"):
        _student(options=KINetOptions(auxiliary="human", cbi_places="none", akg_relation="none"))


def test_what_is_missing_is_named() -> None:
    with pytest.raises(ValueError, match="human_teacher: expected a teacher file for model kinet-fixed, found none"):
        load_fixed_teachers("", "")
    with pytest.raises(ValueError, match="features of the human and the scene branch are needed"):
        _student().classify_segments(BranchFeatures(torch.zeros(1, 3, 512), None, None))
    with pytest.raises(TeacherError, match="human teacher Linear: features can be taken of a PspNet alone"):
        split_human(torch.nn.Linear(1, 1), IMAGENET)
    with pytest.raises(TeacherError, match="scene teacher Linear: features can be taken of a ResNet or SqueezeNet"):
        split_scene(torch.nn.Linear(1, 1), IMAGENET)
