"""What people and programs can ask of genbridge: add, list, show, explain, status, redeliver, pause and so on.

Nothing here prints, and nothing knows HTTP. Functions take the store and the settings, and return values: views, plain
mappings for JSON, or sentences. Errors are those of `errors`. Functions that only read take a `ReadStore`; a long
question to a `ReadStore` with its own thread delays no commit.
"""
