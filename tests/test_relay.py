"""The relay between a client and daemons that come and go."""

import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from mcp_types.methods import serialize_server_result

from tests.relayed import Bench, bench, text_of

UNKNOWN = "not known whether"


@pytest.fixture(name="bench")
def _bench(tmp_path: Path) -> Iterator[Bench]:
    with bench(tmp_path) as it:
        yield it


def test_what_a_client_sends_reaches_the_daemon_as_it_is(bench: Bench) -> None:
    """Messages, and also what is none: the daemon answers that."""
    bench.daemon()
    relay = bench.relay()
    relay.shake_hands()
    odd = b'{ "jsonrpc":"2.0",\t"method" : "ping", "id":"\\u00e9", "more": [1e3, null] }\r'
    relay.write(odd)
    assert relay.receive()["id"] == "é"
    relay.write(b"hello")
    assert relay.receive()["error"]["code"] == -32700
    relay.write(b'[{"jsonrpc": "2.0", "method": "x"}]'.replace(b"x", b"\xff"))
    assert relay.receive()["error"]["code"] == -32700
    lines = [record["line"] for record in bench.records() if "line" in record]
    assert odd.decode() in lines
    assert "hello" in lines


def test_messages_of_five_megabytes_pass_both_ways(bench: Bench) -> None:
    """One line each, whole."""
    bench.daemon()
    relay = bench.relay()
    call = relay.tool("execute_cell", source="é" * 5_000_000)
    assert "one" in relay.answer(call)
    assert len(relay.answer(relay.tool("x", do="big", size=5_000_000))) == 5_000_000


def test_a_message_may_come_in_pieces_and_many_at_once(bench: Bench) -> None:
    """Lines are what counts, not how they are written."""
    bench.daemon()
    relay = bench.relay()
    assert relay.process.stdin is not None
    ping = b'{"jsonrpc":"2.0","id":7,"method":"ping"}\n'
    for byte in ping:
        relay.process.stdin.write(bytes([byte]))
        relay.process.stdin.flush()
    assert relay.receive()["id"] == 7
    relay.write(ping * 1000)
    assert [relay.receive()["id"] for _ in range(1000)] == [7] * 1000


def test_a_client_that_reads_slowly_loses_nothing_and_costs_no_memory(bench: Bench) -> None:
    """50 MB that nobody reads stay with the daemon until somebody does."""
    bench.daemon()
    relay = bench.relay()
    call = relay.tool("noise", size=5_000)
    answered = relay.request("ping")
    bench.until(lambda: len(bench.got("ping", "one")) == 0 and bench.got("tools/call", "one"))
    assert [int(relay.receive()["params"]["data"].split()[0]) for _ in range(1)] == [0]
    assert resident_mb(relay.process.pid) < 20
    assert [int(relay.receive()["params"]["data"].split()[0]) for _ in range(4_999)] == list(range(1, 5_000))
    assert relay.answer(call) == "done"
    assert relay.receive()["id"] == answered


def test_killed_daemons_are_replaced_without_the_clients_knowledge(bench: Bench) -> None:
    """The next one is told what it must know, reads and cells are sent again, and other calls are answered."""
    first = bench.daemon()
    relay = bench.relay("--workspace", str(bench.base), "--agent", "ada")
    relay.shake_hands()
    cell = relay.tool("execute_cell", do="hold", source="1")
    status = relay.tool("control_kernel", do="hold", action="status")
    restart = relay.tool("control_kernel", do="hold", action="restart")
    listed = relay.request("tools/list")
    assert relay.receive()["id"] == listed
    first.kill()
    first.wait()
    bench.daemon("two")
    told = relay.receive()
    assert (told["id"], told["result"]["isError"]) == (restart, True)
    assert UNKNOWN in text_of(told)
    assert "two" in relay.answer(relay.request("ping"))
    assert [message.get("id", message["method"]) for message in bench.messages("two")][1:4] == [
        "notifications/initialized",
        cell,
        status,
    ]
    hellos = bench.hellos()
    assert [(hello["lease"], hello["resent"]) for hello in hellos] == [(None, []), ("lease-one", [cell, status])]
    assert {(hello["kind"], hello["agent"], hello["workspace"]) for hello in hellos} == {
        ("relay", "ada", str(bench.base))
    }
    assert hellos[0]["environment"] == bench.environment


def test_a_new_daemon_never_gets_the_answer_to_an_old_ones_question(bench: Bench) -> None:
    """Both number their questions from 1; the client's answer to the first is dropped, and its question taken back."""
    first = bench.daemon()
    relay = bench.relay()
    relay.shake_hands()
    call = relay.tool("execute_cell", do="ask")
    old = relay.receive()
    assert old["method"] == "elicitation/create"
    first.kill()
    first.wait()
    bench.daemon("two")
    taken_back = relay.receive()
    assert (taken_back["method"], taken_back["params"]) == ("notifications/cancelled", {"requestId": old["id"]})
    new = relay.receive()
    assert new["method"] == "elicitation/create"
    assert new["id"] != old["id"]
    relay.send(id=old["id"], result={"answer": "old"})
    relay.send(id=1, result={"answer": "of nobody"})
    relay.send(id=new["id"], result={"answer": "new"})
    assert relay.answer(call) == "1: new"
    assert [message["result"] for message in bench.messages("two") if "result" in message] == [{"answer": "new"}]


def test_questions_of_two_connections_to_one_daemon_are_told_apart(bench: Bench) -> None:
    """Each connection numbers from 1, also within one life of the daemon."""
    bench.daemon()
    relays = [bench.relay(), bench.relay()]
    for relay in relays:
        relay.tool("ask")
    asked = [relay.receive() for relay in relays]
    for relay, question in zip(relays, asked, strict=True):
        relay.send(id=question["id"], result={"answer": "mine"})
        assert text_of(relay.receive()) == "1: mine"


def test_subscriptions_and_the_logging_level_outlive_the_daemon(bench: Bench) -> None:
    """What was unsubscribed is not, and no answer to all that reaches the client."""
    first = bench.daemon()
    relay = bench.relay()
    relay.shake_hands()
    for method, params in [
        ("resources/subscribe", {"uri": "notebook://a"}),
        ("resources/subscribe", {"uri": "notebook://b"}),
        ("resources/unsubscribe", {"uri": "notebook://a"}),
        ("logging/setLevel", {"level": "info"}),
        ("logging/setLevel", {"level": "error"}),
    ]:
        assert method in relay.answer(relay.request(method, **params))
    first.kill()
    first.wait()
    bench.daemon("two")
    assert "two" in relay.answer(relay.request("ping"))
    got = [(message["method"], message.get("params")) for message in bench.messages("two")]
    assert got[1:4] == [
        ("notifications/initialized", None),
        ("logging/setLevel", {"level": "error"}),
        ("resources/subscribe", {"uri": "notebook://b"}),
    ]


def test_an_initialize_in_flight_is_answered_by_the_next_daemon(bench: Bench) -> None:
    """It was never answered, so the client gets that answer."""
    first = bench.daemon()
    relay = bench.relay()
    request = relay.request("initialize", name="", arguments={"do": "hold"})
    bench.until(lambda: bench.got("initialize", "one"))
    first.kill()
    first.wait()
    bench.daemon("two")
    bench.until(lambda: bench.got("initialize", "two"))
    assert bench.got("initialize", "two")[0]["id"] == request


@pytest.mark.parametrize("version", ["2025-11-25", "2026-07-28"])
def test_what_is_said_of_a_call_is_a_result_in_both_eras(bench: Bench, version: str) -> None:
    """As each of their schemas has it."""
    bench.start_on_demand()
    first = bench.daemon()
    relay = bench.relay()
    if version < "2026":
        relay.shake_hands()
    relay.tool("edit_cell", do="hold")
    bench.until(lambda: bench.got("tools/call", "one"))
    first.kill()
    first.wait()
    said = relay.receive()["result"]
    assert serialize_server_result("tools/call", version, said)["isError"]


def test_what_a_daemon_never_began_is_sent_to_the_next_one(bench: Bench) -> None:
    """Whatever it is, when the daemon ends in good order and says what it began."""
    first = bench.daemon()
    relay = bench.relay()
    begun = relay.tool("notebook_commit", do="stall")
    waiting = relay.tool("edit_cell")
    bench.until(lambda: bench.got("tools/call", "one"))
    first.terminate()
    first.wait()
    bench.daemon("two")
    assert UNKNOWN in relay.answer(begun)
    assert "two" in relay.answer(waiting)
    assert bench.hellos()[-1]["resent"] == [waiting]


def test_a_cancelled_cell_is_sent_again_with_its_cancel(bench: Bench) -> None:
    """The cell may be running; the next daemon must stop it. Then both are forgotten."""
    first = bench.daemon()
    relay = bench.relay()
    cell = relay.tool("execute_cell", do="hold")
    other = relay.tool("edit_cell", do="hold")
    for request in (cell, other):
        relay.send(method="notifications/cancelled", params={"requestId": request})
    bench.until(lambda: len(bench.got("notifications/cancelled", "one")) == 2)
    first.kill()
    first.wait()
    second = bench.daemon("two")
    bench.until(lambda: bench.got("notifications/cancelled", "two"))
    assert "two" in relay.answer(relay.request("ping"))
    assert [message["method"] for message in bench.messages("two")] == [
        "tools/call",
        "notifications/cancelled",
        "ping",
    ]
    second.kill()
    second.wait()
    bench.daemon("three")
    assert "three" in relay.answer(relay.request("ping"))
    assert len(bench.messages("three")) == 1


def test_the_newest_era_has_no_handshake_to_repeat(bench: Bench) -> None:
    """Without sessions a new daemon needs only the requests; a listening one is sent again."""
    first = bench.daemon()
    relay = bench.relay()
    assert "server/discover" in relay.answer(relay.request("server/discover"))
    listening = relay.request("subscriptions/listen", arguments={"do": "hold"})
    bench.until(lambda: bench.got("subscriptions/listen", "one"))
    first.kill()
    first.wait()
    bench.daemon("two")
    bench.until(lambda: bench.got("subscriptions/listen", "two"))
    assert "two" in relay.answer(relay.request("ping"))
    assert [message["id"] for message in bench.messages("two")][:1] == [listening]


def test_an_idle_relay_finds_the_next_daemon_by_itself(bench: Bench) -> None:
    """So that its lease is not lost; but it starts none."""
    first = bench.daemon()
    relay = bench.relay()
    relay.shake_hands()
    first.kill()
    first.wait()
    bench.daemon("two")
    bench.until(lambda: bench.got("notifications/initialized", "two"))
    assert bench.hellos()[-1]["lease"] == "lease-one"


def test_a_request_that_kills_every_daemon_is_given_up(bench: Bench) -> None:
    """Else it would be sent for ever."""
    bench.start_on_demand()
    relay = bench.relay()
    error = relay.answer(relay.tool("execute_cell", do="die"))
    assert "died 3 times" in error
    assert "doctor" in error
    assert "ping" in relay.answer(relay.request("ping"))


@pytest.mark.parametrize("held", [False, True])
def test_a_client_that_leaves_ends_the_relay(bench: Bench, held: bool) -> None:
    """Also with a call in flight, which the daemon never answers; the connection is closed."""
    bench.daemon()
    relay = bench.relay()
    relay.shake_hands()
    if held:
        relay.tool("execute_cell", do="hold")
    relay.send(method="notifications/last")
    assert relay.process.stdin is not None
    relay.process.stdin.close()
    assert relay.process.wait() == 0
    bench.until(lambda: bench.got("notifications/last", "one"))


def test_a_client_that_reads_no_more_ends_the_relay(bench: Bench) -> None:
    """There is nobody left to serve, although stdin is open."""
    bench.daemon()
    relay = bench.relay()
    relay.shake_hands()
    assert relay.process.stdout is not None
    relay.process.stdout.close()
    assert relay.process.wait() == 0


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_signals_end_it_without_a_word(bench: Bench, name: str) -> None:
    """No traceback."""
    bench.daemon()
    relay = bench.relay()
    relay.shake_hands()
    relay.process.send_signal(getattr(signal, name))
    assert relay.process.wait() == (130 if name == "SIGINT" else -getattr(signal, name))
    assert relay.process.stderr is not None
    assert relay.process.stderr.read() == b""


def test_a_file_of_requests_is_served_to_its_end(bench: Bench) -> None:
    """A regular file is always readable, and nobody waits at its other end."""
    bench.daemon()
    script = bench.base / "messages"
    script.write_text("".join(json.dumps({"jsonrpc": "2.0", "id": n, "method": "ping"}) + "\n" for n in range(500)))
    with script.open("rb") as file, (bench.base / "answers").open("wb") as answers:
        assert bench.relay(stdin=file, stdout=answers).process.wait() == 0
    ids = [json.loads(line)["id"] for line in (bench.base / "answers").read_text().splitlines()]
    assert ids == list(range(500))


def test_one_socket_may_be_both_directions(bench: Bench) -> None:
    """Some clients give one."""
    bench.daemon()
    ours, theirs = socket.socketpair()
    relay = bench.relay(stdin=theirs.fileno(), stdout=theirs.fileno())
    theirs.close()
    with ours, ours.makefile("rwb", buffering=0) as file:
        for number in range(3):
            file.write(b'{"jsonrpc": "2.0", "id": %d, "method": "ping"}\n' % number)
            assert json.loads(file.readline())["id"] == number
    ours.close()
    assert relay.process.wait() == 0


def test_it_is_small(bench: Bench) -> None:
    """Every client starts one."""
    bench.daemon()
    relay = bench.relay()
    relay.shake_hands()
    assert resident_mb(relay.process.pid) < 15


def resident_mb(pid: int) -> float:
    """What a process holds of the memory."""
    return float(psutil.Process(pid).memory_info().rss) / (1 << 20)


def test_nothing_is_held_up_by_what_the_other_side_sends(bench: Bench) -> None:
    """Requests reach the daemon while it sends."""
    bench.daemon()
    relay = bench.relay()
    relay.tool("noise", size=2_000)
    sending = threading.Thread(target=lambda: [relay.request("ping", filler="x" * 10_000) for _ in range(500)])
    sending.start()
    answers = [relay.receive() for _ in range(2_501)]
    sending.join()
    assert len([answer for answer in answers if "id" in answer]) == 501
    assert os.waitpid(relay.process.pid, os.WNOHANG) == (0, 0)
