"""The page of a run in a real browser: its networks against Keras, and each control used as a person would."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.web.browser import NEEDS_BROWSER, forbidden_things_that_work, until

pytestmark = NEEDS_BROWSER

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SOURCES = ROOT / "gan_tf" / "web"
SIZES = (28, 32, 64, 96, 128, "24x40", "104x72")  # The last ones are oblong, and the very last drops odd rows.
HOSTILE = "<img src=x onerror=alert(1)>"


# ---- Equal to Keras ----


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, dict]:
    """Runs of every size, grey and in colour, conditional or not: their networks for the page, and what Keras makes of
    the same input with the weights as the page has them."""
    import tensorflow as tf

    from gan_tf.config import parse_size
    from gan_tf.web.layers import encode, rounded
    from tests.web.runs import LATENTS, make_run

    folder, found = tmp_path_factory.mktemp("runs"), {}
    for size in SIZES:
        for channels, labels in ((1, ()), (1, ("a", "b", "c")), (3, ()), (3, ("a", "b"))):
            name = f"{size} {'grey' if channels == 1 else 'colour'}{' conditional' if labels else ''}"
            side = sum(parse_size(size)) // 2
            run = make_run(folder / name, size, channels, labels, seed=side + channels)
            generator, discriminator = run.load_generator(), run.load_discriminator()
            generator.set_weights(rounded(generator))
            discriminator.set_weights(rounded(discriminator))
            latent = np.random.default_rng(side).standard_normal((1, LATENTS)).astype(np.float32)
            inputs = tf.constant(
                np.append(latent, np.eye(max(1, len(labels)))[-1:, : len(labels)], axis=1).astype(np.float32)
            )
            with tf.GradientTape(persistent=True) as tape:
                tape.watch(inputs)
                image = generator(inputs, training=False)
                tape.watch(image)
                logits = discriminator(image, training=False)
                last = logits[0, -1]
            found[name] = {
                "generator": encode(generator),
                "discriminator": encode(discriminator),
                "input": inputs.numpy()[0].tolist(),
                "image": image.numpy().ravel(),
                "logits": logits.numpy()[0],
                "by_pixel": tape.gradient(last, image).numpy().ravel(),
                "by_latent": tape.gradient(last, inputs).numpy()[0],
            }
    return found


@pytest.fixture(scope="module")
def computed(browser, models) -> dict[str, dict]:
    """What networks.js computes of the same, in the browser."""
    page = browser.new_page()
    given = {
        name: {key: model[key] for key in ("generator", "discriminator", "input")} for name, model in models.items()
    }
    source = (SOURCES / "networks.js").read_text(encoding="utf-8")
    found = page.evaluate(
        f"""async (given) => {{
          {source}
          const found = {{}};
          for (const [name, {{ generator, discriminator, input }}] of Object.entries(given)) {{
            const [g, d] = [await Network.decode(generator), await Network.decode(discriminator)];
            const image = g.forward(Float64Array.from(input));
            const logits = d.forward(image);
            const by_pixel = d.backward(logits.map((_, i) => Number(i === logits.length - 1)));
            const by_latent = g.backward(by_pixel);
            const numbers = {{ image, logits, by_pixel, by_latent, pixels: toPixels(image) }};
            found[name] = JSON.stringify(Object.entries(numbers).map(([key, values]) => [key, [...values]]));
          }}
          return found;
        }}""",
        given,
    )
    page.close()
    return {name: {key: np.array(values) for key, values in json.loads(text)} for name, text in found.items()}


KINDS = [f"{size} {kind}" for size in SIZES for kind in ("grey", "grey conditional", "colour", "colour conditional")]


@pytest.mark.parametrize("name", KINDS)
def test_a_picture_equals_keras_at_every_size(models, computed, name):
    wanted, found = models[name], computed[name]
    assert np.ptp(wanted["image"]) > 1  # There is something to see.
    assert np.max(np.abs(found["image"] - wanted["image"])) * 127.5 < 0.01  # Grey levels of 255.
    wanted_pixels = np.clip(np.rint((wanted["image"] + 1) * 127.5), 0, 255)
    assert np.max(np.abs(found["pixels"] - wanted_pixels)) <= 1


@pytest.mark.parametrize("name", KINDS)
def test_the_discriminator_and_all_gradients_equal_tensorflows(models, computed, name):
    wanted, found = models[name], computed[name]
    np.testing.assert_allclose(found["logits"], wanted["logits"], rtol=1e-4, atol=1e-3)
    for gradient in ("by_pixel", "by_latent"):
        scale = np.max(np.abs(wanted[gradient]))
        assert scale > 0
        assert np.max(np.abs(found[gradient] - wanted[gradient])) < 1e-4 * scale


def test_latents_labels_and_directions_equal_numpys(browser):
    page = browser.new_page()
    source = (SOURCES / "latents.js").read_text(encoding="utf-8")
    kernel = np.random.default_rng(1).standard_normal((12, 40))
    found = page.evaluate(
        f"""(kernel) => {{
          {source}
          const directions = closedFormDirections({{ kernel: Float64Array.from(kernel), outputs: 40 }}, 12);
          const random = new Random(5);
          return {{
            normals: Array.from({{ length: 100000 }}, () => random.normal()),
            latents: [0, 7, 2 ** 32 - 1].map((seed) => seededLatents(seed, 3, 64).map((latent) => [...latent])),
            labels: seededLabels(3, 1000, [0.2, 0.5, 0.3]),
            arc: [0, 0.3, 1].map((t) => [...slerp(Float64Array.of(1, 2, 3), Float64Array.of(-1, 0, 2), t)]),
            strengths: directions.strengths,
            vectors: directions.vectors.map((vector) => [...vector]),
          }};
        }}""",
        kernel.ravel().tolist(),
    )
    page.close()
    # All kinds of draws occur among so many: beyond the last layer of the ziggurat, and rejected ones.
    np.testing.assert_allclose(found["normals"], np.random.default_rng(5).standard_normal(100000), atol=1e-12)
    for seed, latents in zip((0, 7, 2**32 - 1), found["latents"], strict=True):
        wanted = np.random.default_rng(seed).standard_normal((3, 64)).astype(np.float32)
        np.testing.assert_array_equal(np.float32(latents), wanted)
    from gan_tf.gan import random_labels
    from gan_tf.generate import slerp

    np.testing.assert_array_equal(found["labels"], random_labels(1000, [0.2, 0.5, 0.3], 3))
    arc = slerp(np.array([1.0, 2, 3]), np.array([-1.0, 0, 2]), np.array([[0], [0.3], [1]]))
    np.testing.assert_allclose(found["arc"], arc, atol=1e-12)
    _, strengths, vectors = np.linalg.svd(kernel.T)
    np.testing.assert_allclose(found["strengths"], strengths, atol=1e-9)
    np.testing.assert_allclose(np.abs(np.sum(vectors * np.array(found["vectors"]), axis=1)), 1, atol=1e-9)


# ---- Pages as people use them ----


@pytest.fixture
def open_page(open_file):
    """Opens docs/NAME.html. Motion is off unless asked for: a test then waits for nothing."""

    def open_page(name: str, address: str = "", **options):
        return open_file(DOCS / f"{name}.html", address, **{"reduced_motion": "reduce", **options})

    return open_page


def pixels_of(page, selector: str) -> np.ndarray:
    """A canvas's pixels, uint8 (height, width, 3)."""
    width, height, data = page.evaluate(
        f"""(() => {{
          const canvas = document.querySelector({json.dumps(selector)});
          const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          return [canvas.width, canvas.height, [...pixels.data]];
        }})()"""
    )
    return np.array(data, np.uint8).reshape(height, width, 4)[..., :3]


def settle(page) -> None:
    """Wait until everything that was asked for is on the page."""
    page.evaluate("new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))")
    until(page, "!machine.busy", 120)


def drawn(page, selector: str) -> str:
    """A condition: the canvas shows a picture."""
    return (
        f"(() => {{ const c = document.querySelector({json.dumps(selector)});"
        " return c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((x, i) => i % 4 === 3 && x); })()"
    )


def all_drawn(group: str) -> str:
    """A condition: all canvases in a group show pictures."""
    return (
        f"[...document.querySelectorAll('{group} canvas')].every((c) => c.getContext('2d')"
        ".getImageData(0, 0, c.width, c.height).data[3])"
    )


def download_picture(download) -> Image.Image:
    """A downloaded picture, read whole."""
    return Image.open(io.BytesIO(Path(download.value.path()).read_bytes()))


def generated(name: str, count: int, seed: int, label: str | None = None) -> np.ndarray:
    """What `python -m gan_tf.generate` draws: uint8 (count, height, width, channels)."""
    from gan_tf.generate import Options, make_request

    options = Options(ROOT / "pretrained" / name, (label,) if label else (), count, seed)
    return np.concatenate([*make_request(options).images()])


@pytest.mark.parametrize("name, label", [("fives", None), ("digits", None), ("digits", "7"), ("creatures", "owl")])
def test_a_seed_draws_what_the_command_draws(open_page, name, label):
    page = open_page(name)
    if label:
        page.locator("#draw-label").select_option(label=label)
    page.get_by_label("Seed", exact=True).fill("5")
    page.get_by_label("Seed", exact=True).press("Enter")
    settle(page)
    until(page, f"Draw.seed === 5 && {all_drawn('#grid')}")
    settle(page)
    wanted = generated(name, 3, 5, label).astype(int)
    for i, image in enumerate(wanted):
        found = pixels_of(page, f"#grid .tile:nth-child({i + 1}) canvas")
        assert np.max(np.abs(found - image)) <= 1


@pytest.fixture(scope="module")
def oblong(tmp_path_factory) -> tuple[Path, np.ndarray, np.ndarray]:
    """A page of a grey run of 24x40 pixels and a transparent one of 48x32, and what Keras draws of the first seed."""
    from gan_tf.generate import Request
    from gan_tf.web.build import make_page
    from tests.web.runs import make_run

    folder = tmp_path_factory.mktemp("oblong")
    runs = [make_run(folder / "tall", "24x40", 1, seed=3), make_run(folder / "clear", "48x32", 4, seed=4)]
    (folder / "page.html").write_text(make_page([run.folder for run in runs])[0], encoding="utf-8")
    return folder / "page.html", *(next(Request(run.load_generator(), 3).images()).astype(int) for run in runs)


def proportions(page, selector: str) -> float:
    """Width over height, as it is shown."""
    box = page.locator(selector).first.bounding_box()
    return box["width"] / box["height"]


def test_an_oblong_run_is_shown_in_its_proportions_and_draws_what_keras_draws(open_file, oblong):
    file, wanted, _ = oblong
    page = open_file(file, reduced_motion="reduce")
    until(page, all_drawn("#grid"))
    for i, image in enumerate(wanted):
        found = pixels_of(page, f"#grid .tile:nth-child({i + 1}) canvas")
        assert found.shape == (40, 24, 3) and np.max(np.abs(found - image)) <= 1
    assert proportions(page, "#grid .tile") == pytest.approx(24 / 40, rel=0.03)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as PNG").first.click()
    assert download_picture(download).size == (7 * 26 + 2, 6 * 42 + 2)
    page.locator("#tab-walk").click()
    until(page, drawn(page, "#walk-picture"))
    for selector in ("#map", "#walk-picture", "#stops .tile"):
        assert proportions(page, selector) == pytest.approx(24 / 40, rel=0.03)
    page.get_by_label("Two fakes").check()
    assert proportions(page, "#map") == pytest.approx(9 * 24 / 40, rel=0.03)
    with page.expect_download(timeout=60000) as download:
        page.get_by_role("button", name="Save as GIF").click()
    assert download_picture(download).size == (24 * 6, 40 * 6)
    page.locator("#tab-directions").click()
    until(page, drawn(page, "#turned"))
    for selector in ("#turned", "#followers canvas", ".direction canvas"):
        assert proportions(page, selector) == pytest.approx(24 / 40, rel=0.03)
    page.locator("#tab-eye").click()
    until(page, "Eye.light !== null")
    settle(page)
    picture = np.array(page.evaluate("[...Eye.picture()]")).reshape(40, 24, 1)
    assert np.max(np.abs((picture + 1) * 127.5 - wanted[0])) <= 1.5
    assert proportions(page, "#paper") == pytest.approx(24 / 40, rel=0.03)


def test_a_transparent_run_is_transparent_on_the_page_and_in_what_is_saved(open_file, oblong):
    file, _, wanted = oblong
    page = open_file(file, "#tab=draw&run=1", reduced_motion="reduce")
    until(page, all_drawn("#grid"))
    settle(page)

    def on_white(pixels):
        return 255 + pixels[..., 3:] / 255 * (pixels[..., :3].astype(int) - 255)

    assert wanted[..., 3].min() < 50 and wanted[..., 3].max() > 200
    found = np.array(
        page.evaluate("[...$('grid').firstChild.firstChild.getContext('2d').getImageData(0, 0, 48, 32).data]")
    ).reshape(32, 48, 4)
    # A canvas multiplies colours by their opacity, so those of nearly transparent pixels are less exact.
    np.testing.assert_allclose(found[..., 3], wanted[0, ..., 3], atol=1)
    np.testing.assert_allclose(on_white(found), on_white(wanted[0]), atol=2)
    style = page.evaluate("getComputedStyle(document.querySelector('#grid .tile')).backgroundImage")
    assert "conic-gradient" in style
    assert not page.locator("#tab-eye").is_visible()
    assert "with transparency" in page.locator("#about").text_content()
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as PNG").first.click()
    sheet = np.asarray(download_picture(download))
    assert sheet.shape[2] == 4 and (sheet[0, :, 3] == 0).all()
    np.testing.assert_allclose(on_white(sheet[2:34, 2:50]), on_white(wanted[0]), atol=2)
    page.locator("#tab-walk").click()
    page.get_by_label("Two fakes").check()
    until(page, all_drawn("#stops"))
    with page.expect_download(timeout=60000) as download:
        page.get_by_role("button", name="Save as GIF").click()
    gif = download_picture(download)
    assert gif.size == (48 * 5, 32 * 5)
    stop = np.array(
        page.evaluate("[...$('stops').firstChild.firstChild.getContext('2d').getImageData(0, 0, 48, 32).data]")
    ).reshape(32, 48, 4)
    first = np.asarray(gif.convert("RGB"))[2::5, 2::5].astype(int)
    assert np.mean(np.abs(first - on_white(stop))) < 8


def test_new_fakes_come_on_a_key_and_on_the_button(open_page):
    page = open_page("digits")
    until(page, all_drawn("#grid"))
    before = pixels_of(page, "#grid canvas")
    page.keyboard.press("n")
    until(page, "times.length >= 60")
    assert page.get_by_label("Seed", exact=True).input_value() == "1"
    after = pixels_of(page, "#grid canvas")
    assert not np.array_equal(before, after)
    page.get_by_role("button", name="New fakes").click()
    assert page.get_by_label("Seed", exact=True).input_value() == "2"
    page.get_by_label("Seed", exact=True).fill("0")
    page.get_by_label("Seed", exact=True).press("n")  # Typing is no command.
    page.get_by_label("Seed", exact=True).press("Enter")
    assert page.evaluate("Draw.seed") == 0


def test_a_fake_is_enlarged_and_saved(open_page):
    page = open_page("digits")
    until(page, all_drawn("#grid"))
    first = page.locator("#grid .tile").first
    first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert page.locator("#large").is_visible()
    columns = page.evaluate("columnsOf($('grid'))")
    title = page.locator("#large-title").text_content()
    assert title.startswith(f"Fake {columns + 2} of seed 0, ")
    page.keyboard.press("ArrowRight")
    assert page.locator("#large-title").text_content().startswith(f"Fake {columns + 3} of seed 0, ")
    with page.expect_download() as download:
        page.locator("#save-large").click()
    picture = np.asarray(download_picture(download).convert("RGB"))
    shown = pixels_of(page, f"#grid .tile:nth-child({columns + 3}) canvas")
    scale = picture.shape[0] // 28
    assert scale == 18
    np.testing.assert_array_equal(picture[scale // 2 :: scale, scale // 2 :: scale], shown)
    page.keyboard.press("Escape")
    assert not page.locator("#large").is_visible()
    # The dialog's close event, which moves the focus, comes a moment after it has gone.
    until(page, "document.activeElement === $('grid').children[Draw.large]")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as PNG").first.click()
    assert download.value.suggested_filename == "digits-seed-0.png"
    assert download_picture(download).size == (7 * 58 + 2, 6 * 58 + 2)


def test_a_walk_follows_the_mouse_and_the_keyboard(open_page):
    page = open_page("digits", "#tab=walk")
    until(page, f"{drawn(page, '#walk-picture')} && {all_drawn('#stops')} && {all_drawn('#candidates')}")
    settle(page)
    box = page.locator("#map").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 4, box["y"] + 4, steps=5)
    page.mouse.up()
    assert page.evaluate("[Walk.position.u, Walk.position.v]") == [0, 0]
    settle(page)
    np.testing.assert_array_equal(pixels_of(page, "#walk-picture"), pixels_of(page, "#stops .tile:nth-child(1) canvas"))
    page.get_by_label("Across", exact=True).focus()
    page.keyboard.press("End")
    settle(page)
    np.testing.assert_array_equal(pixels_of(page, "#walk-picture"), pixels_of(page, "#stops .tile:nth-child(2) canvas"))
    page.get_by_label("Down", exact=True).focus()
    page.keyboard.press("End")
    settle(page)
    np.testing.assert_array_equal(pixels_of(page, "#walk-picture"), pixels_of(page, "#stops .tile:nth-child(4) canvas"))
    map_corner = pixels_of(page, "#map-canvas")[-28:, -28:]
    np.testing.assert_array_equal(pixels_of(page, "#walk-picture"), map_corner)


def test_a_walk_is_what_the_command_walks(open_page):
    from gan_tf.gan import sample
    from gan_tf.generate import slerp
    from gan_tf.run.folder import Run

    page = open_page("digits", "#tab=walk")
    page.get_by_label("Two fakes").check()
    page.get_by_label("Across", exact=True).fill("30")
    until(page, drawn(page, "#walk-picture"))
    settle(page)
    stops = page.evaluate("Walk.current().map((fake) => [[...fake.latent], [...fake.mixture]])")
    (a, first), (b, second) = [[np.array(part) for part in stop] for stop in stops]
    latent = slerp(a, b, np.array([[0.3]]))
    inputs = np.concatenate([latent, [0.7 * first + 0.3 * second]], axis=1)
    wanted = sample(Run(ROOT / "pretrained" / "digits").load_generator(), inputs)[0]
    assert np.max(np.abs(pixels_of(page, "#walk-picture").astype(int) - wanted)) <= 1


def test_stops_are_chosen_and_replaced(open_page):
    page = open_page("digits", "#tab=walk")
    until(page, all_drawn("#candidates"))
    stops = page.locator("#stops .tile")
    stops.nth(2).click()
    assert stops.nth(2).get_attribute("aria-checked") == "true"
    page.locator("#candidates .tile").nth(4).click()
    settle(page)
    np.testing.assert_array_equal(
        pixels_of(page, "#stops .tile:nth-child(3) canvas"), pixels_of(page, "#candidates .tile:nth-child(5) canvas")
    )
    assert stops.nth(3).get_attribute("aria-checked") == "true"  # The next one is up.
    before = pixels_of(page, "#candidates canvas")
    page.get_by_role("button", name="Other fakes").click()
    settle(page)
    assert not np.array_equal(before, pixels_of(page, "#candidates canvas"))
    page.get_by_label("Two fakes").check()
    assert [stop.is_visible() for stop in stops.all()] == [True, True, False, False]
    assert not page.get_by_label("Down", exact=True).is_visible()
    latents = page.evaluate("Walk.stops.map((stop) => stop.latent[0])")
    page.get_by_role("button", name="New stops").click()
    assert page.evaluate("Walk.stops.map((stop) => stop.latent[0])") != latents


def test_a_walk_is_animated_and_saved(open_page):
    page = open_page("digits", "#tab=walk")
    until(page, drawn(page, "#walk-picture"))
    page.get_by_role("button", name="Animate").click()
    before = page.evaluate("Walk.position.u")
    until(page, f"Walk.position.u !== {before}")
    page.get_by_role("button", name="Pause").click()
    stopped = page.evaluate("Walk.position")
    page.wait_for_timeout(200)
    assert page.evaluate("Walk.position") == stopped
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as GIF").click()
    gif = download_picture(download)
    assert (gif.n_frames, gif.size, gif.info["duration"], gif.info["loop"]) == (64, (252, 252), 60, 0)
    first = np.asarray(gif.convert("RGB"))[4::9, 4::9]
    np.testing.assert_array_equal(first, pixels_of(page, "#stops .tile:nth-child(1) canvas"))
    gif.seek(32)  # Halfway around the square: the opposite corner.
    np.testing.assert_array_equal(
        np.asarray(gif.convert("RGB"))[4::9, 4::9], pixels_of(page, "#stops .tile:nth-child(4) canvas")
    )
    assert "Saved digits-walk.gif" in page.locator("#walk-status").text_content()
    with page.expect_download(timeout=60000) as download:
        page.get_by_role("button", name="Save as WebM").click()
    film = Path(download.value.path()).read_bytes()
    assert film.startswith(b"\x1a\x45\xdf\xa3") and len(film) > 10_000


def test_a_gif_in_colour_keeps_its_colours(open_page):
    page = open_page("creatures", "#tab=walk")
    page.get_by_label("Two fakes").check()
    with page.expect_download(timeout=120000) as download:
        page.get_by_role("button", name="Save as GIF").click()
    gif = download_picture(download)
    assert (gif.n_frames, gif.size) == (32, (256, 256))
    first = np.asarray(gif.convert("RGB"))[2::4, 2::4].astype(int)
    wanted = pixels_of(page, "#stops .tile:nth-child(1) canvas").astype(int)
    assert np.mean(np.abs(first - wanted)) < 6


def test_sliders_move_the_fake_along_the_closed_form_directions(open_page):
    from gan_tf.run.folder import Run

    page = open_page("digits", "#tab=directions")
    until(page, f"Directions.vectors && {all_drawn('#directions .cards')} && {all_drawn('#direction-sliders')}")
    kernel = np.asarray(Run(ROOT / "pretrained" / "digits").load_generator().layers[0].kernel)[:64]
    _, _, vectors = np.linalg.svd(kernel.T)
    found = np.array(page.evaluate("Directions.vectors.slice(0, 6).map((vector) => [...vector])"))
    np.testing.assert_allclose(np.abs(np.sum(found * vectors[:6], axis=1)), 1, atol=1e-4)
    before, latent = pixels_of(page, "#turned"), page.evaluate("Directions.latent(Directions.base.latent)")
    page.get_by_label("Direction 2", exact=True).focus()
    for _ in range(15):
        page.keyboard.press("ArrowRight")
    moved = page.evaluate("Directions.latent(Directions.base.latent)")
    np.testing.assert_allclose(np.array(moved) - latent, 1.5 * found[1], atol=1e-9)
    settle(page)
    assert not np.array_equal(before, pixels_of(page, "#turned"))
    page.get_by_label("Truncation", exact=True).fill("50")
    np.testing.assert_allclose(page.evaluate("Directions.latent(Directions.base.latent)"), np.array(moved) / 2)
    page.get_by_text("The latent numbers").click()
    page.get_by_label("Latent number 3", exact=True).fill("1.5")
    assert page.evaluate("Directions.latent(Directions.base.latent)[2]") == pytest.approx(1.5)
    page.get_by_role("button", name="Reset").click()
    assert page.get_by_label("Direction 2", exact=True).input_value() == "0"
    assert page.get_by_label("Truncation", exact=True).input_value() == "100"
    page.get_by_role("button", name="More directions").click()
    assert page.locator(".direction").count() == 12
    until(page, all_drawn("#direction-sliders"))
    page.get_by_role("button", name="Another fake").click()
    settle(page)
    assert not np.array_equal(before, pixels_of(page, "#turned"))


def test_labels_are_chosen_and_mixed(open_page):
    page = open_page("creatures", "#tab=directions")
    until(page, f"Directions.vectors && {drawn(page, '#turned')}")
    buttons = page.locator("#label-buttons")
    buttons.get_by_role("button", name="owl").click()
    assert buttons.get_by_role("button", name="owl").get_attribute("aria-pressed") == "true"
    assert page.evaluate("Directions.mixture()") == [0, 0, 0, 0, 1, 0]
    page.get_by_label("mixed with").select_option(label="fox")
    assert page.evaluate("Directions.mixture()") == [0, 0, 0.5, 0, 0.5, 0]
    page.get_by_label("Share", exact=True).fill("25")
    assert page.evaluate("Directions.mixture()") == [0, 0, 0.25, 0, 0.75, 0]
    assert page.locator("#share-value").text_content() == "25% \u201cfox\u201d"
    buttons.get_by_role("button", name="fox").click()  # A label is not mixed with itself.
    assert page.evaluate("Directions.mixture()[2]") == 0.75
    assert page.evaluate("Directions.labels.second !== Directions.labels.first")


def test_a_fake_goes_from_the_grid_to_its_sliders(open_page):
    page = open_page("digits")
    until(page, all_drawn("#grid"))
    page.locator("#grid .tile").nth(2).click()
    page.get_by_role("button", name="Turn its sliders").click()
    assert page.get_by_role("tab", name="Directions").get_attribute("aria-selected") == "true"
    until(page, f"Directions.base && {drawn(page, '#turned')}")
    settle(page)
    np.testing.assert_array_equal(pixels_of(page, "#turned"), pixels_of(page, "#grid .tile:nth-child(3) canvas"))


# ---- The discriminator's eye ----


@pytest.fixture
def eye(open_page):
    """The tab of the digits, with a fake on the paper."""
    page = open_page("digits", "#tab=eye")
    until(page, "/[0-9]/.test($('logit').textContent)")
    settle(page)
    return page


def test_the_verdict_on_a_fake_is_keras_s(eye):
    from gan_tf.run.folder import Run

    picture = np.array(eye.evaluate("[...Eye.picture()]")).reshape(1, 28, 28, 1)
    shown = pixels_of(eye, "#paper")[4::8, 4::8, 0]
    np.testing.assert_array_equal(np.rint((picture[0, ..., 0] + 1) * 127.5), shown)
    np.testing.assert_array_equal(shown, generated("digits", 1, 0)[0, ..., 0])  # The first fake of seed 0.
    logits = Run(ROOT / "pretrained" / "digits").load_discriminator()(picture.astype(np.float32)).numpy()[0]
    for label in (eye.evaluate("Eye.label"), 3):
        eye.locator("#judge-labels").get_by_role("button", name=str(label)).click()
        settle(eye)
        assert float(eye.locator("#logit").text_content().replace("\u2212", "-")) == pytest.approx(
            logits[label], abs=0.01
        )
        percent = 100 / (1 + np.exp(-logits[label]))
        assert float(eye.locator("#probability").text_content()[:-1]) == pytest.approx(percent, abs=0.6)


def test_a_stroke_changes_the_verdict_and_the_gradient(eye):
    eye.get_by_role("button", name="Clear").click()
    settle(eye)
    assert eye.evaluate("Eye.picture().every((value) => value === -1)")  # Black, like the digits' background.
    before, gradient = eye.locator("#logit").text_content(), pixels_of(eye, "#gradient")
    box = eye.locator("#paper").bounding_box()
    eye.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 4)
    eye.mouse.down()
    eye.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] * 3 / 4, steps=6)
    eye.mouse.up()
    settle(eye)
    picture = np.array(eye.evaluate("[...Eye.picture()]")).reshape(28, 28)
    assert picture[8:20, 13:15].min() > 0.9 and picture[:, :10].max() == -1 and picture[24:].max() == -1
    assert eye.locator("#logit").text_content() != before
    assert not np.array_equal(gradient, pixels_of(eye, "#gradient"))
    eye.get_by_role("button", name="Invert").click()
    inverted = np.array(eye.evaluate("[...Eye.picture()]")).reshape(28, 28)
    np.testing.assert_allclose(inverted, -picture, atol=0.02)


def test_one_draws_by_keyboard(eye):
    eye.get_by_role("button", name="Clear").click()
    eye.locator("#brush").fill("30")
    assert eye.locator("#brush-value").text_content() == "3.0 pixels"
    eye.locator("#paper").focus()
    for key in ("ArrowUp", "ArrowUp", " ", "ArrowRight", "ArrowRight", "ArrowRight", "ArrowRight", " ", "ArrowDown"):
        eye.keyboard.press(key)
    picture = np.array(eye.evaluate("[...Eye.picture()]")).reshape(28, 28)
    assert picture[11:13, 14:18].min() > 0.9 and picture[16:].max() == -1 and picture[:, :11].max() == -1


def test_the_closest_fake_to_a_fake_is_found_by_descent(eye):
    target = pixels_of(eye, "#paper")[4::8, 4::8].astype(float)
    eye.get_by_role("button", name="Find it").click()
    until(eye, "$('find-progress').value > 0")
    first = float(eye.evaluate("$('find-status').textContent.match(/(\\d+) of 255/)?.[1] ?? 255"))
    until(eye, "Eye.found", 120)
    last = float(eye.evaluate("$('find-status').textContent.match(/(\\d+) of 255/)[1]"))
    assert last < 20 and last <= first
    closest = pixels_of(eye, "#closest").astype(float)
    assert np.sqrt(np.mean((closest - target) ** 2)) == pytest.approx(last, abs=1)
    assert "as 8" in eye.locator("#find-status").text_content()  # It is one of the eights, and found as one.
    assert eye.evaluate("Eye.found.latent.reduce((sum, value) => sum + value ** 2, 0)") <= 64.001
    eye.get_by_role("button", name="Turn its sliders").click()
    until(eye, f"Directions.base && {drawn(eye, '#turned')}")
    settle(eye)
    np.testing.assert_array_equal(pixels_of(eye, "#turned"), closest)


def picture_file(size: tuple[int, int], kind: str) -> bytes:
    file = io.BytesIO()
    Image.new("L", size, 200).save(file, format=kind)
    return file.getvalue()


def header(width: int, height: int) -> bytes:
    """The first bytes of a PNG of this size."""
    return b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\0\0\0\0"


@pytest.mark.parametrize(
    "name, content, said",
    [
        (
            "notes.txt",
            b"no picture",
            "notes.txt is no picture that this page can read: choose a PNG, JPEG, GIF or WebP.",
        ),
        ("empty.png", b"", "empty.png is no picture"),
        (
            "large.png",
            b"\0" * 50_000_000,
            "large.png has 50 MB, and this page takes at most 20: make it smaller first.",
        ),
        (
            "wide.png",
            header(20000, 20000),
            "wide.png is 20,000 \u00d7 20,000 pixels, and this page takes at most 8,000",
        ),
        ("cut.png", header(100, 100), "cut.png is damaged"),
        ("<img src=x onerror=alert(1)>.txt", b"no", "<img src=x onerror=alert(1)>.txt is no picture"),
    ],
    ids=["text", "empty", "50 MB", "20,000 pixels", "damaged", "hostile name"],
)
def test_a_file_that_cannot_be_shown_gets_one_sentence(eye, tmp_path, name, content, said):
    before = eye.evaluate("[...Eye.picture()]")
    (tmp_path / "file").write_bytes(content)
    # Playwright passes large files by their path only, and no file may be named like some of these.
    eye.locator("#file").evaluate("(input) => { input.onchange = null; }")
    eye.locator("#file").set_input_files(tmp_path / "file")
    eye.evaluate(
        """async (name) => {
          const file = $("file").files[0];
          await Eye.openFile(new File([file], name));
        }""",
        name,
    )
    assert eye.locator("#file-error").text_content().startswith(said)
    assert eye.locator("main img").count() == 0
    assert eye.evaluate("[...Eye.picture()]") == before


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP"])
def test_a_picture_of_one_s_own_is_opened_and_dropped(eye, tmp_path, kind):
    path = tmp_path / f"picture.{kind.lower()}"
    path.write_bytes(picture_file((300, 200), kind))
    eye.locator("#file").set_input_files(path)
    until(eye, "Eye.picture().every((value) => Math.abs(value - (200 / 127.5 - 1)) < 0.03)")
    eye.get_by_role("button", name="Clear").click()
    eye.evaluate(
        """(bytes) => {
          const data = new DataTransfer();
          data.items.add(new File([Uint8Array.from(bytes)], "dropped"));
          const event = new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true });
          document.body.dispatchEvent(event);
          if (!event.defaultPrevented) throw new Error("The browser would open the file.");
        }""",
        list(path.read_bytes()),
    )
    until(eye, "Eye.picture().every((value) => Math.abs(value - (200 / 127.5 - 1)) < 0.03)")
    assert eye.locator("#file-error").text_content() == ""


def test_a_colour_run_has_no_eye(open_page):
    page = open_page("creatures", "#tab=eye")
    assert not page.locator("#tab-eye").is_visible()
    assert page.locator("#draw").is_visible()


# ---- How it learned ----


def test_the_scrubber_moves_grid_curves_and_health_together(open_page):
    page = open_page("digits", "#tab=learned")
    until(page, drawn(page, "#samples"))
    settle(page)
    last = pixels_of(page, "#samples")
    assert page.locator("#epoch-value").text_content() == "8 of 8"
    assert page.locator("#health").text_content().startswith("All well. The discriminator is right about")
    scrubber = page.get_by_label("Epoch", exact=True)
    scrubber.focus()
    page.keyboard.press("Home")
    settle(page)
    assert page.locator("#grid-title").text_content() == "What it drew before the first step"
    assert page.locator("#health").text_content().startswith("Too early to say")
    assert not np.array_equal(last, pixels_of(page, "#samples"))
    page.keyboard.press("ArrowRight")
    history = (ROOT / "pretrained" / "digits" / "history.csv").read_text().splitlines()
    d_loss = float(history[1].split(",")[history[0].split(",").index("d_loss")])
    shown = page.locator("#curves figure").first.locator("output").first.text_content()
    assert float(shown) == pytest.approx(d_loss, rel=5e-3)
    assert page.evaluate("[...document.querySelectorAll('.now')].every((line) => line.getAttribute('x1') === '1')")
    assert scrubber.get_attribute("aria-valuetext") == "epoch 1 of 8"
    chart = page.locator("#curves .chart").first.bounding_box()
    page.mouse.click(chart["x"] + (chart["width"] - 44) / 2, chart["y"] + 20)
    assert page.evaluate("$('epoch').value") == "4"


def test_the_history_is_replayed(open_page):
    page = open_page("creatures", "#tab=learned")
    until(page, drawn(page, "#samples"))
    page.get_by_role("button", name="Play").click()
    until(page, "Number($('epoch').value) > 2 && Number($('epoch').value) < 27")
    page.get_by_role("button", name="Pause").click()
    epoch = page.evaluate("$('epoch').value")
    page.wait_for_timeout(600)
    assert page.evaluate("$('epoch').value") == epoch


def test_config_and_measures_are_tables(open_page):
    page = open_page("digits", "#tab=learned")
    assert page.locator("#config tr.changed").all_text_contents() == [
        "--datasetmnist", "--conditionalyes", "--epochs8", "--steps-per-epoch0",
    ]  # fmt: skip
    measures = page.locator("#measures table")
    assert measures.count() == 2
    row = measures.first.locator("tr", has_text="coverage").locator("td").all_text_contents()
    stored = json.loads((ROOT / "pretrained" / "digits" / "metrics.json").read_text())["evaluation"]
    for cell, name in zip(row, ("fakes", "new real images"), strict=False):
        assert float(cell.split(" ± ")[0]) == pytest.approx(stored[name]["coverage"]["mean"], abs=0.001)
    assert measures.nth(1).locator("tbody tr").count() == 10


# ---- Runs of all kinds, and hostile ones ----


@pytest.fixture(scope="module")
def strange(tmp_path_factory) -> Path:
    """A page of three runs: a hostile label; a critic with minibatch deviation; one of 128 pixels that diverged."""
    from gan_tf.web.build import make_page
    from tests.web.runs import make_run

    folder = tmp_path_factory.mktemp("strange")
    runs = [
        make_run(folder / f"first {HOSTILE[:4]}", labels=("plain", HOSTILE)),
        make_run(folder / "critic", loss="wasserstein", minibatch_std=True, seed=1),
        make_run(folder / "large", size=128, channels=3, labels=tuple(map(str, range(12))), seed=2),
    ]
    # The last run diverged.
    runs[2].history_csv.write_text(
        "epoch,d_loss,g_loss,accuracy_real,accuracy_fake,spread\n"
        "1,1,1,0.7,0.7,0.9\n2,1,1,0.7,0.7,0.9\n3,nan,nan,nan,nan,nan\n"
    )
    page = folder / "page.html"
    page.write_text(make_page([run.folder for run in runs])[0], encoding="utf-8")
    return page


def test_names_and_labels_are_text(open_file, strange):
    page = open_file(strange)
    page.on("dialog", lambda dialog: pytest.fail("A label ran as a script."))
    until(page, all_drawn("#grid"))
    for tab in ("walk", "directions", "eye", "learned"):
        page.locator(f"#tab-{tab}").click()
        settle(page)
    assert page.locator("h1").text_content() == "first <img"
    assert page.locator("#label-buttons button").nth(1).text_content() == HOSTILE
    assert page.evaluate("$('draw-label').options[2].textContent") == HOSTILE
    assert page.locator("img").count() == 0


def test_the_chooser_opens_another_run(open_file, strange):
    page = open_file(strange)
    until(page, all_drawn("#grid"))
    page.locator("#run").select_option(label="large")
    assert page.locator("h1").text_content() == "large"
    assert not page.locator("#tab-eye").is_visible()
    assert page.locator("#grid .tile").count() == 24
    until(page, all_drawn("#grid"), 60)
    assert pixels_of(page, "#grid canvas").shape == (128, 128, 3)
    page.locator("#tab-learned").click()
    assert "in epoch 3, d_loss was nan" in page.locator("#health").text_content()
    page.locator("#run").select_option(label="critic")
    page.locator("#tab-eye").click()
    until(page, "/[0-9]/.test($('logit').textContent)")
    assert not page.locator("#probability-field").is_visible()
    assert not page.locator("#judge-field").is_visible()
    note = page.locator("#eye-note").text_content()
    assert "only differences between logits count" in note and "sees one alone" in note
    page.get_by_role("tab", name="How it learned").click()
    assert not page.locator("#replay").is_visible()  # It has no history.
    assert "python -m gan_tf.evaluate" in page.locator("#measures").text_content()
    assert page.evaluate("location.hash") == "#tab=learned&run=1"
    page.reload()
    assert page.locator("h1").text_content() == "critic"
    assert page.locator("#learned").is_visible()


def test_a_critic_with_minibatch_deviation_equals_keras(open_file, strange):
    from gan_tf.run.folder import Run

    page = open_file(strange, "#tab=eye&run=1")
    until(page, "/[0-9]/.test($('logit').textContent)")
    picture = np.array(page.evaluate("[...Eye.picture()]"), np.float32).reshape(1, 28, 28, 1)
    wanted = float(Run(strange.parent / "critic").load_discriminator()(picture)[0, 0])
    assert float(page.locator("#logit").text_content().replace("\u2212", "-")) == pytest.approx(wanted, abs=0.01)


# ---- How it feels ----


@pytest.mark.parametrize("name", ["digits", "creatures"])
def test_everything_is_reached_and_named_by_keyboard_alone(open_page, name):
    page = open_page(name)
    until(page, all_drawn("#grid"))
    page.keyboard.press("Tab")  # Back to the gallery.
    assert page.evaluate("document.activeElement.textContent") == "All generators"
    page.keyboard.press("Tab")
    tabs = page.evaluate("shownTabs()")
    for number, tab in enumerate(tabs):
        if number:
            page.keyboard.press("ArrowRight")
        assert page.evaluate("document.activeElement.id") == f"tab-{tab}"
        assert page.locator(f"#{tab}").is_visible()
        settle(page)
        controls = page.evaluate(
            f"[...$('{tab}').querySelectorAll('button, input, select, summary, [tabindex=\"0\"]')]"
            ".filter((e) => e.tabIndex >= 0 && !e.disabled && e.checkVisibility() && e.type !== 'radio').length"
        )
        for _ in range(controls + 2):
            page.keyboard.press("Tab")
            inside = page.evaluate(f"$('{tab}').contains(document.activeElement)")
            if not inside:
                break
            outlines = page.evaluate(
                "[document.activeElement, document.activeElement.nextElementSibling].filter(Boolean)"
                ".map((e) => getComputedStyle(e).outlineStyle)"
            )
            assert "solid" in outlines, page.evaluate("document.activeElement.outerHTML")
        page.locator(f"#tab-{tab}").focus()
    unnamed = page.evaluate(
        """[...document.querySelectorAll("button, input, select, canvas, svg")].filter((e) =>
          !e.closest("[aria-hidden], button canvas") && !e.closest(".direction > canvas") && !e.ariaHidden &&
          !e.getAttribute("aria-label") && !e.getAttribute("aria-labelledby") && !e.textContent.trim() &&
          !(e.labels && e.labels.length) && !e.hidden && !e.closest("button")).map((e) => e.id || e.outerHTML)"""
    )
    assert unnamed == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1400])
@pytest.mark.parametrize("name", ["digits", "creatures"])
def test_nothing_sticks_out_or_moves(open_page, name, width, scheme):
    page = open_page(name, width=width, height=844, color_scheme=scheme)
    page.evaluate(
        """window.shift = 0;
           new PerformanceObserver((list) => {
             for (const entry of list.getEntries()) if (!entry.hadRecentInput) shift += entry.value;
           }).observe({ type: "layout-shift", buffered: true });"""
    )
    for tab in page.evaluate("shownTabs()"):
        page.locator(f"#tab-{tab}").click()
        page.wait_for_timeout(1000)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, tab
    assert page.evaluate("shift") < 0.01


def test_the_page_stays_free_while_the_networks_work(open_page):
    page = open_page("creatures", "#tab=walk")
    page.get_by_role("button", name="Save as GIF").click()
    until(page, "$('walk-status').textContent.startsWith('Drawing the GIF')")
    longest = page.evaluate(
        """new Promise((resolve) => {
          const began = performance.now();
          let [longest, last] = [0, began];
          const look = () => {
            const now = performance.now();
            longest = Math.max(longest, now - last);
            last = now;
            if (now - began < 1000) setTimeout(look, 0);
            else resolve(longest);
          };
          look();
        })"""
    )
    assert page.evaluate("machine.busy")  # A GIF takes seconds...
    assert longest < 500  # ...and on a busy machine, even an idle page waits for its turn.


def test_the_policy_forbids_what_the_page_does_not_need(browser):
    page = browser.new_page()
    page.goto((DOCS / "fives.html").as_uri())
    fetched, ran, loaded = forbidden_things_that_work(page)
    page.close()
    assert (fetched, ran, loaded) == (False, False, False)


@pytest.mark.parametrize("width", [390, 1400])
def test_the_gallery_leads_to_every_page(open_file, width):
    page = open_file(DOCS / "index.html", width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    addresses = page.locator("a").evaluate_all("(links) => links.map((link) => link.getAttribute('href'))")
    assert len(addresses) > 10
    for address in addresses:
        assert (DOCS / address).exists(), address
    pictures = page.locator("img").evaluate_all("(images) => images.map((image) => image.naturalWidth)")
    assert pictures == [1024, 896, 896, 896]
