"""The command as a person runs it: a process of its own, killed for real."""

import ctypes
import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from gan_tf import generate, train
from gan_tf.config import PRESETS, Config
from gan_tf.data.sources import HubFile, KerasFile
from gan_tf.run.folder import Run

TINY = ["--dataset", "digits", "--digit", "5", "--steps-per-epoch", "20", "--batch-size", "4", "--latent-dim", "8"]
posix = pytest.mark.skipif(os.name != "posix", reason="signals and limits that only Unix has")
TINIEST = [*TINY[:4], "--steps-per-epoch", "1", *TINY[6:], "--epochs"]


def start(*options, inject="", **popen):
    """The command as a process, after the Python statements `inject`."""
    program = ["-c", f"{inject}\nfrom gan_tf.train import main\nmain()"] if inject else ["-m", "gan_tf.train"]
    argv = [sys.executable, "-W", "error::UserWarning", *program, *map(str, options)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=300, **popen)


def in_process(*options):
    """The command in this process; returns what it would print as it exits."""
    with pytest.raises(SystemExit) as stopped:
        train.main(list(map(str, options)))
    return stopped.value.code


def sentence(result):
    """The one line that a process which failed printed for a person."""
    assert result.returncode == 1 and "Traceback" not in result.stderr, result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith("gan_tf: ")]
    assert len(lines) == 1, result.stderr
    return lines[0]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """A run of four epochs, which nothing disturbed, and what it printed."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    result = start(*TINY, "--epochs", 4, "--run", folder)
    assert result.returncode == 0, result.stderr
    return Run(folder), result.stdout


def test_what_one_sees_and_what_the_folder_holds(uninterrupted):
    run, printed = uninterrupted
    for expected in (
        "182 images of 28x28x1: digits, 5",
        "device         ",
        "generator      58,753 parameters, from 8 random numbers",
        "discriminator  42,353 parameters",
        "4 epochs of 20, on 4 images each",
        "Epoch 4/4",
        "20/20",
        "images/s: ",
        *(f"{name}: " for name in ("d_loss", "g_loss", "D(x)", "D(G(z))_before", "D(G(z))_after")),
        f"Pictures: {run.progress_gif}",
        f"python -m gan_tf.generate {run.folder} --count 64",
    ):
        assert expected in printed, expected
    assert sorted(path.name for path in run.folder.iterdir()) == [
        "checkpoints",
        "config.json",
        "curves.png",
        "discriminator.keras",
        "generator.keras",
        "history.csv",
        "metrics.json",
        "progress.gif",
        "reals.png",
        "samples",
    ]
    assert sorted(path.name for path in run.samples.iterdir()) == [f"epoch_000{i}.png" for i in range(5)]
    metrics = json.loads(run.metrics_json.read_text())
    assert metrics["step"] == 80 and metrics["last_epoch"]["d_loss"] == run.read_history()["d_loss"][-1]


def test_generate_is_a_command_too(uninterrupted, tmp_path):
    argv = [sys.executable, "-m", "gan_tf.generate", str(uninterrupted[0].folder), "--count", "3", "--out"]
    result = subprocess.run([*argv, str(tmp_path / "a.npz")], capture_output=True, text=True)
    assert result.returncode == 0 and result.stdout == f"3 images: {tmp_path / 'a.npz'}\n", result.stderr
    with np.load(tmp_path / "a.npz") as drawn:
        assert drawn["images"].shape == (3, 28, 28, 1)
    result = subprocess.run([*argv, "a.jpg"], capture_output=True, text=True)
    assert "must end in .png" in sentence(result)


# What a process does to itself, and when. Each is a real signal at a moment that matters.
AT_STEP = """
import os, signal
from gan_tf.run import callbacks
def strike(self, batch, logs=None, inner=callbacks.Save.on_train_batch_end):
    if int(self.model.step) == {step}:
        os.kill(os.getpid(), signal.{signal})
    inner(self, batch, logs)
callbacks.Save.on_train_batch_end = strike
"""
WHILE_IT_WRITES = """
import os, signal, threading
from gan_tf.run import folder as runs
def watch(folder):
    while True:
        names = os.listdir(folder)
        torn = any("temp" in name for name in names)
        if torn or len({{n for n in names if n.startswith("step-{step}.")}}) == 1:
            os.kill(os.getpid(), signal.SIGKILL)
def save(self, inner=runs.Checkpoints.save):
    if int(self.gan.step) == {step}:
        threading.Thread(target=watch, args=(self.manager.directory,), daemon=True).start()
    inner(self)
runs.Checkpoints.save = save
"""
BEFORE_THE_RENAME = """
import os, signal
replace = os.replace
def strike(source, target):
    if str(target).endswith("{name}"):
        os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target)
os.replace = strike
"""


def assert_same_run(ours, theirs):
    """Weights, optimizers and averages to the bit; every picture and every number."""
    names = ("history.csv", "progress.gif", "curves.png", "metrics.json", "reals.png")
    for path in (*names, *(f"samples/epoch_000{i}.png" for i in range(5))):
        assert (ours.folder / path).read_bytes() == (theirs.folder / path).read_bytes(), path
    states = [tf.train.load_checkpoint(str(run.checkpoints)) for run in (ours, theirs)]
    tensors = [name for name in states[0].get_variable_to_dtype_map() if "save_counter" not in name]
    assert len(tensors) > 60
    for name in tensors:
        if name != "_CHECKPOINTABLE_OBJECT_GRAPH":
            np.testing.assert_array_equal(states[0].get_tensor(name), states[1].get_tensor(name), err_msg=name)
    for a, b in zip(ours.load_generator().get_weights(), theirs.load_generator().get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@posix
def test_a_run_killed_again_and_again_equals_the_one_that_was_not(uninterrupted, tmp_path):
    run = Run(tmp_path / "run")
    # Two epochs, ended in the middle of the second one.
    killed = start(*TINY, "--epochs", 2, "--run", run.folder, inject=AT_STEP.format(step=30, signal="SIGKILL"))
    assert killed.returncode == -9 and run.read_history()["epoch"] == [1]
    # Resumed to four, and killed while the checkpoint of the second epoch is being written,
    resume = ("--resume", run.folder, "--epochs", 4)
    killed = start(*resume, inject=WHILE_IT_WRITES.format(step=40))
    assert killed.returncode == -9 and run.read_history()["epoch"] == [1, 2]
    assert "step-40" not in (run.checkpoints / "checkpoint").read_text()
    # before the grid of the third epoch gets its name,
    killed = start(*resume, inject=BEFORE_THE_RENAME.format(name="epoch_0003.png"))
    assert killed.returncode == -9 and not run.sample_png(3).exists()
    # and by Ctrl-C within the third epoch, which loses nothing of it.
    stopped = start(*resume, inject=AT_STEP.format(step=50, signal="SIGINT"))
    assert stopped.returncode == 130, stopped.stderr
    assert f"Stopped at step 50, all saved. To go on: python -m gan_tf.train --resume {run.folder}" in stopped.stdout
    finished = start("--resume", run.folder)
    assert finished.returncode == 0, finished.stderr
    assert "from step 50 on" in finished.stdout and "Trained 30 steps" in finished.stdout
    assert_same_run(run, uninterrupted[0])


def test_a_longer_run_has_a_strip_and_goes_on_after_its_end(tmp_path):
    run = Run(tmp_path / "run")
    train.main([*TINIEST, "19", "--run", str(run.folder)])
    assert not run.strip_png.exists()
    train.main(["--resume", str(run.folder), "--epochs", "21"])
    assert run.strip_png.exists() and run.sample_png(21).exists() and len(run.read_history()["epoch"]) == 21
    assert run.read_config()[0].epochs == 21
    assert "--epochs is 20, but" in in_process("--resume", run.folder, "--epochs", 20)
    assert run.read_config()[0].epochs == 21


def test_tensorboard_logs_if_asked_for(tmp_path, monkeypatch):
    options = [*TINIEST, "1", "--tensorboard", "--run"]
    monkeypatch.setattr(train.importlib.util, "find_spec", lambda name: None)
    assert "pip install tensorboard" in in_process(*options, tmp_path / "a")
    assert not (tmp_path / "a").exists()
    monkeypatch.undo()
    pytest.importorskip("tensorboard")
    train.main([*options, str(tmp_path / "b")])
    written = list((tmp_path / "b" / "tensorboard").rglob("events.out*"))
    assert written and any(b"epoch_d_loss" in path.read_bytes() for path in written)


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    """A machine with no data of its own and no network."""
    monkeypatch.setattr(KerasFile, "site", "http://127.0.0.1:9/")
    monkeypatch.setattr(HubFile, "fetch", lambda self: (_ for _ in ()).throw(ConnectionError("no route")))
    monkeypatch.chdir(tmp_path)


def test_without_mnist_it_learns_digits_and_says_so_twice(no_network, capsys):
    options = ["--dataset", "mnist", *TINIEST[2:], "1", "--run", "run"]
    train.main(options)
    printed = capsys.readouterr()
    assert printed.err.count("This run learns digits instead") == 2
    assert printed.err.splitlines()[0] == printed.err.splitlines()[-1] == "!" * 98
    config, record = Run.open(Path("run")).read_config()
    assert config.dataset == record["data"]["name"] == "digits"
    assert "http://127.0.0.1:9/mnist.npz could not be downloaded" in record["data"]["fallback"]
    train.main(["--resume", "run", "--epochs", "2"])
    assert "learns digits instead" in capsys.readouterr().err


def test_the_fallback_has_the_preset_of_what_it_learns():
    parsed = train.parse(["--dataset", "mnist", "--epochs", "3"], train.preset_config("digits")).config
    assert (parsed.steps_per_epoch, parsed.epochs) == (64, 3)
    assert train.parse(["--dataset", "mnist"]).config.epochs == PRESETS["mnist"]["epochs"]


def test_without_colour_pictures_it_learns_creatures_and_leaves_out_labels_that_these_have_not(no_network, capsys):
    options = ["--image-size", "32", "--width", "16", *TINIEST[4:], "1", "--run", "run"]
    train.main(["--dataset", "pokemon", *options, "--label", "5"])
    assert capsys.readouterr().err.count("This run learns creatures instead: animal faces") == 2
    config, record = Run.open(Path("run")).read_config()
    assert (config.dataset, config.label, config.augment) == ("creatures", (), ())
    assert record["data"]["shape"] == [32, 32, 3] and "no route" in record["data"]["fallback"]


@pytest.fixture
def pictures(tmp_path):
    """A data folder with a set of small pictures of two labels, and a file among them that is none."""
    random = np.random.default_rng(0)
    for label in ("dots", "lines"):
        (tmp_path / "data" / "pokemon" / label).mkdir(parents=True)
        for number in range(10):
            pixels = random.integers(0, 256, (40, 50, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "data" / "pokemon" / label / f"{number}.png")
    (tmp_path / "data" / "pokemon" / "lines" / "torn.png").write_bytes(b"no picture")
    return tmp_path / "data" / "pokemon"


def test_a_folder_with_a_sets_preset_does_what_the_set_from_that_folder_does(pictures, tmp_path, capsys):
    options = ["--image-size", "32", "--width", "16", *TINIEST[4:], "1", "--preset", "pokemon"]
    by_path, by_name = tmp_path / "by_path", tmp_path / "by_name"
    train.main(["--dataset", str(pictures), *options, "--run", str(by_path)])
    train.main(["--dataset", "pokemon", "--data-dir", str(pictures.parent), *options, "--run", str(by_name)])
    assert "lines/torn.png: it is no picture" in capsys.readouterr().err
    assert (by_path / "samples/epoch_0001.png").read_bytes() == (by_name / "samples/epoch_0001.png").read_bytes()
    for folder in (by_path, by_name):
        config, record = Run.open(folder).read_config()
        assert config.augment == PRESETS["pokemon"]["augment"] and config.image_size == 32
        assert record["data"]["images"] == 20 and record["data"]["skipped"] == ["lines/torn.png: it is no picture"]


def test_a_run_on_a_folder_is_resumed_unless_the_folder_has_changed(pictures, tmp_path):
    run = str(tmp_path / "run")
    options = ["--image-size", "32", "--width", "16", *TINIEST[4:], "1", "--label", "dots"]
    train.main(["--dataset", str(pictures), *options, "--decay", "none", "--run", run])
    train.main(["--resume", run, "--epochs", "2"])
    assert len(Run.open(Path(run)).read_history()["epoch"]) == 2
    (pictures / "dots" / "0.png").unlink()
    assert "was trained on other images" in in_process("--resume", run, "--epochs", "3")


def test_no_fallback_makes_it_an_error(no_network, tmp_path):
    said = in_process("--dataset", "mnist", "--no-fallback")
    assert said.startswith(
        "gan_tf: There is no data/mnist.npz, and http://127.0.0.1:9/mnist.npz could not be downloaded"
    )
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "options, why",
    [
        ("--dataset minst", "no data set 'minst'; there are digits, mnist"),
        ("--dataset ./minst", "minst does not exist; name a folder of pictures"),
        ("--digit 12", "digits has no label '12'; its labels are 0, 1, 2"),
        ("--image-size 30", "--image-size is 30, but it must be one of 28, 32, 64"),
        ("--epochs 0", "--epochs is 0"),
        ("--epochs -1", "--epochs is -1"),
        ("--batch-size -8", "--batch-size is -8"),
        ("--learning-rate 0", "--learning-rate is 0.0"),
        ("--digit 5 --batch-size 183", "182 such images, fewer than the 183"),
        ("--resume nothing", "nothing is no run's folder"),
        ("--resume nothing --run other", "leave one of them out"),
        ("--run .", ". exists already"),
    ],
)
def test_bad_input_gets_one_sentence_and_leaves_nothing(options, why, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = in_process(*options.split())
    assert said.startswith("gan_tf: ") and why in said and "\n" not in said
    assert list(tmp_path.iterdir()) == []


def test_resuming_with_another_config_names_what_differs(uninterrupted):
    said = in_process("--resume", uninterrupted[0].folder, "--batch-size", 8, "--seed", 1, "--epochs", 9)
    assert "--batch-size was 4 and is now 8, --seed was 0 and is now 1" in said and "epochs" not in said


def test_a_run_whose_step_sizes_fall_to_its_end_has_that_end(tmp_path):
    run = tmp_path / "run"
    train.main([*TINIEST, "2", "--decay", "cosine", "--run", str(run)])
    said = in_process("--resume", run, "--epochs", "3")
    assert said.endswith(
        "cannot be made longer or shorter: its --decay cosine ends at epoch 2, and with another end all of it would "
        "have been different. Start a new run."
    )
    assert Run.open(run).read_history()["epoch"] == [1, 2]


def test_an_earlier_formats_run_can_be_drawn_with_but_not_resumed(uninterrupted, tmp_path):
    old = Run(tmp_path / "run")
    shutil.copytree(uninterrupted[0].folder, old.folder)
    record = json.loads(old.config_json.read_text())
    record["config"]["r1_every"] = record["config"].pop("penalty_every")
    old.write_json(old.config_json, record | {"format": 2})
    said = in_process("--resume", old.folder)
    assert "was begun by an earlier gan_tf (format 2), whose training this one (format 3) cannot go on with" in said
    generate.main([str(old.folder), "--count", "2", "--out", str(tmp_path / "fakes.png")])
    assert (tmp_path / "fakes.png").exists()


def test_resuming_on_other_data(uninterrupted, tmp_path):
    shutil.copytree(uninterrupted[0].folder, tmp_path / "run")
    config = tmp_path / "run" / "config.json"
    record = json.loads(config.read_text())
    record["data"]["fingerprint"] = "0" * 64
    config.write_text(json.dumps(record))
    assert "was trained on other images" in in_process("--resume", tmp_path / "run")


@posix
def test_a_read_only_disk(tmp_path):
    (tmp_path / "mine").mkdir(mode=0o555)

    def as_anyone_else():
        if os.geteuid() == 0:  # Root may write anywhere, unless it gives up CAP_DAC_OVERRIDE (1) for what it starts.
            ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)

    said = sentence(start(*TINY, "--run", tmp_path / "mine" / "run", preexec_fn=as_anyone_else))
    assert "cannot be made (Permission denied); name a writable one with --run" in said


@posix
@pytest.mark.parametrize("room", [100, 100_000])
def test_a_full_disk(tmp_path, room):
    import resource

    def full():  # The kernel refuses to let a file grow beyond that.
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

    said = sentence(start(*TINY, "--run", tmp_path / "run", preexec_fn=full))
    if room == 100:  # Not even config.json: nothing is left.
        assert "cannot be made" in said and not (tmp_path / "run").exists()
    else:  # Then no checkpoint.
        assert "could not be written to" in said and f"--resume {tmp_path / 'run'}" in said
        train.main(["--resume", str(tmp_path / "run"), "--epochs", "1"])
        assert Run(tmp_path / "run").generator_keras.exists()


def test_help_is_there_at_once_and_documents_every_option():
    program = "import sys; from gan_tf.train import main; main(['--help'])"
    began = time.perf_counter()
    shown = subprocess.run([sys.executable, "-X", "importtime", "-c", program], capture_output=True, text=True)
    assert time.perf_counter() - began < 30  # The figure is measured in benchmarks/; this is to end at all.
    assert "tensorflow" not in shown.stderr and "keras" not in shown.stderr
    for field in dataclasses.fields(Config):
        assert re.search(rf"--{field.name.replace('_', '-')}[ ,]", shown.stdout), field.name
    for option in ("--run", "--resume", "--no-fallback", "--tensorboard"):
        assert option in shown.stdout
    assert shown.stdout.count("(default:") >= 20
