"""Bare metal keeps two conductors that have room to work, and a dnsmasq that is bound to neither."""

import pytest

pytestmark = pytest.mark.ironic


@pytest.mark.invariant(
    id="IRON-01", severity="critical", source="understack", explained_by="OS-04 OS-05 RMQ-06 DB-01 NODE-01 NODE-06"
)
def test_enough_conductors_are_ready_and_alive(ironic, profile):
    """The nodes of a lost conductor are taken over by another one: with a single one, nothing is provisioned meanwhile.

    Remedy: in the Helm values of ironic `pod.replicas.conductor: 2`; at once `kubectl scale statefulset
    ironic-conductor --replicas=2`, which the next upgrade undoes (safe). One that is ready and not alive hangs or has
    lost the broker: `kubectl delete pod` (disruptive: what it is deploying fails).
    """
    few = [witness for witness in ironic.strength if witness.count < profile.ironic.conductors]
    assert few == []


@pytest.mark.invariant(id="IRON-02", severity="normal", source="understack")
def test_conductors_are_on_distinct_hosts(ironic):
    """Conductors that share a host are lost with it together, and share its CPU before.

    Remedy: label another node `ironic_role=conductor` (safe), then `kubectl delete pod` of one of them (disruptive:
    what it is deploying fails).
    """
    crowded = list(ironic.crowds)
    assert crowded == []


@pytest.mark.invariant(id="IRON-07", severity="normal", source="understack")
def test_conductors_are_on_nodes_meant_for_them(ironic, profile):
    """Power syncs and image conversions of a conductor take from a network node what it forwards packets with.

    Remedy: in the Helm values of ironic `labels.conductor.node_selector_key: ironic_role` and `…_value: conductor`, and
    `kubectl label node NODE ironic_role=conductor` for the right ones (disruptive: the conductors move).
    """
    meant = profile.ironic.conductor_label, profile.ironic.network_node_labels
    misplaced = [node for node in ironic.seats(*meant) if node.network or not node.labelled]
    assert misplaced == []


@pytest.mark.invariant(id="IRON-03", severity="critical", source="understack", explained_by="NODE-01 NODE-06 OS-05")
def test_dnsmasq_runs_exactly_once(ironic):
    """Without it no machine gets an address to boot with; two of them give the same address to two machines.

    Remedy: `kubectl scale statefulset ironic-dnsmasq --replicas=1`, which the next upgrade undoes (disruptive where one
    of two is taken away: look at the leases of both).
    """
    odd = [dnsmasq for dnsmasq in [ironic.dnsmasq] if (dnsmasq.wanted, dnsmasq.ready) != (1, 1)]
    assert odd == []


@pytest.mark.invariant(id="IRON-08", severity="normal", source="understack")
def test_dnsmasq_is_not_tied_to_a_conductor(ironic):
    """Tied to a conductor's node it goes down with that node, and cannot move to where no conductor is.

    Remedy: take the podAffinity out of the workload `ironic-dnsmasq` once its volumes are ReadWriteMany (IRON-04)
    (disruptive: it restarts).
    """
    tied = list(ironic.ties)
    assert tied == []


@pytest.mark.invariant(id="IRON-04", severity="normal", source="understack")
def test_the_volumes_of_dnsmasq_are_shared_by_all_nodes(ironic, profile):
    """A ReadWriteOnce volume holds dnsmasq and all conductors on one node, whatever the replicas say.

    Remedy: the migration to ReadWriteMany: take ArgoCD's write access away, scale conductors and dnsmasq to 0, copy to
    new claims, recreate the old ones, copy back, scale up (disruptive: nothing is provisioned meanwhile).
    """
    allowed = profile.ironic.dnsmasq_storage_classes
    confined = [volume for volume in ironic.volumes if not volume.shared or volume.storage_class not in allowed]
    assert confined == []


@pytest.mark.invariant(id="IRON-05", severity="normal", source="understack")
def test_conductors_are_not_held_back(ironic_conductors, profile):
    """A throttled conductor misses heartbeats and syncs, and its nodes are taken over, which is work for the next one.

    Remedy: in the Helm values of ironic `pod.resources.conductor.limits.cpu` above one core, or `kubectl set resources
    statefulset ironic-conductor` until the next upgrade (disruptive: the conductors restart one after another).
    """
    held_back = [
        conductor
        for conductor in ironic_conductors.footings
        if (conductor.cores is not None and conductor.cores <= profile.ironic.conductor_cores)
        or conductor.throttled > profile.ironic.throttled_max
    ]
    assert held_back == []


@pytest.mark.invariant(
    id="IRON-06", severity="minor", source="understack", explained_by="IRON-05 IRON-01 DB-01 RMQ-06 NODE-05"
)
def test_a_round_of_power_syncs_ends_within_its_interval(ironic_conductors, profile):
    """Rounds that outlast their interval leave Ironic with old power states, and its nodes locked while it looks.

    Remedy: raise `[conductor] sync_power_state_workers`, or the interval, or add conductors (disruptive: the conductors
    restart). A conductor that tells nothing: add `ironic.conductor.manager=DEBUG` to `default_log_levels`.
    """
    late = [sync for sync in ironic_conductors.power_syncs if sync.intervals > profile.ironic.power_sync_intervals_max]
    assert late == []
