"""What a training run must keep so that it goes on bit-equal after a kill: weights, optimiser, generators."""

from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from pipeline.errors import CheckpointError
from pipeline.training.checkpoint import load_latest_checkpoint
from pipeline.training.world import World

CHECKPOINT_DIR = "checkpoints"


def gather_state(
    step: int, model: nn.Module, optimizer: Optimizer, device: torch.device, world: World
) -> dict[str, Any]:
    """Gather all that a resumed run needs, the generators of every rank among it; plain data only.

    Collective: every rank must call it.
    """
    cuda_rng = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    return {
        "step": step,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "generators": world.gather((torch.get_rng_state(), cuda_rng)),
    }


def restore_state(
    checkpoint_dir: Path, model: nn.Module, optimizer: Optimizer, device: torch.device, world: World
) -> dict[str, Any] | None:
    """Load the newest checkpoint into model, optimiser and generators; return all it holds, None where there is none.

    A rank that the checkpoint knows nothing of (more workers than before) keeps the generator it was seeded with.

    Raises:
        CheckpointError: every checkpoint is damaged, or the newest is of another model.
    """
    state = load_latest_checkpoint(checkpoint_dir)
    if state is None:
        return None
    try:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
    except (RuntimeError, ValueError, KeyError) as error:
        first_line = (str(error).splitlines() or [""])[0]
        raise CheckpointError(f"{checkpoint_dir}: the checkpoint is of another model: {first_line}") from error
    if world.rank < len(state["generators"]):
        cpu_rng, cuda_rng = state["generators"][world.rank]
        torch.set_rng_state(cpu_rng)
        if device.type == "cuda" and cuda_rng is not None:
            torch.cuda.set_rng_state(cuda_rng, device)
    return state
