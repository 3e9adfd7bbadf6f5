"""The object stores by their makers, as places of files."""

from __future__ import annotations

from zsync_pipelines.destinations.places.objects import ObjectPlace
from zsync_pipelines.objects.clouds import AZURE, GOOGLE, S3


class S3Place(ObjectPlace):
    """`s3://bucket/prefix`."""

    noun = S3.noun
    cloud = S3


class GooglePlace(ObjectPlace):
    """`gs://bucket/prefix`."""

    noun = GOOGLE.noun
    cloud = GOOGLE


class AzurePlace(ObjectPlace):
    """`az://container/prefix`; the account is an option, or in the environment."""

    noun = AZURE.noun
    cloud = AZURE
