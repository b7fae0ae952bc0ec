"""What a request says while it works: a bar in a notebook or a terminal, and notices below it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inference.workflow.request import Listener


@contextmanager
def listening(progress: bool) -> Iterator[Listener]:
    """Receives notices and progress of a request.

    Args:
        progress: Whether to show them; without, a request works in silence.
    """
    from inference.workflow.request import Listener

    if not progress:
        yield Listener()
        return
    from rich.progress import Progress

    with Progress(transient=True) as bar:
        task = bar.add_task("cells", total=None)

        def show(state: Any) -> None:
            bar.update(task, completed=state.done + state.failed, total=state.planned)

        # as it is: brackets in it are no markup, and numbers get no colours
        yield Listener(partial(bar.console.print, markup=False, highlight=False), show)


@contextmanager
def counted(what: str, progress: bool) -> Iterator[Callable[[int, int], None]]:
    """Receives how many of how many things are done.

    Args:
        what: The things.
        progress: Whether to show them.
    """
    if not progress:
        yield lambda done, planned: None
        return
    from rich.progress import Progress

    with Progress(transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, planned: bar.update(task, completed=done, total=planned)
