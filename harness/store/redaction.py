"""What is not passed on: user names and passwords in addresses."""

from __future__ import annotations

import re

_CREDENTIALS = re.compile(r"(?<=//)[^/@\s]+(?=@)")


def redact(text: str) -> str:
    """Hide user names and passwords in URLs: pages get mailed around, servers have other users."""
    return _CREDENTIALS.sub("…", text)
