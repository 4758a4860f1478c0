"""Pictures of the chapters on conditional GANs and on your own data: captioned rows of images, and two charts."""

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from gan_tf import notebook as nb
from gan_tf.run import plots

# Colours that the colour-blind can tell, for all chapters.
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#555555"
CAPTION = 26  # Height in pixels of a caption above a row.
# The alt text of the fourth chapter's film.
DIGITS = (
    "Animation: twelve handwritten digits turn together from 0 into 1, 2, and so on up to 9 and back to 0; each keeps"
    " its own slant and thickness"
)

FOLDER = "Animation: 24 grey squares take on colours and shapes and become twelve cats, above, and twelve owls, below"
SKETCHES = "Above, eight line drawings of animal heads in coloured pencil; below, the same animals in full colour"


def rows(captioned: Mapping[str, np.ndarray], scale: int | None = None) -> np.ndarray:
    """Rows of images, uint8 (N, height, width, channels) each, with a caption above each: uint8 (H, W, 3)."""
    parts = []
    for caption, images in captioned.items():
        row = plots.grid(images, columns=len(images), scale=scale)
        picture = Image.new("RGB", (row.shape[1], row.shape[0] + CAPTION), "white")
        picture.paste(plots.to_pillow(row), (0, CAPTION))
        font = ImageFont.load_default(16)
        ImageDraw.Draw(picture).text((4, 5), caption, fill="black", font=font)
        parts.append(np.asarray(picture))
    return np.concatenate(parts)


def show_rows(captioned: Mapping[str, np.ndarray], alt: str, width: int | None = None):
    """Show rows of images with a caption above each."""
    nb.show(rows(captioned), alt, width)


def show_film(
    frames: Sequence[np.ndarray],
    alt: str,
    columns: int,
    seconds: float = 0.1,
    hold: float = 0.0,
) -> None:
    """Show frames, uint8 images (N, height, width, channels) each, as an animated GIF. Few colours make a small file,
    and one palette for all frames keeps colours from jumping."""
    pictures = [plots.grid(frame, columns=columns) for frame in frames]
    film = np.concatenate(pictures)
    if film.shape[-1] == 1:
        film &= 0xF0
    else:
        film = plots.to_pillow(film).quantize(192, dither=Image.Dither.NONE)
        film = np.asarray(film.convert("RGB"))
    pictures = np.split(film, len(frames))
    nb.show(plots.encode_animation(pictures, ".gif", seconds, hold), alt)


def show_class_shares(
    shares: Mapping[str, np.ndarray], names: Sequence[str], alt: str
) -> None:
    """The share of images of each class that a classifier takes for that class: a mark for each of `shares`."""
    canvas, axes = nb.figure(width=5.6, height=3.4)
    styles = ((GREY, "_", 200), (BLUE, "o", 40), (ORANGE, "^", 45))
    for (label, values), (color, marker, size) in zip(
        shares.items(), styles, strict=False
    ):
        axes.scatter(
            range(len(values)),
            100 * values,
            color=color,
            marker=marker,
            s=size,
            label=label,
            linewidths=2,
        )
    axes.set_xticks(range(len(names)), names)
    axes.set(xlabel="asked for", ylabel="taken for what was asked (%)")
    axes.grid(axis="y", alpha=0.3)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, fontsize="small")
    nb.show(canvas, alt)


def show_facing(
    found: Mapping[str, Sequence[tuple[int, float, float]]], threshold: float, alt: str
) -> None:
    """For each folder, the share of pictures told from their mirror images against how many were looked at:
    (count, share, standard error) each, drawn with two standard errors. Below `threshold`, mirroring is safe."""
    canvas, axes = nb.figure(width=5.6, height=3.4)
    styles = ((BLUE, "o"), (ORANGE, "^"))
    for (label, points), (color, marker) in zip(found.items(), styles, strict=False):
        counts, shares, errors = np.transpose(points)
        style = {"color": color, "marker": marker, "capsize": 4, "label": label}
        axes.errorbar(counts, 100 * shares, 200 * errors, **style)
    axes.axhline(100 * threshold, color="black", linestyle="--", label="the limit")
    axes.axhline(50, color=GREY, linestyle=":", label="guessing")
    axes.set(xscale="log", ylim=(30, 105), xlabel="pictures looked at (logarithmic)")
    axes.set(ylabel="told from their mirror images (%)")
    axes.legend(fontsize="small")
    nb.show(canvas, alt)


def show_card(metrics: Mapping) -> None:
    """A report card from a run's metrics.json: five questions, with the fakes' value and that of real pictures."""
    fakes, floor = (
        metrics["evaluation"][name] for name in ("fakes", "new real images")
    )
    questions = {
        "How far from real pictures?": ("frechet_distance", "as real"),
        "How many of their kinds are covered?": ("coverage", "as real"),
        "Are they copies? (0: yes)": ("copying_ratio", "about 1"),
        "Are training pictures known better?": ("held_out_ratio", "about 1"),
    }
    lines = ["| question | fakes | real | good |", "|---|---|---|---|"]
    for question, (name, good) in questions.items():
        value, best = fakes[name]["mean"], floor[name]["mean"]
        lines.append(f"| {question} | {value:.2f} | {best:.2f} | {good} |")
    asked = np.transpose([label["as_asked"] for label in metrics["labels"].values()])
    fake, real = asked.mean(axis=1)
    lines.append(f"| Are they what was asked for? | {fake:.0%} | {real:.0%} | 100% |")
    nb.say("\n".join(lines))
