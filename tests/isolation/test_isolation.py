"""No framework leaks into another one's process: each side in an environment that lacks the other's packages.

`make test-isolation` builds them from requirements/*.txt: `.venv-isolation/pytorch`, `.venv-isolation/tensorflow` and
`.venv-isolation/libtorch` as their workers' images have it, `.venv-isolation/remote` as that of the worker without a
framework, and `.venv-isolation/service` as the API's and the command's have it.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from PIL import Image

from cli.address import free_port
from detectors.runtimes import installed_runtimes
from jobs.settings import PREFIX, ROOT
from tests.conftest import RedisServer, answered, require_libtorch, wait_for

FRAMEWORKS = ("torch", "torchvision", "tensorflow")
SERVICE, PYTORCH, TENSORFLOW, REMOTE, LIBTORCH = (
    ROOT / ".venv-isolation" / name / "bin" / "python"
    for name in ("service", "pytorch", "tensorflow", "remote", "libtorch")
)
WORKERS = {"pytorch": PYTORCH, "tensorflow": TENSORFLOW, "remote": REMOTE, "libtorch": LIBTORCH}


@pytest.fixture(autouse=True, scope="module")
def environments() -> None:
    if not all(python.exists() for python in (SERVICE, *WORKERS.values())):
        pytest.fail("the environments are missing: `make test-isolation` builds them")


def python(interpreter: Path, code: str) -> list[str]:
    """The words that a Python program prints."""
    done = subprocess.run([interpreter, "-P", "-c", code], capture_output=True, text=True, check=False, timeout=400)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def installed(interpreter: Path, *modules: str) -> list[str]:
    code = f"from importlib.util import find_spec; print(*(name for name in {modules!r} if find_spec(name)))"
    return python(interpreter, code)


def test_the_environments_lack_what_they_should() -> None:
    assert installed(SERVICE, *FRAMEWORKS) == []
    assert installed(PYTORCH, *FRAMEWORKS) == ["torch", "torchvision"]
    assert installed(TENSORFLOW, *FRAMEWORKS) == ["tensorflow"]
    assert installed(LIBTORCH, *FRAMEWORKS) == []
    assert installed(REMOTE, *FRAMEWORKS) == []
    for worker in WORKERS.values():
        assert installed(worker, "flask", "gunicorn", "typer", "supervisor") == []


@pytest.mark.parametrize("package", ["api", "jobs", "cli"])
def test_a_package_imports_whole_without_any_framework(package: str) -> None:
    code = f"""
import importlib, pkgutil, sys
package = importlib.import_module({package!r})
for module in pkgutil.walk_packages(package.__path__, {package!r} + "."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
print(*(name for name in {FRAMEWORKS!r} if name in sys.modules))
"""
    assert python(SERVICE, code) == []


def test_the_runtimes_are_those_whose_framework_is_there() -> None:
    code = "from detectors.runtimes import installed_runtimes; print(*installed_runtimes())"
    # It needs nothing of an environment: it is in the checkout, once it is built.
    built = ["libtorch"] * ("libtorch" in installed_runtimes())

    assert python(LIBTORCH, code) == built
    for runtime in ("pytorch", "tensorflow", "remote"):
        assert python(WORKERS[runtime], code) == sorted([*built, runtime])
    # The command has the HTTP client that is all which `remote` needs.
    assert python(SERVICE, code) == [*built, "remote"]


# In the environment of a checkout, which has both: where only one is installed, the other can't be loaded anyway.
@pytest.mark.parametrize(
    ("runtime", "loaded"),
    [("pytorch", ["torch"]), ("tensorflow", ["tensorflow"]), ("remote", []), ("libtorch.detector", [])],
)
def test_a_detector_loads_no_other_framework(runtime: str, loaded: list[str]) -> None:
    if runtime == "libtorch.detector":
        require_libtorch()
    code = f"import detectors.{runtime}, sys; print(*(name for name in {FRAMEWORKS!r} if name in sys.modules))"

    assert python(Path(sys.executable), code) == loaded


def test_tensorflow_is_quiet_about_itself_and_loud_about_errors() -> None:
    # Native code that speaks while TensorFlow is imported.
    code = """
import os, sys

class Speaker:
    def find_spec(self, name, *_):
        if name == "tensorflow":
            os.write(2, b"I0000 00:00:1.0 1 port.cc:1] all is well\\nE0000 00:00:1.0 1 cuda.cc:1] no driver\\n")

sys.meta_path.insert(0, Speaker())
from detectors.tensorflow import settle, tf
settle("cpu", 1)
print(int(tf.constant(1) + 1))
"""
    done = subprocess.run([TENSORFLOW, "-P", "-c", code], capture_output=True, text=True, check=False, timeout=400)

    assert (done.stdout, done.stderr) == ("2\n", "E0000 00:00:1.0 1 cuda.cc:1] no driver\n")


@contextmanager
def running(interpreter: Path, *arguments: str, environment: dict[str, str], log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            [interpreter, "-P", "-m", *arguments], env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=90)


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("runtime", "models"),
    [
        ("pytorch", ["cards-pytorch"]),
        ("tensorflow", ["cards-tensorflow", "cards-frozen"]),
        ("libtorch", ["cards-libtorch"]),
    ],
)
def test_a_worker_without_the_other_framework_answers_an_api_without_any(
    tmp_path: Path, redis_server: RedisServer, request: pytest.FixtureRequest, runtime: str, models: list[str]
) -> None:
    redis_server.flush()
    catalogue = request.getfixturevalue("with_libtorch") if runtime == "libtorch" else ROOT / "weights/catalogue.toml"
    port = free_port("127.0.0.1")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    own = {
        "DATA": str(tmp_path),
        "PORT": str(port),
        "REDIS_URL": redis_server.url,
        "CHILDREN": "1",
        "CATALOGUE": str(catalogue),
    }
    environment |= {PREFIX + name: value for name, value in own.items()}
    subprocess.run([SERVICE, "-P", "-m", "jobs.migrate"], env=environment, check=True)
    Image.new("RGB", (200, 120), "white").save(tmp_path / "white.png")

    with (
        running(SERVICE, "api", environment=environment, log=tmp_path / "api.log"),
        running(WORKERS[runtime], "worker", runtime, environment=environment, log=tmp_path / "worker.log"),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=70) as client,
    ):
        wait_for(lambda: _is_ready(client), "the API")
        accepted = [
            client.post(
                "/v1/jobs",
                files={"image": (tmp_path / "white.png").read_bytes()},
                data={"model": model},
                headers={"Prefer": "wait=60"},
            ).json()
            for model in models
        ]
        jobs = [answered(client, job) for job in accepted]

    assert [job["status"] for job in jobs] == ["succeeded"] * len(jobs), (tmp_path / "worker.log").read_text()


def _is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").is_success
    except httpx.TransportError:
        return False
