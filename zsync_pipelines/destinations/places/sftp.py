"""Folders on SFTP servers, through asyncssh.

As in a local folder, files are uploaded into a hidden folder beside their place and renamed. Each call is a session of
its own, since servers drop sessions that idle while a run gets its rows ready.
"""

from __future__ import annotations

import asyncio
import posixpath
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from zsync_pipelines.destinations.places.names import MANIFEST, REWRITE, is_leftover, staging_folder
from zsync_pipelines.destinations.places.place import Options
from zsync_pipelines.destinations.places.sftp_answers import answers, showing
from zsync_pipelines.destinations.places.sftp_files import answer, folders, make_folder, nearest, put_over, write
from zsync_pipelines.destinations.places.sftp_login import OPTION_NAMES, Address, connected, judge_options
from zsync_pipelines.destinations.places.uploading import UploadingPlace, not_installed
from zsync_pipelines.destinations.redact import address_only

if TYPE_CHECKING:
    from asyncssh import SFTPClient

T = TypeVar("T")
CHUNK_BYTES = 1024 * 1024
"""So much of a file is in memory at a time."""


class SftpPlace(UploadingPlace):
    """`sftp://user@host:port/path`."""

    option_names = OPTION_NAMES
    noun = "folder"

    def __init__(self, url: str, options: Options) -> None:
        super().__init__(url, options)
        self._address = Address.of(url)
        self.shown = self._address.shown

    @classmethod
    def judge(cls, url: str) -> None:
        if "${" not in url:
            Address.of(url)

    @classmethod
    def judge_options(cls, url: str, options: Options) -> None:
        judge_options(url, options)

    @classmethod
    def target(cls, url: str, options: Options) -> Mapping[str, str]:
        """Host, port and path: another user of the same folder writes to the same files."""
        try:
            return {"url": Address.of(url).shown}
        except ValueError:  # a reference in it is not resolved
            return {"url": address_only(url)}

    def look(self) -> str:
        return self._session(self._look)

    async def _look(self, client: SFTPClient) -> str:
        path = await nearest(client, self._address.path)
        there = "is there" if path == self._address.path else f"will be created below {path}"
        return f"{self.shown} {there}; a check writes nothing, so the right to write is seen when a run does"

    def clear_uploads(self, folder: str) -> None:
        self._session(partial(self._clear, self._path(folder)))

    async def _clear(self, place: str, client: SFTPClient) -> None:
        for name in await folders(client, place):
            names = [found for found in await client.listdir(f"{place}/{name}") if found not in (".", "..")]
            if MANIFEST not in names and is_leftover(name, names):
                await client.rmtree(f"{place}/{name}")

    def put_run(self, folder: str, run_id: str, names: Sequence[str], manifest: bytes) -> None:
        files = [self.staging(folder, run_id) / name for name in names]
        self._session(partial(self._put_run, self._path(folder), run_id, files, manifest))

    async def _put_run(
        self, place: str, run_id: str, files: Sequence[Path], manifest: bytes, client: SFTPClient
    ) -> None:
        """If a later run, which takes this one for dead, clears it away meanwhile, a rename fails: nothing counts."""
        staged, final = f"{place}/{staging_folder(run_id)}", f"{place}/{run_id}"
        await make_folder(client, staged)
        for file in files:
            await write(client, f"{staged}/{file.name}", self._chunks(file))
        await answer(client.rename(staged, final))
        hidden = f"{final}/.{MANIFEST}"
        await write(client, hidden, [manifest])
        with showing(self.shown):
            await answer(client.rename(hidden, f"{final}/{MANIFEST}"))

    def has_run(self, folder: str, run_id: str) -> bool:
        manifest = f"{self._path(folder)}/{run_id}/{MANIFEST}"
        return self._session(lambda client: client.isfile(manifest))

    def replace(self, folder: str, run_id: str, name: str) -> None:
        self._session(partial(self._replace, self._path(folder), run_id, self.staging(folder, run_id) / name))

    async def _replace(self, place: str, run_id: str, file: Path, client: SFTPClient) -> None:
        import asyncssh

        staged = f"{place}/{staging_folder(run_id)}"
        new, final = f"{staged}/{file.name}", f"{place}/{file.name}"
        await make_folder(client, staged)
        await write(client, new, self._chunks(file))
        with showing(self.shown):
            await put_over(client, new, final)
        # The file is in place. What cannot be tidied up makes the next run write it again, or is cleared by it.
        for tidy in (partial(client.remove, f"{place}/{REWRITE}"), partial(client.rmdir, staged)):
            with suppress(OSError, asyncssh.Error):
                await answer(tidy())

    def is_current(self, folder: str, name: str) -> bool:
        return self._session(partial(self._is_current, self._path(folder), name))

    async def _is_current(self, place: str, name: str, client: SFTPClient) -> bool:
        return await client.exists(f"{place}/{name}") and not await client.exists(f"{place}/{REWRITE}")

    def outdate(self, folder: str, name: str) -> None:
        self._session(partial(self._outdate, self._path(folder), name))

    async def _outdate(self, place: str, name: str, client: SFTPClient) -> None:
        if await client.exists(f"{place}/{name}"):
            await write(client, f"{place}/{REWRITE}", [])

    def _chunks(self, path: Path) -> Iterator[bytes]:
        with self.writing(path.name):
            file = path.open("rb")
        with file:
            while chunk := self._read(file):
                yield chunk

    def _read(self, file: Any) -> bytes:
        with self.writing(""):
            chunk: bytes = file.read(CHUNK_BYTES)
            return chunk

    def _path(self, folder: str) -> str:
        return posixpath.join(self._address.path, folder)

    def _session(self, work: Callable[[SFTPClient], Awaitable[T]]) -> T:
        """Connect, do the work, and hang up."""
        try:
            import asyncssh  # noqa: F401
        except ModuleNotFoundError as error:
            raise not_installed("asyncssh", "sftp") from error

        async def session() -> T:
            with answers(self.shown, self._secrets()):
                async with connected(self._address, self.options) as client:
                    return await work(client)

        return _run(session())

    def _secrets(self) -> list[str]:
        options = [value.get_secret_value() for value in self.options.values()]
        return [self._address.password, *options] if self._address.password else options


def _run(session: Coroutine[Any, Any, T]) -> T:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(session)
    with ThreadPoolExecutor(1) as pool:  # the caller's thread is busy with a loop of its own, as in a notebook
        return pool.submit(asyncio.run, session).result()
