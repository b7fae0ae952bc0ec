"""As much of the Cloud Storage JSON API as reading exported files, and uploading others, takes.

gcsfs reads from here with `gcsfs.core.GCSFileSystem(endpoint_url=server.url)`. Its default class first asks
over gRPC, not spoken here, what kind a bucket is, and gives up after 60 s; the environment variable
GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT=false, set before gcsfs is imported, spares that.
"""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Any, Final
from urllib.parse import quote

import google_crc32c

from tests.support.ee_emulator.faults import Refusal

PAGE: Final = 1000
"""Most entries of one page of a list."""


@dataclass(frozen=True)
class Blob:
    """One object."""

    data: bytes
    generation: int
    created: str


class Storage:
    """Buckets and their objects; safe in threads. Every bucket exists that is not said to be missing."""

    def __init__(self) -> None:
        self._buckets: dict[str, dict[str, Blob]] = {}
        self._generations = count(1_700_000_000_000_001)
        self._lock = threading.Lock()
        self.missing_buckets: set[str] = set()
        """Buckets that do not exist."""
        self.locked_buckets: set[str] = set()
        """Buckets that exist and may be read only."""
        self._uploads: dict[str, bytes] = {}
        """What has come of each resumable upload, by its id."""

    def put(self, bucket: str, name: str, data: bytes) -> None:
        """Write an object, over one of the same name."""
        created = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        with self._lock:
            self._buckets.setdefault(bucket, {})[name] = Blob(data, next(self._generations), created)

    def upload(self, bucket: str, name: str, data: bytes) -> None:
        """Write an object as a client does."""
        self.require_writable(bucket)
        self.put(bucket, name, data)

    def begin_upload(self, bucket: str) -> str:
        """The id of a resumable upload."""
        self.require_writable(bucket)
        with self._lock:
            name = f"upload{len(self._uploads)}"
            self._uploads[name] = b""
            return name

    def go_on_with(self, upload: str, data: bytes) -> bytes:
        """All that has come of a resumable upload, with one part more."""
        with self._lock:
            self._uploads[upload] += data
            return self._uploads[upload]

    def require_writable(self, bucket: str) -> None:
        """Refuse a bucket that is not there or may not be written to."""
        self._bucket(bucket)
        if bucket in self.locked_buckets:
            raise Refusal(
                403,
                "The caller does not have storage.objects.create access to the Google Cloud Storage object. "
                f"Permission 'storage.objects.create' denied on resource (or it may not exist): {bucket}.",
            )

    def get(self, bucket: str, name: str) -> bytes:
        """Bytes of an object."""
        return self._blob(bucket, name).data

    def delete(self, bucket: str, name: str) -> None:
        """Remove an object."""
        self._blob(bucket, name)
        with self._lock:
            del self._buckets[bucket][name]

    def names(self, bucket: str, prefix: str = "") -> list[str]:
        """Sorted names of the objects that begin with `prefix`."""
        with self._lock:
            return sorted(name for name in self._buckets.get(bucket, {}) if name.startswith(prefix))

    def metadata(self, bucket: str, name: str, url: str) -> dict[str, Any]:
        """The object's resource."""
        blob = self._blob(bucket, name)
        crc = google_crc32c.value(blob.data).to_bytes(4, "big")
        path = f"b/{bucket}/o/{quote(name, safe='')}"
        return {
            "kind": "storage#object",
            "id": f"{bucket}/{name}/{blob.generation}",
            "selfLink": f"{url}/storage/v1/{path}",
            "mediaLink": f"{url}/download/storage/v1/{path}?generation={blob.generation}&alt=media",
            "name": name,
            "bucket": bucket,
            "generation": str(blob.generation),
            "metageneration": "1",
            "contentType": "image/tiff",
            "storageClass": "STANDARD",
            "size": str(len(blob.data)),
            "md5Hash": base64.b64encode(hashlib.md5(blob.data).digest()).decode(),
            "crc32c": base64.b64encode(crc).decode(),
            "timeCreated": blob.created,
            "updated": blob.created,
        }

    def listing(self, bucket: str, query: Mapping[str, str], url: str) -> dict[str, Any]:
        """One page of a list: prefix, delimiter, maxResults, pageToken, startOffset and endOffset."""
        self._bucket(bucket)
        entries = self._entries(bucket, query)
        token = base64.b64decode(query.get("pageToken", "")).decode()
        entries = [entry for entry in entries if entry > token]
        size = min(int(query.get("maxResults", PAGE)), PAGE)
        page, rest = entries[:size], entries[size:]
        delimiter = query.get("delimiter")
        prefixes = [entry for entry in page if delimiter and entry.endswith(delimiter)]
        items = [self.metadata(bucket, entry, url) for entry in page if entry not in prefixes]
        answer: dict[str, Any] = {"kind": "storage#objects"}
        answer |= {"items": items} if items else {}
        answer |= {"prefixes": prefixes} if prefixes else {}
        answer |= {"nextPageToken": base64.b64encode(page[-1].encode()).decode()} if rest else {}
        return answer

    def bucket_metadata(self, bucket: str) -> dict[str, Any]:
        """The bucket's resource."""
        self._bucket(bucket)
        return {"kind": "storage#bucket", "id": bucket, "name": bucket, "location": "US"}

    def _entries(self, bucket: str, query: Mapping[str, str]) -> list[str]:
        """Names and, with a delimiter, common prefixes in one sorted list."""
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter")
        start, end = query.get("startOffset", ""), query.get("endOffset")
        names = [n for n in self.names(bucket, prefix) if n >= start and (not end or n < end)]
        if not delimiter:
            return names
        entries = set()
        for name in names:
            head, found, _ = name[len(prefix) :].partition(delimiter)
            entries.add(prefix + head + found)
        return sorted(entries)

    def _bucket(self, bucket: str) -> dict[str, Blob]:
        if bucket in self.missing_buckets:
            raise Refusal(404, "The specified bucket does not exist.")
        return self._buckets.get(bucket, {})

    def _blob(self, bucket: str, name: str) -> Blob:
        blob = self._bucket(bucket).get(name)
        if blob is None:
            raise Refusal(404, f"No such object: {bucket}/{name}")
        return blob
