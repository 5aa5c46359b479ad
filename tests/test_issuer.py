"""JSON web tokens: whose are accepted, and everything that is not."""

import hashlib
import hmac
import json
import threading
import time
from pathlib import Path
from typing import Any

import anyio
import pytest

from mcp_notebook.admission import CannotVerify
from mcp_notebook.auth import Auth
from mcp_notebook.issuer import Issuer
from mcp_notebook.issuer_keys import AGAIN_S, FRESH_S, USABLE_S, keys_of
from tests.issuing import AUDIENCE, ISSUER, Key, part, publish, published

pytestmark = pytest.mark.anyio

SOON_S = 20.0
RSA = Key("RS256")
EC = Key("ES256", "two")
HEADER = {"alg": "RS256", "kid": "one", "typ": "JWT"}


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """The file with the issuer's two keys."""
    publish(tmp_path / "jwks.json", RSA, EC)
    return tmp_path / "jwks.json"


def issuer(keys: Path, **settings: object) -> Issuer:
    auth = Auth(**({"issuer": ISSUER, "audience": (AUDIENCE,), "jwks_file": str(keys)} | settings))  # type: ignore[arg-type]
    return Issuer(auth, keys_of(auth).find)


@pytest.mark.parametrize("algorithm", ["RS256", "RS512", "PS256", "ES256", "EdDSA"])
@pytest.mark.parametrize("key_id", ["one", None])
async def test_its_tokens_let_in_their_subject(tmp_path: Path, algorithm: str, key_id: str | None) -> None:
    """By each kind of key, and also where neither token nor key has an id."""
    key = Key(algorithm, key_id)
    publish(tmp_path / "jwks.json", EC, key)
    admission = await issuer(tmp_path / "jwks.json", algorithms=(algorithm,)).verify(key.token(exp=4_000_000_000))
    assert admission is not None
    assert (admission.principal, admission.expires_at) == ("jwt:alice", 4_000_000_030)


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://other.example"},
        {"iss": f"{ISSUER}/"},
        {"iss": None},
        {"iss": [ISSUER]},
        {"aud": "https://other.example/mcp"},
        {"aud": None},
        {"aud": []},
        {"aud": {AUDIENCE: 1}},
        {"exp": int(time.time()) - 60},
        {"exp": None},
        {"exp": "soon"},
        {"exp": float("inf")},
        {"exp": float("nan")},
        {"exp": [4_000_000_000]},
        {"nbf": 4_000_000_000},
        {"iat": 4_000_000_000},
        {"sub": None},
        {"sub": ""},
        {"sub": ["alice"]},
        {"sub": 1},
        {"sub": "x" * 256},
        {"sub": "a\nb"},
        {"sub": "a\x00b"},
        {"sub": "\u202egro.elpmaxe"},
    ],
)
async def test_a_claim_that_is_wrong_or_missing(keys: Path, claims: dict[str, Any]) -> None:
    """The signature is right, and lets nobody in."""
    accepting = issuer(keys)
    assert await accepting.verify(RSA.token()) is not None
    assert await accepting.verify(RSA.token(**claims)) is None


CLAIMS = {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "exp": 4_000_000_000}


def by_secret(secret: bytes, header: dict[str, str]) -> str:
    """Signed with HMAC, whatever the secret is."""
    signed = f"{part(header)}.{part(CLAIMS)}"
    return f"{signed}.{part(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


FORGED = {
    "none": f"{part({'alg': 'none', 'kid': 'one'})}.{part(CLAIMS)}.",
    "None": f"{part({'alg': 'None', 'kid': 'one'})}.{part(CLAIMS)}.",
    "no algorithm": f"{part({'kid': 'one'})}.{part(CLAIMS)}.{part(b'x' * 256)}",
    "algorithm is a list": f"{part({'alg': ['RS256'], 'kid': 'one'})}.{part(CLAIMS)}.{part(b'x' * 256)}",
    "the public key as a secret": by_secret(RSA.pem, HEADER | {"alg": "HS256"}),
    "the published key as a secret": by_secret(json.dumps(RSA.jwk).encode(), HEADER | {"alg": "HS256"}),
    "the same, called RS256": by_secret(RSA.pem, HEADER),
    "an empty secret": by_secret(b"", HEADER | {"alg": "HS256"}),
    "another key": Key("RS256").token(),
    "another key of another kind": Key("ES256", "one").token(),
    "one's own key in the header": Key("RS256").token(headers={"jwk": RSA.jwk, "jku": "http://127.0.0.1/"}),
    "an id of another key": RSA.token(headers={"kid": "two"}),
    "an unknown id": RSA.token(headers={"kid": "three"}),
    "an id that is a path": RSA.token(headers={"kid": "../../../dev/null"}),
    "an algorithm that is not allowed": RSA.token(algorithm="RS384"),
    "a critical extension": RSA.token(headers={"crit": ["x"], "x": 1}),
    "a signature that was changed": f"{RSA.token()[:-8]}AAAAAAAA",
    "no signature": RSA.token().rpartition(".")[0] + ".",
    "two parts": RSA.token().rpartition(".")[0],
    "four parts": f"{RSA.token()}.x",
    "only dots": "..",
    "no JSON": f"{part(b'{')}.{part(CLAIMS)}.x",
    "a header that is a list": f"{part(b'[]')}.{part(CLAIMS)}.x",
    "nested deeply": f"{part(b'[' * 20_000)}.{part(CLAIMS)}.x",
    "no base64": "%%%.%%%.%%%",
    "bytes that are no text": f"{part(bytes([0xFF, 0xFE]))}.{part(CLAIMS)}.x",
}


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
async def test_forged_tokens(keys: Path, forged: str) -> None:
    """None is accepted, and none is a fault of ours."""
    assert await issuer(keys).verify(forged) is None


def write(path: Path, text: str) -> None:
    path.write_text(text)


def remove(path: Path) -> None:
    path.unlink()


async def test_keys_that_are_not_for_signatures(tmp_path: Path) -> None:
    """A key for encryption, one for another algorithm, a shared secret that was published by mistake."""
    path, token = tmp_path / "jwks.json", RSA.token()
    secret = {"kty": "oct", "kid": "one", "k": part(b"s" * 32), "alg": "HS256"}
    for jwk in (RSA.jwk | {"use": "enc"}, RSA.jwk | {"alg": "RS512"}, RSA.jwk | {"key_ops": ["sign"]}, secret, {}):
        write(path, json.dumps({"keys": [jwk, "x", None]}))
        assert await issuer(path).verify(token) is None
    write(path, json.dumps({"keys": [RSA.jwk | {"n": "!"}, RSA.jwk | {"key_ops": ["verify"]}]}))
    assert await issuer(path).verify(token) is not None


async def test_a_file_is_read_again_when_it_changes(keys: Path) -> None:
    """The old key is worth nothing then; a file that cannot be read is no reason to let anybody in."""
    accepting, new = issuer(keys), Key("RS256", "three")
    assert await accepting.verify(new.token()) is None
    publish(keys, new)
    assert await accepting.verify(new.token()) is not None
    assert await accepting.verify(RSA.token()) is None
    for broken in ("", "[]", '{"keys": 1}', "[" * 100_000):
        write(keys, broken)
        with pytest.raises(CannotVerify):
            await accepting.verify(new.token())
    publish(keys, new)
    assert await accepting.verify(new.token()) is not None
    remove(keys)
    with pytest.raises(CannotVerify):
        await accepting.verify(new.token())


async def test_keys_are_fetched_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once for many tokens; anew for a key that is not known, but not as often as strangers name one."""
    clock = 1000.0
    monkeypatch.setattr("mcp_notebook.issuer_keys.now", lambda: clock)
    with published(RSA) as server:
        auth = Auth(issuer=ISSUER, audience=(AUDIENCE,), jwks_url=server.url)
        accepting = Issuer(auth, keys_of(auth).find)
        for _ in range(5):
            assert await accepting.verify(RSA.token()) is not None
        assert server.asked == 1
        for number in range(20):
            assert await accepting.verify(RSA.token(headers={"kid": f"{number}"})) is None
        assert server.asked == 1
        new = Key("RS256", "new")
        server.keys = [new]
        clock += AGAIN_S
        assert await accepting.verify(new.token()) is not None
        assert await accepting.verify(RSA.token()) is None
        assert server.asked == 2
        server.status = 500
        clock += FRESH_S
        assert await accepting.verify(new.token()) is not None
        assert server.asked == 3
        clock += USABLE_S
        with pytest.raises(CannotVerify, match="ask again"):
            await accepting.verify(new.token())
        server.status = 200
        clock += AGAIN_S
        assert await accepting.verify(new.token()) is not None


async def test_a_server_that_hangs_is_in_nobodys_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys that are old and usable are used meanwhile; the newer ones are there once it answers."""
    clock, go_on, new = 1000.0, threading.Event(), Key("RS256", "new")
    monkeypatch.setattr("mcp_notebook.issuer_keys.now", lambda: clock)
    monkeypatch.setattr("mcp_notebook.issuer_keys.WITHIN_S", 10 * SOON_S)
    with published(RSA) as server:
        auth = Auth(issuer=ISSUER, audience=(AUDIENCE,), jwks_url=server.url)
        accepting = Issuer(auth, keys_of(auth).find)
        assert await accepting.verify(RSA.token()) is not None
        server.on_asked = go_on.wait
        clock += FRESH_S
        try:
            with anyio.fail_after(SOON_S):
                for _ in range(5):
                    assert await accepting.verify(RSA.token()) is not None
        finally:
            server.keys = [new]
            go_on.set()
        with anyio.fail_after(SOON_S):
            assert await accepting.verify(new.token()) is not None
        assert await accepting.verify(RSA.token()) is None
        assert server.asked == 2


async def test_those_who_wait_for_keys_wait_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a server that hangs: an attempt that took as long as there is between two is not followed by the next."""
    clock, go_on = 1000.0, threading.Event()
    monkeypatch.setattr("mcp_notebook.issuer_keys.now", lambda: clock)
    monkeypatch.setattr("mcp_notebook.issuer_keys.WITHIN_S", 0.5)

    def hang() -> None:
        nonlocal clock
        clock += AGAIN_S
        go_on.wait()

    with published(RSA) as server:
        server.on_asked = hang
        auth = Auth(issuer=ISSUER, audience=(AUDIENCE,), jwks_url=server.url)
        accepting = Issuer(auth, keys_of(auth).find)

        async def refused() -> None:
            with pytest.raises(CannotVerify):
                await accepting.verify(RSA.token())

        try:
            async with anyio.create_task_group() as tasks:
                for _ in range(4):
                    tasks.start_soon(refused)
        finally:
            go_on.set()
        assert server.asked == 1


@pytest.mark.parametrize("body", [b"", b"{}", b"x" * (2 << 20), b'{"keys": "x"}', b"\xff"])
async def test_what_holds_no_keys(body: bytes) -> None:
    """It cannot be verified then, which is told as such."""
    with published(RSA) as server:
        server.body = body
        auth = Auth(issuer=ISSUER, audience=(AUDIENCE,), jwks_url=server.url)
        with pytest.raises(CannotVerify):
            await Issuer(auth, keys_of(auth).find).verify(RSA.token())


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"issuer": ""}, "issuer and audience"),
        ({"audience": ()}, "issuer and audience"),
        ({"audience": ("",)}, "issuer and audience"),
        ({"jwks_url": "https://issuer.example/jwks"}, "either jwks_url or jwks_file"),
        ({"jwks_file": ""}, "either jwks_url or jwks_file"),
        ({"jwks_file": "", "jwks_url": "http://issuer.example/jwks"}, "no https URL"),
        ({"jwks_file": "", "jwks_url": "file:///etc/passwd"}, "no https URL"),
        ({"jwks_file": "", "jwks_url": "https:///jwks"}, "no https URL"),
        ({"algorithms": ("none",)}, "'none'"),
        ({"algorithms": ("RS256", "HS256")}, "'HS256'"),
        ({"algorithms": ()}, "algorithms is empty"),
        ({"resource": "box.example"}, "no URL"),
    ],
)
def test_settings_that_would_accept_nothing_or_too_much(settings: dict[str, object], complaint: str) -> None:
    """They are refused when they are read."""
    with pytest.raises(ValueError, match=complaint):
        issuer(Path("jwks.json"), **settings)
