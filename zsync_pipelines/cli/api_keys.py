"""Commands on who may do what, and who did: api-key, audit."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click

from zsync_pipelines.cli.base import AsOf, command, json_option, operator, print_json
from zsync_pipelines.cli.installation import Document, installation

_SCOPES = ("read", "write", "trigger")


class Expiry(click.ParamType[datetime]):
    """An age from now, such as `90d`, or an ISO date or time."""

    name = "AGE|ISO"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        from zsync_pipelines.domain.schedule import age

        if isinstance(value, datetime):
            return value
        try:
            return datetime.now(UTC) + age(value)
        except ValueError:
            pass
        except OverflowError:
            self.fail(f"'{value}' is too long; a key without --expires has no end", param, ctx)
        try:
            return AsOf().convert(value, None, None)
        except click.UsageError:
            self.fail(f"'{value}' is no age, such as 90d, and no ISO date or time, such as 2030-01-31", param, ctx)


@click.group("api-key")
def api_key() -> None:
    """Keys of the REST API: create, list, revoke them."""


@command("create")
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, type=click.Choice(_SCOPES), help="May be repeated (default: all).")
@click.option("--expires", type=Expiry(), help="When it ends: 90d, 12h, or an ISO date or time (default: never).")
@json_option
def create(name: str, scopes: tuple[str, ...], expires: datetime | None, as_json: bool) -> None:
    """Create a key called NAME and print it: it is shown this once, and stored nowhere.

    Scopes: read looks at things, write changes configuration, trigger starts and cancels runs.
    """
    from zsync_pipelines.cli.render import warn
    from zsync_pipelines.domain.api_key import Scope
    from zsync_pipelines.service.api_keys import create_key
    from zsync_pipelines.service.bootstrap import open_zsync

    app = open_zsync()
    key, token = create_key(app, name, [Scope(scope) for scope in scopes or _SCOPES], expires, operator())
    if as_json:
        print_json({**key.to_json(app.clock()), "key": token})
        return
    click.echo(token)
    warn(f"key '{key.name}' may {', '.join(key.scopes)}; keep it now: it is not shown again")


@command("list")
@json_option
def list_command(as_json: bool) -> None:
    """List the keys, those that are over included."""
    from zsync_pipelines.cli.render import moment, say, table
    from zsync_pipelines.service.api_keys import list_keys
    from zsync_pipelines.service.bootstrap import open_zsync

    app = open_zsync()
    keys, now = list_keys(app), app.clock()
    if as_json:
        print_json([key.to_json(now) for key in keys])
        return
    if not keys:
        say("there is no API key; `zsync api-key create NAME` makes one")
        return
    rows = [
        (k.name, k.status(now), ", ".join(k.scopes), moment(k.created_at), moment(k.expires_at), moment(k.last_used_at))
        for k in keys
    ]
    table(("key", "status", "scopes", "created", "expires", "last used"), rows)


@command("revoke")
@click.argument("name")
@json_option
def revoke(name: str, as_json: bool) -> None:
    """Revoke the key called NAME: within a second nobody can use it any more. The name is not given out again."""
    from zsync_pipelines.service.api_keys import revoke_key
    from zsync_pipelines.service.bootstrap import open_zsync

    revoke_key(open_zsync(), name, operator())
    if as_json:
        print_json({"name": name, "revoked": True})
    else:
        click.echo(f"key '{name}' is revoked")


for _command in (create, list_command, revoke):
    api_key.add_command(_command)


@command("audit", remote=True)
@click.option("--object", "name", metavar="KIND.ID", help="Of this object, such as syncs.vip or api_keys.ci.")
@click.option("--actor", metavar="WHO", help="By this one, such as cli:ann, api-key:ci or files.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="How many entries to show.")
@click.option("--before", type=click.IntRange(min=1), metavar="N", help="Only entries with a number below N.")
@json_option
def audit(name: str | None, actor: str | None, limit: int, before: int | None, as_json: bool) -> None:
    """Show who changed what, newest first. With --json also what it was before and after, secrets masked."""
    from zsync_pipelines.cli.render import moment, say, table

    kind, dot, object_id = (name or "").partition(".")
    if name is not None and not (kind and dot and object_id):
        raise click.UsageError(f"--object: '{name}' names no object; write it as syncs.vip")
    found = installation().audit(kind or None, object_id or None, actor, before, limit)
    if as_json:
        print_json(found)
    elif not found:
        say("nothing of that kind was recorded")
    else:
        rows = [(e["number"], moment(e["at"]), e["actor"], e["action"], _object(e), _changed(e)) for e in found]
        table(("number", "at", "actor", "action", "object", "changed"), rows, numbers=("number",))


COMMANDS: tuple[click.Command, ...] = (api_key, audit)


def _object(entry: Document) -> str:
    return ".".join(part for part in (entry["kind"], entry["object_id"]) if part)


def _changed(entry: Document) -> str | None:
    """The keys that an update changed."""
    before, after = entry["before"], entry["after"]
    if before is None or after is None:
        return None
    # A secret that changed looks the same before and after.
    return ", ".join(key for key in sorted({*before, *after}) if before.get(key) != after.get(key)) or "a secret"
