"""Groups of audiences' splits, as audiences: derived from their audience and never stored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from zsync_pipelines.domain.config import Audience, Kind
from zsync_pipelines.domain.filters import AudienceCondition
from zsync_pipelines.domain.selection import digest_ranges, group_id

_LONGEST_TITLE = 130
_INHERITED = (
    "model_id",
    "evaluation_schedule",
    "timezone",
    "max_age",
    "alerts",
    "max_size_change_percent",
    "max_size_change_rows",
)
"""What a group has from its audience."""


class AudienceGroup(Audience):
    """One group of an audience's split, as an audience: the members of `base_id` whose digest is in a range.

    It is derived from its audience and never stored. The digest is that of `domain.selection`, with `seed`; the range
    goes from `low` (included) to `high` (excluded), None where it is open. `filter_tree` asks for membership of the
    base.
    """

    base_id: str
    seed: str
    low: str | None
    high: str | None


def stored_key(audience: Audience) -> tuple[Kind, str]:
    """The stored object that an audience is, or that it is a group of."""
    return Kind.AUDIENCE, audience.base_id if isinstance(audience, AudienceGroup) else audience.id


def groups_of(audience: Audience) -> Iterator[AudienceGroup]:
    """The audiences that an audience's split makes, in its order."""
    inherited = {name: getattr(audience, name) for name in _INHERITED}
    for group, (low, high) in zip(audience.split, digest_ranges(audience.split), strict=True):
        about = f"{group.percent:.10g} percent of audience '{audience.id}'"
        yield AudienceGroup.model_validate(
            {
                **inherited,
                "id": group_id(audience.id, group.name),
                "name": audience.name and f"{audience.name[:_LONGEST_TITLE]} ({group.name})",
                "description": about if audience.description is None else f"{about}: {audience.description}",
                "filter_tree": AudienceCondition(condition_type="audience", operator="in", audience=audience.id),
                "base_id": audience.id,
                "seed": group.seed or audience.id,
                "low": low,
                "high": high,
            }
        )


def bases_of_groups(audiences: Mapping[str, Audience]) -> dict[str, str]:
    """For the id of each group of these audiences, the audience that it is a group of. An audience's own id wins."""
    groups = {
        group_id(audience.id, part.name): audience.id for audience in audiences.values() for part in audience.split
    }
    return {name: base for name, base in groups.items() if name not in audiences}
