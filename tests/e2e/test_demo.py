"""`boxqueue demo` with real services."""

import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from PIL import Image

from tests.services.environment import environment
from tests.services.waiting import wait_for

pytestmark = pytest.mark.slow
DRAWN = ("below/card.jpg", "card.bmp.png", "card.png", "scan.png")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    (folder / "below").mkdir(parents=True)
    for name in ("card.png", "below/card.jpg", "card.bmp"):
        Image.new("RGB", (400, 300), "white").save(folder / name)
    return folder


def demo(folder: Path, pictures: Path, **settings: object) -> subprocess.Popen[str]:
    # The test checks that nothing is left in the folder for temporary files.
    (folder / "tmp").mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-m", "cli", "demo", "--pictures", str(pictures), "--output", str(folder / "out")],
        env=environment(**settings) | {"TMPDIR": str(folder / "tmp")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_the_demo_shows_a_table_draws_boxes_and_cleans_up(tmp_path: Path, pictures: Path) -> None:
    (pictures / "empty.png").touch()
    (pictures / "gone.png").symlink_to(pictures / "nowhere")
    (pictures / "scan").write_bytes((pictures / "card.png").read_bytes())
    # The demo must not touch the user's own service.
    started = demo(tmp_path, pictures, data=tmp_path / "mine", database_url="postgresql://nobody@127.0.0.1:1/none")
    table, messages = started.communicate(timeout=400)

    # Two pictures failed: the table and the exit code say so.
    assert started.returncode == 1, table + messages
    assert "picture_empty" in table
    assert "unreadable" in table
    rows = [line.split()[:2] for line in table.splitlines()[1:]]
    models = ("cards-frozen", "cards-onnx", "cards-pytorch", "cards-tensorflow")
    names = ("below/card.jpg", "card.bmp", "card.png", "empty.png", "gone.png", "scan")
    assert rows == [[name, model] for name in names for model in models]
    drawn = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert drawn == {f"{model}/{name}" for model in models for name in DRAWN}
    with Image.open(tmp_path / "out" / "cards-pytorch" / "card.png") as image:
        assert image.size == (400, 300)
    assert not (tmp_path / "mine").exists()
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_taken_port_gives_an_error_message(tmp_path: Path, pictures: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        started = demo(tmp_path, pictures, port=port)
        _, messages = started.communicate(timeout=120)

    assert started.returncode == 1
    assert messages == (
        f"Port {port} on 127.0.0.1 is taken: stop what listens there, or choose another with BOXQUEUE_PORT.\n"
    )


def test_ctrl_c_gives_a_message_and_leaves_no_process(tmp_path: Path, pictures: Path) -> None:
    started = demo(tmp_path, pictures)
    process = psutil.Process(started.pid)
    wait_for(lambda: len(process.children(recursive=True)) > 3, "its processes")
    descendants = process.children(recursive=True)

    started.send_signal(signal.SIGINT)
    _, messages = started.communicate(timeout=120)

    assert started.returncode == 130
    assert messages.endswith("Interrupted: everything that the demo started has been stopped.\n")
    assert "Traceback" not in messages
    assert psutil.wait_procs(descendants, timeout=0)[1] == []
    assert list((tmp_path / "tmp").iterdir()) == []
