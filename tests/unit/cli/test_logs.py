"""Reading the logs of a running service."""

from pathlib import Path

import pytest

from cli.local.logs import LogFile, ProgramExit, program_exits, warnings_in


def test_a_log_returns_the_lines_since_the_last_call(tmp_path: Path) -> None:
    path = tmp_path / "api.log"
    path.write_text("before\n")
    log = LogFile(path)

    with path.open("a") as file:
        file.write("one\ntw")
    first = list(log.lines())
    with path.open("a") as file:
        file.write("o\n")

    assert (first, list(log.lines())) == (["one"], ["two"])


def test_a_rotated_log_is_read_from_its_start(tmp_path: Path) -> None:
    path = tmp_path / "api.log"
    path.write_text("a long line from before\n")
    log = LogFile(path)

    path.rename(tmp_path / "api.log.1")
    during = list(log.lines())
    path.write_text("new\n")

    assert (during, list(log.lines())) == ([], ["new"])


@pytest.mark.parametrize(
    ("line", "ended"),
    [
        ("exited: redis (terminated by SIGKILL; not expected)", ProgramExit("redis", "terminated by SIGKILL")),
        ("exited: api (exit status 2; not expected)", ProgramExit("api", "exit status 2")),
        ("exited: api (exit status 0; expected)", ProgramExit("api", "exit status 0")),
    ],
)
def test_exits_are_read_from_the_supervisors_log(line: str, ended: ProgramExit) -> None:
    lines = iter([f"2026-11-23 20:02:00,123 WARN {line}", "2026-11-23 20:02:00,125 INFO spawned: 'api' with pid 7"])

    assert list(program_exits(lines)) == [ended]


def test_the_exit_status_of_a_program() -> None:
    assert ProgramExit("api", "exit status 2").exit_status == 2
    assert ProgramExit("api", "terminated by SIGKILL").exit_status is None


def test_warnings_and_errors_are_found() -> None:
    lines = [
        "2026-11-23 20:02:00,123 INFO api: serving",
        "2026-11-23 20:02:00,123 WARNING worker: slow",
        "[2026-11-23 20:02:00,123: ERROR/MainProcess] lost",
        "123:M 23 Nov 2026 20:02:00.123 * Ready to accept connections",
        "123:M 23 Nov 2026 20:02:00.123 # Out of memory",
        "123:C 23 Nov 2026 20:02:00.123 # oO0OoO0OoO0Oo Redis is starting oO0OoO0OoO0Oo",
        "123:M 23 Nov 2026 20:02:00.123 # WARNING Memory overcommit must be enabled! Add it to /etc/sysctl.conf",
    ]

    assert list(warnings_in(iter(lines))) == [lines[1], lines[2], lines[4]]
