"""`zsync dev`: Dagster's UI, schedules and sensors, and the REST API, on one machine for development."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import click

from zsync_pipelines.cli.base import EXIT_INTERRUPTED, ZsyncCommand, operator

if TYPE_CHECKING:
    from zsync_pipelines.cli.processes import Service
    from zsync_pipelines.service.bootstrap import Zsync

_HOST = "127.0.0.1"
_PYTHON = (sys.executable, "-P", "-m")  # -P: a file of this folder must not be taken for a module
_PORT = click.IntRange(1, 65535)


@click.command("dev", cls=ZsyncCommand)
@click.option("--port", type=_PORT, default=3000, show_default=True, help="Where Dagster's UI listens.")
@click.option("--api-port", type=_PORT, default=8642, show_default=True, help="Where the REST API listens.")
@click.option("--no-api", is_flag=True, help="Start Dagster alone.")
def dev(port: int, api_port: int, no_api: bool) -> None:
    """Start Dagster (UI, schedules, sensors) and the REST API here, until Ctrl-C.

    Their logs go to stderr. Nothing listens beyond this machine.
    """
    from zsync_pipelines.cli.processes import supervise
    from zsync_pipelines.orchestration.instance import dagster_home
    from zsync_pipelines.service.bootstrap import open_zsync

    _check_ports({"--port": port} if no_api else {"--port": port, "--api-port": api_port})
    app = open_zsync()  # brings the control database up to date before several processes want it
    home = dagster_home(app.settings)
    services = dev_services(port, None if no_api else api_port, home)
    click.echo(f"starting; Dagster's instance is in {home}", err=True)
    ended_by = supervise(services, lambda: _announce(app, port, None if no_api else api_port))
    if ended_by is signal.SIGINT:
        click.get_current_context().exit(EXIT_INTERRUPTED)


def dev_services(port: int, api_port: int | None, home: Path) -> Sequence[Service]:
    """Dagster, and with `api_port` the API: both on one instance and one control database."""
    from zsync_pipelines.cli.processes import Service

    ui = f"http://{_HOST}:{port}"
    env = {**os.environ, "DAGSTER_HOME": str(home), "ZSYNC_DAGSTER_URL": ui}
    dagster = [*_PYTHON, "dagster", "dev", "-h", _HOST, "-p", str(port)]
    if not Path("workspace.yaml").is_file():
        dagster += ["-m", "zsync_pipelines.definitions"]
    services = [Service("dagster", dagster, f"{ui}/server_info", env)]
    if api_port is not None:
        serve = [*_PYTHON, "zsync_pipelines", "serve", "--host", _HOST, "--port", str(api_port)]
        services.append(Service("api", serve, f"http://{_HOST}:{api_port}/healthz", env))
    return services


def _check_ports(ports: dict[str, int]) -> None:
    """Refuse ports that are taken, before anything starts."""
    if len(set(ports.values())) < len(ports):
        raise click.UsageError("--port and --api-port are the same; the UI and the API need one each")
    for option, port in ports.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((_HOST, port))
            except OSError as error:
                raise click.UsageError(
                    f"port {port} of {_HOST} cannot be used: {os.strerror(error.errno or 0)}; stop what listens there, "
                    f"or give another with {option}"
                ) from None


def _announce(app: Zsync, port: int, api_port: int | None) -> None:
    lines = [f"Dagster   http://{_HOST}:{port}"]
    if api_port is not None:
        lines += [f"API       http://{_HOST}:{api_port}/api/v1", f"API docs  http://{_HOST}:{api_port}/docs"]
        key = _first_key(app)
        if key is not None:
            name, token = key
            lines.append(f"API key   {token}  (named {name}; it is not shown again)")
    click.echo("\n".join([*lines, "Ctrl-C stops everything."]))
    sys.stdout.flush()


def _first_key(app: Zsync) -> tuple[str, str] | None:
    """A key for the API, if there is none that can be used: made, and told this once. Its name and the key itself."""
    from zsync_pipelines.domain.api_key import Scope
    from zsync_pipelines.service.api_keys import any_usable, create_key, list_keys

    if any_usable(app):
        return None
    taken = {key.name for key in list_keys(app)}  # also of those that were revoked
    name = next(name for name in _names("dev") if name not in taken)
    _, token = create_key(app, name, frozenset(Scope), None, operator())
    return name, token


def _names(first: str) -> Iterator[str]:
    yield first
    yield from (f"{first}-{number}" for number in count(2))
