"""The playground in a real browser: each control used as a person would, each failure and each cure measured.

It needs Playwright's Python package and a Chromium on the PATH; `playwright install` is not needed.
"""

import functools
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.web.browser import NEEDS_BROWSER, forbidden_things_that_work, until

SOURCES = Path(__file__).parents[2] / "docs" / "playground"
PAGE = SOURCES.parent / "playground.html"
pytestmark = NEEDS_BROWSER


@pytest.fixture
def open_page(open_file):
    """Opens the playground."""
    return functools.partial(open_file, PAGE)


def test_it_plays_when_opened_and_pauses(open_page):
    page = open_page()
    until(page, "gan.steps > 5")
    page.get_by_role("button", name="Pause").click()
    steps = page.evaluate("gan.steps")
    page.wait_for_timeout(300)
    assert page.evaluate("gan.steps") == steps
    assert page.locator("#steps").text_content() is not None
    page.get_by_role("button", name="Play").click()
    until(page, f"gan.steps > {steps}")


def test_it_does_not_play_by_itself_with_reduced_motion(open_page):
    page = open_page(reduced_motion="reduce")
    page.wait_for_timeout(500)
    assert page.evaluate("gan.steps") == 0
    page.get_by_role("button", name="Mode collapse").click()
    page.wait_for_timeout(300)
    assert page.evaluate("gan.steps") == 0
    page.get_by_role("button", name="Play").click()
    until(page, "gan.steps > 0")


def test_slow_motion_shows_each_stage_in_order(open_page):
    page = open_page(reduced_motion="reduce")
    next_stage = page.get_by_role("button", name="Next stage")
    before = page.evaluate("[...gan.discriminator.weights[0].data]")
    parts = []
    for words in ("Draw latents", "Generate", "Judge", "Gradient to the discriminator", "Gradient to the generator"):
        assert page.evaluate("gan.steps") == 0
        next_stage.click()
        assert words in page.locator("#caption").text_content()
        parts.append(
            page.evaluate("[...document.querySelectorAll('#diagram .part')].map(p => p.classList.contains('on'))")
        )
    assert page.evaluate("gan.steps") == 1
    assert page.evaluate("[...gan.discriminator.weights[0].data]") != before
    assert all(any(part) for part in parts)
    assert len({tuple(part) for part in parts}) == 5  # Each stage lights other parts of the diagram.
    page.get_by_label("Slow", exact=True).check()
    page.get_by_role("button", name="Play").click()
    until(page, "document.getElementById('caption').textContent.includes('2 of 5')")


def test_every_slider_and_choice_changes_the_game_and_the_address(open_page):
    page = open_page(reduced_motion="reduce")
    for name in page.evaluate("Object.keys(CONTROLS)"):
        slider = page.locator(f"#{name}")
        before = page.evaluate(f"settings.{name}")
        slider.focus()
        page.keyboard.press("ArrowRight")
        after = page.evaluate(f"settings.{name}")
        assert after > before
        assert f"{name}={after}" in page.evaluate("location.hash")
        assert slider.get_attribute("aria-valuetext") == str(after)
    assert page.evaluate("gan.generator.weights[0].cols") == 64
    assert page.evaluate("gan.generator.weights[0].rows") == 4
    for loss in page.evaluate("Object.keys(LOSSES)"):
        page.locator("#loss").select_option(loss)
        assert page.evaluate("gan.settings.loss") == loss
        steps = page.evaluate("gan.steps")
        page.evaluate("gan.step(sampleReals)")
        assert page.evaluate("gan.steps") == steps + 1
        assert page.evaluate("Number.isFinite(gan.now.gLoss + gan.now.dLoss)")
    for data in ("grid", "moons", "spiral", "cloud", "ring"):
        page.locator(f"[name=data][value={data}]").check()
        assert page.evaluate("gan.settings.data") == data
    page.locator("#seed").fill("42")
    page.locator("#seed").press("Enter")
    assert page.evaluate("gan.settings.seed") == 42
    page.get_by_role("button", name="Reset all settings").click()
    assert page.evaluate("location.hash") == ""
    assert page.evaluate("gan.settings.r1") == 0


def test_an_address_opens_its_situation(open_page):
    page = open_page("#loss=hinge&data=drawn&gRate=0.01&seed=5&points=AAf__-", reduced_motion="reduce")
    assert page.locator("#loss").input_value() == "hinge"
    assert page.evaluate("[settings.data, settings.gRate, settings.seed, shown.reals.rows]") == ["drawn", 0.01, 5, 3]
    page.evaluate("location.hash = '#data=grid'")
    until(page, "settings.data === 'grid' && settings.loss === 'non-saturating'")
    page.evaluate("location.hash = '#loss=<img src=x onerror=alert(1)>&data=nothing'")
    until(page, "settings.data === 'ring'")
    assert page.locator("img").count() == 0


def test_you_draw_by_mouse_and_by_keyboard(open_page):
    page = open_page(reduced_motion="reduce")
    page.locator("[name=data][value=drawn]").check()
    page.get_by_role("button", name="Play").click()
    assert "Draw some points first" in page.locator("#caption").text_content()
    assert page.evaluate("gan.steps") == 0
    box = page.locator("#plane").bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 250, box["y"] + 150, steps=8)
    page.mouse.up()
    count = page.evaluate("drawn.length")
    assert count > 10
    assert page.evaluate("drawn.every(([x, y]) => x < 0.3 && y > 0)")  # The upper left, where the mouse was.
    assert "points=" in page.evaluate("location.hash")
    page.locator("#plane").focus()
    for key in ("Shift+ArrowRight", "Shift+ArrowRight", "ArrowDown", "Enter"):
        page.keyboard.press(key)
    assert page.evaluate("drawn.length") == count + 8
    page.get_by_role("button", name="Play").click()
    until(page, "gan.steps > 3")
    page.get_by_role("button", name="Clear the drawing").click()
    assert page.evaluate("drawn.length") == 0
    assert page.get_by_role("button", name="Play").is_visible()


def test_the_optimal_discriminator_is_what_the_densities_say(open_page):
    page = open_page(reduced_motion="reduce")
    at_real, at_fake, nowhere, equal = page.evaluate(
        """() => {
          const clump = (x, y) => new Matrix(50, 2, Float64Array.from({ length: 100 }, (_, i) => (i % 2 ? y : x)));
          const index = (t) => Math.floor(((t + EXTENT) / (2 * EXTENT)) * CELLS);
          const cell = (x, y) => index(-y) * CELLS + index(x);
          const field = optimalField(clump(-0.7, 0.7), clump(0.7, -0.7));
          const both = optimalField(clump(0.7, 0.7), clump(0.7, 0.7));
          return [field[cell(-0.7, 0.7)], field[cell(0.7, -0.7)], field[cell(0.7, 0.7)], both[cell(0.7, 0.7)]];
        }"""
    )
    assert at_real > 0.99
    assert at_fake < 0.01
    assert nowhere == pytest.approx(0.5)
    assert equal == pytest.approx(0.5)
    before = page.evaluate("document.getElementById('plane').toDataURL()")
    page.get_by_label("Show it large").check()
    assert page.evaluate("document.getElementById('plane').toDataURL()") != before


def test_everything_is_reached_and_named_by_keyboard_alone(open_page):
    page = open_page(reduced_motion="reduce")
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate("document.activeElement.id || document.activeElement.name || document.activeElement.tagName")
        )
        outline = page.evaluate(
            "[document.activeElement, document.activeElement.nextElementSibling].filter(Boolean)"
            ".map(e => getComputedStyle(e).outlineStyle)"
        )
        assert reached[-1] == "BODY" or "solid" in outline, reached[-1]
    wanted = ["play", "next", "restart", "speed", "break-collapse", "show-optimal", "data", "loss", "seed", "reset"]
    assert [name for name in wanted if name not in reached] == []
    assert set(page.evaluate("Object.keys(CONTROLS)")) <= set(reached)
    page.locator("#play").focus()
    page.keyboard.press("Enter")
    until(page, "gan.steps > 0")
    unnamed = page.evaluate(
        """[...document.querySelectorAll("button, input, select, canvas, svg")].filter((e) =>
          !e.ariaHidden && !e.getAttribute("aria-label") && !e.textContent.trim() && !(e.labels && e.labels.length))
          .map((e) => e.id)"""
    )
    assert unnamed == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1400])
def test_nothing_sticks_out_or_moves(open_page, width, scheme):
    page = open_page("#seed=3", width=width, height=844, color_scheme=scheme)
    page.evaluate("window.shift = 0; new PerformanceObserver(list => list.getEntries().forEach(e => shift += e.value))"
                  ".observe({ type: 'layout-shift', buffered: true }); undefined")  # fmt: skip
    until(page, "gan.steps > 40")
    for failure in page.evaluate("Object.keys(FAILURES)"):
        page.locator(f"#break-{failure}").click()
        page.wait_for_timeout(300)
        page.locator("#cure").click()
        page.wait_for_timeout(300)
    for _ in range(5):
        page.locator("#next").click()
        page.wait_for_timeout(50)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("shift") < 0.01


def test_the_policy_forbids_what_the_page_does_not_need(browser):
    page = browser.new_page()
    page.goto(PAGE.as_uri())
    fetched, ran, requested = forbidden_things_that_work(page)
    policy = page.evaluate("document.querySelector('meta[http-equiv]').content")
    page.close()
    assert (fetched, ran, requested) == (False, False, False)
    assert "unsafe" not in policy


# ---- Failures and cures ----

SEEDS = (1, 2, 3)
BROKEN, CURED = 500, 1000  # steps

MEASURE = """
const play = (gan, steps) => {
  const { settings } = gan;
  const sample = (count, random) => DATA[settings.data](count, random);
  const [reals, latents] = [sample(400, new Random(9)), new Random(8).normals(300, settings.latent)];
  const seen = { covered: [], onData: [], x: [], y: [], pull: [], dLoss: [] };
  for (let i = 1; i <= steps; i++) {
    gan.step(sample);
    if (i <= steps / 2) continue;  // The first half is the way there.
    seen.pull.push(gan.now.gGradient);
    seen.dLoss.push(Math.abs(gan.now.dLoss));
    if (i % 20 === 0) {
      const { covered, onData, centre } = compare(reals, gan.generator.forward(latents));
      seen.covered.push(covered);
      seen.onData.push(onData);
      seen.x.push(centre[0]);
      seen.y.push(centre[1]);
    }
  }
  const average = (a) => a.reduce((s, x) => s + x, 0) / a.length;
  const variance = (a) => average(a.map((x) => (x - average(a)) ** 2));
  return {
    covered: average(seen.covered),
    onData: average(seen.onData),
    swing: Math.sqrt(variance(seen.x) + variance(seen.y)),
    pull: average(seen.pull),
    dLoss: average(seen.dLoss),
  };
};
const situation = (name, seed, [steps, cureSteps]) => {
  const { causes, cure, fresh } = FAILURES[name];
  let gan = new Gan(settingsWith({ ...causes, seed }));
  const broken = play(gan, steps);
  const settings = settingsWith({ ...causes, ...cure, seed });
  if (fresh) gan = new Gan(settings);
  gan.settings = settings;
  return { broken, cured: play(gan, cureSteps) };
};
"""

# What each failure is, and what it is to be cured of it, as means over the second half of the steps: the share of the
# data that is covered, the swing (standard deviation over time) of the fakes' centre, the norm of the generator's
# gradient and the size of the discriminator's loss.
VERDICTS = {
    "collapse": (
        lambda m: m["covered"] < 0.45 and m["swing"] < 0.2,
        lambda m: m["covered"] > 0.8,
    ),
    "hopping": (
        lambda m: m["covered"] < 0.3 and m["swing"] > 0.4,
        lambda m: m["covered"] > 0.8 and m["swing"] < 0.2,
    ),
    "won": (
        lambda m: m["dLoss"] < 0.01 and m["pull"] < 0.001 and m["covered"] < 0.05,
        lambda m: m["dLoss"] > 1.0 and m["pull"] > 0.001 and m["covered"] > 0.7,
    ),
    "oscillation": (
        lambda m: m["swing"] > 0.2 and m["covered"] < 0.5,
        lambda m: m["swing"] < 0.1 and m["covered"] > 0.5,
    ),
    "divergence": (
        lambda m: m["dLoss"] > 100 and m["pull"] > 100,
        lambda m: m["dLoss"] < 2 and m["pull"] < 10 and m["covered"] > 0.8,
    ),
}


@pytest.fixture(scope="module")
def outcomes(browser) -> dict:
    """Each failure and its cure from each seed. Node is faster to start; the browser gives the same numbers."""
    program = MEASURE + (
        f"const names = {json.dumps(list(VERDICTS))}; const RESULT = Object.fromEntries(names.map((name) => [name,"
        f" {json.dumps(SEEDS)}.map((seed) => situation(name, seed, [{BROKEN}, {CURED}]))]));"
    )
    if node := shutil.which("node"):
        names = ("autodiff.js", "gan.js", "data.js", "settings.js", "situations.js")
        mathematics = "\n".join((SOURCES / name).read_text(encoding="utf-8") for name in names)
        program = f"'use strict';{mathematics}{program}console.log(JSON.stringify(RESULT));"
        done = subprocess.run([node], input=program, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)
    page = browser.new_page(reduced_motion="reduce")
    page.goto(PAGE.as_uri())
    return json.loads(page.evaluate(f"() => {{ {program} return JSON.stringify(RESULT); }}"))


def test_each_failure_has_a_verdict(outcomes):
    sources = (SOURCES / "situations.js").read_text(encoding="utf-8")
    assert all(f"  {name}: {{" in sources for name in VERDICTS)
    assert sources.count("label:") == len(VERDICTS)


@pytest.mark.parametrize("seed", range(len(SEEDS)), ids=[f"seed {seed}" for seed in SEEDS])
@pytest.mark.parametrize("name", VERDICTS)
def test_each_failure_fails_and_each_cure_cures(outcomes, name, seed):
    fails, is_cured = VERDICTS[name]
    outcome = outcomes[name][seed]
    assert fails(outcome["broken"]), outcome["broken"]
    assert not is_cured(outcome["broken"])
    assert is_cured(outcome["cured"]), outcome["cured"]
    assert not fails(outcome["cured"])
