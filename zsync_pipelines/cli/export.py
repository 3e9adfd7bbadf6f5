"""The command that writes configuration out: export."""

from __future__ import annotations

from pathlib import Path

import click

from zsync_pipelines.cli.base import command, json_option, print_json

_KINDS = ("sources", "models", "audiences", "destinations", "syncs")


@command("export")
@click.argument("path", required=False, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--kind", "kinds", multiple=True, type=click.Choice(_KINDS), help="May be repeated (default: all).")
@json_option
def export(path: Path | None, kinds: tuple[str, ...], as_json: bool) -> None:
    """Write the configuration that the API manages as YAML, to PATH or to stdout.

    To have files manage an object from then on, delete it over the API and apply the file.
    """
    from zsync_pipelines.cli.render import warn
    from zsync_pipelines.domain.config import Kind
    from zsync_pipelines.errors import StorageError
    from zsync_pipelines.service.apply_report import shown
    from zsync_pipelines.service.bootstrap import open_zsync
    from zsync_pipelines.service.export import export_configuration

    found = export_configuration(open_zsync(), [Kind(kind) for kind in kinds or _KINDS])
    for key in found.broken:
        warn(f"warning: {shown(key)} cannot be read by this version of zsync; it is written as it is stored")
    for key in found.masked:
        warn(f"warning: {shown(key)}: a literal secret is left out; write a reference where *** stands")
    if path is not None:
        try:
            path.write_text(found.to_yaml(), encoding="utf-8")
        except OSError as error:
            raise StorageError(f"{path} cannot be written: {error.strerror}") from None
    count = sum(len(objects) for objects in found.document.values())
    if as_json:
        print_json(found.document)
    elif path is None:
        click.echo(found.to_yaml(), nl=False)
    if path is not None or not count:
        click.echo(f"{count} objects exported" + (f" to {path}" if path else ": the API manages none"), err=True)


COMMANDS: tuple[click.Command, ...] = (export,)
