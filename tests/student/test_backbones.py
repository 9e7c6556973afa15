"""Cut backbones compute what the whole ones do, and fork where the options say."""

import pytest
import torch
import torchvision

from student.backbones import (
    CutBackbone,
    cut_bninception,
    cut_inceptionv3,
    cut_resnet18,
    cut_resnet50,
    cut_squeezenet1_1,
)
from student.branches import BlockChain, BottleneckTap
from student.build import build_student
from student.catalogue import BACKBONES, check_input_size
from student.forking import fork
from student.options import KINetOptions


def _fork_sizes(cut: CutBackbone, options: KINetOptions) -> tuple[str, str, dict[int, int]]:
    """The last block of the trunk, the first of the branches, and CBI's channels."""
    forked = fork(cut, at=options.fork, cbi_places=options.cbi_places, cbi_width=options.cbi_width)
    return forked.trunk.names[-1], forked.branches.scene.names[0], forked.cbi_channels


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (KINetOptions(), ("layer3.4", "layer3.5", {0: 256, 3: 512})),
        (KINetOptions(cbi_width="full"), ("layer3.4", "layer3.5", {0: 1024, 3: 2048})),
        (KINetOptions(cbi_places="none"), ("layer3.4", "layer3.5", {})),
        (KINetOptions(cbi_places="1@res4"), ("layer3.4", "layer3.5", {0: 256})),
        (KINetOptions(cbi_places="2@res4"), ("layer3.3", "layer3.4", {0: 256, 1: 256})),
        (KINetOptions(cbi_places="2@res4+1@res5"), ("layer3.3", "layer3.4", {0: 256, 1: 256, 4: 512})),
        (KINetOptions(fork="before_res4"), ("layer2.3", "layer3.0", {5: 256, 8: 512})),
        (KINetOptions(fork="after_res4", cbi_places="none"), ("layer3.5", "layer4.0", {})),
    ],
)
def test_resnet50_forks_where_the_options_say(options: KINetOptions, expected: object) -> None:
    assert _fork_sizes(cut_resnet50(), options) == expected


def test_small_backbones_fork_at_their_own_last_blocks() -> None:
    assert _fork_sizes(cut_resnet18(), KINetOptions()) == ("layer3.0", "layer3.1", {0: 256, 2: 512})
    assert _fork_sizes(cut_squeezenet1_1(), KINetOptions()) == ("features.10", "features.11", {0: 512, 1: 512})


def test_inception_networks_are_joined_where_the_protocol_says() -> None:
    """CBI after 4e and 5b of BN-Inception, after Mixed_6e and Mixed_7c of Inception V3, at full width."""
    with torch.device("meta"):
        assert _fork_sizes(cut_bninception(), KINetOptions()) == ("inception_4d", "inception_4e", {0: 1056, 2: 1024})
        assert _fork_sizes(cut_inceptionv3(), KINetOptions()) == ("Mixed_6d", "Mixed_6e", {0: 768, 3: 2048})


def test_inceptionv3_is_torchvisions_network() -> None:
    reference = torchvision.models.inception_v3(weights=None, aux_logits=False, init_weights=False).eval()
    cut = cut_inceptionv3()
    chain = BlockChain(cut.stem + cut.res4 + cut.res5).eval()
    source = reference.state_dict()
    images = torch.randn(1, 3, 107, 107, generator=torch.Generator().manual_seed(0))
    maps = []
    reference.Mixed_7c.register_forward_hook(lambda module, inputs, output: maps.append(output))
    with torch.no_grad():
        for key, tensor in chain.source_tensors():
            tensor.copy_(source[key])
        reference(images)
        assert torch.equal(chain(images), maps[0])


@pytest.mark.parametrize(
    ("cut", "whole"),
    [
        (cut_resnet50, torchvision.models.resnet50),
        (cut_resnet18, torchvision.models.resnet18),
        (cut_squeezenet1_1, torchvision.models.squeezenet1_1),
    ],
)
def test_trunk_and_branch_hold_the_whole_backbone_under_its_own_keys(cut, whole) -> None:
    forked = fork(cut(), at="before_last_block", cbi_places="none", cbi_width="bottleneck")
    expected = {
        key: tensor.shape
        for key, tensor in whole(weights=None).state_dict().items()
        if not key.startswith(("fc.", "classifier."))
    }
    for branch in forked.branches:
        found = {key: tensor.shape for chain in (forked.trunk, branch) for key, tensor in chain.source_tensors()}
        assert found == expected


def test_the_two_halves_of_a_bottleneck_are_its_forward_pass() -> None:
    """For a block with and one without a projection on its shortcut."""
    generator = torch.Generator().manual_seed(0)
    tap = BottleneckTap()
    stage = torchvision.models.resnet50(weights=None).layer4.eval()
    with torch.no_grad():
        for block, width in ((stage[0], 1024), (stage[2], 2048)):
            maps = torch.randn(2, width, 4, 4, generator=generator)
            tapped = tap.enter(block, maps)
            assert tapped.shape[1] == 512
            assert torch.equal(tap.leave(block, tapped, maps), block(maps))


@pytest.mark.parametrize(("backbone", "size"), [("bninception", 112), ("inceptionv3", 74), ("squeezenet1_1", 16)])
def test_refused_input_sizes_are_those_that_the_networks_cannot_take(backbone: str, size: int) -> None:
    with pytest.raises(ValueError, match=f"input_size: {backbone} takes"):
        check_input_size(backbone, size)
    network = build_student(model="tsn", backbone=backbone, num_classes=2).to("meta")
    with pytest.raises((RuntimeError, ValueError)):
        network(torch.empty(2, 3, 3, size, size, device="meta"))
    for taken in (BACKBONES[backbone].smallest_size, BACKBONES[backbone].size):
        check_input_size(backbone, taken)
        clips = torch.empty(2, 3, 3, taken, taken, device="meta")
        assert network(clips).action_logits.shape == (2, 2)


def test_contradictions_are_refused() -> None:
    with pytest.raises(ValueError, match="'1@res4' stands in res4, but fork 'after_res4'"):
        KINetOptions(fork="after_res4", cbi_places="1@res4")
    with pytest.raises(ValueError, match=r"cbi_places: expected one of .* found 'res4'"):
        KINetOptions(cbi_places="res4")
