"""The exercises' answers, hints and worked solutions, one set a chapter, out of the notebooks' sight."""

import math

import numpy as np

from gan_tf.notebook import SMOKE, Exercise, Exercises, Prediction


def close_to_moons(moments) -> bool:
    """Whether the last fakes of a game lie on both of the moons that exercise 4 describes."""
    fakes = np.asarray(moments[-1]["fakes"])
    if fakes.ndim != 2 or fakes.shape[1] != 2:
        return False
    angle = np.linspace(0, np.pi, 100)
    upper = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    lower = np.stack([1 - np.cos(angle), 0.5 - np.sin(angle)], axis=1)
    moons = 0.6 * np.concatenate([upper, lower]) - [0.3, 0.15]
    distance = np.linalg.norm(fakes[:, np.newaxis] - moons, axis=2)
    on_upper = np.mean(distance.argmin(axis=1) < 100)
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
            "The fakes begin as one heap in the middle of the ring. What happens first?",
            (
                "The heap splits into eight at once.",
                "The heap spreads out, then breaks up.",
                "The heap runs to one cloud and stays there.",
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
            hint=(
                "train `play(Game(ring, d_rate=0.0))` and look at it with `plane.show_moment`. The field stands still, so"
                " every fake walks uphill for as long as it can."
            ),
            solution=(
                'no_detective = play(Game(ring, d_rate=0.0))\nanswer = "B"\n'
                'plane.show_moment(no_detective[-1], ring(200).numpy(), "Fakes far from the ring")'
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
                "answer = play(Game(moons))\n"
                'plane.show_moment(answer[-1], POINTS, "Fakes on two moons")'
            ),
        ),
    },
)
