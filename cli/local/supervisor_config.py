"""The supervisor's configuration: the programs of a service, and how each is started, restarted and stopped."""

import os
import resource
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from cli.local.redis_server import redis_command
from jobs.settings import Settings

# A running claim has this long to finish before its worker is killed.
STOP_SECONDS = 30
UNLIMITED_RETRIES = 1_000_000
LOG_MB, LOG_BACKUPS = 10, 3
# Groups start in this order and stop in the opposite order, all programs of a group together: first the API and the
# workers, then the Redis that rings them.
GROUPS = ("broker", "service")
# supervisord adds its process id to the socket's path, and a Unix socket's path has at most 107 bytes.
MAX_CONTROL_PATH = 107 - len(".4194304")


@dataclass(frozen=True, slots=True)
class Program:
    """A process that the supervisor keeps running."""

    name: str
    command: list[str]
    group: str


def programs_of(settings: Settings, runtimes: list[str]) -> list[Program]:
    """The programs of a whole service on this machine. Raises `CommandError` if Redis is needed and missing."""
    # -P: a folder `jobs` or `api` in the current directory must not be imported instead of our package.
    python = [sys.executable, "-P", "-m"]
    programs = [Program("api", [*python, "api"], "service")]
    programs += [Program(f"worker-{runtime}", [*python, "worker", runtime], "service") for runtime in runtimes]
    if settings.redis_socket:
        programs.insert(0, Program("redis", redis_command(str(settings.redis_socket)), "broker"))
    return programs


def log_of(settings: Settings, program: str) -> Path:
    return settings.data / "logs" / f"{program}.log"


def write_configuration(settings: Settings, programs: list[Program]) -> Path:
    """Writes the supervisor's configuration into the data folder. Returns its path."""
    (settings.data / "logs").mkdir(parents=True, exist_ok=True)
    control = settings.data / "supervisor.sock"
    path = settings.data / "supervisord.conf"
    # Left by a killed run. The data folder is locked, so no other service uses them.
    for stale in (control, settings.data / "supervisord.pid"):
        stale.unlink(missing_ok=True)
    sections = [_supervisord(settings)]
    if len(os.fsencode(control)) <= MAX_CONTROL_PATH:
        sections.append(_control(control))
    sections += [_program(program, log_of(settings, program.name)) for program in programs]
    for priority, group in enumerate(GROUPS):
        members = ",".join(program.name for program in programs if program.group == group)
        if members:
            sections.append(f"[group:{group}]\nprograms={members}\npriority={priority}\n")
    path.write_text("\n".join(sections))
    return path


def _supervisord(settings: Settings) -> str:
    files = min(1024, _hard_limit(resource.RLIMIT_NOFILE))
    processes = min(200, _hard_limit(resource.RLIMIT_NPROC))
    # Set for root too: otherwise supervisord warns that it runs as root.
    user = f"user={os.getuid()}\n" if os.getuid() == 0 else ""
    return f"""\
; Written by `boxqueue up` at each start.
[supervisord]
logfile={_escaped(log_of(settings, "supervisord"))}
logfile_maxbytes={LOG_MB}MB
logfile_backups={LOG_BACKUPS}
pidfile={_escaped(settings.data / "supervisord.pid")}
minfds={files}
minprocs={processes}
{user}"""


def _control(control: Path) -> str:
    return f"""\
; supervisorctl -c THIS_FILE status|stop|restart broker:redis|service:api|service:worker-…
[unix_http_server]
file={_escaped(control)}
chmod=0700

[supervisorctl]
serverurl=unix://{_escaped(control)}

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""


def _program(program: Program, log: Path) -> str:
    return f"""\
[program:{program.name}]
command={_escaped(shlex.join(program.command))}
autorestart=true
startsecs=1
startretries={UNLIMITED_RETRIES}
stopsignal=TERM
stopwaitsecs={STOP_SECONDS}
killasgroup=true
redirect_stderr=true
stdout_logfile={_escaped(_escaped(log))}
stdout_logfile_maxbytes={LOG_MB}MB
stdout_logfile_backups={LOG_BACKUPS}
"""


def _escaped(value: object) -> str:
    """Escapes percent signs, which supervisor's configuration expands (in the names of programs' logs even twice)."""
    return str(value).replace("%", "%%")


def _hard_limit(kind: int) -> int:
    hard = resource.getrlimit(kind)[1]
    return 1_000_000 if hard == resource.RLIM_INFINITY else hard
