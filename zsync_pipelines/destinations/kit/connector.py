"""The base of connectors to vendors' HTTP APIs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, ClassVar, TypeVar

import httpx
from pydantic import Field
from pydantic.functional_validators import AfterValidator

from zsync_pipelines.destinations.http import open_client
from zsync_pipelines.destinations.kit.calls import Api, Credentials
from zsync_pipelines.domain.capabilities import FieldSpec, TargetFields
from zsync_pipelines.domain.destination import (
    About,
    CheckStatus,
    CheckStep,
    Destination,
    DestinationSettings,
    SyncShape,
)
from zsync_pipelines.domain.wording import unknown
from zsync_pipelines.errors import TargetMissingError, UnreachableError, ZsyncError

ANY_JSON = FieldSpec(finite=True)
"""What a field takes of which nothing is known: all that JSON has."""
Step = tuple[str, Callable[[], str]]
"""A step of a check: its name, and what does it; it returns what it found, or raises what to fix."""


def _http(value: str) -> str:
    if "${" not in value and not value.startswith(("http://", "https://")):
        raise ValueError("must start with http:// or https://")
    return value.rstrip("/")


BaseUrl = Annotated[str, AfterValidator(_http)]
"""Where a vendor's API is; a proxy or a stand-in may take its place."""


class ApiSettings(DestinationSettings):
    """Settings that every API has. A connector gives `base_url` its default.

    `account`: any name, to tell lists of the same name or id in several accounts apart.
    """

    base_url: BaseUrl
    account: str | None = None
    timeout_seconds: float = Field(default=30, gt=0, le=600)


A = TypeVar("A", bound=ApiSettings)


class ApiDestination(Destination[A]):
    """A destination behind an HTTP API. `self.api` calls it."""

    about: ClassVar[About]
    always: ClassVar[Mapping[str, str]] = {}
    """Headers of each request."""
    patience: ClassVar[float | None] = None
    """Seconds to wait where the vendor asks for patience and never says how long."""

    def __init__(self, settings: A) -> None:
        super().__init__(settings)
        self._client = open_client(settings.timeout_seconds, {"user-agent": "zsync", "accept": "application/json"})
        self.api = Api(
            client=self._client,
            base_url=settings.base_url,
            credentials=self.credentials(self._client),
            label=self.about.label,
            advice=self.about.advice,
            heed=lambda allowance: self._heed(allowance),  # noqa: PLW0108  # `listen` changes it later
            always=self.always,
            patience=self.patience,
        )

    @abstractmethod
    def credentials(self, client: httpx.Client) -> Credentials:
        """What requests are let in by. `client`: to fetch tokens with."""

    @abstractmethod
    def steps(self) -> Iterator[Step]:
        """The steps of a check after `reach`, in order: `credentials`, `permission`, `list`, `fields`, as far as the
        vendor has something to ask. Each changes nothing."""

    def check(self) -> Iterator[CheckStep]:
        for name, step in [("reach", self._reach), *self.steps()]:
            try:
                detail = step()
            except ZsyncError as error:
                yield CheckStep(name, CheckStatus.FAILED, str(error))
                return
            yield CheckStep(name, CheckStatus.OK, detail)

    def fields(self, shape: SyncShape) -> TargetFields:
        offered = self.offered()
        for name in shape.payload.names:
            if offered is not None and name not in offered:
                raise TargetMissingError(unknown(f"field of {self.about.label} named", name, offered))
        return TargetFields(fields={name: (offered or {}).get(name, ANY_JSON) for name in shape.payload.names})

    def open(self, shape: SyncShape, run_id: str) -> None:
        """Nothing to make ready."""

    def close(self) -> None:
        self._client.close()

    def _reach(self) -> str:
        host = httpx.URL(self.settings.base_url).host
        try:
            self._client.head(self.settings.base_url)
        except httpx.TransportError as error:
            raise UnreachableError(f"no answer from {host} ({type(error).__name__})") from None
        return f"{host} answers"
