"""The sections of the configuration, a file per stage. The defaults are the paper's set-up with one seed; those of the
sections that only the demo uses are the demo's."""
