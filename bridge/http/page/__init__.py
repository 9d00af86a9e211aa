"""The status page: views rendered on the server, with forms for actions. It works without scripts."""
