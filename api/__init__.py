"""What users see: resources and statuses as pydantic models. No I/O, no vendor library."""
