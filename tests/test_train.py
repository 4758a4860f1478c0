"""The command as a person runs it: as a process, killed for real."""

import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from gan_tf import train
from gan_tf.config import PRESETS, Config
from gan_tf.data.sources import HubFile, KerasFile
from gan_tf.run.folder import Run

SMALL = ["--batch-size", "4", "--latent-dim", "8", "--width", "16"]
TINY = ["--digit", "5", "--steps-per-epoch", "20", *SMALL]
TINIEST = ["--steps-per-epoch", "1", *SMALL, "--epochs"]

# Importing TensorFlow takes most of a short run. So it is imported once, by a process that forks one for each command.
# Each gets its own standard output and error, and runs `inject` before the command.
SERVER = """
import json, os, sys
import gan_tf.train, gan_tf.run.callbacks, gan_tf.run.loop
import matplotlib.backends.backend_agg, matplotlib.figure, sklearn.datasets
while True:
    job = json.loads(sys.stdin.readline() or sys.exit())
    if "wait" in job:
        answer = os.waitstatus_to_exitcode(os.waitpid(job["wait"], 0)[1])
    else:
        answer = os.fork()
        if not answer:
            break
    print(json.dumps(answer), flush=True)
for descriptor in (1, 2):
    os.dup2(os.open(job["output"] + str(descriptor), os.O_CREAT | os.O_WRONLY), descriptor)
exec(job["inject"])
gan_tf.train.main(job["argv"])
"""


@dataclasses.dataclass
class Process:
    """A command that was started. `wait` ends when it does, and returns its exit code; negative is a signal."""

    server: "Server"
    pid: int
    output: str
    code: int | None = None

    def wait(self):
        self.code = self.server.ask({"wait": self.pid})
        return self

    @property
    def stdout(self):
        return Path(self.output + "1").read_text()

    @property
    def stderr(self):
        return Path(self.output + "2").read_text()


class Server:
    def __init__(self, folder):
        self.folder, self.started = folder, 0
        argv = [sys.executable, "-W", "error::UserWarning", "-c", SERVER]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, job):
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def start(self, *options, inject=""):
        """Start the command, and do not wait for it."""
        self.started += 1
        output = str(self.folder / f"output-{self.started}-")
        pid = self.ask({"argv": [*map(str, options)], "inject": inject, "output": output})
        return Process(self, pid, output)

    def run(self, *options, inject=""):
        """Start the command and wait for its end."""
        return self.start(*options, inject=inject).wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    if os.name != "posix":
        pytest.skip("fork and signals are Unix's")
    server = Server(tmp_path_factory.mktemp("outputs"))
    yield server
    server.process.communicate("")


def in_process(*options):
    """The command in this process; returns what it would print as it exits."""
    with pytest.raises(SystemExit) as stopped:
        train.main(list(map(str, options)))
    return stopped.value.code


def sentence(result):
    """The one line for a person that a failed process printed."""
    assert result.code == 1 and "Traceback" not in result.stderr, result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith("gan_tf: ")]
    assert len(lines) == 1, result.stderr
    return lines[0]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, server):
    """A run of four epochs that nothing disturbed, and what it printed."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    result = server.run(*TINY, "--epochs", 4, "--run", folder)
    assert result.code == 0, result.stderr
    return Run(folder), result.stdout


def test_what_a_run_prints_and_what_its_folder_holds(uninterrupted):
    run, printed = uninterrupted
    for expected in (
        "182 images of 28x28x1: digits, 5",
        "device         ",
        "generator      10,753 parameters, from 8 random numbers",
        "discriminator  8,753 parameters",
        "4 epochs of 20, on 4 images each",
        "Trained 80 steps in ",
        f"Pictures: {run.progress_gif}",
        f"python -m gan_tf.generate {run.folder} --count 64",
    ):
        assert expected in printed, expected
    # Not a terminal: one line an epoch.
    epochs = [line for line in printed.splitlines() if line.startswith("epoch ")]
    numbers = r"  D \d\.\d\d  G \d\.\d\d  D\(x\) 0\.\d\d  D\(G\(z\)\) 0\.\d\d"
    for number, line in enumerate(epochs, start=1):
        assert re.fullmatch(rf"epoch {number}/4  [\d,]+ images/s{numbers}", line), line
    assert len(epochs) == 4
    assert sorted(path.name for path in run.folder.iterdir() if path.name not in (".lock", "progress.mp4")) == [
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


@pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals are Unix's")
def test_in_a_terminal_of_80_columns_no_line_wraps(tmp_path):
    import fcntl
    import pty
    import struct
    import termios

    reader, writer = pty.openpty()
    fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    argv = [sys.executable, "-m", "gan_tf.train", *TINY, "--epochs", "2", "--run", "run"]
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    process = subprocess.Popen(argv, cwd=tmp_path, env=environment, stdin=writer, stdout=writer, stderr=writer)
    os.close(writer)
    written = b""
    while True:
        try:
            written += os.read(reader, 2**16)
        except OSError:  # The process has ended.
            break
    os.close(reader)
    assert process.wait() == 0, written
    lines = re.split(r"\r\n|\r|\n", written.decode())
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("data")  # TensorFlow says nothing before.
    bars = [line for line in lines if line.startswith("epoch 2/2") and "20/20" in line]
    assert bars and all(name in bars[-1] for name in (" images/s", " D ", " G ", " D(x) ", " D(G(z)) "))
    # Every epoch's bar stays on a line of its own.
    assert written.decode().count("\r\nTrained 40 steps") == 1


def test_generate_is_a_command_too(uninterrupted, tmp_path):
    run = uninterrupted[0].folder
    argv = [sys.executable, "-m", "gan_tf.generate", str(run), "--count", "3", "--out", str(tmp_path / "a.npz")]
    result = subprocess.run(argv, capture_output=True, text=True)
    assert result.returncode == 0 and result.stdout == f"3 images: {tmp_path / 'a.npz'}\n", result.stderr
    with np.load(tmp_path / "a.npz") as drawn:
        assert drawn["images"].shape == (3, 28, 28, 1)


# What a process does to itself, and when. Each is a real signal at a moment that matters.
AT_STEP = """
import os, signal
from gan_tf.run import callbacks
def strike(self, batch, logs=None, inner=callbacks.Checkpoint.on_train_batch_end):
    if int(self.model.step) == {step}:
        os.kill(os.getpid(), signal.{signal})
    inner(self, batch, logs)
callbacks.Checkpoint.on_train_batch_end = strike
"""
WHILE_IT_WRITES = """
import os, signal, threading
from gan_tf.run import checkpoints
def watch(folder):
    while True:
        names = os.listdir(folder)
        if any("step-{step}" in name for name in names) and "step-{step}.index" not in names:
            os.kill(os.getpid(), signal.SIGKILL)
def save(self, inner=checkpoints.CheckpointStore.save):
    if int(self.gan.step) == {step}:
        threading.Thread(target=watch, args=(self.folder,), daemon=True).start()
    inner(self)
checkpoints.CheckpointStore.save = save
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
    states = [tf.train.load_checkpoint(str(run.checkpoints / "step-80")) for run in (ours, theirs)]
    tensors = [name for name in states[0].get_variable_to_dtype_map() if "save_counter" not in name]
    assert len(tensors) > 60
    for name in tensors:
        if name != "_CHECKPOINTABLE_OBJECT_GRAPH":
            np.testing.assert_array_equal(states[0].get_tensor(name), states[1].get_tensor(name), err_msg=name)
    for a, b in zip(ours.load_generator().get_weights(), theirs.load_generator().get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


AT_STEP_WAIT = """
import time
from gan_tf.run import callbacks
def strike(self, batch, logs=None):
    if int(self.model.step) == {step}:
        open("{file}", "w").close()
        time.sleep(600)
callbacks.Checkpoint.on_train_batch_end = strike
"""


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_a_run_killed_again_and_again_equals_the_one_that_was_not(uninterrupted, server, tmp_path):
    run, waits = Run(tmp_path / "run"), tmp_path / "waits"
    # Two epochs. In the second one, another process tries to resume the run, and changes nothing.
    inject = AT_STEP_WAIT.format(step=36, file=waits)
    living = server.start(*TINY, "--epochs", 2, "--run", run.folder, inject=inject)
    while not waits.exists():
        time.sleep(0.05)
    unfinished = run.samples / f".{living.pid}.epoch_0002.png"
    unfinished.write_bytes(b"half")
    before = contents(run.folder)
    assert re.fullmatch(
        rf"gan_tf: \S+run is being trained by process {living.pid} since \S+: wait until that ends, or stop it with "
        "Ctrl-C, and then resume.",
        in_process("--resume", run.folder),
    )
    assert contents(run.folder) == before
    # Now it is killed: its lock is taken over, and its temporary file removed.
    os.kill(living.pid, signal.SIGKILL)
    assert living.wait().code == -9 and run.read_history()["epoch"] == [1]
    # Resumed to four epochs, and killed while the checkpoint of the second epoch is being written,
    resume = ("--resume", run.folder, "--epochs", 4)
    killed = server.run(*resume, inject=WHILE_IT_WRITES.format(step=40))
    assert killed.code == -9 and run.read_history()["epoch"] == [1, 2], killed.stderr
    assert not (run.checkpoints / "step-40.index").exists()
    assert any(path.name.startswith(".") for path in run.checkpoints.iterdir())
    assert not unfinished.exists()
    # before the grid of the third epoch gets its name,
    killed = server.run(*resume, inject=BEFORE_THE_RENAME.format(name="epoch_0003.png"))
    assert killed.code == -9 and not run.sample_png(3).exists(), killed.stderr
    assert any(path.name.startswith(".") for path in run.samples.iterdir())
    # and by Ctrl-C within the third epoch, which loses nothing of it.
    stopped = server.run(*resume, inject=AT_STEP.format(step=56, signal="SIGINT"))
    assert stopped.code == 130, stopped.stderr
    assert f"Stopped at step 56, all saved. To go on: python -m gan_tf.train --resume {run.folder}" in stopped.stdout
    finished = server.run("--resume", run.folder)
    assert finished.code == 0, finished.stderr
    assert "from step 56 on" in finished.stdout and "Trained 24 steps" in finished.stdout
    assert_same_run(run, uninterrupted[0])
    assert not any(path.name.startswith(".") for folder in (run.samples, run.checkpoints) for path in folder.iterdir())
    # Each diagnosis is said as if nothing had happened, and "all well" at the end only.
    health = [line for part in (killed, stopped, finished) for line in part.stdout.splitlines() if "Health" in line]
    assert {*health} == {line for line in uninterrupted[1].splitlines() if "Health" in line} and health
    assert sum("all well" in line for line in health) == ("all well" in finished.stdout)
    starts = run.read_config()[1]["starts"]
    assert [start["step"] for start in starts] == [0, 20, 20, 40, 56]
    assert [start["epochs"] for start in starts] == [2, 4, 4, 4, 4]


@pytest.mark.slow
def test_a_run_killed_before_its_last_checkpoint_makes_its_models_again(server, tmp_path):
    run = Run(tmp_path / "run")
    killed = server.run(*TINIEST, "1", "--run", run.folder, inject=BEFORE_THE_RENAME.format(name="/generator.keras"))
    assert killed.code == -9 and not run.generator_keras.exists(), killed.stderr
    finished = server.run("--resume", run.folder)
    assert finished.code == 0 and run.generator_keras.exists(), finished.stderr


# A clock that is a year ahead or behind at each reading.
JUMPING_CLOCK = """
import itertools, time, tqdm.std
jumps, inner = itertools.cycle((0.0, 3e7, -3e7)), time.time
time.time = tqdm.std.time = lambda: inner() + next(jumps)
"""


@pytest.mark.slow
def test_a_clock_that_jumps_changes_nothing(server, tmp_path):
    steady, jumping = Run(tmp_path / "steady"), Run(tmp_path / "jumping")
    results = [server.run(*TINIEST, "2", "--run", steady.folder)]
    results += [server.run(*TINIEST, "1", "--run", jumping.folder, inject=JUMPING_CLOCK)]
    results += [server.run("--resume", jumping.folder, "--epochs", "2", inject=JUMPING_CLOCK)]
    assert [result.code for result in results] == [0, 0, 0], [result.stderr for result in results]
    assert jumping.history_csv.read_bytes() == steady.history_csv.read_bytes()
    assert jumping.sample_png(2).read_bytes() == steady.sample_png(2).read_bytes()
    assert all(float(re.search(r"Trained . steps in (\d+\.\d) s", result.stdout)[1]) < 600 for result in results)


def test_a_run_without_decay_cannot_be_made_shorter_than_it_is(uninterrupted):
    run = uninterrupted[0]
    before = contents(run.folder)
    assert "--epochs is 3, but" in in_process("--resume", run.folder, "--epochs", 3)
    assert contents(run.folder) == before


@pytest.mark.slow
def test_a_run_whose_step_sizes_decay_can_be_made_longer(tmp_path, capsys):
    run = Run(tmp_path / "run")
    train.main([*TINIEST, "19", "--decay", "cosine", "--run", str(run.folder)])
    assert not run.strip_png.exists() and "step sizes" not in capsys.readouterr().out
    assert run.read_config()[1]["phases"] == [[0, 19]]
    before = run.sample_png(19).read_bytes()
    train.main(["--resume", str(run.folder), "--epochs", "21"])
    assert (
        "step sizes     decayed to 0 by epoch 19, warm up again, and decay to 0 by epoch 21: not the run that 21 "
        "epochs from the start would be\n"
    ) in capsys.readouterr().out
    config, record = run.read_config()
    assert config.epochs == 21 and record["phases"] == [[0, 19], [19, 21]]
    assert run.strip_png.exists() and len(run.read_history()["epoch"]) == 21
    # The step sizes are not 0 any more.
    assert run.sample_png(21).read_bytes() != run.sample_png(20).read_bytes() != before
    message = in_process("--resume", run.folder, "--epochs", 20)
    assert message.startswith(f"gan_tf: {run.folder} cannot be made shorter: its step sizes decay until epoch 21.")
    assert run.read_config() == (config, record)


def test_tensorboard_needs_its_package(tmp_path, monkeypatch):
    monkeypatch.setattr(train.importlib.util, "find_spec", lambda name: None)
    assert "pip install tensorboard" in in_process(*TINIEST, "1", "--tensorboard", "--run", tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    """A machine with no data of its own and no network."""
    monkeypatch.setattr(KerasFile, "base_url", "http://127.0.0.1:9/")
    monkeypatch.setattr(HubFile, "fetch", lambda self: (_ for _ in ()).throw(ConnectionError("no route")))
    monkeypatch.chdir(tmp_path)


def test_without_mnist_it_uses_digits_and_says_so_twice(no_network, capsys):
    options = ["--dataset", "mnist", *TINIEST, "1", "--run", "run"]
    train.main(options)
    printed = capsys.readouterr()
    assert printed.err.count("Using digits instead") == 2
    assert printed.err.splitlines()[0] == printed.err.splitlines()[-1] == "!" * 80
    config, record = Run.open(Path("run")).read_config()
    assert config.dataset == record["data"]["name"] == "digits"
    assert "mnist.npz could not be downloaded" in record["data"]["fallback"]
    train.main(["--resume", "run", "--epochs", "2"])
    assert "Using digits instead" in capsys.readouterr().err


def test_the_fallback_has_the_preset_of_what_it_learns():
    argv = ["--dataset", "mnist", "--epochs", "3"]
    parsed = train.parse(argv, train.fallback_defaults(argv, "digits")).config
    assert (parsed.steps_per_epoch, parsed.epochs) == (64, 3)
    assert train.parse(["--dataset", "mnist"]).config.epochs == PRESETS["mnist"]["epochs"]


@pytest.mark.parametrize(
    "options, told",
    [
        ([], (True, 0)),  # Not the twelve clusters of pokemon.
        (["--clusters", "5"], (False, 5)),
        (["--no-conditional"], (False, 0)),
        (["--label", "fire", "--preset", "mnist"], (True, 0)),
    ],
)
def test_the_fallback_is_told_what_its_own_preset_says_unless_asked_otherwise(options, told):
    argv = ["--dataset", "pokemon", *options]
    config = train.parse(argv, train.fallback_defaults(argv, "creatures")).config
    assert (config.conditional, config.clusters) == told and config.image_size == 64
    loss = ["--loss", "relativistic"]
    assert train.fallback_defaults([*argv, *loss], "creatures").r1 is None


@pytest.mark.slow
def test_without_colour_pictures_it_uses_creatures_without_labels(no_network, capsys):
    options = ["--image-size", "32", *TINIEST, "1", "--run", "run"]
    train.main(["--dataset", "pokemon", *options, "--label", "5"])
    assert capsys.readouterr().err.count("Using creatures instead") == 2
    config, record = Run.open(Path("run")).read_config()
    assert (config.dataset, config.label, config.augment) == ("creatures", (), ())
    assert (config.conditional, config.clusters) == (True, 0)
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


@pytest.mark.slow
def test_a_folder_is_trained_on_like_a_data_set_until_it_changes(pictures, tmp_path, capsys):
    pytest.importorskip("tensorboard")
    options = ["--image-size", "32", *TINIEST, "1", "--preset", "pokemon"]
    by_path, by_name = Run(tmp_path / "by_path"), Run(tmp_path / "by_name")
    train.main(["--dataset", str(pictures), *options, "--run", str(by_path.folder)])
    options += ["--tensorboard", "--data-dir", str(pictures.parent)]
    train.main(["--dataset", "pokemon", *options, "--run", str(by_name.folder)])
    assert "lines/torn.png: not a picture" in capsys.readouterr().err
    assert by_path.sample_png(1).read_bytes() == by_name.sample_png(1).read_bytes()
    for run in (by_path, by_name):
        config, record = run.read_config()
        assert config.augment == PRESETS["pokemon"]["augment"] and config.image_size == 32
        assert record["data"]["images"] == 20 and record["data"]["skipped"] == ["lines/torn.png: not a picture"]
    written = list(by_name.tensorboard.rglob("events.out*"))
    assert written and any(b"epoch_d_loss" in path.read_bytes() for path in written)
    assert not by_path.tensorboard.exists()
    train.main(["--resume", str(by_path.folder), "--epochs", "2"])
    assert len(by_path.read_history()["epoch"]) == 2
    (pictures / "dots" / "0.png").unlink()
    assert "was trained on other images" in in_process("--resume", by_path.folder, "--epochs", "3")


def test_no_fallback_makes_it_an_error(no_network, tmp_path):
    message = in_process("--dataset", "mnist", "--no-fallback")
    assert message.startswith(
        "gan_tf: There is no data/mnist.npz, and http://127.0.0.1:9/mnist.npz could not be downloaded"
    )
    assert not (tmp_path / "runs").exists()


def test_a_folder_chooses_what_suits_it_says_so_and_can_be_overruled(pictures, tmp_path, capsys):
    options = ["--dataset", str(pictures), "--image-size", "32", *TINIEST, "1", "--run"]
    train.main([*options, str(tmp_path / "a")])
    said = capsys.readouterr().out
    assert "\n--augment      translation and cutout: 20 images to train on are fewer than 2,000\n" in said
    assert "\n--flip         no: " in said
    config = Run(tmp_path / "a").read_config()[0]
    assert (config.augment, config.flip) == (("translation", "cutout"), False)
    train.main([*options, str(tmp_path / "b"), "--augment", "color", "--flip"])
    assert not re.search("^--(augment|flip)", capsys.readouterr().out, re.M)
    config = Run(tmp_path / "b").read_config()[0]
    assert (config.augment, config.flip) == (("color",), True)


@pytest.mark.parametrize(
    "options, why",
    [
        ("--dataset minst", "no data set 'minst' (did you mean mnist?); use one of digits, mnist"),
        ("--dataset ./minst", "minst does not exist; name a folder of pictures"),
        ("--digit 12", "digits has no label '12'; its labels are 0, 1, 2"),
        ("--digit 5 --conditional", "digits has one label only, 5, so there is nothing to tell"),
        ("--conditional --clusters 4", "--clusters is 4, but it must be 0 with --conditional"),
        ("--digit 5 --clusters 183", "182 images to train on, too few for 183 clusters"),
        (
            "--image-size 97x64",
            "--image-size is 97x64, but it must be 28 or a multiple of 8",
        ),
        ("--image-size x64", "--image-size is x64, but it must be 28 or a multiple of 8"),
        ("--epochs 0", "--epochs is 0"),
        ("--epochs -1", "--epochs is -1"),
        ("--batch-size -8", "--batch-size is -8"),
        ("--learning-rate 0", "--learning-rate is 0.0"),
        ("--digit 5 --batch-size 183", "182 images to train on, fewer than the 183"),
        ("--digit 5 --held-out 0.5 --evaluate-every 1", "needs at least 65 images on each side, but there are 45"),
        ("--resume nothing", "nothing is not the folder of a run"),
        ("--resume nothing --run other", "leave one of them out"),
        ("--run .", ". exists already"),
    ],
)
def test_bad_input_gets_one_sentence_and_leaves_nothing(options, why, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message = in_process(*options.split())
    assert message.startswith("gan_tf: ") and why in message and "\n" not in message
    assert list(tmp_path.iterdir()) == []


def test_resuming_with_another_config_names_what_differs(uninterrupted):
    message = in_process("--resume", uninterrupted[0].folder, "--batch-size", 8, "--seed", 1, "--epochs", 9)
    assert "--batch-size was 4 and is now 8, --seed was 0 and is now 1" in message and "epochs" not in message


def test_resuming_on_other_data(uninterrupted, tmp_path):
    shutil.copytree(uninterrupted[0].folder, tmp_path / "run")
    config = tmp_path / "run" / "config.json"
    record = json.loads(config.read_text())
    record["data"]["fingerprint"] = "0" * 64
    config.write_text(json.dumps(record))
    assert "was trained on other images" in in_process("--resume", tmp_path / "run")


# Root may write anywhere, unless it gives up the capability to: CAP_DAC_OVERRIDE, bit 1 of the effective ones.
AS_ANYONE = """
import ctypes, os
if os.geteuid() == 0:
    header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    libc = ctypes.CDLL(None)
    assert libc.capget(header, sets) == 0
    sets[0] &= ~2
    assert libc.capset(header, sets) == 0
"""


def test_a_read_only_disk(server, uninterrupted, tmp_path):
    shutil.copytree(uninterrupted[0].folder, tmp_path / "run")
    tmp_path.chmod(0o555)
    (tmp_path / "run").chmod(0o555)
    try:
        message = sentence(server.run(*TINY, "--run", tmp_path / "new", inject=AS_ANYONE))
        assert "cannot be made (Permission denied): name a writable one with --run" in message
        (tmp_path / "run" / ".lock").unlink(missing_ok=True)
        message = sentence(server.run("--resume", tmp_path / "run", inject=AS_ANYONE))
        assert "run could not be written to (Permission denied): make room or make it writable" in message
    finally:
        tmp_path.chmod(0o755)
        (tmp_path / "run").chmod(0o755)


@pytest.mark.parametrize("room", [1000, 100_000])
def test_a_full_disk(server, tmp_path, room):
    # The kernel refuses to let a file grow beyond that.
    full = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, {room}))"
    message = sentence(server.run(*TINY, "--run", tmp_path / "run", inject=full))
    if room == 1000:  # Not even config.json: nothing is left.
        assert "cannot be made" in message and not (tmp_path / "run").exists()
    else:  # Then no checkpoint.
        assert "could not be written to" in message and f"--resume {tmp_path / 'run'}" in message
        train.main(["--resume", str(tmp_path / "run"), "--epochs", "1"])
        assert Run(tmp_path / "run").generator_keras.exists()


def test_help_needs_no_tensorflow_and_documents_every_option():
    program = "import sys; from gan_tf.train import main; main(['--help'])"
    shown = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", program], capture_output=True, text=True, timeout=60
    )
    assert "tensorflow" not in shown.stderr and "keras" not in shown.stderr
    for field in dataclasses.fields(Config):
        assert re.search(rf"--{field.name.replace('_', '-')}[ ,]", shown.stdout), field.name
    for option in ("--run", "--resume", "--no-fallback", "--tensorboard"):
        assert option in shown.stdout
    assert shown.stdout.count("(default:") >= 20
