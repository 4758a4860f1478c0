"""Draw the chapters' diagrams: python notebooks/diagrams.py writes them into notebooks/pictures/.

Each diagram is a list of shapes, drawn twice: as SVG, and as PNG for places that show no SVG. Both come in a light and a
dark version, each on its own background, so that they stay readable on any page. Coordinates are pixels of the SVG.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

FOLDER = Path(__file__).parent / "pictures"
# Blue and orange of Okabe and Ito, which colour-blind readers can tell apart; lighter ones on dark.
THEMES = {
    "light": {
        "page": "#ffffff",
        "ink": "#1b1f24",
        "box": "#eef1f4",
        "blue": "#0067a3",
        "orange": "#b84f00",
    },
    "dark": {
        "page": "#15191e",
        "ink": "#e8ecf0",
        "box": "#2a3038",
        "blue": "#6cc1f5",
        "orange": "#ffa24d",
    },
}


@dataclass(frozen=True)
class Box:
    """A rounded rectangle with lines of text in its middle, the first one bold if `strong`."""

    x: float
    y: float
    width: float
    height: float
    lines: tuple[str, ...]
    edge: str = "ink"
    strong: bool = False


@dataclass(frozen=True)
class Arrow:
    """A line through points (x, y), with its head at the last. Gradients are thick and dashed."""

    points: tuple[tuple[float, float], ...]
    colour: str = "ink"
    gradient: bool = False


@dataclass(frozen=True)
class Text:
    """Lines of text from (x, y) on, the baseline of the first; `anchor` is start, middle or end."""

    x: float
    y: float
    lines: tuple[str, ...]
    colour: str = "ink"
    anchor: str = "start"
    bold: bool = False


@dataclass(frozen=True)
class Pixels:
    """A small picture as squares of `cell` pixels, each a level from 0 (black) to 1 (white)."""

    x: float
    y: float
    cell: float
    levels: tuple[tuple[float, ...], ...]

    def squares(self) -> list[tuple[float, float, str]]:
        """Left, top and colour of each square."""
        return [
            (self.x + column * self.cell, self.y + row * self.cell, tint(level))
            for row, levels in enumerate(self.levels)
            for column, level in enumerate(levels)
        ]


@dataclass(frozen=True)
class Outline:
    """The edge of a rectangle, thick and in colour."""

    x: float
    y: float
    width: float
    height: float
    colour: str = "ink"


def tint(level: float) -> str:
    """A level from 0 (black) to 1 (white) as a colour."""
    grey = round(255 * min(max(level, 0), 1))
    return f"#{grey:02x}{grey:02x}{grey:02x}"


@dataclass(frozen=True)
class Diagram:
    """Shapes on a page. `title` describes the diagram to those who cannot see it."""

    title: str
    width: int
    height: int
    shapes: tuple[Box | Arrow | Text | Pixels | Outline, ...]
    size: int = 20  # Of the text.

    def texts(self) -> list[Text]:
        """All text, with that of the boxes."""
        found = [shape for shape in self.shapes if isinstance(shape, Text)]
        for box in (shape for shape in self.shapes if isinstance(shape, Box)):
            x = box.x + box.width / 2
            step = 1.25 * self.size
            y = box.y + box.height / 2 - step * (len(box.lines) - 1) / 2
            for i, line in enumerate(box.lines):
                bold = box.strong and i == 0
                baseline = y + i * step + 0.36 * self.size
                found.append(Text(x, baseline, (line,), "ink", "middle", bold))
        return found

    def svg(self, theme: str) -> str:
        """The diagram as an SVG document."""
        colours = THEMES[theme]
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}"'
            f' width="{self.width}" height="{self.height}" role="img" aria-labelledby="title"'
            f' font-family="DejaVu Sans, Verdana, sans-serif" font-size="{self.size}">',
            f'<title id="title">{escape(self.title)}</title>',
            f'<rect width="100%" height="100%" rx="12" fill="{colours["page"]}"/>',
        ]
        for shape in self.shapes:
            if isinstance(shape, Box):
                parts.append(
                    f'<rect x="{shape.x}" y="{shape.y}" width="{shape.width}" height="{shape.height}"'
                    f' rx="10" fill="{colours["box"]}" stroke="{colours[shape.edge]}" stroke-width="2.5"/>'
                )
            elif isinstance(shape, Pixels):
                for x, y, colour in shape.squares():
                    parts.append(
                        f'<rect x="{x:g}" y="{y:g}" width="{shape.cell:g}" height="{shape.cell:g}"'
                        f' fill="{colour}" stroke="#808080" stroke-width="1"/>'
                    )
            elif isinstance(shape, Outline):
                parts.append(
                    f'<rect x="{shape.x:g}" y="{shape.y:g}" width="{shape.width:g}" height="{shape.height:g}"'
                    f' fill="none" stroke="{colours[shape.colour]}" stroke-width="5"/>'
                )
        for shape in self.shapes:
            if isinstance(shape, Arrow):
                path = " ".join(f"{x},{y}" for x, y in shape.points)
                width, dash = (
                    (5, ' stroke-dasharray="12 5"') if shape.gradient else (2.5, "")
                )
                colour = colours[shape.colour]
                parts.append(
                    f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"{dash}/>'
                )
                corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in head(shape))
                parts.append(f'<polygon points="{corners}" fill="{colour}"/>')
        for text in self.texts():
            weight = ' font-weight="bold"' if text.bold else ""
            for i, line in enumerate(text.lines):
                y = text.y + 1.25 * self.size * i
                parts.append(
                    f'<text x="{text.x:g}" y="{y:g}" text-anchor="{text.anchor}"'
                    f' fill="{colours[text.colour]}"{weight}>{escape(line)}</text>'
                )
        return "\n".join([*parts, "</svg>\n"])

    def png(self, theme: str, scale: int = 2) -> bytes:
        """The diagram as a PNG, `scale` times as large."""
        colours = THEMES[theme]
        figure = Figure(
            figsize=(self.width / 100, self.height / 100), facecolor=colours["page"]
        )
        FigureCanvasAgg(figure)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, self.width), ylim=(self.height, 0))
        axes.axis("off")
        point = 0.72  # Points in a pixel, at 100 pixels an inch.
        for shape in self.shapes:
            if isinstance(shape, Box):
                style = dict(facecolor=colours["box"], edgecolor=colours[shape.edge])
                corner = (shape.x + 10, shape.y + 10)
                box = FancyBboxPatch(
                    corner,
                    shape.width - 20,
                    shape.height - 20,
                    "round,pad=10",
                    linewidth=2.5 * point,
                    **style,
                )
                axes.add_patch(box)
            elif isinstance(shape, Pixels):
                for x, y, colour in shape.squares():
                    corner, style = (x, y), dict(facecolor=colour, edgecolor="#808080")
                    axes.add_patch(
                        Rectangle(
                            corner, shape.cell, shape.cell, linewidth=point, **style
                        )
                    )
            elif isinstance(shape, Outline):
                style = dict(fill=False, edgecolor=colours[shape.colour])
                corner = (shape.x, shape.y)
                axes.add_patch(
                    Rectangle(
                        corner, shape.width, shape.height, linewidth=5 * point, **style
                    )
                )
            elif isinstance(shape, Arrow):
                colour = colours[shape.colour]
                width, dash = (5, (0, (2.4, 1))) if shape.gradient else (2.5, "-")
                axes.plot(
                    *zip(*shape.points, strict=True),
                    color=colour,
                    linewidth=width * point,
                    linestyle=dash,
                )
                axes.fill(*zip(*head(shape), strict=True), color=colour, linewidth=0)
        sides = {"start": "left", "middle": "center", "end": "right"}
        for text in self.texts():
            for i, line in enumerate(text.lines):
                axes.text(
                    text.x,
                    text.y + 1.25 * self.size * i,
                    line,
                    color=colours[text.colour],
                    fontsize=self.size * point,
                    ha=sides[text.anchor],
                    va="baseline",
                    weight="bold" if text.bold else "normal",
                )
        file = io.BytesIO()
        figure.savefig(file, dpi=100 * scale, metadata={"Software": None})
        return file.getvalue()


def head(arrow: Arrow) -> list[tuple[float, float]]:
    """The corners of an arrow's head, whose tip is a little ahead of the last point."""
    (x0, y0), (x1, y1) = arrow.points[-2:]
    length = ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5
    x, y = (x1 - x0) / length, (y1 - y0) / length
    long, half = (15, 11) if arrow.gradient else (12, 7)
    return [
        (x1 + long * x, y1 + long * y),
        (x1 - half * y, y1 + half * x),
        (x1 + half * y, y1 - half * x),
    ]


TWO_PLAYERS = Diagram(
    title=(
        "Noise enters the generator, which makes fakes. Fakes and real data enter the discriminator, which says real or"
        " fake. The discriminator's gradient, blue, goes from the verdict back to the discriminator. The generator's"
        " gradient, orange, goes from the verdict back through the discriminator and the fakes to the generator."
    ),
    width=600,
    height=520,
    shapes=(
        Box(16, 40, 104, 80, ("noise", "z")),
        Box(170, 30, 180, 100, ("Generator G", "the forger"), "orange", True),
        Box(436, 40, 148, 80, ("fakes", "G(z)")),
        Box(16, 228, 148, 80, ("real data", "x")),
        Box(304, 218, 280, 100, ("Discriminator D", "the detective"), "blue", True),
        Box(364, 422, 220, 80, ("verdict D( · )", "real or fake?")),
        Arrow(((120, 80), (156, 80))),
        Arrow(((350, 62), (422, 62))),
        Arrow(((474, 120), (474, 204))),
        Arrow(((164, 268), (290, 268))),
        Arrow(((474, 318), (474, 408))),
        Arrow(((404, 422), (404, 335)), "blue", True),
        Arrow(((544, 422), (544, 137)), "orange", True),  # Through the discriminator.
        Arrow(((436, 102), (367, 102)), "orange", True),
        Text(
            170, 160, ("G's gradient runs back", "through D, changes only G"), "orange"
        ),
        Text(384, 364, ("D's gradient", "changes only D"), "blue", "end"),
        Text(16, 442, ("solid: forward",)),
        Text(16, 472, ("dashed: gradients,", "going back")),
    ),
)


def picks(x: float, y: float, asked: int) -> tuple[Box, ...]:
    """A row of ten outputs, the asked one marked."""
    return tuple(
        Box(
            x + 34 * i,
            y,
            30,
            40,
            (str(i),),
            "orange" if i == asked else "ink",
            i == asked,
        )
        for i in range(10)
    )


CONDITIONAL_PLAYERS = Diagram(
    title=(
        "Noise and a label, here seven, enter the generator, which makes a fake seven. The discriminator takes the fake,"
        " or a real image with the same label, and gives ten logits, one per digit. The label picks the logit of seven,"
        " which is the verdict: a real seven or not?"
    ),
    width=600,
    height=560,
    shapes=(
        Box(16, 30, 130, 70, ("noise z",)),
        Box(16, 140, 130, 80, ("label y", "seven"), "orange", True),
        Box(16, 280, 150, 80, ("real image x", "with label y")),
        Box(206, 60, 178, 100, ("Generator G", "the forger"), "ink", True),
        Box(440, 70, 144, 80, ("fake seven", "G(z | y)")),
        Box(250, 275, 334, 90, ("Discriminator D", "one logit per class"), "ink", True),
        *picks(248, 412, 7),
        Box(306, 496, 278, 52, ("a real seven or not?",)),
        Arrow(((146, 65), (170, 65), (170, 95), (192, 95))),
        Arrow(((146, 165), (176, 165), (176, 130), (192, 130)), "orange"),
        Arrow(((384, 110), (426, 110))),
        Arrow(((512, 150), (512, 261))),
        Arrow(((166, 320), (236, 320))),
        Arrow(((417, 365), (417, 398))),
        Arrow(((81, 220), (81, 250), (206, 250), (206, 432), (234, 432)), "orange"),
        Arrow(((501, 452), (501, 482)), "orange"),
        Text(20, 420, ("The label picks", "the logit that", "counts."), "orange"),
    ),
)


def u_net() -> tuple[Box | Arrow | Text, ...]:
    """The shapes of the U-Net's diagram: a level a row, the way down on the left and the way up on the right."""
    sizes = ("64 x 64", "32 x 32", "16 x 16", "8 x 8")
    ways = (
        ("sketch, 3", "32", "64", "128"),
        ("creature, 3", "32", "64", "128"),
    )
    shapes: list[Box | Arrow | Text] = []
    for level, size in enumerate(sizes):
        y, inward = 24 + 112 * level, 24 * level
        for x, last in ((16 + inward, ways[0][level]), (414 - inward, ways[1][level])):
            edge = "ink" if level else "blue"
            shapes.append(Box(x, y, 170, 68, (size, last), edge, level == 0))
        shapes.append(Arrow(((186 + inward, y + 34), (400 - inward, y + 34)), "orange"))
        x, below = 101 + inward, y + 112
        shapes.append(Arrow(((x + 12, y + 68), (x + 12, below - 14))))
        shapes.append(Arrow(((600 - x - 12, below), (600 - x - 12, y + 82))))
    shapes.append(Box(172, 472, 256, 68, ("4 x 4", "128 channels")))
    shapes.append(Text(300, 48, ("skip",), "orange", "middle"))
    shapes.append(Text(20, 500, ("down: half the", "side at a time")))
    shapes.append(Text(580, 500, ("up: twice the", "side at a time"), anchor="end"))
    return tuple(shapes)


U_NET = Diagram(
    title=(
        "A U: on the left, the sketch of 64 by 64 pixels is halved to 32, 16, 8 and 4, with 32, 64, 128 and 128 channels."
        " On the right, it is doubled again up to the creature of 64 by 64 pixels. On each level, an orange arrow leads"
        " straight from the left side to the right one: the skip connections."
    ),
    width=600,
    height=560,
    shapes=u_net(),
)


# --- Chapter 1: convolutions, on a five from scikit-learn's digits (8x8 pixels, levels 0 to 16) ---

FIVE = np.array(
    [
        [0, 5, 12, 13, 16, 16, 2, 0],
        [0, 11, 16, 15, 8, 4, 0, 0],
        [0, 8, 14, 11, 1, 0, 0, 0],
        [0, 8, 16, 16, 14, 0, 0, 0],
        [0, 1, 6, 6, 16, 0, 0, 0],
        [0, 0, 0, 5, 16, 3, 0, 0],
        [0, 1, 5, 15, 13, 0, 0, 0],
        [0, 4, 15, 16, 2, 0, 0, 0],
    ]
)
# Bright on the right minus bright on the left, and a spot that fades outwards.
EDGES = np.repeat([[-1, -1, 1, 1]], 4, axis=0)
SPOT = np.outer([1, 3, 3, 1], [1, 3, 3, 1])


def halve(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """A 4x4 convolution with stride 2 and a border of one black pixel: sides (2n, 2n) -> (n, n)."""
    padded, side = np.pad(image, 1), len(image) // 2
    windows = [
        [padded[2 * i : 2 * i + 4, 2 * j : 2 * j + 4] for j in range(side)]
        for i in range(side)
    ]
    return np.einsum("ijkl,kl->ij", windows, kernel)


def double(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """The transposed convolution: each pixel adds its level times the 4x4 kernel, (n, n) -> (2n, 2n)."""
    side = len(image)
    padded = np.zeros((2 * side + 2, 2 * side + 2))
    for i in range(side):
        for j in range(side):
            padded[2 * i : 2 * i + 4, 2 * j : 2 * j + 4] += image[i, j] * kernel
    return padded[1:-1, 1:-1]


def pixels(x: float, y: float, cell: float, levels: np.ndarray) -> Pixels:
    """An array of levels from 0 to 1 as a shape."""
    return Pixels(x, y, cell, tuple(tuple(map(float, row)) for row in levels))


def numbers(
    x: float, y: float, cell: float, values: Sequence[Sequence[str]]
) -> tuple[Text, ...]:
    """A text in the middle of each cell of a grid."""
    return tuple(
        Text(x + (j + 0.5) * cell, y + (i + 0.5) * cell + 7, (value,), anchor="middle")
        for i, row in enumerate(values)
        for j, value in enumerate(row)
    )


def strided() -> Diagram:
    """How a strided convolution makes two neighbouring pixels of its output."""
    row, column, cell, out = 1, 1, 24, 40
    left, top = 24 + 2 * column * cell, 64 + 2 * row * cell
    edges = halve(FIVE / 16, EDGES / 16)
    return Diagram(
        title=(
            "A strided convolution. A blue frame of 4 by 4 pixels lies on a handwritten five of 8 by 8 pixels with a"
            " border of zeros. Each framed pixel is multiplied by the weight at its place in the kernel, and the sum is"
            " the blue pixel of the output, which has 4 by 4. An orange frame, two pixels further right, gives the next."
        ),
        width=600,
        height=500,
        shapes=(
            Text(24, 44, ("a five, 8 x 8",)),
            Box(24, 64, 10 * cell, 10 * cell, ("",)),
            pixels(24 + cell, 64 + cell, cell, FIVE / 16),
            Outline(left, top, 4 * cell, 4 * cell, "blue"),
            Outline(left + 2 * cell, top + 5, 4 * cell, 4 * cell - 10, "orange"),
            Text(24, 334, ("pale: a border of zeros",)),
            Text(340, 44, ("kernel: 4 x 4 weights",)),
            Box(340, 64, 4 * out, 4 * out, ("",)),
            *numbers(340, 64, out, [["-1", "-1", "+1", "+1"]] * 4),
            Text(340, 252, ("right half minus left",)),
            Text(340, 306, ("output (grey: zero)",)),
            pixels(340, 326, out, 0.5 + edges),
            Outline(340 + out * column, 326 + out * row, out, out, "blue"),
            Outline(340 + out * (column + 1), 326 + out * row, out, out, "orange"),
            Text(
                24, 384, ("blue: multiply 16 pairs,", "add them up: 1 number"), "blue"
            ),
            Text(
                24, 444, ("orange: the same again,", "2 pixels on (stride 2)"), "orange"
            ),
        ),
    )


def transposed() -> Diagram:
    """How two neighbouring pixels spread in a transposed convolution."""
    row, column, cell, small = 1, 1, 24, 40
    left, top = 340 + 2 * column * cell, 226 + 2 * row * cell
    five = halve(FIVE / 16, np.ones((4, 4)) / 12)
    return Diagram(
        title=(
            "A transposed convolution. One pixel of a small five of 4 by 4 pixels, framed blue, is multiplied by each of"
            " the kernel's 4 by 4 weights, and added to a blue frame of 4 by 4 pixels of the output, which has 8 by 8."
            " Its neighbour does the same, in an orange frame two pixels further right. Where the frames overlap, both"
            " are added."
        ),
        width=600,
        height=500,
        shapes=(
            Text(24, 44, ("a small five, 4 x 4",)),
            pixels(24, 64, small, five),
            Outline(24 + small * column, 64 + small * row, small, small, "blue"),
            Outline(
                24 + small * (column + 1), 64 + small * row, small, small, "orange"
            ),
            Text(24, 282, ("kernel (sixteenths)",)),
            Box(24, 302, 4 * small, 4 * small, ("",)),
            *numbers(24, 302, small, SPOT.astype(str)),
            Text(250, 44, ("blue: 1 number times 16", "weights is 16 numbers"), "blue"),
            Text(
                250,
                104,
                ("orange: the same again,", "2 pixels on (stride 2)"),
                "orange",
            ),
            Text(250, 164, ("Overlaps are added up.",)),
            Text(340, 206, ("output, 8 x 8",)),
            Text(340, 490, ("pale: is cut off",)),
            Box(340, 226, 10 * cell, 10 * cell, ("",)),
            pixels(340 + cell, 226 + cell, cell, double(five, SPOT / 16)),
            Outline(left, top, 4 * cell, 4 * cell, "blue"),
            Outline(left + 2 * cell, top + 5, 4 * cell, 4 * cell - 10, "orange"),
        ),
    )


STRIDED, TRANSPOSED = strided(), transposed()

# --- Chapter 7: a value and its floor ---

VALUE_AND_FLOOR = Diagram(
    title=(
        "A thousand fakes, a thousand training pictures and a thousand new real pictures go through the same reader, a"
        " network that turns each picture into 64 numbers. A measure compares the fakes with the training pictures: the"
        " value. The same measure compares the new pictures with the training pictures: the floor."
    ),
    width=600,
    height=470,
    shapes=(
        Box(16, 24, 168, 82, ("fakes", "1,000"), "orange", True),
        Box(16, 164, 168, 82, ("training", "pictures, 1,000"), "ink", True),
        Box(16, 304, 168, 82, ("new pictures", "1,000"), "blue", True),
        Box(
            236,
            24,
            118,
            362,
            ("reader", "makes 64", "numbers", "of each"),
            "ink",
            True,
        ),
        Box(436, 72, 148, 100, ("value", "by a measure"), "orange", True),
        Box(436, 238, 148, 100, ("floor", "by the same"), "blue", True),
        Arrow(((184, 65), (222, 65)), "orange"),
        Arrow(((184, 205), (222, 205))),
        Arrow(((184, 345), (222, 345)), "blue"),
        Arrow(((354, 65), (395, 65), (395, 106), (422, 106)), "orange"),
        Arrow(((354, 205), (384, 205), (384, 146), (422, 146))),
        Arrow(((384, 205), (384, 264), (422, 264))),
        Arrow(((354, 345), (395, 345), (395, 304), (422, 304)), "blue"),
        Text(
            300,
            430,
            ("Same reader, same measure, equally many pictures:",),
            "ink",
            "middle",
        ),
        Text(
            300, 456, ("only then compare the value with the floor.",), "ink", "middle"
        ),
    ),
)


DIAGRAMS = {
    "two_players": TWO_PLAYERS,
    "conditional_players": CONDITIONAL_PLAYERS,
    "unet": U_NET,
    "strided_convolution": STRIDED,
    "transposed_convolution": TRANSPOSED,
    "value_and_floor": VALUE_AND_FLOOR,
}


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, diagram in DIAGRAMS.items():
        for theme in THEMES:
            path = FOLDER / f"{name}_{theme}"
            path.with_suffix(".svg").write_text(diagram.svg(theme), encoding="utf-8")
            path.with_suffix(".png").write_bytes(diagram.png(theme))


if __name__ == "__main__":
    main()
