# The one environment of all rules with a script, for --sdm conda or --sdm apptainer. Rules of a workflow that takes this
# one in as a module keep theirs.
from snakemake_interface_executor_plugins.settings import DeploymentMethod

IMAGE = f"{HOME}/tradeoffs.sif"
IN_IMAGE = DeploymentMethod.APPTAINER in workflow.deployment_settings.deployment_method

if IN_IMAGE and not Path(IMAGE).is_file():
    raise WorkflowError(
        f"--sdm apptainer: there is no image {IMAGE}; build it: apptainer build {IMAGE} envs/tradeoffs.def"
    )

for each in workflow.rules:
    if each.is_script and Path(each.snakefile).is_relative_to(HOME):
        each.conda_env = each.conda_env or ENVIRONMENT
        each.container_img = (each.container_img or IMAGE) if IN_IMAGE else None
