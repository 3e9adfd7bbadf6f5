"""The `salesforce` destination: records marked by a checkbox."""

from zsync_pipelines.destinations.salesforce.connector import SalesforceDestination

__all__ = ["SalesforceDestination"]
