"""What a command can't do, as one sentence for the person and one exit code for the script."""

SOME_FAILED = 1
WRONG_USAGE = 2
UNREACHABLE = 3
INTERRUPTED = 130


class CommandError(Exception):
    """The work could not be done. `str(error)` is the sentence; no traceback is shown."""

    exit_code = SOME_FAILED


class WrongUsage(CommandError):
    """What was asked for can't be meant, or a setting is wrong."""

    exit_code = WRONG_USAGE


class ServiceUnreachable(CommandError):
    """No answer from the service, or not from ours."""

    exit_code = UNREACHABLE


class Refused(CommandError):
    """The service answered with a problem (RFC 9457)."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(f"{detail.rstrip('.')} ({code}).")
        self.status = status
        self.code = code
        self.detail = detail


class StopRequested(BaseException):
    """SIGINT, SIGTERM or SIGHUP asked the command to end. No `except Exception` may swallow it."""
