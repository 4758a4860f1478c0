"""The exercises' answers, hints and worked solutions, one set a chapter, out of the notebooks' sight."""

import math

import numpy as np
from keras import layers
from PIL import Image
from sklearn.datasets import load_digits, make_moons
from sklearn.linear_model import LogisticRegression

import failures
from gan_tf import load_pretrained
from gan_tf.data import creatures, registry
from gan_tf.data.grey import read_digits
from gan_tf.gan import inputs_of_each_class, sample, with_labels
from gan_tf.measure import metrics
from gan_tf.notebook import SMOKE, Exercise, Exercises, Prediction, quick


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
            solution=(
                "def answer(vector, other):\n"
                "    return vector - (vector @ other) / (other @ other) * other\n\n\n"
                "move = 3 * answer(turn, DIRECTIONS[1])\n"
                "after = reader.read(half(draw(latents + move, KINDS)))\n"
                "print(f\"look right {np.mean(after['turn'] == 2):.0%}\")\n"
                "print(f\"same hue {np.mean(after['hue'] == before['hue']):.0%}\")"
            ),
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


def first_layer(answer) -> bool:
    """Whether answer(W, z, y) is [z, one-hot y] W."""
    random = np.random.default_rng(0)
    weights, latents = random.normal(size=(9, 4)), random.normal(size=(3, 5))
    one_hot = np.eye(4)
    return all(
        np.allclose(
            answer(weights, latents, label),
            np.concatenate([latents, np.tile(one_hot[label], (3, 1))], axis=1)
            @ weights,
        )
        for label in range(4)
    )


def even_and_odd(players) -> bool:
    """Whether a generator of two classes draws even digits as 0 and odd ones as 1. They are read by a classifier of
    scikit-learn's digits, which is right about three quarters of MNIST's."""
    if players.classes != 2:
        return False
    latents = np.random.default_rng(0).standard_normal((200, 64))
    images, labels = read_digits()
    reader = LogisticRegression(C=0.01, max_iter=300)
    reader.fit(images.reshape(len(images), -1) / 255, labels % 2)
    fakes = sample(players.average, inputs_of_each_class(latents, 2))
    odd = reader.predict(fakes.reshape(len(fakes), -1) / 255).reshape(2, -1)
    return SMOKE or odd[1].mean() - odd[0].mean() > 0.35


def writes(answer) -> bool:
    """Whether answer(text, writer) writes the digits of a text with one noise vector."""
    writer = np.random.default_rng(0).standard_normal(64)
    inputs = np.asarray(answer("90210", writer))
    return np.allclose(
        inputs, with_labels(np.tile(writer, (5, 1)), np.array([9, 0, 2, 1, 0]), 10)
    )


DRAW_ME_A_SEVEN = Exercises(
    predictions={
        1: Prediction(
            "One noise vector is drawn as all ten digits. What do the ten images look like on the way?",
            (
                "Ten different digits from the start, blurred at first and then sharper.",
                "Ten images that are nearly alike at first, and part ways later.",
                "The easy digits appear first and the others stay noise until late.",
            ),
        ),
        2: Prediction(
            "After equally many steps, which fakes are nearer to real digits?",
            (
                "Those without labels: it is the easier task.",
                "Those with labels: each class is an easier thing to draw.",
                "Neither: labels only choose, they don't teach.",
            ),
        ),
    },
    exercises={
        1: Exercise(
            right=first_layer,
            hint="split W into its first n rows and the rest. What does the single 1 do with the rest?",
            solution=(
                "# [z, e_y] W = z W[:n] + e_y W[n:], and e_y W[n:] is row y of W[n:].\n"
                "def answer(W, z, y):\n    n = z.shape[1]\n    return z @ W[:n] + W[n + y]"
            ),
        ),
        2: Exercise(
            right="B",
            hint="which of the two losses would get worse if the generator drew another digit than it was asked for?",
            solution=(
                "def blind(discriminator, images, labels):\n"
                "    return discriminator(images, training=True)[:, 0]\n\n\n"
                "blinded = Players(10)\n"
                "train(blinded, judge=blind, steps=nb.quick(1500, 3))\n"
                'print(as_asked(blinded.average).mean())  # About one in ten.\nanswer = "B"'
            ),
        ),
        3: Exercise(
            right=even_and_odd,
            hint=(
                "`Players(2)` and `train(..., labels=...)`. The remainder `digits.labels % 2` is 0 for even digits. If"
                " the check isn't satisfied, train longer."
            ),
            solution=(
                "answer = Players(2)\n"
                "train(answer, labels=digits.labels % 2, steps=nb.quick(1500, 3))"
            ),
        ),
        4: Exercise(
            right=writes,
            hint="repeat the writer for each character with `np.tile`, and turn each character into an integer.",
            solution=(
                "def answer(text, writer):\n"
                "    latents = np.tile(writer, (len(text), 1))\n"
                "    return with_labels(latents, [int(digit) for digit in text], 10)"
            ),
        ),
    },
)


def cropped(answer) -> bool:
    """Whether answer(w, h) is the share of an image that a square crop throws away."""
    shapes = [(4000, 3000), (3000, 4000), (500, 500), (10, 1000)]
    return np.allclose(
        [answer(w, h) for w, h in shapes], [1 / 4, 1 / 4, 0, 1 - 10 / 1000]
    )


def owls_alone(run) -> bool:
    """Whether a run learned the label owl only, for two epochs or more."""
    config, _ = run.read_config()
    epochs = len(run.read_history().get("epoch", ()))
    return config.label == ("owl",) and (SMOKE or epochs >= 2)


YOUR_OWN_PICTURES = Exercises(
    predictions={
        1: Prediction(
            "Of the unusual files (the photo on its side, the cut-out, the grey scan), which will the loader use?",
            (
                "None: they differ from all the others.",
                "All three, after making them like the others.",
                "Only the grey scan: the others need a person.",
            ),
        ),
        2: Prediction(
            "How many pictures does the classifier need before you can trust its answer?",
            ("About a dozen.", "A few hundred.", "Ten thousand."),
        ),
    },
    exercises={
        1: Exercise(
            right=15,
            hint="it is a share of the files that are different from each other: 400 minus the copies.",
            solution="answer = 0.05 * (400 - 100)",
        ),
        2: Exercise(
            right=cropped,
            hint="the largest square in a picture has the shorter side. Divide its area by the picture's, and cancel.",
            solution=(
                "# The square has the area min(w, h)^2, the picture w h = min(w, h) max(w, h).\n"
                "def answer(w, h):\n    return 1 - min(w, h) / max(w, h)"
            ),
        ),
        3: Exercise(
            right=100,
            hint="solve 0.5 + 2 * 0.5 / sqrt(n) = 0.6 for n.",
            solution="# 1 / sqrt(n) = 0.6 - 0.5\nanswer = 1 / (0.6 - 0.5) ** 2",
        ),
        4: Exercise(
            right=owls_alone,
            hint=(
                "the command of cell two, with `--label owl` in place of `--conditional`, `--epochs 2` and `--run"
                " runs/owls`; then `Run.open`."
            ),
            solution=(
                'rounds = nb.quick("--epochs 2", "--epochs 1 --steps-per-epoch 2")\n'
                "nb.command(\n"
                "    train.main,\n"
                '    f"--dataset pictures --image-size 32 --label owl {rounds} --run runs/owls",\n'
                "    place.name,\n"
                ")\n"
                'answer = Run.open(Path(place.name, "runs/owls"))'
            ),
        ),
    },
)


def receptive_field(answer) -> bool:
    """Whether answer(stack) is the receptive field of a stack of convolutions (kernel, stride). 70 is that of Isola et
    al. 2017."""
    stacks = {
        ((4, 2), (4, 2), (4, 1)): 22,
        ((4, 2), (4, 2), (4, 2), (4, 1), (4, 1)): 70,
        ((3, 1),): 3,
        ((5, 3), (3, 2), (1, 1)): 11,
    }
    return all(answer(list(stack)) == seen for stack, seen in stacks.items())


def no_skips(model) -> bool:
    """Whether a model from sketches to pairs has no connection past its narrowest level, but for the sketch itself."""
    joins = [layer for layer in model.layers if isinstance(layer, layers.Concatenate)]
    sides = [layer.output.shape[1] for layer in model.layers]
    return (
        model.output_shape == (None, 64, 64, 6) and len(joins) == 1 and min(sides) == 4
    )


FROM_SKETCH_TO_CREATURE = Exercises(
    predictions={
        1: Prediction(
            "On sketches that neither has seen, which generator's pixels are nearer to the truth?",
            (
                "The one trained with the distance alone.",
                "The one trained with distance and game.",
                "Both are equally near.",
            ),
        ),
    },
    exercises={
        1: Exercise(
            right=200,
            hint=(
                "move c up a little: the distance grows for all values below c and shrinks for those above. Where do the"
                " two balance?"
            ),
            solution=(
                "# Half of the probability on each side: the median. 45% lie below 200, and 80% at most 200.\n"
                "values, shares = np.array([40, 200, 220]), np.array([0.45, 0.35, 0.2])\n"
                "answer = values[np.searchsorted(np.cumsum(shares), 0.5)]"
            ),
        ),
        2: Exercise(
            right=receptive_field,
            hint=(
                "n neighbouring outputs of one layer see (n - 1) * stride + kernel neighbouring inputs. Begin with n = 1"
                " at the last layer."
            ),
            solution=(
                "def answer(stack):\n"
                "    seen = 1\n"
                "    for kernel, stride in reversed(stack):\n"
                "        seen = (seen - 1) * stride + kernel\n"
                "    return seen"
            ),
        ),
        3: Exercise(
            right="C",
            hint="all colours are possible for the same grey sketch. What does exercise 1 say about the best answer?",
            solution=(
                "grey = PAIRS.copy()\n"
                "grey[..., :3] = grey[..., :3].mean(axis=-1, keepdims=True)\n"
                "blind = train(0.0, grey, epochs=1)\n"
                'charts.show_rows({"grey": colour(blind, grey[:8, ..., :3])}, "Eight heads of one muted colour")\n'
                'answer = "C"'
            ),
        ),
        4: Exercise(
            right=no_skips,
            hint="leave out the `Concatenate` on the way up, and keep the last one, which hands over the sketch.",
            solution=(
                "def hourglass():\n"
                "    sketch = x = keras.Input((64, 64, 3))\n"
                "    for filters in (32, 64, 128, 128):\n"
                "        x = down(x, filters)\n"
                "    for filters in (128, 64, 32, 16):\n"
                "        x = up(x, filters)\n"
                '    colours = layers.Conv2D(3, 3, padding="same", activation="tanh")(x)\n'
                "    return keras.Model(sketch, layers.Concatenate()([sketch, colours]))\n\n\n"
                "lost = train(0.0, generator=hourglass(), epochs=1)\n"
                'charts.show_rows({"no skips": colour(lost, unseen)}, "Eight blurred heads without details")\n'
                "answer = hourglass()  # What is lost: eyes, whiskers, every fine line."
            ),
        ),
    },
)


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
            "Only in the real images, black becomes a random grey. What will the fakes look like?",
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
            right=273.0 / 64,
            hint="from 64 to 512 the side doubles three times, and each time the speed falls to a quarter.",
            solution="# Three doublings, each a quarter of the speed.\nanswer = 273.0 / 4**3",
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


COPIED = 0.27  # The share of mirrored copies among the suspects of chapter 7.


def with_mirrored_copies(train: np.ndarray, new: np.ndarray) -> np.ndarray:
    """New pictures, COPIED of them replaced by mirrored training pictures, in random order."""
    random = np.random.default_rng(7)
    count = round(COPIED * len(new))
    mirrored = train[random.permutation(len(train))[:count], :, ::-1]
    return random.permutation(np.concatenate([mirrored, new[count:]]))


def expected_gap(answer) -> bool:
    """Whether answer(covariance, n) is the expected squared distance between the means of two samples of n."""
    matrices = np.random.default_rng(0).standard_normal((3, 4, 4))
    covariances = matrices @ matrices.transpose(0, 2, 1)
    sizes = (10, 500, 5000)
    return np.allclose(
        [answer(c, n) for c, n in zip(covariances, sizes, strict=True)],
        [2 * np.trace(c) / n for c, n in zip(covariances, sizes, strict=True)],
    )


def precise_and_alike(answer) -> bool:
    """Whether answer(real) gives as many fakes with a precision of 1 and a recall near 0."""
    for seed in range(2):
        real = np.random.default_rng(seed).standard_normal((200, 16))
        fake = np.asarray(answer(real))
        found = metrics.prdc(real, fake)
        if fake.shape != real.shape or found.precision < 1 or found.recall > 0.05:
            return False
    return True


def sees_eyes(reader) -> bool:
    """Whether, through a reader's features, creatures with the same eyes are clearly further from others than new ones."""
    count = quick(1000, 80)
    alike = creatures.parameters(count, seed=4)
    alike["eye"] = creatures.EYES.index("happy")
    known = [
        *(creatures.parameters(count, seed=seed) for seed in (0, 100, 101, 102)),
        alike,
    ]
    real, *new, same = (
        reader.predict(creatures.draw(params, 64), batch_size=250, verbose=0)[
            "features"
        ]
        for params in known
    )
    floor = max(metrics.frechet_distance(real, some) for some in new)
    # Smoke mode trains too little to tell.
    return SMOKE or metrics.frechet_distance(real, same) > 3 * floor


MEASURING_GANS = Exercises(
    predictions={
        1: Prediction(
            "What Frechet distance do exact copies of the training pictures get?",
            (
                "A large one: copying is what it must punish.",
                "About that of new real pictures.",
                "A lower one than any new real pictures.",
            ),
        ),
        2: Prediction(
            "The same generator draws 500 fakes, and then 5,000. What happens to its Frechet distance to the same real"
            " pictures?",
            (
                "It stays the same on average; more pictures only make it less noisy.",
                "It falls.",
                "It grows, because more fakes show more faults.",
            ),
        ),
        3: Prediction(
            "One ordinary creature, a thousand times. What will precision and recall say?",
            (
                "Both near 0: it's obviously a bad set.",
                "Precision near 1, recall near 0.",
                "Precision near 0, recall near 1.",
            ),
        ),
        4: Prediction(
            "Which measures will notice the *mirrored copies*?",
            (
                "The copying ratio: it was made for this.",
                "The measures of features, since left and right are exchanged.",
                "None of the nine.",
            ),
        ),
    },
    exercises={
        1: Exercise(
            right=expected_gap,
            hint=(
                "the mean of n independent pictures has the covariance of one divided by n. The difference of two such"
                " means has twice that. What is the expected squared length of a vector with mean 0?"
            ),
            solution=(
                "# Each mean has covariance S / n, their difference 2 S / n, and E |v|^2 is the trace.\n"
                "def answer(covariance, n):\n    return 2 * np.trace(covariance) / n"
            ),
        ),
        2: Exercise(
            right="B",
            hint="which parts of each formula are lengths, which are squares of lengths, and which only compare lengths?",
            solution=(
                'real, fake = FEATURES["training"], FEATURES["our GAN"]\n'
                "for measure in (frechet, precision, recall, density, coverage):\n"
                "    print(measure.__name__, measure(real, fake), measure(2 * real, 2 * fake))\n"
                'answer = "B"'
            ),
        ),
        3: Exercise(
            right=precise_and_alike,
            hint="a real picture lies in its own ball. Balls around fakes that are all the same have no size.",
            solution="def answer(real):\n    return np.repeat(real[:1], len(real), axis=0)",
        ),
        4: Exercise(
            right=lambda share: abs(share - COPIED) < 0.03,
            hint=(
                "mirror the suspects back. Then a mirrored copy has a distance to training of nearly 0. The mean of a"
                " comparison is the share for which it holds."
            ),
            solution="answer = np.mean(to_training(suspects[:, :, ::-1]) < 0.1 * USUAL)",
        ),
        5: Exercise(
            right=sees_eyes,
            hint="`train_reader` takes the names of what it should read, and CLASSES has one more than we used.",
            solution='answer = train_reader("species", "hue", "turn", "tilt", "eye")',
        ),
    },
)


def close_to_least_squares(answer) -> bool:
    """Whether exercise 3's answer is the squared hinge and a discriminator that learned with it: the function of two
    batches of logits, and the learned logits on the chapter's line, (400,)."""
    loss, learned = answer
    reals, fakes = np.float32([[2.0], [0.5]]), np.float32([[-3.0], [1.0]])
    if not np.isclose(float(loss(reals, fakes)), 2.125):
        return False
    line = np.linspace(-3.5, 3.5, 400)

    def bell(middle, width):
        return np.exp(-(((line - middle) / width) ** 2) / 2) / width

    p, q = (bell(-1.5, 0.5) + bell(1, 0.5)) / 2, bell(0, 1)
    gap = np.abs(np.asarray(learned) - (p - q) / (p + q))
    # Smoke mode trains too little to tell.
    return SMOKE or np.average(gap, weights=p + q) < 0.06


BEYOND_BCE = Exercises(
    predictions={
        1: Prediction(
            "A fake has become so good that the discriminator takes it for real: its logit is 3. Which loss pulls it"
            " *back*?",
            (
                "Hinge: it is past the margin.",
                "Least squares: it is past the target.",
                "None: no generator wants to look less real.",
            ),
        ),
        2: Prediction(
            "A relativistic discriminator never judges one point, only the difference of two. What logit will it learn?",
            (
                "A step between two values, as with the hinge loss.",
                "$\\log p / q$, like cross-entropy, but moved up or down as a whole.",
                "Nothing definite: only pairs matter.",
            ),
        ),
        3: Prediction(
            "Reals and fakes lie apart, and nothing limits the discriminator. What happens to its slope between them"
            " while it trains?",
            (
                "It settles as soon as all points are classified correctly.",
                "It keeps growing.",
                "It falls, since there is nothing left to learn.",
            ),
        ),
        4: Prediction(
            "Suppose that no variant differs from the preset at all. In how many of 28 comparisons are all three seeds"
            " of the variant beyond all three of the preset?",
            ("In none, or one at most.", "In about three.", "In about half of them."),
        ),
    },
    exercises={
        1: Exercise(
            right="B",
            hint="the Wasserstein loss is a straight line: twice the logits are twice as good. Run it.",
            solution=(
                'judge, measured = teach("wasserstein", {})\nprint(measured[:, 2])  # Between reals and fakes.\n'
                'answer = "B"'
            ),
        ),
        2: Exercise(
            right=lambda answer: np.allclose(
                [answer(0.3, 0.1), answer(0.2, 0.2), answer(0.1, 0.8)],
                [0.5, 0.0, -0.7 / 0.9],
            ),
            hint="at one point, minimise p (l - 1)^2 + q (l + 1)^2: set the derivative by l to zero.",
            solution=(
                "# p (l - 1) + q (l + 1) = 0, so l (p + q) = p - q.\n"
                "def answer(p, q):\n    return (p - q) / (p + q)"
            ),
        ),
        3: Exercise(
            right=close_to_least_squares,
            hint=(
                "`answer` is a pair: the loss as a function of (real_logits, fake_logits), the mean of the squares of"
                " both hinges, and what `learn_alone(loss)` returns."
            ),
            solution=(
                "def squared_hinge(real_logits, fake_logits):\n"
                "    return mean(relu(1 - real_logits) ** 2) + mean(relu(1 + fake_logits) ** 2)\n\n\n"
                "answer = squared_hinge, learn_alone(squared_hinge)"
            ),
        ),
        4: Exercise(
            right=6,
            hint=(
                "with n seeds each there are comb(2 * n, n) orders, and two of them are the clearest ones. Find the"
                " smallest n for which their share is at most 0.1 / 16."
            ),
            solution=(
                "# 2 / comb(10, 5) is 0.0079 and 2 / comb(12, 6) is 0.0022; the limit is 0.00625.\n"
                "import math\n\n"
                "answer = next(n for n in range(1, 20) if 2 / math.comb(2 * n, n) <= 0.1 / 16)"
            ),
        ),
    },
)


CHAPTERS = {
    "00_two_players": TWO_PLAYERS,
    "01_mnist_digit5": FIVES,
    "02_pokemon": FEW,
    "03_animal_faces": FACES,
    "04_draw_me_a_seven": DRAW_ME_A_SEVEN,
    "05_your_own_pictures": YOUR_OWN_PICTURES,
    "06_when_gans_fail": WHEN_GANS_FAIL,
    "07_measuring_gans": MEASURING_GANS,
    "08_beyond_bce": BEYOND_BCE,
    "09_latent_space": LATENT_SPACE,
    "10_from_sketch_to_creature": FROM_SKETCH_TO_CREATURE,
}
