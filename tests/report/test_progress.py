"""What a bar shows on a terminal of 80 columns, and elsewhere."""

import io
import logging
import re
import time

import pytest
from rich.console import Console

from vae_jax import console
from vae_jax.report.progress import Parts, ProgressBar, pace


@pytest.fixture
def terminal(monkeypatch):
    """A terminal of 80 columns in place of stderr; gives what was written to it."""
    written = io.StringIO()
    screen = Console(
        file=written, force_terminal=True, width=80, color_system=None, _environ={}
    )
    monkeypatch.setattr(console, "stderr", lambda: screen)
    return written


def last_frame(written: io.StringIO) -> list[str]:
    """The lines of the bar as they were drawn last."""
    return written.getvalue().split("\x1b[2K")[-1].splitlines()


def test_at_80_columns_the_bar_keeps_its_time_left(terminal):
    metrics = {"elbo": -100.5312, "rate": 27.0812}
    with ProgressBar("train 12/16", 100_000) as bar:
        bar.update(98_000, metrics)
        time.sleep(0.2)
        bar.update(99_000, metrics)
        bar._progress.refresh()
        line = last_frame(terminal)[0]
    assert len(line) <= 80
    assert line.startswith("train 12/16 99000/100000 ")
    assert re.search(r" \d:\d\d:\d\d [\d,]+ steps/s  elbo −100.53  rate 27.08$", line)


def test_a_log_line_goes_above_the_bar(terminal):
    handler = logging.StreamHandler(console.LogStream())
    handler.setFormatter(console.PlainFormatter())
    long = "x" * 100
    with ProgressBar("train", 10) as bar:
        bar.update(5)
        bar._progress.refresh()
        for level, text in ((logging.INFO, long), (logging.WARNING, "[b]odd")):
            handler.emit(logging.LogRecord("", level, "", 0, text, None, None))
        lines = terminal.getvalue().splitlines()
    found = [line.split("\x1b[2K")[-1] for line in lines]
    told = [line for line in found if long in line or "odd" in line]
    assert [text[8:] for text in told] == [f" {long}", " warning: [b]odd"]
    assert not any("train" in text for text in told)
    assert lines[-1].split("\x1b[2K")[-1].startswith("train 5/10")


def test_a_grid_shows_its_members(terminal, capsys, monkeypatch):
    members = {f"kl_weight={i}": {"elbo": -100.0 - i, "rate": 20.0} for i in range(24)}
    with ProgressBar("train", 10) as bar:
        bar.update(5, note="24 members", members=members)
        bar._progress.refresh()
        shown = " ".join(terminal.getvalue().split())
    assert "kl_weight=0 elbo −100.00 rate 20.00" in shown
    assert "kl_weight=21 elbo −121.00 rate 20.00" in shown
    assert "8 of 24 members" in shown
    monkeypatch.undo()
    with ProgressBar("train", 10, seconds_between_lines=0) as bar:
        bar.update(5, note="24 members", members=members)
    line = capsys.readouterr().err
    assert "24 members  elbo −123.00 to −100.00  rate 20.00 to 20.00" in line


def test_elsewhere_each_part_of_one_thing_has_a_line(capsys):
    with ProgressBar("evaluate", 1, unit="member") as bar:
        parts = Parts(["likelihood", "codes"], lambda s, name: bar.update(s, note=name))
        parts.begin("likelihood")
        parts.progress(1, 2)
        parts.begin("codes")
        bar.update(1)
    first, second, last = capsys.readouterr().err.splitlines()
    assert first == "evaluate 0%  likelihood"
    assert second == "evaluate 50%  codes  0:00:00 left"
    assert last == "evaluate 100%  in 0:00:00"


def test_a_silent_bar_shows_nothing(terminal, capsys):
    with ProgressBar("train", 2, silent=True) as bar:
        bar.update(2)
    assert terminal.getvalue() == "" and capsys.readouterr().err == ""


def test_below_one_a_second_the_pace_is_seconds_for_each():
    assert pace(660, 2.0, "step") == "330 steps/s"
    assert pace(5, 2.0, "member") == "2.5 members/s"
    assert pace(10, 32.0, "member") == "3.2 s/member"
    assert pace(0, 5.0, "step") == ""
