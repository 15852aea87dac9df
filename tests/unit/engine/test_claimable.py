from detectors.catalogue import ModelEntry
from engine.claimable import claimable
from tests import catalogues


def entry(name: str, url: str) -> ModelEntry:
    return ModelEntry.model_validate({"name": name, **catalogues.server_entry(url)})


def test_a_model_shares_its_server_also_with_models_that_get_no_jobs() -> None:
    first, second = entry("first", "http://a:9"), entry("second", "http://a:9/")
    other = entry("other", "http://b:9")
    embedded = ModelEntry.model_validate({"name": "embedded", **catalogues.entry()})

    found = claimable([first, other, embedded], lambda _: 4, [first, second, other, embedded])

    assert {name: model.on_server for name, model in found.items()} == {
        "first": {"first", "second"},
        "other": {"other"},
        "embedded": frozenset(),
    }
    assert found["first"] == (first.digest, 4, {"first", "second"})
