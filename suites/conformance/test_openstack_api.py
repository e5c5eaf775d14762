"""OpenStack says of itself that it is whole: its services, catalogue, cells, hosts, networks, quotas and servers."""

import pytest

pytestmark = pytest.mark.openstack


@pytest.mark.invariant(
    id="OS-04",
    severity="critical",
    source="um-cloud-3 um-cloud-10",
    explained_by="RMQ-06 RMQ-16 DB-01 NODE-01 NODE-06 NODE-07 OS-05",
)
def test_every_service_and_agent_is_enabled_and_up(services):
    """A compute that is down gets no servers, and those on it obey nobody; an agent that is down wires no port.

    Remedy: see first whether the broker blocks publishers (RMQ-06): then every service is down at once. Otherwise
    restart the pod of the service on its host (disruptive to what it is doing), or, if somebody disabled it,
    `openstack compute service set --enable HOST nova-compute`.
    """
    missing = list(services.missing)
    assert missing == []


@pytest.mark.invariant(
    id="OS-07",
    severity="normal",
    source="um-cloud-3 um-cloud-11",
    explained_by="RMQ-06 OS-04 DB-01 DB-04 MC-01 MC-04 MC-05 NODE-05",
)
def test_servers_of_all_projects_are_listed_in_time(compute, profile):
    """The dashboard and every script that lists servers wait as long, and give up with a 504.

    Remedy: look for what the list waits for: computes that are down (OS-04), tokens that no memcached keeps (MC-04), a
    database that catches up (DB-04).
    """
    slow = [listing for listing in compute.listings if listing.seconds > profile.openstack.server_list_s]
    assert slow == []


@pytest.mark.invariant(
    id="OS-08",
    severity="blocker",
    source="operators",
    explained_by="OS-05 OS-01 DB-01 MC-04 NODE-01 NODE-06 NODE-07",
)
def test_every_endpoint_of_the_catalogue_answers(catalogue):
    """Clients find a service by the catalogue alone: an endpoint that does not answer is a service that is down.

    Remedy: see to the pods behind the endpoint and to what stands before them. An endpoint of a service that is gone:
    `openstack endpoint delete ID` (safe).
    """
    dead = list(catalogue.dead)
    assert dead == []


@pytest.mark.invariant(id="OS-33", severity="critical", source="operators")
def test_public_endpoints_have_trusted_certificates_that_last(catalogue):
    """From the day on which a certificate ends no client talks to the service any more; without TLS anybody listens.

    Remedy: renew the certificate where TLS ends (Ingress, Gateway, load balancer), with its whole chain and the
    endpoint's name in it. Clients notice nothing. An authority of your own that this machine does not know: name it as
    `cacert` in `clouds.yaml`, or in `[clouds.NAME.openstack]` of seatrial.toml. A public endpoint without TLS:
    `openstack endpoint set --url https://… ID`.
    """
    untrusted = list(catalogue.untrusted)
    assert untrusted == []


@pytest.mark.invariant(id="OS-09", severity="normal", source="operators")
def test_every_identity_provider_has_protocols_and_usable_mappings(federation):
    """Without a protocol, or with a mapping that is gone or says nothing, nobody from that provider can log in.

    Remedy: `openstack federation protocol create`, `openstack mapping set --rules FILE MAPPING` (safe: logins of that
    provider fail as it is).
    """
    mismatches = list(federation.mismatches)
    assert mismatches == []


@pytest.mark.invariant(id="OS-10", severity="normal", source="operators")
def test_no_network_service_of_nova_is_left(compute):
    """Nova-network is gone since Stein: whatever still reports as one is of an upgrade that was not finished.

    Remedy: move its networks to neutron, then `openstack compute service delete ID`.
    """
    left = list(compute.nova_networks)
    assert left == []


@pytest.mark.invariant(id="OS-11", severity="critical", source="operators")
def test_every_compute_host_belongs_to_a_cell(cells):
    """The scheduler finds hosts by their cell: a host that belongs to none reports as up, and gets no server ever.

    Remedy: `nova-manage cell_v2 discover_hosts` in a nova-conductor pod (safe).
    """
    unmapped = list(cells.unmapped)
    assert unmapped == []


@pytest.mark.invariant(id="OS-13", severity="normal", source="operators")
def test_quota_usage_equals_what_exists(quota_use):
    """A project whose use is counted too high cannot have what it may; counted too low, it has more than it may.

    Remedy: cinder: `cinder-manage quota sync --project-id PROJECT` (safe). Nova counts what exists and can only drift
    where it counts from placement (`[quota] count_usage_from_placement`): `nova-manage placement audit --delete`, and
    `heal_allocations` (safe).
    """
    drifts = list(quota_use.drifts)
    assert drifts == []


@pytest.mark.invariant(id="OS-14", severity="critical", source="operators")
def test_no_hosts_memory_is_overcommitted(placement, profile):
    """Memory that is promised twice is taken by the kernel's OOM killer: from a tenant's server, or from Ceph's OSD.

    Remedy: `ram_allocation_ratio` and `reserved_host_memory_mb` in nova.conf of the computes (Helm values
    `conf.nova.DEFAULT`). Restarts nova-compute, no server; servers beyond the new limit stay where they are.
    """
    limits = profile.openstack
    generous = [
        memory
        for memory in placement.memory
        if memory.allocation_ratio > limits.ram_allocation_ratio or memory.reserved_mb < limits.reserved_host_memory_mb
    ]
    assert generous == []


@pytest.mark.invariant(id="OS-15", severity="normal", source="operators")
def test_every_network_has_addresses_to_spare(addresses, profile):
    """A server without an address ends in ERROR after all the rest was built, and says no more than that.

    Remedy: widen the allocation pool or add a subnet: `openstack subnet create --network NETWORK …` (safe), and look
    for ports that nobody uses.
    """
    narrow = [
        room
        for room in addresses.rooms
        if room.free < profile.acceptance.servers or room.share_used > profile.openstack.addresses_used_max
    ]
    assert narrow == []


@pytest.mark.invariant(id="OS-16", severity="normal", source="operators")
def test_every_networks_mtu_fits_the_physical_network(networks, profile):
    """Packets that are too large vanish: connections open, and hang with the first full packet. Too small ones cost.

    Remedy: `openstack network set --mtu MTU NETWORK`, and the servers' own settings (they take it with DHCP). Nodes:
    `global_physnet_mtu` and `path_mtu` in neutron's Helm values.
    """
    odd = [size for size in networks.packet_sizes(profile.openstack.physical_mtu) if size.mtu != size.fits]
    assert odd == []


@pytest.mark.invariant(id="OS-19", severity="normal", source="own", explained_by="OS-04")
def test_allocations_servers_ports_and_volumes_agree(consistency):
    """An allocation of no server takes room for good, a port an address, an attachment a volume; a server without an
    allocation has its room given away.

    Remedy: `nova-manage placement audit --delete` and `nova-manage placement heal_allocations` (safe). A port:
    `openstack port delete ID`; an attachment: `openstack volume set --detached ID` after a look at the host.
    """
    orphans = list(consistency.orphans)
    assert orphans == []


@pytest.mark.invariant(
    id="OS-32", severity="normal", source="own", explained_by="RMQ-06 OS-04 OS-11 OS-15 OS-21 DB-01 NODE-01 NODE-07"
)
def test_no_server_or_volume_is_stuck(states):
    """A server or volume in error, or between two states for minutes, is somebody's work that does not go on.

    Remedy: `openstack server show ID` says why (`fault`). Delete and create it anew, or, where the work was done all
    the same, `openstack server set --state active ID`, `openstack volume set --state available ID`.
    """
    stuck = list(states.stuck)
    assert stuck == []


@pytest.mark.invariant(id="OS-20", severity="minor", source="um-cloud-8")
def test_quotas_allow_the_load_of_a_trial(allowance):
    """With less left, an acceptance run must raise the quota first, which takes an admin, or cannot be made at all.

    Remedy: `openstack quota set --instances N --cores N --ram N --ports N PROJECT` (safe); an acceptance run of an
    admin raises them itself and puts them back.
    """
    tight = [limit for limit in allowance.limits if not limit.enough]
    assert tight == []


@pytest.mark.invariant(id="OS-21", severity="normal", source="operators", explained_by="OS-04 OS-11 OS-19")
def test_the_hosts_have_room_for_a_trials_servers(capacity, profile):
    """Where no host has room left, a server ends in ERROR with `No valid host was found`.

    Remedy: add or enable hosts, or find what takes the room (`openstack resource provider usage show ID`).
    """
    room = capacity.room_for(profile.acceptance.flavor)
    short = [room] if room.servers < profile.acceptance.servers else []
    assert short == []
