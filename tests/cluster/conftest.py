import pytest
from slurm_daemons import NoSlurm, running_slurm


@pytest.fixture(scope="session")
def slurm(tmp_path_factory):
    """A running SLURM; tests that need it are skipped where there is none."""
    try:
        with running_slurm(tmp_path_factory.mktemp("slurm")):
            yield
    except NoSlurm as reason:
        pytest.skip(str(reason))
