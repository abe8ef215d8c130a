import pytest


@pytest.fixture(autouse=True)
def _in_mmseg_scope(mmseg_scope: None) -> None:
    """Here registries answer for mmseg, whichever test ran before."""
