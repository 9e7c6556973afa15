"""Which stage holds a labelling run up, from the seconds in its receipts."""

from collections.abc import Mapping
from dataclasses import dataclass

# A stage that takes at least half of the workers' time bounds the speed; below that no single remedy helps much.
BOUNDING_SHARE = 0.5

# Waiting for one decoder, while the worker's others stood still, is waiting for decoding too, with another remedy.
_WAIT, _ALONE = "decode_wait", "decode_alone"

# What each stage's time means when it is most of the run, and what to do about it.
_VERDICTS = {
    "decode_wait": "teachers wait for decoding {share} of the time: add CPUs and --decoders, or pre-resize the videos",
    "decode_alone": "teachers wait for decoding {share} of the time, mostly for one long video at a time, which takes "
    "one processor: use more workers (on a GPU --gpus-per-worker 0.5), or cut the videos",
    "teachers": "decoding waits for the teachers {share} of the time: add GPUs, or lighter teachers",
    "flow": "decoding waits for the flow {share} of the time: add CPUs, or take a faster --method",
    "write": "writing takes {share} of the time: use --compression zstd, or a faster disk",
}


@dataclass(frozen=True)
class Bottleneck:
    """What bounds the speed.

    Attributes:
        stage: a stage of `Receipt.stage_seconds`, or "balanced" where none takes half of the time.
        share: of the workers' time, 0 to 1; of the largest stage where it is balanced.
        text: the verdict in one line, with its figure.
    """

    stage: str
    share: float
    text: str


def find_bottleneck(seconds: float, stage_seconds: Mapping[str, float]) -> Bottleneck | None:
    """Judge where the workers' time went; None where nothing was timed.

    Args:
        seconds: of all shards, as in their receipts.
        stage_seconds: of all shards, by stage. The stages are parts of the one thread that passes frames on, so they
            sum to no more than `seconds`; stages without a remedy here are left out of the judgement.
    """
    shares = {stage: stage_seconds[stage] / seconds for stage in _VERDICTS if stage_seconds.get(stage) and seconds > 0}
    if not shares:
        return None
    alone = shares.pop(_ALONE, 0.0)
    is_alone = alone > shares.get(_WAIT, 0.0)
    if alone:
        shares[_WAIT] = shares.get(_WAIT, 0.0) + alone
    stage = max(shares, key=lambda name: shares[name])
    share = shares[stage]
    if share >= BOUNDING_SHARE:
        stage = _ALONE if stage == _WAIT and is_alone else stage
        return Bottleneck(stage, share, _VERDICTS[stage].format(share=f"{share:.0%}"))
    parts = ", ".join(f"{name} {part:.0%}" for name, part in sorted(shares.items(), key=lambda item: -item[1]))
    return Bottleneck("balanced", share, f"balanced, no stage takes half of the time ({parts})")
