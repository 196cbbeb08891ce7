# The demo's results among the documents; for those who change the project.
if DEMO:  # figures of credentialed data must not get among the documents

    rule demo_docs:
        """Shows the demo's results in docs/demo, for the README; for those who change the project."""
        input:
            **{name: files for name, files in rules.report.input.items() if name not in ("scores", "counts")},
            pages=expand(f"{RESULTS}/{{table}}.md", table=TABLES),
        output:
            folder=directory("docs/demo"),
        log:
            f"{LOGS}/paper/demo_docs.log",
        benchmark:
            f"{BENCHMARKS}/paper/demo_docs.tsv"
        resources:
            **LIGHT_JOB,
        params:
            benchmarks=BENCHMARKS,
            datasets=TITLES,
            note=NOTE,
            code=code_digest("upkeep/show_demo.py"),
        script:
            "../../workflow_scripts/upkeep/show_demo.py"
