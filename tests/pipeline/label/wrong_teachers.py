"""Teachers that do not follow the protocol, each in one way."""

from pathlib import Path
from types import SimpleNamespace

import torch

from pipeline.label.teacher import SceneLabels


def _human(answer):  # type: ignore[no-untyped-def]
    return SimpleNamespace(name="wrong", sha256="0", preprocessing="none", predict_masks=answer)


def _scene(indices, probs):  # type: ignore[no-untyped-def]
    labels = SceneLabels(indices, probs)
    return SimpleNamespace(name="wrong", sha256="0", preprocessing="none", predict_scenes=lambda _: labels)


def positional(weights_path, device, precision, more):  # type: ignore[no-untyped-def]
    raise AssertionError


def failing(weights_path, *, device, precision):  # type: ignore[no-untyped-def]
    return Path("/nowhere/weights.pt").read_bytes()


def nameless(weights_path, *, device, precision):  # type: ignore[no-untyped-def]
    return SimpleNamespace(sha256="0", preprocessing="none")


def floats(weights_path, *, device, precision):  # type: ignore[no-untyped-def]
    return _human(lambda frames: frames[..., 0].float())


def small(weights_path, *, device, precision):  # type: ignore[no-untyped-def]
    return _human(lambda frames: frames[:, ::2, ::2, 0] > 0)


def arrays(weights_path, *, device, precision):  # type: ignore[no-untyped-def]
    return _human(lambda frames: (frames[..., 0] > 0).numpy())


def crashing(weights_path, *, device, precision):  # type: ignore[no-untyped-def]
    return _human(lambda frames: frames @ frames)


def three_scenes(weights_path, *, device, precision):  # type: ignore[no-untyped-def]
    return _scene(torch.zeros(2, 3, dtype=torch.int64), torch.zeros(2, 3))


def far_scenes(weights_path, *, device, precision):  # type: ignore[no-untyped-def]
    return _scene(torch.full((2, 5), 365), torch.zeros(2, 5))


def rising_scenes(weights_path, *, device, precision):  # type: ignore[no-untyped-def]
    return _scene(torch.zeros(2, 5, dtype=torch.int64), torch.linspace(0, 1, 5).expand(2, 5))


def strips(weights_path, *, device, precision):  # type: ignore[no-untyped-def]
    return _human(lambda frames: (frames[..., 0] if frames.shape[2] == 340 else frames[:, :, :60, 0]) > 0)


def fails_on_others(weights_path, *, device, precision):  # type: ignore[no-untyped-def]
    return _human(lambda frames: frames[..., 0] > 1 // (frames.shape[2] // 340))


def wants_known_precision(weights_path, *, device, precision):  # type: ignore[no-untyped-def]
    if precision not in ("float32", "bfloat16"):
        raise ValueError(precision)
    return _human(lambda frames: torch.zeros(frames.shape[:3], dtype=torch.bool))
