"""What was measured, as it stands in README.md and docs/: tables, numbers in sentences and pictures, made from results/.

`python -m docs.numbers` (`make results-docs`) writes them between markers, `--check` names what is stale. A page asks by name:

    <!-- results: NAME -->                    a table, on lines of its own
    <!-- /results -->
    It executes <!--r:NAME-->2.07<!--/r--> million instructions.

Names are defined in `docs.numbers.kinds`, pictures in `docs.numbers.drawn`. Nothing here imports TensorFlow, and no wheel has it.
"""
