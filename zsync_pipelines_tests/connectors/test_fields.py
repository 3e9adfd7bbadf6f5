"""Asking a vendor for its fields: where only a sync makes the settings whole, and where a connector cannot work."""

from __future__ import annotations

import pytest

from zsync_pipelines.destinations.iterable import IterableDestination
from zsync_pipelines.errors import ConfigError
from zsync_pipelines.service.destination_fields import fields_of
from zsync_pipelines_tests.connectors.cases.iterable import CASES
from zsync_pipelines_tests.connectors.stage import stage_of


@pytest.fixture
def stage(tmp_path):
    with stage_of(CASES[0], tmp_path) as found:
        yield found


def names(stage):
    return {field["name"] for field in fields_of(stage.world.open(), "table")["fields"]}


def test_fields_are_offered_where_each_sync_names_its_own_list(stage):
    stage.world.apply()
    whole = names(stage)
    stage.world.sync["config"] = {"list_id": stage.settings.pop("list_id")}
    stage.world.apply()
    assert names(stage) == whole
    assert "firstName" in whole


def test_settings_that_no_sync_makes_whole_say_what_is_missing(stage):
    stage.world.sync["config"] = {"list_id": stage.settings.pop("list_id")}
    stage.world.apply()
    del stage.world.config["syncs"]
    stage.world.apply()
    with pytest.raises(ConfigError, match="list_id or list_name"):
        names(stage)


def test_a_connector_that_lacks_a_package_is_told_when_the_configuration_is_applied(stage, monkeypatch):
    def lacking(self):
        raise ConfigError("PyJWT is not installed; pip install 'zsync-pipelines[oauth]'")

    monkeypatch.setattr(IterableDestination, "offered", lacking)
    with pytest.raises(ConfigError, match="PyJWT is not installed"):
        stage.world.apply()
    stage.world.apply(offline=True)
