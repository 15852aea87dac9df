"""The processes that draw boxes on pictures."""

import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import psutil
import pytest
from PIL import Image

from api import drawing_pool
from api.drawing_pool import DrawingPool
from detectors.errors import PictureTooCostly, PictureUndecodable
from detectors.pictures.drawing_process import write_message
from jobs.errors import DrawingBusy, PictureMissing
from jobs.settings import ROOT
from tests.picture_files import card, png_of, saved
from tests.services.waiting import wait_for

ROWS = [("textbox", 0, 0.9, 10.0, 20.0, 200.0, 90.0)]
PICTURE = saved(card((400, 330)), "PNG")
SMALL = 192 * 2**20


def file() -> bytes:
    return PICTURE


@pytest.fixture
def pool() -> Iterator[DrawingPool]:
    pool = DrawingPool(api_threads=2, memory_bytes=SMALL)
    yield pool
    pool.close()


def _all_processes() -> set[psutil.Process]:
    return {child for child in psutil.Process().children() if _draws(child)}


def _draws(child: psutil.Process) -> bool:
    try:
        return "detectors.pictures.drawing_process" in child.cmdline()
    except psutil.Error:
        return False


# Processes of other tests, whose pools are not collected yet.
_others: set[psutil.Process] = set()


@pytest.fixture(autouse=True)
def _note_others() -> None:
    _others.clear()
    _others.update(_all_processes())


def processes() -> list[psutil.Process]:
    """The processes of this test's pool."""
    return list(_all_processes() - _others)


def stopped(pool: DrawingPool) -> psutil.Process:
    """The pool's process, which the next picture finds stopped in the middle of its work."""
    pool.draw(file, ROWS)
    [process] = processes()
    process.send_signal(signal.SIGSTOP)
    wait_for(lambda: process.status() == psutil.STATUS_STOPPED, "the process is stopped")
    return process


def drawing(pool: DrawingPool) -> tuple[threading.Thread, list[BaseException]]:
    """Another thread that draws a picture, and what it raised."""
    raised: list[BaseException] = []

    def draw() -> None:
        try:
            pool.draw(file, ROWS)
        except PictureTooCostly as error:
            raised.append(error)

    thread = threading.Thread(target=draw)
    thread.start()
    # The time of a picture begins when its process is chosen.
    wait_for(lambda: any(map(_is_ticking, threading.enumerate())), "the picture is drawn")
    return thread, raised


def _is_ticking(thread: threading.Thread) -> bool:
    return isinstance(thread, threading.Timer) and not thread.finished.is_set()


def test_a_picture_is_drawn_and_its_process_used_again(pool: DrawingPool) -> None:
    drawn, media_type = pool.draw(file, ROWS)
    [first] = processes()
    pool.draw(file, ROWS)

    assert media_type == "image/png"
    assert Image.open(io.BytesIO(drawn)).size == (400, 330)
    assert [process.pid for process in processes()] == [first.pid]


def test_a_damaged_picture_is_an_error_and_its_process_goes_on(pool: DrawingPool) -> None:
    pool.draw(file, ROWS)
    [first] = processes()

    with pytest.raises(PictureUndecodable, match="can't be decoded"):
        pool.draw(lambda: PICTURE[:-100], ROWS)

    pool.draw(file, ROWS)
    assert [process.pid for process in processes()] == [first.pid]


def test_a_picture_that_takes_too_much_memory_is_refused_before_it_is_decoded(pool: DrawingPool) -> None:
    size = 13_000
    bomb = png_of(size, size, bytes((size + 1) * size))
    pool.draw(file, ROWS)
    [process] = processes()

    with pytest.raises(PictureTooCostly, match="MB"):
        pool.draw(lambda: bomb, ROWS)

    assert process.memory_info().rss < SMALL
    assert [other.pid for other in processes()] == [process.pid]


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSEGV])
def test_a_process_that_ends_costs_only_its_picture(pool: DrawingPool, end: signal.Signals) -> None:
    process = stopped(pool)
    thread, raised = drawing(pool)

    process.send_signal(end)
    if end != signal.SIGKILL:
        # A stopped process gets other signals when it continues.
        process.send_signal(signal.SIGCONT)
    thread.join(30)

    assert [type(error) for error in raised] == [PictureTooCostly]
    assert pool.draw(file, ROWS)[1] == "image/png"
    assert process.pid not in [other.pid for other in processes()]


def test_a_process_that_takes_too_long_is_killed(pool: DrawingPool) -> None:
    process = stopped(pool)
    # Only now, because the start of a process may take longer on a busy machine.
    for each in pool._free.queue:
        each._draw_seconds = 0.2

    with pytest.raises(PictureTooCostly, match="time"):
        pool.draw(file, ROWS)

    assert not process.is_running()


def test_a_request_that_finds_no_place_is_refused_at_once(pool: DrawingPool) -> None:
    process = stopped(pool)
    thread, _ = drawing(pool)

    with pytest.raises(DrawingBusy):
        pool.draw(lambda: pytest.fail("the picture is read"), ROWS)

    process.send_signal(signal.SIGCONT)
    thread.join(30)
    assert pool.draw(file, ROWS)[1] == "image/png"


def test_a_picture_that_can_t_be_read_leaves_the_process_to_the_next_one(pool: DrawingPool) -> None:
    def missing() -> bytes:
        raise PictureMissing("It is gone.")

    pool.draw(file, ROWS)
    [first] = processes()

    with pytest.raises(PictureMissing):
        pool.draw(missing, ROWS)

    pool.draw(file, ROWS)
    assert [process.pid for process in processes()] == [first.pid]


def test_what_is_left_of_an_answer_is_not_taken_for_the_next_one(
    pool: DrawingPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(stream: object) -> None:
        raise ValueError("no message")

    with monkeypatch.context() as patched:
        patched.setattr(drawing_pool, "read_message", fail)
        with pytest.raises(ValueError, match="no message"):
            pool.draw(file, ROWS)

    with pytest.raises(PictureUndecodable):
        pool.draw(lambda: PICTURE[:-100], ROWS)


def test_a_process_has_limits_and_a_process_group_of_its_own(pool: DrawingPool) -> None:
    pool.draw(file, ROWS)
    [process] = processes()

    assert process.rlimit(psutil.RLIMIT_DATA) == (SMALL, SMALL)
    assert 0 < process.rlimit(psutil.RLIMIT_CPU)[0] < 60
    # Ctrl-C in a terminal goes to a whole group.
    assert os.getpgid(process.pid) == process.pid


def test_a_process_ends_in_the_middle_of_a_picture_when_its_parent_does() -> None:
    size = 13_000
    command = [sys.executable, "-m", "detectors.pictures.drawing_process", str(2 * 2**30), "60"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        write_message(process.stdin, ROWS, png_of(size, size, bytes((size + 1) * size)))

        process.stdin.close()

        assert process.stdout.read() == b""


def test_closing_leaves_no_process(pool: DrawingPool) -> None:
    pool.draw(file, ROWS)

    pool.close()

    assert processes() == []


def test_a_pool_that_is_no_longer_used_leaves_no_process() -> None:
    DrawingPool(api_threads=2, memory_bytes=SMALL).draw(file, ROWS)

    wait_for(lambda: processes() == [], "its process ends")


def test_a_process_ends_with_the_one_that_started_it() -> None:
    code = (
        "import os\nfrom api.drawing_pool import DrawingPool\nfrom tests.unit.api.test_drawing_pool import file\n"
        "pool = DrawingPool(api_threads=2); pool.draw(file, [])\n"
        "print(pool._free.get()._running.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )

    assert done.returncode == -signal.SIGKILL
    pid = int(done.stdout)
    wait_for(lambda: not psutil.pid_exists(pid) or _is_zombie(pid), "the process ends")


def test_the_process_loads_neither_numpy_nor_a_framework() -> None:
    code = "import sys, detectors.pictures.drawing_process\nprint(*{'numpy', 'torch', 'tensorflow'} & set(sys.modules))"

    assert (
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        == "\n"
    )


def _is_zombie(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
