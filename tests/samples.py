"""Outputs and images to test rendering with, and what a test reads off the blocks."""

import base64
import io
import json
import random
from typing import Any

from mcp_types import CallToolResult, ContentBlock, ImageContent, TextContent
from nbformat.notebooknode import from_dict
from PIL import Image, ImageDraw

from mcp_notebook.outputs import Output

HEADER = "[7] ok 0.31 s cell=a1b2c3d4 rev=9f86d081"
MORE = "The rest: get_output(cell_id='a1b2c3d4')"


def output(**fields: Any) -> Output:
    made: Output = from_dict(fields)  # type: ignore[no-untyped-call] # nbformat's own
    return made


def stream(text: str, name: str = "stdout") -> Output:
    return output(output_type="stream", name=name, text=text)


def display(**data: Any) -> Output:
    """A bundle; ``text_plain`` stands for ``text/plain``."""
    bundle = {mime.replace("_", "/", 1): value for mime, value in data.items()}
    return output(output_type="display_data", data=bundle, metadata={})


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> str:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return base64.b64encode(file.getvalue()).decode()


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    """The image that compresses least."""
    return Image.frombytes("RGB", (width, height), random.Random(seed).randbytes(width * height * 3))


def plot(width: int, height: int) -> Image.Image:
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    for x in range(0, width, 7):
        draw.line((x, height // 2, x + 5, x * 31 % height), fill="navy")
    return image


def opened(block: ContentBlock) -> Image.Image:
    """The image of a block, whole and of the type that it says."""
    assert isinstance(block, ImageContent)
    image = Image.open(io.BytesIO(base64.b64decode(block.data, validate=True)))
    image.load()
    assert block.mime_type == f"image/{str(image.format).lower()}"
    return image


def texts(blocks: list[ContentBlock]) -> str:
    return "\n".join(block.text for block in blocks if isinstance(block, TextContent))


def on_the_wire(blocks: list[ContentBlock]) -> int:
    """Bytes of the result, with everything beyond ASCII escaped: the longest a message gets."""
    return len(json.dumps(CallToolResult(content=blocks).model_dump(mode="json", by_alias=True)))
