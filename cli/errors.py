"""Errors of the commands: each has one sentence for the user and one exit code for scripts."""

SOME_FAILED = 1
WRONG_USAGE = 2
UNREACHABLE = 3
INTERRUPTED = 130


class CommandError(Exception):
    """The command failed. `str(error)` is the sentence for the user; no traceback is shown."""

    exit_code = SOME_FAILED


class WrongUsage(CommandError):
    """An argument or a setting is wrong."""

    exit_code = WRONG_USAGE


class ServiceUnreachable(CommandError):
    """The service does not answer, or something that is not Boxqueue does."""

    exit_code = UNREACHABLE


class ConnectionLost(ServiceUnreachable):
    """The connection broke after the request was begun, so the request may be the cause."""


class RequestFailed(CommandError):
    """The service failed on this request each time, although it answers others."""


class Refused(CommandError):
    """The service answered with a problem (RFC 9457). `retry_after`: seconds after which to repeat the request, or None
    if repeating it does not help."""

    def __init__(self, status: int, code: str, detail: str, retry_after: float | None = None) -> None:
        super().__init__(f"{detail.rstrip('.')} ({code}).")
        self.status = status
        self.code = code
        self.retry_after = retry_after


class StopRequested(BaseException):
    """SIGINT, SIGTERM or SIGHUP asked the command to end. Not an `Exception`: no `except Exception` may swallow it."""
