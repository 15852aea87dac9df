"""The supervisor's configuration: which programs a service has and how each is kept running."""

import os
import resource
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from cli.local.redis_server import redis_command
from jobs.settings import Settings

# A claim that runs is given this long to finish before its worker is killed.
STOP_SECONDS = 30
NEVER_GIVE_UP = 1_000_000
LOG_MB, LOG_BACKUPS = 10, 3
# Groups start in this order and stop one after the other in the opposite one, the members of a group together:
# first what works, then the Redis that rings it.
GROUPS = ("broker", "service")
# supervisord makes its socket under this name and a suffix with its process id, within the 107 bytes of sun_path.
LONGEST_CONTROL_PATH = 107 - len(".4194304")


@dataclass(frozen=True, slots=True)
class Program:
    """A process that the supervisor keeps running."""

    name: str
    command: list[str]
    group: str


def programs_of(settings: Settings, runtimes: list[str]) -> list[Program]:
    """The programs of a whole service on this machine. Raises `CommandError` where there is no Redis to start."""
    # -P: a folder of the user's that is called `jobs` or `api` must not be taken for ours.
    python = [sys.executable, "-P", "-m"]
    programs = [Program("api", [*python, "api"], "service")]
    programs += [Program(f"worker-{runtime}", [*python, "worker", runtime], "service") for runtime in runtimes]
    if settings.redis_socket:
        programs.insert(0, Program("redis", redis_command(str(settings.redis_socket)), "broker"))
    return programs


def log_of(settings: Settings, program: str) -> Path:
    return settings.data / "logs" / f"{program}.log"


def write_configuration(settings: Settings, programs: list[Program]) -> Path:
    """Writes the supervisor's configuration into the data folder; the path of the file."""
    (settings.data / "logs").mkdir(parents=True, exist_ok=True)
    control = settings.data / "supervisor.sock"
    path = settings.data / "supervisord.conf"
    # What a killed run left behind. The lock on the data folder says that nobody uses it.
    for stale in (control, settings.data / "supervisord.pid"):
        stale.unlink(missing_ok=True)
    sections = [_supervisord(settings)]
    if len(os.fsencode(control)) <= LONGEST_CONTROL_PATH:
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
    # Named for root too: otherwise supervisord warns that it keeps the rights it was started with.
    user = f"user={os.getuid()}\n" if os.getuid() == 0 else ""
    return f"""\
; Written by `boxqueue up` at each start.
[supervisord]
logfile={_plain(log_of(settings, "supervisord"))}
logfile_maxbytes={LOG_MB}MB
logfile_backups={LOG_BACKUPS}
pidfile={_plain(settings.data / "supervisord.pid")}
minfds={files}
minprocs={processes}
{user}"""


def _control(control: Path) -> str:
    return f"""\
; supervisorctl -c THIS_FILE status|stop|restart broker:redis|service:api|service:worker-…
[unix_http_server]
file={_plain(control)}
chmod=0700

[supervisorctl]
serverurl=unix://{_plain(control)}

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""


def _program(program: Program, log: Path) -> str:
    return f"""\
[program:{program.name}]
command={_plain(shlex.join(program.command))}
autorestart=true
startsecs=1
startretries={NEVER_GIVE_UP}
stopsignal=TERM
stopwaitsecs={STOP_SECONDS}
killasgroup=true
redirect_stderr=true
stdout_logfile={_plain(_plain(log))}
stdout_logfile_maxbytes={LOG_MB}MB
stdout_logfile_backups={LOG_BACKUPS}
"""


def _plain(value: object) -> str:
    """Percent signs are expansions in supervisor's configuration (and the names of programs' logs expand twice)."""
    return str(value).replace("%", "%%")


def _hard_limit(kind: int) -> int:
    hard = resource.getrlimit(kind)[1]
    return 1_000_000 if hard == resource.RLIM_INFINITY else hard
