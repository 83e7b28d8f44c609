"""How a request asks for some of the servers: the same words for the page's form and for programs."""

from typing import Annotated, Final

from litestar.di import NamedDependency, Provide
from litestar.params import QueryParameter, SkipValidation

from reconciler.web.filters import ServerFilter

LONGEST: Final = 256
Name = Annotated[str, QueryParameter(max_length=LONGEST, description="A part of the name or package.")]
State = Annotated[str, QueryParameter(name="state", max_length=LONGEST, description="Only servers in this state.")]
Owner = Annotated[str, QueryParameter(max_length=LONGEST, description="Only servers of this owner.")]
Label = Annotated[str, QueryParameter(max_length=2 * LONGEST, description="Only with it: `key=value` or `key`.")]
Wanted = NamedDependency[SkipValidation[ServerFilter]]


def wanted_servers(name: Name = "", in_state: State = "", owner: Owner = "", label: Label = "") -> ServerFilter:
    """What is asked for; empty fields leave open."""
    return ServerFilter(name=name.strip(), state=in_state, owner=owner.strip(), label=label.strip())


FILTER: Final = {"wanted": Provide(wanted_servers, sync_to_thread=False)}
"""For handlers with a parameter of the type `Wanted`."""
