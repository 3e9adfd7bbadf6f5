"""An SFTP server on loopback whose files lie in a folder, and that misbehaves when told to."""

from __future__ import annotations

import asyncio
import os
import posixpath
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncssh

USER, PASSWORD = "exporter", "s3cr3t/w:th@signs"
QUOTED = "s3cr3t%2Fw%3Ath%40signs"
"""The password as a URL holds it."""

PASS, DROP_BEFORE, DROP_AFTER = "pass", "drop before", "drop after"
"""What to do with a rename: do it and answer; break the connection before, or after, doing it."""


@dataclass
class SftpServer:
    """`root`: what clients see as `/`. `atomic`: it has a rename that replaces. `judge`: what to do with a rename, by
    the new name. `denied`: names of files that may not be written. `attempts`: users that tried to sign in. `log`: what
    was asked, as (operation, path)."""

    root: Path
    port: int = 0
    host_key: asyncssh.SSHKey = field(default_factory=lambda: asyncssh.generate_private_key("ssh-ed25519"))
    client_key: asyncssh.SSHKey | None = None
    atomic: bool = True
    judge: Callable[[str], str] = lambda _: PASS
    denied: set[str] = field(default_factory=set)
    log: list[tuple[str, str]] = field(default_factory=list)
    attempts: list[str] = field(default_factory=list)

    @property
    def known_hosts(self) -> str:
        """The line of a known_hosts file."""
        return f"[127.0.0.1]:{self.port} {self.host_key.export_public_key().decode().strip()}"

    def url(self, path: str, user: str = f"{USER}:{QUOTED}") -> str:
        return f"sftp://{user}@127.0.0.1:{self.port}{path}"

    def names(self, folder: str = "") -> list[str]:
        """Every file below a folder, in order."""
        place = self.root / folder
        return sorted(str(path.relative_to(place)) for path in place.rglob("*") if path.is_file())


class _Door(asyncssh.SSHServer):
    def __init__(self, server: SftpServer) -> None:
        self.server = server

    def begin_auth(self, username: str) -> bool:
        self.server.attempts.append(username)
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return (username, password) == (USER, PASSWORD)

    def public_key_auth_supported(self) -> bool:
        return self.server.client_key is not None

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        ours = self.server.client_key
        return ours is not None and username == USER and key == ours.convert_to_public()


def _files(server: SftpServer) -> type[asyncssh.SFTPServer]:
    class Files(asyncssh.SFTPServer):
        def __init__(self, channel: Any) -> None:
            super().__init__(channel, chroot=os.fsencode(server.root))

        def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> object:
            self._note("open", path)
            if posixpath.basename(path.decode()) in server.denied and pflags & asyncssh.FXF_WRITE:
                raise asyncssh.SFTPPermissionDenied("Permission denied")
            return super().open(path, pflags, attrs)

        def mkdir(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> None:
            self._note("mkdir", path)
            super().mkdir(path, attrs)

        def rename(self, oldpath: bytes, newpath: bytes) -> None:
            self._note("rename", newpath)
            self._scripted(newpath, lambda: super(Files, self).rename(oldpath, newpath))

        def posix_rename(self, oldpath: bytes, newpath: bytes) -> None:
            if not server.atomic:
                raise asyncssh.SFTPOpUnsupported("Operation not supported")
            self._note("posix_rename", newpath)
            self._scripted(newpath, lambda: super(Files, self).posix_rename(oldpath, newpath))

        def _note(self, operation: str, path: bytes) -> None:
            server.log.append((operation, path.decode()))

        def _scripted(self, path: bytes, rename: Callable[[], Any]) -> None:
            act = server.judge(path.decode())
            if act != DROP_BEFORE:
                rename()
            if act != PASS:
                self.channel.get_connection().abort()
                raise asyncssh.SFTPConnectionLost("dropped")

    return Files


@contextmanager
def sftp_server(root: Path, **behaviour: Any) -> Iterator[SftpServer]:
    """Run a server on a free port, in a thread with a loop of its own."""
    server = SftpServer(root, **behaviour)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def listen() -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            "127.0.0.1",
            server.port,
            server_factory=lambda: _Door(server),
            server_host_keys=[server.host_key],
            sftp_factory=_files(server),
        )

    async def stop() -> None:
        listener.close()
        await listener.wait_closed()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    listener = asyncio.run_coroutine_threadsafe(listen(), loop).result(30)
    server.port = listener.get_port()
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()
