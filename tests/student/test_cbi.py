"""CBI computes the paper's gate and starts as the identity."""

import numpy as np
import pytest
import torch

from student.cbi import CrossBranchIntegration

CHANNELS = 5
BATCHNORM_EPS = 1e-5


def _randomised(gate: str = "residual_auxiliary") -> CrossBranchIntegration:
    """A module in evaluation mode, none of whose weights or statistics is at its start."""
    module = CrossBranchIntegration(CHANNELS, gate=gate).double().eval()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for tensor in (*module.parameters(), *(b for b in module.buffers() if b.is_floating_point())):
            tensor.copy_(torch.rand(tensor.shape, generator=generator, dtype=torch.float64) + 0.1)
    return module


def _maps(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    action, human, scene = torch.randn(3, 2, CHANNELS, 4, 3, generator=generator, dtype=torch.float64)
    return action, human, scene


def _batchnorm(values: np.ndarray, norm: torch.nn.BatchNorm2d) -> np.ndarray:
    def per_channel(tensor: torch.Tensor) -> np.ndarray:
        return tensor.detach().numpy().reshape(1, -1, 1, 1)

    standardised = (values - per_channel(norm.running_mean)) / np.sqrt(per_channel(norm.running_var) + BATCHNORM_EPS)
    return standardised * per_channel(norm.weight) + per_channel(norm.bias)


def test_it_passes_the_action_map_unchanged_at_first() -> None:
    action, human, scene = (maps.float() for maps in _maps())
    module = CrossBranchIntegration(CHANNELS)
    for training in (True, False):
        assert torch.equal(module.train(training)(action, human, scene), action)


def test_one_pixel_by_hand() -> None:
    """a = 2, h = 3, s = -5, BatchNorm (mean 4, var 4, weight 2, bias 1), convolution 0.5 a + 2 g_h - 3 g_s + 7.

    g_h = ReLU((6 - 4) / 2 * 2 + 1 + 3) = 6; g_s = ReLU((-10 - 4) / 2 * 2 + 1 - 5) = 0; 1 + 12 - 0 + 7 = 20.
    """
    module = CrossBranchIntegration(1).double().eval()
    with torch.no_grad():
        for norm in (module.human_norm, module.scene_norm):
            norm.running_mean.fill_(4.0)
            norm.running_var.fill_(4.0 - BATCHNORM_EPS)
            norm.weight.fill_(2.0)
            norm.bias.fill_(1.0)
        module.reduce.weight.copy_(torch.tensor([0.5, 2.0, -3.0]).view(1, 3, 1, 1))
        module.reduce.bias.fill_(7.0)
    action, human, scene = (torch.full((1, 1, 1, 1), value, dtype=torch.float64) for value in (2.0, 3.0, -5.0))
    assert module(action, human, scene).item() == pytest.approx(20.0, abs=1e-12)


@pytest.mark.parametrize("gate", ["residual_auxiliary", "residual_action", "sigmoid"])
def test_it_equals_the_formula(gate: str) -> None:
    module = _randomised(gate)
    maps = _maps()
    action, human, scene = (map_.numpy() for map_ in maps)
    gated = []
    for auxiliary, norm in ((human, module.human_norm), (scene, module.scene_norm)):
        if gate == "residual_auxiliary":
            gated.append(np.maximum(_batchnorm(action * auxiliary, norm) + auxiliary, 0))
        elif gate == "residual_action":
            gated.append(np.maximum(_batchnorm(action * auxiliary, norm) + action, 0))
        else:
            gated.append(action / (1 + np.exp(-_batchnorm(auxiliary, norm))))
    joined = np.concatenate([action, *gated], axis=1)
    expected = np.einsum("oc,bchw->bohw", module.reduce.weight.detach().numpy()[:, :, 0, 0], joined)
    expected += module.reduce.bias.detach().numpy().reshape(1, -1, 1, 1)
    np.testing.assert_allclose(module(*maps).detach().numpy(), expected, rtol=1e-12, atol=1e-12)


def test_human_and_scene_are_not_exchangeable() -> None:
    module = _randomised()
    action, human, scene = _maps()
    assert not torch.allclose(module(action, human, scene), module(action, scene, human))


def test_knowledge_can_enter_from_the_first_step() -> None:
    """At the identity start the auxiliary maps get no gradient, but the weights that will let them in do."""
    action, human, scene = (maps.float().requires_grad_() for maps in _maps())
    module = CrossBranchIntegration(CHANNELS)
    module(action, human, scene).square().sum().backward()
    assert action.grad is not None and action.grad.abs().sum() > 0
    assert human.grad is not None and human.grad.abs().sum() == 0
    of_auxiliaries = module.reduce.weight.grad[:, CHANNELS:]
    assert of_auxiliaries.abs().amin() > 0


@pytest.mark.parametrize("shape", [(2, CHANNELS + 1, 4, 3), (2, CHANNELS, 4, 4), (2, CHANNELS, 4)])
def test_maps_that_do_not_fit_are_refused(shape: tuple[int, ...]) -> None:
    action = torch.zeros(2, CHANNELS, 4, 3)
    with pytest.raises(ValueError, match=r"CBI: expected three maps \[B, 5, H, W\]"):
        CrossBranchIntegration(CHANNELS)(action, action, torch.zeros(shape))


def test_an_unknown_gate_is_refused_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean 'sigmoid'"):
        CrossBranchIntegration(CHANNELS, gate="sigmoyd")
