"""The exercises' answers, hints and worked solutions, one set a chapter, out of the notebooks' sight."""

import math

import numpy as np
from sklearn.datasets import make_moons

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
CHAPTERS = {"00_two_players": TWO_PLAYERS}
