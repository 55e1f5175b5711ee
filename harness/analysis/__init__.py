"""From records to verdicts: tables, paired statistics and claims."""
