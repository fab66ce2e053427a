"""Records in a real KV store, of any size that the store takes."""

from uuid import uuid4

import pytest

from activities.vault import Task
from tests.activities.vault.support import Vault


@pytest.mark.parametrize("entries", [0, 1, 166, 167, 1000])
def test_a_record_is_read_as_it_was_written_however_many_strings_it_has(vault: Vault, entries: int) -> None:
    client, path = vault.client(Task.REGISTRY), f"quotas/o{uuid4().hex[:8]}"
    data = {"clusters": {f"c{number}": {"name": 'a"b', "n": number, "x": [None]} for number in range(entries)}}
    assert client.write(path, data, 0)
    found = client.read(path)
    assert found is not None
    assert (found.data, found.version) == (data, 1)
    assert not client.write(path, data, 0)
    assert client.write(path, {}, 1)
