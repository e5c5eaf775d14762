"""Memcached answers its clients fast while all of them ask."""

import pytest

pytestmark = pytest.mark.memcached


@pytest.mark.invariant(id="LOAD-08", severity="normal", source="um-cloud-4", explained_by="MC-01 MC-04")
def test_memcached_answers_its_clients_within_budget_under_load(cache_load):
    """Keystone asks its cache several times a request: a slow cache makes every API slow.

    Remedy: where memcached runs and what else is there (MC), then the network between the node of the pod that is named
    and memcached's (manual).
    """
    slow = cache_load.over_budget
    assert slow == []
