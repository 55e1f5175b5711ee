"""Records, images and traces on disk; the only code that reads or writes a results folder."""

from harness.store.serialization import (
    SAVED,
    SAVED_COLUMNS,
    TRACE_COLUMNS,
    dump,
    parse_record,
    parse_run,
    parse_trace,
    redact,
)
from harness.store.store import IMAGE_FORMATS, Store, write_page, write_page_folder

__all__ = [
    "IMAGE_FORMATS",
    "SAVED",
    "SAVED_COLUMNS",
    "TRACE_COLUMNS",
    "Store",
    "dump",
    "parse_record",
    "parse_run",
    "parse_trace",
    "redact",
    "write_page",
    "write_page_folder",
]
