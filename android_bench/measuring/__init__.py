"""From a lineup of files to a record: which sessions, on which cores, how warm, in which order, equal to the host."""
