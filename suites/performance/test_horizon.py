"""The dashboard bears the users that it has."""

import pytest

pytestmark = pytest.mark.horizon


@pytest.mark.invariant(
    id="LOAD-07", severity="normal", source="um-cloud-6", explained_by="HZN-01 HZN-02 DB-01 MC-01 LOAD-06"
)
def test_the_dashboard_answers_all_its_users_within_budget(browser_load):
    """Pages that poll keep a worker each: with too few of them users wait for each other, and then get a 504.

    Remedy: processes and threads of mod_wsgi and replicas of Horizon (HZN), then the lists under the page (LOAD-06)
    (manual).
    """
    slow = browser_load.over_budget
    assert slow == []
