"""The blocking client."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar

from ._async_client import AsyncParqueueClient
from ._datasets import Datasets
from ._loop import LoopThread
from ._models import AssetMetadata, AssetVersion, AuthStatus, DownloadResult, ProgressEvent, UploadResult
from ._progress import Tell, bar_for, nobody
from ._retry import Retry

T = TypeVar("T")


class ParqueueClient:
    """A client that blocks until what was asked is done. It works in notebooks, and from several threads at once.

    ::

        with ParqueueClient() as client:
            result = client.upload("data.parquet", title="Data", owner_type="project", owner_id="p1")

    Transfers are the daemon's, which survives this process; it is started when it isn't running. Where the program ``parqueue`` is
    not installed, or with ``daemon=False``, this process speaks to the server itself.

    Args:
        url: the server. Without it, that of ``PARQUEUE_URL``, or of whom ``parqueue auth login`` signed in.
        api_key: a key to it. Without it, that of ``PARQUEUE_API_KEY`` or of who is signed in.
        profile: which of those that are signed in; otherwise ``PARQUEUE_PROFILE``, or ``default``.
        daemon: True to fail without one, False to do without, None to use it where the program is found.
        binary_path: where ``parqueue`` is, if not on PATH.
        connections: at once, without a daemon; from 1 to 64.
        allow_http: send the key over plain HTTP to another machine.
        retry: how what failed is tried again.

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
        self._core = AsyncParqueueClient(
            url,
            api_key,
            profile=profile,
            daemon=daemon,
            binary_path=binary_path,
            connections=connections,
            allow_http=allow_http,
            retry=retry,
        )
        self._thread: LoopThread | None = None
        self.datasets = Datasets(self)
        """The datasets of the server."""

    def __repr__(self) -> str:
        return repr(self._core).replace("AsyncParqueueClient", type(self).__name__)

    def __enter__(self) -> ParqueueClient:
        self.connect()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _loop(self) -> LoopThread:
        if self._thread is None:
            self._thread = LoopThread()
        return self._thread

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop().run(work)

    def _observe(self, work: Callable[[Tell], Coroutine[Any, Any, T]], what: str, on_progress: Tell | None, progress: bool | None) -> T:
        bar = bar_for(what, progress, on_progress)

        def observer(event: ProgressEvent) -> None:
            if bar is not None:
                bar(event)
            (on_progress or nobody)(event)

        try:
            return self._loop().observe(work, observer)
        finally:
            if bar is not None:
                bar.close()

    def connect(self) -> None:
        """Find the daemon and start it if it isn't running; without one find out who is signed in.

        Every call does so by itself. It may be repeated.

        Raises:
            ConnectionError: there is no daemon and there has to be one, or it does not start.
            UnauthorizedError: nobody is signed in; a daemon says so later.

        """
        self._run(self._core.connect())

    def close(self) -> None:
        """Let go of connections. Transfers of the daemon go on. It may be repeated."""
        if self._thread is None:
            return
        self._run(self._core.close())
        self._thread.close()
        self._thread = None

    def auth_status(self) -> AuthStatus:
        """Ask the server whom the key belongs to. Raises UnauthorizedError when it doesn't take the key."""
        return self._run(self._core.auth_status())

    def upload(
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
        progress: bool | None = None,
    ) -> UploadResult:
        """Upload a file of any format as an asset.

        After an interruption the same call goes on where it was.

        Args:
            local_path: the file.
            title: for people.
            owner_type: ``project`` or ``collection``. A dataset is a collection: with its id the file becomes the next one in it.
            owner_id: whose it is.
            description: for people.
            alias: a name that is unique in its owner.
            tags: to find it by.
            metadata: a JSON object of up to 64 KiB.
            collection_id: the same as owner_type ``collection`` and owner_id, and wins over an owner that is a project.
            asset_id: an asset that there is, which gets new content; then without an owner, and all else of it stays.
            chunk_size_mb: size of the parts that it travels in, in MiB, from 5.
            on_progress: called with a ProgressEvent several times a second, in this thread.
            transfer_timeout_s: raise DaemonTimeoutError after so many seconds.
            progress: show a bar by tqdm: True, False, or None for where tqdm is installed and on_progress is not given.

        """

        def work(tell: Tell) -> Coroutine[Any, Any, UploadResult]:
            return self._core.upload(
                local_path,
                title=title,
                owner_type=owner_type,
                owner_id=owner_id,
                description=description,
                alias=alias,
                tags=tags,
                metadata=metadata,
                collection_id=collection_id,
                asset_id=asset_id,
                chunk_size_mb=chunk_size_mb,
                on_progress=tell,
                transfer_timeout_s=transfer_timeout_s,
            )

        return self._observe(work, "upload", on_progress, progress)

    def download(
        self,
        asset_id: str,
        dest_dir: str | os.PathLike[str],
        *,
        version: int | None = None,
        overwrite: bool = False,
        on_progress: Tell | None = None,
        transfer_timeout_s: float | None = 3600,
        progress: bool | None = None,
    ) -> DownloadResult:
        """Download the latest content of an asset into a folder; it resumes by itself.

        Args:
            asset_id: which one.
            dest_dir: the folder; it is made.
            version: another content than the latest.
            overwrite: replace another file that has its name.
            on_progress: called with a ProgressEvent several times a second, in this thread.
            transfer_timeout_s: raise DaemonTimeoutError after so many seconds.
            progress: show a bar by tqdm: True, False, or None for where tqdm is installed and on_progress is not given.

        """

        def work(tell: Tell) -> Coroutine[Any, Any, DownloadResult]:
            return self._core.download(
                asset_id,
                dest_dir,
                version=version,
                overwrite=overwrite,
                on_progress=tell,
                transfer_timeout_s=transfer_timeout_s,
            )

        return self._observe(work, "download", on_progress, progress)

    def get_metadata(self, asset_id: str) -> AssetMetadata:
        """Ask what is known of an asset. Raises NotFoundError."""
        return self._run(self._core.get_metadata(asset_id))

    def set_metadata(self, asset_id: str, *, if_match: str | None = None, **fields: Any) -> AssetMetadata:
        """Change what is known of an asset: title, description, alias, tags, metadata.

        None clears one; what is left out stays. With the ``etag`` of an AssetMetadata as if_match, ConflictError is raised when
        something has changed since.
        """
        return self._run(self._core.set_metadata(asset_id, if_match=if_match, **fields))

    def list_assets(
        self, *, owner_type: str | None = None, owner_id: str | None = None, tag: str | None = None, alias: str | None = None
    ) -> list[AssetMetadata]:
        """List the assets that match all that is given; without ``metadata``, for which ask get_metadata."""
        return self._run(self._core.list_assets(owner_type=owner_type, owner_id=owner_id, tag=tag, alias=alias))

    def asset_versions(self, asset_id: str) -> list[AssetVersion]:
        """List the versions of an asset's content, the latest first."""
        return self._run(self._core.asset_versions(asset_id))

    def delete_asset(self, asset_id: str) -> None:
        """Delete an asset with all versions of its content, for good."""
        self._run(self._core.delete_asset(asset_id))


DataEraiClient = ParqueueClient
"""ParqueueClient, under the name that programs for DataErai know it by."""
