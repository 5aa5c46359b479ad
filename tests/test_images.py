"""Images in a result: scaled, shrunk, checked, counted."""

import base64

import pytest
from mcp_types import ImageContent
from PIL import Image

from mcp_notebook.render import outputs_text, render
from tests.samples import (
    HEADER,
    MORE,
    display,
    encoded,
    noise,
    on_the_wire,
    opened,
    output,
    plot,
    stream,
    texts,
)


@pytest.mark.parametrize(
    ("size", "kind", "mode", "shown"),
    [
        ((640, 480), "PNG", "RGB", (640, 480)),
        ((2000, 10), "PNG", "RGBA", (2000, 10)),
        ((4000, 1000), "PNG", "RGBA", (2000, 500)),
        ((1000, 3000), "JPEG", "RGB", (667, 2000)),
        ((3000, 30), "PNG", "P", (2000, 20)),
        ((3000, 30), "PNG", "1", (2000, 20)),
        ((3000, 30), "PNG", "I;16", (2000, 20)),
        ((3000, 30), "JPEG", "CMYK", (2000, 20)),
        ((9000, 1), "PNG", "L", (2000, 1)),
    ],
)
def test_no_side_is_over_2000_pixels(size: tuple[int, int], kind: str, mode: str, shown: tuple[int, int]) -> None:
    """Scaled with its proportions, and said; a smaller image goes out byte for byte."""
    data = encoded(Image.new(mode, size), kind)
    mime = f"image_{kind.lower()}"
    blocks = render(HEADER, [display(**{mime: data + "\n"})], chars=1000, more=MORE)
    assert opened(blocks[-1]).size == shown
    said = f"{size[0]}x{size[1]}, shown as {shown[0]}x{shown[1]}"
    assert (said in texts(blocks)) == (size != shown)
    if size == shown:
        assert isinstance(blocks[-1], ImageContent) and blocks[-1].data == data


def test_an_image_of_16_bits_keeps_its_greys() -> None:
    """Scaling must not clip half of the values to white."""
    data = encoded(Image.new("I;16", (3000, 30), 0x4000))
    blocks = render(HEADER, [display(image_png=data)], chars=1000, more=MORE)
    assert opened(blocks[-1]).convert("L").getpixel((5, 5)) == 0x40


def test_the_type_is_that_of_the_bytes() -> None:
    """A JPEG that was displayed as PNG would be refused by a model's API."""
    blocks = render(HEADER, [display(image_png=encoded(plot(64, 48), "JPEG"))], chars=1000, more=MORE)
    assert isinstance(blocks[-1], ImageContent) and blocks[-1].mime_type == "image/jpeg"


@pytest.mark.parametrize(
    "payload",
    [
        "no base64!",
        "",
        base64.b64encode(b"no image").decode(),
        encoded(noise(64, 64))[:4000],
        encoded(noise(64, 64), "JPEG")[:2000],
        encoded(Image.new("RGB", (9, 9)), "WEBP"),
        encoded(Image.new("1", (8000, 8000))),
        {"not": "a text"},
        None,
    ],
)
def test_a_broken_image_is_a_note(payload: object) -> None:
    """Cut off, of another type, too large to decode, no image at all: said, beside the rest."""
    given = output(output_type="display_data", data={"image/png": payload}, metadata={})
    blocks = render(HEADER, [given, stream("after")], chars=1000, more=MORE)
    assert [block.type for block in blocks] == ["text"]
    assert "[image/png, " in texts(blocks) and texts(blocks).endswith("after")
    assert "[image/png" in outputs_text([given])


def test_at_most_eight_images_and_the_others_named() -> None:
    """A broken one does not count, and however many they are, they take one line."""
    image = display(image_png=encoded(plot(64, 48)))
    blocks = render(HEADER, [display(image_png="?"), *[image] * 10], chars=5000, more=MORE)
    assert [block.type for block in blocks].count("image") == 8
    assert "[2 more images are in the notebook and not shown here: 8 are the most" in texts(blocks)


@pytest.mark.parametrize(
    "images",
    [
        [noise(1500, 1500)],
        [noise(600, 600, seed) for seed in range(8)],
        [plot(2000, 2000), noise(900, 900), plot(64, 48)],
    ],
)
def test_a_message_stays_below_900_kb(images: list[Image.Image]) -> None:
    """With the longest text beside them; each image is whole, and small ones are left alone."""
    outputs = [stream("\u00e9" * 100_000), *(display(image_png=encoded(image)) for image in images)]
    blocks = render(HEADER, outputs, chars=10**6, more=MORE)
    assert on_the_wire(blocks) < 900_000
    shown = [opened(block) for block in blocks if isinstance(block, ImageContent)]
    assert len(shown) == len(images)
    for image, seen in zip(images, shown, strict=True):
        assert min(seen.size) > 100 or seen.size == image.size


def test_a_shrunk_image_keeps_a_white_ground() -> None:
    """JPEG has no transparency, and black behind a plot's axes would hide them."""
    image = noise(1000, 1000).convert("RGBA")
    image.paste((0, 0, 0, 0), (0, 0, 500, 500))
    shown = opened(render(HEADER, [display(image_png=encoded(image))], chars=1000, more=MORE)[-1])
    assert shown.format == "JPEG"
    assert min(shown.getpixel((20, 20))) > 240  # type: ignore[arg-type] # RGB, so a tuple
