"""What calls return."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


def moment(text: str | None) -> datetime | None:
    """Read a time of the API, which is RFC 3339 in UTC."""
    if not text:
        return None
    head, _, fraction = text.removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{head}.{fraction[:6]:0<6}+00:00")


@dataclass(frozen=True)
class ProgressEvent:
    """How far a transfer has come.

    Attributes:
        bytes_done: bytes that the other side has; those of an attempt that fails are taken off again.
        bytes_total: bytes in all.
        file_name: the file that it is about, or the first of those under way, or "".
        files_done: files that are where they were to go.
        files_total: files in all.
        bytes_per_second: the rate over the last seconds; 0 while it can't be told.

    """

    bytes_done: int
    bytes_total: int
    file_name: str = ""
    files_done: int = 0
    files_total: int = 0
    bytes_per_second: float = 0

    @property
    def percent(self) -> float:
        """How much is done, from 0 to 100, which it also is when there is nothing to do."""
        return 100.0 if self.bytes_total == 0 else 100.0 * self.bytes_done / self.bytes_total

    @property
    def rate_mbps(self) -> float:
        """The rate in megabits (10⁶ bits) per second."""
        return self.bytes_per_second * 8 / 1e6


@dataclass(frozen=True)
class AuthStatus:
    """Who is signed in.

    Attributes:
        authenticated: the server takes the key; a call with one that it doesn't take fails instead.
        tenant: whose the key is.
        scopes: what the key may do: ``read``, ``write``, ``admin``.
        user_email: the tenant, if that is an address; Parqueue's keys have no person.
        expires_at: when the key ends, if the server says so; also as ``token_expires_at``.

    """

    authenticated: bool
    tenant: str
    scopes: tuple[str, ...]
    user_email: str | None = None
    expires_at: datetime | None = None

    @property
    def token_expires_at(self) -> datetime | None:
        """The same as ``expires_at``."""
        return self.expires_at

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> AuthStatus:
        """Read an answer of try-authentication."""
        tenant = str(answer.get("tenant", ""))
        return cls(
            authenticated=bool(answer.get("authenticated")),
            tenant=tenant,
            scopes=tuple(answer.get("scopes") or ()),
            user_email=tenant if "@" in tenant else None,
            expires_at=moment(answer.get("expires_at")),
        )


@dataclass(frozen=True)
class UploadResult:
    """An asset that was uploaded.

    Attributes:
        asset_id: what to download it by, or to give it new content.
        version: of the content; the first is 1. None where the server does not say.
        file_name: of the content.
        size_bytes: of the content.

    """

    asset_id: str
    version: int | None = None
    file_name: str = ""
    size_bytes: int = 0


@dataclass(frozen=True)
class DownloadedFile:
    """A file that is in the folder now."""

    local_path: Path
    size: int
    file_name: str = ""


@dataclass(frozen=True)
class DownloadResult:
    """What was downloaded, in order; files that were there already count."""

    files: tuple[DownloadedFile, ...]


@dataclass(frozen=True)
class AssetMetadata:
    """What is known of an asset.

    ``etag`` changes whenever any of it changes; give it to ``set_metadata`` as ``if_match`` so as to change nothing that
    somebody else has changed meanwhile.
    """

    asset_id: str
    owner_type: str = ""
    owner_id: str = ""
    title: str | None = None
    description: str | None = None
    alias: str | None = None
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    file_name: str = ""
    size_bytes: int = 0
    checksum_crc64nvme: str | None = None
    version: int | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    etag: str | None = None


@dataclass(frozen=True)
class AssetVersion:
    """A version of an asset's content."""

    version: int
    file_name: str = ""
    size_bytes: int = 0
    checksum_crc64nvme: str | None = None
    created_at: datetime | None = None


@dataclass(frozen=True)
class Dataset:
    """A dataset: files in order that share one schema.

    A listing leaves ``version``, ``next_position`` and ``metadata`` out. ``schema`` is as the API shows it: ``{"fields": […]}``.
    """

    dataset_id: str
    name: str = ""
    file_count: int = 0
    row_count: int = 0
    total_size_bytes: int = 0
    schema: Mapping[str, Any] = field(default_factory=dict)
    created_at: datetime | None = None
    updated_at: datetime | None = None
    version: int | None = None
    next_position: int | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class DatasetFile:
    """A file of a dataset. Its position never changes."""

    file_name: str
    file_id: str = ""
    position: int = 0
    size_bytes: int = 0
    row_count: int = 0
    checksum_crc64nvme: str = ""
    uploaded_at: datetime | None = None


@dataclass(frozen=True)
class DatasetUploadResult:
    """What came of an upload to a dataset.

    Attributes:
        dataset_id: the dataset.
        uploaded_count: files that are in the dataset now and were not before.
        skipped_count: files that the dataset had already, with the same bytes.
        uploaded_bytes: of the files that were not there.
        sent_bytes: bytes that went over the network, again or not.
        first_position: of the files that were uploaded, or None without any.
        last_position: the same.

    """

    dataset_id: str
    uploaded_count: int = 0
    skipped_count: int = 0
    uploaded_bytes: int = 0
    sent_bytes: int = 0
    first_position: int | None = None
    last_position: int | None = None

    def __add__(self, other: DatasetUploadResult) -> DatasetUploadResult:
        first = self.first_position if self.first_position is not None else other.first_position
        last = other.last_position if other.last_position is not None else self.last_position
        return DatasetUploadResult(
            self.dataset_id,
            self.uploaded_count + other.uploaded_count,
            self.skipped_count + other.skipped_count,
            self.uploaded_bytes + other.uploaded_bytes,
            self.sent_bytes + other.sent_bytes,
            first,
            last,
        )


def read(kind: type[T], answer: Mapping[str, Any], **more: Any) -> T:
    """Make a result of an answer: members that it does not know are left out, which a newer server may send."""
    values: dict[str, Any] = {}
    for f in fields(kind):  # type: ignore[arg-type]
        value = {**answer, **more}.get(f.name)
        if value is None:
            continue
        if f.name.endswith("_at"):
            value = moment(value)
        elif isinstance(value, list):
            value = tuple(value)
        values[f.name] = value
    return kind(**values)
