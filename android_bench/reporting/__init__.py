"""From records to words: statistics, summaries, comparisons, pages and pictures."""
