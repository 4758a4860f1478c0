"""The exercises' answers, hints and worked solutions, one set a chapter, out of the notebooks' sight."""

import math

import numpy as np
from sklearn.datasets import make_moons

import failures
from gan_tf import load_pretrained
from gan_tf.data import creatures, registry
from gan_tf.gan import sample, with_labels
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


def cured(story) -> bool:
    """Whether a run ended well: no verdict, not stopped, and fakes that differ."""
    # Smoke mode trains too little to tell.
    return SMOKE or (
        not story.verdicts and not story.stopped and story.history["spread"][-1] > 0.5
    )


def cures_the_unfair_game(story) -> bool:
    """Whether exercise 3's run kept the loss and the learning rates, and ended well."""
    config = story.config
    unfair = (config.loss, config.learning_rate, config.d_learning_rate) == (
        "minimax",
        2e-4,
        4e-3,
    )
    return unfair and cured(story)


def cures_the_mysteries(cures) -> bool:
    """Whether the runs to cure are those that failed, and each ends well with its changes."""
    failed = {
        number
        for number in failures.MYSTERIES
        if failures.read_mystery(number).verdicts
    }
    if {*cures} != failed:
        return False
    configs = {
        number: failures.mystery_config(number, **changes)
        for number, changes in cures.items()
    }
    if any(
        config == failures.mystery_config(number) for number, config in configs.items()
    ):
        return False
    # Smoke mode has no time for five trainings.
    return SMOKE or all(
        cured(failures.train(config, registry.load(config)))
        for config in configs.values()
    )


WHEN_GANS_FAIL = Exercises(
    predictions={
        1: Prediction(
            "The discriminator is slow, the generator hasty. What will the fakes do?",
            (
                "Spread over all eight clouds, only more slowly.",
                "Gather in one cloud and stay there.",
                "Gather in one cloud, leave together, and gather in the next.",
            ),
        ),
        2: Prediction(
            "The generator draws good fives. Its discriminator stops learning. What happens to the fives?",
            (
                "They stay good: nothing pushes the generator away.",
                "They become better fives, since the generator can catch up.",
                "They become something that is no five at all.",
            ),
        ),
        3: Prediction(
            "The discriminator is soon sure about every fake. What does the generator's gradient do?",
            (
                "It grows: a bad forger has much to learn.",
                "It vanishes, and the fakes stay as they are.",
                "It jumps up and down.",
            ),
        ),
        4: Prediction(
            "Untrained generators: which grids are left after the mean over 2x2 pixels?",
            (
                "None.",
                "Period 2 is gone, period 4 stays.",
                "Both become weaker by the same factor.",
            ),
        ),
    },
    exercises={
        1: Exercise(
            right=math.sqrt(1.25),
            hint="put both steps into the sum of squares. The mixed terms cancel, and a factor is left.",
            solution="# (theta + h psi)^2 + (psi - h theta)^2 = (1 + h^2) (theta^2 + psi^2)\nanswer = np.sqrt(1 + 0.5**2)",
        ),
        2: Exercise(
            right=2 / 3,
            hint="two fakes are the same picture with a certain probability, and then their distance is 0.",
            solution="# The second fake differs from the first with the probability 2/3.\nanswer = 2 / 3",
        ),
        3: Exercise(
            right=cures_the_unfair_game,
            hint=(
                "the discriminator is too steep. Which penalty makes it flat around real pictures? `answer` is what"
                " `train` returns, with the loss and the rates of UNFAIR."
            ),
            solution="answer = train(**UNFAIR, r1=10.0)",
        ),
        4: Exercise(
            right="ABFCDE",
            hint=(
                "A leaves a leap in a loss. B ends with a discriminator's loss near 0, C with none of its fakes"
                " recognised, so its loss stays above 1.39. D leaves blobs, and losses that go up and down. E pulls the two shares apart."
            ),
            solution='answer = "ABFCDE"',
        ),
        5: Exercise(
            right=cures_the_mysteries,
            hint=(
                "give a change for each run that had a fault, and for no other. Undo the one option that caused it; for"
                " too few pictures, take more of them, or augment them."
            ),
            solution=(
                "answer = {\n"
                '    1: {"learning_rate": 0.002},\n'
                '    2: {"loss": "non-saturating", "learning_rate": 0.002, "d_learning_rate": None},\n'
                '    4: {"d_learning_rate": None, "learning_rate": 0.002},\n'
                '    5: {"beta_1": 0.0},\n'
                '    6: {"dataset": "mnist"},\n'
                "}"
            ),
        ),
    },
)


def takes_away(answer) -> bool:
    """Whether `answer(vector, other)` is the part of a vector that is at a right angle to another."""
    pairs = np.random.default_rng(0).standard_normal((5, 2, 8))
    rests = [v - (v @ o) / (o @ o) * o for v, o in pairs]
    return np.allclose([answer(v, o) for v, o in pairs], rests, atol=1e-4)


def is_cat_like_the_rabbit(found) -> bool:
    """Whether latents and error, from `invert`, are those of a cat that is close to the first given rabbit."""
    latents, error = found
    params = creatures.parameters(2000, seed=7)
    rabbit = creatures.draw(params[params["species"] == 5][:1], 64)[0]
    inputs = with_labels(np.asarray(latents)[np.newaxis], np.array([1]), 6)
    difference = sample(load_pretrained("creatures"), inputs)[0] - rabbit.astype(float)
    actual = np.sqrt(np.mean(difference**2))
    # The error is that before the last step and before rounding. Smoke mode hardly takes any.
    return abs(actual - error) < 3 if not SMOKE else np.shape(latents) == (128,)


LATENT_SPACE = Exercises(
    predictions={
        1: Prediction(
            "How long is the middle of two latent vectors, compared with a latent vector?",
            (
                "As long: it is a latent vector like any other.",
                "Shorter, by a factor of about 0.7, nearly always.",
                "Sometimes shorter and sometimes longer.",
            ),
        ),
        2: Prediction(
            "All latent vectors are multiplied by 0.7. What happens to precision (do fakes look real?) and recall (is"
            " every kind of real picture drawn?)",
            (
                "Both fall.",
                "Precision rises, recall falls.",
                "Precision falls, recall rises.",
            ),
        ),
        3: Prediction(
            "The directions come from one matrix alone: no picture, no label. What will they change?",
            (
                "A bit of everything, with no meaning that one could name.",
                "Things with a name, such as tilt, colour or eyes, some of them mixed.",
                "Exactly one thing each, as the eigenvectors are at right angles.",
            ),
        ),
    },
    exercises={
        1: Exercise(
            right=1 / math.sqrt(3),
            hint="the variance of a mean of three independent numbers is a third of that of one.",
            solution="answer = 1 / np.sqrt(3)",
        ),
        2: Exercise(
            right=takes_away,
            hint="the part of v along o is (v @ o) / (o @ o) times o. Take it away. `answer` is a function.",
            solution="def answer(vector, other):\n    return vector - (vector @ other) / (other @ other) * other",
        ),
        3: Exercise(
            right="B",
            hint="compare the two eigenvalues, and draw it.",
            solution='small = draw(FEW + 3.5 * DIRECTIONS[-1], np.arange(8) % 6)\nanswer = "B"',
        ),
        4: Exercise(
            right=is_cat_like_the_rabbit,
            hint="`invert` takes a picture and a species, and a cat is species 1. `answer` is all that it returns.",
            solution="answer = invert(GIVEN[0], 1)",
        ),
    },
)
CHAPTERS = {
    "00_two_players": TWO_PLAYERS,
    "06_when_gans_fail": WHEN_GANS_FAIL,
    "09_latent_space": LATENT_SPACE,
}
