# The one environment of all rules with a script, for --sdm conda. Rules of a workflow that takes this one in as a module
# keep theirs.
for each in workflow.rules:
    if each.is_script and each.conda_env is None and Path(each.snakefile).is_relative_to(HOME):
        each.conda_env = ENVIRONMENT
