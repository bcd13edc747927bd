"""Prometheus and Alertmanager beside the servers: what they scrape, which alerts they raise, and how they are run.

None of these systems is rewritten here: this package writes their configuration from what the adapters and the
registry know, starts and stops them, and takes the alerts in. `alerts.yaml` is the one list of alerts; rules, the
documentation and runbooks are made from it.
"""
