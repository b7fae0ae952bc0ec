import io
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ee
import numpy as np
import pytest
import rasterio
import requests
from affine import Affine

from tests.support.ee_emulator.answers import Answer
from tests.support.ee_emulator.profiles import EECU_OF_A_REQUEST, EECU_OF_A_SAMPLE
from tests.support.ee_emulator.server import Emulator

pytestmark = pytest.mark.slow

ORIGIN = (300_000, 4_500_000)


def grid(width: int = 8, height: int = 4) -> dict[str, Any]:
    return {
        "dimensions": {"width": width, "height": height},
        "affineTransform": {"scaleX": 10, "translateX": ORIGIN[0], "scaleY": -10, "translateY": ORIGIN[1]},
        "crsCode": "EPSG:32615",
    }


def pixels(file_format: str = "GEO_TIFF", **more: Any) -> bytes:
    image = ee.Image.constant(1)
    return ee.data.computePixels({"expression": image, "fileFormat": file_format, "grid": grid(), **more})


def expected(width: int = 8, height: int = 4) -> np.ndarray:
    """Values of the stand-in's two bands, pixel by pixel."""
    values = np.zeros((2, height, width), dtype="int16")
    for y in range(height):
        for x in range(width):
            values[0, y, x] = (ORIGIN[0] + 10 * x + 5) // 100
            values[1, y, x] = (ORIGIN[1] - 10 * y - 5) % 1000 if x % 2 == 0 else 0
    return values


def authorised(server: Emulator) -> dict[str, str]:
    return {"Authorization": f"Bearer {server.tokens.new()}"}


def test_the_client_gets_values(server: Emulator) -> None:
    assert ee.Number(7).getInfo() == 7
    assert ee.List([1, "two"]).getInfo() == [1, "two"]


def test_the_client_knows_google_s_algorithms(server: Emulator) -> None:
    assert len(ee.ApiFunction.allSignatures()) > 900


def test_a_geotiff_has_values_names_and_grid(server: Emulator) -> None:
    with rasterio.open(io.BytesIO(pixels())) as raster:
        np.testing.assert_array_equal(raster.read(), expected())
        assert raster.descriptions == ("east", "north")
        assert raster.crs == "EPSG:32615"
        assert raster.transform == Affine(10, 0, ORIGIN[0], 0, -10, ORIGIN[1])
        assert raster.dtypes == ("int16", "int16")


def test_npy_is_a_structured_array(server: Emulator) -> None:
    array = np.load(io.BytesIO(pixels("NPY")))
    assert array.dtype.names == ("east", "north")
    np.testing.assert_array_equal(np.stack([array["east"], array["north"]]), expected())


def test_band_ids_choose_and_order(server: Emulator) -> None:
    array = np.load(io.BytesIO(pixels("NPY", bandIds=["north"])))
    assert array.dtype.names == ("north",)
    with pytest.raises(ee.EEException, match="Band pattern 'west'"):
        pixels("NPY", bandIds=["west"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"grid": {}}, "explicit grid"),
        ({"grid": grid() | {"crs": "EPSG:32615"}}, 'Unknown name "crs"'),
        ({"grid": grid(40_000, 1)}, r"Pixel grid dimensions \(40000x1\) must be less than or equal to 32768"),
        # 2 bands x 2 B x 3600 x 3600
        (
            {"grid": grid(3600, 3600)},
            r"Total request size \(51840000 bytes\) must be less than or equal to 50331648",
        ),
        ({"fileFormat": "PNG"}, "NPY and GEO_TIFF"),
        ({"tileScale": 2}, 'Unknown name "tileScale"'),
    ],
)
def test_a_wrong_request_for_pixels_is_refused(
    server: Emulator, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ee.EEException, match=message):
        pixels(**{"file_format": change.pop("fileFormat", "NPY"), **change})
    assert server.log[0].status == 400


def test_too_many_bands_are_refused(start: Any) -> None:
    band = (np.zeros((4, 8), "int16"), np.ones((4, 8), bool))
    start(image_pixels=lambda image, grid: [(f"B{n}", *band) for n in range(1025)])
    with pytest.raises(ee.EEException, match=r"Number of bands \(1025\) must be less than or equal to 1024"):
        pixels()


def test_a_large_request_is_refused(server: Emulator) -> None:
    with pytest.raises(ee.EEException, match="Request payload size exceeds the limit: 10485760 bytes"):
        ee.String("x" * 10_485_760).getInfo()


def test_the_log_tells_what_was_asked(server: Emulator) -> None:
    pixels()
    ee.Number(1).getInfo()
    first, second = server.log
    assert (first.kind, first.method, first.status, first.threads_at_once) == ("pixels", "POST", 200, 1)
    assert first.grid is not None
    assert (first.grid.crs, first.grid.width, first.grid.height) == ("EPSG:32615", 8, 4)
    assert first.grid.transform == Affine(10, 0, ORIGIN[0], 0, -10, ORIGIN[1])
    assert first.bands == ("east", "north")
    assert first.body is not None
    assert first.body["fileFormat"] == "GEO_TIFF"
    assert first.headers["x-goog-user-project"] == "crop-maps"
    assert second.kind == "value"
    assert "authorization" not in first.headers


def test_expired_tokens_are_renewed_by_the_client(server: Emulator) -> None:
    server.expire_tokens()
    assert ee.Number(3).getInfo() == 3
    assert [(entry.kind, entry.status) for entry in server.log] == [
        ("value", 401),
        ("token", 200),
        ("value", 200),
    ]


def test_a_revoked_account_gets_no_token(server: Emulator) -> None:
    server.expire_tokens()
    server.tokens.revoked = True
    with pytest.raises(Exception, match="expired or revoked"):
        ee.Number(3).getInfo()


def test_an_assertion_with_another_signature_gets_no_token(start: Any, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    server = start()
    key = json.loads(server.key_file(tmp_path).read_text())
    key["private_key"] = (
        rsa.generate_private_key(public_exponent=65537, key_size=2048)
        .private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        .decode()
    )
    with pytest.raises(Exception, match="Invalid JWT Signature"):
        ee.Initialize(ee.ServiceAccountCredentials(None, key_data=json.dumps(key)), url=server.url)


@pytest.mark.parametrize(
    ("headers", "message"),
    [({}, "missing required authentication"), ({"Authorization": "Bearer x"}, "invalid authentication")],
)
def test_without_a_good_token_the_answer_is_401(
    server: Emulator, headers: dict[str, str], message: str
) -> None:
    answer = requests.get(f"{server.url}/v1/projects/crop-maps/algorithms", headers=headers, timeout=5)
    assert answer.status_code == 401
    assert answer.json()["error"]["status"] == "UNAUTHENTICATED"
    assert message in answer.json()["error"]["message"]


def test_another_project_is_refused(server: Emulator) -> None:
    url = f"{server.url}/v1/projects/other-maps/algorithms"
    error = requests.get(url, headers=authorised(server), timeout=5).json()["error"]
    assert (error["code"], error["status"]) == (403, "PERMISSION_DENIED")
    assert error["details"][0]["reason"] == "USER_PROJECT_DENIED"
    assert "permission to use project other-maps" in error["message"]


def test_without_a_project_that_of_the_account_counts(server: Emulator, tmp_path: Path) -> None:
    ee.Initialize(ee.ServiceAccountCredentials(None, str(server.key_file(tmp_path))), url=server.url)
    assert ee.Number(2).getInfo() == 2
    assert "/projects/earthengine-legacy/" in server.log[-1].path


@pytest.mark.parametrize("path", ["/v1/projects/crop-maps/maps", "/v1/", "/nothing"])
def test_an_unknown_address_is_404(server: Emulator, path: str) -> None:
    answer = requests.get(server.url + path, headers=authorised(server), timeout=5)
    assert answer.status_code == 404
    assert path in answer.json()["error"]["message"]
    assert server.log[-1].kind == "unknown"


def test_a_mistake_of_the_evaluator_is_told_and_kept(server: Emulator) -> None:
    with pytest.raises(ee.EEException, match="a mistake in the evaluator"):
        ee.Number(1).divide(0).getInfo()
    assert "ZeroDivisionError" in server.errors.pop()


def test_profiles_add_up_to_what_was_charged(server: Emulator) -> None:
    profiles: list[str] = []
    with ee.data.profiling(profiles.append):
        pixels()
        ee.Number(1).getInfo()
    table = ee.ApiFunction.lookup("Profile.getProfiles").call(ids=profiles).getInfo()
    rows = table.splitlines()
    assert rows[0].split() == ["EECU·s", "PeakMem", "Count", "Description"]
    told = sum(float(row.split()[0]) for row in rows[1:])
    # 2 bands x 32 pixels and two requests, each up to the next thousandth
    cost = 64 * EECU_OF_A_SAMPLE + 2 * EECU_OF_A_REQUEST
    assert cost <= told < cost + 0.002
    assert told == pytest.approx(server.eecu_seconds)


def test_without_being_asked_for_no_profile_is_made(server: Emulator) -> None:
    pixels()
    with pytest.raises(ee.EEException, match="Profile not found: profile-000001"):
        ee.ApiFunction.lookup("Profile.getProfiles").call(ids=["profile-000001"]).getInfo()


def test_24_threads_are_served_at_once(server: Emulator) -> None:
    server.script("pixels", *Answer.together(24))
    with ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(lambda number: pixels("NPY"), range(24)))
    assert len(set(answers)) == 1
    assert server.log.most_at_once() == 24
    assert all(entry.status == 200 for entry in server.log.of("pixels"))


def test_one_request_after_another_counts_as_one_at_once(server: Emulator) -> None:
    for _ in range(30):
        ee.Number(1).getInfo()
    assert server.log.most_at_once("value") == 1


def test_the_discovery_document_leads_back_to_the_server(server: Emulator) -> None:
    document = requests.get(f"{server.url}/$discovery/rest?version=v1", timeout=5).json()
    assert document["version"] == "v1"
    assert document["rootUrl"] == document["baseUrl"] == f"{server.url}/"
    export = document["resources"]["projects"]["resources"]["classifier"]["methods"]["export"]
    assert export["path"] == "v1/{+project}/classifier:export"
