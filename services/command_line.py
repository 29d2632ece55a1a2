"""The options of the command line."""

from argparse import ArgumentParser
from pathlib import Path

from utils.version import VERSION


def parser(config_path: Path) -> ArgumentParser:
    """Returns what reads the options.

    Args:
        config_path: of the configuration where no other is named.
    """
    reader = ArgumentParser(
        prog="engine.py",
        description="Carries Lyve Cloud audit logs to AWS CloudWatch Logs at each round hour.",
    )
    kinds = reader.add_mutually_exclusive_group()
    kinds.add_argument("--once", action="store_true", help="run one iteration now, and end")
    kinds.add_argument("--check", action="store_true", help="try each access, and end")
    kinds.add_argument("--plan", action="store_true", help="say what would be sent, and end")
    kinds.add_argument("--dashboard", metavar="NAME", help="print a dashboard's JSON, and end")
    kinds.add_argument(
        "--install-dashboards", action="store_true", help="store all dashboards, and end"
    )
    kinds.add_argument("--version", action="version", version=f"logscollector {VERSION}")
    reader.add_argument(
        "--config",
        type=Path,
        default=config_path,
        metavar="PATH",
        help="another configuration than the config.json beside engine.py",
    )
    return reader
