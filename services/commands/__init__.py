"""What the command line asks for beside the daemon: check, plan, dashboards."""
