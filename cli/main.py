"""The `cropmap` command: a group whose subcommands are imported only when called."""

from __future__ import annotations

import gc
import os
from typing import Any, Final

import click

from cli.lazy import LazyGroup
from cli.run_log import logged, note_error, start_log
from gee_pipeline.errors import CropmapError
from gee_pipeline.incoming.addresses import without_secrets

COMMANDS: Final = {
    "predict": "cli.commands.predict:predict",
    "advise": "cli.commands.advise:advise",
    "export": "cli.commands.export:export",
    "estimate": "cli.commands.estimate:estimate",
    "status": "cli.commands.status:status",
    "verify": "cli.commands.maps.verify:verify",
    "assess": "cli.commands.assess:assess",
    "smooth": "cli.commands.maps.smooth:smooth",
    "fields": "cli.commands.maps.fields:fields",
    "report": "cli.commands.maps.report:report",
    "publish": "cli.commands.maps.publish:publish",
    "season": "cli.commands.season:season",
    "sample": "cli.commands.sample:sample",
    "samples": "cli.commands.samples:samples",
    "data": "cli.commands.data:data",
    "train": "cli.commands.models.train:train",
    "adapt": "cli.commands.models.adapt:adapt",
    "distill": "cli.commands.models.distill:distill",
    "labels": "cli.commands.labels:labels",
    "tune": "cli.commands.models.tune:tune",
    "model": "cli.commands.models.model:model",
    "evaluate": "cli.commands.models.evaluate:evaluate",
    "benchmark": "cli.commands.models.benchmark:benchmark",
    "explain": "cli.commands.models.explain:explain",
    "deploy": "cli.commands.models.deploy:deploy",
    "compare": "cli.commands.models.compare:compare",
    "code": "cli.commands.models.code:code",
    "forest": "cli.commands.forest:forest",
    "ee": "cli.commands.ee:ee",
    "doctor": "cli.commands.doctor:doctor",
}
"""Name of a subcommand -> where its click command is defined."""

INTERRUPTED: Final = 130
"""Exit code after Ctrl-C, as shells have it."""

COLLECTING: Final = (50_000, 10, 10)
"""Thresholds of Python's search for cycles of objects. At its own, 700 new objects, it walks again and again
through all that torch, numba and matplotlib load: an eighth of the time of a map of one cell."""

TRACEBACK_VARIABLE: Final = "CROPMAP_TRACEBACK"
"""Environment variable that shows where an unexpected error arose, set to anything."""


class Cropmap(LazyGroup):
    """All commands; cropmap's errors are worded here, in one place."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take the command line, for the log."""
        start_log(ctx, args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the subcommand; its log has all that it says, and how it ends."""
        gc.set_threshold(*COLLECTING)
        with logged(ctx):
            return self._answered(ctx)

    def _answered(self, ctx: click.Context) -> Any:
        """Run the subcommand; every error becomes one message and an exit code."""
        try:
            return super().invoke(ctx)
        except CropmapError as error:
            note_error(error)
            click.echo(f"Error: {error}", err=True)
            ctx.exit(error.exit_code)
        except (click.exceptions.Exit, click.ClickException, click.Abort, BrokenPipeError):
            raise
        except Exception as error:  # the border to the user: what is not cropmap's own is one line too
            if os.environ.get(TRACEBACK_VARIABLE):
                raise
            note_error(error)
            click.echo(f"Error: {without_secrets(_unexpected(error))}", err=True)
            ctx.exit(CropmapError.exit_code)
        except KeyboardInterrupt as error:
            note_error(error)
            click.echo("Interrupted. What was finished is kept; give the same command to continue.", err=True)
            ctx.exit(INTERRUPTED)


def _unexpected(error: Exception) -> str:
    """An error of the system or of a library in one line."""
    if isinstance(error, OSError) and error.strerror:
        where = f": {error.filename}" if error.filename else ""
        return f"{error.strerror}{where}. Check that the place exists, can be written to and has room."
    if isinstance(error, MemoryError):
        return "The memory of this machine does not suffice. Choose a smaller --cell-size or fewer --workers."
    text = " ".join(str(error).split())[:500]
    return (
        f"{type(error).__name__}: {text or 'no further words'}. cropmap did not expect this; set "
        f"{TRACEBACK_VARIABLE}=1 to see where it arose."
    )


def _tell_versions(ctx: click.Context, param: click.Parameter, wanted: bool) -> None:
    if wanted:
        from inference.workflow.doctor import versions

        click.echo(versions())
        ctx.exit()


@click.command(cls=Cropmap, places=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_tell_versions,
    help="Print versions: cropmap's, and those of what decides results; for reports of faults.",
)
def cropmap() -> None:
    """Make wall-to-wall crop maps from Sentinel-2.

    \b
    A first map, from Google Earth Engine or from scenes of your own:
      cropmap predict --aoi region.geojson --year 2023 --project my-project
      cropmap predict --aoi region.geojson --year 2023 --source scenes/catalog.json

    Exit codes: 0 all done; 2 something to fix (bad input); 3 an incomplete run, which the same command
    continues; 130 interrupted.
    """


if __name__ == "__main__":
    cropmap(prog_name="cropmap")
