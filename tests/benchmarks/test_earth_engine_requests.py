"""The benchmark of requests counts what it says, and fails where a request is too large."""

from dataclasses import replace

import pytest

from benchmarks import earth_engine_requests
from tests.support.ee_asking import offline_client


@pytest.fixture(scope="module")
def measured():
    with offline_client():
        return earth_engine_requests.measure()


def test_each_request_keeps_to_its_limits_and_is_reported(measured):
    assert all(one.passed for one in measured)
    assert [one.scenes for one in measured] == [30, 55, 108, 108]
    lines = earth_engine_requests.report(measured).splitlines()
    for line, one in zip(lines[1:], measured, strict=True):
        assert line.startswith(one.name)
        assert f"{one.size:,}" in line


@pytest.mark.parametrize("worse", [{"size": 30_001}, {"calls": 16 * 30 + 1}, {"searching": 1}])
def test_a_larger_request_fails(measured, monkeypatch, worse):
    monkeypatch.setattr(earth_engine_requests, "measure", lambda: [replace(measured[0], **worse)])
    with pytest.raises(SystemExit, match="1"):
        earth_engine_requests.main()
