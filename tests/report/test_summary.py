"""What a grid and a report end with."""

import pathlib

from vae_jax.report.summary import SHOWN, print_summary

REPORT = pathlib.Path("runs/kl/report.html")


def printed(capsys, rows, swept) -> list[str]:
    print_summary(rows, swept, REPORT)
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def row(weight: float, seed: int, **results: float | None) -> dict:
    return {"name": f"{weight},{seed}", "kl_weight": weight, "seed": seed, **results}


def test_a_line_for_each_setting_with_errors_over_seeds(capsys):
    rows = [
        row(4.0, 0, elbo=-27.1, rate=0.125, coverage=0.5),
        row(4.0, 1, failed_at_step=70),
        row(1.0, 0, elbo=-22.0, rate=5.0, coverage=None),
        row(1.0, 1, elbo=-22.2, rate=5.0, coverage=0.9),
    ]
    head, one, four, place = printed(capsys, rows, ["kl_weight"])
    assert head == "setting runs ELBO, nats rate coverage"
    assert one == "kl_weight 1 2 −22.10 ± 0.10 5 ± 0 –"
    assert four == "kl_weight 4 1 of 2 −27.1 0.125 0.5"
    assert place == f"report: {REPORT}"


def test_many_settings_are_thinned_and_the_rest_is_named(capsys):
    rows = [row(float(w), 0, elbo=-1.0) for w in range(1000)]
    lines = printed(capsys, rows, ["kl_weight"])
    assert len(lines) == SHOWN + 3
    assert lines[-2] == f"{SHOWN} of 1000 settings; all of them: runs/kl/summary.csv"
