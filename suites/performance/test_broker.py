"""RabbitMQ carries what OpenStack's services put on it."""

import pytest

pytestmark = pytest.mark.rabbitmq


@pytest.mark.invariant(id="LOAD-01", severity="normal", source="um-cloud-8", explained_by="RMQ-01 RMQ-02 RMQ-03 RMQ-06")
def test_the_broker_carries_one_producer_through_a_transient_queue(baseline_load):
    """Every call between services waits for the broker: what it adds to one message, it adds to each boot many times.

    Remedy: schedulers and threads of the virtual machine (RMQ-01, RMQ-02), then the processor time of its pod.
    """
    offending = baseline_load.offending
    assert offending == []


@pytest.mark.invariant(
    id="LOAD-02", severity="normal", source="um-cloud-8", explained_by="RMQ-01 RMQ-02 RMQ-03 RMQ-06 RMQ-18"
)
def test_the_broker_carries_persistent_messages_through_a_durable_queue(realistic_load):
    """What must outlive the broker waits for its disk; a slow one holds back every service that uses durable queues.

    Remedy: the volume under the broker (RMQ-18 names it), or transient queues, as the services' own are.
    """
    offending = realistic_load.offending
    assert offending == []


@pytest.mark.invariant(id="LOAD-03", severity="normal", source="um-cloud-8", explained_by="RMQ-01 RMQ-02 RMQ-03 RMQ-06")
def test_the_broker_carries_many_producers_at_once(stress_load):
    """A restart of all agents at once is many producers that do not wait: a broker that stalls then stays behind.

    Remedy: as for LOAD-01; then fewer connections a worker (`rpc_conn_pool_size`).
    """
    offending = stress_load.offending
    assert offending == []


@pytest.mark.invariant(id="LOAD-04", severity="normal", source="operators", explained_by="RMQ-01 RMQ-02 RMQ-03 RMQ-06")
def test_the_broker_carries_calls_casts_and_fanouts(rpc_load):
    """A boot is some dozen calls that wait for each other, and one that gets no reply is a MessagingTimeout.

    Remedy: as for LOAD-01; where replies are late and casts are not, more workers and threads of the services.
    """
    offending = rpc_load.offending
    assert offending == []
