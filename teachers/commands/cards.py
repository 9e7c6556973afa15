"""Teacher cards and scores as text."""

from pathlib import Path
from typing import Any

COUNTS = frozenset({"images", "unreadable"})
LEFT_OUT = ("without_mask", "unknown_images", "unknown_classes")


def card_lines(card: Any, weights_path: Path) -> list[str]:
    """Describe a teacher (a `teachers.storage.TeacherCard`) in lines."""
    person = "" if card.person_classes is None else f", people are {', '.join(map(str, card.person_classes))}"
    lines = [
        f"{card.kind} teacher {card.architecture}, {card.classes} classes{person}: {weights_path}",
        f"  input    {card.preprocessing}",
        f"  source   {card.source}",
        f"  license  {card.license}",
        f"  sha256   {card.sha256}",
    ]
    for evaluation in card.evaluations:
        crops = ", 10 crops" if evaluation.crops == 10 else ""
        some = "" if evaluation.max_images is None else f", at most {evaluation.max_images} images"
        names = " + ".join(evaluation.data)
        lines.append(f"  scored   {names}{crops}, {evaluation.precision}{some}, {evaluation.date}")
        lines += [f"  {line}" for line in evaluation_lines(evaluation)]
    return lines


def evaluation_lines(evaluation: Any) -> list[str]:
    """Write the scores of a `teachers.storage.Evaluation`, and what was left out."""
    lines = score_lines(evaluation.scores)
    if evaluation.without_mask:
        lines.append(f"  left out  {evaluation.without_mask} images without a class map")
    if evaluation.unknown_images:
        names = ", ".join(evaluation.unknown_classes)
        lines.append(f"  left out  {evaluation.unknown_images} images of classes that Places365 lacks: {names}")
    return lines


def score_lines(scores: dict[str, float]) -> list[str]:
    """Write each score on a line of its own."""
    return [f"  {name}  {value:.0f}" if name in COUNTS else f"  {name}  {value:.4f}" for name, value in scores.items()]
