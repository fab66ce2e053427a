"""Reading a value as it lies in etcd, past the API server."""

import base64
import json
import ssl

import urllib3

from activities.kubernetes.client import TIMEOUTS
from activities.kubernetes.errors import guest_errors
from api.errors import ErrorCode
from contracts.errors import StepError
from nodes.v1.etcd import HTTP_PORT


def read_raw(addresses: list[str], tls: ssl.SSLContext, key: str) -> bytes:
    """Return the value of ``key``, empty when there is none, from the first member that answers.

    It asks etcd's HTTP gateway (etcd: "gRPC gateway"); the read is linearizable, so any member will do.
    Raises ``StepError`` as ``guest_errors`` does when no member answers.
    """
    for address in addresses[:-1]:
        try:
            return _range(address, tls, key)
        except StepError as error:
            if error.code is not ErrorCode.API_NOT_READY:
                raise
    return _range(addresses[-1], tls, key)


def _range(address: str, tls: ssl.SSLContext, key: str) -> bytes:
    url = f"https://{address}:{HTTP_PORT}/v3/kv/range"
    body = {"key": base64.b64encode(key.encode()).decode()}
    timeout = urllib3.Timeout(connect=TIMEOUTS[0], read=TIMEOUTS[1])
    with guest_errors(f"POST {url}"), urllib3.PoolManager(ssl_context=tls, retries=False, timeout=timeout) as etcd:
        response = etcd.request("POST", url, body=json.dumps(body))
        if response.status != 200:
            raise StepError(ErrorCode.API_NOT_READY, f"POST {url}: etcd answers {response.status}")
        found = response.json().get("kvs") or [{"value": ""}]
        return base64.b64decode(found[0]["value"])
