"""Textured scenes behind the synthetic figures, each named as in Places365.

A scene is drawn once a clip: large shapes with Pillow, then grain at several scales. Layout and colours are random,
what is typical of the scene stays.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from manifests.synthetic.outfits import Rgb, shade


def draw_scene(scene: str, rng: np.random.Generator, *, height: int, width: int) -> np.ndarray:
    """Draw a scene (a name of ``spec.SCENES``): uint8 RGB [height, width, 3]."""
    image = Image.new("RGB", (width, height))
    grain = _PAINTERS[scene](_Brush(image, rng))
    rgb = np.asarray(image, np.float32)
    texture = grain * (_smooth_noise(rng, height, width, 9) + 0.7 * _smooth_noise(rng, height, width, 3))
    light = 1.0 + 0.12 * _smooth_noise(rng, height, width, 40)
    return ((rgb + texture[..., None]) * light[..., None] * rng.uniform(0.85, 1.1)).clip(0, 255).astype(np.uint8)


class _Brush:
    """Draws shapes whose coordinates are shares of the image's width and height."""

    def __init__(self, image: Image.Image, rng: np.random.Generator) -> None:
        self.rng = rng
        self.width, self.height = image.size
        self._draw = ImageDraw.Draw(image)

    def box(self, left: float, top: float, right: float, bottom: float, colour: Rgb) -> None:
        self._draw.rectangle((*self._at(left, top), *self._at(max(left, right), max(top, bottom))), fill=colour)

    def oval(self, x: float, y: float, half_width: float, half_height: float, colour: Rgb) -> None:
        self._draw.ellipse(
            (*self._at(x - half_width, y - half_height), *self._at(x + half_width, y + half_height)), fill=colour
        )

    def shape(self, points: list[tuple[float, float]], colour: Rgb) -> None:
        self._draw.polygon([self._at(x, y) for x, y in points], fill=colour)

    def fade(self, top: float, bottom: float, first: Rgb, last: Rgb) -> None:
        """Fill a horizontal band with a gradient."""
        start, end = int(top * self.height), max(int(top * self.height) + 1, int(bottom * self.height) + 1)
        for row in range(start, end):
            share = (row - start) / (end - start)
            red, green, blue = (int(a + (b - a) * share) for a, b in zip(first, last, strict=True))
            self._draw.line((0, row, self.width, row), fill=(red, green, blue))

    def tint(self, colour: Rgb, amount: int = 18) -> Rgb:
        """Return a colour near the given one."""
        red, green, blue = (int(np.clip(c + self.rng.integers(-amount, amount + 1), 0, 255)) for c in colour)
        return red, green, blue

    def uniform(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def _at(self, x: float, y: float) -> tuple[float, float]:
        return x * self.width, y * self.height


def _beach(brush: _Brush) -> float:
    horizon, shore = brush.uniform(0.3, 0.42), brush.uniform(0.55, 0.66)
    brush.fade(0, horizon, brush.tint((96, 160, 220)), brush.tint((196, 222, 240)))
    brush.oval(brush.uniform(0.1, 0.9), brush.uniform(0.06, 0.2), 0.04, 0.053, (255, 244, 200))
    brush.fade(horizon, shore, brush.tint((24, 92, 150)), brush.tint((70, 170, 180)))
    for _ in range(26):
        x, y = brush.uniform(0, 1), brush.uniform(horizon + 0.01, shore)
        brush.box(x, y, x + brush.uniform(0.03, 0.15), y + 0.006, brush.tint((150, 205, 215)))
    sand = brush.tint((222, 196, 146))
    brush.fade(shore, 1, shade(sand, 0.92), sand)
    for step in range(12):
        brush.oval(step / 11, shore, 0.07, brush.uniform(0.01, 0.03), (236, 242, 240))
    if brush.uniform(0, 1) < 0.7:
        x, y = brush.uniform(0.08, 0.92), brush.uniform(0.55, 0.68)
        brush.box(x - 0.006, y, x + 0.006, y + 0.25, (230, 230, 225))
        colour = brush.tint((205, 60, 55), 40)
        brush.shape(
            [(x - 0.14, y + 0.04), (x - 0.07, y - 0.03), (x, y - 0.055), (x + 0.07, y - 0.03), (x + 0.14, y + 0.04)],
            colour,
        )
        brush.shape([(x - 0.05, y + 0.04), (x, y - 0.055), (x + 0.05, y + 0.04)], (245, 240, 230))
    return 9.0


def _office(brush: _Brush) -> float:
    wall, floor = brush.tint((206, 204, 196)), brush.uniform(0.68, 0.78)
    brush.fade(0, floor, shade(wall, 1.03), shade(wall, 0.92))
    brush.fade(floor, 1, brush.tint((112, 116, 126)), brush.tint((84, 88, 98)))
    for step in range(3):
        x = (step + brush.uniform(0.2, 0.5)) / 3
        brush.shape([(x, 0.0), (x + 0.16, 0.0), (x + 0.13, 0.05), (x + 0.03, 0.05)], (250, 250, 244))
    left, top = brush.uniform(0.02, 0.5), 0.12
    brush.box(left, top, left + 0.42, 0.46, (236, 238, 238))
    brush.box(left + 0.01, top + 0.015, left + 0.41, 0.45, brush.tint((150, 186, 214)))
    for slat in range(9):
        brush.box(left, top + 0.037 * slat, left + 0.42, top + 0.037 * slat + 0.012, (226, 226, 220))
    shelf = 0.72 if left < 0.25 else 0.05
    brush.box(shelf, 0.16, shelf + 0.2, floor, brush.tint((126, 108, 92)))
    for row in range(4):
        x = shelf + 0.012
        while x < shelf + 0.17:
            thick = brush.uniform(0.012, 0.026)
            brush.box(x, 0.18 + 0.13 * row, x + thick, 0.275 + 0.13 * row, brush.tint((130, 120, 130), 90))
            x += thick + 0.003
    for x in (brush.uniform(-0.1, 0.15), brush.uniform(0.55, 0.75)):
        desk, colour = brush.uniform(0.6, 0.66), brush.tint((168, 136, 100))
        brush.box(x, desk, x + 0.4, desk + 0.035, colour)
        for leg in (x + 0.01, x + 0.37):
            brush.box(leg, desk + 0.03, leg + 0.02, 0.92, shade(colour, 0.6))
        brush.box(x + 0.12, desk - 0.17, x + 0.29, desk - 0.03, (28, 30, 34))
        brush.box(x + 0.13, desk - 0.158, x + 0.28, desk - 0.042, brush.tint((90, 130, 170), 40))
        brush.box(x + 0.19, desk - 0.03, x + 0.22, desk, (40, 42, 46))
    return 4.0


def _forest_path(brush: _Brush) -> float:
    ground = brush.uniform(0.5, 0.6)
    brush.fade(0, ground, brush.tint((120, 158, 96)), brush.tint((64, 98, 52)))
    for _ in range(80):
        size = brush.uniform(0.03, 0.09)
        brush.oval(brush.uniform(0, 1), brush.uniform(0, ground), size, size, brush.tint((62, 104, 46), 34))
    brush.fade(ground, 1, brush.tint((70, 100, 46)), brush.tint((92, 118, 52)))
    for _ in range(9):
        x, thick = brush.uniform(0, 1), brush.uniform(0.012, 0.04)
        colour = brush.tint((78, 58, 40))
        foot = ground + brush.uniform(0, 0.12)
        brush.shape([(x - thick, foot), (x - thick * 0.6, 0), (x + thick * 0.6, 0), (x + thick, foot)], colour)
        brush.shape(
            [(x - thick, foot), (x - thick * 0.6, 0), (x - thick * 0.2, 0), (x - thick * 0.4, foot)], shade(colour, 0.7)
        )
    end, path = brush.uniform(0.3, 0.7), brush.tint((150, 122, 86))
    brush.shape([(end - 0.04, ground), (end + 0.04, ground), (end + 0.42, 1), (end - 0.42, 1)], path)
    for _ in range(50):
        x, y = brush.uniform(0, 1), brush.uniform(ground, 1)
        brush.oval(x, y, 0.015, 0.01, brush.tint((96, 104, 50), 40))
    return 16.0


def _street(brush: _Brush) -> float:
    kerb = brush.uniform(0.58, 0.66)
    brush.fade(0, kerb, brush.tint((168, 188, 208)), brush.tint((208, 214, 216)))
    x = -0.05
    while x < 1:
        wide, top = brush.uniform(0.16, 0.3), brush.uniform(0.02, 0.28)
        wall = brush.tint((156, 118, 98), 46)
        brush.box(x, top, x + wide, kerb, wall)
        pane = brush.tint((64, 78, 96), 20)
        for row in range(int((kerb - top) / 0.11)):
            for column in range(max(1, int(wide / 0.07))):
                left, up = x + 0.02 + 0.07 * column, top + 0.03 + 0.11 * row
                if left + 0.04 < x + wide:
                    brush.box(left, up, left + 0.04, up + 0.065, pane)
        x += wide + 0.005
    brush.box(0, kerb, 1, kerb + 0.08, brush.tint((172, 170, 166)))
    brush.fade(kerb + 0.08, 1, (78, 80, 84), (58, 60, 64))
    for step in range(5):
        brush.box(0.24 * step, 0.86, 0.24 * step + 0.13, 0.885, (226, 222, 200))
    if brush.uniform(0, 1) < 0.8:
        x, colour = brush.uniform(0.05, 0.7), brush.tint((150, 60, 60), 90)
        brush.shape(
            [(x + 0.06, kerb - 0.04), (x + 0.1, kerb - 0.1), (x + 0.22, kerb - 0.1), (x + 0.27, kerb - 0.04)],
            shade(colour, 0.7),
        )
        brush.box(x, kerb - 0.045, x + 0.32, kerb + 0.04, colour)
        for wheel in (x + 0.07, x + 0.25):
            brush.oval(wheel, kerb + 0.04, 0.032, 0.042, (24, 24, 26))
    return 6.0


def _snowfield(brush: _Brush) -> float:
    ground = brush.uniform(0.48, 0.58)
    brush.fade(0, ground, brush.tint((150, 176, 208)), brush.tint((224, 230, 238)))
    for _ in range(4):
        x, peak, wide = brush.uniform(0, 1), brush.uniform(0.1, 0.32), brush.uniform(0.2, 0.36)
        brush.shape([(x - wide, ground), (x, peak), (x + wide, ground)], brush.tint((132, 146, 168)))
        share = 0.4
        brush.shape(
            [
                (x - wide * share, peak + (ground - peak) * share),
                (x, peak),
                (x + wide * share, peak + (ground - peak) * share),
            ],
            (240, 244, 248),
        )
    brush.fade(ground, 1, (222, 230, 240), (250, 250, 252))
    for _ in range(10):
        x, foot, tall = brush.uniform(0, 1), ground + brush.uniform(0, 0.1), brush.uniform(0.1, 0.2)
        for level in range(3):
            top, wide = foot - tall * (1 - level * 0.25), tall * (0.14 + 0.09 * level)
            brush.shape(
                [(x - wide, top + tall * 0.42), (x, top), (x + wide, top + tall * 0.42)], brush.tint((40, 66, 56), 12)
            )
    return 5.0


def _living_room(brush: _Brush) -> float:
    wall, floor = brush.tint((196, 160, 118), 30), brush.uniform(0.66, 0.74)
    brush.fade(0, floor, wall, shade(wall, 0.88))
    plank = brush.tint((128, 82, 50))
    brush.fade(floor, 1, shade(plank, 0.85), plank)
    for step in range(6):
        y = floor + (1 - floor) * (step / 6) ** 1.3
        brush.box(0, y, 1, y + 0.004, shade(plank, 0.65))
    brush.oval(0.5, 0.92, 0.42, 0.085, brush.tint((150, 52, 52), 40))
    left = brush.uniform(0.05, 0.6)
    brush.box(left, 0.1, left + 0.24, 0.36, (92, 64, 40))
    brush.box(left + 0.015, 0.12, left + 0.225, 0.34, brush.tint((120, 150, 140), 60))
    sofa, x = brush.tint((84, 96, 124), 50), brush.uniform(-0.05, 0.4)
    brush.box(x, 0.46, x + 0.55, 0.64, sofa)
    brush.box(x - 0.03, 0.6, x + 0.58, 0.76, shade(sofa, 0.8))
    for side in (x - 0.05, x + 0.55):
        brush.box(side, 0.53, side + 0.05, 0.77, shade(sofa, 0.7))
    for cushion in (x + 0.06, x + 0.36):
        brush.box(cushion, 0.5, cushion + 0.12, 0.61, brush.tint((200, 150, 70), 50))
    lamp = 0.9 if x < 0.2 else 0.08
    brush.box(lamp - 0.006, 0.3, lamp + 0.006, 0.8, (60, 50, 44))
    brush.shape([(lamp - 0.035, 0.2), (lamp + 0.035, 0.2), (lamp + 0.065, 0.32), (lamp - 0.065, 0.32)], (250, 226, 160))
    return 5.0


_PAINTERS: dict[str, Callable[[_Brush], float]] = {
    "beach": _beach,
    "office": _office,
    "forest_path": _forest_path,
    "street": _street,
    "snowfield": _snowfield,
    "living_room": _living_room,
}


def _smooth_noise(rng: np.random.Generator, height: int, width: int, cell_px: int) -> np.ndarray:
    """Draw noise that is smooth within cells of `cell_px` pixels: float32 [height, width] in -1..1."""
    cells = rng.integers(0, 256, (height // cell_px + 2, width // cell_px + 2), dtype=np.uint8)
    smooth = Image.fromarray(cells).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(smooth, np.float32) / 127.5 - 1.0
