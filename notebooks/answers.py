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

# --- Chapter 2 ---


def overfits(history) -> bool:
    """Whether the discriminator calls many more of its training images real than of others, at the end."""
    gap = history["accuracy_trained"][-1] - history["accuracy_held_out"][-1]
    return SMOKE or gap > 0.2  # Smoke mode trains too little to tell.


FEW = Exercises(
    predictions={
        1: Prediction(
            "In the end, what share of real fives will the discriminator call real?",
            (
                "About as many of those it never saw as of those it trains on: a five is a five.",
                "Nearly all of those it trains on, and clearly fewer of the others.",
                "Fewer and fewer of both, because the fakes get better.",
            ),
        ),
        2: Prediction(
            "What will augmentation of both do to the two curves?",
            (
                "Both rise to nearly 1.",
                "Nothing: 200 pictures stay 200 pictures.",
                "They part less, and later.",
            ),
        ),
        3: Prediction(
            "Only the real images get random brightness and contrast. What will the fakes look like?",
            (
                "Fives on black, like the real ones: the discriminator sees through the change.",
                "Fives on grounds of all greys.",
                "No fives at all: the generator never sees an unaltered one.",
            ),
        ),
    },
    exercises={
        1: Exercise(
            right=200 * 49,
            hint="there are seven shifts down and seven across, and each goes with each.",
            solution="# Seven shifts down times seven across, for each five.\nanswer = 200 * 7 * 7",
        ),
        2: Exercise(
            right=lambda answer: np.allclose(
                [answer(0.3, 0.0), answer(0.5, 0.9), answer(0.2, 0.5)], [0.3, 0.5, 0.5]
            ),
            hint="a fake is seen facing right if it does and is not mirrored, or does not and is mirrored.",
            solution=(
                "# Equal to p only if f * (1 - 2 * p) = 0: with p = 1/2 the discriminator can't tell any f.\n"
                "def answer(p, f):\n    return f * (1 - p) + (1 - f) * p"
            ),
        ),
        3: Exercise(
            right=overfits,
            hint="`answer` is the second of the two things that `play(small, settings)` returns, after all epochs.",
            solution=(
                "small = nb.first(images, 100)\n_, answer = play(small, settings)\n"
                'few.show_memory({"50 fives": [answer]}, "The two curves part sooner")'
            ),
        ),
        4: Exercise(
            right="B",
            hint="`flip` mirrors real images only. Is a mirrored five a five? Look at the fakes.",
            solution=(
                "mirrored, _ = play(images, dataclasses.replace(settings, flip=True))\n"
                'nb.show_images(sample(mirrored.ema_generator, noise[:16]), "16 fakes, some of them mirrored fives")\n'
                'answer = "B"'
            ),
        ),
    },
)

# --- Chapter 3 ---

FACES = Exercises(
    predictions={
        1: Prediction(
            "How many times as long does an image take if its side doubles, from 64 to 128 pixels?",
            (
                "Twice: there is one more layer.",
                "Two and a half to four times: there are four times as many pixels.",
                "Eight times and more: larger pictures need much larger networks.",
            ),
        ),
        2: Prediction(
            "What will the fakes show first?",
            (
                "Sharp details such as whiskers and fur, in no order.",
                "Blurred heaps of colour, then eyes and noses in the right places, then fur.",
                "Complete cats from early on, which become sharper.",
            ),
        ),
    },
    exercises={
        1: Exercise(
            right=188.5 / 64,
            hint="from 64 to 512 the side doubles three times, and each time the speed falls to a quarter.",
            solution="# Three doublings, each a quarter of the speed.\nanswer = 188.5 / 4**3",
        ),
        2: Exercise(
            right=1.0,
            hint="count input pixels times channels in times channels out. The pixels are four times as many.",
            solution="# Four times the pixels, half the channels in, half the channels out.\nanswer = 4 * 0.5 * 0.5",
        ),
        3: Exercise(
            right="B",
            hint="the label is only two more numbers in a continuous function. Run it for several noise vectors.",
            solution=(
                'nb.show_images(sample(generator, blend(noise[0])), "From cat to dog")\n'
                'answer = "B"'
            ),
        ),
        4: Exercise(
            right=lambda answer: SMOKE or 0.05 < answer < 0.6,
            hint=(
                "a gap is `D(x)` minus `D(G(z))_before` in the last epoch. Subtract the gap with one discriminator step"
                " from the gap with three."
            ),
            solution=(
                "def gap(d_steps):\n"
                "    history = play(d_steps)\n"
                '    return history["D(x)"][-1] - history["D(G(z))_before"][-1]\n\n\n'
                "answer = gap(3) - gap(1)"
            ),
        ),
    },
)

CHAPTERS = {
    "00_two_players": TWO_PLAYERS,
    "01_mnist_digit5": FIVES,
    "02_pokemon": FEW,
    "03_animal_faces": FACES,
}
