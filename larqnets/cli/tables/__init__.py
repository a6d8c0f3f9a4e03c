"""Results as tables for people; every number comes from the JSON that `--json` prints."""
