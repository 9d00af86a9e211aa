"""What people and programs can request from genbridge: add, list, show, explain, status, redeliver, pause and so on.

Nothing here prints, and nothing depends on HTTP. Functions take the store and the settings, and return values: views,
mappings for JSON, or sentences. Errors are those of `errors`. Functions that only read take a `ReadStore`. With a
`ReadStore` in its own thread, a slow read does not delay commits.
"""
