"""What counts as the same result when a cell is replayed."""

from typing import Any

import pytest
from nbformat.notebooknode import from_dict

from mcp_notebook.comparing import OURS, Comparison, Taken


def output(**data: Any) -> Any:
    return from_dict(data)  # type: ignore[no-untyped-call]  # nbformat is not annotated


def stream(text: str) -> Any:
    return output(output_type="stream", name="stdout", text=text)


def result(**data: Any) -> Any:
    """With ``_`` for the slash of a mime type, and ``__`` for its dot."""
    mimes = {name.replace("__", ".").replace("_", "/", 1): content for name, content in data.items()}
    return output(output_type="execute_result", data=mimes, execution_count=1, metadata={})


def error(value: str) -> Any:
    return output(output_type="error", ename="ValueError", evalue=value, traceback=[value])


MANY = ",".join(map(str, range(1_000_000)))
ALIKE = {
    "an address": (stream("<object at 0x7f22259a5590>"), stream("<object at 0x7fab0000aaaa>")),
    "a length of time": (stream("took 1.25 s (13 ms each)"), stream("took 0.9 s (9.5 ms each)")),
    "%%time": (stream("CPU times: user 2.1 ms, sys: 0 ns\nWall time: 3 \u03bcs"),
               stream("CPU times: user 9 ms, sys: 10 ns\nWall time: 12 \u00b5s")),
    "a date with its time": (stream("at 2026-11-30T12:00:01.5+00:00"), stream("at 2026-12-01 13:30")),
    "a time": (stream("12:30:01 begun"), stream("23:59:59.12 begun")),
    "seconds since the epoch": (result(text_plain="1796011266.16"), result(text_plain="1796011999.2")),
    "a speed": (stream("100/100 [00:01<00:00, 99.1it/s]"), stream("100/100 [00:02<00:00, 45.0it/s]")),
    "a random id": (stream("id 0b5a6f9c-93c5-4d0d-8a10-fd2d1f2d6a51"),
                    stream("id 93c50b5a-6f9c-4d0d-8a10-0b5a6f9c6a51")),
    "a temporary file": (stream("wrote /tmp/tmpab12/x.csv"), stream("wrote /tmp/tmpzz99/x.csv")),
    "markup beside plain text": (result(text_plain="a", text_html="<p id=1>a</p>"),
                                 result(text_plain="a", text_html="<p id=2>a</p>")),
    "one stream in parts": ([stream("a"), stream("b\n")], [stream("ab\n")]),
    "what the product says": (stream(f"{OURS} much memory\nx"), stream("x")),
    "lengths of time without a space between": (stream("(1.2s,3.4s)"), stream("(9.9s,10s)")),
    "a million numbers in one line": (stream(MANY), stream(MANY)),
    "nothing": ([], []),
}  # fmt: skip
UNLIKE = {
    "a number": (result(text_plain="0.53"), result(text_plain="0.27"), "line 1 was '0.53', is '0.27'"),
    "a later line": (stream("a\nb\nc"), stream("a\nB\nc"), "line 2 was 'b', is 'B'"),
    "less": (stream("a\nb"), stream("a"), "line 2 was 'b', is missing"),
    "more": ([], stream("a"), "line 1 was missing, is 'a'"),
    "an error": (error("1"), error("2"), "line 1 was 'ValueError: 1', is 'ValueError: 2'"),
    "an image": (result(text_plain="<Figure>", image_png="AAAA"), result(text_plain="<Figure>", image_png="BBBB"),
                 "line 2 was '[image/png "),
    "markup alone": (result(text_html="<b>1</b>"), result(text_html="<b>2</b>"), "line 1 was '[text/html "),
    "far down": (stream("a\n" * 50 + "b"), stream("a\n" * 50 + "c"), "beyond what is compared word for word"),
    "far right": (stream("a" * 500 + "b"), stream("a" * 500 + "c"), "beyond what is compared word for word"),
}  # fmt: skip


def taken(outputs: Any) -> Taken:
    return Taken.of(outputs if isinstance(outputs, list) else [outputs])


@pytest.mark.parametrize(("before", "after"), ALIKE.values(), ids=ALIKE)
def test_what_changes_by_itself_is_passed_over(before: Any, after: Any) -> None:
    """Addresses, times, random names."""
    assert taken(before).difference(taken(after)) is None


@pytest.mark.parametrize(("before", "after", "said"), UNLIKE.values(), ids=UNLIKE)
def test_what_differs_is_named_in_a_few_words(before: Any, after: Any, said: str) -> None:
    """The first line in which they differ, shortened."""
    difference = taken(before).difference(taken(after))
    assert difference is not None
    assert said in difference
    assert len(difference) < 200


def test_half_a_character_is_text_as_well() -> None:
    """A lone surrogate, which kernels can print."""
    assert taken(stream("\ud800")).difference(taken(stream("\ud801"))) is not None
    assert taken(result(application_json={"a": "\ud800"})) == taken(result(application_json={"a": "\ud800"}))


def test_a_comparison_goes_on_under_the_next_server() -> None:
    """What ran when the server was killed is compared by what was noted before; what was heard of counts once."""
    comparison = Comparison()
    for cell, before, after in (("a", "1", "1"), ("b", "1", "2")):
        comparison.begin(cell, taken(stream(before)))
        comparison.end(cell, taken(stream(after)))
    comparison.begin("c", taken(stream("3")))
    comparison = Comparison(comparison.as_data())
    comparison.end("c", taken(stream("3")))
    comparison.end("c", taken(stream("3")))
    comparison.end("d", taken(stream("not noted")))
    assert str(comparison) == "1 of 3 results differ from before. Of 1 it is not known."
    assert list(comparison.differences) == ["b"]
