"""A figure drawn from parts into a canvas of paints.

A canvas holds one small integer a pixel, its paint; a paint is a LIP part and a colour. Frame and part map are both
looked up from the same canvas, so that they agree in every pixel.
"""

from dataclasses import dataclass
from math import cos, pi, sin

import numpy as np
from PIL import Image, ImageDraw

from manifests.synthetic.motions import Pose
from manifests.synthetic.outfits import Colours, Outfit, Rgb, shade

Point = tuple[float, float]

# Lengths in body heights.
_UPPER_ARM, _FOREARM, _THIGH, _SHIN = 0.155, 0.145, 0.235, 0.225
_TRUNK, _NECK, _SHOULDER, _HIP = 0.285, 0.05, 0.105, 0.062


@dataclass(frozen=True, slots=True)
class Paint:
    """A LIP part id and its colour."""

    part: int
    colour: Rgb


@dataclass(frozen=True, slots=True)
class Figure:
    """A dressed figure and where it stands.

    Attributes:
        outfit, colours: what it wears.
        body_height: in canvas pixels.
        foot: canvas position (x, y) between the feet when it stands.
        girth: width of trunk and limbs, about 1.
    """

    outfit: Outfit
    colours: Colours
    body_height: float
    foot: Point
    girth: float


class FigurePainter:
    """Draws one figure, pose after pose; its paints are numbered from 1, 0 is "nothing drawn"."""

    def __init__(self, figure: Figure) -> None:
        self.figure = figure
        self.paints: list[Paint] = []
        self._number_of_paint: dict[Paint, int] = {}

    def paint(self, pose: Pose, *, canvas_height: int, canvas_width: int) -> np.ndarray:
        """Draw a pose: uint8 [canvas_height, canvas_width] of paint numbers."""
        image = Image.new("L", (canvas_width, canvas_height))
        self._draw = ImageDraw.Draw(image)
        self._draw_figure(pose)
        return np.asarray(image)

    def tables(self) -> tuple[np.ndarray, np.ndarray]:
        """Return what the numbers used so far mean: parts uint8 [256] and colours uint8 [256, 3]."""
        parts = np.zeros(256, np.uint8)
        colours = np.zeros((256, 3), np.uint8)
        for number, paint in enumerate(self.paints, start=1):
            parts[number] = paint.part
            colours[number] = paint.colour
        return parts, colours

    def _draw_figure(self, pose: Pose) -> None:
        figure, outfit, colours = self.figure, self.figure.outfit, self.figure.colours
        unit = figure.body_height
        # The lower of the two feet stands on the ground.
        reach = max(_THIGH * cos(thigh) + _SHIN * cos(shin) for thigh, shin in (pose.left_leg, pose.right_leg))
        pelvis = (figure.foot[0] + pose.shift * unit, figure.foot[1] - (reach + 0.035 - pose.drop) * unit)
        neck = (pelvis[0] + _TRUNK * unit * sin(pose.lean), pelvis[1] - _TRUNK * unit * cos(pose.lean))
        head = (neck[0] + _NECK * unit * sin(pose.lean), neck[1] - (_NECK + 0.065) * unit)
        if outfit.long_hair:
            self._ellipse((head[0], head[1] + 0.035 * unit), 0.072 * unit, 0.125 * unit, 2, shade(colours.hair, 0.85))
        for side, leg in ((-1, pose.right_leg), (1, pose.left_leg)):
            self._draw_leg(side, leg, pelvis)
        self._draw_trunk(pelvis, neck)
        self._draw_head(head, neck)
        for side, arm in ((-1, pose.right_arm), (1, pose.left_arm)):
            self._draw_arm(side, arm, neck)

    def _draw_leg(self, side: int, angles: tuple[float, float], pelvis: Point) -> None:
        outfit, colours, unit = self.figure.outfit, self.figure.colours, self.figure.body_height
        width = 0.042 * unit * self.figure.girth
        hip = (pelvis[0] + side * _HIP * unit * self.figure.girth, pelvis[1])
        knee = _along(hip, side * angles[0], _THIGH * unit)
        ankle = _along(knee, side * angles[1], _SHIN * unit)
        skin_part = 16 if side > 0 else 17
        tone = shade(colours.skin, 1.0 if side > 0 else 0.93)
        self._limb(hip, knee, width, width * 0.8, skin_part, tone)
        self._limb(knee, ankle, width * 0.8, width * 0.55, skin_part, tone)
        if outfit.socks:
            self._limb(_between(knee, ankle, 0.55), ankle, width * 0.75, width * 0.65, 8, colours.socks)
        if outfit.legwear in (9, 10):
            colour = colours.torso if outfit.legwear == 10 else colours.legwear
            self._sleeve(
                hip,
                knee,
                ankle,
                outfit.leg_cover,
                width * 1.18,
                outfit.legwear,
                shade(colour, 1.0 if side > 0 else 0.88),
            )
        toe = (ankle[0] + side * 0.035 * unit, ankle[1] + 0.012 * unit)
        heel = (ankle[0] - side * 0.012 * unit, ankle[1] + 0.008 * unit)
        self._limb(heel, toe, width * 0.72, width * 0.5, 18 if side > 0 else 19, colours.shoes)

    def _draw_trunk(self, pelvis: Point, neck: Point) -> None:
        outfit, colours, unit, girth = (
            self.figure.outfit,
            self.figure.colours,
            self.figure.body_height,
            self.figure.girth,
        )
        shoulder, waist, hip = _SHOULDER * unit * girth, 0.078 * unit * girth, 0.098 * unit * girth
        middle = _between(neck, pelvis, 0.6)
        top = (neck[0], neck[1] + 0.005 * unit)
        low = (pelvis[0], pelvis[1] + 0.03 * unit)
        if outfit.legwear in (6, 12):
            colour = colours.torso if outfit.legwear == 6 else colours.legwear
            hem = (pelvis[0], pelvis[1] + outfit.leg_cover * _THIGH * unit)
            self._polygon(_trapezoid(middle, hem, waist, hip * 1.45), outfit.legwear, colour)
            self._polygon(
                _trapezoid(_between(middle, hem, 0.88), hem, hip * 1.38, hip * 1.45), outfit.legwear, shade(colour, 0.8)
            )
        elif outfit.legwear == 9:
            self._polygon(_trapezoid(middle, low, waist, hip), 9, colours.legwear)
        bottom = {5: _between(middle, low, 0.55), 7: (low[0], low[1] + 0.12 * unit)}.get(outfit.torso, low)
        if outfit.torso == 6:
            bottom = middle
        trunk = [
            (top[0] - shoulder * 0.55, top[1] - 0.004 * unit),
            (top[0] + shoulder * 0.55, top[1] - 0.004 * unit),
            (top[0] + shoulder, top[1] + 0.035 * unit),
            (middle[0] + waist, middle[1]),
            (bottom[0] + hip, bottom[1]),
            (bottom[0] - hip, bottom[1]),
            (middle[0] - waist, middle[1]),
            (top[0] - shoulder, top[1] + 0.035 * unit),
        ]
        self._polygon(trunk, outfit.torso, colours.torso)
        for share in (0.3, 0.6):
            upper, lower = _between(top, middle, share), _between(top, middle, share + 0.14)
            self._polygon(_trapezoid(upper, lower, waist * 0.95, waist * 0.95), outfit.torso, colours.stripe)
        if outfit.inner:
            self._polygon(_trapezoid(top, _between(middle, low, 0.8), shoulder * 0.3, waist * 0.32), 5, colours.inner)

    def _draw_head(self, head: Point, neck: Point) -> None:
        outfit, colours, unit = self.figure.outfit, self.figure.colours, self.figure.body_height
        x, y = head
        self._limb((x, y + 0.04 * unit), neck, 0.024 * unit, 0.028 * unit, 13, shade(colours.skin, 0.88))
        self._ellipse((x, y - 0.008 * unit), 0.056 * unit, 0.07 * unit, 2, colours.hair)
        self._ellipse((x, y + 0.012 * unit), 0.046 * unit, 0.056 * unit, 13, colours.skin)
        for side in (-1, 1):
            eye = (x + side * 0.018 * unit, y + 0.003 * unit)
            if outfit.sunglasses:
                self._ellipse(eye, 0.019 * unit, 0.014 * unit, 4, (22, 22, 30))
            else:
                self._ellipse(eye, 0.006 * unit, 0.006 * unit, 13, (40, 30, 30))
        self._polygon(
            _trapezoid((x, y + 0.036 * unit), (x, y + 0.043 * unit), 0.016 * unit, 0.012 * unit), 13, (160, 70, 70)
        )
        if outfit.hat:
            crown = [
                (x + 0.058 * unit * cos(pi * step / 8), y - 0.022 * unit - 0.07 * unit * sin(pi * step / 8))
                for step in range(9)
            ]
            self._polygon(crown, 1, colours.hat)
            self._polygon(
                _trapezoid((x, y - 0.032 * unit), (x, y - 0.015 * unit), 0.075 * unit, 0.08 * unit),
                1,
                shade(colours.hat, 0.75),
            )
        if outfit.scarf:
            self._ellipse((neck[0], neck[1] - 0.006 * unit), 0.062 * unit, 0.028 * unit, 11, colours.scarf)
            self._polygon(
                _trapezoid(neck, (neck[0] + 0.03 * unit, neck[1] + 0.15 * unit), 0.022 * unit, 0.026 * unit),
                11,
                shade(colours.scarf, 0.85),
            )

    def _draw_arm(self, side: int, angles: tuple[float, float], neck: Point) -> None:
        outfit, colours, unit = self.figure.outfit, self.figure.colours, self.figure.body_height
        width = 0.029 * unit * self.figure.girth
        shoulder = (neck[0] + side * _SHOULDER * 0.9 * unit * self.figure.girth, neck[1] + 0.028 * unit)
        elbow = _along(shoulder, side * angles[0], _UPPER_ARM * unit)
        wrist = _along(elbow, side * angles[1], _FOREARM * unit)
        hand = _along(wrist, side * angles[1], 0.03 * unit)
        part = 14 if side > 0 else 15
        tone = shade(colours.skin, 1.0 if side > 0 else 0.93)
        self._limb(shoulder, elbow, width, width * 0.85, part, tone)
        self._limb(elbow, wrist, width * 0.85, width * 0.65, part, tone)
        self._limb(wrist, hand, width * 0.75, width * 0.7, part, tone)
        if outfit.gloves:
            self._limb(_between(elbow, wrist, 0.85), hand, width * 0.85, width * 0.9, 3, colours.gloves)
        if outfit.sleeve > 0:
            self._sleeve(shoulder, elbow, wrist, outfit.sleeve, width * 1.25, outfit.torso, shade(colours.torso, 0.85))

    def _sleeve(
        self, start: Point, joint: Point, end: Point, cover: float, width: float, part: int, colour: Rgb
    ) -> None:
        """Cover a two-piece limb from `start` on; `cover` counts pieces, 0 to 2."""
        self._limb(start, _between(start, joint, min(1.0, cover)), width, width * 0.92, part, colour)
        if cover > 1:
            self._limb(joint, _between(joint, end, cover - 1), width * 0.92, width * 0.8, part, colour)

    def _limb(self, start: Point, end: Point, start_width: float, end_width: float, part: int, colour: Rgb) -> None:
        self._polygon(_trapezoid(start, end, start_width, end_width), part, colour)
        self._ellipse(start, start_width, start_width, part, colour)
        self._ellipse(end, end_width, end_width, part, colour)

    def _polygon(self, points: list[Point], part: int, colour: Rgb) -> None:
        self._draw.polygon(points, fill=self._number(part, colour))

    def _ellipse(self, centre: Point, half_width: float, half_height: float, part: int, colour: Rgb) -> None:
        (x, y), w, h = centre, half_width, half_height
        self._draw.ellipse((x - w, y - h, x + w, y + h), fill=self._number(part, colour))

    def _number(self, part: int, colour: Rgb) -> int:
        paint = Paint(part, colour)
        if paint not in self._number_of_paint:
            self.paints.append(paint)
            self._number_of_paint[paint] = len(self.paints)
        return self._number_of_paint[paint]


def _along(start: Point, angle: float, length: float) -> Point:
    """Go `length` from `start`; angle 0 is down, positive to the right."""
    return start[0] + length * sin(angle), start[1] + length * cos(angle)


def _between(start: Point, end: Point, share: float) -> Point:
    return start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share


def _trapezoid(start: Point, end: Point, start_width: float, end_width: float) -> list[Point]:
    """Return the corners of a tapered bar; widths are half widths."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = (dx * dx + dy * dy) ** 0.5 or 1.0
    nx, ny = -dy / length, dx / length
    return [
        (start[0] + nx * start_width, start[1] + ny * start_width),
        (start[0] - nx * start_width, start[1] - ny * start_width),
        (end[0] - nx * end_width, end[1] - ny * end_width),
        (end[0] + nx * end_width, end[1] + ny * end_width),
    ]
