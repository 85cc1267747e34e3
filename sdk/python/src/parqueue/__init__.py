"""Parqueue: datasets that are Parquet files in order, and assets of any format.

::

    from parqueue import ParqueueClient

    with ParqueueClient() as client:
        dataset = client.datasets.create("week 47")
        client.datasets.upload(dataset, "days/")

See ParqueueClient, AsyncParqueueClient, and ParqueueError for what can go wrong.
"""

from ._async_client import AsyncParqueueClient
from ._async_datasets import AsyncDatasets
from ._client import DataEraiClient, ParqueueClient
from ._datasets import Datasets
from ._exceptions import (
    ChecksumMismatchError,
    ConflictError,
    ConnectionError,
    DaemonError,
    DaemonTimeoutError,
    ForbiddenError,
    InvalidFileError,
    InvalidRequestError,
    NotFoundError,
    ParqueueError,
    SchemaMismatchError,
    ServerError,
    TooLargeError,
    UnauthorizedError,
)
from ._models import (
    AssetMetadata,
    AssetVersion,
    AuthStatus,
    Dataset,
    DatasetFile,
    DatasetUploadResult,
    DownloadedFile,
    DownloadResult,
    ProgressEvent,
    UploadResult,
)
from ._reading import OpenDataset, OpenFile
from ._retry import Retry
from ._version import __version__

__all__ = [
    "AssetMetadata",
    "AssetVersion",
    "AsyncDatasets",
    "AsyncParqueueClient",
    "AuthStatus",
    "ChecksumMismatchError",
    "ConflictError",
    "ConnectionError",
    "DaemonError",
    "DaemonTimeoutError",
    "DataEraiClient",
    "Dataset",
    "DatasetFile",
    "DatasetUploadResult",
    "Datasets",
    "DownloadResult",
    "DownloadedFile",
    "ForbiddenError",
    "InvalidFileError",
    "InvalidRequestError",
    "NotFoundError",
    "OpenDataset",
    "OpenFile",
    "ParqueueClient",
    "ParqueueError",
    "ProgressEvent",
    "Retry",
    "SchemaMismatchError",
    "ServerError",
    "TooLargeError",
    "UnauthorizedError",
    "UploadResult",
    "__version__",
]

for _name in __all__:
    if getattr(globals()[_name], "__module__", "").startswith("parqueue._"):
        globals()[_name].__module__ = "parqueue"
del _name
