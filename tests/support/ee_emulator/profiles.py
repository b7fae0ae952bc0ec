"""What requests cost, made up, and the profiles that tell it.

The cost of a request for pixels is `bands x pixels x EECU_OF_A_SAMPLE + EECU_OF_A_REQUEST`, of a computed
value `EECU_OF_A_REQUEST` alone, rounded up to the thousandth that the text table shows. It has nothing to do
with what the service would charge; it is there so that sums can be compared.
"""

from __future__ import annotations

import math
import threading
from itertools import count
from typing import Any, Final

from tests.support.ee_emulator.faults import Refusal

EECU_OF_A_SAMPLE: Final = 2e-5
"""EECU-seconds of one pixel of one band."""
EECU_OF_A_REQUEST: Final = 0.05
"""EECU-seconds of any request."""

_HEADER: Final = " EECU·s PeakMem Count  Description\n"


def cost(samples: int) -> float:
    """EECU-seconds of a request for this many samples (bands x pixels)."""
    return math.ceil(1000 * (EECU_OF_A_REQUEST + samples * EECU_OF_A_SAMPLE) - 1e-9) / 1000


class Profiles:
    """Costs by profile id; safe in threads."""

    def __init__(self) -> None:
        self._costs: dict[str, float] = {}
        self._numbers = count(1)
        self._lock = threading.Lock()

    def new(self, seconds: float) -> str:
        """Keep a cost and return the id that asks for it."""
        with self._lock:
            name = f"profile-{next(self._numbers):06d}"
            self._costs[name] = seconds
        return name

    def table(self, ids: list[str]) -> str:
        """The text table of these profiles together: three rows whose first column adds up to their cost."""
        missing = [name for name in ids if name not in self._costs]
        if missing:
            raise Refusal(404, f"Profile not found: {missing[0]}.")
        total = round(1000 * sum(self._costs[name] for name in ids))
        loading, plumbing = total // 2, total // 10
        rows = (
            (loading, "571k", "Loading assets: COPERNICUS/S2_SR_HARMONIZED/(...)"),
            (
                total - loading - plumbing,
                "1.6M",
                "Algorithm ImageCollection.reduce with reducer Reducer.median",
            ),
            (plumbing, "352", "(plumbing)"),
        )
        return _HEADER + "".join(
            f"{part / 1000:7.3f} {memory:>7} {len(ids):5d}  {text}\n" for part, memory, text in rows
        )


def asked_profiles(expression: dict[str, Any]) -> list[str] | None:
    """Ids that an expression asks `Profile.getProfiles` for; None for any other expression.

    Raises:
        Refusal: Another format than text is asked for.
    """
    values = expression["values"]
    call = _resolve(values[expression["result"]], values).get("functionInvocationValue", {})
    if call.get("functionName") != "Profile.getProfiles":
        return None
    arguments = call["arguments"]
    form = _plain(arguments["format"], values) if "format" in arguments else "text"
    if form != "text":
        raise Refusal(400, f"The emulator tells profiles as text only, not as {form!r}.")
    return list(_plain(arguments["ids"], values))


def _resolve(node: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    while "valueReference" in node:
        node = values[node["valueReference"]]
    return node


def _plain(node: dict[str, Any], values: dict[str, Any]) -> Any:
    node = _resolve(node, values)
    if "constantValue" in node:
        return node["constantValue"]
    return [_plain(item, values) for item in node["arrayValue"]["values"]]
