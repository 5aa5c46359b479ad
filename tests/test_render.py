"""Outputs as content blocks: which text stands for them, how it is cut, in which order it comes."""

import base64
import json

import pytest
from PIL import Image

from mcp_notebook.outputs import Output
from mcp_notebook.render import header_line, output_text, outputs_text, render, shortened
from tests.samples import HEADER, MORE, display, encoded, output, plot, stream, texts


@pytest.mark.parametrize(
    ("count", "status", "elapsed_s", "more", "line"),
    [
        (7, "ok", 0.312, "", "[7] ok 0.31 s cell=a1b2c3d4 rev=9f86d081"),
        (None, "queued", None, "", "[ ] queued cell=a1b2c3d4 rev=9f86d081"),
        (
            12,
            "running",
            45.0,
            "execution_id=e1",
            "[12] running 45.00 s cell=a1b2c3d4 rev=9f86d081 execution_id=e1",
        ),
    ],
)
def test_the_header_is_one_line(count: int | None, status: str, elapsed_s: float | None, more: str, line: str) -> None:
    """Programs read it, so its form is fixed."""
    made = header_line(
        execution_count=count,
        status=status,
        elapsed_s=elapsed_s,
        cell_id="a1b2c3d4",
        revision="9f86d081",
        more=more,
    )
    assert made == line


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (stream("\x1b[31mred\x1b[0m\x07"), "red"),
        (stream("10%\r50%\rdone\n"), "done\n"),
        (output(output_type="stream", name="stdout", text=["a\n", "b"]), "a\nb"),
        (stream("a\ud800b"), "a\ufffdb"),
        (stream("\ud83d\ude00"), "\U0001f600"),
        (display(text_plain="   a\n0  1", text_html="<table><tr><td>1</td></tr></table>"), "   a\n0  1"),
        (display(text_plain="<IPython.core.display.HTML object>", text_html="<b>bold</b> word"), "bold word"),
        (display(text_html="<style>p{}</style><p>one</p><script>x()</script><p>two &amp; 3"), "one\ntwo & 3"),
        (
            display(text_html="<table>\n<tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table>"),
            "a | b\n1 | 2",
        ),
        (display(text_plain="<Markdown object>", text_markdown="**hi**"), "**hi**"),
        (display(text_latex="$x^2$"), "$x^2$"),
        (display(text_plain="x**2", text_latex="$x^2$"), "x**2"),
        (display(application_json={"a": [1]}), '{\n "a": [\n  1\n ]\n}'),
        (display(text_plain="<Thing at 0x7f>"), "<Thing at 0x7f>"),
        (display(text_plain="[1, 2]", **{"application_vnd.x+json": {"a": 1}}), "[1, 2]"),
        (output(output_type="display_data", data={}, metadata={}), ""),
        (output(output_type="error", ename="E", evalue="why", traceback=[]), "E: why"),
    ],
)
def test_one_output_is_told_by_its_best_text(given: Output, text: str) -> None:
    """Plain text when it says something, else what stands beside it; never escape sequences."""
    assert output_text(given) == text


@pytest.mark.parametrize(
    ("mime", "payload"),
    [
        ("image/svg+xml", "<svg/>"),
        ("image/gif", encoded(Image.new("P", (9, 9)), "GIF")),
        ("image/webp", encoded(Image.new("RGB", (9, 9)), "WEBP")),
        ("application/pdf", base64.b64encode(b"%PDF-1.4").decode()),
        ("application/vnd.plotly.v1+json", {"data": [1, 2]}),
    ],
)
def test_what_clients_do_not_show_is_named(mime: str, payload: object) -> None:
    """With its size, and where it is; the bare name of the object is left out."""
    given = output(output_type="display_data", data={mime: payload}, metadata={})
    blocks = render(HEADER, [given], chars=1000, more=MORE)
    assert len(blocks) == 1
    assert f"[{mime}, " in texts(blocks) and "bytes" in texts(blocks) and "resource" in texts(blocks)


def test_outputs_begin_lines_and_images_are_named() -> None:
    """What get_output pages through: one text, the same each time."""
    given = [
        stream("no newline"),
        stream("warned\n", "stderr"),
        display(text_plain="<Figure size 64x48 with 1 Axes>", image_png=encoded(plot(64, 48))),
        display(text_plain="42"),
    ]
    assert outputs_text(given) == "no newline\nwarned\n[image/png 64x48]\n42"


def test_text_becomes_as_few_blocks_as_images_allow() -> None:
    """One block without images; one before and one behind an image, in the order of the outputs."""
    image = display(image_png=encoded(plot(64, 48)))
    assert [block.type for block in render(HEADER, [stream("a"), stream("b")], chars=1000, more=MORE)] == ["text"]
    blocks = render(HEADER, [stream("a"), display(text_plain="b"), image, stream("c")], chars=1000, more=MORE)
    assert [block.type for block in blocks] == ["text", "image", "text"]
    assert texts(blocks) == f"{HEADER}\na\nb\nc"
    assert texts(render(HEADER, [], chars=1000, more=MORE)) == HEADER


def test_images_are_named_instead_when_not_wanted() -> None:
    """For a client without images."""
    blocks = render(HEADER, [display(image_png=encoded(plot(64, 48)))], chars=1000, more=MORE, images=False)
    assert texts(blocks) == f"{HEADER}\n[image/png 64x48]"


def test_a_cut_keeps_head_and_tail_in_whole_lines() -> None:
    """60 and 40 percent; what is left out is counted exactly, and the last line is the call."""
    text = "".join(f"line {number}\n" for number in range(10_000))
    shown = texts(render(HEADER, [stream(text)], chars=2000, more=MORE)).split("\n")
    assert shown[0] == HEADER and shown[-1] == MORE
    note = next(index for index, line in enumerate(shown) if "left out" in line)
    head, tail = "\n".join(shown[1:note]) + "\n", "\n".join(shown[note + 1 : -1]) + "\n"
    assert text.startswith(head) and text.endswith(tail)
    chars, lines = len(text) - len(head + tail), 10_000 - head.count("\n") - tail.count("\n")
    assert f"{chars:,} characters ({lines:,} lines)" in shown[note]
    assert 0.5 < len(head) / len(head + tail) < 0.7


@pytest.mark.parametrize(
    "text", ["x" * 10**6, "\u20ac" * 10**5, "\U0001f600\n" * 10**5, "a\ud800" * 10**5, '"\\' * 10**5]
)
@pytest.mark.parametrize("chars", [0, 500, 20_000, 10**9])
def test_text_stays_within_its_limits(text: str, chars: int) -> None:
    """In characters, and in bytes whatever was asked for; and it can always be encoded."""
    blocks = render(HEADER, [stream(text), display(text_plain=text)], chars=chars, more=MORE)
    shown = texts(blocks)
    assert len(shown) <= max(chars, 250)
    assert len(shown.encode()) <= 60_000
    assert shown.startswith(HEADER) and shown.endswith(MORE)


def test_text_within_its_limit_is_whole() -> None:
    """No note and no call where nothing was left out."""
    assert texts(render(HEADER, [stream("x" * 800)], chars=1000, more=MORE)) == f"{HEADER}\n{'x' * 800}"


def test_images_in_what_is_left_out_are_still_shown() -> None:
    """The text around an image is cut, the image is not."""
    image = display(image_png=encoded(plot(64, 48)))
    blocks = render(HEADER, [stream("a\n" * 5000), image, stream("b\n" * 5000)], chars=1000, more=MORE)
    assert [block.type for block in blocks] == ["text", "image", "text"]
    assert texts(blocks).endswith(MORE)


def test_a_text_is_shortened_only_when_it_is_too_long() -> None:
    """The exact limit is still whole."""
    assert shortened("x" * 500, 500) == "x" * 500
    assert len(shortened("x" * 501, 500)) < 500
    assert len(shortened("\u20ac" * 1000, 10_000, 300).encode()) <= 300


def test_the_outputs_are_not_changed() -> None:
    """The document keeps every byte: scaling, cutting and stripping are for the answer alone."""
    given = [
        stream("\x1b[31mx\x1b[0m\ud800" * 10_000),
        display(image_png=encoded(plot(3000, 100)), text_plain="<Figure>"),
    ]
    before = json.dumps(given)
    render(HEADER, given, chars=100, more=MORE)
    outputs_text(given)
    assert json.dumps(given) == before
