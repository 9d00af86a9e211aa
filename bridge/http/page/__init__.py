"""The status page: views rendered on the server, with actions as forms. Complete without scripts."""
