"""Does a training step of KINet cost what its arithmetic says? FLOPs and time of a step, KINet over TSN, in one run.

    python benchmarks/bench_step.py                      # ResNet-50 at 112 x 112, four clips, one thread
    python benchmarks/bench_step.py --input-size 224 --clips 8

The optimiser's part does not depend on the batch and counts most in small ones: a recipe's micro-batch has 32 clips.

Goal: the ratio of step times is at most 1.1 times the ratio of FLOPs. Steps of the two networks alternate and each
ratio is of neighbours, so that the machine's mood counts for both; on a CPU, processor time is taken, which other
programs disturb less than the clock.
"""

import argparse
import statistics
import time

import torch
from torch.optim import SGD
from torch.utils.flop_counter import FlopCounterMode

from student.build import Student, build_student
from student.losses import JointTargets, joint_loss
from student.parameters import parameter_groups

GOAL = 1.1
NUM_CLASSES = 400
NUM_SEGMENTS = 3
# Hardly any: who learns one batch by heart has gradients so small that processors multiply them slowly.
LEARNING_RATE = 1e-6


def make_batch(num_clips: int, input_size: int, device: torch.device) -> tuple[torch.Tensor, JointTargets]:
    """Make frames and full labels; what they show does not matter to the time."""
    shape = (num_clips, NUM_SEGMENTS)
    frames = torch.randn(*shape, 3, input_size, input_size, device=device)
    targets = JointTargets(
        action=torch.zeros(num_clips, dtype=torch.int64, device=device),
        masks=torch.ones(*shape, input_size, input_size, dtype=torch.bool, device=device),
        scene=torch.zeros(shape, dtype=torch.int64, device=device),
        has_label=torch.ones(shape, dtype=torch.bool, device=device),
    )
    return frames, targets


def train_step(model: Student, optimizer: SGD, frames: torch.Tensor, targets: JointTargets) -> None:
    """Do what one step of a run does after reading."""
    optimizer.zero_grad(set_to_none=True)
    joint_loss(model(frames), targets).total.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 40.0)
    optimizer.step()


def time_step(model: Student, optimizer: SGD, frames: torch.Tensor, targets: JointTargets) -> float:
    """Return a step's seconds: of the processor on a CPU, of the clock on a GPU."""
    on_gpu = frames.device.type == "cuda"
    clock = time.perf_counter if on_gpu else time.process_time
    started = clock()
    train_step(model, optimizer, frames, targets)
    if on_gpu:
        torch.cuda.synchronize()
    return clock() - started


def count_step_flops(model: Student, frames: torch.Tensor, targets: JointTargets) -> int:
    """Count a step's FLOPs, forward and backward."""
    with FlopCounterMode(display=False) as counter:
        joint_loss(model(frames), targets).total.backward()
    return int(counter.get_total_flops())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="resnet50")
    parser.add_argument("--input-size", type=int, default=112)
    parser.add_argument("--clips", type=int, default=4)
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    frames, targets = make_batch(arguments.clips, arguments.input_size, device)

    models, optimizers, flops = {}, {}, {}
    for name in ("tsn", "kinet"):
        model = build_student(model=name, backbone=arguments.backbone, num_classes=NUM_CLASSES).to(device).train()
        models[name] = model
        optimizers[name] = SGD(parameter_groups(model, LEARNING_RATE, 1e-5), momentum=0.9, fused=True)
        flops[name] = count_step_flops(model, frames, targets)  # also the first, slower step

    seconds: dict[str, list[float]] = {"tsn": [], "kinet": []}
    for _ in range(arguments.steps):
        for name, times in seconds.items():
            times.append(time_step(models[name], optimizers[name], frames, targets))

    print(f"{arguments.backbone}, {arguments.clips} clips of {NUM_SEGMENTS} frames of {arguments.input_size}, {device}")
    for name, times in seconds.items():
        print(f"{name:6} {flops[name] / 1e9:8.1f} GFLOPs {statistics.median(times):8.3f} s a step (median)")
    flop_ratio = flops["kinet"] / flops["tsn"]
    ratios = [kinet / tsn for tsn, kinet in zip(seconds["tsn"], seconds["kinet"], strict=True)]
    time_ratio = statistics.median(ratios)
    print(f"ratio of FLOPs {flop_ratio:.3f}, of times {time_ratio:.3f} ({min(ratios):.3f} to {max(ratios):.3f})")
    verdict = "reached" if time_ratio <= GOAL * flop_ratio else "missed"
    print(f"time over FLOPs {time_ratio / flop_ratio:.3f}; goal {GOAL}: {verdict}")


if __name__ == "__main__":
    main()
