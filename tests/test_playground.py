"""The playground's page is built from its sources, and its mathematics is that of `gan_tf`."""

import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_tf.losses import LOSSES, chance_losses, penalty_weights, zero_centred_penalty
from tests.web.browser import CHROMIUM, launch

SOURCES = Path(__file__).parent.parent / "docs" / "playground"
spec = importlib.util.spec_from_file_location("playground_build", SOURCES / "build.py")
page_build = importlib.util.module_from_spec(spec)
spec.loader.exec_module(page_build)

# Runs the playground's mathematics, without its page, on an object INPUT; prints what RESULT becomes.
PROGRAM = """
const INPUT = %s;
const matrix = (rows) => new Matrix(rows.length, rows[0].length, Float64Array.from(rows.flat()));
const rows = (m) => Array.from({ length: m.rows }, (_, i) => [...m.data.subarray(i * m.cols, (i + 1) * m.cols)]);
const network = (weights) => {
  const sizes = [weights[0].length, ...weights.filter((_, i) => i %% 2 === 0).map((w) => w[0].length)];
  const made = new Network(sizes, new Random(0));
  made.weights = weights.map(matrix);
  return made;
};
const RESULT = (() => { %s })();
"""


def run_javascript(body: str, given: object = None) -> object:
    """What `body`, a function's body, returns. By node, or by a browser where there is no node."""
    program = "'use strict';" + page_build.read(page_build.MATHEMATICS) + PROGRAM % (json.dumps(given), body)
    if node := shutil.which("node"):
        program += "console.log(JSON.stringify(RESULT));"
        return json.loads(subprocess.run([node], input=program, capture_output=True, text=True, check=True).stdout)
    playwright = pytest.importorskip("playwright.sync_api", reason="neither node nor Playwright is installed")
    if CHROMIUM is None:
        pytest.skip("neither node nor Chromium is installed")
    with playwright.sync_playwright() as driver:
        browser = launch(driver)
        try:
            return json.loads(browser.new_page().evaluate(f"() => {{ {program} return JSON.stringify(RESULT); }}"))
        finally:
            browser.close()


def players(seed: int = 0, width: int = 16, latent: int = 3) -> tuple[keras.Model, keras.Model]:
    """A generator and a discriminator of the playground's shapes in double precision, with biases that are not 0."""
    random = np.random.default_rng(seed)

    def network(sizes):
        dense = [keras.layers.Dense(size, dtype="float64") for size in sizes[1:]]
        layers = [dense[0], *(layer for d in dense[1:] for layer in (keras.layers.LeakyReLU(0.2, dtype="float64"), d))]
        model = keras.Sequential([keras.Input((sizes[0],), dtype="float64"), *layers])
        model.set_weights([random.normal(0, 0.5, w.shape) for w in model.get_weights()])
        return model

    return network([latent, width, width, 2]), network([2, width, width, 1])


def weights_of(model: keras.Model) -> list:
    return [np.atleast_2d(weight).tolist() for weight in model.get_weights()]


def batch(count: int = 32, latent: int = 3) -> dict[str, np.ndarray]:
    random = np.random.default_rng(1)
    return {
        "reals": random.normal(size=(count, 2)),
        "latents": random.normal(size=(count, latent)),
        "shares": random.uniform(size=(count, 1)),
    }


def gradient_penalty(judge, reals, fakes, shares):
    """`losses.gradient_penalty` at given points, because its own random numbers cannot be had in JavaScript."""
    between = reals + shares * (fakes - reals)
    with tf.GradientTape() as tape:
        tape.watch(between)
        logits = tf.reduce_sum(judge(between))
    norms = tf.sqrt(tf.reduce_sum(tape.gradient(logits, between) ** 2, axis=1) + 1e-12)
    return tf.reduce_mean((norms - 1.0) ** 2)


def expected(loss: str, weights: dict[str, float], generator, discriminator, given) -> dict:
    """TensorFlow's gradients of both players' objectives."""
    reals, latents, shares = (tf.constant(given[name]) for name in ("reals", "latents", "shares"))
    functions = LOSSES[loss]
    with tf.GradientTape() as g_tape, tf.GradientTape() as d_tape:
        fakes = generator(latents)
        real_logits, fake_logits = discriminator(reals), discriminator(fakes)
        objective = functions.discriminator(real_logits, fake_logits)
        objective += weights["r1"] / 2 * zero_centred_penalty(discriminator, reals)
        objective += weights["r2"] / 2 * zero_centred_penalty(discriminator, tf.stop_gradient(fakes))
        objective += weights["gradient_penalty"] * gradient_penalty(
            discriminator, reals, tf.stop_gradient(fakes), shares
        )
        g_args = (fake_logits, real_logits) if functions.paired else (fake_logits,)
        g_loss = functions.generator(*g_args)
    return {
        "objective": float(objective),
        "gLoss": float(g_loss),
        "d": [g.numpy() for g in d_tape.gradient(objective, discriminator.trainable_variables)],
        "g": [g.numpy() for g in g_tape.gradient(g_loss, generator.trainable_variables)],
    }


def furthest(found: list, wanted: list) -> float:
    """The largest difference between two lists of gradients."""
    return max(float(np.max(np.abs(np.array(f) - np.atleast_2d(w)))) for f, w in zip(found, wanted, strict=True))


CASES = [(loss, penalty_weights(loss)) for loss in LOSSES]
CASES += [("non-saturating", {"r1": 2.0, "r2": 0.5, "gradient_penalty": 3.0})]


@pytest.fixture(scope="module")
def gradients() -> list[tuple[dict, dict]]:
    """For each case, the gradients of the page and those of TensorFlow. One process computes all, because to start it
    takes longer than to compute."""
    generator, discriminator = players()
    given = batch()
    found = run_javascript(
        """
        return INPUT.cases.map(([loss, penalty]) => {
          const [generator, discriminator] = [network(INPUT.generator), network(INPUT.discriminator)];
          const [reals, latents, shares] = [INPUT.reals, INPUT.latents, INPUT.shares].map(matrix);
          const fakes = generator.forward(latents);
          const value = LOSSES[loss].d(discriminator.forward(reals), discriminator.forward(fakes));
          const weights = { r1: penalty.r1, r2: penalty.r2, gp: penalty.gradient_penalty };
          const objective = add(value, penalties(discriminator, reals, fakes, shares, weights));
          const gLoss = generatorLoss(discriminator, fakes, reals, loss);
          return {
            objective: objective.value,
            gLoss: gLoss.value,
            d: gradient(objective, discriminator.weights).map(rows),
            g: gradient(gLoss, generator.weights).map(rows),
          };
        });
        """,
        {
            "cases": CASES,
            "generator": weights_of(generator),
            "discriminator": weights_of(discriminator),
            **{name: values.tolist() for name, values in given.items()},
        },
    )
    return [
        (one, expected(loss, weights, generator, discriminator, given))
        for one, (loss, weights) in zip(found, CASES, strict=True)
    ]


@pytest.mark.parametrize("case", range(len(CASES)), ids=[*LOSSES, "all penalties"])
def test_losses_and_gradients_equal_tensorflows(gradients, case):
    found, wanted = gradients[case]
    assert found["objective"] == pytest.approx(wanted["objective"], abs=1e-5)
    assert found["gLoss"] == pytest.approx(wanted["gLoss"], abs=1e-5)
    assert furthest(found["d"], wanted["d"]) < 1e-5
    assert furthest(found["g"], wanted["g"]) < 1e-5
    assert max(np.max(np.abs(g)) for g in wanted["g"]) > 1e-3  # There is something to compare.


def test_each_loss_has_the_penalties_and_chance_values_of_gan_tf():
    found = run_javascript(
        """return Object.fromEntries(Object.keys(LOSSES).map((loss) => {
             const { r1, r2, gp } = settingsWith({ loss });
             return [loss, [{ r1, r2, gradient_penalty: gp }, Object.values(chanceLosses(loss))]];
           }));"""
    )
    assert set(found) == set(LOSSES)
    for loss, (weights, chance) in found.items():
        assert weights == penalty_weights(loss)
        assert chance == pytest.approx(chance_losses(loss), abs=1e-6)


def test_adam_equals_keras():
    random = np.random.default_rng(3)
    weights, steps = random.normal(size=(3, 4)), random.normal(size=(5, 3, 4))
    variable = tf.Variable(weights)
    optimizer = keras.optimizers.Adam(0.01, beta_1=0.5)
    for gradient in steps:
        optimizer.apply([tf.constant(gradient)], [variable])
    found = run_javascript(
        """const weight = matrix(INPUT.weights);
           const adam = new Adam([weight]);
           for (const step of INPUT.steps) adam.apply([matrix(step)], 0.01, 0.5);
           return rows(weight);""",
        {"weights": weights.tolist(), "steps": steps.tolist()},
    )
    np.testing.assert_allclose(found, variable.numpy(), atol=1e-6)


def test_a_seed_repeats_a_game_and_another_does_not():
    found = run_javascript(
        """const play = (seed, byStages) => {
             const settings = settingsWith({ seed, dSteps: 2, width: 8 });
             const gan = new Gan(settings);
             const sample = (count, random) => DATA.ring(count, random);
             for (let i = 0; i < 5; i++) gan.step(sample);
             if (byStages) for (let i = 0; i < 9; i++) gan.stage(sample);
             else gan.step(sample);
             return [gan.steps, gan.next, rows(gan.generator.weights[0]), rows(gan.discriminator.weights[0])];
           };
           return [play(1, false), play(1, true), play(2, false)];"""
    )
    assert found[0] == found[1]  # Nine stages are one step: four for each of two updates, and one for the generator.
    assert found[0][:2] == [6, "latents"]
    assert found[0] != found[2]


def test_an_address_holds_the_settings():
    found = run_javascript(
        """const settings = settingsWith({ loss: "relativistic", data: "drawn", r1: 3, dRate: 0.01, seed: 7 });
           const drawn = decodePoints("AAf__-");
           const address = toAddress(settings, drawn);
           const usual = toAddress(settingsWith({ loss: "wasserstein" }), []);
           return { address, back: fromAddress("#" + address), settings, drawn, usual };"""
    )
    assert found["address"] == "loss=relativistic&data=drawn&dRate=0.01&r1=3&seed=7&points=AAf__-"
    assert found["back"] == {"settings": found["settings"], "drawn": found["drawn"]}
    assert found["usual"] == "loss=wasserstein"  # The penalty is what the loss brings.


def test_an_address_from_anyone_is_ignored_where_it_makes_no_sense():
    addresses = ["loss=constructor", "data=__proto__", "dRate=1e9", "width=", "seed=-1", "r2=5", "<img onerror>", "%"]
    usual, *found = run_javascript(
        "return [settingsWith(), ...INPUT.map((text) => fromAddress(text).settings)];",
        [f"#{address}" for address in addresses],
    )
    assert [address for address, settings in zip(addresses, found, strict=True) if settings != usual] == []


def test_data_stay_within_the_plane():
    found = run_javascript(
        """return Object.fromEntries(["ring", "grid", "moons", "spiral", "cloud"].map((name) =>
             [name, rows(DATA[name](500, new Random(1)))]));"""
    )
    for points in found.values():
        assert np.shape(points) == (500, 2)
        assert np.max(np.abs(points)) < 1.5
    angles = np.arctan2(*np.transpose(found["ring"]))
    assert len(np.unique(np.round(angles / (np.pi / 4)) % 8)) == 8


def test_the_page_is_built_from_its_sources():
    page = page_build.PAGE.read_text(encoding="utf-8")
    assert page == page_build.build(), "docs/playground.html is stale: run python docs/playground/build.py"


def test_the_page_asks_for_nothing_from_elsewhere():
    page = page_build.build()
    assert "default-src 'none'" in page
    addresses = set(re.findall(r"https?://[^\s'\"<>)]+", page))
    assert addresses == {"http://www.w3.org/2000/svg"}  # A name, which nobody fetches.
    assert not re.search(r"\b(fetch|XMLHttpRequest|WebSocket|import|eval|innerHTML)\s*[(=]", page)
