"""Order, retries and compensation. No vendor library, no planning, no activity code is imported here."""
