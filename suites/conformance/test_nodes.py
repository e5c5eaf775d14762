"""The nodes that carry the cloud are fit to do it."""

import pytest

pytestmark = pytest.mark.nodes


@pytest.mark.invariant(
    id="NODE-01", severity="critical", source="um-cloud-4 thousand-nodes", explained_by="NODE-06 NODE-07"
)
def test_every_node_is_ready_and_under_no_pressure(nodes):
    """Pods on a node that is not ready are unreachable, and those on one under pressure are evicted.

    Remedy: look at the node's kubelet and disk; `kubectl describe node` names the condition.
    """
    unfit = [node for node in nodes.all if node.trouble]
    assert unfit == []


@pytest.mark.invariant(id="NODE-02", severity="critical", source="um-cloud-1")
def test_no_node_that_carries_the_control_plane_or_ceph_is_cordoned(nodes, profile):
    """What leaves a cordoned node does not come back to it: a mon that restarts there stays Pending, out of quorum.

    Remedy: `kubectl uncordon NODE` (safe: it only lets pods be scheduled there again).
    """
    cordoned = [node for node in nodes.carriers(profile.nodes.control_plane_label) if node.cordoned]
    assert cordoned == []


@pytest.mark.invariant(id="NODE-03", severity="normal", source="um-cloud-2 um-cloud-10")
def test_docker_stores_containers_with_overlay2(nodes, profile):
    """Docker's zfs driver makes a dataset of every layer; listing them burns a core and slows every start of a pod.

    Remedy: drain the node, set `"storage-driver": "overlay2"` in its daemon.json on a file system other than ZFS,
    restart docker and pull the images anew (by hand: all its containers and images are lost).
    """
    foreign = [node for node in nodes.drivers if node.driver not in profile.nodes.docker_storage_drivers]
    assert foreign == []


@pytest.mark.invariant(id="NODE-04", severity="normal", source="um-cloud-2", explained_by="NODE-03")
def test_zfs_datasets_stay_few(nodes, profile):
    """With many datasets each `zfs list` that docker runs takes seconds of a core, and the node's load rises with them.

    Remedy: on the node, `docker system prune -af --filter until=240h` and `docker builder prune -af` (disruptive: an
    image that cannot be pulled any more is lost; look at IMG-02 afterwards).
    """
    crowded = [node for node in nodes.datasets if node.count > profile.nodes.zfs_datasets_max]
    assert crowded == []


@pytest.mark.invariant(id="NODE-05", severity="normal", source="um-cloud-2", explained_by="NODE-09")
def test_every_node_has_cores_to_spare(nodes, profile):
    """Where more wants to run than there are cores, probes time out and brokers miss heartbeats.

    Remedy: find what runs there (`kubectl top pods`, `top` on the node) and move or bound it.
    """
    loaded = [node for node in nodes.loads if node.per_core >= profile.nodes.load_per_core_max]
    assert loaded == []


@pytest.mark.invariant(id="NODE-06", severity="critical", source="thousand-nodes")
def test_every_container_runtime_answers(nodes, profile):
    """A runtime that hangs starts and ends no container, fails exec probes, and soon takes its node out of service.

    Remedy: restart the runtime on that node, `systemctl restart containerd` or `docker` (disruptive: with docker
    without live-restore every container there restarts).
    """
    mute = [node for node in nodes.runtimes if node.complaint or node.silent_s > profile.nodes.runtime_answer_s]
    assert mute == []


@pytest.mark.invariant(id="NODE-07", severity="critical", source="um-cloud-10")
def test_every_node_reaches_the_cluster_ips_and_the_dns(nodes):
    """A pod on a node that is cut off gets "no route to host" from Keystone; nova-compute crashes in a loop there.

    Remedy: delete the kube-proxy pod and the CNI's pod of that node (disruptive: its connections may break), then
    look at its routes and rules: `ip route get CLUSTER-IP`, `nft list ruleset`.
    """
    cut_off = [node for node in nodes.reach if node.missing]
    assert cut_off == []


@pytest.mark.invariant(id="NODE-08", severity="normal", source="own")
def test_kubelets_are_of_one_version_within_the_skew(nodes, profile):
    """A kubelet too far from the API server's version is not supported; a mixture is an upgrade that stopped halfway.

    Remedy: upgrade the kubelets that are named, one node after another.
    """
    allowed = range(profile.nodes.kubelet_minor_skew + 1)
    odd = [kubelet for kubelet in nodes.kubelets if kubelet.odd or kubelet.behind not in allowed]
    assert odd == []


@pytest.mark.invariant(id="NODE-09", severity="minor", source="um-cloud-2", explained_by="NODE-04")
def test_no_zfs_command_burns_a_core(nodes, profile):
    """Docker's zfs driver and monitoring run `zfs list` in a loop; each run costs a core that the pods are missing.

    Remedy: prune images as for NODE-04, and find who runs it: `ps -o pid,ppid,args -C zfs` on the node.
    """
    burning = [node for node in nodes.zfs_processes if node.cores > profile.nodes.zfs_cores_max]
    assert burning == []


@pytest.mark.invariant(id="NODE-10", severity="normal", source="own")
def test_clocks_agree(nodes, profile):
    """Ceph's mons lose their quorum and tokens are not valid yet where clocks disagree.

    Remedy: look at the node's time service: `chronyc tracking`, `timedatectl`.
    """
    astray = [clock for clock in nodes.clocks if clock.apart_s > profile.nodes.clock_skew_s]
    assert astray == []
