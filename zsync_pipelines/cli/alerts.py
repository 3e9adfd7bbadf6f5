"""The command on alerts: alert-test."""

from __future__ import annotations

import sys

import click

from zsync_pipelines.cli.base import EXIT_ERROR, command, json_option, print_json


@command("alert-test")
@click.argument("sync")
@json_option
def alert_test(sync: str, as_json: bool) -> None:
    """Send a test message to each alert target of SYNC. Exit code 1 if one did not arrive."""
    from zsync_pipelines.cli.render import progress, table
    from zsync_pipelines.service.alert_checks import send_test
    from zsync_pipelines.service.bootstrap import open_zsync

    with progress(f"sending tests for {sync}"):
        results = send_test(open_zsync(), sync)
    failed = any(result.failure is not None for result in results)
    if as_json:
        print_json({"sync_id": sync, "ok": not failed, "targets": [result.to_json() for result in results]})
    else:
        rows = [(f"alerts.{r.target}", r.kind, "failed" if r.failure else "ok", r.failure or "sent") for r in results]
        table(("target", "kind", "result", "detail"), rows)
    if failed:
        sys.exit(EXIT_ERROR)


COMMANDS: tuple[click.Command, ...] = (alert_test,)
