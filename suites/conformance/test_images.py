"""Every pod's image is there when its node needs it."""

import pytest

pytestmark = pytest.mark.images


@pytest.mark.invariant(id="IMG-01", severity="normal", source="um-cloud-5 um-cloud-10")
def test_no_image_is_docker_manifest_schema_v1(images):
    """Containerd and docker of today refuse schema v1: a node that lost such an image cannot start its pods any more.

    Remedy: name an OCI image in the Helm values, for the init containers of openstack-helm
    `images.tags.dep_check: quay.io/airshipit/kubernetes-entrypoint:latest-ubuntu_noble` (each chart's next upgrade
    rolls its pods).
    """
    outdated = list(images.outdated)
    assert outdated == []


@pytest.mark.invariant(id="IMG-02", severity="critical", source="um-cloud-5 um-cloud-11", explained_by="IMG-01")
def test_every_image_that_cannot_be_pulled_is_on_every_control_plane_node(images, profile):
    """A pod that moves to a node without the image stays in ImagePullBackOff: the loss of one node loses the service.

    Remedy: carry it over from a node that has it (safe, and may be repeated): `ctr -n k8s.io images export - IMAGE |
    ssh NODE ctr -n k8s.io images import -`, with docker `docker save IMAGE | ssh NODE docker load`.
    """
    missing = images.missing(profile.nodes.control_plane_label)
    assert missing == []


@pytest.mark.invariant(
    id="IMG-03",
    severity="critical",
    source="um-cloud-5",
    explained_by="IMG-02 IMG-01 IMG-04 CEPH-12 NODE-07 NODE-06 NODE-01 DB-01",
)
def test_no_pod_waits_for_an_image_or_its_first_init_container(images, profile):
    """A pod that cannot start serves nobody; in Init:0/N it waits for its dep_check image or for what that waits for.

    Remedy: `kubectl describe pod` names the image or the dependency; carry the image over as for IMG-02 (safe).
    """
    late = [pod for pod in images.late if pod.since_s > profile.images.pull_grace_s]
    assert late == []


@pytest.mark.invariant(id="IMG-04", severity="normal", source="own")
def test_no_image_that_cannot_be_pulled_is_always_pulled(images):
    """With the policy Always even a node that holds the image asks the registry, so that the next restart fails.

    Remedy: in the Helm values `images.pull_policy: IfNotPresent`, and an image that can be pulled.
    """
    stranded = list(images.always_pulled)
    assert stranded == []
