"""Teacher cards and scores as text."""

from pathlib import Path
from typing import Any

COUNTS = frozenset({"images", "unreadable"})


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
        lines.append(f"  scored   {' + '.join(evaluation.data)}{crops}, {evaluation.date}")
        lines += [f"  {line}" for line in score_lines(evaluation.scores)]
    if card.scores and not card.evaluations:
        lines += score_lines(card.scores)
    return lines


def score_lines(scores: dict[str, float]) -> list[str]:
    """Write each score on a line of its own."""
    return [f"  {name}  {value:.0f}" if name in COUNTS else f"  {name}  {value:.4f}" for name, value in scores.items()]
