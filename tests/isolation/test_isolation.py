"""No process loads a framework that it does not need: each runs in an environment without the other packages.

`make test-isolation` builds them from requirements/*.txt, below `.venv-isolation/`: `pytorch`, `tensorflow`, `onnx` and
`libtorch` as their workers' images have it, `remote` as that of the worker without a framework, and `service` as the
API's and the command's have it.
"""

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from detectors.runtimes.registry import installed_runtimes
from jobs.settings import ROOT
from tests.conftest import require_libtorch
from tests.services.environment import environment
from tests.services.programs import Api, Worker, python
from tests.services.redis import RedisServer

pytestmark = pytest.mark.slow

FRAMEWORKS = ("torch", "torchvision", "tensorflow", "onnxruntime")
SERVICE, PYTORCH, TENSORFLOW, ONNX, REMOTE, LIBTORCH = (
    ROOT / ".venv-isolation" / name / "bin" / "python"
    for name in ("service", "pytorch", "tensorflow", "onnx", "remote", "libtorch")
)
WORKERS = {"pytorch": PYTORCH, "tensorflow": TENSORFLOW, "onnx": ONNX, "remote": REMOTE, "libtorch": LIBTORCH}


@pytest.fixture(autouse=True, scope="module")
def environments() -> None:
    if not all(python.exists() for python in (SERVICE, *WORKERS.values())):
        pytest.fail("the environments are missing: `make test-isolation` builds them")


def words_of(interpreter: Path, code: str) -> list[str]:
    """Runs a Python program. Returns the words that it prints."""
    done = subprocess.run([interpreter, "-P", "-c", code], capture_output=True, text=True, check=False, timeout=400)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def installed(interpreter: Path, *modules: str) -> list[str]:
    code = f"from importlib.util import find_spec; print(*(name for name in {modules!r} if find_spec(name)))"
    return words_of(interpreter, code)


def test_every_environment_has_only_its_own_framework() -> None:
    assert installed(SERVICE, *FRAMEWORKS, "numpy") == []
    assert installed(PYTORCH, *FRAMEWORKS) == ["torch", "torchvision"]
    assert installed(TENSORFLOW, *FRAMEWORKS) == ["tensorflow"]
    assert installed(ONNX, *FRAMEWORKS) == ["onnxruntime"]
    assert installed(LIBTORCH, *FRAMEWORKS) == []
    assert installed(REMOTE, *FRAMEWORKS) == []
    for worker in WORKERS.values():
        assert installed(worker, "flask", "gunicorn", "typer", "supervisor") == []


@pytest.mark.parametrize(
    ("interpreter", "package"),
    [(SERVICE, "api"), (SERVICE, "wire"), (SERVICE, "jobs"), (SERVICE, "cli"), (LIBTORCH, "engine")],
)
def test_every_module_of_a_package_imports_without_a_framework(interpreter: Path, package: str) -> None:
    code = f"""
import importlib, pkgutil, sys
package = importlib.import_module({package!r})
for module in pkgutil.walk_packages(package.__path__, {package!r} + "."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
print(*(name for name in {FRAMEWORKS!r} if name in sys.modules))
"""
    assert words_of(interpreter, code) == []


def test_the_runtimes_are_those_whose_framework_is_installed() -> None:
    code = "from detectors.runtimes.registry import installed_runtimes; print(*installed_runtimes())"
    # libtorch needs no package: it is in the checkout, once it is built.
    built = ["libtorch"] * ("libtorch" in installed_runtimes())

    assert words_of(LIBTORCH, code) == built
    for runtime in ("pytorch", "tensorflow", "onnx", "remote"):
        assert words_of(WORKERS[runtime], code) == sorted([*built, runtime])
    # The command has an HTTP client and the checkout may have libtorch, but every runtime needs NumPy too.
    assert words_of(SERVICE, code) == []


def test_a_runtime_without_numpy_says_what_to_install() -> None:
    code = """
from detectors.errors import ModelUnusable
from detectors.runtimes.registry import require
try:
    require("remote")
except ModelUnusable as error:
    print(error)
"""
    assert words_of(SERVICE, code)[-2:] == ["Install", "requirements/remote.txt."]


# In the environment of a checkout, which has all frameworks.
@pytest.mark.parametrize(
    ("runtime", "loaded"),
    [
        ("pytorch", ["torch"]),
        ("tensorflow", ["tensorflow"]),
        ("runtimes.onnx", ["onnxruntime"]),
        ("remote", []),
        ("libtorch.detector", []),
    ],
)
def test_a_detector_loads_no_other_framework(runtime: str, loaded: list[str]) -> None:
    if runtime == "libtorch.detector":
        require_libtorch()
    code = f"import detectors.{runtime}, sys; print(*(name for name in {FRAMEWORKS!r} if name in sys.modules))"

    assert words_of(Path(sys.executable), code) == loaded


def test_tensorflow_prints_errors_and_nothing_else() -> None:
    # Native code that writes to the standard error while TensorFlow is imported.
    code = """
import os, sys

class NoisyImport:
    def find_spec(self, name, *_):
        if name == "tensorflow":
            os.write(2, b"I0000 00:00:1.0 1 port.cc:1] all is well\\nE0000 00:00:1.0 1 cuda.cc:1] no driver\\n")

sys.meta_path.insert(0, NoisyImport())
from detectors.runtimes.tensorflow import configure, tf
configure("cpu", 1)
print(int(tf.constant(1) + 1))
"""
    done = subprocess.run([TENSORFLOW, "-P", "-c", code], capture_output=True, text=True, check=False, timeout=400)

    assert (done.stdout, done.stderr) == ("2\n", "E0000 00:00:1.0 1 cuda.cc:1] no driver\n")


def test_onnx_runtime_reports_to_nobody(tmp_path: Path) -> None:
    # With its telemetry, ONNX Runtime keeps an id of the machine below HOME, and opens connections.
    code = """
import psutil
from pathlib import Path
from detectors.runtimes.onnx import open_session
open_session(Path("weights/cards.onnx"), "cpu", 1)
print(len(psutil.Process().net_connections()))
"""
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [ONNX, "-P", "-c", code], capture_output=True, text=True, check=False, timeout=400, env=home, cwd=ROOT
    )

    assert (done.stdout, done.stderr) == ("0\n", "")
    assert list(tmp_path.rglob("*")) == []


def worker(runtime: str, *, data: Path, **settings: object) -> Worker:
    """A worker in the environment of its image."""
    variables = environment(data=data, **settings)
    return Worker(runtime, variables, data / f"{runtime}.log", interpreter=WORKERS[runtime])


def api(**settings: object) -> Api:
    """The API in the environment of its image, on a migrated database."""
    subprocess.run(python("jobs.migrate", interpreter=SERVICE), env=environment(**settings), check=True)
    return Api(command=python("api", interpreter=SERVICE), **settings)


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("runtime", "models"),
    [
        ("pytorch", ["cards-pytorch"]),
        ("tensorflow", ["cards-tensorflow", "cards-frozen"]),
        ("onnx", ["cards-onnx"]),
        ("libtorch", ["cards-libtorch"]),
    ],
)
def test_a_worker_with_one_framework_answers_an_api_without_a_framework(
    tmp_path: Path, redis_server: RedisServer, request: pytest.FixtureRequest, runtime: str, models: list[str]
) -> None:
    redis_server.flush()
    catalogue = request.getfixturevalue("with_libtorch") if runtime == "libtorch" else ROOT / "weights/catalogue.toml"
    settings = {"data": tmp_path, "children": 1, "redis_url": redis_server.url, "catalogue": catalogue}
    Image.new("RGB", (200, 120), "white").save(tmp_path / "white.png")
    white = (tmp_path / "white.png").read_bytes()

    with api(**settings) as running, worker(runtime, **settings), running.client() as client:
        running.wait_until("/readyz")
        accepted = [job for model in models for job in client.submit(model, white)]
        jobs = [client.answered(job) for job in accepted]

    assert [job["status"] for job in jobs] == ["succeeded"] * len(jobs)
