"""Settings from the environment: the limits of the REST API."""

from __future__ import annotations

import pytest

from zsync_pipelines.config.settings import Settings
from zsync_pipelines.errors import ConfigError


def test_limits_of_the_api() -> None:
    assert Settings.from_env({}).api_max_body == 1 << 20
    values = {"RATE": "5", "BURST": "7", "MAX_BODY": "64KiB", "TIMEOUT": "3"}
    settings = Settings.from_env({f"ZSYNC_API_{name}": value for name, value in values.items()})
    assert (settings.api_rate, settings.api_burst, settings.api_max_body, settings.api_timeout) == (5, 7, 65536, 3)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("ZSYNC_API_RATE", "0", "no number of requests a second, a whole number of 1 or more"),
        ("ZSYNC_API_MAX_BODY", "10", "no amount of bytes of 1KiB or more"),
        ("ZSYNC_MEMORY_LIMIT", "10MiB", "no amount of memory of 64MiB or more"),
    ],
)
def test_a_value_that_is_none_is_refused(name: str, value: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text) as caught:
        Settings.from_env({name: value})
    assert str(caught.value).startswith(f"{name}: '{value}' is ")
