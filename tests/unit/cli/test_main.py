"""The error message and the exit code of a command that fails."""

import errno

import pytest

import cli.commands.listings
from cli.errors import StopRequested
from tests.unit.cli.conftest import Boxqueue
from tests.unit.cli.fake_service import FakeService


@pytest.mark.parametrize(
    ("fault", "code", "message"),
    [
        (KeyboardInterrupt(), 130, "Interrupted.\n"),
        (StopRequested(), 130, "Interrupted.\n"),
        (BrokenPipeError(), 1, ""),
        (OSError(errno.ENOSPC, "", "out/a.png"), 1, "There is no room left on the disk under out/a.png.\n"),
        (OSError(errno.EDQUOT, ""), 1, "There is no room left on the disk.\n"),
    ],
)
def test_an_error_gives_a_message_and_an_exit_code(
    boxqueue: Boxqueue,
    service: FakeService,
    monkeypatch: pytest.MonkeyPatch,
    fault: BaseException,
    code: int,
    message: str,
) -> None:
    def show(*_: object) -> None:
        raise fault

    monkeypatch.setattr(cli.commands.listings, "print_table", show)

    result = boxqueue("queues", "--url", service.url)

    assert (result.exit_code, result.stderr) == (code, message)


def test_an_unexpected_error_is_raised(
    boxqueue: Boxqueue, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    def show(*_: object) -> None:
        raise OSError(errno.EIO, "the disk is broken")

    monkeypatch.setattr(cli.commands.listings, "print_table", show)

    assert isinstance(boxqueue("queues", "--url", service.url).exception, OSError)
