"""Sweeps: their plan and table; with Ray on this machine, and on a cluster of two nodes on loopback."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from gan_tf import sweep
from gan_tf.common.errors import InputError
from gan_tf.run.folder import Run

ROOT = Path(__file__).parents[1]
TINY = ["--dataset", "digits", "--batch-size", "8", "--width", "16", "--latent-dim", "8", "--steps-per-epoch", "24"]


def test_all_combinations_of_the_values_are_planned_for_every_seed():
    settings = sweep.read_settings(["r1=0.1,1", "width=16"])
    assert settings == [{"r1": "0.1", "width": "16"}, {"r1": "1", "width": "16"}]
    trials = sweep.plan(settings, [0, 5], ["--dataset", "digits", "--epochs", "6"])
    assert [(trial.setting, trial.seed) for trial in trials[1:3]] == [("r1=0.1 width=16", 5), ("r1=1 width=16", 0)]
    assert trials[1].name == "r1=0.1,width=16,seed=5" and trials[1].epochs == 6
    options = "--dataset digits --epochs 6 --r1=0.1 --width=16 --evaluate-every=1 --seed=5"
    assert trials[1].options == tuple(options.split())
    assert sweep.read_settings([]) == [{}] and sweep.plan([{}], [0], TINY)[0].setting == ""


@pytest.mark.parametrize("text", ["r1", "=1", "r1=", "r1=1,,2"])
def test_a_setting_needs_a_name_and_values(text):
    with pytest.raises(InputError, match=re.escape(f"--set is {text!r}, but it must be an option and its values")):
        sweep.read_settings([text])


def test_a_sweep_refuses_what_its_runs_would(tmp_path):
    with pytest.raises(InputError, match="--set names r1 twice"):
        sweep.read_settings(["r1=1", "r1=2"])
    with pytest.raises(InputError, match="--batch-size is 0, but it must be a whole number of at least 2"):
        sweep.plan([{"batch_size": "0"}], [0], TINY)
    with pytest.raises(InputError, match="would not measure the last of 6 epochs: use a number that divides them"):
        sweep.plan([{}], [0], [*TINY, "--epochs=6", "--evaluate-every=4"])
    given = sweep.parser().parse_args(["--out", str(tmp_path)])
    with pytest.raises(InputError, match="--seed has no place in a sweep"):
        sweep.begin(given, [*TINY, "--seed=1"])
    with pytest.raises(InputError, match="exists already: continue that sweep with --resume"):
        sweep.create(given.out, sweep.begin(given, TINY))
    with pytest.raises(InputError, match="is not the folder of a sweep"):
        sweep.reopen(tmp_path)
    with pytest.raises(SystemExit, match="gan_tf: --resume continues a sweep as it was begun"):
        sweep.main(["--resume", str(tmp_path), "--epochs", "3"])


def test_without_ray_a_sentence_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(
        SystemExit, match=r"needs Ray Tune, which is not installed: python -m pip install -e '.\[sweep\]'"
    ):
        sweep.main(["--out", str(tmp_path / "sweep"), *TINY])
    assert not (tmp_path / "sweep").exists()


@pytest.mark.parametrize(
    "address, said", [(None, "Ray did not start here (too slow)"), ("h:1", "no Ray cluster at h:1")]
)
def test_a_ray_that_does_not_start_is_one_sentence(address, said, monkeypatch):
    ray = pytest.importorskip("ray")

    def init(**_):
        raise Exception("too slow\nand more")  # As Ray does.

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(InputError, match=re.escape(said)):
        sweep.connect(address)


def test_the_table_has_the_spread_of_each_settings_seeds(tmp_path):
    trials = [sweep.Trial(setting, seed, 2, ()) for setting in ("r1=0", "r1=1") for seed in (0, 1, 2)]
    values = {
        "r1=0,seed=0": [9, 1],
        "r1=0,seed=1": [9, 3],
        "r1=0,seed=2": [9, 2],
        "r1=1,seed=0": [4],
        "r1=1,seed=1": [],
    }
    for name, distances in values.items():
        (tmp_path / name).mkdir()
        rows = [f"{epoch + 1},{distance},0.5" for epoch, distance in enumerate(distances)]
        (tmp_path / name / "history.csv").write_text("\n".join(["epoch,frechet_distance,coverage", *rows]) + "\n")
    assert sweep.table(tmp_path, trials).splitlines()[2:] == [
        "| r1=0 | 3 | 0 | 2 (1 to 3) | 0.5 (0.5 to 0.5) |",
        "| r1=1 | 3 | 3 | 4 | 0.5 |",
    ]


def test_early_stopping_ends_a_run_that_is_worse_than_those_before_it():
    """With the distances that a step size of 0.002 gave on digits, and one with which nothing is learned."""
    pytest.importorskip("ray")
    from ray.tune.schedulers import TrialScheduler

    scheduler = sweep.make_scheduler([sweep.Trial(rate, 0, 8, ()) for rate in ("0.002", "1e-9")])
    scheduler.set_search_properties("frechet_distance", "min")
    good, bad = (SimpleNamespace(trial_id=name) for name in ("good", "bad"))
    decisions = []
    for trial, epoch, distance in [
        (good, 1, 102.5),
        (good, 2, 101.8),
        (good, 4, 94.6),
        (bad, 1, 102.6),
        (bad, 2, 102.6),
    ]:
        if epoch == 1:
            scheduler.on_trial_add(None, trial)
        decisions.append(scheduler.on_trial_result(None, trial, {"epoch": epoch, "frechet_distance": distance}))
    assert decisions == [*[TrialScheduler.CONTINUE] * 4, TrialScheduler.STOP]


@pytest.mark.parametrize("options, expected", [([], "NoneType"), (["--early-stopping"], "AsyncHyperBandScheduler")])
def test_ray_ends_runs_early_only_if_it_is_asked_to(options, expected, tmp_path, monkeypatch):
    tune = pytest.importorskip("ray.tune")
    schedulers = []

    class Tuner:
        can_restore = staticmethod(lambda path: False)

        def __init__(self, trainable, *, param_space, tune_config, run_config):
            schedulers.append(type(tune_config.scheduler).__name__)

        def fit(self):
            return []

    monkeypatch.setattr(tune, "Tuner", Tuner)
    assert sweep.run_trials(tmp_path, [sweep.Trial("", 0, 8, ())], sweep.parser().parse_args(options)) == []
    assert schedulers == [expected]


def start(*options: str, **environment: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "gan_tf.sweep", *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ
        | {"RAY_worker_niceness": "0"}
        | environment,  # Or other tests could keep it from ever beginning.
    )


def processes_in(folder: Path) -> list[int]:
    """The processes whose command line names the folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(folder) in path.read_text():
                found.append(int(path.parent.name))
        except OSError:  # It has just ended.
            pass
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for processes in /proc")
def test_a_sweep_survives_kill_9_and_ends_with_a_table(tmp_path):
    pytest.importorskip("ray")
    folder = tmp_path / "sweep"
    options = ["--seeds", "0", "1", "--set", "learning_rate=0.002,0.004", "--out", str(folder), *TINY, "--epochs", "40"]
    first = start(*options)
    deadline = time.monotonic() + 400
    while not any(path.read_text().count("\n") > 11 for path in folder.glob("*/history.csv")):
        assert first.poll() is None and time.monotonic() < deadline, first.communicate()
        time.sleep(0.2)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    while processes_in(folder):  # Ray and the runs notice that their parent is gone, and the runs save their state.
        assert time.monotonic() < deadline, processes_in(folder)
        time.sleep(0.2)
    done = {path.parent.name: path.read_text() for path in folder.glob("*/history.csv")}
    second = start("--resume", str(folder))
    said, _ = second.communicate(timeout=600)
    assert second.returncode == 0, said
    for trial in json.loads((folder / "sweep.json").read_text()):
        run = Run(folder / sweep.Trial(**trial).name)
        assert run.read_history()["epoch"] == [*range(1, 41)]
        assert run.history_csv.read_text().startswith(done.get(run.folder.name, ""))
    starts = [len(Run(folder / name).read_config()[1]["starts"]) for name in done]
    assert max(starts) == 2  # Some run went on where it was.
    assert (folder / "table.md").read_text() in said and said.count("| 2 | 0 |") == 2
    assert not processes_in(folder)


@pytest.mark.slow
def test_a_run_that_ray_stops_ends_there_with_a_checkpoint(tmp_path):
    pytest.importorskip("ray")
    (trial,) = sweep.plan([{}], [0], [*TINY, "--epochs", "40", "--evaluate-every", "1"])
    folder = tmp_path / "run"
    options = {"folder": str(folder), "options": trial.options, "epochs": 40, "cpus": 1, "directory": str(ROOT)}
    running = sweep.make_trainable()({"trial": options})
    first = running.train()
    assert first["epoch"] == 1 and first["frechet_distance"] > 0 and not first["done"]
    running.stop()
    assert running.process.returncode == 130 and 1 <= Run(folder).read_history()["epoch"][-1] < 40
    assert "all saved. To go on" in folder.with_suffix(".txt").read_text()


@pytest.mark.slow
def test_a_sweep_runs_on_a_cluster_of_two_nodes(tmp_path):
    """Two nodes of one core each, as processes on loopback."""
    pytest.importorskip("ray")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    # A short path, because the names of sockets have at most 107 characters.
    short = tempfile.mkdtemp(prefix="ray")
    ours = {"RAY_TMPDIR": short, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "f" * 64}
    environment = os.environ | ours | {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1", "RAY_worker_niceness": "0"}
    ray = [str(Path(sys.executable).with_name("ray")), "start", "--num-cpus=1", "--disable-usage-stats", "--block"]
    nodes = []
    try:
        for role in (
            ["--head", f"--port={address.split(':')[1]}", "--include-dashboard=false"],
            [f"--address={address}"],
        ):
            nodes.append(
                subprocess.Popen([*ray, *role], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            )
            time.sleep(10)
        options = [
            "--set",
            "learning_rate=0.002",
            "--seeds",
            "0",
            "1",
            "--address",
            address,
        ]
        process = start(*options, "--out", str(tmp_path / "sweep"), *TINY, "--epochs", "16", **ours)
        said, _ = process.communicate(timeout=600)
        assert process.returncode == 0, said
    finally:
        for node in nodes:
            node.terminate()
            node.wait()
        shutil.rmtree(short, ignore_errors=True)
    for seed in (0, 1):
        assert Run(tmp_path / "sweep" / f"learning_rate=0.002,seed={seed}").read_history()["epoch"][-1] == 16
    assert "| learning_rate=0.002 | 2 | 0 |" in said
