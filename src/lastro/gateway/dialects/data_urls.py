"""Pictures whose URL holds the data itself."""

from __future__ import annotations

import re
from typing import Final

from lastro.gateway.dialects.neutral import Image

_DATA_URL: Final = re.compile(r"data:([^;,]*)(?:;[^;,]*)*;base64,(.*)", re.DOTALL)


def image_of_url(url: str) -> Image:
    """A picture as its URL says it, which may hold the data itself."""
    match = _DATA_URL.fullmatch(url)
    return Image(url=url) if match is None else Image(media_type=match[1], data=match[2])


def url_of_image(image: Image) -> str:
    """The URL of a picture, or one that holds its data."""
    return f"data:{image.media_type};base64,{image.data}" if image.data else image.url
