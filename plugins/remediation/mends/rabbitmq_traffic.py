"""What mends who talks through RabbitMQ and what waits there: rights, connections, queues, and its cluster by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.plugins.remediation.commands import InPod
from seatrial.plugins.remediation.declaration import remedy
from seatrial.plugins.remediation.manual import ByHand
from seatrial.plugins.remediation.mends.rabbitmq import ctl, place_of
from seatrial.plugins.remediation.risk import EXEC, Risk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.fixtures.cluster import Cluster
    from seatrial.fixtures.rabbitmq import RabbitMQ
    from seatrial.fixtures.thresholds import Profile
    from seatrial.plugins.remediation.change import Change


@remedy("RMQ-11", Risk.SAFE, EXEC)
def give_the_administrator_its_rights(cluster: Cluster, rabbitmq: RabbitMQ) -> Iterator[Change]:
    """Lets the administrator do everything on vhost `/`. Undo gives it what it had."""
    for grant in rabbitmq.administrators:
        if grant.full:
            continue
        back = (
            ctl("set_permissions", "-p", "/", grant.user, *grant.permissions)
            if grant.permissions
            else ctl("clear_permissions", "-p", "/", grant.user)
        )
        yield InPod(
            offender=str(grant),
            before=" ".join(grant.permissions) or "no permission",
            after=".* .* .*",
            where=place_of(cluster, rabbitmq.brokers[0].pod),
            run=(ctl("set_permissions", "-p", "/", grant.user, ".*", ".*", ".*"),),
            back=(back,),
        )


@remedy("RMQ-12", Risk.MANUAL)
def declare_queues_anew(rabbitmq: RabbitMQ, profile: Profile) -> Iterator[Change]:
    """Deletes the queues while nobody uses their vhost; the services declare them anew. Calls in flight are lost."""
    for queue in rabbitmq.openstack_queues:
        if queue.kind not in profile.rabbitmq.queue_kinds:
            service = queue.vhost.strip("/")
            pod = rabbitmq.brokers[0].pod
            namespace, _, name = pod.partition("/")
            yield ByHand(
                offender=str(queue),
                run=(
                    f"kubectl -n {namespace} scale deployment -l application={service} --replicas=0",
                    f"kubectl -n {namespace} exec {name} -- rabbitmqctl delete_queue -p {queue.vhost} {queue.name}",
                    f"kubectl -n {namespace} scale deployment -l application={service} --replicas=N",
                ),
            )


@remedy("RMQ-13", Risk.MANUAL)
def give_every_client_a_heartbeat(rabbitmq: RabbitMQ) -> Iterator[Change]:
    """Sets oslo.messaging's heartbeat in the service's configuration, which restarts the service."""
    services = {client.vhost.strip("/"): str(client) for client in rabbitmq.clients if not client.heartbeat}
    for service, line in services.items():
        option = f"conf.{service}.oslo_messaging_rabbit.heartbeat_timeout_threshold"
        yield ByHand(
            offender=line,
            run=(f"helm upgrade {service} CHART -n openstack --reuse-values --set {option}=60",),
        )


@remedy("RMQ-14", Risk.SAFE, EXEC)
def close_stale_connections(cluster: Cluster, rabbitmq: RabbitMQ, profile: Profile) -> Iterator[Change]:
    """Closes the connection: a client that lives connects anew. There is nothing to undo."""
    for client in rabbitmq.clients:
        if client.stale(profile.rabbitmq.idle_heartbeats):
            script = (
                "rabbitmqctl --quiet list_connections pid peer_host peer_port | "
                f"awk -v host={client.address} -v port={client.port} "
                "'index($0, host) && $NF == port {print $1}' | "
                'while read -r pid; do rabbitmqctl close_connection "$pid" stale; done'
            )
            yield InPod(
                offender=str(client),
                before=client.state,
                after="closed",
                where=place_of(cluster, rabbitmq.brokers[0].pod),
                run=(("sh", "-c", script),),
            )


@remedy("RMQ-15", Risk.SAFE, EXEC)
def delete_orphaned_queues(cluster: Cluster, rabbitmq: RabbitMQ, profile: Profile) -> Iterator[Change]:
    """Deletes queues that are empty and that nobody uses: whoever needs one declares it anew.

    What holds messages is left to an operator.
    """
    place = place_of(cluster, rabbitmq.brokers[0].pod)
    leaderless = set(map(str, rabbitmq.leaderless_queues))
    for queue in rabbitmq.queues:
        if str(queue) not in leaderless and not queue.orphaned(profile.rabbitmq.orphan_grace_s):
            continue
        if queue.ready or queue.unacknowledged:
            yield ByHand(
                offender=str(queue),
                risk="manual",
                run=(
                    place.typed(ctl("list_queues", "-p", queue.vhost, "name", "messages", "consumers")),
                    place.typed(ctl("purge_queue", "-p", queue.vhost, queue.name)),
                    place.typed(ctl("delete_queue", "-p", queue.vhost, queue.name, "--if-unused", "--if-empty")),
                ),
            )
        else:
            yield InPod(
                offender=str(queue),
                before="empty, without consumers",
                after="deleted",
                where=place,
                run=(ctl("delete_queue", "-p", queue.vhost, queue.name, "--if-unused", "--if-empty"),),
            )


@remedy("RMQ-16", Risk.MANUAL)
def join_the_brokers(rabbitmq: RabbitMQ) -> Iterator[Change]:
    """Restarts the smaller side, so that it joins the larger one; what it holds alone is lost."""
    for trouble in rabbitmq.divisions:
        namespace, _, pod = trouble.who.rpartition(" ")[2].partition("/")
        yield ByHand(
            offender=str(trouble),
            run=(
                f"kubectl -n {namespace} exec {pod} -- rabbitmqctl cluster_status",
                f"kubectl -n {namespace} delete pod POD-OF-THE-SMALLER-SIDE",
            ),
        )


@remedy("RMQ-18", Risk.MANUAL)
def keep_the_data_on_local_storage(rabbitmq: RabbitMQ, profile: Profile) -> Iterator[Change]:
    """Moves broker after broker to a local volume, which starts empty and is filled by the rest of the cluster."""
    for volume in rabbitmq.data_volumes:
        if volume.on(profile.rabbitmq.shared_storage_classes):
            namespace, _, claim = volume.claim.partition("/")
            yield ByHand(
                offender=str(volume),
                run=(
                    f"kubectl -n {namespace} delete statefulset rabbitmq-rabbitmq --cascade=orphan",
                    "helm upgrade rabbitmq CHART -n openstack --reuse-values --set volume.class_name=LOCAL-CLASS",
                    f"kubectl -n {namespace} delete pvc {claim} --wait=false && kubectl -n {namespace} delete pod POD",
                ),
            )
