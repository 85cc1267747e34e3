"""The client for asyncio; the blocking one runs this one in a thread of its own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from ._api import Api, ServerApi, new_key, pages
from ._async_datasets import AsyncDatasets
from ._daemon import Daemon, find_binary, in_time
from ._download import Wanted, download_files
from ._exceptions import ConnectionError, DaemonError, InvalidRequestError
from ._http import Lanes
from ._models import AssetMetadata, AssetVersion, AuthStatus, DownloadedFile, DownloadResult, UploadResult, read
from ._progress import Meter, Tell
from ._retry import Retry
from ._server import Identity
from ._sources import LocalFile
from ._upload import Sending, Way, part_size

T = TypeVar("T")

_ASSETS_PAGE = 1000


class AsyncParqueueClient:
    """A client for asyncio, with the operations of ParqueueClient; what it says of them holds here too.

    Use it as a context manager, or call ``connect`` and ``close``. ``on_progress`` is called in the event loop, so it must be quick.
    """

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        profile: str | None = None,
        daemon: bool | None = None,
        binary_path: str | os.PathLike[str] | None = None,
        connections: int = 16,
        allow_http: bool = False,
        retry: Retry | None = None,
    ) -> None:
        if connections < 1 or connections > 64:
            raise InvalidRequestError("invalid_request", "connections is out of range.", "Choose from 1 to 64.")
        self._identity = Identity(url, api_key, profile, allow_http)
        self._wanted, self._binary_path = daemon, binary_path
        self._connections, self._retry = connections, retry or Retry()
        self._http: Lanes | None = None
        self._daemon: Daemon | None = None
        self._api: Api | None = None
        self._connecting: asyncio.Lock | None = None
        self.datasets = AsyncDatasets(self)
        """The datasets of the server."""

    def __repr__(self) -> str:
        by = "daemon" if self._daemon is not None else "direct" if self._api is not None else "not connected"
        return f"<{type(self).__name__} {self._identity.url or self._identity.profile_name()!r} ({by})>"

    async def __aenter__(self) -> AsyncParqueueClient:
        await self.connect()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        await self.close()

    async def connect(self) -> None:
        """Find the daemon and start it if it isn't running; without one find out who is signed in. It may be repeated."""
        if self._connecting is None:
            self._connecting = asyncio.Lock()
        async with self._connecting:
            if self._api is not None:
                return
            binary = None if self._wanted is False else find_binary(self._binary_path)
            if binary is None and self._wanted:
                raise ConnectionError(
                    "daemon_not_found",
                    "The program `parqueue`, which is the daemon too, is not on PATH.",
                    "Install it, say where it is with binary_path, or do without it: daemon=False.",
                )
            if binary is not None:
                daemon = Daemon(binary, self._identity, self._retry)
                await daemon.start()
                self._daemon = self._api = daemon
                return
            server = self._identity.resolve()
            self._http = Lanes()
            self._api = ServerApi(server, self._http, self._retry)

    async def close(self) -> None:
        """Let go of connections. Transfers of the daemon go on. It may be repeated."""
        if self._daemon is not None:
            await self._daemon.aclose()
        if self._http is not None:
            await self._http.aclose()
        self._api = self._daemon = self._http = None

    async def ready(self) -> tuple[Api, Daemon | None]:
        """Return what calls go by, connected."""
        await self.connect()
        assert self._api is not None  # noqa: S101
        return self._api, self._daemon

    def way(self) -> Way:
        """Return what a transfer without a daemon goes by."""
        assert self._api is not None  # noqa: S101
        if self._http is None:
            self._http = Lanes()
        return Way(self._api, self._http, self._retry, self._connections)

    async def auth_status(self) -> AuthStatus:
        """Ask the server whom the key belongs to. Raises UnauthorizedError when it doesn't take the key."""
        api, _ = await self.ready()
        return AuthStatus.of(await api.call("try-authentication"))

    async def upload(
        self,
        local_path: str | os.PathLike[str],
        *,
        title: str | None = None,
        owner_type: str = "project",
        owner_id: str | None = None,
        description: str | None = None,
        alias: str | None = None,
        tags: Sequence[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        collection_id: str | None = None,
        asset_id: str | None = None,
        chunk_size_mb: int | None = None,
        on_progress: Tell | None = None,
        transfer_timeout_s: float | None = 3600,
    ) -> UploadResult:
        """Upload a file as an asset; see ParqueueClient.upload."""
        if collection_id is not None:
            if owner_type == "collection" and owner_id not in (None, collection_id):
                raise InvalidRequestError("invalid_request", "owner_id and collection_id name two collections.", "Give one of them.")
            owner_type, owner_id = "collection", collection_id
        if asset_id is not None and owner_id is not None:
            raise InvalidRequestError("invalid_request", "An asset that there is has its owner.", "Give asset_id or an owner.")
        if owner_type not in ("project", "collection"):
            raise InvalidRequestError("invalid_request", f"There is no owner_type {owner_type!r}.", 'It is "project" or "collection".')
        if not owner_id and asset_id is None:
            raise InvalidRequestError("invalid_request", "Nobody was named as the owner.", "Give owner_id, or collection_id.")
        file = await asyncio.to_thread(LocalFile.at, os.fspath(local_path))
        _, daemon = await self.ready()
        size = part_size(file.size, chunk_size_mb << 20 if chunk_size_mb else None)
        said: dict[str, Any] = {
            "title": title,
            "description": description,
            "alias": alias,
            "tags": None if tags is None else list(tags),
            "metadata": None if metadata is None else dict(metadata),
        }
        said = {name: value for name, value in said.items() if value is not None}
        if asset_id is not None and said:
            raise InvalidRequestError(
                "invalid_request", "New content of an asset changes nothing else of it.", "Change that with set_metadata."
            )
        whose = {"asset_id": asset_id} if asset_id is not None else {"owner_type": owner_type, "owner_id": owner_id}
        request: dict[str, Any] = {**whose, **said, "part_size": size}
        if daemon is not None:
            if chunk_size_mb is None:
                del request["part_size"]
            done = await daemon.transfer("upload_asset", {"path": file.path, **request}, on_progress, transfer_timeout_s)
            return _uploaded(done, file)
        request |= {"file_name": file.name, "size_bytes": file.size}
        return await in_time(self._send_asset(file, request, on_progress), transfer_timeout_s)

    async def _send_asset(self, file: LocalFile, request: dict[str, Any], tell: Tell | None) -> UploadResult:
        meter = Meter(tell, 1, file.size)
        meter.begin(0, file.name)
        gate = asyncio.Semaphore(self._connections)
        endpoint = "create-asset-version" if "asset_id" in request else "create-asset"
        sending = Sending(self.way(), file, endpoint, request, gate, lambda n, moved: meter.add(n, moved=moved))
        try:
            answer = await sending.send({})
            meter.file_done(file.name)
        finally:
            meter.end()
        return _uploaded(answer, file)

    async def download(
        self,
        asset_id: str,
        dest_dir: str | os.PathLike[str],
        *,
        version: int | None = None,
        overwrite: bool = False,
        on_progress: Tell | None = None,
        transfer_timeout_s: float | None = 3600,
    ) -> DownloadResult:
        """Download the latest content of an asset, or a version of it; see ParqueueClient.download."""
        _, daemon = await self.ready()
        folder = Path(dest_dir).absolute()
        if daemon is not None:
            request = {"asset_id": asset_id, "version": version, "to": str(folder), "overwrite": overwrite}
            result = await daemon.transfer("download_asset", request, on_progress, transfer_timeout_s)
            return await asyncio.to_thread(downloaded, result, folder)
        return await in_time(self._fetch_asset(asset_id, folder, version, overwrite, on_progress), transfer_timeout_s)

    async def _fetch_asset(self, asset_id: str, folder: Path, version: int | None, overwrite: bool, tell: Tell | None) -> DownloadResult:
        way = self.way()
        asset = await self.get_metadata(asset_id)
        chosen = version or asset.version
        request: dict[str, Any] = {"asset_id": asset_id, "delivery": "url"}
        if chosen is not None:
            request["version"] = chosen
        first = await way.api.call("download-asset", request)
        name = str(first.get("file_name") or asset.file_name)
        wanted = Wanted(
            name,
            f"{asset_id}-{chosen}",
            int(first["size_bytes"]),
            str(first.get("checksum_crc64nvme") or ""),
            lambda: way.api.call("download-asset", request),
        )
        return await download_files(way.client, way.retry, way.connections, [wanted], folder, overwrite, tell)

    async def get_metadata(self, asset_id: str) -> AssetMetadata:
        """Ask what is known of an asset. Raises NotFoundError."""
        api, _ = await self.ready()
        answer = await api.call("get-asset-metadata", {"asset_id": asset_id})
        return read(AssetMetadata, answer, etag=answer.headers.get("ETag"))

    async def set_metadata(self, asset_id: str, *, if_match: str | None = None, **fields: Any) -> AssetMetadata:
        """Change what is known of an asset; see ParqueueClient.set_metadata."""
        unknown = sorted(set(fields) - {"title", "description", "alias", "tags", "metadata"})
        if unknown:
            raise InvalidRequestError(
                "invalid_request",
                f"An asset has no {unknown[0]!r} to set.",
                "There are title, description, alias, tags and metadata.",
            )
        api, _ = await self.ready()
        headers = {"If-Match": if_match} if if_match is not None else {}
        answer = await api.call("set-asset-metadata", {"asset_id": asset_id, **fields}, {**new_key(), **headers})
        return read(AssetMetadata, answer, etag=answer.headers.get("ETag"))

    async def list_assets(
        self, *, owner_type: str | None = None, owner_id: str | None = None, tag: str | None = None, alias: str | None = None
    ) -> list[AssetMetadata]:
        """List assets; see ParqueueClient.list_assets."""
        api, _ = await self.ready()
        wanted = {"owner_type": owner_type, "owner_id": owner_id, "tag": tag, "alias": alias}
        body = {name: value for name, value in wanted.items() if value is not None}
        return [read(AssetMetadata, row) async for row in pages(api, "list-assets", "assets", body, _ASSETS_PAGE)]

    async def asset_versions(self, asset_id: str) -> list[AssetVersion]:
        """List the versions of an asset's content, the latest first."""
        api, _ = await self.ready()
        body = {"asset_id": asset_id}
        return [read(AssetVersion, row) async for row in pages(api, "list-asset-versions", "versions", body, _ASSETS_PAGE)]

    async def delete_asset(self, asset_id: str) -> None:
        """Delete an asset with all versions of its content, for good."""
        api, _ = await self.ready()
        await api.call("delete-asset", {"asset_id": asset_id}, new_key())


def _uploaded(answer: Mapping[str, Any], file: LocalFile) -> UploadResult:
    asset_id = answer.get("asset_id") or answer.get("file_id")
    if not asset_id:
        raise DaemonError(
            "internal",
            "The server did not say what the asset is called.",
            "Use the version of `parqueue` that belongs to the server.",
        )
    version = answer.get("version")
    return UploadResult(str(asset_id), None if version is None else int(version), file.name, file.size)


def downloaded(result: Mapping[str, Any], folder: Path) -> DownloadResult:
    """Read the result of a download of the daemon: it names the files, or the one."""
    rows = result.get("files") or ([result] if result.get("file_name") or result.get("path") else [])
    files = []
    for row in rows:
        path = Path(row.get("path") or row.get("local_path") or folder / row["file_name"])
        files.append(DownloadedFile(path, path.stat().st_size, path.name))
    return DownloadResult(tuple(files))
