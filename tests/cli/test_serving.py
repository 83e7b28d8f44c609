"""How the gateway of a process is served."""

import gc

from reconciler.cli.serving import settled_memory


def test_what_is_here_when_serving_begins_is_not_looked_through_again():
    before = gc.get_freeze_count()
    with settled_memory():
        assert gc.get_freeze_count() > before + 1000
        assert gc.isenabled()
    assert gc.get_freeze_count() == 0
