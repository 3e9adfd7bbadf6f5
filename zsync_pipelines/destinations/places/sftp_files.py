"""What a session does with files on an SFTP server. Paths are the server's; failures are asyncssh's own."""

from __future__ import annotations

import asyncio
import posixpath
import stat
from collections.abc import Awaitable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from zsync_pipelines.destinations.formats import FILE_MODE
from zsync_pipelines.errors import TargetMissingError, UnreachableError

if TYPE_CHECKING:
    from asyncssh import SFTPClient

T = TypeVar("T")
_ANSWER_SECONDS = 120


async def answer(request: Awaitable[T]) -> T:
    """Wait for a request's answer, though not for ever."""
    return await asyncio.wait_for(request, _ANSWER_SECONDS)


async def nearest(client: SFTPClient, path: str) -> str:
    """The path, or the lowest folder above it that is there. TargetMissingError if it is no folder."""
    while not await client.exists(path) and posixpath.dirname(path) not in ("", path):
        path = posixpath.dirname(path)
    if not await client.isdir(path):
        raise _no_folder(path)
    return path


async def make_folder(client: SFTPClient, path: str) -> None:
    """Make a folder, and those above it that are missing."""
    missing = []
    while path not in ("", "/") and not await client.isdir(path):
        if await client.exists(path):
            raise _no_folder(path)
        missing.append(path)
        path = posixpath.dirname(path)
    for folder in reversed(missing):
        await client.mkdir(folder)


async def folders(client: SFTPClient, path: str) -> list[str]:
    """Names of the folders in a folder, but for links to some; none if there is no such folder."""
    import asyncssh

    try:
        entries = [entry async for entry in client.scandir(path)]
    except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
        return []
    names = [str(entry.filename) for entry in entries if stat.S_ISDIR(entry.attrs.permissions or 0)]
    return [name for name in names if name not in (".", "..")]


async def write(client: SFTPClient, path: str, chunks: Iterable[bytes]) -> None:
    """Write a file that only owner and group may read; durable where the server can do that."""
    import asyncssh

    size = 0
    async with client.open(path, "wb", asyncssh.SFTPAttrs(permissions=FILE_MODE)) as file:
        for chunk in chunks:
            await answer(file.write(chunk))
            size += len(chunk)
        with suppress(asyncssh.SFTPOpUnsupported):
            await answer(file.fsync())
    found = (await answer(client.stat(path))).size
    if found not in (size, None):
        raise UnreachableError(f"{path} on the server is not as long as what was sent; run again")


async def put_over(client: SFTPClient, new: str, final: str) -> None:
    """Rename a file, replacing the one of that name. Where the server has no rename that does so, the old one is moved
    aside first: then there is none for a moment, but never a part of one."""
    import asyncssh

    try:
        await answer(client.posix_rename(new, final))
    except asyncssh.SFTPOpUnsupported:
        await _move_over(client, new, final)


async def _move_over(client: SFTPClient, new: str, final: str) -> None:
    import asyncssh

    old = f"{new}.old"
    is_there = await answer(client.exists(final))
    if is_there:
        await answer(client.rename(final, old))
    try:
        await answer(client.rename(new, final))
    except asyncssh.SFTPError:
        if is_there:
            with suppress(asyncssh.SFTPError):
                await answer(client.rename(old, final))
        raise
    if is_there:
        with suppress(asyncssh.SFTPError):  # the next run clears it
            await answer(client.remove(old))


def _no_folder(path: str) -> TargetMissingError:
    return TargetMissingError(f"{path} on the server is no folder; give `url` another path")
