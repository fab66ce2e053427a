"""What errors of the client libraries become."""

import json

import pytest
from kubernetes.client.exceptions import ApiException
from urllib3 import HTTPConnectionPool
from urllib3.exceptions import HTTPError, ReadTimeoutError

from activities.kubernetes.errors import guest_errors
from api.errors import ErrorCode
from contracts.errors import StepError

SECRET = "hunter2"


def translated(error: Exception) -> StepError:
    with pytest.raises(StepError) as caught, guest_errors("GET /x"):
        raise error
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    return caught.value


def answer(status: int, **document: object) -> ApiException:
    return ApiException(status=status, body=json.dumps({"kind": "Status", "message": SECRET, **document}))


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, ErrorCode.API_DENIED),
        (403, ErrorCode.API_DENIED),
        (429, ErrorCode.API_NOT_READY),
        (500, ErrorCode.API_NOT_READY),
        (503, ErrorCode.API_NOT_READY),
        (404, ErrorCode.INTERNAL),
        (409, ErrorCode.INTERNAL),
    ],
)
def test_a_status_code_decides(status: int, code: ErrorCode) -> None:
    error = translated(answer(status, reason="Why"))
    assert error.code is code
    assert error.message == f"GET /x: {status} Why"


def test_faulty_fields_are_named_but_not_their_values() -> None:
    causes = [{"field": "spec.b", "message": SECRET}, {"field": "spec.a", "message": SECRET}]
    error = translated(answer(422, reason="Invalid", details={"causes": causes}))
    assert error.message == "GET /x: 422 Invalid (spec.a, spec.b)"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        (["spec.clusterIPs"], ErrorCode.API_NOT_READY),
        (["spec.clusterIPs[0]", "spec.ports[1].nodePort"], ErrorCode.API_NOT_READY),
        (["spec.clusterIPs", "spec.type"], ErrorCode.INTERNAL),
        ([], ErrorCode.INTERNAL),
    ],
)
def test_an_address_that_a_request_has_left_behind_is_waited_for(fields: list[str], code: ErrorCode) -> None:
    error = translated(answer(422, reason="Invalid", details={"causes": [{"field": field} for field in fields]}))
    assert error.code is code
    assert ("another object has it" in error.message) is (code is ErrorCode.API_NOT_READY)


@pytest.mark.parametrize("body", [None, "", SECRET, "[]", '{"details": null}'])
def test_an_answer_that_is_no_status_is_still_an_error(body: str | None) -> None:
    assert translated(ApiException(status=500, body=body)).message == "GET /x: 500"


@pytest.mark.parametrize(
    "error",
    [
        HTTPError(SECRET),
        ReadTimeoutError(HTTPConnectionPool("nowhere"), "/x", SECRET),
        TimeoutError(SECRET),
        ConnectionResetError(),
    ],
)
def test_no_answer_is_an_api_that_is_not_ready(error: Exception) -> None:
    assert translated(error).code is ErrorCode.API_NOT_READY


@pytest.mark.parametrize(
    "error", [json.JSONDecodeError(SECRET, SECRET, 0), UnicodeDecodeError("utf-8", b"x", 0, 1, SECRET)]
)
def test_a_body_that_was_cut_is_an_api_that_is_not_ready(error: Exception) -> None:
    assert translated(error).code is ErrorCode.API_NOT_READY
    assert translated(error).message == "GET /x: the answer was cut short or is no JSON"
