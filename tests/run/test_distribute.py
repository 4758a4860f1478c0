"""Several replicas: what they share out, what they refuse, and in processes of their own, what they train."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from gan_tf import train
from gan_tf.common.errors import InputError
from gan_tf.config import Config
from gan_tf.data.images import ImageDataset, batches
from gan_tf.run.distribute import Cluster, read_tf_config, resolve
from gan_tf.run.folder import Run

ROOT = Path(__file__).parents[2]
TWO = {"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "worker", "index": 1}}


def test_the_parts_of_a_batch_are_the_batch():
    """Each image holds its number, so that one can see where it went."""
    pixels = np.arange(48, dtype=np.uint8)[:, None, None, None] + np.zeros((1, 28, 28, 1), np.uint8)
    images = ImageDataset("numbers", pixels, np.arange(48) % 2, "tests", ("even", "odd"))
    config = Config(batch_size=6, d_steps=2, conditional=True, held_out=0.0)

    def first_steps(*more):
        taken = batches(images, config, 3, *more).take(6).as_numpy_iterator()
        return [(numbers[:, 0, 0, 0], labels) for numbers, labels in taken]

    whole, parts = first_steps(), [first_steps(3, [replica]) for replica in range(3)]
    for step, (numbers, labels) in enumerate(whole):
        shared = [part[step] for part in parts]
        assert [len(own) for own, _ in shared] == [4, 4, 4]
        # Of both updates of the discriminator, each has its third.
        by_update = np.stack([own.reshape(2, 2) for own, _ in shared], axis=1).reshape(-1)
        np.testing.assert_array_equal(by_update, numbers)
        np.testing.assert_array_equal(
            np.concatenate([own % 2 for own, _ in shared]), np.concatenate([y for _, y in shared])
        )
        assert (numbers % 2 == labels).all()
    both = batches(images, config, 3, 3, range(1, 3)).take(2).as_numpy_iterator()  # A process with two of the three.
    for (numbers, _), part in zip(both, parts[1:], strict=True):
        np.testing.assert_array_equal(numbers[:, 0, 0, 0], part[0][0])


def test_tf_config_names_the_workers_and_the_chief_is_the_first():
    assert read_tf_config(json.dumps(TWO)) == (("a:1", "b:2"), 1)
    cluster = {"chief": ["c:0"], "worker": ["a:1", "b:2"], "ps": ["d:3"]}
    assert read_tf_config(json.dumps({"cluster": cluster, "task": {"type": "chief", "index": 0}})) == (
        ("c:0", "a:1", "b:2"),
        0,
    )
    assert read_tf_config(json.dumps({"cluster": cluster, "task": {"type": "worker", "index": "1"}}))[1] == 2
    workers, index, resolver = resolve({"TF_CONFIG": json.dumps(TWO)})
    assert (workers, index) == (("a:1", "b:2"), 1) and resolver.cluster_spec().num_tasks("worker") == 2


def test_slurm_names_the_workers(monkeypatch):
    variables = {"PROCID": "2", "STEP_NUM_TASKS": "3", "STEP_NODELIST": "n[1-2]", "STEP_TASKS_PER_NODE": "2,1"}
    for name, value in variables.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    for name in ("TF_CONFIG", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("shutil.which", lambda name: None)
    workers, index, _ = resolve(os.environ)
    assert (workers, index) == (("n1:8888", "n1:8889", "n2:8888"), 2)
    monkeypatch.setenv("SLURM_STEP_NODELIST", "n[1-")
    with pytest.raises(InputError, match=r"SLURM's variables do not name the workers \(Invalid hostlist .* with srun"):
        resolve(os.environ)


@pytest.mark.parametrize(
    "text, what",
    [
        ("host1:2222", "TF_CONFIG is not as it should be (Expecting value"),
        ("[]", "TF_CONFIG is not as it should be"),
        ('{"task": {"type": "worker", "index": 0}}', "TF_CONFIG lacks 'cluster'"),
        (json.dumps(TWO | {"task": {"type": "worker", "index": 2}}), "its task worker 2 is not in its cluster"),
        (json.dumps(TWO | {"task": {"type": "ps", "index": 0}}), "its task ps 0 is not in its cluster"),
        (json.dumps(TWO | {"task": {"type": "worker", "index": None}}), "TF_CONFIG is not as it should be"),
    ],
)
def test_a_tf_config_that_is_none_is_refused(text, what):
    with pytest.raises(InputError) as error:
        read_tf_config(text)
    assert what in str(error.value) and '"index": 0}}' in str(error.value)


def test_what_cannot_be_distributed_is_refused(tmp_path, monkeypatch, capsys):
    for name in ("TF_CONFIG", "SLURM_STEP_NUM_TASKS"):
        monkeypatch.delenv(name, raising=False)
    cases = {
        "--distribute multiworker": "needs --run DIR (or --resume DIR), the same folder for all workers",
        f"--distribute multiworker --run {tmp_path / 'run'}": "start it with srun on SLURM, or set TF_CONFIG in each",
        f"--distribute mirrored --run {tmp_path / 'run'}": "needs at least two GPUs, and TensorFlow finds",
    }
    for options, message in cases.items():
        with pytest.raises(SystemExit, match=re.escape(message)):
            train.main(["--dataset", "digits", *options.split()])
    assert not (tmp_path / "run").exists()
    three = Cluster(type("Strategy", (), {"num_replicas_in_sync": 3})())
    three.check(Config(batch_size=9))
    with pytest.raises(InputError, match="--precision float16 trains on one device only: use bfloat16"):
        three.check(Config(batch_size=9, precision="float16"))
    with pytest.raises(
        InputError, match="--batch-size 8 cannot be split over 3 replicas: use a multiple of 3, such as 9"
    ):
        three.check(Config(batch_size=8))


def test_the_manifest_is_a_tfjob_that_this_code_understands():
    """By the rules of Kubeflow's v1 schema, and with the TF_CONFIG that its operator would set."""
    text = (ROOT / "docs" / "cluster.md").read_text()
    job = yaml.safe_load(re.search(r"```yaml\n(.*?)```", text, re.DOTALL)[1])
    assert (job["apiVersion"], job["kind"]) == ("kubeflow.org/v1", "TFJob") and job["metadata"]["name"]
    assert {*job["spec"]} <= {"tfReplicaSpecs", "runPolicy", "successPolicy", "enableDynamicWorker"}
    replicas = job["spec"]["tfReplicaSpecs"]
    assert {*replicas} == {"Chief", "Worker"}
    for spec in replicas.values():
        assert {*spec} == {"replicas", "restartPolicy", "template"} and isinstance(spec["replicas"], int)
        assert spec["restartPolicy"] in ("Always", "OnFailure", "Never", "ExitCode")
        pod = spec["template"]["spec"]
        (container,) = pod["containers"]
        assert container["name"] == "tensorflow"  # The operator looks for this one.
        assert {*container} <= {"name", "image", "command", "args", "resources", "volumeMounts", "env"}
        assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    assert replicas["Chief"]["replicas"] == 1
    # The shell script resumes a run that is there and begins one that is not.
    script = replicas["Worker"]["template"]["spec"]["containers"][0]["args"][0]
    assert subprocess.run(["sh", "-n"], input=script, text=True).returncode == 0
    command = re.search(r"--run (.*?);", script.replace("\\\n", " "))[1]
    options = train.parse(["--distribute", "multiworker", "--run", *command.split()])
    assert options.config.batch_size % (1 + replicas["Worker"]["replicas"]) == 0


@pytest.mark.slow
def test_two_replicas_train_what_one_does():
    """For every loss and penalty: weights within float rounding after 20 steps, and the same to the bit on both."""
    done = subprocess.run([sys.executable, "-m", "tests.run.replicas"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name, found in json.loads(done.stdout).items():
        assert found["same on both"], name
        assert found["moved"] > 1e-4 and found["difference"] < 1e-3 * found["moved"], (name, found)
        assert found["logs"] < 1e-5, (name, found)


OPTIONS = "--dataset digits --batch-size 8 --width 16 --latent-dim 8 --steps-per-epoch 24"


class Workers:
    """Two processes on loopback that train one run."""

    def __init__(self, folder: Path):
        self.folder, self.running = folder, []
        ports = []
        for _ in range(2):  # The system names free ones, which it does not give to anyone else soon.
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                ports.append(free.getsockname()[1])
        self.cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}

    def start(self, index: int, options: str) -> subprocess.Popen:
        config = {"cluster": self.cluster, "task": {"type": "worker", "index": index}}
        environment = os.environ | {"TF_CONFIG": json.dumps(config), "GAN_TF_WORKER_TIMEOUT": "120"}
        command = [sys.executable, "-m", "gan_tf.train", "--distribute", "multiworker", *options.split()]
        with open(self.folder / f"worker-{index}.txt", "a") as log:
            self.running.append(subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log))
        return self.running[-1]

    def said(self, index: int) -> str:
        return (self.folder / f"worker-{index}.txt").read_text()

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_) -> None:
        for process in self.running:
            process.kill()
            process.wait()


@pytest.mark.slow
def test_two_processes_train_one_run_and_it_survives_them(tmp_path):
    run = Run(tmp_path / "run")
    with Workers(tmp_path) as workers:
        both = [workers.start(index, f"{OPTIONS} --epochs 2000 --run {run.folder}") for index in range(2)]
        deadline = time.monotonic() + 300
        while "epoch 3/2000" not in workers.said(0):
            assert time.monotonic() < deadline and both[0].poll() is None, workers.said(0)
            time.sleep(0.2)
        assert "replicas       2 in 2 processes, on 4 images of each batch" in workers.said(0)
        both[1].send_signal(signal.SIGKILL)
        assert both[0].wait(60) == 1
        assert workers.said(0).splitlines()[-1].startswith("gan_tf: Another worker has stopped or cannot be reached")
        assert f"with --resume {run.folder}, and training goes on from the last checkpoint" in workers.said(0)
    assert workers.said(1).startswith("worker 1 trains with 127.0.0.1:")  # And it wrote nothing more.
    done = len(run.read_history()["epoch"])
    # The same run goes on with both, and then with one process alone.
    with Workers(tmp_path) as workers:
        for process in [workers.start(index, f"--resume {run.folder} --epochs {done + 1}") for index in range(2)]:
            assert process.wait(300) == 0, workers.said(0)
    assert "from step" in workers.said(0)
    train.main(f"--resume {run.folder} --epochs {done + 2}".split())
    assert run.read_history()["epoch"] == [*range(1, done + 3)]
    assert np.isfinite(run.read_history()["d_loss"]).all() and run.read_config()[1]["starts"][1]["epochs"] == done + 1


@pytest.mark.slow
def test_a_worker_that_never_comes_is_not_awaited_forever(tmp_path, monkeypatch):
    with Workers(tmp_path) as workers:
        monkeypatch.setenv("GAN_TF_WORKER_TIMEOUT", "20")
        config = {"cluster": workers.cluster, "task": {"type": "worker", "index": 0}}
        environment = os.environ | {"TF_CONFIG": json.dumps(config)}
        command = [sys.executable, "-m", "gan_tf.train", "--distribute", "multiworker", "--run", str(tmp_path / "run")]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    other = workers.cluster["worker"][1]
    assert done.returncode == -9 and done.stderr.startswith(f"gan_tf: Of 2 workers, {other} did not come within 20 s:")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_the_command_mirrors_a_run_over_all_devices_of_a_machine(tmp_path):
    """Two CPU devices, as this machine may have no GPU. A run of one device continues as one of two."""
    options = f"{OPTIONS} --epochs 1 --run {tmp_path / 'run'}".split()
    train.main(options)
    script = (
        "import gan_tf, sys, tensorflow as tf\n"
        "from gan_tf import train\n"
        "half = tf.config.LogicalDeviceConfiguration()\n"
        "tf.config.set_logical_device_configuration(tf.config.list_physical_devices('CPU')[0], [half, half])\n"
        "train.main(sys.argv[1:])\n"
    )
    more = ["--distribute", "mirrored", "--resume", str(tmp_path / "run"), "--epochs", "2"]
    done = subprocess.run([sys.executable, "-c", script, *more], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "replicas       2, on 4 images of each batch" in done.stdout
    run = Run(tmp_path / "run")
    assert run.read_history()["epoch"] == [1, 2] and run.load_generator().output_shape[1:] == (28, 28, 1)
