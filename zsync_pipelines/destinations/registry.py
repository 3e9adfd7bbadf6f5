"""Destination types by name: built in, or of other packages through the entry point group `zsync.destinations`."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from zsync_pipelines.domain.destination import Destination, DestinationSettings
from zsync_pipelines.errors import ConfigError, Problem

GROUP = "zsync.destinations"

# Named, not imported: a connector brings its drivers with it, and most runs need one.
BUILT_IN: dict[str, str] = {
    "braze": "zsync_pipelines.destinations.braze:BrazeDestination",
    "file": "zsync_pipelines.destinations.file:FileDestination",
    "google_customer_match": "zsync_pipelines.destinations.google_customer_match:GoogleCustomerMatchDestination",
    "hubspot": "zsync_pipelines.destinations.hubspot:HubSpotDestination",
    "iterable": "zsync_pipelines.destinations.iterable:IterableDestination",
    "kafka": "zsync_pipelines.destinations.kafka:KafkaDestination",
    "klaviyo": "zsync_pipelines.destinations.klaviyo:KlaviyoDestination",
    "linkedin_matched_audience": (
        "zsync_pipelines.destinations.linkedin_matched_audience:LinkedInMatchedAudienceDestination"
    ),
    "mailchimp": "zsync_pipelines.destinations.mailchimp:MailchimpDestination",
    "meta_custom_audience": "zsync_pipelines.destinations.meta_custom_audience:MetaDestination",
    "salesforce": "zsync_pipelines.destinations.salesforce:SalesforceDestination",
    "sql": "zsync_pipelines.destinations.sql:SqlDestination",
    "tiktok_custom_audience": "zsync_pipelines.destinations.tiktok_custom_audience:TikTokDestination",
    "webhook": "zsync_pipelines.destinations.webhook:WebhookDestination",
}


def known_types() -> list[str]:
    """Names of all destination types that are installed, in order."""
    return sorted({*BUILT_IN, *(found.name for found in entry_points(group=GROUP))})


def connector(type_name: str) -> type[Destination[Any]]:
    """The connector of a type. ConfigError, naming the known types, if there is none."""
    if type_name in BUILT_IN:
        module, _, name = BUILT_IN[type_name].partition(":")
        found: type[Destination[Any]] = getattr(import_module(module), name)
        return found
    for entry in entry_points(group=GROUP, name=type_name):
        return _load(entry)
    known = known_types()
    raise ConfigError(f"unknown destination type '{type_name}'{_near(type_name, known)}; known: {', '.join(known)}")


def parse_settings(type_name: str, config: Mapping[str, Any]) -> DestinationSettings:
    """Check a destination's settings. ConfigError with one problem per setting; none holds a value that was given."""
    settings_type = connector(type_name).settings_type
    try:
        return settings_type.model_validate(dict(config))
    except ValidationError as error:
        details = error.errors(include_input=False, include_url=False, include_context=False)
        problems = [_problem(detail, type_name, settings_type) for detail in details]
    raise ConfigError(problems)  # outside the handler: the cause would hold the values


def _load(entry: EntryPoint) -> type[Destination[Any]]:
    try:
        found = entry.load()
    except Exception as error:
        raise ConfigError(
            f"destination type '{entry.name}' is installed but does not load ({type(error).__name__} in {entry.value})"
        ) from error
    if not (isinstance(found, type) and issubclass(found, Destination)):
        raise ConfigError(f"destination type '{entry.name}': {entry.value} is no subclass of Destination")
    return found


def _problem(detail: ErrorDetails, type_name: str, settings_type: type[DestinationSettings]) -> Problem:
    path = ".".join(str(part) for part in detail["loc"])
    match detail["type"]:
        case "extra_forbidden":
            known = sorted(settings_type.model_fields)
            near = _near(str(detail["loc"][-1]), known)
            return Problem(path, f"'{type_name}' has no such setting{near}; known: {', '.join(known)}")
        case "missing":
            return Problem(path, f"is required by destination type '{type_name}'")
        case "value_error":
            return Problem(path, detail["msg"].removeprefix("Value error, "))
        case _:
            return Problem(path, detail["msg"][:1].lower() + detail["msg"][1:])


def _near(name: str, known: list[str]) -> str:
    found = get_close_matches(name, known, n=1)
    return f" (did you mean '{found[0]}'?)" if found else ""
