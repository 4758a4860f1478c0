"""The exercises' answers, hints and worked solutions, one set a chapter, out of the notebooks' sight."""

import math

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits, make_moons

from gan_tf.gan import sample
from gan_tf.notebook import SMOKE, Exercise, Exercises, Prediction


def close_to_moons(moments) -> bool:
    """Whether the last fakes of a game lie on both of the moons that exercise 4 describes."""
    fakes = np.asarray(moments[-1]["fakes"])
    if fakes.ndim != 2 or fakes.shape[1] != 2:
        return False
    points, which = make_moons(200)
    moons = 0.6 * points - [0.3, 0.15]
    distance = np.linalg.norm(fakes[:, np.newaxis] - moons, axis=2)
    on_upper = np.mean(which[distance.argmin(axis=1)] == 0)
    # Smoke mode trains too little to tell.
    return SMOKE or (
        np.mean(distance.min(axis=1) < 0.12) > 0.8 and 0.25 < on_upper < 0.75
    )


TWO_PLAYERS = Exercises(
    predictions={
        1: Prediction(
            "Real data and fakes are fixed, and only the detective trains. Where *no* data of either kind lies, what"
            " will it say?",
            (
                "One half, since there is nothing to go by.",
                "Fake, since nothing real is there.",
                "Anything: no data, no lesson.",
            ),
        ),
        2: Prediction(
            "The fakes lie far from the real data, and the detective is perfect. Which loss still moves the forger?",
            (
                "Both: a bad forger always gets a strong gradient.",
                "Only $\\log(1 - D)$, the minimax loss.",
                "Only $-\\log D$, the non-saturating loss.",
            ),
        ),
        3: Prediction(
            "The fakes begin as one heap near the middle of the ring. What will they do first?",
            (
                "Split into eight at once, each part walking to its cloud.",
                "Run to one side together, be driven off, and scatter.",
                "Run to one cloud together, and stay there.",
            ),
        ),
    },
    exercises={
        1: Exercise(
            right=-2 * math.log(2),
            hint="if p = q, the best detective says p / (p + p) = 1/2 everywhere. Put D = 1/2 into V.",
            solution="# log(1/2) + log(1 - 1/2) = -2 log 2\nanswer = 2 * np.log(0.5)",
        ),
        2: Exercise(
            right=lambda answer: np.allclose(
                [answer(0.3, 0.1), answer(0.2, 0.2), answer(0.1, 0.8)],
                np.log([3.0, 1.0, 0.125]),
            ),
            hint="the logit of a probability d is log(d / (1 - d)). Put in d = p / (p + q) and cancel.",
            solution=(
                "# d / (1 - d) = p / (p + q) * (p + q) / q = p / q\n"
                "def answer(p, q):\n    return np.log(p / q)"
            ),
        ),
        3: Exercise(
            right="B",
            hint="the field stands still, so every fake walks uphill for as long as the slope lasts. Run it.",
            solution=(
                'no_detective = play(Game(ring, d_rate=0.0))\nno_detective[-1]["fakes"].mean(axis=0)  # Far away.\n'
                'answer = "B"'
            ),
        ),
        4: Exercise(
            right=close_to_moons,
            hint=(
                "`moons(count)` must return float32 points (count, 2) on both moons, new ones at each call, and `answer`"
                " is what `play(Game(moons))` returns. If one moon is thin, try another seed."
            ),
            solution=(
                "from sklearn.datasets import make_moons\n\n"
                'POINTS = (0.6 * make_moons(10_000, noise=0.05)[0] - [0.3, 0.15]).astype("float32")\n\n\n'
                "def moons(count):\n"
                "    rows = tf.random.uniform((count,), maxval=10_000, dtype=tf.int32)\n"
                "    return tf.gather(POINTS, rows)\n\n\n"
                "answer = play(Game(moons))"
            ),
        ),
    },
)

# --- Chapter 1 ---


def as_descriptor(picture: Image.Image) -> np.ndarray:
    """The bright part of a grey picture, shrunk to 8x8: (64,), with a mean of 0 and a length of 1."""
    strokes = picture.point(lambda level: 255 * (level > 80)).getbbox()
    small = picture.crop(strokes).resize((8, 8), Image.Resampling.BILINEAR)
    levels = np.ravel(small) - np.mean(small)
    return levels / (np.linalg.norm(levels) + 1e-9)


def which_digits(images) -> np.ndarray:
    """The digit (N,) that each uint8 image (N, height, width, 1) resembles most: that of its nearest neighbour among
    scikit-learn's digits. Of MNIST's threes, it recognises four in five."""
    known = load_digits()
    first = [
        as_descriptor(Image.fromarray(np.uint8(15.9 * image))) for image in known.images
    ]
    found = [as_descriptor(Image.fromarray(image[:, :, 0])) for image in images]
    return known.target[(np.array(found) @ np.array(first).T).argmax(axis=1)]


def draws_threes(generator) -> bool:
    """Whether a generator's fakes look like threes, as far as 8x8 pixels can tell."""
    latents = np.random.default_rng(1).standard_normal((64, generator.input_shape[-1]))
    digits = which_digits(sample(generator, latents))
    return SMOKE or np.mean(digits == 3) > 0.5  # Smoke mode trains too little to tell.


FIVES = Exercises(
    predictions={
        1: Prediction(
            "Neither network has learned anything. What does the discriminator say of a fake?",
            (
                "About one half: it can't tell.",
                "Near 0: noise is obviously no five.",
                "Near 1: it has never seen anything better.",
            ),
        ),
        2: Prediction(
            "Over the epochs, where do $D(x)$ of real fives and $D(G(z))$ of fakes go?",
            (
                "Far apart at first, then both to one half, as in theory.",
                "Close to one half at first, then slowly apart.",
                "$D(G(z))$ climbs above $D(x)$ as the fakes get better.",
            ),
        ),
    },
    exercises={
        1: Exercise(
            right=2.0,
            hint="eight weights of 1/8 meet white pixels, and eight of -1/8 meet black ones. Minus times minus is plus.",
            solution="# Eight times 1/8 * 1, and eight times -1/8 * -1.\nanswer = 8 / 8 + 8 / 8",
        ),
        2: Exercise(
            right=lambda answer: np.allclose(
                [answer(-3.0), answer(0.0), answer(2.0)],
                [-0.95257413, -0.5, -0.11920292],
            ),
            hint="-log sigmoid(l) is softplus(-l) = log(1 + exp(-l)). Its derivative lies between -1 and 0.",
            solution=(
                "# -log sigmoid(l) = log(1 + exp(-l)), so the derivative is -exp(-l) / (1 + exp(-l)).\n"
                "def answer(l):\n    return -1 / (1 + np.exp(l))"
            ),
        ),
        3: Exercise(
            right="B",
            hint="the generator is a continuous function, and every vector on the way is noise like any other. Run it.",
            solution=(
                "walk = np.linspace(NOISE[0], NOISE[1], 8)\n"
                'nb.show_images(sample(game.average, walk), "A walk from five to five")\n'
                'answer = "B"'
            ),
        ),
        4: Exercise(
            right=draws_threes,
            hint=(
                "`answer` must be the `average` of a `Game` that was trained on threes. If it was, train a"
                " little longer: fewer than half of its fakes are nearest to a three."
            ),
            solution=(
                'settings, threes = nb.load(preset_config("mnist", label="3"))\n'
                "other = Game()\n"
                "train(other, to_unit_range(threes.images), nb.quick(4, 1), fives.Watch(NOISE))\n"
                "answer = other.average"
            ),
        ),
    },
)

CHAPTERS = {"00_two_players": TWO_PLAYERS, "01_mnist_digit5": FIVES}
