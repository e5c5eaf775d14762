"""Kubernetes carries a cloud of this size: its API servers, DNS, scheduler, etcd and certificates."""

import pytest

pytestmark = pytest.mark.kubernetes


@pytest.mark.invariant(id="K8S-01", severity="critical", source="thousand-nodes")
def test_node_local_proxies_keep_idle_connections(proxies, profile):
    """A proxy that closes idle connections to the API server makes every kubelet connect anew, with a TLS handshake
    each time: the API servers burn their cores on handshakes.

    Remedy: raise `proxy_timeout` in the nginx stream (kubespray: `loadbalancer_apiserver_keepalive_timeout` and the
    template `nginx.conf.j2`; haproxy: `timeout client` and `timeout server`) on one node after another. Each reload
    cuts that node's watches once.
    """
    hasty = [proxy for proxy in proxies.all if proxy.idle_s < profile.kubernetes.proxy_idle_timeout_s]
    assert hasty == []


@pytest.mark.invariant(id="K8S-02", severity="normal", source="thousand-nodes own", explained_by="K8S-01 K8S-12")
def test_api_servers_answer_in_time_and_within_their_cores(apiservers, profile):
    """A slow API server delays every scheduling decision, probe update and lease, until nodes look dead.

    Remedy: find the flow that asks too much (`kubectl get --raw /debug/api_priority_and_fairness/dump_priority_levels`,
    the audit log), then give the API servers more cores or one more replica. A restart cuts all watches at once.
    """
    limits = profile.kubernetes
    strained = [
        server
        for server in apiservers.loads
        if server.cores > limits.apiserver_cores_max
        or server.mean_s > limits.apiserver_mean_latency_s
        or server.p99_s > limits.apiserver_p99_s
        or server.p99_list_s > limits.apiserver_p99_list_s
    ]
    assert strained == []


@pytest.mark.invariant(id="K8S-03", severity="normal", source="thousand-nodes")
def test_api_servers_admit_the_requests_of_this_size(apiservers, profile):
    """Requests that an API server does not admit are tried again, by every client at once, and controllers fall behind.

    Remedy: with priority and fairness, give the priority level more shares, or the API server a larger
    `--max-requests-inflight` to share out; without it, set that flag to the profile's number in
    `/etc/kubernetes/manifests/kube-apiserver.yaml`, one control-plane node after another. Each API server restarts.
    """
    narrow = [
        server for server in apiservers.inflight_limits if server.limit < profile.kubernetes.max_requests_inflight
    ]
    overrun = [*narrow, *apiservers.rejections]
    assert overrun == []


@pytest.mark.invariant(id="K8S-04", severity="normal", source="thousand-nodes", explained_by="K8S-03")
def test_no_request_was_answered_too_many_requests(apiservers):
    """Under 429s the scheduler's own requests fail, and placements go wrong: anti-affinity was violated so.

    Remedy: find who asks too much (`apiserver_request_total` by resource and verb, the audit log), slow it down, and
    see to K8S-03.
    """
    refused = apiservers.refusals
    assert refused == ()


@pytest.mark.dns
@pytest.mark.invariant(id="K8S-05", severity="normal", source="thousand-nodes")
def test_dns_is_sized_for_the_cluster(dns):
    """A DNS that is too small drops queries, and every service that looks up a name then waits out a timeout.

    Remedy: `kubectl -n kube-system scale deployment/coredns --replicas=N` (safe), and in the ConfigMap `coredns`
    `forward . … { max_concurrent N }` and `cache { success N; denial N }`; for dnsmasq `--dns-forward-max=N` and
    `--cache-size=N` in the Deployment `kube-dns`. Make it last in whatever installs the DNS.
    """
    small = [setting for setting in dns.settings if setting.value < setting.wanted]
    assert small == []


@pytest.mark.dns
@pytest.mark.invariant(id="K8S-06", severity="normal", source="thousand-nodes", explained_by="NODE-01 K8S-05")
def test_dns_neither_restarts_nor_turns_queries_away(dns):
    """While a DNS container restarts, its share of all look-ups in the cluster times out.

    Remedy: `kubectl -n kube-system logs -p POD` tells why it ended; OOMKilled asks for a larger memory limit, turned
    away queries for a larger `max_concurrent` (dnsmasq: `--dns-forward-max`), see K8S-05.
    """
    faltering = [*dns.restarts, *dns.overruns]
    assert faltering == []


@pytest.mark.invariant(id="K8S-07", severity="minor", source="thousand-nodes")
def test_scheduler_leads_on_another_node_than_the_api_servers(scheduling):
    """The two busiest processes of the control plane on one node slow each other down when thousands of pods start.

    Remedy: `kubectl -n kube-system delete pod kube-scheduler-NODE` lets another scheduler lead; it pauses for a lease.
    """
    crowded = scheduling.shared_leaders
    assert crowded == ()


@pytest.mark.invariant(id="K8S-08", severity="critical", source="thousand-nodes", explained_by="K8S-04 NODE-01")
def test_required_anti_affinity_is_kept(scheduling):
    """Replicas that must be apart but share a node are lost together with it.

    Remedy: delete the younger pod of the pair (`kubectl delete pod POD`): its controller makes another one elsewhere.
    Clients of that pod notice.
    """
    together = scheduling.violations
    assert together == ()


@pytest.mark.invariant(id="K8S-09", severity="blocker", source="own")
def test_etcd_has_a_leader_and_room(etcd, profile):
    """Without a leader, or over its quota, etcd takes no writes: nothing in the cluster can change any more.

    Remedy: defragment one member after another (`etcdctl defrag --endpoints=…`), the leader last, then
    `etcdctl alarm disarm`; raise `--quota-backend-bytes` if the database is that large for a reason. A member that is
    defragmented does not answer meanwhile.
    """
    ailing = [
        member
        for member in etcd.members
        if not member.led or member.alarms or member.used > profile.kubernetes.etcd_used_max
    ]
    assert ailing == []


@pytest.mark.invariant(id="K8S-10", severity="critical", source="own")
def test_control_plane_and_webhook_certificates_last(certificates):
    """When a certificate of the control plane ends, kubelets or controllers lose the API server; when a webhook's
    ends, every object that it watches over is refused.

    Remedy: `kubeadm certs check-expiration`, then `kubeadm certs renew all` and a restart of the control plane's pods,
    node after node; kubelets renew theirs with `rotateCertificates: true`; a webhook's chart or cert-manager renews its
    own.
    """
    ending = certificates.late
    assert ending == ()


@pytest.mark.invariant(id="K8S-11", severity="normal", source="own")
def test_no_release_uses_an_api_that_the_next_version_removes(helm):
    """Helm cannot upgrade a release whose stored manifest names an API version that the API server no longer serves.

    Remedy: upgrade the chart to one that names the new version before Kubernetes is upgraded; afterwards only
    `helm mapkubeapis RELEASE` rewrites the stored manifest. Back its Secret up first.
    """
    doomed = helm.old_apis
    assert doomed == ()


@pytest.mark.invariant(id="K8S-12", severity="normal", source="own")
def test_etcd_reaches_its_disk_in_time(etcd, profile):
    """Each write to the cluster waits for etcd's log on disk; a slow one costs leaders, and then all writes at once.

    Remedy: give etcd a disk of its own (SSD or NVMe, no network storage), or `ionice -c2 -n0` it. Move one member at
    a time.
    """
    slow = [member for member in etcd.fsyncs if member.p99_s > profile.kubernetes.etcd_fsync_p99_s]
    assert slow == []
