"""How to reach an SFTP server and sign in: its URL and options, host keys, and what a refusal means."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from zsync_pipelines.destinations.places.place import Options
from zsync_pipelines.destinations.places.uploading import not_installed
from zsync_pipelines.errors import ConfigError, CredentialsError, UnreachableError

if TYPE_CHECKING:
    from asyncssh import SFTPClient, SSHClient, SSHKey, SSHKnownHosts

OPTION_NAMES = frozenset({"password", "private_key", "private_key_file", "passphrase", "known_hosts"})
ANY_HOST_KEY = "do-not-verify"
"""The value of `known_hosts` that accepts whatever host key a server shows."""

_DEFAULT_KNOWN_HOSTS = "~/.ssh/known_hosts"
_PORT = 22
_PATIENCE: Mapping[str, Any] = {
    "connect_timeout": 30,
    "login_timeout": 30,
    "keepalive_interval": 15,
    "keepalive_count_max": 4,
}
"""In seconds: a server that answers nothing for a minute is gone."""
_HOST_KEY_LINE = re.compile(r"\S\s+(ssh-|ecdsa-|sk-)\S+\s+\S")
_FORM = (
    "must be sftp://user@host/path or sftp://user@host:port/path; put a password into the option `password`, or write "
    "its special characters as %XX"
)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a URL leads. `path`: without a slash at its end; relative to the user's home after `/~/`."""

    host: str
    port: int
    path: str
    user: str | None = field(repr=False)
    password: str | None = field(repr=False)

    @property
    def shown(self) -> str:
        """As messages and targets name it: without user and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"sftp://{host}:{self.port}{self.path if self.path.startswith('/') else f'/~/{self.path}'}".rstrip("/")

    @classmethod
    def of(cls, url: str) -> Address:
        """ValueError, which holds nothing of the URL, if it is none."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port or _PORT
        except ValueError:
            raise ValueError(_FORM) from None
        path = unquote(parts.path)
        if not host or parts.query or parts.fragment or "\0" in path:
            raise ValueError(_FORM)
        names = [name for name in path.split("/") if name]
        if not path or any(name in (".", "..") for name in names):
            raise ValueError("must name a folder: sftp://user@host/path")
        path = "/".join(names[1:] or ["."]) if names[:1] == ["~"] else "/" + "/".join(names)
        user = unquote(parts.username) if parts.username else None
        return cls(host, port, path, user, unquote(parts.password) if parts.password is not None else None)


def judge_options(url: str, options: Options) -> None:
    """ValueError if options contradict each other, or the URL."""
    if "private_key" in options and "private_key_file" in options:
        raise ValueError("give private_key or private_key_file, not both")
    try:
        in_url = Address.of(url).password is not None
    except ValueError:
        in_url = False  # judged with the URL
    if in_url and "password" in options:
        raise ValueError("the password is in the url and in options; give it once")


@asynccontextmanager
async def connected(address: Address, options: Options) -> AsyncIterator[SFTPClient]:
    """A session with the server. UnreachableError or CredentialsError when there is none to be had."""
    try:
        import asyncssh
    except ModuleNotFoundError as error:
        raise not_installed("asyncssh", "sftp") from error

    given = {name: value.get_secret_value() for name, value in options.items()}
    known = _known_hosts(given.get("known_hosts", _DEFAULT_KNOWN_HOSTS))
    where = address.shown
    shown: list[SSHKey] = []
    try:
        connection = await asyncssh.connect(
            address.host,
            address.port,
            username=address.user if address.user is not None else (),
            known_hosts=known,
            client_factory=_witness(shown),
            config=None,
            **_sign_in(address, given),
            **_PATIENCE,
        )
    except asyncssh.HostKeyNotVerifiable:
        raise UnreachableError(_host_key_text(address, known, shown)) from None
    except asyncssh.PermissionDenied:
        raise CredentialsError(
            f"{where}: the server refused the user, the password or the key; check `url` and `options`"
        ) from None
    except TimeoutError:
        raise UnreachableError(f"{where}: no answer in time; check host, port and network") from None
    except (OSError, asyncssh.Error) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
        raise UnreachableError(f"{where}: no connection ({why}); check host, port and network") from None
    async with connection:
        try:
            client = await connection.start_sftp_client()
        except (OSError, asyncssh.Error):
            raise UnreachableError(
                f"{where}: the server takes the user but offers no SFTP; ask its operator to allow it"
            ) from None
        async with client:
            yield client


def _sign_in(address: Address, given: Mapping[str, str]) -> dict[str, Any]:
    """What to sign in with. Without a password and a key: the agent and the usual files in ~/.ssh, as `ssh` does."""
    password = given.get("password", address.password)
    keys = []
    if "private_key" in given or "private_key_file" in given:
        keys = [_private_key(given)]
    elif password is None:
        return {}
    return {"password": password, "client_keys": keys or None, "agent_path": None}


def _private_key(given: Mapping[str, str]) -> SSHKey:
    import asyncssh

    name = "private_key" if "private_key" in given else "private_key_file"
    try:
        text = given[name] if name == "private_key" else Path(given[name]).expanduser().read_text()
        return asyncssh.import_private_key(text, given.get("passphrase"))
    except (OSError, UnicodeDecodeError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
        raise ConfigError(f"options.{name}: the file cannot be read ({why})") from None
    except asyncssh.KeyEncryptionError:
        raise ConfigError(f"options.{name}: is encrypted; give the right `passphrase`") from None
    except asyncssh.KeyImportError:
        raise ConfigError(f"options.{name}: is no private key in OpenSSH or PEM form") from None


def _known_hosts(given: str) -> SSHKnownHosts | None:
    """Known host keys from a file, or from lines given as they are; None where any key will do."""
    import asyncssh

    if given == ANY_HOST_KEY:
        return None
    text = given
    if not _HOST_KEY_LINE.search(given):
        try:
            text = Path(given).expanduser().read_text()
        except (OSError, UnicodeDecodeError) as error:
            if given == _DEFAULT_KNOWN_HOSTS:
                return asyncssh.import_known_hosts("")
            why = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
            raise ConfigError(f"options.known_hosts: the file cannot be read ({why})") from None
    try:
        return asyncssh.import_known_hosts(text)
    except ValueError:
        raise ConfigError("options.known_hosts: is not in the form of a known_hosts file") from None


def _witness(shown: list[SSHKey]) -> type[SSHClient]:
    """A client that remembers the host key that it was shown and did not know."""
    import asyncssh

    class Witness(asyncssh.SSHClient):
        def validate_host_public_key(self, host: str, addr: str, port: int, key: SSHKey) -> bool:
            shown.append(key)
            return False

    return Witness


def _host_key_text(address: Address, known: SSHKnownHosts | None, shown: list[SSHKey]) -> str:
    key = f"{shown[0].get_algorithm()} {shown[0].get_fingerprint()}" if shown else "not a plain key"
    where = f"{address.shown}: the server's host key ({key})"
    if known is not None and known.match(address.host, "", address.port)[0]:
        return (
            f"{where} is not the one in known_hosts: somebody may be in between, or the server was set up anew. Ask "
            "its operator; if the key is right, replace the old line"
        )
    return (
        f"{where} is not in known_hosts. Compare it with what the server's operator says, then add it: "
        f"`ssh-keyscan -p {address.port} {address.host}` prints its line, for {_DEFAULT_KNOWN_HOSTS} or for the option "
        "`known_hosts` (the line, or a file with it)"
    )
