"""Does evaluating 250 views of a video cost more than running the backbone once for each image?

    python benchmarks/bench_views.py                         # KINet-ResNet50 at 64 x 64, one thread
    python benchmarks/bench_views.py --input-size 224 --backbone resnet18

25 frames x 10 crops are 250 images; the graph runs for 23 windows a crop. Goal: the whole costs at most 1.05 times the
network's own time over these images (trunk, branches, CBI, pooling). Whole and bare passes alternate; on a CPU it is
processor time, which other programs disturb less than the clock.
"""

import argparse
import statistics
import time

import torch

from student.build import Student, build_student
from student.evaluation import Views, score_clip
from student.normalisation import normalise
from student.transforms import cut_crop, evaluation_boxes

GOAL = 1.05


@torch.inference_mode()
def run_bare(model: Student, frames: torch.Tensor, views: Views) -> None:
    """Run the network over all images, and nothing else: no cutting, no normalising, no windows."""
    boxes = evaluation_boxes(*frames.shape[-2:], views.input_size, views.num_crops)
    images = normalise(cut_crop(frames, boxes[0]), model.normalisation)
    for _ in boxes:
        model.extract_features(images)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="resnet50")
    parser.add_argument("--input-size", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    model = build_student(model="kinet", backbone=arguments.backbone, num_classes=400).to(device).eval()
    views = Views(input_size=arguments.input_size)
    height, width = round(arguments.input_size * 256 / 224), round(arguments.input_size * 340 / 224)
    frames = torch.randint(0, 256, (views.num_segments, 3, height, width), dtype=torch.uint8, device=device)

    def measure(whole: bool) -> float:
        started = clock()
        if whole:
            score_clip(model, frames, views)
        else:
            run_bare(model, frames, views)
        if device.type == "cuda":
            torch.cuda.synchronize()
        return clock() - started

    measure(whole=True)
    pairs = [(measure(whole=False), measure(whole=True)) for _ in range(arguments.repeats)]
    bare, whole = (statistics.median(times) for times in zip(*pairs, strict=True))
    ratio = statistics.median(whole / bare for bare, whole in pairs)
    print(f"KINet on {arguments.backbone}, 250 images of {arguments.input_size}, {device}")
    print(f"network alone {bare:.2f} s, 250 views scored {whole:.2f} s a video")
    print(f"ratio {ratio:.3f}; goal {GOAL}: {'reached' if ratio <= GOAL else 'missed'}")


if __name__ == "__main__":
    main()
