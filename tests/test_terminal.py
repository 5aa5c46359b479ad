"""What a terminal would show of printed text, in one piece and in chunks."""

import random
import tracemalloc

import pytest

from mcp_notebook.terminal import TerminalText, plain, resolve

RED, BOLD, OFF = "\x1b[31m", "\x1b[1m", "\x1b[0m"

TERMINAL = [
    ("nothing special\n", "nothing special\n"),
    ("a\r\nb\r\r\n", "a\nb\n"),
    ("10%\r20%\r100%", "100%"),
    ("abcdef\rXY", "XYcdef"),
    ("abc\r", "abc"),
    ("abc\r\n", "abc\n"),
    ("abc\b\bX", "aXc"),
    ("\b\b\bX", "X"),
    ("a\n\bX", "a\nX"),
    ("12345\r\x1b[Kab", "ab"),
    ("12345\x1b[2K\rab", "ab"),
    ("12345\x1b[2K\b\bab", "   ab"),
    ("abc\b\x1b[1K", "  c"),
    ("abc\x1b[1K", ""),
    (f"{RED}50%{OFF}\r{RED}60%{OFF}", f"{RED}60%{OFF}"),
    (f"{RED}red{OFF}\rX", f"X{RED}ed{OFF}"),
    (f"{RED}one\n\rtwo{OFF}", f"{RED}one\ntwo{OFF}"),
    (f"{BOLD}{RED}ab\x1b[22mc\rX", f"{RED}X{BOLD}b{OFF}{RED}c"),
    ("\x1b[38;5;9mab\rc\x1b[39md", "\x1b[38;5;9mc\x1b[0md"),
]


@pytest.mark.parametrize(("printed", "shown"), TERMINAL)
def test_text_is_what_a_terminal_shows(printed: str, shown: str) -> None:
    """Carriage returns, backspaces and "erase in line" move and overwrite; colours stay where they were."""
    assert resolve(printed) == shown


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("tab\tand newline\n", "tab\tand newline\n"),
        (f"{RED}red{OFF} \x1b[38;2;1;2;3mtrue\x1b[m", "red true"),
        ("\x1b]0;title\x07a\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "alink"),
        ("bell\x07 nul\x00 del\x7f c1\x85 \x9b31mred", "bell nul del c1 red"),
        ("\x1b(Bset\x1b7", "set"),
        ("broken \x1b[31", "broken [31"),
        ("\x1b]0;never ended\nnext", "]0;never ended\nnext"),
        ("1%\r2%\r\n", "2%\n"),
        ("lone \ud800 surrogate", "lone \ud800 surrogate"),
    ],
)
def test_plain_text_has_no_escape_sequences_or_control_characters(printed: str, shown: str) -> None:
    """Newlines and tabs are all that is left of what cannot be seen."""
    assert plain(printed) == shown


def test_chunks_may_be_cut_anywhere() -> None:
    """Text fed in pieces of any size, through escape sequences too, shows what it shows in one piece."""
    chance = random.Random(7)
    pieces = [
        "a",
        "bc",
        "\r",
        "\b",
        "\n",
        "\r\n",
        RED,
        OFF,
        BOLD,
        "\x1b[K",
        "\x1b[2K",
        "\x1b[38;5;9m",
        "x" * 900,
    ]
    for _ in range(300):
        text = "".join(chance.choices(pieces, k=chance.choice([5, 40, 400])))
        terminal, shown, position = TerminalText(), "", 0
        while position < len(text):
            size = chance.choice([1, 2, 30, 5000])
            shown += terminal.feed(text[position : position + size])
            position += size
        whole = TerminalText()
        assert plain(shown + terminal.current) == plain(whole.feed(text) + whole.current)


@pytest.mark.parametrize("chunk", ["\r" + "#" * 70, "no newline ever ", "\x1b[31m\r50%\x1b[0m", "\x1b[1m"])
def test_an_unfinished_line_does_not_pile_up(chunk: str) -> None:
    """Neither a progress bar that never ends its line nor a line without end is held in memory."""
    terminal = TerminalText()
    tracemalloc.start()
    for _ in range(2_000_000 // len(chunk * 50)):
        terminal.feed(chunk * 50)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_500_000
