"""What the steps of a run hand to one another: small values that point to files, as plain JSON between processes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from zsync_pipelines.domain.delivery import Op
from zsync_pipelines.domain.keys import KeyType
from zsync_pipelines.engine.parts import Part


@dataclass(frozen=True, slots=True)
class MembershipRef:
    """An evaluated membership. `path`: one row per member; `invalid_path`: keys whose rows conflict; `faults_path`:
    those of the members that have a value which cannot be normalised (None: no field is normalised).

    `null_keys`: rows without an entity key. `duplicate_rows`: rows beyond the first of their key, whether they are
    identical and count once, or conflict. `evaluation_id`: the kept evaluation that it was derived from, if one was,
    and whether this run made it. `warnings`: what a person should know of how it came about.
    """

    path: str
    invalid_path: str
    rows: int
    conflicts: int
    null_keys: int
    key_name: str
    key_type: KeyType
    as_of: datetime
    faults_path: str | None = None
    evaluation_id: str | None = None
    evaluation_made: bool = False
    warnings: tuple[str, ...] = ()
    duplicate_rows: int = 0

    @property
    def members(self) -> int:
        """The audience's size: entities with a key, those with conflicting rows included."""
        return self.rows + self.conflicts

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "key_type": self.key_type.value, "as_of": self.as_of.isoformat()}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> MembershipRef:
        as_of = datetime.fromisoformat(value["as_of"])
        warnings = tuple(value.get("warnings", ()))
        return cls(**{**value, "key_type": KeyType(value["key_type"]), "as_of": as_of, "warnings": warnings})


@dataclass(frozen=True, slots=True)
class PlanPart:
    """Rows of one operation in one file. `held`: the guard keeps them back. `name` is unique within a plan: that of the
    part, with a number where a part needs several files."""

    name: str
    op: Op
    path: str
    rows: int
    held: bool = False

    @property
    def part(self) -> Part:
        return Part(self.name.partition("~")[0])


@dataclass(frozen=True, slots=True)
class PlanRef:
    """A run's plan: parts in the order they are sent, and marks that change the snapshot without sending.

    `based_on`: the snapshot version that was current, None if there was none. `starts_afresh`: that version speaks of
    another target, so nothing of it counts. `snapshot_lost`: its files are gone and the user chose to go on without.
    `first_run`: additions are not guarded. `parked`: rows that are not tried again now (`parked_path`, if there are
    any). `waiting`: entities left alone because a destination has not judged what an earlier run sent of them.
    `shared_path`: who shares identifiers, if anybody was looked at.
    `identifiers`, `gives_ids`: as the destination declares them. `resent`: every refusal before is forgotten.
    `stale_hashes`: many rows of the snapshot are as they should be, and their hashes do not tell.
    """

    run_id: str
    membership: MembershipRef
    parts: tuple[PlanPart, ...]
    marks_path: str
    marks: int
    invalid_path: str
    invalid: int
    reasons: tuple[str, ...]
    warnings: tuple[str, ...]
    based_on: int | None
    starts_afresh: bool
    snapshot_lost: bool
    first_run: bool
    fingerprint: str
    parked: int = 0
    parked_path: str | None = None
    waiting: int = 0
    shared_path: str | None = None
    identifiers: tuple[str, ...] = ()
    gives_ids: bool = False
    resent: bool = False
    stale_hashes: bool = False

    def rows(self, op: Op, *, held: bool = False) -> int:
        """Rows due, by what they count as: those to send, or those held."""
        due = (p for p in self.parts if p.part.counts_as is op and p.part is not Part.REPLACE_OUT)
        return sum(part.rows for part in due if part.held is held)

    @property
    def held(self) -> int:
        return sum(part.rows for part in self.parts if part.held)

    def to_json(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "membership": self.membership.to_json(),
            "parts": [{**asdict(part), "op": part.op.value} for part in self.parts],
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> PlanRef:
        return cls(
            **{
                **value,
                "membership": MembershipRef.from_json(value["membership"]),
                "parts": tuple(PlanPart(**{**part, "op": Op(part["op"])}) for part in value["parts"]),
                "reasons": tuple(value["reasons"]),
                "warnings": tuple(value["warnings"]),
                "identifiers": tuple(value.get("identifiers", ())),
            }
        )
