"""What runs is what the Helm releases say, and the next upgrade changes nothing that nobody asked for."""

import pytest

pytestmark = pytest.mark.helm


@pytest.mark.invariant(id="HELM-01", severity="critical", source="own")
def test_every_release_is_deployed(helm):
    """A release that is stuck halfway refuses the next upgrade, and nobody knows which half of it is at work.

    Remedy: see that no `helm` is at work on it any more, then `helm rollback RELEASE REVISION -n NAMESPACE` to the last
    deployed revision, and upgrade again. The rollback rolls out what the broken upgrade had changed.
    """
    stuck = helm.unsettled
    assert stuck == ()


@pytest.mark.invariant(
    id="HELM-02", severity="normal", source="um-cloud-6 um-cloud-10 um-cloud-12", explained_by="HELM-01"
)
def test_what_runs_is_what_the_releases_say(helm):
    """What was patched by hand works until the next upgrade, which undoes it without a word.

    Remedy: put each finding into the release's values, see with `helm diff upgrade` (or `helm get manifest` and
    `kubectl diff -f -`) that nothing is left, then upgrade. The upgrade rolls out what the values change.
    """
    drifted = helm.drifts
    assert drifted == ()


@pytest.mark.invariant(id="HELM-03", severity="normal", source="um-cloud-7", explained_by="HELM-01")
def test_live_replicas_are_those_of_the_releases(helm):
    """A role that was scaled by hand falls back to its old size with the next upgrade.

    Remedy: set `pod.replicas.ROLE` in the release's values to what should run, and upgrade (nothing rolls where that
    is what runs already); or scale back: `kubectl scale KIND NAME --replicas=N`.
    """
    scaled = helm.scaled
    assert scaled == ()


@pytest.mark.invariant(id="HELM-04", severity="normal", source="own")
def test_an_upgrade_without_changes_rolls_nothing(helm, profile):
    """A value that the chart draws anew at each render restarts every API of the release with every upgrade.

    Remedy: pin it in the release's values, e.g. `endpoints.oslo_cache.auth.memcache_secret_key` to the key that is in
    use now, the same for all services; the upgrade that pins another key rolls them once more.
    """
    unpinned = helm.unpinned(profile.helm.pinned_values)
    assert unpinned == ()


@pytest.mark.invariant(id="HELM-05", severity="normal", source="um-cloud-7")
def test_no_shared_value_hits_a_role_it_was_not_meant_for(helm):
    """Values that are handed to several charts scale roles of the same name in all of them.

    Remedy: move `pod.replicas.ROLE` from the shared values to a file of each release's own, then upgrade: the role is
    scaled to what its own values say.
    """
    stray = helm.shared_values
    assert stray == ()
