"""Every notebook, as it is stored and as it runs in smoke mode with its exercises solved."""

import dataclasses
import os
import re
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
import tensorflow as tf
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

sys.path.insert(0, str(Path(__file__).parent.parent / "notebooks"))
import answers
import board
import critics
import diagrams
import faces
import failures
import fives
import make
import results

from gan_tf.gan import with_labels
from gan_tf.pretrained import load_pretrained
from gan_tf.run import plots
from gan_tf.run.folder import Run

PATHS = make.notebooks()
# The kernel sees no network, and no data, cache or settings of the developer.
OFFLINE = {"HF_HUB_OFFLINE": "1", "https_proxy": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}
# Two test processes share the cores, and threads that wait for each other cost more than they save on small arrays.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1"}
FAULTY = (1, 2, 4, 5, 6)  # The mysteries that have a fault.
each = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def read(path):
    return nbformat.read(path, as_version=4)


def exercises(path):
    """What the chapter's exercises are checked by."""
    return answers.CHAPTERS[path.stem]


def solution(path, cell):
    """Code that solves the exercise whose answer this cell is for, or None."""
    number = cell.metadata.get("exercise")
    return exercises(path).exercises[number].solution if number else None


def assert_hint(asked, number, wrong, capsys):
    """A wrong answer to an exercise gets its hint."""
    asked.check(number, wrong)
    printed = capsys.readouterr().out
    assert printed.startswith("Not yet: ") and asked.exercises[number].hint in printed


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    """One kernel for all notebooks of this process, so that TensorFlow is imported once."""
    home = str(tmp_path_factory.mktemp("home"))
    folders = {"GAN_TF_DATA": home, "KERAS_HOME": home}
    with make.kernel(GAN_TF_SMOKE="1", GAN_TF_STORED="1", **folders, **OFFLINE, **ONE_THREAD) as manager:
        yield manager


def reset(kernel):
    """Give the next notebook an empty namespace, the environment that the kernel began with, and the number 1."""
    cells = [
        new_code_cell(
            "import os, builtins\n"
            "builtins.first_environment = getattr(builtins, 'first_environment', dict(os.environ))\n"
            "os.environ.clear(); os.environ.update(builtins.first_environment)"
        ),
        new_code_cell("%reset -f"),
    ]
    make.execute(new_notebook(cells=cells), kernel)


def test_the_readme_leads_to_them():
    assert make.table() in (Path(__file__).parent.parent / "README.md").read_text()


def test_they_are_numbered_without_a_gap():
    assert [int(path.name[:2]) - int(PATHS[0].name[:2]) for path in PATHS] == [*range(len(PATHS))]


@each
def test_it_is_stored_as_it_ran(path):
    notebook = read(path)
    assert make.problems(notebook) == []
    assert make.addressed(read(path), path.name) == notebook
    head = notebook.cells[0].source
    assert head.startswith(f"# {int(path.name[:2])}. ")
    for part in ("**Promise**: ", "**You need to know**: "):
        assert part in head
    assert re.search(r"\*\*Time\*\*: [\d.]+ minutes on \d+ CPU cores", head)


@each
def test_it_opens_with_what_it_makes(path):
    """Its first picture is the one that a later cell makes and saves."""
    notebook = read(path)
    opening = next(output for cell in code(notebook) for output in cell.outputs if make.pictures(output))
    (maker,) = [cell for cell in code(notebook) if "saves" in cell.metadata]
    made = make.pictures(maker.outputs[0])
    assert make.pictures(opening) == made
    assert next(iter(made.values())) == (make.FOLDER / maker.metadata["saves"]).read_bytes()


@each
def test_it_leads_on(path):
    """Links lead to files that are there."""
    notebook = read(path)
    assert notebook.cells[-1].source.startswith("## Where next")
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if not link.startswith("http")]
    # What follows a # is a place in the file, or the playground's settings.
    assert links and all((path.parent / link.split("#")[0]).exists() for link in links)


@pytest.mark.slow
@each
def test_it_runs_with_its_exercises_solved(path, kernel):
    stored = read(path)
    solved = sum(solution(path, cell) is not None for cell in code(stored))
    assert 3 <= solved <= 5
    notebook = read(path)
    for cell in code(notebook):
        cell.source = solution(path, cell) or cell.source
    reset(kernel)
    make.execute(notebook, kernel)
    assert make.problems(notebook) == []
    verdicts = [
        cell.outputs[0].text for cell in code(notebook) if re.search(r"^quiz\.check\(", cell.source, re.MULTILINE)
    ]
    assert verdicts == ["Right.\n"] * solved
    for cell, as_stored in zip(code(notebook), code(stored), strict=True):
        if "exercise" not in cell.metadata:  # A solution may print.
            assert bool(cell.outputs) <= bool(as_stored.outputs), f"no stored output: {cell.source}"


@pytest.mark.parametrize("chapter", answers.CHAPTERS)
def test_every_prediction_and_exercise_is_asked_and_little_code_displays(chapter):
    notebook = read(make.FOLDER / f"{chapter}.ipynb")
    asked, source = answers.CHAPTERS[chapter], "\n".join(cell.source for cell in code(notebook))
    for name, numbers in (("predict", asked.predictions), ("check", asked.exercises)):
        assert [int(number) for number in re.findall(rf"^quiz\.{name}\((\d)", source, re.MULTILINE)] == [*numbers]
    assert make.display_share(notebook) <= 0.25


@pytest.mark.parametrize(
    ("number", "wrong"),
    [(1, 0.0), (1, 1.386), (1, "log"), (2, 0.5), (2, lambda p, q: p / (p + q)), (2, lambda p: p), (3, "A"), (3, 2)],
)
def test_wrong_answers_get_a_hint_and_not_the_answer(number, wrong, capsys):
    assert_hint(answers.TWO_PLAYERS, number, wrong, capsys)


NOT_A_MODEL = "a model"


@pytest.mark.parametrize(
    ("chapter", "number", "wrong"),
    [
        ("04_draw_me_a_seven", 1, lambda weights, latents, label: latents @ weights[: latents.shape[1]]),
        ("04_draw_me_a_seven", 2, "A"),
        ("04_draw_me_a_seven", 3, NOT_A_MODEL),
        ("04_draw_me_a_seven", 4, lambda text, writer: np.tile(writer, (len(text), 1))),
        ("05_your_own_pictures", 1, 20),
        ("05_your_own_pictures", 2, lambda w, h: 1 - h / w),
        ("05_your_own_pictures", 3, 25),
        ("05_your_own_pictures", 4, "runs/owls"),
        ("10_from_sketch_to_creature", 1, 139),
        ("10_from_sketch_to_creature", 2, lambda stack: sum(kernel for kernel, _ in stack)),
        ("10_from_sketch_to_creature", 3, "A"),
        ("10_from_sketch_to_creature", 4, NOT_A_MODEL),
    ],
)
def test_wrong_answers_get_the_hint_of_their_exercise(chapter, number, wrong, capsys):
    assert_hint(answers.CHAPTERS[chapter], number, wrong, capsys)


class Told:
    """A generator of even (0) and odd (1) digits: real ones of scikit-learn, drawn as asked or always even."""

    classes, input_shape, output_shape = 2, (None, 66), (None, 28, 28, 1)

    def __init__(self, obeys):
        images, labels = answers.read_digits()
        self.average, self.digits = self, [images[labels % 2 == odd][:200] for odd in (0, obeys)]

    def __call__(self, inputs, training):
        odd = inputs[:, 65].astype(int)
        rows = np.arange(len(odd)) % 200
        return np.stack([self.digits[o][r] for o, r in zip(odd, rows, strict=True)])[..., np.newaxis] / 127.5 - 1


def test_a_generator_that_ignores_even_and_odd_does_not_pass(monkeypatch):
    monkeypatch.setattr(answers, "SMOKE", False)
    assert answers.even_and_odd(Told(obeys=1)) and not answers.even_and_odd(Told(obeys=0))


def test_fakes_of_one_moon_or_of_none_are_no_answer(monkeypatch):
    monkeypatch.setattr(answers, "SMOKE", False)
    points = 0.6 * answers.make_moons(400, noise=0.05, random_state=0)[0] - [0.3, 0.15]
    assert answers.close_to_moons([{"fakes": points}])
    assert not answers.close_to_moons([{"fakes": points[points[:, 1] > 0.2]}])
    assert not answers.close_to_moons([{"fakes": points + 0.3}])


@pytest.mark.parametrize(
    ("number", "wrong"),
    [
        *[(1, 1.25), (1, 0.5), (2, 1 / 3), (2, "two thirds"), (3, "r1"), (4, "ABCDEF"), (4, 3), (5, {}), (5, {3: {}})],
        (5, {number: {} for number in FAULTY}),
        (5, {number: {"momentum": 0} for number in FAULTY}),
    ],
)
def test_wrong_diagnoses_get_a_hint(number, wrong, capsys):
    assert_hint(answers.WHEN_GANS_FAIL, number, wrong, capsys)


@pytest.mark.parametrize(
    ("number", "wrong"), [(1, 1 / 3), (2, lambda v, o: v), (2, lambda v, o: v - o), (2, 1.0), (3, "A"), (4, 5.0)]
)
def test_wrong_answers_about_latent_vectors_get_a_hint(number, wrong, capsys):
    assert_hint(answers.LATENT_SPACE, number, wrong, capsys)


def test_latents_of_a_rabbit_are_no_cat(monkeypatch):
    """The error must be that of the picture which the latents give as a cat."""
    monkeypatch.setattr(answers, "SMOKE", False)
    latents, rows = np.zeros(128), answers.creatures.parameters(2000, seed=7)
    rabbit = answers.creatures.draw(rows[rows["species"] == 5][:1], 64)[0]
    inputs = answers.with_labels(latents[np.newaxis], np.array([1]), 6)
    cat = answers.sample(answers.load_pretrained("creatures"), inputs)[0]
    error = np.sqrt(np.mean((cat - rabbit.astype(float)) ** 2))
    assert answers.is_cat_like_the_rabbit((latents, error))
    assert not answers.is_cat_like_the_rabbit((latents, error - 5))


def test_each_mystery_has_the_verdict_of_its_fault():
    verdicts = {number: {*failures.read_mystery(number).verdicts} for number in failures.MYSTERIES}
    assert verdicts == {
        1: {"too_fast"},
        2: {"has_won"},
        3: set(),
        4: {"is_left_behind", "has_collapsed"},  # It ends with the same noise for all latents.
        5: {"has_won"},
        6: {"overfits"},
    }


def test_a_run_with_a_verdict_is_no_cure(monkeypatch):
    monkeypatch.setattr(answers, "SMOKE", False)
    healthy = failures.read_mystery(3)
    trained = []

    def train(config, images):
        trained.append(config)
        return healthy if len(trained) < 3 else failures.read_mystery(2)

    monkeypatch.setattr(failures, "train", train)
    monkeypatch.setattr(answers.registry, "load", lambda config: None)
    cures = {number: {"seed": 1} for number in FAULTY}
    assert not answers.cures_the_mysteries(cures)
    assert [config.label for config in trained] == [("3",), ("7",), ("2",)]
    monkeypatch.setattr(failures, "train", lambda config, images: healthy)
    assert answers.cures_the_mysteries(cures)


def test_the_unfair_game_is_cured_with_its_own_loss_and_rates(monkeypatch):
    monkeypatch.setattr(answers, "SMOKE", False)
    story = failures.read_mystery(3)
    unfair = {"loss": "minimax", "learning_rate": 2e-4, "d_learning_rate": 4e-3}
    assert not answers.cures_the_unfair_game(story)
    story.config = dataclasses.replace(story.config, **unfair)
    assert answers.cures_the_unfair_game(story)
    story.history["spread"][-1] = 0.4
    assert not answers.cures_the_unfair_game(story)


@pytest.mark.parametrize(
    ("chapter", "number", "wrong"),
    [
        ("01_mnist_digit5", 1, 0.0),
        ("01_mnist_digit5", 1, -2.0),
        ("01_mnist_digit5", 2, lambda logit: 1 / (1 + np.exp(-logit)) + 1),
        ("01_mnist_digit5", 2, -0.5),
        ("01_mnist_digit5", 3, "C"),
        ("01_mnist_digit5", 4, "a generator"),
        ("02_pokemon", 1, 200),
        ("02_pokemon", 2, lambda p, f: p * f),
        ("02_pokemon", 3, {"accuracy_trained": [0.9], "accuracy_held_out": [0.85]}),
        ("02_pokemon", 3, [0.5]),
        ("02_pokemon", 4, "A"),
        ("03_animal_faces", 1, 273.0 / 8),
        ("03_animal_faces", 2, 4),
        ("03_animal_faces", 3, "A"),
        ("03_animal_faces", 4, -0.1),
        ("03_animal_faces", 4, None),
    ],
)
def test_wrong_answers_of_the_first_chapters_get_a_hint(chapter, number, wrong, capsys, monkeypatch):
    monkeypatch.setattr(answers, "SMOKE", False)
    assert_hint(answers.CHAPTERS[chapter], number, wrong, capsys)


def test_a_generator_of_threes_is_told_from_one_of_fives(monkeypatch):
    monkeypatch.setattr(answers, "SMOKE", False)
    assert not answers.draws_threes(load_pretrained("fives"))
    digits = load_pretrained("digits")

    class Draws:
        """The conditional generator, asked for one digit."""

        input_shape, output_shape = (None, 64), digits.output_shape

        def __init__(self, digit):
            self.digit = digit

        def __call__(self, latents, training):
            return digits(with_labels(latents, np.full(len(latents), self.digit), 10), training=training)

    assert answers.draws_threes(Draws(3)) and not answers.draws_threes(Draws(8))


@pytest.mark.parametrize(
    ("number", "wrong"),
    [
        (1, lambda covariance, n: np.trace(covariance) / n),
        (1, 0.1),
        (2, "A"),
        (3, lambda real: real),
        (3, lambda real: np.zeros((200, 16)) + 100),
        (3, lambda real: real[:6]),
        (4, 0.5),
        (4, "a third"),
        (5, NOT_A_MODEL),
    ],
)
def test_wrong_answers_about_measures_get_a_hint(number, wrong, capsys):
    assert_hint(answers.MEASURING_GANS, number, wrong, capsys)


class Reads:
    """A reader whose features are four random numbers, the first of them larger for happy eyes if it `sees` them."""

    def __init__(self, sees):
        self.sees, self.random = sees, np.random.default_rng(0)

    def predict(self, happy, **_):
        noise = self.random.standard_normal((len(happy), 4))
        noise[:, 0] += 3 * self.sees * happy
        return {"features": noise}


def test_only_a_reader_of_eyes_sees_eyes(monkeypatch):
    monkeypatch.setattr(answers, "SMOKE", False)
    monkeypatch.setattr(answers.creatures, "draw", lambda params, size: params["eye"] == 3)
    assert answers.creatures.EYES[3] == "happy"
    assert answers.sees_eyes(Reads(sees=True)) and not answers.sees_eyes(Reads(sees=False))


def test_suspects_hold_the_share_of_mirrored_copies():
    train, new = np.zeros((2, 50, 4, 4, 3), np.uint8)
    train[:, :, 0] = 200
    suspects = answers.with_mirrored_copies(train, new + 7)
    copied = (suspects[:, :, 3] == 200).all(axis=(1, 2))
    assert len(suspects) == 50 and copied.sum() == round(50 * answers.COPIED) and not copied[:5].all()


def test_a_board_says_fooled_and_caught(monkeypatch):
    shown = []
    monkeypatch.setattr(board.nb, "show", lambda canvas, alt: shown.append((canvas, alt)))
    names = ("a", "b", "c", "d", "e")
    verdicts = (True, False, True, True, False)
    fooled = {"measure": dict(zip(names, verdicts, strict=True))}
    board.show_board(fooled, dict.fromkeys(names, np.zeros((3, 8, 8, 3), np.uint8)), "a board")
    for panel, columns in zip(shown[0][0].axes, (slice(0, 4), slice(4, 5)), strict=True):
        words = [text.get_text() for text in panel.texts]
        expected = ["fooled" if verdict else "caught" for verdict in verdicts[columns]]
        assert words == [*names[columns], "measure", *expected]


def test_convolutions_of_the_diagrams_are_those_of_tensorflow():
    image = np.random.default_rng(0).random((8, 8))
    kernel = np.arange(16.0).reshape(4, 4)
    weights = kernel[..., None, None]
    down = tf.nn.conv2d(image[None, ..., None], weights, strides=2, padding="SAME")
    assert np.allclose(diagrams.halve(image, kernel), down[0, ..., 0])
    up = tf.nn.conv2d_transpose(image[None, ..., None], weights, (1, 16, 16, 1), strides=2)
    assert np.allclose(diagrams.double(image, kernel), up[0, ..., 0])


def test_a_watch_keeps_grids_and_numbers():
    watch = fives.Watch(np.zeros((8, 64), np.float32))
    generator = load_pretrained("fives")
    watch(generator, 0)
    watch(generator, 0.5)
    watch(generator, 1, [0.6, 0.5, 0.4, 1.3, 0.7])
    assert [*watch.frames] == [0, 0.5, 1] and np.shape(watch.rows) == (1, 5)
    assert watch.frames[1].shape == (60, 466, 1)


@pytest.mark.slow
def test_a_run_stops_where_it_should_goes_on_and_is_then_only_opened(tmp_path, monkeypatch, capfd):
    options = ["--dataset", "digits", "--epochs", "2", "--steps-per-epoch", "2", "--batch-size", "4"]
    options += ["--width", "16", "--decay", "linear"]
    folder = str(tmp_path / "run")
    run = faces.train_or_open(folder, options, last=1)
    assert run.read_history()["epoch"] == [1] and not faces.has_done(run, None)
    faces.train_or_open(folder, options)
    assert run.read_history()["epoch"] == [1, 2] and faces.has_done(run, None)
    assert "Ctrl-C" not in capfd.readouterr().err
    monkeypatch.setattr(faces.train, "train", lambda argv: pytest.fail("trained again"))
    faces.train_or_open(folder, options)
    faces.train_or_open(folder, options, last=1)


@pytest.mark.parametrize("side", [28, 64])
def test_fakes_are_read_back_from_a_sample_grid(tmp_path, side):
    images = np.random.default_rng(0).integers(0, 256, (64, side, side, 3), np.uint8)
    run = Run(tmp_path)
    run.samples.mkdir()
    plots.save_png(run.sample_png(3), plots.grid(images, columns=8))
    scale = plots.display_scale(side)
    assert (faces.fakes(run, 3)[:, ::scale, ::scale] == images).all()


def test_results_are_read_by_their_columns(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    first = "| set | value |\n|---|---|\n| a | 1,234.5 ± 3 |\n| b | 2 |\n"
    (tmp_path / "t.md").write_text(f"{first}\ntext\n\n| set | other |\n| --- | --- |\n| a | x |\n")
    assert results.read_table("t", set="a") == [{"set": "a", "value": "1,234.5 ± 3"}, {"set": "a", "other": "x"}]
    assert results.number("1,234.5 ± 3") == 1234.5 and results.number("-0.2") == -0.2
    with pytest.raises(LookupError, match="no row"):
        results.read_table("t", set="c")
    (tmp_path / "c.csv").write_text("training,seed,step,x\np,0,1,0.5\np,0,2,0.6\np,1,1,0.7\nq,0,1,0.8\n")
    found = results.read_curves("c", "training")
    assert [len(found[arm]) for arm in ("p", "q")] == [2, 1]
    assert found["p"][0] == {"seed": [0, 0], "step": [1, 2], "x": [0.5, 0.6]}


def test_diagrams_are_stored_as_the_code_draws_them():
    """The PNGs depend on Matplotlib's version, so only their size is compared."""
    for name, diagram in diagrams.DIAGRAMS.items():
        for theme in diagrams.THEMES:
            path = diagrams.FOLDER / f"{name}_{theme}"
            assert path.with_suffix(".svg").read_text(encoding="utf-8") == diagram.svg(theme)
            with make.Image.open(path.with_suffix(".png")) as picture:
                assert picture.size == (2 * diagram.width, 2 * diagram.height)


def test_no_badge_leads_nowhere(monkeypatch):
    def head():
        cells = [new_markdown_cell("# 1. Title\n\nText"), new_code_cell("# The setup")]
        return make.addressed(new_notebook(cells=cells), "01_x.ipynb").cells[0].source

    monkeypatch.setattr(make, "address", lambda: "https://github.com/OWNER/gan_tf")
    assert head() == "# 1. Title\n\nText"
    monkeypatch.setattr(make, "address", lambda: "https://github.com/ada/gan_tf")
    assert "colab.research.google.com/github/ada/gan_tf/blob/main/notebooks/01_x.ipynb" in head()


def test_one_notebook_leaves_nothing_to_the_next(kernel):
    """What the shared kernel must not hide: a cell that only works because of another notebook's variables."""
    reset(kernel)
    make.execute(new_notebook(cells=[new_code_cell("import os\nleft = os.environ['LEFT'] = 'over'")]), kernel)
    reset(kernel)
    after = new_notebook(cells=[new_code_cell("import os\n'left' in globals(), 'LEFT' in os.environ")])
    make.execute(after, kernel)
    assert after.cells[0].outputs[0].data["text/plain"] == "(False, False)"
    assert after.cells[0].execution_count == 1


def broken(change):
    notebook = new_notebook()
    output = new_output("display_data", {"image/png": "AAAA"}, metadata={"image/png": {"alt": "a grid"}})
    notebook.cells.append(new_code_cell("import os", execution_count=1))
    notebook.cells.append(new_code_cell("show(1)", execution_count=2, outputs=[output]))
    change(*notebook.cells)
    return make.problems(notebook)


def add(**output):
    return lambda _, cell: cell.outputs.append(new_output(**output))


def set_data(**data):
    return lambda _, cell: cell.outputs[0].data.update({kind.replace("_", "/"): value for kind, value in data.items()})


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda _, cell: cell.update(execution_count=3), "was run as number 3, not 2"),
        (lambda _, cell: cell.update(outputs=[]), "has no stored output"),
        (lambda setup, _: setup.outputs.append(new_output("stream", text="TensorFlow")), "the setup, is not silent"),
        (add(output_type="error", evalue="no"), "an error output or a warning: no"),
        (add(output_type="stream", name="stderr", text="UserWarning"), "an error output or a warning: UserWarning"),
        (lambda _, cell: cell.outputs[0].metadata.clear(), "without an alt text"),
        (lambda _, cell: cell.outputs[0].metadata["image/png"].update(alt=""), "without an alt text"),
        (set_data(image_png="A" * 404_000), "more than 300 kB"),
        (set_data(text_html='<img alt="a" src="data:image/png;base64,AAAA">'), "inside HTML"),
        (set_data(text_markdown=f"There is no {Path.home()}/data/mnist.npz"), "of this machine"),
        (add(output_type="stream", text=str(make.FOLDER.parent)), "of this machine"),
        (lambda _, cell: cell.update(source="#" * 2_000_000), "larger than 2 MB"),
    ],
)
def test_an_unacceptable_output_is_reported(change, problem):
    assert broken(lambda *_: None) == []
    assert any(problem in sentence for sentence in broken(change))


def test_a_notebook_with_a_failing_cell_is_left_as_it_was(tmp_path):
    notebook = new_notebook()
    notebook.cells = [
        new_markdown_cell("# 1. Title\n\n**Time**: never"),
        new_code_cell("# The setup"),
        new_code_cell("1 / 0"),
    ]
    path = tmp_path / "01_fails.ipynb"
    nbformat.write(notebook, path)
    before = path.read_bytes()
    with pytest.raises(make.CellExecutionError, match="ZeroDivisionError"):
        make.store(path)
    assert path.read_bytes() == before and [*tmp_path.iterdir()] == [path]


def test_a_stored_notebook_has_outputs_minutes_and_a_thumbnail(tmp_path, monkeypatch):
    monkeypatch.setattr(make, "address", lambda: "https://github.com/ada/gan_tf")
    notebook = new_notebook()
    notebook.cells = [
        new_markdown_cell("# 1. Title\n\n**Time**: never"),
        new_code_cell("# The setup"),
        new_code_cell(
            "from IPython.display import display\n"
            "import base64, io, PIL.Image\n"
            "file = io.BytesIO()\n"
            "PIL.Image.new('RGB', (60, 40), 'red').save(file, 'PNG')\n"
            "picture = {'image/png': base64.b64encode(file.getvalue()).decode()}\n"
            "display(picture, raw=True, metadata={'image/png': {'alt': 'red'}})",
            metadata={"tags": ["thumbnail"], "saves": "pictures/red.png"},
        ),
    ]
    # The chapter opens with the picture of the run before, which this one replaces.
    show_old = "display({'image/png': 'b2xk'}, raw=True, metadata={'image/png': {'alt': 'red'}})"
    notebook.cells.insert(2, new_code_cell(f"from IPython.display import display\n{show_old}"))
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "red.png").write_bytes(b"old")
    path = tmp_path / "01_works.ipynb"
    nbformat.write(notebook, path)
    make.store(path)
    stored = read(path)
    opening = stored.cells.pop(2).outputs[0]
    assert make.pictures(opening) == make.pictures(stored.cells[2].outputs[0])
    assert re.search(r"\*\*Time\*\*: \d\.\d minutes on \d+ CPU cores", stored.cells[0].source)
    assert "Open in Colab" in stored.cells[0].source and 'sys.path.insert(0, "..")' in stored.cells[1].source
    assert "image/png" in stored.cells[2].outputs[0].data
    with make.Image.open(tmp_path / "thumbnails" / "01_works.png") as thumbnail:
        assert thumbnail.size == (112, 112) and thumbnail.getpixel((50, 50)) == (255, 0, 0)
    with make.Image.open(tmp_path / "pictures" / "red.png") as picture:
        assert picture.size == (60, 40)
    assert not os.environ.get("GAN_TF_STORED")


def test_calls_of_the_helpers_count_as_display():
    cells = ["import few", "# A comment\nx = 1\nfew.show_rows(\n    x,\n)", "few_more(x)\nprint(x)"]
    assert make.display_share(new_notebook(cells=[new_code_cell(cell) for cell in cells])) == 4 / 6


def squared_hinge(reals, fakes):
    return np.mean(np.maximum(0, 1 - reals) ** 2) + np.mean(np.maximum(0, 1 + fakes) ** 2)


def hinge(reals, fakes):
    return np.mean(np.maximum(0, 1 - reals)) + np.mean(np.maximum(0, 1 + fakes))


LINE = np.linspace(-3.5, 3.5, 400)
REAL_BELLS = np.exp(-(((LINE + 1.5) / 0.5) ** 2) / 2) + np.exp(-(((LINE - 1) / 0.5) ** 2) / 2)
FAKE_BELL = np.exp(-(LINE**2) / 2)
BEST_SQUARED = (REAL_BELLS - FAKE_BELL) / (REAL_BELLS + FAKE_BELL)


@pytest.mark.parametrize(
    ("number", "wrong"),
    [
        (1, "A"),
        (1, 2),
        (2, lambda p, q: p / (p + q)),
        (2, 0.5),
        (3, squared_hinge),
        (3, (hinge, BEST_SQUARED)),
        (3, (squared_hinge, np.sign(BEST_SQUARED))),
        (3, (squared_hinge, np.log(REAL_BELLS / FAKE_BELL))),
        (4, 5),
        (4, "six"),
    ],
)
def test_wrong_answers_about_losses_get_a_hint(number, wrong, capsys, monkeypatch):
    monkeypatch.setattr(answers, "SMOKE", False)
    assert_hint(answers.BEYOND_BCE, number, wrong, capsys)


def test_the_squared_hinge_and_what_it_teaches_are_right(monkeypatch):
    monkeypatch.setattr(answers, "SMOKE", False)
    assert answers.close_to_least_squares((squared_hinge, BEST_SQUARED + 0.02))


def test_the_ablation_is_read_as_it_was_written(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    measured = [
        "| set | variant | relative cost of a step | Frechet distance | of the floor | coverage | failed |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| mnist | a perfect generator (floor) |  | 0.08 ± 0.01 | 1.00 | 0.97 ± 0.01 |  |",
        "| mnist | the preset | 1.00 | 0.3 (0.2 to 0.4) | 4 (3 to 5) | 0.9 (0.8 to 0.9) | 0 of 3 |",
        "| mnist | hinge | 1.00 | 0.5 (0.45 to inf) | 4 (3 to 5) | 0.9 (0.8 to 0.9) | 1 of 3 |",
        "| creatures | the preset | 1.00 | 3 (2 to 4) | 4 (3 to 5) | 0.9 (0.8 to 0.9) | 0 of 3 |",
        "| creatures | hinge | 1.00 | 1.9 (1.8 to 1.95) | 4 (3 to 5) | 0.9 (0.8 to 0.9) | 0 of 3 |",
        "| creatures | no R1 | 0.90 | 1.2e+03 (900 to 2.5e+03) | 4 (3 to 5) | 0.1 (0 to 0.1) | 3 of 3 |",
    ]
    judged = [
        "| variant | compared on | all seeds beyond the preset | p | verdict |",
        "| --- | --- | --- | --- | --- |",
        "| hinge | mnist, creatures | higher on mnist, lower on creatures | 1 | none |",
        "| no R1 | creatures | higher on creatures | 0.1 | worse |",
    ]
    text = "\n".join(["Seeds 0 1 2, each variant.", "", *measured, "", "Text.", "", *judged])
    (tmp_path / "ablation.md").write_text(text)
    found = critics.Ablation()
    assert found.seeds == 3 and found.separated() == 3
    assert found.distances["fives"] == {"the preset": (0.2, 0.3, 0.4), "hinge": (0.45, 0.5, np.inf)}
    assert found.distances["creatures"]["no R1"] == (900, 1200, 2500)
    assert found.sets == {"hinge": ["fives", "creatures"], "no R1": ["creatures"]}
    assert [found.verdict(name) for name in ("the preset", "hinge", "no R1")] == ["preset", "none", "worse"]
    assert found.sentence() == "better: none. worse: no R1. no verdict: hinge"
    shown = []
    monkeypatch.setattr(critics.nb, "show", lambda canvas, alt: shown.append(canvas))
    critics.show_ablation(found)
    critics.show_ending({"hinge": np.zeros((2, 28, 28, 1), np.uint8)}, found)
    assert [label.get_text() for label in shown[0].axes[0].get_yticklabels()] == ["the preset", "no R1", "hinge"]
