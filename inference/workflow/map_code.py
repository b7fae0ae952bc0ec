"""The script of a map that Earth Engine makes without cropmap, for what a map on the servers is asked for."""

from __future__ import annotations

import re

from inference.scripts.map_script import ScriptRequest, notices, write_script
from inference.scripts.script_text import Language
from inference.workflow.plan_served import plan_served
from inference.workflow.request import Listener, ServedRequest


def code_of_map(
    request: ServedRequest,
    language: Language,
    listener: Listener | None = None,
    *,
    name: str | None = None,
    **named: str,
) -> str:
    """The script as text; nothing is sent, and no account is needed.

    Args:
        request: Area, year and model.
        language: JavaScript for the Code Editor, or Python.
        listener: Receives notices.
        name: What tasks and files are called; None takes the area's name and the year.
        **named: `project` and `folder` of the script, as `ScriptRequest` has them.

    Raises:
        InputError: A script cannot make the map.
        MismatchError: The deployment is of another model.
    """
    listener = listener or Listener()
    planned = plan_served(request, listener)
    script = ScriptRequest(
        planned.server_model,
        planned.plan.grid,
        planned.plan.area,
        planned.plan.season,
        name or re.sub(r"[^A-Za-z0-9_-]+", "_", f"{request.aoi.stem}_{request.year}"),
        cropland=request.cropland,
        layers=planned.plan.layers,
        **named,
    )
    text = write_script(script, language)
    for notice in notices(script, language, text):
        listener.notice(notice)
    return text
