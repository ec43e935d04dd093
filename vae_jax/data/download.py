"""Downloads a file of known size and sha256: it arrives whole, or not at all."""

import contextlib
import hashlib
import os
import pathlib
import re
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from vae_jax.errors import DataError

if TYPE_CHECKING:
    import requests

PAUSES_S = (1.0, 3.0, 9.0)  # before the second try and each further one
TIMEOUT_S = 30.0  # longest silence of the server
_CONNECT_TIMEOUT_S = 10.0
_CHUNK = 1 << 16
_PASSING = (408, 425, 429)  # and all from 500: the server may answer otherwise later


class _Broken(Exception):
    """A try that failed and may be made again."""


def download(url: str, path: pathlib.Path, *, size: int, sha256: str) -> None:
    """Downloads a file to `path`, in one rename after its checksum is verified.

    The bytes are collected in `path` with .part added. An interrupted download resumes
    from there (HTTP Range), in this call or in a later one, or starts again if the
    server does not support that. Redirects are followed, and the proxies of http_proxy,
    https_proxy and no_proxy are used. What arrives is shown on stderr.

    Two processes must not download to one path at once: see `lock.only_one`.

    Args:
        url: http or https; the checksum makes either safe.
        path: where the file is wanted; its folder is made.
        size: expected bytes.
        sha256: expected checksum, in hexadecimal.

    Raises:
        DataError: the server can't be reached, refuses, or breaks off at every try (the
            part is kept); its file has another size or checksum (the part is
            removed); or the folder can't be written.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _receive_in_tries(url, part, size)
        found = sha256_of(part)
        if found != sha256:
            part.unlink()
            raise DataError(
                f"{url}: expected sha256 {sha256}, found {found}; the file is removed"
            )
        os.replace(part, path)
    except OSError as error:
        raise DataError(
            f"can't write {error.filename or part}: {error.strerror or error}"
        ) from error


def sha256_of(path: pathlib.Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _receive_in_tries(url: str, part: pathlib.Path, size: int) -> None:
    with _shown(url, size) as (show, say):
        for number, pause in enumerate((*PAUSES_S, None), start=1):
            try:
                return _receive(url, part, size, show)
            except _Broken as broken:
                here = f"{_length(part):,} of {size:,} bytes are here"
                if pause is None:
                    raise DataError(
                        f"{url}: {broken} (tries: {number}); {here}: run it again to"
                        f" resume, or {_by_hand(url)}"
                    ) from None
                say(f"{part.stem}: {broken}; again in {pause:g} s")
                time.sleep(pause)


def _receive(
    url: str, part: pathlib.Path, size: int, show: Callable[[int], None]
) -> None:
    """One request for what is still missing."""
    import requests  # a tenth of a second, and only needed here
    import urllib3

    have = _length(part)
    if have == size:
        return
    headers, answered = {"Accept-Encoding": "identity"}, False
    if 0 < have < size:
        headers["Range"] = f"bytes={have}-"
    try:
        with requests.get(
            url,
            headers=headers,
            stream=True,
            timeout=(_CONNECT_TIMEOUT_S, TIMEOUT_S),
        ) as response:
            have, answered = _check_answer(response, url, part, size), True
            with open(part, "ab" if have else "wb") as file:
                # As sent: requests itself would unpack what a server calls gzipped.
                for chunk in response.raw.stream(_CHUNK, decode_content=False):
                    have += len(chunk)
                    if have > size:
                        break
                    file.write(chunk)
                    show(have)
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        what = "was interrupted" if answered else "can't be reached"
        raise _Broken(f"{what} ({_reason(error)})") from None
    if have > size:
        _refuse_size(url, part, size, f"more than {size:,}")
    if have < size:
        raise _Broken("was interrupted")


def _check_answer(
    response: "requests.Response", url: str, part: pathlib.Path, size: int
) -> int:
    """The position that the bytes of this answer begin at."""
    status = response.status_code
    if status == 416:
        part.unlink(missing_ok=True)
        raise _Broken("can't resume, so the download starts again")
    if status >= 500 or status in _PASSING:
        raise _Broken(f"answers {status} {response.reason}")
    if status not in (200, 206):
        raise DataError(f"{url} answers {status} {response.reason}; {_by_hand(url)}")
    start, total = 0, response.headers.get("Content-Length")
    if status == 206:
        given = response.headers.get("Content-Range", "")
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", given.strip())
        if match is None or int(match[1]) != _length(part):
            part.unlink(missing_ok=True)
            raise _Broken(f"sends the range {given!r}, so the download starts again")
        start, total = int(match[1]), match[2]
    if total is not None and total.isdecimal() and int(total) != size:
        _refuse_size(url, part, size, f"{int(total):,}")
    return start


def _refuse_size(url: str, part: pathlib.Path, size: int, found: str) -> None:
    part.unlink(missing_ok=True)
    raise DataError(
        f"{url}: expected {size:,} bytes, found {found}; the file is removed"
    )


def _by_hand(url: str) -> str:
    name = url.rsplit("/", 1)[-1]
    return (
        "fetch the file by hand, for instance elsewhere"
        f" (`curl -L -o RAW/{name} {url}`), and give --raw_dir=RAW"
    )


def _reason(error: BaseException) -> str:
    """The innermost message of an error of requests or urllib3, without addresses."""
    while True:
        inner = getattr(error, "reason", None) or (error.args[:1] or (None,))[0]
        if not isinstance(inner, BaseException):
            break
        error = inner
    text = str(error.args[-1] if error.args else error)
    return re.sub(r"^(?:<[^>]*>|\w+\([^)]*\)): ", "", " ".join(text.split()))


def _length(path: pathlib.Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


@contextlib.contextmanager
def _shown(
    url: str, size: int
) -> Iterator[tuple[Callable[[int], None], Callable[[str], None]]]:
    """Two functions: one takes the number of bytes so far, one prints a line.

    A bar on a terminal; elsewhere one line says what is downloaded.
    """
    from rich import progress

    from vae_jax import console  # needs rich

    terminal = console.stderr()
    if not terminal.is_terminal:

        def say(line: str) -> None:
            print(line, file=sys.stderr)

        say(f"downloading {url} ({size / 1e6:.1f} MB)")
        yield lambda have: None, say
        return
    with progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
        console=terminal,
    ) as bar:
        task = bar.add_task(url.rsplit("/", 1)[-1], total=size)
        yield (
            lambda have: bar.update(task, completed=have),
            lambda line: terminal.print(line, markup=False, highlight=False),
        )
