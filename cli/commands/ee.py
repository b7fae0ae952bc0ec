"""`cropmap ee`: access to Google Earth Engine, and whether it answers as cropmap assumes."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.options.paths import OUT_FILE
from cli.options.shared import earth_engine_options, earth_engine_settings

if TYPE_CHECKING:
    from gee_pipeline.earthengine.selfcheck.access_check import AccessCheck
    from gee_pipeline.earthengine.selfcheck.comparison import Outcome, SelfcheckReport

DIFFERS = 2
"""Exit code where something has to be fixed."""

_json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")


@click.group()
def ee() -> None:
    """Get access to Google Earth Engine and see whether it works."""


@ee.command(short_help="Give this computer access with your Google account.")
@click.option("--project", help="Google Cloud project to remember for later commands.")
@click.option(
    "--auth-mode",
    type=click.Choice(["localhost", "notebook", "gcloud", "colab"]),
    help="How to log in: localhost opens a browser on this computer, notebook shows a link for any browser, "
    "gcloud uses Google's command line.  [default: what fits here]",
)
@click.option("--force", is_flag=True, help="Log in again even where there are credentials that work.")
def login(project: str | None, auth_mode: str | None, force: bool) -> None:
    """Give this computer access to Earth Engine with your Google account, in a browser.

    It asks a person, so it does not work in a job on a server: use --service-account KEY.json or
    application default credentials (docs/earth_engine.md).

    \b
    Example:
      cropmap ee login --project my-project
    """
    from gee_pipeline.earthengine.selfcheck.access_check import log_in

    for line in log_in(project, auth_mode, force=force, interactive=_a_person_is_there()):
        click.echo(line)


@ee.command(short_help="Check whether Earth Engine can be used, step by step.")
@earth_engine_options
@_json_option
def check(as_json: bool, **options: Any) -> None:
    """Check whether Earth Engine can be used: credentials, project, service, quota and one tiny composite.

    Stops at the first step that fails, says what to do about it and exits with 2. The composite costs a
    few EECU-seconds.

    \b
    Example:
      cropmap ee check --project my-project
    """
    from gee_pipeline.earthengine.selfcheck.access_check import check_access

    steps = check_access(earth_engine_settings(options))
    done = list(steps) if as_json else _shown(steps)
    passed = all(step.passed for step in done)
    if as_json:
        click.echo(json.dumps({"passed": passed, "steps": [asdict(step) for step in done]}))
    if not passed:
        click.get_current_context().exit(DIFFERS)


@ee.command(short_help="Ask Earth Engine small questions whose answers cropmap relies on.")
@earth_engine_options
@click.option(
    "--out",
    type=OUT_FILE,
    help="File for the record of questions and answers, as JSON.",
)
@_json_option
def selfcheck(out: Path | None, as_json: bool, **options: Any) -> None:
    """Ask Earth Engine small questions and compare its answers with what cropmap assumes.

    Each question is one assumption of docs/earth_engine_semantics.md, with a known answer, computed by hand.
    Exits with 2 where one differs: maps may differ too. Costs a few EECU-seconds.

    \b
    Example:
      cropmap ee selfcheck --project my-project --out earth_engine.json
    """
    from gee_pipeline.earthengine.selfcheck.comparison import run_selfcheck
    from gee_pipeline.files import require_writable, write_bytes

    if out:
        require_writable(out)
    record = run_selfcheck(earth_engine_settings(options), on_outcome=None if as_json else _show_outcome)
    text = json.dumps(record.to_dict(), indent=1, ensure_ascii=False)
    if out:
        write_bytes(out, text.encode())
    click.echo(text if as_json else _summary(record, out))
    if not record.agrees:
        click.get_current_context().exit(DIFFERS)


def _shown(steps: Iterable[AccessCheck]) -> list[AccessCheck]:
    """The steps, each printed as soon as it is done."""
    done = []
    for step in steps:
        click.echo(f"{_tick(step.passed)} {step.name:<12} {step.text}")
        done.append(step)
    return done


def _show_outcome(outcome: Outcome) -> None:
    word = "agrees" if outcome.agrees else "DIFFERS"
    click.echo(f"{_tick(outcome.agrees)} {outcome.id:<4} {word:<8} {outcome.question}")
    if not outcome.agrees:
        click.echo(f"      expected {json.dumps(outcome.expected)}, got {json.dumps(outcome.answer)}")


def _summary(record: SelfcheckReport, out: Path | None) -> str:
    differing = [outcome.id for outcome in record.outcomes if not outcome.agrees]
    text = f"{len(record.outcomes) - len(differing)} of {len(record.outcomes)} answers as assumed"
    if differing:
        text += f"; {', '.join(differing)} differ, see docs/earth_engine_semantics.md for what rests on them"
    spent = record.spent
    text += f". {spent.requests} requests, {spent.eecu_seconds:.2f} EECU-seconds"
    if spent.unmeasured:
        text += f" ({spent.unmeasured} requests unmeasured)"
    return f"{text}. Record: {out}" if out else f"{text}."


def _tick(good: bool) -> str:
    """A tick or a cross where the terminal can show them."""
    mark, plain = ("✓", "ok") if good else ("✗", "!!")
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    try:
        mark.encode(encoding)
    except UnicodeEncodeError:
        return plain
    return mark


def _a_person_is_there() -> bool:
    return sys.stdin.isatty()
