"""The `hubspot` destination: contacts on a static list."""

from zsync_pipelines.destinations.hubspot.connector import HubSpotDestination

__all__ = ["HubSpotDestination"]
