"""Destinations whose members are put on a list, an audience or a segment of a vendor's."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Self, TypeVar

from pydantic import Field, field_validator, model_validator

from zsync_pipelines.destinations.kit.connector import ApiDestination, ApiSettings
from zsync_pipelines.domain.delivery import Batch, Receipt
from zsync_pipelines.domain.destination import SyncShape
from zsync_pipelines.domain.wording import listed
from zsync_pipelines.errors import TargetMissingError


class ListSettings(ApiSettings):
    """Which list: by `list_id`, or by `list_name`, which is made if it is missing and `create` is true."""

    list_id: str | None = Field(default=None, min_length=1)
    list_name: str | None = Field(default=None, min_length=1)
    create: bool = False

    @field_validator("list_id", mode="before")
    @classmethod
    def _text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @model_validator(mode="after")
    def _one_list(self) -> Self:
        if (self.list_id is None) == (self.list_name is None):
            raise ValueError("give list_id or list_name, one of them")
        if self.create and self.list_name is None:
            raise ValueError("create: true needs list_name, the name of the list to make")
        return self


L = TypeVar("L", bound=ListSettings)


class ListDestination(ApiDestination[L]):
    """One list of a vendor's. `self.list_id` is its id, looked up by name once, when it is first needed."""

    noun: ClassVar[str] = "list"
    """What the vendor calls it."""

    def __init__(self, settings: L) -> None:
        super().__init__(settings)
        self._found: str | None = None
        self._search = threading.Lock()

    @classmethod
    def target(cls, settings: L, sync_id: str) -> Mapping[str, str]:
        account = {"account": settings.account} if settings.account else {}
        return {**account, "list": settings.list_id or settings.list_name or ""}

    @abstractmethod
    def lists_named(self, name: str) -> Iterable[str]:
        """The ids of all lists of exactly this name that members can be put on."""

    @abstractmethod
    def describe_list(self, list_id: str) -> str | None:
        """What is known of a list, for people, such as its name and state; None if there is none of that id."""

    @abstractmethod
    def create_list(self, name: str) -> str:
        """Make a list; gives its id."""

    def open(self, shape: SyncShape, run_id: str) -> None:
        """Find the list, or make it where that is asked for."""
        with self._search:
            if self._found is None:
                self._found = self._existing() or self._made()

    @property
    def list_id(self) -> str:
        """The list's id. TargetMissingError if there is none."""
        with self._search:
            if self._found is None:
                self._found = self._existing()
            if self._found is None:
                raise self._missing()
            return self._found

    def check_list(self) -> str:
        """A check's step `list`."""
        found = self._existing()
        if found is None and self.settings.create:
            return f"{self.noun} '{self.settings.list_name}' will be made by the first run"
        if found is None:
            raise self._missing()
        return self.describe_list(found) or f"{self.noun} {found}"

    def refused(self, batch: Batch, reason: str) -> Receipt:
        """The receipt of a batch that was refused whole; TargetMissingError if that is because the list is gone."""
        if self.describe_list(self.list_id) is None:
            raise self.gone()
        return batch.reject_all(reason)

    def gone(self) -> TargetMissingError:
        """What to raise when the vendor says during a delivery that there is no such list."""
        return TargetMissingError(
            f"{self.about.label} has no {self.noun} {self._shown()} any more; if it was deleted on purpose, name "
            "another one, or make it anew and send everybody again with --full-resync"
        )

    def _existing(self) -> str | None:
        named, given = self.settings.list_name, self.settings.list_id
        if given is not None:
            return given if self.describe_list(given) is not None else None
        found = list(self.lists_named(named or ""))
        if len(found) > 1:
            raise TargetMissingError(
                f"{self.about.label} has {len(found)} {self.noun}s named '{named}' ({listed(found)}); give list_id"
            )
        return found[0] if found else None

    def _made(self) -> str:
        if not self.settings.create:
            raise self._missing()
        return self.create_list(self.settings.list_name or "")

    def _missing(self) -> TargetMissingError:
        how = "make it there, or set create: true" if self.settings.list_name else "correct list_id"
        return TargetMissingError(f"{self.about.label} has no {self.noun} {self._shown()}: {how}")

    def _shown(self) -> str:
        return f"'{self.settings.list_name}'" if self.settings.list_name else str(self.settings.list_id)
