"""Tells content apart by ETags, as they can be compared."""

import re

_MD5 = re.compile(r"[0-9a-f]{32}")


def bare_etag(etag: str | None) -> str:
    """Returns an ETag without what stores and proxies put around it, "" for an unknown one.

    Args:
        etag: as an answer has it: quoted, unquoted or weak; None if it has none.
    """
    return (etag or "").strip().removeprefix("W/").strip('"')


def differ(etag: str, other: str) -> bool:
    """Tells if two bare ETags are known to be of different contents."""
    return bool(etag and other and etag != other)


def is_md5(etag: str) -> bool:
    """Tells if a bare ETag can be the MD5 of the content: that of a multipart upload has a `-`."""
    return _MD5.fullmatch(etag.lower()) is not None
