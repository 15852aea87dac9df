import tempfile
from pathlib import Path

import pytest

from jobs.errors import ConfigurationError
from jobs.settings import PREFIX, ROOT, Settings


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(PREFIX + name.upper(), raising=False)


def test_every_setting_is_in_the_example_with_its_description() -> None:
    example = (ROOT / ".env.example").read_text()

    for name, field in Settings.model_fields.items():
        assert f"# {field.description}\n#{PREFIX}{name.upper()}=" in example
    assert example.count(f"\n#{PREFIX}") == len(Settings.model_fields)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("BOXQUEUE_PORT", "eighty"),
        ("BOXQUEUE_PORT", "70000"),
        ("BOXQUEUE_DEVICE", "gpu"),
        ("BOXQUEUE_CHILDREN", "0"),
        ("BOXQUEUE_LEASE_SECONDS", "-1"),
        ("BOXQUEUE_MODEL_ALIASES", "cards"),
        ("BOXQUEUE_LOG_LEVEL", "loud"),
        ("BOXQUEUE_DATABASE_URL", "mysql://db/boxqueue"),
        ("BOXQUEUE_DATABASE_URL", "postgresql://db:port/boxqueue"),
        ("BOXQUEUE_REDIS_URL", "http://redis:6379/0"),
        ("BOXQUEUE_DATABSE_URL", "postgresql://db/boxqueue"),
    ],
)
def test_a_wrong_or_unknown_variable_is_named_in_one_line(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(ConfigurationError) as caught:
        Settings.load()

    assert variable in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_embedded_parts_are_in_the_data_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BOXQUEUE_DATA", str(tmp_path))

    settings = Settings.load()

    assert settings.database_url == f"sqlite:///{tmp_path}/boxqueue.db"
    assert settings.store_url == f"file://{tmp_path}/images"
    assert settings.redis_url == f"unix://{tmp_path}/redis.sock"
    assert settings.redis_socket == tmp_path / "redis.sock"
    assert settings.celery_broker == f"redis+socket://{tmp_path}/redis.sock"


def test_a_configured_redis_is_not_embedded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOXQUEUE_REDIS_URL", "redis://127.0.0.1:6379/0")

    settings = Settings.load()

    assert settings.redis_socket is None
    assert settings.celery_broker == settings.redis_url


def test_several_catalogues_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOXQUEUE_CATALOGUE", "a.toml, models/b.toml")

    assert Settings.load().catalogue == (Path("a.toml"), Path("models/b.toml"))


@pytest.mark.parametrize("temporary", ["/tmp", "/tmp/" + "deep" * 30])
def test_a_data_folder_too_deep_for_a_socket_gets_one_elsewhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, temporary: str
) -> None:
    monkeypatch.setenv("BOXQUEUE_DATA", str(tmp_path / ("deep" * 30)))
    monkeypatch.setattr(tempfile, "tempdir", temporary)

    settings = Settings.load()

    assert settings.redis_socket
    assert len(str(settings.redis_socket)) < 108


@pytest.mark.parametrize("data", ["/data", "/data/" + "deep" * 30])
def test_settings_are_read_on_a_read_only_disk(monkeypatch: pytest.MonkeyPatch, data: str) -> None:
    """As in a container with a read-only root and no volume."""

    def no_folder() -> str:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", no_folder)
    monkeypatch.setenv("BOXQUEUE_DATA", data)

    assert Settings.load().data == Path(data)


def test_aliases_are_read_as_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOXQUEUE_MODEL_ALIASES", "cards=cards-pytorch, forms = my-forms")

    assert Settings.load().model_aliases == {"cards": "cards-pytorch", "forms": "my-forms"}
