"""The kinds of error that differ in what the user does next.

Every message says the rule, what was got and the way out. Exit codes of the command: 0 a complete map,
2 something the user has to fix, 3 a run that is incomplete and continues with the same command.
"""

from gee_pipeline.incoming.addresses import without_secrets


class CropmapError(Exception):
    """Base of all errors that cropmap raises on purpose.

    URLs in its text are shown without user, password and query: it goes to the screen, the ledger and logs.
    """

    exit_code = 2

    def __init__(self, text: str = "") -> None:
        super().__init__(without_secrets(text))


class InputError(CropmapError):
    """Something the user gave cannot be used; nothing was written."""


class MismatchError(CropmapError):
    """Two things that must share a recipe, grid, model or area do not."""


class CorruptFileError(CropmapError):
    """A file is damaged or not of the kind it claims to be."""


class SceneReadError(CropmapError):
    """An asset of a scene could not be read, also after retries; the cell that needs it fails."""

    def __init__(self, text: str = "", *, for_good: bool = False) -> None:
        super().__init__(text)
        self.for_good = for_good
        """Whether the scene stays as it is, missing or damaged, however often it is read."""


class DiskFullError(CropmapError):
    """The disk has no room for the next file; the run continues once there is space."""


class PlaceError(CropmapError):
    """The folder of the results is gone or cannot be written to; every further cell would find the same."""


class IncompleteRunError(CropmapError):
    """Planned cells are missing from the map; the same command continues the run."""

    exit_code = 3


class AccessError(InputError):
    """Earth Engine cannot be used: credentials, project, permission or quota; the same for every cell."""


class NoCredentialsError(AccessError):
    """There is nothing to log in to Earth Engine with."""


class NoProjectError(AccessError):
    """There are credentials, but no Google Cloud project to count the work for."""


class EarthEngineError(CropmapError):
    """One request to Earth Engine failed for good; the cell that needs it fails, the run continues."""


class BudgetSpentError(IncompleteRunError):
    """The computing budget of a run is used up; the run continues with a larger one."""
