# ruff: noqa: INP001 - a file of an image, of no package
"""An ML2 mechanism driver for hosts without a network agent: it binds every port, and the port is ACTIVE at once."""

from neutron_lib import constants  # type: ignore[import-not-found]
from neutron_lib.api.definitions import portbindings  # type: ignore[import-not-found]
from neutron_lib.plugins.ml2 import api  # type: ignore[import-not-found]


class LabMechanismDriver(api.MechanismDriver):  # type: ignore[misc]
    """Binds a port to the first segment that it may have, on whatever host it is asked for."""

    @property
    def connectivity(self) -> str:
        """Return what a port of this driver is connected to."""
        return str(portbindings.CONNECTIVITY_L2)

    def initialize(self) -> None:
        """Do nothing: there is nothing to talk to."""

    def bind_port(self, context: api.PortContext) -> None:
        """Bind the port that `context` is about."""
        context.set_binding(
            context.segments_to_bind[0][api.ID],
            portbindings.VIF_TYPE_OVS,
            {portbindings.CAP_PORT_FILTER: False},
            status=constants.PORT_STATUS_ACTIVE,
        )
