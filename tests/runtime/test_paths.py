"""No call leads out of the workspace, whatever a path says and whoever changes the tree meanwhile."""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mcp_notebook.errors import FileRefused
from mcp_notebook.runtime.files import Files, places, writing
from mcp_notebook.runtime.files.places import Workspace
from tests.runtime.hosts import WITHOUT_RIPGREP, host, with_ripgrep

pytestmark = pytest.mark.anyio

SECRET = "needle in a secret\n"


@pytest.fixture
def secret(tmp_path: Path, workspace: Path) -> Path:
    """A file beside the workspace, to which links in it lead."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text(SECRET)
    (workspace / "file").symlink_to(outside / "secret")
    (workspace / "directory").symlink_to(outside)
    (workspace / "chain").symlink_to("directory/secret")
    (workspace / "up").symlink_to("..")
    (workspace / "new").symlink_to(outside / "new")
    (workspace / "inside").mkdir()
    (workspace / "workspace-not").symlink_to(f"{workspace}-not")
    return outside / "secret"


def untouched(secret: Path) -> bool:
    """Whether nothing was changed there."""
    return secret.read_text() == SECRET and [each.name for each in secret.parent.iterdir()] == ["secret"]


def there(path: Path) -> bool:
    """Whether anything has the name, be it a link to nothing."""
    return os.path.lexists(path)


def ways(secret: Path) -> list[str]:
    """Paths that lead there."""
    return [
        str(secret),
        f"//{secret}",
        "file",
        "directory/secret",
        "chain",
        "up/outside/secret",
        "../outside/secret",
        "inside/../../outside/secret",
        "directory/../outside/secret",
        "./up/workspace/file",
        f"/proc/self/root{secret}",
        "~/secret",
        "new",
        "workspace-not",
        "/",
        "..",
        "/dev/stdin",
        "/proc/self/environ",
    ]


def patches(path: str) -> list[dict[str, Any]]:
    """All that a patch can do to a path."""
    return [
        {"mode": "patch", "patch": "\n".join(lines)}
        for lines in (
            [f"*** Update File: {path}", "@@", "-needle", "+thread"],
            [f"*** Add File: {path}", "+thread"],
            # A link in the workspace may itself be moved.
            *([[f"*** Move File: {path} -> inside/stolen"]] if path.endswith("/secret") else []),
            ["*** Add File: inside/given", "+x", f"*** Move File: inside/given -> {path}/given"],
        )
    ]


@pytest.mark.parametrize("path", [WITHOUT_RIPGREP, None])
async def test_every_way_out_is_refused(tmp_path: Path, workspace: Path, secret: Path, path: str | None) -> None:
    """For reading, writing, searching and patching; nothing is changed or told of what lies there."""
    session = host(tmp_path, PATH=path or with_ripgrep(), HOME=str(secret.parent))
    files = Files(session, lambda: workspace)
    for way in ways(secret):
        answers = [
            await files.read_file(way),
            await files.write_file(way, "x"),
            await files.patch(way, "needle", "thread"),
            await files.search_files("needle", path=way),
            await files.search_files("*", target="files", path=way),
        ]
        for answer in answers:
            assert set(answer) == {"error"}, (way, answer)
            assert f"is outside the workspace {workspace}" in answer["error"]
        for patch in patches(way):
            answer = await files.patch(**patch)
            assert "error" in answer, (way, patch)
            assert "secret\n" not in answer["error"].replace(way, "")
    found = await files.search_files("needle", output_mode="files_only")
    assert found == {"total_count": 0}
    assert untouched(secret)
    assert not there(workspace / "inside" / "stolen")


async def test_links_themselves_are_removed_and_moved(files: Files, workspace: Path, secret: Path) -> None:
    """Not what they lead to, be it outside or inside."""
    (workspace / "inside" / "a").write_text("a")
    (workspace / "to-a").symlink_to("inside/a")
    assert (await files.patch(mode="patch", patch="*** Delete File: file\n*** Delete File: to-a"))["success"]
    assert (await files.patch(mode="patch", patch="*** Move File: chain -> inside/chain"))["success"]
    assert untouched(secret)
    assert (workspace / "inside" / "a").read_text() == "a"
    assert not there(workspace / "file")
    assert (workspace / "inside" / "chain").is_symlink()


async def test_a_directory_elsewhere(tmp_path: Path, workspace: Path, secret: Path) -> None:
    """Where the terminal is outside, relative paths are refused and absolute ones in the workspace are not."""
    (workspace / "a").write_text("a\n")
    files = Files(host(tmp_path), lambda: secret.parent)
    assert "is outside the workspace" in (await files.read_file("secret"))["error"]
    assert "is outside the workspace" in (await files.search_files("needle"))["error"]
    assert (await files.read_file(str(workspace / "a")))["content"] == "1|a\n2|"


async def test_a_name_that_only_begins_alike(tmp_path: Path, workspace: Path) -> None:
    """A directory beside the workspace whose name begins with its name is outside."""
    beside = tmp_path / "workspace-not"
    beside.mkdir()
    (beside / "a").write_text("a")
    assert "is outside" in (await Files(host(tmp_path), lambda: workspace).read_file(str(beside / "a")))["error"]


Deed = Callable[[places.Place], object]


def _read(place: places.Place) -> object:
    with places.opened(place) as descriptor:
        return os.read(descriptor, 100)


def _write(place: places.Place) -> object:
    writing.write(place, b"x")
    return None


@pytest.mark.parametrize("deed", [_read, _write, writing.remove, places.status], ids=lambda deed: deed.__name__)
@pytest.mark.parametrize("swapped", ["d/secret", "d", "d/e"])
def test_a_link_that_appears_after_the_check(
    tmp_path: Path, workspace: Path, secret: Path, deed: Deed, swapped: str
) -> None:
    """Is not followed: the path was resolved when there was none."""
    (workspace / "d" / "e").mkdir(parents=True)
    path = "d/e/secret" if swapped == "d/e" else "d/secret"
    (workspace / path).write_text("mine")
    place = Workspace(workspace, workspace, None).locate(path)
    (workspace / swapped).rename(workspace / "gone")
    (workspace / swapped).symlink_to(secret if swapped == path else secret.parent)
    if (deed, swapped) in ((writing.remove, path), (places.status, path)):
        deed(place)  # on the link itself
    else:
        with pytest.raises((OSError, FileRefused)):
            deed(place)
    assert untouched(secret)


async def test_a_race(files: Files, workspace: Path, secret: Path) -> None:
    """While a file is swapped for a link all the time, nothing outside is read or written."""
    (workspace / "d").mkdir()
    done = threading.Event()

    def swap() -> None:
        other = workspace / "other"
        while not done.is_set():
            other.symlink_to(secret)
            other.replace(workspace / "d" / "secret")
            other.write_text("mine\n")
            other.replace(workspace / "d" / "secret")

    swapping = threading.Thread(target=swap)
    swapping.start()
    try:
        told: list[dict[str, Any]] = []
        for _ in range(300):
            told.append(await files.read_file("d/secret"))
            told.append(await files.write_file("d/secret", "mine\n"))
            told.append(await files.patch("d/secret", "needle", "thread"))
    finally:
        done.set()
        swapping.join()
    assert untouched(secret)
    assert all("needle" not in answer.get("content", "") for answer in told)
    # Both sides won some of the races.
    assert len({answer.get("error") for answer in told}) > 2
