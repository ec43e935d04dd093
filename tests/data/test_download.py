"""A file arrives whole and right, whatever the server does, or not at all."""

import gzip
import hashlib
import pathlib
import re
import threading
import time

import numpy as np
import pytest

from tests.data.server import Server, serve
from vae_jax.data import download as download_module
from vae_jax.data import originals
from vae_jax.data.download import download
from vae_jax.data.lock import only_one
from vae_jax.errors import DataError

DATA = np.random.default_rng(0).bytes(200_000)
SHA256 = hashlib.sha256(DATA).hexdigest()
HALF = len(DATA) // 2
CHUNK = 1 << 16  # what is written at once: a stall loses less than that


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """What takes seconds for a user."""
    monkeypatch.setattr(download_module, "TIMEOUT_S", 0.3)
    monkeypatch.setattr(download_module, "PAUSES_S", (0, 0))


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with serve({"file.bin": DATA}) as server:
        yield server


def fetch(server: Server, path: pathlib.Path, **options) -> None:
    usual = {"size": len(DATA), "sha256": SHA256}
    download(f"{server.address}/a/file.bin", path, **(usual | options))


def ranges(server: Server) -> list[str | None]:
    return [asked for _, asked in server.requests]


@pytest.mark.parametrize(
    ("plan", "asked"),
    [
        (["whole"], [None]),
        (["break"], [None, f"bytes={HALF}-"]),
        (["break", "break"], [None, f"bytes={HALF}-", f"bytes={HALF * 3 // 2}-"]),
        (["stall"], [None, f"bytes={CHUNK}-"]),
        (["break", "ignore"], [None, f"bytes={HALF}-"]),
        (["break", "shift"], [None, f"bytes={HALF}-", None]),
        (["break", "416"], [None, f"bytes={HALF}-", None]),
        (["500"], [None, None]),
        (["503", "429"], [None, None, None]),
        (["redirect"], [None, None]),
        (["break", "redirect"], [None, f"bytes={HALF}-", f"bytes={HALF}-"]),
        (["gzip"], [None]),
    ],
    ids=lambda value: "-".join(value) if isinstance(value[0], str) else "",
)
def test_a_file_arrives_and_only_what_is_missing_is_asked_for(
    server, tmp_path, plan, asked
):
    server.plan = list(plan)
    path = tmp_path / "new" / "file.bin"
    fetch(server, path)
    assert path.read_bytes() == DATA
    assert ranges(server) == asked
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("plan", "message", "kept"),
    [
        (["wrong"], f"expected sha256 {SHA256}, found .*removed", None),
        (["short"], "expected 200,000 bytes, found 100,000.*removed", None),
        (["long"], "expected 200,000 bytes, found 400,000.*removed", None),
        (["endless"], "expected 200,000 bytes, found more than 200,000", None),
        (["break", "wrong"], "expected sha256 .*removed", None),
        (["404"], "answers 404 Not Found; fetch the file by hand", None),
        (
            ["500"] * 3,
            "answers 500 .* .tries: 3.; .*curl -L -o RAW/file.bin http",
            None,
        ),
        (
            ["stall"] * 3,
            "interrupted .*131,072 of 200,000 bytes .*resume",
            2 * CHUNK,
        ),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_a_failed_download_is_one_line_and_no_file(
    server, tmp_path, plan, message, kept
):
    server.plan = list(plan)
    path = tmp_path / "file.bin"
    with pytest.raises(DataError, match=message) as error:
        fetch(server, path)
    text = str(error.value)
    assert text.startswith(f"{server.address}/a/file.bin")
    assert "\n" not in text
    part = tmp_path / "file.bin.part"
    assert list(tmp_path.iterdir()) == ([part] if kept else [])
    if kept:
        assert part.read_bytes() == DATA[:kept]


def test_a_later_call_goes_on(server, tmp_path, monkeypatch):
    server.plan = ["break"]
    monkeypatch.setattr(download_module, "PAUSES_S", ())
    with pytest.raises(DataError, match="was interrupted .*tries: 1"):
        fetch(server, tmp_path / "file.bin")
    fetch(server, tmp_path / "file.bin")
    assert ranges(server) == [None, f"bytes={HALF}-"]
    assert (tmp_path / "file.bin").read_bytes() == DATA


@pytest.mark.parametrize(
    ("part", "num_requests"),
    [(DATA, 0), (DATA + b"more", 1)],
    ids=["complete", "too long"],
)
def test_a_part_of_another_program_is_checked_like_any(
    server, tmp_path, part, num_requests
):
    (tmp_path / "file.bin.part").write_bytes(part)
    fetch(server, tmp_path / "file.bin")
    assert (tmp_path / "file.bin").read_bytes() == DATA
    assert ranges(server) == [None] * num_requests


def test_without_a_network_the_line_names_the_address_and_the_way_by_hand(tmp_path):
    with serve({}) as server:
        address = server.address
    with pytest.raises(DataError, match="can't be reached .*refused") as error:
        download(f"{address}/x.gz", tmp_path / "x.gz", size=1, sha256="")
    text = str(error.value)
    assert text.startswith(f"{address}/x.gz: can't be reached (")
    assert f"`curl -L -o RAW/x.gz {address}/x.gz`" in text
    assert "--raw_dir=RAW" in text
    assert "\n" not in text and "0x" not in text


def test_a_host_that_does_not_exist(tmp_path):
    with pytest.raises(DataError, match="can't be reached") as error:
        download("http://no-such-host.invalid/x", tmp_path / "x", size=1, sha256="")
    assert "\n" not in str(error.value)


def test_proxies_of_the_environment_are_used(server, tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", server.address)
    url = "http://originals.invalid/far/file.bin"
    download(url, tmp_path / "f", size=len(DATA), sha256=SHA256)
    assert server.requests == [(url, None)]
    assert (tmp_path / "f").read_bytes() == DATA


def test_a_folder_that_cannot_be_written(server, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="can't write .*/file: File exists"):
        fetch(server, tmp_path / "file" / "file.bin")
    assert server.requests == []


def test_progress_is_plain_lines_where_stderr_is_no_terminal(server, tmp_path, capsys):
    server.plan = ["500"]
    fetch(server, tmp_path / "file.bin")
    assert capsys.readouterr().err.splitlines() == [
        f"downloading {server.address}/a/file.bin (0.2 MB)",
        "file.bin: answers 500 Internal Server Error; again in 0 s",
    ]


def test_progress_is_a_bar_on_a_terminal(server, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # makes rich take stderr for a terminal
    monkeypatch.setenv("COLUMNS", "120")
    server.plan = ["500"]
    fetch(server, tmp_path / "file.bin")
    shown = capsys.readouterr().err
    assert "downloading" not in shown
    assert "file.bin: answers 500 Internal Server Error; again in 0 s" in shown
    assert "200.0/200.0 kB" in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)


# --- Where original files are looked for ---------------------------------------------


def known(server: Server) -> dict[str, originals.Record]:
    record = originals.Record(f"{server.address}/file.bin", len(DATA), SHA256)
    return {"file.bin": record}


def test_files_got_by_hand_are_found_plain_or_zipped(server, tmp_path):
    def find() -> dict[str, originals.Original]:
        return originals.by_hand(["file.bin"], known(server), tmp_path)

    assert find() == {}
    (tmp_path / "file.bin.gz").write_bytes(gzip.compress(DATA))
    assert find()["file.bin"].read() == DATA
    assert find()["file.bin"].zipped
    (tmp_path / "file.bin").write_bytes(DATA)
    assert find() == {"file.bin": originals.Original(tmp_path / "file.bin")}
    (tmp_path / "file.bin").write_bytes(DATA[::-1])
    with pytest.raises(DataError, match=f"not the original file.bin.*{SHA256}"):
        find()
    assert server.requests == []


def test_a_downloaded_file_is_kept_and_checked_at_every_use(server, tmp_path, caplog):
    def find() -> originals.Original:
        return originals.downloaded(["file.bin"], known(server), tmp_path)["file.bin"]

    assert find() == find() == originals.Original(tmp_path / "file.bin")
    assert len(server.requests) == 1
    (tmp_path / "file.bin").write_bytes(DATA[:-1] + b"?")
    assert find().read() == DATA
    assert "has changed since its download" in caplog.text
    assert len(server.requests) == 2


def test_two_at_once_download_once(server, tmp_path, caplog):
    found = []

    def work() -> None:
        with only_one(tmp_path / ".lock"):
            time.sleep(0.2)  # long enough for the other to come and wait
            found.append(originals.downloaded(["file.bin"], known(server), tmp_path))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(found) == 2
    assert found[0] == found[1]
    assert found[0]["file.bin"].read() == DATA
    assert ranges(server) == [None]
    assert "another process is working" in caplog.text


def test_no_lock_is_a_warning(tmp_path, caplog, monkeypatch):
    def flock(*args: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", flock)
    with only_one(tmp_path / ".lock"):
        pass
    assert "no lock" in caplog.text and "one program at a time" in caplog.text
