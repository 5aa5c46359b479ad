"""Make images fit into an answer: at most so many pixels a side, so many bytes in all.

Pure and CPU-heavy: call it from a thread. The images in the document are not changed.
Costs an import of Pillow, so it is imported when the first image is met.
"""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageOps

MOST_PIXELS_A_SIDE = 2000
MOST_PIXELS = 50_000_000
"""A larger one is not decoded: it would take 200 MB and more."""
COLOURS_OF_A_PLOT = 16_384
"""An image of more is a photograph or noise, of which a palette makes nothing smaller, and that slowly."""
_FORMATS = {"PNG": "image/png", "JPEG": "image/jpeg", "MPO": "image/jpeg"}
_MODES = ("L", "LA", "RGB", "RGBA")
_BROKEN = (
    OSError,
    ValueError,
    SyntaxError,  # Pillow's word for a PNG of broken chunks
    EOFError,
)
_TOO_LARGE = (
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,  # raised where warnings are errors
)


class ImageError(Exception):
    """Not an image that can be shown; the message says why, in a few words."""


@dataclass(frozen=True)
class Picture:
    """An image as it will be sent; ``original`` is its size (width, height) in the document."""

    data: str
    """Base64."""
    mime: str
    size: tuple[int, int]
    original: tuple[int, int]

    @property
    def note(self) -> str:
        """What the reader must know about what was changed; empty if nothing was."""
        if self.size == self.original:
            return ""
        return f"[image {_times(self.original)}, shown as {_times(self.size)}]"


def label(mime: str, payload: object) -> str:
    """``[image/png 640x480]``, or why it cannot be shown; decodes no more than its header."""
    try:
        return f"[{mime} {_times(_opened(_decoded(payload)).size)}]"
    except ImageError as exc:
        return f"[{mime}, {exc}]"


def read(payload: object) -> Picture:
    """Decode base64 and check the whole image, since a broken one spoils a conversation.

    The mime type is the one that the bytes have, whatever the bundle said.

    Raises:
        ImageError
    """
    raw = _decoded(payload)
    image = _loaded(raw)
    mime = _FORMATS[str(image.format)]
    if max(image.size) <= MOST_PIXELS_A_SIDE:
        return Picture(_encoded(raw), mime, image.size, image.size)
    upright = _upright(image)
    scale = MOST_PIXELS_A_SIDE / max(upright.size)
    smaller = upright.resize(_times_scale(upright.size, scale))
    return Picture(_encoded(_saved(smaller, mime)), mime, smaller.size, upright.size)


def fit(pictures: Sequence[Picture], limit: int) -> list[Picture]:
    """The same images with at most ``limit`` characters of base64 in all; the largest shrink."""
    share = _share([len(picture.data) for picture in pictures], limit)
    return [picture if len(picture.data) <= share else _shrunk(picture, share) for picture in pictures]


def _decoded(payload: object) -> bytes:
    if isinstance(payload, list):
        payload = "".join(str(part) for part in payload)
    if not isinstance(payload, str):
        raise ImageError("not base64")
    try:
        return base64.b64decode("".join(payload.split()), validate=True)
    except ValueError as exc:
        raise ImageError("not base64") from exc


def _opened(raw: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(raw), formats=("PNG", "JPEG"))
    except _TOO_LARGE as exc:
        raise ImageError(f"{kilobytes(len(raw))}, of too many pixels to be shown") from exc
    except _BROKEN as exc:
        raise ImageError(f"{kilobytes(len(raw))}, broken") from exc


def _loaded(raw: bytes) -> Image.Image:
    image = _opened(raw)
    if image.width * image.height > MOST_PIXELS:
        raise ImageError(f"{_times(image.size)}, too large to be shown")
    try:
        image.load()
    except _BROKEN as exc:
        raise ImageError(f"{kilobytes(len(raw))}, broken") from exc
    return image


def _share(sizes: list[int], limit: int) -> int:
    """The most that one may have: what the small ones leave over goes to the large ones."""
    left = limit
    for index, size in enumerate(sorted(sizes)):
        share = left // (len(sizes) - index)
        if size > share:
            return share
        left -= size
    return limit


def _shrunk(picture: Picture, limit: int) -> Picture:
    """As JPEG, as PNG of 256 colours (plots get smaller so), else with fewer pixels."""
    image = _on_white(_upright(_loaded(base64.b64decode(picture.data))))
    scale = 1.0
    while True:
        size = _times_scale(image.size, scale)
        data = _encoded(_saved(image if scale == 1.0 else image.resize(size), "image/jpeg"))
        if len(data) <= limit or size == (1, 1):
            return Picture(data, "image/jpeg", size, picture.original)
        if scale == 1.0 and image.getcolors(COLOURS_OF_A_PLOT):
            palette = _encoded(_saved(image.quantize(256), "image/png"))
            if len(palette) <= limit:
                return Picture(palette, "image/png", size, picture.original)
        scale *= min(0.8, (limit / len(data)) ** 0.5)


def _times_scale(size: tuple[int, int], scale: float) -> tuple[int, int]:
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _upright(image: Image.Image) -> Image.Image:
    """Turned as the camera says, since saving forgets it, and in a mode that can be scaled."""
    turned = ImageOps.exif_transpose(image)
    if turned.mode.startswith("I"):
        # convert() would clip 16 bits at 255, and leave a white image.
        turned = turned.point(lambda value: value * (1 / 256)).convert("L")
    if turned.mode in _MODES:
        return turned
    return turned.convert("RGBA" if turned.has_transparency_data else "RGB")


def _on_white(image: Image.Image) -> Image.Image:
    """RGB: JPEG has no transparency."""
    layers = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layers.size, "white"), layers).convert("RGB")


def _saved(image: Image.Image, mime: str) -> bytes:
    file = io.BytesIO()
    if mime == "image/jpeg":
        (image if image.mode in ("L", "RGB") else image.convert("RGB")).save(file, "JPEG", quality=85)
    else:
        image.save(file, "PNG")
    return file.getvalue()


def _encoded(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def _times(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def kilobytes(count: int) -> str:
    """A size in bytes as people read it."""
    return f"{count} bytes" if count < 1000 else f"{count / 1000:,.0f} kB"
